"""Figures in sentences: each comes from a JSON in benchmarks/results, or has a source that is written here.

`report.py` fills them in; tests/bench/test_figures.py fails where one is stale, and where a sentence with a
figure is not in `SENTENCES`. A sentence is found in its file by its words, whatever the line breaks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from _paths import ROOT

from splat2d.bench.anchors import hardest_of
from splat2d.bench.results import read_json
from splat2d.errors import ConfigError

OURS = "splat2d-default"
_VALUE = r"(\S+(?:\s+\S+){0,5}?)"


class Results:
    """The JSONs of a folder, read when they are needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, dict[str, Any]] = {}

    def __getitem__(self, name: str) -> dict[str, Any]:
        """Return the JSON of a name.

        Raises:
            ConfigError: there is none.
        """
        if name not in self._known:
            found = read_json(self._folder / f"{name}.json")
            if found is None:
                raise ConfigError(f"no {name}.json in {self._folder.name}, which sentences have figures of")
            self._known[name] = found
        return self._known[name]


Figure = Callable[[Results], str]


@dataclass(frozen=True)
class Sentence:
    """Words with figures.

    Args:
        file: that they stand in, from the root of the repository.
        text: the words, with `{}` for each figure that a JSON has; words stand on both sides of each.
        figures: those, in order.
        source: where figures that are written out come from.
    """

    file: str
    text: str
    figures: tuple[Figure, ...] = ()
    source: str = ""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The words with a group for each figure."""
        parts = [re.sub(r"(\\?\s)+", r"\\s+", re.escape(part)) for part in self.text.split("{}")]
        return re.compile(_VALUE.join(parts))

    def find(self, text: str) -> re.Match[str]:
        """Return where the sentence stands in its file's text.

        Raises:
            ConfigError: it does not stand there once.
        """
        found = list(self.pattern.finditer(text))
        if len(found) != 1:
            times = "not" if not found else f"{len(found)} times"
            raise ConfigError(
                f"{self.file} has this sentence of benchmarks/sentences.py {times}: {self.text}"
            )
        return found[0]

    def filled(self, text: str, results: Results) -> str:
        """Return a text with the present figures in this sentence."""
        match = self.find(text)
        values = [figure(results) for figure in self.figures]
        for group, value in reversed(list(enumerate(values, 1))):
            if " ".join(match[group].split()) != value:
                text = text[: match.start(group)] + value + text[match.end(group) :]
        return text


# Figures


def _means(result: dict[str, Any], metric: str, family: str) -> tuple[str, dict[str, Any]]:
    """Return the hardest setting of a codec, and our BD-rates against it."""
    rates = result["summary"]["bd_rate"]
    tuned = f"{OURS}-{metric.replace('_', '-')}"
    test = tuned if metric == "psnr" and tuned in rates else OURS
    anchor = hardest_of(result, test, metric, family)
    if anchor is None:
        raise ConfigError(f"no setting of {family} was measured, which sentences compare with")
    return anchor, rates[test][anchor][metric]


def smaller(name: str, family: str, metric: str = "psnr") -> Figure:
    """Return how much smaller our files are than those of a codec's hardest setting: `18%`."""

    def figure(results: Results) -> str:
        value = _means(results[name], metric, family)[1]["mean"]
        if value is None or value >= 0:
            raise ConfigError(f"our files are not smaller than those of {family} in {name}.json: {value}%")
        return f"{-value:.0f}%"

    return figure


def against(name: str, family: str, metric: str) -> Figure:
    """Return our BD-rate against a codec's hardest setting, with its sign: `+14.9%`."""
    return lambda results: f"{_means(results[name], metric, family)[1]['mean']:+.1f}%"


def light_field(anchor: str) -> Figure:
    """Return how much smaller our light fields are than a codec's views row by row: `31%`."""
    return lambda results: f"{-results['lightfields']['bd_rate'][OURS][anchor]:.0f}%"


def between_views(results: Results) -> str:
    """Return how far views that were left out lie below those that were encoded, dB."""
    (row,) = results["lightfields"]["left_out"]
    return f"{row['psnr_encoded'] - row['psnr_left_out']:.2f} dB"


def light_field_time(pick: Callable[[list[float]], float]) -> Figure:
    """Return the least or the most time of our encodes, s."""

    def figure(results: Results) -> str:
        rows = results["lightfields"]["rows"]
        return f"{pick([row['seconds'] for row in rows if row['codec'] == OURS]):.0f}"

    return figure


def setting(name: str, family: str, metric: str = "psnr") -> Figure:
    """Return what a codec's hardest setting is called: `AVIF psnr 4:4:4`."""
    return lambda results: results[name]["codecs"][_means(results[name], metric, family)[0]]["label"]


