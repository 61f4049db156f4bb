"""TIFF samples that Pillow does not read right, or not at all: deep, signed, float, planar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from splat2d.errors import InputImageError
from splat2d.media.files import reason
from splat2d.media.opening import pixel_limit, strict, too_large
from splat2d.media.samples import Samples, scaled_floats

if TYPE_CHECKING:
    from tifffile import TiffPage

_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_UINT, _INT, _FLOAT, _UNDEFINED = 1, 2, 3, 4  # sample formats
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK = 0, 1, 2, 5  # photometric interpretations
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _CMYK: 4}
_OTHERS = {3: "a palette", 6: "YCbCr", 8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "a sensor's raw data"}
_ASSOCIATED, _UNASSOCIATED = 1, 2  # extra samples
_MOST_SAMPLES = 64  # of a pixel


def is_tiff(head: bytes) -> bool:
    """Whether a file's first bytes, at least four, are a TIFF's."""
    return head[:4] in _MAGICS


def read_tiff(
    stream: BinaryIO, name: str, peak: float | None = None, *, any_samples: bool = False
) -> Samples | None:
    """Return the samples of a TIFF's first page.

    Args:
        stream: the file.
        name: of messages.
        peak: sample that is white, instead of the largest of integers and 1 of floats.
        any_samples: also read pages of 8 bits and less, which Pillow reads right.

    Returns:
        The samples; None where Pillow is to read them.

    Raises:
        InputImageError: a page that is damaged, too large, or of samples that nobody knows how to show.
    """
    import logging

    from tifffile import TiffFile

    # Without a handler of its own, the library's warnings would go to stderr.
    log = logging.getLogger("tifffile")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    stream.seek(0)
    with strict(name):
        try:
            with TiffFile(stream) as file:
                deep = _is_deep(file.pages[0])
        except Exception:
            if any_samples:
                raise
            return None  # Pillow may see past what is odd about it
        if not deep and not any_samples:
            return None
        stream.seek(0)
        with TiffFile(stream) as file:
            return _samples(file.pages[0], name, peak, len(file.pages))


def _is_deep(page: TiffPage) -> bool:
    """Whether a page has other samples than unsigned integers of at most 8 bits."""
    bits = page.bitspersample
    deepest = max(bits) if isinstance(bits, tuple) else bits
    return deepest > 8 or page.sampleformat not in (_UINT, _UNDEFINED)


def _samples(page: Any, name: str, peak: float | None, pages: int) -> Samples:
    width, height, channels = page.imagewidth, page.imagelength, page.samplesperpixel
    if width * height > (limit := pixel_limit()):
        raise InputImageError(too_large(name, width * height, limit))
    photometric = int(page.photometric)
    if photometric not in _COLOURS or page.imagedepth > 1:
        kind = _OTHERS.get(photometric, f"photometric interpretation {photometric}")
        raise InputImageError(f"{name}: is a TIFF of {kind} with more than 8 bits; convert it to RGB first")
    colours = _COLOURS[photometric]
    if not width * height > 0 or not colours <= channels <= _MOST_SAMPLES:
        raise InputImageError(f"{name}: has {channels} samples a pixel, expected {colours} or more")
    if isinstance(page.bitspersample, tuple) or page.sampleformat not in (_UINT, _INT, _FLOAT, _UNDEFINED):
        raise InputImageError(f"{name}: has complex samples or of several sizes; convert it to 16 bits first")
    _check_whole(page, name)
    try:
        values = page.asarray()
    except ValueError as fault:
        if "imagecodecs" not in str(fault):
            raise
        raise InputImageError(
            f"{name}: its compression needs imagecodecs; pip install 'splat2d[tiff]'"
        ) from None
    except Exception as fault:
        raise InputImageError(f"{name}: the picture is damaged or truncated ({reason(fault)})") from None
    # Planes lie one behind another in planar files.
    values = values.reshape(channels, height, width).transpose(1, 2, 0) if _is_planar(page) else values
    values = values.reshape(height, width, channels)
    notes = [] if pages < 2 else [f"first of {pages} pages"]
    alerts = [] if pages < 2 else [f"only the first of {pages} pages is kept"]
    values, top, said, warned = _in_range(values, page, name, peak)
    if photometric == _WHITE_IS_ZERO:
        values = np.concatenate([top - values[..., :1], values[..., 1:]], -1).astype(values.dtype)
        notes.append("white is zero in this file")
    values, more = _with_one_alpha(values, page, colours, top)
    orientation = page.tags.valueof(274, default=1)
    return Samples(
        values,
        top,
        [*notes, *said, *more],
        [*alerts, *warned],
        orientation if orientation in range(1, 9) else 1,
        profile=page.tags.valueof(34675, default=None),
        cmyk=photometric == _CMYK,
    )


def _is_planar(page: Any) -> bool:
    return page.planarconfig == 2 and page.samplesperpixel > 1


def _check_whole(page: Any, name: str) -> None:
    """Refuse a page whose strips or tiles are not all in the file; what is missing would be black."""
    size = page.parent.filehandle.size
    places = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    ends = [offset + count for offset, count in places]
    if not places or len(page.dataoffsets) != len(page.databytecounts) or max(ends) > size:
        raise InputImageError(f"{name}: the picture is damaged or truncated (its data ends at {size} bytes)")
    across = -(-page.imagewidth // page.tilewidth) if page.is_tiled else 1
    rows = page.tilelength if page.is_tiled else min(page.rowsperstrip or page.imagelength, page.imagelength)
    planes = page.samplesperpixel if _is_planar(page) else 1
    if len(places) < across * -(-page.imagelength // max(rows, 1)) * planes or not all(c for _, c in places):
        raise InputImageError(f"{name}: the picture is damaged or truncated (strips are missing)")
    if page.compression == 1 and not page.is_tiled:
        bits = page.bitspersample * page.imagewidth * (page.samplesperpixel // planes)
        if sum(count for _, count in places) < -(-bits // 8) * page.imagelength * planes:
            raise InputImageError(f"{name}: the picture is damaged or truncated (strips are short)")


def _in_range(
    values: np.ndarray, page: Any, name: str, peak: float | None
) -> tuple[np.ndarray, float, list[str], list[str]]:
    """Return samples in [0, top], top, notes and warnings."""
    bits = page.bitspersample
    if page.sampleformat == _FLOAT:
        values, top, said, warned = scaled_floats(values, name, peak)
        return values, top, said, warned
    low, high = int(values.min()), int(values.max())
    if low < 0:
        raise InputImageError(f"{name}: expected samples that are not negative, found {low} to {high}")
    top = float(2**bits - 1 if page.sampleformat != _INT else 2 ** (bits - 1) - 1)
    if bits == 32 and high <= 65535 and peak is None:
        top = 65535.0  # a program that knows only one size of integers
    if peak is not None:
        if high > peak:
            raise InputImageError(f"{name}: has samples up to {high}, above the peak of {peak:g}")
        top = float(peak)
    if bits > 16:
        # The planes are float32 in the end; this keeps what they can hold.
        values, scaled = (values / top).astype(np.float32), 1.0
        return values, scaled, ["32-bit samples" if top > 65535 else "16-bit samples"], []
    return values, top, [f"{bits}-bit samples"], []


def _with_one_alpha(values: np.ndarray, page: Any, colours: int, top: float) -> tuple[np.ndarray, list[str]]:
    """Return samples [H, W, C] with straight alpha or none, and notes."""
    extras = page.extrasamples or ()
    extras = (extras,) if isinstance(extras, int) else tuple(map(int, extras))
    count = values.shape[2]
    extras = (*extras, *(0,) * (count - colours - len(extras)))
    alpha = next((i for i, kind in enumerate(extras) if kind in (_ASSOCIATED, _UNASSOCIATED)), None)
    dropped = count - colours - (alpha is not None)
    notes = (
        [f"{dropped} extra samples dropped" if dropped > 1 else "an extra sample dropped"] if dropped else []
    )
    if alpha is None or colours == 4:
        return values[..., :colours], notes
    cover = values[..., colours + alpha, None]
    colour = values[..., :colours]
    if extras[alpha] == _ASSOCIATED:
        straight = (
            colour.astype(np.float32) / np.maximum(cover, 1e-9 * top).astype(np.float32) * np.float32(top)
        )
        return np.concatenate([np.clip(straight, 0, top), cover.astype(np.float32)], -1), notes
    return np.concatenate([colour, cover], -1), notes
