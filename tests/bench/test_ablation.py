"""`splat2d bench ablation`: each idea is worth something on a real crop, runs go on, counts are bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from splat2d.bench import ablation, counted
from splat2d.bench.ablation import IDEAS, WHOLE
from splat2d.bench.ablation_report import draw, report
from splat2d.bench.codecs import Setting
from splat2d.bench.images import Observer, Options
from splat2d.bench.results import read_results
from splat2d.errors import ConfigError
from splat2d.fit.config import load_config
from splat2d.fit.encode import quality_step

from ..support.command import assert_one_line, run

QUALITIES = (45, 60, 75)
# What an idea may seem to harm on one small crop, percent: fits that end elsewhere differ by chance.
NOISE = {"pursuit": 4.0, "units": 2.0}


class Notes(Observer):
    def __init__(self, stop_after: int = 10**9) -> None:
        self.rows: list[str] = []
        self.notes: list[str] = []
        self.stop_after = stop_after

    def row(self, name: str, row: dict[str, Any]) -> None:
        assert "error" not in row, row
        self.rows.append(row["codec"])
        if len(self.rows) == self.stop_after:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def crop(tmp_path_factory: pytest.TempPathFactory, samples: Path) -> Path:
    """A photograph of 112x96 px."""
    path = tmp_path_factory.mktemp("crop") / "chelsea.png"
    with Image.open(samples / "chelsea.png") as image:
        image.convert("RGB").crop((150, 60, 262, 156)).save(path)
    return path


def options(crop: Path, out: Path, qualities: tuple[int, ...] = QUALITIES, jobs: int = 1) -> Options:
    return Options((crop,), out, grid=tuple(Setting("quality", q) for q in qualities), jobs=jobs)


@pytest.fixture(scope="module")
def result(crop: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("whole run")
    return {**ablation.run(options(crop, out), (), "fast", Notes()), "out": out}


@pytest.mark.parametrize("idea", IDEAS, ids=lambda idea: idea.name)
def test_the_codec_is_worse_without_each_idea(result, idea):
    found = result["summary"]["ideas"][idea.name]
    assert found["bd_rate"]["of"] == 1
    assert found["bd_rate"]["mean"] > -NOISE.get(idea.name, 0.0)
    assert (found["encode_s"] is None) == idea.counted


@pytest.mark.parametrize("idea", IDEAS, ids=lambda idea: idea.name)
def test_the_objective_is_worse_without_each_idea(result, idea):
    pixels = 112 * 96
    total = {True: 0.0, False: 0.0}
    whole = {row["setting"]: row for row in result["rows"] if row["codec"] == WHOLE}
    for row in (row for row in result["rows"] if row["codec"] == idea.name):
        other = whole[row["setting"]]
        anchor = (row.get("anchor_bpp", other["bpp"]), row.get("anchor_psnr", other["psnr"]))
        lmbda = load_config("fast").lagrangian * quality_step(row["quality"]) ** 2
        for key, (bpp, psnr) in ((True, anchor), (False, (row["bpp"], row["psnr"]))):
            sse = 3 * pixels * 10 ** (-psnr / 10)
            total[key] += (sse + lmbda * bpp * pixels) / lmbda
    assert total[False] > total[True] * (1 - NOISE.get(idea.name, 0.0) / 100)


@pytest.mark.parametrize("idea", IDEAS, ids=lambda idea: idea.name)
def test_a_switch_changes_every_row(result, idea):
    rows = {(row["codec"], row["setting"]): row for row in result["rows"]}
    for quality in QUALITIES:
        row, whole = (rows[name, f"quality={quality}"] for name in (idea.name, WHOLE))
        if idea.counted:
            assert row["bpp"] != row.get("anchor_bpp", whole["bpp"])
        else:
            files = [(result["out"] / one["file"]).read_bytes() for one in (row, whole)]
            assert files[0] != files[1]


def test_rows_say_whether_they_are_files(result):
    for row in result["rows"]:
        is_counted = row["codec"] != WHOLE and result["codecs"][row["codec"]]["counted"]
        assert is_counted == row.get("counted", False) == ("file" not in row)
        if not is_counted:
            assert (result["out"] / row["file"]).stat().st_size == row["bytes"]
    assert {idea.name for idea in IDEAS if idea.counted} == {"steps", "set", "contexts", "neighbours"}


def test_counted_rows_keep_the_pixels_of_the_whole(result):
    levels = {(row["codec"], row["setting"]): row["psnr"] for row in result["rows"]}
    for quality in QUALITIES:
        for name in ("set", "contexts", "neighbours"):
            assert levels[name, f"quality={quality}"] == levels[WHOLE, f"quality={quality}"]


def test_contexts_hold_what_neighbours_tell(result):
    bits = {(row["codec"], row["setting"]): row["bpp"] for row in result["rows"]}
    for quality in QUALITIES:
        assert bits["contexts", f"quality={quality}"] > bits[WHOLE, f"quality={quality}"]
        assert bits["neighbours", f"quality={quality}"] > bits[WHOLE, f"quality={quality}"]


def test_table_and_plot(result, tmp_path: Path):
    text = report(result)
    for idea in IDEAS:
        kind = "counted" if idea.counted else "files"
        assert f"| without {idea.label} | {kind} | **" in text
        assert idea.how in text
    draw(result, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.width > 600


def test_a_run_goes_on_where_it_stopped(crop: Path, tmp_path: Path):
    chosen = options(crop, tmp_path / "out", (50, 75))
    ideas = ("refinement", "set")
    with pytest.raises(KeyboardInterrupt):
        ablation.run(chosen, ideas, "fast", Notes(stop_after=3))
    half = read_results(chosen.out / "results.json", "ablation")
    assert half is not None
    assert len(half["rows"]) == 3
    notes = Notes()
    whole = ablation.run(chosen, ideas, "fast", notes)
    assert len(whole["rows"]) == 6
    assert notes.rows == ["refinement", "set", "set"]
    again = Notes()
    assert ablation.run(chosen, ideas, "fast", again)["rows"] == whole["rows"]
    assert again.rows == []
    (chosen.out / whole["rows"][0]["file"]).unlink()
    ablation.run(chosen, ideas, "fast", again)
    assert again.rows == [WHOLE]
    with pytest.raises(ConfigError, match="is no result of splat2d bench images"):
        read_results(chosen.out / "results.json")


def test_processes_of_their_own_give_the_same_rows(crop: Path, tmp_path: Path):
    keys = ("codec", "setting", "bytes", "psnr")
    ideas = ("refinement", "contexts")
    found = [
        ablation.run(options(crop, tmp_path / f"{jobs}", (50, 70), jobs), ideas, "fast", Notes())
        for jobs in (1, 2)
    ]
    rows = [[[row[key] for key in keys] for row in one["rows"]] for one in found]
    assert rows[0] == rows[1]


def test_counting_agrees_with_the_coder(result):
    path = next(result["out"] / row["file"] for row in result["rows"] if row["codec"] == WHOLE)
    coded = counted.read_splats(path.read_bytes())
    events, bits = counted.Events(coded), {}
    coded.field.decode(bits=bits)
    assert events.bits == pytest.approx(bits)
    assert 0 < sum(events.tree()) < bits["position"]
    assert 8 * coded.size - sum(bits.values()) == pytest.approx(8 * 40, abs=8 * 30)


def test_adaptive_bits_are_those_of_one_symbol_at_a_time():
    values = np.random.default_rng(0).integers(0, 5, 60)
    counts, bits = np.full(7, 0.5), 0.0
    for value in values:
        bits -= np.log2(counts[value] / counts.sum())
        counts[value] += 1
    assert counted.adaptive_bits(values, 7) == pytest.approx(bits)
    assert counted.adaptive_bits(np.zeros(0, np.int64), 7) == 0


def test_unknown_names_are_one_line(capsys, crop: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"idea 'magic' is unknown; expected one of units, rate-term"):
        ablation.run(options(crop, tmp_path), ("magic",), "fast", Notes())
    with pytest.raises(ConfigError, match="no preset named 'turbo'"):
        ablation.run(options(crop, tmp_path), (), "turbo", Notes())
    for arguments in (["--ideas", "magic"], ["--preset", "turbo"], ["--qualities", "50"], ["--jobs", "0"]):
        status, _, err = run(capsys, "bench", "ablation", crop, "--out", tmp_path / "out", *arguments)
        assert status in (1, 2)
        assert_one_line(err, arguments[1] if arguments[0] != "--qualities" else "qualities")
    assert not (tmp_path / "out").exists()


def test_command(capsys, crop: Path, tmp_path: Path):
    out = tmp_path / "out"
    chosen = ("--ideas", "set", "--qualities", "50,70", "--preset", "fast")
    status, text, err = run(capsys, "bench", "ablation", crop, *chosen, "--out", out)
    assert status == 0, err
    assert "without set coding of positions" in text
    assert "counted" in text
    assert (out / "report.md").exists()
    assert (out / "ablation.png").exists()
    assert json.loads((out / "results.json").read_text())["benchmark"] == "ablation"
