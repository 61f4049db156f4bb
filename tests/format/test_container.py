"""The container: every field comes back, and every lie, cut and flipped bit is one clear BitstreamError."""

from __future__ import annotations

import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest

import splat2d
from splat2d.errors import BitstreamError
from splat2d.fit.config import FitConfig
from splat2d.fit.encode import encode_picture
from splat2d.format.container import Container, read, write
from splat2d.format.field import MAX_SPLATS, Field
from splat2d.format.header import MAGIC, MAX_PIXELS, MAX_SIDE, VERSION, Header, Limits
from splat2d.format.sections import MAX_SECTIONS, NOTE, SPLATS, varint
from splat2d.media.pictures import load_picture
from splat2d.native.backend import Backend

TIERS = 6
PLAIN = Header(768, 512, 3, 600, 10, 75, (12, 130, 255))


def field(header: Header, counts: tuple[int, ...], data: bytes = b"") -> Field:
    """A field that claims splats, of any bytes."""
    return Field.parse(b"\0" + b"".join(map(varint, counts)) + data, header.layout)


FILE = Container(PLAIN, field(PLAIN, (1, 2, 3, 300, 0, 7000), b"\x05" * 9000), ("one", "two: ä"))


def header_bytes(**changes) -> bytes:
    """A header with a right checksum; fields may be given as bytes that no writer writes."""
    fields = {
        "magic": MAGIC,
        "version": bytes([VERSION]),
        "channels": b"\x03",
        "width": varint(48),
        "height": varint(32),
        "step": varint(600),
        "chroma_step": b"\x0a",
        "quality": b"\x4b",
        "background": b"\x10\x20\x30",
    }
    head = b"".join({**fields, **changes}.values())
    return head + zlib.crc32(head).to_bytes(4, "little")[:2]


def section(kind: int, payload: bytes, length: bytes | None = None) -> bytes:
    """A section with a right checksum, and a length that may lie."""
    data = bytes([kind]) + (varint(len(payload)) if length is None else length) + payload
    return data + zlib.crc32(data).to_bytes(4, "little")


def splats(*counts: int, data: bytes = b"") -> bytes:
    """A section of splats."""
    return section(SPLATS, b"\0" + b"".join(map(varint, counts)) + data)


NO_SPLATS = splats(0, 0, 0, 0, 0, 0)


@pytest.fixture(scope="module")
def photo(samples) -> bytes:
    """A file of a few splats from a photograph, made by the encoder."""
    from PIL import Image

    with Image.open(samples / "chelsea.png") as picture:
        crop = np.asarray(picture.convert("RGB"))[100:124, 120:156]
    config = FitConfig(rounds=2, steps=4, final_steps=3, sweeps=1)
    data = encode_picture(load_picture(crop), quality=50, config=config, backend=Backend(1)).data
    assert 60 < len(data) < 400
    return data


def one_line(caught: pytest.ExceptionInfo[BitstreamError]) -> None:
    message = str(caught.value)
    assert message
    assert "\n" not in message


# What is written comes back.


@pytest.mark.parametrize(("width", "height"), [(1, 1), (768, 512), (7680, 4320), (8192, 8192)])
def test_header_of_a_plain_picture_has_at_most_24_bytes(width, height):
    data = write(Container(header := replace(PLAIN, width=width, height=height), field(header, (0,) * TIERS)))
    assert len(data) - len(NO_SPLATS) <= 24


def test_the_bytes_are_those_of_the_format():
    header = Header(48, 32, 3, 600, 10, 75, (16, 32, 48))
    data = write(Container(header, field(header, (0,) * TIERS)))
    assert data == header_bytes() + NO_SPLATS


@pytest.mark.parametrize(
    "header",
    [
        PLAIN,
        Header(1, 1, 1, 0, 4, 0, (0,)),
        Header(65535, 4096, 2, 2047, 16, 100, (255, 0)),
        Header(4096, 65535, 4, 1, 8, 1, (1, 2, 3, 4)),
        Header(127, 128, 3, 860, 8, 1, (0, 0, 0)),
        Header(16383, 16384, 3, 200, 12, 99, (255, 255, 255)),
    ],
)
@pytest.mark.parametrize("notes", [(), ("a note",), ("", "two", "ümlaut")])
def test_every_field_comes_back(header, notes):
    coded = Field.parse(FILE.field.data, header.layout)
    file = replace(FILE, header=header, field=coded, notes=notes)
    assert read(write(file), Limits.of_format()) == file


