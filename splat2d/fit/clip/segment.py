"""From a segment's frames to integers: the rounds of a picture's fit in space and time, then refinement.

The loops are native: cpp/fit/clip_fitter.hpp, cpp/refine/clip_refiner.hpp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.render import CUTOFF, background_floats
from splat2d.fit.clip.camera import camera_path
from splat2d.fit.config import ClipConfig, FitConfig, load_config
from splat2d.fit.encode import step_code
from splat2d.fit.fitter import HALF_MIN, SEED_BITS, PictureFit, background_of, half
from splat2d.fit.rates import moving_tables, rate_tables
from splat2d.format.header import step_of
from splat2d.format.segments import PATH_UNITS
from splat2d.native import core

if TYPE_CHECKING:
    from splat2d._core import ClipFitter

OnFraction = Callable[[float], None]

COARSER = 1.2
"""D of a clip over a picture's of the same quality: refinement makes up for it (design notes, section 6)."""

FEW = 20  # frames; segments of fewer get up to twice the steps
STILL_ROUNDS = 3  # of a picture's fit that goes on with another D
# px, px, and in units of their scale
SEEDS: dict[str, Any] = {"smallest": 0.7, "largest": 40.0, "separation": 1.6}
LEAST_SEEN = 16  # frames that rounds at half size look at


