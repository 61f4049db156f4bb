"""From the views of a light field to integers: rounds of seeding and optimising, then exact refinement.

The loops are native: cpp/fit/views_fitter.hpp, cpp/refine/views_refiner.hpp.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.render import CUTOFF, background_floats
from splat2d.fit.clip.segment import SEEDS, planar
from splat2d.fit.config import ClipConfig
from splat2d.fit.fitter import HALF_MIN, SEED_BITS, background_of, half
from splat2d.fit.rates import rate_tables
from splat2d.fit.views.planes import sweep
from splat2d.native import core

if TYPE_CHECKING:
    from splat2d._core import ViewsFitter
    from splat2d.format.eyes import Eyes

FEW = 20
"""Views; fewer get up to twice the steps."""


class ViewsFit:
    """The views of a light field being fitted.

    Args:
        views: [K, H, W, C] uint8.
        eyes: from where they are seen.
        config: effort, that of clips.
        step: D.
        threads: of the native core; the result does not depend on it.
        seed: of the refinement's order.
        on_progress: called with the part of the work that is done, 0 to 1.

    Attributes:
        background: base colour in bytes, one a channel.
        step: D.
    """

    def __init__(
        self,
        views: NDArray[np.uint8],
        eyes: Eyes,
        config: ClipConfig,
        step: float,
        *,
        threads: int = 1,
        seed: int = 0,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        self.config, self.step, self.seed, self.eyes = config, step, seed, eyes
        pixels = planar(views)
        self.shape = pixels.shape
        self.background = background_of(pixels.mean(0))
        places = np.array(eyes.steps)
        self._planes = sweep(pixels, places)
        self._places = np.ascontiguousarray(places, np.float32)
        self._threads, self._on_progress, self._done = threads, on_progress, 0.0
        more = min(2.0, max(1.0, FEW / len(pixels)))
        half_steps, steps, self._final = (
            round(more * n) for n in (config.half_steps, config.steps, config.final_steps)
        )
        half_rounds = config.half_rounds if min(pixels.shape[2:]) >= HALF_MIN else 0
        self._all = half_rounds * (half_steps + 4) / 4 + config.rounds * (steps + 4)
        self._all += self._final + 4 * config.sweeps
        smaller = None
        if half_rounds:
            smaller = self._fitter_of(np.stack([half(view) for view in pixels]), 2)
            self._rounds(smaller, half_rounds, half_steps, 2)
        self._fitter = self._fitter_of(pixels, 1)
        del pixels
        if smaller is not None:
            self._fitter.resample_from(smaller, 2.0)
            del smaller
        self._rounds(self._fitter, config.rounds, steps, 1)
        self._finish()

    @property
    def lmbda(self) -> float:
        """SSE that one bit is worth."""
        return self.config.lagrangian * self.step**2

    def _fitter_of(self, pixels: NDArray[np.float32], scale: int) -> ViewsFitter:
        """A native fitter for views shrunk by `scale`, as D and disparities are; lambda, by its square."""
        return core().ViewsFitter(
            pixels,
            self._places,
            self.eyes.arguments,
            background_floats(self.background),
            self.step / scale,
            self.lmbda / scale**2,
            self.config.chroma_step,
            self.config.fit_cutoff,
            self.config.memory,
            self._threads,
        )

    def _rounds(self, fitter: ViewsFitter, rounds: int, steps: int, scale: int) -> None:
        config, lmbda = self.config, self.lmbda / scale**2
        for _ in range(rounds):
            fitter.prune(config.prune_factor)
            fitter.seed(
                config.seed_threshold * SEED_BITS * lmbda,
                config.seed_energy,
                **SEEDS,
                disparities=[plane / scale for plane in self._planes],
            )
            fitter.refresh()
            self._report(4 / scale**2)
            self._steps(fitter, steps, scale)

    def _finish(self) -> None:
        parts = 3
        for part in range(parts):
            self._fitter.prune(self.config.prune_factor)
            self._fitter.refresh()
            self._steps(self._fitter, (self._final + part) // parts, 1)

    def _steps(self, fitter: ViewsFitter, count: int, scale: int) -> None:
        for _ in range(count):
            fitter.step()
            self._report(1 / scale**2)

    def _report(self, work: float) -> None:
        self._done += work
        if self._on_progress is not None:
            self._on_progress(min(self._done / self._all, 1.0))

    def continue_at(self, step: float) -> None:
        """Go on from the present state with another D."""
        self.step = step
        self._fitter.set_rate(step, self.lmbda)
        self._fitter.refresh()
        self._rounds(self._fitter, 1, self.config.steps, 1)
        self._finish()

    def refined(self) -> NDArray[np.int32]:
        """The integers of the present state after exact refinement, [N, C + 6]."""
        config = self.config
        _, channels, height, width = self.shape
        refiner = core().ViewsRefiner(
            self._fitter.quantize(), self._fitter, self.step, round(8 * config.chroma_step), CUTOFF
        )
        for number in range(config.sweeps):
            q, classes = refiner.integers(), refiner.classes()
            tables = rate_tables(q[:, :-1], classes, channels, height * width)
            refiner.sweep(self.lmbda, *tables, self.seed * 1000 + number, config.patience)
            refiner.render()
            self._report(4)
        q = refiner.integers()
        return np.ascontiguousarray(q[q[:, :channels].any(1)])
