"""Tables of a result in Markdown: `report.md`, and the parts that the README shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from splat2d.bench.anchors import family_of, hardest, ranked
from splat2d.bench.curves import bd_rate, curve_of
from splat2d.bench.metrics import METRICS
from splat2d.bench.results import bd_rates, good_rows, metrics_of, psnr_beside


def markdown(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table, the first column left and the others right."""
    lines = ["| " + " | ".join(headings) + " |", "|---" + "|--:" * (len(headings) - 1) + "|"]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def origin(result: dict[str, Any], measured: Sequence[dict[str, Any]]) -> str:
    """Return the line that says where and when figures were measured.

    Args:
        result: a benchmark's JSON.
        measured: the stamps of its parts.
    """
    machine = result["machine"]
    known = [m for m in measured if m["commit"]]  # an installed package knows none
    commits = sorted({f"{m['commit']}{' with changes' if m['modified'] else ''}" for m in known})
    dates = sorted({m["date"][:10] for m in measured})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    versions = result["versions"]
    at = f" at {', '.join(commits)}" if len(known) == len(measured) else ""
    library, label = ("av", "PyAV") if result.get("benchmark") == "clips" else ("pillow", "Pillow")
    return (
        f"*Measured {when}{at} on {machine['cores']} cores of {machine['cpu']} "
        f"({machine['vectors']}), {machine['memory_gib']} GiB, {machine['os']}; "
        f"splat2d {versions['splat2d']}, {label} {versions[library]}.*"
    )


def bd_rate_table(result: dict[str, Any], test: str, metric: str = "psnr") -> str:
    """Return a codec's BD-rates against the hardest setting of each other: mean, best and worst picture."""
    rows = []
    for anchor in hardest(result, test, metric):
        found = result["summary"]["bd_rate"][test][anchor][metric]
        if found["mean"] is not None:
            rows.append(
                (
                    _label(result, anchor),
                    f"**{found['mean']:+.1f}%**",
                    *map(_of, (found["best"], found["worst"])),
                )
            )
    return markdown(("against", "BD-rate", "best picture", "worst picture"), rows)


def beside_table(result: dict[str, Any], test: str) -> str:
    """Return a codec's mean figures for each setting, and the PSNR of the others at the same rates.

    Times are left out where pictures were coded beside each other.
    """
    rows = good_rows(result)
    runs = {row["run"] for rows_of_one in rows[test].values() for row in rows_of_one}
    alone = all(result["runs"][run]["jobs"] == 1 for run in runs)
    others = hardest(result, test, "psnr")
    points = []
    for point in result["summary"]["mean_curves"][test]:
        kind, _, value = point["setting"].partition("=")
        beside = (psnr_beside(rows, test, point["setting"], other) for other in others)
        points.append(
            (
                value if kind == "quality" else point["setting"],
                f"{point['bpp']:.3f}",
                f"{point['psnr']:.2f}",
                *(figure(value, ".2f") for value in beside),
                figure(point.get("splats"), ",.0f"),
                *((f"{point['encode_s']:.1f} s", f"{1e3 * point['decode_s']:.0f} ms") if alone else ()),
            )
        )
    labels = (f"{_label(result, other)} dB" for other in others)
    heads = ("quality", "bpp", "PSNR dB", *labels, "splats", *(("encode", "decode") if alone else ()))
    return markdown(heads, points)


def report(result: dict[str, Any]) -> str:
    """Return the whole report of a finished result."""
    parts = ["# Image codecs", _setting_out(result)]
    bd_rates = result["summary"]["bd_rate"]
    for test, against in bd_rates.items():
        if against:
            parts += _against(result, test, against)
    parts += ["## Means over the pictures", _mean_tables(result)]
    if result["published"]:
        parts += ["## Published curves", PUBLISHED, published_table(result)]
    parts += settings(result)
    parts += ["## Times", times(result)]
    parts += faults(result)
    return "\n\n".join(parts) + "\n"


def _setting_out(result: dict[str, Any]) -> str:
    pictures = result["pictures"].values()
    count = len(pictures)
    text = (
        f"{count} picture{'s' if count > 1 else ''}. Sizes are of whole files, PSNR is over all 8-bit RGB "
        "samples of the decoded picture. BD-rate is the difference in size at equal quality, for each "
        "picture, and then the mean: negative is smaller. Of each codec all settings are listed, the hardest "
        "to beat first."
    )
    return f"{text}\n\n{origin(result, result['runs'] or [result])}"


def _against(result: dict[str, Any], test: str, against: dict[str, Any]) -> list[str]:
    metrics = list(next(iter(against.values())))
    means = []
    for anchor in ranked(result, test, metrics[0]):
        by_metric = against[anchor]
        low = result["summary"]["low_rate"][test][anchor]
        won = f"{low['wins']} of {low['of']}" if low["of"] else ""
        means.append((_label(result, anchor), *(percent(by_metric[key]["mean"]) for key in metrics), won))
    limit = next(iter(result["summary"]["low_rate"][test].values()))["bpp"]
    headings = ("against", *(METRICS[key].label for key in metrics), f"points won up to {limit:g} bpp")
    parts = [f"## {_label(result, test)}", "Mean BD-rate by metric:", markdown(headings, means)]
    for key in metrics:
        rows = [
            (
                _label(result, anchor),
                percent(found["mean"]),
                percent(found["median"]),
                _of(found["best"]),
                _of(found["worst"]),
                f"{found['wins']} of {found['of']}",
                f"{found['least_overlap']:.0%}",
            )
            for anchor, found in ((anchor, against[anchor][key]) for anchor in ranked(result, test, key))
        ]
        headings = ("against", "mean", "median", "best", "worst", "pictures won", "least overlap")
        parts += [f"BD-rate in {METRICS[key].label}:", markdown(headings, rows)]
    return parts


