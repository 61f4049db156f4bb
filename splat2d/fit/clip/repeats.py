"""Frames that repeat the one before: of a slower film shown faster, of drawings held, of a screen, of dropped frames.

A segment holds such frames once, and a clock (splat2d/format/clock.py) says when they are shown. For its fit a
frame that stays is motion that stops, which neither velocities nor a motion field follow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from splat2d.fit.encode import PSNR_SLOPE
from splat2d.format.clock import Clock

# What a clip at the step D = 0.72 is off by: it comes to about 32 dB.
STEP, SQUARED = 0.72, 255**2 * 10**-3.2
LOST = 0.5  # of that, at most, two frames may differ by that are one moment: each is off by a quarter of it
LEAST_RATIO = 16.0  # by which frames around change more than one that repeats
HOLD = 3  # repeats in a row beside which a change is looked for
BLOCK = 16  # px
# Root of a block's squared difference in units of D: what moves alone in a still picture is no repeat, and what
# no splat would be coded for is one whatever is around.
MOVED, STILL = 5.0, 0.125


def clock_of(frames: NDArray[np.uint8], step: float, *, weighed: bool = False) -> Clock | None:
    """The clock of a segment's frames; None where each is a moment of its own.

    A frame repeats the one before if their difference is small against what the fit at D is off by, nowhere
    gathers to something that is seen, and is small against what changes shortly before and behind: slow motion
    is no repeat. Where it is next to nothing, the last does not count.

    Args:
        frames: [T, H, W, C].
        step: D.
        weighed: whether the last channel says how much errors count.
    """
    if len(frames) < 2:
        return None
    changes = [_difference(a, b, weighed) for a, b in zip(frames, frames[1:], strict=False)]
    lost = LOST * SQUARED * (step / STEP) ** (PSNR_SLOPE / (10 * np.log10(2)))
    repeats, held = [False], 0
    for i, (change, gathered) in enumerate(changes):
        same = False
        if change <= lost and gathered <= MOVED * 255 * step:
            if held != i:  # slow changes add up
                change, gathered = _difference(frames[held], frames[i + 1], weighed)
            around = _around([c for c, _ in changes], i)
            passing = change <= lost and gathered <= MOVED * 255 * step and LEAST_RATIO * change <= around
            same = passing or gathered <= STILL * 255 * step
        repeats.append(same)
        held = held if same else i + 1
    return Clock.of(repeats)


def moments_of(frames: NDArray[np.uint8], clock: Clock) -> NDArray[np.uint8]:
    """The frames [T', H, W, C] of a clock's moments: each the mean of those that show it."""
    ends = np.cumsum(clock.shown)
    parts = zip(ends - clock.shown, ends, strict=True)
    return np.stack([np.rint(frames[a:b].mean(0, dtype=np.float32)).astype(np.uint8) for a, b in parts])


def _difference(a: NDArray[np.uint8], b: NDArray[np.uint8], weighed: bool) -> tuple[float, float]:
    """Mean of the squared differences of two frames [H, W, C], and the root of a block's sum at most, levels."""
    difference = a.astype(np.int16) - b
    if weighed:
        difference[(a[..., -1] == 0) & (b[..., -1] == 0)] = 0
    squared = np.square(difference, dtype=np.int32).sum(-1)
    by_row = np.add.reduceat(squared, range(0, len(squared), BLOCK), axis=0)
    blocks = np.add.reduceat(by_row, range(0, squared.shape[1], BLOCK), axis=1)
    return float(squared.sum(dtype=np.int64)) / a.size, float(np.sqrt(blocks.max()))


def _around(changes: Sequence[float], i: int) -> float:
    """How much changes shortly before and behind a change, the lesser of both; of what there is of them."""
    sides = changes[max(i - HOLD, 0) : i], changes[i + 1 : i + 1 + HOLD]
    return min((max(side) for side in sides if side), default=0.0)
