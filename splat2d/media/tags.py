"""What a still's file says of its colour and crop beside an ICC profile."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from splat2d.media.cicp import SRGB_CURVE, UNKNOWN, Chromaticities, Stated, are_primaries
from splat2d.media.files import kept_place

if TYPE_CHECKING:
    from PIL import Image

    from splat2d.media.boxes import Aperture

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_GAMMAS = (0.1, 10.0)  # others are taken for damage


@dataclass(frozen=True)
class Tags:
    """What a still's file says.

    Args:
        colour: None where nothing is to convert, or an ICC profile tells.
        before_profile: whether it counts before an ICC profile.
        aperture: what of the picture is to be seen; None for all.
    """

    colour: Stated | None = None
    before_profile: bool = False
    aperture: Aperture | None = None


def tags_of(image: Image.Image, stream: BinaryIO | None) -> Tags:
    """Return what a still's file says.

    Args:
        image: opened by Pillow.
        stream: where it comes from, left where it was; None if unknown.
    """
    if image.format == "PNG":
        chunks = {} if stream is None else _colour_chunks(stream)
        return _png_tags(chunks or _from_info(image), srgb="srgb" in image.info)
    if image.format in ("AVIF", "HEIF") and stream is not None:
        from splat2d.media.boxes import image_properties

        said = image_properties(stream)
        # What reads HEIF crops by itself.
        aperture = said.aperture if image.format == "AVIF" else None
        colour = said.colour if said.colour and not said.colour.is_srgb else None
        return Tags(colour, False, aperture)
    return Tags()


def chunks_of(stream: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, first byte of the payload and its length of a PNG's chunks, unchecked."""
    at = len(PNG_MAGIC)
    while True:
        stream.seek(at)
        head = stream.read(8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        yield kind, at + 8, length
        at += 12 + length


def _colour_chunks(stream: BinaryIO) -> dict[bytes, bytes]:
    """Return the chunks of a PNG that tell its colour."""
    found: dict[bytes, bytes] = {}
    with kept_place(stream):
        stream.seek(0)
        if stream.read(8) != PNG_MAGIC:
            return {}
        for kind, at, length in chunks_of(stream):
            if kind in (b"IDAT", b"IEND"):
                break
            if kind in (b"cICP", b"gAMA", b"cHRM", b"sRGB") and length <= 32:
                stream.seek(at)
                found.setdefault(kind, stream.read(length))
    return found


def _from_info(image: Image.Image) -> dict[bytes, bytes]:
    """Return those chunks of an image in memory that Pillow keeps."""
    found = {}
    if "gamma" in image.info:
        found[b"gAMA"] = struct.pack(">I", round(image.info["gamma"] * 100000))
    if "chromaticity" in image.info:
        found[b"cHRM"] = struct.pack(">8I", *(round(v * 100000) for v in image.info["chromaticity"]))
    return found


def _png_tags(chunks: dict[bytes, bytes], *, srgb: bool) -> Tags:
    """Return what chunks say, in the order that the specification gives them."""
    if len(coded := chunks.get(b"cICP", b"")) == 4 and coded[2] == 0:
        colour = Stated(coded[0], coded[1], limited=coded[3] == 0)
        return Tags(None if colour.is_srgb else colour, True)
    if srgb or b"sRGB" in chunks:
        return Tags()
    colour = Stated(UNKNOWN, SRGB_CURVE)
    if len(coded := chunks.get(b"gAMA", b"")) == 4:
        gamma = int.from_bytes(coded, "big") / 100000
        if _GAMMAS[0] <= gamma <= _GAMMAS[1]:
            colour = replace(colour, curve=UNKNOWN, gamma=1 / gamma)
    if len(coded := chunks.get(b"cHRM", b"")) == 32:
        values = [value / 100000 for value in struct.unpack(">8I", coded)]
        chromaticities: Chromaticities = (*values[2:], *values[:2])  # type: ignore[assignment]
        if are_primaries(chromaticities):
            colour = replace(colour, primaries=chromaticities)
    return Tags(None if colour.is_srgb else colour)
