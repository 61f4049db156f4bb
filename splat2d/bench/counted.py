"""Ideas of the file that no file goes without: what its bits would be, counted on the splats of a real one.

Attributes are counted by the cheaper of the crippled network, which is not trained for what it lacks, and of
adaptive tables without context, so that the figure is no artefact of inputs that training never saw.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat2d.codec.coder import Coder, Counter, Decoder, Ints, Rows
from splat2d.codec.network import network
from splat2d.codec.positions import NONE, Layout, Leaves, code_positions
from splat2d.codec.splats import code_splats
from splat2d.format.container import Header, read
from splat2d.native import core
from splat2d.scene.picture import layout_of

HEADER_INPUTS = slice(2, 7)  # of a place: what follows from the header (cpp/model/context.cpp, around)
ONE = 1 << 12  # a px of positions
MARGIN_WEIGHT = 1 / 32  # a place in the margin beside one on the canvas, as the tree has it

Int32s = NDArray[np.int32]


@dataclass(frozen=True)
class Coded:
    """A file's splats.

    Args:
        header: of the file.
        layout: of the file.
        integers: [N, C + 5] in coding order.
        size: of the file, bytes.
    """

    header: Header
    layout: Layout
    integers: Int32s
    size: int


def read_splats(data: bytes) -> Coded:
    """Return the splats of a file.

    Raises:
        BitstreamError: not a whole, undamaged .splat file.
    """
    container = read(data, core().TIERS)
    layout = layout_of(container)
    return Coded(container.header, layout, code_splats(Decoder(container.splats), layout, None), len(data))


def adaptive_bits(values: Ints, symbols: int) -> float:
    """Return the bits of values in [0, symbols) under one adaptive table, learning it included.

    Source: Krichevsky and Trofimov, The performance of universal encoding, 1981: counts start at one half.
    """
    counts = np.bincount(values, minlength=symbols)
    start = 0.5
    nats = math.lgamma(len(values) + symbols * start) - math.lgamma(symbols * start)
    nats -= sum(math.lgamma(n + start) - math.lgamma(start) for n in counts.tolist() if n)
    return nats / math.log(2)


class Tables(Counter):
    """Counts each attribute by the model that it is given, and by one adaptive table."""

    def __init__(self) -> None:
        super().__init__()
        self._modelled: dict[str, float] = defaultdict(float)
        self._values: dict[str, list[Ints]] = defaultdict(list)
        self._symbols: dict[str, int] = defaultdict(int)

    def symbols(self, name: str, rows: Rows, values: Ints | None) -> Ints:
        """Count the bits of one symbol a row."""
        before = self.bits[name]
        out = super().symbols(name, rows, values)
        self._modelled[name] += self.bits[name] - before
        self._values[name].append(out)
        self._symbols[name] = max(self._symbols[name], rows.shape[1])
        return out

    def cheaper(self) -> dict[str, float]:
        """Return the bits of each attribute but the position by the cheaper of both."""
        out = {}
        for name in self.bits.keys() - {"position"}:
            tables = math.inf
            if self._values[name]:
                tables = adaptive_bits(np.concatenate(self._values[name]), self._symbols[name])
            out[name] = self.bits[name] - max(self._modelled[name] - tables, 0.0)
        return out


class Blind:
    """The trained network with inputs at zero.

    Args:
        own: whether it sees the splat's own integers and the header; else only its biases are left, those of
            the median energy.
    """

    def __init__(self, *, own: bool) -> None:
        self._own = own

    def embed(self, place: Any, near: Any, tier: int, threads: int = 1) -> Any:
        """Return the hidden values of splats without what other splats say."""
        kept = np.zeros_like(place)
        if self._own:
            kept[:, HEADER_INPUTS] = place[:, HEADER_INPUTS]
        return network().embed(kept, np.zeros_like(near), tier, threads)

    def rows(self, head: int, hidden: Any, own: Any, levels: Any, limits: Ints, threads: int = 1) -> Rows:
        """Return rows of weights of the next symbols."""
        if not self._own:
            own = np.zeros_like(own)
            levels = np.full_like(levels, np.median(levels) if len(levels) else 0)
        return network().rows(head, hidden, own, levels, limits)


def without_set(coded: Coded) -> float:
    """Return the file's bits if each splat named its leaf, all leaves of canvas and margin alike."""
    extra = -sum(_tree_bits(coded))
    for tier, count in enumerate(coded.layout.tier_counts):
        if count:
            leaves = _leaves(coded, tier, Counter(), NONE)
            extra += count * math.log2(_grid(leaves, coded.layout))
    return 8 * coded.size + extra


