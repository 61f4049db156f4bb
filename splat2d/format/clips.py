"""The .splat file of a clip: a header, what the frames' times are, and segments that decode alone.

docs/FORMAT.md, section 9, is this file in words. Segments follow each other as they are encoded, so that a
reader may begin before the file is complete; the index behind them only saves it from hopping over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from splat2d.codec.coder import Decoder, Encoder
from splat2d.codec.courses import code_moving
from splat2d.codec.splats import Layout
from splat2d.errors import BitstreamError
from splat2d.format.container import (
    CLIP,
    INDEX,
    NOTE,
    OPTIONAL,
    SEGMENT,
    Header,
    Reader,
    check_fields,
    crc,
    header_bytes,
    notes_section,
    read_counts,
    read_header,
    read_notes,
    section,
    splats_bytes,
    step_of,
    varint,
)
from splat2d.native import core

PATH_UNITS = 64
"""Of the camera's path, to the px."""

TICKS = 90_000
"""A second, of the frames that do not last as the rate says."""

MAX_OVERLAP = 8
"""Frames that a segment may share with the one before."""

MAX_SEGMENTS = 1 << 20
MAX_RATE = (1 << 31) - 1
MAX_PATH = 1 << 20  # 1/64 px
_HEAD = 16  # bytes that a section's type and length take at most, and more
_HEAD_BYTES = 1 << 10  # that a segment takes before its splats, at most


@dataclass(frozen=True)
class CodedSegment:
    """Frames that decode alone.

    Args:
        first: number of the first frame.
        path: [T, 2] 1/64 px by which each frame shows the world farther to the right and down, at most 0
            and 0 in some frame on each axis.
        ticks: how long each frame lasts, in 1/90,000 s; empty where all last as the rate says.
        step_code: of D.
        background: one byte a channel.
        tier_counts: splats in each tier.
        splats: the range coder's bytes.
    """

    first: int
    path: NDArray[np.int32]
    ticks: tuple[int, ...]
    step_code: int
    background: tuple[int, ...]
    tier_counts: tuple[int, ...]
    splats: bytes

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.path)

    @property
    def step(self) -> float:
        """D, in [0, 1] units times px."""
        return step_of(self.step_code)


