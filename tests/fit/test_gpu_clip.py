"""The fit and the refinement of clips on a GPU: their own source emulated on the CPU against the core."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from splat2d.fit import cuda
from splat2d.fit.clip.segment import SEEDS, SegmentFit, planar
from splat2d.fit.config import ClipConfig
from splat2d.fit.perceptual import GUIDES, structure_weights
from splat2d.fit.rates import moving_tables, rate_tables
from splat2d.native import core
from splat2d.native.backend import Backend

from ..support.scenes_in_time import moving_scene

STEP = 0.3
LAMBDA = 0.0743 * STEP**2
FRAMES, WIDTH, HEIGHT = 5, 56, 40


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """A disc and blobs that pass by, with a white corner that the decoder clamps, [T, C, H, W]."""
    frames = planar(moving_scene(FRAMES, width=WIDTH, height=HEIGHT, pan=(1.0, 0.0)))
    frames[:, :, :8, 44:] = 1
    return frames


def fitter_of(module, pixels, *, weighed=False, every=1):
    shifts = np.zeros((FRAMES, 2), np.float32)
    shifts[:, 0] = -1.3 * np.arange(FRAMES)
    gains = np.linspace(1.2, 0.9, FRAMES).astype(np.float32)
    frames, path, heights = (np.ascontiguousarray(a[::every]) for a in (pixels, shifts, gains))
    guide = GUIDES["ms-ssim"]
    distortions = [module.Distortion(structure_weights(f, guide)) for f in frames] if weighed else []
    background = pixels.mean((0, 2, 3)).astype(np.float32)
    world = WIDTH + 6, HEIGHT
    return module.ClipFitter(
        frames,
        path,
        heights,
        *world,
        background,
        STEP,
        LAMBDA,
        distortions=distortions,
        every=every,
        count=FRAMES,
    )


def trajectory(module, pixels, rounds=3, **options):
    """A short fit by a module's ClipFitter: the fitter, and what it was at every stage."""
    fitter = fitter_of(module, pixels, **options)
    stages = []
    for _ in range(rounds):
        removed = fitter.prune(1.0)
        candidates, added = fitter.seed(8 * LAMBDA, 0.5, **SEEDS, durations=[1.5])
        fitter.refresh()
        steps = [fitter.step() for _ in range(3)]
        stages.append((removed, candidates, added, sum(steps), fitter.count, fitter.sse, fitter.bits))
    return fitter, np.array(stages)


@pytest.mark.parametrize("options", [{}, {"weighed": True}, {"every": 2}])
def test_a_fit_of_a_clip_is_the_cores(as_the_gpu, pixels, options):
    (found, by_gpu), (expected, by_core) = (trajectory(m, pixels, **options) for m in (cuda, core()))
    assert np.array_equal(by_gpu[0, :5], by_core[0, :5])
    assert np.allclose(by_gpu[:, 2:5], by_core[:, 2:5], atol=2)
    assert np.allclose(by_gpu[:, 5:], by_core[:, 5:], rtol=0.02)
    assert by_core[-1, 4] > 15
    assert found.quantize().shape == (found.count, 12)
    assert [len(a) for a in found.splats()] == [found.count] * 3
    assert np.abs(expected.splats()[0][:, :2]).max() < 100


def test_drawing_a_clip_is_the_cores(as_the_gpu, pixels):
    """Splats of all sizes, so that every level of the pyramid is drawn on; some frames do not show some."""
    rng = np.random.default_rng(0)
    means = rng.uniform((0, 0, -1), (WIDTH, HEIGHT, FRAMES + 1), (30, 3)).astype(np.float32)
    sizes = np.exp(rng.uniform(-0.3, 2.7, 30))
    factors = sizes[:, None, None] * (np.eye(3) + 0.2 * rng.standard_normal((30, 3, 3)))
    factors[:, 2] = np.array([0.05, -0.05, 1]) * rng.uniform(0.4, 2, (30, 1))
    k = (2 * rng.standard_normal((30, 3))).astype(np.float32)
    results = []
    for module in (core(), cuda):
        fitter = fitter_of(module, pixels)
        fitter.insert(means, factors.reshape(30, 9).astype(np.float32), k)
        results.append(fitter.sse)
    assert results[1] == pytest.approx(results[0], rel=1e-5)


@pytest.mark.parametrize("weighed", [False, True])
def test_sweeps_of_a_clip_lower_j_as_the_cores_do(as_the_gpu, pixels, weighed):
    integers = trajectory(core(), pixels, weighed=weighed)[0].quantize()
    sums = []
    for module in (core(), cuda):
        refiner = module.ClipRefiner(integers, fitter_of(module, pixels, weighed=weighed), STEP)
        q, classes = refiner.integers(), refiner.classes()
        tables = (*rate_tables(q, classes, 3, WIDTH * HEIGHT), *moving_tables(q, classes, 3, FRAMES))
        saved = [float(refiner.savings().sum())]
        sse = [refiner.render()]
        for seed in range(2):
            changed, _ = refiner.sweep(LAMBDA, *tables, seed, 0.0)
            assert changed > 0
            sse.append(refiner.render())
            saved.append(float(refiner.savings().sum()))
        sums.append(sse + saved)
    assert sums[1][0] == pytest.approx(sums[0][0], rel=1e-5)
    assert sums[1] == pytest.approx(sums[0], rel=0.03)
    if not weighed:
        assert all(b < a for a, b in pairwise(sums[1][:3]))


def test_a_segment_is_fitted_on_the_gpu(as_the_gpu, pixels):
    frames = (pixels.transpose(0, 2, 3, 1) * 255).round().astype(np.uint8)
    config = ClipConfig(rounds=2, steps=3, final_steps=3, sweeps=1, half_rounds=2, half_steps=2)
    backends = (Backend(device="cuda"), Backend())
    on_gpu, on_cpu = (SegmentFit(frames, config, STEP, backend=backend).refined() for backend in backends)
    assert on_gpu.sse == pytest.approx(on_cpu.sse, rel=0.1)
    assert len(on_gpu.integers()) == pytest.approx(len(on_cpu.integers()), rel=0.15)
