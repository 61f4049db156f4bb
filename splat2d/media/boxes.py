"""What containers say beside the pixels: colour and crop by MP4, AVIF and HEIF, crop by Matroska."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from splat2d.media.cicp import Stated
from splat2d.media.files import kept_place

MAX_HEADER = 1 << 26  # bytes of metadata that are looked at
_SAMPLE_ENTRY = 86  # bytes of a video's sample entry before its own boxes, the box's head included

# Of Matroska.
_SEGMENT, _CLUSTER, _TRACKS = 0x18538067, 0x1F43B675, 0x1654AE6B
_ENTRY, _NUMBER, _VIDEO = 0xAE, 0xD7, 0xE0
_BOTTOM, _TOP, _LEFT, _RIGHT = 0x54AA, 0x54BB, 0x54CC, 0x54DD

Box = tuple[int, int, int, int]
"""Left, top, width and height, px."""


@dataclass(frozen=True)
class Aperture:
    """What of a picture is to be seen, by a `clap` box.

    Args:
        width: px.
        height: px.
        right: of its middle from the picture's, px.
        down: likewise.
    """

    width: Fraction
    height: Fraction
    right: Fraction
    down: Fraction

    def box(self, width: int, height: int) -> Box | None:
        """Return the part of a picture of this size that is seen, in whole px; None if there is none."""
        left = round(Fraction(width) / 2 + self.right - self.width / 2)
        top = round(Fraction(height) / 2 + self.down - self.height / 2)
        inner = round(self.width), round(self.height)
        if left < 0 or top < 0 or min(inner) < 1 or left + inner[0] > width or top + inner[1] > height:
            return None
        return left, top, *inner


@dataclass(frozen=True)
class Said:
    """What a picture's or a track's boxes say.

    Args:
        colour: by code points, None where they do not tell.
        aperture: crop, None where all is seen.
    """

    colour: Stated | None = None
    aperture: Aperture | None = None


def image_properties(file: BinaryIO) -> Said:
    """Return what an AVIF or HEIF file says of its picture, or of its sequence.

    Args:
        file: at any position, left where it was.
    """
    with kept_place(file):
        data = _metadata(file)
    try:
        meta = next(_boxes(data, (b"meta",)), None)
        if meta and (found := _item_properties(data, meta[0] + 4, meta[1])):
            return _said(found)
        return next((said for _, said in _tracks(data)), Said())
    except (struct.error, IndexError, ZeroDivisionError, ValueError):
        return Said()  # what decodes the picture knows what to say of damage


def track_crop(file: BinaryIO, track: int, width: int, height: int) -> Box | None:
    """Return the part of a video's frames that is to be seen, None for all of it.

    Args:
        file: MP4, MOV, Matroska or WebM, at any position, left where it was.
        track: its number in the file; the first where the file has no such.
        width: of the stored frames, px.
        height: likewise.
    """
    with kept_place(file):
        file.seek(0)
        head = file.read(12)
        try:
            if head[:4] == b"\x1a\x45\xdf\xa3":
                return _pixel_crop(file, track, width, height)
            if head[4:8] not in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
                return None
            tracks = dict(_tracks(_metadata(file)))
            said = tracks.get(track) or next(iter(tracks.values()), Said())
            return said.aperture.box(width, height) if said.aperture else None
        except (struct.error, IndexError, ZeroDivisionError, ValueError):
            return None


def _metadata(file: BinaryIO) -> bytes:
    """Return the boxes at the top that hold metadata, one behind another."""
    size = file.seek(0, os.SEEK_END)
    at, found = 0, b""
    while at + 8 <= size and len(found) < MAX_HEADER:
        file.seek(at)
        head = file.read(16)
        length, kind = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        length = size - at if length == 0 else length
        if length < 8:
            break
        if kind in (b"meta", b"moov"):
            file.seek(at)
            found += file.read(min(length, MAX_HEADER))
        at += length
    return found


def _children(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, first byte of the payload and end of each box in a range."""
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if length == 1:
            length, head = struct.unpack_from(">Q", data, start + 8)[0], 16
        length = end - start if length == 0 else length
        if length < head or start + length > end:
            return
        yield kind, start + head, start + length
        start += length


def _boxes(data: bytes, path: tuple[bytes, ...], start: int = 0, end: int | None = None):
    """Yield where the payloads of the boxes at a path are."""
    for kind, first, last in _children(data, start, len(data) if end is None else end):
        if kind == path[0]:
            if len(path) == 1:
                yield first, last
            else:
                yield from _boxes(data, path[1:], first, last)


