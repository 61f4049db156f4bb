"""Fields over views and the section of eyes: exact integers, and every lie is one clear error."""

from dataclasses import replace

import numpy as np
import pytest

from splat2d.errors import BitstreamError, ConfigError
from splat2d.format.container import Container, read, write
from splat2d.format.eyes import FARTHEST, UNITS, Eyes, eyes_section, read_eyes
from splat2d.format.field import Field
from splat2d.format.header import Header
from splat2d.format.sections import varint, zigzag
from splat2d.native import core
from splat2d.native.backend import Backend

from ..support.integers import CHROMA_STEP, as_set, layout_for, random_integers, with_disparities


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("count", "size"), [(1, (40, 30)), (400, (200, 160)), (40_000, (1500, 1200))])
@pytest.mark.parametrize("most", [3, 250])
def test_fields_come_back(channels, count, size, most):
    eyes = Eyes.grid(5, 3)
    q = with_disparities(random_integers(count, channels, *size, log2_s=(-1, 5)), eyes, most)
    layout = replace(layout_for(q[:, :-1], *size), eyes=eyes.arguments)
    field = Field.encode(q, layout, backend=Backend(2))
    assert (field.parts > 1) == (len(q) > 32_768)
    for threads in (1, 3):
        np.testing.assert_array_equal(as_set(field.decode(backend=Backend(threads))[0]), as_set(q))


def test_neighbours_tell_the_disparity():
    eyes = Eyes.grid(5, 5)
    q = random_integers(3000, 3, 300, 300, log2_s=(0, 2))
    layout = replace(layout_for(q, 300, 300), eyes=eyes.arguments)
    ones = np.ascontiguousarray(np.hstack([q, np.ones((len(q), 1), np.int32)]))
    step = core().disparities(ones, CHROMA_STEP, eyes.arguments)
    means = core().dequantize(q, 0.3, CHROMA_STEP)[0]
    smooth = 1 + means[:, 0] / 100
    spent = []
    for px in (smooth, np.random.default_rng(0).permutation(smooth)):
        d = np.rint(px / step).astype(np.int32)
        bits: dict[str, float] = {}
        Field.encode(np.ascontiguousarray(np.hstack([q, d[:, None]])), layout, bits=bits)
        spent.append(bits["disparity"] / len(q))
    assert spent[0] < 0.7 * spent[1]


@pytest.mark.parametrize(
    "eyes",
    [Eyes.grid(5, 5), Eyes.grid(1, 2), Eyes.grid(64, 1), Eyes.of([(0, 0), (1.5, -3), (0.25, 700)])],
    ids=["5x5", "1x2", "64x1", "list"],
)
def test_eyes_come_back(eyes):
    data = eyes_section(eyes)
    assert read_eyes(data[2:-4]) == eyes
    assert (len(data) == 9) == (eyes.columns_and_rows() is not None)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0",
        b"\0\0\5",
        b"\0\1\1",
        b"\0\x40\2",
        b"\0\5\5\0",
        b"\2\5\5",
        b"\1" + varint(1) + zigzag(0) * 2,
        b"\1" + varint(2) + zigzag(0) * 4,
        b"\1" + varint(2) + zigzag(0) * 3,
        b"\1" + varint(65) + zigzag(1) * 130,
        b"\1" + varint(2) + zigzag(0) * 2 + zigzag(FARTHEST * UNITS) + zigzag(0),
        b"\1" + varint(1 << 30),
    ],
)
def test_eyes_that_make_no_sense(payload):
    with pytest.raises(BitstreamError):
        read_eyes(payload)


@pytest.mark.parametrize(
    "places", [[(0, 0)], [(0, 0), (0, 0.001)], [(0, 0), (FARTHEST, 0)], [(0, i) for i in range(65)]]
)
def test_places_that_no_file_can_hold(places):
    with pytest.raises(ConfigError):
        Eyes.of(places)


def light_field() -> tuple[bytes, Header, Field, Eyes]:
    eyes = Eyes.grid(3, 3)
    q = with_disparities(random_integers(50, 3, 48, 32, log2_s=(0, 3)), eyes, 2)
    header = Header(48, 32, 3, 600, CHROMA_STEP, 50, (90, 100, 110))
    field = Field.encode(q, replace(header.layout, eyes=eyes.arguments))
    return write(Container(header, field, eyes=eyes)), header, field, eyes


def test_the_file():
    data, _, field, eyes = light_field()
    found = read(data)
    assert found.eyes == eyes
    assert found.field is not None
    np.testing.assert_array_equal(found.field.decode()[0], field.decode()[0])


def test_eyes_where_none_may_be():
    data, header, field, eyes = light_field()
    plain = write(Container(header, field))
    with pytest.raises(BitstreamError, match="another kind"):
        read(plain)
    with pytest.raises(BitstreamError, match="two sections of eyes"):
        read(
            write(Container(header, field, eyes=eyes)).replace(eyes_section(eyes), 2 * eyes_section(eyes), 1)
        )
    behind = data.replace(eyes_section(eyes), b"", 1) + eyes_section(eyes)
    with pytest.raises(BitstreamError):
        read(behind)


def test_every_flipped_bit_is_an_error():
    data = light_field()[0]
    for at in range(len(data)):
        bad = bytearray(data)
        bad[at] ^= 1 << at % 8
        with pytest.raises(BitstreamError):
            read(bytes(bad)).field.decode()
