"""A layer of a scene as a value: every edit is a method that gives the same layer of a new scene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.compose import Splats, draw_coverage, place
from splat2d.draw.render import View
from splat2d.edit.document import Bounds
from splat2d.edit.script import Entry
from splat2d.edit.stack import State

Point = Sequence[float]


class Layer:
    """One layer of a scene, from `scene["bike"]` or `scene.layers`.

    Every edit returns the same layer of a new scene, so edits chain, and `scene` is the result; the scene
    that one began with stays as it was:

    >>> moved = scene["bike"].move(40, 0).rotate(15).scene      # doctest: +SKIP

    Distances are px of the canvas, x to the right and y down. Angles are degrees, counter-clockwise as seen.
    Numbers are kept in thousandths of a px or degree, factors in ten-thousandths. Each method is one step for
    `scene.undo`. All raise ConfigError for numbers that are not finite or out of range.

    Attributes:
        scene: the scene that this layer is of.
        name: of the layer.
    """

    def __init__(self, scene: Any, state: State, splats: Splats) -> None:
        self.scene = scene
        self.name = state.name
        self._state = state
        self._splats = splats

    def __repr__(self) -> str:
        """Name, size and edits."""
        return f"<Layer {self.name!r}: {self.count} splats, edits: {'; '.join(self.edits) or 'none'}>"

    @property
    def count(self) -> int:
        """Number of decoded splats, those of a matte included."""
        return self._splats.count

    @property
    def splats(self) -> Splats:
        """Its splats as coded, without edits: means, conics, colors, background, tier_counts and matte."""
        return self._splats

    def placed(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Means [N, 2] in px and conics [N, 3] in px^-2 as edited, on the scene's canvas, a matte's last."""
        sets = [self._splats, *([self._splats.matte] if self._splats.matte else [])]
        shapes = [(splats.means, splats.conics) for splats in sets]
        if self._state.is_placed:
            view = View.whole(self.scene.width, self.scene.height)
            shapes = [place(self._state, splats, view)[:2] for splats in sets]
        means, conics = zip(*shapes, strict=True)
        return np.concatenate(means), np.concatenate(conics)

    @property
    def visible(self) -> bool:
        """Whether it is drawn."""
        return self._state.visible

    @property
    def edits(self) -> tuple[str, ...]:
        """What was done to it, in order, in words."""
        return tuple(map(str, self._state.operations))

    @property
    def box(self) -> Bounds:
        """Left, top, width and height of where it can be seen as edited, px of the canvas.

        A rotated layer's is the box around its rotated box; a blurred one's is wider by sigma.
        """
        return self.scene.document.box(self._state)

    def coverage(self, *, scale: float = 1.0) -> NDArray[np.float32] | None:
        """How much of each px of the canvas it covers as edited, opacity aside: [H, W] in [0, 1].

        None for a layer without alpha, which covers everything.
        """
        if not self._splats.has_alpha:
            return None
        view = View.whole(self.scene.width, self.scene.height, scale)
        return draw_coverage(self._state, self._splats, view)

    def move(self, dx: float, dy: float) -> Layer:
        """Move by dx to the right and dy down."""
        return self._edited("move", (dx, dy))

    def rotate(self, degrees: float, *, about: Point | None = None) -> Layer:
        """Rotate about a point x, y; about the middle of `box` when None."""
        return self._edited("rotate", degrees, about)

    def scale(self, factor: float, down: float | None = None, *, about: Point | None = None) -> Layer:
        """Scale, across and `down` by factors of their own if given; a negative factor mirrors.

        Args:
            factor: new size over the present one, not 0.
            down: the same for the height; as the width when None.
            about: x, y of the point that stays; the middle of `box` when None.
        """
        return self._edited("scale", (factor, factor if down is None else down), about)

    def blur(self, sigma: float) -> Layer:
        """Convolve with a Gaussian of this standard deviation, exactly."""
        return self._edited("blur", sigma)

    def opacity(self, factor: float) -> Layer:
        """Multiply the coverage by 0 to 1."""
        return self._edited("opacity", factor)

    def brightness(self, factor: float) -> Layer:
        """Multiply the colours."""
        return self._edited("brightness", factor)

    def contrast(self, factor: float) -> Layer:
        """Multiply the colours' distance from middle grey."""
        return self._edited("contrast", factor)

    def saturation(self, factor: float) -> Layer:
        """Multiply the colours' distance from the grey of equal luminance; 0 makes the layer grey."""
        return self._edited("saturation", factor)

    def hue(self, degrees: float) -> Layer:
        """Turn the hue, red to green to blue."""
        return self._edited("hue", degrees)

    def tint(self, color: str, strength: float = 1.0) -> Layer:
        """Mix the colours with their luminance times a colour `#rrggbb`; strength 1 leaves only that."""
        return self._edited("tint", (color, strength))

    def hide(self) -> Layer:
        """Leave it out of the picture."""
        return self._edited("hide", True)

    def show(self) -> Layer:
        """Undo `hide`."""
        return self._edited("show", True)

    def to_front(self) -> Layer:
        """In front of all other layers."""
        return self._edited("to-front", True)

    def to_back(self) -> Layer:
        """Behind all other layers."""
        return self._edited("to-back", True)

    def raise_(self) -> Layer:
        """In front of the next layer."""
        return self._edited("raise", True)

    def lower(self) -> Layer:
        """Behind the layer before."""
        return self._edited("lower", True)

    def duplicate(self, name: str) -> Layer:
        """A copy in front of it, which costs a few bytes; returns the copy."""
        return self._edited("duplicate", name).scene[name]

    def rename(self, name: str) -> Layer:
        """The layer under another name."""
        return self._edited("rename", name)

    def delete(self) -> Any:
        """The scene without it; undo and reset bring it back."""
        return self.scene.edited([Entry(self.name, [("delete", True)])])

    def extract(self) -> Any:
        """A scene of this layer alone, on the same canvas, transparent around."""
        return self.scene.extract(self.name)

    def _edited(self, kind: str, value: Any, about: Point | None = None) -> Layer:
        scene = self.scene.edited([Entry(self.name, [(kind, value)], about)])
        return scene[value if kind == "rename" else self.name]
