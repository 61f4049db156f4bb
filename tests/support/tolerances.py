"""How far two ways to compute the same floats may lie apart: one table, and one way to check."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Tolerance:
    """Largest allowed |found - expected|, as absolute + relative * |expected|."""

    absolute: float
    relative: float = 0.0


TOLERANCES = {
    # Worst measured in the comments, of all tests that use the entry (on AVX-512).
    # Sums of up to 50 splats with amplitudes around 1; the core's exponential is good to 3.3e-6.
    "forward": Tolerance(2e-5),  # 6.7e-6
    # Gradients over the largest of their row; single elements cancel.
    "backward": Tolerance(2e-4),  # 5.7e-5
    # Aspect up to 100, where q cancels in float32.
    "needles": Tolerance(4e-4),  # 8.0e-5
    # Against float64 evaluation at canvas points; the float32 centres count.
    "enlarged": Tolerance(5e-5),  # 1.3e-5
    "window": Tolerance(2e-5),  # 3.1e-6
    # Root mean square over the standard deviation of the box-averaged picture. An approximation, not
    # rounding: 0.4% at half size, 1.2% at a quarter, 2.5% at an eighth with splats from 0.6 px, where
    # point sampling is off by 3, 9 and 18%.
    "box average": Tolerance(0.03),  # 0.0246
    # Ratio of integrals, from float32 conics and amplitudes.
    "integral": Tolerance(4e-6),  # 8.9e-7
    # Scale 1 - 1e-7 against scale 1.
    "continuous": Tolerance(1e-4),  # 1.9e-5
}


def assert_close(name: str, found: ArrayLike, expected: ArrayLike, where: ArrayLike | None = None) -> None:
    """Compare two arrays under an entry of the table.

    Args:
        name: The entry.
        found: What the code under test computed.
        expected: The definition's result, of the same shape.
        where: Elements to compare, broadcast against them; all when None.

    Raises:
        AssertionError: If a compared element is not finite or beyond the tolerance.
    """
    tolerance = TOLERANCES[name]
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape, f"{name}: shapes {found.shape} and {expected.shape}"
    chosen = np.ones(found.shape, bool) if where is None else np.broadcast_to(where, found.shape)
    error = np.abs(found - expected)[chosen]
    bound = tolerance.absolute + tolerance.relative * np.abs(expected[chosen])
    # Written so that NaN fails.
    worst = error.max(initial=0.0)
    assert (error <= bound).all(), f"{name}: worst error {worst:.3g}, tolerance {tolerance}"
