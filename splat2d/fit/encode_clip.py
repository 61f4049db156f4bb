"""From frames to the bytes of a clip's .splat file, segment by segment, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from splat2d._backend import core, thread_count
from splat2d.codec.clips import (
    CodedSegment,
    Timing,
    clip_head,
    clip_tail,
    code_segment,
    segment_section,
)
from splat2d.codec.container import Header
from splat2d.errors import ConfigError, ShapeError
from splat2d.fit.clip import OnFraction, SegmentFit
from splat2d.fit.config import ClipConfig
from splat2d.fit.encode import DEFAULT_QUALITY, quality_step, step_code

COARSER = 1.4
"""D of a clip over a picture's of the same quality: refinement makes up for it (design notes, section 6)."""

MAX_SAMPLES = 110_000_000  # of a segment: its pictures take 8 bytes a sample
LEAST_FRAMES = 8  # of a segment that ends before a cut, if there are as many
CUT = 0.05  # mean difference between frames, in [0, 1], that may be a cut
CUT_RATIO = 3.0  # and over the mean of those before


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


def shots(frames: Iterable[NDArray[np.uint8]], most: int) -> Iterator[Shot]:
    """Cut a clip into segments: at scene changes, and evenly where there are none for long.

    Args:
        frames: [H, W, C] uint8 each, all of one size.
        most: frames of a segment.

    Raises:
        ShapeError: frames of changing size.
    """
    held: list[NDArray[np.uint8]] = []
    differences: list[float] = []
    small, first = None, 0
    for frame in frames:
        if held and frame.shape != held[0].shape:
            sizes = [f"{f.shape[1]} x {f.shape[0]}" for f in (held[0], frame)]
            raise ShapeError(f"frame {first + len(held)} has {sizes[1]} px, the first {sizes[0]}")
        before, small = small, _thumbnail(frame)
        if before is not None:
            difference = float(np.abs(small - before).mean())
            usual = float(np.mean(differences[-8:])) if differences else 0.0
            cut = difference > CUT and difference > CUT_RATIO * usual
            differences = [] if cut else [*differences[-8:], difference]
            if cut or len(held) == most:
                yield Shot(first, np.stack(held))
                first += len(held)
                held = []
        held.append(frame)
    if held:
        yield Shot(first, np.stack(held))


def _thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """About 32 x 32 means."""
    h, w = frame.shape[:2]
    n, m = max(h // 32, 1), max(w // 32, 1)
    part = frame[: h // n * n, : w // m * m].astype(np.float32) / 255
    return part.reshape(h // n, n, w // m, m, -1).mean((1, 3, 4))


def fit_shot(
    shot: Shot,
    header: Header,
    config: ClipConfig,
    *,
    threads: int = 1,
    seed: int = 0,
    on_progress: OnFraction | None = None,
) -> CodedSegment:
    """Fit and code one segment."""
    fit = SegmentFit(shot.frames, config, header.step, threads=threads, seed=seed, on_progress=on_progress)
    integers = fit.refined()
    return code_segment(
        header, shot.first, fit.path, shot.ticks, header.step_code, fit.background, integers, threads=threads
    )


@dataclass(frozen=True)
class ClipProgress:
    """How far an encoder is.

    Args:
        frames: done.
        total: frames in all, None where nobody knows.
        size: of the file so far, bytes.
    """

    frames: float
    total: int | None
    size: int


def header_of(width: int, height: int, channels: int, quality: int, config: ClipConfig) -> Header:
    """The header of a clip."""
    code = step_code(COARSER * quality_step(quality))
    return Header(width, height, channels, code, round(8 * config.chroma_step), quality, (0,) * channels)


def encode_frames(
    frames: Iterable[NDArray[np.uint8]],
    fps: Fraction,
    file: BinaryIO,
    *,
    quality: int | None = None,
    config: ClipConfig | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[ClipProgress], None] | None = None,
    total: int | None = None,
    notes: tuple[str, ...] = (),
) -> int:
    """Encode frames as they come.

    Args:
        frames: [H, W, C] uint8 each, all of one size.
        fps: frames a second.
        file: written from its present place on.
        quality: 1 to 100; 75 when None.
        config: effort; the default preset's when None.
        seed: of the encoder's random order.
        threads: None uses all cores; the file does not depend on it.
        progress: called now and then.
        total: frames that are expected.
        notes: what was done to the clip on the way in.

    Returns:
        Number of frames.

    Raises:
        ShapeError: no frames, or frames of changing size.
        ConfigError: settings out of range.
    """
    quality = DEFAULT_QUALITY if quality is None else quality
    if not 1 <= quality <= 100:
        raise ConfigError(f"quality is {quality}, expected 1 to 100")
    config = config or ClipConfig()
    frames = iter(frames)
    start = next(frames, None)
    if start is None:
        raise ShapeError("the clip has no frames")
    height, width, channels = start.shape
    header = header_of(width, height, channels, quality, config)
    size = file.write(clip_head(header, Timing(fps)))
    sizes: list[int] = []
    done = 0
    most = segment_frames(config, width, height, channels)
    for shot in shots(_chained(start, frames), most):
        count = len(shot.frames)

        def report(part: float, done: int = done, count: int = count, size: int = size) -> None:
            if progress is not None:
                progress(ClipProgress(done + part * count, total, size))

        coded = fit_shot(shot, header, config, threads=thread_count(threads), seed=seed, on_progress=report)
        sizes.append(file.write(segment_section(coded)))
        size += sizes[-1]
        done += count
    file.write(clip_tail(sizes, notes))
    return done


def _chained(first: NDArray[np.uint8], rest: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    yield first
    yield from rest
