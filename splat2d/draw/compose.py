"""Layers drawn over each other: coverage, colours and opacity, pixel by pixel.

docs/FORMAT.md, section 6.6, is this file in words.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.render import CUTOFF, View, render
from splat2d.draw.texture import Texture, to_bytes, with_texture
from splat2d.edit.stack import State
from splat2d.native.backend import ALL_CORES, Backend

_BAND = 1 << 21  # px that are composited at a time
_EDGE = 6  # standard deviations beyond which a blurred edge is flat

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Splats:
    """A coded layer, decoded.

    Attributes:
        means: [N, 2] centres, px.
        conics: [N, 3] upper triangle of the inverse covariance, px^-2.
        colors: [N, C] amplitudes, premultiplied when there is alpha.
        background: [C] the colour under all splats.
        tier_counts: splats that the file holds in each tier.
        size: width and height of the layer's canvas, px.
        matte: the coverage as splats of one channel; the colours are then straight.
        cutoffs: [N] largest q that is drawn of each, where they are slices of splats in time.
        texture: what is drawn over the colours, if there is any.
        disparities: [N] px by which each moves for an eye one step farther to the right or down, in a light
            field.
    """

    means: Floats
    conics: Floats
    colors: Floats
    background: Floats
    tier_counts: tuple[int, ...]
    size: tuple[int, int]
    matte: Splats | None = None
    cutoffs: Floats | None = None
    texture: Texture | None = None
    disparities: Floats | None = None

    @property
    def channels(self) -> int:
        """Of the colours: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA."""
        return self.colors.shape[1]

    @property
    def count(self) -> int:
        """Number of splats, those of the matte included."""
        return len(self.means) + (0 if self.matte is None else len(self.matte.means))

    @property
    def cover(self) -> Splats:
        """The splats whose last channel is the coverage, in a layer that has one."""
        return self if self.matte is None else self.matte

    @property
    def tier(self) -> NDArray[np.intp]:
        """[N] tier of each splat, 0 the coarsest."""
        return np.repeat(np.arange(len(self.tier_counts)), self.tier_counts)[: len(self.means)]

    @property
    def has_alpha(self) -> bool:
        """Whether the layer has a coverage of its own; else it covers everything."""
        return self.matte is not None or self.channels in (2, 4)

    def first(self, tiers: int | None) -> Splats:
        """Those of the first tiers; a texture is only what all of them lack."""
        if tiers is None or not self.tier_counts:
            return self
        n = sum(self.tier_counts[:tiers])
        matte = self.matte and self.matte.first(tiers)
        return replace(
            self,
            means=self.means[:n],
            conics=self.conics[:n],
            colors=self.colors[:n],
            matte=matte,
            texture=self.texture if n == len(self.means) else None,
            disparities=None if self.disparities is None else self.disparities[:n],
        )

    def seen_from(self, u: float, v: float) -> Splats:
        """What an eye sees of a light field, u steps of the eyes' grid to the right of the middle, v down."""
        if self.disparities is None:
            return self
        moved = self.means + self.disparities[:, None] * np.array([u, v], np.float32)
        return replace(self, means=moved, disparities=None)

    def refocused(
        self, disparity: float, spread: NDArray[np.float64], eye: tuple[float, float] = (0, 0)
    ) -> Splats:
        """The mean of what all eyes of an aperture see, when what has one disparity stands still.

        Gaussians of other disparities are blurred, exactly.

        Args:
            disparity: that is in focus, px a step of the eyes' grid.
            spread: [2, 2] covariance of the eyes in the aperture.
            eye: u, v of its middle, as which the rest is seen.
        """
        if self.disparities is None:
            return self
        away = (self.disparities.astype(np.float64) - disparity) ** 2
        a, b, c = self.conics.astype(np.float64).T
        det = a * c - b * b
        xx, xy, yy = (
            c / det + away * spread[0, 0],
            away * spread[0, 1] - b / det,
            a / det + away * spread[1, 1],
        )
        wide = xx * yy - xy * xy
        conics = np.stack([yy / wide, -xy / wide, xx / wide], 1).astype(np.float32)
        lower = (1 / np.sqrt(wide * det)).astype(np.float32)
        return replace(self.seen_from(*eye), conics=conics, colors=self.colors * lower[:, None])

    def textured(self, strength: float) -> Splats:
        """The same with a texture whose amplitudes are multiplied by a factor; without one for 0."""
        if self.texture is None or strength == 1:
            return self
        texture = replace(self.texture, gain=self.texture.gain * strength)
        return replace(self, texture=texture if strength > 0 else None)


