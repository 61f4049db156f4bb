"""Images that Pillow opened, and samples of TIFF, as pictures: all bits, upright, cropped, sRGB."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from splat2d.errors import InputImageError
from splat2d.media.cicp import Stated, ToSrgb
from splat2d.media.colour import GREY_MODES, SINGLE_MODES, eight_bit_colour, profile_transform
from splat2d.media.opening import check_pixels, open_image, orientation_of, strict
from splat2d.media.profiles import SimpleProfile, simple_profile
from splat2d.media.samples import Picture, Samples, eight_bits, picture_of, single_samples, with_key
from splat2d.media.tags import Tags, tags_of

if TYPE_CHECKING:
    from PIL import Image

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
# What a PNG's transparent grey of few bits is times, since Pillow spreads the samples and not that.
_SPREAD = {"L;2": 85, "L;4": 17}


def read_image(
    image: Image.Image,
    stream: BinaryIO | None,
    name: str,
    *,
    tags: Tags | None = None,
    peak: float | None = None,
) -> Picture:
    """Return an image that Pillow opened as a Picture.

    Args:
        image: its current frame is read.
        stream: where it comes from; None if unknown.
        name: of messages.
        tags: what its file says; found out when None.
        peak: sample that is white, of more than 8 bits.

    Raises:
        InputImageError: As `load_picture`.
    """
    check_pixels(image, name)
    notes: list[str] = []
    alerts: list[str] = []
    with strict(name):
        tags = tags or tags_of(image, stream)
        _count_frames(image, notes, alerts)
        rawmode = _rawmode(image)
        stored = orientation_of(image)
        image.load()
        orientation = orientation_of(image)  # Pillow turns a TIFF by itself while loading
    if stored != 1:
        notes.append(f"EXIF orientation {stored} applied")

    grey = image.mode in GREY_MODES or rawmode == _GREY_ALPHA_16
    profile = image.info.get("icc_profile")
    to_srgb = None if tags.before_profile else profile_transform(image, notes, grey=grey)
    simple = simple_profile(profile, grey=grey) if profile and to_srgb is not None else None
    if image.mode in SINGLE_MODES:
        samples = single_samples(image, name, peak)
        if simple is not None:
            _replace_colour(samples, simple)
        elif to_srgb is not None:
            samples.notes.append("reduced to 8 bits to convert the profile")
            samples.values = _eight(
                eight_bits(samples.values, samples.peak), notes, grey=grey, to_srgb=to_srgb
            )
            samples.peak = 255.0
    else:
        samples = _coloured(
            image, stream, rawmode, name, notes, peak=peak, grey=grey, to_srgb=to_srgb, simple=simple
        )
    samples.notes, samples.warnings = [*notes, *samples.notes], [*alerts, *samples.warnings]
    samples.orientation = orientation
    if tags.aperture:
        _crop(samples, tags)
    if tags.colour and (tags.before_profile or not profile):
        _convert(samples, tags.colour)
    return _finished(samples)


def _coloured(
    image: Image.Image,
    stream: BinaryIO | None,
    rawmode: str,
    name: str,
    notes: list[str],
    *,
    peak: float | None,
    grey: bool,
    to_srgb: object,
    simple: SimpleProfile | None,
) -> Samples:
    """Return the samples of a loaded image in a mode of 8 bits, which may stand for 16."""
    if rawmode in _LOW_BYTES or rawmode == _GREY_ALPHA_16:
        values = None
        if to_srgb is None or simple is not None:
            values = _sixteen_bits(image, stream, rawmode, name)
        if values is not None:
            if peak is not None and values.max() > peak:
                raise InputImageError(f"{name}: has samples up to {values.max()}, above the peak of {peak:g}")
            samples = Samples(values, peak or 65535.0, ["16-bit samples"])
            if simple is not None:
                _replace_colour(samples, simple)
            return samples
        notes.append("16-bit samples read as 8-bit")
    key = image.info.get("transparency")
    if rawmode in _SPREAD and image.mode == "L" and isinstance(key, int):
        grey_levels = np.asarray(image)
        cover = np.where(grey_levels == key * _SPREAD[rawmode], 0, 255).astype(np.uint8)
        image = image.copy()
        del image.info["transparency"]
        levels = _eight(image, notes, grey=grey, to_srgb=to_srgb)
        return Samples(np.concatenate([levels, cover[..., None]], -1), 255.0)
    return Samples(_eight(image, notes, grey=grey, to_srgb=to_srgb), 255.0)


def _eight(image: Image.Image, notes: list[str], *, grey: bool, to_srgb: object) -> np.ndarray:
    """Return an image of 8 bits as samples [H, W, C] in sRGB."""
    values = np.asarray(eight_bit_colour(image, notes, grey=grey, to_srgb=to_srgb))
    return values.reshape(*values.shape[:2], -1)


def from_tiff(samples: Samples) -> Picture:
    """Return what a TIFF's samples show, by their profile if they have one."""
    from PIL import Image

    notes: list[str] = []
    if samples.orientation != 1:
        notes.append(f"EXIF orientation {samples.orientation} applied")
    if samples.profile or samples.cmyk:
        image = eight_bits(samples.values, samples.peak)
        if samples.cmyk:
            image = Image.frombytes("CMYK", image.size, image.tobytes())
        image.info["icc_profile"] = samples.profile
        grey = samples.values.shape[2] < 3
        to_srgb = profile_transform(image, notes, grey=grey)
        simple = None if to_srgb is None else simple_profile(samples.profile or b"", grey=grey)
        if simple is not None:
            _replace_colour(samples, simple)
        elif to_srgb is not None or samples.cmyk:
            notes.append("reduced to 8 bits to convert it")
            samples.values, samples.peak = _eight(image, notes, grey=grey, to_srgb=to_srgb), 255.0
    samples.notes += notes
    return _finished(samples)


