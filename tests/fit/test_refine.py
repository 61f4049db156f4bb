"""The integer refinement: what a sweep may and may not do."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from splat2d.fit.config import FitConfig
from splat2d.fit.fitter import PictureFit
from splat2d.fit.rates import rate_tables
from splat2d.media.pictures import load_picture
from splat2d.native import core

LAMBDA = 0.107 * 0.2**2


@pytest.fixture(scope="module")
def fit(samples) -> PictureFit:
    """A quick fit of 192 x 128 px."""
    from PIL import Image

    with Image.open(samples / "chelsea.png") as picture:
        pixels = load_picture(picture.convert("RGB").crop((120, 60, 312, 188))).pixels
    return PictureFit(pixels, FitConfig(rounds=3, steps=5, final_steps=6, sweeps=1), 0.2)


def sweep(refiner, lmbda: float, seed: int, **options) -> tuple[int, int]:
    integers = refiner.integers()
    tables = rate_tables(integers, refiner.classes(), 3, 192 * 128)
    return refiner.sweep(lmbda, *tables, seed, **options)


def refiner_of(fit: PictureFit, threads: int = 1):
    native = core().Fitter(
        fit.pixels, np.array(fit.background, np.float32) / np.float32(255), 0.2, LAMBDA, threads=threads
    )
    return core().Refiner(fit._fitter.quantize(), native, 0.2)


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("patience", [-1.0, 0.1])
def test_without_a_price_no_sweep_raises_the_error(fit, pairs, patience):
    refiner = refiner_of(fit)
    errors = [refiner.render()]
    for seed in range(4):
        sweep(refiner, 0.0, seed, patience=patience, pairs=pairs)
        errors.append(refiner.render())
    assert all(b <= a * (1 + 1e-5) for a, b in pairwise(errors))
    assert errors[-1] < 0.97 * errors[0]


def test_the_result_does_not_depend_on_threads(fit):
    one, three = (refiner_of(fit, threads) for threads in (1, 3))
    for seed in range(3):
        assert sweep(one, LAMBDA, seed, patience=0.1) == sweep(three, LAMBDA, seed, patience=0.1)
    assert np.array_equal(one.integers(), three.integers())


def test_a_patient_sweep_visits_every_splat_once(fit):
    patient, thorough = refiner_of(fit), refiner_of(fit)
    assert sweep(patient, LAMBDA, 0, patience=1e9) == sweep(thorough, LAMBDA, 0)
    before = patient.integers()
    assert sweep(patient, LAMBDA, 1, patience=1e9) == (0, 0)
    assert np.array_equal(patient.integers(), before)
    assert sum(sweep(thorough, LAMBDA, 1)) > 0


def test_splats_left_in_peace_by_patience_are_few_moves_from_done(fit):
    patient, thorough = refiner_of(fit), refiner_of(fit)
    for seed in range(5):
        sweep(patient, 0.0, seed, patience=0.1)
        sweep(thorough, 0.0, seed)
    assert patient.render() < 1.04 * thorough.render()


def test_removing_splats_makes_all_worth_a_visit(fit):
    refiner = refiner_of(fit)
    sweep(refiner, LAMBDA, 0, patience=1e9)
    live = np.flatnonzero(refiner.integers()[:, :3].any(1))
    refiner.remove(live[:20].astype(np.int32))
    assert sum(sweep(refiner, LAMBDA, 1, patience=1e9)) > 0
