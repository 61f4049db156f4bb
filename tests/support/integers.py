"""Random integers of splats that a file may hold, and files made of them without a fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from splat2d.format.container import is_clip
from splat2d.format.eyes import Eyes
from splat2d.format.field import Field, Layout
from splat2d.native import core
from splat2d.scene.clip import Clip
from splat2d.scene.picture import Scene

Ints32 = NDArray[np.int32]
CHROMA_STEP = 10
STEP_CODE = 600
ONE = 4096  # a px in lattice units
STEP_Q16 = 132372  # the widest shape step
LOG2_SCALE_MIN, LOG2_SCALE_MAX = -2 * 131072, 11 * 131072


def shape_steps(classes: Ints32) -> NDArray[np.int64]:
    """Return the step of log2 area and aspect of energy classes, Q16, as format/test_quantize.py has it."""
    half = classes.astype(np.int64) // 2
    value = np.where(classes % 2 == 0, 154116, 108976)
    return np.clip(np.where(half >= 0, value >> np.maximum(half, 0), 2 * value), 64, STEP_Q16)


def with_shapes(
    colors: Ints32, width: int, height: int, rng: np.random.Generator, log2_s: tuple[float, float] = (-2, 11)
) -> Ints32:
    """Return integers [N, C + 5] of colours [N, C] with random shapes and places.

    Args:
        colors: Not all zero in any row.
        width: Of the canvas, px.
        height: Of the canvas, px.
        rng: Source of the random numbers.
        log2_s: Range of log2 of both standard deviations, px.
    """
    n, channels = colors.shape
    q = np.zeros((n, channels + 5), np.int32)
    q[:, :channels] = colors
    classes = core().energy_classes(np.ascontiguousarray(colors, np.int32), CHROMA_STEP)
    step = shape_steps(classes)
    # log2 of the deviations in Q17: the aspect is half their difference, the area half their sum, in steps.
    s = np.sort((rng.uniform(*log2_s, (n, 2)) * 131072).astype(np.int64), axis=1)
    low, high = LOG2_SCALE_MIN, LOG2_SCALE_MAX
    area = (s.sum(1) // 2) // step
    aspect = (s[:, 1] - s[:, 0]) // 2 // step
    aspect = np.minimum(aspect, np.minimum(area - -(-low // step), high // step - area))
    area = np.where(aspect < 0, -(-low // step), area)
    aspect = np.maximum(aspect, 0)
    q[:, channels], q[:, channels + 1] = area, aspect
    angles = core().angle_counts(classes, np.ascontiguousarray(q[:, channels + 1]))
    q[:, channels + 2] = rng.integers(0, angles)
    margin = core().MARGIN
    place = rng.random((n, 2)) * [(width + 2 * margin) * ONE, (height + 2 * margin) * ONE]
    return at_places(q, classes, place.astype(np.int64), width, height)


def at_places(q: Ints32, classes: Ints32, place: NDArray[np.int64], width: int, height: int) -> Ints32:
    """Move splats to lattice points near places [N, 2] (x, y in lattice units from the margin's corner).

    Those whose lattice has no point there inside the margin are left out.
    """
    shapes = q[:, -5:].copy()
    shapes[:, 3:] = 0, 1
    hx = core().lattice_centers(classes, np.ascontiguousarray(shapes))[:, 0]
    shapes[:, 3:] = 1, 0
    hy = core().lattice_centers(classes, np.ascontiguousarray(shapes))[:, 1]
    shapes[:, 3] = place[:, 1] // hy
    offset = core().lattice_centers(classes, np.ascontiguousarray(shapes))[:, 0]
    shapes[:, 4] = (place[:, 0] - offset) // hx
    center = core().lattice_centers(classes, np.ascontiguousarray(shapes))
    margin = core().MARGIN
    inside = (center >= 0).all(1) & (center < [(width + 2 * margin) * ONE, (height + 2 * margin) * ONE]).all(
        1
    )
    out = q.copy()
    out[:, -5:] = shapes
    return np.ascontiguousarray(out[inside])


def random_integers(
    count: int,
    channels: int,
    width: int,
    height: int,
    *,
    seed: int = 0,
    log2_s: tuple[float, float] = (-2, 11),
) -> Ints32:
    """Return at most `count` valid splats [N, C + 5], with colours from 1 to the limit, some of them 0."""
    rng = np.random.default_rng(seed)
    size = np.exp2(rng.uniform(0, 15, (count, 1)))
    colors = np.rint(rng.laplace(size=(count, channels)) * size * rng.integers(0, 2, (count, channels)))
    colors = np.clip(colors, -core().MAX_COLOR, core().MAX_COLOR).astype(np.int32)
    colors[~colors.any(1), 0] = 1
    return with_shapes(colors, width, height, rng, log2_s)


def random_moving(
    count: int, channels: int, width: int, height: int, frames: int, *, seed: int = 0
) -> Ints32:
    """Return at most `count` valid splats of a segment [N, C + 9], of all durations, times and speeds."""
    rng = np.random.default_rng(seed)
    plane = random_integers(4 * count, channels, width, height, seed=seed, log2_s=(-1.5, 5))
    n = len(plane)
    classes = core().energy_classes(np.ascontiguousarray(plane[:, :channels]), CHROMA_STEP)
    duration_step = np.minimum(shape_steps(classes), 94548)
    shortest, longest = -(-(-2 << 16) // duration_step), core().longest_durations(classes, frames)
    course = np.zeros((n, 4), np.int64)
    course[:, 0] = rng.integers(shortest, longest + 1)
    course[:, 0] = np.where(rng.random(n) < 0.3, longest, course[:, 0])
    times = core().time_steps(classes, course[:, 0].astype(np.int32), frames)
    course[:, 1] = rng.uniform(-1.5, 1.5, n) * frames * ONE // times
    course[:, 2:] = np.rint(rng.laplace(size=(n, 2)) * np.exp2(rng.uniform(-3, 9, (n, 1))))
    q = np.ascontiguousarray(np.hstack([plane, course]), np.int32)
    return np.ascontiguousarray(q[core().moving_in_range(q, width, height, frames, CHROMA_STEP)][:count])


def with_disparities(q: Ints32, eyes: Eyes, most: float, seed: int = 0) -> Ints32:
    """Return rows [N, C + 6] of splats [N, C + 5], whose disparities lie within `most` px."""
    rng = np.random.default_rng(seed)
    ones = np.ascontiguousarray(np.hstack([q, np.ones((len(q), 1), np.int32)]))
    step = core().disparities(ones, CHROMA_STEP, eyes.arguments)
    d = np.rint(rng.uniform(-most, most, len(q)) / step).astype(np.int32)
    return np.ascontiguousarray(np.hstack([q, d[:, None]]))


def layout_for(q: Ints32, width: int, height: int, frames: int = 0) -> Layout:
    """Return the layout of integers [N, C + 5], or [N, C + 9] of a segment of so many frames."""
    return Layout(width, height, q.shape[1] - (9 if frames else 5), CHROMA_STEP, STEP_CODE, frames)


def coded(q: Ints32, layout: Layout) -> tuple[bytes, float]:
    """Return the coded bytes and the ideal code length in bits."""
    bits: dict[str, float] = {}
    return Field.encode(q, layout, bits=bits).data, sum(bits.values())


def decoded(data: bytes, layout: Layout, tiers: int | None = None) -> Ints32:
    """Return the integers that coded bytes hold."""
    return Field.parse(data, layout).decode(tiers=tiers)[0]


def as_set(q: Ints32) -> Ints32:
    """Return the rows in one fixed order."""
    return q[np.lexsort(q.T)]


def fields_of(data: bytes) -> list[Field]:
    """Return all fields of a file: of layers back to front, then of segments; colours, then matte."""
    document = (Clip if is_clip(data) else Scene).from_bytes(data).document
    return [field for _, field in document.fields()]
