"""From pictures and clips to integers: rounds of pruning, seeding and optimising, then exact refinement.

`Fit` is what both have in common, `PictureFit` the rest for pictures; splat2d/fit/clip/segment.py has that
for segments of clips. The loops are native (cpp/fit/fitter.hpp, cpp/refine/refiner.hpp).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.render import CUTOFF, View, background_floats, render
from splat2d.fit.config import ClipConfig, FitConfig
from splat2d.fit.means import half
from splat2d.fit.perceptual import GUIDES, emphasised, error_weights, half_weights
from splat2d.fit.rates import rate_tables
from splat2d.format.header import step_code
from splat2d.format.network import network
from splat2d.native import core
from splat2d.native.backend import ALL_CORES, Backend

if TYPE_CHECKING:
    from splat2d import _core
    from splat2d.format.motion import CodedMotion

SEED_BITS = 34  # what a splat costs, about
SMALLEST_SEED = {"psnr": 0.45, "ms-ssim": 0.7, "visual": 0.7}  # px, standard deviation
HALF_MIN = 64  # px; smaller pictures are not fitted at half resolution
PRESET_PIXELS = 768 * 512  # that the presets' rounds are for
ROUNDS_PER_DOUBLING = 2  # at half resolution, of the pixels beyond those
SEEDING, SWEEP = 4, 6  # steps that take about as long
# Sweeps that code lengths are good for; on a GPU they take longer than a sweep.
LENGTHS_FOR, LENGTHS_FOR_GPU = 4, 8


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


def _native(backend: Backend) -> Any:
    """The module of the native classes; the GPU's have the same methods."""
    if not backend.uses_gpu():
        return core()
    from splat2d.fit import cuda as module

    return module


@dataclass(frozen=True)
class Plan:
    """How many steps a fit takes; see the configs."""

    half_rounds: int
    half_steps: int
    rounds: int
    steps: int
    final_steps: int
    quarter_rounds: int = 0  # of half_steps each

    @property
    def coarse(self) -> tuple[tuple[int, int], ...]:
        """By how much the size is divided, and the rounds there."""
        both = (4, self.quarter_rounds), (2, self.half_rounds)
        return tuple((scale, rounds) for scale, rounds in both if rounds)

    @property
    def work(self) -> float:
        """In steps at full resolution."""
        coarse = sum(rounds / scale**2 for scale, rounds in self.coarse) * (self.half_steps + SEEDING)
        return coarse + self.rounds * (self.steps + SEEDING) + self.final_steps


