"""The sound of a clip: packets of one audio track as its source had them, in an optional section.

docs/FORMAT.md, section 9.5, is this file in words.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import BitstreamError
from splat2d.format.sections import (
    MAX_LENGTH,
    MAX_RATE,
    SOUND,
    Reader,
    Section,
    Source,
    varint,
    zigzag,
)

MAX_PACKETS = 1 << 21
MAX_PACKET = 1 << 24  # bytes
MAX_EXTRADATA = 1 << 16  # bytes
MAX_TABLE = 1 << 24  # bytes, inflated
MAX_NAME = 32  # bytes of a codec's name
MAX_SECONDS = 1 << 31  # of a time, either way
_HEAD = MAX_EXTRADATA + 128  # bytes that stand before the table, at most
_PIECE = 1 << 20  # bytes that are copied at once
_WIDEST = 5  # bytes of a varint
_AT_ONCE = 1 << 16  # varints that are read at once, which bounds memory


@dataclass(frozen=True)
class Track:
    """What there is to know of a sound before its packets.

    Args:
        codec: its name, such as aac.
        rate: samples a second.
        channels: 1 to 255.
        time_base: s of a unit of time, at most 1.
        extradata: what decoders of the codec need besides packets.
    """

    codec: str
    rate: int
    channels: int
    time_base: Fraction
    extradata: bytes = b""

    def head(self) -> bytes:
        """The beginning of the section's payload."""
        name = self.codec.encode()
        numbers = (self.rate, self.channels, self.time_base.numerator, self.time_base.denominator)
        out = varint(len(name)) + name + b"".join(map(varint, numbers))
        return out + varint(len(self.extradata)) + self.extradata

    @classmethod
    def read(cls, r: Reader) -> Track:
        """The track at the beginning of a payload.

        Raises:
            BitstreamError: it makes no sense.
        """
        length = r.varint("the length of a codec's name", MAX_NAME)
        name = r.take(length, "a codec's name")
        if not name or not all(c in b"abcdefghijklmnopqrstuvwxyz0123456789_" for c in name):
            raise BitstreamError("the name of the sound's codec is none")
        rate = r.varint("the sound's rate", MAX_RATE)
        channels = r.varint("the sound's channels", 255)
        above, below = (r.varint("the sound's unit of time", MAX_RATE) for _ in range(2))
        if not (rate and channels and 0 < above <= below):
            raise BitstreamError(
                f"the sound has {channels} channels at {rate} Hz, in units of {above}/{below} s: this is none"
            )
        extradata = r.take(r.varint("the length of extradata", MAX_EXTRADATA), "the sound's extradata")
        return cls(name.decode(), rate, channels, Fraction(above, below), extradata)


@dataclass(frozen=True)
class Packet:
    """A packet of a track.

    Args:
        pts: when it is heard, in the track's unit of time from the clip's beginning; below 0 for what a
            decoder needs before.
        dts: when it is decoded; above that of the packet before.
        duration: in the track's unit.
        is_key: whether decoding can begin with it.
        data: at least a byte.
    """

    pts: int
    dts: int
    duration: int
    is_key: bool
    data: bytes


class Table:
    """Times and sizes of a track's packets, which lie one behind another.

    Attributes:
        dts: [N] int64, rising.
        pts: [N] int64.
        durations: [N] int64.
        sizes: [N] int64, bytes.
        keys: [N] bool.
    """

    def __init__(
        self,
        dts: NDArray[np.int64],
        pts: NDArray[np.int64],
        durations: NDArray[np.int64],
        sizes: NDArray[np.int64],
        keys: NDArray[np.bool_],
    ) -> None:
        self.dts, self.pts, self.durations, self.sizes, self.keys = dts, pts, durations, sizes, keys

    def __len__(self) -> int:
        """Number of packets."""
        return len(self.sizes)

    @classmethod
    def of(cls, packets: Sequence[tuple[int, int, int, int, bool]] | array[int]) -> Table:
        """A table of (pts, dts, duration, size, is_key) each, or of these numbers one behind another."""
        rows = np.array(packets, np.int64).reshape(-1, 5)
        pts, dts, durations, sizes, keys = rows.T
        return cls(dts, pts, durations, sizes, keys.astype(bool))

    @property
    def bytes(self) -> int:
        """Of all packets."""
        return int(self.sizes.sum())

    def columns(self) -> bytes:
        """Gaps, durations, delays and sizes, as they are deflated."""
        gaps = np.diff(self.dts, prepend=0)
        gaps[1:] -= self.durations[:-1]
        delays = self.pts - self.dts
        return b"".join(
            (
                *map(zigzag, gaps.tolist()),
                *map(varint, self.durations.tolist()),
                *map(zigzag, delays.tolist()),
                *map(varint, (2 * self.sizes + ~self.keys).tolist()),
            )
        )

    @classmethod
    def read(cls, data: bytes, count: int, track: Track) -> Table:
        """The table in inflated columns.

        Raises:
            BitstreamError: it makes no sense.
        """
        columns = _varints(data, 4 * count).reshape(4, count)
        gaps, durations, delays, sizes = columns
        gaps, delays = _signed(gaps), _signed(delays)
        keys, sizes = sizes % 2 == 0, sizes >> 1
        steps = gaps.copy()
        steps[1:] += durations[:-1]
        dts = np.cumsum(steps)
        most = int(MAX_SECONDS / track.time_base)
        late = max(abs(column).max() for column in (dts, delays, durations))
        if late >= most or (steps[1:] <= 0).any() or (delays < 0).any():
            raise BitstreamError("the times of the sound make no sense: the file is damaged")
        if not ((sizes > 0).all() and (sizes <= MAX_PACKET).all()):
            raise BitstreamError(f"a packet of the sound is empty or over the limit of {MAX_PACKET} bytes")
        return cls(dts, dts + delays, durations, sizes, keys)