def world_of(header: Header, path: NDArray[np.int32]) -> tuple[int, int]:
    """Width and height of what a path shows, px."""
    span = -path.min(0)
    right, down = (int(-(-v // PATH_UNITS)) for v in span)
    return header.width + right, header.height + down


def layout_of_segment(header: Header, segment: CodedSegment) -> Layout:
    """What the splats' coder needs of a segment."""
    size = world_of(header, segment.path)
    return Layout(*size, header.channels, header.chroma_step, segment.step_code, segment.tier_counts)


def code_segment(
    header: Header,
    first: int,
    path: NDArray[np.int32],
    ticks: Sequence[int],
    step_code: int,
    background: tuple[int, ...],
    integers: NDArray[np.int32],
    *,
    threads: int = 1,
) -> CodedSegment:
    """Code a fitted segment.

    Args:
        header: of the file.
        first: number of the first frame.
        path: [T, 2].
        ticks: [T], or none.
        step_code: of D.
        background: one byte a channel.
        integers: [N, C + 9], in any order.
        threads: of the native core.
    """
    plane = np.ascontiguousarray(integers[:, : header.channels + 5])
    layout = Layout.of(plane, *world_of(header, path), header.chroma_step, step_code)
    coder = Encoder()
    code_moving(coder, layout, len(path), integers, threads=threads)
    return CodedSegment(
        first, path, tuple(ticks), step_code, background, layout.tier_counts, coder.to_bytes()
    )


def decode_segment(
    header: Header,
    segment: CodedSegment,
    *,
    tiers: int | None = None,
    bits: dict[str, float] | None = None,
    threads: int = 1,
) -> NDArray[np.int32]:
    """The integers of a segment's splats, [N, C + 9].

    Args:
        header: of the file.
        segment: with its coded splats.
        tiers: stop after this many tiers.
        bits: gets the code lengths of the segment's attributes added.
        threads: of the native core.

    Raises:
        BitstreamError: damaged data.
    """
    coder = Decoder(segment.splats, count_bits=bits is not None)
    layout = layout_of_segment(header, segment)
    try:
        integers = code_moving(coder, layout, segment.count, None, tiers=tiers, threads=threads)
    except ValueError as error:
        raise BitstreamError(f"the coded splats are damaged: {error}") from error
    if bits is not None:
        for name, length in coder.bits.items():
            bits[name] = bits.get(name, 0.0) + length
    return integers


def clip_head(header: Header, rate: Fraction) -> bytes:
    """Everything before the first segment; rate: frames a second."""
    return header_bytes(header) + section(CLIP, varint(rate.numerator) + varint(rate.denominator))


def segment_section(segment: CodedSegment) -> bytes:
    """A segment as a section."""
    moving = bool(segment.path.any())
    payload = varint(segment.first) + bytes([segment.count, moving + 2 * bool(segment.ticks)])
    if moving:
        payload += b"".join(_signed(int(v)) for v in np.diff(segment.path, axis=0, prepend=0).ravel())
    payload += b"".join(map(varint, segment.ticks))
    payload += varint(segment.step_code) + bytes(segment.background)
    return section(SEGMENT, payload + splats_bytes(segment.tier_counts, segment.splats))


def clip_tail(sizes: Sequence[int], notes: tuple[str, ...]) -> bytes:
    """Everything behind the last segment: notes, and the index, which is the segments' sizes in bytes."""
    return notes_section(notes) + section(INDEX, varint(len(sizes)) + b"".join(map(varint, sizes)))


def _signed(value: int) -> bytes:
    return varint(2 * value if value >= 0 else -2 * value - 1)


def _unsigned(value: int) -> int:
    return value // 2 if value % 2 == 0 else -(value + 1) // 2


@dataclass(frozen=True)
class Place:
    """Where a segment's section lies in a file: its first byte and length, bytes."""

    at: int
    size: int


class ClipFile:
    """Reads a clip from a file piece by piece; segments are read when they are asked for.

    Args:
        file: open for reading and seeking, at its beginning.

    Raises:
        BitstreamError: no clip, or damaged before its first segment.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        head = Reader(file.read(1 << 12))
        self.header = read_header(head)
        self.rate = Fraction(0)  # frames a second
        self.places: list[Place] = []
        self.notes: tuple[str, ...] = ()
        self.whole = True  # whether the file ends where a section does
        at = head.at
        while (found := self._section(at)) is not None:
            kind, start, end = found
            if kind == CLIP and not self.rate:
                self.rate = _rate(Reader(self._payload(at, start, end, "the clip's times")))
            elif not self.rate:
                raise BitstreamError("this is a picture, not a clip")
            elif kind == SEGMENT:
                self.places.append(Place(at, end - at))
                if len(self.places) > MAX_SEGMENTS:
                    raise BitstreamError(f"more than {MAX_SEGMENTS} segments")
            elif kind == NOTE:
                self.notes = read_notes(self._payload(at, start, end, "the notes"))
            elif not kind & OPTIONAL:
                raise BitstreamError(
                    f"unknown mandatory section 0x{kind:02x}: a newer version of splat2d is needed"
                )
            at = end
        if not self.rate:
            raise BitstreamError("truncated: no section of a clip's times")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _section(self, at: int) -> tuple[int, int, int] | None:
        """Type of the section at an offset, where its payload begins, and its end; None behind the last."""
        self._file.seek(at)
        head = self._file.read(_HEAD)
        if not head:
            return None
        try:
            r = Reader(head)
            kind = r.take(1, "a section's type")[0]
            length = r.varint("a section's length", 1 << 31)
        except BitstreamError:
            self.whole = False
            return None
        end = at + r.at + length + 4
        self._file.seek(0, 2)
        if end > self._file.tell():
            self.whole = False
            return None
        return kind, at + r.at, end

    def _payload(self, at: int, start: int, end: int, what: str) -> bytes:
        """A section's payload, its checksum checked."""
        self._file.seek(at)
        data = self._file.read(end - at)
        if crc(data[:-4]) != data[-4:]:
            raise BitstreamError(f"the checksum of {what} does not match: the file is damaged")
        return data[start - at : -4]

    def segment(self, index: int) -> CodedSegment:
        """A segment.

        Raises:
            BitstreamError: it is damaged.
        """
        place = self.places[index]
        found = self._section(place.at)
        if found is None:
            raise BitstreamError(f"truncated in segment {index}")
        return self._parsed(Reader(self._payload(place.at, *found[1:], f"segment {index}")), index)

    def head(self, index: int) -> CodedSegment:
        """A segment without its splats' bytes, not checked for damage.

        Raises:
            BitstreamError: it makes no sense.
        """
        place = self.places[index]
        self._file.seek(place.at)
        data = self._file.read(min(place.size, _HEAD_BYTES))
        r = Reader(data)
        r.take(1, "a section's type")
        r.varint("a section's length", 1 << 31)
        return self._parsed(r, index, place.size)

    @property
    def size(self) -> int:
        """Of the file, bytes."""
        return self._file.seek(0, 2)

    def _parsed(self, r: Reader, index: int, size: int | None = None) -> CodedSegment:
        what = f"segment {index}"
        first = r.varint("a segment's first frame", MAX_RATE)
        count, flags = r.take(2, what)
        if flags > 3:
            raise BitstreamError(f"{what} has flags {flags}: a newer version may be needed")
        if not 1 <= count <= core().MAX_FRAMES:
            raise BitstreamError(f"{what} has {count} frames, expected 1 to {core().MAX_FRAMES}")
        path = np.zeros((count, 2), np.int32)
        if flags & 1:
            steps = [_unsigned(r.varint("a path", 4 * MAX_PATH)) for _ in range(2 * count)]
            path = np.cumsum(np.array(steps, np.int64).reshape(-1, 2), axis=0)
            if (path > 0).any() or (path < -MAX_PATH).any() or path.max(0).any():
                raise BitstreamError(f"the path of {what} is out of range")
            path = path.astype(np.int32)
        ticks = ()
        if flags & 2:
            ticks = tuple(r.varint("a frame's duration", MAX_RATE) for _ in range(count))
        step_code = r.varint("the step", 2047)
        background = tuple(r.take(self.header.channels, "the background"))
        h = self.header
        check_fields(Header(*world_of(h, path), h.channels, step_code, h.chroma_step, 0, background))
        return CodedSegment(first, path, ticks, step_code, background, *read_counts(r, core().TIERS, size))


def _rate(r: Reader) -> Fraction:
    numerator, denominator = (r.varint("the frame rate", MAX_RATE) for _ in range(2))
    if not numerator or not denominator:
        raise BitstreamError(f"the frame rate is {numerator}/{denominator}, expected above 0")
    return Fraction(numerator, denominator)


def is_clip(data: bytes) -> bool:
    """Whether the beginning of a file, some dozens of bytes, is that of a clip."""
    try:
        r = Reader(data)
        read_header(r)
        return data[r.at] == CLIP
    except (BitstreamError, IndexError):
        return False


__all__ = [
    "MAX_OVERLAP",
    "PATH_UNITS",
    "TICKS",
    "ClipFile",
    "CodedSegment",
    "clip_head",
    "clip_tail",
    "code_segment",
    "decode_segment",
    "is_clip",
    "segment_section",
    "world_of",
]
