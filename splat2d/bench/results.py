"""The JSON of a benchmark: its schema, reading and writing it, and what its rows come to.

Schema 1, top level:

- `schema`, `benchmark`: 1 and "images"; `date`, `commit`, `modified`, `machine`, `versions`: of the last run.
- `runs`: of each run that measured rows, its date, commit, jobs, threads of each job and repeats.
- `codecs`: by name, `label`, `ours`, `version`, and `unavailable`, the reason why it did not run, or null.
- `pictures`: by digest of the pixels, `name`, `width` and `height` in px; `unreadable`: names with reasons.
- `rows`: one for each picture, codec and setting: `picture`, `codec`, `setting` ("quality=50", "bpp=0.25"),
  `version` of the codec, `run` (index into `runs`); then either `error`, or `quality` (that a rate came to;
  null where the codec has a rate target), `file` (beside the JSON, absent when not kept), `bytes`, `bpp`,
  `psnr` (dB, RGB), `ms_ssim` (0 to 1), `ssimulacra2`, `texture` (8-bit levels), `missing` (why one is null),
  `encode_s` and `decode_s`, `peak_mib` and `loaded_mib` (of a process that encodes once, and of it before
  encoding), `splats`.
- `published`: curves by others, by name: `source` and `points` of `bpp`, `psnr`, `ms_ssim`.
- `summary`: `bd_rate` by our codec, other codec and metric; `low_rate` by our codec and other codec; and
  `mean_curves` by codec. Absent while rows are missing.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from splat2d.bench.curves import bd_rate, curve_of, level_at, mean_points, statistics
from splat2d.bench.metrics import METRICS
from splat2d.errors import ConfigError
from splat2d.media.files import reason, shown, write_atomic

SCHEMA = 1
LOW_BPP = 0.25
_LINE = 400  # characters

Rows = dict[str, dict[str, list[dict[str, Any]]]]
"""Good rows by codec and picture's name."""


def read_json(path: Path) -> dict[str, Any] | None:
    """Return an earlier result, or None where there is no file.

    Raises:
        ConfigError: it is no JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as fault:
        raise ConfigError(f"{shown(path)}: is no JSON of a benchmark ({reason(fault)})") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{shown(path)}: is no JSON of a benchmark; expected an object")
    return found


def write_json(path: Path, result: dict[str, Any]) -> None:
    """Write a result whole or not at all, so that an interrupted run can be resumed."""
    with write_atomic(path, force=True) as file:
        file.write((_lines(result, "") + "\n").encode())


def read_results(path: Path, benchmark: str = "images") -> dict[str, Any] | None:
    """Return a result of `splat2d bench images`, or of another one, or None where there is no file.

    Raises:
        ConfigError: it is no such result, or of another schema.
    """
    found = read_json(path)
    if found is None:
        return None
    if found.get("benchmark") != benchmark or not isinstance(found.get("rows"), list):
        raise ConfigError(f"{shown(path)}: is no result of splat2d bench {benchmark}")
    if found.get("schema") != SCHEMA:
        raise ConfigError(
            f"{shown(path)}: has schema {found.get('schema')}, expected {SCHEMA}; give another --out"
        )
    return found


def empty_results(benchmark: str = "images") -> dict[str, Any]:
    """Return a result without rows."""
    lists: dict[str, Any] = {"runs": [], "codecs": {}, "pictures": {}, "unreadable": {}, "rows": []}
    return {"schema": SCHEMA, "benchmark": benchmark, **lists, "published": {}}


def good_rows(result: dict[str, Any]) -> Rows:
    """Return the rows without errors by codec and picture, those of one kind of setting for each codec.

    A curve through points of both kinds would count some rates twice, so of `quality` and `bpp` the kind with
    more rows is taken.
    """
    names = {digest: picture["name"] for digest, picture in result["pictures"].items()}
    out: Rows = {}
    for codec in result["codecs"]:
        rows = [row for row in result["rows"] if row["codec"] == codec and "error" not in row]
        kinds = Counter(row["setting"].partition("=")[0] for row in rows)
        if not kinds:
            continue
        kind = max(sorted(kinds, reverse=True), key=kinds.__getitem__)
        by_picture: dict[str, list[dict[str, Any]]] = {}
        for row in sorted(rows, key=lambda row: row["bpp"]):
            if row["setting"].startswith(f"{kind}="):
                by_picture.setdefault(names[row["picture"]], []).append(row)
        out[codec] = dict(sorted(by_picture.items()))
    return out


def metrics_of(rows: Rows) -> list[str]:
    """Return the metrics that some row has."""
    every = [row for pictures in rows.values() for found in pictures.values() for row in found]
    return [key for key in METRICS if any(row.get(key) is not None for row in every)]


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """Return BD-rates of our codecs against the others, wins at low rates, and mean curves."""
    rows = good_rows(result)
    ours = [name for name in rows if result["codecs"][name]["ours"]]
    others = [name for name in rows if name not in ours]
    metrics = metrics_of(rows)
    return {
        "bd_rate": {
            test: {anchor: {key: bd_rates(rows, anchor, test, key) for key in metrics} for anchor in others}
            for test in ours
        },
        "low_rate": {
            test: {anchor: low_rate_wins(rows[anchor], rows[test]) for anchor in others} for test in ours
        },
        "mean_curves": {name: mean_points(list(rows[name].values())) for name in rows},
    }


def bd_rates(rows: Rows, anchor: str, test: str, metric: str) -> dict[str, Any]:
    """Return the statistics of a codec's BD-rates against another over the pictures that both have."""
    each = {}
    for name in rows[anchor].keys() & rows[test].keys():
        curves = curve_of(rows[anchor][name], metric), curve_of(rows[test][name], metric)
        if all(curves):
            each[name] = bd_rate(*curves)
    return statistics(dict(sorted(each.items())))


