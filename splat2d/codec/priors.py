"""Trained priors of the adaptive tables: what a file's models believe before the first splat.

`priors.bin` is a zlib stream of one byte a weight, row after row and table after table in the order of
SHAPES: byte b stands for floor(2^(b / 16)), 0 for a symbol that cannot occur.
`benchmarks/train_priors.py` makes it.
"""

from __future__ import annotations

import functools
import zlib
from pathlib import Path

import numpy as np

from splat2d.codec.coder import Ints

# Contexts and symbols of each table, in the order of the file.
SHAPES = {
    "luma": (42, 40),
    "chroma1": (36, 40),
    "chroma2": (36, 40),
    "area": (72, 40),
    "aspect": (72, 40),
    "few_angles": (16, 16),
    "sector": (16, 16),
    "sign": (81, 2),
}
ALIASES = {"alpha": "chroma1"}  # too rare to train: begins as the first opponent axis does


def weight_of(codes: Ints) -> Ints:
    """Weights, in 1/256 coded symbols, of bytes."""
    # Exact: the table is rounded to 2^-30, so that its floor at lower precision is the same everywhere.
    octave = np.array([round(2 ** (30 + i / 16)) for i in range(16)], np.int64)
    return np.where(codes == 0, 0, octave[codes % 16] >> (30 - codes // 16))


def code_of(weights: Ints) -> Ints:
    """The byte of the largest representable weight that is not above each of `weights` (0 for 0)."""
    known = weight_of(np.arange(1, 256))
    return np.where(weights < 1, 0, np.searchsorted(known, weights, side="right"))


@functools.cache
def _tables() -> dict[str, Ints]:
    data = zlib.decompress((Path(__file__).parent / "priors.bin").read_bytes())
    codes = np.frombuffer(data, np.uint8).astype(np.int64)
    out, at = {}, 0
    for name, (contexts, symbols) in SHAPES.items():
        size = contexts * symbols
        out[name] = weight_of(codes[at : at + size]).reshape(contexts, symbols)
        at += size
    return out


def prior(name: str) -> Ints:
    """Weights [contexts, symbols] of a table, in 1/256 coded symbols."""
    return _tables()[ALIASES.get(name, name)]
