"""The integers of a picture's splats, coded tier by tier, plane by plane.

One traversal serves both directions: it hands every value to a coder and goes on with what the coder returns.
docs/FORMAT.md, section 5, is this file in words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat2d._backend import core
from splat2d.codec import priors
from splat2d.codec.coder import Coder, Ints
from splat2d.codec.positions import Leaves, code_positions
from splat2d.codec.tables import IntegerPlane, Plane
from splat2d.errors import BitstreamError

SECTORS = 16  # of the half turn, coded before the remainder of a fine angle
MAX_POINTS = 1 << 24


@dataclass(frozen=True)
class Layout:
    """What the header says of the splats.

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
        def integers(name: str, key: str, fine: int) -> IntegerPlane:
            return IntegerPlane(name, priors.load(key), fine)

        self.color = [
            integers(name, key, fine)
            for name, key, fine in (
                ("luma", "luma", FINE_LUMA),
                ("chroma", "chroma1", FINE_CHROMA),
                ("chroma", "chroma2", FINE_CHROMA),
            )[: 1 if channels < 3 else 3]
        ]
        if channels in (2, 4):
            self.color.append(integers("alpha", "alpha", FINE_CHROMA))
        self.area = integers("area", "area", FINE_AREA)
        self.aspect = integers("aspect", "aspect", FINE_ASPECT)
        self.few_angles = Plane("angle", priors.load("few_angles"))
        self.sector = Plane("angle", priors.load("sector"), FINE_SECTOR)
        self.sign = [Plane("sign", priors.load("sign")) for _ in range(channels)]


FINE_LUMA = 8
FINE_CHROMA = 3
FINE_AREA = 8
FINE_ASPECT = 8
FINE_SECTOR = 4


def magnitude_class(values: Ints) -> Ints:
    """0, 1, 2-3, 4-6, 7-11, 12 and more as 0 to 5."""
    return np.searchsorted(np.array([1, 2, 4, 7, 12]), values, side="right").astype(np.int64)


def code_splats(
    coder: Coder,
    layout: Layout,
    integers: NDArray[np.int32] | None,
    *,
    tiers: int | None = None,
) -> NDArray[np.int32]:
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
    done = np.zeros((0, channels + 5), np.int32)
    centers = np.zeros((0, 2), np.int64)
    tier_of = None
    if integers is not None:
        classes = core().energy_classes(np.ascontiguousarray(integers[:, :channels]), layout.chroma_step)
        tier_of = core().tiers(classes, np.ascontiguousarray(integers[:, channels]))
    for tier, count in enumerate(layout.tier_counts[:tiers]):
        if not count:
            continue
        given = None if tier_of is None or integers is None else integers[tier_of == tier]
        decoded = _code_tier(coder, models, layout, tier, count, centers, given)
        classes = core().energy_classes(np.ascontiguousarray(decoded[:, :channels]), layout.chroma_step)
        new = core().lattice_centers(classes, np.ascontiguousarray(decoded[:, channels:]))
        done, centers = np.concatenate([done, decoded]), np.concatenate([centers, new])
    return done