def _mean_tables(result: dict[str, Any]) -> str:
    rows = []
    for codec, points in result["summary"]["mean_curves"].items():
        for point in points:
            rows.append(
                (
                    _label(result, codec),
                    point["setting"],
                    f"{point['bpp']:.3f}",
                    figure(point.get("psnr"), ".2f"),
                    figure(point.get("ms_ssim"), ".4f"),
                    figure(point.get("ssimulacra2"), ".1f"),
                    figure(point.get("texture"), ".2f"),
                    seconds(point["encode_s"]),
                    seconds(point["decode_s"]),
                    figure(point.get("peak_mib"), ",.0f"),
                )
            )
    headings = (
        "codec",
        "setting",
        "bpp",
        "PSNR dB",
        "MS-SSIM",
        "SSIMULACRA2",
        "texture",
        "encode",
        "decode",
        "peak MiB",
    )
    return markdown(headings, rows)


PUBLISHED = (
    "Figures of others, not measured here: BD-rate in PSNR of our mean curve against their mean curve. "
    "They compare only if their pictures are these."
)


def published_table(result: dict[str, Any]) -> str:
    """Return BD-rates in PSNR of our mean curves against mean curves by others, marked as published."""
    ours = [name for name, codec in result["codecs"].items() if codec["ours"]]
    curves = {name: curve_of(result["summary"]["mean_curves"].get(name, ())) for name in ours}
    curves = {name: curve for name, curve in curves.items() if len(curve) > 1}
    found = {
        name: [bd_rate(curve_of(published["points"]), curve)["percent"] for curve in curves.values()]
        for name, published in result["published"].items()
    }
    hardest_first = sorted(
        found, key=lambda name: -max((f for f in found[name] if f is not None), default=-100)
    )
    rows = [
        (f"{name} (published)", *map(percent, found[name]), result["published"][name]["source"])
        for name in hardest_first
    ]
    headings = ("against", *(f"{_label(result, name)}" for name in curves), "source")
    return markdown(headings, rows)


def settings(result: dict[str, Any]) -> list[str]:
    """Return a section on what the settings of one codec are worth, nothing where each has but one."""
    rows = good_rows(result)
    metrics = metrics_of(rows)
    lines = []
    first: dict[str, str] = {}
    for name in (name for name in rows if not result["codecs"][name]["ours"]):
        anchor = first.setdefault(family_of(result, name), name)
        if name != anchor:
            found = [bd_rates(rows, anchor, name, key) for key in metrics]
            count = max(each["of"] for each in found)
            means = (percent(each["mean"]) for each in found)
            lines.append((_label(result, name), _label(result, anchor), count, *means))
    if not lines:
        return []
    headings = ("setting", "against", "of", *(METRICS[key].label for key in metrics))
    return ["## Settings of others beside each other", "BD-rates:", markdown(headings, lines)]


def times(result: dict[str, Any], what: str = "picture") -> str:
    """Return how each run was timed; what: is coded."""
    lines = []
    for run in result["runs"]:
        jobs = f"{run['jobs']} {what}s at a time" if run["jobs"] > 1 else f"one {what} at a time"
        lines.append(
            f"- {run['date'][:16]}: {jobs}, {run['threads']} threads each, median of {run['repeats']} encodes"
        )
    if any(run["jobs"] > 1 for run in result["runs"]) or len({run["threads"] for run in result["runs"]}) > 1:
        lines.append(
            "\n**Jobs shared the machine, or runs had unlike numbers of threads: times do not compare.**"
        )
    return "\n".join(lines)


def faults(result: dict[str, Any]) -> list[str]:
    """Return a section on what could not be measured, nothing when all could."""
    names = {digest: picture["name"] for digest, picture in result["pictures"].items()}
    lines = [f"- {codec['unavailable']}" for codec in result["codecs"].values() if codec["unavailable"]]
    lines += [f"- {name}: {why}" for name, why in result["unreadable"].items()]
    lines += [
        f"- {names[row['picture']]}, {_label(result, row['codec'])}, {row['setting']}: {row['error']}"
        for row in result["rows"]
        if "error" in row
    ]
    missing = sorted({why for row in result["rows"] for why in row.get("missing", {}).values()})
    lines += [f"- {why}" for why in missing]
    return ["## Left out", "\n".join(lines)] if lines else []


def _label(result: dict[str, Any], codec: str) -> str:
    return result["codecs"][codec]["label"]


def percent(value: float | None) -> str:
    """Return a percentage with its sign, nothing for None."""
    return "" if value is None else f"{value:+.1f}%"


def _of(found: dict[str, Any] | None) -> str:
    return "" if found is None else f"{found['percent']:+.1f}% ({found['picture']})"


def figure(value: float | None, form: str) -> str:
    """Return a number in a form, nothing for None."""
    return "" if value is None else format(value, form)


def seconds(value: float) -> str:
    """Return a time in s or ms."""
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.0f} ms"
