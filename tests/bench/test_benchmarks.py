"""The scripts in benchmarks/: columns of integers, the README's tables. No timing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ..conftest import ROOT

HERE = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def _scripts() -> Iterator[None]:
    # Last, so that the installed package stays the one that is imported.
    sys.path.append(str(HERE))
    yield
    sys.path.remove(str(HERE))


def test_zstd_columns_are_as_narrow_as_their_values() -> None:
    from entropy import narrow

    for values, dtype in (([-128, 127], np.int8), ([-129, 0], np.int16), ([0, 32768], np.int32)):
        column = narrow(np.array(values, np.int32))
        assert column.dtype == dtype
        assert column.tolist() == values


def test_markers_are_filled_and_the_rest_is_kept() -> None:
    from report import replace

    text = "above\n<!-- benchmark:a -->\nold\n<!-- /benchmark:a -->\nbelow <!-- benchmark:b -->\n"
    once = replace(text, "a", "| new |")
    assert once == (
        "above\n<!-- benchmark:a -->\n| new |\n<!-- /benchmark:a -->\nbelow <!-- benchmark:b -->\n"
    )
    assert replace(once, "a", "| new |") == once
    assert replace(text, "b", "| new |") is None
    assert replace(text, "c", "| new |") is None


def test_check_fails_on_a_stale_readme(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from report import Options, run

    measured = {"date": "2026-01-02T03:04:05+00:00", "commit": "0123456789ab", "modified": False}
    result = {
        **measured,
        "machine": {"cpu": "a CPU", "cores": 2, "vectors": "avx2", "memory_gib": 8, "os": "an OS"},
        "versions": {"splat2d": "0.1.0", "pillow": "12.0"},
        "settings": {"zstd_level": 19},
        "rows": [
            {
                "picture": "kodim20",
                "quality": 50,
                "splats": 1000,
                "ideal_bytes": 3000.5,
                "file_bytes": 3030,
                "overhead_percent": 0.98,
                "bits_per_splat": {"angle": 4.0, "area": 2.25},
                "zstd_over_file": {"int32": 2.4, "narrow": 2.1},
            }
        ],
    }
    (tmp_path / "entropy.json").write_text(json.dumps(result))
    readme = tmp_path / "README.md"
    readme.write_text("<!-- benchmark:entropy -->\n<!-- /benchmark:entropy -->\n")
    assert run(Options(check=True, readme=readme, results=tmp_path)) == ["entropy"]
    assert "kodim20" not in readme.read_text()
    assert run(Options(readme=readme, results=tmp_path)) == ["entropy"]
    assert "| kodim20, quality 50 | 1,000 | 3,000 B | 3,030 B | 0.98% | 2.40x | 2.10x |" in readme.read_text()
    assert "2026-01-02 at 0123456789ab on 2 cores of a CPU" in readme.read_text()
    assert run(Options(check=True, readme=readme, results=tmp_path)) == []
    assert "no results" in capsys.readouterr().err


def test_graphics_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    import graphics
    from PIL import Image

    monkeypatch.setattr(sys, "argv", ["graphics.py", str(tmp_path), "--data", str(tmp_path)])
    graphics.main()
    made = sorted(tmp_path.glob("*.png"))
    assert [path.stem for path in made] == sorted(graphics.DRAWN)
    for path in made:
        with Image.open(path) as image:
            assert (image.size, image.mode) == ((graphics.WIDTH, graphics.HEIGHT), "RGB")
            assert len(image.getcolors(1 << 20)) > 20


def test_gpu_check_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    import gpu_check

    from splat2d.native import gpu

    monkeypatch.setattr(gpu, "unavailable", lambda: "there is no NVIDIA driver on this machine")
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--no-build"])
    assert gpu_check.main() == 1
    assert capsys.readouterr().err == "gpu_check: error: there is no NVIDIA driver on this machine\n"


def test_gpu_check_measures_with_emulated_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scene, its bounds and its timing, on the CPU in place of the GPU."""
    import gpu_draw
    import torch

    from splat2d.native import gpu
    from tests.support import emulated

    class Stream:
        cuda_stream = 0

    kernels = emulated.kernels()
    monkeypatch.setattr(gpu, "library", lambda: kernels)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(gpu_draw, "BATCH", 1)
    monkeypatch.setattr(gpu_draw, "BATCHES", 2)
    splats = gpu_draw.random_splats(40, 48, 32, "cpu")
    times = gpu_draw.time_ours(splats, 48, 32, lambda: None)
    assert set(times) == {"forward", "backward"}
    assert all(times[name]["median_s"] > 0 for name in times)
    work = gpu_draw.bounds(splats, 48, 32)
    assert 48 * 32 < work["pairs"] < 48 * 32 * 40
    assert work["forward_flops"] == 16 * work["pairs"]
    assert gpu_draw.check(splats, 48, 32) == {"pixels": 0.0, "gradients": 0.0}


def test_gpu_check_measures_the_fit_with_emulated_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    import gpu_fit

    from splat2d.fit import cuda
    from splat2d.native import gpu
    from tests.support import emulated

    kernels = emulated.kernels()
    monkeypatch.setattr(cuda, "library", lambda: kernels)
    monkeypatch.setattr(gpu, "unavailable", lambda: None)
    monkeypatch.setattr(gpu_fit, "FIT", (64, 48, 30, 1.0))
    monkeypatch.setattr(gpu_fit, "STEPS", 2)
    step = gpu_fit.time_steps(cuda)
    assert step["splats"] >= 30
    assert step["median_s"] > 0
    small = gpu_fit._as_picture(gpu_fit.drawn_picture(48, 40))
    monkeypatch.setattr(gpu_fit, "pictures", lambda: {"drawn": small})
    monkeypatch.setattr(gpu_fit, "QUALITIES", (20, 45, 70))
    said: list[str] = []
    figures = gpu_fit.compare_encodes(said.append, "psnr")
    assert abs(figures["bd_rate"]) < 6
    assert set(figures["rows"][0]["seconds"]) == {"cpu", "cuda"}
    asked: list[str] = []

    def encode(quality: int, device: str) -> gpu_fit.File:
        asked.append(device)
        return gpu_fit.File(1000 * quality, 20.0 + quality / 4, 0.1)

    row = gpu_fit.compare("drawn", encode, (20, 45, 70), figures["rows"][0])
    assert set(asked) == {"cuda"}, "the CPU's files are known"
    assert row["curves"]["cpu"] == figures["rows"][0]["curves"]["cpu"]
    assert len(said) == 1