def won(name: str, family: str) -> Figure:
    """Return on how many pictures our files are smaller at equal PSNR: `24 of 24`."""
    return lambda results: "{wins} of {of}".format(**_means(results[name], "psnr", family)[1])


def clip_of(pick: Callable[[list[float]], float]) -> Figure:
    """Return the BD-rate against SVT-AV1 on the clip that suits us best, or worst: `+29.7%`."""

    def figure(results: Results) -> str:
        clips = _means(results["clips"], "psnr", "svt-av1")[1]["clips"].values()
        return f"{pick([clip['percent'] for clip in clips if clip['percent'] is not None]):+.1f}%"

    return figure


def clip_count(results: Results) -> str:
    """Return how many clips the mean BD-rates are of, in words."""
    found = _means(results["clips"], "psnr", "svt-av1")[1]["clips"].values()
    return _word(sum(clip["percent"] is not None for clip in found))


def _first(found: Iterator[Any], missing: str) -> Any:
    for value in found:
        return value
    raise ConfigError(f"{missing}, which a sentence has figures of")


def _word(count: int) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[count] if count < len(words) else str(count)


def encode_time(preset: str, quality: int, key: str) -> Figure:
    """Return a time of encoding 768x512 in s, to a tenth below 2."""

    def figure(results: Results) -> str:
        rows = results["speed"]["sections"]["encode"]["rows"]
        found = (r for r in rows if (r["preset"], r["quality"]) == (preset, quality))
        row = _first(found, f"speed.json has no times of {preset} at quality {quality}")
        return f"{row[key]:.{int(row[key] < 1.95)}f}"

    return figure


def memory(form: str) -> Figure:
    """Return the encoder's memory for 8K, as bytes a pixel or in GiB."""

    def figure(results: Results) -> str:
        row = results["speed"]["sections"]["eight_k"]["rows"][0]
        size = row["peak_mib"] * 2**20
        return (
            f"{size / (row['width'] * row['height']):.0f}" if form == "pixel" else f"{size / 2**30:.1f} GiB"
        )

    return figure


def object_cost(choose: Callable[[Iterator[float]], float]) -> Figure:
    """Return what layers cost, in dB."""
    return lambda results: "{:.1f}".format(
        choose(row["psnr"]["flat"] - row["psnr"]["layered"] for row in results["objects"]["rows"])
    )


def crop_figure(form: str) -> Figure:
    """Return a figure of our file of the clip that neural codecs report on."""

    def figure(results: Results) -> str:
        clips = results["clips"]
        crops = (item for item in clips["pictures"].items() if item[1]["name"] == "bunny-crop")
        digest, clip = _first(crops, "clips.json has no bunny-crop")
        rows = (r for r in clips["rows"] if (r["picture"], r["codec"]) == (digest, OURS))
        row = _first(rows, f"clips.json has no row of {OURS} on bunny-crop")
        return form.format(**row, **clip, mb=row["bytes"] / 1e6)

    return figure


def _preset(preset: str, purpose: str) -> Sentence:
    times = encode_time(preset, 50, "median_s"), encode_time(preset, 75, "slowest_s")
    return Sentence("README.md", f"| `{preset}` | {purpose} | {{}} to {{}} s |", times)


