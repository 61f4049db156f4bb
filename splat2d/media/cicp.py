"""Colour told by code points, as ITU-T H.273 has them: primaries and curves, and the way to sRGB.

Linear light is 1 at the white of an SDR picture. HDR is mapped to it: 203 cd/m^2 is white, and what is
brighter, up to 1000 cd/m^2, is rolled off by the curve of BT.2390 on the largest of the three channels.

Source: ITU-T H.273 (07/2024), tables 2 and 3; ITU-R BT.2390-11 (2023), section 5.4.1, black lift left out;
BT.2408-7 (2023), reference white; BT.2100-2 (2018), PQ and HLG.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Chromaticities = tuple[float, float, float, float, float, float, float, float]
"""x and y of red, green, blue and white."""

Floats = NDArray[np.float32]

PQ, HLG = 16, 18
UNKNOWN = 2
SRGB_CURVE = 13

_D50 = (0.9642, 1.0, 0.8249)  # XYZ
_D65, _C = (0.3127, 0.3290), (0.310, 0.316)
SRGB: Chromaticities = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *_D65)
PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB,
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, *_C),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, *_C),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    10: (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65),
}
_NAMES = {
    1: "BT.709",
    4: "BT.470 M",
    5: "BT.601 (625)",
    6: "BT.601 (525)",
    7: "SMPTE 240M",
    8: "film",
    9: "BT.2020",
    10: "XYZ",
    11: "DCI-P3",
    12: "Display P3",
    22: "EBU 3213",
}
# Of cameras: what they make is shown as it is on the screens that sRGB describes.
_CAMERA = {1, 6, 11, 12, 14, 15}
_CURVES = {
    7: "SMPTE 240M",
    8: "linear",
    9: "log",
    10: "log",
    13: "sRGB",
    16: "PQ",
    17: "SMPTE 428",
    18: "HLG",
}
_GAMMAS = {4: 2.2, 5: 2.8}

WHITE, PEAK = 203.0, 1000.0  # cd/m^2
_SAME = 0.002  # of a chromaticity, and of an exponent times 20: as near as files round them

# Of PQ.
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32

_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@dataclass(frozen=True)
class Stated:
    """The colour that a file tells.

    Args:
        primaries: code, or chromaticities; 2 where it does not tell.
        curve: code; 2 where it does not tell.
        gamma: exponent that makes light of samples, in place of a curve.
        limited: whether RGB has 16 to 235 of 255 for black to white.
    """

    primaries: int | Chromaticities = UNKNOWN
    curve: int = UNKNOWN
    gamma: float | None = None
    limited: bool = False

    @property
    def chromaticities(self) -> Chromaticities:
        """The primaries' and white's; those of sRGB where it does not tell."""
        if isinstance(self.primaries, tuple):
            return self.primaries
        return PRIMARIES.get(self.primaries, SRGB)

    @property
    def is_high_range(self) -> bool:
        """Whether it is HDR."""
        return self.curve in (PQ, HLG)

    @property
    def changes_primaries(self) -> bool:
        """Whether its primaries or white are others than those of sRGB."""
        pairs = zip(self.chromaticities, SRGB, strict=True)
        return any(abs(a - b) > _SAME for a, b in pairs)

    @property
    def changes_curve(self) -> bool:
        """Whether its curve is another than that of sRGB, or of a camera, which stands for it."""
        if self.gamma is not None:
            return abs(self.gamma - 2.2) > 20 * _SAME  # what writers mean by sRGB
        return self.curve in _GAMMAS or (self.curve in _CURVES and self.curve != SRGB_CURVE)

    @property
    def is_srgb(self) -> bool:
        """Whether nothing is to convert."""
        return not (self.changes_primaries or self.changes_curve or self.limited)

    @property
    def name(self) -> str:
        """What it is called."""
        if isinstance(self.primaries, tuple):
            words = ["primaries of its own"] if self.changes_primaries else []
        else:
            words = [_NAMES[self.primaries]] if self.primaries in _NAMES else []
        if self.gamma is not None:
            words.append(f"gamma {self.gamma:.3g}")
        elif self.curve in _GAMMAS:
            words.append(f"gamma {_GAMMAS[self.curve]}")
        elif self.curve in _CURVES and self.curve != SRGB_CURVE:
            words.append(_CURVES[self.curve])
        if self.limited:
            words.append("limited range")
        return ", ".join(words) or "sRGB"

    @property
    def note(self) -> str:
        """What is to be said of the conversion."""
        return f"{self.name} converted to sRGB"

    @property
    def warning(self) -> str | None:
        """What a user should be told, of HDR."""
        if not self.is_high_range:
            return None
        return (
            f"this is HDR ({_CURVES[self.curve]}); it is tone-mapped by the curve of BT.2390, from "
            f"{PEAK:g} cd/m^2 to white at {WHITE:g}"
        )


class ToSrgb:
    """Converts samples of a stated colour to sRGB.

    Args:
        stated: the colour.
        levels: of integer samples, one more than their largest.
        white: sample that stands for 255 of 8 bits; the largest when None, and of limited range what the
            recommendations say.
    """

    def __init__(self, stated: Stated, levels: int, white: float | None = None) -> None:
        self.stated = stated
        self._levels = levels
        white = white or (levels * 255 / 256 if stated.limited else levels - 1)
        values = np.arange(levels) / white
        if stated.limited:
            values = (values * 255 - 16) / 219
        self._light = _light(values, stated).astype(np.float32)
        self._matrix = None
        if stated.changes_primaries:
            self._matrix = matrix_between(stated.chromaticities, SRGB).astype(np.float32)
        camera = stated.curve in _CAMERA
        self._encode = _camera_curve if camera else srgb_curve
        self._table: NDArray[np.uint8] | None = None

    def __call__(self, samples: NDArray[np.integer]) -> Floats:
        """Return sRGB [..., 3 or 1] in [0, 1] of integer samples of as many channels."""
        return self._encode(self._linear(samples))

    def eight_bits(self, samples: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Return sRGB [..., 3] of 8 bits, by a table."""
        if self._table is None:
            self._table = np.rint(self._encode(np.linspace(0, 1, 65536, dtype=np.float32)) * 255).astype(
                np.uint8
            )
        linear = self._linear(samples)
        linear *= 65535
        return self._table[np.rint(linear, out=linear).astype(np.uint16)]

    def _linear(self, samples: NDArray[np.integer]) -> Floats:
        """Light in [0, 1] by sRGB's primaries."""
        light = self._light[samples]
        color = light.shape[-1] == 3
        if self.stated.curve == HLG:
            weights = np.array([0.2627, 0.6780, 0.0593], np.float32)
            scene = light @ weights if color else light[..., 0]
            light *= np.maximum(scene, 1e-9)[..., None] ** np.float32(0.2)
            light *= np.float32(PEAK / WHITE)
        if self.stated.is_high_range:
            largest = light.max(-1, keepdims=True)
            light *= _rolled_off(largest) / np.maximum(largest, 1e-9)
        if self._matrix is not None and color:
            light = light @ self._matrix.T
        return np.clip(light, 0, 1, out=light)


