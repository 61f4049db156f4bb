"""Rate-distortion curves: BD-rate between two of them, and means over pictures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
from _measure import significant

Curve = Sequence[tuple[float, float]]  # (bpp, dB), in any order


def increasing(curve: Curve) -> list[tuple[float, float]]:
    """Return the points that no smaller file beats: both rate and PSNR rise strictly."""
    kept: list[tuple[float, float]] = []
    for rate, decibel in sorted(curve):
        if not kept or (decibel > kept[-1][1] and rate > kept[-1][0]):
            kept.append((rate, decibel))
    return kept


def bd_rate(anchor: Curve, test: Curve) -> dict[str, float | None]:
    """Return how much larger files of `test` are than those of `anchor` at equal PSNR.

    Args:
        anchor: of the codec to compare with, (bpp, dB).
        test: of the codec under test.

    Returns:
        percent: the Bjontegaard delta rate, negative when `test` is smaller; None where no PSNR is common.
        overlap: share of `test`'s PSNR range, from 0 to 1, that `anchor` covers and the figure is about.

    Source: Bjontegaard, Calculation of average PSNR differences between RD-curves, VCEG-M33, 2001; Akima
    interpolation instead of the cubic, since curves have more than four points.
    """
    import bjontegaard

    (rate_a, db_a), (rate_t, db_t) = (np.array(increasing(c)).T for c in (anchor, test))
    covered = min(db_a[-1], db_t[-1]) - max(db_a[0], db_t[0])
    if covered <= 0:
        return {"percent": None, "overlap": 0.0}
    with warnings.catch_warnings():
        # It warns when either curve is much longer; the peers' are meant to be, and overlap says the rest.
        warnings.simplefilter("ignore")
        percent = bjontegaard.bd_rate(
            rate_a, db_a, rate_t, db_t, method="akima", require_matching_points=False, min_overlap=0
        )
    return {"percent": float(percent), "overlap": float(covered / (db_t[-1] - db_t[0]))}


def psnr_at(curve: Curve, bpp: float) -> float | None:
    """Return a curve's PSNR at a rate, by linear interpolation in log rate; None outside the curve."""
    rates, decibels = np.array(increasing(curve)).T
    if not rates[0] <= bpp <= rates[-1]:
        return None
    return float(np.interp(np.log(bpp), np.log(rates), decibels))


def mean_points(pictures: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, float]]:
    """Return the mean point of each quality over pictures.

    Args:
        pictures: the points of each picture; a quality that one of them lacks is left out.

    Returns:
        One point a quality, ascending: the means of all figures that all pictures have.
    """
    by_quality = [{point["quality"]: point for point in points} for points in pictures]
    shared = set.intersection(*(set(points) for points in by_quality)) if by_quality else set()
    out = []
    for quality in sorted(shared):
        points = [points[quality] for points in by_quality]
        keys = [key for key in points[0] if key != "quality" and all(key in point for point in points)]
        out.append(
            {"quality": quality, **{key: significant(fmean(p[key] for p in points), 7) for key in keys}}
        )
    return out


def curve_of(points: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """Return measured points as a curve of (bpp, dB)."""
    return [(point["bpp"], point["psnr"]) for point in points]
