"""What an error weighs, by place and by scale, for pictures that are judged by MS-SSIM."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVELS = 4
LEVEL_MIN = 8  # px; a level's smaller side
# MS-SSIM's exponents by scale; the last level stands for all coarser ones.
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363)
C2 = 0.03**2
WINDOW_RADIUS, WINDOW_SIGMA = 5, 1.5  # px
POWER = 1.0
GAIN = 1.0


def halved(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2 x 2 pixels of [..., H, W]; an odd last row or column stands alone."""
    h, w = planes.shape[-2:]
    pad = [(0, 0)] * (planes.ndim - 2) + [(0, h % 2), (0, w % 2)]
    p = np.pad(planes, pad, mode="edge")
    mean = (p[..., ::2, ::2] + p[..., 1::2, ::2] + p[..., ::2, 1::2] + p[..., 1::2, 1::2]) / 4
    return np.ascontiguousarray(mean, np.float32)


def windowed(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of [..., H, W] under the Gaussian window of SSIM; beyond the border stands its pixel."""
    taps = np.exp(-0.5 * (np.arange(-WINDOW_RADIUS, WINDOW_RADIUS + 1) / WINDOW_SIGMA) ** 2)
    taps /= taps.sum()
    for axis in (-2, -1):
        pad = [(0, 0)] * planes.ndim
        pad[axis] = (WINDOW_RADIUS, WINDOW_RADIUS)
        padded = np.pad(planes, pad, mode="edge")
        planes = sum(
            t * np.take(padded, np.arange(planes.shape[axis]) + i, axis) for i, t in enumerate(taps)
        )
    return planes


def ms_ssim_weights(pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Weights of squared errors under which 1 - MS-SSIM is nearly a sum of squares."""
    colors = pixels[: 3 if len(pixels) >= 3 else 1]
    weights = []
    total = 0.0
    log = 0.0
    for level in range(LEVELS):
        if level and min(colors.shape[1:]) < 2 * LEVEL_MIN:
            break
        if level:
            colors = halved(colors)
        x = colors.astype(np.float64)
        variance = np.maximum(windowed(x * x) - windowed(x) ** 2, 0)
        w = (windowed(1 / (2 * variance + C2)) ** POWER).mean(0)
        log += EXPONENTS[level] * np.log(w).mean()
        total += EXPONENTS[level]
        weights.append(EXPONENTS[level] * w)
    scale = GAIN / (total * np.exp(log / total))
    return [np.ascontiguousarray(w * scale, np.float32) for w in weights]


def half_weights(weights: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """The weights for the picture at half its size (an odd last row or column left out)."""
    h, w = weights[0].shape
    first = halved(weights[0])[: h // 2, : w // 2]
    if len(weights) == 1:
        return [np.ascontiguousarray(first)]
    coarser = [first + weights[1][: h // 2, : w // 2]]
    for level in weights[2:]:
        h, w = (coarser[-1].shape[0] + 1) // 2, (coarser[-1].shape[1] + 1) // 2
        coarser.append(np.ascontiguousarray(level[:h, :w]))
    return [np.ascontiguousarray(level) for level in coarser]
