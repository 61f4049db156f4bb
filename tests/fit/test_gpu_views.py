"""Light fields on a GPU: the source of fit and refinement emulated on the CPU, against the core."""

from __future__ import annotations

import numpy as np
import pytest

from splat2d.fit import cuda
from splat2d.fit.config import ClipConfig
from splat2d.fit.perceptual import GUIDES, structure_weights
from splat2d.fit.rates import rate_tables
from splat2d.fit.views.encode import encode_views
from splat2d.fit.views.fit import ViewsFit
from splat2d.format.eyes import Eyes
from splat2d.native import core
from splat2d.native.backend import Backend
from splat2d.scene.picture import Scene

from ..support.gpu_fits import LAMBDA, STEP, check_refined, check_sweeps, check_trajectories, trajectory
from ..support.lightfields import FAR, NEAR, views_of

VIEWS, PLACES = views_of(3, 2, 56, 40)
PIXELS = np.ascontiguousarray(VIEWS.transpose(0, 3, 1, 2), np.float32) / 255
EYES = Eyes.of(PLACES)
DISPARITIES = [0.0, FAR, 1.0, 1.5, NEAR]  # px, of seeds


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


@pytest.mark.parametrize("weighed", [False, True])
def test_a_fit_of_a_light_field_is_the_cores(as_the_gpu, weighed):
    found, expected = (fitter_of(module, weighed=weighed) for module in (cuda, core()))
    check_trajectories(*(trajectory(fitter, disparities=DISPARITIES) for fitter in (found, expected)))
    assert found.quantize().shape == (found.count, 9)
    disparities = [f.splats()[0][:, 2] for f in (found, expected)]
    assert np.median(disparities[0]) == pytest.approx(np.median(disparities[1]), abs=0.05)


@pytest.mark.parametrize("weighed", [False, True])
def test_sweeps_of_a_light_field_lower_j_as_the_cores_do(as_the_gpu, weighed):
    first, *fitters = (fitter_of(module, weighed=weighed) for module in (core(), core(), cuda))
    trajectory(first, disparities=DISPARITIES)
    by_core, by_gpu = (
        module.ViewsRefiner(first.quantize(), fitter, STEP)
        for module, fitter in zip((core(), cuda), fitters, strict=True)
    )

    def tables(integers, classes):
        return rate_tables(integers, classes, 3, PIXELS[0, 0].size)

    check_sweeps(by_core, by_gpu, tables, falls=not weighed)


def test_views_are_fitted_on_the_gpu(as_the_gpu, monkeypatch):
    config = ClipConfig(rounds=2, steps=3, final_steps=3, sweeps=1, half_rounds=2, half_steps=2)
    backends = (Backend(device="cuda"), Backend())
    check_refined(*(ViewsFit(VIEWS, EYES, config, STEP, backend=backend).refined() for backend in backends))
    monkeypatch.setattr("splat2d.fit.views.encode.load_clip_config", lambda _: config)
    encoded = encode_views(VIEWS, PLACES, quality=50, backend=Backend(1, "cuda"))
    assert Scene.from_bytes(encoded.data).eyes == tuple(map(tuple, PLACES))
