"""A layer's texture as a file holds it: strengths of noise by place, octave and direction.

docs/FORMAT.md, section 6.7, is this file in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import BitstreamError
from splat2d.format.layers import MAX_LAYERS, CodedLayer
from splat2d.format.sections import TEXTURE, Reader, section, varint
from splat2d.native import core

WAVES = 1
"""Kind of texture: waves under Gaussians, whose places follow from a hash."""

CELLS = (24, 64)
MAX_BANDS = 6
MAX_DIRECTIONS = 4
LEVELS = 16


@dataclass(frozen=True)
class CodedTexture:
    """The texture of one layer, or of several that share it.

    Args:
        layers: their numbers, rising; all of one canvas.
        cell: side of the grid's cells, px of the layers' canvas.
        bands: octaves, from the canvas's own sampling down.
        directions: of each octave; 1 where it has none.
        slope: sixteenths of an octave by which amplitudes fall for each octave beyond the finest.
        seed: of the hash.
        data: the coded levels.
    """

    layers: tuple[int, ...]
    cell: int
    bands: int
    directions: int
    slope: int
    seed: int
    data: bytes

    @classmethod
    def of(
        cls, levels: NDArray[np.uint8], layers: Sequence[int], cell: int, *, slope: int = 16, seed: int = 0
    ) -> CodedTexture:
        """Code levels [bands, rows, columns, directions], 0 to 15."""
        coded = core().encode_levels(np.ascontiguousarray(levels))
        return cls(tuple(layers), cell, levels.shape[0], levels.shape[3], slope, seed, coded)

    def levels(self, width: int, height: int) -> NDArray[np.uint8]:
        """The levels [bands, rows, columns, directions] on a canvas, band 0 the finest.

        Args:
            width: of the canvas, px.
            height: of the canvas, px.

        Raises:
            BitstreamError: the data is none that an encoder writes.
        """
        columns, rows = grid(width, self.cell), grid(height, self.cell)
        levels = core().decode_levels(self.data, self.bands, rows, columns, self.directions)
        if levels is None:
            raise BitstreamError(f"the texture of layer {self.layers[0]} is damaged")
        return levels


def grid(side: int, cell: int) -> int:
    """Cells along a side of a canvas, px."""
    return -(-side // cell)


def texture_section(texture: CodedTexture) -> bytes:
    """The section of a texture."""
    out = bytes([WAVES]) + varint(len(texture.layers))
    for before, number in zip((-1, *texture.layers), texture.layers, strict=False):
        out += varint(number - before - 1)
    shape = texture.cell, 16 * texture.directions + texture.bands, texture.slope, texture.seed
    return section(TEXTURE, out + bytes(shape) + texture.data)


def read_texture(payload: bytes, stack: Sequence[CodedLayer]) -> CodedTexture | None:
    """The texture in a section's payload; None of a kind that this reader does not know.

    Args:
        payload: of the section.
        stack: the file's layers.

    Raises:
        BitstreamError: it makes no sense.
    """
    r = Reader(payload)
    if r.take(1, "a texture")[0] != WAVES:
        return None
    count = r.varint("the number of a texture's layers", MAX_LAYERS)
    layers, number = [], -1
    for _ in range(count):
        number += 1 + r.varint("a texture's layer", MAX_LAYERS)
        layers.append(number)
    cell, shape, slope, seed = r.take(4, "a texture")
    directions, bands = shape >> 4, shape & 15
    if not layers:
        raise BitstreamError("a texture is of no layer")
    if number >= len(stack):
        raise BitstreamError(f"a texture is of layer {number}, which is not there")
    if not CELLS[0] <= cell <= CELLS[1]:
        raise BitstreamError(f"a texture has cells of {cell} px, expected {CELLS[0]} to {CELLS[1]}")
    if not (1 <= bands <= MAX_BANDS and 1 <= directions <= MAX_DIRECTIONS):
        raise BitstreamError(
            f"a texture has {bands} bands and {directions} directions, expected 1 to {MAX_BANDS} "
            f"and 1 to {MAX_DIRECTIONS}"
        )
    if len({(stack[layer].header.width, stack[layer].header.height) for layer in layers}) > 1:
        raise BitstreamError("a texture is of layers whose canvases differ")
    return CodedTexture(tuple(layers), cell, bands, directions, slope, seed, r.rest)


def read_textures(payloads: Iterable[bytes], stack: Sequence[CodedLayer]) -> tuple[CodedTexture, ...]:
    """All textures of a file that this reader knows.

    Raises:
        BitstreamError: one makes no sense, or two are of one layer.
    """
    found = [texture for payload in payloads if (texture := read_texture(payload, stack))]
    numbers = [number for texture in found for number in texture.layers]
    if len(set(numbers)) < len(numbers):
        raise BitstreamError("two textures are of one layer")
    return tuple(found)


def renumbered(textures: Iterable[CodedTexture], numbers: Mapping[int, int]) -> tuple[CodedTexture, ...]:
    """Textures of layers that have other numbers now; layers without one are left out.

    Args:
        textures: as they were.
        numbers: new numbers of layers, by the old ones.
    """
    moved = (
        replace(texture, layers=tuple(sorted(numbers[n] for n in texture.layers if n in numbers)))
        for texture in textures
    )
    return tuple(texture for texture in moved if texture.layers)
