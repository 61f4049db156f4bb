"""Rate-distortion curves: BD-rate between two of them, and means over pictures."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Any

import numpy as np

from splat2d.bench.machine import significant
from splat2d.bench.metrics import METRICS
from splat2d.errors import BackendUnavailableError

Curve = Sequence[tuple[float, float]]  # (bpp, level: dB or score), in any order


def increasing(curve: Curve) -> list[tuple[float, float]]:
    """Return the points that no smaller file beats: both rate and level rise strictly."""
    kept: list[tuple[float, float]] = []
    for rate, level in sorted(curve):
        if not kept or (level > kept[-1][1] and rate > kept[-1][0]):
            kept.append((rate, level))
    return kept


def bd_rate(anchor: Curve, test: Curve) -> dict[str, float | None]:
    """Return how much larger files of `test` are than those of `anchor` at equal level.

    Args:
        anchor: of the codec to compare with, (bpp, level).
        test: of the codec under test.

    Returns:
        percent: the Bjontegaard delta rate, negative when `test` is smaller; None where no level is common.
        overlap: share of `test`'s range of levels, from 0 to 1, that `anchor` covers and the figure is about.

    Raises:
        BackendUnavailableError: the package bjontegaard is missing.

    Source: Bjontegaard, Calculation of average PSNR differences between RD-curves, VCEG-M33, 2001; Akima
    interpolation instead of the cubic, since curves have more than four points.
    """
    try:
        import bjontegaard
    except ImportError:
        raise BackendUnavailableError(
            "BD-rates need the package bjontegaard; pip install 'splat2d[bench]'"
        ) from None
    curves = increasing(anchor), increasing(test)
    if min(map(len, curves)) < 2:
        return {"percent": None, "overlap": 0.0}
    (rate_a, db_a), (rate_t, db_t) = (np.array(curve).T for curve in curves)
    covered = min(db_a[-1], db_t[-1]) - max(db_a[0], db_t[0])
    if covered <= 0:
        return {"percent": None, "overlap": 0.0}
    with warnings.catch_warnings():
        # It warns when either curve is much longer; the peers' are meant to be, and overlap says the rest.
        warnings.simplefilter("ignore")
        percent: Any = bjontegaard.bd_rate(
            rate_a, db_a, rate_t, db_t, method="akima", require_matching_points=False, min_overlap=0
        )
    return {"percent": float(percent), "overlap": float(covered / (db_t[-1] - db_t[0]))}


def level_at(curve: Curve, bpp: float) -> float | None:
    """Return a curve's level at a rate, by linear interpolation in log rate; None outside the curve."""
    points = increasing(curve)
    if not points:
        return None
    rates, levels = np.array(points).T
    if not rates[0] <= bpp <= rates[-1]:
        return None
    return float(np.interp(np.log(bpp), np.log(rates), levels))


def curve_of(rows: Iterable[dict[str, Any]], metric: str = "psnr") -> list[tuple[float, float]]:
    """Return measured rows as a curve of (bpp, level); rows without the figure are left out."""
    level = METRICS[metric].level
    return [(row["bpp"], level(row[metric])) for row in rows if row.get(metric) is not None]


def mean_points(pictures: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the mean point of each setting over pictures.

    Args:
        pictures: the rows of each picture; a setting that one of them lacks is left out.

    Returns:
        One point a setting, by rate: the means of all figures that all pictures have.
    """
    by_setting = [{row["setting"]: row for row in rows} for rows in pictures]
    shared = set.intersection(*(set(rows) for rows in by_setting)) if by_setting else set()
    out = []
    for setting in shared:
        rows = [rows[setting] for rows in by_setting]
        keys = [key for key in rows[0] if all(_is_number(row.get(key)) for row in rows)]
        means = {key: significant(fmean(row[key] for row in rows), 7) for key in keys if key != "run"}
        out.append({"setting": setting, **means})
    return sorted(out, key=lambda point: point["bpp"])


def statistics(each: dict[str, dict[str, float | None]]) -> dict[str, Any]:
    """Return what BD-rates of pictures come to.

    Args:
        each: of each picture, as `bd_rate` gives it.

    Returns:
        mean, median, best and worst in percent, the last two with their picture; `wins` is how many are
        below zero `of` how many; the least overlap; and each picture's percent. Figures are None where no
        picture has one.
    """
    found = {name: value["percent"] for name, value in each.items() if value["percent"] is not None}
    best = min(found, key=found.__getitem__, default=None)
    worst = max(found, key=found.__getitem__, default=None)
    return {
        "mean": round(fmean(found.values()), 2) if found else None,
        "median": round(median(found.values()), 2) if found else None,
        "best": best and {"picture": best, "percent": round(found[best], 2)},
        "worst": worst and {"picture": worst, "percent": round(found[worst], 2)},
        "wins": sum(value < 0 for value in found.values()),
        "of": len(found),
        "least_overlap": round(min((v["overlap"] or 0 for v in each.values()), default=0), 3),
        "pictures": {n: None if v["percent"] is None else round(v["percent"], 2) for n, v in each.items()},
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
