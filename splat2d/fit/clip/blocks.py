"""How blocks of frames move: velocities that new splats are looked for along.

Each block is compared with the frames before and behind, coarse to fine; the better of both counts, since
what is about to be covered is seen in one of them only.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from splat2d.fit.clip.flow import sampled
from splat2d.fit.means import grey, half
from splat2d.format.segments import PATH_UNITS

Floats = NDArray[np.float32]

BLOCK = 4  # px of the coarsest level
COARSE_SIDE = 160  # px of its longer side, at most
SEARCH = 8  # px of it around the camera's path, each way
STILL = 0.0015  # of the mean error that a px of it must save
REFINED = 2  # times, on the level that is finer by one
SIDES = (-1, 1)  # of a frame in time


def block_motion(frames: NDArray[np.uint8], path: NDArray[np.int32]) -> tuple[Floats, int]:
    """Velocities of blocks.

    Args:
        frames: [T, H, W, C], two at least.
        path: [T, 2] of the camera, 1/64 px.

    Returns:
        [T, rows, columns, 2] px a frame, x and y, relative to the path; and the px of a block of a frame.
    """
    luma = grey(frames[..., :3])
    height, width = luma.shape[1:]
    factor = 1
    while max(height, width) > COARSE_SIDE * factor and min(height, width) >= 4 * BLOCK * factor:
        factor *= 2
    levels = [luma[:, : height // factor * factor, : width // factor * factor]]
    while 1 << (len(levels) - 1) < factor:
        levels.append(half(levels[-1]))
    camera = np.gradient(path / PATH_UNITS, axis=0).astype(np.float32)
    velocities = _searched(levels[-1], np.rint(camera / factor).astype(int)) * np.float32(factor)
    scale = max(factor // 2, 1)
    for number in range(REFINED):
        step = np.float32(scale / 2**number)
        velocities = _refined(
            levels[max(len(levels) - 2, 0)], velocities, step, scale, BLOCK * factor // scale
        )
    return velocities - camera[:, None, None], BLOCK * factor


def _searched(frames: Floats, camera: NDArray[np.intp]) -> Floats:
    """The best whole px of each block, [T, rows, columns, 2]."""
    height, width = frames.shape[1:]
    least = np.full_like(_blocks(frames, BLOCK), np.inf)
    out = np.zeros((*least.shape, 2), np.float32)
    reach = SEARCH + int(np.abs(camera).max())
    padded = np.pad(frames, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    margin = reach - SEARCH
    for side in SIDES:
        own = slice(1, None) if side < 0 else slice(None, -1)
        # Other frames as the camera's path brings them here, with what is searched around.
        others = np.stack(
            [
                padded[t + side][
                    margin + side * y : margin + side * y + height + 2 * SEARCH,
                    margin + side * x : margin + side * x + width + 2 * SEARCH,
                ]
                for t, (x, y) in list(enumerate(camera))[own]
            ]
        )
        for dy, dx in itertools.product(range(-SEARCH, SEARCH + 1), repeat=2):
            top, left = SEARCH + side * dy, SEARCH + side * dx
            error = np.abs(others[:, top : top + height, left : left + width] - frames[own])
            cost = _blocks(error, BLOCK) + np.float32(STILL * np.hypot(dx, dy))
            better = cost < least[own]
            least[own][better] = cost[better]
            out[own][better] = dx, dy
    return out + camera[:, None, None].astype(np.float32)


def _refined(frames: Floats, velocities: Floats, step: np.float32, scale: int, block: int) -> Floats:
    """The best of each block's velocity, its neighbours', and then those a step around it.

    Args:
        frames: [T, h, w], `scale` times smaller.
        velocities: [T, rows, columns, 2] px.
        step: px.
        scale: of the frames.
        block: px of theirs.
    """
    rows, columns = velocities.shape[1:3]
    wide = np.pad(velocities, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    beside = [
        wide[:, 1 + y : 1 + y + rows, 1 + x : 1 + x + columns] for y, x in ((-1, 0), (1, 0), (0, -1), (0, 1))
    ]
    best, least = _better(frames, velocities, _costs(frames, velocities, scale, block), beside, scale, block)
    around = [
        best + np.array([x, y], np.float32) * step
        for y, x in itertools.product((-1, 0, 1), repeat=2)
        if x or y
    ]
    return _better(frames, best, least, around, scale, block)[0]


def _better(
    frames: Floats, best: Floats, least: Floats, others: list[Floats], scale: int, block: int
) -> tuple[Floats, Floats]:
    for other in others:
        cost = _costs(frames, other, scale, block)
        better = cost < least
        best = np.where(better[..., None], other, best)
        least = np.where(better, cost, least)
    return best, least


def _costs(frames: Floats, velocities: Floats, scale: int, block: int) -> Floats:
    """The mean error of each block, [T, rows, columns], against the frame that is more like it."""
    count, height, width = frames.shape
    x = np.arange(width, dtype=np.float32) + np.float32(0.5)
    y = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)
    out = np.full(velocities.shape[:3], np.inf, np.float32)
    for t in range(count):
        moves = velocities[t] / np.float32(scale)
        moves = moves.repeat(block, 0)[:height].repeat(block, 1)[:, :width]
        for side in SIDES:
            if 0 <= t + side < count:
                seen = sampled(frames[t + side], x + side * moves[..., 0], y + side * moves[..., 1])
                out[t] = np.minimum(out[t], _blocks(np.abs(seen - frames[t])[None], block)[0])
    return out


def _blocks(errors: Floats, block: int) -> Floats:
    """Means of blocks and, half as much, of those beside them, [T, rows, columns]."""
    count, height, width = errors.shape
    rows, columns = -(-height // block), -(-width // block)
    full = np.pad(errors, ((0, 0), (0, rows * block - height), (0, columns * block - width)), mode="edge")
    down = full.reshape(count, rows, block, columns * block).sum(2)
    means = np.add.reduce([down[..., i::block] for i in range(block)]) * np.float32(1 / block**2)
    p = np.pad(means, ((0, 0), (1, 1), (0, 0)), mode="edge")
    means = (p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]) / 4
    p = np.pad(means, ((0, 0), (0, 0), (1, 1)), mode="edge")
    return ((p[:, :, :-2] + 2 * p[:, :, 1:-1] + p[:, :, 2:]) / 4).astype(np.float32)
