"""`splat2d bench`: codecs on pictures or clips in one run, and what changed between two runs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, Union

from tyro.conf import OmitSubcommandPrefixes, Positional, arg, subcommand

from splat2d.cli._arguments import UsageError, at_most_one, in_range
from splat2d.cli._bench_lightfields import LightFields
from splat2d.cli._terminal import print_json, say

if TYPE_CHECKING:
    from splat2d.bench.images import Observer


@dataclass(frozen=True)
class Images:
    """Measure codecs on pictures: rates, PSNR, MS-SSIM, SSIMULACRA2, times, memory; tables, plots and a page.

    A run with the same --out continues: only what is missing is measured. Lists may be written with spaces or
    with commas.
    """

    paths: Annotated[
        Positional[tuple[str, ...]], arg(metavar="DIR|FILE...", help="Pictures, and folders of them.")
    ]
    codecs: Annotated[
        tuple[str, ...],
        arg(
            metavar="NAME...",
            help="Of splat2d, jpeg, webp, avif, jpeg2000, jxl, or single settings such as avif-psnr-444; all "
            "but the slow ones when not given.",
        ),
    ] = ()
    presets: Annotated[
        tuple[str, ...],
        arg(
            metavar="P...",
            help="Of splat2d: fast, default, best, or a YAML file, and a tune behind a colon (default:psnr); "
            "each is a codec of its own.",
        ),
    ] = ("default",)
    bpp: Annotated[
        tuple[str, ...], arg(metavar="B...", help="Target rates in bits a pixel, for every codec.")
    ] = ()
    quality: Annotated[
        tuple[str, ...],
        arg(
            metavar="Q...",
            help="Qualities from 1 to 100 for every codec; each codec's own grid when not given.",
        ),
    ] = ()
    published: Annotated[
        Optional[str],
        arg(
            metavar="CSV", help="Curves by others (codec, bpp, psnr_rgb_db, ms_ssim, source) to show beside."
        ),
    ] = None
    out: Annotated[str, arg(metavar="DIR", help="Folder of the results.")] = "bench-results"
    jobs: Annotated[
        int, arg(metavar="N", help="Pictures at a time; with more than one, times are not comparable.")
    ] = 1
    repeats: Annotated[int, arg(metavar="N", help="Encodes of each row; the median time is kept.")] = 1
    metrics: Annotated[
        tuple[str, ...],
        arg(metavar="M...", help="Of psnr, ms_ssim, ssimulacra2, texture and memory; all when not given."),
    ] = ()
    fresh: Annotated[
        tuple[str, ...], arg(metavar="NAME...", help="Codecs to measure again on what is named.")
    ] = ()
    page_bpp: Annotated[
        tuple[str, ...],
        arg(metavar="B...", help="Rates of the page's pictures, the nearest files are shown; 0 for no page."),
    ] = ("0.12", "0.25", "0.5")

    def run(self) -> None:
        """Measure what is missing, then write the tables, plots and page."""
        in_range(1, jobs=self.jobs, repeats=self.repeats)
        if not self.paths:
            raise UsageError(
                "splat2d bench images needs pictures or folders; run splat2d bench images --help"
            )
        bpp, quality = _numbers("bpp", self.bpp, 0.001, 64), _numbers("quality", self.quality, 1, 100)
        at_most_one(bpp=bpp or None, quality=quality or None)
        page_bpp = _numbers("page-bpp", self.page_bpp, 0, 64)

        from splat2d.bench import images, registry
        from splat2d.bench.codecs import Setting

        measures = _names(self.metrics) or images.MEASURES
        if unknown := [name for name in measures if name not in images.MEASURES]:
            raise UsageError(f"--metrics {unknown[0]} is unknown; expected {', '.join(images.MEASURES)}")
        options = images.Options(
            paths=tuple(map(Path, self.paths)),
            out=Path(self.out),
            codecs=_names(self.codecs) or registry.NAMES,
            presets=_names(self.presets) or ("default",),
            grid=tuple(Setting("bpp", v) for v in bpp) or tuple(Setting("quality", v) for v in quality),
            jobs=self.jobs,
            repeats=self.repeats,
            measures=measures,
            fresh=_names(self.fresh),
        )
        _finish(options, self.published, [rate for rate in page_bpp if rate])


def _finish(options: Any, published: str | None, rates: list[float]) -> None:
    """Run the benchmark and write everything that is made from its rows."""
    from splat2d.bench import images
    from splat2d.bench.page import write_page
    from splat2d.bench.plots import draw_all
    from splat2d.bench.report import report
    from splat2d.bench.results import read_published, write_json
    from splat2d.errors import BackendUnavailableError
    from splat2d.media.files import write_atomic

    # Read first, so that nobody measures for an hour before a wrong path shows.
    curves = read_published(Path(published)) if published is not None else None
    results = options.out / "results.json"
    with _resumable(results), _observer() as observer:
        result = images.run(options, observer)
    if curves is not None:
        result["published"] = curves
        write_json(results, result)
    with write_atomic(options.out / "report.md", force=True) as file:
        file.write(report(result).encode())
    try:
        draw_all(result, options.out)
    except BackendUnavailableError as fault:
        say(f"warning: no plots: {fault}")
    if rates:
        sources = images.find_pictures(options.paths)
        write_page(result, options.out, sources, rates, lambda text: say(f"warning: {text}"))
    _tell(result)
    errors = sum("error" in row for row in result["rows"])
    failed = f", {errors} failed" if errors else ""
    page = " and index.html" if rates else ""
    print(f"{options.out}: {len(result['rows'])} rows{failed}; see report.md{page}")


def _tell(result: dict[str, Any]) -> None:
    """Print the mean BD-rates against the hardest setting of each other codec, the hardest first."""
    from splat2d.bench.anchors import hardest

    for test, against in result["summary"]["bd_rate"].items():
        for anchor in hardest(result, test, "psnr"):
            names = [result["codecs"][name]["label"] for name in (test, anchor)]
            figure = against[anchor]["psnr"]
            if figure["mean"] is not None:
                won = f"smaller in {figure['wins']} of {figure['of']}"
                print(f"{names[0]} against {names[1]:<16} {figure['mean']:+6.1f}% at equal PSNR, {won}")


@dataclass(frozen=True)
class Ablation:
    """Measure what each idea of the codec is worth: one switched off at a time, beside the whole.

    Tables, a plot and results.json go to --out, and a run with the same --out continues. Ideas that no file
    can go without are counted on the whole codec's files and marked so.
    """

    paths: Annotated[
        Positional[tuple[str, ...]], arg(metavar="PICTURES...", help="Pictures, and folders of them.")
    ]
    ideas: Annotated[
        tuple[str, ...],
        arg(
            metavar="NAME...",
            help="Of units, rate-term, pursuit, refinement, steps, set, contexts, neighbours; all when not "
            "given.",
        ),
    ] = ()
    qualities: Annotated[
        tuple[str, ...], arg(metavar="Q...", help="At least two qualities from 1 to 100; better four.")
    ] = ("34", "50", "66", "82")
    preset: Annotated[
        str, arg(metavar="P", help="Of the whole codec: fast, default, best, or a YAML file.")
    ] = "default"
    out: Annotated[str, arg(metavar="DIR", help="Folder of the results.")] = "bench-ablation"
    jobs: Annotated[
        int, arg(metavar="N", help="Rows at a time; with more than one, times are not comparable.")
    ] = 1
    repeats: Annotated[int, arg(metavar="N", help="Encodes of each row; the median time is kept.")] = 1

    def run(self) -> None:
        """Measure what is missing, then write the tables and the plot."""
        in_range(1, jobs=self.jobs, repeats=self.repeats)
        if not self.paths:
            raise UsageError(
                "splat2d bench ablation needs pictures or folders; run splat2d bench ablation --help"
            )
        qualities = _numbers("qualities", self.qualities, 1, 100)
        if len(qualities) < 2:
            raise UsageError(f"--qualities has {len(qualities)}; a BD-rate needs two at least, better four")

        from splat2d.bench import ablation
        from splat2d.bench.ablation_report import draw, report
        from splat2d.bench.codecs import Setting
        from splat2d.bench.images import Options
        from splat2d.errors import BackendUnavailableError
        from splat2d.media.files import write_atomic

        options = Options(
            paths=tuple(map(Path, self.paths)),
            out=Path(self.out),
            grid=tuple(Setting("quality", value) for value in sorted(qualities)),
            jobs=self.jobs,
            repeats=self.repeats,
            measures=("psnr",),
        )
        with _resumable(options.out / "results.json"), _observer() as observer:
            result = ablation.run(options, _names(self.ideas), self.preset, observer)
        with write_atomic(options.out / "report.md", force=True) as file:
            file.write(report(result).encode())
        try:
            draw(result, options.out / "ablation.png")
        except BackendUnavailableError as fault:
            say(f"warning: no plot: {fault}")
        for name, found in result["summary"]["ideas"].items():
            mean = found["bd_rate"]["mean"]
            codec = result["codecs"][name]
            marked = ", counted" if codec["counted"] else ""
            print(f"{codec['label']:<37} " + ("no common PSNR" if mean is None else f"{mean:+6.1f}%{marked}"))
        errors = sum("error" in row for row in result["rows"])
        failed = f", {errors} failed" if errors else ""
        print(f"{options.out}: {len(result['rows'])} rows{failed}; see report.md and ablation.png")


@dataclass(frozen=True)
class Clips:
    """Measure codecs on clips: rates, PSNR, MS-SSIM, flicker, times; BD-rates by clip, tables and a plot.

    The standard clips go by names: bunny-360p, basketballpass, park-joy, bunny-720p and bunny-crop. A run
    with the same --out continues: only what is missing is measured. Lists may be written with spaces or with
    commas.
    """

    sources: Annotated[
        Positional[tuple[str, ...]],
        arg(metavar="SOURCE...", help="Standard clips; video files, folders or patterns of images."),
    ]
    data: Annotated[str, arg(metavar="DIR", help="Folder of the standard clips' files.")] = "."
    codecs: Annotated[
        tuple[str, ...],
        arg(
            metavar="NAME...",
            help="Of splat2d, x264, x265, svt-av1, or single settings such as svt-av1-2; all but the slow "
            "ones when not given.",
        ),
    ] = ()
    presets: Annotated[
        tuple[str, ...],
        arg(
            metavar="P...", help="Of splat2d: fast, default, best, or a YAML file; each is a row of its own."
        ),
    ] = ("default",)
    quality: Annotated[
        tuple[str, ...],
        arg(metavar="Q...", help="Qualities of splat2d, 1 to 100; those of each clip when not given."),
    ] = ()
    crf: Annotated[
        tuple[str, ...],
        arg(metavar="C...", help="Rate factors of the others, 0 to 63; each one's own grid when not given."),
    ] = ()
    frames: Annotated[
        str,
        arg(metavar="A:B", help="Take frames A to B-1 of each clip, counted from 0; either may be left out."),
    ] = ":"
    reduce: Annotated[
        int, arg(metavar="N", help="Divide width and height of each clip by N, with a Lanczos filter.")
    ] = 1
    fps: Annotated[
        Optional[str], arg(metavar="F", help="Frames a second, such as 25 or 30000/1001, of each clip.")
    ] = None
    matrix: Annotated[
        Optional[Literal["bt601", "bt709"]],
        arg(metavar="M", help="bt601 or bt709, of video files without or with a wrong tag."),
    ] = None
    out: Annotated[str, arg(metavar="DIR", help="Folder of the results.")] = "bench-clips"
    jobs: Annotated[
        int, arg(metavar="N", help="Rows at a time; with more than one, times are not comparable.")
    ] = 1
    fresh: Annotated[
        tuple[str, ...], arg(metavar="NAME...", help="Codecs to measure again on what is named.")
    ] = ()

    def run(self) -> None:
        """Measure what is missing, then write the tables and the plot."""
        in_range(1, jobs=self.jobs, reduce=self.reduce)
        if not self.sources:
            raise UsageError("splat2d bench clips needs clips; run splat2d bench clips --help")
        quality, crf = _numbers("quality", self.quality, 1, 100), _numbers("crf", self.crf, 0, 63)
        if odd := [value for value in quality if value % 1]:
            raise UsageError(f"--quality {odd[0]:g} is no whole number, which qualities of a clip are")

        from splat2d.bench import clip_codecs, clip_report, clips
        from splat2d.bench.anchors import hardest
        from splat2d.bench.clip_sources import find_sources, parse_range
        from splat2d.errors import BackendUnavailableError
        from splat2d.media.files import write_atomic
        from splat2d.media.reader import parse_fps

        options = clips.Options(
            sources=find_sources(
                _names(self.sources),
                data=Path(self.data),
                frames=parse_range(self.frames),
                reduce=self.reduce,
                fps=None if self.fps is None else parse_fps(self.fps),
                matrix=self.matrix,
            ),
            out=Path(self.out),
            codecs=_names(self.codecs) or clip_codecs.NAMES,
            presets=_names(self.presets) or ("default",),
            qualities=tuple(quality),
            crfs=tuple(crf),
            jobs=self.jobs,
            fresh=_names(self.fresh),
        )
        with _resumable(options.out / "results.json"), _observer() as observer:
            result = clips.run(options, observer)
        with write_atomic(options.out / "report.md", force=True) as file:
            file.write(clip_report.report(result).encode())
        try:
            clip_report.draw(result, options.out / "rd_psnr.png")
        except BackendUnavailableError as fault:
            say(f"warning: no plot: {fault}")
        for test, against in result["summary"]["bd_rate"].items():
            for anchor in hardest(result, test, "psnr"):
                names = [result["codecs"][name]["label"] for name in (test, anchor)]
                found = against[anchor]
                mean, count = found["psnr"]["mean"], len(found["psnr"]["clips"])
                told = "no common PSNR" if mean is None else f"{mean:+6.1f}% at equal PSNR"
                print(f"{names[0]} against {names[1]:<16} {told}, {count} clip{'s' if count > 1 else ''}")
        errors = sum("error" in row for row in result["rows"])
        failed = f", {errors} failed" if errors else ""
        print(f"{options.out}: {len(result['rows'])} rows{failed}; see report.md and rd_psnr.png")


@contextlib.contextmanager
def _resumable(results: Path) -> Iterator[None]:
    """Say on Ctrl-C what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        kept = f"what was measured is in {results}, the same command goes on" if results.exists() else ""
        raise KeyboardInterrupt(*([kept] if kept else [])) from None


