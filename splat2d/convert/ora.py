"""OpenRaster: layered pictures of Krita, GIMP and MyPaint.

Source: the OpenRaster File Layout Specification 0.0.5, freedesktop.org.
"""

from __future__ import annotations

import io
import zipfile
from fractions import Fraction
from typing import BinaryIO
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from splat2d.convert.painted import painted
from splat2d.scene.drawable import Drawable

_THUMBNAIL = 256  # px, of the larger side
_EMPTY = np.zeros((1, 1, 4), np.uint8)  # of a layer that is seen nowhere


def export(drawable: Drawable, file: BinaryIO, *, time: float | Fraction = 0) -> tuple[str, ...]:
    """Write layers with their names, order, places, opacities and visibility, and the merged picture."""
    image = ElementTree.Element(
        "image", version="0.0.5", w=str(drawable.width), h=str(drawable.height), name="splat2d"
    )
    stack = ElementTree.SubElement(image, "stack")
    # Pictures are compressed already, and the first entry tells the format by its place in the file.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("mimetype", "image/openraster")
        layers = painted(drawable, time)
        for number, layer in reversed(list(enumerate(layers))):  # the frontmost first
            source = f"data/layer{number:03}.png"
            ElementTree.SubElement(
                stack,
                "layer",
                {
                    "name": layer.name,
                    "src": source,
                    "x": str(layer.left),
                    "y": str(layer.top),
                    "opacity": f"{layer.opacity:.6g}",
                    "visibility": "visible" if layer.visible else "hidden",
                    "composite-op": "svg:src-over",
                },
            )
            archive.writestr(source, _png(Image.fromarray(layer.pixels if layer.pixels.size else _EMPTY)))
        pixels = drawable.render(time=time)
        merged = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        archive.writestr("mergedimage.png", _png(merged))
        merged.thumbnail((_THUMBNAIL, _THUMBNAIL))
        archive.writestr("Thumbnails/thumbnail.png", _png(merged))
        archive.writestr("stack.xml", ElementTree.tostring(image, encoding="utf-8", xml_declaration=True))
    return ("splats become pixels",)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()
