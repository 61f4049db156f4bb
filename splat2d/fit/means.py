"""Means over a few neighbours, by slices: NumPy's own along short axes take many times as long."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["grey", "half"]


def half(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2 x 2 pixels of [..., H, W]; an odd last row or column is left out."""
    h, w = planes.shape[-2] // 2 * 2, planes.shape[-1] // 2 * 2
    top, bottom = planes[..., :h:2, :w], planes[..., 1:h:2, :w]
    out = top[..., ::2] + top[..., 1::2]
    out += bottom[..., ::2] + bottom[..., 1::2]
    out *= np.float32(0.25)
    return out


def grey(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The mean of the channels of pictures [..., C], in [0, 1]."""
    out = pictures[..., 0].astype(np.float32)
    for channel in range(1, pictures.shape[-1]):
        out += pictures[..., channel]
    out /= np.float32(pictures.shape[-1])
    out /= np.float32(255)
    return out