@pytest.mark.parametrize("count", [0, 1, 127, 128, 16383, 16384, 70000])
@pytest.mark.parametrize("tier", range(TIERS))
def test_counts_come_back(count, tier):
    counts = tuple(count if t == tier else 0 for t in range(TIERS))
    file = Container(PLAIN, field(PLAIN, counts, b"\x01" * 17500))
    assert read(write(file)) == file
    assert read(write(file)).field.tier_counts == counts


def test_step_follows_its_code():
    steps = [Header(1, 1, 1, code, 8, 0, (0,)).step for code in (576, 640, 704, 640 + 32)]
    assert steps == pytest.approx([0.5, 1, 2, 2**0.5])


def test_a_file_without_splats_is_its_background():
    pixels = splat2d.decode(header_bytes() + NO_SPLATS)
    assert pixels.shape == (32, 48, 3)
    assert (pixels == [16, 32, 48]).all()


# Sections.


def test_unknown_optional_sections_are_skipped(small_splat):
    head, rest = small_splat[: -len(rest_of(small_splat))], rest_of(small_splat)
    extra = section(0xFE, b"from the future") + section(0x80, b"")
    expected = splat2d.decode(small_splat)
    for data in (head + extra + rest, small_splat + extra):
        assert np.array_equal(splat2d.decode(data), expected)


def rest_of(data: bytes) -> bytes:
    """The sections of a file, which follow the header's checksum."""
    for end in range(10, 30):
        if zlib.crc32(data[:end]).to_bytes(4, "little")[:2] == data[end : end + 2]:
            return data[end + 2 :]
    raise AssertionError("no header found")


@pytest.mark.parametrize("kind", [0x00, 0x03, 0x7F])
def test_unknown_mandatory_sections_are_an_error(kind):
    with pytest.raises(BitstreamError, match=f"unknown mandatory section 0x{kind:02x}.*newer") as caught:
        splat2d.decode(header_bytes() + NO_SPLATS + section(kind, b"x"))
    one_line(caught)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (b"", "no section of splats"),
        (section(NOTE, zlib.compress(b"only a note")), "no section of splats"),
        (NO_SPLATS * 2, "two sections of splats"),
        (section(0x90, b"") * MAX_SECTIONS + NO_SPLATS, f"more than {MAX_SECTIONS} sections"),
        (NO_SPLATS + b"\0", "truncated"),
        (NO_SPLATS + b"\x90", "truncated"),
        (NO_SPLATS[:-1] + bytes([NO_SPLATS[-1] ^ 1]), "checksum of section 0x01"),
        (section(SPLATS, b""), "counts that are cut short"),
        (section(SPLATS, b"\0\0\0\0\0\0"), "counts that are cut short"),
        (section(SPLATS, b"\x01" + bytes(6)), "a field of another kind"),
        (section(SPLATS, b"\x08" + bytes(6)), "unknown flags"),
        (section(0x90, b"abc", b"\xff\xff\xff\xff\x07"), r"truncated in section 0x90: need 2147483647 bytes"),
        (section(0x90, b"", b"\xff\xff\xff\xff\x7f"), "length is 34359738367, over the limit"),
        (section(0x90, b"", b"\x80\x80\x80\x80\x80\x00"), "does not end within five bytes"),
    ],
)
def test_bad_sections_say_what_is_wrong(sections, message):
    with pytest.raises(BitstreamError, match=message) as caught:
        splat2d.decode(header_bytes() + sections)
    one_line(caught)


def test_as_many_sections_as_allowed_are_read():
    data = header_bytes() + section(0x90, b"") * (MAX_SECTIONS - 1) + NO_SPLATS
    assert splat2d.decode(data).shape == (32, 48, 3)


# Lies, with right checksums.

