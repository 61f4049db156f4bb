"""`-` as standard input and output, outputs without a name, many inputs: data alone goes to stdout."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import splat2d
from splat2d.cli._names import beside, refuse_twins
from splat2d.errors import ConfigError

from ..support.command import assert_one_line, run
from ..support.places import GOLDEN

RGB, CLIP = GOLDEN / "pictures" / "rgb.splat", GOLDEN / "clips" / "pan.splat"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    rows, columns = np.mgrid[:24, :32]
    Image.fromarray(np.stack([rows * 9, columns * 7, rows + columns], -1).astype(np.uint8)).save(
        tmp_path / "photo.png"
    )
    return tmp_path / "photo.png"


def piped(data: bytes, *args: object, status: int = 0) -> tuple[bytes, str]:
    """Run a command with bytes on stdin; return what it wrote, and what it said."""
    command = [sys.executable, "-m", "splat2d", *map(str, args)]
    done = subprocess.run(command, input=data, capture_output=True, timeout=120)
    assert done.returncode == status, done.stderr.decode()
    return done.stdout, done.stderr.decode()


def test_encode_from_and_to_a_pipe(photo: Path):
    out, err = piped(photo.read_bytes(), "encode", "-", "-", "--preset", "fast")
    assert out == splat2d.encode(photo, preset="fast")
    assert err.startswith(f"-: {len(out):,} bytes")
    assert piped(photo.read_bytes(), "encode", "-", "--preset", "fast")[0] == out


def test_decode_from_and_to_a_pipe():
    out, err = piped(RGB.read_bytes(), "decode", "-", "-", "--scale", "2", "--json")
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(out))), splat2d.decode(RGB.read_bytes(), scale=2)
    )
    figures = json.loads(err)
    assert (figures["input"], figures["output"], figures["width"]) == ("-", "-", 192)


def test_format_of_a_pipe():
    out, _ = piped(b"", "decode", RGB, "-", "--format", "npy")
    assert np.load(io.BytesIO(out)).dtype == np.float32
    assert Image.open(io.BytesIO(piped(b"", "decode", RGB, "-", "--format", ".webp")[0])).format == "WEBP"
    err = piped(b"", "decode", RGB, "-", "--format", "xyz", status=1)[1]
    assert_one_line(err, "standard output", ".xyz")


def test_info_and_edit_in_pipes():
    out, _ = piped(RGB.read_bytes(), "info", "-", "--json")
    assert json.loads(out)["file"] == "-"
    edited, err = piped(RGB.read_bytes(), "edit", "-", "-", "--hue", "90")
    assert edited == splat2d.open(RGB)["picture"].hue(90).scene.to_bytes()
    assert err.startswith("-: ")


def test_clips_in_pipes(tmp_path: Path):
    av = pytest.importorskip("av")
    from_pipe, _ = piped(CLIP.read_bytes(), "decode", "-", "-")
    assert from_pipe.startswith(b"YUV4MPEG2")
    assert piped(CLIP.read_bytes(), "decode", "-", tmp_path / "a.y4m")[0].startswith(b"")
    assert (tmp_path / "a.y4m").read_bytes() == from_pipe
    for name in ("mkv", "mp4"):
        data, _ = piped(b"", "decode", CLIP, "-", "--format", name)
        assert len(list(av.open(io.BytesIO(data)).decode(video=0))) == 9
    assert Image.open(io.BytesIO(piped(b"", "decode", CLIP, "-", "--time", 0.1)[0])).size == (64, 48)
    assert_one_line(piped(b"", "decode", CLIP, "-", "--format", "avi", status=1)[1], "AVI")
    back, _ = piped(from_pipe, "encode", "-", "-", "--preset", "fast", "--quality", 30)
    assert splat2d.Clip.from_bytes(back).count == 9


@pytest.mark.parametrize("path", [RGB, CLIP], ids=["picture", "clip"])
def test_a_reader_that_goes_away_is_no_traceback(path: Path):
    command = [sys.executable, "-m", "splat2d", "decode", str(path), "-", "--scale", "30"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 1
    assert "Traceback" not in said
    assert "error" not in said


@pytest.mark.parametrize(
    ("data", "part"),
    [(b"", "standard input: is empty"), (RGB.read_bytes()[:200], "standard input: truncated")],
)
def test_faults_name_standard_input_and_write_nothing(data: bytes, part: str):
    out, err = piped(data, "decode", "-", "-", status=1)
    assert out == b""
    assert_one_line(err, part)


def test_a_terminal_gets_no_data(capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    status, _, err = run(capsys, "decode", RGB, "-")
    assert status == 2
    assert_one_line(err, "terminal")


def test_output_left_out_lies_beside_the_input(capsys, photo: Path):
    status, _, err = run(capsys, "encode", photo, "--preset", "fast")
    assert (status, err) == (0, "")
    assert photo.with_suffix(".splat").read_bytes() == splat2d.encode(photo, preset="fast")
    assert run(capsys, "encode", photo, "--preset", "fast")[0] == 1  # it is kept


def test_another_suffix_warns(capsys, photo: Path, tmp_path: Path):
    status, _, err = run(capsys, "encode", photo, tmp_path / "a.spl", "--preset", "fast")
    assert status == 0
    assert err.startswith("splat2d: warning: ")
    assert "does not end in .splat" in err


def test_many_inputs_go_into_a_folder(capsys, photo: Path, tmp_path: Path):
    for name in ("b.png", "c.png"):
        Image.open(photo).save(tmp_path / name)
    inputs = [photo, tmp_path / "b.png", tmp_path / "c.png"]
    status, out, _ = run(capsys, "encode", *inputs, "--out-dir", tmp_path / "new" / "out", "--preset", "fast")
    assert status == 0
    assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == [
        "b.splat",
        "c.splat",
        "photo.splat",
    ]
    assert out.count("\n") == 3
    status, _, err = run(capsys, "encode", *inputs)
    assert status == 2
    assert_one_line(err, "--out-dir")


def test_two_inputs_of_one_name_are_refused_before_any_work(capsys, photo: Path, tmp_path: Path):
    (tmp_path / "d").mkdir()
    Image.open(photo).save(tmp_path / "d" / "photo.bmp")
    out = tmp_path / "out"
    status, _, err = run(capsys, "encode", photo, tmp_path / "d" / "photo.bmp", "--out-dir", out)
    assert status == 1
    assert_one_line(err, "photo.png", "photo.bmp", "photo.splat")
    assert not out.exists()
    with pytest.raises(ConfigError, match="rename one"):
        refuse_twins(["a.png", "A.jpg"], ["o/a.splat", "o/A.splat"])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("photo.jpg", "photo.splat"),
        ("a/b.c.png", "a/b.c.splat"),
        ("clip_%04d.png", "clip.splat"),
        ("frames/*.png", "frames/clip.splat"),
        ("noname", "noname.splat"),
    ],
)
def test_names(path: str, name: str):
    assert beside(path) == name


def test_the_name_of_a_folder_of_frames(tmp_path: Path):
    (tmp_path / "take.1").mkdir()
    assert beside(f"{tmp_path}/take.1/") == f"{tmp_path}/take.1.splat"
