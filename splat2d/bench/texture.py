"""How far a decoded picture's textures are from its original's: local statistics of band responses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from splat2d.fit.bands import LUMA, Bank, Plane

BANDS, DIRECTIONS = 4, 4
STRIDE = 4  # px
POOL = 8.0  # standard deviation of the window that the means of squares of STRIDE px are pooled in, px
CHROMA = 0.5  # weight of each chroma plane's deviations beside luma's


def texture_distance(x: NDArray[np.uint8], x_hat: NDArray[np.uint8]) -> float:
    """Return the texture distance of two pictures [H, W, 3] in 8-bit levels, 0 for equal ones.

    The root of the mean over the pixels of sum over features of (m - m')^2 + (s - s')^2, where m and s are
    mean and deviation of a feature in a window around the pixel: the squared Wasserstein distance of two
    normal distributions. It is lower where grain is like the original's, wherever its specks are, and higher
    where grain is gone or none belongs.

    Args:
        x: the original.
        x_hat: what is compared to it.

    Source: Wasserstein Distortion: Unifying Fidelity and Realism, 2023 (arXiv 2310.03629), and Good, Cheap,
    and Fast: Overfitted Image Compression with Wasserstein Distortion, 2024 (arXiv 2412.00505). What differs:
    the features are a fixed bank of linear filters, four octaves in four directions and the low pass of luma
    and two chroma planes, instead of the layers of VGG-16; responses are one-sided, so that a feature is a
    pair in quadrature; the window is of one size everywhere, where theirs grows with the distance from what
    is looked at; and the root is taken, so that the unit is levels.
    """
    a, b = (_planes(p) for p in (x, x_hat))
    height, width = x.shape[:2]
    pad = [(_MARGIN, -side % STRIDE + _MARGIN) for side in (height, width)]
    rows, columns = (side + sum(ends) for side, ends in zip((height, width), pad, strict=True))
    bank = Bank(rows, columns, BANDS, DIRECTIONS)
    total = 0.0
    for plane, weight in enumerate((1.0, CHROMA, CHROMA)):
        first, second = (np.pad(p[plane], pad, "symmetric") for p in (a, b))
        low = first - second
        first, second = bank.responses(first), bank.responses(second)
        for (band, _, r), (_, _, s) in zip(first, second, strict=True):
            total += weight**2 * _apart(r, s, 1 << max(band - 1, 0), (height, width))
        total += weight**2 * _inside(_pooled(low, 1) ** 2, (height, width))
    return float(np.sqrt(total))


_MARGIN = 32  # px around the picture, a multiple of STRIDE


def _planes(pixels: NDArray[np.uint8]) -> list[Plane]:
    """Luma and the differences of blue and red to it, 8-bit levels."""
    x = pixels.astype(np.float32)
    y = x @ LUMA
    return [y, 0.564 * (x[:, :, 2] - y), 0.713 * (x[:, :, 0] - y)]


def _apart(r: NDArray[np.complex64], s: NDArray[np.complex64], factor: int, size: tuple[int, int]) -> float:
    """The mean squared distance of a response's local means and deviations over a picture of a size."""
    means, deviations = [], []
    for response in (r, s):
        mean = _pooled(response.real, factor) + 1j * _pooled(response.imag, factor)
        power = _pooled(response.real**2 + response.imag**2, factor)
        means.append(mean)
        deviations.append(np.sqrt(np.maximum(power - np.abs(mean) ** 2, 0)))
    # Half, since a one-sided response to a wave has its amplitude on both axes.
    return _inside(0.5 * (np.abs(means[0] - means[1]) ** 2 + (deviations[0] - deviations[1]) ** 2), size)


def _inside(error: Plane, size: tuple[int, int]) -> float:
    """The mean over the samples that lie in a picture of a size."""
    edge = _MARGIN // STRIDE
    rows, columns = (-(-side // STRIDE) for side in size)
    return float(error[edge : edge + rows, edge : edge + columns].mean(dtype=np.float64))


def _pooled(plane: NDArray, factor: int) -> Plane:
    """A plane of a sample for each `factor` px under the window, a sample for each STRIDE px."""
    block = STRIDE // factor
    rows, columns = (side // block for side in plane.shape)
    plane = plane[: rows * block, : columns * block].reshape(rows, block, columns, block).mean((1, 3))
    sigma = POOL / STRIDE
    reach = int(np.ceil(3 * sigma))
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    window = (window / window.sum()).astype(np.float32)
    for axis in (0, 1):
        ends = [(reach, reach) if i == axis else (0, 0) for i in (0, 1)]
        padded, size = np.pad(plane, ends, "edge"), plane.shape[axis]
        parts = (padded[k : k + size] if axis == 0 else padded[:, k : k + size] for k in range(len(window)))
        plane = np.add.reduce([weight * part for weight, part in zip(window, parts, strict=True)])
    return plane
