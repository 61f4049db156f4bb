"""PLY of 3D viewers, through gsplat: flat splats at z = 0, drawn over each other from the first to the last.

A 3D viewer draws a splat over what is behind it, and cannot add. An amplitude c on a colour b looks, at the
splat's centre, like the colour b + c / o drawn over it with opacity o; o is as small as it may be with
colours in [0, 1], since then it is nearest to a sum. What b is, is rendered, tier by tier. Viewers sort by
depth, so every splat lies a hair, 1e-7 of the larger side, in front of the one before.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

import splat2d
from splat2d.draw.compose import Splats
from splat2d.draw.render import View, render
from splat2d.errors import BackendUnavailableError
from splat2d.media.save import on_white
from splat2d.scene.drawable import Drawable, flat_of
from splat2d.scene.picture import Scene

_HAIR = 1e-7
_THIN = 1e-4  # standard deviation in z, of the larger side
_C0 = 0.28209479177387814  # of the first spherical harmonic: a colour is 0.5 + C0 f
_OPACITIES = (1 / 255, 0.99)  # below, viewers draw nothing
_BASES = 3  # splats behind all, of the base colour, so that what is behind them does not show
_BASE = 4.0  # their standard deviation, of the larger side: flat where the picture is

Floats = NDArray[np.float64]


def export(drawable: Drawable, file: BinaryIO, *, time: float | Fraction = 0) -> tuple[str, ...]:
    """Write what is seen; several layers, edits or alpha are put on white and fitted anew for it.

    Raises:
        BackendUnavailableError: gsplat is not installed.
    """
    try:
        import torch
        from gsplat.exporter import export_splats
    except ImportError:
        raise BackendUnavailableError("PLY files need gsplat; pip install 'splat2d[ply]'") from None
    notes = ["3D viewers draw splats over each other and cannot add them: colours are near, not the same"]
    splats = flat_of(drawable._shown(time), (drawable.width, drawable.height))
    if splats is None or splats.has_alpha:
        pixels = on_white(drawable.render(time=time))
        quality = drawable.header.quality or None
        splats = Scene.from_bytes(splat2d.encode(pixels, quality=quality, preset="fast")).flat
        notes.append("layers, edits and transparency are put on white and fitted anew, as one layer")
    means, covariances, colors, opacities = _drawn_over(splats)
    side = max(splats.size)
    values, vectors = np.linalg.eigh(covariances)
    angles = np.arctan2(vectors[:, 1, 0], vectors[:, 0, 0])
    count = len(means)
    turns = np.zeros((count, 4))  # about z, as w, x, y, z
    turns[:, 0], turns[:, 3] = np.cos(angles / 2), np.sin(angles / 2)
    arrays = (
        # y points down and z away from who looks, as in files of 3D Gaussian splatting.
        np.column_stack([means, -_HAIR * side * np.arange(count)]),
        np.log(np.column_stack([np.sqrt(np.maximum(values, 1e-12)), np.full(count, _THIN * side)])),
        turns,
        np.log(opacities / (1 - opacities)),
        ((colors - 0.5) / _C0)[:, None, :],
        np.zeros((count, 0, 3)),
    )
    tensors: list[Any] = [torch.from_numpy(array.astype(np.float32)) for array in arrays]
    file.write(export_splats(*tensors, format="ply"))
    return tuple(notes)


def _drawn_over(splats: Splats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return means [N, 2], covariances [N, 2, 2], colours [N, 3] and opacities [N] to draw in this order."""
    width, height = splats.size
    amplitudes = np.broadcast_to(splats.colors, (len(splats.colors), 3)).astype(np.float64)
    base = np.clip(np.broadcast_to(splats.background, 3), 0, 1).astype(np.float64)
    pixels = np.empty((3, height, width), np.float32)
    pixels[:] = base[:, None, None]
    a, b, c = splats.conics.T.astype(np.float64)
    covariances = np.stack([c, -b, -b, a], 1).reshape(-1, 2, 2) / (a * c - b * b)[:, None, None]
    columns = np.clip(splats.means[:, 0].astype(int), 0, width - 1)
    rows = np.clip(splats.means[:, 1].astype(int), 0, height - 1)
    colors, opacities = np.empty_like(amplitudes), np.empty(len(amplitudes))
    # A slice of a clip knows no tiers; its splats are one.
    tiers = splats.tier if splats.tier_counts else np.zeros(len(amplitudes), int)
    for tier in np.unique(tiers):
        part = tiers == tier
        behind = np.clip(pixels[:, rows[part], columns[part]].T, 0, 1).astype(np.float64)
        change = amplitudes[part]
        room = np.maximum(np.where(change > 0, 1 - behind, behind), 1e-3)
        opacity = np.clip((np.abs(change) / room).max(1), *_OPACITIES)
        colors[part] = np.clip(behind + change / opacity[:, None], 0, 1)
        opacities[part] = opacity
        view = View.whole(width, height)
        pixels += render(splats.means[part], splats.conics[part], change, view)
    middle = np.tile([[width / 2, height / 2]], (_BASES, 1))
    round_ = np.tile((_BASE * max(width, height)) ** 2 * np.eye(2), (_BASES, 1, 1))
    return (
        np.concatenate([middle, splats.means.astype(np.float64)]),
        np.concatenate([round_, covariances]),
        np.concatenate([np.tile(base, (_BASES, 1)), colors]),
        np.concatenate([np.full(_BASES, _OPACITIES[1]), opacities]),
    )
