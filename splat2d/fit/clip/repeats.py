"""Frames that repeat the one before: of film shown faster, of drawings held, of screens and still pictures.

A segment holds what such frames show once, and a clock (splat2d/format/clock.py) says when it is shown. To
its fit they would be motion that stops, which neither velocities nor a motion field follow.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from splat2d.fit.encode import PSNR_SLOPE
from splat2d.format.clock import Clock

# What decoded clips are off by at a step D = 0.72, squared levels: about 32 dB.
STEP, SQUARED = 0.72, 255**2 * 10**-3.2
ALLOWED = 0.5  # of that, at most, frames of one moment may differ by: each is then off by a quarter of it
LEAST_RATIO = 16.0  # by which frames around change more than one that repeats
HOLD = 3  # repeats in a row beside which a change is looked for
NEAR = 4  # moments around one that say how much a step of the motion changes
BLOCK = 16  # px
# Of a block's difference, in units of D: what moves alone in a still picture is no repeat, and what no splat
# would be coded for is one whatever is around.
MOVED, STILL = 5.0, 0.125


class Change(NamedTuple):
    """Between two frames.

    Args:
        squared: mean of the squared differences, levels.
        gathered: root of the sum of the squared differences in a block, that of the block with most, levels.
    """

    squared: float
    gathered: float


def clock_of(frames: NDArray[np.uint8], step: float, *, weighed: bool = False) -> Clock | None:
    """The clock of a segment's frames; None where each is a moment of its own.

    A frame repeats the one before if the change is small against what a fit at D is off by, gathers nowhere,
    and is small against what changes shortly before and behind: slow motion is no repeat. Next to no change
    is one in any case. Where motion jumps behind most repeats they stand for frames that got lost: time went
    on, and they stay moments.

    Args:
        frames: [T, H, W, C].
        step: D.
        weighed: whether the last channel says how much errors count.
    """
    allowed = ALLOWED * SQUARED * (step / STEP) ** (PSNR_SLOPE / (10 * np.log10(2)))
    changes = [_change(a, b, weighed) for a, b in itertools.pairwise(frames)]
    squared = [change.squared for change in changes]

    def repeats(change: Change, around: float) -> bool:
        if change.gathered <= STILL * 255 * step:
            return True
        small = change.squared <= allowed and change.gathered <= MOVED * 255 * step
        return small and LEAST_RATIO * change.squared <= around

    found, held = [False], 0  # the frame that shows the moment first
    for frame, change in enumerate(changes, 1):
        around = _around(squared, frame - 1)
        same = repeats(change, around)
        if same and held < frame - 1:  # slow changes add up
            same = repeats(_change(frames[held], frames[frame], weighed), around)
        found.append(same)
        held = held if same else frame
    clock = Clock.of(found)
    if clock is not None:
        for moment in _lost(frames, clock, squared, weighed):
            found = [same and at != moment for same, at in zip(found, clock.moments, strict=True)]
    return Clock.of(found)


def _lost(frames: NDArray[np.uint8], clock: Clock, squared: Sequence[float], weighed: bool) -> list[int]:
    """Moments whose repeats stand for lost frames: none, where motion jumps behind fewer than half of all.

    It jumps where it changes more than the geometric mean of one step and two nearby, where nothing repeats.
    """
    shown, ends = clock.shown, np.cumsum(clock.shown)
    steps = [squared[end - 1] for end in ends[:-1]]  # from each moment to the next
    plain = [j for j in range(len(steps)) if shown[j] == 1]
    pairs = {
        j: _change(frames[ends[j] - 1], frames[ends[j] + 1], weighed).squared
        for j in plain
        if j + 1 < len(steps) and shown[j + 1] == 1
    }
    jumps, judged = [], 0
    for moment in (j for j in range(len(steps)) if 1 < shown[j] <= HOLD):
        one = [steps[j] for j in plain if abs(j - moment) <= NEAR]
        two = [change for j, change in pairs.items() if abs(j - moment) <= NEAR]
        if one and two:
            judged += 1
            if steps[moment] ** 2 > np.median(one) * np.median(two):
                jumps.append(moment)
    return jumps if 2 * len(jumps) > judged else []


def moments_of(frames: NDArray[np.uint8], clock: Clock) -> NDArray[np.uint8]:
    """The frames [T', H, W, C] of a clock's moments: each the mean of those that show it."""
    ends = np.cumsum(clock.shown)
    parts = zip(ends - clock.shown, ends, strict=True)
    return np.stack(
        [
            frames[a] if a + 1 == b else np.rint(frames[a:b].mean(0, dtype=np.float32)).astype(np.uint8)
            for a, b in parts
        ]
    )


def _change(a: NDArray[np.uint8], b: NDArray[np.uint8], weighed: bool) -> Change:
    """Between two frames [H, W, C]; what counts in neither changes nothing."""
    difference = a.astype(np.int16) - b
    if weighed:
        difference[(a[..., -1] == 0) & (b[..., -1] == 0)] = 0
    squared: NDArray[np.int32] = np.zeros(a.shape[:2], np.int32)
    for c in range(a.shape[2]):
        squared += np.square(difference[..., c], dtype=np.int32)
    by_row = np.add.reduceat(squared, range(0, len(squared), BLOCK), axis=0)
    blocks = np.add.reduceat(by_row, range(0, squared.shape[1], BLOCK), axis=1)
    return Change(float(squared.mean()) / a.shape[2], float(np.sqrt(blocks.max())))


def _around(squared: Sequence[float], i: int) -> float:
    """What changes shortly before a change, or shortly behind it: the lesser, of sides that are whole."""
    whole = [
        side for side in (squared[max(i - HOLD, 0) : i], squared[i + 1 : i + 1 + HOLD]) if len(side) == HOLD
    ]
    sides = whole or [squared]
    return min((max(side) for side in sides if side), default=0.0)
