"""The figures of `splat2d bench`: metrics that fall with quality, curves with known BD-rates."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from splat2d.bench.codecs import Setting
from splat2d.bench.curves import bd_rate, increasing, level_at, mean_points
from splat2d.bench.metrics import measure_all, ms_ssim_decibel, psnr
from splat2d.bench.once import load_pixels
from splat2d.bench.pillow_codecs import peers

ALL = ("psnr", "ms_ssim", "ssimulacra2")


def curve(factor: float, levels: np.ndarray) -> list[tuple[float, float]]:
    """Points of dB = 30 + 6 log2(bpp / factor)."""
    return [(float(factor * 2 ** ((db - 30) / 6)), float(db)) for db in levels]


def test_bd_rate_of_files_a_fifth_smaller() -> None:
    anchor, test = curve(1.0, np.linspace(22, 44, 12)), curve(0.8, np.linspace(27, 40, 5))
    found = bd_rate(anchor, test[::-1])
    assert found["percent"] == pytest.approx(-20, abs=1e-6)
    assert found["overlap"] == pytest.approx(1)
    assert bd_rate(test, anchor)["percent"] == pytest.approx(25, abs=1e-6)
    assert bd_rate(test, anchor)["overlap"] == pytest.approx(13 / 22)


def test_bd_rate_without_a_common_level() -> None:
    nothing = {"percent": None, "overlap": 0.0}
    assert bd_rate(curve(1.0, np.linspace(20, 25, 5)), curve(1.0, np.linspace(30, 35, 5))) == nothing
    assert bd_rate([(0.1, 30.0)], curve(1.0, np.linspace(20, 35, 5))) == nothing
    assert bd_rate([], []) == nothing


def test_points_that_a_smaller_file_beats_are_left_out() -> None:
    points = [(0.4, 33.0), (0.1, 30.0), (0.2, 29.0), (0.2, 31.0), (0.3, 31.0)]
    assert increasing(points) == [(0.1, 30.0), (0.2, 31.0), (0.4, 33.0)]
    assert level_at(points, 0.2 * 2**0.5) == pytest.approx(32)
    assert level_at(points, 0.5) is None
    assert level_at([], 0.5) is None


def test_mean_points_are_of_shared_settings() -> None:
    first = [{"setting": "q=5", "bpp": 0.2, "psnr": 30.0}, {"setting": "q=7", "bpp": 0.6, "psnr": 35.0}]
    second = [{"setting": "q=5", "bpp": 0.4, "psnr": 33.0, "ms_ssim": 0.9, "run": 1}]
    assert mean_points([first, second]) == [{"setting": "q=5", "bpp": 0.3, "psnr": 31.5}]


def test_psnr_of_one_level_off() -> None:
    x = np.full((4, 4, 3), 100, np.uint8)
    assert psnr(x, x + np.uint8(1)) == pytest.approx(20 * np.log10(255))
    assert psnr(x, x) == 99.0


def test_metrics_fall_with_quality(samples: Path) -> None:
    pytest.importorskip("ssimulacra2", reason="needs the extra bench")
    x = load_pixels(samples / "coffee.png")[100:340, 200:440]
    jpeg = peers()[0]
    same, missing = measure_all(x, x, ALL)
    assert missing == {}
    assert same == {"psnr": 99.0, "ms_ssim": pytest.approx(1), "ssimulacra2": pytest.approx(100)}
    last = same
    for quality in (90, 60, 30, 10):
        figures, _ = measure_all(x, jpeg.decode(jpeg.encode(x, Setting("quality", quality))), ALL)
        assert all((figures[key] or 0) < (last[key] or 0) for key in ALL)
        last = figures


def test_a_figure_that_cannot_be_had_has_a_reason(monkeypatch) -> None:
    x = np.zeros((160, 224, 3), np.uint8)
    figures, missing = measure_all(x, x, ALL)
    assert figures == {"psnr": 99.0, "ms_ssim": None, "ssimulacra2": None}
    assert missing["ms_ssim"] == "MS-SSIM needs 161 px a side, found 224x160"
    assert "225 px" in missing["ssimulacra2"]
    monkeypatch.setitem(sys.modules, "ssimulacra2", None)
    _, missing = measure_all(np.zeros((240, 240, 3), np.uint8), np.zeros((240, 240, 3), np.uint8), ALL)
    assert missing == {"ssimulacra2": "SSIMULACRA2 needs the package ssimulacra2; pip install ssimulacra2"}


def test_ms_ssim_in_decibels() -> None:
    assert ms_ssim_decibel(0.99) == pytest.approx(20)
    assert ms_ssim_decibel(1.0) == pytest.approx(100)
