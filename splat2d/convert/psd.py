"""Photoshop's layered files, through psd-tools."""

from __future__ import annotations

from fractions import Fraction
from typing import BinaryIO

import numpy as np
from PIL import Image

from splat2d.convert.painted import painted
from splat2d.errors import BackendUnavailableError, OutputError
from splat2d.scene.drawable import Drawable

_MAX_SIDE = 30_000  # px, of the format
_EMPTY = np.zeros((1, 1, 4), np.uint8)  # of a layer that is seen nowhere


def export(drawable: Drawable, file: BinaryIO, *, time: float | Fraction = 0) -> tuple[str, ...]:
    """Write layers with their names, order, places, opacities and visibility, and the merged picture.

    Raises:
        OutputError: a picture of more than 30,000 px a side.
        BackendUnavailableError: psd-tools is not installed.
    """
    try:
        from psd_tools import PSDImage
    except ImportError:
        raise BackendUnavailableError("PSD files need psd-tools; pip install 'splat2d[psd]'") from None
    if max(drawable.width, drawable.height) > _MAX_SIDE:
        size = f"{drawable.width}x{drawable.height}"
        raise OutputError(f"PSD holds at most {_MAX_SIDE} px a side, and this is {size}; use .ora")
    pixels = drawable.render(time=time)
    merged = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    # With alpha whether there is any, or that of layers would become masks.
    psd = PSDImage.frompil(merged.convert("RGBA"))
    for layer in painted(drawable, time):
        image = Image.fromarray(layer.pixels if layer.pixels.size else _EMPTY)
        opacity = round(255 * layer.opacity)
        added = psd.create_pixel_layer(image, layer.name, layer.top, layer.left, opacity=opacity)
        added.visible = layer.visible
    # Not `save`, which would draw the merged picture again, another one, where it has the libraries to.
    psd._record.write(file)
    return ("splats become pixels",)
