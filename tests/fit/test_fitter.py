"""Steps of the fit at the limits that splats reach."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from splat2d.fit.config import load_config
from splat2d.fit.fitter import half_rounds_of
from splat2d.native import core

STEP = 0.1
LAMBDA = 0.107 * STEP**2


def fit(picture: np.ndarray, background: float, rounds: int, steps: int) -> tuple[Any, int]:
    """A fit of a picture [3, H, W], and how many of its steps found no way down."""
    fitter = core().Fitter(picture, np.full(3, background, np.float32), STEP, LAMBDA)
    failed = 0
    for _ in range(rounds):
        fitter.seed(30 * LAMBDA, 0.3)
        fitter.refresh()
        failed += sum(not fitter.step() for _ in range(steps))
    return fitter, failed


def deviations(fitter) -> np.ndarray:
    """Standard deviations of the splats, [N, 2] px."""
    a, b, c = fitter.splats()[1].astype(np.float64).T
    matrices = np.stack([np.stack([a, b], 1), np.stack([b, c], 1)], 1)
    return 1 / np.sqrt(np.linalg.eigvalsh(matrices))


def test_splats_as_slim_as_may_be_do_not_stop_the_others():
    """Pixels of noise pull splats to the least deviation; descent must go on along it."""
    noise = np.random.default_rng(0).integers(0, 2, (1, 60, 80)).repeat(3, 0)
    fitter, failed = fit((0.2 + 0.6 * noise).astype(np.float32), 0.5, rounds=8, steps=15)
    slim = deviations(fitter).min(1)
    assert slim.min() > 0.419
    assert (slim < 0.4205).mean() > 0.1, "many splats are at the limit"
    assert failed == 0
    assert fitter.sse < 3.4


def test_centres_stay_inside_the_margin():
    """A ramp is fitted best by splats that walk off the canvas, where rounding would move them."""
    ramp = np.linspace(0, 1, 130, dtype=np.float32) ** 2
    fitter, _ = fit(np.ascontiguousarray(np.broadcast_to(ramp, (3, 90, 130))), 0.0, rounds=8, steps=30)
    means = fitter.splats()[0]
    assert means.min() >= -60
    assert (means.max(0) <= [190, 150]).all()
    assert means.min() == -60 or means.max() >= 150, "some would go on"


def test_what_was_fitted_at_half_the_size_goes_on_at_full_size():
    """The widest splats at half the size, and those farthest off, are beyond the limits at twice of it."""
    ramp = np.linspace(0, 1, 128, dtype=np.float32)
    picture = np.ascontiguousarray(np.broadcast_to(ramp, (3, 96, 128)))
    background = np.full(3, 0.2, np.float32)
    half = core().Fitter(np.ascontiguousarray(picture[:, ::2, ::2]), background, STEP / 2, LAMBDA / 4)
    means = np.array([[30, 20], [-55, 20], [20, 20]], np.float32)
    half.insert(
        means,
        np.array([[900, 0, 0, 900], [6, 0, 0, 9], [5, 0, 0, 6]], np.float32),
        np.ones((3, 3), np.float32),
    )
    full = core().Fitter(picture, background, STEP, LAMBDA)
    full.resample_from(half, 2.0)
    assert deviations(full).max() <= 1000.1
    assert full.splats()[0].min() >= -60
    before = full.value()
    assert full.step()
    assert full.value() < before


@pytest.mark.parametrize("preset", ["fast", "default", "best"])
def test_larger_pictures_have_more_rounds_at_half_the_size(preset):
    config = load_config(preset)
    assert config.half_rounds > 0
    rounds = [
        half_rounds_of(config, *size)
        for size in ((63, 500), (64, 64), (512, 768), (1024, 1536), (1365, 2048))
    ]
    assert rounds[1:] == [config.half_rounds + more for more in (0, 0, 4, 6)]
    assert rounds[0] == 0
    assert half_rounds_of(replace(config, half_rounds=0), 1365, 2048) == 0


def test_a_longer_memory_finds_a_better_fit(samples):
    """The same splats and steps, with twelve pairs of the L-BFGS and with one."""
    with Image.open(samples / "chelsea.png") as image:
        pixels = np.asarray(image.convert("RGB").crop((100, 60, 196, 140)), np.float32) / 255
    picture = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    found = []
    for memory in (1, 12):
        fitter = core().Fitter(picture, picture.mean((1, 2)), STEP, LAMBDA, memory=memory)
        fitter.seed(17 * LAMBDA, 3.0)
        fitter.refresh()
        for _ in range(60):
            fitter.step()
        found.append(fitter.sse + LAMBDA * fitter.bits)
    assert found[1] < 0.97 * found[0]
