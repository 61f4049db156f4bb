"""Measuring codecs on pictures: row by row, kept as soon as measured, continued by the next run."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from splat2d.bench import registry
from splat2d.bench.codecs import Codec, Described, Setting
from splat2d.bench.machine import cores, environment, significant, stamp
from splat2d.bench.metrics import METRICS, measure_all
from splat2d.bench.once import encode_alone, load_pixels, splats_of
from splat2d.bench.results import empty_results, read_results, summary, write_json
from splat2d.errors import InputImageError, OutputError, Splat2dError
from splat2d.media.files import reason, shown

LEAST_SIDE = 16  # px; headers are all that a smaller file holds
LEAST_DECODES = 3  # decoding is quick, so that one time alone says little
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".jp2", ".tif", ".tiff", ".bmp", ".ppm", ".pgm"}
MEMORY = "memory"
MEASURES = (*METRICS, MEMORY)
T = TypeVar("T")
AnyCodec = TypeVar("AnyCodec", bound=Described)


@dataclass(frozen=True)
class Options:
    """What to measure.

    Args:
        paths: pictures, and folders of them.
        out: folder of the results, made when absent.
        codecs: of `registry.NAMES`, or others that `registry.choose` knows.
        presets: of splat2d, each PRESET or PRESET:TUNE.
        grid: settings of every codec; each codec's own grid when empty.
        jobs: pictures at a time, each with an equal share of the cores.
        repeats: encodes of each row; the median is kept.
        measures: of `MEASURES`; PSNR is always measured.
        fresh: codecs to measure again.
    """

    paths: tuple[Path, ...]
    out: Path
    codecs: tuple[str, ...] = registry.NAMES
    presets: tuple[str, ...] = ("default",)
    grid: tuple[Setting, ...] = ()
    jobs: int = 1
    repeats: int = 1
    measures: tuple[str, ...] = MEASURES
    fresh: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """One row to measure; all that a process of its own needs."""

    path: Path
    picture: str
    codec: Codec
    setting: Setting
    file: Path
    repeats: int
    metrics: tuple[str, ...]
    memory: bool
    row: dict[str, Any] | None = None  # one that lacks metrics


@dataclass
class Loaded:
    """A picture [H, W, 3], and the file sizes that searches for rates found by codec and quality."""

    x: NDArray[np.uint8]
    sizes: dict[str, dict[float, int]]


class Observer:
    """What a run tells; does nothing by itself."""

    def start(self, total: int, done: int) -> None:
        """Rows that are asked for, and how many of them are there already."""

    def row(self, name: str, row: dict[str, Any]) -> None:
        """A row of the picture `name` was measured."""

    def note(self, text: str) -> None:
        """Something that a user should know, on one line."""


def find_pictures(paths: Iterable[Path]) -> list[Path]:
    """Return files as given, and of each folder its pictures in order.

    Raises:
        InputImageError: a path does not exist, or a folder holds no picture.
    """
    out: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
            if not found:
                raise InputImageError(f"{shown(path)}: holds no pictures; expected PNG, JPEG or the like")
            out += found
        elif path.exists():
            out.append(path)
        else:
            raise InputImageError(f"{shown(path)}: no such file or folder; check the path")
    return list(dict.fromkeys(out))


def run(options: Options, observer: Observer) -> dict[str, Any]:
    """Measure what is missing and return the whole result, which is also in `out`/results.json.

    Args:
        options: what to measure.
        observer: told of each row.

    Raises:
        ConfigError: an unknown codec, or results of another kind in `out`.
        InputImageError: no picture can be read.
        OutputError: `out` cannot be made or written to.
        KeyboardInterrupt: as pressed; all rows so far are in results.json.
    """
    threads = max(cores() // options.jobs, 1)
    wanted = registry.choose(options.codecs, options.presets, threads)
    fresh = {codec.name for codec in registry.choose(options.fresh, options.presets)}
    paths = find_pictures(options.paths)
    target = options.out / "results.json"
    before = read_results(target) if target.exists() else None
    result = {**empty_results(), **(before or {}), **environment()}
    result.pop("summary", None)
    pictures = readable(paths, result, observer)
    able = usable(wanted, result, observer)
    metrics = ("psnr", *(key for key in METRICS if key in options.measures and key != "psnr"))
    stale = drop_stale(result, pictures, {codec.name: codec.version() for codec in able}, fresh)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        tasks, there = tasks_of(options, pictures, able, metrics, result)
    except OSError as fault:
        raise OutputError(f"{shown(options.out)}: cannot be made ({reason(fault)})") from None
    if before:
        again = f", {stale} that are stale or failed go again" if stale else ""
        observer.note(f"continuing {shown(target)}: {there} rows are there{again}, {len(tasks)} to measure")
    observer.start(there + len(tasks), there)
    if tasks:
        result["runs"].append(
            {**stamp(), "jobs": options.jobs, "threads": threads, "repeats": options.repeats}
        )
    write_json(target, result)
    for row in measured(tasks, options.jobs, measure):
        key = _key(row)
        result["rows"] = [other for other in result["rows"] if _key(other) != key]
        result["rows"].append({"run": len(result["runs"]) - 1, **row})
        write_json(target, result)
        observer.row(result["pictures"][row["picture"]]["name"], row)
    names = {digest: picture["name"] for digest, picture in result["pictures"].items()}
    order = list(result["codecs"])
    result["rows"].sort(key=lambda r: (names[r["picture"]], order.index(r["codec"]), value_of(r["setting"])))
    if not any("error" not in row for row in result["rows"]):
        raise Splat2dError(f"nothing could be measured; {shown(target)} says why")
    result["summary"] = summary(result)
    write_json(target, result)
    return result


def readable(paths: Sequence[Path], result: dict[str, Any], observer: Observer) -> dict[str, Path]:
    """Return paths by digest, and enter pictures and unreadable files into the result."""
    found: dict[str, Path] = {}
    result["unreadable"] = {}
    for path in paths:
        try:
            x = load_pixels(path)
            height, width, _ = x.shape
            if min(width, height) < LEAST_SIDE:
                raise InputImageError(
                    f"{shown(path)}: has {width}x{height} px; a benchmark needs {LEAST_SIDE} px a side"
                )
        except Splat2dError as fault:
            observer.note(f"left out: {fault}")
            result["unreadable"][path.name] = str(fault).replace(str(path), path.name)
            continue
        digest = hashlib.sha256(repr(x.shape).encode() + x.tobytes()).hexdigest()[:16]
        if digest in found:
            observer.note(f"left out: {shown(path)} has the same pixels as {shown(found[digest])}")
            continue
        found[digest] = path
        taken = {p["name"] for other, p in result["pictures"].items() if other != digest}
        name = path.stem if path.stem not in taken else f"{path.stem}-{digest[:6]}"
        result["pictures"].setdefault(digest, {"name": name, "width": width, "height": height})
    if not found:
        raise InputImageError("no picture could be read, so that there is nothing to measure")
    return found


def usable(wanted: Sequence[AnyCodec], result: dict[str, Any], observer: Observer) -> list[AnyCodec]:
    """Return the codecs that can run, and enter all of them into the result."""
    able = []
    for codec in wanted:
        missing = codec.unavailable()
        if missing:
            observer.note(f"{codec.label} is left out: {missing}")
            version = None
        else:
            version = codec.version()
            able.append(codec)
        facts = {"label": codec.label, "ours": codec.ours, "family": codec.family}
        facts |= {"optimises": codec.optimises, "version": version, "unavailable": missing}
        result["codecs"][codec.name] = facts
    return able


def drop_stale(
    result: dict[str, Any], digests: Collection[str], versions: dict[str, str], fresh: set[str]
) -> int:
    """Remove what is to be measured again; returns how many rows.

    That is rows of the pictures of this run, whose digests are given: of other versions, of fresh codecs and
    with errors. Rows of other pictures stay.
    """
    kept = [
        row
        for row in result["rows"]
        if row["picture"] not in digests
        or row["codec"] not in versions
        or (row["version"] == versions[row["codec"]] and row["codec"] not in fresh and "error" not in row)
    ]
    dropped = len(result["rows"]) - len(kept)
    result["rows"] = kept
    return dropped


def tasks_of(
    options: Options,
    pictures: dict[str, Path],
    codecs: Sequence[Codec],
    metrics: tuple[str, ...],
    result: dict[str, Any],
) -> tuple[list[Task], int]:
    """Return what is to be measured, and how many rows of what is asked for are there."""
    known = {_key(row): row for row in result["rows"]}
    tasks: list[Task] = []
    there = 0
    for digest, path in pictures.items():
        folder = options.out / "files" / result["pictures"][digest]["name"]
        folder.mkdir(parents=True, exist_ok=True)
        for codec in codecs:
            settings = options.grid or tuple(Setting("quality", value) for value in codec.qualities)
            for number, setting in enumerate(settings):
                row = known.get((digest, codec.name, str(setting)))
                if row and all(metric in row for metric in metrics):
                    there += 1
                    continue
                file = folder / f"{codec.name}-{str(setting).replace('=', '-')}{codec.suffix}"
                # One process for each picture and codec is enough to see what it takes.
                memory = MEMORY in options.measures and number == len(settings) // 2
                tasks.append(Task(path, digest, codec, setting, file, options.repeats, metrics, memory, row))
    return tasks, there


def measured(
    tasks: Sequence[T], jobs: int, measure: Callable[[T], dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield the row of each task, in processes of their own when there are several jobs."""
    if jobs == 1:
        yield from map(measure, tasks)
        return
    # Spawned, since a forked child has none of the threads that its parent has started.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_ignore_interrupts) as pool:
        others = set(multiprocessing.active_children())
        workers: set[Any] = set()
        try:
            futures = [pool.submit(measure, task) for task in tasks]
            workers = set(multiprocessing.active_children()) - others
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise Splat2dError(
                "a process died, perhaps for want of memory; results so far are kept, "
                "run again with fewer --jobs"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            # Nobody waits for encodes whose rows are not wanted any more.
            for worker in workers:
                worker.terminate()
            raise


def _ignore_interrupts() -> None:
    # Ctrl-C reaches the whole group; only the parent shall answer it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def measure(task: Task) -> dict[str, Any]:
    """Return one row, with `error` instead of figures when the codec fails."""
    codec = task.codec
    row: dict[str, Any] = {
        "picture": task.picture,
        "codec": codec.name,
        "setting": str(task.setting),
        "version": codec.version(),
    }
    try:
        return {**row, **_figures(task)}
    except Exception as fault:  # whatever a codec may do, the others go on
        return {**row, "error": f"{type(fault).__name__}: {reason(fault)}"}


def _completed(row: dict[str, Any], task: Task, x: NDArray[np.uint8]) -> dict[str, Any] | None:
    """Return a row with the metrics that it lacks, from its file; None when the file is not there."""
    if not task.file.is_file() or task.file.stat().st_size != row["bytes"]:
        return None
    lacking = tuple(metric for metric in task.metrics if metric not in row)
    figures, missing = measure_all(x, task.codec.decode(task.file.read_bytes()), lacking)
    missing = {**row.get("missing", {}), **missing}
    return {**row, **figures, **({"missing": missing} if missing else {})}


def _figures(task: Task) -> dict[str, Any]:
    codec, loaded = task.codec, _load(task.path)
    x = loaded.x
    completed = _completed(task.row, task, x) if task.row else None
    if completed:
        return completed
    setting = codec.resolve(x, task.setting, loaded.sizes.setdefault(codec.name, {}))
    _warm_up(codec)
    encode = _seconds(lambda: codec.encode(x, setting), task.repeats)
    task.file.write_bytes(encode[1])
    data = task.file.read_bytes()
    decode = _seconds(lambda: codec.decode(data), max(task.repeats, LEAST_DECODES))
    x_hat = decode[1]
    if x_hat.shape != x.shape or x_hat.dtype != np.uint8:
        raise Splat2dError(f"decoded to {x_hat.dtype} {x_hat.shape}, expected uint8 {x.shape}")
    figures, missing = measure_all(x, x_hat, task.metrics)
    row: dict[str, Any] = {
        "quality": setting.value if setting.kind == "quality" else None,
        "file": task.file.relative_to(task.file.parents[2]).as_posix(),
        "bytes": len(data),
        "bpp": 8 * len(data) / (x.shape[0] * x.shape[1]),
        **figures,
        "encode_s": significant(encode[0]),
        "decode_s": significant(decode[0]),
        **splats_of(codec, data),
    }
    if task.memory:
        try:
            alone = encode_alone(codec, task.path, setting)
            row |= {key: alone[key] for key in ("peak_mib", "loaded_mib")}
        except Exception as fault:  # a figure less is no reason to lose the row
            row |= {"peak_mib": None}
            missing["peak_mib"] = reason(fault)
    return {**row, **({"missing": missing} if missing else {})}


def _seconds(action: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the median time of an action in seconds, and what it returned."""
    times, value = [], None
    for _ in range(repeats):
        start = perf_counter()
        value = action()
        times.append(perf_counter() - start)
    return median(times), value


@lru_cache(maxsize=2)
def _load(path: Path) -> Loaded:
    return Loaded(load_pixels(path), {})


_WARM: set[str] = set()


def _warm_up(codec: Codec) -> None:
    """Let a codec load what it needs, once in a process, so that no time holds an import."""
    if codec.name in _WARM:
        return
    _WARM.add(codec.name)
    x = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    with contextlib.suppress(Exception):
        codec.decode(codec.encode(x, Setting("quality", 50)))


def _key(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["picture"], row["codec"], row["setting"]


def value_of(setting: str) -> tuple[str, float]:
    """Return kind and value of a row's setting."""
    kind, _, value = setting.partition("=")
    return kind, float(value)
