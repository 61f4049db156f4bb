"""A structure-aware mutator: takes a file apart, changes a part, and makes all checksums right again."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable

from fuzz.fields import Sections, changed, layers_of, with_directory
from splat2d.errors import BitstreamError
from splat2d.format.edits import KINDS
from splat2d.format.field import Layout
from splat2d.format.header import Header
from splat2d.format.sections import (
    CLIP,
    EDITS,
    EYES,
    INDEX,
    LAYER,
    METADATA,
    NOTE,
    SEGMENT,
    SOUND,
    SPLATS,
    Reader,
    Span,
    crc,
    index_section,
    section,
    varint,
    zigzag,
)
from splat2d.format.segments import read_span
from splat2d.native import core

MAGIC = 5  # bytes of magic and version
INTERESTING = (
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    15,
    16,
    31,
    63,
    64,
    65,
    127,
    128,
    255,
    256,
    1023,
    1024,
    2047,
    2048,
    4095,
)
LARGE = (65535, 65536, 1 << 20, (1 << 24) - 1, 1 << 24, (1 << 28) - 1, (1 << 31) - 1, 1 << 31, (1 << 35) - 1)


class File:
    """A file in parts."""

    def __init__(self, data: bytes) -> None:
        r = Reader(data)
        r.take(MAGIC, "the magic")
        self.channels = r.take(1, "the header")[0]
        self.numbers = [r.varint("the header", (1 << 35) - 1) for _ in range(3)]  # width, height, step code
        self.rest = bytearray(r.take(2 + self.channels, "the header"))  # chroma step, quality, background
        self.magic = data[:MAGIC]
        r.take(2, "the check")
        self.sections: Sections = []
        while r.at < len(data):
            kind = r.take(1, "a type")[0]
            self.sections.append((kind, r.take(r.varint("a length", 1 << 31), "a section")))
            r.take(4, "a checksum")

    @property
    def header(self) -> Header:
        """What the numbers say, whether a file may say it or not."""
        width, height, step_code = self.numbers
        chroma_step, quality, *background = self.rest
        return Header(width, height, self.channels, step_code, chroma_step, quality, tuple(background))

    def bytes(self, *, index: bool = True) -> bytes:
        """The file with right checksums, and a right index where it has one and that is asked for."""
        head = self.magic + bytes([self.channels]) + b"".join(map(varint, self.numbers)) + bytes(self.rest)
        out = head + crc(head)[:2]
        entries: list[tuple[int, int, Span | None]] = []
        for kind, payload in self.sections:
            if kind == INDEX and index:
                out += index_section(entries)
                continue
            data = section(kind, payload)
            out += data
            entries.append((kind, len(data), span_of(payload) if kind == SEGMENT else None))
        return out


def span_of(payload: bytes) -> Span:
    """Frames of a segment, or anything where its beginning makes no sense."""
    try:
        return read_span(payload)
    except BitstreamError:
        return Span(0, 0, 1, 0)


def coded_in_parts(data: bytes) -> bytes:
    """A good file with a directory in each of its fields."""
    file = File(data)
    layers = layers_of(file.header, file.sections)
    file.sections = [
        (kind, changed(kind, payload, file.header, layers, with_directory) or payload)
        for kind, payload in file.sections
    ]
    return file.bytes()


def mutated(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """A file with one to four changes.

    Args:
        data: a good file, or a mutant of one.
        other: another, from which parts may be taken.
        rng: decides.
    """
    try:
        file = File(data)
    except BitstreamError:
        return bytes(_noise(bytearray(data), rng))
    if not file.sections:
        return bytes(_noise(bytearray(data), rng))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        rng.choice(CHANGES)(file, other, rng)
        if not file.sections:
            break
    out = file.bytes(index=rng.random() < 0.8)
    return out[: rng.randrange(len(out))] if rng.random() < 0.03 else out


def _number(rng: random.Random) -> int:
    return rng.choice((rng.choice(INTERESTING), rng.choice(LARGE), rng.getrandbits(rng.randrange(1, 36))))


def _noise(data: bytearray, rng: random.Random) -> bytearray:
    """Bits flipped, bytes set, taken out, put in, or repeated."""
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not data:
            return data
        at = min(int(len(data) * rng.random() ** rng.choice((1, 3))), len(data) - 1)  # often near the front
        match rng.randrange(6):
            case 0 | 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                data[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
            case 3:
                del data[at : at + rng.choice((1, 1, 2, 4, 30))]
            case 4:
                data[at:at] = rng.randbytes(rng.choice((1, 1, 2, 4, 30)))
            case 5:
                data[at:at] = data[at : at + rng.choice((1, 4, 16, 64))]
    return data


def _header(file: File, _: bytes, rng: random.Random) -> None:
    match rng.randrange(5):
        case 0:
            file.channels = rng.choice((1, 2, 3, 4, 0, 5))
            file.rest = file.rest[:2] + rng.randbytes(file.channels)
        case 1 | 2:
            file.numbers[rng.randrange(2)] = rng.choice((rng.randrange(1, 2000), _number(rng)))
        case 3:
            file.numbers[2] = rng.choice((0, 2047, rng.randrange(2048), _number(rng)))
        case 4:
            file.rest[rng.randrange(len(file.rest))] = rng.randrange(256)


def _arrange(file: File, other: bytes, rng: random.Random) -> None:
    """Sections in another order, twice, gone, of another type, or from another file."""
    sections = file.sections
    at = rng.randrange(len(sections))
    match rng.randrange(6):
        case 0:
            sections.insert(rng.randrange(len(sections) + 1), sections[at])
        case 1:
            del sections[at]
        case 2:
            to = rng.randrange(len(sections))
            sections[at], sections[to] = sections[to], sections[at]
        case 3:
            kinds = (
                SPLATS,
                LAYER,
                EDITS,
                CLIP,
                SEGMENT,
                NOTE,
                SOUND,
                METADATA,
                EYES,
                INDEX,
                0x88,
                0x42,
                0xF5,
                rng.randrange(256),
            )
            sections[at] = (rng.choice(kinds), sections[at][1])
        case 4 | 5:
            theirs = File(other).sections
            sections.insert(rng.randrange(len(sections) + 1), rng.choice(theirs))


def _payload(file: File, other: bytes, rng: random.Random) -> None:
    """Noise in a section, half of the time in its coded splats behind their own checksums."""
    at = rng.randrange(len(file.sections))
    kind, payload = file.sections[at]
    match rng.randrange(3):
        case 0:
            payload = bytes(_noise(bytearray(payload), rng))
        case 1 if (own := _field(kind, payload, file, rng)) is not None:
            payload = own
        case 1:
            skip = min(rng.randrange(2, 60), len(payload))
            payload = payload[:skip] + bytes(_noise(bytearray(payload[skip:]), rng))
        case 2:
            theirs = rng.choice(File(other).sections)[1]
            cut = rng.randrange(len(payload) + 1)
            payload = payload[:cut] + theirs[rng.randrange(len(theirs) + 1) :]
    file.sections[at] = (kind, payload)


def _field(kind: int, payload: bytes, file: File, rng: random.Random) -> bytes | None:
    """A payload with its field changed, or its matte's, or both; None where it has none."""
    which = rng.choice(("colours", "colours", "matte", "both"))

    def change(data: bytes, layout: Layout, name: str) -> bytes:
        return field_mutated(data, layout, rng) if which in (name, "both") else data

    return changed(kind, payload, file.header, layers_of(file.header, file.sections), change)


