"""Cutting an object out of a picture that is splats already: both sides are fitted anew."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace

from numpy.typing import ArrayLike, NDArray

from splat2d.errors import ConfigError
from splat2d.fit.encode import Encoded, encode_picture, quality_step
from splat2d.fit.fitter import OnProgress
from splat2d.fit.objects.masks import Coverage
from splat2d.fit.objects.select import select
from splat2d.format.container import read, write
from splat2d.format.header import Header
from splat2d.format.layers import PICTURE, check_name
from splat2d.media.pictures import load_picture
from splat2d.native.backend import ALL_CORES, Backend
from splat2d.scene.picture import Scene


def group(
    scene: Scene,
    name: str,
    *,
    box: Sequence[float] | None = None,
    polygon: ArrayLike | None = None,
    point: Sequence[float] | None = None,
    color: str | None = None,
    mask: str | os.PathLike[str] | NDArray | None = None,
    tolerance: float | None = None,
    quality: int | None = None,
    preset: str = "default",
    backend: Backend = ALL_CORES,
    progress: OnProgress | None = None,
) -> tuple[Encoded, Coverage]:
    """Fit an object and what is around it as layers.

    Args:
        scene: of one layer; its edits become part of the picture.
        name: of the object's layer; the other one is called "picture".
        box: as of `select`, like the other five.
        polygon: see `select`.
        point: see `select`.
        color: see `select`.
        mask: see `select`.
        tolerance: see `select`.
        quality: 1 to 100; about that which the scene was encoded at when None.
        preset: fast, default or best, or the path of a YAML file.
        backend: fits.
        progress: called after each step of the optimiser.

    Returns:
        The new file, its PSNR measured against what the scene decodes to; and the object's mask [H, W].

    Raises:
        ConfigError: several layers, a name that is none or taken, or settings that do not fit.
        ShapeError: an array that is no mask of this picture.
        InputImageError: a file that is none.
        BackendUnavailableError: a box without OpenCV, or the backend is "cuda", and there is no GPU to use.
    """
    scene.document.refuse_eyes("cut into objects")
    names = [layer.name for layer in scene.layers]
    if len(names) != 1:
        raise ConfigError(
            f"expected a picture of one layer to cut an object out of, found {len(names)} "
            f"({', '.join(names)}); extract one of them first"
        )
    check_name(name)
    if name == PICTURE:
        raise ConfigError(f"the name {PICTURE!r} is taken by what is left around the object")
    pixels = scene.render(threads=backend.threads, texture="off")
    coverage = select(
        pixels, box=box, polygon=polygon, point=point, color=color, mask=mask, tolerance=tolerance
    )
    encoded = encode_picture(
        replace(load_picture(pixels), notes=scene.notes, metadata=scene.document.container.metadata),
        masks={name: coverage},
        quality=quality_of(scene.header) if quality is None else quality,
        preset=preset,
        tune="psnr",  # what a tune left out is not there to be kept
        backend=backend,
        progress=progress,
    )
    if scene.document.container.textures and not scene.document.stack.layers[0].changes_look:
        # Both sides have all of it, so that they look together as before.
        container = read(encoded.data)
        textures = [replace(t, layers=(0, 1)) for t in scene.document.container.textures]
        encoded = replace(encoded, data=write(replace(container, textures=tuple(textures))))
    return encoded, coverage


def quality_of(header: Header) -> int:
    """The quality that a file was encoded at, or the one with about the same step."""
    if header.quality:
        return header.quality
    return min(range(1, 101), key=lambda quality: abs(math.log(header.step / quality_step(quality))))
