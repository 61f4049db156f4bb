"""How much work a drawing is, told before it is drawn: a small file may ask for hours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.compose import Layers, Splats, covers_all, place
from splat2d.draw.render import CUTOFF, Floats, View, transform
from splat2d.edit.stack import State
from splat2d.errors import BitstreamError


def check_work(layers: Layers, view: View, most: int) -> None:
    """Refuse what takes too many evaluations, each of a splat at a pixel of its box.

    Args:
        layers: to be drawn.
        view: the window.
        most: evaluations.

    Raises:
        BitstreamError: it takes more.
    """
    shown = [layer for layer in layers if layer[0].visible]
    shown = shown[max((i for i, layer in enumerate(shown) if covers_all(*layer)), default=0) :]
    if sum(splats.count for _, splats in shown) * view.width * view.height <= most:
        return
    _refuse_beyond(sum(_evaluations(*layer, view) for layer in shown), most)


def check_splats(means: Floats, conics: Floats, colors: Floats, view: View, most: int) -> None:
    """The same of splats that are drawn as they are; arguments as of `render`.

    Raises:
        BitstreamError: it takes more.
    """
    if len(means) * view.width * view.height > most:
        placed = transform(means, conics, colors, view)
        _refuse_beyond(_pixels(placed[0], placed[1], view), most)


def _refuse_beyond(total: float, most: int) -> None:
    if total > most:
        raise BitstreamError(
            f"to draw this takes {total:,.0f} evaluations of a splat at a pixel, the limit is {most:,}; "
            "choose a smaller scale or window, or another limit (max_evaluations)"
        )


def _evaluations(state: State, splats: Splats, view: View) -> float:
    """Pixels of the view in the boxes of a layer's splats and of its matte's."""
    means, conics, _ = place(state, splats, view)
    total = _pixels(means, conics, view)
    return total + (0.0 if splats.matte is None else _evaluations(state, splats.matte, view))


def _pixels(means: NDArray, conics: NDArray, view: View) -> float:
    """Pixels of the view in the boxes of splats in target px."""
    # What is not finite is not drawn either.
    with np.errstate(all="ignore"):
        det = conics[:, 0] * conics[:, 2] - conics[:, 1] ** 2
        reach = np.sqrt(CUTOFF * conics[:, [2, 0]] / det[:, None])
        size = (view.width, view.height)
        sides = np.clip(means + reach, 0, size) - np.clip(means - reach, 0, size)
        return float(np.nansum(sides.prod(1, dtype=np.float64)))
