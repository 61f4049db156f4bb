"""Pictures as users have them: any format that Pillow reads, and deep TIFF, as float32 planes."""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from splat2d.errors import InputImageError, ShapeError
from splat2d.format.header import MAX_PIXELS
from splat2d.media.files import kept_place, open_input, read_bytes, read_open, shown
from splat2d.media.metadata import Found, metadata_of
from splat2d.media.opening import check_pixels, open_image, strict
from splat2d.media.reading import from_tiff, read_image
from splat2d.media.samples import Picture, Samples, picture_of
from splat2d.media.save import picture_format, save_picture
from splat2d.media.tiff import is_tiff, read_tiff

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "Picture",
    "load_image",
    "load_picture",
    "picture_format",
    "picture_from_array",
    "save_picture",
]

_MEMORY = "<image>"  # how messages call a picture that came without a name


def load_picture(
    source: Any,
    *,
    peak: float | None = None,
    keep_metadata: bool = False,
    keep_gps: bool = False,
) -> Picture:
    """Return any picture that Pillow reads, or a TIFF of any samples, as upright sRGB planes.

    Grey stays grey; palettes, CMYK, YCbCr and the like become grey or RGB; an ICC profile is converted
    to sRGB (relative colorimetric with black point compensation), and so is what cICP, gAMA and cHRM of
    PNG, or nclx of AVIF and HEIF say; HDR is tone-mapped. Crop and orientation in the file are applied;
    an alpha channel that is opaque everywhere is dropped. Float samples beyond [0, peak] are clipped.

    Args:
        source: A path, the bytes of a file, an open file, a Pillow image (its current frame), or an array
            as for `picture_from_array`.
        peak: Sample that is white in a file of more than 8 bits; when None, 1 of floats and the largest
            that the size of integers holds.
        keep_metadata: Whether the picture comes with EXIF, XMP, the profile's name and the resolution.
        keep_gps: Whether these may tell where it was taken.

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
        # What an image in memory says is its caller's affair unless it is asked for.
        wanted = keep_metadata and source.format == "TIFF"
        early = metadata_of(source, keep=True, keep_gps=keep_gps) if wanted else None
        samples = _unloaded_tiff(source, peak)
        picture = from_tiff(samples) if samples else read_image(source, None, _MEMORY, peak=peak)
        if not keep_metadata:
            return picture
        return _told(picture, early or metadata_of(source, keep=True, keep_gps=keep_gps), keep=True)
    path = ""
    if isinstance(source, bytes | bytearray | memoryview | io.IOBase):
        data = read_open(source) if isinstance(source, io.IOBase) else source
        name, opened = _MEMORY, contextlib.nullcontext(io.BytesIO(data))  # which can seek
    elif isinstance(source, str | os.PathLike):
        name, opened, path = shown(source), open_input(source), source
    else:
        raise InputImageError(f"expected a path, a file, an image or an array, found {type(source).__name__}")
    with opened as file:
        # Pillow seeks; a pipe cannot.
        stream = file if file.seekable() else io.BytesIO(read_bytes(path))
        head = stream.read(4)
        stream.seek(0)
        samples = _tiff_samples(stream, name, peak) if is_tiff(head) else None
        try:
            image = open_image(stream, name)
        except InputImageError:
            if samples is None:
                raise
            return from_tiff(samples)
        # Of a TIFF before its pixels are loaded, of others behind them: what is asked for closes or loads it.
        early = metadata_of(image, keep=keep_metadata, keep_gps=keep_gps) if is_tiff(head) else None
        partial = None
        if image.format == "GIF":
            from splat2d.media.animation import still

            partial = still(image, stream, name)
        if samples is not None:
            picture = from_tiff(samples)
        else:
            picture = partial or read_image(image, stream, name, peak=peak)
        found = early or metadata_of(image, keep=keep_metadata, keep_gps=keep_gps)
        return _told(picture, found, keep=keep_metadata)


def _told(picture: Picture, found: Found, *, keep: bool) -> Picture:
    """Return a picture with its metadata, and with words on what of it is dropped."""
    if not found.dropped:
        return replace(picture, metadata=found.kept)
    notes, alerts = (*picture.notes, found.note), (*picture.warnings, found.alert(keep=keep))
    return replace(picture, notes=notes, warnings=alerts, metadata=found.kept)


def _tiff_samples(stream: BinaryIO, name: str, peak: float | None) -> Samples | None:
    """Return the samples of a TIFF that Pillow does not read right; None where it does."""
    samples = read_tiff(stream, name, peak)
    if samples is None:
        try:
            open_image(stream, name)
        except InputImageError:
            return read_tiff(stream, name, peak, any_samples=True)
    return samples


def _unloaded_tiff(image: Image.Image, peak: float | None) -> Samples | None:
    """Return the samples of a TIFF that a caller opened, where Pillow would not read them right."""
    file = getattr(image, "fp", None)
    if image.format != "TIFF" or not getattr(image, "tile", None) or file is None or image.tell():
        return None
    with kept_place(file):
        return read_tiff(file, _MEMORY, peak)


def load_image(path: str | os.PathLike[str]) -> Image.Image:
    """Return a file's picture as Pillow reads it, upright but not converted: a palette stays a palette.

    Raises:
        InputImageError: As `load_picture`.
    """
    from PIL import ImageOps

    name = shown(path)
    with open_input(path) as file:
        stream = file if file.seekable() else io.BytesIO(read_bytes(path))
        image = open_image(stream, name)
        check_pixels(image, name)
        with strict(name):
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
        return picture_of(array, float(np.iinfo(array.dtype).max), notes)
    if array.dtype.kind != "f":
        raise ShapeError(f"expected uint8, uint16 or float pixels, found {array.dtype}")
    low, high = float(array.min()), float(array.max())
    if not np.isfinite(low) or not np.isfinite(high):
        raise ShapeError("expected finite pixels, found NaN or infinity")
    if low < -1 / 510 or high > 1 + 1 / 510:
        raise ShapeError(f"expected float pixels in [0, 1], found {low:g} to {high:g}; scale them")
    return picture_of(array, 1.0, [])
