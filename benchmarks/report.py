"""Turn benchmarks/results/*.json into the README's tables and the rate-distortion figures.

Usage: python benchmarks/report.py [--check]

A table stands between `<!-- benchmark:NAME -->` and `<!-- /benchmark:NAME -->`; the text between is replaced.
Figures in sentences are those of sentences.py.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentences
import tyro
from _paths import DATA, RESULTS, ROOT

from splat2d.bench import clip_report
from splat2d.bench.anchors import hardest
from splat2d.bench.plots import draw_curves
from splat2d.bench.report import PUBLISHED as NOT_OURS
from splat2d.bench.report import bd_rate_table, beside_table, markdown, origin, percent, published_table
from splat2d.bench.results import read_json, read_published
from splat2d.errors import OutputError, Splat2dError
from splat2d.fit.config import PRESETS

OURS = "splat2d-default"
# The picture of a figure that others report too.
LANDMARK = "kodim20"
# Published curves worth having in the figure; those of codecs measured here would only double them.
PUBLISHED = (
    "VTM",
    "BPG 4:4:4",
    "AV1 (AVIF)",
    "JPEG2000",
    "C3",
    "Cool-chic 5.0",
    "MLIC+",
    "COIN",
    "GaussianImage",
)


@dataclass(frozen=True)
class Options:
    """Options of the report.

    Args:
        check: write nothing and fail when the README does not hold the present tables.
        readme: file with the markers.
        results: folder of the JSONs and of the figures.
        published: curves by others for the figure; left out where the file is absent.
    """

    check: bool = False
    readme: Path = ROOT / "README.md"
    results: Path = RESULTS
    published: Path = DATA.parent / "refs" / "kodak_rd.csv"


def kodak_tables(result: dict[str, Any]) -> str:
    """Return BD-rates, and each quality's mean figures beside the other codecs' at the same rates."""
    test = tuned_for(result, "psnr")
    used = Counter(row["run"] for row in result["rows"] if row["codec"] == test)
    run = result["runs"][used.most_common(1)[0][0]]
    peers = [result["codecs"][name]["label"] for name in hardest(result, test, "psnr")]
    threads = "1 thread" if run["threads"] == 1 else f"{run['threads']} threads"
    alone = f", {run['jobs']} pictures at a time with {threads} each" if run["jobs"] > 1 else f", {threads}"
    text = [
        f"Kodak, {len(result['pictures'])} pictures, {result['codecs'][test]['label']}{alone}. Sizes "
        "are of whole files, PSNR is over 8-bit RGB. BD-rate is the difference in size at equal PSNR, "
        "the mean over pictures. Of each codec it is the setting that is hardest to beat.",
        bd_rate_table(result, test),
        preset_tables(result),
        f"Means over the pictures; {', '.join(peers)} are interpolated at the rate of each of our files.",
        beside_table(result, test),
    ]
    names = {digest: picture["name"] for digest, picture in result["pictures"].items()}
    for row in result["rows"]:
        ours = row["codec"] in (test, f"{OURS}-psnr")
        if ours and names[row["picture"]] == LANDMARK and row["setting"].startswith("bpp="):
            text.append(f"{LANDMARK} in a file of {row['bpp']:.3f} bpp: {row['psnr']:.2f} dB.")
    if result["published"] and len(result["pictures"]) == 24:
        text += [NOT_OURS, published_table(_only(result, test))]
    text.append(origin(result, result["runs"]))
    return "\n\n".join(text)


def tuned_for(result: dict[str, Any], metric: str) -> str:
    """Return our default preset with the tune for a metric; without one, as it is."""
    tuned = f"{OURS}-{metric.replace('_', '-')}"
    return tuned if tuned in result["summary"]["bd_rate"] else OURS


def _only(result: dict[str, Any], test: str) -> dict[str, Any]:
    """Return a result with one codec of ours and the published curves of the figure."""
    codecs = {name: codec for name, codec in result["codecs"].items() if name == test or not codec["ours"]}
    published = {name: curve for name, curve in result["published"].items() if name in PUBLISHED}
    return {**result, "codecs": codecs, "published": published}


METRIC_LABELS = {"psnr": "PSNR", "ms_ssim": "MS-SSIM", "ssimulacra2": "SSIMULACRA2"}


def preset_tables(result: dict[str, Any]) -> str:
    """Return the mean BD-rates of each of our presets, a table for each metric.

    The columns are the settings of others that are hardest for the default preset, the hardest first.
    """
    rates = {name: found for name, found in result["summary"]["bd_rate"].items() if found}
    parts = []
    for metric, label in METRIC_LABELS.items():
        test = tuned_for(result, metric)
        if test not in rates or not any(metric in found for found in rates[test].values()):
            continue
        anchors = hardest(result, test, metric)
        rows = []
        for name in sorted(rates, key=_preset_order):
            found = [rates[name].get(anchor, {}).get(metric, {}) for anchor in anchors]
            if any(f.get("mean") is not None for f in found):
                count = max(f.get("of", 0) for f in found)
                rows.append((name.removeprefix("splat2d-"), count, *(percent(f.get("mean")) for f in found)))
        heads = (result["codecs"][anchor]["label"] for anchor in anchors)
        parts += [f"All presets, BD-rates in {label}:", markdown(("preset", "pictures", *heads), rows)]
    return "\n\n".join(parts)


def _preset_order(name: str) -> tuple[int, str]:
    preset = name.removeprefix("splat2d-")
    return (PRESETS.index(preset) if preset in PRESETS else len(PRESETS)), preset


def photos_tables(result: dict[str, Any]) -> str:
    """Return the BD-rates of our presets on other photographs."""
    sizes = sorted({f"{p['width']}x{p['height']}" for p in result["pictures"].values()})
    return "\n\n".join(
        [
            f"{len(result['pictures'])} photographs of {', '.join(sizes)}:",
            preset_tables(result),
            origin(result, result["runs"]),
        ]
    )


def graphics_tables(result: dict[str, Any]) -> str:
    """Return each picture's BD-rates, since such pictures have little in common."""
    test = tuned_for(result, "psnr")
    anchors = hardest(result, test, "psnr")
    rates = {anchor: result["summary"]["bd_rate"][test][anchor] for anchor in anchors}
    heads = [result["codecs"][anchor]["label"] for anchor in rates]
    names = sorted(picture["name"] for picture in result["pictures"].values())
    pictures = {anchor: found["psnr"].get("pictures", {}) for anchor, found in rates.items()}
    rows = [(name, *(percent(pictures[anchor].get(name)) for anchor in rates)) for name in names]
    return "\n\n".join(
        [
            f"BD-rate of {result['codecs'][test]['label']} by picture, where the curves overlap:",
            markdown(("picture", *heads), rows),
            origin(result, result["runs"]),
        ]
    )


