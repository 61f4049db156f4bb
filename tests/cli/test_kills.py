"""kill -9 at random moments: a file is the old one or the new one, whole."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import splat2d

from ..support.places import GOLDEN

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")]


def killed(folder: Path, *words: str, most: float) -> bool:
    """Run a command and kill it after up to so many seconds; whether it was done before."""
    child = subprocess.Popen(
        [sys.executable, "-m", "splat2d", *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    time.sleep(random.uniform(0.05, most))
    child.kill()
    child.communicate()
    return child.returncode == 0


def test_an_edit_of_a_file_onto_itself(tmp_path):
    path = tmp_path / "a.splat"
    old = (GOLDEN / "layers/objects.splat").read_bytes()
    new = splat2d.Scene.from_bytes(old).edited([{"group": "left", "move": [3, 4]}]).to_bytes()
    words = ("edit", "a.splat", "a.splat", "--group", "left", "--move", "3,4", "--force")
    for _ in range(12):
        path.write_bytes(old)
        done = killed(tmp_path, *words, most=0.8)
        assert path.read_bytes() in ((new,) if done else (old, new))
    path.write_bytes(old)
    subprocess.run([sys.executable, "-m", "splat2d", *words], cwd=tmp_path, check=True, capture_output=True)
    assert path.read_bytes() == new


def test_an_encode_over_an_old_file(tmp_path, samples):
    from PIL import Image

    with Image.open(samples / "chelsea.png") as picture:
        picture.crop((100, 60, 164, 108)).save(tmp_path / "a.png")
    path, old = tmp_path / "a.splat", (GOLDEN / "pictures/rgb.splat").read_bytes()
    for _ in range(6):
        path.write_bytes(old)
        killed(
            tmp_path, "encode", "a.png", "a.splat", "--preset", "fast", "--threads", "1", "--force", most=2.0
        )
        assert path.read_bytes() == old or splat2d.decode(path.read_bytes()).shape == (48, 64, 3)


def test_a_batch_that_goes_on(tmp_path):
    from PIL import Image

    rng = random.Random(0)
    (tmp_path / "in").mkdir()
    for i in range(24):
        picture = Image.new("RGB", (6, 4))
        picture.putdata([tuple(rng.randbytes(3)) for _ in range(24)])
        picture.resize((48, 32)).save(tmp_path / "in" / f"{i:02}.png")
    words = ("batch", "in", "--preset", "fast", "--jobs", "2", "--out-dir")
    assert subprocess.run(
        [sys.executable, "-m", "splat2d", *words, "whole"], cwd=tmp_path, check=True, capture_output=True
    )
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").glob("*.splat")}
    assert len(whole) == 24

    out, kept, kills = tmp_path / "out", {}, 0
    for _ in range(12):
        child = subprocess.Popen(
            [sys.executable, "-m", "splat2d", *words, "out", "--resume"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        while child.poll() is None and len(list(out.glob("*.splat"))) == len(kept):
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.2))
        child.kill()
        _, err = child.communicate()
        kills += child.returncode == -signal.SIGKILL
        assert child.returncode in (0, -signal.SIGKILL), err
        found = {path.name: path for path in out.glob("*.splat")}
        for name, (time_, data) in kept.items():
            # Nothing is made again.
            assert (found[name].stat().st_mtime_ns, found[name].read_bytes()) == (
                time_,
                data,
            )
        kept = {name: (path.stat().st_mtime_ns, path.read_bytes()) for name, path in found.items()}
        assert all(data == whole[name] for name, (_, data) in kept.items())
        if child.returncode == 0:
            break
    last = subprocess.run(
        [sys.executable, "-m", "splat2d", *words, "out", "--resume", "--json"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert json.loads(last.stdout)["failed"] == 0
    assert {path.name: path.read_bytes() for path in out.glob("*.splat")} == whole
    assert kills > 0
    report = json.loads((out / "report.json").read_text())
    assert [row["status"] for row in report["files"]].count("failed") == 0
    assert len(report["files"]) == 24
    assert not (out / "report.jsonl").exists()
