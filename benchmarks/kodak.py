"""Rate-distortion on Kodak: splat2d, JPEG, WebP and AVIF in one run, sizes of real files, BD-rate.

Usage: python benchmarks/kodak.py [--pictures 20 5] [--preset default] [--qualities 32 42 ...] [--fresh]

Each picture is written to the JSON as soon as it is measured, and a later run measures only what is missing.
PSNR is over all 8-bit RGB samples of the decoded picture; BD-rates are per picture, then averaged.
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import Annotated, Any

import tyro
from _curves import bd_rate, curve_of, mean_points, psnr_at
from _measure import (
    DATA,
    RESULTS,
    environment,
    kodak_paths,
    ms_ssim,
    pixels_of,
    psnr,
    read_json,
    significant,
    stamp,
    write_json,
)
from _peers import PEERS, Codec, SplatCodec
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table

from splat2d.errors import ConfigError, Splat2dError

OURS = "splat2d"
QUALITIES = (32, 42, 52, 62, 72, 82)  # about 0.1 to 1.0 bpp
DECODES = 3
# The picture and rate of a figure that others report too.
LANDMARK, LANDMARK_BPP = "kodim20", 0.20


@dataclass(frozen=True)
class Options:
    """Options of the benchmark.

    Args:
        pictures: numbers from 1 to 24; all when none are given.
        preset: of splat2d.
        qualities: of splat2d.
        data: folder that holds kodak/.
        out: JSON to write; results/kodak.json for the preset default, else results/kodak-PRESET.json.
        ms_ssim: measure MS-SSIM as well.
        threads: of splat2d.
        jobs: pictures at a time; times mean little with more than one.
        fresh: measure everything again.
        fresh_ours: measure splat2d again and keep the other codecs' results.
    """

    pictures: tuple[int, ...] = ()
    preset: str = "default"
    qualities: tuple[int, ...] = QUALITIES
    data: Path = DATA
    out: Path | None = None
    ms_ssim: bool = False
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 2
    jobs: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    fresh: bool = False
    fresh_ours: bool = False

    @property
    def path(self) -> Path:
        """Where the JSON goes."""
        preset = Path(self.preset).stem
        return self.out or RESULTS / ("kodak.json" if preset == "default" else f"kodak-{preset}.json")


def measure(codec: Codec, path: Path, quality: int, with_ms_ssim: bool) -> dict[str, Any]:
    """Return one point: quality, bytes, bpp, PSNR in dB, seconds to encode and decode."""
    x = pixels_of(path)
    start = perf_counter()
    data = codec.encode(x, quality)
    encode = perf_counter() - start
    times = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture"
        file.write_bytes(data)
        size = file.stat().st_size
        data = file.read_bytes()
    for _ in range(DECODES):
        start = perf_counter()
        x_hat = codec.decode(data)
        times.append(perf_counter() - start)
    point = {
        "quality": quality,
        "bytes": size,
        "bpp": 8 * size / (x.shape[0] * x.shape[1]),
        "psnr": round(psnr(x, x_hat), 4),
        "encode_s": significant(encode),
        "decode_s": significant(median(times)),
    }
    if codec.name == OURS:
        from splat2d.scene import Scene

        point["splats"] = Scene.from_bytes(data).count
    if with_ms_ssim:
        point["ms_ssim"] = round(ms_ssim(x, x_hat), 5)
    return point


def measure_picture(path: Path, options: Options, known: dict[str, Any]) -> dict[str, Any]:
    """Return all points of a picture by codec; those in `known` are kept."""
    ours = SplatCodec(options.preset, options.threads)
    out: dict[str, Any] = {"measured": known.get("measured") or stamp()}
    wanted = [(ours, options.qualities), *((peer, peer.qualities) for peer in PEERS)]
    for codec, qualities in wanted:
        points = {p["quality"]: p for p in known.get(codec.name, ()) if not lacks(p, options)}
        for quality in qualities:
            if quality not in points:
                points[quality] = measure(codec, path, quality, options.ms_ssim)
                if codec is ours:
                    out["measured"] = stamp()
        out[codec.name] = [points[q] for q in sorted(points) if q in qualities]
    if path.stem == LANDMARK:
        out["landmark"] = known.get("landmark") or landmark(path, options)
    return out


def landmark(path: Path, options: Options) -> dict[str, Any]:
    """Return what a file of at most `LANDMARK_BPP` holds of the picture."""
    from splat2d.fit.encode import encode_picture
    from splat2d.pictures import load_picture

    picture = load_picture(path)
    encoded = encode_picture(picture, bpp=LANDMARK_BPP, preset=options.preset, threads=options.threads)
    x_hat = SplatCodec(threads=options.threads).decode(encoded.data)
    return {
        "limit_bpp": LANDMARK_BPP,
        "bytes": len(encoded.data),
        "bpp": 8 * len(encoded.data) / (x_hat.shape[0] * x_hat.shape[1]),
        "psnr": round(psnr(pixels_of(path), x_hat), 4),
        "splats": encoded.splats,
        "encode_s": significant(encoded.seconds),
    }


def lacks(point: dict[str, Any], options: Options) -> bool:
    """Whether a stored point misses a figure that is asked for."""
    return options.ms_ssim and "ms_ssim" not in point


def complete(entry: dict[str, Any], name: str, options: Options) -> bool:
    """Whether a stored picture needs no measuring."""
    wanted = {OURS: options.qualities, **{peer.name: peer.qualities for peer in PEERS}}
    return (name != LANDMARK or "landmark" in entry) and all(
        {p["quality"] for p in entry.get(codec, ()) if not lacks(p, options)} >= set(qualities)
        for codec, qualities in wanted.items()
    )


def summary(pictures: dict[str, Any]) -> dict[str, Any]:
    """Return BD-rates, mean curves, and the other codecs' mean PSNR at the rates of ours."""
    names = sorted(pictures)
    rates: dict[str, Any] = {}
    for peer in PEERS:
        each = {n: bd_rate(curve_of(pictures[n][peer.name]), curve_of(pictures[n][OURS])) for n in names}
        percents = [value["percent"] for value in each.values() if value["percent"] is not None]
        rates[peer.name] = {
            "mean_percent": round(fmean(percents), 2) if percents else None,
            "least_overlap": round(min(value["overlap"] for value in each.values()), 3),
            "pictures": {n: v["percent"] and round(v["percent"], 2) for n, v in each.items()},
        }
    curves = {
        codec: mean_points([pictures[n][codec] for n in names]) for codec in (OURS, *(p.name for p in PEERS))
    }
    for point in curves[OURS]:
        for peer in PEERS:
            at = []
            for n in names:
                bpp = next(p["bpp"] for p in pictures[n][OURS] if p["quality"] == point["quality"])
                at.append(psnr_at(curve_of(pictures[n][peer.name]), bpp))
            found = [value for value in at if value is not None]
            # A mean over other pictures than ours would compare nothing.
            point[f"psnr_{peer.name}"] = significant(fmean(found), 6) if len(found) == len(names) else None
    return {"bd_rate": rates, "mean_curves": curves}


