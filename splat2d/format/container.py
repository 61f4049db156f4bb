"""The .splat container: a small header, then sections with a type, a length and a checksum each.

docs/FORMAT.md, sections 2 and 3, is this file in words.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from splat2d.errors import BitstreamError, ConfigError

MAGIC = b"\xc2SPL"
VERSION = 1
MAX_PIXELS = 268_435_456
MAX_SIDE = 65_535
MAX_SPLATS = (1 << 24) - 1  # so that a count's uniform split still fits the coder's precision
MAX_SECTIONS = 64  # besides those of layers
MAX_LAYERS = 255
MAX_NAME = 64  # bytes of a layer's name
MAX_NOTES = 1 << 16  # bytes, inflated
STEP_SHIFT = 64  # D = 2^((code - STEP_BIAS) / STEP_SHIFT)
STEP_BIAS = 640

SPLATS = 0x01  # section types; bit 7 marks an optional one
LAYER = 0x02
EDITS = 0x04
CLIP = 0x05
SEGMENT = 0x06
NOTE = 0x81
INDEX = 0x87
OPTIONAL = 0x80

PICTURE = "picture"
"""Name of the layer in section 0x01."""

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


Box = tuple[int, int, int, int]
"""Left, top, width and height, px of a layer's own canvas."""


@dataclass(frozen=True)
class CodedLayer:
    """A layer as a file holds it: coded splats, and what they are relative to.

    Args:
        name: 1 to 64 bytes of UTF-8.
        header: its own canvas, whose corner lies on that of the file's, its channels, steps and base colour.
        tier_counts: splats in each tier, coarse first.
        splats: the range coder's bytes.
        box: where it can be seen; None where the file does not say (section 0x01).
        matte: the layer's coverage as a picture of one channel, of the same name and canvas; the colours are
            then straight. None where there is no alpha, or where it is the last channel.
    """

    name: str
    header: Header
    tier_counts: tuple[int, ...]
    splats: bytes
    box: Box | None = None
    matte: CodedLayer | None = None

    @property
    def has_alpha(self) -> bool:
        """Whether the layer has a coverage of its own; else it covers everything."""
        return self.matte is not None or self.header.channels in (2, 4)

    @property
    def sets(self) -> tuple[CodedLayer, ...]:
        """What is coded on its own: the colours, then the matte if there is one."""
        return (self,) if self.matte is None else (self, self.matte)


@dataclass(frozen=True)
class Container:
    """A parsed file.

    Args:
        header: canvas, steps and background.
        tier_counts: splats in each tier of section 0x01, coarse first; empty in a file without that section.
        splats: the range coder's bytes of section 0x01.
        notes: what was done to the picture on the way in.
        layers: those of sections 0x02, back to front.
        edits: payload of the section of edits.
    """

    header: Header
    tier_counts: tuple[int, ...] = ()
    splats: bytes = b""
    notes: tuple[str, ...] = field(default=())
    layers: tuple[CodedLayer, ...] = field(default=())
    edits: bytes = b""

    @property
    def stack(self) -> tuple[CodedLayer, ...]:
        """All coded layers, back to front; that of section 0x01 is the backmost."""
        if not self.tier_counts:
            return self.layers
        return (CodedLayer(PICTURE, self.header, self.tier_counts, self.splats), *self.layers)


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


