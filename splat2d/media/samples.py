"""Samples of a picture with their peak, and what they become: float32 planes in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from splat2d.errors import InputImageError

if TYPE_CHECKING:
    from PIL import Image

    from splat2d.format.metadata import Metadata


_PHOTOMETRIC = 262  # tag of TIFF


@dataclass(frozen=True)
class Picture:
    """A picture as the fitter wants it, and what happened to it on the way in.

    Attributes:
        pixels: [C, H, W] float32, C-contiguous, in [0, 1]: 8-bit-coded sRGB scaled to [0, 1]. C is 1
            for grey, 2 for grey and alpha, 3 for RGB, 4 for RGBA; colour is premultiplied by alpha.
        notes: What was done on the way in, one short sentence each.
        warnings: What a user should be told on stderr.
        metadata: What is kept of what its file said.
    """

    pixels: np.ndarray  # [C, H, W]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    metadata: Metadata | None = None

    @property
    def channels(self) -> int:
        """Number of channels, alpha included."""
        return self.pixels.shape[0]

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.pixels.shape[1]

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.pixels.shape[2]


@dataclass
class Samples:
    """Samples of a file before they are a picture.

    Args:
        values: [H, W, C] in [0, peak], straight alpha.
        peak: sample that is white.
        notes: as of `Picture`.
        warnings: likewise.
        orientation: of EXIF, 1 to 8.
        profile: ICC profile, if any.
        cmyk: whether the four channels are inks.
    """

    values: np.ndarray  # [H, W, C]
    peak: float
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    orientation: int = 1
    profile: bytes | None = None
    cmyk: bool = False


def scaled_floats(
    values: np.ndarray, name: str, peak: float | None = None
) -> tuple[np.ndarray, float, list[str], list[str]]:
    """Return floats in [0, peak], the peak, notes and warnings; what is beyond is clipped.

    Args:
        values: floats of any shape.
        name: of messages.
        peak: sample that is white; 1 when None.

    Raises:
        InputImageError: infinite or undefined samples.
    """
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputImageError(f"{name}: expected samples that are finite, found {low:g} to {high:g}")
    top = 1.0 if peak is None else float(peak)
    notes, alerts = ["float samples" if top == 1 else f"float samples divided by {top:g}"], []
    if low < 0 or high > top:
        advice = f"; --peak {high:g} would keep them" if high > top else ""
        alerts.append(f"float samples from {low:g} to {high:g} are clipped to 0 to {top:g}{advice}")
        values = np.clip(values, 0, top)
    return values, top, notes, alerts


def picture_of(
    samples: np.ndarray,  # [H, W, C]
    peak: float,
    notes: list[str],
    alerts: list[str] | None = None,
    orientation: int = 1,
) -> Picture:
    """Return samples in [0, peak] with straight alpha as a Picture, with one float32 copy."""
    view = upright(samples, orientation)
    channels = view.shape[2]
    if channels in (2, 4) and view[..., -1].min() >= peak:
        channels -= 1
        notes = [*notes, "opaque alpha channel dropped"]
    pixels = np.empty((channels, *view.shape[:2]), np.float32)
    for channel in range(channels):
        np.divide(view[..., channel], peak, out=pixels[channel], dtype=np.float32, casting="same_kind")
    if samples.dtype.kind == "f":
        np.clip(pixels, 0, 1, out=pixels)
    if channels in (2, 4):
        pixels[:-1] *= pixels[-1]
    return Picture(pixels, tuple(notes), tuple(alerts or ()))


def upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Return a view of [H, W, C] samples with an EXIF orientation undone."""
    if orientation >= 5:
        samples = samples.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return samples[::rows, ::columns]


def single_samples(image: Image.Image, name: str, peak: float | None = None) -> Samples:
    """Return the samples of a picture in mode I, I;16 or F.

    Raises:
        InputImageError: undefined or negative integer samples, or some above a given peak.
    """
    values = np.asarray(image)[..., None]
    if not image.mode.startswith("I"):
        return Samples(*scaled_floats(values, name, peak))
    low, high = int(values.min()), int(values.max())
    if low < 0:
        raise InputImageError(f"{name}: expected samples that are not negative, found {low} to {high}")
    if peak is not None and high > peak:
        raise InputImageError(f"{name}: has samples up to {high}, above the peak of {peak:g}")
    if high > 65535:
        return Samples(values, peak or 2.0**31 - 1, ["32-bit samples"])
    values = values.astype(np.uint16, copy=False)
    if (
        getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0
    ):  # white is zero, which Pillow leaves to its callers
        values = 65535 - values
    keyed = with_key(values, image.info.get("transparency"), int(peak or 65535))
    return Samples(keyed, peak or 65535.0, ["16-bit samples"])


def with_key(samples: np.ndarray, key: object, opaque: int = 65535) -> np.ndarray:
    """Return uint16 samples [H, W, C] with an alpha channel where the transparent colour is given."""
    if not isinstance(key, (int, tuple)):
        return samples
    alpha = np.any(samples != np.asarray(key, np.uint16), axis=2, keepdims=True)
    return np.concatenate([samples, alpha * np.uint16(opaque)], axis=2)


def eight_bits(samples: np.ndarray, peak: float) -> Image.Image:
    """Return samples [H, W, C] in [0, peak] as a picture of 8 bits."""
    from PIL import Image

    eight = np.rint(samples.astype(np.float32) * np.float32(255 / peak)).astype(np.uint8)
    return Image.fromarray(eight[..., 0] if eight.shape[2] == 1 else eight)
