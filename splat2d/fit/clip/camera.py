"""The camera's path: one translation a frame, so that what stands still in the world costs no velocity.

Pairs of frames one, three and six apart are registered by robust least squares (Lucas and Kanade 1981, with
the weights of Geman and McClure 1985, so that the larger of background and objects wins); the path is that
which fits all pairs best.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from splat2d.fit.means import grey, half
from splat2d.format.header import MAX_PIXELS, MAX_SIDE
from splat2d.native.backend import ALL_CORES, Backend

Floats = NDArray[np.float32]

GAPS = (1, 3, 6)  # frames
SEARCH = 6  # px of the coarsest level, each way
LEVELS = 3  # of the pyramid that a pair is registered on, the first being half of the frame
LEAST_SIDE = 24  # px of a level
ITERATIONS = 5
SCALE = 0.06  # of the residual beyond which a pixel counts less
UNITS = 64  # of a file's path, to the px
SEEN = 0.01  # of a difference that counts half
MAX_SPAN = 0.75  # of a frame's side that a path may reach over


def camera_path(frames: NDArray[np.uint8], backend: Backend = ALL_CORES) -> NDArray[np.int32]:
    """The path of the camera.

    Args:
        frames: [T, H, W, C].
        backend: whose threads look at pairs of frames.

    Returns:
        [T, 2] x and y in 1/64 px by which a frame shows the world farther to the right and down, at most 0,
        and 0 in some frame on each axis. All 0 where no path explains the frames better than none.
    """
    count, height, width = frames.shape[:3]
    still = np.zeros((count, 2), np.int32)
    if count < 2 or min(height, width) < 2 * LEAST_SIDE:
        return still
    pairs = [(t, gap) for gap in GAPS for t in range(count - gap)]
    steps: list[NDArray[np.float64]] = []  # from frame to frame
    with ThreadPoolExecutor(backend.thread_count) as pool:
        pyramids = list(pool.map(lambda frame: pyramid(grey(frame)), frames))

        def look(pair: tuple[int, int]) -> NDArray[np.float64]:
            t, gap = pair
            guess = np.sum(steps[t : t + gap], 0) if gap > 1 else None
            return register(pyramids[t], pyramids[t + gap], guess)

        steps += pool.map(look, pairs[: count - 1])
        targets = [*steps, *pool.map(look, pairs[count - 1 :]), np.zeros(2)]
    rows = np.zeros((len(targets), count))
    for row, (t, gap) in zip(rows, pairs, strict=False):
        row[t], row[t + gap] = -1, 1
    rows[-1] = 1
    path = np.linalg.lstsq(rows, np.array(targets), rcond=None)[0]
    path = np.rint((path - path.max(0)) * UNITS).astype(np.int32)
    span = -path.min(0) / UNITS
    if (span > MAX_SPAN * np.array([width, height])).any() or not helps(pyramids, path / UNITS):
        return still
    world = np.ceil(span) + np.array([width, height])
    if world.max() > MAX_SIDE or world.prod() > MAX_PIXELS:
        return still
    return path


def pyramid(grey: Floats) -> list[Floats]:
    """Means of 2 x 2 px, once and again."""
    levels = []
    for _ in range(LEVELS):
        if levels and min(grey.shape) // 2 < LEAST_SIDE:
            break
        grey = half(grey)
        levels.append(grey)
    return levels


def register(a: list[Floats], b: list[Floats], guess: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Where what `a` shows went in `b`: x and y in px of the frame."""
    coarsest = len(a) - 1
    d = searched(a[coarsest], b[coarsest]) if guess is None else guess / 2 ** (coarsest + 1)
    for level in range(coarsest, -1, -1):
        d = refined(a[level], b[level], d)
        d = d * 2
    return d


def searched(a: Floats, b: Floats) -> NDArray[np.float64]:
    """The whole px between -SEARCH and SEARCH of the least absolute difference."""
    m = min(SEARCH, (min(a.shape) - 8) // 2)
    h, w = a.shape
    middle = a[m : h - m, m : w - m]
    costs = [
        (float(np.abs(b[m + y : h - m + y, m + x : w - m + x] - middle).mean()), x, y)
        for y in range(-m, m + 1)
        for x in range(-m, m + 1)
    ]
    _, x, y = min(costs)
    return np.array([x, y], np.float64)


def shifted(b: Floats, d: NDArray[np.float64], margin: int) -> Floats:
    """The picture b at (x + d) for all pixels of b but a margin, bilinear."""
    h, w = b.shape
    x0, y0 = np.floor(d).astype(int)
    fx, fy = np.float32(d[0] - x0), np.float32(d[1] - y0)

    def at(dy: int, dx: int) -> Floats:
        y, x = margin + y0 + dy, margin + x0 + dx
        return b[y : y + h - 2 * margin, x : x + w - 2 * margin]

    top = (1 - fx) * at(0, 0) + fx * at(0, 1)
    return (1 - fy) * top + fy * ((1 - fx) * at(1, 0) + fx * at(1, 1))


def refined(a: Floats, b: Floats, d: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gauss-Newton steps of a robust difference from a first guess; the guess where they lead too far."""
    first = d
    for _ in range(ITERATIONS):
        margin = int(np.abs(d).max()) + 3
        if 2 * margin + 8 > min(a.shape):
            return first
        moved = shifted(b, d, margin)
        h, w = a.shape
        error = a[margin : h - margin, margin : w - margin] - moved
        gy, gx = np.gradient(moved)
        weight = 1 / (1 + (error / SCALE) ** 2) ** 2
        wx, wy = weight * gx, weight * gy
        xy = float((wx * gy).sum())
        normal = np.array([[float((wx * gx).sum()), xy], [xy, float((wy * gy).sum())]])
        if np.linalg.det(normal) < 1e-6:
            return first
        step = np.linalg.solve(normal, [float((wx * error).sum()), float((wy * error).sum())])
        d = d + np.clip(step, -2, 2)
        if np.abs(step).max() < 0.01:
            break
    return d if np.abs(d - first).max() <= SEARCH else first


def helps(pyramids: list[list[Floats]], path: NDArray[np.float64]) -> bool:
    """Whether frames are more alike along a path than where they stand: in the mean, and at more pixels.

    A few edges that differ much must not outweigh a ground that stands still.
    """
    along, still = np.zeros(2), np.zeros(2)
    for t in range(len(pyramids) - 1):
        a, b = pyramids[t][0], pyramids[t + 1][0]
        d = (path[t + 1] - path[t]) / 2
        margin = int(np.abs(d).max()) + 3
        if 2 * margin + 8 > min(a.shape):
            return False
        h, w = a.shape
        middle = a[margin : h - margin, margin : w - margin]
        along += _differences(shifted(b, d, margin) - middle)
        still += _differences(b[margin : h - margin, margin : w - margin] - middle)
    return bool((along < 0.98 * still).all())


def _differences(error: Floats) -> NDArray[np.float64]:
    """The mean, and the part of the pixels that differ."""
    squares = error * error
    return np.array([np.abs(error).mean(), (squares / (squares + np.float32(SEEN**2))).mean()])
