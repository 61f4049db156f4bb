"""Measure what the README compares with other codecs, then fill its tables and sentences.

Usage: python benchmarks/figures.py kodak|photos|clips|fill [--data DIR] [--peers-only]

Rows are kept in build/figures as they are measured. The same command goes on where it was interrupted, and
only rows of other versions are measured again: a change of splat2d leaves those of the others alone.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import report
import sentences
import tyro
from _paths import DATA, RESULTS, ROOT

from splat2d.bench import clip_codecs, clips, images, registry
from splat2d.bench.clip_sources import find_sources
from splat2d.bench.codecs import Setting
from splat2d.bench.results import read_published, write_json
from splat2d.errors import Splat2dError

# 0.08, 0.16, 0.31, 0.6 and 1.2 bpp in the mean over Kodak.
QUALITIES = (29, 42, 56, 72, 90)
CLIPS = ("bunny-360p", "basketballpass", "park-joy", "bikes", "pancake", "carphone", "bunny-720p")
# The clip on which neural codecs of clips report, at the rate of theirs; only ours is measured on it.
NEURAL = ("bunny-crop", 54)
LANDMARK_BPP = 0.2


@dataclass(frozen=True)
class Options:
    """Options of the measurement.

    Args:
        what: Kodak's pictures, the photographs, the clips; or nothing but to fill in what is there.
        data: folder with kodak/, photos/ and video/.
        build: where rows and coded files are kept.
        results: where the finished JSON goes.
        readme: what is filled.
        published: curves by others.
        peers_only: measure the other codecs, and touch neither results nor README.
        codecs: settings of other codecs; all but the slow ones when empty.
        presets: of splat2d, PRESET or PRESET:TUNE; of clips PRESET.
        jobs: pictures at a time; with more than one, times are not comparable.
        clips: names of the standard clips.
        frames: of each clip; all when 0.
    """

    what: Annotated[Literal["kodak", "photos", "clips", "fill"], tyro.conf.Positional]
    data: Path = DATA
    build: Path = ROOT / "build" / "figures"
    results: Path = RESULTS
    readme: Path = ROOT / "README.md"
    published: Path = DATA.parent / "refs" / "kodak_rd.csv"
    peers_only: bool = False
    codecs: tuple[str, ...] = ()
    presets: tuple[str, ...] = field(default_factory=tuple)
    jobs: int = 1
    clips: tuple[str, ...] = CLIPS
    frames: int = 0


class Teller(images.Observer):
    """Prints a line for each row."""

    def start(self, total: int, done: int) -> None:
        """Count from what is there."""
        self.total, self.done = total, done

    def row(self, name: str, row: dict[str, Any]) -> None:
        """Print what was measured."""
        self.done += 1
        figures = row.get("error") or f"{row['bpp']:.3f} bpp, {row['psnr']:.2f} dB"
        print(f"{self.done}/{self.total} {name}, {row['codec']}, {row['setting']}: {figures}", flush=True)

    def note(self, text: str) -> None:
        """Print a note."""
        print(text, file=sys.stderr, flush=True)


def measure_pictures(options: Options) -> dict[str, Any]:
    """Measure the others over their own grids, then ours at five qualities; returns the whole result."""
    teller = Teller()
    folder = options.data / options.what
    others = images.Options(
        paths=(folder,),
        out=options.build / options.what,
        codecs=options.codecs or tuple(name for name in registry.NAMES if name != registry.OURS),
        jobs=options.jobs,
        measures=("psnr", "ms_ssim", "ssimulacra2"),
    )
    result = images.run(others, teller)
    if options.peers_only:
        return result
    presets = options.presets or ("default", "default:psnr", "fast", "best")
    grid = tuple(Setting("quality", value) for value in QUALITIES)
    ours = replace(others, codecs=(registry.OURS,), presets=presets, grid=grid)
    result = images.run(ours, teller)
    landmark = folder / f"{report.LANDMARK}.png"
    tuned = next((preset for preset in ("default:psnr", "default") if preset in presets), None)
    if landmark.is_file() and tuned:
        # A file of the rate that others report one picture at.
        one = replace(ours, paths=(landmark,), presets=(tuned,), grid=(Setting("bpp", LANDMARK_BPP),))
        result = images.run(one, teller)
    if options.what == "kodak" and options.published.is_file():
        result["published"] = read_published(options.published)
    return result


def measure_clips(options: Options) -> dict[str, Any]:
    """Measure all codecs on the clips; returns the whole result."""
    teller = Teller()
    video = options.data / "video"
    frames = (0, options.frames or None)
    others = clips.Options(
        sources=find_sources(options.clips, data=video, frames=frames),
        out=options.build / "clips",
        codecs=options.codecs or tuple(name for name in clip_codecs.NAMES if name != clip_codecs.OURS),
        jobs=options.jobs,
    )
    result = clips.run(others, teller)
    if options.peers_only:
        return result
    presets = options.presets or ("default",)
    ours = replace(others, codecs=(clip_codecs.OURS,), presets=presets)
    result = clips.run(ours, teller)
    name, quality = NEURAL
    if options.clips == CLIPS:
        sources = find_sources((name,), data=video, frames=frames)
        result = clips.run(replace(ours, sources=sources, qualities=(float(quality),)), teller)
    return result


def main() -> None:
    """Measure and fill."""
    options = tyro.cli(Options, description=(__doc__ or "").splitlines()[0])
    if options.what != "fill":
        result = measure_clips(options) if options.what == "clips" else measure_pictures(options)
        if options.peers_only:
            return
        # Coded files stay in the build folder.
        rows = [{key: value for key, value in row.items() if key != "file"} for row in result["rows"]]
        write_json(options.results / f"{options.what}.json", {**result, "rows": rows})
    shown = report.Options(readme=options.readme, results=options.results, published=options.published)
    changed = report.run(shown) + sentences.run(options.results, options.readme, check=False)
    print(f"{options.readme.name}: {len(changed)} tables and sentences were brought up to date")


if __name__ == "__main__":
    try:
        main()
    except Splat2dError as error:
        sys.exit(f"figures: {error}")
    except KeyboardInterrupt:
        sys.exit("figures: interrupted; the same command goes on")
