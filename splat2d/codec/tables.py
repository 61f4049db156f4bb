"""Planes of symbols under adaptive tables that are refreshed block by block.

A table (native, cpp/coding.hpp) has a coarse and a fine context: the coarse distribution starts from a
trained prior, the fine one from the coarse one as it stands, and both add what has been coded. Within a block
the tables are frozen, so that a block is one vectorised call.
"""

from __future__ import annotations

import numpy as np

from splat2d._backend import core
from splat2d.codec.coder import Coder, Ints

BLOCK_MIN, BLOCK_MAX = 32, 1024
NO_CONTEXT = np.zeros(0, np.int64)


class Plane:
    """One attribute: its table and its place in the block schedule.

    Args:
        name: under which the coder counts bits.
        prior: [contexts, K] weights in units of 256 to one coded symbol, each row's sum positive.
        fine: number of fine contexts to each coarse one.
        strength: how many coded symbols the coarse distribution is worth in a fine context.
    """

    def __init__(self, name: str, prior: Ints, fine: int = 1, strength: int = 12) -> None:
        self.name = name
        self.table = core().Table(np.ascontiguousarray(prior, np.int64), fine, strength)
        self.coded = 0

    def code(self, coder: Coder, coarse: Ints, fine: Ints | None, values: Ints | None) -> Ints:
        """Code symbols [n] under contexts [n].

        A block is a quarter of what this plane has coded so far, from 32 to 1024 symbols.
        """
        out = np.zeros(len(coarse), np.int64)
        at = 0
        while at < len(coarse):
            end = min(at + min(max(self.coded // 4, BLOCK_MIN), BLOCK_MAX), len(coarse))
            c, f = coarse[at:end], NO_CONTEXT if fine is None else fine[at:end]
            out[at:end] = coder.symbols(
                self.name, self.table.rows(c, f), None if values is None else values[at:end]
            )
            self.table.update(c, f, out[at:end])
            self.coded += end - at
            at = end
        return out


# Integers of any size are a token and raw bits: values below DIRECT are their own token, larger ones have two
# tokens to an octave.
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


class IntegerPlane(Plane):
    """A plane of integers >= 0: tokens under the table, raw bits uniform."""

    def code_integers(self, coder: Coder, coarse: Ints, fine: Ints | None, values: Ints | None) -> Ints:
        """Code integers [n] from 0 to 65535."""
        token, bits, raw = (None, None, None) if values is None else to_token(values)
        token = self.code(coder, coarse, fine, token)
        if bits is None:
            bits = token_bits(token)
        if not bits.any():
            return token
        return from_token(token, coder.uniform(self.name, 1 << bits, raw))
