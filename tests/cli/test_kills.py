"""kill -9 at random moments: a file is the old one or the new one, whole."""

import os
import random
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
