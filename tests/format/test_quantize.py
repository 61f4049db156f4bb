"""The native quantiser: exact integers of a second implementation, and shapes by the design's formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from splat2d.native import core

from ..support.integers import CHROMA_STEP, ONE, random_integers, shape_steps

CLASSES, TIERS, WIDEST = 36, 6, 132372
FINEST = 64  # 1/64 px
LOG2_S = -2 * 131072, 11 * 131072
KNOWN_CLASSES = np.arange(-1, CLASSES - 1)

# A second implementation, in Python's integers, from the words of cpp/format/quantizer.hpp.

EXP2 = [round(2.0 ** (30 + i / 256)) for i in range(257)]
SINE = [round(32768 * math.sin(math.pi * i / 512)) for i in range(257)]


def exp2_q16(x: int) -> int:
    """2^(x / 65536) in Q16, from a table of 257 and a line between its entries."""
    whole, fraction = max(min(x >> 16, 30), -30), x & 65535
    i, rest = fraction >> 8, fraction & 255
    mantissa = EXP2[i] + ((EXP2[i + 1] - EXP2[i]) * rest >> 8) if i < 256 else EXP2[256]
    return mantissa << whole - 14 if whole >= 14 else mantissa >> 14 - whole


def sine_q15(x: int) -> int:
    """sin(pi x / 65536) in Q15."""
    x = min(x, 65536 - x)
    i = min(x >> 7, 255)
    return SINE[i] + ((SINE[i + 1] - SINE[i]) * (x - 128 * i) >> 7)


def energy_class(colors: list[int], chroma_step: int) -> int:
    """The last class whose least 64 R^2 is reached: 2^(r + 5.5), and class -1 below 2^5.5."""
    weights = [8, 8, 8, 8] if len(colors) < 3 else [8, chroma_step, chroma_step, 8]
    energy = sum((k * w) ** 2 for k, w in zip(colors, weights, strict=False))
    reached = [r for r in range(CLASSES - 1) if energy >= (1518500250 << r + 1) >> 26]
    return max(reached, default=-1)


def shape_step(r: int) -> int:
    """1.63 / R in octaves, Q16, at most 1.4 nats."""
    value = 154116 if r % 2 == 0 else 108976
    return min(max(value << 1 if r < 0 else value >> r // 2, 64), WIDEST)


def angle_count(r: int, aspect: int) -> int:
    if aspect == 0:
        return 1
    ratio, energy = aspect * shape_step(r), 32768 * r
    difference = exp2_q16(energy + ratio) - exp2_q16(energy - ratio) >> 4
    return min(1 + (difference * 6434 >> 24), 4096)


def tier_of(r: int, area: int) -> int:
    return min(max(TIERS - 2 - area * shape_step(r) // WIDEST, 0), TIERS - 1)


def area_range(r: int, tier: int) -> tuple[int, int]:
    """Lowest and highest area index whose splats are in a tier and within the limits of s."""
    step = shape_step(r)
    low, high = -(-LOG2_S[0] // step), LOG2_S[1] // step
    inside = [a for a in range(low, high + 1) if tier_of(r, a) == tier]
    return inside[0], inside[-1]


def lattice(r: int, area: int, aspect: int, angle: int) -> tuple[int, int, int]:
    """Column and row distance and shear of the centres' lattice, from the Cholesky factor of S."""
    step = shape_step(r)
    turn = (angle << 16) // angle_count(r, aspect)
    sine = sine_q15(turn)
    cosine = sine_q15(32768 - turn) if turn <= 32768 else -sine_q15(turn - 32768)
    v1, v2 = exp2_q16((area + aspect) * step), exp2_q16((area - aspect) * step)
    yy = max(((sine * sine >> 15) * v1 + (cosine * cosine >> 15) * v2) >> 15, 1)
    xy = (sine * cosine >> 15) * (v1 - v2) >> 15
    sy = max(math.isqrt(yy << 16), 1)
    sx = (exp2_q16(area * step) << 16) // sy
    value = 92406 if r % 2 == 0 else 65340
    position_step = value << 1 if r < 0 else value >> r // 2
    hx, hy = (min(max(position_step * s >> 20, FINEST), 32 * ONE) for s in (sx, sy))
    return hx, hy, (xy << 12) // yy


