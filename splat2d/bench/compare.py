"""What changed between two results: BD-rates of one's codecs against the same codecs in the other."""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

from splat2d.bench.curves import bd_rate, curve_of, statistics
from splat2d.bench.report import markdown
from splat2d.bench.results import Rows, good_rows, metrics_of
from splat2d.errors import ConfigError


def compare(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Return the changes from one result to another, for each codec with rows of a picture in both.

    Args:
        a: the earlier result.
        b: the later one.

    Returns:
        By label: `bd_rate` of B against A by metric (as `curves.statistics`), and the mean changes in percent
        at equal settings of `bytes`, `encode_s` and `decode_s`, None where no setting is common.

    Raises:
        ConfigError: the two have nothing in common.
    """
    shared = {digest: p["name"] for digest, p in a["pictures"].items() if digest in b["pictures"]}
    rows_a, rows_b = _by_label(a, shared), _by_label(b, shared)
    out: dict[str, Any] = {}
    for label in (label for label in rows_a if label in rows_b):
        first, second = rows_a[label], rows_b[label]
        names = sorted(first.keys() & second.keys())
        if not names:
            continue
        metrics = [key for key in metrics_of({label: first}) if key in metrics_of({label: second})]
        out[label] = {"bd_rate": {key: _bd_rates(first, second, names, key) for key in metrics}}
        for key in ("bytes", "encode_s", "decode_s"):
            out[label][key] = _mean_change(first, second, names, key)
    if not out:
        raise ConfigError("the two results have no codec with the same picture in both; nothing to compare")
    return out


def table(changes: dict[str, Any]) -> str:
    """Return the changes as a Markdown table."""
    rows = []
    for label, change in changes.items():
        for metric, found in change["bd_rate"].items():
            first = metric == next(iter(change["bd_rate"]))
            others = (change[key] if first else None for key in ("bytes", "encode_s", "decode_s"))
            extremes = (
                "" if value is None else f"{value['percent']:+.2f}% ({value['picture']})"
                for value in (found["worst"], found["best"])
            )
            rows.append((label, metric, _percent(found["mean"]), *extremes, *map(_percent, others)))
    headings = ("codec", "metric", "BD-rate", "worst", "best", "bytes", "encode time", "decode time")
    return markdown(headings, rows)


def _by_label(result: dict[str, Any], names: dict[str, str]) -> Rows:
    """Return rows by codec's label and picture, under the names given to digests; own names may differ."""
    own = {p["name"]: names[digest] for digest, p in result["pictures"].items() if digest in names}
    return {
        result["codecs"][codec]["label"]: {own[n]: points for n, points in pictures.items() if n in own}
        for codec, pictures in good_rows(result).items()
    }


def _bd_rates(first: dict[str, Any], second: dict[str, Any], names: list[str], metric: str) -> dict[str, Any]:
    curves = {name: (curve_of(first[name], metric), curve_of(second[name], metric)) for name in names}
    return statistics({name: bd_rate(*pair) for name, pair in curves.items() if all(pair)})


def _mean_change(first: dict[str, Any], second: dict[str, Any], names: list[str], key: str) -> float | None:
    """Return the geometric mean change of a figure over equal pictures and settings, in percent."""
    ratios = []
    for name in names:
        before = {row["setting"]: row.get(key) for row in first[name]}
        for row in second[name]:
            old, new = before.get(row["setting"]), row.get(key)
            if old and new:
                ratios.append(math.log(new / old))
    return round(100 * math.expm1(fmean(ratios)), 2) if ratios else None


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}%"
