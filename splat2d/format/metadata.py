"""Metadata of a picture or a clip in its .splat file: entries of a kind, a length and bytes, deflated.

No decoder needs it; a reader skips kinds that it does not know.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from splat2d.errors import BitstreamError
from splat2d.format.sections import METADATA, Reader, section, varint

MAX_METADATA = 1 << 16
"""Bytes, inflated."""

EXIF, XMP, PROFILE, RESOLUTION, TEXTS = 1, 2, 3, 4, 5  # kinds of entries
RESOLUTION_UNITS = 10_000
"""To the px an inch."""

_MOST = 10_000_000 * RESOLUTION_UNITS // 1000  # of a resolution


@dataclass(frozen=True)
class Metadata:
    """What a file said beside its picture or clip.

    Args:
        exif: a TIFF structure as EXIF has it, without a head of its own; of an upright picture.
        xmp: a packet, UTF-8.
        profile: name of the ICC profile that the colours were converted from.
        resolution: across and down, px an inch; None where it is unknown.
        texts: names and values of a clip's container: title, artist, copyright, comment, description, date,
            location. No name has a "=", and nothing a 0.
    """

    exif: bytes = b""
    xmp: bytes = b""
    profile: str = ""
    resolution: tuple[float, float] | None = None
    texts: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What there is, in words."""
        there = {
            "EXIF": self.exif,
            "XMP": self.xmp,
            "profile": self.profile,
            "resolution": self.resolution is not None,
        }
        return (*(name for name, found in there.items() if found), *(name for name, _ in self.texts))

    def entries(self) -> bytes:
        """All that is there, not deflated."""
        out = b""
        for kind, payload in ((EXIF, self.exif), (XMP, self.xmp), (PROFILE, self.profile.encode())):
            if payload:
                out += bytes([kind]) + varint(len(payload)) + payload
        if self.resolution:
            sides = b"".join(varint(min(round(side * RESOLUTION_UNITS), _MOST)) for side in self.resolution)
            out += bytes([RESOLUTION]) + varint(len(sides)) + sides
        if self.texts:
            texts = b"\0".join(f"{name}={value}".encode() for name, value in self.texts)
            out += bytes([TEXTS]) + varint(len(texts)) + texts
        return out


def metadata_section(metadata: Metadata | None) -> bytes:
    """The section of metadata; nothing where there is none."""
    entries = metadata.entries() if metadata else b""
    return section(METADATA, zlib.compress(entries, 9)) if entries else b""


def read_metadata(payload: bytes) -> Metadata:
    """The metadata of a section.

    Raises:
        BitstreamError: it does not inflate, is too long, or its entries make no sense.
    """
    inflate = zlib.decompressobj()
    try:
        data = inflate.decompress(payload, MAX_METADATA + 1)
    except zlib.error as error:
        raise BitstreamError("the metadata does not inflate: the file is damaged") from error
    if len(data) > MAX_METADATA:
        raise BitstreamError(f"the metadata is longer than {MAX_METADATA} bytes")
    if not inflate.eof or inflate.unused_data:
        raise BitstreamError("the metadata does not inflate: the file is damaged")
    reader = Reader(data)
    found: dict[int, bytes] = {}
    while reader.rest:
        kind = reader.take(1, "the metadata")[0]
        if kind in found:
            raise BitstreamError(f"two entries {kind} in the metadata")
        found[kind] = reader.take(reader.varint("the length of metadata", MAX_METADATA), "the metadata")
    try:
        profile = found.get(PROFILE, b"").decode()
        found.get(XMP, b"").decode()
        texts = [text.decode().partition("=") for text in found[TEXTS].split(b"\0")] if TEXTS in found else []
    except UnicodeDecodeError:
        raise BitstreamError("the metadata is no UTF-8: the file is damaged") from None
    names = [name for name, equals, _ in texts if name and equals]
    if not len(set(names)) == len(names) == len(texts):
        raise BitstreamError("a text of the metadata has no name, or that of another: the file is damaged")
    resolution = None
    if RESOLUTION in found:
        sides = Reader(found[RESOLUTION])
        across, down = (sides.varint("a resolution", _MOST) / RESOLUTION_UNITS for _ in range(2))
        sides.end("the resolution")
        resolution = (across, down) if across and down else None
    kept = tuple((name, value) for name, _, value in texts)
    return Metadata(found.get(EXIF, b""), found.get(XMP, b""), profile, resolution, kept)
