"""Code lengths that the integer refinement weighs, measured on the present integers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from splat2d.native import core

# The shapes that the native core expects (cpp/refine/refiner.hpp, RateTables).
COLORS, CONTEXTS, CLASSES, AREAS, AREA_OFFSET, ASPECTS = 256, 3, 36, 512, 96, 96
DURATIONS, LIVES, BINS, SPEEDS = 64, 4, 24, 129  # cpp/refine/clip_refiner.hpp, MovingRates
KERNEL = np.array([0.05, 0.1, 0.7, 0.1, 0.05])
FLOOR = 0.02  # counts of a value never seen
UNKNOWN_BITS = 7.0  # of shapes in an energy class never seen


def _code_lengths(values: NDArray[np.integer], size: int) -> NDArray[np.float32]:
    """-log2 of the smoothed frequencies of values in [0, size)."""
    counts = np.bincount(np.clip(values, 0, size - 1), minlength=size).astype(np.float64)
    counts = np.convolve(counts, KERNEL, "same") + FLOOR
    return (-np.log2(counts / counts.sum())).astype(np.float32)


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
    color = np.zeros((channels, CONTEXTS, COLORS), np.float32)
    for c in range(channels):
        context = np.minimum(magnitudes[:, 1], CONTEXTS - 1) if c == 2 else np.zeros(len(q), np.int32)
        for j in range(CONTEXTS):
            color[c, j] = _code_lengths(magnitudes[context == j, c], COLORS)
            color[c, j, 1:] += 1  # the sign
    area = np.full((CLASSES, AREAS), UNKNOWN_BITS, np.float32)
    aspect = np.full((CLASSES, ASPECTS), UNKNOWN_BITS, np.float32)
    for k in np.unique(r):
        chosen = r == k
        area[k] = _code_lengths(q[chosen, channels] + AREA_OFFSET, AREAS)
        aspect[k] = _code_lengths(q[chosen, channels + 1], ASPECTS)
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
    duration = np.full((CLASSES, DURATIONS), UNKNOWN_BITS, np.float32)
    speed = np.full((2, CLASSES, SPEEDS), UNKNOWN_BITS, np.float32)
    time = np.full((LIVES, BINS), UNKNOWN_BITS, np.float32)
    for k in np.unique(classes):
        chosen = classes == k
        duration[k + 1] = _code_lengths(shorter[chosen], DURATIONS)
        for axis in range(2):
            speed[axis, k + 1] = _code_lengths(q[chosen, channels + 7 + axis] + SPEEDS // 2, SPEEDS)
    for k in np.unique(life):
        time[k] = _code_lengths(bins[life == k], BINS)
    return duration, time, speed
