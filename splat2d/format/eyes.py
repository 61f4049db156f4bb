"""From where a light field is seen: section 0x07. docs/FORMAT.md, section 13, is this file in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from splat2d.errors import BitstreamError, ConfigError
from splat2d.format.sections import EYES, Reader, section, varint, zigzag

UNITS = 256
"""Of an eye's place, to a step of the grid."""

MOST_VIEWS = 64
"""Views that a light field has at most."""

FARTHEST = 1 << 15
"""Least distance of an eye from the middle, in steps of the grid, that is too far."""

_GRID, _LIST = 0, 1  # forms


@dataclass(frozen=True)
class Eyes:
    """Places of the eyes whose views were encoded.

    Args:
        places: u, v of each, to the right and down from the middle, in 1/256 steps of the grid.
    """

    places: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, places: Sequence[Sequence[float]]) -> Eyes:
        """The nearest to places in steps of the grid.

        Raises:
            ConfigError: fewer than two, more than `MOST_VIEWS`, two in one place, or too far.
        """
        rounded = tuple((round(u * UNITS), round(v * UNITS)) for u, v in places)
        try:
            return _checked(rounded)
        except BitstreamError as fault:
            raise ConfigError(str(fault)) from None

    @classmethod
    def grid(cls, columns: int, rows: int) -> Eyes:
        """All places of a grid, row by row, its middle at 0."""
        across, down = ([UNITS // 2 * (2 * i - n + 1) for i in range(n)] for n in (columns, rows))
        return cls(tuple((u, v) for v in down for u in across))

    @property
    def steps(self) -> tuple[tuple[float, float], ...]:
        """The places in steps of the grid."""
        return tuple((u / UNITS, v / UNITS) for u, v in self.places)

    @property
    def arguments(self) -> tuple[int, int, int]:
        """What the native core takes: their number, their spread and the farthest."""
        count = len(self.places)
        squares = sum(u * u + v * v for u, v in self.places)
        farthest = max(max(abs(u), abs(v)) for u, v in self.places)
        return count, max(math.isqrt(squares // (2 * count)), 1), farthest

    def columns_and_rows(self) -> tuple[int, int] | None:
        """Of the grid that they are, row by row; None where they are none."""
        columns, rows = (len({place[axis] for place in self.places}) for axis in (0, 1))
        return (columns, rows) if Eyes.grid(columns, rows) == self else None


def eyes_section(eyes: Eyes) -> bytes:
    """The section of a light field's eyes."""
    if grid := eyes.columns_and_rows():
        return section(EYES, bytes([_GRID, *grid]))
    out, before = bytes([_LIST]) + varint(len(eyes.places)), (0, 0)
    for place in eyes.places:
        out += b"".join(zigzag(new - old) for new, old in zip(place, before, strict=True))
        before = place
    return section(EYES, out)


def read_eyes(payload: bytes) -> Eyes:
    """The eyes in a section's payload.

    Raises:
        BitstreamError: they make no sense.
    """
    r = Reader(payload)
    form = r.take(1, "the eyes")[0]
    if form == _GRID:
        columns, rows = r.take(2, "the grid of eyes")
        if not columns * rows or columns * rows > MOST_VIEWS:
            raise BitstreamError(f"the grid has {columns} x {rows} eyes, expected 2 to {MOST_VIEWS}")
        eyes = Eyes.grid(columns, rows)
    elif form == _LIST:
        places, before = [], (0, 0)
        for _ in range(r.varint("the number of eyes", MOST_VIEWS)):
            before = tuple(old + r.zigzag("an eye", 4 * FARTHEST * UNITS) for old in before)
            places.append(before)
        eyes = Eyes(tuple(places))
    else:
        raise BitstreamError(f"the eyes have form {form}: a newer version may be needed")
    r.end("the section of eyes")
    return _checked(eyes.places)


def _checked(places: tuple[tuple[int, int], ...]) -> Eyes:
    if not 2 <= len(places) <= MOST_VIEWS:
        raise BitstreamError(f"there are {len(places)} eyes, expected 2 to {MOST_VIEWS}")
    if len(set(places)) < len(places):
        raise BitstreamError("two eyes are in one place")
    if any(abs(v) >= FARTHEST * UNITS for place in places for v in place):
        raise BitstreamError(f"an eye is {FARTHEST} steps of the grid or more from the middle")
    return Eyes(places)
