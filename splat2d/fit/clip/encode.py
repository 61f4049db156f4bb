"""From frames to the bytes of a clip's .splat file, segment by segment, in bounded memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import BackendUnavailableError, ConfigError, ShapeError
from splat2d.fit.clip.segment import COARSER, OnFraction, fit_segment
from splat2d.fit.clip.target import ClipTarget, fit_to_target
from splat2d.fit.config import ClipConfig, load_clip_config
from splat2d.fit.encode import checked_quality, checked_seed, quality_step, step_code
from splat2d.fit.workers import WorkerDied, Workers, workers
from splat2d.format.container import notes_section, parse
from splat2d.format.header import Header, header_bytes
from splat2d.format.sections import CLIP, NOTE, SEGMENT, Source, Span, index_section
from splat2d.format.segments import TICKS, CodedSegment, clip_section, code_segment, segment_section
from splat2d.media.frames import ClipProgress
from splat2d.native import core, thread_count

MAX_SAMPLES = 90_000_000  # of a segment: its pictures take 8 bytes a sample
CUT = 0.05  # mean difference between frames, in [0, 1], that may be a cut
CUT_RATIO = 3.0  # and over the mean of those before
OVERLAP = 2  # frames that segments share where there is no cut
JITTER = Fraction(3, 2000)  # s that a time may be off the rate: containers round to ms


TimedFrame = tuple[NDArray[np.uint8], Fraction | None]
"""Pixels [H, W, C] and when they are shown, s from the clip's beginning."""


@dataclass(frozen=True)
class Shot:
    """Frames that are fitted together.

    Args:
        first: number of the first.
        frames: [T, H, W, C] uint8.
        ticks: [T] how long each lasts, or none.
    """

    first: int
    frames: NDArray[np.uint8]
    ticks: tuple[int, ...] = ()


def segment_frames(config: ClipConfig, width: int, height: int, channels: int) -> int:
    """Most frames of a segment, so that its memory is bounded."""
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
            if end is None or end <= times[-1]:
                end = times[-1] + 1 / self._fps
            yield self._shot(first, held, [*times, end], 0)

    def _shot(self, first: int, frames: list[NDArray[np.uint8]], times: list[Fraction], kept: int) -> Shot:
        """A segment, with times where the rate's would be off; the next has its last `kept` frames, too."""
        ends = [self._told + (i + 1) / self._fps for i in range(len(frames))]
        ticks: tuple[int, ...] = ()
        if any(abs(a - b) > JITTER for a, b in zip(ends, times[1:], strict=True)):
            marks = [round(self._told * TICKS), *(round(t * TICKS) for t in times[1:])]
            ticks = tuple(max(b - a, 1) for a, b in itertools.pairwise(marks))
            ends = [self._told + Fraction(sum(ticks[: i + 1]), TICKS) for i in range(len(ticks))]
        self._told = ends[-1 - kept]
        return Shot(first, np.stack(frames), ticks)