def matrix_between(source: Chromaticities, target: Chromaticities) -> NDArray[np.float64]:
    """Return the matrix [3, 3] from linear RGB of some primaries to that of others, adapted by Bradford."""
    ours, theirs = (_to_xyz(chromaticities) for chromaticities in (source, target))
    cones = [_BRADFORD @ matrix.sum(1) for matrix in (ours, theirs)]  # of the whites
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones[1] / cones[0]) @ _BRADFORD
    return np.linalg.inv(theirs) @ adapted @ ours


def to_d50(chromaticities: Chromaticities) -> NDArray[np.float64]:
    """Return the matrix [3, 3] from linear RGB to XYZ adapted to D50 by Bradford, as ICC profiles have it."""
    matrix = _to_xyz(chromaticities)
    cones = _BRADFORD @ matrix.sum(1), _BRADFORD @ np.array(_D50)
    return np.linalg.inv(_BRADFORD) @ np.diag(cones[1] / cones[0]) @ _BRADFORD @ matrix


def are_primaries(chromaticities: Chromaticities) -> bool:
    """Whether chromaticities span a gamut and have a white."""
    if min(chromaticities[1::2]) < 0 or chromaticities[7] <= 0:
        return False
    points = np.array(chromaticities[:6]).reshape(3, 2)
    area = np.linalg.det(np.column_stack([points, np.ones(3)]))
    return bool(abs(area) > 1e-4) and bool(np.isfinite(_to_xyz(chromaticities)).all())


