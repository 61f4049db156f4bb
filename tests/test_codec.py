"""The coder, splats to bytes and back: exact integers, bytes near the ideal length."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

import splat2d
from splat2d.codec.coder import Counter, Decoder, Encoder
from splat2d.codec.positions import Leaves
from splat2d.codec.splats import Batch, Layout, code_splats
from splat2d.codec.tokens import DIRECT, TOKENS, from_token, to_token, token_bits
from splat2d.errors import BitstreamError
from splat2d.format.container import Container, Header, read, write
from splat2d.native import core
from splat2d.scene.picture import layout_of

from .integers import (
    CHROMA_STEP,
    ONE,
    STEP_CODE,
    as_set,
    at_places,
    coded,
    decoded,
    layout_for,
    random_integers,
    shape_steps,
    with_shapes,
)

SIZES = [1, 2, 3, 1000, 1 << 20, 1 << 24]


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
        def find(quantile):
            left = 0
            for symbol, weight in enumerate(weights):
                if quantile < left + weight:
                    return symbol, left, weight
                left += weight
            raise AssertionError("weights do not sum to 2^24")

        return self.take(find)

    def uniform(self, size: int) -> int:
        if size == 1:
            return 0
        weight = 2**24 // size

        def find(quantile):
            value = min(quantile // weight, size - 1)
            return value, value * weight, weight if value < size - 1 else 2**24 - value * weight

        return self.take(find)


def random_rows(n: int, symbols: int, rng: np.random.Generator) -> np.ndarray:
    """Rows [n, symbols] of weights less one, from flat to all but certain."""
    weights = (rng.random((n, symbols)) ** rng.integers(1, 60, (n, 1)) * 2**20).astype(np.int64)
    weights[0] = 0
    rows = np.empty((n, symbols))
    for row, w in zip(rows, weights, strict=True):
        w = w * (2**24 - symbols) // max(int(w.sum()), 1)
        w[np.argmax(w)] += 2**24 - symbols - w.sum()
        row[:] = w
    return rows


def script(rng: np.random.Generator, symbols: int) -> list[tuple]:
    """Some calls of a coder: (kind, rows or sizes, values)."""
    rows = random_rows(300, symbols, rng)
    calls = [("symbols", rows, rng.integers(0, symbols, 300)), ("symbols", rows[:0], np.zeros(0, np.int64))]
    for size in SIZES:
        values = rng.integers(0, size, 40)
        values[:2] = 0, size - 1
        calls.append(("uniform", np.full(40, size), values))
    mixed = rng.choice(SIZES, 200)
    calls += [("uniform", mixed, rng.integers(0, mixed)), ("symbols", rows, np.argmax(rows, axis=1))]
    return calls


@pytest.mark.parametrize("symbols", [2, 3, 16, 64, 257])
def test_every_call_comes_back(symbols):
    calls = script(np.random.default_rng(symbols), symbols)
    encoder, counter = Encoder(), Counter()
    for kind, parameter, values in calls:
        assert getattr(encoder, kind)("a", parameter, values) is values
        getattr(counter, kind)("a", parameter, values)
    data = encoder.to_bytes()
    decoder = Decoder(data, count_bits=True)
    for kind, parameter, values in calls:
        assert np.array_equal(getattr(decoder, kind)("a", parameter, None), values)
    assert encoder.bits == counter.bits
    assert decoder.bits["a"] == pytest.approx(encoder.bits["a"], rel=1e-12)
    assert abs(8 * len(data) - encoder.bits["a"]) < 0.001 * encoder.bits["a"] + 64


@pytest.mark.parametrize("symbols", [2, 3, 16, 64, 257])
def test_a_plain_decoder_reads_the_same_symbols_from_the_rows_weights(symbols):
    calls = script(np.random.default_rng(symbols), symbols)
    encoder = Encoder()
    for kind, parameter, values in calls:
        getattr(encoder, kind)("a", parameter, values)
    plain = PlainRangeDecoder(encoder.to_bytes())
    for kind, parameter, values in calls:
        if kind == "symbols":
            read = [plain.symbol([int(w) + 1 for w in row]) for row in parameter]
        else:
            read = [plain.uniform(int(size)) for size in parameter]
        assert read == values.tolist()


def test_coded_bytes_do_not_change():
    """A change of these bytes makes every file unreadable; constriction may not do it unnoticed."""
    encoder = Encoder()
    rows = np.array([[2**23 - 1, 2**22 - 1, 2**22 - 1], [0, 2**24 - 4, 1]], np.float64)
    encoder.symbols("a", rows, np.array([2, 0]))
    encoder.uniform("a", np.array([1, 7, 1 << 20]), np.array([0, 6, 654321]))
    assert encoder.to_bytes().hex() == "3c0000c08a80008e"
    plain = PlainRangeDecoder(encoder.to_bytes())
    assert [plain.symbol([int(w) + 1 for w in row]) for row in rows] == [2, 0]
    assert [plain.uniform(size) for size in (1, 7, 1 << 20)] == [0, 6, 654321]


def test_short_messages_come_back():
    """Their last bytes may be zeros, which are not written, or small numbers, which are."""
    rng = np.random.default_rng(0)
    for _ in range(2000):
        sizes = rng.integers(1, 300, rng.integers(1, 5))
        values = rng.integers(0, sizes)
        encoder = Encoder()
        encoder.uniform("a", sizes, values)
        assert np.array_equal(Decoder(encoder.to_bytes()).uniform("a", sizes, None), values)


def test_nothing_codes_to_nothing():
    encoder = Encoder()
    encoder.uniform("a", np.array([1, 1, 1]), np.array([0, 0, 0]))
    assert encoder.to_bytes() == b""
    assert Decoder(b"").uniform("a", np.array([1, 1]), None).tolist() == [0, 0]


def test_tokens_of_all_values():
    values = np.arange(65536)
    token, bits, raw = to_token(values)
    assert np.array_equal(from_token(token, raw), values)
    assert np.array_equal(token_bits(token), bits)
    assert np.array_equal(token[:DIRECT], values[:DIRECT])
    assert token.min() == 0
    assert token.max() < TOKENS
    assert (np.diff(token) >= 0).all()
    assert ((raw >= 0) & (raw < 1 << bits)).all()
    # Each token's values are exactly its raw bits' worth, so no code space is lost.
    assert np.array_equal(np.bincount(token), 1 << token_bits(np.arange(token.max() + 1)))


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
    assert 8 * len(data) <= 1.03 * bits + 64


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
        assert (data, bits) == (b"", 0)
        assert decoded(data, layout).shape == (0, channels + 5)


@pytest.mark.parametrize("tier", range(6))
@pytest.mark.parametrize("count", [1, 2, 77])
def test_splats_of_one_tier_come_back(tier, count):
    q = random_integers(4000, 4, 150, 90, seed=tier, log2_s=(-2, 11))
    classes = core().energy_classes(np.ascontiguousarray(q[:, :4]), CHROMA_STEP)
    q = np.ascontiguousarray(q[core().tiers(classes, np.ascontiguousarray(q[:, 4])) == tier][:count])
    layout = layout_for(q, 150, 90)
    assert layout.tier_counts == tuple(count if t == tier else 0 for t in range(6))
    data, _ = coded(q, layout)
    assert np.array_equal(as_set(decoded(data, layout)), as_set(q))


def test_splats_of_a_photograph_come_back():
    scene = Path(__file__).parent / "golden" / "many.splat"
    parsed = read(scene.read_bytes(), core().TIERS)
    layout = layout_of(parsed)
    q = decoded(parsed.splats, layout)
    assert np.array_equal(as_set(decoded(coded(q, layout)[0], layout)), as_set(q))


def test_splats_that_no_file_may_hold_are_refused():
    """A centre outside the margin lies in no cell; looking for it must not leave the tree's lists."""
    q = random_integers(50, 3, 60, 40, seed=1, log2_s=(0, 2))
    for column, value in ((6, -40000), (6, 1 << 29), (7, -1 << 29), (7, 1 << 29)):
        far = q.copy()
        far[7, column] = value
        with pytest.raises(ValueError, match="a position is outside the canvas and its margin"):
            coded(far, layout_for(q, 60, 40))
        context = core().Context(60, 40, 3, CHROMA_STEP, STEP_CODE, np.zeros(6, np.int64))
        with pytest.raises(ValueError, match="a centre is out of range"):
            context.add(far)


