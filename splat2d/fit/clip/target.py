"""A segment of a clip at a rate or a PSNR: its step D is corrected until what is coded lies in the window."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.render import View, render_bytes
from splat2d.errors import ConfigError, TargetError
from splat2d.fit.clip.repeats import clock_of, moments_of
from splat2d.fit.clip.segment import fit_segment
from splat2d.fit.config import ClipConfig
from splat2d.fit.encode import PSNR_SLOPE
from splat2d.fit.fitter import OnProgress, psnr_of
from splat2d.format.header import STEP_CODES, Header, step_code, step_of
from splat2d.format.segments import CodedSegment, code_segment, segment_section
from splat2d.native.backend import ALL_CORES, Backend
from splat2d.scene.track import Segment

MAX_BPP = 100
WINDOW = 0.04  # below a rate, or 0.15 dB above a PSNR, to be content with
PSNR_WINDOW = 0.15  # dB
RATE_SLOPE = 1.2  # octaves of the size for one of D
CORRECTIONS = 4
MORE = 5  # corrections, by halves, where what was met lies far below
FINER = 2  # times, D of a clip whose rate is ample, below that of an ordinary one
FAR = 2  # windows below the target
LEAST = 0.5  # octaves of a correction where none has met the target
STUCK = 1 / 32  # octaves of a half that changes nothing any more, as what was met depends on the way there
RESERVED = 64  # bytes of a segment's share for the file's head and tail
# Where searches begin: D and rate of an ordinary clip, and its PSNR there.
USUAL_STEP, USUAL_BPP, USUAL_PSNR = 0.72, 0.04, 32.0


@dataclass(frozen=True)
class ClipTarget:
    """What each segment must reach; exactly one.

    Args:
        bpp: most bits a pixel.
        psnr: least PSNR of its frames together, dB.
    """

    bpp: float | None = None
    psnr: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no clip can reach."""
        if self.bpp is not None and not 0 < self.bpp <= MAX_BPP:
            raise ConfigError(f"bpp is {self.bpp:g}, expected above 0 and at most {MAX_BPP}")
        if self.psnr is not None and not 1 <= self.psnr <= 90:
            raise ConfigError(f"psnr is {self.psnr:g} dB, expected 1 to 90")

    @property
    def first_step(self) -> float:
        """A first D from the target alone."""
        if self.psnr is not None:
            step = USUAL_STEP * 2 ** ((USUAL_PSNR - self.psnr) / PSNR_SLOPE)
        else:
            step = USUAL_STEP * ((self.bpp or USUAL_BPP) / USUAL_BPP) ** (-1 / RATE_SLOPE)
        return step_of(step_code(step))

    @property
    def least_step(self) -> float:
        """A D that ordinary clips do not go below."""
        return self.first_step if self.psnr is not None else self.first_step / FINER

    def excess(self, bpp: float, psnr: float) -> float:
        """By how much a segment misses the target, octaves of the rate or dB; at most 0 where it is met."""
        if self.psnr is not None:
            return self.psnr - psnr
        return math.log2(bpp / (self.bpp or 1))

    @property
    def window(self) -> float:
        """How far below 0 the excess may lie."""
        return PSNR_WINDOW if self.psnr is not None else -math.log2(1 - WINDOW)

    def octaves(self, excess: float) -> float:
        """By how many octaves D should grow to bring an excess into the window's middle."""
        aim = excess + 0.5 * self.window
        return -aim / PSNR_SLOPE if self.psnr is not None else aim / RATE_SLOPE


def psnr_of_segment(
    header: Header, coded: CodedSegment, frames: NDArray[np.uint8], backend: Backend
) -> float:
    """PSNR in dB of a coded segment's frames, decoded to bytes."""
    segment = Segment.of(header, coded, backend=backend)
    view = View.whole(header.width, header.height)
    sse = 0.0
    for t, frame in enumerate(frames):
        s = segment.slice(t + 0.5)
        options = {"background": s.background, "backend": backend.on_cpu, "cutoffs": s.cutoffs}
        shown = render_bytes(s.means, s.conics, s.colors, view, **options)
        sse += float(((shown.astype(np.float32) - frame) ** 2).sum(dtype=np.float64)) / 255**2
    return psnr_of(sse, frames.size)


