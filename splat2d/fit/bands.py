"""How strong a picture is around each place, by octave and direction: the filters of textures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

FREQUENCY = 0.34
"""Middle of band 0, 1/px; each band further is an octave lower, as in cpp/texture."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Plane = NDArray[np.float32]  # [H, W]


def luma(pixels: NDArray) -> Plane:
    """The luma [H, W] of a picture [H, W, C], in its units; channels beyond three and alpha are left out."""
    x = np.asarray(pixels, np.float32)
    return x[:, :, :3] @ LUMA if x.shape[2] >= 3 else x[:, :, 0].copy()


class Bank:
    """Filters of one size: octaves and directions whose energies add up to that of the picture.

    In an octave the energy of a wave is shared by a raised cosine in the logarithm of its frequency, among
    directions linearly by its angle; the filters are one-sided, so that |response|^2 / 2 is the energy around
    a place without a ripple of its own.

    Args:
        height: of the planes, px, a multiple of 2^(bands - 2).
        width: likewise.
        bands: octaves.
        directions: of the half turn.
    """

    def __init__(self, height: int, width: int, bands: int, directions: int) -> None:
        self.shape, self.bands, self.directions = (height, width), bands, directions
        y, x = np.fft.fftfreq(height).astype(np.float32)[:, None], np.fft.fftfreq(width).astype(np.float32)
        self._radius = np.hypot(x, y)
        self._radius[0, 0] = 1e-9
        self._angle = np.arctan2(y, x)

    def responses(self, plane: Plane) -> Iterator[tuple[int, int, NDArray[np.complex64]]]:
        """The band, direction and response of each filter to a plane [H, W].

        That of band b has a sample for each 2^(b - 1) px from band 1 on.
        """
        spectrum = np.fft.fft2(plane).astype(np.complex64)
        for band in range(self.bands):
            factor = 1 << max(band - 1, 0)
            part, radius, angle = (_low(a, factor) for a in (spectrum, self._radius, self._angle))
            octave = np.clip(np.log2(radius / (FREQUENCY * 2.0**-band)), -1, 1)
            share = np.cos(0.5 * np.pi * octave) ** 2
            if band == 0:
                share = np.where(octave > 0, np.clip((0.55 - radius) / 0.1, 0, 1), share)
            part = part * np.sqrt(share) * np.float32(2.0 / factor**2)
            for d in range(self.directions):
                away = angle - np.pi * d / self.directions
                away = np.abs(away - 2 * np.pi * np.round(away / (2 * np.pi)))
                if self.directions == 1:
                    gain = (away <= 0.5 * np.pi).astype(np.float32)
                else:
                    gain = np.sqrt(np.clip(1 - away * (self.directions / np.pi), 0, 1))
                yield band, d, np.fft.ifft2(part * gain).astype(np.complex64)


def _low(a: NDArray, factor: int) -> NDArray:
    """The low frequencies of a spectrum [H, W], of which `factor` times fewer remain along each side."""
    if factor == 1:
        return a
    h, w = (side // factor for side in a.shape)
    rows = np.r_[0 : (h + 1) // 2, a.shape[0] - h // 2 : a.shape[0]]
    columns = np.r_[0 : (w + 1) // 2, a.shape[1] - w // 2 : a.shape[1]]
    return a[np.ix_(rows, columns)]
