"""Segments of a clip: some frames of a layer, which decode alone.

docs/FORMAT.md, section 9, is this file in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import BitstreamError, ConfigError
from splat2d.format.clock import Clock, read_clock
from splat2d.format.field import Field, Layout
from splat2d.format.header import DEFAULT_LIMITS, Header, Limits, check_fields, step_of
from splat2d.format.layers import MAX_LAYERS, CodedLayer, matte_header
from splat2d.format.motion import CodedMotion, MotionField, read_motion
from splat2d.format.sections import (
    CLIP,
    MAX_LENGTH,
    MAX_RATE,
    SEGMENT,
    Reader,
    Span,
    section,
    varint,
    zigzag,
)
from splat2d.native import core
from splat2d.native.backend import ALL_CORES, Backend

PATH_UNITS = 64
"""Of the camera's path, to the px."""

TICKS = 90_000
"""A second, of the frames that do not last as the rate says."""

MAX_OVERLAP = 8
"""Frames that a segment may share with the one before."""

MAX_PATH = 1 << 20  # 1/64 px
MAX_HEAD = 2048  # bytes that a segment takes before its splats, at most
_PATH, _TICKS, _MATTE, _MOTION, _CLOCK = 1, 2, 4, 8, 16  # flags
_FLAGS = _PATH | _TICKS | _MATTE | _MOTION | _CLOCK


@dataclass(frozen=True)
class CodedMatte:
    """The coverage of a segment of a layer.

    Args:
        step_code: of its D.
        background: one byte.
        data: of the coded splats.
    """

    step_code: int
    background: tuple[int, ...]
    data: bytes


@dataclass(frozen=True)
class CodedSegment:
    """Frames that decode alone.

    Args:
        first: number of the first frame.
        path: [T', 2] 1/64 px by which each moment shows the world farther to the right and down, at most 0
            and 0 in some moment on each axis; a frame is a moment where there is no clock.
        ticks: [T] how long each frame lasts, in 1/90,000 s; empty where all last as the rate says.
        step_code: of D.
        background: one byte a channel.
        data: of the coded splats.
        layer: number of the layer that the frames are of.
        matte: the layer's coverage in these frames.
        motion: the motion field, where there is one.
        clock: which moment each frame shows, where some show that of the frame before.
    """

    first: int
    path: NDArray[np.int32]
    ticks: tuple[int, ...]
    step_code: int
    background: tuple[int, ...]
    data: bytes
    layer: int = 0
    matte: CodedMatte | None = None
    motion: CodedMotion | None = None
    clock: Clock | None = None

    @property
    def count(self) -> int:
        """Number of frames."""
        return self.moments if self.clock is None else self.clock.frames

    @property
    def moments(self) -> int:
        """Number of moments that its splats move through: of frames that differ."""
        return len(self.path)

    @property
    def step(self) -> float:
        """D, in [0, 1] units times px."""
        return step_of(self.step_code)

    @property
    def span(self) -> Span:
        """Its frames, and how long they last."""
        return Span(self.layer, self.first, self.count, sum(self.ticks))

    def field(self, header: Header) -> Field:
        """The coded splats of its colours.

        Args:
            header: of the layer.

        Raises:
            BitstreamError: what stands before them is damaged.
        """
        return Field.parse(self.data, segment_layout(header, self.path, self.step_code))

    def motion_field(self, header: Header) -> MotionField | None:
        """The motion field.

        Args:
            header: of the layer.

        Raises:
            BitstreamError: it is damaged.
        """
        return None if self.motion is None else self.motion.decoded(world_of(header, self.path), self.moments)

    def matte_field(self, header: Header) -> Field | None:
        """The coded splats of its coverage; arguments as of `field`."""
        if self.matte is None:
            return None
        own = matte_header(header, self.matte.step_code, self.matte.background)
        return Field.parse(self.matte.data, segment_layout(own, self.path, own.step_code))


def world_of(header: Header, path: NDArray[np.int32]) -> tuple[int, int]:
    """Width and height of what a path shows, px."""
    return world_shown((header.width, header.height), path)


