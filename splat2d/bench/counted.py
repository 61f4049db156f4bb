"""Ideas of the file that no file goes without: what its bits would be, counted on the splats of a real one.

Attributes are counted by the cheaper of the crippled network, which is not trained for what it lacks, and of
adaptive tables without context, so that the figure is no artefact of inputs that training never saw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import BitstreamError
from splat2d.format.container import read
from splat2d.format.field import Field, Layout
from splat2d.format.network import network
from splat2d.native import core

ONE = 1 << 12  # a px of positions
MARGIN_WEIGHT = 1 / 32  # a place in the margin beside one on the canvas, as the tree has it

Int32s = NDArray[np.int32]
Ints = NDArray[np.integer]


@dataclass(frozen=True)
class Coded:
    """A file's splats.

    Args:
        field: as they are coded.
        integers: [N, C + 5], tier by tier.
        size: of the file, bytes.
    """

    field: Field
    integers: Int32s
    size: int


class Events:
    """What is coded of a file's splats when the models see this or that.

    Args:
        coded: the file.
        neighbours: whether the network sees what other splats say.
        own: whether it sees anything of the splat itself; else only its biases are left.
        earlier: whether the tree sees the splats of earlier tiers.
    """

    def __init__(
        self, coded: Coded, *, neighbours: bool = True, own: bool = True, earlier: bool = True
    ) -> None:
        recorder = core().Recorder(neighbours, own, earlier)
        core().encode_field(network(), coded.integers, *coded.field.layout.arguments, tap=recorder)
        self.bits = recorder.bits()
        a = recorder.arrays()
        self._sizes, self._values = a["sizes"], a["values"]
        self._names = np.array(core().ATTRIBUTES)[a["attributes"]]
        self._lengths = _lengths(a["sizes"], a["values"], a["weights"])
        self._split_events, self._split_tiers = a["split_events"], a["split_tiers"]

    def tree(self) -> list[float]:
        """Bits of each tier's leaves."""
        lengths = self._lengths[self._split_events]
        return [float(lengths[self._split_tiers == tier].sum()) for tier in range(core().TIERS)]

    def cheaper(self) -> dict[str, float]:
        """Bits of each attribute but the position, symbols by the cheaper of the model and a table."""
        out = {}
        for name in self.bits.keys() - {"position"}:
            chosen = (self._names == name) & (self._sizes > 0)
            modelled, symbols = float(self._lengths[chosen].sum()), int(self._sizes[chosen].max(initial=1))
            tables = adaptive_bits(self._values[chosen], symbols)
            out[name] = self.bits[name] - max(modelled - tables, 0.0)
        return out


def _lengths(sizes: Ints, values: Ints, weights: Ints) -> NDArray[np.float64]:
    """Ideal bits of each symbol and uniform number."""
    out = np.log2(np.maximum(-sizes, 1).astype(np.float64))
    symbols = np.flatnonzero(sizes > 0)
    starts = np.cumsum(sizes[symbols]) - sizes[symbols]
    out[symbols] = 16 - np.log2(weights[starts + values[symbols]].astype(np.float64))
    return out


def read_splats(data: bytes) -> Coded:
    """Return the splats of a file.

    Raises:
        BitstreamError: not a whole, undamaged picture of one layer.
    """
    field = read(data).field
    if field is None:
        raise BitstreamError("the picture has layers; this is counted of those of one")
    return Coded(field, field.decode()[0], len(data))


def adaptive_bits(values: Ints, symbols: int) -> float:
    """Return the bits of values in [0, symbols) under one adaptive table, learning it included.

    Source: Krichevsky and Trofimov, The performance of universal encoding, 1981: counts start at one half.
    """
    counts = np.bincount(values, minlength=symbols)
    start = 0.5
    nats = math.lgamma(len(values) + symbols * start) - math.lgamma(symbols * start)
    nats -= sum(math.lgamma(n + start) - math.lgamma(start) for n in counts.tolist() if n)
    return nats / math.log(2)


