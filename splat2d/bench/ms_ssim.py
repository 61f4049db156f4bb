"""MS-SSIM of many frames: the figures of pytorch-msssim, several times sooner."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5  # px
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
Plane = NDArray[Any]  # [H, W] of float32


def ms_ssim(x: NDArray[np.uint8], x_hat: NDArray[np.uint8]) -> float:
    """Return the MS-SSIM over RGB of two pictures [H, W, 3] with sides of 161 px at least, 1 for equal ones.

    Source: Multi-scale structural similarity for image quality assessment, 2003, with the constants, valid
    windows and padding of pytorch-msssim, which `metrics.ms_ssim` calls.
    """
    return float(np.mean([_of_channel(a, b) for a, b in zip(_planes(x), _planes(x_hat), strict=True)]))


def _planes(x: NDArray[np.uint8]) -> NDArray[Any]:
    return np.ascontiguousarray(x.transpose(2, 0, 1), np.float32)


def _of_channel(a: Plane, b: Plane) -> float:
    product = 1.0
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            a, b = _halved(a), _halved(b)
        mean_a, mean_b = _blurred(a), _blurred(b)
        squares, cross = mean_a * mean_a + mean_b * mean_b, mean_a * mean_b
        contrast = 2 * (_blurred(a * b) - cross) + C2
        contrast /= _blurred(a * a + b * b) - squares + C2
        if scale == len(WEIGHTS) - 1:
            contrast *= (2 * cross + C1) / (squares + C1)
        product *= max(float(contrast.mean(dtype=np.float64)), 0.0) ** weight
    return product


def _window() -> Plane:
    weights = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    return (weights / weights.sum()).astype(np.float32)


def _blurred(a: Plane) -> Plane:
    """Return a plane under a Gaussian window, where it lies inside."""
    window = _window()
    half = WINDOW // 2
    for axis in (0, 1):
        size = a.shape[axis] - WINDOW + 1
        parts = [a[k : k + size] if axis == 0 else a[:, k : k + size] for k in range(WINDOW)]
        out = parts[half] * window[half]
        pair = np.empty_like(out)
        for k in range(half):
            np.add(parts[k], parts[WINDOW - 1 - k], out=pair)
            pair *= window[k]
            out += pair
        a = out
    return a


def _halved(a: Plane) -> Plane:
    """Return means of 2 x 2 px; an odd side gets a zero before it, as there."""
    a = np.pad(a, [(side % 2, 0) for side in a.shape])
    return np.float32(0.25) * (a[::2, ::2] + a[1::2, ::2] + a[::2, 1::2] + a[1::2, 1::2])
