"""SVG: every splat is a circle with a radial gradient, added to what is below by its blend mode.

A Gaussian's affine shape is the `gradientTransform`; positive amplitudes are added by the blend mode
plus-lighter and negative ones subtracted by difference. Stops are opaque and fade to black, for a blend mode
acts on colours before it weighs them by alpha. Source: Compositing and Blending Level 2, W3C.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO
from xml.sax.saxutils import escape

import numpy as np

from splat2d.convert.placed import PlacedLayer, Sum, placed_layers
from splat2d.draw.render import CUTOFF
from splat2d.scene.drawable import Drawable

_REACH = math.sqrt(CUTOFF)  # standard deviations to which a splat is drawn
_STOPS = 12
_LEAST = 1 / 1020  # of an amplitude that could be seen: a quarter of a level
_MANY = 20_000


def export(drawable: Drawable, file: BinaryIO, *, time: float | Fraction = 0) -> tuple[str, ...]:
    """Write the visible layers as they are edited."""
    layers = placed_layers(drawable, time)
    w, h = drawable.width, drawable.height
    size = f'width="{w}" height="{h}"'
    writer = _Writer(size)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {w} {h}">',
        "<style>.p{mix-blend-mode:plus-lighter}.n{mix-blend-mode:difference}</style>",
        # Sums below lie on something: transparency is shown on white.
        f'<g style="isolation:isolate"><rect {size} fill="#fff"/>',
    ]
    for layer in layers:
        out.append(f"<g><title>{escape(layer.name)}</title>")
        out += writer.layer(layer)
        out.append("</g>")
    out.append("</g></svg>\n")
    file.write("\n".join(out).encode())
    return tuple(_notes(layers, writer))


def _notes(layers: list[PlacedLayer], writer: _Writer) -> Iterator[str]:
    yield (
        "SVG adds splats in 8 bits and clamps after each, where splat2d adds floats and clamps once; "
        "browsers know the blend mode plus-lighter, many other viewers do not"
    )
    if any(layer.has_alpha for layer in layers) and not any(not layer.has_alpha for layer in layers[:1]):
        yield "transparency is shown on white"
    if any(layer.recolored and layer.recolor is None for layer in layers):
        yield "edits of colours of layers with alpha are exact only where nothing is clamped"
    if writer.cut:
        yield f"{writer.cut} amplitudes beyond 1 are cut to it"
    if writer.count > _MANY:
        yield f"{writer.count:,} gradients take browsers long to draw"


class _Writer:
    """Writes splats as elements; every gradient has a number."""

    def __init__(self, size: str) -> None:
        self._size = size
        self.count = 0
        self.cut = 0
        weights = [math.exp(-((_REACH * i / _STOPS) ** 2) / 2) for i in range(_STOPS)] + [0.0]
        self._weights = [(f"{i / _STOPS:.4g}", weight) for i, weight in enumerate(weights)]

    def layer(self, layer: PlacedLayer) -> Iterator[str]:
        """Elements of a layer."""
        if layer.has_alpha and layer.matte is None:
            yield from self._premultiplied(layer)
            return
        mask = ""
        if layer.matte is not None:
            yield from self._mask(
                [self._base(layer.matte.background), *self._splats(layer.matte, layer.matte.colors)]
            )
            mask = f' mask="url(#m{self.count})"'
        yield f'<g opacity="{layer.opacity:.4g}"{mask}>'
        if layer.recolor is not None:
            self.count += 1
            rows = (f"{r:.6g} {g:.6g} {b:.6g} 0 {shift:.6g}" for r, g, b, shift in layer.recolor.tolist())
            yield (
                f'<filter id="f{self.count}" filterUnits="userSpaceOnUse" x="0" y="0" {self._size} '
                'color-interpolation-filters="sRGB"><feColorMatrix values="'
                f'{" ".join(rows)} 0 0 0 1 0"/></filter>'
            )
        recolor = "" if layer.recolor is None else f' filter="url(#f{self.count})"'
        yield f'<g style="isolation:isolate"{recolor}>{self._base(layer.color.background)}'
        yield from self._splats(layer.color, layer.color.colors)
        yield "</g></g>"

    def _premultiplied(self, layer: PlacedLayer) -> Iterator[str]:
        """A layer whose splats hold coverage too: it dims what is below, and adds colours of at most that."""
        color = layer.color
        amplitudes, base = np.repeat(color.alphas[:, None], 3, 1), np.full(3, color.alpha)
        coverage = [self._base(base), *self._splats(color, amplitudes)]
        yield from self._mask(coverage)
        yield f'<rect {self._size} fill="#000" mask="url(#m{self.count})" opacity="{layer.opacity:.4g}"/>'
        yield f'<g class="p" opacity="{layer.opacity:.4g}" style="isolation:isolate">'
        yield self._base(color.background)
        yield from self._splats(color, color.colors)
        yield '<g style="isolation:isolate;mix-blend-mode:darken">'
        # The same gradients as the mask's.
        yield from (part[part.rindex("<rect") :] for part in coverage)
        yield "</g></g>"

    def _mask(self, inside: list[str]) -> Iterator[str]:
        """A mask whose luminance is a coverage; its number is the count that there is behind it."""
        self.count += 1
        yield f'<mask id="m{self.count}" maskUnits="userSpaceOnUse" x="0" y="0" {self._size}>'
        yield '<g style="isolation:isolate">'
        yield from inside
        yield "</g></mask>"

    def _base(self, color: np.ndarray) -> str:
        return f'<rect {self._size} fill="{_rgb(np.clip(color, 0, 1))}"/>'

    def _splats(self, splats: Sum, colors: np.ndarray) -> Iterator[str]:
        """Circles in the order of the file, coarse ones first, so that sums hardly leave what 8 bits hold."""
        roots = np.linalg.cholesky(splats.covariances) if len(splats.means) else np.zeros((0, 2, 2))
        for mean, root, color in zip(splats.means.tolist(), roots.tolist(), colors, strict=True):
            for kind, part in (("p", np.maximum(color, 0)), ("n", np.maximum(-color, 0))):
                strength = float(part.max())
                if strength >= _LEAST:
                    yield self._circle(kind, mean, root, part / strength, strength)

    def _circle(
        self, kind: str, mean: list[float], root: list[list[float]], color: np.ndarray, strength: float
    ) -> str:
        self.count += 1
        self.cut += strength > 1
        (a, _), (b, d) = root
        # Lower triangular: a unit circle becomes the ellipse of one standard deviation.
        place = f"matrix({a:.5g} {b:.5g} 0 {d:.5g} {mean[0]:.6g} {mean[1]:.6g})"
        color = color * min(strength, 1)
        stops = "".join(
            f'<stop offset="{offset}" stop-color="{_rgb(color * weight)}"/>'
            for offset, weight in self._weights
        )
        x, y = _REACH * a, _REACH * math.hypot(b, d)
        box = f'x="{mean[0] - x:.6g}" y="{mean[1] - y:.6g}" width="{2 * x:.6g}" height="{2 * y:.6g}"'
        return (
            f'<radialGradient id="g{self.count}" gradientUnits="userSpaceOnUse" cx="0" cy="0" r="{_REACH}" '
            f'gradientTransform="{place}">{stops}</radialGradient>'
            f'<rect {box} fill="url(#g{self.count})" class="{kind}"/>'
        )


def _rgb(color: np.ndarray) -> str:
    return "rgb({:.5g}% {:.5g}% {:.5g}%)".format(*(100 * float(value) for value in color))
