"""Positions of a tier as a set: recursive halving of the canvas, counts coded one level at a time.

A cell of n splats is halved along its longer side and the number in the first half is coded under a
beta-binomial distribution whose parameters the network gives: from the area of each half (the margin around
the canvas weighs 1/32), the splats of earlier tiers in it and the splats in the cells beside. No order is
coded, so log2(N!) bits are saved. The tree is native (cpp/model/split_tree.hpp, SplitTree).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat2d.codec.coder import Coder, Ints
from splat2d.codec.network import network
from splat2d.errors import BitstreamError
from splat2d.native import core

NONE = np.zeros((0, 2), np.int64)


@dataclass(frozen=True)
class Layout:
    """What the file says of its splats before the first of them.

    Args:
        width: canvas width, px.
        height: canvas height, px.
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
        chroma_step: chroma step over the colour step, in eighths.
        step_code: of the colour step.
        tier_counts: splats in each tier, coarse first.
    """

    width: int
    height: int
    channels: int
    chroma_step: int
    step_code: int
    tier_counts: tuple[int, ...]

    @classmethod
    def of(
        cls, integers: NDArray[np.int32], width: int, height: int, chroma_step: int, step_code: int
    ) -> Layout:
        """The layout of a picture's integers [N, C + 5]."""
        channels = integers.shape[1] - 5
        classes = core().energy_classes(np.ascontiguousarray(integers[:, :channels]), chroma_step)
        tiers = core().tiers(classes, np.ascontiguousarray(integers[:, channels]))
        counts = np.bincount(tiers, minlength=core().TIERS)
        return cls(width, height, channels, chroma_step, step_code, tuple(counts.tolist()))

    def component(self, c: int) -> str:
        """What component c of a splat's colour is: luma, chroma1, chroma2 or alpha."""
        if c == self.channels - 1 and self.channels % 2 == 0:
            return "alpha"
        return f"chroma{c}" if c else "luma"


@dataclass(frozen=True)
class Leaves:
    """The leaf cell of each splat of a tier in coding order.

    Args:
        corners: [N, 2] x and y, Q12 px from the margin's corner.
        width: of all leaves, Q12 px.
        height: of all leaves, Q12 px.
    """

    corners: Ints
    width: int
    height: int


def code_positions(
    coder: Coder,
    layout: Layout,
    tier: int,
    earlier: Ints,
    positions: Ints | None,
    threads: int = 1,
) -> tuple[Leaves, Ints]:
    """Code one tier's leaf cells.

    Args:
        coder: either direction.
        layout: of the file.
        tier: one with splats; sets the leaves' area.
        earlier: [M, 2] centres of earlier tiers' splats in coding order, Q12 px from the margin's corner.
        positions: [n, 2] centres of this tier's splats likewise, when encoding.
        threads: of the network.

    Returns:
        The leaves in coding order, and (when encoding) the given splats' indices in that order.
    """
    counts = layout.tier_counts
    tree = core().SplitTree(
        layout.width,
        layout.height,
        tier,
        layout.step_code,
        counts[tier],
        sum(counts),
        min(counts[tier - 1], len(earlier)) if tier else 0,
        earlier,
        NONE if positions is None else positions,
    )
    while tree.next_level(network(), threads):
        for group in range(tree.groups):
            values = None if positions is None else tree.values(group)
            rows = tree.rows(group)
            if tree.is_uniform(group):
                values = coder.uniform("position", rows[:, 0].astype(np.int64), values)
            else:
                values = coder.symbols("position", rows, values)
            if not tree.put(group, values):
                raise BitstreamError(
                    "the coded positions are damaged: more splats in a half than in its cell"
                )
        tree.finish_level()
    corners, order = tree.leaves()
    return Leaves(corners, tree.cell_width, tree.cell_height), order
