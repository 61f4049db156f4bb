"""Sizes that are not met by a local search: what fits is written, and what lies far below is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from splat2d.fit.encode import encode_picture
from splat2d.media.pictures import load_picture


def test_the_largest_file_that_fits_is_written():
    """Stars in noise: local slopes mislead there."""
    rng = np.random.default_rng(3)
    stars = np.abs(rng.normal(6, 3, (160, 160)))
    for _ in range(40):
        y, x = rng.integers(2, 158, 2)
        stars[y - 1 : y + 2, x - 1 : x + 2] += np.outer([1, 2, 1], [60, 120, 60]) * rng.uniform(0.2, 1)
    picture = load_picture(stars.clip(0, 255).astype(np.uint8))
    for size in (1000, 3000):
        encoded = encode_picture(picture, size=size, preset="fast", threads=1)
        assert 0.97 * size <= len(encoded.data) <= size
        assert not encoded.warnings


def test_more_bytes_than_a_picture_needs_are_a_warning(samples: Path):
    with Image.open(samples / "chelsea.png") as cat:
        picture = load_picture(cat.convert("RGB").crop((130, 90, 194, 138)))
    encoded = encode_picture(picture, size=100_000, preset="fast", threads=1)
    assert encoded.psnr > encode_picture(picture, quality=95, preset="fast", threads=1).psnr
    (warning,) = encoded.warnings
    assert warning.startswith(f"the largest file found that fits has {len(encoded.data)} bytes")
