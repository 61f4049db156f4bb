"""Plots of a result: mean rate-distortion curves, BD-rates by picture, time against BD-rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from splat2d.bench.anchors import family_of, hardest
from splat2d.bench.curves import curve_of
from splat2d.bench.metrics import METRICS
from splat2d.bench.results import bd_rates, good_rows, metrics_of
from splat2d.errors import BackendUnavailableError

OURS = ("#c0392b", "#e67e22", "#7b241c", "#d98880")
OTHERS = {"avif": "#2471a3", "webp": "#229954", "jpeg": "#7d6608", "jpeg2000": "#7d3c98", "jxl": "#17a589"}
OTHERS |= {"x264": "#7d6608", "x265": "#229954", "svt-av1": "#2471a3"}


def draw_all(result: dict[str, Any], out: Path) -> list[Path]:
    """Draw every plot that a finished result has figures for, and return their paths.

    Raises:
        BackendUnavailableError: matplotlib is missing.
    """
    rows = good_rows(result)
    paths = []
    for metric in metrics_of(rows):
        if any(curve_of(points, metric) for points in result["summary"]["mean_curves"].values()):
            paths.append(out / f"rd_{metric}.png")
            draw_curves(result, paths[-1], metric=metric)
    for test, against in result["summary"]["bd_rate"].items():
        if any(found["psnr"]["of"] for found in against.values()):
            paths.append(out / f"bd_rate_{test}.png")
            _draw_bars(result, test, paths[-1])
    anchor = next((name for name in ("jpeg", *rows) if name in rows), None)
    if anchor is not None and len(rows) > 1:
        paths.append(out / "time.png")
        _draw_times(result, anchor, paths[-1])
    return paths


def draw_curves(
    result: dict[str, Any],
    path: Path,
    *,
    metric: str = "psnr",
    title: str | None = None,
    only: Sequence[str] = (),
    xlim: tuple[float, float] = (0, 1.25),
    ylim: tuple[float, float] | None = None,
) -> None:
    """Draw mean curves, of other codecs that of the hardest setting; published ones are dashed and marked.

    Args:
        result: of a finished run.
        path: PNG to write.
        metric: of `METRICS`.
        title: of the plot.
        only: published curves to draw; all when none are given.
        xlim: bits a pixel.
        ylim: levels of the metric; those of the measured curves when None.
    """
    pyplot = pyplot_of()
    figure, axes = pyplot.subplots(figsize=(7.5, 5.2), layout="constrained")
    count = len(result["pictures"])
    levels = []
    for name in shown(result, metric):
        curve = curve_of(result["summary"]["mean_curves"].get(name, ()), metric)
        if curve:
            codec = result["codecs"][name]
            levels += [level for bpp, level in curve if bpp <= xlim[1]]
            style: dict[str, Any] = {"linewidth": 2.4 if codec["ours"] else 1.6, "markersize": 4, "zorder": 3}
            axes.plot(
                *zip(*curve, strict=True), "o-", label=codec["label"], color=color_of(result, name), **style
            )
    drawn = 0
    for name, published in result["published"].items():
        curve = curve_of(published["points"], metric)
        if not curve or (only and name not in only):
            continue
        dashes = ("--", ":", "-.")[drawn // 10 % 3]
        shade = pyplot.get_cmap("tab10")(drawn % 10)
        axes.plot(*zip(*curve, strict=True), dashes, label=f"{name} (published)", linewidth=0.9, color=shade)
        drawn += 1
    if ylim is None and levels:
        margin = 0.05 * (max(levels) - min(levels)) or 1
        ylim = min(levels) - margin, max(levels) + margin
    label = "RGB PSNR, dB" if metric == "psnr" else METRICS[metric].label
    axes.set(xlim=xlim, ylim=ylim, xlabel="bits per pixel", ylabel=label)
    axes.set_title(title or f"Mean of {count} picture{'s' if count > 1 else ''}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8 if drawn <= 8 else 6, loc="lower right", ncols=1 if drawn <= 8 else 2)
    save(figure, path)


def shown(result: dict[str, Any], metric: str) -> list[str]:
    """Return the codecs of a plot: ours and the hardest setting of each other; all where none is ours."""
    against = result["summary"]["bd_rate"]
    ours = list(against)
    if not ours:
        return list(good_rows(result))
    main = next((name for name in ours if any(metric in found for found in against[name].values())), None)
    return [*(hardest(result, main, metric) if main else ()), *ours]


def _draw_bars(result: dict[str, Any], test: str, path: Path) -> None:
    pyplot = pyplot_of()
    against = {n: result["summary"]["bd_rate"][test][n] for n in hardest(result, test, "psnr")}
    names = sorted({name for found in against.values() for name in found["psnr"]["pictures"]})
    figure, axes = pyplot.subplots(figsize=(max(6, 0.4 * len(names) + 2), 4.2), layout="constrained")
    width = 0.8 / len(against)
    for number, (anchor, found) in enumerate(against.items()):
        values = [found["psnr"]["pictures"].get(name) for name in names]
        places = [k + (number - (len(against) - 1) / 2) * width for k in range(len(names))]
        shown = [(place, value) for place, value in zip(places, values, strict=True) if value is not None]
        if shown:
            label = f"against {result['codecs'][anchor]['label']}"
            axes.bar(*zip(*shown, strict=True), width=width, label=label, color=color_of(result, anchor))
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > 4 else 0, fontsize=8)
    axes.set(ylabel="BD-rate, %", title=f"{result['codecs'][test]['label']}: size at equal PSNR, by picture")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)
    save(figure, path)


def _draw_times(result: dict[str, Any], anchor: str, path: Path) -> None:
    pyplot = pyplot_of()
    rows = good_rows(result)
    figure, axes = pyplot.subplots(figsize=(6.5, 4.4), layout="constrained")
    for name, pictures in rows.items():
        rate = 0.0 if name == anchor else bd_rates(rows, anchor, name, "psnr")["mean"]
        if rate is None:
            continue
        seconds = fmean(row["encode_s"] for points in pictures.values() for row in points)
        axes.plot(seconds, rate, "o", markersize=9, color=color_of(result, name))
        label = result["codecs"][name]["label"]
        axes.annotate(label, (seconds, rate), xytext=(7, 5), textcoords="offset points", fontsize=9)
    axes.set_xscale("log")
    axes.margins(x=0.25, y=0.15)
    axes.set(xlabel="mean encode time, s", ylabel=f"BD-rate against {result['codecs'][anchor]['label']}, %")
    axes.set_title("Encode time and size at equal PSNR")
    axes.grid(alpha=0.3, which="both")
    save(figure, path)


def color_of(result: dict[str, Any], name: str) -> str:
    """Return the colour of a codec, the same in all plots and for all of its settings."""
    family = family_of(result, name)
    if family in OTHERS:
        return OTHERS[family]
    ours = [other for other, codec in result["codecs"].items() if codec["ours"]]
    return OURS[ours.index(name) % len(OURS)] if name in ours else "#566573"


def pyplot_of() -> Any:
    """Return matplotlib's pyplot, which draws to files only.

    Raises:
        BackendUnavailableError: matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError:
        raise BackendUnavailableError(
            "plots need the package matplotlib; pip install 'splat2d[bench]'"
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def save(figure: Any, path: Path) -> None:
    """Write a figure as PNG and close it."""
    # Without the library's version inside, the same figures give the same file.
    figure.savefig(path, dpi=130, metadata={"Software": None})
    pyplot_of().close(figure)
