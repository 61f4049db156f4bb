"""Light fields on a GPU: the source of fit and refinement emulated on the CPU, against the core."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from splat2d.fit import cuda
from splat2d.fit.config import ClipConfig
from splat2d.fit.film import SEEDS
from splat2d.fit.perceptual import GUIDES, structure_weights
from splat2d.fit.rates import rate_tables
from splat2d.fit.views.encode import encode_views
from splat2d.fit.views.fit import ViewsFit
from splat2d.format.eyes import Eyes
from splat2d.native import core
from splat2d.native.backend import Backend
from splat2d.scene.picture import Scene

from ..support.lightfields import FAR, NEAR, views_of

STEP = 0.3
LAMBDA = 0.0743 * STEP**2
VIEWS, PLACES = views_of(3, 2, 56, 40)
PIXELS = np.ascontiguousarray(VIEWS.transpose(0, 3, 1, 2), np.float32) / 255
EYES = Eyes.of(PLACES)


def fitter_of(module, *, weighed=False):
    distortions = [module.Distortion(structure_weights(p, GUIDES["ms-ssim"])) for p in PIXELS * weighed]
    return module.ViewsFitter(
        PIXELS,
        np.array(EYES.steps, np.float32),
        EYES.arguments,
        PIXELS.mean((0, 2, 3)),
        STEP,
        LAMBDA,
        distortions=distortions if weighed else [],
    )


def trajectory(module, **options):
    """A short fit by a module's ViewsFitter: the fitter, and what it was at every stage."""
    fitter = fitter_of(module, **options)
    stages = []
    for _ in range(3):
        removed = fitter.prune(1.0)
        candidates, added = fitter.seed(8 * LAMBDA, 0.5, **SEEDS, disparities=[0.0, FAR, 1.0, 1.5, NEAR])
        fitter.refresh()
        steps = [fitter.step() for _ in range(3)]
        stages.append((removed, candidates, added, sum(steps), fitter.count, fitter.sse, fitter.bits))
    return fitter, np.array(stages)


@pytest.mark.parametrize("weighed", [False, True])
def test_a_fit_of_a_light_field_is_the_cores(as_the_gpu, weighed):
    (found, by_gpu), (expected, by_core) = (trajectory(m, weighed=weighed) for m in (cuda, core()))
    assert np.array_equal(by_gpu[0, :5], by_core[0, :5])
    assert np.allclose(by_gpu[:, 2:5], by_core[:, 2:5], atol=2)
    assert np.allclose(by_gpu[:, 5:], by_core[:, 5:], rtol=0.02)
    assert by_core[-1, 4] > 15
    assert found.quantize().shape == (found.count, 9)
    disparities = [f.splats()[0][:, 2] for f in (found, expected)]
    assert np.median(disparities[0]) == pytest.approx(np.median(disparities[1]), abs=0.05)


@pytest.mark.parametrize("weighed", [False, True])
def test_sweeps_of_a_light_field_lower_j_as_the_cores_do(as_the_gpu, weighed):
    integers = trajectory(core(), weighed=weighed)[0].quantize()
    sums = []
    for module in (core(), cuda):
        refiner = module.ViewsRefiner(integers, fitter_of(module, weighed=weighed), STEP)
        tables = rate_tables(refiner.integers(), refiner.classes(), 3, PIXELS[0, 0].size)
        sse, saved = [refiner.render()], [float(refiner.savings().sum())]
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


def test_views_are_fitted_on_the_gpu(as_the_gpu, monkeypatch):
    config = ClipConfig(rounds=2, steps=3, final_steps=3, sweeps=1, half_rounds=2, half_steps=2)
    backends = (Backend(device="cuda"), Backend())
    on_gpu, on_cpu = (ViewsFit(VIEWS, EYES, config, STEP, backend=backend).refined() for backend in backends)
    assert on_gpu.sse == pytest.approx(on_cpu.sse, rel=0.1)
    assert len(on_gpu.integers()) == pytest.approx(len(on_cpu.integers()), rel=0.15)
    monkeypatch.setattr("splat2d.fit.views.encode.load_clip_config", lambda _: config)
    encoded = encode_views(VIEWS, PLACES, quality=50, backend=Backend(1, "cuda"))
    assert Scene.from_bytes(encoded.data).eyes == tuple(map(tuple, PLACES))
