"""The .splat container: a small header, then sections with a type, a length and a checksum each.

docs/FORMAT.md, sections 2 and 3, is this file in words.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from splat2d.errors import BitstreamError

MAGIC = b"\xc2SPL"
VERSION = 1
MAX_PIXELS = 268_435_456
MAX_SIDE = 65_535
MAX_SPLATS = (1 << 24) - 1  # so that a count's uniform split still fits the coder's precision
MAX_SECTIONS = 64
MAX_NOTES = 1 << 16  # bytes, inflated
STEP_SHIFT = 64  # D = 2^((code - STEP_BIAS) / STEP_SHIFT)
STEP_BIAS = 640

SPLATS = 0x01  # section types; bit 7 marks an optional one
NOTE = 0x81
OPTIONAL = 0x80

_OTHER_FORMATS = (
    (b"ply\n", "a PLY point cloud (3D Gaussian splats from another program)"),
    (b"ply\r", "a PLY point cloud (3D Gaussian splats from another program)"),
    (b"\x1f\x8b", "a gzip file (a 3D .spz splat file from another program?)"),
    (b"NGSP", "a 3D .spz splat file from another program"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"RIFF", "a RIFF file (WebP picture?)"),
)


@dataclass(frozen=True)
class Header:
    """What a reader knows before it decodes any splat.

    Args:
        width: canvas width, px.
        height: canvas height, px.
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
        step_code: D = 2^((step_code - 640) / 64).
        chroma_step: chroma step over D, in eighths.
        quality: the quality asked for, 1 to 100, or 0 when another target was given.
        background: one byte a channel.
    """

    width: int
    height: int
    channels: int
    step_code: int
    chroma_step: int
    quality: int
    background: tuple[int, ...]

    @property
    def step(self) -> float:
        """The global step D, in [0, 1] units times px."""
        return step_of(self.step_code)


@dataclass(frozen=True)
class Container:
    """A parsed file.

    Args:
        header: canvas, steps and background.
        tier_counts: splats in each tier, coarse first.
        splats: the range coder's bytes.
        notes: what was done to the picture on the way in.
    """

    header: Header
    tier_counts: tuple[int, ...]
    splats: bytes
    notes: tuple[str, ...] = field(default=())


def step_of(code: int) -> float:
    """D of a step code."""
    return 2.0 ** ((code - STEP_BIAS) / STEP_SHIFT)


def varint(value: int) -> bytes:
    """Seven bits a byte, low first, the top bit set on all but the last."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


