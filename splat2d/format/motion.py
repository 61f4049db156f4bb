"""The motion field of a segment: where each moment shows the points of the world.

docs/FORMAT.md, section 9.6, is this in words. Its integers are native: cpp/format/motion.hpp,
cpp/model/motion_codec.hpp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import BitstreamError
from splat2d.format.sections import MAX_LENGTH, Reader, varint
from splat2d.native import core

if TYPE_CHECKING:
    from splat2d._core import Motion

Floats = NDArray[np.float32]

MARGIN = 64
"""px around the world that the field covers."""


@dataclass(frozen=True)
class Knots:
    """When the field is known: every so many frames, from the middle one, where all is in place, both ways.

    Args:
        frames: T of the segment.
        spacing: frames from knot to knot.
    """

    frames: int
    spacing: int

    @property
    def reference(self) -> int:
        """Number of the middle frame's knot."""
        return -(-(self.frames // 2) // self.spacing)

    @property
    def intervals(self) -> int:
        """Number of knots less one."""
        return self.reference - (-(self.frames - 1 - self.frames // 2) // self.spacing)

    def weights(self, time: float) -> Floats:
        """What each knot counts for at a time in frames, [knots].

        A cubic goes through the four knots around it (Catmull-Rom), a line beyond the ends.
        """
        count = self.intervals
        middle = self.frames // 2 + 0.5
        place = min(max((time - middle) / self.spacing + self.reference, 0.0), float(count))
        first = min(int(place), count - 1)
        f = place - first
        around = (
            (-f + 2 * f**2 - f**3) / 2,
            (2 - 5 * f**2 + 3 * f**3) / 2,
            (f + 4 * f**2 - 3 * f**3) / 2,
            (-(f**2) + f**3) / 2,
        )
        out = np.zeros(count + 3)
        out[first : first + 4] = around
        out[1:3] += np.array([2, -1]) * out[0]
        out[-3:-1] += np.array([-1, 2]) * out[-1]
        return out[1:-1].astype(np.float32)


@dataclass(frozen=True)
class MotionField:
    """A decoded field.

    Args:
        knots: when it is known.
        values: [knots, rows, columns, 2] coefficients of a cubic B-spline, px; the second row and column lie
            on the corner of the world's margin.
        cell: px from one to the next.
    """

    knots: Knots
    values: Floats
    cell: int

    def grid(self, time: float) -> Floats:
        """Its coefficients at a time in frames from the segment's first edge, [rows, columns, 2]."""
        return np.ascontiguousarray(np.tensordot(self.knots.weights(time), self.values, 1))

    def grids(self) -> Floats:
        """Its coefficients in the middle of each frame, [T, rows, columns, 2]."""
        return np.stack([self.grid(t + 0.5) for t in range(self.knots.frames)])


@dataclass(frozen=True)
class CodedMotion:
    """A coded field.

    Args:
        cell_log2: of the px of a cell.
        step_log2: of the step, 1/256 px.
        spacing: frames from knot to knot.
        data: its range-coded bytes.
    """

    cell_log2: int
    step_log2: int
    spacing: int
    data: bytes

    def native(self, world: tuple[int, int], frames: int) -> Motion:
        """The native coder of a world of some width and height.

        Raises:
            ValueError: numbers that no file can have.
        """
        knots = Knots(frames, self.spacing)
        return core().Motion(*world, knots.intervals, knots.reference, self.cell_log2, self.step_log2)

    def decoded(self, world: tuple[int, int], frames: int) -> MotionField:
        """The field of a segment.

        Raises:
            BitstreamError: damaged data.
        """
        try:
            decoded = self.native(world, frames).decode(self.data)
        except ValueError as error:
            raise BitstreamError(f"the motion field is damaged: {error}") from None
        values = (decoded / core().MOTION_UNITS).astype(np.float32)
        return MotionField(Knots(frames, self.spacing), values, 1 << self.cell_log2)

    def bytes(self) -> bytes:
        """As it stands in a segment."""
        head = bytes([self.cell_log2 << 4 | self.step_log2, self.spacing])
        return head + varint(len(self.data)) + self.data


def read_motion(r: Reader, frames: int, what: str) -> CodedMotion:
    """The field of a segment of so many frames.

    Raises:
        BitstreamError: it makes no sense.
    """
    sizes, spacing = r.take(2, f"the motion field of {what}")
    if not 1 <= spacing < max(frames, 2):
        raise BitstreamError(f"the motion field of {what} is known every {spacing} frames")
    length = r.varint("the length of a motion field", MAX_LENGTH)
    return CodedMotion(sizes >> 4, sizes & 15, spacing, r.take(length, f"the motion field of {what}"))
