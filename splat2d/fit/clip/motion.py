"""A segment's motion field: estimated, and coded where it pays."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from splat2d.fit.clip.camera import MAX_SPAN
from splat2d.fit.clip.flow import Flow, flow
from splat2d.fit.clip.lattice import Lattice
from splat2d.fit.means import grey
from splat2d.format.header import MAX_PIXELS, MAX_SIDE
from splat2d.format.motion import CodedMotion, Knots
from splat2d.format.segments import PATH_UNITS, world_shown
from splat2d.native import core

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

STEP_LOG2 = 5  # of the step, 1/256 px
SPACING = 1  # frames from knot to knot
LEAST_CELL_LOG2 = 5  # of the px of a cell
MOST_COEFFICIENTS = 530  # of a knot; cells grow until there are no more
LUMA = 3.0  # times the luma's squared error is that of all channels
SHOWN = 0.5  # of a frame's error that splats of the present step make visible, about
SWEEPS = 2
MOST_DRIFT = 24.0  # px by which a path may fail to follow what frames show
REWEIGHTED = 4  # times that the least squares of a level are solved
LOG_BITS = 3.6  # of an integer v, over ln(1 + v^2)


def motion_of(frames: NDArray[np.uint8], path: Ints, lmbda: float) -> tuple[Ints, CodedMotion | None]:
    """The motion of some frames.

    Args:
        frames: [T, H, W, C], two at least.
        path: [T, 2] of the camera, 1/64 px.
        lmbda: SSE that one bit is worth.

    Returns:
        The path, which follows what the frames show where it would leave the world's margin, and the motion
        field on top of it; None where none pays.
    """
    cell_log2 = LEAST_CELL_LOG2
    world = world_shown(frames.shape[2:0:-1], path)
    while cell_log2 < 8 and math.prod(Lattice.of(world, 1 << cell_log2).shape) > MOST_COEFFICIENTS:
        cell_log2 += 1
    knots = Knots(len(frames), min(SPACING, len(frames) - 1))
    weights = np.stack([knots.weights(t + 0.5) for t in range(len(frames))])
    luma = grey(frames[..., :3])
    seen = flow(luma, (path / PATH_UNITS).astype(np.float32), world, 1 << cell_log2, weights)
    if np.abs(seen.drift).max() > MOST_DRIFT:
        followed = following(path, seen.drift, frames.shape[2:0:-1])
        if followed is not None:
            path, world = followed, world_shown(frames.shape[2:0:-1], followed)
            seen = flow(luma, (path / PATH_UNITS).astype(np.float32), world, 1 << cell_log2, weights)
    coded = CodedMotion(cell_log2, STEP_LOG2, knots.spacing, b"")
    return path, _Choice(coded, world, knots, weights, seen, lmbda).run()


def following(path: Ints, drift: Floats, size: tuple[int, int]) -> Ints | None:
    """A path that goes where frames of some width and height drift, too; None where no file can hold it."""
    moved = np.rint(path + drift * PATH_UNITS).astype(np.int32)
    moved -= moved.max(0)
    world = world_shown(size, moved)
    if (np.array(world) > (1 + MAX_SPAN) * np.array(size)).any():
        return None
    return moved if max(world) <= MAX_SIDE and math.prod(world) <= MAX_PIXELS else None


class _Choice:
    """The integers of a field by rate and distortion, knot by knot, coarse to fine."""

    def __init__(
        self,
        coded: CodedMotion,
        world: tuple[int, int],
        knots: Knots,
        weights: Floats,
        seen: Flow,
        lmbda: float,
    ) -> None:
        self.coded, self.knots, self.lmbda, self.seen = coded, knots, lmbda, seen
        self.native = coded.native(world, knots.frames)
        self.step = (1 << coded.step_log2) / core().MOTION_UNITS
        self.wanted = _through_knots(knots, weights, seen.coefficients)
        self.makers = self._makers()
        self.steady = [m.T @ (seen.bending @ m) * np.float32(LUMA * SHOWN) for m in self.makers[:-1]]
        # One integer of the finest level is one coefficient.
        self.finest = self.makers[-1].argmax(0)
        self.steady.append(self._fine(seen.bending)[self.finest] * np.float32(self.step * LUMA * SHOWN))
        self.counts = [{0: 8.0} for _ in self.makers]

    def _makers(self) -> list[Floats]:
        """What one of each integer adds to the finest coefficients, px; [2 K, integers] by level."""
        levels = core().MOTION_LEVELS
        lattices = [Lattice(self.coded.cell_log2, self.native.shape(level)) for level in range(levels)]
        out = []
        for first in range(-1, levels):
            if first < 0:
                rows, columns = lattices[0].shape
                x, y = (2 * np.arange(columns) - columns + 1) / 8, (2 * np.arange(rows) - rows + 1) / 8
                one = np.stack(np.broadcast_arrays(1.0, x, y[:, None]), -1).astype(np.float32)
            else:
                rows, columns = lattices[first].shape
                one = np.eye(rows * columns, dtype=np.float32).reshape(rows, columns, -1)
            for level in range(max(first, 0) + 1, levels):
                one = lattices[level - 1].refined(lattices[level], one)
            flat = one.reshape(-1, one.shape[-1]) * np.float32(self.step)
            both = np.kron(np.eye(2, dtype=np.float32), flat)
            # Of lattices x and y of one place are neighbours.
            out.append(
                both if first < 0 else both.reshape(len(both), 2, -1).swapaxes(1, 2).reshape(both.shape)
            )
        return out

    def _fine(self, matrix: Floats) -> Floats:
        """A matrix [2 K, 2 K] of coefficients, times what one of each integer of the finest level adds."""
        return matrix[:, self.finest] * np.float32(self.step)

    def run(self) -> CodedMotion | None:
        integers = []
        units = core().MOTION_UNITS
        for number, (knot, reach) in enumerate(zip(self.native.order, self.native.reaches, strict=True)):
            predicted = self.native.predicted(number) / np.float32(units)
            row = self._knot(self.wanted[knot] - predicted, self.seen.normals[knot] * _followers(reach))
            if not self.native.make(number, row):
                row = np.zeros_like(row)
                self.native.make(number, row)
            integers.append(row)
        if not any(row.any() for row in integers):
            return None
        data = self.native.encode(np.stack(integers))
        return CodedMotion(self.coded.cell_log2, self.coded.step_log2, self.coded.spacing, data)

    def _knot(self, residual: Floats, normal: Floats) -> Ints:
        left = np.moveaxis(residual, 2, 0).ravel()
        worth = normal * np.float32(LUMA * SHOWN)
        out = []
        for level, maker in enumerate(self.makers):
            finest = level == len(self.makers) - 1
            carried = self._fine(worth) if finest else worth @ maker
            own = carried[self.finest] * np.float32(self.step) if finest else maker.T @ carried
            side = carried.T @ left
            own_steady = own + self.steady[level]
            own_steady[np.diag_indices(len(own))] += 1e-4 * np.trace(own) / len(own) + 1e-9
            # Bits grow like the logarithm of 1 + v^2; the ridge is a parabola that touches at the v before.
            e = np.full(len(own), 10.0, np.float32)
            for _ in range(REWEIGHTED):
                ridge = np.float32(LOG_BITS * self.lmbda) / (1 + e * e)
                e = np.linalg.solve(own_steady + np.diag(ridge), side).astype(np.float32)
            e = self._settled(level, np.rint(e).clip(-4000, 4000), own, side)
            gain = 2 * e @ side - e @ (own @ e)
            if gain < self.lmbda * sum(self._price(level, int(v)) for v in e):
                e = np.zeros_like(e)
            for v in e if e.any() else ():
                self.counts[level][int(v)] = self.counts[level].get(int(v), 0.0) + 1
            left = left - maker @ e
            out.append(e)
        return np.concatenate(out).astype(np.int32)

    def _price(self, level: int, value: int) -> float:
        """Bits."""
        counts = self.counts[level]
        likely = (counts.get(value, 0.0) + 1.2 / (1 + value * value)) / (sum(counts.values()) + 4)
        return -math.log2(likely)

    def _settled(self, level: int, e: Floats, own: Floats, side: Floats) -> Floats:
        """Integers near some start of the least J, one after another."""
        prices: dict[int, float] = {}
        slope = own @ e - side  # half the gradient
        for _ in range(SWEEPS):
            changed = False
            for i in range(len(e)):
                now = int(e[i])
                best, least = now, 0.0
                for v in {0, now - 1, now + 1} - {now}:
                    d = v - now
                    for k in (v, now):
                        if k not in prices:
                            prices[k] = self.lmbda * self._price(level, k)
                    change = own[i, i] * d * d + 2 * d * slope[i] + prices[v] - prices[now]
                    if change < least:
                        best, least = v, change
                if best != now:
                    slope += own[i] * np.float32(best - now)
                    e[i] = best
                    changed = True
            if not changed:
                break
        return e


def _followers(reach: int) -> np.float32:
    """How many frames' errors a knot stands for that knots up to `reach` away are predicted from."""
    away = np.arange(1, reach)
    return np.float32(1 + 2 * ((1 - away / reach) ** 2).sum())


def _through_knots(knots: Knots, weights: Floats, coefficients: Floats) -> Floats:
    """Values of the knots, [knots, rows, columns, 2], that come nearest to those of the frames."""
    free = np.arange(knots.intervals + 1) != knots.reference
    w = weights[:, free].astype(np.float64)
    bend = np.diff(np.eye(knots.intervals + 1), 2, axis=0)[:, free]
    normal = w.T @ w + 1e-3 * (bend.T @ bend) + 1e-9 * np.eye(w.shape[1])
    flat = np.linalg.solve(normal, w.T @ coefficients.reshape(len(weights), -1))
    out = np.zeros((knots.intervals + 1, *coefficients.shape[1:]), np.float32)
    out[free] = flat.reshape(-1, *coefficients.shape[1:])
    return out