class Reader:
    """Takes bytes from the front and says what is missing."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

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


def crc(data: bytes | memoryview) -> bytes:
    """CRC-32, as a section ends with it."""
    return zlib.crc32(data).to_bytes(4, "little")


def section(kind: int, payload: bytes) -> bytes:
    """A section with its length and checksum."""
    head = bytes([kind]) + varint(len(payload))
    return head + payload + crc(head + payload)


def write(container: Container) -> bytes:
    """The bytes of a file."""
    out = header_bytes(container.header)
    if container.tier_counts:
        out += section(SPLATS, splats_bytes(container.tier_counts, container.splats))
    out += layer_sections(container.layers)
    if container.edits:
        out += edits_section(container.edits)
    return out + notes_section(container.notes)


def header_bytes(header: Header) -> bytes:
    """The beginning of a file, to the first section."""
    head = MAGIC + bytes([VERSION]) + _fields(header)
    return head + crc(head)[:2]


def notes_section(notes: tuple[str, ...]) -> bytes:
    """The section of notes; nothing where there are none."""
    if not notes:
        return b""
    text = "\n".join(notes).encode()[:MAX_NOTES].decode(errors="ignore").encode()
    return section(NOTE, zlib.compress(text, 9))


def layer_sections(layers: tuple[CodedLayer, ...]) -> bytes:
    """The sections of layers, which may also be put behind the last section of a file.

    Raises:
        ValueError: a layer without a box.
    """
    out = b""
    for layer in layers:
        if layer.box is None:
            raise ValueError(f"layer {layer.name!r} has no box")
        name = layer.name.encode()
        payload = varint(len(name)) + name + b"".join(map(varint, layer.box)) + _fields(layer.header)
        payload += _matte(layer.matte) + splats_bytes(layer.tier_counts, layer.splats)
        out += section(LAYER, payload)
    return out


def _matte(matte: CodedLayer | None) -> bytes:
    """Whether a layer has a matte, and the matte."""
    if matte is None:
        return b"\0"
    splats = splats_bytes(matte.tier_counts, matte.splats)
    head = varint(matte.header.step_code) + bytes(matte.header.background)
    return b"\1" + head + varint(len(splats)) + splats


def edits_section(edits: bytes) -> bytes:
    """A section of edits, to be put behind the last section of a file that has none."""
    return section(EDITS, edits)


def without_edits(data: bytes) -> bytes:
    """A file without its section of edits; all else keeps its bytes.

    Raises:
        BitstreamError: a damaged file.
    """
    r = Reader(data)
    read_header(r)
    kept = [data[: r.at]]
    start = r.at
    for kind, _ in _sections(r):
        if kind != EDITS:
            kept.append(data[start : r.at])
        start = r.at
    return b"".join(kept)


def _fields(h: Header) -> bytes:
    """What the header and a layer's section tell alike."""
    sides = varint(h.width) + varint(h.height)
    steps = varint(h.step_code) + bytes([h.chroma_step, h.quality])
    return bytes([h.channels]) + sides + steps + bytes(h.background)