def _signed(folded: NDArray[np.int64]) -> NDArray[np.int64]:
    """What zigzag varints stand for."""
    return np.where(folded % 2 == 0, folded >> 1, -(folded >> 1) - 1)


def _varints(data: bytes, count: int) -> NDArray[np.int64]:
    """That many varints, which are all of the data.

    Raises:
        BitstreamError: there are others.
    """
    octets, begin, done = np.frombuffer(data, np.uint8), 0, 0
    if len(octets) < count:
        raise BitstreamError("the table of the sound's packets is damaged")
    out = np.empty(count, np.int64)
    while done < count:
        piece = octets[begin : begin + _WIDEST * _AT_ONCE]
        ends = np.flatnonzero(piece < 128)[: min(_AT_ONCE, count - done)]
        begins = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
        if not len(ends) or (ends - begins).max() >= _WIDEST:
            raise BitstreamError("the table of the sound's packets is damaged")
        piece = piece[: ends[-1] + 1].astype(np.int64)
        shifts = 7 * (np.arange(len(piece)) - np.repeat(begins, ends - begins + 1))
        out[done : done + len(ends)] = np.add.reduceat((piece & 127) << shifts, begins)
        begin, done = begin + len(piece), done + len(ends)
    if begin != len(octets):
        raise BitstreamError("the table of the sound's packets is damaged")
    return out


@dataclass(frozen=True)
class Sound:
    """A sound, and where its packets lie.

    Args:
        track: the codec.
        table: of the packets; one at least.
        file: holds the packets, one behind another.
        at: offset of the first.
    """

    track: Track
    table: Table
    file: BinaryIO
    at: int = 0

    @property
    def start(self) -> Fraction:
        """When the first packet is heard, s from the clip's beginning."""
        return int(self.table.pts[0]) * self.track.time_base

    @property
    def duration(self) -> Fraction:
        """From the clip's beginning to the end of the sound, s."""
        return max(int((self.table.pts + self.table.durations).max()), 0) * self.track.time_base

    def packets(self) -> Iterator[Packet]:
        """Yield the packets, of which one at a time is in memory."""
        at = self.at
        for i in range(len(self.table)):
            size = int(self.table.sizes[i])
            self.file.seek(at)
            data = self.file.read(size)
            if len(data) < size:
                raise BitstreamError("truncated in the sound's packets")
            at += size
            pts, dts, duration = (
                int(column[i]) for column in (self.table.pts, self.table.dts, self.table.durations)
            )
            yield Packet(pts, dts, duration, bool(self.table.keys[i]), data)

    def figures(self) -> dict[str, object]:
        """Codec, channels, rate, duration and bytes, for JSON."""
        return {
            "codec": self.track.codec,
            "channels": self.track.channels,
            "rate": self.track.rate,
            "duration": float(self.duration),
            "packets": len(self.table),
            "bytes": self.size,
        }

    @cached_property
    def _beginning(self) -> bytes:
        """The payload before the packets."""
        table = zlib.compress(self.table.columns(), 9)
        return self.track.head() + varint(len(self.table)) + varint(len(table)) + table

    @property
    def size(self) -> int:
        """Of the section, bytes."""
        length = len(self._beginning) + self.table.bytes
        return 1 + len(varint(length)) + length + 4

    @property
    def fits(self) -> bool:
        """Whether a section can hold it."""
        return self.size <= MAX_LENGTH and len(self.table.columns()) <= MAX_TABLE

    def write(self, file: BinaryIO) -> int:
        """Write the section; returns its bytes."""
        beginning, left = self._beginning, self.table.bytes
        head = bytes([SOUND]) + varint(len(beginning) + left) + beginning
        size, checksum = file.write(head), zlib.crc32(head)
        at = self.at
        while left:
            self.file.seek(at)
            piece = self.file.read(min(left, _PIECE))
            if not piece:
                raise BitstreamError("truncated in the sound's packets")
            size += file.write(piece)
            checksum = zlib.crc32(piece, checksum)
            at, left = at + len(piece), left - len(piece)
        return size + file.write(checksum.to_bytes(4, "little"))


def read_sound(source: Source, found: Section) -> Sound:
    """The sound in a section; its packets stay in the file.

    Args:
        source: the file.
        found: where the section lies.

    Raises:
        BitstreamError: it is damaged.
    """
    found = source.section(found.at)
    if found.kind != SOUND:
        raise BitstreamError("the sound is not where the index says")
    if not source.is_whole(found):
        raise BitstreamError("the checksum of the sound does not match: the file is damaged")
    length = found.end - 4 - found.payload
    r = Reader(source.read(found.payload, min(length, _HEAD)))
    track = Track.read(r)
    count = r.varint("the number of the sound's packets", MAX_PACKETS)
    size = r.varint("the length of the sound's table", MAX_TABLE)
    begin = found.payload + r.at
    if not count or r.at + size > length:
        raise BitstreamError("the sound has no packets, or no table of them")
    inflate = zlib.decompressobj()
    try:
        columns = inflate.decompress(source.read(begin, size), MAX_TABLE + 1)
    except zlib.error:
        raise BitstreamError("the table of the sound's packets does not inflate") from None
    if len(columns) > MAX_TABLE or not inflate.eof or inflate.unused_data:
        raise BitstreamError(f"the table of the sound's packets is damaged or over {MAX_TABLE} bytes")
    table = Table.read(columns, count, track)
    have = length - r.at - size
    if table.bytes != have:
        raise BitstreamError(f"the sound's packets have {table.bytes} bytes by their table, and {have} here")
    return Sound(track, table, source.file, begin + size)