def fit_to_target(
    target: ClipTarget,
    frames: NDArray[np.uint8],
    first: int,
    ticks: tuple[int, ...],
    header: Header,
    config: ClipConfig,
    *,
    backend: Backend = ALL_CORES,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> CodedSegment:
    """Fit and code a segment at a target.

    Args:
        target: of the segment.
        frames: [T, H, W, C] uint8.
        first: number of the first frame.
        ticks: [T], or none.
        header: of the file.
        config: effort.
        backend: fits.
        seed: of the refinement's order.
        on_progress: called a few times a second.

    Raises:
        TargetError: these frames cannot be brought there.
    """
    options = {"backend": backend, "seed": seed, "on_progress": on_progress}
    clock = clock_of(frames, target.least_step)
    moments = frames if clock is None else moments_of(frames, clock)
    fit = fit_segment(moments, config, target.first_step, clock=clock, **options)
    pixels = frames[..., 0].size

    def code() -> Try[CodedSegment]:
        integers = fit.refined().integers()
        plan = (header, first, fit.path, ticks, step_code(fit.step), fit.background, integers)
        coded = code_segment(*plan, motion=fit.motion, clock=clock, backend=backend)
        bpp = 8 * (len(segment_section(coded)) + RESERVED) / pixels
        psnr = 0.0 if target.psnr is None else psnr_of_segment(header, coded, frames, backend)
        return Try(coded, coded.step, bpp, psnr)

    return reach(target, fit, code, f"frames {first} to {first + len(frames) - 1}").coded


_Coded = TypeVar("_Coded")


@dataclass(frozen=True)
class Try(Generic[_Coded]):
    """What a fit is coded as at some D.

    Args:
        coded: the code.
        step: D.
        bpp: bits a pixel.
        psnr: dB, where it is the target.
    """

    coded: _Coded
    step: float
    bpp: float
    psnr: float


class Adjustable(Protocol):
    """A fit that can go on with another D."""

    @property
    def step(self) -> float:
        """D."""
        ...

    def continue_at(self, step: float) -> None:
        """Go on from the present state with another D."""
        ...


def reach(target: ClipTarget, fit: Adjustable, code: Callable[[], Try[_Coded]], what: str) -> Try[_Coded]:
    """Correct a fit's D until what it is coded as lies in the window.

    Args:
        target: to reach.
        fit: to be corrected.
        code: codes its present state.
        what: how messages call what is fitted.

    Raises:
        TargetError: it cannot be brought there.
    """
    tried: list[tuple[float, Try[_Coded]]] = []
    for attempt in range(CORRECTIONS + MORE + 1):
        tried.append((target.excess((last := code()).bpp, last.psnr), last))
        met = [excess for excess, _ in tried if excess <= 0]
        if -target.window <= tried[-1][0] <= 0 or attempt == CORRECTIONS + MORE:
            break
        if attempt >= CORRECTIONS and met and (max(met) > -FAR * target.window or len(met) == len(tried)):
            break
        if attempt < CORRECTIONS - 1:
            octaves = _octaves(target, tried)
        elif met:  # where the slopes lead astray, halves between what is too much and what is too little
            octaves = _half(tried) or _octaves(target, tried)
        else:  # a fit that is asked for too much grows splats; only steps of some size make it drop them
            usual = target.octaves(tried[-1][0])
            octaves = math.copysign(max(abs(usual), LEAST), usual)
        octaves = min(max(octaves, -2.0), 2.0)
        present = step_code(last.step)
        wanted = step_code(last.step * 2**octaves)
        if wanted == present:
            wanted += 1 if octaves > 0 else -1
        if not STEP_CODES[0] <= wanted <= STEP_CODES[1]:
            break
        fit.continue_at(step_of(wanted))
    reached = [(excess, one) for excess, one in tried if excess <= 0]
    if not reached:
        wish = f"{target.psnr:g} dB" if target.psnr is not None else f"{target.bpp:g} bits a pixel"
        raise TargetError(f"{wish} cannot be reached in {what}")
    return max(reached, key=lambda pair: pair[0])[1]


def _half(tried: list[tuple[float, Try[_Coded]]]) -> float | None:
    """By how many octaves D should change to lie between the nearest ones on both sides of the target."""
    over = [(excess, one.step) for excess, one in tried if excess > 0]
    under = [(excess, one.step) for excess, one in tried if excess <= 0]
    if not over or not under:
        return None
    between = math.sqrt(min(over)[1] * max(under)[1])
    octaves = math.log2(between / tried[-1][1].step)
    return octaves if abs(octaves) > STUCK else None


def _octaves(target: ClipTarget, tried: list[tuple[float, Try[_Coded]]]) -> float:
    """The next change of D, by the slope between the last two tries where there are two."""
    excess, last = tried[-1]
    usual = target.octaves(excess)
    if len(tried) < 2:
        return usual
    before, earlier = tried[-2]
    apart = math.log2(last.step / earlier.step)
    aim = excess + 0.5 * target.window
    if abs(apart) < 1e-3 or (excess - before) / apart * usual * aim >= 0:
        return usual
    measured = -aim * apart / (excess - before)
    return min(max(measured, min(usual / 2, usual * 2)), max(usual / 2, usual * 2))
