"""A decoded clip: any frame at any time and size, segment by segment."""

from __future__ import annotations

import bisect
import io
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from splat2d.codec.splats import check_tiers
from splat2d.draw.render import CUTOFF, View, background_floats, render, render_bytes
from splat2d.errors import BitstreamError, ConfigError
from splat2d.format.clips import MAX_OVERLAP, PATH_UNITS, TICKS, ClipFile, CodedSegment, decode_segment
from splat2d.format.container import Header
from splat2d.media.files import open_input
from splat2d.media.reader import parse_fps
from splat2d.native import core, thread_count

__all__ = ["Clip", "Segment"]

_KEPT = 2  # decoded segments
_IN_MEMORY = 1 << 26  # bytes of a file that is read at once


class Slice(NamedTuple):
    """What a moment shows: 2D splats, each with a cut-off of its own, and the colour under them.

    Attributes:
        means: [M, 2] px.
        conics: [M, 3] px^-2.
        colors: [M, C].
        cutoffs: [M] largest q that is drawn.
        background: [C].
    """

    means: NDArray[np.float32]
    conics: NDArray[np.float32]
    colors: NDArray[np.float32]
    cutoffs: NDArray[np.float32]
    background: NDArray[np.float32]

    def draw(self, view: View, threads: int | None) -> NDArray[np.uint8]:
        """[H, W, C] bytes."""
        return self._drawn(render_bytes, view, threads)

    def draw_float(self, view: View, threads: int | None) -> NDArray[np.float32]:
        """[H, W, C], neither rounded nor clamped."""
        return np.ascontiguousarray(self._drawn(render, view, threads).transpose(1, 2, 0))

    def _drawn(self, draw: Callable[..., Any], view: View, threads: int | None) -> Any:
        splats = self.means, self.conics, self.colors
        return draw(*splats, view, background=self.background, threads=threads, cutoffs=self.cutoffs)


def blended(slices: Sequence[tuple[Slice, float]]) -> Slice:
    """The sum of slices by their weights, which are brought to 1."""
    total = sum(weight for _, weight in slices)
    parts = [
        s._replace(colors=s.colors * np.float32(w / total), background=s.background * np.float32(w / total))
        for s, w in slices
    ]
    return Slice(
        np.concatenate([part.means for part in parts]),
        np.concatenate([part.conics for part in parts]),
        np.concatenate([part.colors for part in parts]),
        np.concatenate([part.cutoffs for part in parts]),
        np.stack([part.background for part in parts]).sum(0, dtype=np.float32),
    )


@dataclass(frozen=True)
class Segment:
    """Decoded splats of some frames.

    Args:
        means: [N, 3] centres in the world, px, and times, frames from the segment's first edge.
        velocities: [N, 2] px a frame, relative to the camera's path.
        conics: [N, 3] of a slice, px^-2.
        precisions: [N] inverse variances in time, frames^-2.
        colors: [N, C] amplitudes.
        path: [T, 2] px by which each frame shows the world farther to the right and down.
        background: [C] the colour under all splats.
    """

    means: NDArray[np.float32]
    velocities: NDArray[np.float32]
    conics: NDArray[np.float32]
    precisions: NDArray[np.float32]
    colors: NDArray[np.float32]
    path: NDArray[np.float64]
    background: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        header: Header,
        coded: CodedSegment,
        *,
        tiers: int | None = None,
        threads: int = 1,
    ) -> Segment:
        """Decode a segment.

        Raises:
            BitstreamError: damaged data.
        """
        integers = decode_segment(header, coded, tiers=tiers, threads=threads)
        poses = core().moving_poses(integers, coded.step, header.chroma_step, coded.count)
        return cls(*poses, coded.path / PATH_UNITS, background_floats(coded.background))

    def shift(self, time: float) -> tuple[float, float]:
        """Of the world at a time in frames, px: the path, between the middles of frames in a line."""
        at = np.arange(len(self.path)) + 0.5
        x, y = (float(np.interp(time, at, self.path[:, axis])) for axis in range(2))
        return x, y

    def slice(self, time: float) -> Slice:
        """What a moment shows.

        Args:
            time: frames from the segment's first edge; frame i is at i + 0.5.
        """
        arrays = (self.means, self.velocities, self.conics, self.precisions, self.colors)
        _, means, conics, colors, cutoffs = core().slice(*arrays, time, *self.shift(time), CUTOFF)
        return Slice(means, conics, colors, cutoffs, self.background)


