"""A small light field whose disparities are known: a picture at one distance, a square nearer to the eyes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FAR, NEAR = 0.5, 2.0  # disparities, px a step of the grid


def texture(width: int, height: int, seed: int) -> NDArray[np.float64]:
    """Smooth noise [H, W, 3] in [0, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    out = np.full((height, width, 3), 0.5)
    for _ in range(24):
        fx, fy, phase = *rng.uniform(-0.12, 0.12, 2), rng.uniform(0, 6.28)
        out += 0.06 * rng.standard_normal(3) * np.sin(2 * np.pi * (fx * x + fy * y) + phase)[..., None]
    return np.clip(out, 0.05, 0.95)


def moved(pixels: NDArray[np.float64], x: float, y: float) -> NDArray[np.float64]:
    """A picture x px to the right and y px down, linear between pixels, its border going on."""
    for axis, by in ((0, y), (1, x)):
        side = pixels.shape[axis]
        at = np.clip(np.arange(side) - by, 0, side - 1)
        low = np.floor(at).astype(int)
        shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
        part = (at - low).reshape(shape)
        pixels = pixels.take(low, axis) * (1 - part) + pixels.take(np.minimum(low + 1, side - 1), axis) * part
    return pixels


def views_of(
    columns: int, rows: int, width: int = 64, height: int = 48, *, far: float = FAR, near: float = NEAR
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Views [K, H, W, 3] uint8, row by row, and the places [K, 2] of their eyes."""
    back, front = texture(width, height, 1), texture(width, height, 2)[..., ::-1] * 0.5
    mask = np.zeros((height, width, 1))
    mask[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = 1
    eyes = [(u - (columns - 1) / 2, v - (rows - 1) / 2) for v in range(rows) for u in range(columns)]
    views = []
    for u, v in eyes:
        cover = moved(mask, near * u, near * v)
        seen = moved(back, far * u, far * v) * (1 - cover) + moved(front, near * u, near * v) * cover
        views.append(np.rint(255 * seen).astype(np.uint8))
    return np.stack(views), np.array(eyes)
