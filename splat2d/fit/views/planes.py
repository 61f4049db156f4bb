"""At which disparities a light field has something: a plane sweep on small views."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FARTHEST = 32.0
"""Largest disparity that is looked for, px a step of the eyes' grid."""

_SIDE = 192  # px of the longer side of the views that are looked at
_BLOCK = 8  # px of theirs
_TEXTURED = 0.5  # part of the blocks, the most telling, that count
_RARE = 0.01  # part of these at either end that does not
_MOST = 24  # planes of seeds
_SWEPT = 128  # planes, at most
_DOUBTFUL = 0.7  # part of what the places leave unexplained that others may


def doubt(views: NDArray[np.uint8], eyes: NDArray[np.float64]) -> str:
    """What speaks against the places of views; empty where nothing does.

    Views in another order explain each other better: columns for rows, or one of both turned round.

    Args:
        views: [K, H, W, C].
        eyes: [K, 2] u, v of each, in steps of the grid.
    """
    pixels = views.transpose(0, 3, 1, 2).mean(1, dtype=np.float32, keepdims=True) / np.float32(255)
    others = {
        "their columns and rows may be swapped": eyes[:, ::-1],
        "their columns or their rows may run the other way": eyes * [-1, 1],
        "their rows may run the other way and be swapped with the columns": eyes[:, ::-1] * [-1, 1],
    }
    present = _unexplained(pixels, eyes)
    costs = {why: _unexplained(pixels, places) for why, places in others.items()}
    best = min(costs, key=lambda why: costs[why])
    return f"the views fit together better otherwise: {best}" if costs[best] < _DOUBTFUL * present else ""


def _unexplained(pixels: NDArray[np.float32], eyes: NDArray[np.float64]) -> float:
    """The variance of the views that no disparity explains."""
    return float(_costs(pixels, eyes)[1].min(0).mean())


def sweep(pixels: NDArray[np.float32], eyes: NDArray[np.float64]) -> list[float]:
    """Disparities, evenly, from the least to the most that the views have.

    Args:
        pixels: [K, C, H, W] in [0, 1].
        eyes: [K, 2] u, v of each, in steps of the grid.

    Returns:
        Two at least, px a step of the grid, so close that splats of a few px are found between them.
    """
    reach = float(np.abs(eyes).max())
    planes, costs = _costs(pixels, eyes)
    found = planes[costs.argmin(0)].ravel()
    telling = (costs.max(0) - costs.min(0)).ravel()
    chosen = np.sort(found[telling >= np.quantile(telling, 1 - _TEXTURED)])
    low, high = np.quantile(chosen, [_RARE, 1 - _RARE])
    fine = 2.0 / reach
    count = int(np.clip(np.ceil((high - low) / fine) + 1, 2, _MOST))
    return np.linspace(low - fine / 2, high + fine / 2, count).tolist()


def _costs(
    pixels: NDArray[np.float32], eyes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Planes [P], and the variance of the views brought together at each, by blocks [P, h, w]."""
    factor = max(1, -(-max(pixels.shape[2:]) // _SIDE))
    small = _shrunk(pixels.mean(1), factor)
    # Between planes a point of the small views moves by 0.7 px there in the farthest of them.
    step = max(0.7 * factor / float(np.abs(eyes).max()), 2 * FARTHEST / _SWEPT)
    planes = np.arange(-FARTHEST, FARTHEST + step / 2, step)
    return planes, np.stack([_blocks(_variance(small, eyes * (plane / factor))) for plane in planes])


def _shrunk(planes: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """[K, H, W] with means of squares for pixels."""
    k, h, w = planes.shape
    h, w = max(h // factor, 1), max(w // factor, 1)
    cut = planes[:, : h * factor, : w * factor]
    return cut.reshape(k, h, factor, w, factor).mean((2, 4)) if factor > 1 else cut


def _variance(views: NDArray[np.float32], moves: NDArray[np.float64]) -> NDArray[np.float32]:
    """Variance [H, W] of the views, each brought back by its move (x, y)."""
    moved = [_moved(view, x, y) for view, (x, y) in zip(views, moves, strict=True)]
    return np.var(np.stack(moved), axis=0)


def _moved(view: NDArray[np.float32], x: float, y: float) -> NDArray[np.float32]:
    """A view seen from (x, y) farther on, linear between pixels, its border going on."""
    for axis, by in ((0, y), (1, x)):
        side = view.shape[axis]
        at = np.clip(np.arange(side) + by, 0, side - 1)
        low = np.floor(at).astype(int)
        part = (at - low).astype(np.float32)
        part = part[:, None] if axis == 0 else part
        view = view.take(low, axis) * (1 - part) + view.take(np.minimum(low + 1, side - 1), axis) * part
    return view


def _blocks(cost: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of blocks."""
    h, w = (max(side // _BLOCK, 1) for side in cost.shape)
    tall, wide = min(_BLOCK, cost.shape[0]), min(_BLOCK, cost.shape[1])
    return cost[: h * tall, : w * wide].reshape(h, tall, w, wide).mean((1, 3))