def low_rate_wins(
    anchor: dict[str, list[dict[str, Any]]], test: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """Return at how many of a codec's points of at most `LOW_BPP` another has more PSNR at the same rate.

    Args:
        anchor: the codec's rows by picture.
        test: rows of the one that is interpolated.

    Returns:
        `wins` `of` the points that the other's curve covers, and `bpp`, the limit.
    """
    wins = points = 0
    for name in anchor.keys() & test.keys():
        for bpp, decibel in curve_of(anchor[name]):
            at = level_at(curve_of(test[name]), bpp) if bpp <= LOW_BPP else None
            if at is not None:
                points += 1
                wins += at > decibel
    return {"wins": wins, "of": points, "bpp": LOW_BPP}


def psnr_beside(rows: Rows, test: str, setting: str, other: str) -> float | None:
    """Return a codec's mean PSNR at the rates of another one's files of a setting.

    Returns:
        dB; None where a picture's rate lies outside the codec's curve, since a mean over other pictures would
        compare nothing.
    """
    found = []
    for name, points in rows[test].items():
        bpp = next((row["bpp"] for row in points if row["setting"] == setting), None)
        at = bpp and level_at(curve_of(rows[other].get(name, ())), bpp)
        if at is None:
            return None
        found.append(at)
    return fmean(found) if found else None


def read_published(path: Path, only: Sequence[str] = ()) -> dict[str, Any]:
    """Return curves by others.

    Args:
        path: CSV with the columns codec, bpp, psnr_rgb_db, and perhaps ms_ssim and source.
        only: codecs to take; all when none are given.

    Returns:
        By codec, `source` and `points` by rate, each with `bpp`, `psnr` in dB and `ms_ssim` or None.

    Raises:
        ConfigError: the file cannot be read or is no such table.
    """
    curves: dict[str, Any] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if missing := {"codec", "bpp", "psnr_rgb_db"} - set(table.fieldnames or ()):
                raise KeyError(f"no column {', '.join(sorted(missing))}")
            for row in table:
                if only and row["codec"] not in only:
                    continue
                curve = curves.setdefault(row["codec"], {"source": row.get("source") or "", "points": []})
                point: dict[str, float | None] = {"bpp": float(row["bpp"])}
                for key, column in (("psnr", "psnr_rgb_db"), ("ms_ssim", "ms_ssim")):
                    point[key] = float(row[column]) if row.get(column) else None

                curve["points"].append(point)
    except OSError as fault:
        raise ConfigError(f"{shown(path)}: cannot be read ({reason(fault)})") from None
    except (KeyError, ValueError, TypeError, csv.Error) as fault:
        raise ConfigError(
            f"{shown(path)}: is no table of curves with codec, bpp and psnr_rgb_db ({reason(fault)})"
        ) from None
    if not curves:
        raise ConfigError(f"{shown(path)}: holds no curves; expected rows of codec, bpp, psnr_rgb_db")
    for curve in curves.values():
        curve["points"].sort(key=lambda point: point["bpp"])
    return curves


def _lines(value: Any, indent: str) -> str:
    """Return JSON in which a row is one line, so that a diff of two runs can be read."""
    if not isinstance(value, dict | list) or not value:
        return json.dumps(value, allow_nan=False)
    children = value.values() if isinstance(value, dict) else value
    if not any(isinstance(child, dict | list) and _nested(child) for child in children):
        line = json.dumps(value, allow_nan=False)
        if len(line) <= _LINE:
            return line
    inner = indent + " "
    if isinstance(value, dict):
        parts = [f"{json.dumps(str(key))}: {_lines(child, inner)}" for key, child in value.items()]
    else:
        parts = [_lines(child, inner) for child in value]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}\n{inner}" + f",\n{inner}".join(parts) + f"\n{indent}{last}"


def _nested(value: dict[str, Any] | list[Any]) -> bool:
    children = value.values() if isinstance(value, dict) else value
    return any(isinstance(child, dict | list) for child in children)
