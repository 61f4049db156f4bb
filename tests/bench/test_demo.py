"""examples/demo.py: what stands beside splat2d is as large, within a percent."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from splat2d.bench.once import load_pixels

from ..conftest import ROOT


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("demo", ROOT / "examples" / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["demo"]


def test_the_search_finds_the_largest_file_that_fits(demo) -> None:
    sizes = [10 + 3 * level + 5 * (level % 2) for level in range(200)]  # rising near enough
    tried: list[int] = []

    def encode(level: int) -> bytes:
        tried.append(level)
        return bytes(sizes[level])

    for limit in (10, 11, 100, 333, 10_000):
        tried.clear()
        level, data = demo.largest_below(encode, len(sizes), limit)
        assert len(data) == sizes[level] == max(size for size in sizes if size <= limit)
        assert len(tried) == len(set(tried)) < 20
    assert demo.largest_below(encode, len(sizes), 5) == (0, bytes(10))


@pytest.mark.parametrize("number", range(4), ids=("psnr", "iq", "webp", "jpeg"))
def test_others_are_as_large_within_a_percent(demo, samples: Path, number: int, monkeypatch) -> None:
    peer = demo.PEERS[number]
    if "speed" in peer.options:
        monkeypatch.setitem(peer.options, "speed", 8)
    x = load_pixels(samples / "coffee.png")
    for limit in (5800, 9500):
        row = demo.beside(peer, x, limit)
        assert 0.99 * limit <= row.size <= limit
        assert row.psnr > 22


def test_jpeg_tables_are_libjpegs(demo) -> None:
    from io import BytesIO

    from PIL import Image

    for quality in (10, 40, 50, 75, 92, 100):  # whose percentages are whole ones
        file = BytesIO()
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(file, "JPEG", quality=quality)
        with Image.open(file) as image:
            found = image.quantization  # type: ignore[attr-defined]
        assert [list(found[k]) for k in (0, 1)] == demo.jpeg_tables(quality)
