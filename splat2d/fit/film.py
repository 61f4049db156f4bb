"""What the fits of clips' segments and of light fields share: one set of splats for several pictures."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splat2d.fit.config import ClipConfig
from splat2d.fit.fitter import HALF_MIN, Fit, Plan, background_of
from splat2d.fit.means import half
from splat2d.fit.perceptual import error_weights, half_weights

if TYPE_CHECKING:
    from splat2d import _core

LEAST_WEIGHT = 0.1  # of errors where only what is plausible is wanted
FEW = 20  # pictures; fits of fewer get up to twice the steps
# px, px, and in units of their scale
SEEDS: dict[str, Any] = {"smallest": 0.7, "largest": 40.0, "separation": 1.2}


class FilmFit(Fit):
    """Pictures of one size being fitted by one set of splats; subclasses say how each of them sees it.

    Args:
        pictures: [T, H, W, C] uint8.
        config: effort.
        step: D.
        weights: [T, H, W] uint8 of squared errors, 255 for one; None for one everywhere.
        options: as of `Fit`.
    """

    config: ClipConfig

    def __init__(
        self,
        pictures: NDArray[np.uint8],
        config: ClipConfig,
        step: float,
        *,
        weights: NDArray[np.uint8] | None = None,
        **options: Any,
    ) -> None:
        pixels = planar(pictures)
        super().__init__(config, step, background_of(pixels.mean(0)), pixels.size, **options)
        self.shape = pixels.shape
        self._pixels: NDArray[np.float32] | None = pixels
        planes = [None] * len(pixels) if weights is None else planes_of(weights)
        tuned = partial(error_weights, tune=config.tune, backend=self.backend)
        levels = [tuned(p, plane=w) for p, w in zip(pixels, planes, strict=True)]
        self._weights = [own for own in levels if own is not None] or None

    def _film_plan(self) -> Plan:
        """The plan of the first fit."""
        config = self.config
        half_rounds = config.half_rounds if min(self.shape[2:]) >= HALF_MIN else 0
        quarter_rounds = config.quarter_rounds if half_rounds and min(self.shape[2:]) >= 2 * HALF_MIN else 0
        more = min(2.0, max(1.0, FEW / self.shape[0]))
        half_steps, steps, final = (
            round(more * n) for n in (config.half_steps, config.steps, config.final_steps)
        )
        return Plan(half_rounds, half_steps, config.rounds, steps, final, quarter_rounds)

    def _begun(self, scale: int, coarser: _core.Fit | None) -> _core.Fit:
        made = super()._begun(scale, coarser)
        if scale == 1:
            self._pixels, self._weights = None, None  # no other fit is made of them
        return made

    def _film(self, scale: int, every: int = 1) -> tuple[NDArray[np.float32], list[_core.Distortion]]:
        """What a native fit is made of, of every so many pictures: pixels [T, C, H, W], distortions."""
        assert self._pixels is not None
        pixels, weights = self._pixels[::every], self._weights and self._weights[::every]
        for _ in range(scale.bit_length() - 1):
            pixels = half(pixels)
            weights = weights and [half_weights(levels) for levels in weights]
        return pixels, [self.native.Distortion(levels) for levels in weights or []]


def planes_of(weights: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Planes [H, W] of weights [T, H, W] of bytes; none is 0, for steps are divided by their roots."""
    return [np.maximum(plane * np.float32(1 / 255), np.float32(LEAST_WEIGHT)) for plane in weights]


def planar(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[T, H, W, C] bytes as [T, C, H, W] float32 in [0, 1]."""
    out = np.empty((len(pictures), pictures.shape[3], *pictures.shape[1:3]), np.float32)
    for to, picture in zip(out, pictures, strict=True):
        np.multiply(picture.transpose(2, 0, 1), np.float32(1 / 255), out=to)
    return out
