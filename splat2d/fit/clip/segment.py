"""From a segment's frames to integers: the rounds of a picture's fit in space and time, then refinement.

The loops are native: cpp/fit/clip_fitter.hpp, cpp/refine/refiner.hpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.render import CUTOFF, background_floats
from splat2d.fit.clip.blocks import block_motion
from splat2d.fit.clip.camera import camera_path
from splat2d.fit.clip.motion import motion_of
from splat2d.fit.config import ClipConfig, load_config
from splat2d.fit.encode import STEP_AT_50, quality_step
from splat2d.fit.film import SEEDS, FilmFit, planar, planes_of
from splat2d.fit.fitter import SEEDING, Fit, PictureFit, Plan
from splat2d.fit.rates import moving_tables, rate_tables
from splat2d.format.clock import Clock
from splat2d.format.header import step_code, step_of
from splat2d.format.motion import MARGIN, CodedMotion, MotionField
from splat2d.format.segments import PATH_UNITS, world_shown
from splat2d.native import core

if TYPE_CHECKING:
    from splat2d import _core

COARSER = 0.36 / STEP_AT_50
"""D of a clip over a picture's of the same quality: refinement makes up for it (design notes, section 6)."""

LEAST_SEEN = 16  # frames that coarse rounds look at
CLOSE = 1.2  # times the cost without a motion field, up to which one is tried at half the size, too

Ride = tuple[NDArray[np.int32], "CodedMotion | None"]