@dataclass(frozen=True)
class Compare:
    """Tell what changed from one results.json to another: BD-rate, sizes and times of the same codecs."""

    a: Annotated[Positional[str], arg(metavar="A.json", help="The earlier result.")]
    b: Annotated[Positional[str], arg(metavar="B.json", help="The later result.")]
    as_json: Annotated[bool, arg(name="json", help="Print the changes as one JSON object.")] = False

    def run(self) -> None:
        """Print one table."""
        from splat2d.bench.compare import compare, table
        from splat2d.bench.results import read_json, read_results
        from splat2d.errors import ConfigError
        from splat2d.media.files import shown

        results = []
        kind = (read_json(Path(self.a)) or {}).get("benchmark")
        for path in (self.a, self.b):
            found = read_results(Path(path), "clips" if kind == "clips" else "images")
            if found is None:
                raise ConfigError(f"{shown(path)}: no such file; give the results.json of a run")
            results.append(found)
        changes = compare(*results)
        if self.as_json:
            print_json(changes)
        else:
            print(table(changes))


@dataclass(frozen=True)
class Bench:
    """Benchmark codecs on pictures, clips and light fields, and compare two benchmarks.

    For example: splat2d bench images photos --out results --codecs jpeg webp
    """

    command: OmitSubcommandPrefixes[
        Union[
            Annotated[Images, subcommand("images")],
            Annotated[Ablation, subcommand("ablation")],
            Annotated[Clips, subcommand("clips")],
            Annotated[LightFields, subcommand("lightfields")],
            Annotated[Compare, subcommand("compare")],
        ]
    ]

    def run(self) -> None:
        """Do what the chosen command does."""
        self.command.run()


