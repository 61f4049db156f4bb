"""Pictures out: pixels to any format that Pillow writes, whole or not at all."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from splat2d.errors import OutputError, ShapeError
from splat2d.media.files import reason, shown, write_atomic
from splat2d.media.metadata import save_options

if TYPE_CHECKING:
    from splat2d.format.metadata import Metadata

# Formats that keep an alpha channel; others get the picture on white. Not asked of Pillow, because
# some of its writers (PPM) accept RGBA and drop the alpha.
_ALPHA_FORMATS = {"PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "GIF", "TGA", "ICO", "DDS", "SGI", "QOI"}
# Writers that do not write this picture: they need a program, a handler, resize it, or are our own.
_NO_PICTURE_FORMATS = {"BUFR", "EPS", "GRIB", "HDF5", "ICNS", "SPIDER", "SPLAT", "WMF"}
# A decoded picture should not lose again what the user does not ask for.
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    # Runs and Huffman codes alone: what splats add up to has few repetitions. Photographs are 1.05 times as
    # large as at Pillow's level 6, in a fifth of its time, which was most of a decode's.
    "PNG": {"compress_level": 1, "compress_type": zlib.Z_RLE},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}
_MAX_ICO = 256


def picture_format(path: str | os.PathLike[str]) -> str:
    """Return the format that a picture's path asks for by its extension.

    Args:
        path: An output path.

    Returns:
        Pillow's name of the format, such as "PNG", or "NPY".

    Raises:
        OutputError: If the extension is missing or nothing writes it.
    """
    extension = os.path.splitext(os.fspath(path))[1].lower()
    if extension == ".npy":
        return "NPY"
    from PIL import Image

    Image.preinit()  # the five usual formats; the other plugins take 50 ms more to load
    name = Image.EXTENSION.get(extension) or Image.registered_extensions().get(extension, "")
    if name in Image.SAVE and name not in _NO_PICTURE_FORMATS:
        return name
    found = f"the extension {shown(extension)} is no picture format that can be written"
    usual = "use .png, .jpg, .webp, .avif, .tif or .npy"
    raise OutputError(f"{shown(path)}: {found if extension else 'has no extension'}; {usual}")


def keeps_alpha(path: str | os.PathLike[str]) -> bool:
    """Return whether the format of a picture's path has alpha; raises as `picture_format`."""
    return picture_format(path) in _ALPHA_FORMATS


def save_picture(
    pixels: np.ndarray,
    path: str | os.PathLike[str],
    *,
    force: bool = False,
    metadata: Metadata | None = None,
) -> None:
    """Write pixels to a file in the format of its extension, whole or not at all.

    Args:
        pixels: [H, W] or [H, W, 1..4] uint8, straight alpha, sRGB; or the same in float32 for `.npy`.
            A format without alpha gets the picture on white.
        path: Where to write.
        force: Whether an existing file may be replaced.
        metadata: To be written, too, where the format is JPEG, PNG, WebP, AVIF or TIFF.

    Raises:
        OutputError: If the extension is unknown, the format cannot hold the picture, the file exists
            or cannot be written.
        ShapeError: If shape or dtype do not fit.
    """
    format_name = picture_format(path)
    shape = "x".join(map(str, pixels.shape)) or "a scalar"
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 2, 3, 4)):
        raise ShapeError(f"expected pixels of shape [H, W] or [H, W, 1..4], found {shape}")
    if pixels.size == 0:
        raise ShapeError(f"expected at least one pixel, found an array of shape {shape}")
    if format_name == "NPY":
        if pixels.dtype not in (np.uint8, np.float32):
            raise ShapeError(f"expected uint8 or float32 pixels for .npy, found {pixels.dtype}")
        with write_atomic(path, force=force) as file:
            np.save(file, np.ascontiguousarray(pixels), allow_pickle=False)
        return
    if pixels.dtype != np.uint8:
        raise ShapeError(
            f"expected uint8 pixels for {format_name}, found {pixels.dtype}; use .npy for floats"
        )
    if format_name == "ICO" and max(pixels.shape[:2]) > _MAX_ICO:
        raise OutputError(
            f"{shown(path)}: ICO holds at most {_MAX_ICO} pixels a side, found {shape}; use .png"
        )
    with write_atomic(path, force=force) as file:
        _write(pixels, file, format_name, shown(path), metadata)


def _write(
    pixels: np.ndarray, file: BinaryIO, format_name: str, name: str, metadata: Metadata | None
) -> None:
    """Write uint8 pixels with Pillow, in the first mode that the format takes."""
    from PIL import Image

    if pixels.ndim == 3 and pixels.shape[2] in (2, 4) and format_name not in _ALPHA_FORMATS:
        pixels = on_white(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    options = {**_SAVE_OPTIONS.get(format_name, {}), **save_options(metadata, format_name)}
    if format_name == "ICO":
        options["sizes"] = [image.size]  # without it Pillow writes thumbnails of other sizes too
    faults = []
    for mode in (image.mode, {"L": "RGB", "LA": "RGBA"}.get(image.mode)):
        if mode is None:
            continue
        try:
            file.seek(0)
            file.truncate()
            (image if mode == image.mode else image.convert(mode)).save(file, format=format_name, **options)
            return
        except (OSError, ValueError, KeyError, RuntimeError) as fault:
            if isinstance(fault, OSError) and fault.errno is not None:  # the system's, not the format's
                raise OutputError(f"{name}: cannot be written ({reason(fault)})") from None
            faults.append(reason(fault))
    raise OutputError(f"{name}: this picture cannot be written as {format_name} ({faults[0]}); use .png")


def on_white(
    pixels: np.ndarray,  # [H, W, C]
) -> np.ndarray:
    """Composite straight uint8 pixels on white; returns [H, W, 1 or 3]."""
    if pixels.shape[2] in (1, 3):
        return pixels
    alpha = pixels[..., -1:].astype(np.uint16)
    out = pixels[..., :-1] * alpha
    out += (255 - alpha) * 255 + 127
    out //= 255
    return out.astype(np.uint8)
