"""Code lengths that the integer refinement weighs, measured on the present integers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from splat2d.native import core

# The shapes that the native core expects (cpp/refine/refiner.hpp, RateTables).
COLORS, CONTEXTS, CLASSES, AREAS, AREA_OFFSET, ASPECTS = 256, 3, 36, 512, 96, 96
DURATIONS, LIVES, BINS, SPEEDS = 64, 4, 24, 129  # cpp/refine/clip_refiner.hpp, MovingRates
Floats = NDArray[np.float32]
KERNEL = np.array([0.05, 0.1, 0.7, 0.1, 0.05])
FLOOR = 0.02  # counts of a value never seen
UNKNOWN_BITS = 7.0  # of shapes in an energy class never seen


def _code_lengths(rows: NDArray[np.integer], values: NDArray[np.integer], shape: tuple[int, int]) -> Floats:
    """-log2 of the smoothed frequencies in each of so many rows of values in [0, size), [rows, size]."""
    count, size = shape
    places = rows * np.int64(size) + np.clip(values, 0, size - 1)
    counts = np.bincount(places, minlength=count * size).reshape(shape)
    padded = np.pad(counts, ((0, 0), (len(KERNEL) // 2,) * 2))
    smooth = np.zeros(shape)
    for i, weight in enumerate(KERNEL):
        smooth += weight * padded[:, i : i + size]
    smooth += FLOOR
    return (-np.log2(smooth / smooth.sum(1, keepdims=True))).astype(np.float32)


def _by_class(rows: NDArray[np.integer], values: NDArray[np.integer], shape: tuple[int, int]) -> Floats:
    """The same; `UNKNOWN_BITS` in rows without values."""
    out = _code_lengths(rows, values, shape)
    out[np.bincount(rows, minlength=shape[0]) == 0] = UNKNOWN_BITS
    return out


def rate_tables(
    integers: NDArray[np.int32], classes: NDArray[np.int32], channels: int, pixels: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], float]:
    """Tables for Refiner.sweep.

    Args:
        integers: [N, C + 5]; rows whose colours are all zero do not count.
        classes: [N] energy classes.
        channels: C.
        pixels: of the canvas.

    Returns:
        Colour [C, 3, 256], area [36, 512] and aspect [36, 96] code lengths in bits, and the bits of a
        position on a lattice of 1 px^2.
    """
    live = integers[:, :channels].any(1)
    q, r = integers[live], classes[live] + 1
    magnitudes = np.abs(q[:, :channels])
    color = np.empty((channels, CONTEXTS, COLORS), np.float32)
    alone = np.zeros(len(q), np.int32)
    for c in range(channels):
        context = np.minimum(magnitudes[:, 1], CONTEXTS - 1) if c == 2 else alone
        color[c] = _code_lengths(context, magnitudes[:, c], (CONTEXTS, COLORS))
    color[..., 1:] += 1  # the sign
    area = _by_class(r, q[:, channels] + AREA_OFFSET, (CLASSES, AREAS))
    aspect = _by_class(r, q[:, channels + 1], (CLASSES, ASPECTS))
    # A set of n positions costs log2(pixels / n) + log2(e) each.
    position = math.log2(pixels / max(len(q), 1)) + math.log2(math.e)
    return color, area, aspect, position


def moving_tables(
    integers: NDArray[np.int32], classes: NDArray[np.int32], channels: int, frames: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """What ClipRefiner.sweep takes besides the tables of pictures.

    Args:
        integers: [N, C + 9]; rows whose colours are all zero do not count.
        classes: [N] energy classes.
        channels: C.
        frames: T.

    Returns:
        Duration [36, 64], time [4, 24] and velocity [2, 36, 129] code lengths in bits.
    """
    live = integers[:, :channels].any(1)
    q, classes = integers[live], np.ascontiguousarray(classes[live])
    durations, times = (np.ascontiguousarray(q[:, channels + column]) for column in (5, 6))
    shorter = core().longest_durations(classes, frames) - durations
    life = core().lives(classes, durations, frames)
    bins = core().time_bins(classes, durations, times, frames)
    duration = _by_class(classes + 1, shorter, (CLASSES, DURATIONS))
    speeds = (q[:, channels + 7 + axis] + SPEEDS // 2 for axis in range(2))
    speed = np.stack([_by_class(classes + 1, v, (CLASSES, SPEEDS)) for v in speeds])
    time = _by_class(life, bins, (LIVES, BINS))
    return duration, time, speed