def _names(words: Sequence[str]) -> tuple[str, ...]:
    """Return a list that was written with spaces, commas or both."""
    return tuple(name for word in words for name in word.split(",") if name)


def _numbers(option: str, words: Sequence[str], low: float, high: float) -> list[float]:
    """Return a list of numbers, each within limits."""
    numbers = []
    for word in _names(words):
        try:
            numbers.append(float(word))
        except ValueError:
            raise UsageError(f"--{option} {word} is no number; expected {low:g} to {high:g}") from None
        in_range(low, high, **{option: numbers[-1]})
    return list(dict.fromkeys(numbers))


@contextlib.contextmanager
def _observer() -> Iterator[Observer]:
    """Give what draws a run's progress on stderr, a line for each picture when stderr is no terminal."""
    from splat2d.bench.images import Observer

    class Lines(Observer):
        def note(self, text: str) -> None:
            say(text)

    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.text import Text

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        class Drawn(Lines):
            def start(self, total: int, done: int) -> None:
                bar.update(task, total=total, completed=done)

            def row(self, name: str, row: dict[str, Any]) -> None:
                outcome = row.get("error") or f"{row['bpp']:.3f} bpp, {row['psnr']:.2f} dB"
                line = f"{name}, {row['codec']}, {row['setting']}: {outcome}"
                # A file name may hold brackets, which rich would read as markup.
                bar.update(task, advance=1, description=Text(line).markup)

        yield Drawn()
