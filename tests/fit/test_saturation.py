"""Where the picture is white or black, what the decoder clamps away costs nothing."""

from __future__ import annotations

import numpy as np
import pytest

from splat2d.draw.render import Splats
from splat2d.native import core

CUTOFF = 9.5  # while fitting
FREE = 0.25  # what a render may go beyond white or black
STEP = 0.1
LAMBDA = 0.107 * STEP**2


@pytest.fixture(scope="module")
def letters() -> np.ndarray:
    """Black and grey bars on white, [3, 90, 130]."""
    picture = np.ones((3, 90, 130), np.float32)
    for i in range(8):
        picture[:, 10 + 9 * i : 13 + 9 * i, 10 : 40 + 10 * i] = 0
        picture[:, 10 : 20 + 8 * i, 50 + 9 * i : 52 + 9 * i] = 0.5
    return picture


def fitted(picture: np.ndarray, background: float, steps: int = 8, **options):
    fitter = core().Fitter(picture, np.full(3, background, np.float32), STEP, LAMBDA, **options)
    for _ in range(6):
        fitter.seed(30 * LAMBDA, 0.3)
        fitter.refresh()
        for _ in range(steps):
            fitter.step()
    return fitter


def errors(picture: np.ndarray, render: np.ndarray) -> tuple[float, float]:
    """Squared error of a render as it is, and without what the decoder clamps."""
    residual = (render - picture).astype(np.float64)
    sign = (picture == 1).astype(float) - (picture == 0)
    seen = residual - sign * np.clip(sign * residual, 0, FREE)
    return (residual**2).sum(), (seen**2).sum()


def render_of(splats: Splats, background: float) -> np.ndarray:
    return core().render(*splats, 130, 90, CUTOFF, np.full(3, background, np.float32), 1)


@pytest.mark.parametrize("background", [1.0, 0.5])
def test_the_fit_counts_only_what_is_seen(letters, background):
    fitter = fitted(letters, background)
    plain, seen = errors(letters, render_of(fitter.splats(), background))
    assert fitter.sse == pytest.approx(seen, rel=1e-4)
    assert seen < 0.8 * plain, "the fit makes use of it"


def test_the_refinement_counts_only_what_is_seen(letters):
    fitter = fitted(letters, 1.0)
    refiner = core().Refiner(fitter.quantize(), fitter, STEP, cutoff=CUTOFF)
    splats = core().dequantize(refiner.integers(), STEP)
    plain, seen = errors(letters, render_of(splats, 1.0))
    assert refiner.render() == pytest.approx(seen, rel=1e-4)
    assert seen < 0.9 * plain


def test_pictures_without_white_or_black_are_fitted_as_they_are(letters):
    picture = 0.2 + 0.6 * letters
    fitter = fitted(picture, 0.8)
    plain, _ = errors(picture, render_of(fitter.splats(), 0.8))
    assert fitter.sse == pytest.approx(plain, rel=1e-4)


def test_the_result_does_not_depend_on_threads(letters):
    one, three = (fitted(letters, 1.0, threads=threads) for threads in (1, 3))
    assert one.sse == three.sse
    for a, b in zip(one.splats(), three.splats(), strict=True):
        assert np.array_equal(a, b)


def test_a_weighed_fit_does_not_pull_back_what_is_clamped(letters):
    """With a weighed distortion the gradient of clamped samples is zero too."""
    weights = [np.ones((90, 130), np.float32), np.ones((45, 65), np.float32)]
    fitter = fitted(letters, 1.0, distortion=core().Distortion(weights))
    plain, seen = errors(letters, render_of(fitter.splats(), 1.0))
    assert fitter.sse == pytest.approx(seen, rel=1e-4)
    assert seen < 0.8 * plain


def test_the_render_goes_only_a_little_beyond(letters):
    fitter = fitted(letters, 0.5)
    render = render_of(fitter.splats(), 0.5)
    assert render.max() > 1.2
    assert ((render > 1.1 + FREE) | (render < -0.1 - FREE)).mean() < 0.001
