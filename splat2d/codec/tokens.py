"""Integers of any size as a token and raw bits.

Values below DIRECT are their own token, larger ones have two tokens to an octave.
"""

from __future__ import annotations

import numpy as np

from splat2d.codec.coder import Ints

DIRECT = 16
TOKENS = 40


def to_token(values: Ints) -> tuple[Ints, Ints, Ints]:
    """Token, number of raw bits and raw bits of values from 0 to 65535."""
    exponent = np.maximum(np.frexp(values.astype(np.float64))[1] - 1, 4).astype(np.int64)
    small = values < DIRECT
    raw_bits = np.where(small, 0, exponent - 1)
    token = np.where(small, values, DIRECT + 2 * (exponent - 4) + ((values >> raw_bits) & 1))
    return token, raw_bits, np.where(small, 0, values & ((1 << raw_bits) - 1))


def token_bits(token: Ints) -> Ints:
    """Number of raw bits that follow a token."""
    return np.where(token < DIRECT, 0, (token - DIRECT) // 2 + 3)


def from_token(token: Ints, raw: Ints) -> Ints:
    """The value of a token and its raw bits."""
    return np.where(token < DIRECT, token, ((2 + (token & 1)) << token_bits(token)) + raw)