def splats_bytes(tier_counts: tuple[int, ...], splats: bytes) -> bytes:
    """Counts and coded words."""
    # A reader demands a bit a splat at least, so the zero bytes that the coder leaves off may have to return.
    return b"".join(map(varint, tier_counts)) + splats.ljust((sum(tier_counts) + 7) // 8, b"\0")


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
    r = Reader(data)
    header = read_header(r)
    counts, splats, notes, edits = (), b"", (), b""
    layers: list[CodedLayer] = []
    seen: set[int] = set()
    for kind, payload in _sections(r):
        if kind in seen and kind in (SPLATS, EDITS):
            raise BitstreamError(f"two sections of {'splats' if kind == SPLATS else 'edits'}, expected one")
        seen.add(kind)
        if kind == SPLATS:
            counts, splats = read_counts(Reader(payload), tiers)
        elif kind == LAYER:
            layers.append(_read_layer(Reader(payload), tiers))
        elif kind == EDITS:
            if not payload:
                raise BitstreamError("the section of edits is empty")
            edits = payload
        elif kind == CLIP:
            raise BitstreamError("this is a clip, not a picture; decode, info and splat2d.open take clips")
        elif kind == NOTE:
            notes = read_notes(payload)
        elif not kind & OPTIONAL:
            raise BitstreamError(
                f"unknown mandatory section 0x{kind:02x}: a newer version of splat2d is needed"
            )
    container = Container(header, counts, splats, notes, tuple(layers), edits)
    if not container.stack:
        raise BitstreamError("truncated: no section of splats")
    if len(container.stack) > MAX_LAYERS:
        raise BitstreamError(f"more than {MAX_LAYERS} layers")
    if (total := sum(sum(s.tier_counts) for layer in container.stack for s in layer.sets)) > MAX_SPLATS:
        raise BitstreamError(f"the layers have {total} splats, over the limit of {MAX_SPLATS}")
    return container


def read_header(r: Reader) -> Header:
    """The header, checked."""
    _check_magic(r.data)
    r.take(len(MAGIC), "the magic")
    version = r.take(1, "the header")[0]
    if version != VERSION:
        raise BitstreamError(f"format version {version}; this reader knows version {VERSION}")
    header = _read_fields(r, "the header")
    check = crc(r.data[: r.at])[:2]
    if r.take(2, "the header's checksum") != check:
        raise BitstreamError("the header's checksum does not match: the file is damaged")
    check_fields(header)
    return header


def _read_fields(r: Reader, where: str) -> Header:
    channels = r.take(1, where)[0]
    if not 1 <= channels <= 4:
        raise BitstreamError(f"channels is {channels}, expected 1 to 4")
    width = r.varint("the width", MAX_SIDE)
    height = r.varint("the height", MAX_SIDE)
    step_code = r.varint("the step", 2047)
    chroma_step, quality = r.take(2, where)
    background = tuple(r.take(channels, "the background"))
    return Header(width, height, channels, step_code, chroma_step, quality, background)


def check_fields(h: Header) -> None:
    """Refuse sizes and steps beyond the limits.

    Raises:
        BitstreamError: a field out of range.
    """
    if h.width == 0 or h.height == 0:
        raise BitstreamError(f"the canvas is {h.width} x {h.height}: both sides must be positive")
    if h.width * h.height > MAX_PIXELS:
        raise BitstreamError(f"the canvas has {h.width * h.height} pixels, over the limit of {MAX_PIXELS}")
    if not 4 <= h.chroma_step <= 16:
        raise BitstreamError(f"the chroma step is {h.chroma_step}, expected 4 to 16")
    if h.quality > 100:
        raise BitstreamError(f"the quality is {h.quality}, expected 0 to 100")


def _sections(r: Reader) -> Iterator[tuple[int, bytes]]:
    """Type and payload of each section; checksums and the number of sections are checked."""
    others = 0
    while r.at < len(r.data):
        start = r.at
        kind = r.take(1, "a section's type")[0]
        others += kind != LAYER
        if others > MAX_SECTIONS:
            raise BitstreamError(f"more than {MAX_SECTIONS} sections")
        length = r.varint("a section's length", 1 << 31)
        payload = r.take(length, f"section 0x{kind:02x}")
        check = crc(memoryview(r.data)[start : r.at])
        if r.take(4, f"the checksum of section 0x{kind:02x}") != check:
            raise BitstreamError(f"the checksum of section 0x{kind:02x} does not match: the file is damaged")
        yield kind, payload


def read_counts(r: Reader, tiers: int, size: int | None = None) -> tuple[tuple[int, ...], bytes]:
    """Tier counts, and coded words to the end; `size`: bytes of them where not all are at hand."""
    counts = tuple(r.varint(f"the count of tier {t}", MAX_SPLATS) for t in range(tiers))
    splats = r.data[r.at :]
    # A splat takes more than a bit, so a count far beyond the data is a lie; checked before any allocation.
    if sum(counts) > min(MAX_SPLATS, 8 * (len(splats) if size is None else size)):
        raise BitstreamError(f"the file claims {sum(counts)} splats in {len(splats)} bytes")
    return counts, splats


def read_name(r: Reader) -> str:
    """A layer's name.

    Raises:
        BitstreamError: no name that `check_name` accepts.
    """
    length = r.varint("the length of a layer's name", MAX_NAME)
    try:
        name = r.take(length, "a layer's name").decode()
        check_name(name)
    except (UnicodeDecodeError, ConfigError) as error:
        raise BitstreamError(f"a layer's name is damaged: {error}") from None
    return name


def check_name(name: str) -> None:
    """Refuse a name that no layer can have.

    Raises:
        ConfigError: empty, longer than 64 bytes of UTF-8, or with characters that do not print.
    """
    if not (name and name.isprintable() and len(name.encode()) <= MAX_NAME):
        raise ConfigError(
            f"{name!r} is no name for a layer; expected 1 to {MAX_NAME} bytes of printable text"
        )


def _read_layer(r: Reader, tiers: int) -> CodedLayer:
    name = read_name(r)
    x, y, w, h = (r.varint("a layer's box", MAX_SIDE) for _ in range(4))
    header = _read_fields(r, "a layer")
    check_fields(header)
    if x + w > header.width or y + h > header.height:
        raise BitstreamError(f"the box {x},{y},{w},{h} of layer {name!r} is not inside its canvas")
    matte = _read_matte(r, tiers, name, header)
    return CodedLayer(name, header, *read_counts(r, tiers), (x, y, w, h), matte)


def _read_matte(r: Reader, tiers: int, name: str, h: Header) -> CodedLayer | None:
    kind = r.take(1, "a layer")[0]
    if kind > 1:
        raise BitstreamError(f"the kind of matte is {kind}, expected 0 or 1: a newer version may be needed")
    if not kind:
        return None
    if h.channels not in (1, 3):
        raise BitstreamError(f"layer {name!r} of {h.channels} channels has a matte besides its alpha")
    step_code = r.varint("the step of a matte", 2047)
    background = tuple(r.take(1, "the background of a matte"))
    length = r.varint("the length of a matte", 1 << 31)
    coded = Reader(r.take(length, f"the matte of layer {name!r}"))
    header = Header(h.width, h.height, 1, step_code, h.chroma_step, h.quality, background)
    return CodedLayer(name, header, *read_counts(coded, tiers))


def read_notes(payload: bytes) -> tuple[str, ...]:
    """The notes of a section.

    Raises:
        BitstreamError: no text, or too long.
    """
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
