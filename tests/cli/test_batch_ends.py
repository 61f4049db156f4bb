"""Batches that end before their time, or meet another: no temporary file is left, no journal is shared."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import splat2d
from splat2d.cli._batch_files import Records

from ..support.command import assert_one_line, run


def test_two_batches_of_one_place(capsys, tmp_path: Path):
    (tmp_path / "in").mkdir()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "in" / "a.png")
    photos = tmp_path / "in"
    out = tmp_path / "out"
    out.mkdir()
    first = Records(str(out), resume=False)
    first.add({"input": "x", "output": str(out / "x"), "status": "failed"})
    for more in ((), ("--resume",), ("--force",)):
        status, _, err = run(capsys, "batch", photos, "--out-dir", out, "--preset", "fast", *more)
        assert status == 1
        assert_one_line(err, "report.jsonl: another batch is writing it")
    first.close({})
    assert [path.name for path in out.iterdir()] == ["report.json"]
    assert [row["input"] for row in json.loads((out / "report.json").read_text())["files"]] == ["x"]
    assert run(capsys, "batch", photos, "--out-dir", out, "--preset", "fast")[0] == 0


def test_a_clip_among_pictures_is_named(capsys, tmp_path: Path):
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    (tmp_path / "a b.splat").write_bytes(splat2d.encode(frames, fps=5, preset="fast"))
    status, _, err = run(capsys, "batch", tmp_path, "--to", "png", "--out-dir", tmp_path / "out")
    assert status == 1
    assert "a b.splat: a b.png: the extension .png is no clip that can be written" in err


@pytest.mark.parametrize("ended", ["SIGTERM", "SIGKILL"])
def test_no_temporary_file_outlives_a_batch(tmp_path: Path, ended: str):
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3)).astype(np.uint8)
    (tmp_path / "in").mkdir()
    for i in range(2):
        Image.fromarray(noise).save(tmp_path / "in" / f"{i}.png")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    words = ["batch", tmp_path / "in", "--out-dir", tmp_path / "out", "--preset", "best", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "splat2d", *map(str, words)],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and len(list(temporary.rglob("*.png"))) < 2:
            time.sleep(0.02)
        assert list(temporary.rglob("*.png"))
        process.send_signal(getattr(signal, ended))
        process.wait(60)
        while time.monotonic() < until and list(temporary.iterdir()):
            time.sleep(0.02)
    finally:
        process.kill()
    assert list(temporary.iterdir()) == []