Layers = Sequence[tuple[State, Splats]]
"""Layers to draw, back to front."""


class Look(Protocol):
    """What tells a layer's channels: its splats, or the coded layer that they come from."""

    @property
    def channels(self) -> int:
        """Of the colours."""
        ...

    @property
    def has_alpha(self) -> bool:
        """Whether it has a coverage of its own."""
        ...


def output_channels(layers: Sequence[tuple[State, Look]]) -> int:
    """Channels of a picture of these layers: colour where one shows colour, alpha unless one covers all."""
    shown = [(state, splats) for state, splats in layers if state.visible]
    return max((output_colors(*layer) for layer in shown), default=1) + (
        not any(covers_all(*layer) for layer in shown)
    )


def output_colors(state: State, splats: Look) -> int:
    """Colour channels of a layer as edited: 3, or 1 of a grey one that no edit tints."""
    return 3 if splats.channels >= 3 or _colors_grey(state) else 1


def compose(layers: Layers, view: View, *, backend: Backend = ALL_CORES) -> Floats:  # [C, H, W]
    """Draw layers over each other.

    Args:
        layers: with their edits; those that are not visible are left out.
        view: the window.
        backend: draws it.

    Returns:
        The window [C, H, W] in [0, 1], premultiplied, with `output_channels` channels.

    Raises:
        BackendUnavailableError: device is "cuda", and there is no GPU to use.
    """
    out = np.empty((output_channels(layers), view.height, view.width), np.float32)
    for top, band in _bands(layers, view, backend):
        out[:, top : top + band.shape[1]] = band
    return out


def compose_bytes(
    layers: Layers, view: View, *, backend: Backend = ALL_CORES
) -> NDArray[np.uint8]:  # [H, W, C]
    """Draw layers over each other, to bytes with straight alpha; arguments and errors as of `compose`."""
    out = np.empty((view.height, view.width, output_channels(layers)), np.uint8)
    for top, band in _bands(layers, view, backend):
        out[top : top + band.shape[1]] = to_bytes(band, len(band) in (2, 4))
    return out


