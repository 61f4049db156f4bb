"""The integers of a picture's splats, coded tier by tier, plane by plane.

One traversal serves both directions: it hands every value to a coder and goes on with what the coder returns.
docs/FORMAT.md, section 5, is this file in words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat2d._backend import core
from splat2d.codec.coder import Coder, Ints
from splat2d.codec.positions import Leaves, code_positions
from splat2d.codec.priors import prior
from splat2d.codec.tables import IntegerPlane, Plane
from splat2d.errors import BitstreamError

SECTORS = 16  # of the half turn, coded before the remainder of a fine angle
LEVELS = 12  # energy classes that shapes tell apart
DENSITIES = 8
MAX_POINTS = 1 << 24
BATCHES = 2  # of a tier: the second half has the first as neighbours
MAGNITUDES = 6  # classes of a colour component's size

Int32s = NDArray[np.int32]


@dataclass(frozen=True)
class Layout:
    """What the file says of its splats before the first of them.

    Args:
        width: canvas width, px.
        height: canvas height, px.
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
        chroma_step: chroma step over the colour step, in eighths.
        tier_counts: splats in each tier, coarse first.
    """

    width: int
    height: int
    channels: int
    chroma_step: int
    tier_counts: tuple[int, ...]


class Models:
    """The adaptive tables of one file."""

    def __init__(self, channels: int) -> None:
        self.luma = IntegerPlane("luma", prior("luma"), DENSITIES)
        self.chroma = [IntegerPlane("chroma", prior(f"chroma{c}"), 4 * (MAGNITUDES + 1)) for c in (1, 2)]
        self.alpha = IntegerPlane("alpha", prior("alpha"), 4 * (MAGNITUDES + 1))
        self.area = IntegerPlane("area", prior("area"), DENSITIES)
        self.aspect = IntegerPlane("aspect", prior("aspect"), DENSITIES)
        self.few_angles = Plane("angle", prior("few_angles"))
        self.sector = Plane("angle", prior("sector"), SECTORS + 1)
        self.sign = [Plane("sign", prior("sign")) for _ in range(channels)]


@dataclass
class Known:
    """What has been decoded: integers and what contexts need of them."""

    integers: Int32s  # [N, C + 5]
    centers: Ints  # [N, 2] Q12 px from the margin's corner
    log_areas: Ints  # [N] log2(s1 s2), Q16
    sectors: Ints  # [N] 0 without an angle, else 1 + sector

    @classmethod
    def empty(cls, channels: int) -> Known:
        """Nothing yet."""
        none = np.zeros(0, np.int64)
        return cls(np.zeros((0, channels + 5), np.int32), np.zeros((0, 2), np.int64), none, none)

    def extend(self, q: Int32s, channels: int, chroma_step: int) -> None:
        """Add decoded splats."""
        native = core()
        classes = native.energy_classes(np.ascontiguousarray(q[:, :channels]), chroma_step)
        aspects = np.ascontiguousarray(q[:, channels + 1])
        n = native.angle_counts(classes, aspects).astype(np.int64)
        sectors = np.where(n > 1, 1 + sector_of(q[:, channels + 2].astype(np.int64), n), 0)
        areas = np.ascontiguousarray(q[:, channels])
        self.integers = np.concatenate([self.integers, q])
        self.centers = np.concatenate(
            [self.centers, native.lattice_centers(classes, np.ascontiguousarray(q[:, channels:]))]
        )
        self.log_areas = np.concatenate([self.log_areas, native.log_areas(classes, areas)])
        self.sectors = np.concatenate([self.sectors, sectors])


def sector_of(angles: Ints, counts: Ints) -> Ints:
    """The nearest of 16 directions of the half turn to angle indices out of counts."""
    return (2 * SECTORS * angles + counts) // (2 * counts) % SECTORS


def magnitude_class(values: NDArray[np.integer]) -> Ints:
    """0, 1, 2-3, 4-6, 7-11, 12 and more as 0 to 5."""
    return np.searchsorted(np.array([1, 2, 4, 7, 12]), values, side="right").astype(np.int64)


def code_splats(coder: Coder, layout: Layout, integers: Int32s | None, *, tiers: int | None = None) -> Int32s:
    """Code a picture's splats.

    Args:
        coder: an encoder (or counter) with `integers`, or a decoder without.
        layout: canvas and counts; with an encoder the counts must be those of `integers`.
        integers: [N, C + 5] colours, area, aspect, angle, iy, ix; None when decoding.
        tiers: stop after this many tiers.

    Returns:
        The integers in coding order, [N, C + 5] int32.

    Raises:
        BitstreamError: the decoded integers are not a valid picture.
    """
    channels = layout.channels
    models = Models(channels)
    known = Known.empty(channels)
    tier_of = None
    if integers is not None:
        classes = core().energy_classes(np.ascontiguousarray(integers[:, :channels]), layout.chroma_step)
        tier_of = core().tiers(classes, np.ascontiguousarray(integers[:, channels]))
    for tier, count in enumerate(layout.tier_counts[:tiers]):
        if count:
            given = None if tier_of is None or integers is None else integers[tier_of == tier]
            _code_tier(coder, models, layout, tier, count, known, given)
    return known.integers


def _code_tier(
    coder: Coder,
    models: Models,
    layout: Layout,
    tier: int,
    count: int,
    known: Known,
    given: Int32s | None,
) -> None:
    """Code one tier's positions, then its other integers in batches that know the ones before."""
    native, channels = core(), layout.channels
    positions = None
    if given is not None:
        classes = native.energy_classes(np.ascontiguousarray(given[:, :channels]), layout.chroma_step)
        positions = native.lattice_centers(classes, np.ascontiguousarray(given[:, channels:]))
    leaves, order = code_positions(coder, layout.width, layout.height, tier, count, known.centers, positions)
    if given is not None:
        given = given[order]
    density = _density(leaves, tier)
    for batch in range(BATCHES):
        part = slice(batch, None, BATCHES)
        corners = np.ascontiguousarray(leaves.corners[part])
        if not len(corners):
            continue
        q = _code_batch(
            coder,
            models,
            layout,
            tier,
            Leaves(corners, leaves.width, leaves.height),
            np.ascontiguousarray(density[part]),
            known,
            None if given is None else given[part],
        )
        known.extend(q, channels, layout.chroma_step)