def _to_xyz(chromaticities: Chromaticities) -> NDArray[np.float64]:
    """Return the matrix [3, 3] from linear RGB to XYZ, white at Y = 1."""
    points = np.array(chromaticities).reshape(4, 2)
    columns = np.column_stack([points, 1 - points.sum(1)]).T  # xyz of red, green, blue, white
    white = columns[:, 3] / columns[1, 3]
    return columns[:, :3] * np.linalg.solve(columns[:, :3], white)


def _light(values: NDArray[np.float64], stated: Stated) -> NDArray[np.float64]:
    """Return light of samples in [0, 1]: 1 is white, of PQ WHITE cd/m^2, of HLG that of the scene."""
    v = np.clip(values, 0, 1)
    curve = stated.curve
    if stated.gamma is not None:
        return v**stated.gamma if stated.changes_curve else _srgb_light(v)
    if curve in _GAMMAS:
        return v ** _GAMMAS[curve]
    if curve in _CAMERA:
        return np.where(v < 0.081, v / 4.5, ((v + 0.099) / 1.099) ** (1 / 0.45))
    if curve == 7:
        return np.where(v < 0.0912, v / 4, ((v + 0.1115) / 1.1115) ** (1 / 0.45))
    if curve == 8:
        return v
    if curve in (9, 10):
        return np.where(v > 0, 10 ** ((2 if curve == 9 else 2.5) * (v - 1)), 0)
    if curve == 17:
        return np.minimum(v**2.6 * 52.37 / 48, 1)
    if curve == PQ:
        return _pq_light(v) * (10000 / WHITE)
    if curve == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        return np.where(v <= 0.5, v**2 / 3, (np.exp((v - c) / a) + b) / 12)
    return _srgb_light(v)


def _srgb_light(v: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def _pq_light(v: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return light in units of 10,000 cd/m^2."""
    power = v ** (1 / _M2)
    return (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def _pq_value(light):
    """Return the sample in [0, 1] of light in units of 10,000 cd/m^2."""
    power = light**_M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def _rolled_off(light: Floats) -> Floats:
    """Return light, 1 being WHITE, brought into [0, 1] by the curve of BT.2390."""
    peak = float(_pq_value(PEAK / 10000))
    most = float(_pq_value(WHITE / 10000)) / peak
    knee = 1.5 * most - 0.5
    # Along a table: the curve is smooth, and powers of every pixel are slow.
    grid = np.linspace(0, 1, 4096)
    t = np.maximum(grid - knee, 0) / (1 - knee)
    bent = (
        (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    )
    mapped = np.where(grid < knee, grid, bent)
    known = _pq_light(grid * peak) * (10000 / WHITE)
    return np.interp(light, known, _pq_light(mapped * peak) * (10000 / WHITE)).astype(np.float32)


def srgb_curve(light: Floats) -> Floats:
    """Return samples in [0, 1] of light in [0, 1]."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


def _camera_curve(light: Floats) -> Floats:
    return np.where(light < 0.018, light * 4.5, 1.099 * light**0.45 - 0.099).astype(np.float32)