def field_mutated(data: bytes, layout: Layout, rng: random.Random) -> bytes:
    """A field whose directory or pieces are changed, with the checksums of both made right again."""
    try:
        index = core().field_index(data, layout.width, layout.height, layout.frames)
    except (ValueError, TypeError, OverflowError):
        return bytes(_noise(bytearray(data), rng))
    # A directory may tell of pieces that are not there: of a file that was cut behind a tier.
    pieces = [piece for part in index["pieces"] for piece in part if piece[1] and sum(piece) <= len(data)]
    if not index["directory"] or not pieces:
        counts = [rng.choice((n, n, n + 1, max(n - 1, 0), _number(rng))) for n in index["counts"]]
        r = Reader(data)
        flags = r.take(1, "flags")
        for _ in counts:
            r.varint("a count", 1 << 35)
        return flags + b"".join(map(varint, counts)) + r.rest
    first = min(offset for offset, _ in pieces)
    head, body = bytearray(data[: first - 4]), bytearray(data[first:])
    if rng.random() < 0.5:
        head = _noise(head, rng)
    else:
        offset, size = rng.choice(pieces)
        old = crc(data[offset : offset + size])
        for _ in range(rng.choice((1, 2, 8))):
            body[offset - first + rng.randrange(size)] = rng.randrange(256)
        where = head.find(old)
        if where >= 0:
            head[where : where + 4] = crc(bytes(body[offset - first : offset - first + size]))
    return bytes(head) + crc(bytes(head)) + bytes(body)


