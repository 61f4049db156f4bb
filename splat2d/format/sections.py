"""Bytes, sections and the index of a .splat file: numbers with limits, checksums, and where things lie.

docs/FORMAT.md, sections 1 and 3, is this file in words.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from splat2d.errors import BitstreamError

SPLATS = 0x01  # section types; bit 7 marks an optional one
LAYER = 0x02
EDITS = 0x04
CLIP = 0x05
SEGMENT = 0x06
EYES = 0x07
NOTE = 0x81
METADATA = 0x82
SOUND = 0x83
TEXTURE = 0x84
INDEX = 0x87
PROGRESS = 0x88  # of an encoder, in what it has not finished
OPTIONAL = 0x80

MAX_SECTIONS = 64  # besides those of layers and segments
MAX_SEGMENTS = 1 << 20
MAX_LENGTH = 1 << 31
MAX_RATE = (1 << 31) - 1  # of a frame's number, a rate's parts and a duration in ticks
_IN_CLIPS = (LAYER, EDITS, SEGMENT, NOTE, METADATA, SOUND, TEXTURE, INDEX, PROGRESS)
_SEARCHED = 1 << 24  # bytes
_PIECE = 1 << 20  # bytes that are read at once
_HEAD = 6  # bytes that a section's type and length take at most


def varint(value: int) -> bytes:
    """Seven bits a byte, low first, the top bit set on all but the last."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> bytes:
    """A signed number as a varint."""
    return varint(2 * value if value >= 0 else -2 * value - 1)


class Reader:
    """Takes bytes from the front and says what is missing."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def rest(self) -> bytes:
        """What has not been taken."""
        return self.data[self.at :]

    def take(self, count: int, what: str) -> bytes:
        """The next bytes; BitstreamError if there are not that many."""
        have = len(self.data) - self.at
        if count > have:
            raise BitstreamError(f"truncated in {what}: need {count} bytes at offset {self.at}, have {have}")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self, what: str, limit: int) -> int:
        """The next varint; BitstreamError if it does not end or is over the limit."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.take(1, what)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                break
        else:
            raise BitstreamError(f"{what} does not end within five bytes")
        if value > limit:
            raise BitstreamError(f"{what} is {value}, over the limit of {limit}")
        return value

    def zigzag(self, what: str, limit: int) -> int:
        """The next signed number; `limit` is that of the varint that it is."""
        folded = self.varint(what, limit)
        return folded >> 1 if folded % 2 == 0 else -(folded >> 1) - 1

    def end(self, what: str) -> None:
        """BitstreamError if anything is left."""
        if self.at < len(self.data):
            raise BitstreamError(f"{what} has {len(self.data) - self.at} bytes to spare")


def crc(data: bytes | memoryview) -> bytes:
    """CRC-32, as a section ends with it."""
    return zlib.crc32(data).to_bytes(4, "little")


def section(kind: int, payload: bytes) -> bytes:
    """A section with its length and checksum."""
    head = bytes([kind]) + varint(len(payload))
    return head + payload + crc(head + payload)


@dataclass(frozen=True)
class Section:
    """Where a section lies in a file.

    Args:
        kind: its type.
        at: its first byte.
        payload: the first byte of its payload.
        end: the byte behind its checksum.
    """

    kind: int
    at: int
    payload: int
    end: int

    @property
    def size(self) -> int:
        """Of the whole section, bytes."""
        return self.end - self.at


@dataclass(frozen=True)
class Span:
    """Frames that a segment has, and in which layer.

    Args:
        layer: number of the layer.
        first: number of the first frame.
        count: of frames.
        ticks: how long they last together, in 1/90,000 s; 0 where all last as the rate says.
    """

    layer: int
    first: int
    count: int
    ticks: int