def test_a_centre_beyond_32_bits_is_damage():
    """A needle far from the top may have columns that a file cannot hold: an error of the stream."""
    q = np.zeros((1, 6), np.int32)
    q[0, 0] = core().MAX_COLOR
    classes = core().energy_classes(np.ascontiguousarray(q[:, :1]), CHROMA_STEP)
    step = int(shape_steps(classes)[0])
    q[0, 1:4] = 9 * 65536 // step, 13 * 65536 // step - 1, 1
    batch = Batch.__new__(Batch)
    batch.layout, batch.q, batch.given = Layout(9, 60000, 1, 10, 600, (0, 1, 0, 0, 0, 0)), q, None
    batch.leaves = Leaves(np.array([[0, 60000 * ONE]]), 16 * ONE, 16 * ONE)
    batch.coder = Decoder(b"")
    shapes = np.ascontiguousarray(q[:, 1:])
    assert core().shapes_in_range(classes, shapes).all()
    first = core().lattice_centers(classes, np.ascontiguousarray([[*shapes[0, :3], 1, 0]], np.int32))
    assert abs(first[0, 0]) * 60000 * ONE // first[0, 1] > (1 << 31) * 64, "the test wants a steeper needle"
    with pytest.raises(BitstreamError, match="a centre leaves 32 bits"):
        batch._lattice_points(classes)


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


