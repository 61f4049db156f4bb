"""From the views of a light field to integers: rounds of a fit over several eyes, then refinement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.render import CUTOFF, background_floats
from splat2d.fit.config import ClipConfig
from splat2d.fit.film import SEEDS, FilmFit
from splat2d.fit.fitter import Plan
from splat2d.fit.rates import rate_tables
from splat2d.fit.views.planes import sweep

if TYPE_CHECKING:
    from splat2d import _core
    from splat2d.format.eyes import Eyes


class ViewsFit(FilmFit):
    """The views of a light field being fitted.

    Args:
        views: [K, H, W, C] uint8.
        eyes: from where they are seen.
        config: effort, that of clips.
        step: D.
        options: as of `Fit`.
    """

    def __init__(
        self,
        views: NDArray[np.uint8],
        eyes: Eyes,
        config: ClipConfig,
        step: float,
        **options: Any,
    ) -> None:
        super().__init__(views, config, step, **options)
        assert self._pixels is not None
        places = np.array(eyes.steps)
        self._eyes = eyes.arguments
        self._places = np.ascontiguousarray(places, np.float32)
        self._planes = sweep(self._pixels, places)
        self._optimise(self._film_plan())

    def _native_fit(self, scale: int) -> _core.ViewsFitter:
        pixels, distortions = self._film(scale)
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
            self.backend.thread_count,
            distortions,
        )

    def _seeds(self, scale: int) -> dict[str, Any]:
        return {**SEEDS, "disparities": [plane / scale for plane in self._planes]}

    def _refiner(self) -> _core.ViewsRefiner:
        return self.native.ViewsRefiner(
            self._fitter.quantize(), self._fitter, self.step, self.config.chroma_code, CUTOFF
        )

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
