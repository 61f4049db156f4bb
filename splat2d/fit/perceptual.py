"""What an error weighs, by place and by scale, for pictures that are judged by MS-SSIM."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 3
LEVEL_MIN = 8  # px; a level's smaller side
# MS-SSIM's exponents by scale; the last level stands for all coarser ones.
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
C2 = 0.03**2
WINDOW_RADIUS, WINDOW_SIGMA = 5, 1.5  # px
POWER = 0.75
GAIN = 2.0


def halved(planes: NDArray[Any]) -> NDArray[Any]:
    """Means of 2 x 2 pixels of [..., H, W]; an odd last row or column stands alone."""
    h, w = planes.shape[-2:]
    pad = [(0, 0)] * (planes.ndim - 2) + [(0, h % 2), (0, w % 2)]
    p = np.pad(planes, pad, mode="edge")
    mean = (p[..., ::2, ::2] + p[..., 1::2, ::2] + p[..., ::2, 1::2] + p[..., 1::2, 1::2]) / 4
    return np.ascontiguousarray(mean, planes.dtype)


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


NEGATIVE = 1.0
TAKE_BACK = 0.7  # part of the finer levels' weight that a coarser one may take back
LEAST = 1e-3
BORDER = 2  # px of a level where nothing is taken back: a splat may lie half outside


def level_variance(level: int) -> float:
    """Variance of the pyramid's filter at a level, px^2."""
    return 0.25 * (4**level - 1)


def shares(variance: float, levels: int) -> list[tuple[int, float]]:
    """Levels, and their parts, that together see an error about as a blur of this variance (px^2) does."""
    for level in range(levels - 1):
        low, high = level_variance(level), level_variance(level + 1)
        if variance < high:
            part = (variance - low) / (high - low)
            return [(level, 1 - part), (level + 1, part)]
    return [(levels - 1, 1.0)]


def resized(plane: NDArray[np.float64], by: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """A weight plane `by` levels coarser, or finer when negative."""
    for _ in range(max(by, 0)):
        plane = halved(plane)
    size = 2 ** max(-by, 0)
    return plane.repeat(size, 0).repeat(size, 1)[: shape[0], : shape[1]]


def least_beneath(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least values of a plane under each pixel of the next level's filter."""
    h, w = plane.shape
    p = np.pad(plane, ((1, 2 + h % 2), (1, 2 + w % 2)), mode="edge")
    rows = np.minimum.reduce([p[i : i + 2 * ((h + 1) // 2) : 2] for i in range(4)])
    return np.minimum.reduce([rows[:, i : i + 2 * ((w + 1) // 2) : 2] for i in range(4)])


def ms_ssim_weights(pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Weights of squared errors under which 1 - MS-SSIM is nearly a sum of squares."""
    colors = pixels[: 3 if len(pixels) >= 3 else 1]
    scales = [colors]
    while len(scales) < len(EXPONENTS) and min(scales[-1].shape[1:]) >= 2 * LEVEL_MIN:
        scales.append(halved(scales[-1]))
    levels = min(LEVELS, len(scales))
    weights = [np.zeros(scale.shape[1:]) for scale in scales[:levels]]
    log = total = 0.0
    for scale, planes in enumerate(scales):
        x = planes.astype(np.float64)
        variance = np.maximum(windowed(x * x) - windowed(x) ** 2, 0)
        w = EXPONENTS[scale] * (windowed(1 / (2 * variance + C2)) ** POWER).mean(0)
        log += EXPONENTS[scale] * np.log(w / EXPONENTS[scale]).mean()
        total += EXPONENTS[scale]
        pooled = (4**scale - 1) / 12
        for level, part in shares(pooled, levels):
            weights[level] += part * resized(w, level - scale, weights[level].shape)
        mean = pooled + 4**scale * WINDOW_SIGMA**2
        if mean < level_variance(levels):
            for level, part in shares(mean, levels):
                weights[level] -= NEGATIVE * part * resized(w, level - scale, weights[level].shape)
    # A coarser level may take back only what the finer ones weigh everywhere under its filter, or the distortion
    # could fall below zero.
    floor = weights[0] = np.maximum(weights[0], LEAST * weights[0].max())
    for level in range(1, levels):
        floor = least_beneath(floor)
        inner = np.zeros(floor.shape)
        inner[BORDER:-BORDER, BORDER:-BORDER] = TAKE_BACK
        weights[level] = np.maximum(weights[level], -inner * floor)
        floor = floor + weights[level]
    factor = GAIN / (total * np.exp(log / total))
    return [np.ascontiguousarray(w * factor, np.float32) for w in weights]


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


