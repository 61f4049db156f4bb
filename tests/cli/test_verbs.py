"""The command line: what each verb writes and says, and what happens when somebody interferes."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from splat2d import cli
from splat2d.errors import TargetError
from splat2d.format.container import read, write
from splat2d.native.backend import Backend

from ..support.command import assert_one_line, needs, run

WIDTH, HEIGHT = 48, 32

# As users have it: what cannot be written shows only when the interpreter flushes.
BUFFERED = {**os.environ, "PYTHONUNBUFFERED": ""}


@dataclass
class FakeEncoded:
    """What encode_picture returns, without the seconds of a fit."""

    data: bytes = b"\xc2SPL" + bytes(96)
    psnr: float = 31.25
    seconds: float = 1.5
    splats: int = 1234
    step: float = 0.25
    quality: int | None = None
    device: str = "cpu"
    warnings: tuple[str, ...] = ()


@dataclass
class FakeProgress:
    """One report of a fit."""

    fraction: float = 0.5
    psnr: float = 30.0
    estimated_bytes: int = 12345
    splats: int = 678


@pytest.fixture
def fitter(monkeypatch) -> dict[str, Any]:
    """Replace the fitter by one that keeps its arguments, and returns or raises `outcome`."""
    calls: dict[str, Any] = {"outcome": FakeEncoded()}

    def encode_picture(picture, *, progress=None, **options):
        calls.update(picture=picture, progress=progress, options=options)
        if progress is not None:
            progress(FakeProgress())
        if isinstance(calls["outcome"], BaseException):
            raise calls["outcome"]
        return calls["outcome"]

    module = ModuleType("splat2d.fit.encode")
    module.encode_picture = encode_picture  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "splat2d.fit.encode", module)
    return calls


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def splat(tmp_path: Path, small_splat: bytes) -> Path:
    path = tmp_path / "small.splat"
    path.write_bytes(small_splat)
    return path


# Encode


def test_encode_writes_the_file_and_one_line(capsys, fitter, photo: Path, tmp_path: Path):
    output = tmp_path / "photo.splat"
    status, out, err = run(capsys, "encode", photo, output)
    assert (status, err) == (0, "")
    assert output.read_bytes() == fitter["outcome"].data
    bpp = 8 * 100 / (WIDTH * HEIGHT)
    assert out == f"{output}: 100 bytes, {bpp:.4f} bpp, 1,234 splats, 31.25 dB, 1.50 s\n"
    assert fitter["picture"].pixels.shape == (3, HEIGHT, WIDTH)
    assert fitter["progress"] is None  # stderr is no terminal here


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {}),
        (["--quality", "40"], {"quality": 40}),
        (["--psnr", "33.5"], {"psnr": 33.5}),
        (["--bpp=0.2"], {"bpp": 0.2}),
        (["--size", "20k"], {"size": 20000}),
        (
            ["--preset", "best", "--tune", "ms-ssim", "--seed", "7", "--threads", "2"],
            {"preset": "best", "tune": "ms-ssim", "seed": 7, "backend": Backend(2)},
        ),
        (["--device", "auto"], {"backend": Backend(device="auto")}),
    ],
)
def test_encode_passes_its_options_on(capsys, fitter, photo: Path, tmp_path: Path, arguments, expected):
    assert run(capsys, "encode", photo, tmp_path / "o.splat", *arguments)[0] == 0
    plain = {"quality": None, "psnr": None, "bpp": None, "size": None, "tune": None}
    assert fitter["options"] == {
        **plain,
        "preset": "default",
        "seed": 0,
        "backend": Backend(),
        "masks": None,
        "texture": 0.0,
        **expected,
    }


def test_encode_json_has_all_figures(capsys, fitter, photo: Path, tmp_path: Path):
    fitter["outcome"] = FakeEncoded(psnr=float("inf"), quality=50)
    status, out, err = run(capsys, "encode", photo, tmp_path / "o.splat", "--json")
    assert (status, err) == (0, "")
    assert out.count("\n") == 1
    figures = json.loads(out)
    assert figures["psnr"] is None  # JSON knows no infinity
    assert (figures["size"], figures["width"], figures["height"], figures["channels"]) == (100, 48, 32, 3)
    assert figures["bpp"] == 8 * 100 / (WIDTH * HEIGHT)
    assert (figures["quality"], figures["splats"], figures["seconds"]) == (50, 1234, 1.5)


def test_encode_warns_on_stderr_in_one_line(capsys, fitter, tmp_path: Path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "pages.tiff", save_all=True, append_images=frames[1:])
    status, out, err = run(capsys, "encode", tmp_path / "pages.tiff", tmp_path / "o.splat", "--json")
    assert status == 0
    assert err.startswith("splat2d: warning: ")
    assert err.count("\n") == 1
    assert json.loads(out)["warnings"]


def test_encode_keeps_an_existing_output_and_does_not_fit(capsys, fitter, photo: Path, tmp_path: Path):
    output = tmp_path / "o.splat"
    output.write_bytes(b"old")
    status, out, err = run(capsys, "encode", photo, output)
    assert (status, out) == (1, "")
    assert_one_line(err, "o.splat", "--force")
    assert "picture" not in fitter
    assert output.read_bytes() == b"old"
    assert run(capsys, "encode", photo, output, "--force")[0] == 0
    assert output.read_bytes() == fitter["outcome"].data


def test_unreachable_target_is_one_line(capsys, fitter, photo: Path, tmp_path: Path):
    fitter["outcome"] = TargetError("60 dB\ncannot be reached; the nearest is 41.2 dB")
    status, _, err = run(capsys, "encode", photo, tmp_path / "o.splat", "--psnr", "60")
    assert status == 1
    assert err == "splat2d: error: 60 dB cannot be reached; the nearest is 41.2 dB\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.png"]


def test_interrupted_fit_leaves_nothing(capsys, fitter, photo: Path, tmp_path: Path):
    fitter["outcome"] = KeyboardInterrupt()
    assert run(capsys, "encode", photo, tmp_path / "o.splat") == (130, "", "splat2d: interrupted\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.png"]


def test_no_memory_is_one_line(capsys, fitter, photo: Path, tmp_path: Path):
    fitter["outcome"] = MemoryError()
    status, _, err = run(capsys, "encode", photo, tmp_path / "o.splat")
    assert status == 1
    assert_one_line(err, "memory")


def test_a_bug_is_no_users_fault(capsys, fitter, photo: Path, tmp_path: Path):
    fitter["outcome"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        run(capsys, "encode", photo, tmp_path / "o.splat")


def test_progress_is_drawn_on_a_terminal(monkeypatch, fitter, photo: Path, tmp_path: Path):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", terminal)
    assert cli.main(["encode", str(photo), str(tmp_path / "o.splat")]) == 0
    assert "30.00 dB" in terminal.getvalue()
    assert "12,345 bytes" in terminal.getvalue()


# Decode


def test_decode_writes_the_picture_and_one_line(capsys, splat: Path, tmp_path: Path):
    status, out, err = run(capsys, "decode", splat, tmp_path / "o.png")
    assert (status, err) == (0, "")
    assert out.startswith(f"{tmp_path / 'o.png'}: 48x32, 40 splats, ")
    with Image.open(tmp_path / "o.png") as image:
        assert (image.size, image.mode) == ((WIDTH, HEIGHT), "RGB")
        assert np.ptp(np.asarray(image)) > 50  # a picture, not one colour


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        (["--scale", "2"], (96, 64)),
        (["--scale", "0.5"], (24, 16)),
        (["--width", "96"], (96, 64)),
        (["--height", "16"], (24, 16)),
        (["--crop", "4,2,10,20"], (10, 20)),
        (["--crop", "4,2,10,20", "--scale", "3"], (30, 60)),
    ],
)
def test_decode_at_any_size(capsys, splat: Path, tmp_path: Path, arguments, size):
    assert run(capsys, "decode", splat, tmp_path / "o.png", *arguments)[0] == 0
    with Image.open(tmp_path / "o.png") as image:
        assert image.size == size


def test_decode_to_floats(capsys, splat: Path, tmp_path: Path):
    status, out, _ = run(capsys, "decode", splat, tmp_path / "o.npy", "--json")
    assert status == 0
    pixels = np.load(tmp_path / "o.npy")
    assert (pixels.dtype, pixels.shape) == (np.float32, (HEIGHT, WIDTH, 3))
    figures = json.loads(out)
    assert (figures["width"], figures["height"], figures["channels"], figures["splats"]) == (48, 32, 3, 40)


def test_decode_a_prefix_of_the_tiers(capsys, splat: Path, tmp_path: Path):
    # All splats of this file are in the third tier.
    for tiers, count in ((2, 0), (3, 40)):
        status, out, _ = run(
            capsys, "decode", splat, tmp_path / "o.npy", "--tiers", str(tiers), "--json", "--force"
        )
        assert status == 0
        assert json.loads(out)["splats"] == count
    status, _, err = run(capsys, "decode", splat, tmp_path / "p.png", "--tiers", "99")
    assert status == 1
    assert_one_line(err, "tiers", "99")


def test_decode_is_the_same_with_any_number_of_threads(capsys, splat: Path, tmp_path: Path):
    for threads in ("1", "3"):
        path = tmp_path / f"{threads}.npy"
        assert run(capsys, "decode", splat, path, "--threads", threads)[0] == 0
    assert (tmp_path / "1.npy").read_bytes() == (tmp_path / "3.npy").read_bytes()


def test_decode_keeps_an_existing_output(capsys, splat: Path, tmp_path: Path):
    output = tmp_path / "o.png"
    output.write_bytes(b"old")
    status, _, err = run(capsys, "decode", splat, output)
    assert status == 1
    assert_one_line(err, "o.png", "--force")
    assert output.read_bytes() == b"old"
    assert run(capsys, "decode", splat, output, "--force")[0] == 0
    assert output.read_bytes() != b"old"


@pytest.mark.parametrize("name", ["o.xyz", "o", "missing/o.png"])
def test_decode_refuses_an_impossible_output(capsys, splat: Path, tmp_path: Path, name: str):
    status, _, err = run(capsys, "decode", splat, tmp_path / name)
    assert status == 1
    assert_one_line(err, str(tmp_path / name))


@pytest.mark.parametrize("verb", ["decode", "info"])
@pytest.mark.parametrize(
    ("content", "part"),
    [(None, "no such file"), (b"", "empty"), (b"hello", "not a .splat"), (b"ply\nformat", "ply")],
)
def test_a_bad_file_is_named_in_one_line(capsys, tmp_path: Path, verb: str, content, part: str):
    path = tmp_path / "bad.splat"
    if content is not None:
        path.write_bytes(content)
    arguments = [path, tmp_path / "o.png"] if verb == "decode" else [path]
    status, out, err = run(capsys, verb, *arguments)
    assert (status, out) == (1, "")
    assert_one_line(err.replace("PLY", "ply"), str(path), part)
    assert not (tmp_path / "o.png").exists()


def test_a_cut_file_is_one_line_and_no_output(capsys, splat: Path, tmp_path: Path):
    whole = splat.read_bytes()
    for cut in (1, 10, 25, len(whole) - 1):
        splat.write_bytes(whole[:cut])
        status, _, err = run(capsys, "decode", splat, tmp_path / "o.png")
        assert status == 1
        assert_one_line(err, str(splat))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.splat"]


# Info


def test_info_for_people_and_for_programs(capsys, splat: Path):
    status, out, err = run(capsys, "info", splat)
    assert (status, err) == (0, "")
    assert "bits per splat" in out
    assert "position" in out
    status, out, _ = run(capsys, "info", splat, "--json")
    figures = json.loads(out)
    assert status == 0
    assert figures["size"] == splat.stat().st_size
    assert figures["bpp"] == 8 * figures["size"] / (WIDTH * HEIGHT)
    assert (figures["splats"], sum(figures["tiers"]), figures["notes"]) == (40, 40, ["made by a test"])
    total = sum(figures["bits_per_splat"].values()) * 40
    assert 0 < total <= 8 * figures["size"]


def test_info_draws_the_ellipses(capsys, splat: Path, tmp_path: Path):
    plot = tmp_path / "plot.png"
    assert run(capsys, "info", splat, "--plot", plot)[0] == 0
    with Image.open(plot) as image:
        assert (image.size, image.mode) == ((2 * WIDTH, 2 * HEIGHT), "RGB")
    status, _, err = run(capsys, "info", splat, "--plot", plot)
    assert status == 1
    assert_one_line(err, "--force")
    assert run(capsys, "info", splat, "--plot", plot, "--force")[0] == 0


def test_info_verifies(capsys, splat: Path):
    status, out, _ = run(capsys, "info", splat, "--verify", "--json")
    assert (status, json.loads(out)["verified"]) == (0, "1 coded field, coded anew to the same bytes")
    container = read(splat.read_bytes())
    longer = replace(container.field, data=container.field.data + b"\0\0\0\x01")  # decodes to the same splats
    splat.write_bytes(write(replace(container, field=longer)))
    assert run(capsys, "info", splat)[0] == 0
    status, _, err = run(capsys, "info", splat, "--verify")
    assert status == 1
    assert_one_line(err, "the layer 'picture' is not coded as its splats are")


# The process


def test_decode_in_a_process_imports_no_torch(run_python, splat: Path, tmp_path: Path):
    code = (
        "import sys; from splat2d.cli import main\n"
        f"assert main(['decode', {str(splat)!r}, {str(tmp_path / 'o.png')!r}]) == 0\n"
        "heavy = {'torch', 'gsplat', 'rich', 'typeguard', 'imageio', 'yaml', 'splat2d.bench'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_version(run_python):
    done = run_python("-m", "splat2d", "--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "splat2d")


def test_a_closed_pipe_is_quiet(splat: Path, tmp_path: Path):
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        command = [sys.executable, "-m", "splat2d", "info", str(splat)]
        done = subprocess.run(
            command,
            stdout=write_end,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=BUFFERED,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is full")
def test_a_full_disk_behind_stdout_is_one_line(splat: Path, tmp_path: Path):
    command = [sys.executable, "-m", "splat2d", "info", str(splat)]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, cwd=tmp_path, env=BUFFERED, timeout=60, check=False
        )
    assert done.returncode == 1
    assert_one_line(done.stderr.decode(), "space")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_is_one_line_and_status_130(photo: Path, tmp_path: Path):
    needs(signal.SIGINT)
    # A fit that never ends, in a real process with a real signal.
    code = (
        "import sys, time, types\n"
        "fake = types.ModuleType('splat2d.fit.encode')\n"
        "def encode_picture(*args, **options):\n"
        "    print('fitting', flush=True)\n"
        "    time.sleep(100)\n"
        "fake.encode_picture = encode_picture\n"
        "sys.modules['splat2d.fit.encode'] = fake\n"
        "from splat2d.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", code, "encode", str(photo), str(tmp_path / "o.splat")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "fitting\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "splat2d: interrupted\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.png"]