class SegmentFit:
    """The frames of a segment being fitted.

    Args:
        frames: [T, H, W, C] uint8, two at least.
        config: effort.
        step: D.
        threads: of the native core; the result does not depend on it.
        seed: of the refinement's order.
        on_progress: called with the part of the work that is done, 0 to 1.

    Attributes:
        path: [T, 2] the camera's path, 1/64 px.
        background: base colour in bytes, one a channel.
    """

    def __init__(
        self,
        frames: NDArray[np.uint8],
        config: ClipConfig,
        step: float,
        *,
        threads: int = 1,
        seed: int = 0,
        on_progress: OnFraction | None = None,
    ) -> None:
        self.config, self.step, self.seed = config, step, seed
        self.path = camera_path(frames)
        pixels = planar(frames)
        self.shape = pixels.shape
        self.background = background_of(pixels.mean(0))
        self._on_progress = on_progress
        self._done = 0.0
        half_rounds = config.half_rounds if min(pixels.shape[2:]) >= HALF_MIN else 0
        more = min(2.0, max(1.0, FEW / len(pixels)))
        half_steps, steps, self._final_steps = (
            round(more * n) for n in (config.half_steps, config.steps, config.final_steps)
        )
        self._all = half_rounds * (half_steps + 4) / 4 + config.rounds * (steps + 4)
        self._all += self._final_steps + 8 * config.sweeps
        self._threads = threads
        self._weights = frame_weights(len(pixels), config.border_weight)
        smaller = None
        if half_rounds:
            every = min(config.half_stride, max(1, len(pixels) // LEAST_SEEN))
            smaller = self._fitter_of(np.stack([half(frame) for frame in pixels[::every]]), 2, every)
            self._rounds(smaller, half_rounds, half_steps, 2)
        self._fitter = self._fitter_of(pixels, 1)
        del pixels
        if smaller is not None:
            self._fitter.resample_from(smaller, 2.0)
            del smaller
        self._rounds(self._fitter, config.rounds, steps, 1)
        self._finish()

    def _fitter_of(self, pixels: NDArray[np.float32], scale: int, every: int = 1) -> ClipFitter:
        """A native fitter for every so many frames, shrunk by `scale`; D^2 and lambda are, by its square."""
        shifts = (self.path / PATH_UNITS / scale).astype(np.float32)
        width, height = (int(v) for v in np.ceil(np.array(pixels.shape[:1:-1]) - shifts.min(0)))
        config = self.config
        return core().ClipFitter(
            pixels,
            np.ascontiguousarray(shifts[::every]),
            np.sqrt(self._weights[::every]),
            width,
            height,
            background_floats(self.background),
            self.step / scale,
            self.lmbda / scale**2,
            config.chroma_step,
            config.fit_cutoff,
            config.memory,
            self._threads,
            every=every,
            count=len(shifts),
        )

    @property
    def lmbda(self) -> float:
        """SSE that one bit is worth."""
        return self.config.lagrangian * self.step**2

    def _rounds(self, fitter: ClipFitter, rounds: int, steps: int, scale: int) -> None:
        config, lmbda = self.config, self.lmbda / scale**2
        for _ in range(rounds):
            fitter.prune(config.prune_factor)
            fitter.seed(
                config.seed_threshold * SEED_BITS * lmbda,
                config.seed_energy,
                **SEEDS,
                durations=list(config.durations),
            )
            fitter.refresh()
            self._report(4 / scale**2)
            self._steps(fitter, steps, scale)

    def _finish(self) -> None:
        fitter, parts = self._fitter, 3
        for part in range(parts):
            fitter.prune(self.config.prune_factor)
            fitter.refresh()
            self._steps(fitter, (self._final_steps + part) // parts, 1)

    def _steps(self, fitter: ClipFitter, count: int, scale: int) -> None:
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
        fitter = self._fitter
        fitter.set_rate(step, self.lmbda)
        fitter.refresh()
        self._rounds(fitter, 1, self.config.steps, 1)
        self._finish()

    def refined(self) -> NDArray[np.int32]:
        """The integers of the present state after exact refinement, [N, C + 9]."""
        config = self.config
        count, channels, height, width = self.shape
        refiner = core().ClipRefiner(
            self._fitter.quantize(), self._fitter, self.step, round(8 * config.chroma_step), CUTOFF
        )
        for sweep in range(config.sweeps):
            q, classes = refiner.integers(), refiner.classes()
            tables = (
                *rate_tables(q, classes, channels, height * width),
                *moving_tables(q, classes, channels, count),
            )
            refiner.sweep(self.lmbda, *tables, self.seed * 1000 + sweep, config.patience)
            refiner.render()
            self._report(8)
        q = refiner.integers()
        return np.ascontiguousarray(q[q[:, :channels].any(1)])


class StillFit:
    """A segment of one frame: a picture.

    Arguments and attributes are those of `SegmentFit`; D is that of the picture.
    """

    def __init__(
        self,
        frames: NDArray[np.uint8],
        config: FitConfig,
        step: float,
        *,
        threads: int = 1,
        seed: int = 0,
        on_progress: OnFraction | None = None,
    ) -> None:
        report = None if on_progress is None else (lambda progress: on_progress(progress.fraction))
        (pixels,) = planar(frames)
        self.path = np.zeros((1, 2), np.int32)
        self._fit = PictureFit(pixels, config, step, threads=threads, seed=seed, on_progress=report)
        self.background = self._fit.background

    @property
    def step(self) -> float:
        """D."""
        return self._fit.step

    def continue_at(self, step: float) -> None:
        """Go on from the present state with another D."""
        self._fit.continue_at(step, STILL_ROUNDS, (0.9, 1.0))

    def refined(self) -> NDArray[np.int32]:
        """The integers of the present state after exact refinement, [N, C + 5]."""
        return self._fit.refined().integers()


def fit_segment(
    frames: NDArray[np.uint8],
    config: ClipConfig,
    step: float,
    *,
    threads: int = 1,
    seed: int = 0,
    on_progress: OnFraction | None = None,
) -> SegmentFit | StillFit:
    """Fit the frames of a segment; arguments as of `SegmentFit`."""
    if len(frames) == 1:
        # The file has one chroma step for all segments.
        still = replace(config.still or load_config("default"), chroma_step=config.chroma_step)
        step = step_of(step_code(step / COARSER))
        return StillFit(frames, still, step, threads=threads, seed=seed, on_progress=on_progress)
    return SegmentFit(frames, config, step, threads=threads, seed=seed, on_progress=on_progress)


def frame_weights(count: int, border: float) -> NDArray[np.float32]:
    """Weights of the errors of frames, [count], of mean 1.

    A segment's first and last frames have neighbours on one side only and would come out worse than others,
    which shows as a pulse where segments meet; they weigh up to `border` times as much, half of that a frame
    farther on.
    """
    from_edge = np.minimum(np.arange(count), np.arange(count)[::-1])
    weights = 1 + (border - 1) * 0.5**from_edge
    return (weights / weights.mean()).astype(np.float32)


def planar(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[T, H, W, C] bytes as [T, C, H, W] float32 in [0, 1]."""
    out = np.empty((len(frames), frames.shape[3], *frames.shape[1:3]), np.float32)
    for to, frame in zip(out, frames, strict=True):
        np.multiply(frame.transpose(2, 0, 1), np.float32(1 / 255), out=to)
    return out