def ablation_tables(result: dict[str, Any]) -> str:
    """Return what the codec loses without each idea."""
    rows = []
    for name, idea in result["summary"]["ideas"].items():
        found, how = idea["bd_rate"], result["codecs"][name]
        kind = "counted" if how["counted"] else "files"
        rows.append((how["label"], percent(found["mean"]), kind))
    names = ", ".join(sorted(picture["name"] for picture in result["pictures"].values()))
    return "\n\n".join(
        [
            f"BD-rate without an idea against the whole codec, preset {result['preset']}, {names}:",
            markdown(("without", "BD-rate", "from"), rows),
            origin(result, result["runs"]),
        ]
    )


def speed_tables(result: dict[str, Any]) -> str:
    """Return tables of encoding, decoding and render throughput, those that were measured."""
    sections = result["sections"]
    text = []
    if part := sections.get("encode"):
        rows = [
            (f"{r['preset']}, quality {r['quality']}", f"{r['median_s']:.1f} s", f"{r['slowest_s']:.1f} s")
            for r in part["rows"]
        ]
        count = len(part["rows"][0]["pictures"])
        text.append(f"Encoding 768x512 on {part['threads']} threads, median and slowest of {count} pictures:")
        text.append(markdown(("preset", "median", "slowest"), rows))
    rows = []
    for name in ("large", "eight_k"):
        part = sections.get(name)
        for r in part["rows"] if part else ():
            what = f"{r['width']}x{r['height']}, {part['preset']}, quality {r['quality']}"
            figures = (f"{r['encode_s']:.1f} s", f"{r['s_per_mpx']:.1f} s", f"{r['peak_mib']:,} MiB")
            rows.append((what, *figures, f"{r['bpp']:.3f}", f"{r['psnr']:.2f}"))
    if rows:
        text.append("Larger pictures, each in a process of its own:")
        text.append(markdown(("picture", "encode", "for each Mpx", "peak memory", "bpp", "PSNR dB"), rows))
    if part := sections.get("decode"):
        memory = part["memory"]
        rows = []
        for key in (key for key in memory if key.startswith("threads_")):
            threads = key.removeprefix("threads_")
            on = "1 thread" if threads == "1" else f"{threads} threads"
            for name, what in (
                ("bytes in memory to pixels", "whole"),
                ("of that entropy decoding", "entropy_decoding"),
                ("of that rendering", "render"),
            ):
                rows.append((f"{name}, {on}", f"{1e3 * memory[key][what]['median_s']:.1f} ms"))
        with_torch = "with" if part["imports_torch"] else "without"
        rows.append(
            (
                f"the whole command `splat2d decode`, {with_torch} torch",
                f"{part['process']['median_s']:.2f} s",
            )
        )
        size = f"{part['picture']['width']}x{part['picture']['height']}"
        text.append(f"Decoding {size} with {part['picture']['splats']:,} splats, medians:")
        text.append(markdown(("step", "time"), rows))
    if part := sections.get("throughput"):
        rows = []
        for r in part["rows"]:
            share = "" if r["share_of_peak"] is None else f"{r['share_of_peak']:.0%}"
            rows.append((r["direction"], r["threads"], f"{r['pairs_per_s'] / 1e9:.2f} G/s", share))
        peak, flops = part["peak_flops_per_s"], part["flops_per_pair"]
        beside = "" if peak is None else f" beside {peak / 1e9:.0f} GFLOP/s of multiply-adds on one core"
        text.append(
            f"Rendering, splat-pixel evaluations{beside} "
            f"({flops['forward']} operations forward, {flops['backward']} backward):"
        )
        text.append(markdown(("direction", "threads", "evaluations", "of the cores' peak"), rows))
    text.append(origin(result, [part["measured"] for part in sections.values()]))
    return "\n\n".join(text)


