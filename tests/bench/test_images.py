"""`splat2d bench`: real codecs on tiny crops, runs that go on, faults that stop nothing, known BD-rates."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from splat2d.bench import images, registry
from splat2d.bench.codecs import Setting
from splat2d.bench.images import Observer, Options
from splat2d.bench.pillow_codecs import PillowCodec
from splat2d.bench.results import empty_results, read_published, read_results, summary, write_json
from splat2d.errors import ConfigError, InputImageError

from ..support.command import assert_one_line, run

GRID = (Setting("quality", 30), Setting("quality", 60), Setting("quality", 90))


def options(crops: Path, tmp_path: Path, **changes: Any) -> Options:
    given = {"codecs": ("jpeg", "webp"), "grid": GRID, "measures": ("psnr",), **changes}
    return Options(paths=(crops,), out=tmp_path / "out", **given)


def keys(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(row["picture"], row["codec"], row["setting"]) for row in result["rows"]]


class Notes(Observer):
    def __init__(self, stop_after: int = 10**9) -> None:
        self.notes: list[str] = []
        self.rows = 0
        self.stop_after = stop_after

    def row(self, name: str, row: dict[str, Any]) -> None:
        self.rows += 1
        if self.rows == self.stop_after:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)


# Runs


def test_a_run_writes_everything_and_the_next_one_goes_on(capsys, crops: Path, tmp_path: Path):
    (crops / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    out = tmp_path / "out"
    command = ["bench", "images", crops, "--presets", "fast", "--quality", "30", "80", "--metrics", "psnr"]
    command += ["--page-bpp", "0.5", "--out", out]
    status, said, err = run(capsys, *command, "--codecs", "splat2d,jpeg")
    assert status == 0
    assert "8 rows; see report.md and index.html" in said
    assert err.count("\n") == 1
    assert "left out:" in err
    assert "broken.png" in err
    first = read_results(out / "results.json")
    assert first is not None
    assert len(set(keys(first))) == len(first["rows"]) == 8
    assert list(first["unreadable"]) == ["broken.png"]
    assert str(tmp_path) not in (out / "results.json").read_text()
    for row in first["rows"]:
        file = out / row["file"]
        assert row["bytes"] == file.stat().st_size
        assert row["bpp"] == 8 * row["bytes"] / (64 * 48)
        assert row["psnr"] > 15
    text = (out / "report.md").read_text()
    assert "## splat2d fast" in text
    assert "broken.png" in text
    assert "splat2d-fast-quality-30" in (out / "index.html").read_text()
    for name in ("rd_psnr.png", "time.png", "pictures/coffee/original.png"):
        with Image.open(out / name) as image:
            assert image.width > 16

    status, _, err = run(capsys, *command, "--codecs", "webp")
    assert status == 0
    assert "0 rows are there, 4 to measure" in err
    assert "warning" not in err
    assert "splat2d-fast-quality-30" in (out / "index.html").read_text()
    second = read_results(out / "results.json")
    assert second is not None
    assert [row for row in second["rows"] if row["codec"] != "webp"] == first["rows"]
    assert [run["jobs"] for run in second["runs"]] == [1, 1]


def test_an_interrupted_run_goes_on(crops: Path, tmp_path: Path):
    chosen = options(crops, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        images.run(chosen, Notes(stop_after=5))
    half = read_results(chosen.out / "results.json")
    assert half is not None
    assert len(half["rows"]) == 5
    notes = Notes()
    whole = images.run(chosen, notes)
    assert notes.rows == 7
    assert notes.notes == [f"continuing {chosen.out / 'results.json'}: 5 rows are there, 7 to measure"]
    assert len(set(keys(whole))) == 12
    assert {row["run"] for row in whole["rows"]} == {0, 1}
    assert [path.name for path in chosen.out.iterdir() if path.suffix == ".tmp"] == []


def test_ctrl_c_says_in_one_line_what_is_kept(capsys, monkeypatch, crops: Path, tmp_path: Path):
    def stop(task):
        raise KeyboardInterrupt

    monkeypatch.setattr(images, "measure", stop)
    status, _, err = run(capsys, "bench", "images", crops, "--codecs", "jpeg", "--out", tmp_path / "out")
    assert status == 130
    assert err.count("\n") == 1
    assert "interrupted; what was measured is in" in err
    assert read_results(tmp_path / "out" / "results.json") is not None


@dataclass(frozen=True)
class Failing(PillowCodec):
    """A codec that cannot encode at quality 60."""

    def encode(self, x, setting):
        if setting.value == 60:
            raise ZeroDivisionError("of a\ncodec")
        return super().encode(x, setting)


def test_a_failing_codec_is_a_row_and_the_rest_goes_on(monkeypatch, crops: Path, tmp_path: Path):
    failing = Failing("jpeg", "JPEG", ".jpg", "JPEG", (30, 60), "libjpeg_turbo")
    webp = registry.peers()[1]
    with monkeypatch.context() as patch:
        patch.setattr(registry, "peers", lambda threads=None: (failing, webp))
        result = images.run(options(crops, tmp_path), Notes())
    bad = [row for row in result["rows"] if "error" in row]
    assert [(row["codec"], row["setting"]) for row in bad] == [("jpeg", "quality=60")] * 2
    assert bad[0]["error"] == "ZeroDivisionError: of a codec"
    assert len(result["rows"]) == 12
    # The next run, of the real codec, is of another version and measures all of its rows.
    again = images.run(options(crops, tmp_path), Notes())
    assert not [row for row in again["rows"] if "error" in row]


def test_rows_of_another_version_and_fresh_ones_are_measured_again(crops: Path, tmp_path: Path):
    chosen = options(crops, tmp_path)
    result = images.run(chosen, Notes())
    for row in result["rows"][:2]:
        assert row["codec"] == "jpeg"
        row["version"] = "of long ago"
    write_json(chosen.out / "results.json", result)
    notes = Notes()
    images.run(chosen, notes)
    assert notes.rows == 2
    assert "2 that are stale or failed go again" in notes.notes[0]
    notes = Notes()
    images.run(options(crops, tmp_path, fresh=("webp",)), notes)
    assert notes.rows == 6


def test_a_figure_that_was_not_asked_for_is_taken_from_the_files(crops: Path, tmp_path: Path):
    before = images.run(options(crops, tmp_path, codecs=("jpeg",)), Notes())
    lost = before["rows"][0]
    (tmp_path / "out" / lost["file"]).unlink()
    # That it cannot be had (the crops are small) is kept as well.
    for expected in (6, 0):
        notes = Notes()
        chosen = options(crops, tmp_path, codecs=("jpeg",), measures=("psnr", "ms_ssim"))
        after = images.run(chosen, notes)
        assert notes.rows == expected
        assert len(after["rows"]) == 6
        for old, new in zip(before["rows"], after["rows"], strict=True):
            assert new["ms_ssim"] is None
            assert "161" in new["missing"]["ms_ssim"] or "160" in new["missing"]["ms_ssim"]
            kept = {key: new[key] for key in old}
            # Only the row whose file is gone was encoded again.
            assert kept == old or old is lost


def test_jobs_give_the_same_files(crops: Path, tmp_path: Path):
    alone = images.run(options(crops, tmp_path, codecs=("jpeg", "jpeg2000")), Notes())
    together = images.run(
        Options((crops,), tmp_path / "jobs", ("jpeg", "jpeg2000"), grid=GRID, jobs=2, measures=("psnr",)),
        Notes(),
    )
    figures = ("picture", "codec", "setting", "bytes", "psnr")
    assert [[r[k] for k in figures] for r in alone["rows"]] == [
        [r[k] for k in figures] for r in together["rows"]
    ]
    from splat2d.bench.report import report

    assert "2 pictures at a time" in report(together)
    assert "times do not compare" in report(together)


def test_a_missing_package_is_said(monkeypatch, crops: Path, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    notes = Notes()
    result = images.run(options(crops, tmp_path, codecs=("jpeg", "jxl-7")), notes)
    assert result["codecs"]["jxl-7"]["unavailable"] == (
        "JPEG XL effort 7 needs the package pillow-jxl-plugin; pip install pillow-jxl-plugin"
    )
    assert "JPEG XL effort 7 is left out" in notes.notes[0]


def test_equal_pictures_and_equal_names(crops: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "twin.png").write_bytes((crops / "coffee.png").read_bytes())
    Image.open(crops / "coffee.png").rotate(180).save(other / "coffee.png")
    notes = Notes()
    chosen = Options((crops, other), tmp_path / "out", ("jpeg",), grid=GRID[:1], measures=("psnr",))
    result = images.run(chosen, notes)
    names = sorted(picture["name"] for picture in result["pictures"].values())
    assert names[:2] == ["chelsea", "coffee"]
    assert names[2].startswith("coffee-")
    assert "twin.png has the same pixels as" in notes.notes[0]


@pytest.mark.parametrize(
    ("arguments", "status", "part"),
    [
        (["EMPTY"], 1, "holds no pictures"),
        (["missing.png"], 1, "no such file or folder"),
        (["TINY"], 1, "nothing to measure"),
        (["CROPS", "--codecs", "gif"], 1, "'gif' is unknown"),
        (["CROPS", "--quality", "50", "--bpp", "0.5"], 1, "contradict"),
        (["CROPS", "--published", "missing.csv"], 1, "missing.csv"),
        (["CROPS", "--quality", "0"], 2, "1 to 100"),
        (["CROPS", "--bpp", "much"], 2, "is no number"),
        (["CROPS", "--metrics", "vmaf"], 2, "vmaf"),
        (["CROPS", "--jobs", "0"], 2, "--jobs"),
        ([], 2, "needs pictures"),
    ],
)
def test_faults_are_one_line(capsys, crops: Path, tmp_path: Path, arguments, status: int, part: str):
    empty, tiny = tmp_path / "empty", tmp_path / "tiny.png"
    empty.mkdir()
    Image.new("RGB", (5, 4)).save(tiny)
    places = {"EMPTY": empty, "TINY": tiny, "CROPS": crops}
    given = [places.get(word, word) for word in arguments]
    found, _, err = run(capsys, "bench", "images", *given, "--out", tmp_path / "out")
    assert found == status
    *notes, last = err.splitlines(keepends=True)
    assert_one_line(last, part)
    assert all("5x4 px" in note for note in notes)


def test_foreign_results_are_kept(crops: Path, tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    for text, part in (('{"benchmark": "speed"}', "no result of"), ("[]", "an object"), ("{", "no JSON")):
        (out / "results.json").write_text(text)
        with pytest.raises(ConfigError, match=part):
            images.run(options(crops, tmp_path), Notes())
        assert (out / "results.json").read_text() == text
    write_json(out / "results.json", {**empty_results(), "schema": 99})
    with pytest.raises(ConfigError, match="schema 99, expected 1"):
        images.run(options(crops, tmp_path), Notes())


def test_no_pictures_are_found_in_an_empty_folder(tmp_path: Path):
    with pytest.raises(InputImageError, match="holds no pictures"):
        images.find_pictures([tmp_path])


def test_a_picture_name_cannot_end_the_script(crops: Path, tmp_path: Path):
    from splat2d.bench.page import write_page

    odd = crops / "a<!--b.png"
    (crops / "coffee.png").rename(odd)
    chosen = options(crops, tmp_path, codecs=("jpeg",))
    result = images.run(chosen, Notes())
    page = write_page(result, chosen.out, [odd]).read_text()
    assert "a\\u003c!--b" in page
    assert "a<!--b" not in page


# What rows come to


def made(factor: float, codec: str = "jpeg", seconds: float = 1.0) -> dict[str, Any]:
    """A result of two pictures with dB = 30 + 6 log2(bpp / factor), and the same in MS-SSIM."""
    result = {**empty_results(), "codecs": {codec: {"label": codec, "ours": codec.startswith("splat2d")}}}
    for number, name in enumerate(("one", "two")):
        result["pictures"][f"digest-{name}"] = {"name": name, "width": 100, "height": 100}
        for quality, bpp in enumerate((0.1, 0.2, 0.4, 0.8, 1.6)):
            decibel = 30 + 6 * np.log2(bpp * (1 + number))
            row = {"picture": f"digest-{name}", "codec": codec, "setting": f"quality={quality}", "run": 0}
            figures = {"bpp": bpp * factor, "bytes": 1000 * bpp * factor, "psnr": decibel}
            ms_ssim = 1 - 10 ** (-decibel / 30)
            times = {"encode_s": seconds, "decode_s": 0.1}
            result["rows"].append({**row, **figures, "ms_ssim": ms_ssim, **times})
    return result


def test_bd_rates_of_files_a_fifth_smaller():
    theirs, ours = made(1.0), made(0.8, "splat2d-fast")
    both = {**theirs, "codecs": {**theirs["codecs"], **ours["codecs"]}, "rows": theirs["rows"] + ours["rows"]}
    # One of the other kind of setting stays out of the curves.
    both["rows"].append({**ours["rows"][0], "setting": "bpp=0.3", "psnr": 60.0})
    found = summary(both)
    for metric in ("psnr", "ms_ssim"):
        figures = found["bd_rate"]["splat2d-fast"]["jpeg"][metric]
        assert (figures["mean"], figures["median"], figures["wins"], figures["of"]) == (-20, -20, 2, 2)
        assert figures["pictures"] == {"one": -20, "two": -20}
    assert found["low_rate"]["splat2d-fast"]["jpeg"] == {"wins": 4, "of": 4, "bpp": 0.25}
    assert [point["bpp"] for point in found["mean_curves"]["jpeg"]] == [0.1, 0.2, 0.4, 0.8, 1.6]


def test_the_hardest_setting_of_each_codec_comes_first():
    from splat2d.bench.anchors import hardest, hardest_of, ranked
    from splat2d.bench.report import bd_rate_table, report

    result = made(1.0, "splat2d-fast")
    for name, family, factor in (
        ("jpeg", None, 2.0),
        ("avif-psnr", "avif", 1.0),
        ("avif-iq", "avif", 1.25),
        ("avif-slow", "avif", 0.9),
    ):
        other = made(factor, name)
        result["codecs"][name] = {"label": name.upper(), "ours": False, "version": "1", "unavailable": None}
        result["codecs"][name] |= {"family": family} if family else {}
        # The slow setting was measured on one of the two pictures only.
        rows = [row for row in other["rows"] if name != "avif-slow" or row["picture"] == "digest-one"]
        result["rows"] += rows
    result["codecs"]["splat2d-fast"] = {"label": "splat2d fast", "ours": True, "unavailable": None}
    machine = {"cores": 2, "cpu": "a CPU", "vectors": "avx2", "memory_gib": 8, "os": "an OS"}
    stamp = {"date": "2026-01-02T03:04", "commit": None, "modified": False}
    result["runs"] = [{**stamp, "jobs": 1, "threads": 2, "repeats": 1}]
    result |= {"machine": machine, "versions": {"splat2d": "0.1.0", "pillow": "13"}}
    result["summary"] = summary(result)
    assert ranked(result, "splat2d-fast", "psnr") == ["avif-slow", "avif-psnr", "avif-iq", "jpeg"]
    assert hardest(result, "splat2d-fast", "psnr") == ["avif-psnr", "jpeg"]
    assert hardest_of(result, "splat2d-fast", "ms_ssim", "avif") == "avif-psnr"
    assert hardest_of(result, "splat2d-fast", "psnr", "webp") is None
    table = bd_rate_table(result, "splat2d-fast").splitlines()
    assert [line.split("|")[1].strip() for line in table[2:]] == ["AVIF-PSNR", "JPEG"]
    full = report(result)
    places = [full.index(f"\n| {name} |") for name in ("AVIF-SLOW", "AVIF-PSNR", "AVIF-IQ", "JPEG")]
    assert places == sorted(places)
    # Settings of one codec beside each other, over the pictures that both have.
    assert "| AVIF-IQ | AVIF-PSNR | 2 | +25.0% | +25.0% |" in full
    assert "| AVIF-SLOW | AVIF-PSNR | 1 | -10.0% | -10.0% |" in full


def test_compare_finds_the_shift(capsys, tmp_path: Path):
    write_json(tmp_path / "a.json", made(1.0))
    write_json(tmp_path / "b.json", made(1.25, seconds=0.5))
    status, out, err = run(capsys, "bench", "compare", tmp_path / "a.json", tmp_path / "b.json")
    assert (status, err) == (0, "")
    expected = "| jpeg | psnr | +25.00% | +25.00% (one) | +25.00% (one) | +25.00% | -50.00% | +0.00% |"
    assert expected in out
    status, out, _ = run(capsys, "bench", "compare", tmp_path / "b.json", tmp_path / "a.json", "--json")
    assert json.loads(out)["jpeg"]["bd_rate"]["psnr"]["mean"] == -20
    write_json(tmp_path / "c.json", made(1.0, "splat2d-fast"))
    status, _, err = run(capsys, "bench", "compare", tmp_path / "a.json", tmp_path / "c.json")
    assert status == 1
    assert_one_line(err, "nothing to compare")
    status, _, err = run(capsys, "bench", "compare", tmp_path / "a.json", tmp_path / "d.json")
    assert status == 1
    assert_one_line(err, "d.json", "no such file")


def test_published_curves_are_marked(capsys, crops: Path, tmp_path: Path):
    table = tmp_path / "published.csv"
    table.write_text(
        "codec,bpp,psnr_rgb_db,ms_ssim,source\nBPG,2,45,,a paper\nBPG,0.1,15,0.8,a paper\nVTM,1,38,,other\n"
    )
    curves = read_published(table)
    assert curves["BPG"] == {
        "source": "a paper",
        "points": [{"bpp": 0.1, "psnr": 15.0, "ms_ssim": 0.8}, {"bpp": 2.0, "psnr": 45.0, "ms_ssim": None}],
    }
    assert list(read_published(table, ["VTM"])) == ["VTM"]
    command = ["bench", "images", crops, "--codecs", "jpeg", "--quality", "30,80", "--metrics", "psnr"]
    status, _, err = run(capsys, *command, "--published", table, "--out", tmp_path / "o", "--page-bpp", "0")
    assert (status, err) == (0, "")
    assert "BPG (published)" in (tmp_path / "o" / "report.md").read_text()
    assert not (tmp_path / "o" / "index.html").exists()
    for text in ("codec,bpp\nA,1\n", "codec,bpp,psnr_rgb_db\nA,much,3\n", "codec,bpp,psnr_rgb_db\n"):
        table.write_text(text)
        with pytest.raises(ConfigError, match="curves"):
            read_published(table)