@dataclass(frozen=True)
class _Span:
    """Frames of a segment and when they are shown, s."""

    first: int
    count: int
    start: Fraction
    ends: tuple[Fraction, ...]  # of the frames, where they do not all last alike

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


class Clip:
    """A clip as splats in x, y and t. Segments are read and decoded when a frame asks for them.

    Attributes:
        header: the file's header.
        width: px.
        height: px.
        fps: frames a second, the mean where frames last differently.
        count: number of frames.
        duration: s.
        notes: what the encoder did to the clip on the way in.
        damaged: what was found damaged and left out, where that was asked for.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        tiers: int | None = None,
        skip_damaged: bool = False,
        threads: int | None = None,
    ) -> None:
        check_tiers(tiers)
        self._file = ClipFile(file)
        self._tiers, self._skip, self._threads = tiers, skip_damaged, threads
        self._decoded: dict[int, Segment] = {}
        self.header = self._file.header
        self.width, self.height = self.header.width, self.header.height
        self.notes = self._file.notes
        self.damaged: list[str] = []
        if not self._file.whole:
            self._lost("the file is truncated: what follows its last whole segment is missing")
        self._indices: list[int] = []  # of the segments in the file that are not damaged
        self._spans = self._read_spans()
        if not self._spans:
            raise BitstreamError("the clip has no frames")
        last = self._spans[-1]
        self.count = last.last
        self.duration = last.time_of(last.last, self._file.rate)
        self.fps = self.count / self.duration
        self._starts = [span.start for span in self._spans]
        self._firsts = [span.first for span in self._spans]

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        tiers: int | None = None,
        skip_damaged: bool = False,
        threads: int | None = None,
    ) -> Clip:
        """Open a .splat file of a clip; one of more than 64 MiB stays open until `close`.

        Args:
            path: of the file.
            tiers: decode only this many tiers (1 to 6), coarser frames; None decodes all.
            skip_damaged: leave damaged segments out, whose frames show the last good one, and say so in
                `damaged`.
            threads: None uses all cores.

        Raises:
            BitstreamError: no clip, or a damaged one.
            ConfigError: tiers out of range.
        """
        options: dict[str, Any] = {"tiers": tiers, "skip_damaged": skip_damaged, "threads": threads}
        with open_input(path, error=BitstreamError) as found:
            if os.fstat(found.fileno()).st_size <= _IN_MEMORY:
                return cls.from_bytes(found.read(), **options)
        file = open(path, "rb")
        try:
            return cls(file, **options)
        except BaseException:
            file.close()
            raise

    def close(self) -> None:
        """Close the file; what is decoded stays."""
        self._file.close()

    def __enter__(self) -> Clip:
        """Return the clip, whose file is closed when the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    @classmethod
    def from_bytes(
        cls, data: bytes, *, tiers: int | None = None, skip_damaged: bool = False, threads: int | None = None
    ) -> Clip:
        """Read a clip from the bytes of its file; arguments as of `open`."""
        return cls(io.BytesIO(data), tiers=tiers, skip_damaged=skip_damaged, threads=threads)

    def _lost(self, what: str) -> None:
        if not self._skip:
            raise BitstreamError(what)
        if what not in self.damaged:
            self.damaged.append(what)

    def _read_spans(self) -> list[_Span]:
        """The frames of all segments, without decoding their splats."""
        spans: list[_Span] = []
        rate = self._file.rate
        for index in range(len(self._file.places)):
            frames = spans[-1].last if spans else 0
            try:
                coded = self._file.head(index)
                least = max(frames - MAX_OVERLAP, spans[-1].first + 1) if spans else 0
                if coded.first < least or (coded.first > frames and not self._skip):
                    raise BitstreamError(
                        f"segment {index} begins with frame {coded.first}, expected {frames}"
                    )
            except BitstreamError as error:
                self._lost(str(error))
                continue
            start = spans[-1].time_of(coded.first, rate) if spans else coded.first / rate
            ends = tuple(start + Fraction(ticks, TICKS) for ticks in itertools.accumulate(coded.ticks))
            self._indices.append(index)
            spans.append(_Span(coded.first, coded.count, start, ends))
        return spans

    def __len__(self) -> int:
        """Number of frames."""
        return self.count

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """All frames at their own times, [H, W, C] uint8, one at a time."""
        for _, pixels in self.frames():
            yield pixels

    def time_of(self, frame: int) -> Fraction:
        """When a frame begins, s from the clip's beginning.

        Raises:
            ConfigError: no such frame.
        """
        if not 0 <= frame < self.count:
            raise ConfigError(f"frame is {frame}, expected 0 to {self.count - 1}")
        span = self._spans[max(bisect.bisect_right(self._firsts, frame) - 1, 0)]
        return span.time_of(frame, self._file.rate)

    def _place(self, time: float | Fraction) -> tuple[int, float]:
        """Segment and time in frames from its first edge."""
        if not 0 <= time <= self.duration:
            raise ConfigError(f"time is {float(time):g} s, expected 0 to {float(self.duration):g}")
        index = max(bisect.bisect_right(self._starts, time) - 1, 0)
        span = self._spans[index]
        if not span.ends:
            return index, min(float((time - span.start) * self._file.rate), span.count - 1 + 0.999) + 0.5
        within = min(bisect.bisect_right(span.ends, time), span.count - 1)
        begin = span.ends[within - 1] if within else span.start
        part = float((time - begin) / max(span.ends[within] - begin, Fraction(1, 1 << 30)))
        return index, within + min(part, 0.999) + 0.5

    def segment(self, index: int) -> Segment:
        """A decoded segment.

        Raises:
            BitstreamError: it is damaged.
        """
        if index not in self._decoded:
            while len(self._decoded) >= _KEPT:
                self._decoded.pop(next(iter(self._decoded)))
            coded = self._file.segment(self._indices[index])
            self._decoded[index] = Segment.of(
                self.header, coded, tiers=self._tiers, threads=thread_count(self._threads)
            )
        return self._decoded[index]

    def render(
        self,
        time: float | Fraction | None = None,
        *,
        frame: int | None = None,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        crop: Sequence[float] | None = None,
        threads: int | None = None,
    ) -> NDArray[np.uint8]:
        """Render a moment to bytes.

        Args:
            time: s from the clip's beginning, between frames too.
            frame: number of a frame, instead of time.
            scale: output px for each canvas px, any positive number.
            width: output width, px, instead of scale; the height follows unless given too.
            height: output height, px, instead of scale.
            crop: x, y, width, height of the window, canvas px.
            threads: of the renderer; None uses all cores.

        Returns:
            [H, W, C] uint8.

        Raises:
            ConfigError: settings out of range or in contradiction.
            BitstreamError: the segment is damaged.
        """
        shown, view = self._asked(time, frame, scale, width, height, crop)
        return shown.draw(view, threads)

    def render_float(
        self,
        time: float | Fraction | None = None,
        *,
        frame: int | None = None,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        crop: Sequence[float] | None = None,
        threads: int | None = None,
    ) -> NDArray[np.float32]:
        """Render a moment without rounding or clamping: [H, W, C] float32; arguments as of `render`."""
        shown, view = self._asked(time, frame, scale, width, height, crop)
        return shown.draw_float(view, threads)

    def _asked(
        self,
        time: float | Fraction | None,
        frame: int | None,
        scale: float | None,
        width: int | None,
        height: int | None,
        crop: Sequence[float] | None,
    ) -> tuple[Slice, View]:
        """What a caller of `render` asks for."""
        if (time is None) == (frame is None):
            raise ConfigError("a clip is rendered at a time or a frame: give one of them")
        view = View.asked(self.width, self.height, scale, width, height, crop)
        index, at = self._place(self.time_of(frame) if frame is not None else time or 0)
        shown = [(self._shown(which, moment), weight) for which, moment, weight in self._weights(index, at)]
        parts = [(part, weight) for part, weight in shown if part is not None]
        while not parts:
            if index == 0:
                raise BitstreamError(self.damaged[-1])
            index -= 1
            last = self._shown(index, self._spans[index].count - 0.5)
            parts = [] if last is None else [(last, 1.0)]
        return blended(parts), view

    def _weights(self, index: int, at: float) -> list[tuple[int, float, float]]:
        """Segments and local times that show a moment, with their weights, which make up 1.

        Frames that two segments share go over from one to the other.
        """
        if index:
            before, own = self._spans[index - 1], self._spans[index]
            shared = before.last - own.first
            if at < shared:
                part = (at + 0.5) / (shared + 1)
                return [(index - 1, at + own.first - before.first, 1 - part), (index, at, part)]
        return [(index, at, 1.0)]

    def _shown(self, index: int, at: float) -> Slice | None:
        """What a segment shows at a local time, None where it is damaged and may be left out."""
        try:
            return self.segment(index).slice(at)
        except BitstreamError as error:
            self._lost(f"segment {self._indices[index]}: {error}")
            return None

    def frames(
        self,
        *,
        fps: float | Fraction | None = None,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        crop: Sequence[float] | None = None,
        threads: int | None = None,
    ) -> Iterator[tuple[Fraction, NDArray[np.uint8]]]:
        """Times in s and frames [H, W, C] uint8, one at a time.

        Args:
            fps: frames a second, at times of their own; those of the file when None.
            scale: as of `render`, like all that follow.
            width: px.
            height: px.
            crop: px.
            threads: None uses all cores.

        Raises:
            ConfigError: settings out of range or in contradiction.
            BitstreamError: a segment is damaged.
        """
        rate = None if fps is None else parse_fps(fps)
        count = self.count if rate is None else max(int(self.duration * rate), 1)
        for number in range(count):
            time = self.time_of(number) if rate is None else number / rate
            yield (
                time,
                self.render(time, scale=scale, width=width, height=height, crop=crop, threads=threads),
            )

    def info(self, *, count_bits: bool = False) -> dict[str, Any]:
        """Size, rate, frames and segments for JSON.

        Args:
            count_bits: also decode all segments and tell the bits of each attribute.

        Raises:
            BitstreamError: a segment is damaged.
        """
        bits = self._bits() if count_bits else {}
        size = self._file.size
        splats = [sum(self._file.head(i).tier_counts) for i in self._indices]
        return {
            "size": size,
            "bpp": 8 * size / (self.width * self.height * self.count),
            "width": self.width,
            "height": self.height,
            "channels": self.header.channels,
            "frames": self.count,
            "fps": float(self.fps),
            "duration": float(self.duration),
            "segments": len(self._spans),
            "splats": sum(splats),
            **({"bits_per_splat": bits} if bits else {}),
            "quality": self.header.quality or None,
            "step": self.header.step,
            "chroma_step": self.header.chroma_step / 8,
            "notes": list(self.notes),
            "damaged": self.damaged,
        }

    def _bits(self) -> dict[str, float]:
        """Bits a splat of each attribute, of all segments that are not damaged."""
        bits: dict[str, float] = {}
        count = 0
        for index in self._indices:
            try:
                integers = decode_segment(
                    self.header, self._file.segment(index), bits=bits, threads=thread_count(self._threads)
                )
            except BitstreamError as error:
                self._lost(f"segment {index}: {error}")
            else:
                count += len(integers)
        return {name: length / max(count, 1) for name, length in sorted(bits.items())}