def _tracks(data: bytes) -> Iterator[tuple[int, Said]]:
    """Yield number and properties of each video track."""
    for first, last in _boxes(data, (b"moov", b"trak")):
        head = next(_boxes(data, (b"tkhd",), first, last), None)
        table = next(_boxes(data, (b"mdia", b"minf", b"stbl", b"stsd"), first, last), None)
        handler = next(_boxes(data, (b"mdia", b"hdlr"), first, last), None)
        if not (head and table and handler) or data[handler[0] + 8 : handler[0] + 12] not in (
            b"vide",
            b"pict",
        ):
            continue
        at = head[0] + (20 if data[head[0]] == 1 else 12)
        number = struct.unpack_from(">I", data, at)[0]
        entry = next(_children(data, table[0] + 8, table[1]), None)
        inner = list(_children(data, entry[1] + _SAMPLE_ENTRY - 8, entry[2])) if entry else []
        yield number, _said([(kind, data[a:b]) for kind, a, b in inner])


def _item_properties(data: bytes, start: int, end: int) -> list[tuple[bytes, bytes]]:
    """Return kind and payload of the primary item's properties."""
    primary = next(_boxes(data, (b"pitm",), start, end), None)
    store = next(_boxes(data, (b"iprp", b"ipco"), start, end), None)
    if not (primary and store):
        return []
    wide = data[primary[0]] > 0
    item = struct.unpack_from(">I" if wide else ">H", data, primary[0] + 4)[0]
    properties = list(_children(data, *store))
    for at, last in _boxes(data, (b"iprp", b"ipma"), start, end):
        version, flags = data[at], data[at + 3]
        count = struct.unpack_from(">I", data, at + 4)[0]
        at += 8
        for _ in range(count):
            if at >= last:
                break
            size = 4 if version else 2
            owner = int.from_bytes(data[at : at + size], "big")
            number = data[at + size]
            at += size + 1
            width = 2 if flags & 1 else 1
            mask = 0x7FFF if width == 2 else 0x7F
            indices = [
                int.from_bytes(data[at + width * i : at + width * (i + 1)], "big") & mask
                for i in range(number)
            ]
            at += width * number
            if owner == item:
                chosen = [properties[i - 1] for i in indices if 0 < i <= len(properties)]
                return [(kind, data[a:b]) for kind, a, b in chosen]
    return []


def _said(properties: list[tuple[bytes, bytes]]) -> Said:
    colour, aperture = None, None
    for kind, payload in properties:
        if kind == b"colr" and payload[:4] in (b"nclx", b"nclc"):
            primaries, curve = struct.unpack_from(">HH", payload, 4)
            colour = Stated(primaries, curve)
        elif kind == b"clap":
            parts = struct.unpack_from(">IIIIiIiI", payload)
            aperture = Aperture(*(Fraction(parts[i], parts[i + 1]) for i in range(0, 8, 2)))
    return Said(colour, aperture)


def _pixel_crop(file: BinaryIO, track: int, width: int, height: int) -> Box | None:
    """Return what Matroska's PixelCrop leaves."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    segment = next((e for e in _elements(file, 0, size) if e[0] == _SEGMENT), None)
    if segment is None:
        return None
    first: dict[int, int] | None = None
    for kind, start, end in _elements(file, segment[1], segment[2]):
        if kind == _CLUSTER:
            break
        if kind != _TRACKS:
            continue
        for entry, a, b in _elements(file, start, end):
            found = {k: (s, e) for k, s, e in _elements(file, a, b)} if entry == _ENTRY else {}
            if _VIDEO not in found:
                continue
            crop = {k: _integer(file, s, e) for k, s, e in _elements(file, *found[_VIDEO])}
            number = _integer(file, *found[_NUMBER]) if _NUMBER in found else 0
            if number == track:
                first = crop
                break
            first = first or crop
    left, top, right, bottom = ((first or {}).get(k, 0) for k in (_LEFT, _TOP, _RIGHT, _BOTTOM))
    if not any((left, top, right, bottom)) or left + right >= width or top + bottom >= height:
        return None
    return left, top, width - left - right, height - top - bottom


def _elements(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield kind, first byte and end of the EBML elements in a range."""
    while start < end:
        file.seek(start)
        head = file.read(12)
        if len(head) < 2 or not head[0]:
            return
        width = 9 - head[0].bit_length()
        kind = int.from_bytes(head[:width], "big")
        rest = head[width:]
        if not rest or not rest[0]:
            return
        count = 9 - rest[0].bit_length()
        length = int.from_bytes(rest[:count], "big") & ((1 << 7 * count) - 1)
        first = start + width + count
        last = end if length == (1 << 7 * count) - 1 else min(first + length, end)
        yield kind, first, last
        start = last


def _integer(file: BinaryIO, start: int, end: int) -> int:
    file.seek(start)
    return int.from_bytes(file.read(min(end - start, 8)), "big")