def _code_tier(
    coder: Coder,
    models: Models,
    layout: Layout,
    tier: int,
    count: int,
    centers: Ints,
    given: NDArray[np.int32] | None,
) -> NDArray[np.int32]:
    channels = layout.channels
    native = core()
    positions = None
    if given is not None:
        classes = native.energy_classes(np.ascontiguousarray(given[:, :channels]), layout.chroma_step)
        positions = native.lattice_centers(classes, np.ascontiguousarray(given[:, channels:]))
    leaves, order = code_positions(
        coder,
        layout.width,
        layout.height,
        tier,
        count,
        centers,
        positions,
    )
    if given is not None:
        given = given[order]
    q = np.zeros((count, channels + 5), np.int32)

    def wanted(column: int) -> Ints | None:
        return None if given is None else given[:, column].astype(np.int64)

    density = _density(leaves, tier)
    tiers = np.full(count, tier, np.int64)

    # Magnitudes, each component in the context of the ones before.
    magnitudes = np.zeros((count, channels), np.int64)
    for c, plane in enumerate(models.color):
        values = wanted(c)
        values = None if values is None else np.abs(values)
        if c == 0:
            coarse, fine = tiers, density
        else:
            luma = magnitude_class(magnitudes[:, 0])
            before = np.minimum(magnitudes[:, c - 1], 2) if c == 2 else np.zeros(count, np.int64)
            coarse, fine = 6 * tiers + luma, before
        magnitudes[:, c] = plane.code_integers(coder, coarse, fine, values)
    if (magnitudes > native.MAX_COLOR).any() or not magnitudes.any(1).all():
        raise BitstreamError("the coded splats are damaged: a splat's colour is zero or out of range")
    q[:, :channels] = magnitudes
    classes = native.energy_classes(np.ascontiguousarray(q[:, :channels]), layout.chroma_step)
    level = np.clip(classes, 0, 11).astype(np.int64)

    # Area within the tier's range.
    ranges = native.area_ranges(classes, tier).astype(np.int64)
    values = wanted(channels)
    area = models.area.code_integers(
        coder, 12 * tiers + level, density, None if values is None else values - ranges[:, 0]
    )
    q[:, channels] = np.minimum(area + ranges[:, 0], 1 << 20)
    if (q[:, channels] > ranges[:, 1]).any():
        raise BitstreamError("the coded splats are damaged: an area is outside its tier")

    # Aspect, then the angle it leaves room for.
    q[:, channels + 1] = models.aspect.code_integers(coder, 12 * tiers + level, density, wanted(channels + 1))
    if not native.shapes_in_range(classes, np.ascontiguousarray(q[:, channels:])).all():
        raise BitstreamError("the coded splats are damaged: a shape is out of range")
    q[:, channels + 2] = _code_angles(coder, models, classes, q[:, channels + 1], wanted(channels + 2))

    # The lattice point inside the leaf.
    shapes = np.ascontiguousarray(q[:, channels:])
    points = native.cell_points(classes, shapes, leaves.corners, leaves.width, leaves.height)
    if (points < 1).any() or (points > MAX_POINTS).any():
        raise BitstreamError("the coded splats are damaged: a cell without a position for its splat")
    index = None
    if given is not None:
        index = native.cell_indices(
            classes, np.ascontiguousarray(given[:, channels:]), leaves.corners, leaves.width, leaves.height
        )
    index = coder.uniform("position", points, index)
    q[:, channels + 3 :] = native.cell_centers(classes, shapes, leaves.corners, leaves.width, leaves.height, index)

    # Signs.
    context = np.zeros(count, np.int64)
    for c in range(channels):
        nonzero = np.flatnonzero(q[:, c])
        values = wanted(c)
        bit = models.sign[c].code(
            coder, context[nonzero], None, None if values is None else (values[nonzero] < 0).astype(np.int64)
        )
        sign = np.zeros(count, np.int64)
        sign[nonzero] = 1 + bit
        context = 3 * context + sign if c < 2 else context
        q[nonzero, c] *= (1 - 2 * bit).astype(np.int32)
    return q


def _code_angles(
    coder: Coder, models: Models, classes: NDArray[np.int32], aspects: NDArray[np.int32], values: Ints | None
) -> Ints:
    """Angle indices: directly where there are few, else a sector and its remainder."""
    n = core().angle_counts(classes, np.ascontiguousarray(aspects)).astype(np.int64)
    out = np.zeros(len(n), np.int64)
    few = np.flatnonzero((n > 1) & (n < SECTORS))
    out[few] = models.few_angles.code(coder, n[few], None, None if values is None else values[few])
    many = np.flatnonzero(n >= SECTORS)
    m = n[many]
    sector_of = None
    if values is not None:
        sector_of = (2 * SECTORS * values[many] + m) // (2 * m) % SECTORS
    fine = np.minimum(aspects[many].astype(np.int64) * 65536 // 65536, 3) * 0
    sector = models.sector.code(coder, np.zeros(len(many), np.int64), fine, sector_of)
    # Sector s holds the indices t with round(SECTORS t / n) = s modulo SECTORS: from start, `size` of them.
    start = -((m - 2 * m * sector) // (2 * SECTORS))
    size = -((m - 2 * m * (sector + 1)) // (2 * SECTORS)) - start
    rest = None if values is None else (values[many] - start) % m
    out[many] = (start + coder.uniform("angle", size, rest)) % m
    if (out >= n).any():
        raise BitstreamError("the coded splats are damaged: an angle is out of range")
    return out


def _density(leaves: Leaves, tier: int) -> Ints:
    """How crowded the tier is around each splat: 0 to 7, log2 of the neighbours within a few leaves."""
    shift = 14 + (6 - tier) // 2  # grid of 4 to 32 px in Q12
    gx, gy = leaves.corners[:, 0] >> shift, leaves.corners[:, 1] >> shift
    across = int(gx.max(initial=0)) + 3
    grid = np.bincount((gy + 1) * across + gx + 1, minlength=across * (int(gy.max(initial=0)) + 3))
    around = sum(
        grid[(gy + 1 + dy) * across + gx + 1 + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)
    )
    return np.clip(np.frexp(np.asarray(around, np.float64))[1] - 1, 0, 7).astype(np.int64)
