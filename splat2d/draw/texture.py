"""Texture of a layer: noise that the renderer draws over its splats, itself splats that nobody coded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import ConfigError
from splat2d.native import core
from splat2d.native.backend import Backend

MAX_STRENGTH = 4.0

Strength = float | str
"""Factor of a texture's amplitudes; "off" is 0 and "auto" is 1."""


def checked_strength(texture: Strength) -> float:
    """The factor that a caller asks for.

    Raises:
        ConfigError: neither "off" nor "auto" nor a number from 0 to 4.
    """
    named = {"off": 0.0, "auto": 1.0}
    try:
        value = named[texture] if texture in named else float(texture)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value <= MAX_STRENGTH:
        raise ConfigError(f"texture is {texture!r}, expected off, auto or a strength from 0 to 4")
    return value


@dataclass(frozen=True, eq=False)
class Texture:
    """A decoded texture.

    Attributes:
        levels: [bands, rows, columns, directions] strengths, 0 to 15; band 0 is the finest.
        cell: side of the grid's cells, px.
        slope: sixteenths of an octave by which amplitudes fall for each octave beyond the finest.
        seed: of the hash.
        size: width and height of the canvas, px.
        gain: factor of all amplitudes.
    """

    levels: NDArray[np.uint8]
    cell: int
    slope: int
    seed: int
    size: tuple[int, int]
    gain: float = 1.0

    def drawer(self, matrix: NDArray, offset: NDArray, blur: NDArray) -> Any:
        """What the native renderer takes.

        Args:
            matrix: [2, 2] A, from the canvas to what is drawn: x is seen at A x + t, px.
            offset: [2] t, px.
            blur: [2, 2] covariance of what everything is blurred with, px^2 of what is drawn.
        """
        (a, b), (c, d) = matrix
        place = np.array([a, b, c, d, *offset], np.float64)
        covariance = np.array([blur[0][0], blur[0][1], blur[1][1]], np.float64)
        (width, height), grid = self.size, (self.levels, self.cell)
        return core().Texture(*grid, self.slope, self.seed, self.gain, width, height, place, covariance)


def with_texture(planes: NDArray[np.float32], drawer: Any, backend: Backend) -> NDArray[np.float32]:
    """Planes [C, H, W] that something else than the core has drawn, clamped, with a texture over them."""
    channels, height, width = planes.shape
    means, conics, dark = (np.zeros((0, n), np.float32) for n in (2, 3, 1))
    settings = width, height, 1.0, None, backend.thread_count, None, drawer
    noise = core().render(means, conics, dark, *settings)[0]
    colors = channels - (channels in (2, 4))
    out = planes.copy()
    if colors < channels:
        noise *= np.clip(planes[-1], 0, 1)
    out[:colors] = np.clip(planes[:colors], 0, 1) + noise
    return out


def to_bytes(planes: NDArray[np.float32], unpremultiply: bool) -> NDArray[np.uint8]:
    """Planes [C, H, W] as bytes [H, W, C], clamped; with `unpremultiply` the last divides the others."""
    planes = np.clip(planes, 0, 1)
    if unpremultiply:
        alpha = planes[-1]
        seen = alpha > 0.5 / 255
        color = np.divide(planes[:-1], alpha, out=np.zeros_like(planes[:-1]), where=seen)
        planes = np.concatenate([np.minimum(color, 1), alpha[None]])
    return np.ascontiguousarray((planes * 255 + np.float32(0.5)).astype(np.uint8).transpose(1, 2, 0))
