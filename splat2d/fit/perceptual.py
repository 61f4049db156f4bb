"""What an error weighs, by place and by scale, so that squared errors follow what eyes see of structure.

Source: Multi-scale structural similarity for image quality assessment (2003), section 3. With x the original
and e the error, 1 - contrast x structure of one window is exactly var(e) / (var(x) + var(x + e) + C2). With
var(x) for var(x + e), and each window spread over its pixels, 1 - MS-SSIM is a quadratic form in e: at each
scale the error is weighed by the inverse local variance of the original, less the same of its local means, to
which SSIM is blind. Luminance, which only the coarsest scale has, is left out.

SSIMULACRA2 (https://github.com/cloudinary/ssimulacra2) sums the same over scales of luma, most of it at a
quarter and an eighth of the size.

With y = x + e the exact denominator falls with var(y): a picture that has lost some structure comes nearer to
x when it shows more of what it has kept. The derivative by y is that of var(y - x - (1 - SSIM) y) over the
same denominator, so fits go on towards x and a part of the details that they have (`emphasised`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from splat2d.fit.rows import Rows
from splat2d.native import core
from splat2d.native.backend import ALL_CORES, Backend

# SSIM's window in px, and C2 for values in [0, 1].
WINDOW_RADIUS, WINDOW_SIGMA = 5, 1.5
C2 = 0.03**2

SIDE_MIN = 16  # px; scales with a smaller side are left out
LEAST = 1e-3  # of the finest level's largest weight
# A coarser level takes back what the finer ones weigh too much, because SSIM does not see an error's local
# mean; at most this part, and nothing near the border, where splats may lie half outside.
TAKE_BACK = 0.7
BORDER = 2  # px of the level
MOST_EMPHASIS = 0.4  # of the present details
# Step at which a guide's exponents hold, how many fine scales follow it, and by factors between which.
USUAL_STEP, FINE_SCALES, FINENESS = 0.2, 2, (0.5, 1.35)


@dataclass(frozen=True)
class Guide:
    """What a tune follows.

    Args:
        exponents: of the scales, fine first, each half the size of the one before.
        fineness: power of a finer colour step by which those of the finest scales are larger; at a coarse
            step little of what they lack can be had.
        power: of the local weights. Full weights (1) would leave textures too fine a colour step, which is
            one for the whole picture.
        gain: of all weights: how many splats go with a colour step.
        finer: the colour step over that of the same quality for PSNR, so that both give about one file size.
        levels: of the native distortion's pyramid; its last stands for all coarser ones.
        lacking: power of what local weights are multiplied by where the present picture lacks variance; a
            power of 1 is SSIM's denominator, which has the variances of both pictures.
        emphasis: how much of the present details goes into what is fitted, over what SSIM's derivative says.
        chroma: of pictures, what errors that leave the luma as it is count over grey ones.
        luma: weights of red, green and blue in the plane whose variance counts; None for that of each one.
    """

    exponents: tuple[float, ...]
    power: float
    gain: float
    finer: float
    levels: int
    lacking: float
    emphasis: float
    fineness: float = 0.0
    chroma: float = 1.0
    luma: tuple[float, float, float] | None = None

    def scales(self, step: float | None) -> list[float]:
        """The exponents at a colour step; at the usual one for None."""
        finer = 1.0 if step is None else (USUAL_STEP / step) ** self.fineness
        finer = min(max(finer, FINENESS[0]), FINENESS[1])
        return [e * finer if scale < FINE_SCALES else e for scale, e in enumerate(self.exponents)]

    def planes(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the variance is taken of, [1 or 3, H, W] of pixels [C, H, W]."""
        if len(pixels) < 3:
            return pixels[:1]
        if self.luma is None:
            return pixels[:3]
        # Not a product of matrices, whose library wakes threads of its own.
        red, green, blue = (
            np.float32(weight) * plane for weight, plane in zip(self.luma, pixels, strict=False)
        )
        return (red + green + blue)[None]


