"""From the views of a light field to integers: rounds of a fit over several eyes, then refinement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.render import CUTOFF, background_floats
from splat2d.fit.clip.segment import FEW, SEEDS, planar
from splat2d.fit.config import ClipConfig
from splat2d.fit.fitter import HALF_MIN, Fit, OnProgress, Plan, background_of, half
from splat2d.fit.perceptual import GUIDES, half_weights, structure_weights
from splat2d.fit.rates import rate_tables
from splat2d.fit.views.planes import sweep

if TYPE_CHECKING:
    from splat2d import _core
    from splat2d.format.eyes import Eyes


class ViewsFit(Fit):
    """The views of a light field being fitted.

    Args:
        views: [K, H, W, C] uint8.
        eyes: from where they are seen.
        config: effort, that of clips.
        step: D.
        options: as of `Fit`.
    """

    config: ClipConfig

    def __init__(
        self,
        views: NDArray[np.uint8],
        eyes: Eyes,
        config: ClipConfig,
        step: float,
        *,
        threads: int = 1,
        seed: int = 0,
        on_progress: OnProgress | None = None,
        **options: Any,
    ) -> None:
        pixels = planar(views)
        background = background_of(pixels.mean(0))
        common = {"threads": threads, "seed": seed, "on_progress": on_progress}
        super().__init__(config, step, background, pixels.size, **common, **options)
        self.shape = pixels.shape
        places = np.array(eyes.steps)
        self._eyes = eyes.arguments
        self._places = np.ascontiguousarray(places, np.float32)
        self._planes = sweep(pixels, places)
        self._pixels: NDArray[np.float32] | None = pixels
        guide = GUIDES.get(config.tune)
        self._weights = None if guide is None else [structure_weights(view, guide) for view in pixels]
        half_rounds = config.half_rounds if min(pixels.shape[2:]) >= HALF_MIN else 0
        more = min(2.0, max(1.0, FEW / len(pixels)))
        half_steps, steps, final = (
            round(more * n) for n in (config.half_steps, config.steps, config.final_steps)
        )
        self._optimise(Plan(half_rounds, half_steps, config.rounds, steps, final))

    def _native_fit(self, scale: int) -> _core.ViewsFitter:
        assert self._pixels is not None
        weights = self._weights
        if scale == 2:
            pixels = np.stack([half(view) for view in self._pixels])
            weights = weights and [half_weights(levels) for levels in weights]
        else:  # the last one, so that what it was made of can go
            pixels, self._pixels, self._weights = self._pixels, None, None
        return self.native.ViewsFitter(
            pixels,
            self._places,
            self._eyes,
            background_floats(self.background),
            self.step / scale,
            self.lmbda / scale**2,
            self.config.chroma_step,
            self.config.fit_cutoff,
            self.config.memory,
            self.threads,
            [self.native.Distortion(levels) for levels in weights or ()],
        )

    def _seeds(self, scale: int) -> dict[str, Any]:
        return {**SEEDS, "disparities": [plane / scale for plane in self._planes]}

    def _refiner(self) -> _core.ViewsRefiner:
        chroma = round(8 * self.config.chroma_step)
        return self.native.ViewsRefiner(self._fitter.quantize(), self._fitter, self.step, chroma, CUTOFF)

    def tables(self, integers: NDArray[np.int32], classes: NDArray[np.int32]) -> tuple[Any, ...]:
        """Code lengths of integers, as the native `sweep` takes them."""
        _, channels, height, width = self.shape
        return rate_tables(integers, classes, channels, height * width)

    def continue_at(
        self, step: float, rounds: int = 1, share_of_work: tuple[float, float] = (0.9, 1.0)
    ) -> None:
        """Go on from the present state with another D."""
        config = self.config
        self._again(step, Plan(0, 0, rounds, config.steps, config.final_steps), share_of_work, 3)
