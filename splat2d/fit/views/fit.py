"""From the views of a light field to integers: rounds of seeding and optimising, then exact refinement.

The loops are native: cpp/fit/views_fitter.hpp, cpp/refine/views_refiner.hpp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.render import CUTOFF, background_floats
from splat2d.fit.clip.segment import SEEDS, planar
from splat2d.fit.config import ClipConfig
from splat2d.fit.fitter import HALF_MIN, Fit, OnProgress, Plan, background_of, half
from splat2d.fit.rates import rate_tables
from splat2d.fit.views.planes import sweep

if TYPE_CHECKING:
    from splat2d import _core
    from splat2d.format.eyes import Eyes

FEW = 20
"""Views; fewer get up to twice the steps."""


class ViewsFit(Fit):
    """The views of a light field being fitted.

    Args:
        views: [K, H, W, C] uint8.
        eyes: from where they are seen.
        config: effort, that of clips.
        step: D.
        options: as of `Fit`; the CPU only.
    """

    config: ClipConfig
    refreshes_pruned = False

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
        self.eyes, self.shape = eyes, pixels.shape
        places = np.array(eyes.steps)
        self._planes = sweep(pixels, places)
        self._places = np.ascontiguousarray(places, np.float32)
        self._pixels: NDArray[np.float32] | None = pixels
        more = min(2.0, max(1.0, FEW / len(pixels)))
        half_steps, steps, final = (
            round(more * n) for n in (config.half_steps, config.steps, config.final_steps)
        )
        half_rounds = config.half_rounds if min(pixels.shape[2:]) >= HALF_MIN else 0
        self._optimise(Plan(half_rounds, half_steps, config.rounds, steps, final))

    def _native_fit(self, scale: int) -> _core.ViewsFitter:
        """A native fit; D and disparities shrink as the views do."""
        assert self._pixels is not None
        if scale == 2:
            pixels = np.stack([half(view) for view in self._pixels])
        else:  # the last one, so that what it was made of can go
            pixels, self._pixels = self._pixels, None
        return self.native.ViewsFitter(
            pixels,
            self._places,
            self.eyes.arguments,
            background_floats(self.background),
            self.step / scale,
            self.lmbda / scale**2,
            self.config.chroma_step,
            self.config.fit_cutoff,
            self.config.memory,
            self.threads,
        )

    def _seeds(self, scale: int) -> dict[str, Any]:
        return {**SEEDS, "disparities": [plane / scale for plane in self._planes]}

    def _refiner(self) -> _core.ViewsRefiner:
        chroma = round(8 * self.config.chroma_step)
        return self.native.ViewsRefiner(self._fitter.quantize(), self._fitter, self.step, chroma, CUTOFF)

    def tables(self, integers: NDArray[np.int32], classes: NDArray[np.int32]) -> tuple[Any, ...]:
        """Code lengths of integers, as the native `sweep` takes them."""
        _, channels, height, width = self.shape
        return rate_tables(integers[:, :-1], classes, channels, height * width)

    def continue_at(
        self, step: float, rounds: int = 1, share_of_work: tuple[float, float] = (0.9, 1.0)
    ) -> None:
        """Go on from the present state with another D, fixed from now on."""
        plan = Plan(0, 0, rounds, self.config.steps, self._plan.final_steps)
        self._again(step, plan, share_of_work, parts=3)
