"""How near a decoded picture is to its original, in several measures, each null with a reason."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MS_SSIM_SIDE = 161  # px; its fifth scale needs a window of 11 px
SSIMULACRA2_SIDE = 225  # px; its weights are for six scales, of which the last needs 8 px
TEXTURE_SIDE = 64  # px; the coarsest band has waves of 23 px


class Unmeasurable(Exception):
    """A figure that this picture or this installation cannot give; the text says why."""


@dataclass(frozen=True)
class Metric:
    """A metric of two pictures.

    Args:
        key: of the JSON.
        label: of tables and plots, with the unit.
        measure: of original and decoded picture, uint8 [H, W, 3] each.
        level: turns the figure into what BD-rates integrate over.
    """

    key: str
    label: str
    measure: Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]
    level: Callable[[float], float] = float


def psnr(x: NDArray[np.uint8], x_hat: NDArray[np.uint8]) -> float:
    """Return the PSNR in dB over all samples of two pictures [H, W, 3]; 99 for equal ones."""
    error = float(np.mean((x.astype(np.float64) - x_hat.astype(np.float64)) ** 2))
    return 10 * math.log10(255**2 / error) if error else 99.0


def ms_ssim(x: NDArray[np.uint8], x_hat: NDArray[np.uint8]) -> float:
    """Return the MS-SSIM over RGB of two pictures [H, W, 3], 1 for equal ones.

    Raises:
        Unmeasurable: a side below `MS_SSIM_SIDE`, or no pytorch-msssim.
    """
    require_side(x, MS_SSIM_SIDE, "MS-SSIM")
    try:
        import torch
        from pytorch_msssim import ms_ssim as measure
    except ImportError:
        raise Unmeasurable("MS-SSIM needs the packages torch and pytorch-msssim") from None
    a, b = (torch.from_numpy(np.array(p)).permute(2, 0, 1)[None].float() for p in (x, x_hat))
    return float(measure(a, b, data_range=255))


def ssimulacra2(x: NDArray[np.uint8], x_hat: NDArray[np.uint8]) -> float:
    """Return the SSIMULACRA2 score of two pictures [H, W, 3]: 100 for equal ones, lower is worse.

    It is the PyPI package's, a rewrite of libjxl's tool whose blur is another one: compare codecs with it,
    not scores with those of the tool.

    Raises:
        Unmeasurable: a side below `SSIMULACRA2_SIDE`, or no ssimulacra2.
    """
    require_side(x, SSIMULACRA2_SIDE, "SSIMULACRA2")
    try:
        from ssimulacra2 import compute_ssimulacra2
    except ImportError:
        raise Unmeasurable("SSIMULACRA2 needs the package ssimulacra2; pip install ssimulacra2") from None
    from PIL import Image

    files = []
    for picture in (x, x_hat):
        # It takes files only; PPM is the quickest of the lossless ones.
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PPM")
        file.seek(0)
        files.append(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(compute_ssimulacra2(*files))


def texture(x: NDArray[np.uint8], x_hat: NDArray[np.uint8]) -> float:
    """Return the texture distance of two pictures [H, W, 3] in 8-bit levels, 0 for equal ones.

    Raises:
        Unmeasurable: a side below `TEXTURE_SIDE`.
    """
    require_side(x, TEXTURE_SIDE, "the texture distance")
    from splat2d.bench.texture import texture_distance

    return texture_distance(x, x_hat)


def texture_decibel(value: float) -> float:
    """Return a texture distance in dB below the largest level, -20 log10(d / 255); at most 100."""
    return -20 * math.log10(max(value / 255, 1e-5))


def ms_ssim_decibel(value: float) -> float:
    """Return an MS-SSIM in dB, -10 log10(1 - x); at most 100."""
    return -10 * math.log10(max(1 - value, 1e-10))


METRICS = {
    metric.key: metric
    for metric in (
        Metric("psnr", "PSNR, dB", psnr),
        Metric("ms_ssim", "MS-SSIM, dB", ms_ssim, ms_ssim_decibel),
        Metric("ssimulacra2", "SSIMULACRA2", ssimulacra2),
        Metric("texture", "texture, dB", texture, texture_decibel),
    )
}


def measure_all(
    x: NDArray[np.uint8], x_hat: NDArray[np.uint8], keys: tuple[str, ...]
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return figures by metric, None where there is none, and the reasons for those.

    Args:
        x: original [H, W, 3].
        x_hat: decoded picture [H, W, 3].
        keys: of `METRICS`.
    """
    figures: dict[str, float | None] = {}
    missing: dict[str, str] = {}
    for key in keys:
        try:
            figures[key] = round(METRICS[key].measure(x, x_hat), 5)
        except Unmeasurable as reason:
            figures[key], missing[key] = None, str(reason)
    return figures, missing


def require_side(x: NDArray[Any], side: int, name: str) -> None:
    """Raise Unmeasurable for a picture [H, W, 3] with a side of fewer px."""
    height, width = x.shape[:2]
    if min(height, width) < side:
        raise Unmeasurable(f"{name} needs {side} px a side, found {width}x{height}")
