"""What each idea of the codec is worth: one switched off at a time, beside the whole.

Ideas of the fit are switched off in the encoder, so that their rows are of real files. Ideas that no file
goes without are counted on the splats of the whole codec's file, or, for the steps, on two roundings of one
fit; their rows say `counted`. results.json follows the schema of results.py, with `benchmark` "ablation", the
`preset`, for each codec `counted` and `how`, and in rows of the steps `anchor_bpp` and `anchor_psnr`, what
they are to be compared with instead of the whole codec's file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat2d.bench import images
from splat2d.bench.codecs import Setting, SplatCodec
from splat2d.bench.curves import bd_rate, curve_of, statistics
from splat2d.bench.images import Observer, Options
from splat2d.bench.machine import cores, environment, significant, stamp
from splat2d.bench.metrics import psnr
from splat2d.bench.once import load_pixels
from splat2d.bench.results import empty_results, good_rows, read_results, write_json
from splat2d.errors import ConfigError, OutputError, Splat2dError
from splat2d.media.files import reason, shown

BENCHMARK = "ablation"
WHOLE = "whole"
QUALITIES = (34.0, 50.0, 66.0, 82.0)


@dataclass(frozen=True)
class Idea:
    """Something that can be switched off.

    Args:
        name: of options and files.
        label: of tables.
        how: what is done instead.
        changes: of the preset; none when the idea is one of the file, whose bits are counted.
    """

    name: str
    label: str
    how: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def counted(self) -> bool:
        """Whether there is no file to measure."""
        return not self.changes


IDEAS = (
    Idea(
        "units",
        "natural units",
        "the same parameters with one unit for all splats, the best of seven, whatever their energy",
        {"natural_units": False},
    ),
    Idea(
        "rate-term",
        "rate term",
        "the optimiser sees squared errors only; pruning and refinement still weigh bits",
        {"rate_term": False},
    ),
    Idea(
        "pursuit",
        "seeding by matching pursuit",
        "as many seeds a round, of the same sizes, at places drawn by the squared residual, and round",
        {"seeding": "random"},
    ),
    Idea(
        "refinement",
        "integer refinement",
        "no sweeps: the fit rounded to the nearest integers",
        {"sweeps": 0},
    ),
    Idea(
        "steps",
        "sensitivity steps",
        "the same steps of shape and position for all splats against steps by energy, both rounded from one "
        "fit without refinement, each the best of many, both counted with adaptive order-0 tables and even "
        "positions",
    ),
    Idea(
        "set",
        "set coding of positions",
        "each splat names its leaf, all leaves of canvas and margin alike; lattice bits as in the file",
    ),
    Idea(
        "contexts",
        "contexts",
        "the network's inputs are zero, its biases those of the median energy; by attribute the cheaper of "
        "that and an adaptive order-0 table; positions as in the file",
    ),
    Idea(
        "neighbours",
        "neighbours and tiers",
        "inputs from other splats are zero, own integers kept; by attribute the cheaper of that and an "
        "adaptive order-0 table; leaves without earlier tiers or, where cheaper, as an even set",
    ),
)


@dataclass(frozen=True)
class Variant(SplatCodec):
    """splat2d without an idea, or the whole.

    Args:
        idea: what is switched off; None for the whole codec.
    """

    idea: Idea | None = None

    @property
    def name(self) -> str:
        """The idea's name."""
        return self.idea.name if self.idea else WHOLE

    @property
    def label(self) -> str:
        """The idea's label."""
        return f"without {self.idea.label}" if self.idea else "whole codec"

    def version(self) -> str:
        """Return the codec's version, and a digest of how the idea is switched off."""
        base = super().version()
        return f"{base} {_digest(repr(dict(self.idea.changes)))}" if self.idea else base

    def config(self) -> Any:
        """Return the preset with the idea's changes."""
        from splat2d.fit.config import load_config

        return replace(load_config(self.preset), **(self.idea.changes if self.idea else {}))

    def encode(self, x: NDArray[np.uint8], setting: Setting) -> bytes:
        """Return the file of a picture [H, W, 3]."""
        from splat2d.fit.encode import encode_picture
        from splat2d.media.pictures import load_picture
        from splat2d.native.backend import Backend

        options = {"config": self.config(), "backend": Backend(self.threads)}
        return encode_picture(load_picture(x), quality=round(setting.value), **options).data


@dataclass(frozen=True)
class CountTask:
    """A row to count; all that a process of its own needs."""

    path: Path
    picture: str
    codec: Variant
    setting: Setting
    whole: Path


