"""Random splats, where rounding may decide whether a pixel is drawn, and all outputs of the rasteriser."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.render import CUTOFF
from splat2d.native import core

Floats = NDArray[np.float32]


def random_splats(
    count: int,
    channels: int,
    width: float,
    height: float,
    *,
    seed: int = 0,
    scales: tuple[float, float] = (0.3, 20.0),
    aspect: float = 10.0,
) -> tuple[Floats, Floats, Floats]:
    """Return float32 splats, about a third of them with the centre outside the canvas.

    Args:
        count: Number of splats.
        channels: Colour channels.
        width: Width of the canvas in px.
        height: Height of the canvas in px.
        seed: Of the random numbers.
        scales: Smallest and largest geometric mean of the two standard deviations, px.
        aspect: Largest ratio of the two standard deviations.

    Returns:
        Means [N, 2], conics [N, 3] and colours [N, C].
    """
    rng = np.random.default_rng(seed)
    means = (rng.random((count, 2)) * 1.25 - 0.125) * [width, height]
    low, high = np.log(scales)
    size = np.exp(rng.uniform(low, high, count))
    ratio = np.exp(rng.uniform(0, np.log(aspect) / 2, count))
    first, second = (size * ratio) ** -2, (size / ratio) ** -2
    angle = rng.uniform(0, np.pi, count)
    cosine, sine = np.cos(angle), np.sin(angle)
    a = cosine**2 * first + sine**2 * second
    c = sine**2 * first + cosine**2 * second
    conics = np.stack([a, cosine * sine * (first - second), c], 1)
    colors = rng.normal(size=(count, channels))
    return means.astype(np.float32), conics.astype(np.float32), colors.astype(np.float32)


def q_values(means: NDArray, conics: NDArray, width: int, height: int) -> NDArray[np.float64]:
    """Return q of every splat at every pixel, [N, H, W]."""
    m, s = means.astype(np.float64), conics.astype(np.float64)[:, :, None, None]
    dx = (np.arange(width) + 0.5)[None, None, :] - m[:, 0, None, None]
    dy = (np.arange(height) + 0.5)[None, :, None] - m[:, 1, None, None]
    return s[:, 0] * dx**2 + 2 * s[:, 1] * dx * dy + s[:, 2] * dy**2


def clear_of_cutoff(
    means: NDArray, conics: NDArray, width: int, height: int, *, cutoff: float = 12.25, margin: float = 1e-4
) -> NDArray[np.bool_]:
    """Return the pixels [H, W] where no splat's q is within `margin` of the cut-off."""
    clear = np.ones((height, width), bool)
    for n in range(len(means)):
        clear &= np.abs(q_values(means[n : n + 1], conics[n : n + 1], width, height)[0] - cutoff) > margin
    return clear


def backward(means, conics, colors, v_out, threads=1, cutoff=CUTOFF):
    """Return the core's gradients of means, conics and colours, in arrays that held rubbish."""
    v = [np.full_like(array, np.nan) for array in (means, conics, colors)]
    core().backward_into(means, conics, colors, v_out, cutoff, threads, *v)
    return v


def row_scale(gradient):
    """Return the largest number of each row, [N, 1]: gradients of large and small splats differ by 1e9."""
    return np.abs(gradient).max(1, keepdims=True) + 1e-12


def scene_for_bits(seed=11):
    """Return splats, cotangents and background over several tiles, with odd sides."""
    splats = random_splats(300, 4, 1100, 75, seed=seed)
    rng = np.random.default_rng(seed)
    return splats, rng.normal(size=(4, 75, 1100)).astype(np.float32), rng.random(4).astype(np.float32)


def all_outputs(threads):
    """Return every output of the rasteriser for one scene."""
    splats, v_out, background = scene_for_bits()
    return [
        core().render(*splats, 1100, 75, CUTOFF, background, threads),
        core().render_bytes(*splats, 1100, 75, CUTOFF, background, True, threads),
        core().render_bytes(*splats, 1100, 75, CUTOFF, background, False, threads),
        *backward(*splats, v_out, threads),
    ]