def entropy_tables(result: dict[str, Any]) -> str:
    """Return sizes against the models' own code length and zstd, and bits a splat by attribute."""
    rows, bits = [], []
    for r in result["rows"]:
        name = f"{r['picture']}, quality {r['quality']}"
        factors = (f"{r['zstd_over_file'][key]:.2f}x" for key in ("int32", "narrow"))
        sizes = (f"{r['splats']:,}", f"{r['ideal_bytes']:,.0f} B", f"{r['file_bytes']:,} B")
        rows.append((name, *sizes, f"{r['overhead_percent']:.2f}%", *factors))
        each = r["bits_per_splat"]
        bits.append((name, *(f"{value:.2f}" for value in each.values()), f"{sum(each.values()):.2f}"))
    level, names = result["settings"]["zstd_level"], list(result["rows"][0]["bits_per_splat"])
    headings = ("picture", "splats", "code length of the models", "file", "overhead")
    text = [
        "The whole file beside the ideal code length of its own models, and how many times larger the same "
        f"integers are after zstd -{level}, as columns of int32 or of the narrowest type that holds each:",
        markdown((*headings, "zstd, int32", "zstd, narrow"), rows),
        "Bits a splat:",
        markdown(("picture", *names, "sum"), bits),
        origin(result, [result]),
    ]
    return "\n\n".join(text)