def _code_batch(
    coder: Coder,
    models: Models,
    layout: Layout,
    tier: int,
    leaves: Leaves,
    density: Ints,
    known: Known,
    given: Int32s | None,
) -> Int32s:
    native, channels = core(), layout.channels
    count = len(density)
    middle = leaves.corners + np.array([leaves.width // 2, leaves.height // 2])
    nearest, distance = native.neighbours(middle, tier, known.centers, known.log_areas)
    near = known.integers[nearest] if len(known.integers) else np.zeros((count, channels + 5), np.int32)
    found = nearest >= 0
    q = np.zeros((count, channels + 5), np.int32)

    def wanted(column: int) -> Ints | None:
        return None if given is None else given[:, column].astype(np.int64)

    def near_magnitude(component: int) -> Ints:
        """0 without a neighbour, else 1 + the class of its component."""
        return np.where(found, 1 + magnitude_class(np.abs(near[:, component])), 0)

    # Magnitudes first: all steps follow from them.
    _code_magnitudes(coder, models, tier, density, near_magnitude, wanted, q[:, :channels])
    if (q[:, :channels] > native.MAX_COLOR).any() or not q[:, :channels].any(1).all():
        raise BitstreamError("the coded splats are damaged: a splat's colour is zero or out of range")
    classes = native.energy_classes(np.ascontiguousarray(q[:, :channels]), layout.chroma_step)
    shape_context = LEVELS * tier + np.clip(classes, 0, LEVELS - 1).astype(np.int64)

    # Area within the tier's range.
    ranges = native.area_ranges(classes, tier).astype(np.int64)
    values = wanted(channels)
    values = None if values is None else values - ranges[:, 0]
    area = ranges[:, 0] + models.area.code_integers(coder, shape_context, density, values)
    if (area > ranges[:, 1]).any():
        raise BitstreamError("the coded splats are damaged: an area is outside its tier")
    q[:, channels] = area

    # Aspect, then the angle it leaves room for.
    q[:, channels + 1] = models.aspect.code_integers(coder, shape_context, density, wanted(channels + 1))
    if not native.shapes_in_range(classes, np.ascontiguousarray(q[:, channels:])).all():
        raise BitstreamError("the coded splats are damaged: a shape is out of range")
    near_sector = (
        np.where(found, known.sectors[nearest], 0) if len(known.sectors) else np.zeros(count, np.int64)
    )
    q[:, channels + 2] = _code_angles(
        coder, models, classes, q[:, channels + 1], near_sector, distance, wanted(channels + 2)
    )

    # The lattice point inside the leaf.
    shapes = np.ascontiguousarray(q[:, channels:])
    points = native.cell_points(classes, shapes, leaves.corners, leaves.width, leaves.height)
    if (points < 1).any() or (points > MAX_POINTS).any():
        raise BitstreamError("the coded splats are damaged: a cell without a position for its splat")
    index = None
    if given is not None:
        given_shapes = np.ascontiguousarray(given[:, channels:])
        index = native.cell_indices(classes, given_shapes, leaves.corners, leaves.width, leaves.height)
    index = coder.uniform("position", points, index)
    q[:, channels + 3 :] = native.cell_centers(
        classes, shapes, leaves.corners, leaves.width, leaves.height, index
    )
    _code_signs(coder, models, channels, near, found, distance, wanted, q)
    return q


def _code_magnitudes(
    coder: Coder,
    models: Models,
    tier: int,
    density: Ints,
    near_magnitude: Callable[[int], Ints],
    wanted: Callable[[int], Ints | None],
    out: Int32s,
) -> None:
    """Colour magnitudes into `out` [N, C]: luma after the neighbour's, the others after luma."""
    channels = out.shape[1]
    colors = channels - (channels % 2 == 0)
    luma = np.zeros(len(out), np.int64)
    for c in range(channels):
        values = wanted(c)
        values = None if values is None else np.abs(values)
        if c == 0:
            context = (MAGNITUDES + 1) * tier + near_magnitude(0)
            out[:, 0] = models.luma.code_integers(coder, context, density, values)
            luma = magnitude_class(out[:, 0])
            continue
        context = MAGNITUDES * tier + luma
        before = np.minimum(out[:, c - 1], 3).astype(np.int64) if c == 2 else np.zeros(len(out), np.int64)
        plane = models.chroma[c - 1] if c < colors else models.alpha
        out[:, c] = plane.code_integers(coder, context, 4 * near_magnitude(c) + before, values)


def _code_angles(
    coder: Coder,
    models: Models,
    classes: Int32s,
    aspects: Int32s,
    near_sector: Ints,
    distance: Ints,
    values: Ints | None,
) -> Ints:
    """Angle indices: directly where there are few, else a sector and its remainder."""
    n = core().angle_counts(classes, np.ascontiguousarray(aspects)).astype(np.int64)
    out = np.zeros(len(n), np.int64)
    few = np.flatnonzero((n > 1) & (n < SECTORS))
    out[few] = models.few_angles.code(coder, n[few], None, None if values is None else values[few])
    many = np.flatnonzero(n >= SECTORS)
    m = n[many]
    wanted = None if values is None else sector_of(values[many], m)
    # Needles keep to the axes more than others do.
    slim = np.minimum(aspects[many].astype(np.int64) // 2, 3)
    sector = models.sector.code(coder, 4 * distance[many] + slim, near_sector[many], wanted)
    # Sector s holds the indices t with round(SECTORS t / n) = s modulo SECTORS: from start, `size` of them.
    start = -((m - 2 * m * sector) // (2 * SECTORS))
    size = -((m - 2 * m * (sector + 1)) // (2 * SECTORS)) - start
    rest = None if values is None else (values[many] - start) % m
    out[many] = (start + coder.uniform("angle", size, rest)) % m
    if (out >= n).any():
        raise BitstreamError("the coded splats are damaged: an angle is out of range")
    return out


def _code_signs(
    coder: Coder,
    models: Models,
    channels: int,
    near: Int32s,
    found: NDArray[np.bool_],
    distance: Ints,
    wanted: Callable[[int], Ints | None],
    q: Int32s,
) -> None:
    """Signs, each in the context of the neighbour's and of the components before."""
    before = np.zeros(len(q), np.int64)
    for c in range(channels):
        nonzero = np.flatnonzero(q[:, c])
        near_sign = np.where(found, np.sign(near[:, c]) + 1, 1).astype(np.int64)
        context = 9 * (3 * np.minimum(distance, 2) + near_sign) + before
        values = wanted(c)
        values = None if values is None else (values[nonzero] < 0).astype(np.int64)
        negative = models.sign[c].code(coder, context[nonzero], None, values)
        sign = np.zeros(len(q), np.int64)
        sign[nonzero] = 1 + negative
        before = (3 * before + sign) % 9
        q[nonzero, c] *= (1 - 2 * negative).astype(np.int32)


def _density(leaves: Leaves, tier: int) -> Ints:
    """Log2 of the tier's splats in 3 x 3 squares of 4 to 32 px around each splat, 0 to 7."""
    shift = 14 + (6 - tier) // 2
    gx, gy = leaves.corners[:, 0] >> shift, leaves.corners[:, 1] >> shift
    across = int(gx.max(initial=0)) + 3
    grid = np.bincount((gy + 1) * across + gx + 1, minlength=across * (int(gy.max(initial=0)) + 3))
    around = np.zeros(len(gx), np.int64)
    for dy in (0, 1, 2):
        for dx in (0, 1, 2):
            around += grid[(gy + dy) * across + gx + dx]
    return np.minimum(np.frexp(around.astype(np.float64))[1] - 1, DENSITIES - 1).astype(np.int64)
