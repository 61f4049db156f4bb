"""Every figure in prose comes from a benchmark's JSON or has a source; the command that measures them all."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from splat2d.errors import ConfigError

from ..conftest import ROOT

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def _scripts() -> Iterator[None]:
    # Last, so that the installed package stays the one that is imported.
    sys.path.append(str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def test_the_readme_has_the_present_figures() -> None:
    import report
    import sentences

    assert report.run(report.Options(check=True)) == []
    assert sentences.run(report.RESULTS, ROOT / "README.md", check=True) == []


def test_every_sentence_with_a_figure_is_registered() -> None:
    import sentences

    names = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}
    assert names - set(sentences.FILES) <= {"docs/FORMAT.md", "docs/lab-notes.md"}
    for name in sentences.FILES:
        assert sentences.unregistered(name, (ROOT / name).read_text(encoding="utf-8")) == [], name
    for sentence in sentences.SENTENCES:
        assert len(sentence.figures) == sentence.text.count("{}")
        assert sentence.figures or sentence.source
        assert not sentence.text.startswith("{}")
        assert not sentence.text.endswith("{}")


@pytest.mark.parametrize(
    "claim",
    [
        "It is 12% smaller.",
        "30.5 dB",
        "takes 4 ms",
        "in 3 seconds",
        "0.25 bpp",
        "1.5 times as long",
        "needs 2 GiB",
        "| x | 3 to 7 s |",
        "on 3 of 24 pictures",
    ],
)
def test_a_new_claim_is_found(claim: str) -> None:
    import sentences

    assert len(sentences.unregistered("docs/new.md", f"Words.\n{claim}\nMore.")) == 1
    assert sentences.unregistered("docs/new.md", f"```sh\n# {claim}\n```\n") == []
    assert (
        sentences.unregistered("docs/new.md", f"<!-- benchmark:a -->\n{claim}\n<!-- /benchmark:a -->") == []
    )


def test_a_claim_in_the_packages_description_is_found() -> None:
    import sentences

    text = '[project]\ndescription = "Files {} smaller"\nkeywords = ["9% b"]\n'
    assert len(sentences.unregistered("pyproject.toml", text.format("40%"))) == 1
    assert sentences.unregistered("pyproject.toml", text.format("much")) == []


def test_figures_are_filled_in_whatever_the_line_breaks(tmp_path: Path) -> None:
    from sentences import Results, Sentence

    (tmp_path / "a.json").write_text('{"x": 12, "name": "AVIF psnr 4:4:4"}')
    results = Results(tmp_path)
    figures = (lambda r: f"{r['a']['x']}%", lambda r: r["a"]["name"])
    sentence = Sentence("README.md", "are {} smaller than {}, at equal (PSNR)", figures)
    old = "Files are 30%\nsmaller than AVIF\niq, at\nequal (PSNR). 30%"
    new = "Files are 12%\nsmaller than AVIF psnr 4:4:4, at\nequal (PSNR). 30%"
    assert sentence.filled(old, results) == new
    assert sentence.filled(new, results) == new
    with pytest.raises(ConfigError, match=r"README\.md has this sentence .* not: are"):
        sentence.filled("Files are smaller", results)
    with pytest.raises(ConfigError, match="2 times"):
        sentence.filled(old + old, results)
    with pytest.raises(ConfigError, match=r"no b\.json"):
        results["b"]


def test_a_claim_that_became_untrue_is_an_error(tmp_path: Path) -> None:
    from sentences import Results, smaller

    found = {"mean": 3.0, "pictures": {"one": 3.0}}
    result = {"codecs": {"avif": {"label": "AVIF"}}, "summary": {}}
    result["summary"] = {"bd_rate": {"splat2d-default": {"avif": {"psnr": found}}}}
    (tmp_path / "kodak.json").write_text(json.dumps(result))
    with pytest.raises(ConfigError, match="not smaller than those of avif"):
        smaller("kodak", "avif")(Results(tmp_path))
    found["mean"] = -3.0
    (tmp_path / "kodak.json").write_text(json.dumps(result))
    assert smaller("kodak", "avif")(Results(tmp_path)) == "3%"


def figures(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    import figures as script

    monkeypatch.setattr(sys, "argv", ["figures.py", *map(str, words)])
    script.main()


@pytest.fixture
def place(tmp_path: Path, samples: Path) -> dict[str, Path]:
    """Two crops as kodak/, a short clip, and copies of README and results to be filled."""
    kodak = tmp_path / "data" / "kodak"
    kodak.mkdir(parents=True)
    for name, sample in (("kodim20", "coffee"), ("kodim23", "chelsea")):
        with Image.open(samples / f"{sample}.png") as image:
            image.convert("RGB").crop((150, 20, 382, 250)).save(kodak / f"{name}.png")
    video = tmp_path / "data" / "video" / "BasketballPass_416x240"
    video.mkdir(parents=True)
    with Image.open(samples / "coffee.png") as image:
        for index in range(64):
            image.convert("RGB").crop((100 + index, 80, 164 + index, 128)).save(video / f"{index:03d}.png")
    results = tmp_path / "results"
    shutil.copytree(BENCHMARKS / "results", results)
    shutil.copy(ROOT / "README.md", tmp_path / "README.md")
    return {
        "--data": tmp_path / "data",
        "--build": tmp_path / "build",
        "--results": results,
        "--readme": tmp_path / "README.md",
        "--published": tmp_path / "none.csv",
    }


def words_of(place: dict[str, Path]) -> list[object]:
    return [word for item in place.items() for word in item]


def test_pictures_are_measured_and_filled_in(monkeypatch, capsys, place: dict[str, Path]) -> None:
    import figures as script

    from splat2d.bench import images, registry

    peers = [
        replace(
            peer, qualities=(20, 50, 80), options={**peer.options, "speed": 9} if "avif" in peer.name else {}
        )
        for peer in registry.peers()
        if peer.name in ("jpeg", "webp", "avif-psnr", "avif-iq")
    ]
    monkeypatch.setattr(registry, "peers", lambda threads=None: peers)
    monkeypatch.setattr(script, "QUALITIES", (30, 60, 90))
    monkeypatch.setattr(images, "cores", lambda: 1)
    codecs = ("--codecs", "jpeg", "webp", "avif-psnr", "avif-iq")
    figures(monkeypatch, "kodak", *words_of(place), *codecs, "--peers-only")
    said = capsys.readouterr().out
    assert "24/24 kodim23, avif-iq, quality=80" in said
    before = json.loads((place["--results"] / "kodak.json").read_text())
    assert len(before["pictures"]) == 24  # peers alone fill nothing
    figures(monkeypatch, "kodak", *words_of(place), *codecs, "--presets", "default", "default:psnr")
    said = capsys.readouterr().out
    # What is there is not measured again.
    assert "jpeg" not in said
    assert "kodim23, splat2d-default-psnr, quality=90" in said
    after = json.loads((place["--results"] / "kodak.json").read_text())
    assert sorted(p["name"] for p in after["pictures"].values()) == ["kodim20", "kodim23"]
    assert not any("file" in row for row in after["rows"])
    assert all(row["ms_ssim"] and row["ssimulacra2"] for row in after["rows"])
    text = place["--readme"].read_text()
    assert "Kodak, 2 pictures, splat2d default" in text
    best = after["summary"]["bd_rate"]["splat2d-default-psnr"]
    hardest = max(best["avif-psnr"]["psnr"]["mean"], best["avif-iq"]["psnr"]["mean"])
    assert f"tuned for PSNR, at equal PSNR, {-hardest:.0f}% smaller than AVIF" in " ".join(text.split())
    assert "in a file of 0." in text


def test_clips_are_measured_and_filled_in(monkeypatch, capsys, place: dict[str, Path]) -> None:
    pytest.importorskip("av")
    some = ("--clips", "basketballpass", "--frames", "6", "--codecs", "svt-av1-6", "x265-psnr", "x264-psnr")
    figures(monkeypatch, "clips", *words_of(place), *some, "--presets", "fast", "--peers-only")
    said = capsys.readouterr().out
    assert "29/29 basketballpass, x264-psnr, crf=46" in said
    result = json.loads((place["--build"] / "clips" / "results.json").read_text())
    assert result["codecs"]["svt-av1-6"]["family"] == "svt-av1"