def center(shape: list[int], r: int) -> tuple[int, int]:
    hx, hy, shear = lattice(r, *shape[:3])
    y = shape[3] * hy
    return shape[4] * hx + (shear * y >> 12), y


@pytest.fixture(scope="module")
def splats() -> np.ndarray:
    """A few thousand splats of every class that have a centre on a canvas of 300 x 200 px."""
    return random_integers(4000, 3, 300, 200, seed=1)


def parts(q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Classes and shapes of integers [N, 8]."""
    classes = core().energy_classes(np.ascontiguousarray(q[:, :3]), CHROMA_STEP)
    return classes, np.ascontiguousarray(q[:, 3:])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("chroma_step", [4, 8, 10, 16])
def test_energy_classes(channels, chroma_step):
    rng = np.random.default_rng(channels)
    limit = core().MAX_COLOR
    colors = np.rint(rng.normal(size=(2000, channels)) * np.exp2(rng.uniform(0, 15, (2000, 1))))
    colors = np.clip(colors, -limit, limit).astype(np.int32)
    colors[0] = 0
    found = core().energy_classes(colors, chroma_step)
    assert found.tolist() == [energy_class(row, chroma_step) for row in colors.tolist()]
    assert found.min() == -1
    assert found.max() < CLASSES - 1


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_energy_classes_of_the_largest_colours(channels):
    rng = np.random.default_rng(channels)
    limit = core().MAX_COLOR
    colors = rng.integers(limit // 2, limit + 1, (200, channels)).astype(np.int32)
    colors[0] = limit
    found = core().energy_classes(colors, 16)
    assert found.tolist() == [energy_class(row, 16) for row in colors.tolist()]


def test_energy_class_is_the_norm_in_powers_of_sqrt_2():
    """R of DESIGN.md: |k| rounded to a power of sqrt(2), at least 0.7."""
    k = np.arange(1, 30000, dtype=np.int32)[:, None]
    classes = core().energy_classes(k, 8)
    exact = 2 * np.log2(k[:, 0])
    assert np.abs(classes - exact).max() <= 0.5 + 1e-6
    assert core().energy_classes(np.zeros((1, 1), np.int32), 8).tolist() == [-1]


def test_shape_step_is_1_63_over_r():
    for r in KNOWN_CLASSES.tolist():
        step = shape_step(r) * math.log(2) / 65536
        # Integer parts of small numbers, and no less than 64 / 65536 octaves.
        ideal = max(min(1.63 / 2 ** (r / 2), 1.4), 64 * math.log(2) / 65536)
        assert step == pytest.approx(ideal, rel=0.002, abs=math.log(2) / 65536)
    assert np.array_equal(
        shape_steps(KNOWN_CLASSES.astype(np.int32)), [shape_step(r) for r in KNOWN_CLASSES.tolist()]
    )


def test_native_steps_are_1_63_over_r():
    """Two areas that differ by one, in floats."""
    k = np.array([[round(2 ** (r / 2)), 0, 0, 0, 0, 0] for r in range(2, 16)], np.int32)
    bigger = k.copy()
    bigger[:, 1] = 1
    classes = core().energy_classes(np.ascontiguousarray(k[:, :1]), CHROMA_STEP)
    assert classes.tolist() == list(range(2, 16))
    log_area = [-0.5 * np.log(c[:, 0] * c[:, 2]) for c in (core().dequantize(q, 1.0)[1] for q in (k, bigger))]
    assert log_area[1] - log_area[0] == pytest.approx(1.63 / 2 ** (classes / 2), rel=0.005)


def test_tiers_and_ranges():
    rng = np.random.default_rng(2)
    classes = rng.integers(-1, CLASSES - 1, 5000).astype(np.int32)
    areas = (rng.uniform(*LOG2_S, 5000) / shape_steps(classes)).astype(np.int32)
    found = core().tiers(classes, areas)
    assert found.tolist() == [tier_of(r, a) for r, a in zip(classes.tolist(), areas.tolist(), strict=True)]
    assert set(found.tolist()) == set(range(TIERS))


@pytest.mark.parametrize("tier", range(TIERS))
def test_area_ranges_hold_exactly_the_areas_of_a_tier(tier):
    classes = np.arange(-1, 25, dtype=np.int32)  # beyond, steps no longer shrink
    ranges = core().area_ranges(classes, tier)
    assert ranges.tolist() == [list(area_range(r, tier)) for r in classes.tolist()]


def test_no_class_has_an_empty_tier():
    classes = KNOWN_CLASSES.astype(np.int32)
    ranges = np.stack([core().area_ranges(classes, tier) for tier in range(TIERS)])
    assert (ranges[..., 0] <= ranges[..., 1]).all()
    # Coarse first, without a gap.
    assert np.array_equal(ranges[:-1, :, 0], ranges[1:, :, 1] + 1)
    # What the widest range spans fits the integer planes.
    assert (ranges[..., 1] - ranges[..., 0]).max() < 65536


def test_angle_counts():
    rng = np.random.default_rng(3)
    classes = rng.integers(-1, CLASSES - 1, 5000).astype(np.int32)
    aspects = (rng.exponential(30000, 5000) / shape_steps(classes)).astype(np.int32)
    found = core().angle_counts(classes, aspects)
    assert found.tolist() == [
        angle_count(r, a) for r, a in zip(classes.tolist(), aspects.tolist(), strict=True)
    ]
    assert (found[aspects == 0] == 1).all()
    assert found.min() == 1
    assert found.max() == core().MAX_ANGLES


def test_angle_step_is_about_one_over_r_sinh():
    classes = np.repeat(np.arange(-1, 10, dtype=np.int32), 20)
    aspects = np.tile(np.arange(1, 21, dtype=np.int32), 11)
    ratio = aspects * shape_steps(classes) * math.log(2) / 65536
    ideal = math.pi * 2 ** (classes / 2) * np.sinh(ratio)
    counts = core().angle_counts(classes, aspects)
    few = ideal < 1000
    assert few.sum() > 50
    assert (np.abs(counts - ideal)[few] <= 1.01 + 0.01 * ideal[few]).all()


def test_shapes_in_range():
    rng = np.random.default_rng(4)
    classes = rng.integers(-1, CLASSES - 1, 5000).astype(np.int32)
    step = shape_steps(classes)
    s = rng.uniform(-3, 12, (5000, 2)) * 131072
    shapes = np.stack([s.sum(1) / 2 // step, (s[:, 1] - s[:, 0]) / 2 // step], 1).astype(np.int32)
    area, aspect = shapes.astype(np.int64).T
    expected = (aspect >= 0) & ((area - aspect) * step >= LOG2_S[0]) & ((area + aspect) * step <= LOG2_S[1])
    found = core().shapes_in_range(classes, shapes)
    assert np.array_equal(found, expected)
    assert 500 < found.sum() < 4500


def test_lattice_centers(splats):
    classes, shapes = parts(splats)
    assert set(classes.tolist()) >= set(range(30))
    expected = [center(shape, r) for shape, r in zip(shapes.tolist(), classes.tolist(), strict=True)]
    assert core().lattice_centers(classes, shapes).tolist() == [list(xy) for xy in expected]


def boxes(centers: np.ndarray, width: int, height: int) -> np.ndarray:
    """The corner of the cell that holds each centre, of a grid of cells."""
    return centers // [width, height] * [width, height]


@pytest.mark.parametrize(("width", "height"), [(ONE, ONE), (2 * ONE, ONE), (16 * ONE, 8 * ONE), (3000, 5000)])
def test_cell_points_and_indices_are_those_of_a_plain_count(splats, width, height):
    classes, shapes = parts(splats[::4])
    corners = boxes(core().lattice_centers(classes, shapes), width, height)
    points = core().cell_points(classes, shapes, corners, width, height)
    indices = core().cell_indices(classes, shapes, corners, width, height)
    rows = zip(
        classes.tolist(), shapes.tolist(), corners.tolist(), points.tolist(), indices.tolist(), strict=True
    )
    for r, shape, (x0, y0), total, index in rows:
        hx, hy, shear = lattice(r, *shape[:3])
        count, before = 0, None
        for iy in range(-(-y0 // hy), -(-(y0 + height) // hy)):
            offset = shear * (iy * hy) >> 12
            first, end = -((offset - x0) // hx), -((offset - x0 - width) // hx)
            if iy == shape[3]:
                assert first <= shape[4] < end
                before = count + shape[4] - first
            count += end - first
        assert (total, index) == (count, before)


def test_centers_are_the_inverse_of_indices_over_whole_cells(splats):
    """Every index of a cell is one lattice point inside it, and no two are the same."""
    width, height = 4 * ONE, 2 * ONE
    classes, shapes = parts(splats)
    corners = boxes(core().lattice_centers(classes, shapes), width, height)
    points = core().cell_points(classes, shapes, corners, width, height)
    chosen = np.flatnonzero(points < 400)
    assert len(chosen) > 500
    owner = np.repeat(chosen, points[chosen])
    index = np.concatenate([np.arange(n) for n in points[chosen]])
    r, cells = np.ascontiguousarray(classes[owner]), np.ascontiguousarray(corners[owner])
    whole = np.ascontiguousarray(shapes[owner])
    whole[:, 3:] = core().cell_centers(r, whole, cells, width, height, index)
    assert np.array_equal(core().cell_indices(r, whole, cells, width, height), index)
    centers = core().lattice_centers(r, whole)
    assert ((centers >= cells) & (centers - cells < [width, height])).all()
    assert len(np.unique(np.column_stack([owner, whole[:, 3:]]), axis=0)) == len(owner)


def test_cell_without_such_a_point_is_refused():
    shapes = np.zeros((1, 5), np.int32)
    classes, corner = np.zeros(1, np.int32), np.zeros((1, 2), np.int64)
    points = core().cell_points(classes, shapes, corner, ONE, ONE)
    with pytest.raises(ValueError, match="no such lattice point"):
        core().cell_centers(classes, shapes, corner, ONE, ONE, points)


def test_no_leaf_has_more_points_than_a_coder_codes_at_once(splats):
    for tier, log2 in enumerate(core().LEAF_LOG2):
        classes, shapes = parts(splats)
        chosen = core().tiers(classes, np.ascontiguousarray(shapes[:, 0])) == tier
        classes, shapes = np.ascontiguousarray(classes[chosen]), np.ascontiguousarray(shapes[chosen])
        width, height = ONE << (log2 + 1) // 2, ONE << log2 // 2
        corners = boxes(core().lattice_centers(classes, shapes), width, height)
        points = core().cell_points(classes, shapes, corners, width, height)
        assert points.min() >= 1
        assert points.max() <= 1 << 22


def test_position_step_is_1_41_over_r_of_sigma():
    """Round splats: rows and columns are 1.41 s / R apart."""
    for r in range(12):
        area = round(math.log(16.0) / (shape_step(r) * math.log(2) / 65536))
        s = math.exp(area * shape_step(r) * math.log(2) / 65536 / 2)
        shapes = np.array([[area, 0, 0, 0, 1], [area, 0, 0, 1, 0]], np.int32)
        across, down = core().lattice_centers(np.full(2, r, np.int32), shapes).tolist()
        expected = 1.41 * s / 2 ** (r / 2) * ONE
        assert across[0] == pytest.approx(expected, rel=0.002)
        assert down[1] == pytest.approx(expected, rel=0.002)
        assert (across[1], down[0]) == (0, 0)


def test_lattice_follows_the_splat():
    """A row further along a slanted needle moves across as the needle does: by S_xy / S_yy a px."""
    r, area, aspect = 4, 8, 8
    n = angle_count(r, aspect)
    shapes = np.array([[area, aspect, angle, 200, 0] for angle in range(n)], np.int32)
    x, y = core().lattice_centers(np.full(n, r, np.int32), shapes).T
    colors = np.tile(np.array([[4, 0, 0]], np.int32), (n, 1))
    conics = core().dequantize(np.ascontiguousarray(np.hstack([colors, shapes])), 1.0)[1].astype(np.float64)
    slope = -conics[:, 1] / conics[:, 0]  # of the line where q is least for each y
    assert x / y == pytest.approx(slope, abs=0.01 + 0.01 * np.abs(slope).max())


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("step", "chroma_step"), [(0.3, 10), (2.0, 8)])
def test_floats_by_the_designs_formulas(channels, step, chroma_step):
    q = random_integers(1000, channels, 300, 200, seed=channels, log2_s=(-2, 8)).astype(np.int64)
    means, conics, colors = core().dequantize(q.astype(np.int32), step, chroma_step)
    k = q[:, :channels]
    classes = core().energy_classes(np.ascontiguousarray(k, np.int32), chroma_step)
    valid = core().shapes_in_range(classes, np.ascontiguousarray(q[:, channels:], np.int32))
    assert valid.mean() > 0.9
    unit = shape_steps(classes) * math.log(2) / 65536
    log_area, log_ratio = q[:, channels] * unit, q[:, channels + 1] * unit
    angle = np.pi * q[:, channels + 2] / core().angle_counts(classes, q[:, channels + 1].astype(np.int32))
    s1, s2 = np.exp((log_area + log_ratio) / 2), np.exp((log_area - log_ratio) / 2)

    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # [2, 2, N]
    inverse = np.einsum("ijn,jn,kjn->nik", turn, np.array([s1**-2, s2**-2]), turn)
    found = np.stack([conics[:, [0, 1]], conics[:, [1, 2]]], 1)
    scale = np.abs(inverse).max((1, 2))
    assert (np.abs(found - inverse).max((1, 2)) <= 2e-7 * scale)[valid].all()

    rgb = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    basis = np.eye(channels)
    if channels >= 3:
        basis[:3, :3] = rgb
    weight = np.ones(channels)
    weight[1:3] = chroma_step / 8 if channels >= 3 else 1
    expected = (k * weight * step) @ basis / np.sqrt(np.pi * s1 * s2)[:, None]
    assert (np.abs(colors - expected) <= 4e-7 * np.abs(expected).max(1, keepdims=True))[valid].all()

    shapes = np.ascontiguousarray(q[:, channels:], np.int32)
    centers = core().lattice_centers(classes, shapes) / ONE - core().MARGIN
    assert np.array_equal(means, centers.astype(np.float32))


def test_colour_basis_is_orthonormal():
    """So that D^2 / 12 of one component is D^2 / 12 of the picture."""
    for channels in (1, 2, 3, 4):
        q = np.hstack([100 * np.eye(channels, dtype=np.int32), np.zeros((channels, 5), np.int32)])
        colors = core().dequantize(np.ascontiguousarray(q, np.int32), 1.0, 8)[2].astype(np.float64)
        gram = colors @ colors.T * math.pi / 100**2
        assert gram == pytest.approx(np.eye(channels), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("dequantize", (np.zeros((3, 5), np.int32), 1.0)),
        ("dequantize", (np.zeros((3, 10), np.int32), 1.0)),
        ("energy_classes", (np.zeros((3, 5), np.int32), 8)),
        ("tiers", (np.zeros(3, np.int32), np.zeros(4, np.int32))),
        ("angle_counts", (np.zeros(3, np.int32), np.zeros(2, np.int32))),
        ("area_ranges", (np.zeros(3, np.int32), 6)),
        ("area_ranges", (np.zeros(3, np.int32), -1)),
        ("lattice_centers", (np.zeros(3, np.int32), np.zeros((3, 4), np.int32))),
    ],
)
def test_wrong_shapes_are_refused(name, arguments):
    with pytest.raises(ValueError, match="must"):
        getattr(core(), name)(*arguments)


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_wrong_dtypes_are_refused(dtype):
    with pytest.raises(TypeError):
        core().dequantize(np.zeros((3, 8), dtype), 1.0)
