"""The refinement on a GPU: its own source emulated on the CPU against the core."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from itertools import combinations, pairwise

import numpy as np
import pytest
from PIL import Image

from splat2d.errors import ShapeError
from splat2d.fit import cuda
from splat2d.fit.rates import AREA_OFFSET, AREAS, ASPECTS, COLORS, CONTEXTS, rate_tables
from splat2d.format.header import step_code
from splat2d.format.network import network
from splat2d.native import core
from tests.support import emulated

STEP = 0.1
LAMBDA = 0.107 * STEP**2
CHROMA_STEP = 10  # eighths of D
CELL = 16  # px; that one visit at a time may touch
OWN = 1 << 14  # px that each of several workers sees to
MOST_SHARED = 16  # splats by several workers at the same time


@pytest.fixture(scope="module")
def chelsea(samples) -> np.ndarray:
    """A cat's eye and ear, [3, 64, 96]."""
    with Image.open(samples / "chelsea.png") as picture:
        pixels = np.asarray(picture.convert("RGB").crop((120, 90, 216, 154)), np.float32) / 255
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def picture_of(chelsea: np.ndarray, channels: int) -> np.ndarray:
    """One to four channels of it, alpha last."""
    alpha = np.ones_like(chelsea[:1])
    alpha[:, :, :9] = 0.4
    planes = {1: [chelsea[1:2]], 2: [chelsea[1:2] * alpha, alpha], 3: [chelsea], 4: [chelsea * alpha, alpha]}
    return np.ascontiguousarray(np.concatenate(planes[channels]))


