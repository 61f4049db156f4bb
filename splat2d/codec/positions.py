"""Positions of a tier as a set: recursive halving of the canvas, counts coded one level at a time.

A cell of n splats is halved along its longer side and the number in the first half is coded under a
beta-binomial distribution whose mean follows the area of each half (the margin around the canvas weighs 1/32)
and the splats of earlier tiers in it. No order is coded, so log2(N!) bits are saved. The tree is native
(cpp/coding.hpp, SplitTree).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splat2d._backend import core
from splat2d.codec.coder import Coder, Ints
from splat2d.errors import BitstreamError

NONE = np.zeros((0, 2), np.int64)


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
    width: int,
    height: int,
    tier: int,
    count: int,
    earlier: Ints,
    positions: Ints | None,
) -> tuple[Leaves, Ints]:
    """Code one tier's leaf cells.

    Args:
        coder: either direction.
        width: canvas width, px.
        height: canvas height, px.
        tier: sets the leaves' area and the concentration.
        count: splats in the tier, at least 1.
        earlier: [M, 2] centres of the splats of earlier tiers, Q12 px from the margin's corner.
        positions: [count, 2] centres of this tier's splats likewise, when encoding.

    Returns:
        The leaves in coding order, and (when encoding) the given splats' indices in that order.
    """
    tree = core().SplitTree(width, height, tier, count, earlier, NONE if positions is None else positions)
    while tree.next_level():
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
