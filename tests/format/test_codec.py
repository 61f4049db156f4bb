"""Coded fields, splats to bytes and back: exact integers, bytes near the ideal length, bounded work."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

import splat2d
from splat2d.codec.oracle import agrees
from splat2d.errors import BitstreamError
from splat2d.format.container import Container, write
from splat2d.format.field import Field, Layout
from splat2d.format.header import Header
from splat2d.format.network import network
from splat2d.format.sections import varint
from splat2d.native import core
from splat2d.native.backend import Backend

from ..support.integers import (
    CHROMA_STEP,
    ONE,
    as_set,
    at_places,
    coded,
    decoded,
    fields_of,
    layout_for,
    random_integers,
    random_moving,
    with_shapes,
)
from ..support.places import GOLDEN

TIERS = 6
SLACK = 168  # bits: seven bytes of flags and counts, a few more of counts, two words of the coder
MANY = GOLDEN / "pictures" / "many.splat"


class PlainRangeDecoder:
    """A range decoder in Python integers: 64-bit state, 32-bit words, 24-bit precision."""

    def __init__(self, data: bytes) -> None:
        data += b"\0" * (-len(data) % 4)
        self.words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
        self.lower, self.range = 0, 2**64 - 1
        self.point = 2**32 * self.next_word()
        self.point += self.next_word()

    def next_word(self) -> int:
        return self.words.pop(0) if self.words else 0

    def take(self, find) -> int:
        """Read one symbol; `find` gives symbol, left edge and weight of a quantile."""
        scale = self.range >> 24
        quantile = (self.point - self.lower) % 2**64 // scale
        assert quantile < 2**24
        symbol, left, weight = find(quantile)
        self.lower = (self.lower + scale * left) % 2**64
        self.range = scale * weight
        if self.range < 2**32:
            self.lower = self.lower * 2**32 % 2**64
            self.range *= 2**32
            self.point = (self.point * 2**32 + self.next_word()) % 2**64
        return symbol

    def symbol(self, weights: list[int]) -> int:
        """Read a symbol under weights that sum to 2^16."""

        def find(quantile):
            left = 0
            for symbol, weight in enumerate(weights):
                if quantile < 256 * (left + weight):
                    return symbol, 256 * left, 256 * weight
                left += weight
            raise AssertionError("weights do not sum to 2^16")

        return self.take(find)

    def uniform(self, size: int) -> int:
        if size == 1:
            return 0
        weight = 2**24 // size

        def find(quantile):
            value = min(quantile // weight, size - 1)
            return value, value * weight, weight if value < size - 1 else 2**24 - value * weight

        return self.take(find)


# The stream.


def recorded(q: np.ndarray, layout: Layout, **options) -> tuple[bytes, dict[str, np.ndarray]]:
    """Return coded bytes and what their encoder said."""
    recorder = core().Recorder()
    data, _ = core().encode_field(network(), q, *layout.arguments, tap=recorder, **options)
    return data, recorder.arrays()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_plain_decoder_reads_the_same_symbols(channels):
    q = random_integers(300, channels, 200, 120, seed=channels)
    layout = layout_for(q, 200, 120)
    data, seen = recorded(q, layout)
    index = core().field_index(data, 200, 120)
    decoder, at = PlainRangeDecoder(data[index["streams"] :]), 0
    for size, value in zip(seen["sizes"].tolist(), seen["values"].tolist(), strict=True):
        if size > 0:
            assert decoder.symbol(seen["weights"][at : at + size].tolist()) == value
            at += size
        else:
            assert decoder.uniform(-size) == value


@pytest.mark.parametrize("most_in_part", [1 << 20, 40])
@pytest.mark.parametrize("frames", [0, 9])
def test_constriction_writes_the_same_words(frames, most_in_part):
    q = (
        random_moving(500, 3, 700, 600, 9, seed=2)
        if frames
        else random_integers(900, 3, 700, 600, log2_s=(-1, 6))
    )
    layout = layout_for(q, 700, 600, frames)
    data, _ = core().encode_field(
        network(), q, *layout.arguments, most_in_part=most_in_part, least_for_directory=0
    )
    field = Field.parse(data, layout)
    assert (field.parts > 4) == (most_in_part == 40)
    assert agrees(field)


def test_a_recorder_sees_the_same_from_both_sides():
    q = random_integers(200, 4, 90, 70, seed=3)
    layout = layout_for(q, 90, 70)
    data, seen = recorded(q, layout)
    recorder = core().Recorder()
    core().decode_field(network(), data, *layout.arguments, tap=recorder)
    back = recorder.arrays()
    assert seen.keys() == back.keys()
    for name, values in seen.items():
        assert np.array_equal(values, back[name]), name


# Whole splats.


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("count", "log2_s"),
    [(1, (-2, 11)), (2, (-2, 11)), (60, (-2, 11)), (1500, (-1.5, 4)), (600, (-2, -1.9)), (400, (8, 11))],
    ids=["one", "two", "some", "many", "very small", "very large"],
)
def test_splats_come_back(channels, count, log2_s):
    q = random_integers(count, channels, 200, 120, seed=count + channels, log2_s=log2_s)
    assert len(q) > 0.8 * count
    layout = layout_for(q, 200, 120)
    data, bits = coded(q, layout)
    back = decoded(data, layout)
    assert back.dtype == np.int32
    assert np.array_equal(as_set(back), as_set(q))
    assert 8 * len(data) <= 1.03 * bits + SLACK


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 300), (65535, 1), (3000, 7), (16384, 16384)])
def test_splats_of_odd_canvases_come_back(width, height):
    q = random_integers(200, 3, width, height, seed=width, log2_s=(-1, 6))
    layout = layout_for(q, width, height)
    data, _ = coded(q, layout)
    assert np.array_equal(as_set(decoded(data, layout)), as_set(q))


def test_no_splats():
    for channels in (1, 2, 3, 4):
        q = np.zeros((0, channels + 5), np.int32)
        layout = layout_for(q, 64, 64)
        data, bits = coded(q, layout)
        assert (data, bits) == (bytes(7), 0)
        assert decoded(data, layout).shape == (0, channels + 5)


@pytest.mark.parametrize("frames", [2, 3, 17, 64])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_splats_with_courses_come_back(frames, channels):
    q = random_moving(400, channels, 120, 80, frames, seed=frames + channels)
    assert len(q) > 250
    layout = layout_for(q, 120, 80, frames)
    data, bits = coded(q, layout)
    assert np.array_equal(as_set(decoded(data, layout)), as_set(q))
    assert 8 * len(data) <= 1.03 * bits + SLACK


@pytest.mark.parametrize("tier", range(6))
@pytest.mark.parametrize("count", [1, 2, 77])
def test_splats_of_one_tier_come_back(tier, count):
    q = random_integers(4000, 4, 150, 90, seed=tier, log2_s=(-2, 11))
    classes = core().energy_classes(np.ascontiguousarray(q[:, :4]), CHROMA_STEP)
    q = np.ascontiguousarray(q[core().tiers(classes, np.ascontiguousarray(q[:, 4])) == tier][:count])
    layout = layout_for(q, 150, 90)
    data, _ = coded(q, layout)
    assert Field.parse(data, layout).tier_counts == tuple(count if t == tier else 0 for t in range(6))
    assert np.array_equal(as_set(decoded(data, layout)), as_set(q))


def test_splats_of_a_photograph_come_back():
    (field,) = fields_of(MANY.read_bytes())
    q, counts = field.decode()
    assert counts == field.tier_counts
    assert np.array_equal(as_set(decoded(coded(q, field.layout)[0], field.layout)), as_set(q))


def test_splats_that_no_file_may_hold_are_refused():
    q = random_integers(50, 3, 60, 40, seed=1, log2_s=(0, 2))
    layout = layout_for(q, 60, 40)
    for column, value, said in (
        (6, -40000, "margin"),
        (6, 1 << 29, "margin"),
        (7, -(1 << 29), "margin"),
        (7, 1 << 30, "margin"),
        (0, 32768, "colour"),
        (3, 500000, "shape"),
        (5, -1, "angle"),
    ):
        far = q.copy()
        far[7, column] = value
        with pytest.raises(ValueError, match=said):
            coded(far, layout)
    black = q.copy()
    black[3, :3] = 0
    with pytest.raises(ValueError, match="colour"):
        coded(black, layout)
    moving = random_moving(50, 3, 60, 40, 5)
    for column in (8, 9):
        late = moving.copy()
        late[3, column] = 1 << 20
        with pytest.raises(ValueError, match=r"duration|time|course"):
            coded(late, layout_for(late, 60, 40, 5))


def test_splats_outside_the_canvas_and_on_its_corners():
    rng = np.random.default_rng(5)
    q = random_integers(400, 3, 90, 50, seed=5, log2_s=(-1, 3))
    classes = core().energy_classes(np.ascontiguousarray(q[:, :3]), CHROMA_STEP)
    last = np.array([(90 + 128) * ONE - 1, (50 + 128) * ONE - 1])
    place = rng.choice([0, 1, 63 * ONE, 64 * ONE - 1, 64 * ONE], (len(q), 2))
    place = np.where(rng.random((len(q), 2)) < 0.5, place, last - place)
    q = at_places(q, classes, place, 90, 50)
    assert len(q) > 250
    means = core().dequantize(q, 1.0, CHROMA_STEP)[0]
    assert ((means < 0) | (means >= [90, 50])).any(1).mean() > 0.5
    layout = layout_for(q, 90, 50)
    data, _ = coded(q, layout)
    assert np.array_equal(as_set(decoded(data, layout)), as_set(q))


def test_order_costs_nothing_and_tells_nothing():
    rng = np.random.default_rng(7)
    q = random_integers(800, 3, 150, 100, seed=7, log2_s=(-1, 5))
    layout = layout_for(q, 150, 100)
    data, _ = coded(q, layout)
    for _ in range(3):
        shuffled = np.ascontiguousarray(q[rng.permutation(len(q))])
        again, _ = coded(shuffled, layout)
        # The order inside a leaf is the encoder's, and tells which splats are neighbours of the second batch.
        assert abs(len(again) - len(data)) <= 0.005 * len(data) + 4
        assert np.array_equal(as_set(decoded(again, layout)), as_set(q))


@pytest.mark.parametrize("same", ["place", "everything"])
def test_thousands_of_splats_in_one_place(same):
    """Neither quadratic time nor more than their bytes' worth, though all lie in one leaf."""
    rng = np.random.default_rng(6)
    colors = rng.integers(-9, 10, (100_000, 3)).astype(np.int32)
    colors[:, 0] = rng.integers(1, 9, len(colors))
    if same == "everything":
        colors[:] = colors[0]
    q = with_shapes(colors, 100, 100, rng, (0, 0.5))
    if same == "everything":
        q[:] = q[0]
    else:
        classes = core().energy_classes(np.ascontiguousarray(q[:, :3]), CHROMA_STEP)
        q = at_places(q, classes, np.full((len(q), 2), 100 * ONE + 2000), 100, 100)
    layout = layout_for(q, 100, 100)
    data, bits = coded(q, layout)
    assert 8 * len(data) <= max(1.03 * bits, 2 * len(q)) + 64
    start = time.process_time()
    back = decoded(data, layout)
    assert time.process_time() - start < 2
    assert np.array_equal(as_set(back), as_set(q))


