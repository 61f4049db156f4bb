"""From frames to the bytes of a clip's .splat file, segment by segment, in bounded memory."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any, BinaryIO

from splat2d import __version__
from splat2d.arguments import whole
from splat2d.errors import BackendUnavailableError, ConfigError, ShapeError, TargetError
from splat2d.fit.clip.part import Part, digest_of
from splat2d.fit.clip.repeats import clock_of, moments_of
from splat2d.fit.clip.segment import COARSER, fit_segment
from splat2d.fit.clip.shots import Shot, Shots, TimedFrame, overlap, segment_frames
from splat2d.fit.clip.target import MAX_BPP, ClipTarget, fit_to_target
from splat2d.fit.config import ClipConfig, load_clip_config
from splat2d.fit.encode import checked_quality, checked_seed, checked_targets, quality_step
from splat2d.fit.fitter import OnProgress
from splat2d.fit.workers import WorkerDied, Workers, workers
from splat2d.format.header import Header, header_bytes, step_code
from splat2d.format.metadata import Metadata, metadata_section
from splat2d.format.segments import CodedSegment, clip_section, code_segment, storable_rate
from splat2d.format.sound import Sound
from splat2d.media.frames import ClipProgress
from splat2d.native import MAX_THREADS
from splat2d.native.backend import ALL_CORES, Backend


def header_of(width: int, height: int, channels: int, quality: int, config: ClipConfig) -> Header:
    """The header of a clip."""
    code = step_code(COARSER * quality_step(quality, config.tune))
    return Header(width, height, channels, code, config.chroma_code, quality, (0,) * channels)


def quality_of_step(step: float, tune: str) -> int:
    """The quality of a clip whose D is nearest to this."""
    return min(range(1, 101), key=lambda q: abs(math.log(COARSER * quality_step(q, tune) / step)))


def exclude_others(*targets: float | None) -> None:
    """Refuse more than one of quality, bpp, psnr and size.

    Raises:
        ConfigError: for more than one.
    """
    if sum(v is not None for v in targets) > 1:
        raise ConfigError("quality, bpp, psnr and size exclude each other: give one of them")


def bytes_beside(size: int | None, sound: Sound | None, metadata: Metadata | None) -> int:
    """Bytes of a file that its pictures do not get.

    Raises:
        TargetError: they leave nothing of a size.
    """
    if size is not None and sound is not None and sound.size >= size:
        raise TargetError(f"the sound alone has {sound.size} bytes, and the file may have {size}")
    beside = len(metadata_section(metadata)) + (sound.size if sound else 0)
    if size is not None and beside >= size:
        raise TargetError(f"the metadata alone has {beside} bytes, and the file may have {size}")
    return beside


def encode_frames(
    frames: Iterable[TimedFrame],
    fps: Fraction,
    file: BinaryIO | None,
    *,
    quality: int | None = None,
    bpp: float | None = None,
    psnr: float | None = None,
    size: int | None = None,
    preset: str = "default",
    config: ClipConfig | None = None,
    tune: str | None = None,
    seed: int = 0,
    backend: Backend = ALL_CORES,
    jobs: int = 1,
    scheduler: str | None = None,
    progress: Callable[[ClipProgress], None] | None = None,
    total: int | None = None,
    notes: Sequence[str] = (),
    end: Callable[[], Fraction | None] | None = None,
    part: Part | None = None,
    sound: Sound | None = None,
    metadata: Metadata | None = None,
    weighed: bool = False,
) -> ClipProgress:
    """Encode frames as they come, in bounded memory.

    Args:
        frames: [H, W, C] uint8 each, premultiplied by alpha where they have it, all of one size, with their
            times in s, or None where the rate tells.
        fps: frames a second.
        file: gets the clip when all is encoded; None leaves it in `part`.
        quality: 1 to 100; 75 when None and there is no target.
        bpp: most bits a pixel, of each segment and so of the file.
        psnr: least PSNR of each segment, dB.
        size: most bytes of the file, shared out by frames; needs `total`.
        preset: fast, default or best, or the path of a YAML file.
        config: effort, instead of a preset.
        tune: visual, psnr or ms-ssim, instead of what the preset or config says; psnr where one is asked for.
        seed: of the encoder's random order.
        backend: fits.
        jobs: segments that are fitted at the same time, by processes that share the threads.
        scheduler: address of a Dask scheduler, whose workers fit the segments.
        progress: called now and then.
        total: frames that are expected; segments are then of even length.
        notes: what was done to the clip on the way in; asked for behind the last frame.
        end: called behind the last frame, returns when it ends, s, or None where the rate tells.
        part: gets each segment as soon as it is encoded, and is gone on with where it has some; in memory
            when None.
        sound: of the clip; its bytes count for `size`, not for `bpp`.
        metadata: of the clip; its bytes count as those of the sound.
        weighed: whether the frames' last channel says how much their errors count, 255 for fully.

    Returns:
        Frames and bytes of the file.

    Raises:
        BackendUnavailableError: the backend is "cuda", and there is no GPU to use, or it fails.
        ShapeError: no frames, frames of changing size, or such as no file can hold.
        ConfigError: settings out of range, or a part of other settings or frames.
        TargetError: a target that a segment cannot reach.
        OutputError: the part cannot be written.
    """
    exclude_others(quality, bpp, psnr, size)
    seed, jobs = checked_seed(seed), whole("jobs", jobs, 1, MAX_THREADS)
    quality, fps = checked_quality(quality), storable_rate(fps)
    psnr, bpp, size = checked_targets(psnr, bpp, size)
    config = load_clip_config(preset) if config is None else config
    if tune is None and psnr is not None:
        tune = "psnr"
    config = config if tune is None else config.tuned(tune)
    backend.uses_gpu()  # or there is none, which is said at once
    part = Part() if part is None else part
    iterator = iter(frames)
    start = next(iterator, None)
    if start is None:
        raise ShapeError("the clip has no frames")
    height, width, channels = start[0].shape
    most = segment_frames(config, width, height, channels)
    channels -= weighed
    wishes: dict[str, Any] = {"bpp": bpp, "psnr": psnr, "size": size}
    if size is not None:
        if not total:
            raise ConfigError("a size needs the number of frames, which this clip does not tell; give bpp")
        wishes["bytes beside the pictures"] = beside = bytes_beside(size, sound, metadata)
        size -= beside
        bpp = min(8 * size / (width * height * total), MAX_BPP)  # more than any clip takes
    shared = overlap(most)
    if total and total > most:
        parts = -(-(total - shared) // (most - shared))
        most = -(-(total - shared) // parts) + shared
    if bpp is not None and not (total and total <= most):
        bpp *= (most - shared) / most  # frames that two segments share are paid for twice
    target = ClipTarget(bpp, psnr) if bpp is not None or psnr is not None else None
    header = header_of(width, height, channels, quality, config)
    if target is not None:
        header = replace(header, quality=0, step_code=step_code(target.first_step))
    settings = {
        "frames of": f"{width} x {height}",
        "rate": str(fps),
        "quality": header.quality or None,
        **wishes,
    }
    # First what has a name on the command line, as the first difference is what a user is told.
    settings |= {"seed": seed, "preset": os.path.basename(preset), "tune": config.tune}
    settings |= {**asdict(config), "frames a segment": most}
    settings |= {"metadata": ", ".join(metadata.names) if metadata else None, "splat2d": __version__}
    # As it will be read again: a tuple becomes a list.
    part.begin(header_bytes(header), clip_section(fps), json.loads(json.dumps(settings)))
    done = part.frames

    def report(share: float = 0.0, count: int = 0) -> None:
        if progress is not None:
            progress(ClipProgress(done + share * count, total, part.size))

    digests: deque[bytes] = deque()

    def todo() -> Iterator[Shot]:
        finished = len(part.segments)
        for number, shot in enumerate(Shots(itertools.chain([start], iterator), fps, most, shared, end)):
            if number < finished:
                part.check(number, shot)
            else:
                digests.append(digest_of(shot))
                yield shot

    report()
    alone = jobs == 1 and scheduler is None
    # Threads of a cluster's workers are its own matter.
    share = max(backend.thread_count // jobs, 1) if scheduler is None else (backend.threads or 1)
    work = _Work(header, config, seed, replace(backend, threads=share), target, weighed)
    with workers(jobs, scheduler) as crew:
        for coded in work.each(todo(), report) if alone else work.together(todo(), crew):
            part.add(coded, digests.popleft())
            done = coded.first + coded.count
            report()
    if file is None:
        return ClipProgress(done, done, part.size)
    return ClipProgress(done, done, part.write(file, tuple(notes), sound, metadata))


@dataclass(frozen=True)
class _Work:
    """How segments are fitted."""

    header: Header
    config: ClipConfig
    seed: int
    backend: Backend
    target: ClipTarget | None = None
    weighed: bool = False

    def fit(self, shot: Shot, on_progress: OnProgress | None = None) -> CodedSegment:
        """Fit and code one."""
        return self.backend.run(lambda on: self._fit(shot, on_progress, on))

    def _fit(self, shot: Shot, on_progress: OnProgress | None, backend: Backend) -> CodedSegment:
        if self.target is not None:
            return fit_to_target(
                self.target,
                shot.frames,
                shot.first,
                shot.ticks,
                self.header,
                self.config,
                backend=backend,
                seed=self.seed,
                on_progress=on_progress,
            )
        clock = clock_of(shot.frames, self.header.step, weighed=self.weighed)
        if clock is not None:
            shot = replace(shot, frames=moments_of(shot.frames, clock))
        shot = shot.weighed() if self.weighed else shot
        fit = fit_segment(
            shot.frames,
            self.config,
            self.header.step,
            weights=shot.weights,
            clock=clock,
            backend=backend,
            seed=self.seed,
            on_progress=on_progress,
        )
        return code_segment(
            self.header,
            shot.first,
            fit.path,
            shot.ticks,
            step_code(fit.step),
            fit.background,
            fit.refined().integers(),
            motion=fit.motion,
            clock=clock,
            backend=backend,
        )

    def each(self, todo: Iterable[Shot], report: Callable[[float, int], None]) -> Iterator[CodedSegment]:
        """One after another."""
        for shot in todo:
            count = len(shot.frames)
            yield self.fit(shot, lambda at, count=count: report(at.fraction, count))

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
