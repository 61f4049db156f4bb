"""The entropy model's network and its inputs against a slow model, exactly, on every instruction set."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from splat2d.codec.coder import Decoder
from splat2d.codec.network import HEADS, PATH, network
from splat2d.codec.splats import SECTORS, code_splats
from splat2d.codec.tokens import TOKENS
from splat2d.native import core

from . import model
from .integers import CHROMA_STEP, ONE, STEP_CODE, coded, layout_for, random_integers

ROOT = Path(__file__).resolve().parents[1]
NONE = np.zeros(0, np.int64)
SHIFTS = [(127, 6), (127, 0), (40, 3), (3, 8), (1, 0)]  # largest weight, shift: from saturated to all but 0


def random_inputs(seed: int, count: int, columns: tuple[int, ...]) -> np.ndarray:
    """Integers [count, *columns] of all sizes, some of them at the limits."""
    rng = np.random.default_rng(seed)
    size = rng.choice([0, 3, 100, 1023], (count, *(1 for _ in columns)))
    x = rng.integers(-1023, 1024, (count, *columns))
    return np.where(rng.random(x.shape) < 0.5, np.sign(x) * size, np.clip(x, -size, size))


def case(seed: int, count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    near = random_inputs(seed, count, (8, 22))
    near[:, :, 0] = 64 * (np.arange(8) < rng.integers(0, 9, (count, 1)))
    return {
        "place": random_inputs(seed + 1, count, (15,)),
        "near": near,
        "self": random_inputs(seed + 2, count, (11,)),
        "levels": rng.integers(0, 14, count),
        "limits": rng.integers(1, 60, count),
    }


def run_network(net, inputs: dict[str, np.ndarray], heads: int, threads: int = 1) -> list[np.ndarray]:
    """Everything that the native network makes of inputs."""
    place, near, own = (np.ascontiguousarray(inputs[k], np.float32) for k in ("place", "near", "self"))
    levels = inputs["levels"].astype(np.int32)
    out = []
    for tier in (0, 5):
        hidden = net.embed(place, near, tier, threads)
        out.append(hidden)
        for head in range(heads):
            for limits in (NONE, inputs["limits"]):
                out.append(net.rows(head, hidden, own, levels, limits, threads))
    return out


def digest(arrays: list[np.ndarray]) -> str:
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


def digest_of_all(threads: int) -> str:
    """What the child processes compute."""
    out = []
    for seed, (size, shift) in enumerate(SHIFTS):
        slow = model.SlowNetwork(seed, size, shift)
        out += run_network(core().Network(slow.to_bytes()), case(seed, 700), len(slow.heads), threads)
    out += run_network(network(), case(9, 300), len(HEADS), threads)
    q = random_integers(2500, 3, 300, 200, seed=5, log2_s=(-1, 4))
    layout = layout_for(q, 300, 200)
    data, _ = coded(q, layout)
    again = code_splats(Decoder(data), layout, None, threads=threads)
    return digest([*out, np.frombuffer(data, np.uint8), again])


@pytest.mark.parametrize(("size", "shift"), SHIFTS)
@pytest.mark.parametrize("count", [1, 2, 65])
def test_layers_are_those_of_whole_numbers(size, shift, count):
    slow = model.SlowNetwork(size + shift, size, shift)
    net, inputs = core().Network(slow.to_bytes()), case(count, count)
    found = iter(run_network(net, inputs, len(slow.heads)))
    for tier in (0, 5):
        hidden = slow.embed(inputs["place"], inputs["near"], tier)
        assert np.array_equal(next(found), hidden)
        for head in range(len(slow.heads)):
            for limits in (None, inputs["limits"]):
                expected = slow.rows(head, hidden, inputs["self"], inputs["levels"], limits)
                assert np.array_equal(next(found) + 1, expected)
    assert next(found, None) is None


@pytest.mark.parametrize("isa", ["base", "v3", "v4"])
@pytest.mark.parametrize("threads", [1, 3])
def test_all_instruction_sets_and_threads_give_the_same_rows_and_files(isa, threads):
    # The installed package comes first; the root is there for the tests alone.
    code = f"import sys; sys.path.append({str(ROOT)!r}); from tests.test_network import digest_of_all as f; "
    done = subprocess.run(
        [sys.executable, "-c", f"{code}print(f({threads}))"],
        cwd=ROOT / "tests",
        env={**os.environ, "SPLAT2D_ISA": isa},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == digest_of_all(1), done.stderr


def test_rows_sum_to_the_coders_total():
    inputs = case(3, 500)
    for rows in run_network(network(), inputs, len(HEADS)):
        if rows.dtype == np.float64:
            assert (rows >= 0).all()
            assert (rows == np.rint(rows)).all()
            assert (rows.sum(1) + rows.shape[1] == 1 << 24).all()


def test_a_limit_leaves_one_unit_to_what_lies_beyond():
    inputs = case(4, 200)
    limits = inputs["limits"]
    _, _, rows, *_ = run_network(network(), inputs, 1)
    beyond = np.arange(rows.shape[1]) >= limits[:, None]
    assert (rows[beyond] == 0).all()
    assert (rows[~beyond].sum() + 200 * rows.shape[1]) == 200 << 24


# The network's file.


def test_the_shipped_network_fits_the_codec():
    net = network()
    assert [net.symbols(h) for h in range(len(HEADS))] == [TOKENS] * 6 + [SECTORS] + [2] * 4
    data = zlib.decompress(PATH.read_bytes())
    assert data[0] == len(HEADS)


def test_malformed_networks_are_refused():
    slow = model.SlowNetwork(1, 20, 6)
    data = slow.to_bytes()
    Network = core().Network
    Network(data)
    for size in (0, 1, 2, 3, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(ValueError, match="the network ends early"):
            Network(data[:size])
    with pytest.raises(ValueError, match="bytes to spare"):
        Network(data + b"\0")
    for at, value in ((1, 0), (2, 9), (2, 255)):
        with pytest.raises(ValueError, match="bad layer"):
            Network(data[:at] + bytes([value]) + data[at + 1 :])
    one_output = model.SlowNetwork(1, 20, 6)
    one_output.split[2].weight, one_output.split[2].bias = (
        np.hstack([v, v]) for v in (one_output.split[2].weight, one_output.split[2].bias)
    )
    with pytest.raises(ValueError, match="bad layer"):
        Network(one_output.to_bytes())


@pytest.mark.parametrize("sign", [-1, 1])
def test_sums_that_floats_cannot_hold_are_refused(sign):
    slow = model.SlowNetwork(2, 127, 6)
    layer = slow.trunk
    room = (1 << 24) - 1 - 1023 * int(np.abs(layer.weight[:, -1]).sum())
    layer.bias[5, -1] = sign * room
    core().Network(slow.to_bytes())
    layer.bias[5, -1] = sign * (room + 1)
    with pytest.raises(ValueError, match="sums are not exact"):
        core().Network(slow.to_bytes())
    layer.bias[5, -1] = -(1 << 31)
    with pytest.raises(ValueError, match="sums are not exact"):
        core().Network(slow.to_bytes())


def test_random_bytes_are_no_network():
    rng = np.random.default_rng(0)
    for _ in range(200):
        with pytest.raises(ValueError, match="the network"):
            core().Network(rng.bytes(int(rng.integers(0, 3000))))


# Angles.


def test_folded_angles_are_the_slow_ones():
    rng = np.random.default_rng(5)
    rows = [model.normalise((rng.random(32) ** p * 2**20).astype(int).tolist()) for p in (1, 4, 40) * 8]
    rows += [model.normalise([int(i == j) for i in range(32)]) for j in (0, 5, 31)]
    weights = np.array(rows, np.float64) - 1
    for count in (1, 2, 3, 7, 16, 31, 32):
        found = core().fold_angles(weights, np.full(len(rows), count, np.int32)) + 1
        assert (found.sum(1) == 1 << 24).all()
        assert found.min() >= 1
        assert (found[:, count:] == 1).all()
        for row, folded in zip(rows, found, strict=True):
            assert folded.astype(int).tolist() == model.fold(row, count)


def test_thirty_two_angles_are_the_sectors():
    rng = np.random.default_rng(6)
    row = model.normalise(rng.integers(1, 1000, 32).tolist())
    found = core().fold_angles(np.array([row], np.float64) - 1, np.array([32], np.int32))[0] + 1
    assert np.abs(found - row).max() <= 32


def test_angle_counts_out_of_range_are_refused():
    rows = np.zeros((1, 32))
    for count in (0, -1, 33):
        with pytest.raises(ValueError, match="count out of range"):
            core().fold_angles(rows, np.array([count], np.int32))


# Inputs.


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("known", "log2_s"), [(0, (-2, 11)), (5, (-2, 11)), (250, (-2, 11)), (250, (-1, 3))])
def test_inputs_of_places_are_the_slow_ones(channels, known, log2_s):
    rng = np.random.default_rng(channels + known)
    width, height = 170, 110
    q = random_integers(known, channels, width, height, seed=known, log2_s=log2_s)
    counts = tuple(int(n) for n in rng.integers(0, 900, 6))
    context = core().Context(width, height, channels, CHROMA_STEP, STEP_CODE, np.array(counts, np.int64))
    context.add(q[: len(q) // 2].copy())
    context.add(q[len(q) // 2 :].copy())
    classes = core().energy_classes(np.ascontiguousarray(q[:, :channels]), CHROMA_STEP)
    centers = core().lattice_centers(classes, np.ascontiguousarray(q[:, channels:]))
    points = rng.integers(0, [(width + 128) * ONE, (height + 128) * ONE], (40, 2))
    points[:10] = centers[:10] if len(centers) >= 10 else points[:10]
    points[10:12] = 0, (1 << 30) - 1
    surroundings = rng.integers(-900, 900, (40, 4))
    for tier in range(6):
        place, near = context.around(points, surroundings, tier)
        for i, point in enumerate(points.tolist()):
            rest = (width, height, channels, CHROMA_STEP, STEP_CODE, counts, tier, q.tolist())
            assert place[i].tolist() == model.place_inputs(tuple(surroundings[i].tolist()), *rest)
            rows = model.near_inputs(point, tier, channels, CHROMA_STEP, q.tolist(), centers.tolist())
            assert near[i, : len(rows)].tolist() == rows
            assert not near[i, len(rows) :].any()


def test_equals_are_taken_in_coding_order():
    """Splats of one place and size have one score: the first eight of them count."""
    q = np.repeat(random_integers(60, 1, 64, 64, seed=4, log2_s=(0, 1))[:1], 20, 0)
    q[:, 0] = 1
    context = core().Context(64, 64, 1, CHROMA_STEP, STEP_CODE, np.full(6, 20, np.int64))
    classes = core().energy_classes(np.ascontiguousarray(q[:, :1]), CHROMA_STEP)
    q[10:, 0] = -1
    context.add(q)
    center = core().lattice_centers(classes, np.ascontiguousarray(q[:, 1:]))[:1]
    near = context.around(np.ascontiguousarray(center), np.zeros((1, 4), np.int64), 4)[1]
    assert near[0, :, 7].tolist() == [64] * 8


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_inputs_of_splats_themselves_are_the_slow_ones(channels):
    q = random_integers(120, channels, 90, 70, seed=channels)
    context = core().Context(90, 70, channels, CHROMA_STEP, STEP_CODE, np.ones(6, np.int64))
    for tier in (0, 3, 5):
        own, levels = np.zeros((len(q), core().SELF_INPUTS), np.float32), np.zeros(len(q), np.int32)
        for known in range(2 * channels + 4):
            if known:
                context.learn(q, tier, known, own, levels)
            for i, row in enumerate(q.tolist()):
                expected = model.self_inputs(row, tier, channels, CHROMA_STEP, known)
                assert (own[i].tolist(), levels[i]) == expected


def test_surroundings_of_a_tiers_leaves_are_the_slow_ones():
    rng = np.random.default_rng(8)
    points = rng.integers(0, 60 * ONE, (300, 2))
    points[:20] = points[0]
    for tier in range(6):
        assert core().surroundings(points, tier).tolist() == model.surroundings(points.tolist(), tier)
    assert core().surroundings(np.array([[(1 << 30) - 1, 0]]), 5).tolist() == [[0, 0, 0, 0]]


# Positions.


def slow_cell(tree_cells, at, along_x, half, this) -> list[int]:
    """Inputs 0 to 9 of the cell at (x, y); tree_cells maps corners to counts."""
    earlier, recent, (w, h) = this
    x, y = at
    step = (2 * half, 0) if along_x else (0, 2 * half)
    other = (0, h) if along_x else (w, 0)

    def inside(points, corner, first):
        move = 0 if first else half
        low = (corner[0] + move, corner[1]) if along_x else (corner[0], corner[1] + move)
        size = (half, h) if along_x else (w, half)
        return int(((points >= low) & (points < np.add(low, size))).all(1).sum())

    before, after = (x - step[0], y - step[1]), (x + step[0], y + step[1])
    sides = ((x - other[0], y - other[1]), (x + other[0], y + other[1]))
    values = [tree_cells[at]] + [inside(p, at, f) for p in (earlier, recent) for f in (True, False)]
    values += [tree_cells.get(before, 0), tree_cells.get(after, 0), sum(tree_cells.get(s, 0) for s in sides)]
    values.append(inside(earlier, before, False) if before in tree_cells else 0)
    values.append(inside(earlier, after, True) if after in tree_cells else 0)
    return [model.log2_q6(1 + v) for v in values]


@pytest.mark.parametrize(("width", "height"), [(200, 90), (40, 700)])
def test_cells_of_the_tree_see_their_neighbours(width, height):
    """Links between neighbouring cells, kept level by level, against a search by coordinates."""
    rng = np.random.default_rng(width)
    limit = [(width + 128) * ONE, (height + 128) * ONE]
    earlier, positions = rng.integers(0, limit, (300, 2)), rng.integers(0, limit, (400, 2))
    positions[:150] = positions[0] + rng.integers(0, 30 * ONE, (150, 2))
    positions = np.ascontiguousarray(np.minimum(positions, np.subtract(limit, 1)))
    tree = core().SplitTree(width, height, 3, STEP_CODE, 400, 1000, 120, earlier, positions)
    w, h = (ONE << (side + 127).bit_length() for side in (width, height))
    levels = 0
    while tree.next_level(network()):
        along_x = w >= h
        half = (w if along_x else h) // 2
        corners = np.unique(positions // (w, h), axis=0)
        cells = {
            (int(x) * w, int(y) * h): int((positions // (w, h) == (x, y)).all(1).sum()) for x, y in corners
        }
        found = tree.inputs()
        this = earlier, earlier[-120:], (w, h)
        expected = Counter(tuple(slow_cell(cells, at, along_x, half, this)) for at in cells)
        # Cells with a half outside the margin are not coded and have no inputs.
        coded = Counter(tuple(row[:10].astype(int).tolist()) for row in found if row[0])
        assert not coded - expected
        levels += coded == expected
        for group in range(tree.groups):
            rows = tree.rows(group)
            if not tree.is_uniform(group):
                assert (rows >= 0).all()
                assert (rows.sum(1) + rows.shape[1] == 1 << 24).all()
            assert tree.put(group, tree.values(group))
        tree.finish_level()
        w, h = (half, h) if along_x else (w, half)
    assert levels > 5
    corners, order = tree.leaves()
    assert np.array_equal(positions[order] // (w, h) * (w, h), corners)
