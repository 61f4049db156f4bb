"""What callers give by mistake: one clear error of ours, from Python and from the shell."""

import io
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import splat2d
from splat2d.errors import BitstreamError, ConfigError, InputImageError, OutputError, Splat2dError
from splat2d.format.container import Container, write
from splat2d.format.sections import EDITS, section, zigzag
from splat2d.media.pictures import save_picture
from splat2d.media.reader import parse_fps
from splat2d.scene.picture import Scene

from ..support.clips import write_clip

ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": ""}
PIXELS = np.zeros((16, 16, 3), np.uint8)
PIXELS[4:8] = 200
NAN, HUGE = float("nan"), 10**400


def encode(**options):
    return splat2d.encode(PIXELS, preset="fast", **{"quality": 30, "threads": 1, **options})


@pytest.fixture(scope="module")
def data():
    return encode()


@pytest.mark.parametrize("quality", [30.0, np.float64(30), np.int64(30), np.float32(30)])
def test_any_type_of_number_is_a_quality(quality, data):
    assert encode(quality=quality) == data


@pytest.mark.parametrize(
    "options",
    [
        *[{"quality": value} for value in (50.5, NAN, math.inf, "50", 0, 101, True, HUGE)],
        *[{"quality": None, "size": value} for value in (NAN, math.inf, "500", 0.5, 0, -3, HUGE)],
        *[{"quality": None, "psnr": value} for value in (NAN, "30", 0, 91, HUGE)],
        *[{"quality": None, "bpp": value} for value in (NAN, "1", 0, 65, 1e-9, HUGE)],
        *[{"threads": value} for value in (1.5, "x", 0, NAN)],
        *[{"seed": value} for value in (-1, HUGE, 1.5, "x")],
        {"jobs": 0},
        {"jobs": "x"},
        {"masks": 5},
        {"masks": {5: np.eye(16)}},
    ],
    ids=lambda options: str(options)[:40],
)
def test_bad_options_of_encode(options):
    with pytest.raises(Splat2dError) as caught:
        encode(**options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "options",
    [
        *[{"crop": value} for value in ((0, 0), (0, 0, NAN, 3), "abcd", 5, (0, 0, HUGE, 1))],
        *[{"tiers": value} for value in (1.5, 0, 7, "2", NAN)],
        *[{"scale": value} for value in (NAN, 0, -1, "2", HUGE)],
        *[{"width": value} for value in (2.5, 0, "3")],
        *[{"threads": value} for value in (0, 1.5, "x")],
        {"device": "tpu"},
        {"dtype": "int8"},
    ],
    ids=lambda options: str(options)[:40],
)
def test_bad_options_of_decode(options, data):
    with pytest.raises(Splat2dError) as caught:
        splat2d.decode(data, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", [None, 10**12, "abc", 1.5, ["x"]])
def test_what_is_no_file_is_refused_without_allocating(source):
    with pytest.raises(ConfigError, match="is of type"):
        splat2d.decode(source)
    if not isinstance(source, str):
        with pytest.raises(ConfigError, match="is of type"):
            splat2d.open(source)


def test_bytes_and_open_files_are_encoded(data, tmp_path):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    (tmp_path / "a.png").write_bytes(file.getvalue())
    options = {"preset": "fast", "quality": 30, "threads": 1}
    file.seek(0)
    with open(tmp_path / "a.png", "rb") as opened:
        for source in (file.getvalue(), bytearray(file.getvalue()), file, opened):
            assert splat2d.encode(source, **options) == data
    with pytest.raises(InputImageError):
        splat2d.encode(b"nonsense", **options)
    with pytest.raises(InputImageError, match="open for text"):
        splat2d.encode(io.StringIO("a.png"), **options)


@pytest.mark.parametrize("suffix", ["gif", "mp4"])
def test_bytes_and_open_files_of_a_clip_are_encoded_whole(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    frames = [np.roll(PIXELS, shift, 0) for shift in range(3)]
    if suffix == "gif":
        first, *others = map(Image.fromarray, frames)
        first.save(path, save_all=True, append_images=others, duration=100)
    else:
        pytest.importorskip("av")
        write_clip(path, frames)
    options = {"preset": "fast", "quality": 30, "threads": 1}
    data = splat2d.encode(path, **options)
    assert splat2d.Clip.from_bytes(data).count == 3
    with open(path, "rb") as opened:
        assert splat2d.encode(path.read_bytes(), **options) == data
        assert splat2d.encode(opened, **options) == data
    assert splat2d.encode(memoryview(path.read_bytes()), fps=5, **options) != data
    with pytest.raises(Splat2dError) as caught:
        splat2d.encode(path.read_bytes()[:-300], **options)
    assert "/tmp" not in str(caught.value)


@pytest.mark.parametrize("limit", [-1, "x", 1.5, None, True])
def test_limits_are_whole_numbers(limit, data):
    with pytest.raises(ConfigError, match="max_pixels is"):
        splat2d.Limits(max_pixels=limit)
    with pytest.raises(ConfigError, match="limits is of type"):
        splat2d.decode(data, limits=5)


@pytest.mark.parametrize(
    "entry",
    [
        {"tint": []},
        {"tint": ["#112233", HUGE]},
        {"move": [HUGE, 0]},
        {"move": {}},
        {"rotate": 5, "about": [HUGE, 1]},
        {"rotate": 5, "about": [1]},
        {"scale": [1, 2, 3]},
        {"hide": 1},
    ],
    ids=lambda entry: str(entry)[:30],
)
def test_bad_edits(entry, data):
    with pytest.raises(ConfigError):
        Scene.from_bytes(data).edited([{"group": "picture", **entry}])


def test_steps_that_are_not_there_are_not_undone(data):
    for count in (-1, 1):
        with pytest.raises(ConfigError, match="cannot undo"):
            Scene.from_bytes(data).undo(count)


@pytest.mark.parametrize(
    "operation",
    [
        b"\x88\x00" + zigzag(20_000),  # opacity 2
        b"\x83\x00" + zigzag(0) * 4,  # scaled by nothing
        b"\x81\x07" + zigzag(1) * 2,  # a layer that is not there
        b"\x82\x00" + zigzag(10**10) * 3,
        b"\x98\x00\x01\x00",  # a name of a control character
    ],
)
def test_edits_of_a_file_that_are_out_of_range_are_its_damage(operation, data):
    told = write(Container(**vars(Scene.from_bytes(data).document.container)))
    with pytest.raises(BitstreamError):
        splat2d.decode(told + section(EDITS, operation))


@pytest.mark.parametrize(
    "fps", [NAN, "1e999999999", "-1e999999999", "1e-999999999", "inf", "x", object(), 0, -3]
)
def test_bad_rates(fps):
    with pytest.raises(ConfigError, match="fps is"):
        parse_fps(fps)


def test_a_full_disk_is_not_the_formats_fault(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OutputError, match=r"a\.webp: cannot be written \(No space left on device\)$"):
        save_picture(PIXELS, tmp_path / "a.webp")


# The shell.


def shell(folder: Path, line: str, **environment: str) -> subprocess.CompletedProcess:
    command = f'"{sys.executable}" -m splat2d {line}'
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, **environment},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("shell")
    renamed = Scene.from_bytes(data).edited([{"group": "picture", "rename": "größe \U0001f469"}])
    renamed.save(path / "a.splat")
    (path / "deep.yaml").write_text("[" * 20000)
    (path / "long.yaml").write_text("- {group: picture, move: [" + "9" * 5000 + ", 0]}")
    (path / "digits.yaml").write_text("- {group: größe, move: [" + "9" * 400 + ", 0]}")
    return path


@pytest.mark.parametrize("words", ["info a.splat", "layers a.splat", "--version", "--help", "info --help"])
@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_a_closed_stdout(folder, words, closed):
    done = shell(folder, f"{words} {closed}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("words", ["decode a.splat - --format png", "edit a.splat - --blur 1"])
def test_data_for_a_closed_stdout_is_an_error(folder, words):
    done = shell(folder, f"{words} >&-")
    assert done.returncode == 1
    assert done.stderr == "splat2d: error: standard output is closed; redirect it, or give a file\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
@pytest.mark.parametrize("words", ["info a.splat", "decode a.splat - --format png", "--help"])
def test_a_full_disk_behind_stdout_is_one_line(folder, words):
    done = shell(folder, f"{words} > /dev/full")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "splat2d: error: output: No space left on device"


@pytest.mark.parametrize("words", ["layers a.splat", "info a.splat --json"])
def test_names_on_a_terminal_of_ascii(folder, words):
    done = shell(folder, words, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert "Traceback" not in done.stderr
    if done.returncode == 0:
        assert r"gr\xf6\xdfe" in done.stdout


@pytest.mark.parametrize("name", ["deep", "long", "digits"])
def test_scripts_too_deep_or_long(folder, name):
    for words in (f"edit a.splat b.splat --script {name}.yaml", f"encode x.png b.splat --preset {name}.yaml"):
        done = shell(folder, words)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert len(done.stderr) < 300
