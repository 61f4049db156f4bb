"""The definition of a picture, in plain torch: slow and obvious.

Everything that renders is tested against `_render`. For tests and for reading; it needs memory for every
pair of a splat and a pixel, so keep to small pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor

from splat2d.draw.render import CUTOFF


def _render(
    means: Tensor,  # [N, 2]
    conics: Tensor,  # [N, 3]
    colors: Tensor,  # [N, C]
    width: int,
    height: int,
    cutoff: float = CUTOFF,
    background: Tensor | None = None,  # [C]
) -> Tensor:  # [C, H, W]
    """Render the sum of 2D Gaussians.

    Pixel (i, j) is f(i + 0.5, j + 0.5) with f(x) = background + sum_i colors_i g_i(x),
    g_i = exp(-q_i / 2) and q_i = a dx^2 + 2 b dx dy + c dy^2; g_i is 0 where q_i > cutoff. Nothing is
    clamped. A splat with a number that is not finite, or whose conic is not positive definite, adds nothing
    and has zero gradients.

    Args:
        means: Centres [N, 2] (x, y) in px, any floating dtype; all tensors share it.
        conics: Upper triangles (a, b, c) of the inverse covariances [N, 3] in px^-2.
        colors: Amplitudes [N, C], of any sign.
        width: Width of the picture in px.
        height: Height of the picture in px.
        cutoff: Largest q that is drawn; 12.25 is 3.5 standard deviations.
        background: Colour [C] under all splats; black when None.

    Returns:
        The picture [C, H, W] in the dtype of the inputs, differentiable by all tensors.

    Source: the project's design notes, section 1.
    """
    numbers = torch.cat([means, conics, colors], 1)
    positive = (conics[:, 0] > 0) & (conics[:, 2] > 0) & (conics[:, 0] * conics[:, 2] > conics[:, 1] ** 2)
    usable = torch.isfinite(numbers).all(1) & positive
    means, conics, colors = means[usable], conics[usable], colors[usable]

    x = torch.arange(width, dtype=means.dtype, device=means.device) + 0.5
    y = torch.arange(height, dtype=means.dtype, device=means.device) + 0.5
    dx = x[None, None, :] - means[:, 0, None, None]  # [N, 1, W]
    dy = y[None, :, None] - means[:, 1, None, None]  # [N, H, 1]
    a, b, c = conics[:, :, None, None].unbind(1)
    q = a * dx**2 + 2 * b * dx * dy + c * dy**2  # [N, H, W]
    g = torch.where(q <= cutoff, torch.exp(-q / 2), torch.zeros_like(q))
    picture = torch.einsum("nc,nhw->chw", colors, g)
    return picture if background is None else picture + background[:, None, None]
