"""Measuring codecs on clips: row by row, kept as soon as measured, continued by the next run.

results.json follows the schema of results.py, with `benchmark` "clips". A clip is entered under `pictures`,
with the number of `frames`, `fps` and, in words, `source` besides name and size. The setting of a peer is
"crf=28". Rows hold `bytes`, `bpp` (8 x bytes / (W x H x T)), `psnr` (dB, RGB, of the mean squared error
over all frames), `ms_ssim` (0 to 1, mean of the frames), `flicker` (8-bit levels), `encode_s`,
`encode_cpu_s` (of all threads), `decode_s` (to RGB frames, median), `decode_fps`; ours also `splats`,
`segments`, and where there are several `border_db` and `border_worst_db`: mean and least PSNR of the frames
beside borders, less the mean of all frames. `summary` is that of clip_report.py.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat2d.bench import clip_codecs as registry
from splat2d.bench.clip_codecs import ClipCodec, segment_facts
from splat2d.bench.clip_peers import clip_ms_ssim, clip_psnr, flicker, frame_psnrs
from splat2d.bench.clip_report import summary
from splat2d.bench.clip_sources import Loaded, Source, load
from splat2d.bench.codecs import Setting
from splat2d.bench.images import LEAST_DECODES, Observer, drop_stale, measured, usable, value_of
from splat2d.bench.machine import cores, environment, significant, stamp
from splat2d.bench.metrics import Unmeasurable
from splat2d.bench.results import empty_results, read_results, write_json
from splat2d.errors import InputClipError, OutputError, Splat2dError
from splat2d.media.files import reason, shown

BENCHMARK = "clips"


@dataclass(frozen=True)
class Options:
    """What to measure.

    Args:
        sources: clips.
        out: folder of the results, made when absent.
        codecs: of `clip_codecs.NAMES`.
        presets: of splat2d.
        qualities: of splat2d; those of each clip when empty.
        crfs: of the others; each one's own grid when empty.
        jobs: rows at a time, each with an equal share of the cores.
        fresh: codecs to measure again.
    """

    sources: tuple[Source, ...]
    out: Path
    codecs: tuple[str, ...] = registry.NAMES
    presets: tuple[str, ...] = ("default",)
    qualities: tuple[float, ...] = ()
    crfs: tuple[float, ...] = ()
    jobs: int = 1
    fresh: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """One row to measure; all that a process of its own needs."""

    source: Source
    clip: str
    codec: ClipCodec
    setting: Setting
    file: Path


def run(options: Options, observer: Observer) -> dict[str, Any]:
    """Measure what is missing and return the whole result, which is also in `out`/results.json.

    Args:
        options: what to measure.
        observer: told of each row.

    Raises:
        ConfigError: an unknown codec, or results of another kind in `out`.
        InputClipError: no clip can be read.
        OutputError: `out` cannot be made or written to.
        KeyboardInterrupt: as pressed; all rows so far are in results.json.
    """
    threads = max(cores() // options.jobs, 1)
    wanted = registry.choose(options.codecs, options.presets, threads)
    fresh = {codec.name for codec in registry.choose(options.fresh, options.presets)}
    target = options.out / "results.json"
    before = read_results(target, BENCHMARK) if target.exists() else None
    result = {**empty_results(BENCHMARK), **(before or {}), **environment()}
    result.pop("summary", None)
    clips = readable(options.sources, result, observer)
    able = usable(wanted, result, observer)
    stale = drop_stale(result, clips, {codec.name: codec.version() for codec in able}, fresh)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        tasks, there = tasks_of(options, clips, able, result)
    except OSError as fault:
        raise OutputError(f"{shown(options.out)}: cannot be made ({reason(fault)})") from None
    if before:
        again = f", {stale} that are stale or failed go again" if stale else ""
        observer.note(f"continuing {shown(target)}: {there} rows are there{again}, {len(tasks)} to measure")
    observer.start(there + len(tasks), there)
    if tasks:
        result["runs"].append({**stamp(), "jobs": options.jobs, "threads": threads, "repeats": 1})
    write_json(target, result)
    for row in measured(tasks, options.jobs, measure):
        result["rows"].append({"run": len(result["runs"]) - 1, **row})
        write_json(target, result)
        observer.row(result["pictures"][row["picture"]]["name"], row)
    digests, order = list(result["pictures"]), list(result["codecs"])
    result["rows"].sort(
        key=lambda r: (digests.index(r["picture"]), order.index(r["codec"]), value_of(r["setting"]))
    )
    if not any("error" not in row for row in result["rows"]):
        raise Splat2dError(f"nothing could be measured; {shown(target)} says why")
    result["summary"] = summary(result)
    write_json(target, result)
    return result


def readable(
    sources: Sequence[Source], result: dict[str, Any], observer: Observer
) -> dict[str, tuple[Source, str]]:
    """Return clips and names by digest, and enter them and what cannot be read into the result."""
    found: dict[str, tuple[Source, str]] = {}
    result["unreadable"] = {}
    for source in sources:
        try:
            clip = load(source)
        except Splat2dError as fault:
            observer.note(f"left out: {fault}")
            result["unreadable"][source.name] = str(fault).replace(str(source.path), source.path.name)
            continue
        count, height, width, _ = clip.frames.shape
        digest = hashlib.sha256(repr((clip.frames.shape, str(clip.fps))).encode())
        digest.update(clip.frames.tobytes())
        key = digest.hexdigest()[:16]
        if key in found:
            observer.note(f"left out: {source.name} has the same pixels as {found[key][1]}")
            continue
        taken = {p["name"] for other, p in result["pictures"].items() if other != key}
        name = source.name if source.name not in taken else f"{source.name}-{key[:6]}"
        name = result["pictures"].get(key, {}).get("name", name)
        facts = {"name": name, "width": width, "height": height, "frames": count, "fps": float(clip.fps)}
        result["pictures"][key] = {**facts, "source": source.described()}
        found[key] = source, name
    if not found:
        raise InputClipError("no clip could be read, so that there is nothing to measure")
    return found


def tasks_of(
    options: Options,
    clips: dict[str, tuple[Source, str]],
    codecs: Sequence[ClipCodec],
    result: dict[str, Any],
) -> tuple[list[Task], int]:
    """Return what is to be measured, and how many rows of what is asked for are there."""
    known = {(row["picture"], row["codec"], row["setting"]) for row in result["rows"]}
    tasks: list[Task] = []
    there = 0
    for digest, (source, name) in clips.items():
        folder = options.out / "files" / name
        folder.mkdir(parents=True, exist_ok=True)
        for codec in codecs:
            for setting in codec.settings(options.qualities or source.qualities, options.crfs):
                if (digest, codec.name, str(setting)) in known:
                    there += 1
                    continue
                file = folder / f"{codec.name}-{str(setting).replace('=', '-')}{codec.suffix}"
                tasks.append(Task(source, digest, codec, setting, file))
    return tasks, there


def measure(task: Task) -> dict[str, Any]:
    """Return one row, with `error` instead of figures when the codec fails."""
    row: dict[str, Any] = {
        "picture": task.clip,
        "codec": task.codec.name,
        "setting": str(task.setting),
        "version": task.codec.version(),
    }
    try:
        return {**row, **_figures(task)}
    except Exception as fault:  # whatever a codec may do, the others go on
        return {**row, "error": f"{type(fault).__name__}: {reason(fault)}"}


def _figures(task: Task) -> dict[str, Any]:
    codec, clip = task.codec, _load(task.source)
    x = clip.frames
    _warm_up(codec)
    coded = codec.encode(x, clip.fps, task.setting)
    task.file.write_bytes(coded.data)
    data = task.file.read_bytes()
    times, x_hat = [], x
    for _ in range(LEAST_DECODES):
        start = perf_counter()
        x_hat = codec.decode(data, len(x))
        times.append(perf_counter() - start)
    if x_hat.shape != x.shape or x_hat.dtype != np.uint8:
        raise Splat2dError(f"decoded to {x_hat.dtype} {x_hat.shape}, expected uint8 {x.shape}")
    row: dict[str, Any] = {
        "file": task.file.relative_to(task.file.parents[2]).as_posix(),
        "bytes": len(data),
        "bpp": 8 * len(data) / (x.size // 3),
        "psnr": round(clip_psnr(x, x_hat), 5),
    }
    try:
        row["ms_ssim"] = round(clip_ms_ssim(x, x_hat), 6)
    except Unmeasurable as why:
        row |= {"ms_ssim": None, "missing": {"ms_ssim": str(why)}}
    row |= {
        "flicker": round(flicker(x_hat, x), 4),
        "encode_s": significant(coded.seconds),
        "encode_cpu_s": significant(coded.cpu_seconds),
        "decode_s": significant(median(times)),
        "decode_fps": significant(len(x) / median(times)),
    }
    return {**row, **(_splat_facts(data, x, x_hat) if codec.ours else {})}


def _splat_facts(data: bytes, x: NDArray[np.uint8], x_hat: NDArray[np.uint8]) -> dict[str, Any]:
    """Return what only our files have."""
    splats, firsts = segment_facts(data)
    facts: dict[str, Any] = {"splats": splats, "segments": len(firsts) + 1}
    if firsts:
        psnrs = frame_psnrs(x, x_hat)
        beside = psnrs[sorted({frame for first in firsts for frame in (first - 1, first)})]
        facts["border_db"] = round(float(beside.mean() - psnrs.mean()), 3)
        facts["border_worst_db"] = round(float(beside.min() - psnrs.mean()), 3)
    return facts


@lru_cache(maxsize=1)
def _load(source: Source) -> Loaded:
    return load(source)


_WARM: set[str] = set()


def _warm_up(codec: ClipCodec) -> None:
    """Let a codec load what it needs, once in a process, so that no time holds an import."""
    if codec.name in _WARM:
        return
    _WARM.add(codec.name)
    x = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    with contextlib.suppress(Exception):
        setting = codec.settings((30,), (40,))[0]
        codec.decode(codec.encode(x, Fraction(25), setting).data, len(x))