class _Reader:
    """Takes bytes from the front and says what is missing."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int, what: str) -> bytes:
        have = len(self.data) - self.at
        if count > have:
            raise BitstreamError(f"truncated in {what}: need {count} bytes at offset {self.at}, have {have}")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self, what: str, limit: int) -> int:
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


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def _section(kind: int, payload: bytes) -> bytes:
    head = bytes([kind]) + varint(len(payload))
    return head + payload + _crc(head + payload)


def write(container: Container) -> bytes:
    """The bytes of a file."""
    h = container.header
    fields = bytes([VERSION, h.channels]) + varint(h.width) + varint(h.height) + varint(h.step_code)
    fields += bytes([h.chroma_step, h.quality, *h.background])
    head = MAGIC + fields
    counts = b"".join(varint(n) for n in container.tier_counts)
    # A reader demands a bit a splat at least, so the zero bytes that the coder leaves off may have to return.
    splats = container.splats.ljust((sum(container.tier_counts) + 7) // 8, b"\0")
    out = head + _crc(head)[:2] + _section(SPLATS, counts + splats)
    if container.notes:
        text = "\n".join(container.notes).encode()[:MAX_NOTES].decode(errors="ignore").encode()
        out += _section(NOTE, zlib.compress(text, 9))
    return out


def _check_magic(data: bytes) -> None:
    if data[: len(MAGIC)] == MAGIC:
        return
    if not data:
        raise BitstreamError("not a .splat file of splat2d: it is empty (0 bytes)")
    for magic, name in _OTHER_FORMATS:
        if data.startswith(magic):
            raise BitstreamError(f"not a .splat file of splat2d: this is {name}")
    if MAGIC.startswith(data):
        raise BitstreamError(f"truncated in the magic: need {len(MAGIC)} bytes, have {len(data)}")
    hint = ""
    if len(data) % 32 == 0:
        hint = "; its length fits a 3D .splat file from another program (32 bytes a splat)"
    raise BitstreamError(
        f"not a .splat file of splat2d: it begins with {data[:4].hex(' ')}, expected {MAGIC.hex(' ')}{hint}"
    )


def read(data: bytes, tiers: int) -> Container:
    """Parse and check a file.

    Args:
        data: the whole file.
        tiers: number of tiers that this version's splats are in.

    Raises:
        BitstreamError: anything that is not a whole, undamaged file within the limits.
    """
    _check_magic(data)
    r = _Reader(data)
    r.take(len(MAGIC), "the magic")
    version = r.take(1, "the header")[0]
    if version != VERSION:
        raise BitstreamError(f"format version {version}; this reader knows version {VERSION}")
    channels = r.take(1, "the header")[0]
    if not 1 <= channels <= 4:
        raise BitstreamError(f"channels is {channels}, expected 1 to 4")
    width = r.varint("the width", MAX_SIDE)
    height = r.varint("the height", MAX_SIDE)
    step_code = r.varint("the step", 2047)
    chroma_step, quality = r.take(2, "the header")
    background = tuple(r.take(channels, "the background"))
    check = _crc(data[: r.at])[:2]
    if r.take(2, "the header's checksum") != check:
        raise BitstreamError("the header's checksum does not match: the file is damaged")
    if width == 0 or height == 0:
        raise BitstreamError(f"the canvas is {width} x {height}: both sides must be positive")
    if width * height > MAX_PIXELS:
        raise BitstreamError(f"the canvas has {width * height} pixels, over the limit of {MAX_PIXELS}")
    if not 4 <= chroma_step <= 16:
        raise BitstreamError(f"the chroma step is {chroma_step}, expected 4 to 16")
    if quality > 100:
        raise BitstreamError(f"the quality is {quality}, expected 0 to 100")
    header = Header(width, height, channels, step_code, chroma_step, quality, background)
    payload, notes = _read_sections(r)
    p = _Reader(payload)
    counts = tuple(p.varint(f"the count of tier {t}", MAX_SPLATS) for t in range(tiers))
    splats = payload[p.at :]
    # A splat takes more than a bit, so a count far beyond the data is a lie; checked before any allocation.
    if sum(counts) > min(MAX_SPLATS, 8 * len(splats)):
        raise BitstreamError(f"the file claims {sum(counts)} splats in {len(splats)} bytes")
    return Container(header, counts, splats, notes)


def _read_sections(r: _Reader) -> tuple[bytes, tuple[str, ...]]:
    splats: bytes | None = None
    notes: tuple[str, ...] = ()
    sections = 0
    while r.at < len(r.data):
        sections += 1
        if sections > MAX_SECTIONS:
            raise BitstreamError(f"more than {MAX_SECTIONS} sections")
        start = r.at
        kind = r.take(1, "a section's type")[0]
        length = r.varint("a section's length", 1 << 31)
        payload = r.take(length, f"section 0x{kind:02x}")
        check = _crc(r.data[start : r.at])
        if r.take(4, f"the checksum of section 0x{kind:02x}") != check:
            raise BitstreamError(f"the checksum of section 0x{kind:02x} does not match: the file is damaged")
        if kind == SPLATS:
            if splats is not None:
                raise BitstreamError("two sections of splats, expected one")
            splats = payload
        elif kind == NOTE:
            notes = _read_notes(payload)
        elif not kind & OPTIONAL:
            raise BitstreamError(
                f"unknown mandatory section 0x{kind:02x}: a newer version of splat2d is needed"
            )
    if splats is None:
        raise BitstreamError("truncated: no section of splats")
    return splats, notes


def _read_notes(payload: bytes) -> tuple[str, ...]:
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(payload, MAX_NOTES + 1)
        text = raw.decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise BitstreamError("the notes do not inflate to text: the file is damaged") from error
    if len(raw) > MAX_NOTES:
        raise BitstreamError(f"the notes are longer than {MAX_NOTES} bytes")
    if not inflate.eof:
        raise BitstreamError("the notes do not inflate to text: the file is damaged")
    return tuple(text.split("\n"))
