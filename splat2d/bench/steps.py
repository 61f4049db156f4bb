"""Steps of shape and position that follow from each splat's energy, beside steps that are the same for all.

The file format has no fixed steps, so both are rounded here, from the same fit before refinement, and their
bits counted alike: colours, areas and aspects by adaptive tables, the cheaper of one and of one for each
energy class; angles and positions uniform over their values, less what a set saves. Each side takes the steps
that give it the least J = SSE + lambda x bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat2d.bench.counted import adaptive_bits
from splat2d.draw.render import CUTOFF, background_floats
from splat2d.errors import Splat2dError
from splat2d.fit.config import FitConfig
from splat2d.fit.encode import quality_step, step_code
from splat2d.fit.fitter import PictureFit
from splat2d.format.header import step_of
from splat2d.native import core
from splat2d.native.backend import Backend

# Steps of ln area and ln aspect, of the angle in rad and of the position in deviations, over 1 / R.
SHAPE, ANGLE, POSITION = 1.63, 1.0, 1.41
WIDEST = 1.4  # step of ln area and ln aspect
LATTICE = (1 / 64, 32.0)  # px
FACTOR = math.sqrt(2)  # between steps that are tried
MOVES = 24  # at most, from steps to better ones

Floats = NDArray[np.float64]
Steps = tuple[float, float, float]


@dataclass(frozen=True)
class Fitted:
    """Splats of a fit before refinement.

    Args:
        pixels: of the picture [C, H, W].
        config: of the fit.
        step: D.
        background: [C].
        k: [N, C] colour integers.
        energy: [N, C] amplitudes in RGB times sqrt(pi s1 s2), as the integers have them.
        radius: [N] |k| rounded to a power of sqrt(2).
        means: [N, 2] px.
        area: [N] ln(s1 s2).
        aspect: [N] ln(s1 / s2).
        angle: [N] rad.
        backend: that fitted.
    """

    pixels: NDArray[np.float32]
    config: FitConfig
    step: float
    background: NDArray[np.float32]
    k: NDArray[np.int32]
    energy: Floats
    radius: Floats
    means: Floats
    area: Floats
    aspect: Floats
    angle: Floats
    backend: Backend


@dataclass(frozen=True)
class Point:
    """What steps come to.

    Args:
        steps: of shape, angle and position.
        bits: of all splats.
        sse: of the picture rounded to bytes.
    """

    steps: Steps
    bits: float
    sse: float


def fit(pixels: NDArray[np.float32], config: FitConfig, quality: float, backend: Backend) -> Fitted:
    """Fit a picture [C, H, W] without refinement."""
    step = step_of(step_code(quality_step(quality, config.tune)))
    done = PictureFit(pixels, config, step, backend=backend)
    integers, means, conics = done.state()
    channels, chroma = len(pixels), config.chroma_code
    live = integers[:, :channels].any(1)
    if not live.any():
        raise Splat2dError("the fit has no splats at this quality; choose a higher one")
    integers = np.ascontiguousarray(integers[live])
    a, b, c = conics[live].astype(np.float64).T
    area = -0.5 * np.log(a * c - b * b)
    _, coarse, colors = core().dequantize(integers, step, chroma)
    x, y, z = coarse.astype(np.float64).T
    norm = np.sqrt(math.pi) * (x * z - y * y) ** -0.25
    classes = core().energy_classes(np.ascontiguousarray(integers[:, :channels]), chroma)
    return Fitted(
        pixels,
        config,
        step,
        background_floats(done.background),
        integers[:, :channels],
        colors * norm[:, None],
        2.0 ** (classes / 2),
        means[live].astype(np.float64),
        area,
        np.arccosh(np.maximum(0.5 * (a + c) * np.exp(area), 1)),
        0.5 * np.arctan2(-2 * b, c - a),
        backend,
    )


def rounded(fitted: Fitted, steps: Steps, *, by_energy: bool) -> Point:
    """Return what steps come to.

    Args:
        fitted: splats.
        steps: factors of the natural steps when `by_energy`, else steps of ln area, of rad and of px.
        by_energy: whether steps follow from each splat's energy.
    """
    n = len(fitted.k)
    shape = np.minimum(steps[0] * SHAPE / fitted.radius, WIDEST) if by_energy else np.full(n, steps[0])
    q_area, q_aspect = np.rint(fitted.area / shape), np.rint(fitted.aspect / shape)
    area, aspect = q_area * shape, q_aspect * shape
    if by_energy:
        angles = 1 + np.floor(math.pi * fitted.radius * np.sinh(aspect) / (steps[1] * ANGLE))
    else:
        angles = np.full(n, max(round(math.pi / steps[1]), 1))
    angles = np.where(q_aspect > 0, np.clip(angles, 1, core().MAX_ANGLES), 1)
    angle = np.rint(fitted.angle * angles / math.pi) * math.pi / angles
    cosine, sine = np.cos(angle), np.sin(angle)
    v1, v2 = np.exp(area + aspect), np.exp(area - aspect)
    yy, xy = sine**2 * v1 + cosine**2 * v2, sine * cosine * (v1 - v2)
    if by_energy:
        # A lattice sheared as the Gaussian is, so that long ones spend little along their length.
        part = steps[2] * POSITION / fitted.radius
        hy, hx, shear = part * np.sqrt(yy), part * np.exp(area) / np.sqrt(yy), xy / yy
    else:
        hy, hx, shear = np.full(n, steps[2]), np.full(n, steps[2]), np.zeros(n)
    hx, hy = np.clip(hx, *LATTICE), np.clip(hy, *LATTICE)
    y = np.rint(fitted.means[:, 1] / hy) * hy
    x = np.rint((fitted.means[:, 0] - shear * y) / hx) * hx + shear * y
    i1, i2 = 1 / v1, 1 / v2
    conics = (cosine**2 * i1 + sine**2 * i2, cosine * sine * (i1 - i2), sine**2 * i1 + cosine**2 * i2)
    colors = fitted.energy / (math.sqrt(math.pi) * np.exp(0.5 * area))[:, None]
    channels, height, width = fitted.pixels.shape
    margin = 2 * core().MARGIN
    bits = sum(_plane_bits(np.abs(fitted.k[:, c]), fitted.radius) for c in range(channels))
    bits += np.count_nonzero(fitted.k) + _plane_bits(q_area, fitted.radius)
    bits += _plane_bits(q_aspect, fitted.radius) + float(np.log2(angles).sum())
    bits += float(np.log2((width + margin) * (height + margin) / (hx * hy)).sum())
    bits -= math.lgamma(n + 1) / math.log(2)
    pixels = core().render_bytes(
        np.stack([x, y], 1).astype(np.float32),
        np.stack(conics, 1).astype(np.float32),
        colors.astype(np.float32),
        width,
        height,
        CUTOFF,
        fitted.background,
        threads=fitted.backend.thread_count,
    )
    error = pixels.transpose(2, 0, 1).astype(np.float64) / 255 - fitted.pixels
    return Point(steps, bits, float(np.square(error).sum()))


def first_steps(fitted: Fitted) -> Steps:
    """Return steps for all splats that are the natural ones of a median splat."""
    radius, aspect, area = (float(np.median(x)) for x in (fitted.radius, fitted.aspect, fitted.area))
    return (
        min(SHAPE / radius, WIDEST),
        min(ANGLE / (radius * max(math.sinh(aspect), 0.1)), 1.0),
        POSITION / radius * math.exp(0.5 * area),
    )


def best(fitted: Fitted, *, by_energy: bool) -> Point:
    """Return the steps of least J: shape, angle and position in turn, as long as a neighbour is better."""
    lmbda = fitted.config.lagrangian * fitted.step**2

    def cost(point: Point) -> float:
        return point.sse + lmbda * point.bits

    start = (1.0, 1.0, 1.0) if by_energy else first_steps(fitted)
    found = rounded(fitted, start, by_energy=by_energy)
    moves, idle, which = 0, 0, 0
    while idle < len(start) and moves < MOVES:
        better = found
        for factor in (FACTOR, 1 / FACTOR):
            steps = list(found.steps)
            steps[which] *= factor
            tried = rounded(fitted, (steps[0], steps[1], steps[2]), by_energy=by_energy)
            better = min(better, tried, key=cost)
        if better is found:
            idle, which = idle + 1, (which + 1) % len(start)
        else:
            idle, moves, found = 0, moves + 1, better
    return found


def _plane_bits(values: NDArray[Any], classes: Floats) -> float:
    """Return the bits of integers by one adaptive table, or by one for each class where that is cheaper."""
    whole = (values - values.min(initial=0)).astype(np.int64)
    symbols = int(whole.max(initial=0)) + 1
    each = sum(adaptive_bits(whole[classes == one], symbols) for one in np.unique(classes))
    return min(adaptive_bits(whole, symbols), each)
