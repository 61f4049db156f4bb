"""The commands on clips, as a user types them."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import splat2d
from splat2d.format.container import parse
from splat2d.format.sections import Source

from ..support.clips import PRESET
from ..support.scenes_in_time import moving_scene


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Frames as images, a preset, and the clip of them."""
    path = tmp_path_factory.mktemp("clip")
    for i, frame in enumerate(moving_scene(14, pan=(1.0, 0.0))):
        Image.fromarray(frame).save(path / f"in_{i:03d}.png")
    (path / "quick.yaml").write_text(PRESET)
    return path


def run(folder, *words, status=0):
    done = subprocess.run(
        [sys.executable, "-m", "splat2d", *map(str, words)], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == status, done.stderr
    return done


def encode(folder, *words, **options):
    return run(folder, "encode", "in_%03d.png", *words, "--preset", "quick.yaml", "--quality", 50, **options)


@pytest.fixture(scope="module")
def clip(folder):
    figures = json.loads(encode(folder, "clip.splat", "--json", "--fps", "12.5").stdout)
    assert (figures["frames"], figures["fps"], figures["width"]) == (14, 12.5, 96)
    assert figures["size"] == (folder / "clip.splat").stat().st_size
    return folder / "clip.splat"


def test_there_and_back(folder, clip):
    assert not (folder / "clip.splat.part").exists()
    run(folder, "decode", clip, "out_%04d.png")
    first = np.asarray(Image.open(folder / "out_0001.png"))
    np.testing.assert_array_equal(first, splat2d.open(clip).render(frame=0))
    assert len(list(folder.glob("out_*.png"))) == 14
    assert np.abs(first.astype(int) - np.asarray(Image.open(folder / "in_000.png"))).mean() < 4


def test_moment_rate_and_window(folder, clip):
    run(folder, "decode", clip, "moment.png", "--time", 0.3, "--scale", 2)
    with Image.open(folder / "moment.png") as moment:
        assert moment.size == (192, 128)
    run(folder, "decode", clip, "more/", "--fps", 25, "--crop", "8,8,40,30")
    assert len(list((folder / "more").iterdir())) == 28
    run(folder, "decode", clip, "small.gif", "--width", 48)
    with Image.open(folder / "small.gif") as small:
        assert small.n_frames == 14


def test_targets(folder):
    run(folder, "encode", "in_%03d.png", "small.splat", "--preset", "quick.yaml", "--size", 4000)
    assert 0.8 * 4000 < (folder / "small.splat").stat().st_size <= 4000
    run(folder, "encode", "in_%03d.png", "bad.splat", "--preset", "quick.yaml", "--size", 90, status=1)
    assert not (folder / "bad.splat").exists()


def test_info(folder, clip):
    figures = json.loads(run(folder, "info", clip, "--json").stdout)
    assert (figures["frames"], figures["segments"], figures["duration"]) == (14, 3, 1.12)
    assert "velocity" in figures["bits_per_splat"]
    assert "frames" in run(folder, "info", clip).stdout


def test_verbs_of_pictures_are_those_of_clips(folder, clip):
    run(folder, "info", clip, "--plot", "outlines.png")
    table = run(folder, "layers", clip).stdout
    assert "picture" in table
    assert "moving" in table
    run(folder, "edit", clip, "edited.splat", "--saturation", 0, "--rotate", 5)
    run(folder, "decode", "edited.splat", "edited.png", "--time", 0.2)
    with Image.open(folder / "edited.png") as picture:
        pixels = np.asarray(picture).astype(int)
    assert np.ptp(pixels[20:40, 20:40], axis=2).max() <= 1
    assert "layers picture" in run(folder, "merge", clip, clip, "two.splat", "--name", "again").stdout
    assert json.loads(run(folder, "info", "two.splat", "--json").stdout)["layers"] == ["picture", "again"]
    run(folder, "extract", "two.splat", "one.splat", "--group", "again")
    assert json.loads(run(folder, "info", "one.splat", "--json").stdout)["frames"] == 14


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("decode", "clip.splat", "one.png"), 2, "give a --time, or a pattern such as one_%04d.png"),
        (("decode", "clip.splat", "one.png", "--time", "9"), 1, "expected 0 to 1.12"),
        (("decode", "clip.splat", "x.png", "--time", "1", "--fps", "3"), 2, "exclude each other"),
        (("decode", "clip.splat", "y/", "--fps", "-3"), 1, "fps is -3"),
        (("edit", "clip.splat", "e.splat", "--group", "bike", "--blur", "1"), 1, "no group is called 'bike'"),
        (("extract", "clip.splat", "e.splat", "--group", "bike"), 1, "no group is called 'bike'"),
        (("group", "clip.splat", "e.splat", "--name", "a", "--box", "0,0,9,9"), 2, "this is a clip"),
        (("encode", "in_%03d.png", "x.splat", "--bpp", "1", "--psnr", "3"), 1, "contradict each other"),
        (("encode", "none_%03d.png", "x.splat"), 1, "matches no file"),
        (("encode", "in_000.png", "x.splat", "--jobs", "2"), 2, "this is a picture"),
        (("encode", "in_%03d.png", "clip.splat"), 1, "exists already"),
    ],
)
def test_faults_are_one_line(folder, clip, words, status, message):
    before = sorted(folder.iterdir())
    done = run(folder, *words, status=status)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def test_still_picture_as_a_clip(folder):
    run(folder, "encode", "in_000.png", "still.splat", "--fps", 1, "--preset", "quick.yaml")
    assert splat2d.open(folder / "still.splat").count == 1


def test_interrupted_encode_is_resumed(folder, clip):
    words = [
        sys.executable,
        "-m",
        "splat2d",
        "encode",
        "in_%03d.png",
        "again.splat",
        "--preset",
        "quick.yaml",
    ]
    words += ["--preset", "quick.yaml", "--quality", "50", "--fps", "12.5"]
    part = folder / "again.splat.part"
    begun = subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, text=True)
    while begun.poll() is None and not finished_segments(part):
        time.sleep(0.01)
    begun.send_signal(signal.SIGINT)
    _, complaint = begun.communicate(timeout=60)
    if begun.returncode == 0:
        pytest.skip("it was done before it could be interrupted")
    assert begun.returncode == 130
    assert "--resume goes on" in complaint
    assert part.exists()
    assert not (folder / "again.splat").exists()
    refused = run(folder, *words[3:], status=1)
    assert "an interrupted encode left it" in refused.stderr
    run(folder, *words[3:], "--resume")
    assert not part.exists()
    assert (folder / "again.splat").read_bytes() == clip.read_bytes()


def finished_segments(part: Path) -> int:
    try:
        with part.open("rb") as file:
            return len(parse(Source(file), forgive=True).places)
    except (OSError, splat2d.Splat2dError):
        return 0


def test_skip_damaged(folder, clip):
    data = bytearray(clip.read_bytes())
    with clip.open("rb") as file:
        place = parse(Source(file)).places[1].section
    data[place.at + place.size // 2] ^= 8
    (folder / "damaged.splat").write_bytes(data)
    fault = run(folder, "decode", "damaged.splat", "bad_%02d.png", status=1).stderr
    assert "segment 1" in fault
    assert "--skip-damaged" in fault
    assert not list(folder.glob("bad_*"))
    done = run(folder, "decode", "damaged.splat", "bad_%02d.png", "--skip-damaged")
    assert "segment 1" in done.stderr
    assert len(list(folder.glob("bad_*"))) == 14