def _bands(layers: Layers, view: View, backend: Backend) -> Iterator[tuple[int, Floats]]:  # [C, rows, W]
    """Rows of a composited picture, a few million px at a time, with the number of the first."""
    channels = output_channels(layers)
    shown = [layer for layer in layers if layer[0].visible]
    # What lies under a layer that covers all need not be drawn.
    bottom = max((i for i, layer in enumerate(shown) if covers_all(*layer)), default=0)
    rows = max(_BAND // view.width, 1)
    for top in range(0, view.height, rows):
        height = min(rows, view.height - top)
        out = np.zeros((channels, height, view.width), np.float32)
        window = view if height == view.height else view.window(0, top, view.width, height)
        for state, splats in shown[bottom:]:
            x, y, w, h = _block(state, splats, window)
            if not w * h:
                continue
            part = window.window(x, y, w, h)
            color, coverage = draw(state, splats, part, backend=backend)
            color, coverage = develop(state, color, coverage, 3 if channels >= 3 else 1)
            block = out[:, y : y + h, x : x + w]
            block *= 1 - coverage
            block[: len(color)] += color
            if channels in (2, 4):
                block[-1] += coverage
        yield top, out


def draw(
    state: State, splats: Splats, view: View, *, backend: Backend = ALL_CORES
) -> tuple[Floats, Floats]:  # [C, H, W], [H, W]
    """Draw one layer where its edits put it: its premultiplied colours in those of the file, and coverage.

    Args:
        state: its edits; those of colours and opacity are not looked at.
        splats: of the layer.
        view: the window.
        backend: draws it.
    """
    # Fits make use of the clamping, so colours are what they should be only after it.
    if splats.matte is not None:
        planes = _sum(state, splats, view, False, backend)
        coverage = draw_coverage(state, splats, view, backend=backend)
        return np.clip(planes, 0, 1) * coverage, coverage
    planes = _sum(state, splats, view, splats.has_alpha, backend)
    if not splats.has_alpha:
        return np.clip(planes, 0, 1), np.ones(planes.shape[1:], np.float32)
    coverage = np.clip(planes[-1], 0, 1)
    return np.clip(planes[:-1], 0, coverage), coverage


def draw_coverage(
    state: State, splats: Splats, view: View, *, backend: Backend = ALL_CORES
) -> Floats:  # [H, W]
    """The coverage alone of a layer that has one; arguments as of `draw`."""
    cover = splats.cover.textured(0)
    return np.clip(_sum(state, cover, view, True, backend)[-1], 0, 1)


def _sum(state: State, splats: Splats, view: View, covers: bool, backend: Backend) -> Floats:  # [C, H, W]
    """The sum of splats where edits put them, not clamped; `covers` where the last channel is coverage."""
    placed, window = (splats.means, splats.conics, splats.colors), view
    if state.is_placed:
        placed, window = place(state, splats, view), View(0.0, 0.0, 1.0, 1.0, view.width, view.height)
    base, settings = splats.background, {"backend": backend, "cutoffs": splats.cutoffs}
    texture = None
    if splats.texture is not None:
        scale = np.array([view.scale_x, view.scale_y])
        matrix = scale[:, None] * state.matrix
        blur = scale[:, None] * state.blur * scale + _footprint(matrix)
        texture = splats.texture.drawer(matrix, (state.offset - [view.x, view.y]) * scale, blur)
    if not (covers and base.any()):
        return render(*placed, window, background=base, texture=texture, **settings)
    # A base colour that covers ends where the layer's canvas does, or it would lie on all that is around.
    planes = render(*placed, window, **settings)
    planes += base[:, None, None] * _canvas(state, splats.size, view)
    return planes if texture is None else with_texture(planes, texture, backend)


def place(
    state: State, splats: Splats, view: View
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """A layer's splats in target px: moved and blurred by its edits, then seen through the view.

    A coded px that becomes smaller than a target px is blurred by the footprint that it lacks, so that
    shrinking does not alias; blurred splats keep their integral.

    Returns:
        Means [N, 2], conics [N, 3] and colours [N, C], float64.
    """
    scale = np.array([view.scale_x, view.scale_y])
    matrix = scale[:, None] * state.matrix
    means = splats.means @ matrix.T + (state.offset - [view.x, view.y]) * scale
    a, b, c = splats.conics.astype(np.float64).T
    # As in `render`, splats that are not finite are dropped when they are drawn.
    with np.errstate(invalid="ignore", over="ignore", divide="ignore", under="ignore"):
        det = 1 / (a * c - b * b)
        covariance = np.stack([c * det, -b * det, -b * det, a * det], 1).reshape(-1, 2, 2)
        covariance = matrix @ covariance @ matrix.T
        xx, xy, yy = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
        det = det * np.linalg.det(matrix) ** 2
        (bxx, bxy), (_, byy) = scale[:, None] * state.blur * scale + _footprint(matrix)
        # Each term is exact for thin splats, where xx * yy - xy * xy would cancel.
        after = det + bxx * yy + byy * xx - 2 * bxy * xy + bxx * byy - bxy * bxy
        conics = np.stack([(yy + byy) / after, -(xy + bxy) / after, (xx + bxx) / after], 1)
        colors = splats.colors * np.sqrt(det / after)[:, None]
    return means, conics, colors


def _footprint(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance [2, 2] that a px of the layer's canvas, mapped by a matrix, lacks of that of a target px."""
    values, vectors = np.linalg.eigh(np.eye(2) - matrix @ matrix.T)
    return (vectors * np.maximum(values, 0)) @ vectors.T / 12


def _block(state: State, splats: Splats, view: View) -> tuple[int, int, int, int]:
    """Left, top, width and height, target px, of the part of a view that a layer can cover."""
    if not splats.has_alpha:
        return 0, 0, view.width, view.height
    splats = splats.cover
    means, conics, colors = place(state, splats, view)
    # Neither do splats cover that `render` drops, since float32 cannot hold their shape.
    det = conics[:, 0] * conics[:, 2] - conics[:, 1] ** 2
    covering = (colors[:, -1] > 0) & (det > 0) & np.isfinite(det)
    reach = np.sqrt(CUTOFF * conics[covering][:, [2, 0]] / det[covering, None])
    low, high = [means[covering] - reach], [means[covering] + reach]
    if splats.background[-1]:
        scale = np.array([view.scale_x, view.scale_y])
        corners = np.array([(0, 0), (1, 0), (0, 1), (1, 1)]) * splats.size
        corners = (corners @ state.matrix.T + state.offset - [view.x, view.y]) * scale
        reach = 1 + _EDGE * np.sqrt(np.diag(state.blur)) * scale
        low, high = [*low, corners - reach], [*high, corners + reach]
    size = (view.width, view.height)
    # A beginning above all and an end below all, for layers that cover nothing.
    left, top = np.clip(np.floor(np.vstack([*low, [size]]).min(0)), 0, size).astype(int).tolist()
    right, bottom = np.clip(np.ceil(np.vstack([*high, [(0, 0)]]).max(0)), 0, size).astype(int).tolist()
    return left, top, max(right - left, 0), max(bottom - top, 0)


def _canvas(state: State, size: tuple[int, int], view: View) -> Floats:
    """How much of each target px [H, W] a layer's canvas covers, its edges blurred as the layer is.

    Exact unless a rotated canvas is stretched: each pair of edges counts for itself.
    """
    scale = np.array([view.scale_x, view.scale_y])
    inverse = np.linalg.inv(scale[:, None] * state.matrix)
    origin = inverse @ ((state.offset - [view.x, view.y]) * scale)
    blur = scale[:, None] * state.blur * scale
    x, y = np.arange(view.width) + 0.5, np.arange(view.height)[:, None] + 0.5
    out = np.ones((view.height, view.width))
    for (a, b), start, side in zip(inverse, origin, size, strict=True):
        length = math.hypot(a, b)  # px of the layer's canvas for one target px across the edge
        sigma = math.sqrt(max((a * a * blur[0, 0] + 2 * a * b * blur[0, 1] + b * b * blur[1, 1]), 0)) / length
        distance = (a * x + b * y - start) / length
        out *= _edge(distance, sigma) - _edge(distance - side / length, sigma)
    return out.astype(np.float32)


def _edge(distance: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """A step at 0, averaged over one px and blurred, at distances in target px."""
    return np.interp(distance, *_edge_table(sigma))


@functools.lru_cache(maxsize=16)
def _edge_table(sigma: float) -> tuple[NDArray[np.float64], list[float]]:
    """Distances and the values of `_edge` there."""
    reach = 0.5 + _EDGE * sigma
    knots = np.linspace(-reach, reach, 4097 if sigma else 2)
    if not sigma:
        return knots, [0.0, 1.0]

    def integral(z: float) -> float:
        normal = math.exp(-0.5 * (z / sigma) ** 2) / math.sqrt(2 * math.pi)
        return 0.5 * z * math.erfc(-z / (sigma * math.sqrt(2))) + sigma * normal

    return knots, [integral(z + 0.5) - integral(z - 0.5) for z in knots.tolist()]


def develop(state: State, color: Floats, coverage: Floats, colors: int) -> tuple[Floats, Floats]:
    """Colour [`colors`, H, W] and coverage [H, W] of a drawn layer after its edits of colour and opacity."""
    if state.is_recolored:
        sources = (*np.broadcast_to(color, (3, *coverage.shape)), coverage)
        # One after another, so that bytes are the same on every machine.
        color = np.zeros((colors, *coverage.shape), np.float32)
        for column, source in zip(state.color[:colors].T.astype(np.float32), sources, strict=True):
            color += column[:, None, None] * source
        color = np.clip(color, 0, coverage)
    if state.opacity != 1:
        color, coverage = color * np.float32(state.opacity), coverage * np.float32(state.opacity)
    return np.broadcast_to(color, (colors, *coverage.shape)), coverage


def covers_all(state: State, splats: Look) -> bool:
    """Whether nothing is seen of what lies under a layer."""
    return state.visible and state.opacity == 1 and not splats.has_alpha


def _colors_grey(state: State) -> bool:
    """Whether a grey layer is coloured by its edits."""
    rows = state.color[:, :3].sum(1)
    return bool(np.ptp(rows) > 1e-9)
