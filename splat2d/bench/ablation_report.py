"""The table and the plot of an ablation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from splat2d.bench.ablation import WHOLE
from splat2d.bench.plots import OURS, pyplot_of, save
from splat2d.bench.report import faults, figure, markdown, origin, percent, times

FILE, COUNTED = OURS[0], "#7f8c8d"


def report(result: dict[str, Any]) -> str:
    """Return the whole report of a finished result."""
    count = len(result["pictures"])
    settings = sorted({row["quality"] for row in result["rows"] if "error" not in row})
    text = (
        f"{count} picture{'s' if count > 1 else ''}, preset {Path(result['preset']).stem}, qualities "
        f"{', '.join(f'{value:g}' for value in settings)}. One idea is switched off at a time. BD-rate is "
        "how much larger files are at equal PSNR than the whole codec's, for each picture, and then the "
        "mean: positive is what the idea is worth. Rows marked *counted* are code lengths, not written files."
    )
    parts = ["# What each idea is worth", text, origin(result, result["runs"] or [result]), table(result)]
    parts += ["BD-rate by picture:", _by_picture(result), "How each is switched off:", _notes(result)]
    parts += ["## Times", times(result), *faults(result)]
    return "\n\n".join(parts) + "\n"


def table(result: dict[str, Any]) -> str:
    """Return the table of ideas, the dearest to lose first."""
    whole = result["summary"]["encode_s"]
    rows = [("*whole codec*", "files", "", "", "", figure(whole, ".2f") + " s" if whole else "")]
    for name in _ordered(result):
        found = result["summary"]["ideas"][name]
        time = found["encode_s"]
        rows.append(
            (
                result["codecs"][name]["label"],
                _kind(result, name),
                f"**{percent(found['bd_rate']['mean'])}**",
                figure(found["psnr"], "+.2f"),
                percent(found["bytes"]),
                "as the whole" if time is None else percent(time),
            )
        )
    headings = ("codec", "rows are", "BD-rate", "PSNR dB, same quality", "size, same quality", "encode time")
    return markdown(headings, rows)


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw mean BD-rates as bars, and those of each picture as dots.

    Args:
        result: of a finished run.
        path: PNG to write.

    Raises:
        BackendUnavailableError: matplotlib is missing.
    """
    pyplot = pyplot_of()
    names = [n for n in _ordered(result) if result["summary"]["ideas"][n]["bd_rate"]["mean"] is not None]
    places = range(len(names) - 1, -1, -1)
    plot, axes = pyplot.subplots(figsize=(7.5, 0.5 * len(names) + 1.4), layout="constrained")
    labelled = set()
    for place, name in zip(places, names, strict=True):
        found, kind = result["summary"]["ideas"][name]["bd_rate"], _kind(result, name)
        label = None if kind in labelled else kind
        labelled.add(kind)
        color, hatch = (COUNTED, "//") if kind == "counted" else (FILE, None)
        style: dict[str, Any] = {"color": color, "hatch": hatch, "edgecolor": "white"}
        axes.barh(place, found["mean"], height=0.62, label=label, **style)
        each = [value for value in found["pictures"].values() if value is not None]
        if len(each) > 1:
            axes.plot(each, [place] * len(each), "o", color="black", markersize=3.5, zorder=3)
        end = max([found["mean"], *each, 0])
        note = f"{found['mean']:+.1f}%"
        axes.annotate(note, (end, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(list(places), [result["codecs"][name]["label"] for name in names])
    axes.margins(x=0.15)
    axes.set(xlabel="BD-rate against the whole codec, % (larger files at equal PSNR)")
    count = len(result["pictures"])
    axes.set_title(f"One idea off at a time, {count} picture{'s' if count > 1 else ''}")
    axes.grid(axis="x", alpha=0.3)
    if labelled:
        axes.legend(fontsize=8, loc="lower right")
    save(plot, path)


def _kind(result: dict[str, Any], name: str) -> str:
    return "counted" if result["codecs"][name]["counted"] else "files"


def _ordered(result: dict[str, Any]) -> list[str]:
    """Return the ideas that have figures, the one that is worth most first."""
    means = {name: found["bd_rate"]["mean"] for name, found in result["summary"]["ideas"].items()}
    return sorted(means, key=lambda name: float("inf") if means[name] is None else -means[name])


def _by_picture(result: dict[str, Any]) -> str:
    ideas = result["summary"]["ideas"]
    pictures = sorted({picture for found in ideas.values() for picture in found["bd_rate"]["pictures"]})
    rows = []
    for name in _ordered(result):
        each = ideas[name]["bd_rate"]["pictures"]
        mark = " (counted)" if _kind(result, name) == "counted" else ""
        figures = (percent(each.get(picture)) for picture in pictures)
        rows.append((result["codecs"][name]["label"] + mark, *figures))
    return markdown(("codec", *pictures), rows)


def _notes(result: dict[str, Any]) -> str:
    lines = []
    for name, codec in result["codecs"].items():
        if name == WHOLE:
            continue
        covered = result["summary"]["ideas"].get(name, {}).get("bd_rate", {}).get("least_overlap")
        note = f"; curves share only {covered:.0%} of their range" if covered and covered < 0.7 else ""
        lines.append(f"- {codec['label']} ({_kind(result, name)}): {codec['how']}{note}.")
    return "\n".join(lines)
