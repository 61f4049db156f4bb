"""Edits: small operations on layers, their numbers as integers, and their bytes in a file.

docs/FORMAT.md, section 3.2, is this file in words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from splat2d.errors import BitstreamError, ConfigError
from splat2d.format.layers import check_name, read_name
from splat2d.format.sections import Reader, varint, zigzag

MAX_OPERATIONS = 2048
"""Most operations of a file."""

_FIRST = 0x80  # set in the code of the first operation of a step
_MAX_VARINT = (1 << 35) - 1


@dataclass(frozen=True)
class Number:
    """A parameter of an operation.

    Args:
        name: what messages call it.
        unit: how many integers make one.
        low: least value.
        high: largest value.
    """

    name: str
    unit: int
    low: float
    high: float

    def to_integer(self, value: float, operation: str) -> int:
        """The integer that stands for a value.

        Raises:
            ConfigError: not a number, or out of range.
        """
        # Not a number fails every comparison, hence the negation.
        if not self.low <= value <= self.high:
            raise ConfigError(
                f"{operation}: {self.name} is {value:g}, expected {self.low:g} to {self.high:g}"
            )
        return round(value * self.unit)


@dataclass(frozen=True)
class Kind:
    """A kind of operation: its code in the file, its parameters, and whether it carries a name."""

    code: int
    numbers: tuple[Number, ...] = ()
    named: bool = False


_FACTOR = 10_000
_POINT = (Number("x", 1000, -1e6, 1e6), Number("y", 1000, -1e6, 1e6))
_DEGREES = Number("the angle", 1000, -1e6, 1e6)

KINDS = {
    "move": Kind(0x01, (Number("dx", 1000, -1e6, 1e6), Number("dy", 1000, -1e6, 1e6))),
    "rotate": Kind(0x02, (_DEGREES, *_POINT)),
    "scale": Kind(
        0x03,
        (Number("the factor", _FACTOR, -1e3, 1e3), Number("the factor down", _FACTOR, -1e3, 1e3), *_POINT),
    ),
    "blur": Kind(0x04, (Number("sigma", 1000, 0, 1e4),)),
    "opacity": Kind(0x08, (Number("the factor", _FACTOR, 0, 1),)),
    "brightness": Kind(0x09, (Number("the factor", _FACTOR, 0, 100),)),
    "contrast": Kind(0x0A, (Number("the factor", _FACTOR, 0, 100),)),
    "saturation": Kind(0x0B, (Number("the factor", _FACTOR, 0, 100),)),
    "hue": Kind(0x0C, (_DEGREES,)),
    "tint": Kind(
        0x0D, (*(Number(c, 1, 0, 255) for c in ("red", "green", "blue")), Number("strength", _FACTOR, 0, 1))
    ),
    "hide": Kind(0x10),
    "show": Kind(0x11),
    "raise": Kind(0x12),
    "lower": Kind(0x13),
    "to-front": Kind(0x14),
    "to-back": Kind(0x15),
    "duplicate": Kind(0x18, named=True),
    "rename": Kind(0x19, named=True),
    "delete": Kind(0x1A),
}
"""All operations, by the names that commands, scripts and Python use."""

_NAMES = {kind.code: name for name, kind in KINDS.items()}


@dataclass(frozen=True)
class Operation:
    """One operation on one layer.

    Args:
        kind: a key of KINDS.
        layer: number of the layer: stored layers count from 0, back to front, then duplicates as they came.
        integers: the parameters, in the units of their kind.
        name: what a duplicate, or a renamed layer, is called.
    """

    kind: str
    layer: int
    integers: tuple[int, ...] = ()
    name: str = ""

    @classmethod
    def of(cls, kind: str, layer: int, values: Sequence[float] = (), name: str = "") -> Operation:
        """The operation with these values, rounded to what a file can hold.

        Raises:
            ConfigError: values out of range, or no name where one is needed.
        """
        numbers = KINDS[kind].numbers
        if len(values) != len(numbers):
            wanted = ", ".join(number.name for number in numbers) or "nothing"
            raise ConfigError(f"{kind}: expected {wanted}, found {len(values)} numbers")
        if KINDS[kind].named:
            check_name(name)
        pairs = zip(numbers, values, strict=True)
        return cls(kind, layer, tuple(number.to_integer(value, kind) for number, value in pairs), name)

    @property
    def values(self) -> tuple[float, ...]:
        """The parameters in px, degrees, factors and bytes."""
        pairs = zip(self.integers, KINDS[self.kind].numbers, strict=True)
        return tuple(integer / number.unit for integer, number in pairs)

    def __str__(self) -> str:
        """As a person reads it: `rotate 15 about 120,80`."""
        v = [f"{value:g}" for value in self.values]
        if self.kind == "tint":
            return f"tint #{bytes(self.integers[:3]).hex()} {v[3]}"
        if self.kind in ("rotate", "scale"):
            factors = v[:1] if self.kind == "rotate" or v[0] == v[1] else v[:2]
            return f"{self.kind} {','.join(factors)} about {','.join(v[-2:])}"
        return " ".join(part for part in (self.kind, ",".join(v), self.name) if part)


Step = tuple[Operation, ...]
"""What one call did, and one undo takes back."""


def pack(steps: Iterable[Step]) -> bytes:
    """The payload of a section of edits."""
    out = bytearray()
    for step in steps:
        for i, operation in enumerate(step):
            out.append(KINDS[operation.kind].code | (0 if i else _FIRST))
            out.append(operation.layer)
            for integer in operation.integers:
                out += zigzag(integer)
            if KINDS[operation.kind].named:
                name = operation.name.encode()
                out += varint(len(name)) + name
    return bytes(out)


def unpack(payload: bytes) -> tuple[Step, ...]:
    """The steps in the payload of a section of edits.

    Raises:
        BitstreamError: operations that are cut off, unknown, out of range or too many.
    """
    r = Reader(payload)
    steps: list[list[Operation]] = []
    count = 0
    while r.at < len(payload):
        code, layer = r.take(2, "an edit")
        if code & _FIRST or not steps:
            steps.append([])
        kind = _NAMES.get(code & ~_FIRST)
        if kind is None:
            raise BitstreamError(f"unknown edit 0x{code & ~_FIRST:02x}: a newer version of splat2d is needed")
        count += 1
        if count > MAX_OPERATIONS:
            raise BitstreamError(f"more than {MAX_OPERATIONS} edits")
        integers = tuple(_integer(r, kind, number) for number in KINDS[kind].numbers)
        steps[-1].append(Operation(kind, layer, integers, read_name(r) if KINDS[kind].named else ""))
    return tuple(map(tuple, steps))


def _integer(r: Reader, kind: str, number: Number) -> int:
    """A parameter, checked."""
    integer = r.zigzag(f"{number.name} of the edit {kind}", _MAX_VARINT)
    if not math.ceil(number.low * number.unit) <= integer <= number.high * number.unit:
        value = integer / number.unit
        raise BitstreamError(
            f"{number.name} of the edit {kind} is {value:g}, expected {number.low:g} to {number.high:g}"
        )
    return integer
