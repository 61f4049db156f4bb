"""The integers of a picture's splats, coded tier by tier, plane by plane.

One traversal serves both directions: it hands every value to a coder and goes on with what the coder returns.
docs/FORMAT.md, section 5, is this file in words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat2d.codec.coder import Coder, Ints
from splat2d.codec.network import HEADS, network
from splat2d.codec.positions import Layout, Leaves, code_positions
from splat2d.codec.tokens import DIRECT, from_token, to_token, token_bits
from splat2d.errors import BitstreamError, ConfigError
from splat2d.native import core

__all__ = ["Layout", "check_tiers", "code_splats", "splat_batches"]

SECTORS = 32  # of the half turn, coded before the remainder of a fine angle
MAX_POINTS = 1 << 24
BATCHES = 2  # of a tier: the second has the first as neighbours
NO_LIMITS = np.zeros(0, np.int64)

Int32s = NDArray[np.int32]


def check_tiers(tiers: int | None) -> int | None:
    """A number of tiers that there can be, or None for all.

    Raises:
        ConfigError: another number.
    """
    if tiers is not None and not 1 <= tiers <= core().TIERS:
        raise ConfigError(f"tiers is {tiers}, expected 1 to {core().TIERS}")
    return tiers


class Batch:
    """Splats of a tier that are coded together, plane by plane.

    Args:
        coder: either direction.
        context: what has been decoded before.
        layout: of the file.
        tier: of these splats.
        leaves: of these splats.
        surroundings: [n, 4], what the tier's leaves say of each other.
        given: [n, C + 5] integers when encoding, else None.
        model: what `embed` and `rows` are asked of, as of a `Network`.
        threads: of the network.
    """

    def __init__(
        self,
        coder: Coder,
        context: Any,
        layout: Layout,
        tier: int,
        leaves: Leaves,
        surroundings: Ints,
        given: Int32s | None,
        model: Any,
        threads: int = 1,
    ) -> None:
        self.model = model
        self.coder, self.context, self.layout, self.tier = coder, context, layout, tier
        self.leaves, self.given, self.threads = leaves, given, threads
        self.q = np.zeros((len(leaves.corners), layout.channels + 5), np.int32)
        middle = leaves.corners + np.array([leaves.width // 2, leaves.height // 2])
        self.own = np.zeros((len(self.q), core().SELF_INPUTS), np.float32)
        self.levels = np.zeros(len(self.q), np.int32)
        self.hidden = model.embed(*context.around(middle, surroundings, tier, threads), tier, threads)

    def learn(self, known: int) -> None:
        """Keep what the last of `known` decoded integers tells of each splat; all have to be kept in turn."""
        self.context.learn(self.q, self.tier, known, self.own, self.levels)

    def rows(self, head: str, limits: Ints = NO_LIMITS, chosen: Ints | None = None) -> NDArray[np.float64]:
        """Rows of weights of splats' next symbols.

        Args:
            head: of the network.
            limits: [n] symbols from which on none can occur, or empty.
            chosen: indices of the splats that have such a symbol; None for all.
        """
        inputs = self.hidden, self.own, self.levels
        if chosen is not None:
            inputs = tuple(a[chosen] for a in inputs)
        return self.model.rows(HEADS.index(head), *inputs, limits, self.threads)

    def wanted(self, column: int) -> Ints | None:
        """A column of the given integers, None when decoding."""
        return None if self.given is None else self.given[:, column].astype(np.int64)

    def integers(self, name: str, head: str, values: Ints | None, limits: Ints = NO_LIMITS) -> Ints:
        """Code integers [n] from 0 to 65535: tokens by the network, raw bits uniform."""
        token, bits, raw = (None, None, None) if values is None else to_token(values)
        token = self.coder.symbols(name, self.rows(head, limits), token)
        if bits is None:
            bits = token_bits(token)
        if not bits.any():
            return token
        return from_token(token, self.coder.uniform(name, 1 << bits, raw))

    def code(self) -> Int32s:
        """All integers of the batch, [n, C + 5]."""
        self._magnitudes()
        classes = core().energy_classes(
            np.ascontiguousarray(self.q[:, : self.layout.channels]), self.layout.chroma_step
        )
        self._shapes(classes)
        self._angles(classes)
        self._lattice_points(classes)
        self._signs()
        return self.q

    def _magnitudes(self) -> None:
        """Colour magnitudes first: all steps follow from them."""
        channels = self.layout.channels
        for c in range(channels):
            if c:
                self.learn(c)
            values = self.wanted(c)
            head = self.layout.component(c)
            name = "chroma" if head.startswith("chroma") else head
            self.q[:, c] = self.integers(name, head, None if values is None else np.abs(values))
        colors = self.q[:, :channels]
        if (colors > core().MAX_COLOR).any() or not colors.any(1).all():
            raise BitstreamError("the coded splats are damaged: a splat's colour is zero or out of range")

    def _shapes(self, classes: Int32s) -> None:
        """Area within the tier's range, then aspect."""
        native, channels, q = core(), self.layout.channels, self.q
        self.learn(channels)
        ranges = native.area_ranges(classes, self.tier).astype(np.int64)
        counts = ranges[:, 1] - ranges[:, 0] + 1
        values = self.wanted(channels)
        area = ranges[:, 0] + self.integers(
            "area",
            "area",
            None if values is None else values - ranges[:, 0],
            # Tokens beyond DIRECT stand for several areas, so they are not ruled out.
            np.where(counts <= DIRECT, counts, 1 << 16),
        )
        if (area > ranges[:, 1]).any():
            raise BitstreamError("the coded splats are damaged: an area is outside its tier")
        q[:, channels] = area
        self.learn(channels + 1)
        q[:, channels + 1] = self.integers("aspect", "aspect", self.wanted(channels + 1))
        if not native.shapes_in_range(classes, np.ascontiguousarray(q[:, channels:])).all():
            raise BitstreamError("the coded splats are damaged: a shape is out of range")

    def _angles(self, classes: Int32s) -> None:
        """Angle indices: directly where there are few, else a sector and its remainder."""
        native, channels = core(), self.layout.channels
        self.learn(channels + 2)
        n = native.angle_counts(classes, np.ascontiguousarray(self.q[:, channels + 1]))
        values = self.wanted(channels + 2)
        out = self.q[:, channels + 2]
        few, many = np.flatnonzero((n > 1) & (n <= SECTORS)), np.flatnonzero(n > SECTORS)
        rows = native.fold_angles(self.rows("angle", chosen=few), n[few])
        out[few] = self.coder.symbols("angle", rows, None if values is None else values[few])
        m = n[many].astype(np.int64)
        rows = self.rows("angle", chosen=many)
        sector = self.coder.symbols("angle", rows, None if values is None else sector_of(values[many], m))
        # Sector s holds the `size` indices t from start on with round(SECTORS t / n) = s modulo SECTORS.
        start = -((m - 2 * m * sector) // (2 * SECTORS))
        size = -((m - 2 * m * (sector + 1)) // (2 * SECTORS)) - start
        rest = None if values is None else (values[many] - start) % m
        out[many] = (start + self.coder.uniform("angle", size, rest)) % m
        if (out >= n).any():
            raise BitstreamError("the coded splats are damaged: an angle is out of range")

    def _lattice_points(self, classes: Int32s) -> None:
        """The lattice point inside the leaf."""
        native, channels, leaves = core(), self.layout.channels, self.leaves
        shapes = np.ascontiguousarray(self.q[:, channels:])
        cell = (leaves.corners, leaves.width, leaves.height)
        points = native.cell_points(classes, shapes, *cell)
        if (points < 1).any() or (points > MAX_POINTS).any():
            raise BitstreamError("the coded splats are damaged: a cell without a position for its splat")
        index = None
        if self.given is not None:
            index = native.cell_indices(classes, np.ascontiguousarray(self.given[:, channels:]), *cell)
        index = self.coder.uniform("position", points, index)
        try:
            self.q[:, channels + 3 :] = native.cell_centers(classes, shapes, *cell, index)
        except ValueError as error:
            raise BitstreamError(f"the coded splats are damaged: {error}") from error

    def _signs(self) -> None:
        """Signs, last: neighbours and the components before tell most of them."""
        channels = self.layout.channels
        for c in range(channels):
            self.learn(channels + 3 + c)
            nonzero = np.flatnonzero(self.q[:, c])
            values = self.wanted(c)
            values = None if values is None else (values[nonzero] < 0).astype(np.int64)
            head = "sign_alpha" if self.layout.component(c) == "alpha" else f"sign{c}"
            rows = self.rows(head, chosen=nonzero)
            negative = self.coder.symbols("sign", rows, values)
            self.q[nonzero, c] *= (1 - 2 * negative).astype(np.int32)


def sector_of(angles: Ints, counts: Ints) -> Ints:
    """The nearest of SECTORS directions of the half turn to angle indices out of counts."""
    return (2 * SECTORS * angles + counts) // (2 * counts) % SECTORS


def splat_batches(
    coder: Coder,
    layout: Layout,
    integers: Int32s | None,
    *,
    tiers: int | None = None,
    model: Any = None,
    threads: int = 1,
) -> Iterator[tuple[Int32s, Ints | None]]:
    """Code a picture's splats batch by batch; what else is coded of a batch may follow it.

    Arguments and errors are those of `code_splats`.

    Yields:
        A batch's integers in coding order, [n, C + 5] int32, and (when encoding) their rows in `integers`.
    """
    native, channels = core(), layout.channels
    counts = np.array(layout.tier_counts, np.int64)
    model = network() if model is None else model
    context = native.Context(
        layout.width, layout.height, channels, layout.chroma_step, layout.step_code, counts
    )
    tier_of = None
    if integers is not None:
        classes = native.energy_classes(np.ascontiguousarray(integers[:, :channels]), layout.chroma_step)
        tier_of = native.tiers(classes, np.ascontiguousarray(integers[:, channels]))
    for tier, count in enumerate(layout.tier_counts[:tiers]):
        if not count:
            continue
        given = positions = chosen = None
        if tier_of is not None and integers is not None:
            chosen = np.flatnonzero(tier_of == tier)
            positions = _centers(integers[chosen], layout)
        leaves, order = code_positions(coder, layout, tier, context.centers(), positions, threads)
        if chosen is not None and integers is not None:
            chosen = chosen[order]
            given = integers[chosen]
        surroundings = native.surroundings(leaves.corners, tier)
        for batch in range(min(BATCHES, count)):
            part = slice(batch, None, BATCHES)
            corners = Leaves(np.ascontiguousarray(leaves.corners[part]), leaves.width, leaves.height)
            near = np.ascontiguousarray(surroundings[part])
            own = None if given is None else given[part]
            q = Batch(coder, context, layout, tier, corners, near, own, model, threads).code()
            context.add(q)
            yield q, None if chosen is None else chosen[part]


def code_splats(
    coder: Coder,
    layout: Layout,
    integers: Int32s | None,
    *,
    tiers: int | None = None,
    model: Any = None,
    threads: int = 1,
) -> Int32s:
    """Code a picture's splats.

    Args:
        coder: an encoder (or counter) with `integers`, or a decoder without.
        layout: canvas and counts; with an encoder the counts must be those of `integers`.
        integers: [N, C + 5] colours, area, aspect, angle, iy, ix; None when decoding.
        tiers: stop after this many tiers.
        model: stands in for the network of attributes, which no file can; for measuring what it is worth.
        threads: to use; the result is the same for any number.

    Returns:
        The integers in coding order, [N, C + 5] int32.

    Raises:
        BitstreamError: the decoded integers are not a valid picture.
    """
    batches = splat_batches(coder, layout, integers, tiers=tiers, model=model, threads=threads)
    return np.concatenate([np.zeros((0, layout.channels + 5), np.int32), *(q for q, _ in batches)])


def _centers(integers: Int32s, layout: Layout) -> Ints:
    """Centres of splats, [n, 2] Q12 px from the margin's corner."""
    channels = layout.channels
    classes = core().energy_classes(np.ascontiguousarray(integers[:, :channels]), layout.chroma_step)
    return core().lattice_centers(classes, np.ascontiguousarray(integers[:, channels:]))
