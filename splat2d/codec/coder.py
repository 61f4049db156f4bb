"""One traversal for both directions: coders that write, read or only count the same calls.

Every symbol is coded under a row of integer weights that sum to 2^24, so nothing that both sides must agree
on depends on floating point. A row is handed over as `weights - 1` in float64, exact integers: the quantiser
of constriction gives each of K symbols one unit and shares out the other 2^24 - K in proportion to the row,
whose sum is 2^24 - K, so its factor is one and it finds the same weights.
"""

from __future__ import annotations

import importlib
from collections import defaultdict
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import BitstreamError

PRECISION = 24

Ints = NDArray[np.int64]
Rows = NDArray[np.float64]


class Coder(Protocol):
    """What a model needs of a coder: an encoder returns what it was given, a decoder what it read."""

    bits: dict[str, float]

    def symbols(self, name: str, rows: Rows, values: Ints | None) -> Ints:
        """Code one symbol a row of weights less one, [n, K]; returns them, int64 [n]."""
        ...

    def uniform(self, name: str, sizes: Ints, values: Ints | None) -> Ints:
        """Code values in [0, sizes), each size from 1 to 2^24; returns them, int64 [n]."""
        ...


def _ideal_bits(rows: Rows, values: Ints) -> float:
    """Code length of values under rows of weights less one."""
    return PRECISION * len(values) - float(np.log2(rows[np.arange(len(values)), values] + 1).sum())


def _constriction() -> Any:
    """The range coder's library, imported only where something is coded; it carries no types."""
    return importlib.import_module("constriction")


class Counter:
    """Counts ideal code lengths without coding."""

    def __init__(self) -> None:
        self.bits: dict[str, float] = defaultdict(float)

    def symbols(self, name: str, rows: Rows, values: Ints | None) -> Ints:
        """Count the bits of one symbol a row."""
        assert values is not None
        self.bits[name] += _ideal_bits(rows, values)
        return values

    def uniform(self, name: str, sizes: Ints, values: Ints | None) -> Ints:
        """Count the bits of uniform values."""
        assert values is not None
        self.bits[name] += float(np.log2(sizes).sum())
        return values


class Encoder(Counter):
    """Range-codes calls into bytes and keeps the ideal code length of each attribute."""

    def __init__(self) -> None:
        super().__init__()
        constriction = _constriction()
        self._categorical = constriction.stream.model.Categorical(perfect=False)
        self._uniform = constriction.stream.model.Uniform()
        self._coder = constriction.stream.queue.RangeEncoder()

    def symbols(self, name: str, rows: Rows, values: Ints | None) -> Ints:
        """Write one symbol a row."""
        assert values is not None
        if len(values):
            self._coder.encode(values.astype(np.int32), self._categorical, rows)
        return super().symbols(name, rows, values)

    def uniform(self, name: str, sizes: Ints, values: Ints | None) -> Ints:
        """Write uniform values."""
        assert values is not None
        # A model of one symbol is not a model: constriction panics, and nothing need be coded.
        many = sizes > 1
        if many.any():
            self._coder.encode(values[many].astype(np.int32), self._uniform, sizes[many].astype(np.int32))
        return super().uniform(name, sizes, values)

    def to_bytes(self) -> bytes:
        """The coded words, little-endian, without the zero bytes that a reader supplies itself."""
        return self._coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


class Decoder:
    """Reads what an Encoder wrote; damaged data decodes to garbage, so check sums first."""

    def __init__(self, data: bytes, *, count_bits: bool = False) -> None:
        constriction = _constriction()
        self._categorical = constriction.stream.model.Categorical(perfect=False)
        self._uniform = constriction.stream.model.Uniform()
        words = np.frombuffer(data + b"\0" * (-len(data) % 4), "<u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)
        self._count_bits = count_bits
        self.bits: dict[str, float] = defaultdict(float)

    def symbols(self, name: str, rows: Rows, values: Ints | None) -> Ints:
        """Read one symbol a row."""
        if not len(rows):
            return np.zeros(0, np.int64)
        out = self._read(self._categorical, rows)
        if self._count_bits:
            self.bits[name] += _ideal_bits(rows, out)
        return out

    def uniform(self, name: str, sizes: Ints, values: Ints | None) -> Ints:
        """Read uniform values."""
        out = np.zeros(len(sizes), np.int64)
        many = sizes > 1
        if many.any():
            out[many] = self._read(self._uniform, sizes[many].astype(np.int32))
            if self._count_bits:
                self.bits[name] += float(np.log2(sizes[many]).sum())
        return out

    def _read(self, model: object, parameters: NDArray[np.generic]) -> Ints:
        try:
            return self._coder.decode(model, parameters).astype(np.int64)
        except AssertionError as error:
            raise BitstreamError(
                "the coded splats are damaged: no symbol fits the range coder's state"
            ) from error
