"""Drawings of a scene for people: where its splats are and what shape they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from splat2d.scene.drawable import Drawable

_POINTS = 48  # corners of an outline
_DIM = 0.4  # brightness of the picture under the outlines
_LONGEST = 4096  # px; a drawing of an 8K picture is for a screen, too

_POSITIVE, _NEGATIVE = (255, 176, 64), (80, 170, 255)
_TIER_COLORS = (
    (255, 90, 90),
    (255, 176, 64),
    (240, 240, 90),
    (110, 230, 110),
    (80, 170, 255),
    (200, 130, 255),
    (255, 140, 200),
    (180, 180, 180),
)


def plot_ellipses(scene: Drawable, *, sigma: float = 1.0, by: str = "sign", scale: float = 2.0) -> np.ndarray:
    """Return the scene's picture, dimmed, with the outline of every splat of its visible layers.

    Args:
        scene: What to draw.
        sigma: Size of the outlines in standard deviations.
        by: What the colour of an outline tells: `sign` (warm adds light, cold takes it away) or `tier`
            (from red, the coarsest, to violet).
        scale: Size of the drawing over the picture's, at most 2; less where the longest side would
            exceed 4096 px.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ConfigError: If `by`, `sigma` or `scale` is none of these.
    """
    from PIL import Image, ImageDraw

    from splat2d.errors import ConfigError

    if by not in ("sign", "tier"):
        raise ConfigError(f"expected by='sign' or by='tier', found {by!r}")
    if not sigma > 0 or not 0 < scale <= 2:
        raise ConfigError(f"expected sigma > 0 and 0 < scale <= 2, found {sigma} and {scale}")
    scale = min(scale, _LONGEST / max(scene.width, scene.height))
    under = _opaque(scene.render(scale=scale if scale != 1 else None))
    height, width = under.shape[:2]

    image = Image.fromarray((under * np.float32(_DIM)).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    # The drawing's size is a whole number of px, so its scale along each axis is known only now;
    # Pillow's coordinates name the centres of px, ours their corners.
    factor = np.array([width / scene.width, height / scene.height])
    shown = [layer for layer in scene.layers if layer.visible]
    shapes = [outlines(*layer.placed(), sigma) for layer in shown]
    corners = np.concatenate([np.zeros((0, _POINTS + 1, 2)), *shapes]) * factor - 0.5
    colors = [
        color
        for layer in shown
        for part in (layer.splats, layer.splats.matte)
        if part is not None
        for color in (_sign_colors(part.colors) if by == "sign" else _tier_colors(part.tier))
    ]
    low, high = corners.min(axis=1), corners.max(axis=1)
    visible = np.all(np.isfinite(low) & (high >= 0) & (low <= [width, height]), axis=1)
    # The widest first, so that no small outline disappears below a large one.
    area = np.prod(high - low, axis=1)
    for i in sorted(np.flatnonzero(visible), key=lambda i: (-area[i], i)):
        draw.line([tuple(corner) for corner in corners[i].tolist()], fill=colors[i])
    return np.asarray(image)


def plot_layers(scene: Drawable, *, scale: float = 2.0) -> np.ndarray:
    """Return the scene's picture, dimmed, with the outline and the name of every visible layer.

    An outline runs where a layer's coverage passes one half; a layer without alpha has none.

    Args:
        scene: What to draw.
        scale: Size of the drawing over the picture's, at most 2; less where the longest side would
            exceed 4096 px.

    Returns:
        uint8 [H, W, 3].
    """
    from PIL import Image, ImageDraw

    scale = min(scale, _LONGEST / max(scene.width, scene.height))
    under = _opaque(scene.render(scale=scale))
    pixels = (under * np.float32(_DIM)).astype(np.uint8)
    labels = []
    for number, layer in enumerate(scene.layers):
        coverage = layer.coverage(scale=scale)
        if not layer.visible or coverage is None:
            continue
        inside = np.pad(coverage >= 0.5, 1)
        # Inside, with a neighbour outside.
        core = inside[1:-1, 1:-1]
        edge = core & ~(inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:])
        color = _TIER_COLORS[number % len(_TIER_COLORS)]
        pixels[edge] = color
        if edge.any():
            labels.append((layer.name, color, np.argwhere(edge)[0][::-1] - [0, 12]))
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    for name, color, (x, y) in labels:
        draw.text((max(int(x), 0), max(int(y), 0)), name, fill=color)
    return np.asarray(image)


def outlines(means: np.ndarray, conics: np.ndarray, sigma: float = 1.0) -> np.ndarray:
    """Return closed outlines of Gaussians at a given number of standard deviations.

    Args:
        means: [N, 2], px.
        conics: [N, 3], upper triangle of the inverse covariance, px^-2.
        sigma: Size in standard deviations.

    Returns:
        float64 [N, 49, 2], px; the last corner is the first.
    """
    means, conics = np.asarray(means, np.float64), np.asarray(conics, np.float64)
    a, b, c = conics[:, 0], conics[:, 1], conics[:, 2]
    det = np.maximum(a * c - b * b, 1e-300)
    # Lower Cholesky factor of the covariance [[c, -b], [-b, a]] / det.
    l_xx = np.sqrt(c / det)
    l_xy, l_yy = -b / (det * l_xx), 1 / np.sqrt(c)
    angle = np.linspace(0, 2 * np.pi, _POINTS + 1)
    u, v = sigma * np.cos(angle), sigma * np.sin(angle)
    x = means[:, :1] + l_xx[:, None] * u
    y = means[:, 1:] + l_xy[:, None] * u + l_yy[:, None] * v
    return np.stack([x, y], axis=-1)


def _opaque(pixels: np.ndarray) -> np.ndarray:
    """Return a grey or RGB picture with or without alpha as RGB [H, W, 3] over black."""
    channels = pixels.shape[2]
    color = pixels[:, :, :3] if channels >= 3 else np.repeat(pixels[:, :, :1], 3, axis=2)
    if channels in (2, 4):
        color = (color * (pixels[:, :, -1:] / np.float32(255))).astype(np.uint8)
    return color


def _sign_colors(colors: np.ndarray) -> list[tuple[int, int, int]]:
    """Return one colour for splats that add light and one for those that take it away."""
    weights = [0.299, 0.587, 0.114] if colors.shape[1] >= 3 else [1.0]
    luma = colors[:, : len(weights)] @ np.array(weights, colors.dtype)
    return [_POSITIVE if positive else _NEGATIVE for positive in luma >= 0]


def _tier_colors(tier: np.ndarray) -> list[tuple[int, int, int]]:
    """Return the colour of each splat's tier."""
    return [_TIER_COLORS[min(int(t), len(_TIER_COLORS) - 1)] for t in tier]