def test_a_set_is_cheaper_than_a_list():
    q = random_integers(2000, 1, 400, 400, seed=8, log2_s=(0, 1))
    layout, bits = layout_for(q, 400, 400), {}
    Field.encode(q, layout, bits=bits)
    means = core().dequantize(q, 1.0, CHROMA_STEP)[0]
    classes = core().energy_classes(np.ascontiguousarray(q[:, :1]), CHROMA_STEP)
    big = np.zeros((len(q), 2), np.int64)
    points = core().cell_points(classes, np.ascontiguousarray(q[:, 1:]), big, 528 * ONE, 528 * ONE)
    listed = np.log2(points).sum()
    saved = np.log2(np.arange(1, len(q) + 1)).sum()
    assert len(np.unique(means, axis=0)) > 0.99 * len(q)
    assert bits["position"] < listed - 0.85 * saved


# Tiers, parts and windows.


def divided(q: np.ndarray, layout: Layout, most_in_part: int = 100) -> Field:
    """Return a field in parts."""
    data, _ = core().encode_field(
        network(), q, *layout.arguments, most_in_part=most_in_part, least_for_directory=0
    )
    return Field.parse(data, layout)


@pytest.mark.parametrize("most_in_part", [1 << 20, 100])
def test_a_prefix_of_the_tiers_is_the_first_splats(most_in_part):
    q = random_integers(1500, 3, 600, 500, seed=9, log2_s=(-2, 7))
    field = divided(q, layout_for(q, 600, 500), most_in_part)
    assert all(field.tier_counts), "the test wants splats in every tier"
    whole, _ = field.decode(backend=Backend(2))
    assert np.array_equal(as_set(whole), as_set(q))
    for tiers in range(1, TIERS + 1):
        part, counts = field.decode(tiers=tiers)
        assert counts == (*field.tier_counts[:tiers], *([0] * (TIERS - tiers)))
        assert np.array_equal(part, whole[: sum(counts)])
        # All that is needed of them stands in the first bytes.
        shorter = Field.parse(field.data[: field.ends[tiers - 1]], field.layout)
        assert np.array_equal(shorter.decode(tiers=tiers)[0], part)