def _thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """About 32 x 32 means."""
    h, w = frame.shape[:2]
    n, m = max(h // 32, 1), max(w // 32, 1)
    part = frame[: h // n * n, : w // m * m].astype(np.float32) / 255
    return part.reshape(h // n, n, w // m, m, -1).mean((1, 3, 4))


def header_of(width: int, height: int, channels: int, quality: int, config: ClipConfig) -> Header:
    """The header of a clip."""
    code = step_code(COARSER * quality_step(quality))
    return Header(width, height, channels, code, round(8 * config.chroma_step), quality, (0,) * channels)


def encode_frames(
    frames: Iterable[TimedFrame],
    fps: Fraction,
    file: BinaryIO,
    *,
    quality: int | None = None,
    bpp: float | None = None,
    psnr: float | None = None,
    size: int | None = None,
    preset: str = "default",
    config: ClipConfig | None = None,
    seed: int = 0,
    threads: int | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    progress: Callable[[ClipProgress], None] | None = None,
    total: int | None = None,
    notes: Sequence[str] = (),
    resume: bool = False,
    end: Callable[[], Fraction | None] | None = None,
) -> ClipProgress:
    """Encode frames as they come, in bounded memory.

    Args:
        frames: [H, W, C] uint8 each, all of one size, with their times in s, or None where the rate tells.
        fps: frames a second.
        file: open for reading and writing; a segment is flushed as soon as it is encoded.
        quality: 1 to 100; 75 when None and there is no target.
        bpp: most bits a pixel, of each segment and so of the file.
        psnr: least PSNR of each segment, dB.
        size: most bytes of the file, shared out by frames; needs `total`.
        preset: fast, default or best, or the path of a YAML file.
        config: effort, instead of a preset.
        seed: of the encoder's random order.
        threads: None uses all cores; the file does not depend on it.
        jobs: segments that are fitted at the same time, by processes that share the threads.
        scheduler: address of a Dask scheduler, whose workers fit the segments.
        progress: called now and then.
        total: frames that are expected; segments are then of even length.
        notes: what was done to the clip on the way in; asked for behind the last frame.
        end: called behind the last frame, returns when it ends, s, or None where the rate tells.
        resume: go on behind the last whole segment in the file, which the same frames and settings made.

    Returns:
        Frames and bytes of the file.

    Raises:
        ShapeError: no frames, or frames of changing size.
        ConfigError: settings out of range, or a file of other settings to go on with.
        TargetError: a target that a segment cannot reach.
        BitstreamError: a damaged file to go on with.
    """
    if sum(v is not None for v in (quality, bpp, psnr, size)) > 1:
        raise ConfigError("quality, bpp, psnr and size exclude each other: give one of them")
    seed = checked_seed(seed)
    if jobs < 1:
        raise ConfigError(f"jobs is {jobs}, expected 1 or more")
    config = load_clip_config(preset) if config is None else config
    iterator = iter(frames)
    start = next(iterator, None)
    if start is None:
        raise ShapeError("the clip has no frames")
    height, width, channels = start[0].shape
    if size is not None:
        if not total:
            raise ConfigError("a size needs the number of frames, which this clip does not tell; give bpp")
        bpp = 8 * size / (width * height * total)
    most = segment_frames(config, width, height, channels)
    shared = overlap(most)
    if total and total > most:
        parts = -(-(total - shared) // (most - shared))
        most = -(-(total - shared) // parts) + shared
    if bpp is not None and not (total and total <= most):
        bpp *= (most - shared) / most  # frames that two segments share are paid for twice
    target = ClipTarget(bpp, psnr) if bpp is not None or psnr is not None else None
    header = header_of(width, height, channels, checked_quality(quality), config)
    if target is not None:
        header = replace(header, quality=0, step_code=step_code(target.first_step))
    begun = _Begun.of(file, header, fps) if resume else _Begun(0, [])
    file.seek(0)
    times = clip_section(fps)
    head = header_bytes(header) + times
    segments = begun.segments
    if segments:
        file.seek(len(head) + sum(size for size, _ in segments))
    else:
        file.write(head)
    file.truncate()
    cores = thread_count(threads)
    all_shots = Shots(itertools.chain([start], iterator), fps, most, shared, end)
    todo = (s for s in all_shots if s.first + len(s.frames) > begun.frames)
    done = begun.frames

    def report(part: float = 0.0, count: int = 0) -> None:
        if progress is not None:
            size = len(head) + sum(size for size, _ in segments)
            progress(ClipProgress(done + part * count, total, size))

    report()
    alone = jobs == 1 and scheduler is None
    # Threads of a cluster's workers are its own matter.
    share = max(cores // jobs, 1) if scheduler is None else (threads or 1)
    work = _Work(header, config, seed, share, target)
    with workers(jobs, scheduler) as crew:
        for coded in work.each(todo, report) if alone else work.together(todo, crew):
            segments.append((file.write(segment_section(coded)), coded.span))
            file.flush()
            done = coded.first + coded.count
            report()
    said = notes_section(tuple(notes))
    file.write(said)
    entries: list[tuple[int, int, Span | None]] = [(CLIP, len(times), None)]
    entries += [(SEGMENT, size, span) for size, span in segments]
    entries += [(NOTE, len(said), None)] if said else []
    file.write(index_section(entries))
    return ClipProgress(done, done, file.tell())


@dataclass(frozen=True)
class _Begun:
    """What an interrupted encoder left: frames in whole segments, and their sections' bytes and frames."""

    frames: int
    segments: list[tuple[int, Span]]

    @classmethod
    def of(cls, file: BinaryIO, header: Header, fps: Fraction) -> _Begun:
        """Read what is there.

        Raises:
            BitstreamError: no clip, or a damaged one.
            ConfigError: of other settings.
        """
        file.seek(0)
        if not file.read(1):
            return cls(0, [])
        source = Source(file)
        clip = parse(source, forgive=True)
        if clip.header != header or clip.rate != fps:
            raise ConfigError("what was begun has another size, rate or quality, so it cannot be resumed")
        frames, segments = 0, []
        for index, place in enumerate(clip.places):
            segment = clip.segment(source, index)
            frames = segment.first + segment.count
            segments.append((place.section.size, segment.span))
        return cls(frames, segments)


@dataclass(frozen=True)
class _Work:
    """How segments are fitted."""

    header: Header
    config: ClipConfig
    seed: int
    threads: int
    target: ClipTarget | None = None

    def fit(self, shot: Shot, on_progress: OnFraction | None = None) -> CodedSegment:
        """Fit and code one."""
        if self.target is not None:
            return fit_to_target(
                self.target,
                shot.frames,
                shot.first,
                shot.ticks,
                self.header,
                self.config,
                threads=self.threads,
                seed=self.seed,
                on_progress=on_progress,
            )
        fit = fit_segment(
            shot.frames,
            self.config,
            self.header.step,
            threads=self.threads,
            seed=self.seed,
            on_progress=on_progress,
        )
        integers = fit.refined()
        return code_segment(
            self.header,
            shot.first,
            fit.path,
            shot.ticks,
            step_code(fit.step),
            fit.background,
            integers,
            threads=self.threads,
        )

    def each(self, todo: Iterable[Shot], report: Callable[[float, int], None]) -> Iterator[CodedSegment]:
        """One after another."""
        for shot in todo:
            count = len(shot.frames)
            yield self.fit(shot, lambda part, count=count: report(part, count))

    def together(self, todo: Iterable[Shot], crew: Workers) -> Iterator[CodedSegment]:
        """Several at a time, each by a worker; in order."""
        tasks = ((number, partial(self.fit, shot)) for number, shot in enumerate(todo))
        early: dict[int, CodedSegment] = {}
        following = 0
        for number, outcome in crew.results(tasks):
            if isinstance(outcome, WorkerDied):
                raise BackendUnavailableError(f"segment {number}: {outcome}; try fewer jobs") from None
            if isinstance(outcome, Exception):
                raise outcome
            early[number] = outcome
            while following in early:
                yield early.pop(following)
                following += 1
