"""ICC profiles of three curves and a matrix, or of one curve, in floats: for samples of more than 8 bits.

Pillow's engine for profiles takes 8 bits. Most profiles of pictures with more are of this simple kind (Adobe
RGB, ProPhoto, Display P3, linear ones); others are for that engine.

Source: ICC.1:2022, sections 8.3 (three-component matrix-based profiles), 10.6 (curveType) and 10.18
(parametricCurveType); relative colorimetric, as their black is black.
"""

from __future__ import annotations

import struct

import numpy as np

from splat2d.media.cicp import SRGB, Floats, srgb_curve, to_d50

_LEVELS = 65536  # of the table that stands for a curve
_BLACK = 1e-4  # light at sample 0 that is still black
_MOST_TAGS = 200


class SimpleProfile:
    """The way from a simple profile's colour to sRGB.

    Args:
        curves: light in [0, 1] of samples 0 to 1, `_LEVELS` of each channel.
        matrix: from linear RGB to that of sRGB; None of grey.
    """

    def __init__(self, curves: list[Floats], matrix: Floats | None) -> None:
        self._curves, self._matrix = curves, matrix

    def __call__(self, samples: np.ndarray, peak: float) -> Floats:
        """Return sRGB [H, W, C] in [0, 1] of samples [H, W, C] in [0, peak], C being 3, or 1 of grey."""
        light = np.empty(samples.shape, np.float32)
        for channel, curve in enumerate(self._curves):
            values = samples[..., channel]
            if samples.dtype.kind in "ui" and peak == _LEVELS - 1:
                light[..., channel] = curve[values]
            else:
                at = np.multiply(values, (_LEVELS - 1) / peak, dtype=np.float64)
                light[..., channel] = np.interp(at, np.arange(_LEVELS), curve)
        if self._matrix is not None:
            light = light @ self._matrix.T
        return srgb_curve(np.clip(light, 0, 1, out=light))


def simple_profile(data: bytes, *, grey: bool) -> SimpleProfile | None:
    """Return what converts samples to sRGB; None where a profile is not of the simple kind, or damaged.

    Args:
        data: of the profile.
        grey: whether the samples have one channel.
    """
    try:
        tags = _tags(data)
        if data[16:20] != (b"GRAY" if grey else b"RGB ") or data[20:24] != b"XYZ ":
            return None
        if any(name in tags for name in (b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1")):
            return None  # a table, which counts before curves
        names = [b"kTRC"] if grey else [b"rTRC", b"gTRC", b"bTRC"]
        with np.errstate(all="ignore"):  # what is not finite is looked for below
            curves = [_curve(tags[name]) for name in names]
        matrix = None
        if not grey:
            columns = np.stack([_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], 1)
            matrix = (np.linalg.inv(to_d50(SRGB)) @ columns).astype(np.float32)
    except (KeyError, ValueError, IndexError, struct.error):
        return None
    if not all(np.isfinite(curve).all() and curve[0] <= _BLACK for curve in curves):
        return None
    return SimpleProfile(curves, matrix)


def _tags(data: bytes) -> dict[bytes, bytes]:
    """The profile's tags by their signatures."""
    (count,) = struct.unpack_from(">I", data, 128)
    if data[36:40] != b"acsp" or count > _MOST_TAGS:
        raise ValueError
    places = [struct.unpack_from(">4sII", data, 132 + 12 * i) for i in range(count)]
    return {name: data[offset : offset + size] for name, offset, size in places}


def _xyz(tag: bytes) -> np.ndarray:
    if tag[:4] != b"XYZ ":
        raise ValueError
    return np.array(struct.unpack_from(">3i", tag, 8)) / 65536


def _curve(tag: bytes) -> Floats:
    """Light of `_LEVELS` samples from 0 to 1."""
    x = np.linspace(0, 1, _LEVELS)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            y = x
        elif count == 1:
            y = x ** (struct.unpack_from(">H", tag, 12)[0] / 256)
        else:
            known = np.frombuffer(tag, ">u2", count, 12) / 65535
            y = np.interp(x, np.linspace(0, 1, count), known)
    elif tag[:4] == b"para":
        y = _parametric(x, tag)
    else:
        raise ValueError
    return np.clip(y, 0, 1).astype(np.float32)


def _parametric(x: np.ndarray, tag: bytes) -> np.ndarray:
    (kind,) = struct.unpack_from(">H", tag, 8)
    if kind > 4:
        raise ValueError
    count = (1, 3, 4, 5, 7)[kind]
    values = [v / 65536 for v in struct.unpack_from(f">{count}i", tag, 12)]
    g, a, b = (*values, 1.0, 0.0)[:3] if kind == 0 else values[:3]
    power = np.maximum(a * x + b, 0) ** g
    match kind:
        case 0:
            return power
        case 1 | 2:
            add = values[3] if kind == 2 else 0.0
            return np.where(a * x + b >= 0, power, 0) + add
        case _:
            c, d = values[3:5]
            e, f = values[5:] if kind == 4 else (0.0, 0.0)
            return np.where(x >= d, power + e, c * x + f)
