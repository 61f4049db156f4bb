"""From frames as they come to the frames of segments: where a clip is cut, and how long each frame lasts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import ConfigError, ShapeError
from splat2d.fit.clip.hidden import revealed
from splat2d.fit.config import ClipConfig
from splat2d.format.header import MAX_PIXELS, MAX_SIDE
from splat2d.format.sections import MAX_RATE
from splat2d.format.segments import TICKS
from splat2d.native import core

MAX_SAMPLES = 90_000_000  # of a segment: its pictures take 8 bytes a sample
CUT = 0.05  # mean difference between frames, in [0, 1], that may be a cut
CUT_RATIO = 3.0  # and over the mean of those before
OVERLAP = 2  # frames that segments share where there is no cut
JITTER = Fraction(3, 2000)  # s that a time may be off the rate: containers round to ms
LONGEST = Fraction(MAX_RATE - 64, TICKS)  # s of a segment whose frames do not last as the rate says


TimedFrame = tuple[NDArray[np.uint8], Fraction | None]
"""Pixels [H, W, C] and when they are shown, s from the clip's beginning."""


@dataclass(frozen=True)
class Shot:
    """Frames that are fitted together.

    Args:
        first: number of the first.
        frames: [T, H, W, C] uint8.
        ticks: [T] how long each lasts, or none.
        weights: [T, H, W] uint8 of their errors, or None.
    """

    first: int
    frames: NDArray[np.uint8]
    ticks: tuple[int, ...] = ()
    weights: NDArray[np.uint8] | None = None

    def weighed(self) -> Shot:
        """The same when the frames' last channel is their weights; what has none is what others show."""
        frames, weights = (np.ascontiguousarray(v) for v in (self.frames[..., :-1], self.frames[..., -1]))
        return replace(self, frames=revealed(frames, weights == 0), weights=weights)


def segment_frames(config: ClipConfig, width: int, height: int, channels: int) -> int:
    """Most frames of a segment, so that its memory is bounded.

    Raises:
        ShapeError: frames that no file can hold.
    """
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise ShapeError(
            f"frames of {width} x {height} px are too large for a file, which may have {MAX_SIDE} px a side "
            f"and {MAX_PIXELS} px in all"
        )
    most = MAX_SAMPLES // (width * height * channels)
    if not most:
        raise ShapeError(f"frames of {width} x {height} px are too large for a clip")
    return int(min(config.frames, most, core().MAX_FRAMES))


def overlap(most: int) -> int:
    """Frames that a segment of at most `most` shares with the next, to be blended so that nothing pops."""
    return min(OVERLAP, most // 4)


class Shots:
    """Cuts a clip into segments: at scene changes, and evenly where there are none for long.

    Args:
        frames: [H, W, C] uint8 each, all of one size, with their times in s, or None where the rate tells.
        fps: frames a second.
        most: frames of a segment.
        shared: of them with the next segment, where there is no cut.
        end: when the last frame ends, s, asked when there are no more; None where the rate tells.
    """

    def __init__(
        self,
        frames: Iterable[TimedFrame],
        fps: Fraction,
        most: int,
        shared: int = 0,
        end: Callable[[], Fraction | None] | None = None,
    ) -> None:
        self._frames, self._fps, self._most, self._shared = frames, fps, most, shared
        self._end = end
        self._told = Fraction(0)  # when the next segment begins according to the file

    def __iter__(self) -> Iterator[Shot]:
        """Segments in order.

        Raises:
            ShapeError: frames of changing size.
            ConfigError: a frame that lasts longer than a file can say.
        """
        held: list[NDArray[np.uint8]] = []
        times: list[Fraction] = []
        differences: list[float] = []
        small, first = None, 0
        for frame, when in self._frames:
            if held and frame.shape != held[0].shape:
                sizes = [f"{f.shape[1]} x {f.shape[0]}" for f in (held[0], frame)]
                raise ShapeError(f"frame {first + len(held)} has {sizes[1]} px, the first {sizes[0]}")
            time = (first + len(held)) / self._fps if when is None else when
            if held and self._is_too_long(times, time):
                if len(held) > 1:
                    yield self._shot(first, held[:-1], times, 0)
                    first += len(held) - 1
                    held, times = held[-1:], times[-1:]
                if self._is_too_long(times, time):
                    told, most = (float(s / 3600) for s in (time - times[0], LONGEST))
                    raise ConfigError(
                        f"frame {first} lasts {told:.1f} h by the input's times, and a file can say "
                        f"{most:.1f} h; --fps gives all frames one length"
                    )
            before, small = small, _thumbnail(frame)
            cut = False
            if before is not None:
                difference = float(np.abs(small - before).mean())
                usual = float(np.mean(differences)) if differences else 0.0
                cut = difference > CUT and difference > CUT_RATIO * usual
                differences = [] if cut else [*differences[-7:], difference]
            if cut or len(held) == self._most:
                kept = 0 if cut else self._shared
                yield self._shot(first, held, [*times, time], kept)
                first += len(held) - kept
                held, times = held[len(held) - kept :], times[len(times) - kept :]
            held.append(frame)
            times.append(time)
        if held:
            end = self._end() if self._end else None
            if end is None or not times[-1] < end <= times[0] + LONGEST:
                end = times[-1] + 1 / self._fps
            yield self._shot(first, held, [*times, end], 0)

    def _is_too_long(self, times: list[Fraction], end: Fraction) -> bool:
        """Whether frames that do not last as the rate says last longer than a segment can."""
        length = end - times[0]
        return length > LONGEST and abs(length - len(times) / self._fps) > JITTER

    def _shot(self, first: int, frames: list[NDArray[np.uint8]], times: list[Fraction], kept: int) -> Shot:
        """A segment, with times where the rate's would be off; the next has its last `kept` frames, too."""
        ends = [self._told + (i + 1) / self._fps for i in range(len(frames))]
        ticks: tuple[int, ...] = ()
        if any(abs(a - b) > JITTER for a, b in zip(ends, times[1:], strict=True)):
            marks = [round(self._told * TICKS), *(round(t * TICKS) for t in times[1:])]
            ticks = tuple(max(b - a, 1) for a, b in itertools.pairwise(marks))
            ends = [self._told + Fraction(sum(ticks[: i + 1]), TICKS) for i in range(len(ticks))]
            if sum(ticks) > MAX_RATE:
                raise ConfigError(
                    f"frames {first} to {first + len(frames) - 1} last longer than a file can say"
                )
        self._told = ends[-1 - kept]
        return Shot(first, np.stack(frames), ticks)


def _thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """About 32 x 32 means."""
    h, w = frame.shape[:2]
    n, m = max(h // 32, 1), max(w // 32, 1)
    part = frame[: h // n * n, : w // m * m].astype(np.float32) / 255
    return part.reshape(h // n, n, w // m, m, -1).mean((1, 3, 4))