def weights_of(picture: np.ndarray) -> list[np.ndarray]:
    """Of a distortion on three levels."""
    rng = np.random.default_rng(0)
    _, height, width = picture.shape
    sizes = [(height, width), ((height + 1) // 2, (width + 1) // 2), ((height + 3) // 4, (width + 3) // 4)]
    return [rng.uniform(0.1, 1, size).astype(np.float32) for size in sizes]


CHROMA = 0.5  # what errors of chroma count in weighed fits


def fitter_of(module, picture: np.ndarray, background: np.ndarray, weights=None):
    distortion = None if weights is None else module.Distortion(weights, CHROMA)
    return module.Fitter(picture, background, STEP, LAMBDA, distortion=distortion)


def background_of(picture: np.ndarray) -> np.ndarray:
    return picture.mean((1, 2)).astype(np.float32)


def fitted(picture: np.ndarray, weights=None) -> np.ndarray:
    """Integers of a quick fit of the core's."""
    fitter = fitter_of(core(), picture, background_of(picture), weights)
    for _ in range(4):
        fitter.prune(1.0)
        fitter.refresh()
        fitter.seed(17 * LAMBDA, 0.4)
        fitter.refresh()
        for _ in range(5):
            fitter.step()
    return fitter.quantize()


def refiner_of(module, integers: np.ndarray, picture: np.ndarray, weights=None):
    return module.Refiner(integers, fitter_of(module, picture, background_of(picture), weights), STEP)


def tables_of(refiner, picture: np.ndarray):
    return rate_tables(refiner.integers(), refiner.classes(), len(picture), picture[0].size)


def bits_of(integers: np.ndarray, tables) -> float:
    """What the tables say that integers [N, C + 5] cost."""
    color, area, aspect, position = tables
    channels = len(color)
    q = integers[integers[:, :channels].any(1)]
    r = core().energy_classes(np.ascontiguousarray(q[:, :channels]), CHROMA_STEP)
    k = np.abs(q[:, :channels])
    bits = np.zeros(len(q))
    for c in range(channels):
        context = np.minimum(k[:, 1], CONTEXTS - 1) if c == 2 else 0
        bits += color[c, context, np.minimum(k[:, c], COLORS - 1)]
    shapes = np.ascontiguousarray(q[:, channels:])
    bits += area[r + 1, np.clip(shapes[:, 0] + AREA_OFFSET, 0, AREAS - 1)]
    bits += aspect[r + 1, np.minimum(shapes[:, 1], ASPECTS - 1)]
    bits += np.log2(core().angle_counts(r, np.ascontiguousarray(shapes[:, 1])))
    # The lattice's steps: from the origin to its neighbours.
    corners = [shapes * [1, 1, 1, 0, 0] + [0, 0, 0, iy, ix] for iy, ix in ((0, 0), (1, 0), (0, 1))]
    origin, below, right = (core().lattice_centers(r, c.astype(np.int32)) for c in corners)
    points = (right - origin)[:, 0] * (below - origin)[:, 1] / 2.0**24
    leaves = 2.0 ** np.array(core().LEAF_LOG2)[core().tiers(r, np.ascontiguousarray(shapes[:, 0]))]
    return float((bits + position - np.log2(np.minimum(points, leaves))).sum())


def js_of_sweeps(module, integers, picture, count: int, weights=None, **options) -> list[float]:
    """J before and after sweeps with the tables of the first integers."""
    refiner = refiner_of(module, integers, picture, weights)
    tables = tables_of(refiner, picture)
    js = [refiner.render() + LAMBDA * bits_of(refiner.integers(), tables)]
    for seed in range(count):
        refiner.sweep(LAMBDA, *tables, seed, **options)
        js.append(refiner.render() + LAMBDA * bits_of(refiner.integers(), tables))
    return js


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sweeps_lower_j_as_the_cores_do(as_the_gpu, chelsea, channels, pairs):
    picture = picture_of(chelsea, channels)
    integers = fitted(picture)
    assert len(integers) > 50
    options = {"patience": 0.1, "pairs": pairs}
    expected, found = (js_of_sweeps(module, integers, picture, 4, **options) for module in (core(), cuda))
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert all(b < a for a, b in pairwise(found))
    assert found == pytest.approx(expected, rel=0.01), "but for the luck of the order"
    assert found[-1] < 0.99 * found[0]


def test_lengths_of_each_splat_count_as_the_cores_do(as_the_gpu, chelsea):
    """What the entropy coder asks for its integers, beside the tables."""
    integers = fitted(chelsea)
    height, width = chelsea.shape[1:]
    own = core().code_lengths(network(), integers, width, height, 3, CHROMA_STEP, step_code(STEP))
    expected, found, without = (
        js_of_sweeps(module, integers, chelsea, 3, patience=0.1, **options)
        for module, options in ((core(), {"own": own}), (cuda, {"own": own}), (cuda, {}))
    )
    assert found == pytest.approx(expected, rel=0.01), "but for the luck of the order"
    assert found[1:] != without[1:]
    refiner = refiner_of(core(), integers, chelsea)
    with pytest.raises(ValueError, match="code lengths"):
        refiner.sweep(LAMBDA, *tables_of(refiner, chelsea), 0, own=own[1:])


def test_weighed_sweeps_lower_the_distortion_as_the_cores_do(as_the_gpu, chelsea):
    """Also with sides that do not halve evenly."""
    picture = np.ascontiguousarray(chelsea[:, :61, :93])
    weights = weights_of(picture)
    integers = fitted(picture, weights)
    distortion = core().Distortion(weights, CHROMA)
    results = []
    for module in (core(), cuda):
        refiner = refiner_of(module, integers, picture, weights)
        tables = tables_of(refiner, picture)
        js = []
        for seed in range(4):
            q = refiner.integers()
            splats = core().dequantize(np.ascontiguousarray(q[q[:, :3].any(1)]), STEP)
            drawn = core().render(*splats, 93, 61, 12.25, background_of(picture), 1)
            js.append(distortion.evaluate(drawn - picture)[0] + LAMBDA * bits_of(q, tables))
            refiner.sweep(LAMBDA, *tables, seed, patience=0.1)
        results.append(js)
    assert all(b < a for a, b in pairwise(results[1]))
    assert results[1] == pytest.approx(results[0], rel=0.015), "but for the luck of the order"
    assert results[1][-1] < 0.97 * results[1][0]


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("lmbda", [LAMBDA, 8 * LAMBDA])
def test_a_splat_alone_becomes_what_the_core_makes_of_it(as_the_gpu, chelsea, channels, lmbda):
    """And every change lowers J as drawn and counted from scratch."""
    picture = picture_of(chelsea, channels)
    integers, background = fitted(picture), background_of(picture)
    tables = tables_of(refiner_of(core(), integers, picture), picture)
    height, width = picture.shape[1:]
    same = changes = 0
    for i in range(0, len(integers), 5):
        others = np.ascontiguousarray(np.delete(integers, i, 0))
        others = np.ascontiguousarray(others[others[:, :channels].any(1)])
        rest = core().render(*core().dequantize(others, STEP), width, height, 12.25, None, 1)
        alone = np.ascontiguousarray(integers[i : i + 1])
        results = []
        for module in (core(), cuda):
            refiner = module.Refiner(alone, fitter_of(module, picture - rest, background), STEP)
            before = refiner.render() + lmbda * bits_of(alone, tables)
            changed = sum(refiner.sweep(lmbda, *tables, 0))
            results.append(refiner.integers())
            after = refiner.render() + lmbda * bits_of(results[-1], tables)
            assert after < before if changed else after == before
            changes += changed
        same += np.array_equal(*results)
    assert changes > 20
    # Products are rounded in another order, and moves may tie.
    assert same >= 0.95 * len(range(0, len(integers), 5))


def test_blocks_may_run_in_any_order(emulated_gpu, chelsea):
    """What is refined at the same time shares nothing."""
    backwards = ctypes.c_bool.in_dll(emulated_gpu._handle, "splat2d_emulated_backwards")
    integers, weights = fitted(chelsea), weights_of(chelsea)
    results = []
    for order in (False, True):
        refiner = refiner_of(cuda, integers, chelsea, weights)
        tables = tables_of(refiner, chelsea)
        backwards.value = order
        try:
            counts = [refiner.sweep(LAMBDA, *tables, seed, patience=0.1) for seed in range(2)]
        finally:
            backwards.value = False
        results.append((counts, refiner.integers(), refiner.savings()))
    assert results[0][0] == results[1][0]
    assert np.array_equal(results[0][1], results[1][1])
    assert np.array_equal(results[0][2], results[1][2])


SHIM = """
#include "refine/schedule.hpp"

// sets, lines, workers: [count], by splat; links[count, count]: whether a line waits for another.
extern "C" void sets_of(const int* boxes, int count, int width, int height, int most, int* sets, int* lines,
                        int* workers, bool* links) {
  std::vector<splat2d::Waiting> waiting;
  for (int i = 0; i < count; ++i) {
    const int* b = boxes + 4 * i;
    const float pixels = (b[2] - b[0]) * (b[3] - b[1]);
    waiting.push_back({0, i, {}, {b[0], b[1], b[2], b[3]}, pixels});
  }
  const splat2d::Schedule s = splat2d::in_sets(waiting, {width, height}, most);
  for (size_t set = 0; set + 1 < s.stages.size(); ++set)
    for (int line = s.stages[set]; line < s.stages[set + 1]; ++line)
      for (int v = s.lines[line]; v < s.lines[line + 1]; ++v) {
        sets[s.visits[v].splat] = static_cast<int>(set);
        lines[s.visits[v].splat] = line;
        workers[s.visits[v].splat] = s.workers[line];
      }
  for (size_t line = 0; line + 1 < s.waits.size(); ++line)
    for (int w = s.waits[line]; w < s.waits[line + 1]; ++w) links[line * count + s.awaited[w]] = true;
}
"""


def test_splats_of_a_set_share_no_pixel_and_sets_are_few(tmp_path):
    """Each splat is in the first set that earlier and larger ones leave free.

    Who shares a cell with an earlier one waits for it, or for others that do. Nobody waits for anyone else,
    but where there is room for no more large splats.
    """
    compiler = shutil.which("g++") or shutil.which("c++")
    sources = emulated.SOURCES.parent / "cpp"
    if compiler is None or not sources.is_dir():
        pytest.skip("no C++ compiler, or no sources")
    (tmp_path / "shim.cpp").write_text(SHIM)
    library = tmp_path / "schedule.so"
    command = [compiler, "-std=c++20", "-fPIC", "-shared", f"-I{sources}", str(tmp_path / "shim.cpp")]
    subprocess.run([*command, str(sources / "refine" / "schedule.cpp"), "-o", str(library)], check=True)
    rng = np.random.default_rng(0)
    width, height, count, most = 1460, 350, 760, 5
    low = rng.integers([-30, -30], [width, height], (count, 2))
    high = low + np.exp(rng.uniform(0, 4.5, (count, 2))).astype(int)
    low[-60:] = rng.integers([0, 0], [width - 200, height - 200], (60, 2))
    high[-60:] = low[-60:] + 200
    low, high = (np.clip(a, 0, [width, height]) for a in (low, high))
    boxes = np.ascontiguousarray(np.concatenate([low, high], 1), np.int32)
    boxes[:3] = [[0, 0, 0, 0], [0, 0, width, height], [0, 10, 0, 20]]
    boxes[10:290] = [100, 100, 110, 110]
    found, lines, workers = np.full((3, count), -1, np.int32)
    links = np.zeros((count, count), bool)
    ctypes.CDLL(str(library)).sets_of(
        boxes.ctypes.data_as(ctypes.c_void_p),
        *(count, width, height, most),
        *(a.ctypes.data_as(ctypes.c_void_p) for a in (found, lines, workers, links)),
    )
    area = np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], 1), 1)
    assert np.array_equal(workers, np.clip(area // OWN, 1, most))
    first, last = boxes[:, :2] // CELL, -(-boxes[:, 2:] // CELL)
    octave = np.log2(area).astype(int)
    assert sorted(lines) == list(range(count))
    before = np.zeros((count, count), bool)  # whom each line has waited for when it begins
    for line in range(count):
        for awaited in np.flatnonzero(links[line]):
            before[line] |= before[awaited]
            before[line, awaited] = True
    taken = [set() for _ in range(count)]
    meet = np.zeros((count, count), bool)
    for i, j in combinations(range(count), 2):
        if (first[i] < last[j]).all() and (first[j] < last[i]).all():
            assert found[i] != found[j]
            a, b = (i, j) if octave[i] >= octave[j] else (j, i)
            taken[b].add(int(found[a]))
            meet[lines[i], lines[j]] = meet[lines[j], lines[i]] = True
            early, late = sorted((lines[i], lines[j]))
            assert before[late, early]
    for i in range(count):
        assert found[i] == next(s for s in range(count) if s not in taken[i])
    assert found.max() > 256, "more than is room for at first"
    shared = np.sort(lines[workers > 1])
    assert len(shared) > 40
    for k in range(MOST_SHARED, len(shared)):
        assert before[shared[k], shared[k - MOST_SHARED]]
        meet[shared[k], shared[k - MOST_SHARED]] = True
    assert not np.triu(links).any(), "of those before it only"
    assert not (links & ~meet).any()
    assert links.sum() < meet.sum() / 4, "not of all that it meets"


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("weighed", [False, True])
def test_classes_savings_removal_and_drawing_are_the_cores(as_the_gpu, chelsea, channels, weighed):
    picture = picture_of(chelsea, channels)
    weights = weights_of(picture) if weighed else None
    integers = fitted(picture)
    of_core, of_gpu = (refiner_of(module, integers, picture, weights) for module in (core(), cuda))
    for removed in ([], [3, 0, 17], range(20, 40)):
        for refiner in (of_core, of_gpu):
            refiner.remove(np.array(removed, np.int32))
        assert np.array_equal(of_gpu.integers(), of_core.integers())
        assert np.array_equal(of_gpu.classes(), of_core.classes())
        assert of_gpu.render() == pytest.approx(of_core.render(), rel=1e-5)
        expected = of_core.savings()
        assert np.allclose(of_gpu.savings(), expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())
        assert (expected[list(removed)] == 0).all()
    with pytest.raises(ShapeError, match="indices must be those of splats"):
        of_gpu.remove(np.array([len(integers)], np.int32))


def test_no_splats(as_the_gpu, chelsea):
    refiner = refiner_of(cuda, np.empty((0, 8), np.int32), chelsea)
    assert refiner.sweep(LAMBDA, *tables_of(refiner, chelsea), 0) == (0, 0)
    refiner.remove(np.empty(0, np.int32))
    of_core = refiner_of(core(), refiner.integers(), chelsea)
    assert refiner.render() == pytest.approx(of_core.render(), rel=1e-5)
    assert [len(a) for a in (refiner.integers(), refiner.classes(), refiner.savings())] == [0, 0, 0]


def test_splats_that_cannot_be_seen_or_coded_go(as_the_gpu, chelsea):
    """Beside the canvas, far outside, and slimmer than may be."""
    integers = fitted(chelsea)
    live = np.flatnonzero(integers[:, :3].any(1))
    beside, outside, slim = live[:3]
    integers[beside, -2:] = 0
    integers[outside, -2:] = 1 << 20
    integers[slim, 4] = 90
    for module in (core(), cuda):
        refiner = refiner_of(module, integers, chelsea)
        assert refiner.integers()[[outside, slim], :3].sum() == 0
        assert refiner.integers()[beside, :3].any()
        refiner.sweep(LAMBDA, *tables_of(refiner, chelsea), 0)
        assert not refiner.integers()[[beside, outside, slim], :3].any()


@pytest.mark.gpu
@emulated.needs_gpu
def test_a_gpu_refines_as_the_core_does(samples):
    with Image.open(samples / "chelsea.png") as picture:
        pixels = np.asarray(picture.convert("RGB"), np.float32).transpose(2, 0, 1) / 255
    pixels = np.ascontiguousarray(pixels)
    integers = fitted(pixels)
    expected, found = (js_of_sweeps(module, integers, pixels, 8, patience=0.1) for module in (core(), cuda))
    assert found == pytest.approx(expected, rel=0.005)
    again = js_of_sweeps(cuda, integers, pixels, 8, patience=0.1)
    assert again == found, "the same bits every time"
