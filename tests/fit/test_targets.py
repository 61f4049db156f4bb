"""Sizes that are not met by a local search: what fits is written, and what lies far below is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import splat2d
from splat2d.fit.clip.target import ClipTarget, Try, reach
from splat2d.fit.encode import encode_picture
from splat2d.media.pictures import load_picture
from splat2d.native.backend import Backend

from ..support.clips import moving, write_clip
from ..support.command import run


def test_the_largest_file_that_fits_is_written():
    """Stars in noise: local slopes mislead there."""
    rng = np.random.default_rng(3)
    stars = np.abs(rng.normal(6, 3, (160, 160)))
    for _ in range(40):
        y, x = rng.integers(2, 158, 2)
        stars[y - 1 : y + 2, x - 1 : x + 2] += np.outer([1, 2, 1], [60, 120, 60]) * rng.uniform(0.2, 1)
    picture = load_picture(stars.clip(0, 255).astype(np.uint8))
    for size in (1000, 3000):
        encoded = encode_picture(picture, size=size, preset="fast", backend=Backend(1))
        assert 0.97 * size <= len(encoded.data) <= size
        assert not encoded.warnings


def test_more_bytes_than_a_picture_needs_are_a_warning(samples: Path):
    with Image.open(samples / "chelsea.png") as cat:
        picture = load_picture(cat.convert("RGB").crop((130, 90, 194, 138)))
    encoded = encode_picture(picture, size=100_000, preset="fast", backend=Backend(1))
    assert encoded.psnr > encode_picture(picture, quality=95, preset="fast", backend=Backend(1)).psnr
    (warning,) = encoded.warnings
    assert warning.startswith(f"the largest file found that fits has {len(encoded.data)} bytes")


class Growing:
    """A clip's fit that takes the more splats the longer it goes on, and gives them back slowly."""

    def __init__(self) -> None:
        self.step, self._grown = 0.061, 1.0

    def continue_at(self, step: float) -> None:
        self.step = step
        self._grown = min(1.35 * self._grown, 2.4)

    def code(self) -> Try[float]:
        return Try(self.step, self.step, 0.83 * self._grown * (0.061 / self.step) ** 0.45, 0.0)


def test_a_clips_fit_that_grows_meanwhile_reaches_a_rate():
    target = ClipTarget(bpp=0.78)
    fit = Growing()
    assert 0.6 < reach(target, fit, fit.code, "frames").bpp <= 0.78


def test_the_largest_clip_that_was_found_is_said(capsys, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    frames = [Image.fromarray(frame) for frame in noise]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=100)
    words = ("encode", tmp_path / "a.png", tmp_path / "a.splat", "--preset", "fast", "--size", "40k")
    status, _, err = run(capsys, *words)
    assert status == 0
    size = (tmp_path / "a.splat").stat().st_size
    assert f"warning: the largest file found that fits has {size} bytes" in err


def test_python_takes_a_size_where_the_length_tells_the_frames(tmp_path):
    pytest.importorskip("av")
    path = write_clip(tmp_path / "a.mkv", moving(6), "ffv1", "bgr0")
    assert len(splat2d.encode(path, preset="fast", size=2000)) <= 2000