def _crop(samples: Samples, tags: Tags) -> None:
    """Leave of samples what a file says is to be seen."""
    height, width = samples.values.shape[:2]
    assert tags.aperture
    box = tags.aperture.box(width, height)
    if box is None:
        samples.notes.append("crop in the file is outside of the picture and was ignored")
        return
    left, top, width, height = box
    samples.values = samples.values[top : top + height, left : left + width]
    samples.notes.append(f"cropped to {width}x{height} as the file says")


def _convert(samples: Samples, colour: Stated) -> None:
    """Bring samples of a stated colour to sRGB."""
    convert = ToSrgb(colour, int(samples.peak) + 1)
    _replace_colour(samples, lambda values, _: convert(values))
    samples.notes.append(colour.note)
    if colour.warning:
        samples.warnings.append(colour.warning)


def _replace_colour(samples: Samples, convert: Callable[[np.ndarray, float], np.ndarray]) -> None:
    """Put what becomes of samples [H, W, 1 or 3] and their peak in place of the colours."""
    values = samples.values
    colours = 1 if values.shape[2] < 3 else 3
    converted = convert(values[..., :colours], samples.peak)
    alpha = values[..., colours:] / np.float32(samples.peak)
    samples.values, samples.peak = np.concatenate([converted, alpha], -1), 1.0


def _finished(samples: Samples) -> Picture:
    return picture_of(samples.values, samples.peak, samples.notes, samples.warnings, samples.orientation)


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


def _sixteen_bits(image: Image.Image, stream: BinaryIO | None, rawmode: str, name: str) -> np.ndarray | None:
    """Return all 16 bits of a loaded colour picture, [H, W, C] uint16; None if only 8 can be had."""
    if stream is None:
        return None
    again = open_image(stream, name)
    try:
        twin = "RGBA" if rawmode == _GREY_ALPHA_16 else _LOW_BYTES[rawmode]
        again.tile = [  # type: ignore[attr-defined]
            tile._replace(args=twin if isinstance(tile.args, str) else (twin, *tile.args[1:]))
            for tile in again.tile  # type: ignore[attr-defined]
        ]
        with strict(name):
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
    return with_key(samples, image.info.get("transparency"))