def test_a_tier_that_is_cut_short_is_an_error():
    q = random_integers(600, 3, 200, 100, seed=9)
    field = divided(q, layout_for(q, 200, 100))
    cut = Field.parse(field.data[:-1], field.layout)
    with pytest.raises(BitstreamError, match="a tier is cut short"):
        cut.decode()


def test_a_window_has_all_that_is_seen_in_it():
    q = random_integers(3000, 3, 900, 700, seed=4, log2_s=(-1, 5))
    field = divided(q, layout_for(q, 900, 700))
    assert field.parts > 12
    whole = {tuple(row) for row in field.decode()[0].tolist()}
    means, conics, _ = core().dequantize(q, 1.0, CHROMA_STEP)
    det = conics[:, 0] * conics[:, 2] - conics[:, 1] ** 2
    reach = np.sqrt(12.25 * conics[:, [2, 0]] / det[:, None])
    for window in ((0, 0, 50, 40), (400, 300, 520, 380), (880, 0, 900, 700), (0, 0, 900, 700)):
        found, counts = field.decode(window=window)
        assert len(found) == sum(counts)
        rows = {tuple(row) for row in found.tolist()}
        assert rows <= whole
        seen = (means + reach >= window[:2]) & (means - reach <= window[2:])
        assert rows >= {tuple(row) for row in q[seen.all(1)].tolist()}
        if window != (0, 0, 900, 700):
            assert len(rows) < 0.75 * len(whole)


