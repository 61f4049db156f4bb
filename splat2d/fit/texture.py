"""What texture a decoded picture lacks, as strengths that a file holds.

A cell's strength in an octave is a choice by rate and distortion. The distortion is one of statistics, not
of samples: in each block of a cell the deviation that the octave has in the original against the one it gets,
that of the decoded picture and of the noise together, over what would hide the difference. Where splats have
it all there is nothing to gain, and where a part of the cell is flat, grain costs more there than it brings
elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.render import View, render
from splat2d.draw.texture import Texture
from splat2d.fit.bands import Bank, Plane, luma
from splat2d.format.container import read, write
from splat2d.format.texture import CodedTexture, grid, texture_section
from splat2d.native import core
from splat2d.native.backend import ALL_CORES, Backend
from splat2d.scene.picture import Scene

BANDS = 4
CELLS = (24, 32, 48)  # px, those that are tried
BLOCKS = (4, 8, 8, 8)  # px of a side, by band
LEAST_SIDE = 64  # px of a picture that gets a texture
TARGET = 0.9  # of what is missing: noise shows more than structure of the same energy
HIDDEN = 2 / 255  # deviation whose change is as hard to see as none at all
GRAIN = 5.0  # what too much weighs over too little
BIT = 1.0  # px of a change as strong as what is there that are worth a bit
AROUND = 2  # cells to each side whose costs a first choice looks at
ROUNDS = 4
MOST_BPP, MOST_SHARE = 0.01, 0.05  # of the pixels' bits and of the file
SMALL = 64  # bytes that are no matter of shares
SLOPES = (8, 48)

Floats = NDArray[np.float32]


def texture_budget(pixels: int, size: float) -> int:
    """Bytes that a texture may have in a file of `size` bytes of a picture of so many pixels."""
    return int(min(MOST_BPP * pixels / 8, max(MOST_SHARE * size, SMALL)))


def textured(data: bytes, original: Plane, *, strength: float = 1.0, backend: Backend = ALL_CORES) -> bytes:
    """A picture's file with a texture of what it lacks, or as it was where that is too little.

    Args:
        data: the file, without a texture.
        original: [C, H, W] what was encoded, in [0, 1], premultiplied.
        strength: factor of the amplitudes.
        backend: whose threads do it.
    """
    container = read(data)
    _, height, width = original.shape
    if min(width, height) < LEAST_SIDE or strength == 0:
        return data
    decoded = Scene.from_bytes(data, threads=backend.threads).render_float(threads=backend.threads)
    lumas = [luma(np.clip(p, 0, 1)) for p in (original.transpose(1, 2, 0), decoded)]
    layers = range(len(container.stack))
    most = texture_budget(width * height, len(data))
    x, x_hat = lumas
    searches = [_Search(x, x_hat, cell, layers, most, TARGET * strength) for cell in CELLS]
    best = max(searches, key=lambda search: search.first())
    for _ in range(ROUNDS):
        best.again()
    if best.texture is None or best.gain <= 0:
        return data
    return write(replace(container, textures=(best.texture,)))


class _Search:
    """Levels for one size of cells.

    Args:
        x: luma of the original.
        x_hat: luma of what is decoded.
        cell: px.
        layers: that get the texture.
        most: bytes of its section.
        target: share of the missing deviation that is aimed at.
    """

    def __init__(
        self, x: Plane, x_hat: Plane, cell: int, layers: Sequence[int], most: int, target: float
    ) -> None:
        wanted, got = (block_energies(plane, cell) for plane in (x, x_hat))
        self.cell, self.layers, self.most = cell, layers, most
        self.slope = _slope(wanted)
        self.bands = [
            _Band(w, g, np.sqrt(g + target**2 * np.maximum(w - g, 0)), crosstalk()[b, b], BLOCKS[b])
            for b, (w, g) in enumerate(zip(wanted, got, strict=True))
        ]
        self.texture: CodedTexture | None = None
        self.gain, self.bit = 0.0, BIT
        self.none = sum(band.loss(np.zeros(band.shape, np.float32), 0) for band in self.bands)
        self.levels = np.zeros((BANDS, *self.bands[0].shape, 1), np.uint8)

    def first(self) -> float:
        """Choose as if cells did not know of each other; the gain over no texture, px."""
        costs = np.stack([band.costs_alone() for band in self.bands])[:, :, :, None, :]
        # From what suits a cell's surroundings too, which costs few bits: descents end in the nearest hollow.
        self._choose(costs, np.ascontiguousarray(_smoothed(costs, AROUND).argmin(-1).astype(np.uint8)))
        self.field = amplitudes()[self.levels[..., 0]]
        return self.gain

    def again(self) -> None:
        """Choose each cell's levels given what its neighbours and the other octaves put into it."""
        # All choose at once, so that each sees the others half-way, or they would swing.
        self.field = 0.5 * (self.field + amplitudes()[self.levels[..., 0]])
        field, others = self.field, self._others(self.field)
        costs = np.stack([band.costs(a, e) for band, a, e in zip(self.bands, field, others, strict=True)])
        self.bit = max(self.bit / 1.4, BIT)
        self._choose(costs[:, :, :, None, :], self.levels)

    def _others(self, field: Floats) -> Floats:
        """Energies [bands, rows, columns] that each octave gets from the noise of the others."""
        leaks = crosstalk() - np.diag(np.diag(crosstalk()))
        return np.einsum("bj,jyx->byx", leaks, field**2).astype(np.float32)

    def _choose(self, costs: Floats, levels: NDArray[np.uint8]) -> None:
        for _ in range(24):
            levels = core().choose_levels(costs, self.bit, levels, 3)
            texture = CodedTexture.of(levels, self.layers, self.cell, slope=self.slope)
            size = len(texture_section(texture))
            if size <= self.most:
                break
            self.bit *= 1.4
        else:
            return
        field = amplitudes()[levels[..., 0]]
        left = sum(b.loss(a, e) for b, a, e in zip(self.bands, field, self._others(field), strict=True))
        gain = self.none - left - BIT * 8 * size
        self.levels = levels
        if self.texture is None or gain > self.gain:
            self.texture, self.gain = texture, gain


