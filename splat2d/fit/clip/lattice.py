"""Lattices of a motion field: cubic B-splines over the world and its margin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat2d.format.motion import MARGIN

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Lattice:
    """Where a field's coefficients lie.

    Args:
        cell: px between them.
        shape: rows and columns.
    """

    cell: int
    shape: tuple[int, int]

    @classmethod
    def of(cls, world: tuple[int, int], cell: int) -> Lattice:
        """The lattice of a world of some width and height, px."""
        columns, rows = (-(-(v + 2 * MARGIN) // cell) + 3 for v in world)
        return cls(cell, (rows, columns))

    def zero(self) -> Floats:
        """Coefficients of no motion, [rows, columns, 2]."""
        return np.zeros((*self.shape, 2), np.float32)

    def weights(self, at: Floats, axis: int) -> Floats:
        """The basis functions at places in px of the world, [places, columns]; of axis 1 [places, rows]."""
        n = self.shape[1 - axis]
        p = np.clip((at + MARGIN) / self.cell, 0, n - 3)
        i = np.minimum(p.astype(np.int32), n - 4)
        f = (p - i).astype(np.float32)
        g = 1 - f
        taps = (g**3 / 6, (4 - 6 * f**2 + 3 * f**3) / 6, (4 - 6 * g**2 + 3 * g**3) / 6, f**3 / 6)
        out = np.zeros((len(at), n), np.float32)
        for k, tap in enumerate(taps):
            out[np.arange(len(at)), i + k] = tap
        return out

    def refined(self, finer: Lattice, coefficients: Floats) -> Floats:
        """The same field on a lattice of half the cell, [rows, columns, 2]."""
        out = coefficients
        for axis, n in enumerate(finer.shape):
            c = np.moveaxis(out, axis, 0)
            fine = np.empty((2 * len(c) - 3, *c.shape[1:]), np.float32)
            fine[::2] = (c[:-1] + c[1:]) / 2
            fine[1::2] = (c[:-2] + 6 * c[1:-1] + c[2:]) / 8
            out = np.moveaxis(fine[:n], 0, axis)
        return out

    def fitted(self, finer: Lattice, coefficients: Floats) -> Floats:
        """Coefficients of this lattice near to those of a finer one."""
        out = coefficients
        for axis in range(2):
            n = self.shape[axis]
            ratio = self.cell // finer.cell
            # Both count from one cell before the margin's corner.
            at = (np.arange(n) - 1.0) * ratio + 1
            at = np.clip(at, 0, out.shape[axis] - 1)
            known = np.arange(out.shape[axis])
            out = np.apply_along_axis(lambda v, at=at, known=known: np.interp(at, known, v), axis, out)
        return out.astype(np.float32)