SENTENCES = (
    Sentence(
        "README.md",
        "on Kodak, at equal SSIMULACRA2, {} smaller than {}, {} smaller than WebP and {} smaller than JPEG; "
        "tuned for PSNR, at equal PSNR, {} smaller than {};",
        (
            smaller("kodak", "avif", "ssimulacra2"),
            setting("kodak", "avif", "ssimulacra2"),
            smaller("kodak", "webp", "ssimulacra2"),
            smaller("kodak", "jpeg", "ssimulacra2"),
            smaller("kodak", "avif"),
            setting("kodak", "avif"),
        ),
    ),
    Sentence(
        "README.md",
        "on {} clips {} in the mean against {}, from {} to {}, {} smaller than {} and {} smaller than {}, "
        "from an encoder",
        (
            clip_count,
            against("clips", "svt-av1", "psnr"),
            setting("clips", "svt-av1"),
            clip_of(min),
            clip_of(max),
            *(part("clips", family) for family in ("x265", "x264") for part in (smaller, setting)),
        ),
    ),
    Sentence(
        "README.md",
        "In PSNR the tune for it is smaller than {} on {} pictures;",
        (setting("kodak", "avif"), won("kodak", "avif")),
    ),
    Sentence(
        "README.md",
        "in SSIMULACRA2 the default (the tune `visual`) has {} against {}, in MS-SSIM {} against {}.",
        (
            against("kodak", "avif", "ssimulacra2"),
            setting("kodak", "avif", "ssimulacra2"),
            against("kodak", "avif", "ms_ssim"),
            setting("kodak", "avif", "ms_ssim"),
        ),
    ),
    Sentence(
        "README.md",
        "Objects cost: at equal size the layered file lies {} to {} dB below the flat one",
        (object_cost(min), object_cost(max)),
    ),
    Sentence(
        "README.md",
        "at equal PSNR {} smaller than those of SVT-AV1 preset 2 and {} than those of x265, which get its "
        "views row by row; views that were left out lie {} below those that were encoded, and an encode "
        "takes {} to {} s on two cores.",
        (
            light_field("svt-av1-2"),
            light_field("x265-psnr"),
            between_views,
            light_field_time(min),
            light_field_time(max),
        ),
    ),
    Sentence(
        "README.md",
        "at {} MB ({} bpp) its {} frames have {} dB.",
        (
            crop_figure("{mb:.2f}"),
            crop_figure("{bpp:.4f}"),
            crop_figure("{frames}"),
            crop_figure("{psnr:.2f}"),
        ),
    ),
    Sentence(
        "README.md",
        "Published there: CF-NeRV 33.59, 36.01 and 38.48 dB with 0.75, 1.5 and 3 million parameters (as many "
        "bytes at 8 bits); at 720p HNeRV-Boost 36.9 dB at 0.0525 bpp; D2GV 36.6 dB with 264,000 splats (here "
        "{}).",
        (crop_figure("{splats:,}"),),
        source="those of others: the papers on CF-NeRV, HNeRV-Boost and D2GV",
    ),
    _preset("fast", "previews, many pictures"),
    _preset("default", "everything else"),
    _preset("best", "the smallest file"),
    Sentence(
        "README.md",
        "The encoder needs about {} bytes of memory a pixel ({} for 8K).",
        (memory("pixel"), memory("gib")),
    ),
    Sentence(
        "README.md",
        "each edit adds 8 to 31 bytes to the file.",
        source="examples/edit_objects.py prints them",
    ),
    Sentence(
        "README.md",
        "As after any second encoding, about 1 dB to the original is lost at the same quality.",
        source="`splat2d group` prints it",
    ),
)

FILES = ("README.md", "pyproject.toml", "docs/architecture.md", "cuda/README.md")
"""What is looked through. FORMAT.md prescribes and has no results; lab-notes.md is a dated record."""

FIGURE = re.compile(
    r"(?<![\w.])[-+]?\d[\d.,]*\s*"
    r"(?:%|(?:percent|dB|ms|us|s|seconds|bpp|[KMG]i?B|bytes|times|splats|of \d+ pictures)(?!\w))"
)
# What is asked for or is given to the codec, and no result.
NO_RESULT = re.compile(r"a clip of more than \d+ MiB stays on the disk")


def prose(name: str, text: str) -> str:
    """Return a text with everything but its sentences blanked, each character in its place.

    Args:
        name: of the file; of pyproject.toml only the description counts.
        text: of it.
    """
    if name == "pyproject.toml":
        found = re.search(r'^description = "(.*)"$', text, re.MULTILINE)
        kept = found.span(1) if found else (0, 0)
        return _blank(text[: kept[0]]) + text[slice(*kept)] + _blank(text[kept[1] :])
    made = re.compile(r"<!-- benchmark:(\w+) -->.*?<!-- /benchmark:\1 -->|```.*?```", re.DOTALL)
    text = made.sub(lambda match: _blank(match[0]), text)
    return NO_RESULT.sub(lambda match: _blank(match[0]), text)


def unregistered(name: str, text: str) -> list[str]:
    """Return the figures of a file that no sentence has, each with its surroundings.

    Args:
        name: of the file, from the root of the repository.
        text: of it.
    """
    spans = [sentence.find(text).span() for sentence in SENTENCES if sentence.file == name]
    return [
        " ".join(text[max(match.start() - 50, 0) : match.end() + 30].split())
        for match in FIGURE.finditer(prose(name, text))
        if not any(first <= match.start() and match.end() <= last for first, last in spans)
    ]


def run(results: Path, readme: Path, check: bool) -> list[str]:
    """Bring the figures in sentences up to date, or only look; returns the sentences that were stale.

    Args:
        results: folder of the JSONs.
        readme: stands for README.md; files beside it for the others.
        check: write nothing.

    Raises:
        ConfigError: a sentence is not in its file, or has become untrue.
    """
    known, stale = Results(results), []
    for name in dict.fromkeys(sentence.file for sentence in SENTENCES):
        path = readme if name == "README.md" else ROOT / name
        old = text = path.read_text(encoding="utf-8")
        for sentence in (sentence for sentence in SENTENCES if sentence.file == name):
            new = sentence.filled(text, known)
            stale += [sentence.text] if new != text else []
            text = new
        if text != old and not check:
            path.write_text(text, encoding="utf-8")
    return stale


def _blank(text: str) -> str:
    return re.sub(r"\S", " ", text)