class _Band:
    """What an octave lacks, block by block.

    Args:
        wanted: energies [rows, columns, blocks, blocks] of the original.
        got: of what is decoded.
        aim: deviations that would be right.
        heard: energy that its filter finds of its own noise of amplitude 1.
        side: of a block, px.
    """

    def __init__(self, wanted: Floats, got: Floats, aim: Floats, heard: float, side: int) -> None:
        self.shape, self.blocks = wanted.shape[:2], wanted.shape[2]
        self.got, self.aim, self.heard = got, aim, np.float32(heard)
        self.weight = np.float32(side**2) / (wanted + np.float32(HIDDEN**2))
        # [n, blocks, n]: shares of each cell's amplitude in the blocks of rows and of columns.
        self.spread = [_interpolation(n, self.blocks) for n in self.shape]

    def costs_alone(self) -> Floats:
        """What levels [rows, columns, 16] leave if a cell's amplitude filled it."""
        squares = self.heard * amplitudes() ** 2
        return np.stack([self._losses(self.got + e).sum((2, 3)) for e in squares], -1)

    def loss(self, field: Floats, others: Floats | int) -> float:
        """What amplitudes [rows, columns] leave, with energies of other octaves, px."""
        others = others[:, :, None, None] if isinstance(others, np.ndarray) else others
        energy = self.got + others + self.heard * self._filled(field) ** 2
        return float(self._losses(energy).sum(dtype=np.float64))

    def costs(self, field: Floats, others: Floats) -> Floats:
        """What levels [rows, columns, 16] leave, each among neighbours that stay as they are."""
        filled = self._filled(field)
        got = self.got + others[:, :, None, None]
        out = np.zeros((*self.shape, len(amplitudes())), np.float32)
        rows, columns = self.shape
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                # Cells that have a neighbour there, and that neighbour.
                ours = np.s_[max(-dy, 0) : rows - max(dy, 0), max(-dx, 0) : columns - max(dx, 0)]
                its = np.s_[max(dy, 0) : rows - max(-dy, 0), max(dx, 0) : columns - max(-dx, 0)]
                down, across = (
                    np.diagonal(spread, -d, 0, 2).T for spread, d in zip(self.spread, (dy, dx), strict=True)
                )
                share = down[:, None, :, None] * across[None, :, None, :]
                rest = filled[its] - share * field[ours][:, :, None, None]
                part = self.got[its], self.aim[its], self.weight[its]
                for level, amplitude in enumerate(amplitudes()):
                    energy = got[its] + self.heard * (rest + share * amplitude) ** 2
                    out[(*ours, level)] += _losses(energy, *part[1:]).sum((2, 3))
        return out

    def _filled(self, field: Floats) -> Floats:
        """Amplitudes [rows, columns, blocks, blocks] as the decoder interpolates them."""
        down, across = self.spread
        return np.einsum("rpi,cqj,ij->rcpq", down, across, field, optimize=True)

    def _losses(self, energy: Floats) -> Floats:
        return _losses(energy, self.aim, self.weight)


