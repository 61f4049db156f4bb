"""What a cut picture's layers decode to together, and what each of them should be, given all others."""

from __future__ import annotations

import numpy as np

from splat2d.fit.objects.cut import HIDDEN_WEIGHT, LEAST_SHARE, Cut, Floats, LayerTarget, blended, near_edge
from splat2d.format.layers import PICTURE

_SLIGHT, _HALF = 0.1, 0.3  # weights of the background's continuation where it is mixed, and mostly hidden
_PRIOR = 0.5  # part of a first matte's weights at edges


class Composite:
    """The layers of a picture that was cut, each as its last fit decodes.

    An error of straight colours shows by the layer's share of a px: its coverage, less what is in front. An
    error of coverage shows by the colour over that below. So the squared error of the composite is a
    quadratic form of each layer's colours and of each matte, the others fixed; it is what they are fitted to,
    beside continuations of little weight where it does not tell.
    """

    def __init__(self, cut: Cut) -> None:
        """Begin with what the first fits of a cut picture decoded to."""
        self._cut = cut
        self._covers = {name: cut.objects[name].cover for name in cut.names}
        self._colors = dict(cut.decoded)

    def matted(self, name: str, cover: Floats) -> None:
        """Say what coverage [H, W] a matte decodes to."""
        self._covers[name] = cover

    def drawn(self, name: str, planes: Floats) -> None:
        """Say what colours [C, H, W] a layer decodes to."""
        self._colors[name] = planes

    def matte(self, name: str) -> LayerTarget:
        """The coverage [1, H, W] that an object should have."""
        first = self._cut.objects[name].matte
        number = self._cut.names.index(name)
        change = self._uncovered(number + 1) * (self._colors[name] - self._below(number))
        energy = np.square(change).sum(0)
        missing = self._cut.picture - self._over(self._covers)
        wanted = self._covers[name] + (change * missing).sum(0) / np.maximum(energy, 1e-6)
        # Inside and outside a matte must not carry what colours miss, or the object shows it elsewhere.
        edge = near_edge(self._cut.covers[name])
        assert first.weights is not None
        weights = first.weights * np.where(edge, _PRIOR, 1)
        own = np.where(edge, energy, 0)
        return blended(name, np.clip(wanted, 0, 1)[None], own, first.pixels, weights, first.background)

    def colors(self, name: str) -> LayerTarget:
        """The straight colours [C, H, W] that a layer should have."""
        number = self._cut.names.index(name) if name != PICTURE else -1
        share = self._uncovered(number + 1)
        if name != PICTURE:
            share = share * self._covers[name]
        others = self._over(self._covers) - share * self._colors[name]
        wanted = np.clip((self._cut.picture - others) / np.maximum(share, LEAST_SHARE), 0, 1)
        if name == PICTURE:
            # Its part of a mixture is small, and would show as strokes once the object is gone.
            mixed = np.where(share < 0.5, _HALF, _SLIGHT)
            hidden = np.where((share < 0.99) & (share > 0.01), mixed, HIDDEN_WEIGHT) * (1 - share)
            return blended(name, wanted, share**2, self._cut.continued_background, hidden)
        first = self._cut.objects[name]
        return blended(
            name, wanted, share**2, first.front, self._cut.continuation_weights(self._covers[name])
        )

    def _uncovered(self, number: int) -> Floats:
        """How much of each px [H, W] the objects from this one on leave."""
        left = np.ones(self._cut.picture.shape[1:], np.float32)
        for name in self._cut.names[number:]:
            left = left * (1 - self._covers[name])
        return left

    def _below(self, number: int) -> Floats:
        """The picture [C, H, W] behind an object."""
        return self._over({name: self._covers[name] for name in self._cut.names[:number]})

    def _over(self, covers: dict[str, Floats]) -> Floats:
        """The background and objects of these coverages, back to front, over each other."""
        out = self._colors[PICTURE]
        for name, cover in covers.items():
            out = cover * self._colors[name] + (1 - cover) * out
        return out
