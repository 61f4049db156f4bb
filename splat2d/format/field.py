"""Coded fields: the splats of a picture, a layer, a matte or a segment of a clip as bytes, and back.

The code is native (cpp/model); docs/FORMAT.md, sections 4 and 5, is it in words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat2d.arguments import whole
from splat2d.errors import BitstreamError
from splat2d.format.network import network
from splat2d.native import core
from splat2d.native.backend import ALL_CORES, Backend

MAX_SPLATS = (1 << 24) - 1  # so that a count's uniform split still fits the coder's precision

Window = tuple[int, int, int, int]
"""Left, top, right and bottom, px of a field's canvas."""


def check_tiers(tiers: int | None) -> int | None:
    """A number of tiers that there can be, or None for all.

    Raises:
        ConfigError: another number.
    """
    return None if tiers is None else whole("tiers", tiers, 1, core().TIERS)


@dataclass(frozen=True)
class Layout:
    """What a file says of a field before the first of its splats.

    Args:
        width: of the canvas, px.
        height: of the canvas, px.
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
        chroma_step: chroma step over the colour step, in eighths.
        step_code: of the colour step.
        frames: of a segment, whose splats have courses; 0 of a plane.
        eyes: of a light field, whose splats have disparities: views, and spread and farthest of their eyes in
            1/256 steps of their grid; zeros of a plane.
    """

    width: int
    height: int
    channels: int
    chroma_step: int
    step_code: int
    frames: int = 0
    eyes: tuple[int, int, int] = (0, 0, 0)

    @property
    def columns(self) -> int:
        """Integers of a splat: colours, area, aspect, angle, iy, ix, and those of its course.

        In time these are duration, time, vy, vx; over views the disparity.
        """
        return self.channels + (9 if self.frames else 6 if self.eyes[0] else 5)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What the native core takes of it."""
        return (
            self.width,
            self.height,
            self.channels,
            self.chroma_step,
            self.step_code,
            self.frames,
            self.eyes,
        )


@dataclass(frozen=True)
class Field:
    """A coded field.

    Args:
        layout: what it is relative to.
        data: its bytes.
        tier_counts: splats in each tier, coarse first.
        ends: bytes of `data` that hold each tier and all before it.
        parts: of the canvas that decode independently, 0 where all is one stream.
    """

    layout: Layout
    data: bytes
    tier_counts: tuple[int, ...]
    ends: tuple[int, ...]
    parts: int

    @property
    def count(self) -> int:
        """Number of splats."""
        return sum(self.tier_counts)

    @classmethod
    def parse(cls, data: bytes, layout: Layout) -> Field:
        """Check what stands before the coded splats.

        Raises:
            BitstreamError: it is damaged, or claims more splats than its bytes can hold.
        """
        try:
            index = core().field_index(data, layout.width, layout.height, layout.frames, layout.eyes)
        except ValueError as error:
            raise BitstreamError(f"the coded splats are damaged: {error}") from None
        return cls(layout, data, tuple(index["counts"]), tuple(index["ends"]), index["parts"])

    @classmethod
    def encode(
        cls,
        integers: NDArray[np.int32],
        layout: Layout,
        *,
        bits: dict[str, float] | None = None,
        backend: Backend = ALL_CORES,
    ) -> Field:
        """Code splats.

        Args:
            integers: [N, columns], in any order.
            layout: of the field.
            bits: gets the code length of each attribute added.
            backend: whose threads do it.

        Raises:
            ValueError: integers that no field of this layout can hold.
        """
        tap, threads = _counter(bits), backend.thread_count
        data, _ = core().encode_field(network(), integers, *layout.arguments, threads=threads, tap=tap)
        _add(bits, tap)
        return cls.parse(data, layout)

    def decode(
        self,
        *,
        tiers: int | None = None,
        window: Window | None = None,
        bits: dict[str, float] | None = None,
        tap: Any = None,
        backend: Backend = ALL_CORES,
    ) -> tuple[NDArray[np.int32], tuple[int, ...]]:
        """Decode splats.

        Args:
            tiers: so many, coarse first; None for all.
            window: leave out parts of the canvas whose splats are not seen in it.
            bits: gets the code length of each attribute added.
            tap: looks at what is decoded, where no bits are asked for (`Recorder` of the native core).
            backend: whose threads do it.

        Returns:
            Integers [N, columns] by tier, and the number of splats of each tier.

        Raises:
            BitstreamError: damaged data.
        """
        tiers = check_tiers(tiers) or core().TIERS
        tap = tap if bits is None else _counter(bits)
        try:
            integers, counts = core().decode_field(
                network(),
                self.data,
                *self.layout.arguments,
                tiers=tiers,
                window=window,
                threads=backend.thread_count,
                tap=tap,
            )
        except ValueError as error:
            raise BitstreamError(f"the coded splats are damaged: {error}") from None
        _add(bits, tap)
        return integers, tuple(counts)


class PartReader:
    """A field of several parts that is decoded part by part, each when it is wanted.

    Args:
        field: of a picture.
        tiers: so many, coarse first.
        backend: whose threads decode what all parts build on.

    Attributes:
        reach: boxes out of which parts cannot be seen: left, top, right and bottom, px. The first part is the
            coarse splats that all the canvas has in common.

    Raises:
        BitstreamError: damaged data.
    """

    def __init__(self, field: Field, *, tiers: int, backend: Backend = ALL_CORES) -> None:
        self._read = _damaged(core().PartReader)(
            network(), field.data, *field.layout.arguments[:5], tiers, backend.thread_count
        )
        self.reach: list[Window] = [(x0, y0, x1, y1) for x0, y0, x1, y1 in self._read.reach()]

    def part(self, number: int) -> tuple[NDArray[np.int32], tuple[int, ...]]:
        """Integers [N, columns] of a part by tier, and the number of each tier; by several threads at once.

        Raises:
            BitstreamError: damaged data.
        """
        integers, counts = _damaged(self._read.part)(number)
        return integers, tuple(counts)


def _damaged(call: Callable[..., Any]) -> Callable[..., Any]:
    """The same, whose complaints are those of a damaged file."""

    def called(*arguments: Any) -> Any:
        try:
            return call(*arguments)
        except ValueError as error:
            raise BitstreamError(f"the coded splats are damaged: {error}") from None

    return called


def _counter(bits: dict[str, float] | None) -> Any:
    return None if bits is None else core().BitCounter()


def _add(bits: dict[str, float] | None, tap: Any) -> None:
    if bits is not None:
        for name, length in tap.bits().items():
            bits[name] = bits.get(name, 0.0) + length
