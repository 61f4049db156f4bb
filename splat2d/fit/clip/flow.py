"""Optical flow on the motion field's own grid: where each point of the world is in each frame.

Each frame is registered to a template, the mean of the frames so far as the field brings them back to the
world, by Gauss-Newton steps on the coefficients of a cubic B-spline, coarse to fine (Szeliski and Coughlan
1997, "Spline-based image registration"), with the weights of Geman and McClure. It goes from the middle frame
to both ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat2d.fit.clip.lattice import Lattice
from splat2d.fit.means import half
from splat2d.native import core

Floats = NDArray[np.float32]

LEVELS = 4  # of the pyramid and of the grid alike
LEAST_SIDE = 12  # px of a level
MOST_SIDE = 200  # px of frames that are not halved first
ITERATIONS = 4  # a level
SCALE = 0.05  # of the residual beyond which a pixel counts less
COARSER_SCALE = 2.0  # times that for each coarser level
STIFFNESS = 0.1  # of second differences of coefficients, over the mean of what pixels say of one
STRETCH = 0.1  # of first differences beyond a plane's, over second ones
MEMORY = 4.0  # frames that the template is a mean of, at most
LEAST_SAID = 1e-3  # of pixels, a px, so that black frames stay where they are


@dataclass(frozen=True)
class Flow:
    """What the frames say of the motion.

    Args:
        coefficients: [T, rows, columns, 2] px, x and y; 0 in the middle frame.
        drift: [T, 2] px, the median displacement of what each frame shows.
        normals: one for each knot, [2 K, 2 K] for the K coefficients' x, then y: how fast the squared error
            of the luma grows around the knot's coefficients, summed over pixels and frames.
        bending: [2 K, 2 K] what keeps the field smooth, in the same units, for one frame.
    """

    coefficients: Floats
    drift: Floats
    normals: Floats
    bending: Floats


def flow(frames: Floats, shifts: Floats, world: tuple[int, int], cell: int, weights: Floats) -> Flow:
    """Estimate the motion.

    Args:
        frames: [T, H, W] luma.
        shifts: [T, 2] the camera's path, px.
        world: width and height of what it shows, px.
        cell: of the grid, px.
        weights: [T, knots] what knots count for in each frame.
    """
    return _Estimate(frames, shifts, world, cell).run(weights)


def sampled(picture: Floats, x: Floats, y: Floats) -> Floats:
    """A picture at places [H, W], px from its corner, bilinear; those outside count as the nearest inside."""
    return core().sampled(*(np.ascontiguousarray(v, np.float32) for v in (picture, x, y)))


class _Level:
    """One level: of the frames, `scale` times smaller, and of the grid, 2^number times coarser."""

    def __init__(self, number: int, world: tuple[int, int], cell: int, scale: int) -> None:
        self.number, self.scale = number, scale
        width, height = (-(-v // self.scale) for v in world)
        self.lattice = Lattice.of(world, cell << number)
        # Of the level's pixels, in px of the world.
        self.x = (np.arange(width, dtype=np.float32) + 0.5) * self.scale
        self.y = (np.arange(height, dtype=np.float32) + 0.5) * self.scale
        self.across, self.down = self.lattice.weights(self.x, 0), self.lattice.weights(self.y, 1)
        rows, columns = self.lattice.shape
        self.stiff = _bending(rows, columns)
        # Products of basis functions that overlap, by how many rows and columns apart they are.
        self.pairs_down = [(self.down[:, : rows - d] * self.down[:, d:]).T for d in range(min(4, rows))]
        self.pairs_across = [
            (d, max(0, -d), columns - max(0, d)) for d in range(-min(3, columns - 1), min(4, columns))
        ]
        self.products_across = np.concatenate(
            [self.across[:, a:b] * self.across[:, a + d : b + d] for d, a, b in self.pairs_across], 1
        )
        self.template = np.zeros((height, width), np.float32)
        self.seen = np.zeros((height, width), np.float32)

    def places(self, coefficients: Floats) -> tuple[Floats, Floats]:
        """Where the world's pixels go, px of the world."""
        u, v = (self.down @ coefficients[..., a] @ self.across.T for a in range(2))
        return u + self.x, v + self.y[:, None]

    def looked_up(
        self, picture: Floats, coefficients: Floats, shift: Floats
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """The frame as the world's pixels see it, where it is seen, and its slopes, a px of the world."""
        x, y = self.places(coefficients)
        x, y = (x + shift[0]) / self.scale, (y + shift[1]) / self.scale
        h, w = picture.shape
        inside = (x > 0.5) & (y > 0.5) & (x < w - 0.5) & (y < h - 0.5)
        seen = inside.astype(np.float32)
        value = sampled(picture, x, y)
        aside = np.float32(0.5)
        per_px = np.float32(1 / self.scale)
        gx = (sampled(picture, x + aside, y) - sampled(picture, x - aside, y)) * per_px
        gy = (sampled(picture, x, y + aside) - sampled(picture, x, y - aside)) * per_px
        return value, seen, gx, gy

    def normal(self, a: Floats) -> Floats:
        """Sum over pixels of a times the products of all pairs of basis functions, [K, K]."""
        rows, columns = self.lattice.shape
        out = np.zeros((rows, columns, rows, columns), np.float32)
        r, c = np.arange(rows), np.arange(columns)
        for dr, down in enumerate(self.pairs_down):
            blocks, done = down @ a @ self.products_across, 0
            for dc, left, right in self.pairs_across:
                block = blocks[:, done : (done := done + right - left)]
                rr, cc = r[: rows - dr, None], c[None, left:right]
                out[rr, cc, rr + dr, cc + dc] = block
                out[rr + dr, cc + dc, rr, cc] = block
        return out.reshape(rows * columns, -1)

    def normals(self, weight: Floats, gx: Floats, gy: Floats) -> Floats:
        """The normal matrix of x, then y."""
        xx, xy, yy = (
            self.normal(np.multiply(weight, p, dtype=np.float32)) for p in (gx * gx, gx * gy, gy * gy)
        )
        return np.block([[xx, xy], [xy, yy]])

    def right(self, weighted: Floats, gx: Floats, gy: Floats) -> Floats:
        """The right side of the normal equations."""
        return np.concatenate([(self.down.T @ (weighted * g) @ self.across).ravel() for g in (gx, gy)])

    def step(self, picture: Floats, coefficients: Floats, shift: Floats) -> Floats:
        """A Gauss-Newton step's change of the coefficients."""
        value, seen, gx, gy = self.looked_up(picture, coefficients, shift)
        known = seen * (self.seen > 0).astype(np.float32)
        error = (self.template - value) * known
        scale = SCALE * COARSER_SCALE**self.number
        weight = known * np.reciprocal(np.square(1 + np.square(error * np.float32(1 / scale))))
        normal = self.normals(weight, gx, gy)
        count = len(normal) // 2
        stiff = STIFFNESS * max(float(normal.trace()) / len(normal), LEAST_SAID)
        side = self.right(np.multiply(weight, error, dtype=np.float32), gx, gy)
        flat = np.moveaxis(coefficients, 2, 0).reshape(2, -1)
        for a in range(2):
            part = slice(a * count, (a + 1) * count)
            normal[part, part] += stiff * self.stiff
            side[part] -= stiff * (self.stiff @ flat[a])
        normal[np.diag_indices(2 * count)] += 0.01 * stiff
        d = np.linalg.solve(normal, side)
        limit = 1.5 * self.scale
        return np.clip(np.moveaxis(d.reshape(2, *self.lattice.shape), 0, 2), -limit, limit)

    def learn(self, picture: Floats, coefficients: Floats, shift: Floats) -> None:
        """Take a frame into the template."""
        value, seen, _, _ = self.looked_up(picture, coefficients, shift)
        error = (value - self.template) * (self.seen > 0)
        share = seen / (1 + (error / np.float32(2 * SCALE)) ** 2)
        total = self.seen + share
        np.divide(self.template * self.seen + value * share, total, out=self.template, where=total > 0)
        np.minimum(total, MEMORY, out=self.seen)


class _Estimate:
    def __init__(self, frames: Floats, shifts: Floats, world: tuple[int, int], cell: int) -> None:
        shrunk = 1
        while min(frames.shape[1:]) >= MOST_SIDE:
            frames, shrunk = half(frames), 2 * shrunk
        self.frames, self.shifts, self.shrunk = frames, shifts, shrunk
        self.levels = [_Level(0, world, cell, shrunk)]
        while (n := len(self.levels)) < LEVELS and min(frames.shape[1:]) >> n >= LEAST_SIDE:
            self.levels.append(_Level(n, world, cell, shrunk << n))

    def run(self, weights: Floats) -> Flow:
        count, middle = len(self.frames), len(self.frames) // 2
        finest = self.levels[0]
        found = np.zeros((count, *finest.lattice.shape, 2), np.float32)
        size = 2 * finest.lattice.shape[0] * finest.lattice.shape[1]
        drift = np.zeros((count, 2), np.float32)
        normals = np.zeros((weights.shape[1], size, size), np.float32)
        pyramids = [self._pyramid(frame) for frame in self.frames]
        for direction in (1, -1):
            for level in self.levels:
                level.template[:], level.seen[:] = 0, 0
                level.learn(pyramids[middle][level.number], level.lattice.zero(), self.shifts[middle])
            before = np.zeros_like(found[0])
            t = middle
            while 0 <= t < count:
                if t != middle:
                    c = self._registered(pyramids[t], found[t - direction] + 0.8 * before, self.shifts[t])
                    before, found[t] = c - found[t - direction], c
                    for level in self.levels:
                        own = c if level is finest else level.lattice.fitted(finest.lattice, c)
                        level.learn(pyramids[t][level.number], own, self.shifts[t])
                if t != middle or direction == 1:
                    _, seen, gx, gy = finest.looked_up(pyramids[t][0], found[t], self.shifts[t])
                    x, y = finest.places(found[t])
                    if seen.any():
                        drift[t] = (
                            np.median((x - finest.x)[seen > 0]),
                            np.median((y - finest.y[:, None])[seen > 0]),
                        )
                    normal = finest.normals(seen, gx, gy) * np.float32(self.shrunk**2)
                    for knot in np.flatnonzero(weights[t]):
                        normals[knot] += weights[t, knot] ** 2 * normal
                t += direction
        mean = max(float(np.trace(normals, axis1=1, axis2=2).sum()) / size / count, LEAST_SAID)
        bending = np.kron(np.eye(2, dtype=np.float32), finest.stiff) * np.float32(STIFFNESS * mean)
        return Flow(found, drift, normals, bending)

    def _pyramid(self, frame: Floats) -> list[Floats]:
        out = [frame]
        for _ in self.levels[1:]:
            out.append(half(out[-1]))
        return out

    def _registered(self, pyramid: list[Floats], guess: Floats, shift: Floats) -> Floats:
        """The coefficients on the finest grid: each level changes what the coarser ones found."""
        finest = self.levels[0].lattice
        c = guess
        for level in reversed(self.levels):
            own = c if level.number == 0 else level.lattice.fitted(finest, c)
            first = own
            for _ in range(ITERATIONS):
                d = level.step(pyramid[level.number], own, shift)
                own = own + d
                if np.abs(d).max() < 0.02:
                    break
            change = own - first
            for number in range(level.number, 0, -1):
                change = self.levels[number].lattice.refined(self.levels[number - 1].lattice, change)
            c = c + change
        return c


def _bending(rows: int, columns: int) -> Floats:
    """The matrix of what bends and, a little, of what stretches, [K, K]; planes cost nothing."""

    def second(n: int) -> Floats:
        d = np.zeros((max(n - 2, 0), n), np.float32)
        for i in range(n - 2):
            d[i, i : i + 3] = 1, -2, 1
        return d.T @ d

    def first(n: int) -> Floats:
        d = np.diff(np.eye(n, dtype=np.float32), axis=0)
        return d.T @ d

    one = np.eye(rows, dtype=np.float32), np.eye(columns, dtype=np.float32)
    bend = np.kron(second(rows), one[1]) + np.kron(one[0], second(columns))
    bend += 2 * np.kron(first(rows), first(columns))
    slopes = np.kron(first(rows), one[1]) + np.kron(one[0], first(columns))
    y, x = (
        v.ravel() for v in np.indices((rows, columns)) - np.array([rows - 1, columns - 1])[:, None, None] / 2
    )
    planes = np.linalg.qr(np.stack([np.ones(rows * columns), x, y], 1))[0].astype(np.float32)
    beyond = np.eye(rows * columns, dtype=np.float32) - planes @ planes.T
    return bend + np.float32(STRETCH) * (beyond @ slopes @ beyond)
