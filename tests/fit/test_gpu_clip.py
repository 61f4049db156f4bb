"""The fit and the refinement of clips on a GPU: their own source emulated on the CPU against the core."""

from __future__ import annotations

import numpy as np
import pytest

from splat2d.fit import cuda
from splat2d.fit.clip.segment import SegmentFit, planar
from splat2d.fit.config import ClipConfig
from splat2d.fit.perceptual import GUIDES, structure_weights
from splat2d.fit.rates import moving_tables, rate_tables
from splat2d.native import core
from splat2d.native.backend import Backend

from ..support.gpu_fits import LAMBDA, STEP, check_refined, check_sweeps, check_trajectories, trajectory
from ..support.scenes_in_time import moving_scene

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


@pytest.mark.parametrize("options", [{}, {"weighed": True}, {"every": 2}])
def test_a_fit_of_a_clip_is_the_cores(as_the_gpu, pixels, options):
    found, expected = (fitter_of(module, pixels, **options) for module in (cuda, core()))
    check_trajectories(*(trajectory(fitter, durations=[1.5]) for fitter in (found, expected)))
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
    first, *fitters = (fitter_of(module, pixels, weighed=weighed) for module in (core(), core(), cuda))
    trajectory(first, durations=[1.5])
    by_core, by_gpu = (
        module.ClipRefiner(first.quantize(), fitter, STEP)
        for module, fitter in zip((core(), cuda), fitters, strict=True)
    )

    def tables(integers, classes):
        plane = rate_tables(integers, classes, 3, WIDTH * HEIGHT)
        return *plane, *moving_tables(integers, classes, 3, FRAMES)

    check_sweeps(by_core, by_gpu, tables, falls=not weighed)


def test_a_segment_is_fitted_on_the_gpu(as_the_gpu, pixels):
    frames = (pixels.transpose(0, 2, 3, 1) * 255).round().astype(np.uint8)
    config = ClipConfig(rounds=2, steps=3, final_steps=3, sweeps=1, half_rounds=2, half_steps=2)
    backends = (Backend(device="cuda"), Backend())
    check_refined(*(SegmentFit(frames, config, STEP, backend=backend).refined() for backend in backends))