def objects_tables(result: dict[str, Any]) -> str:
    """Return what layers cost beside one layer in a file of the same size."""
    rows = []
    for r in result["rows"]:
        cost = r["psnr"]["flat"] - r["psnr"]["layered"]
        decibels = (f"{r['psnr'][kind]:.2f}" for kind in ("flat", "layered"))
        edge = f"{r['edge_alpha_error']:.3f}"
        rows.append(
            (
                r["picture"],
                r["objects"],
                r["quality"],
                f"{r['bytes']['layered']:,} B",
                *decibels,
                f"{cost:.2f}",
                edge,
            )
        )
    heads = (
        "picture",
        "objects",
        "quality",
        "file",
        "flat, dB",
        "layered, dB",
        "cost, dB",
        "alpha off at edges",
    )
    title = (
        f"Pictures with masks, one layer and several in files of the same size, preset {result['preset']}:"
    )
    return "\n\n".join([title, markdown(heads, rows), origin(result, [result])])


def clips_tables(result: dict[str, Any]) -> str:
    """Return BD-rates by clip, PSNR at equal rates, and what our files are like."""
    return clip_report.clips_tables(result, OURS)


def gpu_tables(result: dict[str, Any]) -> str:
    """Return what a GPU does, beside what was aimed at, gsplat and the card's limits."""
    limits = result["ceilings"]
    peers = {(row["width"], row["height"]): row for row in result.get("gsplat", [])}

    def spread(times: dict[str, float], unit: float = 1e6) -> str:
        middle, low, high = (times[f"{name}_s"] * unit for name in ("median", "fastest", "slowest"))
        return f"{middle:.0f} ({low:.0f}-{high:.0f})"

    rows = []
    for row in result["draw"]:
        size = f"{row['width']}x{row['height']}, {row['splats']:,} splats"
        peer = peers.get((row["width"], row["height"]), {})
        for name, flops in (("forward", "forward_flops"), ("backward", "backward_flops")):
            ours = row["splat2d"][name]["median_s"]
            bound = max(
                row["work"]["bytes"] / limits["bytes_per_s"], row["work"][flops] / limits["flops_per_s"]
            )
            beside = f"{peer[name]['median_s'] / ours:.1f}x" if peer else ""
            times = spread(row["splat2d"][name])
            rows.append((size, name, times, f"{1 / ours:,.0f}", beside, f"{100 * bound / ours:.0f}%"))
        graph = row["splat2d"]["graph"]
        rows.append((size, "forward, CUDA graph", spread(graph), f"{1 / graph['median_s']:,.0f}", "", ""))
    heads = (
        "picture",
        "direction",
        "us, median (fastest-slowest)",
        "per second",
        "beside gsplat",
        "of the bound",
    )
    names = ("window", "eight_k", "step", "encode", "encode_visual", "clip", "light_field")
    window, eight, step, encode, visual, clip, field = (result[name] for name in names)
    others = [
        ("a step of the fit, 768x512, 10,000 splats", f"{step['median_s'] * 1e3:.2f} ms", "0.3 ms"),
        ("encode Kodak, default, median of 16 files", f"{visual['seconds']:.2f} s", "0.5 s, then 0.1 s"),
        ("the same, `--tune psnr`", f"{encode['seconds']:.2f} s", "0.5 s, then 0.1 s"),
        ("BD-rate of these against the CPU's files", f"{encode['bd_rate']:+.2f}%", "0.5%"),
        ("encode 2048x1365, default", f"{result['large_visual']['seconds']:.2f} s", "2 s"),
        ("the same, `--tune psnr`", f"{result['large']['seconds']:.2f} s", "2 s"),
        (f"encode {clip['frames']} frames of 640x360, a frame", f"{clip['per_frame_s']:.2f} s", "0.1 s"),
        ("BD-rate of these against the CPU's files", f"{clip['bd_rate']:+.2f}%", "0.5%"),
        (f"encode {field['views']} views of 960x640", f"{field['seconds_median']:.1f} s", ""),
        (
            f"window of {window['side']}x{window['side']} by `render_tensor`",
            f"{window['median_s'] * 1e3:.2f} ms",
            "1 ms",
        ),
        ("memory for 8K with 500,000 splats and gradients", f"{eight['gib']:.2f} GiB", "8 GiB"),
    ]
    card, measured = result["gpu"], result["measured"]
    shown = ("ceilings", "draw", *names, "large", "large_visual", *(["gsplat"] if peers else []))
    elsewhere = peers and measured["gsplat"]["commit"] != measured["draw"]["commit"]
    other_run = " (measured in another run)" if elsewhere else ""
    return "\n\n".join(
        [
            f"{card['name']}, driver {card['driver']}, torch {result['torch']}; its copies move "
            f"{limits['bytes_per_s'] / 1e12:.2f} TB/s, and its units could do "
            f"{limits['flops_per_s'] / 1e12:.0f} TFLOP/s. *The bound* is the longer of what bytes and "
            "multiply-adds take; gsplat composites the same Gaussians with `isect_tiles` and "
            f"`rasterize_to_pixels`{other_run}:",
            markdown(heads, rows),
            markdown(("what", "reached", "aim"), others),
            origin(result, [measured[name] for name in shown]),
        ]
    )


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "kodak": kodak_tables,
    "speed": speed_tables,
    "entropy": entropy_tables,
    "photos": photos_tables,
    "graphics": graphics_tables,
    "ablation": ablation_tables,
    "objects": objects_tables,
    "clips": clips_tables,
    "gpu": gpu_tables,
}
MAKERS = {
    "kodak": "splat2d bench images",
    "speed": "python benchmarks/speed.py",
    "entropy": "python benchmarks/entropy.py",
    "gpu": "python benchmarks/gpu_check.py",
    "photos": "splat2d bench images",
    "graphics": "splat2d bench images",
    "ablation": "splat2d bench ablation",
    "objects": "python benchmarks/objects.py",
    "clips": "splat2d bench clips",
}