class Source:
    """A file that is read in pieces.

    Args:
        file: open for reading and seeking.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    @property
    def size(self) -> int:
        """Of the file as it is now, bytes."""
        return self.file.seek(0, 2)

    def read(self, at: int, size: int) -> bytes:
        """At most so many bytes from an offset on."""
        self.file.seek(at)
        return self.file.read(size)

    def section(self, at: int) -> Section:
        """The section at an offset.

        Raises:
            BitstreamError: it is not whole.
        """
        r = Reader(self.read(at, _HEAD))
        kind = r.take(1, "a section's type")[0]
        length = r.varint("a section's length", MAX_LENGTH)
        payload, have = at + r.at, self.size
        # The payload, then the checksum behind it.
        what, begin = f"section 0x{kind:02x}", payload
        for name, need in ((what, length), (f"the checksum of {what}", 4)):
            if begin + need > have:
                left = max(have - begin, 0)
                raise BitstreamError(f"truncated in {name}: need {need} bytes at offset {begin}, have {left}")
            begin += need
        return Section(kind, at, payload, payload + length + 4)

    def payload(self, found: Section, what: str = "") -> bytes:
        """A section's payload.

        Raises:
            BitstreamError: its checksum does not match.
        """
        data = self.read(found.at, found.size)
        if len(data) < found.size or crc(memoryview(data)[:-4]) != data[-4:]:
            raise BitstreamError(
                f"the checksum of {what or f'section 0x{found.kind:02x}'} does not match: the file is damaged"
            )
        return data[found.payload - found.at : -4]

    def is_whole(self, found: Section) -> bool:
        """Whether a section's checksum is right, read a piece at a time."""
        checksum, at = 0, found.at
        while at < found.end - 4:
            piece = self.read(at, min(found.end - 4 - at, _PIECE))
            if not piece:
                return False
            checksum, at = zlib.crc32(piece, checksum), at + len(piece)
        return checksum.to_bytes(4, "little") == self.read(found.end - 4, 4)

    def sections(self, at: int) -> Iterator[Section]:
        """All sections from an offset to the end of the file.

        Raises:
            BitstreamError: one is not whole.
        """
        end = self.size
        while at < end:
            found = self.section(at)
            yield found
            at = found.end


def index_section(sections: Iterable[tuple[int, int, Span | None]]) -> bytes:
    """The index that ends a file: type, size in bytes, and frames of every section before it."""
    entries = list(sections)
    out = varint(len(entries))
    for kind, size, span in entries:
        out += bytes([kind]) + varint(size)
        if span is not None:
            out += varint(span.layer) + varint(span.first) + bytes([span.count]) + varint(span.ticks)
    # Its own size, so that it is found from the end: type, length, payload, these four bytes, checksum.
    length = len(out) + 4
    return section(INDEX, out + (1 + len(varint(length)) + length + 4).to_bytes(4, "little"))


def read_index(source: Source, first: int) -> list[tuple[Section, Span | None]] | None:
    """What the index at the end of a file says, checked against the file's size; None where there is none.

    Args:
        source: the file.
        first: offset of its first section.
    """
    tail = source.read(max(source.size - 8, 0), 8)
    size = int.from_bytes(tail[:4], "little")
    at = source.size - size
    if len(tail) < 8 or at < first:
        return None
    try:
        found = source.section(at)
        if found.kind != INDEX or found.end != source.size:
            return None
        r = Reader(source.payload(found)[:-4])
        out, begin = [], first
        for _ in range(r.varint("the number of sections", MAX_SECTIONS + MAX_SEGMENTS + 255)):
            kind = r.take(1, "the index")[0]
            size = r.varint("a section's size", MAX_LENGTH + 16)
            # Behind type and length, which is a varint of as few bytes as there can be.
            head = next((n + 1 for n in range(1, 6) if len(varint(max(size - 5 - n, 0))) == n), 0)
            end = begin + size
            span = None
            if kind == SEGMENT:
                layer, number = r.varint("a layer", 255), r.varint("a frame", MAX_RATE)
                count = r.take(1, "the index")[0]
                span = Span(layer, number, count, r.varint("a duration", MAX_RATE))
            out.append((Section(kind, begin, begin + head, end), span))
            begin = end
        r.end("the index")
    except BitstreamError:
        return None
    return out if begin == at else None


def next_whole(source: Source, at: int) -> Section | None:
    """The first section from an offset on whose checksum is right, within 16 MiB; None without one."""
    data = source.read(at, _SEARCHED)
    work = 64 * len(data)  # bytes whose checksum is tried
    for begin in range(len(data) - _HEAD):
        if data[begin] not in _IN_CLIPS:
            continue
        r = Reader(data[begin : begin + _HEAD])
        r.take(1, "a section's type")
        try:
            length = r.varint("a section's length", MAX_LENGTH)
        except BitstreamError:
            continue
        stop = begin + r.at + length
        if stop + 4 > len(data) or (work := work - (stop - begin)) < 0:
            continue
        if crc(memoryview(data)[begin:stop]) == data[stop : stop + 4]:
            return Section(data[begin], at + begin, at + begin + r.at, at + stop + 4)
    return None


def joined(source: Source, parts: Sequence[Section]) -> bytes:
    """The bytes of sections, one behind another."""
    return b"".join(source.read(part.at, part.size) for part in parts)
