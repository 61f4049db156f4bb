"""The clock of a segment: which moment each of its frames shows, where some show the one of the frame before.

docs/FORMAT.md, section 9.7, is this file in words.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from splat2d.errors import BitstreamError
from splat2d.format.sections import Reader


@dataclass(frozen=True)
class Clock:
    """Which moment each frame of a segment shows.

    Args:
        moments: [T] of each frame: 0 of the first, of any other that of the frame before, or the next.
    """

    moments: tuple[int, ...]

    @classmethod
    def of(cls, repeats: Iterable[bool]) -> Clock | None:
        """The clock of frames of which some repeat the one before; None where none does.

        Args:
            repeats: [T] whether a frame shows what the one before does; not the first.
        """
        given = [bool(repeated) for repeated in repeats]
        if not any(given[1:]):
            return None
        return cls(tuple(itertools.accumulate((not repeated for repeated in given[1:]), initial=0)))

    @property
    def frames(self) -> int:
        """How many frames are shown."""
        return len(self.moments)

    @property
    def count(self) -> int:
        """How many moments there are."""
        return self.moments[-1] + 1

    @property
    def shown(self) -> tuple[int, ...]:
        """[T'] how many frames show each moment."""
        return tuple(len(list(frames)) for _, frames in itertools.groupby(self.moments))

    def at(self, time: float) -> float:
        """The local time in moments at one in frames: in a line between the middles of frames.

        Args:
            time: frames from the segment's first edge; before the first middle and behind the last a frame is
                a moment.
        """
        last = len(self.moments) - 1
        frame = min(max(int(time - 0.5), 0), last)
        here, share = self.moments[frame], time - 0.5 - frame
        following = here + 1 if share < 0 or frame == last else self.moments[frame + 1]
        return here + share * (following - here) + 0.5

    def bytes(self) -> bytes:
        """As it stands in a segment: a bit for each frame, of the frames that repeat the one before."""
        bits = sum(1 << frame for frame, (a, b) in enumerate(itertools.pairwise(self.moments), 1) if a == b)
        return bits.to_bytes(-(-len(self.moments) // 8), "little")


def read_clock(r: Reader, frames: int, what: str) -> Clock:
    """The clock of a segment of so many frames.

    Raises:
        BitstreamError: it makes no sense.
    """
    bits = int.from_bytes(r.take(-(-frames // 8), f"the clock of {what}"), "little")
    if bits & 1:
        raise BitstreamError(f"the clock of {what} repeats a frame before its first")
    if bits >> frames:
        raise BitstreamError(f"the clock of {what} repeats frames behind its {frames}")
    clock = Clock.of(bool(bits >> frame & 1) for frame in range(frames))
    if clock is None:
        raise BitstreamError(f"the clock of {what} repeats no frame")
    return clock