LIES = [
    ({"version": b"\x00"}, "format version 0; this reader knows version 1"),
    ({"version": b"\xff"}, "format version 255"),
    ({"channels": b"\x00"}, "channels is 0, expected 1 to 4"),
    ({"channels": b"\x05"}, "channels is 5"),
    ({"width": varint(0)}, "0 x 32"),
    ({"height": varint(0)}, "48 x 0"),
    (
        {"width": varint(65535), "height": varint(32769)},
        f"2147516415 pixels, over the limit of {Limits().max_pixels}",
    ),
    ({"width": varint(16385), "height": varint(16384)}, "over the limit"),
    ({"width": varint(MAX_SIDE + 1)}, f"width is {MAX_SIDE + 1}, over the limit of {MAX_SIDE}"),
    ({"height": varint(1 << 31)}, "height is 2147483648, over the limit"),
    ({"width": varint((1 << 35) - 1)}, "width is 34359738367, over the limit"),
    ({"width": b"\xff" * 9 + b"\x01"}, "width does not end within five bytes"),
    ({"step": varint(2048)}, "the step is 2048, over the limit of 2047"),
    ({"chroma_step": b"\x03"}, "chroma step is 3, expected 4 to 16"),
    ({"chroma_step": b"\x11"}, "chroma step is 17"),
    ({"quality": b"\x65"}, "quality is 101"),
]


def peak_of(data: bytes, message: str) -> int:
    """Bytes of Python and NumPy memory that a refusal takes."""
    tracemalloc.start()
    try:
        with pytest.raises(BitstreamError, match=message) as caught:
            splat2d.decode(data)
        one_line(caught)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("changes", "message"), LIES, ids=[message[:30] for _, message in LIES])
def test_header_that_lies_is_refused_without_allocating(changes, message):
    assert peak_of(header_bytes(**changes) + NO_SPLATS, message) < 1 << 20


def test_largest_canvas_is_allowed():
    data = header_bytes(width=varint(16384), height=varint(16384)) + NO_SPLATS
    limits = Limits.of_format()
    assert limits.max_pixels == MAX_PIXELS
    assert splat2d.decode(data, crop=(16000, 16000, 3, 2), limits=limits).shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("counts", "data", "message"),
    [
        ((0, 0, MAX_SPLATS + 1, 0, 0, 0), b"", "counts that are cut short or out of range"),
        ((1 << 31, 0, 0, 0, 0, 0), b"", "counts that are cut short or out of range"),
        ((MAX_SPLATS, 0, 0, 0, 0, 0), b"", "more splats than its bytes can hold"),
        ((MAX_SPLATS,) * 6, b"\x55" * 50, "more splats than"),
        ((0, 0, 0, 0, 0, 65), b"", "more splats than"),
        ((0, 265, 0, 0, 0, 0), b"\x55" * 50, "more splats than"),
    ],
)
def test_counts_that_lie_are_refused_without_allocating(counts, data, message):
    assert peak_of(header_bytes() + splats(*counts, data=data), message) < 1 << 20


