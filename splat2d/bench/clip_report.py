"""What the rows of `splat2d bench clips` come to: BD-rates by clip, tables and a plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from splat2d.bench.anchors import hardest, ranked
from splat2d.bench.curves import bd_rate, curve_of, increasing, level_at
from splat2d.bench.plots import color_of, pyplot_of, save, shown
from splat2d.bench.report import faults, figure, markdown, origin, percent, seconds, settings, times
from splat2d.bench.results import Rows, good_rows

RATES = (0.02, 0.04, 0.08, 0.15)
"""Bits a pixel at which codecs stand side by side."""
METRICS = {"psnr": "PSNR", "ms_ssim": "MS-SSIM"}


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """Return BD-rates of our codecs against the others.

    Returns:
        `bd_rate` by our codec, other codec and metric: the `mean` in percent over the clips that have one,
        and for each of `clips` its `percent` and the `overlap`, the share of our range of levels that the
        other covers; None and 0 where no level is common. `psnr`: least and largest, by codec and clip.
    """
    rows = good_rows(result)
    ours = [name for name in rows if result["codecs"][name]["ours"]]
    others = [name for name in rows if name not in ours]
    return {
        "bd_rate": {
            test: {
                anchor: {metric: _bd_rates(rows, anchor, test, metric) for metric in METRICS}
                for anchor in others
            }
            for test in ours
        },
        "psnr": {
            name: {clip: _range(points) for clip, points in clips.items()} for name, clips in rows.items()
        },
    }


def _bd_rates(rows: Rows, anchor: str, test: str, metric: str) -> dict[str, Any]:
    clips: dict[str, Any] = {}
    for clip in rows[test]:
        curves = curve_of(rows[anchor].get(clip, ()), metric), curve_of(rows[test][clip], metric)
        if all(curves):
            found = bd_rate(*curves)
            rate, overlap = found["percent"], found["overlap"] or 0.0
            clips[clip] = {
                "percent": None if rate is None or not math.isfinite(rate) else round(rate, 2),
                "overlap": round(overlap, 3),
            }
    known = [found["percent"] for found in clips.values() if found["percent"] is not None]
    return {"mean": round(fmean(known), 2) if known else None, "clips": clips}


def _range(points: Sequence[dict[str, Any]]) -> list[float]:
    levels = [row["psnr"] for row in points]
    return [round(min(levels), 2), round(max(levels), 2)]


def bd_rate_table(
    result: dict[str, Any], test: str, metric: str = "psnr", anchors: Sequence[str] | None = None
) -> str:
    """Return a codec's BD-rates, a row for each clip and a column for each other codec, the hardest first.

    Of each other codec it is the hardest setting, unless `anchors` are given. A figure that less than the
    whole of our range went into says how much; where nothing is common both ranges stand there.
    """
    names = hardest(result, test, metric) if anchors is None else anchors
    against = {name: result["summary"]["bd_rate"][test][name] for name in names}
    clips = [c["name"] for c in result["pictures"].values() if c["name"] in result["summary"]["psnr"][test]]
    rows = [(clip, *(_cell(result, test, anchor, clip, metric) for anchor in against)) for clip in clips]
    rows = [row for row in rows if any(row[1:])]
    means = [percent(found[metric]["mean"]) for found in against.values()]
    rows.append(("mean", *(f"**{mean}**" if mean else "" for mean in means)))
    return markdown(("clip", *(_label(result, anchor) for anchor in against)), rows)


def _cell(result: dict[str, Any], test: str, anchor: str, clip: str, metric: str) -> str:
    found = result["summary"]["bd_rate"][test][anchor][metric]["clips"].get(clip)
    if found is None:
        return ""
    if found["percent"] is not None:
        share = "" if found["overlap"] > 0.995 else f" (over {found['overlap']:.0%})"
        return percent(found["percent"]) + share
    if metric != "psnr":
        return "nothing common"
    ours, theirs = (result["summary"]["psnr"][name][clip] for name in (test, anchor))
    return f"nothing common: {ours[0]:.1f} to {ours[1]:.1f} dB, {theirs[0]:.1f} to {theirs[1]:.1f} dB"


def rates_table(result: dict[str, Any], only: Sequence[str] = (), rates: Sequence[float] = RATES) -> str:
    """Return the PSNR of codecs at the same rates, clip by clip, interpolated; empty outside a curve.

    Args:
        result: of a run.
        only: the codecs, in this order; all when none are given.
        rates: bits a pixel.
    """
    rows = good_rows(result)
    rows = {name: rows[name] for name in only} if only else rows
    lines = []
    for clip in result["pictures"].values():
        for rate in rates:
            levels = [level_at(curve_of(clips.get(clip["name"], ())), rate) for clips in rows.values()]
            if any(level is not None for level in levels):
                lines.append((clip["name"], f"{rate:g}", *(figure(level, ".2f") for level in levels)))
    return markdown(("clip", "bpp", *(f"{_label(result, name)}, dB" for name in rows)), lines)


def files_table(result: dict[str, Any], only: Sequence[str] = ()) -> str:
    """Return all rows of some codecs, all when none are given; ours with what only our files have."""
    rows = good_rows(result)
    lines = []
    shapes = {clip["name"]: clip for clip in result["pictures"].values()}
    for name, clips in rows.items():
        if only and name not in only:
            continue
        for clip in (clip for clip in shapes if clip in clips):
            for row in clips[clip]:
                count = shapes[clip]["frames"]
                lines.append(
                    (
                        clip,
                        *(() if len(only) == 1 else (_label(result, name),)),
                        row["setting"].replace("=", " "),
                        f"{row['bytes']:,}",
                        f"{row['bpp']:.4f}",
                        f"{row['psnr']:.2f}",
                        figure(row.get("ms_ssim"), ".4f"),
                        f"{row['flicker']:.2f}",
                        figure(row.get("splats"), ",.0f"),
                        figure(row.get("border_db"), "+.2f"),
                        seconds(row["encode_s"] / count),
                        seconds(row["encode_cpu_s"] / count),
                        f"{row['decode_fps']:,.0f}",
                    )
                )
    heads = ("clip", *(() if len(only) == 1 else ("codec",)), "setting", "bytes", "bpp", "PSNR dB", "MS-SSIM")
    heads += ("flicker", "splats", "borders dB", "encode a frame", "CPU a frame", "decoded frames/s")
    return markdown(heads, lines)


EXPLAINED = (
    "Sizes are of whole .splat files and of the others' raw streams (8-bit 4:2:0); PSNR is over all RGB "
    "samples of all frames. *Flicker* is the mean absolute change of the error from frame to frame, in 8-bit "
    "levels; *borders* is the PSNR of the frames beside segment borders, less that of all frames."
)


def clips_tables(result: dict[str, Any], test: str) -> str:
    """Return what the README shows.

    Args:
        result: of a finished run.
        test: our codec; without rows of it only the others are shown.
    """
    measured = ", ".join(
        f"{clip['name']} ({clip['width']}x{clip['height']}, {clip['frames']} frames)"
        for clip in result["pictures"].values()
    )
    parts = [f"{measured}. {EXPLAINED}"]
    if test in result["summary"]["bd_rate"]:
        parts += [f"BD-rate in PSNR of {_label(result, test)} against", bd_rate_table(result, test)]
        table = rates_table(result, (test, *hardest(result, test, "psnr")))
        parts += ["PSNR at equal rates, interpolated:", table]
        parts += [f"The files of {_label(result, test)}:", files_table(result, (test,))]
    else:
        parts += ["PSNR at equal rates, interpolated:", rates_table(result)]
    parts.append(origin(result, result["runs"]))
    return "\n\n".join(parts)


def report(result: dict[str, Any]) -> str:
    """Return the whole report of a finished result."""
    parts = ["# Video codecs", EXPLAINED, origin(result, result["runs"] or [result])]
    for test, against in result["summary"]["bd_rate"].items():
        if against:
            parts.append(f"## {_label(result, test)}")
            for metric, label in METRICS.items():
                table = bd_rate_table(result, test, metric, ranked(result, test, metric))
                parts += [f"BD-rate in {label} against", table]
    parts += ["## PSNR at equal rates", rates_table(result)]
    parts += ["## All files", files_table(result), *settings(result), "## Times", times(result, "clip")]
    parts += faults(result)
    return "\n\n".join(parts) + "\n"


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw rate and PSNR of ours and of the hardest setting of each other codec, a panel for each clip.

    Raises:
        BackendUnavailableError: matplotlib is missing.
    """
    pyplot = pyplot_of()
    rows = good_rows(result)
    clips = [c for c in result["pictures"].values() if any(c["name"] in found for found in rows.values())]
    columns = min(len(clips), 2)
    size = columns, math.ceil(len(clips) / columns)
    figure, axes = pyplot.subplots(
        *size[::-1], figsize=(5.2 * size[0], 3.9 * size[1]), layout="constrained", squeeze=False
    )
    for place in axes.flat[len(clips) :]:
        place.axis("off")
    for place, clip in zip(axes.flat, clips, strict=False):
        for name in shown(result, "psnr"):
            curve = increasing(curve_of(rows[name].get(clip["name"], ())))
            if curve:
                width = 2.4 if result["codecs"][name]["ours"] else 1.6
                style: dict[str, Any] = {"linewidth": width, "markersize": 4, "color": color_of(result, name)}
                place.plot(*zip(*curve, strict=True), "o-", label=_label(result, name), **style)
        place.set_xscale("log")
        place.set(xlabel="bits per pixel", ylabel="RGB PSNR, dB")
        place.set_title(f"{clip['name']}, {clip['width']}x{clip['height']}, {clip['frames']} frames")
        place.grid(alpha=0.3, which="both")
    axes.flat[0].legend(fontsize=8)
    save(figure, path)


def _label(result: dict[str, Any], codec: str) -> str:
    return result["codecs"][codec]["label"]
