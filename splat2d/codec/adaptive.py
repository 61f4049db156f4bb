"""Adaptive tables: what is learned of a symbol while a file is coded, in integer arithmetic.

A symbol's weight is its count in the table of its context, mixed with that of all contexts together, which
knows sooner. Both sides count alike, after every block of symbols.
"""

from __future__ import annotations

import numpy as np

from splat2d.codec.coder import PRECISION, Coder, Ints, Rows

SHARE = 1 << 16  # what the shared table's shares add up to
TRUST = 2  # symbols in a context that weigh as much as the shared table
LEARNED = 4  # counts of a symbol in the shared table
FIRST_BLOCK, LAST_BLOCK = 16, 256  # symbols


class AdaptiveTable:
    """Counts of symbols in contexts.

    Args:
        name: that the bits are counted under.
        contexts: their number.
        prior: [symbols] counts that the shared table begins with, all positive.
    """

    def __init__(self, name: str, contexts: int, prior: Ints) -> None:
        self.name = name
        self._shared = prior.astype(np.int64)
        self._counts = np.zeros((contexts, len(prior)), np.int64)
        self._seen = 0

    def code(self, coder: Coder, contexts: Ints, values: Ints | None) -> Ints:
        """Code symbols [n] in contexts [n], learning from block to block."""
        out = np.zeros(len(contexts), np.int64)
        at = 0
        while at < len(contexts):
            block = slice(at, at + min(max(self._seen // 4, FIRST_BLOCK), LAST_BLOCK))
            part = contexts[block]
            out[block] = coder.symbols(self.name, self._rows(part), None if values is None else values[block])
            self._learn(part, out[block])
            at = block.stop
        return out

    def _rows(self, contexts: Ints) -> Rows:
        """Rows of weights less one."""
        shares = self._shared * SHARE // self._shared.sum()
        chosen, inverse = np.unique(contexts, return_inverse=True)
        mixed = self._counts[chosen] * SHARE + TRUST * (shares + 1)
        total = (1 << PRECISION) - mixed.shape[1]
        weights = mixed * total // mixed.sum(1, keepdims=True)
        weights[np.arange(len(chosen)), weights.argmax(1)] += total - weights.sum(1)
        return weights.astype(np.float64)[inverse]

    def _learn(self, contexts: Ints, symbols: Ints) -> None:
        np.add.at(self._counts, (contexts, symbols), 1)
        np.add.at(self._shared, symbols, LEARNED)
        self._seen += len(symbols)