def without_set(coded: Coded) -> float:
    """Return the file's bits if each splat named its leaf, all leaves of canvas and margin alike."""
    extra = -sum(Events(coded).tree())
    for tier, count in enumerate(coded.field.tier_counts):
        extra += count * math.log2(_grid(leaf_size(coded.field.layout, tier), coded.field.layout))
    return 8 * coded.size + extra


def without_contexts(coded: Coded) -> float:
    """Return the file's bits if the network of attributes saw no input; positions stay."""
    return 8 * coded.size + _extra(coded, Events(coded, own=False))


def without_neighbours(coded: Coded) -> float:
    """Return the file's bits if each tier were coded as though it were the first and each splat alone in it.

    Positions count by the cheaper of the tree without earlier tiers and of an even density.
    """
    trees = Events(coded, earlier=False).tree()
    even = [_even_bits(coded, tier) for tier in range(core().TIERS)]
    alone = sum(map(min, trees, even))
    return 8 * coded.size + _extra(coded, Events(coded, neighbours=False)) + alone - sum(Events(coded).tree())


def _extra(coded: Coded, other: Events) -> float:
    """Return the bits that another model takes more than the file's own for everything but positions."""
    whole = dict(Events(coded).bits)
    whole.pop("position", None)
    return sum(other.cheaper().values()) - sum(whole.values())


def leaf_size(layout: Layout, tier: int) -> tuple[int, int]:
    """Return the width and height of a tier's leaves, Q12 px."""
    margin = 2 * core().MARGIN
    width, height = (1 << (side + margin - 1).bit_length() for side in (layout.width, layout.height))
    while width * height > 1 << core().LEAF_LOG2[tier]:
        width, height = (width // 2, height) if width >= height else (width, height // 2)
    return width * ONE, height * ONE


def _grid(leaf: tuple[int, int], layout: Layout) -> int:
    """Return how many leaves touch the canvas or its margin."""
    margin = 2 * core().MARGIN
    across = math.ceil((layout.width + margin) * ONE / leaf[0])
    return across * math.ceil((layout.height + margin) * ONE / leaf[1])


def _even_bits(coded: Coded, tier: int) -> float:
    """Return the bits of a tier's set of leaves whose places are even on the canvas, thin in the margin."""
    layout, counts = coded.field.layout, coded.field.tier_counts
    part = coded.integers[sum(counts[:tier]) : sum(counts[: tier + 1])]
    if not len(part):
        return 0.0
    colors, shapes = part[:, : layout.channels], part[:, layout.channels :]
    classes = core().energy_classes(np.ascontiguousarray(colors), layout.chroma_step)
    leaf = leaf_size(layout, tier)
    corners = core().lattice_centers(classes, np.ascontiguousarray(shapes)) // leaf * leaf
    corners, counts = np.unique(corners, axis=0, return_counts=True)
    margin = core().MARGIN
    inside = np.ones(len(corners))
    area = np.ones(len(corners))
    for axis, (side, size) in enumerate(zip((layout.width, layout.height), leaf, strict=True)):
        low = corners[:, axis] / ONE
        high = low + size / ONE
        inside *= np.clip(np.minimum(high, margin + side) - np.maximum(low, margin), 0, None)
        area *= np.clip(np.minimum(high, 2 * margin + side), 0, None) - low
    weight = MARGIN_WEIGHT * area + (1 - MARGIN_WEIGHT) * inside
    total = MARGIN_WEIGHT * (layout.width + 2 * margin) * (layout.height + 2 * margin)
    total += (1 - MARGIN_WEIGHT) * layout.width * layout.height
    n = int(counts.sum())
    orders = math.lgamma(n + 1) - sum(math.lgamma(k + 1) for k in counts.tolist())
    return float(-(counts * np.log2(weight / total)).sum()) - orders / math.log(2)
