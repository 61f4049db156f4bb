"""`splat2d bench clips`: real codecs on tiny clips, runs that go on, sources, known figures, tables."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from splat2d.bench import clip_codecs, clips
from splat2d.bench.clip_codecs import Coded, choose, segment_facts
from splat2d.bench.clip_peers import PEERS, encode_clip
from splat2d.bench.clip_report import bd_rate_table, clips_tables, files_table, rates_table, report, summary
from splat2d.bench.clip_sources import RECIPES, Source, find_sources, load, parse_range
from splat2d.bench.clips import Options
from splat2d.bench.codecs import Setting
from splat2d.bench.images import Observer
from splat2d.bench.results import empty_results, read_results, write_json
from splat2d.errors import ConfigError, InputClipError

from ..support.clips import moving, write_clip
from ..support.command import assert_one_line, run

pytest.importorskip("av")


def folder_of(path: Path, frames: np.ndarray) -> Path:
    """Write frames as a folder of numbered PNGs."""
    path.mkdir()
    for index, pixels in enumerate(frames):
        Image.fromarray(pixels).save(path / f"{index:03d}.png")
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Six frames of 96x64 px."""
    return folder_of(tmp_path / "waves", moving(6, 64, 96))


def options(clip: Path, tmp_path: Path, **changes: Any) -> Options:
    given: dict[str, Any] = {"codecs": ("x264-psnr", "x265-psnr"), "crfs": (30.0, 40.0), **changes}
    return Options(sources=find_sources([str(clip)]), out=tmp_path / "out", **given)


class Notes(Observer):
    def __init__(self, stop_after: int = 10**9) -> None:
        self.notes: list[str] = []
        self.rows: list[dict[str, Any]] = []
        self.stop_after = stop_after

    def row(self, name: str, row: dict[str, Any]) -> None:
        self.rows.append(row)
        if len(self.rows) == self.stop_after:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)


# Runs


def test_a_run_writes_everything_and_the_next_one_goes_on(capsys, clip: Path, tmp_path: Path):
    out = tmp_path / "out"
    command = ["bench", "clips", clip, "--presets", "fast", "--quality", "30,60", "--crf", "26", "40"]
    status, said, err = run(capsys, *command, "--out", out, "--codecs", "splat2d", "x264-psnr")
    assert (status, err) == (0, "")
    assert "splat2d fast against x264 slow psnr" in said
    assert "4 rows; see report.md and rd_psnr.png" in said
    first = read_results(out / "results.json", "clips")
    assert first is not None
    assert str(tmp_path) not in (out / "results.json").read_text()
    assert first["versions"]["av"]
    assert {"commit", "modified", "threads"} <= first["runs"][0].keys()
    frames = moving(6, 64, 96)
    for row in first["rows"]:
        file = out / row["file"]
        assert row["bytes"] == file.stat().st_size
        assert row["bpp"] == 8 * row["bytes"] / (64 * 96 * 6)
        assert row["encode_s"] > 0
        assert row["encode_cpu_s"] > 0
        assert row["decode_fps"] == pytest.approx(6 / row["decode_s"], rel=1e-3)
        assert row["ms_ssim"] is None
        assert "161" in row["missing"]["ms_ssim"]
        if row["codec"] == "splat2d-fast":
            # What stands there is what the file holds.
            from splat2d.scene.clip import Clip

            decoded = np.stack(list(Clip.open(file)))
            error = np.mean((decoded.astype(float) - frames) ** 2)
            assert row["psnr"] == pytest.approx(10 * np.log10(255**2 / error), abs=1e-4)
            assert row["splats"] == Clip.open(file).info()["splats"] > 0
            assert row["segments"] == 1
            assert "border_db" not in row
    assert {row["codec"] for row in first["rows"]} == {"splat2d-fast", "x264-psnr"}
    assert "## splat2d fast" in (out / "report.md").read_text()
    with Image.open(out / "rd_psnr.png") as image:
        assert image.width > 100

    status, _, err = run(capsys, *command, "--out", out, "--codecs", "svt-av1-6")
    assert status == 0
    assert "0 rows are there, 2 to measure" in err
    second = read_results(out / "results.json", "clips")
    assert second is not None
    assert [row for row in second["rows"] if row["codec"] != "svt-av1-6"] == first["rows"]
    assert len(second["runs"]) == 2


