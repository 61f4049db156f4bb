"""Splats as edits put and colour them, as sums alone: nothing is clamped, so edits of colours are linear."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.compose import Splats, place
from splat2d.draw.render import View
from splat2d.edit.stack import State
from splat2d.scene.drawable import Drawable

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sum:
    """A set of splats, as edits put them on the canvas.

    Attributes:
        means: [N, 2] px.
        covariances: [N, 2, 2] px^2.
        colors: [N, 3] amplitudes, RGB.
        alphas: [N] amplitudes of the coverage; zeros where there is none.
        background: [3] under all splats.
        alpha: of the background.
    """

    means: Floats
    covariances: Floats
    colors: Floats
    alphas: Floats
    background: Floats
    alpha: float


@dataclass(frozen=True, eq=False)
class PlacedLayer:
    """A visible layer.

    Attributes:
        name: of it.
        color: its colours: straight where there is a matte, else premultiplied.
        matte: its coverage as splats of their own, in all three colours, or None.
        has_alpha: whether it has any coverage; else it covers everything.
        opacity: 0 to 1, not in the splats.
        recolor: [3, 4] what edits make of colours that are drawn and clamped; None where that is in the
            splats, or there are no such edits.
        recolored: whether edits change colours.
    """

    name: str
    color: Sum
    matte: Sum | None
    has_alpha: bool
    opacity: float
    recolor: Floats | None
    recolored: bool


def placed_layers(drawable: Drawable, time: float | Fraction = 0) -> list[PlacedLayer]:
    """Return the visible layers of a moment, back to front."""
    found = []
    for layer in drawable.layers_at(time):
        state, splats = layer._state, layer.splats
        if not state.visible:
            continue
        # Edits act on drawn colours; where those come with their coverage, on the splats, which is near.
        inside = splats.channels in (2, 4)
        matte = None if splats.matte is None else _sum(drawable, state, splats.matte, recolor=False)
        color = _sum(drawable, state, splats, recolor=inside)
        recolor = state.color if state.is_recolored and not inside else None
        found.append(
            PlacedLayer(
                layer.name,
                color,
                matte,
                splats.has_alpha,
                float(state.opacity),
                recolor,
                state.is_recolored,
            )
        )
    return found


def _sum(drawable: Drawable, state: State, splats: Splats, *, recolor: bool) -> Sum:
    means, conics, amplitudes = (
        np.asarray(array, np.float64) for array in (splats.means, splats.conics, splats.colors)
    )
    if state.is_placed:
        means, conics, amplitudes = place(state, splats, View.whole(drawable.width, drawable.height))
    a, b, c = conics.T
    det = a * c - b * b
    kept = (det > 0) & np.isfinite(det) & np.isfinite(means).all(1)
    covariances = np.stack([c, -b, -b, a], 1)[kept] / det[kept, None]
    rows = np.vstack([amplitudes[kept], splats.background])
    own = splats.channels in (2, 4)  # the last channel is coverage
    alphas = rows[:, -1].copy() if own else np.zeros(len(rows))
    colors = np.broadcast_to(rows[:, :-1] if own else rows, (len(rows), 3)).astype(np.float64)
    if recolor:
        shift = alphas if own else np.eye(1, len(rows), len(rows) - 1)[0]  # the base covers all
        colors = colors @ state.color[:, :3].T + shift[:, None] * state.color[:, 3]
    return Sum(
        means[kept],
        covariances.reshape(-1, 2, 2),
        colors[:-1],
        alphas[:-1],
        colors[-1],
        float(alphas[-1]),
    )