GUIDES = {
    # The exponents are MS-SSIM's own.
    "ms-ssim": Guide(
        (0.0448, 0.2856, 0.3001, 0.2363, 0.1333),
        power=0.75,
        gain=4.0,
        finer=1.0,
        levels=3,
        lacking=2.5,
        emphasis=1.0,
    ),
    "visual": Guide(
        (0.04, 0.13, 0.37, 0.34, 0.12),
        power=0.6,
        gain=2.7,
        finer=0.82,
        levels=4,
        lacking=4.5,
        emphasis=1.5,
        fineness=0.5,
        chroma=0.6,
        luma=(0.3, 0.6, 0.1),
    ),
}


def halved(planes: NDArray[Any]) -> NDArray[Any]:
    """Means of 2 x 2 pixels of [..., H, W]; an odd last row or column stands alone."""
    h, w = planes.shape[-2:]
    p = planes
    if h % 2 or w % 2:
        p = np.pad(planes, [(0, 0)] * (planes.ndim - 2) + [(0, h % 2), (0, w % 2)], mode="edge")
    mean = p[..., ::2, ::2] + p[..., 1::2, ::2]
    mean += p[..., ::2, 1::2]
    mean += p[..., 1::2, 1::2]
    mean *= 0.25
    return mean


def mean_of(planes: NDArray[Any], dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """The mean of [C, H, W] over C."""
    return planes[0].astype(dtype) if len(planes) == 1 else planes.mean(0, dtype=dtype)


def windowed(planes: NDArray[Any], backend: Backend = ALL_CORES) -> NDArray[np.float32]:
    """Means of [C, H, W] under the Gaussian window of SSIM; beyond the border stands its pixel."""
    taps = np.exp(-0.5 * (np.arange(-WINDOW_RADIUS, WINDOW_RADIUS + 1) / WINDOW_SIGMA) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    return core().windowed(np.ascontiguousarray(planes, np.float32), taps, backend.thread_count)


def local_variance(planes: NDArray[np.float32], rows: Rows) -> NDArray[np.float32]:
    """Variance of [C, H, W] under that window."""
    squares, means = (windowed(p, rows.backend) for p in (rows(np.square, planes), planes))
    return rows(lambda a, b: np.maximum(a - b**2, 0), squares, means)


def level_variance(level: int) -> float:
    """Variance of the native pyramid's filter up to a level, px^2 (cpp/fit/distortion.hpp)."""
    return 0.25 * (4**level - 1)


def shares(variance: float, levels: int) -> list[tuple[int, float]]:
    """Levels, and their parts, that together see of an error what a blur of this variance (px^2) does."""
    for level in range(levels - 1):
        low, high = level_variance(level), level_variance(level + 1)
        if variance < high:
            part = (variance - low) / (high - low)
            return [(level, 1 - part), (level + 1, part)]
    return [(levels - 1, 1.0)]


def shrunk(plane: NDArray[np.float64], by: int) -> NDArray[np.float64]:
    """A plane of weights so many levels coarser."""
    for _ in range(by):
        plane = halved(plane)
    return plane


def least_beneath(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least value of a plane under the native filter of each pixel of the next level."""
    h, w = plane.shape
    p = np.pad(plane, ((1, 2 + h % 2), (1, 2 + w % 2)), mode="edge")
    rows = reduce(np.minimum, (p[i : i + 2 * ((h + 1) // 2) : 2] for i in range(4)))
    return reduce(np.minimum, (rows[:, i : i + 2 * ((w + 1) // 2) : 2] for i in range(4)))


def bounded(weights: list[NDArray[np.float64]]) -> None:
    """Make weights, in place, those whose distortion is never negative.

    Coarser levels are averages of finer ones, so what a level takes back is covered if the finer levels weigh
    more everywhere under its filter.
    """
    cover = np.maximum(weights[0], LEAST * weights[0].max(), out=weights[0])
    for level in range(1, len(weights)):
        cover = least_beneath(cover)
        most = np.zeros(cover.shape)
        most[BORDER:-BORDER, BORDER:-BORDER] = TAKE_BACK
        np.maximum(weights[level], -most * cover, out=weights[level])
        cover = cover + weights[level]


def structure_weights(
    pixels: NDArray[np.float32],  # [C, H, W]
    guide: Guide,
    shown: NDArray[np.float32] | None = None,  # [C, H, W]
    step: float | None = None,
    backend: Backend = ALL_CORES,
) -> list[NDArray[np.float32]]:
    """Weights of squared errors that make their sum follow the structure that a guide asks for.

    Args:
        pixels: the original, [C, H, W] in [0, 1]. Alpha is weighed as the colours are.
        guide: one of `GUIDES`.
        shown: the picture that is there so far; errors weigh more where it lacks variance. None for the
            original.
        step: the colour step D that the picture is fitted at.
        backend: whose threads do it.

    Returns:
        [H, W] and further levels, each half of the one before, rounded up. Those of coarser levels may be
        negative.
    """
    with Rows(backend) as rows:
        return _structure_weights(pixels, guide, shown, step, rows)


def _structure_weights(
    pixels: NDArray[np.float32],
    guide: Guide,
    shown: NDArray[np.float32] | None,
    step: float | None,
    rows: Rows,
) -> list[NDArray[np.float32]]:
    planes, present = guide.planes(pixels), None if shown is None else guide.planes(shown)
    sizes: list[tuple[int, int]] = [(planes.shape[1], planes.shape[2])]
    while len(sizes) < len(guide.exponents) and min(sizes[-1]) >= SIDE_MIN:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    levels = min(guide.levels, len(sizes))
    weights = [np.zeros(size) for size in sizes[:levels]]
    log_weight = total = 0.0
    for scale, exponent in enumerate(guide.scales(step)[: len(sizes)]):
        if scale:
            planes = rows(halved, planes, per=2)
            present = None if present is None else rows(halved, present, per=2)
        weight = _weight_of_scale(planes, present, guide, rows)
        log_weight += exponent * float(rows(np.log, weight).mean())
        total += exponent
        pooled = (4**scale - 1) / 12  # variance of the means of pixels that the scale consists of
        meant = pooled + 4**scale * WINDOW_SIGMA**2  # and of the window's local mean
        seen = [(level, part) for level, part in shares(pooled, levels)]
        if meant < level_variance(levels):
            seen += [(level, -part) for level, part in shares(meant, levels)]
        for level, part in seen:
            by, to = level - scale, weights[level]
            plane = shrunk(weight, by)[: to.shape[0], : to.shape[1]] if by > 0 else weight
            rows.add(to, part * exponent, plane, 2 ** max(-by, 0))
    factor = guide.gain / (total * np.exp(log_weight / total))
    bounded(weights)
    return [rows(lambda w: (w * factor).astype(np.float32), w) for w in weights]


def _weight_of_scale(
    planes: NDArray[np.float32],
    present: NDArray[np.float32] | None,
    guide: Guide,
    rows: Rows,
) -> NDArray[np.float64]:
    """What errors of a scale weigh for its structure, and what of that is present."""
    variance = local_variance(planes, rows)
    weight = windowed(rows(lambda v: 1 / (2 * v + C2), variance), rows.backend)
    weight = rows(lambda w: w**guide.power, weight)
    if present is not None:
        there = local_variance(present, rows)
        lack = windowed(rows(lambda v, u: (2 * v + C2) / (v + u + C2), variance, there), rows.backend)
        del variance, there
        usual = np.exp(rows(np.log, lack).mean())
        weight = rows(lambda w, k: w * (k / usual) ** guide.lacking, weight, lack)
    return mean_of(weight)


def doubled(plane: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A plane at twice its size, linear in between, cut to `shape`."""
    from PIL import Image

    height, width = plane.shape
    image = Image.fromarray(plane).resize((2 * width, 2 * height), Image.Resampling.BILINEAR)
    return np.asarray(image)[: shape[0], : shape[1]]


def emphasised(
    pixels: NDArray[np.float32],  # [C, H, W]
    guide: Guide,
    shown: NDArray[np.float32],  # [C, H, W]
    backend: Backend = ALL_CORES,
) -> NDArray[np.float32]:
    """What to fit so that squared errors follow SSIM's derivative: the original and details of what is shown.

    Args:
        pixels: the original, [C, H, W] in [0, 1], premultiplied.
        guide: one of `GUIDES`.
        shown: the picture that is there so far.
        backend: whose threads do it.

    Returns:
        [C, H, W] in [0, 1]. Each scale's luma has more of the details of what is shown the less structure of
        the original is left there; alpha is the original's.
    """
    with Rows(backend) as rows:
        return _emphasised(pixels, guide, shown, rows)


def _emphasised(
    pixels: NDArray[np.float32], guide: Guide, shown: NDArray[np.float32], rows: Rows
) -> NDArray[np.float32]:
    x, y = (mean_of(guide.planes(picture), np.float32)[None] for picture in (pixels, shown))
    details = []
    for _ in range(guide.levels):
        if min(x.shape[1:]) < SIDE_MIN:
            break
        own = [local_variance(planes, rows) for planes in (x, y, rows(np.subtract, y, x))]
        lost = windowed(rows(lambda a, b, apart: apart / (a + b + C2), *own), rows.backend)[0]  # 1 - SSIM
        half = rows(halved, y, per=2)
        detail = rows(np.subtract, y[0], doubled(half[0], y.shape[1:]))
        details.append(rows(lambda a, b: np.minimum(guide.emphasis * a, MOST_EMPHASIS) * b, lost, detail))
        x, y = rows(halved, x, per=2), half
    added = np.zeros(y.shape[1:], np.float32)
    for detail in reversed(details):
        added = rows(np.add, doubled(added, detail.shape), detail)
    out = pixels.copy()
    colors = len(pixels) - (len(pixels) + 1) % 2
    most = pixels[colors] if colors < len(pixels) else np.ones_like(added)
    for c in range(colors):
        out[c] = rows(lambda p, more, limit: (p + more).clip(0, limit), pixels[c], added, most)
    return out


def weighed(
    weights: list[NDArray[np.float32]],
    plane: NDArray[np.float32],  # [H, W]
) -> list[NDArray[np.float32]]:
    """Weights of all levels times those of each pixel."""
    out = []
    for level in weights:
        out.append(np.ascontiguousarray(level * plane))
        plane = halved(plane)
    return out


def error_weights(
    pixels: NDArray[np.float32],  # [C, H, W]
    tune: str,
    plane: NDArray[np.float32] | None = None,  # [H, W]
    shown: NDArray[np.float32] | None = None,  # [C, H, W]
    step: float | None = None,
    backend: Backend = ALL_CORES,
) -> list[NDArray[np.float32]] | None:
    """Weights of all levels by a tune and those of each pixel; None where all count alike."""
    guide = GUIDES.get(tune)
    weights = None if guide is None else structure_weights(pixels, guide, shown, step, backend)
    if plane is None:
        return weights
    return [plane] if weights is None else weighed(weights, plane)


def half_weights(weights: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """The weights for the picture at half its size (an odd last row or column left out)."""
    height, width = (n // 2 for n in weights[0].shape)
    halves = [halved(weights[0]), *weights[2:]]
    if len(weights) > 1:
        halves[0] = halves[0] + weights[1]
    out = []
    for plane in halves:
        out.append(np.ascontiguousarray(plane[:height, :width]))
        height, width = (height + 1) // 2, (width + 1) // 2
    return out