def run(options: Options, console: Console) -> dict[str, Any]:
    """Measure what is missing, writing after each picture; returns the whole result."""
    paths = kodak_paths(options.data, options.pictures)
    before = read_json(options.path)
    if before and before["settings"]["preset"] != options.preset:
        found = before["settings"]["preset"]
        raise ConfigError(f"{options.path} is of preset {found}, not {options.preset}; give another --out")
    known: dict[str, Any] = before["pictures"] if before else {}
    peers = () if options.fresh else tuple(peer.name for peer in PEERS)
    for path in paths if options.fresh or options.fresh_ours else ():
        known[path.stem] = {n: points for n, points in known.get(path.stem, {}).items() if n in peers}
    result: dict[str, Any] = {
        "benchmark": "kodak",
        **environment(),
        "settings": {
            "preset": options.preset,
            "threads": options.threads,
            "jobs": options.jobs,
            "codecs": {peer.name: dict(peer.options) for peer in PEERS},
        },
        "pictures": known,
    }
    todo = [path for path in paths if not complete(known.get(path.stem, {}), path.stem, options)]
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("pictures", total=len(paths), completed=len(paths) - len(todo))

        def keep(path: Path, entry: dict[str, Any]) -> None:
            result["pictures"] = dict(sorted({**result["pictures"], path.stem: entry}.items()))
            write_json(options.path, result)
            bpps = [f"{p['bpp']:.3f} {p['psnr']:.2f}" for p in entry[OURS]]
            progress.console.print(f"{path.stem}: bpp dB  {'  '.join(bpps)}", highlight=False)
            progress.advance(task)

        if options.jobs == 1:
            for path in todo:
                keep(path, measure_picture(path, options, known.get(path.stem, {})))
        else:
            with ProcessPoolExecutor(options.jobs) as pool:
                jobs = {pool.submit(measure_picture, p, options, known.get(p.stem, {})): p for p in todo}
                for job in as_completed(jobs):
                    keep(jobs[job], job.result())
    # Figures are over the pictures of this call; others that the file holds stay in it.
    chosen = {path.stem: result["pictures"][path.stem] for path in paths}
    result["summary_of"] = sorted(chosen)
    result["commits"] = sorted({str(entry["measured"]["commit"]) for entry in chosen.values()})
    result.update(summary(chosen))
    write_json(options.path, result)
    return result


def main() -> None:
    """Run the benchmark and print what came out."""
    options = tyro.cli(Options, description=(__doc__ or "").splitlines()[0])
    console = Console(stderr=True)
    result = run(options, console)
    table = Table(title=f"Kodak, {len(result['summary_of'])} pictures, preset {options.preset}")
    for heading in ("against", "BD-rate %", "best %", "worst %", "least overlap"):
        table.add_column(heading, justify="left" if heading == "against" else "right")
    for name, rate in result["bd_rate"].items():
        each = [value for value in rate["pictures"].values() if value is not None]
        figures = (
            rate["mean_percent"],
            min(each, default=None),
            max(each, default=None),
            rate["least_overlap"],
        )
        table.add_row(name, *(str(figure) for figure in figures))
    Console().print(table)
    if mark := result["pictures"].get(LANDMARK, {}).get("landmark"):
        console.print(f"{LANDMARK} in {mark['bpp']:.4f} bpp: {mark['psnr']:.2f} dB")
    if len(result["commits"]) > 1:
        console.print(
            f"pictures come from several commits: {', '.join(result['commits'])}; --fresh-ours evens it"
        )


if __name__ == "__main__":
    try:
        main()
    except Splat2dError as error:
        sys.exit(f"kodak: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
