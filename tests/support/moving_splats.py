"""Random splats of a clip's fit, and where its parameters take them."""

from __future__ import annotations

import numpy as np


def random_state(rng, count, width, height, frames, size=1.0):
    """Means [N, 3], factors [N, 3, 3] and amplitudes [N, 3] of splats of about `size` times 3 x 4 px."""
    means = np.stack([rng.uniform(8, s - 8, count) for s in (width, height)], 1)
    means = np.column_stack([means, rng.uniform(0.5, frames - 0.5, count)])
    factors = np.diag([3.0 * size, 4.0 * size, 1.5]) @ (np.eye(3) + 0.25 * rng.standard_normal((count, 3, 3)))
    return means, factors, 2 * rng.standard_normal((count, 3))


def exponential(e):
    """Of a small matrix, to the third order."""
    return np.eye(3) + e + e @ e / 2 + e @ e @ e / 6


def moved_by(z, means, factors, k, density=1.0):
    """Splats moved by natural parameters z [N, 12]: amplitudes, centre, scales, shears.

    Args:
        density: of the distortion, over squared errors.
    """
    amplitude = np.sqrt(density * (k**2).sum(1) + 0.04)[:, None]
    u = z[:, 3:6] * np.sqrt(2) / amplitude
    d, o = z[:, 6:9] * 2 * np.sqrt(2) / amplitude, z[:, 9:12] * 2 / amplitude
    rows = ((d[:, 0], o[:, 0], o[:, 1]), (o[:, 0], d[:, 1], o[:, 2]), (o[:, 1], o[:, 2], d[:, 2]))
    e = np.stack([np.stack(row, 1) for row in rows], 1)
    grown = np.stack([f @ exponential(m / 2) for f, m in zip(factors, e, strict=True)])
    return means + np.einsum("nij,nj->ni", factors, u), grown, k + z[:, :3] / np.sqrt(density)
