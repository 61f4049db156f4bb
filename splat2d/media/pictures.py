"""Pictures as users have them, in and out: any Pillow format to float32 planes and back."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from splat2d.errors import InputImageError, OutputError, ShapeError, Splat2dError
from splat2d.format.header import MAX_PIXELS
from splat2d.media.colour import GREY_MODES, SINGLE_MODES, eight_bit_colour, profile_transform
from splat2d.media.files import open_input, read_bytes, reason, shown, write_atomic

if TYPE_CHECKING:
    from PIL import Image

_ORIENTATION = 0x0112  # EXIF tag

_MEMORY = "<image>"  # how messages call a picture that came without a name

# Formats whose further frames are no animation: what they are, and whether the user should be told.
_FRAME_WORDS = {"TIFF": ("pages", True), "MPO": ("pictures", False), "PSD": None}

# Pillow unpacks only the high byte of 16-bit colour. The unpacker for the other byte order reads the
# same bytes and returns the low ones, so that decoding twice gives all 16 bits.
_N = "B" if sys.byteorder == "little" else "L"
_LOW_BYTES = {
    f"{mode};16{order}": f"{mode};16{twin}"
    for mode in ("RGB", "RGBA")
    for order, twin in (("B", "L"), ("L", "B"), ("N", _N))
}
_GREY_ALPHA_16 = "LA;16B"

# Formats that keep an alpha channel; others get the picture on white. Not asked of Pillow, because
# some of its writers (PPM) accept RGBA and drop the alpha.
_ALPHA_FORMATS = {"PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "GIF", "TGA", "ICO", "DDS", "SGI", "QOI"}
# Writers that do not write this picture: they need a program, a handler, resize it, or are our own.
_NO_PICTURE_FORMATS = {"BUFR", "EPS", "GRIB", "HDF5", "ICNS", "SPIDER", "SPLAT", "WMF"}
# A decoded picture should not lose again what the user does not ask for.
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}
_MAX_ICO = 256


@dataclass(frozen=True)
class Picture:
    """A picture as the fitter wants it, and what happened to it on the way in.

    Attributes:
        pixels: [C, H, W] float32, C-contiguous, in [0, 1]: 8-bit-coded sRGB scaled to [0, 1]. C is 1
            for grey, 2 for grey and alpha, 3 for RGB, 4 for RGBA; colour is premultiplied by alpha.
        notes: What was done on the way in, one short sentence each.
        warnings: What a user should be told on stderr.
    """

    pixels: np.ndarray  # [C, H, W]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """Number of channels, alpha included."""
        return self.pixels.shape[0]

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.pixels.shape[1]

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.pixels.shape[2]


def load_picture(source: str | os.PathLike[str] | Image.Image | np.ndarray) -> Picture:
    """Return any picture that Pillow reads as upright sRGB planes.

    Grey stays grey; palettes, CMYK, YCbCr and the like become grey or RGB; an ICC profile is converted
    to sRGB (relative colorimetric with black point compensation); the EXIF orientation is applied; an
    alpha channel that is opaque everywhere is dropped.

    Args:
        source: A path, a Pillow image (its current frame), or an array as for `picture_from_array`.

    Returns:
        The picture.

    Raises:
        InputImageError: If the file is missing, empty, no picture, damaged, truncated or beyond
            MAX_PIXELS.
        ShapeError: If an array does not fit.
    """
    if isinstance(source, np.ndarray):
        return picture_from_array(source)
    from PIL import Image

    if isinstance(source, Image.Image):
        return _read(source, None, _MEMORY)
    if not isinstance(source, (str, os.PathLike)):
        found = type(source).__name__
        raise InputImageError(f"expected a path, a Pillow image or a numpy array, found {found}")
    name = shown(source)
    with open_input(source) as file:
        # Pillow seeks; a pipe cannot.
        stream = file if file.seekable() else io.BytesIO(read_bytes(source))
        return _read(_open(stream, name), stream, name)


def load_image(path: str | os.PathLike[str]) -> Image.Image:
    """Return a file's picture as Pillow reads it, upright but not converted: a palette stays a palette.

    Raises:
        InputImageError: As `load_picture`.
    """
    from PIL import ImageOps

    name = shown(path)
    with open_input(path) as file:
        stream = file if file.seekable() else io.BytesIO(read_bytes(path))
        image = _open(stream, name)
        _check_pixels(image, name)
        with _strict(name):
            image.load()
            return ImageOps.exif_transpose(image)


def picture_from_array(array: np.ndarray) -> Picture:
    """Return an array of pixels as a Picture.

    Args:
        array: [H, W] or [H, W, 1..4], channels grey, grey+alpha, RGB or RGBA with straight alpha, sRGB;
            uint8, uint16, or floats in [0, 1] (overshoot below half an 8-bit level is clipped).

    Returns:
        The picture.

    Raises:
        ShapeError: If shape, dtype or values do not fit.
    """
    array = np.asarray(array)
    shape = "x".join(map(str, array.shape)) or "a scalar"
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        hint = "; put the channels last" if array.ndim == 3 and array.shape[0] in (1, 2, 3, 4) else ""
        raise ShapeError(f"expected pixels of shape [H, W] or [H, W, 1..4], found {shape}{hint}")
    if array.size == 0:
        raise ShapeError(f"expected at least one pixel, found an array of shape {shape}")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise ShapeError(f"expected at most {MAX_PIXELS} pixels, found {shape}; make the picture smaller")
    if array.ndim == 2:
        array = array[..., None]
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        notes = ["16-bit samples"] if array.dtype.itemsize == 2 else []
        return _picture(array, float(np.iinfo(array.dtype).max), notes)
    if array.dtype.kind != "f":
        raise ShapeError(f"expected uint8, uint16 or float pixels, found {array.dtype}")
    low, high = float(array.min()), float(array.max())
    if not np.isfinite(low) or not np.isfinite(high):
        raise ShapeError("expected finite pixels, found NaN or infinity")
    if low < -1 / 510 or high > 1 + 1 / 510:
        raise ShapeError(f"expected float pixels in [0, 1], found {low:g} to {high:g}; scale them")
    return _picture(array, 1.0, [])


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


def save_picture(pixels: np.ndarray, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Write pixels to a file in the format of its extension, whole or not at all.

    Args:
        pixels: [H, W] or [H, W, 1..4] uint8, straight alpha, sRGB; or the same in float32 for `.npy`.
            A format without alpha gets the picture on white.
        path: Where to write.
        force: Whether an existing file may be replaced.

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
        _write(pixels, file, format_name, shown(path))


def _write(pixels: np.ndarray, file: BinaryIO, format_name: str, name: str) -> None:
    """Write uint8 pixels with Pillow, in the first mode that the format takes."""
    from PIL import Image

    if pixels.ndim == 3 and pixels.shape[2] in (2, 4) and format_name not in _ALPHA_FORMATS:
        pixels = on_white(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    options = dict(_SAVE_OPTIONS.get(format_name, {}))
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


@contextlib.contextmanager
def _strict(name: str) -> Iterator[None]:
    """Let Pillow work without its warnings and global settings, and turn its faults into one line."""
    from PIL import Image, ImageFile

    with _PILLOW:
        kept = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        # Pillow raises above twice its limit, and warns above it once.
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = MAX_PIXELS // 2, False
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except Splat2dError:
            raise
        except Image.DecompressionBombError as fault:
            found = re.search(r"\d+", str(fault))
            raise InputImageError(_too_large(name, int(found[0]) if found else None)) from None
        except MemoryError:
            raise InputImageError(f"{name}: there is not enough memory to decode this picture") from None
        except Exception as fault:  # a damaged file makes plugins raise almost anything
            raise InputImageError(f"{name}: the picture is damaged or truncated ({reason(fault)})") from None
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = kept


_PILLOW = threading.RLock()


def _too_large(name: str, pixels: int | None) -> str:
    """Return the message for a picture beyond MAX_PIXELS."""
    return f"{name}: has {pixels or 'too many'} pixels; the limit is {MAX_PIXELS}; make it smaller"


def _open(stream: BinaryIO, name: str) -> Image.Image:
    """Return the picture in a stream, its header read and its pixels not."""
    from PIL import Image, UnidentifiedImageError

    with _strict(name):
        stream.seek(0)
        with contextlib.suppress(UnidentifiedImageError):
            return Image.open(stream)
    stream.seek(0)
    start = stream.read(8)
    raise InputImageError(
        f"{name}: is no picture that can be read, or its header is damaged (it starts with {start!r}); "
        "expected PNG, JPEG, WebP, AVIF, TIFF or another format that Pillow reads"
    )


def _read(image: Image.Image, stream: BinaryIO | None, name: str) -> Picture:
    """Return an opened picture as a Picture; `stream` is where it comes from, None if unknown."""
    _check_pixels(image, name)
    notes: list[str] = []
    alerts: list[str] = []
    with _strict(name):
        _count_frames(image, notes, alerts)
        rawmode = _rawmode(image)
        stored = _orientation(image)
        image.load()
        orientation = _orientation(image)  # Pillow turns a TIFF by itself while loading
    if stored != 1:
        notes.append(f"EXIF orientation {stored} applied")

    deep = rawmode in _LOW_BYTES or rawmode == _GREY_ALPHA_16
    grey = image.mode in GREY_MODES or rawmode == _GREY_ALPHA_16
    to_srgb = profile_transform(image, notes, grey=grey)
    if image.mode in SINGLE_MODES:
        samples, peak = _single(image, name, notes)
        if to_srgb is None:
            return _picture(samples, peak, notes, alerts, orientation)
        notes.append("reduced to 8 bits to convert the profile")
        image = _eight_bits(samples, peak)
    elif deep:
        samples = _sixteen_bits(image, stream, rawmode, name) if to_srgb is None else None
        notes.append("16-bit samples" if samples is not None else "16-bit samples read as 8-bit")
        if samples is not None:
            return _picture(samples, 65535.0, notes, alerts, orientation)
    image = eight_bit_colour(image, notes, grey=grey, to_srgb=to_srgb)
    samples = np.asarray(image)
    return _picture(samples.reshape(*samples.shape[:2], -1), 255.0, notes, alerts, orientation)


def _check_pixels(image: Image.Image, name: str) -> None:
    """Raise InputImageError for a picture whose pixels must not be loaded."""
    if image.width * image.height > MAX_PIXELS:
        raise InputImageError(_too_large(name, image.width * image.height))
    if image.width * image.height == 0:
        raise InputImageError(f"{name}: has no pixels ({image.width}x{image.height})")
    if image.format == "EPS":  # Pillow would start Ghostscript on it
        raise InputImageError(f"{name}: is a PostScript program, not a picture; convert it to PNG first")


def _count_frames(image: Image.Image, notes: list[str], alerts: list[str]) -> None:
    """Say which frame is taken when there are several."""
    count = getattr(image, "n_frames", 1)
    words = _FRAME_WORDS.get(image.format or "", ("frames", True))
    if count < 2 or words is None:
        return
    index = image.tell()
    if index == 0:
        notes.append(f"first of {count} {words[0]}")
    else:
        notes.append(f"number {index + 1} of {count} {words[0]}")
    if words[1] and index == 0:
        alerts.append(f"only the first of {count} {words[0]} is kept")


def _rawmode(image: Image.Image) -> str:
    """Return how the samples lie in the file, such as "RGB;16B"; empty if unknown."""
    tiles = getattr(image, "tile", [])
    modes = {args if isinstance(args, str) else args[0] for *_, args in tiles if args}
    return str(modes.pop()) if len(modes) == 1 else ""


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if there is none or EXIF is damaged."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # the pixels are worth having whatever is wrong with the metadata
        return 1
    return value if value in range(1, 9) else 1


def _upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Return a view of [H, W, C] samples with an EXIF orientation undone."""
    if orientation >= 5:
        samples = samples.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return samples[::rows, ::columns]