def replace(text: str, name: str, table: str) -> str | None:
    """Return a text with what lies between the markers of a name replaced; None without both markers."""
    first, last = f"<!-- benchmark:{name} -->", f"<!-- /benchmark:{name} -->"
    before, found, rest = text.partition(first)
    _, ended, after = rest.partition(last)
    if not (found and ended):
        return None
    return f"{before}{first}\n{table}\n{last}{after}"


def draw(result: dict[str, Any], published: Path, out: Path) -> None:
    """Draw mean rate-distortion curves, those of others dashed and marked as published."""
    # Means over other pictures do not compare.
    beside = len(result["pictures"]) == 24 and published.is_file()
    curves = read_published(published, PUBLISHED) if beside else {}
    title = f"Kodak, mean of {len(result['pictures'])} pictures"
    draw_curves({**result, "published": curves}, out, title=title, ylim=(22, 42))


def run(options: Options) -> list[str]:
    """Bring the README and the figure up to date, or only look; returns the names of stale tables."""
    old = text = options.readme.read_text() if options.readme.is_file() else ""
    stale = []
    for name, table in TABLES.items():
        result = read_json(options.results / f"{name}.json")
        if result is None:
            print(f"{name}: no results; {MAKERS[name]} makes them", file=sys.stderr)
            continue
        content = table(result)
        new = replace(text, name, content)
        if new is None:
            # A README that has no place for a table is not stale.
            if not options.check:
                print(f"{options.readme.name} has no markers for {name}:\n\n{content}\n")
            continue
        if new != text:
            stale.append(name)
        text = new
        if name == "kodak" and not options.check:
            draw(result, options.published, options.results / "kodak_rd.png")
        if name == "clips" and not options.check:
            clip_report.draw(result, options.results / "clips_rd.png")
    if not options.check and text != old:
        try:
            options.readme.write_text(text)
        except OSError as error:
            raise OutputError(f"cannot write {options.readme}: {error.strerror}") from error
    return stale


def main() -> None:
    """Write or check the report."""
    options = tyro.cli(Options, description=(__doc__ or "").splitlines()[0])
    stale = [*run(options), *sentences.run(options.results, options.readme, options.check)]
    if options.check and stale:
        sys.exit(
            f"report: stale in {options.readme.name}: {', '.join(stale)}; run python benchmarks/report.py"
        )


if __name__ == "__main__":
    try:
        main()
    except Splat2dError as error:
        sys.exit(f"report: {error}")
