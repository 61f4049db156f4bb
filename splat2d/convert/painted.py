"""Layers as pixels in tight boxes, for files of layered pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.compose import compose
from splat2d.draw.render import View
from splat2d.draw.texture import to_bytes
from splat2d.scene.drawable import Drawable


@dataclass(frozen=True, eq=False)
class Painted:
    """A layer's pixels.

    Attributes:
        name: of the layer.
        left: px from the canvas's left edge.
        top: px from its upper edge.
        pixels: [H, W, 4] uint8, straight alpha, no empty row or column at any edge; [0, 0, 4] of a layer
            that is seen nowhere.
        opacity: 0 to 1, which is not in the pixels.
        visible: whether it is shown.
    """

    name: str
    left: int
    top: int
    pixels: NDArray[np.uint8]
    opacity: float
    visible: bool


def painted(drawable: Drawable, time: float | Fraction = 0) -> list[Painted]:
    """Return all layers of a moment, back to front, hidden ones too."""
    view = View.whole(drawable.width, drawable.height)
    found = []
    for layer in drawable.layers_at(time):
        state = replace(layer._state, opacity=1.0, visible=True)
        planes = compose([(state, layer.splats)], view)
        pixels = rgba(to_bytes(planes, len(planes) in (2, 4)))
        seen = pixels[..., 3] > 0
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        top, left = (int(rows[0]), int(columns[0])) if len(rows) else (0, 0)
        bottom, right = (int(rows[-1]) + 1, int(columns[-1]) + 1) if len(rows) else (0, 0)
        box = np.ascontiguousarray(pixels[top:bottom, left:right])
        opacity = float(layer._state.opacity)
        found.append(Painted(layer.name, left, top, box, opacity, layer.visible))
    return found


def rgba(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pixels [H, W, C] of any number of channels as [H, W, 4]."""
    channels = pixels.shape[2]
    if channels in (1, 2):
        pixels = np.concatenate([np.repeat(pixels[..., :1], 3, 2), pixels[..., 1:]], 2)
    if channels in (1, 3):
        pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], 2)
    return pixels