def choose(names: Sequence[str]) -> list[Idea]:
    """Return ideas by name, all when none are given.

    Raises:
        ConfigError: a name that does not exist.
    """
    known = {idea.name: idea for idea in IDEAS}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"idea {unknown[0]!r} is unknown; expected one of {', '.join(known)}")
    return [idea for idea in IDEAS if not names or idea.name in names]


def run(options: Options, ideas: Sequence[str], preset: str, observer: Observer) -> dict[str, Any]:
    """Measure and count what is missing and return the whole result, also in `out`/results.json.

    Args:
        options: `paths`, `out`, `grid` (of qualities), `jobs` and `repeats`.
        ideas: names, all when none are given.
        preset: of the whole codec.
        observer: told of each row.

    Raises:
        ConfigError: an unknown idea or preset, or results of another kind in `out`.
        InputImageError: no picture can be read.
        OutputError: `out` cannot be made or written to.
        KeyboardInterrupt: as pressed; all rows so far are in results.json.
    """
    threads = max(cores() // options.jobs, 1)
    variants = [Variant(preset, threads)] + [Variant(preset, threads, idea=idea) for idea in choose(ideas)]
    variants[0].config()
    paths = images.find_pictures(options.paths)
    target = options.out / "results.json"
    before = read_results(target, BENCHMARK) if target.exists() else None
    result = {**empty_results(BENCHMARK), **(before or {}), **environment(), "preset": preset}
    result.pop("summary", None)
    pictures = images.readable(paths, result, observer)
    able = images.usable(variants, result, observer)
    if not able:
        raise Splat2dError(str(result["codecs"][WHOLE]["unavailable"]))
    for variant in variants:
        counted = variant.idea is not None and variant.idea.counted
        result["codecs"][variant.name] |= {
            "counted": counted,
            "how": variant.idea.how if variant.idea else "",
        }
    order = [WHOLE, *(idea.name for idea in IDEAS)]
    result["codecs"] = {name: result["codecs"][name] for name in order if name in result["codecs"]}
    stale = images.drop_stale(
        result, pictures, {variant.name: variant.version() for variant in variants}, set()
    )
    stale += _drop_lost(result, options.out)
    encoded = [v for v in variants if not result["codecs"][v.name]["counted"]]
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        tasks, there = images.tasks_of(options, pictures, encoded, ("psnr",), result)
    except OSError as fault:
        raise OutputError(f"{shown(options.out)}: cannot be made ({reason(fault)})") from None
    counts = [v for v in variants if result["codecs"][v.name]["counted"]]
    to_count, counted = _count_tasks(options, pictures, counts, result)
    missing, there = len(tasks) + len(to_count), there + counted
    if before:
        again = f", {stale} that are stale, failed or lack a file go again" if stale else ""
        observer.note(f"continuing {shown(target)}: {there} rows are there{again}, {missing} to measure")
    observer.start(there + missing, there)
    if missing:
        result["runs"].append(
            {**stamp(), "jobs": options.jobs, "threads": threads, "repeats": options.repeats}
        )
    write_json(target, result)

    def keep(row: dict[str, Any]) -> None:
        result["rows"].append({**row, "run": len(result["runs"]) - 1})
        write_json(target, result)
        observer.row(result["pictures"][row["picture"]]["name"], row)

    for row in images.measured(tasks, options.jobs, images.measure):
        keep(row)
    for row in images.measured(to_count, options.jobs, count):
        keep(row)
    names = {digest: picture["name"] for digest, picture in result["pictures"].items()}
    result["rows"].sort(
        key=lambda r: (names[r["picture"]], order.index(r["codec"]), images.value_of(r["setting"]))
    )
    if not any("error" not in row for row in result["rows"]):
        raise Splat2dError(f"nothing could be measured; {shown(target)} says why")
    result["summary"] = summary(result)
    write_json(target, result)
    return result


def count(task: CountTask) -> dict[str, Any]:
    """Return one counted row, with `error` instead of figures when that fails."""
    row: dict[str, Any] = {
        "picture": task.picture,
        "codec": task.codec.name,
        "setting": str(task.setting),
        "version": task.codec.version(),
        "counted": True,
    }
    try:
        return {**row, **_counted_figures(task)}
    except Exception as fault:  # the other rows go on
        return {**row, "error": f"{type(fault).__name__}: {reason(fault)}"}


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """Return for each idea what the codec is without it.

    Returns:
        By idea's name `bd_rate` (as `curves.statistics`) against the whole codec, and the means at equal
        quality: `psnr`, in dB, and `bytes` and `encode_s`, in percent; the last None where no file was made.
    """
    rows = good_rows(result)
    whole = rows.get(WHOLE, {})
    out: dict[str, Any] = {}
    for name in (name for name in rows if name != WHOLE):
        each, changes = {}, []
        for picture, found in rows[name].items():
            anchors = {row["setting"]: row for row in whole.get(picture, ())}
            pairs = [(_anchor(row, anchors), row) for row in found]
            pairs = [(anchor, row) for anchor, row in pairs if anchor is not None]
            if pairs:
                each[picture] = bd_rate(*(curve_of(column) for column in zip(*pairs, strict=True)))
                changes += pairs
        times = [row["encode_s"] / anchor["encode_s"] for anchor, row in changes if "encode_s" in row]
        out[name] = {
            "bd_rate": statistics(each),
            "psnr": _mean([row["psnr"] - anchor["psnr"] for anchor, row in changes], 1.0),
            "bytes": _mean([row["bpp"] / anchor["bpp"] - 1 for anchor, row in changes], 100.0),
            "encode_s": _mean([ratio - 1 for ratio in times], 100.0),
        }
    seconds = [row["encode_s"] for found in whole.values() for row in found]
    return {"ideas": out, "encode_s": significant(fmean(seconds)) if seconds else None}


def _anchor(row: dict[str, Any], whole: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Return what a row is compared with."""
    if "anchor_bpp" in row:
        return {"bpp": row["anchor_bpp"], "psnr": row["anchor_psnr"]}
    return whole.get(row["setting"])


def _mean(values: Sequence[float], factor: float) -> float | None:
    return round(factor * fmean(values), 3) if values else None


def _drop_lost(result: dict[str, Any], out: Path) -> int:
    """Remove rows whose file is gone, since others are counted on it; returns how many."""
    kept = [row for row in result["rows"] if "file" not in row or (out / row["file"]).is_file()]
    dropped = len(result["rows"]) - len(kept)
    result["rows"] = kept
    return dropped


def _count_tasks(
    options: Options, pictures: dict[str, Path], variants: Sequence[Variant], result: dict[str, Any]
) -> tuple[list[CountTask], int]:
    """Return what is to be counted, and how many rows of what is asked for are there."""
    known = {(row["picture"], row["codec"], row["setting"]) for row in result["rows"]}
    tasks: list[CountTask] = []
    there = 0
    for digest, path in pictures.items():
        folder = options.out / "files" / result["pictures"][digest]["name"]
        for variant in variants:
            for setting in options.grid:
                if (digest, variant.name, str(setting)) in known:
                    there += 1
                    continue
                file = folder / f"{WHOLE}-{str(setting).replace('=', '-')}{variant.suffix}"
                tasks.append(CountTask(path, digest, variant, setting, file))
    return tasks, there


def _counted_figures(task: CountTask) -> dict[str, Any]:
    from splat2d.bench import counted

    x = load_pixels(task.path)
    pixels = x.shape[0] * x.shape[1]
    if task.codec.name == "steps":
        return _steps(task, x)
    data = task.whole.read_bytes()
    found = {
        "set": counted.without_set,
        "contexts": counted.without_contexts,
        "neighbours": counted.without_neighbours,
    }[task.codec.name]
    bits = found(counted.read_splats(data))
    return {
        "quality": task.setting.value,
        "bytes": round(bits / 8),
        "bpp": bits / pixels,
        "psnr": round(psnr(x, Variant(task.codec.preset, task.codec.threads).decode(data)), 5),
    }


def _steps(task: CountTask, x: NDArray[np.uint8]) -> dict[str, Any]:
    from splat2d.bench import steps
    from splat2d.fit.fitter import psnr_of
    from splat2d.media.pictures import load_picture
    from splat2d.native.backend import Backend

    planes = load_picture(x).pixels
    pixels = x.shape[0] * x.shape[1]
    fitted = steps.fit(planes, task.codec.config(), task.setting.value, Backend(task.codec.threads))
    by_energy, fixed = (steps.best(fitted, by_energy=choice) for choice in (True, False))
    return {
        "quality": task.setting.value,
        "bytes": round(fixed.bits / 8),
        "bpp": fixed.bits / pixels,
        "psnr": round(psnr_of(fixed.sse, planes.size), 5),
        "anchor_bpp": by_energy.bits / pixels,
        "anchor_psnr": round(psnr_of(by_energy.sse, planes.size), 5),
        "steps": [significant(value) for value in fixed.steps],
        "anchor_factors": [significant(value) for value in by_energy.steps],
    }


@cache
def _digest(changes: str) -> str:
    digest = hashlib.sha256(changes.encode())
    for name in ("ablation.py", "counted.py", "steps.py"):
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()[:8]
