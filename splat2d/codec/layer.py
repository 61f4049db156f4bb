"""Coded layers: from integers to bytes with a name and a box, and back to splats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.compose import Splats
from splat2d.draw.render import View, background_floats, render
from splat2d.format.container import Container
from splat2d.format.field import Field
from splat2d.format.header import Header
from splat2d.format.layers import PICTURE, Box, CodedLayer
from splat2d.native import core
from splat2d.native.backend import ALL_CORES, Backend

VISIBLE = 1 / 16
"""Least coverage that counts as visible."""

_BOX_SIDE = 1024  # px; boxes of larger layers are found in a smaller drawing


def decode_layer(
    layer: CodedLayer,
    *,
    tiers: int | None = None,
    bits: dict[str, float] | None = None,
    backend: Backend = ALL_CORES,
) -> Splats:
    """A layer's splats.

    Args:
        layer: as a file holds it.
        tiers: decode only so many, coarse first.
        bits: gets the code length of each attribute added.
        backend: whose threads do it.

    Raises:
        BitstreamError: damaged data.
    """
    field = still(layer)
    integers, _ = field.decode(tiers=tiers, bits=bits, backend=backend)
    splats = splats_of(integers, layer.header, field.tier_counts, field.layout.eyes, backend=backend)
    if layer.matte is not None:
        matte = decode_layer(layer.matte, tiers=tiers, bits=bits, backend=backend)
        splats = replace(splats, matte=matte)
    return splats


def still(layer: CodedLayer) -> Field:
    """The coded splats of a layer that does not move."""
    if layer.field is None:
        raise ValueError(f"the splats of layer {layer.name!r} are in segments")
    return layer.field


def splats_of(
    integers: NDArray[np.int32],
    header: Header,
    tier_counts: tuple[int, ...],
    eyes: tuple[int, int, int] = (0, 0, 0),
    *,
    backend: Backend = ALL_CORES,
) -> Splats:
    """The splats of integers [N, C + 5], or of [N, C + 6] of a light field with these `Layout.eyes`."""
    base, size, disparities = background_floats(header.background), (header.width, header.height), None
    if eyes[0]:
        disparities = core().disparities(integers, header.chroma_step, eyes)
        integers = np.ascontiguousarray(integers[:, :-1])
    means, conics, colors = core().dequantize(
        integers, header.step, header.chroma_step, threads=backend.thread_count
    )
    if eyes[0]:
        colors = colors * np.float32(1 / math.sqrt(eyes[0]))  # amplitudes are of all views together
    return Splats(means, conics, colors, base, tier_counts, size, disparities=disparities)


def code_layer(
    name: str,
    header: Header,
    integers: NDArray[np.int32],
    *,
    matte: tuple[Header, NDArray[np.int32]] | None = None,
    backend: Backend = ALL_CORES,
    bits: dict[str, float] | None = None,
) -> CodedLayer:
    """Code a layer, for example one of several fits.

    Args:
        name: as `check_name` accepts it.
        header: the layer's canvas, channels, steps and base colour.
        integers: [N, C + 5], in any order.
        matte: the coverage's header, of one channel and the same canvas, and integers [M, 6]; the layer's
            colours are then straight, and have no alpha.
        backend: whose threads do it.
        bits: the code length of each attribute is added here.

    Returns:
        The layer, to be put into a file with `container_of` and `write`.
    """
    coded = _code(name, header, integers, backend, bits)
    splats = splats_of(integers, header, still(coded).tier_counts)
    if matte is not None:
        cover = _code(name, *matte, backend, bits)
        splats = replace(splats, matte=splats_of(matte[1], matte[0], still(cover).tier_counts))
        coded = replace(coded, matte=cover)
    return replace(coded, box=visible_box(splats, header, backend=backend))


def _code(
    name: str,
    header: Header,
    integers: NDArray[np.int32],
    backend: Backend,
    bits: dict[str, float] | None,
) -> CodedLayer:
    """One set of splats, without a box."""
    return CodedLayer(name, header, Field.encode(integers, header.layout, bits=bits, backend=backend))


def container_of(
    width: int, height: int, layers: Sequence[CodedLayer], notes: tuple[str, ...] = ()
) -> Container:
    """A file of layers.

    Args:
        width: of the file's canvas, px.
        height: of the file's canvas, px.
        layers: back to front, at least one, with boxes. A backmost one called "picture" on this very canvas
            is stored as that of a file without layers, unless it has a matte.
        notes: what was done to the picture on the way in.
    """
    first = layers[0]
    h = Header(
        width,
        height,
        first.header.channels,
        first.header.step_code,
        first.header.chroma_step,
        first.header.quality,
        first.header.background,
    )
    if first.name == PICTURE and h == first.header and first.matte is None:
        return Container(h, first.field, notes, tuple(layers[1:]))
    return Container(h, notes=notes, layers=tuple(layers))


def visible_box(splats: Splats, header: Header, *, backend: Backend = ALL_CORES) -> Box:
    """Where a layer's coverage is at least VISIBLE, in whole px of its canvas.

    Returns:
        Left, top, width and height; the whole canvas without alpha, four zeros if it is nowhere visible.
    """
    width, height = header.width, header.height
    if not splats.has_alpha:
        return 0, 0, width, height
    cover = splats.cover
    has_alpha = cover.colors[:, -1] != 0
    view = View.whole(width, height, min(1.0, _BOX_SIDE / max(width, height)))
    coverage = render(
        cover.means[has_alpha],
        cover.conics[has_alpha],
        cover.colors[has_alpha, -1:],
        view,
        background=cover.background[-1:],
        backend=backend.on_cpu,  # files must not depend on how a GPU rounds
    )[0]
    seen = coverage >= VISIBLE
    if not seen.any():
        return 0, 0, 0, 0
    left, right = _span(seen.any(0), view.scale_x, width)
    top, bottom = _span(seen.any(1), view.scale_y, height)
    return left, top, right - left, bottom - top


def _span(seen: NDArray[np.bool_], scale: float, side: int) -> tuple[int, int]:
    """From the first to behind the last that is seen, in whole px of the canvas."""
    found = np.flatnonzero(seen)
    return math.floor(found[0] / scale), min(math.ceil((found[-1] + 1) / scale), side)