def world_shown(size: tuple[int, int], path: NDArray[np.int32]) -> tuple[int, int]:
    """Width and height of what a path shows by frames of some width and height, px."""
    right, down = (int(-(-v // PATH_UNITS)) for v in -path.min(0))
    return size[0] + right, size[1] + down


def segment_layout(header: Header, path: NDArray[np.int32], step_code: int) -> Layout:
    """What the splats of a segment are relative to; those of one moment have no courses."""
    frames = len(path) if len(path) > 1 else 0
    return Layout(*world_of(header, path), header.channels, header.chroma_step, step_code, frames)


def code_segment(
    header: Header,
    first: int,
    path: NDArray[np.int32],
    ticks: Sequence[int],
    step_code: int,
    background: tuple[int, ...],
    integers: NDArray[np.int32],
    *,
    motion: CodedMotion | None = None,
    clock: Clock | None = None,
    backend: Backend = ALL_CORES,
) -> CodedSegment:
    """Code a fitted segment.

    Args:
        header: of the file.
        first: number of the first frame.
        path: [T', 2], of moments.
        ticks: [T], of frames, or none.
        step_code: of D.
        background: one byte a channel.
        integers: [N, C + 9], or [N, C + 5] of one moment, in any order.
        motion: the motion field.
        clock: which moment each frame shows; None where each has its own.
        backend: whose threads do it.
    """
    coded = Field.encode(integers, segment_layout(header, path, step_code), backend=backend)
    return CodedSegment(
        first, path, tuple(ticks), step_code, background, coded.data, motion=motion, clock=clock
    )


def storable_rate(rate: Fraction) -> Fraction:
    """The nearest rate that a file can hold.

    Raises:
        ConfigError: none is near.
    """
    for most in (MAX_RATE, 1_000_000, 1_000, 1):
        near = rate.limit_denominator(most)
        if near and near.numerator <= MAX_RATE:
            return near
    raise ConfigError(f"the rate is {float(rate):g} frames/s, expected 1/{MAX_RATE} to {MAX_RATE}")


def clip_section(rate: Fraction, *, own: bool = True) -> bytes:
    """The first section of a clip.

    Args:
        rate: frames a second.
        own: whether the clip has a layer on the header's canvas, before those of sections 0x02.
    """
    return section(CLIP, varint(rate.numerator) + varint(rate.denominator) + bytes([not own]))


def read_clip(payload: bytes) -> tuple[Fraction, bool]:
    """Rate and whether there is a layer on the header's canvas, from the payload of a clip's first section.

    Raises:
        BitstreamError: it makes no sense.
    """
    r = Reader(payload)
    numerator, denominator = (r.varint("the frame rate", MAX_RATE) for _ in range(2))
    if not numerator or not denominator:
        raise BitstreamError(f"the frame rate is {numerator}/{denominator}, expected above 0")
    flags = r.take(1, "the clip's times")[0]
    if flags > 1:
        raise BitstreamError(f"the clip has flags {flags}: a newer version may be needed")
    r.end("the section of a clip's times")
    return Fraction(numerator, denominator), not flags


def segment_section(segment: CodedSegment) -> bytes:
    """A segment as a section."""
    moving, matte, motion = bool(segment.path.any()), segment.matte, segment.motion
    clock = segment.clock
    flags = _PATH * moving | _TICKS * bool(segment.ticks) | _MATTE * (matte is not None)
    flags |= _MOTION * (motion is not None) | _CLOCK * (clock is not None)
    payload = varint(segment.layer) + varint(segment.first) + bytes([segment.count, flags])
    if clock is not None:
        payload += clock.bytes()
    if moving:
        payload += b"".join(zigzag(int(v)) for v in np.diff(segment.path, axis=0, prepend=0).ravel())
    payload += b"".join(map(varint, segment.ticks))
    if motion is not None:
        payload += motion.bytes()
    payload += varint(segment.step_code) + bytes(segment.background)
    if matte is not None:
        payload += varint(matte.step_code) + bytes(matte.background) + varint(len(matte.data)) + matte.data
    return section(SEGMENT, payload + segment.data)


def of_layer(payload: bytes, layer: int) -> bytes:
    """The section of a segment, from its payload, as one of another layer."""
    r = Reader(payload)
    r.varint("a layer", MAX_LAYERS)
    return section(SEGMENT, varint(layer) + r.rest)


def read_span(payload: bytes, what: str = "a segment") -> Span:
    """A segment's frames, from its first bytes, which need not be all.

    Raises:
        BitstreamError: they make no sense.
    """
    span, flags, r = _head(Reader(payload), what)
    clock = _clock(r, span.count, flags, what)
    if flags & _PATH:
        for _ in range(2 * (clock.count if clock else span.count)):
            r.varint("a path", 4 * MAX_PATH)
    ticks = _ticks(r, span.count, flags)
    return replace(span, ticks=sum(ticks))


def read_segment(
    payload: bytes, layers: Sequence[CodedLayer], what: str = "a segment", limits: Limits = DEFAULT_LIMITS
) -> CodedSegment:
    """The segment in a section's payload.

    Args:
        payload: of the section.
        layers: of the clip.
        what: how messages call it.
        limits: that its world must be within.

    Raises:
        BitstreamError: it makes no sense, or is beyond the limits.
    """
    span, flags, r = _head(Reader(payload), what)
    if span.layer >= len(layers) or not layers[span.layer].moves:
        raise BitstreamError(f"{what} is of layer {span.layer}, which has no segments")
    layer = layers[span.layer]
    if bool(flags & _MATTE) != (layer.matte is not None):
        raise BitstreamError(f"{what} and its layer do not agree on a matte")
    clock = _clock(r, span.count, flags, what)
    moments = clock.count if clock else span.count
    path = np.zeros((moments, 2), np.int32)
    if flags & _PATH:
        steps = [r.zigzag("a path", 4 * MAX_PATH) for _ in range(2 * moments)]
        wide = np.cumsum(np.array(steps, np.int64).reshape(-1, 2), axis=0)
        if (wide > 0).any() or (wide < -MAX_PATH).any() or wide.max(0).any():
            raise BitstreamError(f"the path of {what} is out of range")
        path = wide.astype(np.int32)
    ticks = _ticks(r, span.count, flags)
    motion = read_motion(r, moments, what) if flags & _MOTION else None
    step_code = r.varint("the step", 2047)
    h = layer.header
    background = tuple(r.take(h.channels, "the background"))
    check_fields(Header(*world_of(h, path), h.channels, step_code, h.chroma_step, 0, background), limits)
    matte = None
    if flags & _MATTE:
        code, base = r.varint("the step of a matte", 2047), tuple(r.take(1, "the background of a matte"))
        length = r.varint("the length of a matte", MAX_LENGTH)
        matte = CodedMatte(code, base, r.take(length, f"the matte of {what}"))
    return CodedSegment(
        span.first, path, ticks, step_code, background, r.rest, span.layer, matte, motion, clock
    )


def _head(r: Reader, what: str) -> tuple[Span, int, Reader]:
    """Layer, first frame, number of frames and flags."""
    layer = r.varint("a segment's layer", MAX_LAYERS)
    first = r.varint("a segment's first frame", MAX_RATE)
    count, flags = r.take(2, what)
    if flags & ~_FLAGS or (flags & (_MOTION | _CLOCK) and count == 1):
        raise BitstreamError(f"{what} has flags {flags}: a newer version may be needed")
    if not 1 <= count <= core().MAX_FRAMES:
        raise BitstreamError(f"{what} has {count} frames, expected 1 to {core().MAX_FRAMES}")
    return Span(layer, first, count, 0), flags, r


def _clock(r: Reader, count: int, flags: int, what: str) -> Clock | None:
    """The clock, where there is one."""
    if not flags & _CLOCK:
        return None
    clock = read_clock(r, count, what)
    if flags & _MOTION and clock.count == 1:
        raise BitstreamError(f"{what} has a motion field and one moment")
    return clock


def _ticks(r: Reader, count: int, flags: int) -> tuple[int, ...]:
    if not flags & _TICKS:
        return ()
    ticks = tuple(r.varint("a frame's duration", MAX_RATE) for _ in range(count))
    if not all(ticks):
        raise BitstreamError("a frame lasts 0 ticks, expected 1 at least")
    return ticks
