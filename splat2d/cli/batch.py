"""`splat2d batch`: folders of pictures become .splat files, or the other way round."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

from splat2d.cli._arguments import UsageError, at_most_one, check_preset, in_range, parse_bytes
from splat2d.cli._marks import Positional, arg
from splat2d.cli._terminal import print_json, say
from splat2d.errors import Splat2dError

if TYPE_CHECKING:
    from splat2d.cli._batch_files import Item, Records


class BatchFault(Splat2dError):
    """Some files of a batch failed; each was said already."""


@dataclass(frozen=True)
class Batch:
    """Encode many pictures and clips, or with --to decode many .splat files.

    What is finished stays whatever happens to the rest. A report.json lies with the outputs.
    """

    inputs: Annotated[
        Positional[tuple[str, ...]],
        arg(
            metavar="INPUT ...", help="Files, folders with their subfolders, and patterns as 'photos/*.jpg'."
        ),
    ]
    out_dir: Annotated[
        Optional[str],
        arg(metavar="DIR", help="Where outputs go, in folders as the inputs'; beside those when not given."),
    ] = None
    to: Annotated[
        str,
        arg(metavar="FORMAT", help="splat to encode; png, webp, ... to decode pictures, mp4, ... clips."),
    ] = "splat"
    quality: Annotated[Optional[int], arg(metavar="1..100", help="Quality; 75 when no target is given.")] = (
        None
    )
    psnr: Annotated[Optional[float], arg(metavar="DB", help="Least RGB PSNR of each, in dB.")] = None
    bpp: Annotated[Optional[float], arg(metavar="B", help="Most bits per pixel of each file.")] = None
    size: Annotated[Optional[str], arg(metavar="BYTES", help="Most bytes of each file: 20k, 1.5M.")] = None
    preset: Annotated[
        str, arg(metavar="P", help="How long to search: fast, default, best, or a YAML file of settings.")
    ] = "default"
    tune: Annotated[
        Optional[Literal["visual", "psnr", "ms-ssim"]],
        arg(
            help="Keep errors small as eyes weigh them, their squares, or what MS-SSIM sees of them; psnr "
            "with --psnr, else the preset's when not given."
        ),
    ] = None
    seed: Annotated[int, arg(metavar="N", help="Seed of the random order of refinement.")] = 0
    keep_metadata: Annotated[
        bool,
        arg(
            help="Keep pictures' EXIF, XMP, resolution and their profiles' names, and clips' titles, "
            "artists, copyrights, comments, descriptions and dates, but not the place."
        ),
    ] = False
    keep_gps: Annotated[bool, arg(help="With --keep-metadata, also keep the places.")] = False
    scale: Annotated[Optional[float], arg(metavar="S", help="Of decoded files over the original's.")] = None
    width: Annotated[Optional[int], arg(metavar="W", help="Of decoded files, px; the height follows.")] = None
    height: Annotated[Optional[int], arg(metavar="H", help="Of decoded files, px; the width follows.")] = None
    jobs: Annotated[
        Optional[int], arg(metavar="N", help="Files at the same time; as many as there are cores by default.")
    ] = None
    threads: Annotated[
        Optional[int], arg(metavar="N", help="Of each file; the cores shared out, or 1 on a cluster.")
    ] = None
    scheduler: Annotated[
        Optional[str],
        arg(metavar="ADDRESS", help="Work on the machines of this Dask scheduler, as tcp://host:8786."),
    ] = None
    resume: Annotated[
        bool, arg(help="Skip what an earlier batch made of the same inputs with the same settings.")
    ] = False
    force: Annotated[bool, arg(help="Replace existing outputs.")] = False
    as_json: Annotated[bool, arg(name="json", help="Print the summary as one JSON object.")] = False

    def run(self) -> None:
        """Work through the files; print a table, and what failed on stderr."""
        suffix = f".{self.to.lstrip('.').lower()}"
        settings = self._settings(suffix)
        from splat2d import __version__
        from splat2d.cli._batch_files import Records, items_of
        from splat2d.fit.workers import workers
        from splat2d.media.files import make_folder
        from splat2d.native.backend import ALL_CORES

        items = items_of(self.inputs, self.out_dir, suffix)
        cores = ALL_CORES.thread_count
        jobs = min(self.jobs or cores, len(items)) or 1
        threads = self.threads or (1 if self.scheduler else max(cores // jobs, 1))
        folder = self.out_dir or os.path.commonpath(
            [os.path.dirname(os.path.abspath(item.output)) for item in items]
        )
        make_folder(folder)
        start = time.perf_counter()
        settings["version"] = __version__
        with workers(jobs, self.scheduler) as crew:
            records = Records(folder, resume=self.resume)
            work = _Work(self, records, suffix, settings, threads)
            try:
                with _bar(len(items)) as advance:
                    for item, outcome in crew.results(work.tasks(items)):
                        with _whole():  # a file that is there has its row
                            row = work.keep(item, outcome)
                        advance(row)
                        for skipped in work.take_skipped():
                            advance(skipped)
                    for skipped in work.take_skipped():
                        advance(skipped)
            except KeyboardInterrupt:
                said = f"{len(records.rows)} of {len(items)} files are finished; --resume goes on"
                raise KeyboardInterrupt(said) from None
            finally:
                summary = _summary(records.rows, time.perf_counter() - start)
                records.close({"settings": settings, "summary": summary})
        self._tell(records.rows, summary)

    def _settings(self, suffix: str) -> dict[str, Any]:
        """What outputs depend on, checked."""
        targets = {"quality": self.quality, "psnr": self.psnr, "bpp": self.bpp, "size": self.size}
        sizes = {"scale": self.scale, "width": self.width, "height": self.height}
        kept = {"keep-metadata": self.keep_metadata or None, "keep-gps": self.keep_gps or None}
        if not self.inputs:
            raise UsageError("no inputs; run splat2d batch --help")
        if self.jobs is not None and self.scheduler is not None:
            raise UsageError("--jobs are processes of this machine, and --scheduler has its own workers")
        in_range(1, jobs=self.jobs, threads=self.threads)
        if self.keep_gps and not self.keep_metadata:
            raise UsageError("--keep-gps is for --keep-metadata, which is not given")
        wrong = sizes if suffix == ".splat" else {**targets, **kept}
        for name in wrong:
            if wrong[name] is not None:
                raise UsageError(f"--{name} is for {'decoding' if wrong is sizes else 'encoding'}; see --to")
        if suffix != ".splat":
            at_most_one(scale=self.scale, width=self.width, height=self.height)
            in_range(0, above=True, scale=self.scale)
            in_range(1, width=self.width, height=self.height)
            return {"to": suffix, **{name: value for name, value in sizes.items() if value is not None}}
        at_most_one(**targets)
        check_preset(self.preset)
        in_range(1, 100, quality=self.quality)
        in_range(0, above=True, psnr=self.psnr, bpp=self.bpp)
        in_range(0, 2**53, seed=self.seed)  # MAX_SEED of the fit, which is not loaded yet
        settings: dict[str, Any] = {name: value for name, value in targets.items() if value is not None}
        if self.size is not None:
            settings["size"] = parse_bytes(self.size)
        settings |= {"preset": self.preset, "seed": self.seed}
        settings |= {name.replace("-", "_"): True for name, given in kept.items() if given}
        if self.preset.endswith((".yaml", ".yml")):
            from splat2d.cli._batch_files import digest
            from splat2d.errors import ConfigError
            from splat2d.fit.config import load_config
            from splat2d.media.files import read_bytes

            load_config(self.preset)  # what is wrong with it, before all else
            settings["preset_digest"] = digest(read_bytes(self.preset, error=ConfigError), {})
        return settings if self.tune is None else {**settings, "tune": self.tune}

    def _tell(self, rows: list[dict[str, Any]], summary: dict[str, Any]) -> None:
        failed = [row for row in rows if row["status"] == "failed"]
        for row in failed:
            say(f"failed: {row['error']}")
        if self.as_json:
            print_json(summary)
        else:
            _print_table(rows, summary)
        if failed:
            raise BatchFault(f"{len(failed)} of {len(rows)} files failed")


class _Work:
    """What is done for each file on this side."""

    def __init__(
        self, command: Batch, records: Records, suffix: str, settings: dict[str, Any], threads: int
    ) -> None:
        self._command, self._records, self._suffix, self._settings = command, records, suffix, settings
        told = ("to", "version", "preset_digest")  # beside what a job is given
        self._options = {name: value for name, value in settings.items() if name not in told}
        self._options["threads"] = threads
        self._keys: dict[Item, tuple[str, int]] = {}
        self._skipped: list[dict[str, Any]] = []

    def tasks(self, items: list[Item]) -> Iterator[tuple[Item, Callable[[], Any]]]:
        """What there is to do; files that are finished or cannot be read are none of it."""
        from splat2d.cli._batch_files import digest
        from splat2d.cli._jobs import decode_job, encode_job
        from splat2d.media.files import check_output, make_folder

        for item in items:
            row = {"input": item.input, "output": item.output}
            try:
                data = item.read()
                key = digest(data, self._settings)
                before = self._records.finished(item, key)
                if before is not None:
                    self._skip({**before, "status": "skipped"})
                    continue
                make_folder(os.path.dirname(item.output) or ".")
                check_output(item.output, force=self._replaces(item))
            except Splat2dError as fault:
                self._skip({**row, "status": "failed", "error": str(fault)})
                continue
            self._keys[item] = (key, len(data))
            name = os.path.basename(item.input)
            if self._suffix == ".splat":
                yield item, partial(encode_job, name, data, self._options)
            else:
                yield item, partial(decode_job, name, data, self._suffix, self._options)

    def _replaces(self, item: Item) -> bool:
        return self._command.force or self._records.made(item)

    def _skip(self, row: dict[str, Any]) -> None:
        self._records.add(row)
        self._skipped.append(row)

    def take_skipped(self) -> list[dict[str, Any]]:
        """Rows of files that were no work, since the last call."""
        rows, self._skipped = self._skipped, []
        return rows

    def keep(self, item: Item, outcome: Any) -> dict[str, Any]:
        """Write what was made, and its row."""
        from splat2d.cli._jobs import Made
        from splat2d.media.files import shown, write_atomic

        key, size = self._keys.pop(item)
        row: dict[str, Any] = {"input": item.input, "output": item.output, "digest": key, "input_size": size}
        try:
            if not isinstance(outcome, Made):
                raise outcome
            made = {**row, "status": "done", "size": len(outcome.data), **outcome.figures}
            made["warnings"] = list(outcome.warnings)
            self._records.begin(made, outcome.data)
            with write_atomic(item.output, force=self._replaces(item)) as file:
                file.write(outcome.data)
            row = made
        except Exception as fault:
            # One line whatever it is: a batch goes on, and a fault of the program is told with the others.
            kind = "" if isinstance(fault, Splat2dError) else f"{type(fault).__name__}: "
            text = " ".join(str(fault).split())
            named = text.startswith(shown(item.output))
            text = text if named else f"{shown(item.input)}: {kind}{text}"
            row |= {"status": "failed", "error": text}
        self._records.add(row)
        return row


@contextlib.contextmanager
def _whole() -> Iterator[None]:
    """Ctrl-C counts at the end of the block."""
    pressed: list[int] = []
    try:
        before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    except ValueError:  # signals are the main thread's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
    if pressed and callable(before):
        before(signal.SIGINT, None)


def _summary(rows: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    counts = {
        status: sum(row["status"] == status for row in rows) for status in ("done", "skipped", "failed")
    }
    done = [row for row in rows if row["status"] == "done"]
    quality = [row["psnr"] for row in done if "psnr" in row]
    return {
        **counts,
        "input_size": sum(row["input_size"] for row in done),
        "size": sum(row["size"] for row in done),
        "psnr": sum(quality) / len(quality) if quality else None,
        "seconds": seconds,
        "work_seconds": sum(row["seconds"] for row in done),
    }


def _print_table(rows: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    """Print totals by outcome."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "files", "bytes in", "bytes out", "mean dB", "s a file", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for status in ("done", "skipped", "failed"):
        group = [row for row in rows if row["status"] == status]
        if not group and status != "done":
            continue
        sizes = [f"{sum(row.get(name, 0) for row in group):,}" for name in ("input_size", "size")]
        quality = [row["psnr"] for row in group if "psnr" in row]
        mean = f"{sum(quality) / len(quality):.2f}" if quality else ""
        took = f"{sum(row.get('seconds', 0) for row in group) / max(len(group), 1):.2f}"
        table.add_row(status, f"{len(group):,}", *sizes, mean, took)
    Console().print(table)
    rate = 60 * summary["done"] / max(summary["seconds"], 1e-9)
    print(f"{len(rows):,} files in {summary['seconds']:.1f} s, {rate:.1f} a minute")


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Give what is called with each finished row, and draws a bar where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total, state="")
        start, counts = time.perf_counter(), {"done": 0, "failed": 0, "bytes": 0}

        def advance(row: dict[str, Any]) -> None:
            if row["status"] in counts:
                counts[row["status"]] += 1
            counts["bytes"] += row.get("input_size", 0) if row["status"] == "done" else 0
            seconds = time.perf_counter() - start
            rates = 60 * counts["done"] / seconds, counts["bytes"] / seconds / 1e6
            state = f"{rates[0]:.1f} files/min, {rates[1]:.2f} MB/s"
            if counts["failed"]:
                state += f", {counts['failed']} failed"
            progress.update(task, advance=1, state=state)

        yield advance