class Fit:
    """Something being fitted at one step D; may be continued at another.

    Subclasses make the native fits and say how they are seeded and what their integers cost.

    Args:
        config: effort.
        step: D.
        background: base colour in bytes, one a channel.
        samples: numbers that the decoder's output consists of.
        backend: fits.
        seed: of the refinement's order.
        on_progress: called a few times a second.
        share_of_work: part of the whole progress that this fit is, as (from, to).
        control: called with D, SSE and bits before each round of the second half; returns the next D.

    Attributes:
        native: the module of the native classes.
        path: [T, 2] the camera's path over the frames, 1/64 px.
        motion: the motion field, where it pays.

    Raises:
        BackendUnavailableError: the GPU fails, or its memory does not suffice.
    """

    def __init__(
        self,
        config: FitConfig | ClipConfig,
        step: float,
        background: tuple[int, ...],
        samples: int,
        *,
        backend: Backend = ALL_CORES,
        seed: int = 0,
        on_progress: OnProgress | None = None,
        share_of_work: tuple[float, float] = (0.0, 1.0),
        control: Control | None = None,
    ) -> None:
        self.native = _native(backend)
        self.config = config
        self.step = step
        self.background = background
        self.samples = samples
        self.backend = backend
        self.seed = seed
        self.path = np.zeros((1, 2), np.int32)
        self.motion: CodedMotion | None = None
        self._on_progress = on_progress
        self._share = share_of_work
        self._control = control
        self._done = 0.0
        self._looks = True  # at the present picture

    @property
    def lmbda(self) -> float:
        """SSE that one bit is worth."""
        return self.config.lagrangian * self.step**2

    def _native_fit(self, scale: int) -> _core.Fit:
        """A native fit at 1 / scale of the size; areas, D^2 and lambda shrink by its square."""
        raise NotImplementedError

    def _seeds(self, scale: int) -> dict[str, Any]:
        """Options of the native `seed`, at 1 / scale of the size."""
        raise NotImplementedError

    def _refiner(self) -> _core.Refinement:
        """A native refinement of the present state."""
        raise NotImplementedError

    def tables(self, integers: NDArray[np.int32], classes: NDArray[np.int32]) -> tuple[Any, ...]:
        """Code lengths of integers, as the native `sweep` takes them."""
        raise NotImplementedError

    def _optimise(self, plan: Plan) -> None:
        self._plan = plan
        self._all = plan.work + SWEEP * self.config.sweeps
        self._fitter = self._begun(1, self._coarse(plan))
        self._rounds(self._fitter, plan.rounds, plan.steps, 1)
        self._finish(plan.final_steps, 3)

    def _coarse(self, plan: Plan) -> _core.Fit | None:
        """The rounds at a part of the size."""
        fitter = None
        for scale, rounds in plan.coarse:
            fitter = self._begun(scale, fitter)
            self._rounds(fitter, rounds, plan.half_steps, scale)
        return fitter

    def _begun(self, scale: int, coarser: _core.Fit | None) -> _core.Fit:
        """A fit at 1 / scale of the size, from one at half of its own size."""
        fitter = self._native_fit(scale)
        if coarser is not None:
            fitter.resample_from(coarser, 2.0)
        return fitter

    def _rounds(self, fitter: _core.Fit, rounds: int, steps: int, scale: int) -> None:
        config = self.config
        for number in range(rounds):
            if scale == 1 and number == (rounds + 1) // 2 and self._looks:
                self._reweigh(fitter)
            if fitter.count:
                fitter.prune(config.prune_factor)
            if self._control is not None and scale == 1 and 2 * number >= rounds:
                self.set_step(self._control(self.step, fitter.sse, fitter.bits))
            threshold = config.seed_threshold * SEED_BITS * self.lmbda / scale**2
            fitter.seed(threshold, config.seed_energy, **self._seeds(scale))
            fitter.refresh()
            self._report(fitter, SEEDING, scale)
            self._steps(fitter, steps, scale)

    def _reweigh(self, fitter: _core.Fit) -> None:
        """Weigh errors by what the present picture lacks, for tunes that look at it."""

    def _finish(self, steps: int, parts: int) -> None:
        if self._looks:
            self._reweigh(self._fitter)
        for part in range(parts):
            self._fitter.prune(self.config.prune_factor)
            self._fitter.refresh()
            self._steps(self._fitter, (steps + part) // parts, 1)

    def _steps(self, fitter: _core.Fit, count: int, scale: int) -> None:
        for _ in range(count):
            fitter.step()
            self._report(fitter, 1, scale)

    def _report(self, fitter: _core.Fit, steps: int, scale: int) -> None:
        self._done += steps / scale**2
        if self._on_progress is None:
            return
        low, high = self._share
        done = low + (high - low) * min(self._done / self._all, 1.0)
        psnr = psnr_of(fitter.sse, round(self.samples / scale**2))
        self._on_progress(Progress(done, psnr, int(fitter.bits / 8), fitter.count))

    def lengths(self, integers: NDArray[np.int32]) -> dict[str, Any]:
        """What is known of each splat's code lengths beyond the tables: nothing."""
        return {}

    def refined(self) -> Refined:
        """The integers of the present state after exact refinement."""
        refiner = self._refiner()
        self._fitter.rest()
        refined = Refined(refiner, self)
        for sweep in range(self.config.sweeps):
            refined.sweep(self.lmbda, sweep)
            self._report(self._fitter, SWEEP, 1)
        return refined

    def set_step(self, step: float) -> None:
        """Change D; what has been fitted stays."""
        if step == self.step:
            return
        self.step = step
        self._fitter.set_rate(step, self.lmbda)
        self._fitter.refresh()

    def continue_at(
        self, step: float, rounds: int = 3, share_of_work: tuple[float, float] = (0.9, 1.0)
    ) -> None:
        """Go on from the present state with another D, fixed from now on."""
        steps = self.config.steps
        self._again(step, Plan(0, 0, rounds, steps, steps), share_of_work)

    def _again(self, step: float, plan: Plan, share_of_work: tuple[float, float], parts: int = 1) -> None:
        self._control = None
        self._looks = False  # what a correction changes is the rate, not what errors weigh
        self.set_step(step)
        self._share, self._done, self._all = share_of_work, 0.0, plan.work + SWEEP * self.config.sweeps
        self._rounds(self._fitter, plan.rounds, plan.steps, 1)
        self._finish(plan.final_steps, parts)


def half_rounds_of(config: FitConfig, height: int, width: int) -> int:
    """Rounds at half resolution: each finds a part of what is there, and large pictures have more."""
    if min(height, width) < HALF_MIN or not config.half_rounds:
        return 0
    return config.half_rounds + round(ROUNDS_PER_DOUBLING * math.log2(max(height * width / PRESET_PIXELS, 1)))


class PictureFit(Fit):
    """A picture being fitted at one step D; may be continued at another.

    Args:
        pixels: [C, H, W] float32 in [0, 1], premultiplied.
        config: effort.
        step: D.
        weights: [H, W] of squared errors; None for one everywhere.
        background: base colour in bytes, one a channel; None for the mean colour.
        options: as of `Fit`.
    """

    config: FitConfig

    def __init__(
        self,
        pixels: NDArray[np.float32],
        config: FitConfig,
        step: float,
        *,
        weights: NDArray[np.float32] | None = None,
        background: tuple[int, ...] | None = None,
        **options: Any,
    ) -> None:
        background = background_of(pixels) if background is None else background
        super().__init__(config, step, background, pixels.size, **options)
        self.pixels = pixels
        self._own_weights = weights
        self._weights = self._error_weights()
        half_rounds = half_rounds_of(config, *pixels.shape[1:])
        self._optimise(Plan(half_rounds, config.half_steps, config.rounds, config.steps, config.final_steps))

    def _native_fit(self, scale: int) -> _core.Fitter:
        weights = self._weights
        if scale == 1:
            self._weights = None  # the native fit has its own
        elif weights is not None:
            weights = half_weights(weights)
        return self.native.Fitter(
            half(self.pixels) if scale == 2 else self.pixels,
            background_floats(self.background),
            self.step / scale,
            self.lmbda / scale**2,
            self.config.chroma_step,
            self.config.fit_cutoff,
            self.config.memory,
            self.backend.thread_count,
            None if weights is None else self._distortion(weights),
            self.config.natural_units,
            self.config.rate_term,
        )

    def _error_weights(self, shown: NDArray[np.float32] | None = None) -> list[NDArray[np.float32]] | None:
        """What errors weigh at the present step, given what is shown so far."""
        given = self.pixels, self.config.tune, self._own_weights, shown
        return error_weights(*given, step=self.step, backend=self.backend)

    def _distortion(self, weights: list[NDArray[np.float32]]) -> _core.Distortion:
        guide = GUIDES.get(self.config.tune)
        return self.native.Distortion(weights, 1.0 if guide is None else guide.chroma)

    def _seeds(self, scale: int) -> dict[str, Any]:
        config = self.config
        return {"smallest": SMALLEST_SEED[config.tune], "random": config.seeding == "random"}

    def _reweigh(self, fitter: _core.Fit) -> None:
        if self.config.tune not in GUIDES or not fitter.count:
            return
        view = View.whole(self.pixels.shape[2], self.pixels.shape[1])
        base = background_floats(self.background)
        shown = render(*fitter.splats(), view, background=base, backend=self.backend.on_cpu)
        np.clip(shown, 0, 1, out=shown)
        fitter.rest()  # what was seen under the weights until now
        weights = self._error_weights(shown)
        assert weights is not None
        fitter.reweigh([self._distortion(weights)])
        del weights
        target = emphasised(self.pixels, GUIDES[self.config.tune], shown, self.backend)
        del shown
        picture: Any = fitter
        picture.retarget(target)
        del target
        fitter.refresh()

    def _refiner(self) -> _core.Refiner:
        return self.native.Refiner(
            self._fitter.quantize(), self._fitter, self.step, self.config.chroma_code, CUTOFF
        )

    def tables(self, integers: NDArray[np.int32], classes: NDArray[np.int32]) -> tuple[Any, ...]:
        """Code lengths of integers, as the native `sweep` takes them."""
        channels, height, width = self.pixels.shape
        return rate_tables(integers, classes, channels, height * width)

    def lengths(self, integers: NDArray[np.int32]) -> dict[str, Any]:
        """What the entropy coder asks for each splat's integers, as the native `sweep` takes it."""
        channels, height, width = self.pixels.shape
        layout = width, height, channels, self.config.chroma_code, step_code(self.step)
        threads = self.backend.thread_count
        return {"own": core().code_lengths(network(), integers, *layout, threads=threads)}

    def state(self) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
        """The present state before refinement.

        Returns:
            The nearest integers [N, C + 5], all zero where a splat's colour rounds to nothing; and what they
            were rounded from, means [N, 2] in px and conics [N, 3] in px^-2.
        """
        means, conics, _ = self._fitter.splats()
        return self._fitter.quantize(), means, conics

    def retarget(self, pixels: NDArray[np.float32], weights: NDArray[np.float32] | None) -> None:
        """Go on towards another picture of the same size, with the same base colour."""
        self.pixels = pixels
        self._own_weights = weights
        self._weights = self._error_weights()
        # Not the native `retarget`, behind which samples are clamped where the first picture has them so.
        fitter = self._native_fit(1)
        fitter.resample_from(self._fitter, 1.0)
        self._fitter = fitter
        self._reweigh(fitter)


class Refined:
    """Integers under refinement."""

    def __init__(self, native: _core.Refinement, fit: Fit) -> None:
        self._native: Any = native
        self._fit = fit
        self._channels = len(fit.background)
        self._lengths: dict[str, Any] = {}
        self.sse = 0.0

    def sweep(self, lmbda: float, number: int, patience: float | None = None) -> int:
        """One sweep with tables of the present integers; returns how many splats changed.

        Args:
            lmbda: SSE that one bit is worth.
            number: of the sweep; draws its order.
            patience: instead of the config's; when negative every splat is visited.
        """
        fit, config = self._fit, self._fit.config
        integers = self._native.integers()
        tables = fit.tables(integers, self._native.classes())
        sweeps = LENGTHS_FOR_GPU if fit.backend.uses_gpu() else LENGTHS_FOR
        if number % sweeps == 0 or not self._lengths:
            self._lengths = fit.lengths(integers)
        patience = config.patience if patience is None else patience
        pairs = isinstance(config, FitConfig) and config.move_steps > 1
        changed, removed = self._native.sweep(
            lmbda, *tables, fit.seed * 1000 + number, patience, pairs, **self._lengths
        )
        self.sse = self._native.render()
        return changed + removed

    def _live(self) -> NDArray[np.bool_]:
        return self._native.integers()[:, : self._channels].any(1)

    def savings(self) -> NDArray[np.float32]:
        """Distortion that each splat saves, those that save least first."""
        return np.sort(self._native.savings()[self._live()])

    def drop(self, count: int) -> None:
        """Remove the `count` splats that save least."""
        live = np.flatnonzero(self._live())
        savings = self._native.savings()[live]
        self._native.remove(live[np.argsort(savings, kind="stable")[:count]].astype(np.int32))

    def integers(self) -> NDArray[np.int32]:
        """[N, C + 5] of the splats that are left, [N, C + 9] in a clip."""
        q = self._native.integers()
        return np.ascontiguousarray(q[q[:, : self._channels].any(1)])