class SegmentFit(FilmFit):
    """The frames of a segment being fitted at one step D; may be continued at another.

    Args:
        frames: [T, H, W, C] uint8, two at least.
        config: effort.
        step: D.
        shown: [T] how often each is shown, and so how much its errors count; once when None.
        options: as of `Fit`.
    """

    def __init__(
        self,
        frames: NDArray[np.uint8],
        config: ClipConfig,
        step: float,
        *,
        shown: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(frames, config, step, **options)
        self.path = camera_path(frames, self.backend)
        self._rides: list[Ride] = [(self.path, None)]
        self._field: MotionField | None = None
        self._blocks: tuple[NDArray[np.float32], int] | None = None  # that seeds are looked for along
        self._gains = np.sqrt(frame_weights(len(frames), config.border_weight, shown))
        plan = self._film_plan()
        if plan.half_rounds and len(frames) > 1 and self.native is core():
            path, motion = motion_of(frames, self.path, self.lmbda)
            if motion is not None:
                self._rides.append((path, motion))
            self._blocks = block_motion(frames, self.path)
        self._optimise(plan)

    def _coarse(self, plan: Plan) -> _core.Fit | None:
        """Also finds out whether a motion field pays, by what the fits cost with it and without."""
        fits: list[_core.Fit | None] = [None] * len(self._rides)
        costs = [0.0] * len(fits)
        for scale, rounds in plan.coarse:
            self._all += (len(fits) - 1) * rounds * (plan.half_steps + SEEDING) / scale**2
            for number, ride in enumerate(self._rides[: len(fits)]):
                self._ride(*ride)
                fitter = fits[number] = self._begun(scale, fits[number])
                self._rounds(fitter, rounds, plan.half_steps, scale)
                costs[number] = self._cost(fitter, scale) if len(fits) > 1 else 0.0
            if costs[-1] > CLOSE * costs[0]:
                fits = fits[:1]
        best = min(range(len(fits)), key=costs.__getitem__)
        self._ride(*self._rides[best])
        return fits[best]

    def _cost(self, fitter: _core.Fit, scale: int) -> float:
        """J, with the bits that every splat has and those of the motion field."""
        bits = core().MOVING_SPLAT_BITS * fitter.count
        bits += 8 * len(self.motion.bytes()) if self.motion is not None else 0
        return 2 * fitter.value() + self.lmbda / scale**2 * bits

    def _ride(self, path: NDArray[np.int32], motion: CodedMotion | None) -> None:
        """Go on a path and a motion field."""
        self.path, self.motion = path, motion
        self._field = None
        if motion is not None:
            count, _, height, width = self.shape
            self._field = motion.decoded(world_shown((width, height), path), count)

    def _native_fit(self, scale: int) -> _core.ClipFitter:
        """A native fit; coarse ones look at every so many frames only."""
        config, every = self.config, 1
        if scale > 1:
            every = min(config.half_stride, max(1, self.shape[0] // LEAST_SEEN))
        pixels, distortions = self._film(scale, every)
        shifts = (self.path / PATH_UNITS / scale).astype(np.float32)
        width, height = (int(v) for v in np.ceil(np.array(pixels.shape[:1:-1]) - shifts.min(0)))
        field: dict[str, Any] = {}
        if self._field is not None:
            grids = self._field.grids()[::every] / np.float32(scale)
            field = {"field": grids, "cell": self._field.cell / scale, "margin": MARGIN / scale}
        return self.native.ClipFitter(
            pixels,
            np.ascontiguousarray(shifts[::every]),
            np.ascontiguousarray(self._gains[::every]),
            width,
            height,
            background_floats(self.background),
            self.step / scale,
            self.lmbda / scale**2,
            config.chroma_step,
            config.fit_cutoff,
            config.memory,
            self.backend.thread_count,
            distortions,
            every,
            len(shifts),
            **field,
        )

    def _seeds(self, scale: int) -> dict[str, Any]:
        options = {**SEEDS, "durations": list(self.config.durations)}
        if self._blocks is not None and self._field is None and scale > 1:
            velocities, block = self._blocks
            options |= {"flow": velocities / np.float32(scale), "block": block / scale}
        return options

    def _refiner(self) -> _core.ClipRefiner:
        return self.native.ClipRefiner(
            self._fitter.quantize(), self._fitter, self.step, self.config.chroma_code, CUTOFF
        )

    def tables(self, integers: NDArray[np.int32], classes: NDArray[np.int32]) -> tuple[Any, ...]:
        """Code lengths of integers, as the native `sweep` takes them."""
        count, channels, height, width = self.shape
        plane = rate_tables(integers, classes, channels, height * width)
        return *plane, *moving_tables(integers, classes, channels, count)

    def continue_at(
        self, step: float, rounds: int = 1, share_of_work: tuple[float, float] = (0.9, 1.0)
    ) -> None:
        """Go on from the present state with another D, fixed from now on."""
        plan = Plan(0, 0, rounds, self.config.steps, self._plan.final_steps)
        self._again(step, plan, share_of_work, parts=3)


def fit_segment(
    frames: NDArray[np.uint8],
    config: ClipConfig,
    step: float,
    *,
    weights: NDArray[np.uint8] | None = None,
    clock: Clock | None = None,
    **options: Any,
) -> Fit:
    """Fit the frames of a segment; arguments as of `SegmentFit`. One frame is fitted as a picture.

    What is shown for longer costs no more bits: D is finer by the root of how often a moment is shown in the
    mean, so that a bit is worth the same error in all that is seen.

    Args:
        frames: [T', H, W, C] uint8, of the clock's moments.
        config: effort.
        step: D of frames that are shown once.
        weights: of errors.
        clock: which moment each frame shows.
        options: as of `SegmentFit`.
    """
    shown = None
    if clock is not None:
        finest = quality_step(100, config.tune)
        finer = max(step * (clock.count / clock.frames) ** 0.5, min(step, finest))
        step, shown = step_of(step_code(finer)), clock.shown
    if len(frames) > 1:
        return SegmentFit(frames, config, step, weights=weights, shown=shown, **options)
    plane = None if weights is None else planes_of(weights)[0]
    # The file has one chroma step for all segments.
    still = replace(config.still or load_config("default"), tune=config.tune, chroma_step=config.chroma_step)
    return PictureFit(planar(frames)[0], still, step_of(step_code(step / COARSER)), weights=plane, **options)


def frame_weights(count: int, border: float, shown: Sequence[int] | None = None) -> NDArray[np.float32]:
    """Weights of the errors of frames, [count], of mean 1; of those that are `shown` longer they are greater.

    A segment's first and last frames have neighbours on one side only and would come out worse than others,
    which shows as a pulse where segments meet; they weigh up to `border` times as much, half of that a frame
    farther on.
    """
    from_edge = np.minimum(np.arange(count), np.arange(count)[::-1])
    weights = 1 + (border - 1) * 0.5**from_edge
    weights = weights if shown is None else weights * np.array(shown)
    return (weights / weights.mean()).astype(np.float32)