def without_contexts(coded: Coded) -> float:
    """Return the file's bits if the network of attributes saw no input; positions stay."""
    return 8 * coded.size + _attributes(coded, Blind(own=False))


def without_neighbours(coded: Coded) -> float:
    """Return the file's bits if each tier were coded as though it were the first and each splat alone in it.

    Positions count by the cheaper of the tree without earlier tiers and of an even density.
    """
    alone = []
    for tier, count in enumerate(coded.layout.tier_counts):
        if count:
            counter = Counter()
            leaves = _leaves(coded, tier, counter, NONE)
            alone.append(min(sum(counter.bits.values()), _even_bits(leaves, coded.layout)))
    return 8 * coded.size + _attributes(coded, Blind(own=True)) + sum(alone) - sum(_tree_bits(coded))


def _attributes(coded: Coded, model: Any) -> float:
    """Return the bits that another model takes more than the file's own for everything but positions."""
    whole, other = Counter(), Tables()
    code_splats(whole, coded.layout, coded.integers)
    code_splats(other, coded.layout, coded.integers, model=model)
    whole.bits.pop("position", None)
    return sum(other.cheaper().values()) - sum(whole.bits.values())


def _centers(coded: Coded, first: int, last: int) -> Ints:
    """Return the centres of the splats of tiers, Q12 px from the margin's corner."""
    counts, channels = coded.layout.tier_counts, coded.layout.channels
    part = coded.integers[sum(counts[:first]) : sum(counts[:last])]
    classes = core().energy_classes(np.ascontiguousarray(part[:, :channels]), coded.layout.chroma_step)
    return core().lattice_centers(classes, np.ascontiguousarray(part[:, channels:]))


def _leaves(coded: Coded, tier: int, coder: Coder, earlier: Ints) -> Leaves:
    return code_positions(coder, coded.layout, tier, earlier, _centers(coded, tier, tier + 1))[0]


def _tree_bits(coded: Coded) -> list[float]:
    """Return the bits of each tier's leaves as the file codes them."""
    out = []
    for tier, count in enumerate(coded.layout.tier_counts):
        if count:
            counter = Counter()
            _leaves(coded, tier, counter, _centers(coded, 0, tier))
            out.append(sum(counter.bits.values()))
    return out


def _grid(leaves: Leaves, layout: Layout) -> int:
    """Return how many leaves touch the canvas or its margin."""
    margin = 2 * core().MARGIN
    across = math.ceil((layout.width + margin) * ONE / leaves.width)
    return across * math.ceil((layout.height + margin) * ONE / leaves.height)


def _even_bits(leaves: Leaves, layout: Layout) -> float:
    """Return the bits of a set of leaves whose places are even on the canvas, and thin in the margin."""
    corners, counts = np.unique(leaves.corners, axis=0, return_counts=True)
    margin = core().MARGIN
    inside = np.ones(len(corners))
    area = np.ones(len(corners))
    for axis, (side, size) in enumerate(((layout.width, leaves.width), (layout.height, leaves.height))):
        low = corners[:, axis] / ONE
        high = low + size / ONE
        inside *= np.clip(np.minimum(high, margin + side) - np.maximum(low, margin), 0, None)
        area *= np.clip(np.minimum(high, 2 * margin + side), 0, None) - low
    weight = MARGIN_WEIGHT * area + (1 - MARGIN_WEIGHT) * inside
    canvas = layout.width * layout.height
    total = MARGIN_WEIGHT * (layout.width + 2 * margin) * (layout.height + 2 * margin)
    total += (1 - MARGIN_WEIGHT) * canvas
    n = int(counts.sum())
    orders = math.lgamma(n + 1) - sum(math.lgamma(k + 1) for k in counts.tolist())
    return float(-(counts * np.log2(weight / total)).sum()) - orders / math.log(2)