@pytest.mark.parametrize("same", ["place", "everything"])
def test_thousands_of_splats_in_one_place(same):
    rng = np.random.default_rng(6)
    colors = rng.integers(-9, 10, (4000, 3)).astype(np.int32)
    colors[:, 0] = rng.integers(1, 9, 4000)
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
    assert np.array_equal(as_set(decoded(data, layout)), as_set(q))
    assert 8 * len(data) <= 1.03 * bits + 64


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


def test_a_set_is_cheaper_than_a_list():
    q = random_integers(2000, 1, 400, 400, seed=8, log2_s=(0, 1))
    encoder = Encoder()
    code_splats(encoder, layout_for(q, 400, 400), q)
    means = core().dequantize(q, 1.0, CHROMA_STEP)[0]
    classes = core().energy_classes(np.ascontiguousarray(q[:, :1]), CHROMA_STEP)
    big = np.zeros((len(q), 2), np.int64)
    points = core().cell_points(classes, np.ascontiguousarray(q[:, 1:]), big, 528 * ONE, 528 * ONE)
    listed = np.log2(points).sum()
    saved = np.log2(np.arange(1, len(q) + 1)).sum()
    assert len(np.unique(means, axis=0)) > 0.99 * len(q)
    assert encoder.bits["position"] < listed - 0.85 * saved


def test_a_prefix_of_the_tiers_is_the_first_splats():
    q = random_integers(1500, 3, 300, 200, seed=9, log2_s=(-2, 7))
    layout = layout_for(q, 300, 200)
    assert all(layout.tier_counts), "the test wants splats in every tier"
    data, _ = coded(q, layout)
    whole = decoded(data, layout)
    for tiers in range(1, core().TIERS + 1):
        part = decoded(data, layout, tiers)
        assert len(part) == sum(layout.tier_counts[:tiers])
        assert np.array_equal(part, whole[: len(part)])


def test_the_counter_counts_what_the_encoder_writes():
    q = random_integers(300, 4, 100, 100, seed=10)
    counter, encoder = Counter(), Encoder()
    code_splats(counter, layout_for(q, 100, 100), q)
    code_splats(encoder, layout_for(q, 100, 100), q)
    assert counter.bits == encoder.bits
    decoder = Decoder(encoder.to_bytes(), count_bits=True)
    code_splats(decoder, layout_for(q, 100, 100), None)
    assert decoder.bits == pytest.approx(encoder.bits)


# Damage behind a right checksum.


def damaged_file(rng: np.random.Generator, layout: Layout, payload: bytes) -> bytes:
    c = layout.channels
    header = Header(layout.width, layout.height, c, layout.step_code, CHROMA_STEP, 0, (9,) * c)
    return write(Container(header, layout.tier_counts, payload))


@pytest.mark.parametrize("seed", range(4))
def test_damage_behind_right_checksums_is_an_error_or_a_picture(seed):
    rng = np.random.default_rng(seed)
    channels = seed + 1
    q = random_integers(150, channels, 60, 40, seed=seed, log2_s=(-1, 4))
    layout = layout_for(q, 60, 40)
    good, _ = coded(q, layout)
    errors = 0
    for trial in range(60):
        payload = bytearray(good)
        counts = layout.tier_counts
        if trial % 4 == 0:
            payload = bytearray(rng.bytes(int(rng.integers(40, 400))))
        elif trial % 4 == 1:
            payload = payload[: int(rng.integers(20, len(payload)))]
        elif trial % 4 == 2:
            payload[int(rng.integers(len(payload)))] ^= 1 << int(rng.integers(8))
        if trial % 4 != 2:
            counts = tuple(int(n) for n in rng.integers(0, 8 * len(payload) // core().TIERS, core().TIERS))
        data = damaged_file(rng, Layout(60, 40, channels, CHROMA_STEP, STEP_CODE, counts), bytes(payload))
        try:
            pixels = splat2d.decode(data, threads=1)
        except BitstreamError:
            errors += 1
        else:
            assert pixels.shape == (40, 60, channels)
    assert errors > 20


def test_a_decoder_never_reads_words_that_are_not_there():
    """Data that ends early reads as zeros, so a short payload is an error or a picture, not a crash."""
    decoder = Decoder(b"")
    rows = np.full((100, 4), (2**24 - 4) / 4)
    assert (decoder.symbols("a", rows, None) == 0).all()


def test_checksum_is_what_the_standard_library_computes():
    q = random_integers(5, 3, 60, 40)
    layout = layout_for(q, 60, 40)
    payload, _ = coded(q, layout)
    data = damaged_file(np.random.default_rng(0), layout, payload)
    assert int.from_bytes(data[-4:], "little") == zlib.crc32(data[data.index(payload) - 8 : -4])
