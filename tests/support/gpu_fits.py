"""How fits of several pictures on a GPU are compared with the core's."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from splat2d.fit.film import SEEDS

STEP = 0.3
LAMBDA = 0.0743 * STEP**2


def trajectory(fitter: Any, **seeds: Any) -> np.ndarray:
    """Fit for a few rounds; what the fitter was at every stage."""
    stages = []
    for _ in range(3):
        removed = fitter.prune(1.0)
        candidates, added = fitter.seed(8 * LAMBDA, 0.5, **SEEDS, **seeds)
        fitter.refresh()
        steps = [fitter.step() for _ in range(3)]
        stages.append((removed, candidates, added, sum(steps), fitter.count, fitter.sse, fitter.bits))
    return np.array(stages)


def check_trajectories(by_gpu: np.ndarray, by_core: np.ndarray) -> None:
    """Compare two of the same input."""
    assert np.array_equal(by_gpu[0, :5], by_core[0, :5])
    assert np.allclose(by_gpu[:, 2:5], by_core[:, 2:5], atol=2)
    assert np.allclose(by_gpu[:, 5:], by_core[:, 5:], rtol=0.02)
    assert by_core[-1, 4] > 15


def check_sweeps(by_core: Any, by_gpu: Any, tables: Callable[..., tuple[Any, ...]], *, falls: bool) -> None:
    """Compare two sweeps of two refinements of the same integers.

    Args:
        by_core: a refinement.
        by_gpu: another.
        tables: makes code lengths of integers and classes.
        falls: whether SSE must become less, as it does where it is what is refined.
    """
    sums = []
    for refiner in (by_core, by_gpu):
        lengths = tables(refiner.integers(), refiner.classes())
        sse, saved = [refiner.render()], [float(refiner.savings().sum())]
        for seed in range(2):
            changed, _ = refiner.sweep(LAMBDA, *lengths, seed, 0.0)
            assert changed > 0
            sse.append(refiner.render())
            saved.append(float(refiner.savings().sum()))
        sums.append(sse + saved)
    assert sums[1][0] == pytest.approx(sums[0][0], rel=1e-5)
    assert sums[1][:3] == pytest.approx(sums[0][:3], rel=0.03), "but for the luck of the order"
    assert sums[1][3:] == pytest.approx(sums[0][3:], rel=0.05)
    assert not falls or all(b < a for a, b in pairwise(sums[1][:3]))


def check_refined(on_gpu: Any, on_cpu: Any) -> None:
    """Compare two whole fits after refinement."""
    assert on_gpu.sse == pytest.approx(on_cpu.sse, rel=0.1)
    assert len(on_gpu.integers()) == pytest.approx(len(on_cpu.integers()), rel=0.15)
