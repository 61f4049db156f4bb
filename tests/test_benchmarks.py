"""The benchmarks' own arithmetic: BD-rate, the codecs' interface, the README's tables. No timing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import features

from .conftest import ROOT

HERE = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def _scripts() -> Iterator[None]:
    # Last, so that the installed package stays the one that is imported.
    sys.path.append(str(HERE))
    yield
    sys.path.remove(str(HERE))


def curve(factor: float, levels: np.ndarray) -> list[tuple[float, float]]:
    """Points of dB = 30 + 6 log2(bpp / factor)."""
    return [(float(factor * 2 ** ((db - 30) / 6)), float(db)) for db in levels]


def test_bd_rate_of_files_a_fifth_smaller() -> None:
    pytest.importorskip("bjontegaard", reason="needs the extra bench")
    from _curves import bd_rate

    anchor, test = curve(1.0, np.linspace(22, 44, 12)), curve(0.8, np.linspace(27, 40, 5))
    found = bd_rate(anchor, test[::-1])
    assert found["percent"] == pytest.approx(-20, abs=1e-6)
    assert found["overlap"] == pytest.approx(1)
    assert bd_rate(test, anchor)["percent"] == pytest.approx(25, abs=1e-6)
    assert bd_rate(test, anchor)["overlap"] == pytest.approx(13 / 22)


def test_bd_rate_without_a_common_psnr() -> None:
    from _curves import bd_rate

    found = bd_rate(curve(1.0, np.linspace(20, 25, 5)), curve(1.0, np.linspace(30, 35, 5)))
    assert found == {"percent": None, "overlap": 0.0}


def test_points_that_a_smaller_file_beats_are_left_out() -> None:
    from _curves import increasing, psnr_at

    points = [(0.4, 33.0), (0.1, 30.0), (0.2, 29.0), (0.2, 31.0), (0.3, 31.0)]
    assert increasing(points) == [(0.1, 30.0), (0.2, 31.0), (0.4, 33.0)]
    assert psnr_at(points, 0.2 * 2**0.5) == pytest.approx(32)
    assert psnr_at(points, 0.5) is None


def test_mean_points_are_of_shared_qualities() -> None:
    from _curves import mean_points

    first = [{"quality": 50, "bpp": 0.2, "psnr": 30.0}, {"quality": 75, "bpp": 0.6, "psnr": 35.0}]
    second = [{"quality": 50, "bpp": 0.4, "psnr": 33.0, "ms_ssim": 0.9}]
    assert mean_points([first, second]) == [{"quality": 50, "bpp": 0.3, "psnr": 31.5}]


@pytest.mark.parametrize("name", ["JPEG", "WebP", "AVIF"])
def test_peer_codecs(name: str, samples: Path) -> None:
    if name != "JPEG" and not features.check(name.lower()):
        pytest.skip(f"this Pillow has no {name}")
    from _measure import pixels_of, psnr
    from _peers import PEERS

    x = pixels_of(samples / "coffee.png")[100:164, 200:264]
    codec = next(codec for codec in PEERS if codec.name == name)
    assert list(codec.qualities) == sorted(set(codec.qualities))
    sizes, decibels = [], []
    for quality in (codec.qualities[1], codec.qualities[-1]):
        data = codec.encode(x, quality)
        x_hat = codec.decode(data)
        assert x_hat.shape == x.shape
        assert x_hat.dtype == np.uint8
        sizes.append(len(data))
        decibels.append(psnr(x, x_hat))
    assert sizes[0] < sizes[1]
    assert decibels[0] + 5 < decibels[1]


def test_our_codec_speaks_the_same_interface(small_splat: bytes) -> None:
    from _peers import SplatCodec

    pixels = SplatCodec(threads=1).decode(small_splat)
    assert (pixels.shape, pixels.dtype) == ((32, 48, 3), np.uint8)


def test_psnr_of_one_level_off() -> None:
    from _measure import psnr

    x = np.full((4, 4, 3), 100, np.uint8)
    assert psnr(x, x + np.uint8(1)) == pytest.approx(20 * np.log10(255))
    assert psnr(x, x) == 99.0


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
