"""From a picture to integers: rounds of pruning, seeding and optimising, then exact integer refinement.

The loops are native (cpp/fit/fitter.hpp, cpp/refine/refiner.hpp).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.render import CUTOFF, background_floats
from splat2d.fit.config import FitConfig
from splat2d.fit.perceptual import GUIDES, half_weights, structure_weights, weighed
from splat2d.fit.rates import rate_tables
from splat2d.native import core

if TYPE_CHECKING:
    from splat2d._core import Fitter, Refiner

SEED_BITS = 34  # what a splat costs, about
SMALLEST_SEED = {"psnr": 0.45, "ms-ssim": 0.7, "visual": 0.7}  # px, standard deviation
HALF_MIN = 64  # px; smaller pictures are not fitted at half resolution


@dataclass(frozen=True)
class Progress:
    """How far an encoder is.

    Args:
        fraction: of the expected work, 0 to 1.
        psnr: dB, of the unrounded fit.
        estimated_bytes: of the file, from the fit's rate estimate.
        splats: present number.
    """

    fraction: float
    psnr: float
    estimated_bytes: int
    splats: int


OnProgress = Callable[[Progress], None]
Control = Callable[[float, float, float], float]


def background_of(pixels: NDArray[np.float32]) -> tuple[int, ...]:
    """The mean colour in bytes, one a channel, of pixels [C, H, W]."""
    return tuple(round(float(np.clip(plane.mean(dtype=np.float64), 0, 1)) * 255) for plane in pixels)


def psnr_of(sse: float, samples: int) -> float:
    """PSNR in dB of a sum of squared errors in [0, 1] units."""
    return 99.0 if sse <= 0 else min(99.0, -10 * math.log10(sse / samples))


def half(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2 x 2 pixels of [C, H, W]; an odd last row or column is left out."""
    c, h, w = pixels.shape
    even = pixels[:, : h // 2 * 2, : w // 2 * 2].reshape(c, h // 2, 2, w // 2, 2)
    return np.ascontiguousarray(even.mean((2, 4), dtype=np.float32))


def _native(cuda: bool) -> Any:
    """The module of the native classes; the GPU's have the same methods."""
    if not cuda:
        return core()
    from splat2d.fit import cuda as module

    return module


class PictureFit:
    """A picture being fitted at one step D; may be continued at another.

    Args:
        pixels: [C, H, W] float32 in [0, 1], premultiplied.
        config: effort.
        step: D.
        weights: [H, W] of squared errors; None for one everywhere.
        background: base colour in bytes, one a channel; None for the mean colour.
        threads: of the native core; the result does not depend on it.
        seed: of the refinement's order.
        on_progress: called a few times a second.
        share_of_work: part of the whole progress that this fit is, as (from, to).
        control: called with D, SSE and bits before each round of the second half; returns the next D.
        cuda: fit on the GPU.

    Raises:
        BackendUnavailableError: the GPU fails, or its memory does not suffice.
    """

    def __init__(
        self,
        pixels: NDArray[np.float32],
        config: FitConfig,
        step: float,
        *,
        weights: NDArray[np.float32] | None = None,
        background: tuple[int, ...] | None = None,
        threads: int = 1,
        seed: int = 0,
        on_progress: OnProgress | None = None,
        share_of_work: tuple[float, float] = (0.0, 1.0),
        control: Control | None = None,
        cuda: bool = False,
    ) -> None:
        self.native = _native(cuda)
        self.pixels = pixels
        self.config = config
        self.step = step
        self.threads = threads
        self.seed = seed
        self.background = background_of(pixels) if background is None else background
        self._weights = self._weights_of(pixels, weights)
        self._on_progress = on_progress
        self._work = share_of_work
        self._control = control
        self._steps_done = 0
        self._steps_all = 1
        self._fitter = self._optimise()

    @property
    def lmbda(self) -> float:
        """SSE that one bit is worth."""
        return self.config.lagrangian * self.step**2

    def _weights_of(
        self, pixels: NDArray[np.float32], plane: NDArray[np.float32] | None
    ) -> list[NDArray[np.float32]] | None:
        """Weights of all levels by the tune and those of each pixel."""
        guide = GUIDES.get(self.config.tune)
        weights = None if guide is None else structure_weights(pixels, guide)
        if plane is None:
            return weights
        return [plane] if weights is None else weighed(weights, plane)

    def _fitter_of(self, pixels: NDArray[np.float32], scale: float) -> Fitter:
        """A native fitter for the picture shrunk by `scale`; areas, D^2 and lambda shrink by its square."""
        weights = self._weights
        if weights is not None and scale == 2:
            weights = half_weights(weights)
        return self.native.Fitter(
            pixels,
            background_floats(self.background),
            self.step / scale,
            self.lmbda / scale**2,
            self.config.chroma_step,
            self.config.fit_cutoff,
            self.config.memory,
            self.threads,
            None if weights is None else self.native.Distortion(weights),
            self.config.natural_units,
            self.config.rate_term,
        )

    def _optimise(self) -> Fitter:
        config = self.config
        smallest = min(self.pixels.shape[1:])
        half_rounds = config.half_rounds if smallest >= HALF_MIN else 0
        self._steps_all = half_rounds * config.half_steps + config.rounds * config.steps + config.final_steps
        self._steps_all += 4 * config.sweeps
        fitter = None
        if half_rounds:
            fitter = self._fitter_of(half(self.pixels), 2)
            self._rounds(fitter, half_rounds, config.half_steps, 2)
        full = self._fitter_of(self.pixels, 1)
        if fitter is not None:
            full.resample_from(fitter, 2.0)
        self._rounds(full, config.rounds, config.steps, 1)
        self._finish(full)
        return full

    def _rounds(self, fitter: Fitter, rounds: int, steps: int, scale: float) -> None:
        config = self.config
        lmbda = self.lmbda / scale**2
        for number in range(rounds):
            if number or scale == 1:
                fitter.prune(config.prune_factor)
                fitter.refresh()
            if self._control is not None and scale == 1 and 2 * number >= rounds:
                self.set_step(self._control(self.step, fitter.sse, fitter.bits), fitter)
                lmbda = self.lmbda
            fitter.seed(
                config.seed_threshold * SEED_BITS * lmbda,
                config.seed_energy,
                smallest=SMALLEST_SEED[config.tune],
                random=config.seeding == "random",
            )
            fitter.refresh()
            self._steps(fitter, steps, scale)

    def _finish(self, fitter: Fitter) -> None:
        parts = 3
        for part in range(parts):
            fitter.prune(self.config.prune_factor)
            fitter.refresh()
            self._steps(fitter, (self.config.final_steps + part) // parts, 1)

    def _steps(self, fitter: Fitter, count: int, scale: float) -> None:
        for _ in range(count):
            fitter.step()
            self._steps_done += 1
            self._report(fitter.sse, fitter.bits, fitter.count, scale)

    def _report(self, sse: float, bits: float, splats: int, scale: float) -> None:
        if self._on_progress is None:
            return
        low, high = self._work
        done = min(self._steps_done / self._steps_all, 1.0)
        samples = self.pixels.size / scale**2
        self._on_progress(
            Progress(low + (high - low) * done, psnr_of(sse, int(samples)), int(bits / 8), splats)
        )

    def refined(self) -> Refined:
        """The integers of the present state after exact refinement."""
        native = self.native.Refiner(
            self._fitter.quantize(), self._fitter, self.step, round(8 * self.config.chroma_step), CUTOFF
        )
        refined = Refined(native, self)
        for sweep in range(self.config.sweeps):
            refined.sweep(self.lmbda, sweep)
            self._steps_done += 4
            self._report(refined.sse, self._fitter.bits, self._fitter.count, 1)
        return refined

    def state(self) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
        """The present state before refinement.

        Returns:
            The nearest integers [N, C + 5], all zero where a splat's colour rounds to nothing; and what they
            were rounded from, means [N, 2] in px and conics [N, 3] in px^-2.
        """
        means, conics, _ = self._fitter.splats()
        return self._fitter.quantize(), means, conics

    def set_step(self, step: float, fitter: Fitter | None = None) -> None:
        """Change D; what has been fitted stays."""
        if step == self.step:
            return
        fitter = fitter or self._fitter
        self.step = step
        fitter.set_rate(step, self.lmbda)
        fitter.refresh()

    def retarget(self, pixels: NDArray[np.float32], weights: NDArray[np.float32] | None) -> None:
        """Go on towards another picture of the same size, with the same base colour."""
        self.pixels = pixels
        self._weights = self._weights_of(pixels, weights)
        fitter = self._fitter_of(pixels, 1)
        fitter.resample_from(self._fitter, 1.0)
        self._fitter = fitter

    def continue_at(self, step: float, rounds: int, share_of_work: tuple[float, float]) -> None:
        """Go on from the present state with another D, fixed from now on."""
        self._control = None
        self.set_step(step)
        self._work = share_of_work
        self._steps_done, self._steps_all = 0, rounds * self.config.steps + 4 * self.config.sweeps
        self._rounds(self._fitter, rounds, self.config.steps, 1)
        self._fitter.prune(self.config.prune_factor)
        self._fitter.refresh()
        self._steps(self._fitter, self.config.steps, 1)


class Refined:
    """Integers under refinement."""

    def __init__(self, native: Refiner, fit: PictureFit) -> None:
        self._native = native
        self._fit = fit
        self.sse = 0.0

    def sweep(self, lmbda: float, number: int, patience: float | None = None) -> int:
        """One sweep with tables of the present integers; returns how many splats changed.

        Args:
            lmbda: SSE that one bit is worth.
            number: of the sweep; draws its order.
            patience: instead of the config's; when negative every splat is visited.
        """
        c, h, w = self._fit.pixels.shape
        tables = rate_tables(self._native.integers(), self._native.classes(), c, h * w)
        config = self._fit.config
        patience = config.patience if patience is None else patience
        order = self._fit.seed * 1000 + number
        changed, removed = self._native.sweep(lmbda, *tables, order, patience, config.move_steps > 1)
        self.sse = self._native.render()
        return changed + removed

    def savings(self) -> NDArray[np.float32]:
        """Distortion that each splat saves, those that save least first."""
        live = self._native.integers()[:, : len(self._fit.pixels)].any(1)
        return np.sort(self._native.savings()[live])

    def drop(self, count: int) -> None:
        """Remove the `count` splats that save least."""
        live = np.flatnonzero(self._native.integers()[:, : len(self._fit.pixels)].any(1))
        savings = self._native.savings()[live]
        self._native.remove(live[np.argsort(savings, kind="stable")[:count]].astype(np.int32))

    def integers(self) -> NDArray[np.int32]:
        """[N, C + 5] of the splats that are left."""
        q = self._native.integers()
        return np.ascontiguousarray(q[q[:, : len(self._fit.pixels)].any(1)])
