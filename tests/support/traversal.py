"""The order in which the splats of a field are coded once more, slow and plain: cells, then symbols."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from splat2d.format.field import Layout

from .integers import ONE
from .model import cut, describe, log2_q6, slot

LEAF_LOG2 = (10, 8, 6, 4, 3, 2)

Points = list[tuple[int, int]]


@dataclass(frozen=True)
class Cell:
    """A cell of the tree, Q12 px from the margin's corner."""

    x: int
    y: int
    w: int
    h: int

    @classmethod
    def root(cls, layout: Layout) -> Cell:
        """Return the cell of a canvas and its margin."""
        return cls(0, 0, *(ONE << (side + 127).bit_length() for side in (layout.width, layout.height)))

    @property
    def middle(self) -> tuple[int, int]:
        """Where its splats are looked at from."""
        return self.x + self.w // 2, self.y + self.h // 2

    @property
    def halves(self) -> tuple[Cell, Cell]:
        """Left and right, or upper and lower."""
        if self.w >= self.h:
            half = Cell(self.x, self.y, self.w // 2, self.h)
            return half, Cell(self.x + half.w, self.y, half.w, self.h)
        half = Cell(self.x, self.y, self.w, self.h // 2)
        return half, Cell(self.x, self.y + half.h, self.w, half.h)

    def holds(self, point: tuple[int, int]) -> bool:
        """Return whether a point lies in it."""
        return self.x <= point[0] < self.x + self.w and self.y <= point[1] < self.y + self.h

    def count(self, points: Points) -> int:
        """Return how many points lie in it."""
        return sum(map(self.holds, points))

    def weight(self, layout: Layout) -> int:
        """Return its area in (1/16 px)^2, that of the canvas' margin divided by 32."""

        def over(start: int, size: int, low: int, high: int) -> int:
            return max(min(start + size, high * ONE) - max(start, low * ONE), 0) >> 8

        width, height = layout.width, layout.height
        inside = over(self.x, self.w, 64, 64 + width) * over(self.y, self.h, 64, 64 + height)
        around = over(self.x, self.w, 0, width + 128) * over(self.y, self.h, 0, height + 128)
        return 31 * inside + around


@dataclass(frozen=True)
class Split:
    """A cell that is halved: its inputs, its splats, those of its first half."""

    inputs: list[int]
    count: int
    first: int


@dataclass(frozen=True)
class Known:
    """Centres of the splats of earlier tiers, and those of the last of these alone."""

    earlier: Points
    recent: Points


def split_inputs(
    cell: Cell, level: dict[Cell, int], known: Known, layout: Layout, tier: int, counts: tuple[int, ...]
) -> list[int]:
    """Return the 17 inputs of a cell among those of its level."""
    first, second = cell.halves
    along_x = cell.w >= cell.h
    along = (cell.w, 0) if along_x else (0, cell.h)
    aside = (0, cell.h) if along_x else (cell.w, 0)

    def beside(step: tuple[int, int], sign: int) -> Cell:
        return Cell(cell.x + sign * step[0], cell.y + sign * step[1], cell.w, cell.h)

    before, after = beside(along, -1), beside(along, 1)
    found = [level[cell], first.count(known.earlier), second.count(known.earlier)]
    found += [first.count(known.recent), second.count(known.recent)]
    found += [level.get(before, 0), level.get(after, 0)]
    found.append(level.get(beside(aside, -1), 0) + level.get(beside(aside, 1), 0))
    found.append(before.halves[1].count(known.earlier) if before in level else 0)
    found.append(after.halves[0].count(known.earlier) if after in level else 0)
    a1, a2 = first.weight(layout), second.weight(layout)
    out = [log2_q6(1 + n) for n in found]
    out += [max(log2_q6(a) - log2_q6(a1 + a2), -384) for a in (a1, a2)]
    out += [log2_q6(cell.w * cell.h // ONE**2) // 2, 0 if along_x else 64]
    for n in (sum(counts), counts[tier]):
        spacing = log2_q6(layout.width * layout.height) - log2_q6(n)
        out.append(abs(spacing) // 2 * (1 if spacing > 0 else -1))
    return [cut(v) for v in [*out, layout.step_code - 640]]


def splits_of_tier(
    points: Points, known: Known, layout: Layout, tier: int, counts: tuple[int, ...]
) -> tuple[list[Split], list[Cell]]:
    """Return what is coded of a tier's centres, and in coding order the leaf of each splat."""
    splits, level = [], {Cell.root(layout): len(points)}
    while (size := next(iter(level))).w * size.h > ONE**2 << LEAF_LOG2[tier]:
        halves: dict[Cell, int] = {}
        for cell, n in level.items():
            first = cell.halves[0].count(points)
            if all(half.weight(layout) for half in cell.halves):
                splits.append(Split(split_inputs(cell, level, known, layout, tier, counts), n, first))
            both = zip(cell.halves, (first, n - first), strict=True)
            halves.update({half: k for half, k in both if k})
        level = halves
    return splits, [cell for cell, n in level.items() for _ in range(n)]


@dataclass(frozen=True)
class Row:
    """A symbol that is coded under a head.

    Args:
        head: of the network.
        splat: of the batch.
        known: how many of its integers have been coded.
        limit: symbols that can occur.
        folded: angles that the sectors become, 0 if none.
    """

    head: int
    splat: int
    known: int
    limit: int
    folded: int = 0


def rows_of_batch(batch: list[list[int]], channels: int, chroma_step: int) -> Iterator[Row]:
    """Give what is coded of a batch of splats under heads, in coding order."""
    said = [describe(q, channels, chroma_step) for q in batch]
    everyone = range(len(batch))
    for j in range(channels):
        yield from (Row(slot(j, channels), i, j, 40) for i in everyone)
    yield from (Row(4, i, channels, s.areas if s.areas <= 16 else 40) for i, s in enumerate(said))
    yield from (Row(5, i, channels + 1, 40) for i in everyone)
    yield from (Row(6, i, channels + 2, 32, s.angles) for i, s in enumerate(said) if 2 <= s.angles <= 32)
    yield from (Row(6, i, channels + 2, 32) for i, s in enumerate(said) if s.angles > 32)
    for j in range(channels):
        head = 10 if slot(j, channels) == 3 else 7 + j
        yield from (Row(head, i, channels + 3 + j, 2) for i in everyone if batch[i][j])