def _picture(
    samples: np.ndarray,  # [H, W, C]
    peak: float,
    notes: list[str],
    alerts: list[str] | None = None,
    orientation: int = 1,
) -> Picture:
    """Return samples in [0, peak] with straight alpha as a Picture, with one float32 copy."""
    view = _upright(samples, orientation)
    channels = view.shape[2]
    if channels in (2, 4) and view[..., -1].min() >= peak:
        channels -= 1
        notes = [*notes, "opaque alpha channel dropped"]
    pixels = np.empty((channels, *view.shape[:2]), np.float32)
    for channel in range(channels):
        np.divide(view[..., channel], peak, out=pixels[channel], dtype=np.float32, casting="same_kind")
    if samples.dtype.kind == "f":
        np.clip(pixels, 0, 1, out=pixels)
    if channels in (2, 4):
        pixels[:-1] *= pixels[-1]
    return Picture(pixels, tuple(notes), tuple(alerts or ()))


def _single(image: Image.Image, name: str, notes: list[str]) -> tuple[np.ndarray, float]:
    """Return the samples [H, W, 1 or 2] and the peak of a picture in mode I, I;16 or F."""
    samples = np.asarray(image)[..., None]
    low, high = float(samples.min()), float(samples.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0:
        raise InputImageError(
            f"{name}: expected samples that are finite and not negative, found {low:g} to {high:g}"
        )
    if image.mode.startswith("I"):
        if high > 65535:
            notes.append("32-bit samples")
            return samples, 2.0**31 - 1
        notes.append("16-bit samples")
        samples = samples.astype(np.uint16, copy=False)
        return _with_key(samples, image.info.get("transparency")), 65535.0
    # A float picture does not say its range; these three are in use.
    peak = next((peak for peak in (1.0, 255.0, 65535.0) if high <= peak), None)
    if peak is None:
        raise InputImageError(f"{name}: expected float samples in [0, 1], found up to {high:g}; scale them")
    notes.append("float samples" if peak == 1 else f"float samples divided by {peak:.0f}")
    return samples, peak


def _with_key(samples: np.ndarray, key: object) -> np.ndarray:
    """Return uint16 samples [H, W, C] with an alpha channel where the transparent colour is given."""
    if not isinstance(key, (int, tuple)):
        return samples
    alpha = np.any(samples != np.asarray(key, np.uint16), axis=2, keepdims=True)
    return np.concatenate([samples, alpha * np.uint16(65535)], axis=2)


def _eight_bits(samples: np.ndarray, peak: float) -> Image.Image:
    """Return samples [H, W, 1 or 2] in [0, peak] as a grey picture of 8 bits."""
    from PIL import Image

    eight = np.rint(samples.astype(np.float32) * np.float32(255 / peak)).astype(np.uint8)
    return Image.fromarray(eight[..., 0] if eight.shape[2] == 1 else eight)


def _sixteen_bits(image: Image.Image, stream: BinaryIO | None, rawmode: str, name: str) -> np.ndarray | None:
    """Return all 16 bits of a loaded colour picture, [H, W, C] uint16; None if only 8 can be had."""
    if stream is None:
        return None
    again = _open(stream, name)
    try:
        twin = "RGBA" if rawmode == _GREY_ALPHA_16 else _LOW_BYTES[rawmode]
        again.tile = [  # type: ignore[attr-defined]
            tile._replace(args=twin if isinstance(tile.args, str) else (twin, *tile.args[1:]))
            for tile in again.tile  # type: ignore[attr-defined]
        ]
        with _strict(name):
            again.load()
        low = np.asarray(again)
    except (InputImageError, AttributeError):  # a Pillow that unpacks otherwise: 8 bits it is
        return None
    if rawmode == _GREY_ALPHA_16:
        # Read as 8-bit RGBA, a pixel is the two bytes of grey and the two of alpha.
        return np.ascontiguousarray(low).view(">u2").astype(np.uint16)
    samples = np.asarray(image).astype(np.uint16)
    samples <<= 8
    samples |= low
    return _with_key(samples, image.info.get("transparency"))
