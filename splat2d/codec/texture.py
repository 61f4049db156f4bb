"""Coded textures: from a file's levels to what the renderer draws, and into a file."""

from __future__ import annotations

from splat2d.draw.texture import Texture
from splat2d.format.container import Container


def decode_textures(container: Container) -> dict[int, Texture]:
    """The textures of a picture's layers, by their numbers.

    Raises:
        BitstreamError: damaged data.
    """
    found = {}
    for coded in container.textures:
        header = container.stack[coded.layers[0]].header
        size = header.width, header.height
        texture = Texture(coded.levels(*size), coded.cell, coded.slope, coded.seed, size)
        found.update(dict.fromkeys(coded.layers, texture))
    return found