def test_large_fields_are_in_parts_and_small_ones_are_not():
    q = random_integers(40_000, 3, 1500, 1000, log2_s=(-1, 2))
    field = Field.encode(q, layout_for(q, 1500, 1000), backend=Backend(2))
    assert field.parts >= 2
    assert np.array_equal(as_set(field.decode(backend=Backend(2))[0]), as_set(q))
    small = Field.encode(q[:3000], layout_for(q, 1500, 1000))
    assert small.parts == 0


@pytest.mark.parametrize("seed", range(3))
def test_every_flipped_bit_of_a_directory_is_an_error(seed):
    q = random_integers(300, 3, 500, 400, seed=seed, log2_s=(-1, 6))
    field = divided(q, layout_for(q, 500, 400), 40)
    rng = np.random.default_rng(seed)
    for at in [*range(60), *rng.integers(60, len(field.data), 60).tolist()]:
        data = bytearray(field.data)
        data[at] ^= 1 << int(rng.integers(8))
        with pytest.raises(BitstreamError, match="the coded splats are damaged"):
            Field.parse(bytes(data), field.layout).decode()


# Damage behind right checksums.


@pytest.mark.parametrize("count", [65, 1000, 16_777_215])
def test_no_more_splats_than_the_bytes_can_hold(count):
    layout = Layout(64, 64, 3, CHROMA_STEP, 600)
    with pytest.raises(BitstreamError, match="more splats than its bytes can hold"):
        Field.parse(b"\0" + varint(count) + bytes(5), layout)


@pytest.mark.parametrize("frames", [0, 7])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_damage_behind_right_checksums_is_an_error_or_splats(channels, frames):
    rng = np.random.default_rng(channels)
    q = random_moving(150, channels, 60, 40, frames) if frames else random_integers(150, channels, 60, 40)
    layout = layout_for(q, 60, 40, frames)
    good, _ = coded(q, layout)
    errors = 0
    for trial in range(80):
        data = bytearray(good)
        if trial % 4 == 0:
            data[12:] = rng.bytes(int(rng.integers(40, 400)))
        elif trial % 4 == 1:
            data = data[: int(rng.integers(20, len(data)))]
        elif trial % 4 == 2:
            data[int(rng.integers(12, len(data)))] ^= 1 << int(rng.integers(8))
        else:
            data[1:7] = rng.integers(0, 60, TIERS).astype(np.uint8).tobytes()
        try:
            field = Field.parse(bytes(data), layout)
            found, _ = field.decode()
        except BitstreamError:
            errors += 1
        else:
            # Whatever it is, it is a field.
            assert np.array_equal(as_set(decoded(coded(found, layout)[0], layout)), as_set(found))
    assert errors > 20


def test_a_centre_beyond_32_bits_is_damage():
    """A needle far from the top may have columns that a file cannot hold."""
    seen = set()
    for seed in range(400):
        rng = np.random.default_rng(seed)
        data = b"\0" + bytes([0, 0, 0, 0, 0, 3]) + rng.bytes(60)
        try:
            Field.parse(data, Layout(9, 60000, 1, CHROMA_STEP, 600)).decode()
        except BitstreamError as error:
            seen.add(str(error))
    assert len(seen) >= 3, seen


def test_pictures_of_damaged_fields_are_errors_or_pictures():
    q = random_integers(150, 3, 60, 40, log2_s=(-1, 4))
    layout = layout_for(q, 60, 40)
    header = Header(60, 40, 3, layout.step_code, CHROMA_STEP, 0, (9,) * 3)
    field, rng, pictures = Field.encode(q, layout), np.random.default_rng(0), 0
    for _ in range(100):
        data = bytearray(field.data)
        data[int(rng.integers(12, len(data)))] ^= 1 << int(rng.integers(8))
        try:
            pixels = splat2d.decode(write(Container(header, replace(field, data=bytes(data)))), threads=1)
        except BitstreamError:
            continue
        assert pixels.shape == (40, 60, 3)
        pictures += 1
    assert pictures > 3