def test_an_interrupted_run_goes_on(clip: Path, tmp_path: Path):
    chosen = options(clip, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        clips.run(chosen, Notes(stop_after=3))
    notes = Notes()
    whole = clips.run(chosen, notes)
    assert [(row["codec"], row["setting"]) for row in notes.rows] == [("x265-psnr", "crf=40")]
    assert "3 rows are there, 1 to measure" in notes.notes[0]
    assert len(whole["rows"]) == 4
    assert {row["run"] for row in whole["rows"]} == {0, 1}


def test_rows_of_another_version_and_fresh_ones_are_measured_again(clip: Path, tmp_path: Path):
    chosen = options(clip, tmp_path)
    result = clips.run(chosen, Notes())
    result["rows"][0]["version"] = "of long ago"
    write_json(chosen.out / "results.json", result)
    notes = Notes()
    clips.run(chosen, notes)
    assert len(notes.rows) == 1
    assert "1 that are stale" in notes.notes[0]
    notes = Notes()
    after = clips.run(options(clip, tmp_path, fresh=("x265-psnr",)), notes)
    assert [row["codec"] for row in notes.rows] == ["x265-psnr"] * 2
    assert len(after["rows"]) == 4
    # Rows of clips that are not measured this time stay.
    other = folder_of(tmp_path / "other", moving(4, 64, 96))
    notes = Notes()
    both = clips.run(options(other, tmp_path, fresh=("x265-psnr", "x264-psnr")), notes)
    assert (len(notes.rows), len(both["rows"])) == (4, 8)


def test_jobs_give_the_same_files(clip: Path, tmp_path: Path):
    alone = clips.run(options(clip, tmp_path), Notes())
    beside = replace(options(clip, tmp_path, jobs=2), out=tmp_path / "jobs")
    together = clips.run(beside, Notes())
    figures = ("picture", "codec", "setting", "bytes", "psnr", "flicker")
    assert [[row[key] for key in figures] for row in together["rows"]] == [
        [row[key] for key in figures] for row in alone["rows"]
    ]
    assert "2 clips at a time" in report(together)


class Failing:
    """A codec that cannot encode at 40."""

    name, label, ours, suffix = "failing", "Failing", False, ".bin"
    family, optimises = "failing", ""

    def version(self) -> str:
        return "1"

    def unavailable(self) -> str | None:
        return None

    def settings(self, qualities, crfs):
        return tuple(Setting("crf", value) for value in crfs)

    def encode(self, frames, fps, setting):
        if setting.value == 40:
            raise ZeroDivisionError("of a\ncodec")
        return Coded(b"x" * 100, 1.0, 1.0)

    def decode(self, data, count):
        return moving(count, 64, 96)[:, :, ::-1]


def test_a_failing_codec_is_a_row_and_the_rest_goes_on(monkeypatch, clip: Path, tmp_path: Path):
    others = choose(("x264-psnr",), ())
    monkeypatch.setattr(clip_codecs, "choose", lambda names, *_: [Failing(), *others] if names else [])
    result = clips.run(options(clip, tmp_path), Notes())
    bad = [row for row in result["rows"] if "error" in row]
    assert [(row["codec"], row["setting"], row["error"]) for row in bad] == [
        ("failing", "crf=40", "ZeroDivisionError: of a codec")
    ]
    assert len(result["rows"]) == 4
    assert "ZeroDivisionError" in report(result)


def test_a_missing_package_is_said(monkeypatch, clip: Path, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "av", None)
    notes = Notes()
    chosen = options(clip, tmp_path, codecs=("splat2d", "x264-psnr"), presets=("fast",), qualities=(30.0,))
    result = clips.run(chosen, notes)
    assert [row["codec"] for row in result["rows"]] == ["splat2d-fast"]
    assert "PyAV" in result["codecs"]["x264-psnr"]["unavailable"]
    assert "x264 slow psnr is left out" in notes.notes[0]


@pytest.mark.parametrize(
    ("arguments", "status", "part"),
    [
        (["missing.mp4"], 1, "nothing to measure"),
        (["ODD"], 1, "nothing to measure"),
        (["CLIP", "--codecs", "vp9"], 1, "'vp9' is unknown"),
        (["CLIP", "--presets", "no such"], 1, "no such"),
        (["CLIP", "--frames", "9:3"], 1, "A below B"),
        (["CLIP", "--frames", "4"], 1, "A:B"),
        (["CLIP", "--frames", "2:9"], 1, "nothing to measure"),
        (["CLIP", "--fps", "0"], 1, "fps is 0"),
        (["bunny-360p", "--data", "nowhere"], 1, "--data DIR"),
        (["CLIP", "--quality", "0"], 2, "1 to 100"),
        (["CLIP", "--quality", "30.5"], 2, "no whole number"),
        (["CLIP", "--crf", "99"], 2, "0 to 63"),
        (["CLIP", "--reduce", "0"], 2, "--reduce"),
        (["CLIP", "--jobs", "0"], 2, "--jobs"),
        ([], 2, "needs clips"),
    ],
)
def test_faults_are_one_line(capsys, clip: Path, tmp_path: Path, arguments, status: int, part: str):
    odd = folder_of(tmp_path / "odd", moving(2, 33, 32))
    given = [{"CLIP": clip, "ODD": odd}.get(word, word) for word in arguments]
    found, _, err = run(capsys, "bench", "clips", *given, "--out", tmp_path / "out")
    assert found == status
    *notes, last = err.splitlines(keepends=True)
    assert_one_line(last, part)
    assert all(note.startswith("splat2d: left out: ") or "left out: " in note for note in notes)


def test_results_of_pictures_are_kept(clip: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    write_json(tmp_path / "out" / "results.json", empty_results())
    with pytest.raises(ConfigError, match="no result of splat2d bench clips"):
        clips.run(options(clip, tmp_path), Notes())


def test_files_of_peers_do_not_depend_on_chance_or_threads():
    frames = moving(8, 144, 176)
    for codec in PEERS:
        sizes = {len(encode_clip(codec, frames, 25, 30, threads=threads).data) for threads in (1, 1, 1, 2, 2)}
        assert len(sizes) == 1, (codec, sizes)


# Sources


def test_a_recipe_takes_its_frames_reduced(tmp_path: Path):
    (source,) = find_sources(["bunny-360p"], data=_with_files(tmp_path), frames=(2, 5), reduce=3)
    assert (source.first, source.count, source.reduce, source.matrix) == (42, 3, 6, "bt601")
    assert source.path == tmp_path / "data" / "bigbuckbunny.mp4"
    assert source.described() == "frames 42 to 44 of bigbuckbunny.mp4, reduced by 6, matrix bt601"
    with pytest.raises(ConfigError, match="no frames from 10 to 10"):
        find_sources(["park-joy"], data=tmp_path / "data", frames=(10, None))
    for recipe in RECIPES.values():
        assert len(set(recipe.qualities)) == 4
        assert list(recipe.qualities) == sorted(recipe.qualities)


def _with_files(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    for recipe in RECIPES.values():
        (data / recipe.path).touch()
    return data


def test_frames_are_those_of_the_range_halved(tmp_path: Path):
    frames = moving(6, 64, 96)
    path = folder_of(tmp_path / "waves", frames)
    whole = load(Source("waves", path, fps=Fraction(50)))
    assert whole.fps == 50
    np.testing.assert_array_equal(whole.frames, frames)
    part = load(Source("waves", path, first=2, count=3, reduce=2))
    assert part.frames.shape == (3, 32, 48, 3)
    for index in range(3):
        expected = Image.fromarray(frames[2 + index]).resize((48, 32), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(part.frames[index], np.asarray(expected))
    cropped = Source("waves", path, crop=(10, 4, 80, 48), reduce=2)
    assert cropped.described() == "frames 0 on of waves, 80x48 px of them from 10, 4 on, reduced by 2"
    for frame, pixels in zip(frames, load(cropped).frames, strict=True):
        box = Image.fromarray(frame[4:52, 10:90])
        np.testing.assert_array_equal(pixels, np.asarray(box.resize((40, 24), Image.Resampling.LANCZOS)))
    with pytest.raises(InputClipError, match="96x64 px, but 90x64 px from 10, 0 on"):
        load(Source("waves", path, crop=(10, 0, 90, 64)))
    with pytest.raises(InputClipError, match="has 2 frames from frame 4 on, expected 3"):
        load(Source("waves", path, first=4, count=3))


def test_a_long_clip_is_refused(monkeypatch, clip: Path):
    from splat2d.bench import clip_sources

    monkeypatch.setattr(clip_sources, "MAX_SAMPLES", 3 * 64 * 96 * 5)
    for count in (None, 6):
        with pytest.raises(InputClipError, match="5 frames at most"):
            load(Source("waves", clip, count=count))
    assert len(load(Source("waves", clip, count=5)).frames) == 5


def test_the_matrix_of_an_untagged_video_is_the_one_asked_for(tmp_path: Path):
    frames = np.zeros((2, 48, 64, 3), np.uint8)
    frames[..., 0] = 200
    path = write_clip(tmp_path / "red.mkv", frames)
    means = [load(Source("red", path, matrix=matrix)).frames[..., 0].mean() for matrix in ("bt601", "bt709")]
    assert means[0] == pytest.approx(200, abs=3)
    assert abs(means[1] - means[0]) > 5


def test_ranges():
    assert parse_range(":") == (0, None)
    assert parse_range("40:104") == (40, 104)
    assert parse_range("8:") == (8, None)
    assert parse_range(":8") == (0, 8)


# Figures


def test_borders_are_beside_the_first_frames_of_segments():
    import splat2d

    # A cut between shots begins a segment.
    frames = np.concatenate([moving(3, 32, 48), 255 - moving(4, 32, 48)])
    data = splat2d.encode(frames, fps=25, quality=20, preset="fast", threads=1)
    splats, firsts = segment_facts(data)
    assert splats > 0
    assert firsts == [3]
    x_hat = frames.copy()
    x_hat[[0, 1, 4, 5, 6]] ^= 1  # an error of 1 level
    x_hat[2] ^= 2
    x_hat[3] ^= 4
    facts = clips._splat_facts(data, frames, x_hat)
    levels = -20 * np.log10([1, 1, 2, 4, 1, 1, 1])
    assert facts["segments"] == 2
    assert facts["border_db"] == pytest.approx(levels[2:4].mean() - levels.mean(), abs=1e-3)
    assert facts["border_worst_db"] == pytest.approx(levels[3] - levels.mean(), abs=1e-3)


def test_ms_ssim_is_that_of_pytorch_msssim(samples: Path):
    pytest.importorskip("pytorch_msssim")
    from splat2d.bench.metrics import ms_ssim as reference
    from splat2d.bench.ms_ssim import ms_ssim

    rng = np.random.default_rng(0)
    for name, (height, width) in (("coffee", (161, 190)), ("chelsea", (222, 177))):
        x = np.asarray(Image.open(samples / f"{name}.png").convert("RGB"))[:height, :width]
        for noise in (2, 40):
            x_hat = np.clip(x + rng.normal(0, noise, x.shape), 0, 255).astype(np.uint8)
            assert ms_ssim(x, x_hat) == pytest.approx(reference(x, x_hat), abs=3e-6)
        assert ms_ssim(x, 255 - x) == pytest.approx(reference(x, 255 - x), abs=3e-6)
    assert ms_ssim(x, x) == 1


def made(shift: float = 0.0) -> dict[str, Any]:
    """A result with one clip in which splat2d takes half of x264's bits, and none of whose PSNR x265 has."""
    facts = {"version": "1", "unavailable": None}
    result = empty_results("clips")
    result |= {
        "codecs": {
            "splat2d-default": {"label": "splat2d default", "ours": True, **facts},
            "x264": {"label": "x264 medium", "ours": False, **facts},
            "x265": {"label": "x265 medium", "ours": False, **facts},
        },
        "pictures": {"d": {"name": "waves", "width": 96, "height": 64, "frames": 6, "fps": 25.0}},
        "runs": [
            {
                "date": "2026-01-02T03:04",
                "commit": "0123",
                "modified": False,
                "jobs": 1,
                "threads": 2,
                "repeats": 1,
            }
        ],
        "machine": {"cpu": "a CPU", "cores": 2, "vectors": "avx2", "memory_gib": 8, "os": "an OS"},
        "versions": {"splat2d": "0.1.0", "av": "18.0"},
    }
    for codec, factor, lift in (("splat2d-default", 0.5, shift), ("x264", 1, 0), ("x265", 1, 20)):
        for step in range(4):
            bpp = factor * 0.02 * 2**step
            row = {"run": 0, "picture": "d", "codec": codec, "version": "1", "setting": f"crf={step}"}
            row |= {"bytes": 1000 * 2**step, "bpp": bpp, "psnr": 30 + 3 * step + lift, "ms_ssim": None}
            row |= {
                "flicker": 1.5,
                "encode_s": 12.0,
                "encode_cpu_s": 18.0,
                "decode_s": 0.5,
                "decode_fps": 12.0,
            }
            if codec == "splat2d-default":
                row |= {"setting": f"quality={10 + step}", "splats": 1234, "segments": 2, "border_db": -0.25}
            result["rows"].append(row)
    result["summary"] = summary(result)
    return result


def test_bd_rates_are_by_clip_and_ranges_without_overlap_are_said():
    result = made()
    found = result["summary"]["bd_rate"]["splat2d-default"]
    assert found["x264"]["psnr"] == {"mean": -50.0, "clips": {"waves": {"percent": -50.0, "overlap": 1.0}}}
    assert found["x265"]["psnr"]["clips"]["waves"] == {"percent": None, "overlap": 0.0}
    table = bd_rate_table(result, "splat2d-default")
    assert "| waves | -50.0% | nothing common: 30.0 to 39.0 dB, 50.0 to 59.0 dB |" in table
    # 6 of the 9 dB are common; there a shift of 3 dB is one more halving.
    table = bd_rate_table(made(3.0), "splat2d-default")
    assert "| waves | -75.0% (over 67%) |" in table


def test_two_results_of_clips_compare(capsys, tmp_path: Path):
    write_json(tmp_path / "a.json", made())
    write_json(tmp_path / "b.json", made(3.0))
    write_json(tmp_path / "images.json", empty_results())
    status, out, _ = run(capsys, "bench", "compare", tmp_path / "a.json", tmp_path / "b.json")
    assert status == 0
    assert "| splat2d default | psnr | -50.00% |" in out
    assert "| x264 medium | psnr | +0.00% |" in out
    status, _, err = run(capsys, "bench", "compare", tmp_path / "a.json", tmp_path / "images.json")
    assert status == 1
    assert_one_line(err, "no result of splat2d bench clips")


def test_tables_say_what_was_measured():
    result = made()
    assert "| waves | 0.04 | 36.00 | 33.00 | 53.00 |" in rates_table(result)
    assert "| waves | 0.15 |  | 38.72 | 58.72 |" in rates_table(result)
    line = "| waves | quality 10 | 1,000 | 0.0100 | 30.00 |  | 1.50 | 1,234 | -0.25 | 2.00 s | 3.00 s | 12 |"
    assert line in files_table(result, ("splat2d-default",))
    assert "| waves | x264 medium | crf 0 |" in files_table(result)
    text = clips_tables(result, "splat2d-default")
    assert "waves (96x64, 6 frames)" in text
    assert "PyAV 18.0" in text
    only_peers = {**result, "rows": [row for row in result["rows"] if row["codec"] != "splat2d-default"]}
    del only_peers["codecs"]["splat2d-default"]
    only_peers["summary"] = summary(only_peers)
    assert "BD-rate" not in clips_tables(only_peers, "splat2d-default")
    assert json.dumps(only_peers["summary"])