def _losses(energy: Floats, aim: Floats, weight: Floats) -> Floats:
    """Changes of deviation squared over what hides them, px."""
    change = np.sqrt(energy) - aim
    change *= np.where(change > 0, np.float32(GRAIN**0.5), np.float32(1))
    return weight * change * change


def _interpolation(cells: int, blocks: int) -> Floats:
    """Shares [cells, blocks, cells] of each cell in the middles of blocks, linear between cells' middles."""
    at = np.clip((np.arange(cells * blocks) + 0.5) / blocks - 0.5, 0, cells - 1)
    out = np.maximum(1 - np.abs(at[:, None] - np.arange(cells)), 0)
    return out.reshape(cells, blocks, cells).astype(np.float32)


def _smoothed(costs: Floats, reach: int) -> Floats:
    """Sums of costs [bands, rows, columns, ...] over so many cells to each side, edges repeated."""
    for axis in (1, 2):
        size = costs.shape[axis]
        ends = [(reach + 1, reach) if i == axis else (0, 0) for i in range(costs.ndim)]
        sums = np.cumsum(np.pad(costs, ends, "edge"), axis, dtype=np.float64)
        upper = np.arange(2 * reach + 1, 2 * reach + 1 + size)
        costs = (np.take(sums, upper, axis) - np.take(sums, upper - (2 * reach + 1), axis)).astype(np.float32)
    return costs


def block_energies(plane: Plane, cell: int) -> list[Floats]:
    """Energies by octave [rows, columns, blocks, blocks] of the blocks of each cell of a plane [H, W]."""
    rows, columns = (grid(side, cell) for side in plane.shape)
    ends = [(cell, (n + 1) * cell - side) for n, side in zip((rows, columns), plane.shape, strict=True)]
    padded = np.pad(plane, ends, "symmetric")
    out = []
    for band, _, response in Bank(padded.shape[0], padded.shape[1], BANDS, 1).responses(padded):
        blocks, side = cell // BLOCKS[band], BLOCKS[band] >> max(band - 1, 0)
        energy = 0.5 * (response.real**2 + response.imag**2)
        energy = energy.reshape(rows + 2, blocks, side, columns + 2, blocks, side).mean((2, 5))
        out.append(np.ascontiguousarray(energy[1:-1, :, 1:-1].transpose(0, 2, 1, 3)))
    return out


@lru_cache
def amplitudes() -> Floats:
    """[16] of the levels."""
    return np.array(core().AMPLITUDES, np.float32)


@lru_cache
def crosstalk() -> Floats:
    """Energy [bands, bands] that the filter of octave i finds of noise of amplitude 1 in octave j."""
    side, cell, level = 256, 32, 8
    out = np.zeros((BANDS, BANDS), np.float32)
    for j in range(BANDS):
        levels = np.zeros((BANDS, side // cell, side // cell, 1), np.uint8)
        levels[j] = level
        view = View.whole(side, side)
        drawer = view.through(Texture(levels, cell, 0, 0, (side, side)))
        means, conics, colors = (np.zeros((0, columns), np.float32) for columns in (2, 3, 1))
        noise = render(means, conics, colors, view, texture=drawer)[0] / amplitudes()[level]
        out[:, j] = [energy.mean() for energy in block_energies(noise, cell)]
    return out


def _slope(wanted: list[Floats]) -> int:
    """How the octaves' deviations fall towards the finest, for those beyond it; sixteenths of an octave."""
    fine, coarse = (float(np.sqrt(wanted[band]).mean()) for band in (0, 1))
    return int(np.clip(round(-16 * np.log2(max(fine, 1e-6) / max(coarse, 1e-6))), *SLOPES))