@pytest.mark.parametrize(
    "count",
    [
        MAX_SPLATS - 1,
        MAX_SPLATS,
    ],
)
def test_most_splats_that_a_file_may_claim(count):
    """Garbage of four megabytes; the first halving of the canvas alone has count + 1 outcomes."""
    data = header_bytes() + splats(count, 0, 0, 0, 0, 0, data=b"\xff" * (MAX_SPLATS // 4))
    with pytest.raises(BitstreamError) as caught:
        splat2d.decode(data, threads=1)
    one_line(caught)


@pytest.mark.parametrize("tier", range(TIERS))
def test_as_many_splats_as_the_bytes_allow_take_little_memory(tier):
    """Garbage behind right checksums and the most splats that it may claim."""
    data = np.random.default_rng(tier).bytes(2000)
    counts = [8064 if t == tier else 0 for t in range(TIERS)]
    assert peak_of(header_bytes() + splats(*counts, data=data), "damaged") < 32 << 20


def test_equal_splats_that_code_to_little_are_read_again():
    """The encoder leaves trailing zeros out, but as many as the claim of so many splats takes."""
    splat = np.array([[9, 0, 0, 0, 0, 0, 3000, 2000]], np.int32)
    coded = Field.encode(np.repeat(splat, 30000, 0), PLAIN.layout)
    assert len(coded.data) >= (30000 - 64) / 4
    file = read(write(Container(PLAIN, coded)))
    assert np.array_equal(file.field.decode()[0], np.repeat(splat, 30000, 0))


def test_a_file_beyond_the_readers_limits_is_refused(photo):
    with pytest.raises(BitstreamError, match="864 pixels, over the limit of 800"):
        splat2d.decode(photo, limits=splat2d.Limits(max_pixels=800))
    with pytest.raises(BitstreamError, match="splats, over the limit of 3"):
        splat2d.decode(photo, limits=splat2d.Limits(max_splats=3))
    with pytest.raises(BitstreamError, match="bytes, over the limit of 30"):
        splat2d.decode(photo, limits=splat2d.Limits(max_bytes=30))
    assert splat2d.decode(photo, limits=splat2d.Limits(max_pixels=864)).shape == (24, 36, 3)


# Notes.


@pytest.mark.parametrize(
    "payload", [b"", b"not zlib", zlib.compress(b"\xff\xfe"), zlib.compress(b"abc" * 50)[:-1] + b"\0"]
)
def test_notes_that_do_not_inflate_to_text(payload):
    data = header_bytes() + NO_SPLATS + section(NOTE, payload)
    with pytest.raises(BitstreamError, match="notes do not inflate") as caught:
        splat2d.decode(data)
    one_line(caught)


def test_notes_bomb_takes_little_memory():
    compress = zlib.compressobj(9)
    bomb = b"".join(compress.compress(b"a" * (1 << 20)) for _ in range(256)) + compress.flush()
    data = header_bytes() + NO_SPLATS + section(NOTE, bomb)
    tracemalloc.start()
    try:
        notes = splat2d.Scene.from_bytes(data).notes
    except BitstreamError:
        notes = ()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len("".join(notes)) <= 1 << 16
    assert peak < 4 << 20


# Other programs' files.


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"ply\nformat binary_little_endian 1.0\n", "PLY point cloud"),
        (b"ply\r\nformat ascii 1.0\r\n", "PLY point cloud"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\0", "gzip.*spz"),
        (b"NGSP\x03\0\0\0", "spz"),
        (bytes(range(64)), "32 bytes a splat"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG picture"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG picture"),
        (b"RIFF\x10\0\0\0WEBPVP8L", "WebP"),
        (b"hello world", r"begins with 68 65 6c 6c, expected c2 53 50 4c"),
        (b"\0", "begins with 00"),
        (MAGIC[:1], "truncated in the magic"),
        (MAGIC[:3], "truncated in the magic"),
        (MAGIC.decode("latin1").encode(), "begins with"),
    ],
)
def test_other_files_are_named(data, message):
    with pytest.raises(BitstreamError, match=message) as caught:
        splat2d.decode(data)
    one_line(caught)


def test_magic_is_not_text():
    assert MAGIC[0] >= 0x80
    with pytest.raises(UnicodeDecodeError):
        MAGIC.decode()


# Cuts and flips.


@pytest.mark.parametrize("name", ["small_splat", "photo"])
def test_cut_at_every_byte(name, request):
    data = request.getfixturevalue(name)
    splat2d.decode(data)
    # Notes are optional, and the file is whole without them.
    whole = {len(write(replace(read(data), notes=())))}
    for end in set(range(len(data))) - whole:
        with pytest.raises(BitstreamError) as caught:
            splat2d.decode(data[:end])
        one_line(caught)


@pytest.mark.parametrize("name", ["small_splat", "photo"])
def test_every_flipped_bit(name, request):
    data = request.getfixturevalue(name)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError) as caught:
            splat2d.decode(bytes(flipped))
        one_line(caught)


def test_bytes_after_the_end(photo):
    for tail in (b"\0", b"\xff", b"\x01\0", b"x" * 100):
        with pytest.raises(BitstreamError):
            splat2d.decode(photo + tail)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_other_kinds_of_bytes_are_read_too(photo, kind):
    assert np.array_equal(splat2d.decode(kind(photo)), splat2d.decode(photo))