def _edits(file: File, _: bytes, rng: random.Random) -> None:
    """A new list of operations, most of them possible."""
    out = bytearray()
    for _ in range(rng.choice((1, 2, 5, 30, 300))):
        kind = rng.choice(list(KINDS.values()))
        out += bytes([kind.code | rng.choice((0, 0x80)), rng.choice((0, 0, 0, 1, 2, rng.randrange(256)))])
        for n in kind.numbers:
            near = rng.randint(int(n.low * n.unit), int(n.high * n.unit))
            value = rng.choice((near, near // 1000, n.unit, rng.randint(-3, 3), rng.getrandbits(30)))
            out += zigzag(value)
        if kind.named:
            name = rng.choice((b"a", b"picture", "\u3000".encode(), rng.randbytes(rng.randrange(70))))
            out += varint(len(name)) + name
    file.sections = [part for part in file.sections if part[0] != EDITS]
    ends = file.sections[-1:] if file.sections and file.sections[-1][0] == INDEX else []
    file.sections = [*file.sections[: len(file.sections) - len(ends)], (EDITS, bytes(out)), *ends]


def _segment(file: File, other: bytes, rng: random.Random) -> None:
    """Layer, first frame, number, flags, path and durations of a segment, or a clip's rate."""
    found = [i for i, (kind, _) in enumerate(file.sections) if kind in (SEGMENT, CLIP)]
    if not found:
        return _payload(file, other, rng)
    at = rng.choice(found)
    kind, payload = file.sections[at]
    r = Reader(payload)
    try:
        if kind == CLIP:
            rate = [rng.choice((r.varint("a rate", 1 << 35), _number(rng))) for _ in range(2)]
            file.sections[at] = (
                kind,
                b"".join(map(varint, rate)) + rng.choice((r.rest, b"\0", b"\1", b"\3")),
            )
            return None
        head = [r.varint("a layer", 255), r.varint("a frame", (1 << 35) - 1)]
        count, flags = r.take(2, "a segment")
        rest = r.rest
    except BitstreamError:
        return _payload(file, other, rng)
    match rng.randrange(5):
        case 0:
            head[0] = rng.choice((0, 1, 2, 255, _number(rng)))
        case 1:
            head[1] = rng.choice((head[1] + rng.randint(-9, 9) if head[1] > 9 else 0, _number(rng)))
        case 2:
            count = rng.choice((0, 1, 64, 65, 255, max(count - 1, 0), (count + 1) % 256))
        case 3:
            flags = rng.choice((0, 1, 2, 3, 4, 7, 8, 16, 17, 24, flags ^ 16, 255))
        case 4:
            steps = [rng.choice((0, 1, -1, -rng.getrandbits(18))) for _ in range(2 * count)]
            ticks = [rng.choice((0, 1, 3600, _number(rng))) for _ in range(count)]
            rest = b"".join(map(zigzag, steps)) + b"".join(map(varint, ticks)) + rest[-len(rest) // 2 :]
            flags |= 3
    file.sections[at] = (kind, varint(head[0]) + varint(head[1]) + bytes([count, flags]) + rest)
    return None


def _index(file: File, other: bytes, rng: random.Random) -> None:
    """An index that says something else, rightly checked."""
    entries: list[tuple[int, int, Span | None]] = []
    for kind, payload in file.sections:
        if kind == INDEX:
            break
        size = len(section(kind, payload)) + rng.choice((0, 0, 0, 1, -1, 100))
        span = span_of(payload)
        if rng.random() < 0.3:
            span = Span(
                *(rng.choice((v, _number(rng) % 256)) for v in (span.layer, span.first, span.count, 0))
            )
        entries.append((kind, max(size, 0), span if kind == SEGMENT else None))
    theirs = index_section(entries)
    r = Reader(theirs)
    r.take(1, "a type")
    payload = r.take(r.varint("a length", 1 << 31), "the index")
    file.sections = [part for part in file.sections if part[0] != INDEX] + [(INDEX | (1 << 8), payload)]
    file.sections[-1] = (INDEX, payload)
    if rng.random() < 0.5:
        return _header(file, other, rng)
    return None


def _notes(file: File, _: bytes, rng: random.Random) -> None:
    text = rng.choice((b"x" * 70_000, rng.randbytes(50), b"a\nb\0c", b""))
    file.sections.append((NOTE, zlib.compress(text)[: rng.choice((1000, 5))]))


def _metadata(file: File, _: bytes, rng: random.Random) -> None:
    """Metadata, of which most is right, before the index."""
    tags = rng.sample((0x010E, 0x010F, 0x0110, 0x013B, 0x8298, 0x8769, 0x8825, rng.randrange(1 << 16)), 3)
    entries = [(tag, rng.choice((1, 2, 2, 3, 4, 5, 7, rng.randrange(16))), _number(rng)) for tag in tags]
    exif = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    exif += b"".join(
        struct.pack(
            "<HHII",
            tag,
            kind,
            count & 0xFFFFFFFF if rng.random() < 0.3 else rng.randrange(9),
            rng.randrange(90),
        )
        for tag, kind, count in entries
    )
    exif += b"\0" * 4 + rng.randbytes(40)
    payloads = {
        1: exif if rng.random() < 0.7 else bytes(_noise(bytearray(exif), rng)),
        2: rng.choice((b"<x/>", b"<x/>", rng.randbytes(9))),
        3: rng.choice((b"Display P3", b"a\x1bb", rng.randbytes(2))),
        4: varint(abs(_number(rng))) + varint(rng.choice((0, 3_000_000))),
        5: rng.choice(
            (b"title=a\0date=2020", b"title=\x1b[0m\0title=b", b"=", b"a", b"\0", rng.randbytes(9))
        ),
    }
    out = b""
    for kind in rng.sample(range(7), rng.randrange(1, 5)):
        data = payloads.get(kind, b"new")
        out += bytes([kind]) + varint(len(data) if rng.random() < 0.95 else abs(_number(rng))) + data
    at = len(file.sections) - (file.sections[-1][0] == INDEX)
    file.sections.insert(at, (METADATA, zlib.compress(out)[: 9 if rng.random() < 0.05 else None]))


def _sound(file: File, _: bytes, rng: random.Random) -> None:
    """A sound, of which most is right, before the index."""
    count = rng.choice((1, 1, 2, 20, _number(rng)))
    rows = min(count, 2000)
    columns = [[rng.choice((0, 0, 0, -1, _number(rng)))] * rows for _ in range(4)]
    sizes = [rng.randrange(9) for _ in range(rows)]
    columns[3] = [rng.choice((2 * size, 2 * size + 1, 2 * size, _number(rng))) for size in sizes]
    table = b"".join(zigzag(v) if i in (0, 2) else varint(abs(v)) for i in range(4) for v in columns[i])
    table = zlib.compress(table if rng.random() < 0.9 else bytes(_noise(bytearray(table), rng)))
    name = rng.choice((b"aac", b"opus", b"flac", b"pcm_s16le", b"x", b"", rng.randbytes(3)))
    numbers = [rng.choice((n, n, n, _number(rng))) for n in (48_000, 2, 1, 48_000)]
    extradata = rng.randbytes(rng.choice((0, 2, 19, 34)))
    out = varint(len(name)) + name + b"".join(map(varint, numbers)) + varint(len(extradata)) + extradata
    out += varint(count) + varint(rng.choice((len(table), len(table), _number(rng)))) + table
    out += rng.randbytes(rng.choice((sum(v >> 1 for v in columns[3]) % 10_000, rng.randrange(99))))
    at = len(file.sections) - (file.sections[-1][0] == INDEX)
    file.sections.insert(at, (SOUND, out if rng.random() < 0.8 else bytes(_noise(bytearray(out), rng))))


Change = Callable[[File, bytes, random.Random], None]
CHANGES: tuple[Change, ...] = (
    _header,
    _arrange,
    _payload,
    _payload,
    _payload,
    _edits,
    _segment,
    _segment,
    _index,
    _notes,
    _metadata,
    _sound,
)
