"""The segments of a layer that moves: which frames they show, and what those show at any moment."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.compose import Splats
from splat2d.draw.render import CUTOFF, background_floats
from splat2d.errors import BitstreamError
from splat2d.format.clock import Clock
from splat2d.format.header import Header
from splat2d.format.layers import matte_header
from splat2d.format.motion import MARGIN, MotionField
from splat2d.format.segments import MAX_OVERLAP, PATH_UNITS, TICKS, CodedSegment
from splat2d.native import core
from splat2d.native.backend import ALL_CORES, Backend

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Moving:
    """Decoded splats of some moments, which are frames where a segment has no clock.

    Args:
        means: [N, 3] centres in the world, px, and times, moments from the segment's first edge.
        velocities: [N, 2] px a moment, relative to the camera's path.
        conics: [N, 3] of a slice, px^-2.
        precisions: [N] inverse variances in time, moments^-2.
        colors: [N, C] amplitudes.
        background: [C] the colour under all splats.
    """

    means: Floats
    velocities: Floats
    conics: Floats
    precisions: Floats
    colors: Floats
    background: Floats

    def slice(
        self,
        time: float,
        shift: tuple[float, float],
        size: tuple[int, int],
        motion: MotionField | None = None,
    ) -> Splats:
        """What a moment shows.

        Args:
            time: moments from the segment's first edge; moment i is at i + 0.5.
            shift: of the world then, px.
            size: of the layer's canvas, px.
            motion: the motion field, where there is one.
        """
        arrays = (self.means, self.velocities, self.conics, self.precisions, self.colors)
        field = (None, 1.0, 0.0) if motion is None else (motion.grid(time), float(motion.cell), float(MARGIN))
        _, means, conics, colors, cutoffs = core().slice(*arrays, time, *shift, CUTOFF, *field)
        return Splats(means, conics, colors, self.background, (), size, cutoffs=cutoffs)


@dataclass(frozen=True)
class Segment:
    """A decoded segment of a layer.

    Args:
        splats: of its colours.
        path: [T', 2] px by which each moment shows the world farther to the right and down.
        size: of the layer's canvas, px.
        matte: of its coverage, where it has a matte.
        motion: the motion field, where there is one.
        clock: which moment each frame shows, where some show that of the frame before.
    """

    splats: Moving
    path: NDArray[np.float64]
    size: tuple[int, int]
    matte: Moving | None = None
    motion: MotionField | None = None
    clock: Clock | None = None

    @classmethod
    def of(
        cls, header: Header, coded: CodedSegment, *, tiers: int | None = None, backend: Backend = ALL_CORES
    ) -> Segment:
        """Decode a segment.

        Args:
            header: of the layer.
            coded: the segment.
            tiers: decode only so many, coarse first.
            backend: whose threads do it.

        Raises:
            BitstreamError: damaged data.
        """
        integers, _ = coded.field(header).decode(tiers=tiers, backend=backend)
        splats = moving(integers, header, coded.step, coded.moments, coded.background)
        matte, field = None, coded.matte_field(header)
        if field is not None and coded.matte is not None:
            own = matte_header(header, coded.matte.step_code, coded.matte.background)
            integers, _ = field.decode(tiers=tiers, backend=backend)
            matte = moving(integers, own, own.step, coded.moments, own.background)
        size = header.width, header.height
        return cls(splats, coded.path / PATH_UNITS, size, matte, coded.motion_field(header), coded.clock)

    def shift(self, time: float) -> tuple[float, float]:
        """Of the world at a time in moments, px: the path, between their middles in a line."""
        at = np.arange(len(self.path)) + 0.5
        x, y = (float(np.interp(time, at, self.path[:, axis])) for axis in range(2))
        return x, y

    def slice(self, time: float) -> Splats:
        """What a moment shows.

        Args:
            time: frames from the segment's first edge; frame i is at i + 0.5.
        """
        at = time if self.clock is None else self.clock.at(time)
        shown = self.splats.slice(at, self.shift(at), self.size, self.motion)
        if self.matte is None:
            return shown
        return replace(shown, matte=self.matte.slice(at, self.shift(at), self.size, self.motion))


def moving(
    integers: NDArray[np.int32], header: Header, step: float, frames: int, background: tuple[int, ...]
) -> Moving:
    """The splats of integers [N, C + 9], or of [N, C + 5] in one moment, which neither move nor fade."""
    if frames > 1:
        poses = core().moving_poses(integers, step, header.chroma_step, frames)
        return Moving(*poses, background_floats(background))
    means, conics, colors = core().dequantize(integers, step, header.chroma_step)
    means = np.hstack([means, np.full((len(means), 1), 0.5, np.float32)])
    still, lasting = np.zeros((len(means), 2), np.float32), np.zeros(len(means), np.float32)
    return Moving(means, still, conics, lasting, colors, background_floats(background))


def blended(slices: Sequence[tuple[Splats, float]]) -> Splats:
    """The sum of slices of one layer by their weights, which are brought to 1."""
    total = sum(weight for _, weight in slices)
    parts = [
        replace(s, colors=s.colors * np.float32(w / total), background=s.background * np.float32(w / total))
        for s, w in slices
    ]
    first = parts[0]
    if len(parts) == 1:
        return replace(first, matte=slices[0][0].matte)
    mattes = [(s.matte, w) for s, w in slices if s.matte is not None]
    return Splats(
        np.concatenate([part.means for part in parts]),
        np.concatenate([part.conics for part in parts]),
        np.concatenate([part.colors for part in parts]),
        np.stack([part.background for part in parts]).sum(0, dtype=np.float32),
        (),
        first.size,
        blended(mattes) if mattes else None,
        np.concatenate([part.cutoffs for part in parts if part.cutoffs is not None]),
    )


@dataclass(frozen=True)
class Frames:
    """Frames of a segment and when they are shown.

    Args:
        index: of the segment in the file.
        first: number of the first frame.
        count: of frames.
        start: when the first is shown, s; of the clip's first layer only.
        ends: when each ends, s, where they do not all last alike.
    """

    index: int
    first: int
    count: int
    start: Fraction = Fraction(0)
    ends: tuple[Fraction, ...] = ()

    @property
    def last(self) -> int:
        """The frame behind the last."""
        return self.first + self.count

    def time_of(self, frame: int, rate: Fraction) -> Fraction:
        """When a frame begins, s, also of those behind the last, which last as the rate says."""
        within = frame - self.first
        if self.ends and within > 0:
            known = min(within, self.count)
            return self.ends[known - 1] + (within - known) / rate
        return self.start + within / rate


class Timeline:
    """When the frames of a clip are shown, by the segments of its first layer.

    Args:
        rate: frames a second.
    """

    def __init__(self, rate: Fraction) -> None:
        self.rate = rate
        self.parts: list[Frames] = []
        self._starts: list[Fraction] = []
        self._firsts: list[int] = []

    def add(
        self, index: int, coded: CodedSegment | None, first: int, count: int, *, missing: int = 0
    ) -> None:
        """The next segment.

        Args:
            index: of the segment in the file.
            coded: the segment where its frames do not last as the rate says.
            first: number of its first frame.
            count: of frames.
            missing: frames that may be missing before it.

        Raises:
            BitstreamError: it does not follow those before.
        """
        parts, frames = self.parts, self.count
        least = max(frames - MAX_OVERLAP, parts[-1].first + 1) if parts else 0
        if first < least or first > frames + missing:
            raise BitstreamError(f"segment {index} begins with frame {first}, expected {frames}")
        start = parts[-1].time_of(first, self.rate) if parts else first / self.rate
        ticks = coded.ticks if coded is not None else ()
        ends = tuple(start + Fraction(t, TICKS) for t in itertools.accumulate(ticks))
        parts.append(Frames(index, first, count, start, ends))
        self._starts.append(start)
        self._firsts.append(first)

    @property
    def count(self) -> int:
        """Number of frames."""
        return self.parts[-1].last if self.parts else 0

    @property
    def duration(self) -> Fraction:
        """Of the clip, s."""
        return self.parts[-1].time_of(self.count, self.rate)

    def time_of(self, frame: int) -> Fraction:
        """When a frame begins, s."""
        part = self.parts[max(bisect.bisect_right(self._firsts, frame) - 1, 0)]
        return part.time_of(frame, self.rate)

    def place(self, time: float | Fraction) -> tuple[int, float]:
        """Which part shows a moment in s, and the time in frames from the part's first edge."""
        number = max(bisect.bisect_right(self._starts, time) - 1, 0)
        part = self.parts[number]
        if not part.ends:
            return number, min(float((time - part.start) * self.rate), part.count - 1 + 0.999) + 0.5
        within = min(bisect.bisect_right(part.ends, time), part.count - 1)
        begin = part.ends[within - 1] if within else part.start
        share = float((time - begin) / max(part.ends[within] - begin, Fraction(1, 1 << 30)))
        return number, within + min(share, 0.999) + 0.5


def weights(parts: Sequence[Frames], number: int, at: float) -> list[tuple[int, float, float]]:
    """Parts and local times that show a moment of one of them, with their weights, which make up 1.

    Frames that two parts share go over from one to the other.
    """
    if number:
        before, own = parts[number - 1], parts[number]
        shared = before.last - own.first
        if at < shared:
            share = (at + 0.5) / (shared + 1)
            return [(number - 1, at + own.first - before.first, 1 - share), (number, at, share)]
    return [(number, at, 1.0)]
