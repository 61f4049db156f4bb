"""How splats of a clip go in time: duration, time and velocity, coded behind the rest of each batch.

docs/FORMAT.md, section 9, is this file in words.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from splat2d.codec.adaptive import AdaptiveTable
from splat2d.codec.coder import Coder, Ints
from splat2d.codec.splats import Layout, splat_batches
from splat2d.codec.tokens import TOKENS, from_token, to_token, token_bits
from splat2d.errors import BitstreamError
from splat2d.native import core

COURSE = 4  # integers of a splat beyond a picture's: duration, time, vy, vx
DURATIONS = 64  # symbols, the last for all shorter ones
BINS = 24  # of times, eight to the clip's length, from one length before it to one behind it
SPEEDS = 16  # of either sign that have a symbol
CLASSES = 36  # of energy
LIVES = 4  # groups of durations by the clip's length: beyond it, to a quarter, to a sixteenth, shorter

Int32s = NDArray[np.int32]


class Courses:
    """Codes the courses of one segment's splats, learning as it goes.

    Args:
        coder: either direction.
        layout: of the segment's splats.
        frames: T of the segment.
    """

    def __init__(self, coder: Coder, layout: Layout, frames: int) -> None:
        self.coder, self.layout, self.frames = coder, layout, frames
        longest = np.arange(DURATIONS)
        self.duration = AdaptiveTable("duration", CLASSES, 1 + 64 // (1 + longest))
        middle = np.abs(2 * np.arange(BINS) - BINS + 1)
        self.time = AdaptiveTable("time", LIVES, np.where(middle < 9, 8, 1))
        speeds = np.abs(np.arange(2 * SPEEDS + 2) - SPEEDS)
        prior = 1 + 96 // (1 + speeds * speeds)
        self.speed = [AdaptiveTable("velocity", CLASSES * LIVES * 3, prior) for _ in range(2)]
        self.rest = AdaptiveTable("velocity", 1, np.ones(TOKENS, np.int64))

    def code(self, q: Int32s, given: Int32s | None) -> Int32s:
        """Code the courses of a batch.

        Args:
            q: [n, C + 5] what is known of these splats.
            given: [n, 4] when encoding, else None.

        Returns:
            [n, 4] duration, time, vy, vx.
        """
        native, channels = core(), self.layout.channels
        classes = native.energy_classes(np.ascontiguousarray(q[:, :channels]), self.layout.chroma_step)
        energy = classes.astype(np.int64) + 1
        out = np.zeros((len(q), COURSE), np.int32)

        def wanted(column: int) -> Ints | None:
            return None if given is None else given[:, column].astype(np.int64)

        most = native.longest_durations(classes, self.frames).astype(np.int64)
        values = wanted(0)
        shorter = self._counted(self.duration, energy, None if values is None else most - values)
        out[:, 0] = most - shorter
        if not native.durations_in_range(classes, np.ascontiguousarray(out[:, 0]), self.frames).all():
            raise BitstreamError("the coded splats are damaged: a duration is out of range")
        life = native.lives(classes, np.ascontiguousarray(out[:, 0]), self.frames).astype(np.int64)
        out[:, 1] = self._times(classes, np.ascontiguousarray(out[:, 0]), life, wanted(1))
        context = energy // 4 * LIVES + life
        still = np.zeros(len(q), np.int64)
        for axis in range(2):
            speed = self._speeds(axis, context * 3 + np.minimum(np.abs(still), 2), wanted(2 + axis))
            out[:, 2 + axis] = speed
            still = speed
        return out

    def _counted(self, table: AdaptiveTable, context: Ints, values: Ints | None) -> Ints:
        """Integers from 0 on: a symbol each, the last followed by tokens."""
        last = DURATIONS - 1
        symbol = table.code(self.coder, context, None if values is None else np.minimum(values, last))
        beyond = np.flatnonzero(symbol == last)
        if len(beyond):
            symbol[beyond] += self._tokens(len(beyond), None if values is None else values[beyond] - last)
        return symbol

    def _times(self, classes: Int32s, durations: Int32s, life: Ints, values: Ints | None) -> Ints:
        """A bin of an eighth of the clip, then the time inside it."""
        steps = core().time_steps(classes, durations, self.frames)
        middle, width = self.frames << 11, self.frames << 9  # Q12 frames
        symbol = None
        if values is not None:
            symbol = (values * steps + middle + 8 * width) // width
        symbol = self.time.code(self.coder, life, symbol)
        start = symbol * width - 8 * width - middle  # of the bin, from the clip's middle
        first, end = -(-start // steps), -(-(start + width) // steps)
        if (end <= first).any():
            raise BitstreamError("the coded splats are damaged: a time that no splat can have")
        return first + self.coder.uniform("time", end - first, None if values is None else values - first)

    def _speeds(self, axis: int, context: Ints, values: Ints | None) -> Ints:
        """Small velocities have a symbol each, others a sign and a token."""
        escape = 2 * SPEEDS + 1
        symbol = None
        if values is not None:
            symbol = np.where(np.abs(values) > SPEEDS, escape, values + SPEEDS)
        symbol = self.speed[axis].code(self.coder, context, symbol)
        out = symbol - SPEEDS
        fast = np.flatnonzero(symbol == escape)
        if len(fast):
            signs = None if values is None else (values[fast] < 0).astype(np.int64)
            signs = self.coder.uniform("velocity", np.full(len(fast), 2), signs)
            size = self._tokens(len(fast), None if values is None else np.abs(values[fast]) - SPEEDS - 1)
            out[fast] = (size + SPEEDS + 1) * (1 - 2 * signs)
        return out

    def _tokens(self, count: int, values: Ints | None) -> Ints:
        """Integers from 0 to 65535, which few splats need."""
        token, raw = None, None
        if values is not None:
            token, _, raw = to_token(values)
        token = self.rest.code(self.coder, np.zeros(count, np.int64), token)
        return from_token(token, self.coder.uniform("velocity", 1 << token_bits(token), raw))


def code_moving(
    coder: Coder,
    layout: Layout,
    frames: int,
    integers: Int32s | None,
    *,
    tiers: int | None = None,
    threads: int = 1,
) -> Int32s:
    """Code the splats of a segment of a clip.

    Args:
        coder: an encoder (or counter) with `integers`, or a decoder without.
        layout: of the world that the segment shows, and counts.
        frames: T of the segment.
        integers: [N, C + 9] those of a picture's splats and their courses; None when decoding.
        tiers: stop after this many tiers.
        threads: to use; the result is the same for any number.

    Returns:
        The integers in coding order, [N, C + 9] int32.

    Raises:
        BitstreamError: the decoded integers are not a valid segment.
    """
    width = layout.channels + 5
    plane = None if integers is None else np.ascontiguousarray(integers[:, :width])
    courses = Courses(coder, layout, frames)
    coded = [np.zeros((0, width + COURSE), np.int32)]
    for q, rows in splat_batches(coder, layout, plane, tiers=tiers, threads=threads):
        given = None if integers is None or rows is None else integers[rows, width:]
        coded.append(np.concatenate([q, courses.code(q, given)], axis=1))
    out = np.concatenate(coded)
    if not core().moving_in_range(out, layout.width, layout.height, frames, layout.chroma_step).all():
        raise BitstreamError("the coded splats are damaged: a splat goes where none can")
    return out
