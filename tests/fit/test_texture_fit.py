"""Textures that an encoder chooses, how they are asked for, and the distance that judges them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import splat2d
from splat2d.bench.codecs import Setting, SplatCodec
from splat2d.bench.metrics import METRICS, measure_all
from splat2d.bench.once import load_pixels
from splat2d.bench.texture import texture_distance
from splat2d.errors import ConfigError
from splat2d.fit.bands import Bank
from splat2d.fit.texture import crosstalk, texture_budget
from splat2d.format.container import read
from splat2d.format.texture import texture_section

from ..support.command import assert_one_line, run

SIDE = 256


@pytest.fixture(scope="module")
def grass() -> np.ndarray:
    """A picture whose upper half is smooth and lower half is grain."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    smooth = np.stack([90 + 0.1 * x, 120 + 0.1 * y, 100 + 0 * x], 2)
    grain = rng.normal(0, 22, (SIDE, SIDE, 1)) * (y > SIDE / 2)[:, :, None]
    return np.clip(smooth + grain, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def file(grass) -> bytes:
    """The picture in a file with a texture."""
    return splat2d.encode(grass, quality=15, preset="fast", texture="auto", threads=1)


def test_grain_comes_back_where_it_was(grass, file):
    plain, drawn = (splat2d.decode(file, texture=t).astype(float) for t in ("off", 1.0))
    lower, upper = np.s_[160:246, 10:246], np.s_[10:100, 10:246]
    assert plain[lower].std(axis=0).mean() < 0.5 * drawn[lower].std(axis=0).mean()
    assert drawn[lower].std(axis=0).mean() == pytest.approx(grass[lower].std(axis=0).mean(), rel=0.35)
    assert np.abs(drawn - plain)[upper].mean() < 1


def test_a_texture_brings_statistics_nearer(grass, file):
    plain, drawn = (texture_distance(grass, splat2d.decode(file, texture=t)) for t in ("off", 1.0))
    assert drawn < 0.6 * plain


def test_a_texture_and_its_file_are_within_their_budgets(samples):
    x = load_pixels(samples / "chelsea.png")[:128, :192]
    data = splat2d.encode(x, bpp=0.5, preset="fast", texture="auto", threads=1)
    assert 0.9 * 0.5 * 128 * 192 / 8 < len(data) <= 0.5 * 128 * 192 / 8
    (texture,) = read(data).textures
    assert len(texture_section(texture)) <= texture_budget(128 * 192, len(data)) <= 0.01 * 128 * 192 / 8
    assert texture_budget(768 * 512, 12288) == 491
    assert texture_budget(768 * 512, 4000) == 200
    assert texture_budget(768 * 512, 400) == 64


def test_a_smooth_picture_gets_none():
    y, x = np.mgrid[:96, :96]
    smooth = np.stack([x + 60, y + 80, 150 - x / 2], 2).astype(np.uint8)
    files = [splat2d.encode(smooth, quality=60, preset="fast", texture=t, threads=1) for t in ("auto", "off")]
    assert files[0] == files[1]


def test_strengths_are_asked_for(grass):
    def strongest(texture) -> int:
        data = splat2d.encode(grass, quality=15, preset="fast", texture=texture, threads=1)
        return max((int(t.levels(SIDE, SIDE).max()) for t in read(data).textures), default=0)

    assert strongest("off") == 0
    assert 0 < strongest(0.5) < strongest("auto")


def test_wrong_strengths_are_refused(grass, tmp_path, capsys):
    with pytest.raises(ConfigError, match="texture is 'on'"):
        splat2d.encode(grass, texture="on")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="texture"):
        splat2d.encode([grass], fps=5, texture="auto")
    status, _, err = run(capsys, "encode", tmp_path / "a.png", tmp_path / "a.splat", "--texture", "5")
    assert status == 2
    assert_one_line(err, "--texture '5'", "off, auto or a strength from 0 to 4")
    status, _, err = run(capsys, "decode", tmp_path / "a.splat", tmp_path / "a.png", "--texture", "auto")
    assert status == 2
    assert_one_line(err, "--texture 'auto'", "off or a strength")


def test_commands_draw_textures(grass, tmp_path: Path, capsys):
    from PIL import Image

    source, splat = tmp_path / "grass.png", tmp_path / "grass.splat"
    Image.fromarray(grass).save(source)
    settings = ("--quality", "15", "--preset", "fast", "--threads", "1")
    assert run(capsys, "encode", source, splat, *settings, "--texture", "auto")[0] == 0
    shown = {}
    for strength in ("off", "0.5", "1"):
        out = tmp_path / f"{strength}.png"
        assert run(capsys, "decode", splat, out, "--texture", strength)[0] == 0
        shown[strength] = np.asarray(Image.open(out)).astype(float)
    assert run(capsys, "decode", splat, tmp_path / "plain.png")[0] == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "plain.png")), shown["1"])
    half, whole = ((shown[s] - shown["off"])[150:].std() for s in ("0.5", "1"))
    assert half == pytest.approx(0.5 * whole, rel=0.1)


# Filters and the distance


def test_energies_of_a_bank_add_up():
    x = np.random.default_rng(1).standard_normal((128, 192)).astype(np.float32)
    spectrum = np.abs(np.fft.fft2(x)) ** 2 / x.size**2
    radius = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(192))
    within = spectrum[(radius > 0.05) & (radius < 0.42)].sum()
    for directions in (1, 2, 4):
        found = sum(0.5 * (np.abs(r) ** 2).mean() for _, _, r in Bank(128, 192, 4, directions).responses(x))
        assert found > within
        assert found == pytest.approx(spectrum[(radius > 0.03) & (radius < 0.5)].sum(), rel=0.08)


def test_a_wave_is_found_in_its_octave_and_direction():
    y, x = np.mgrid[:128, :128]
    wave = np.cos(2 * np.pi * 0.17 * (x + y) / np.sqrt(2)).astype(np.float32)
    found = np.zeros((4, 4))
    for band, d, response in Bank(128, 128, 4, 4).responses(wave):
        found[band, d] = 0.5 * (np.abs(response) ** 2).mean()
    assert np.unravel_index(found.argmax(), found.shape) == (1, 1)
    assert found[1, 1] == pytest.approx(0.5, rel=0.1)


def test_filters_hear_mostly_their_own_octave():
    heard = crosstalk()
    assert (np.diag(heard) > 0.5).all()
    assert (heard - np.diag(np.diag(heard))).max() < 0.3


def test_distance_sees_grain_and_not_its_seed():
    rng = np.random.default_rng(3)
    flat = np.full((128, 128, 3), 120, np.uint8)
    one, other = (np.clip(flat + rng.normal(0, 12, (128, 128, 1)), 0, 255).astype(np.uint8) for _ in range(2))
    assert texture_distance(one, one) == 0
    assert texture_distance(one, other) < 0.5 * texture_distance(one, flat)
    assert texture_distance(flat, one) > 5


def test_distance_of_a_shade_is_its_step():
    flat = np.full((96, 80, 3), 100, np.uint8)
    assert texture_distance(flat, flat + np.uint8(3)) == pytest.approx(3, abs=1e-3)


def test_the_benchmark_measures_texture(samples: Path):
    x = load_pixels(samples / "coffee.png")[100:228, 200:328]
    figures, missing = measure_all(x, x, ("texture",))
    assert (figures, missing) == ({"texture": 0.0}, {})
    assert METRICS["texture"].level(2.55) == pytest.approx(40)
    figures, missing = measure_all(x[:50], x[:50], ("texture",))
    assert figures == {"texture": None}
    assert "64 px" in missing["texture"]


def test_a_benchmark_tells_files_with_textures_apart(grass):
    plain, drawn = (SplatCodec.parse(text, threads=1) for text in ("fast", "fast:ms-ssim:texture"))
    assert (plain.name, drawn.name) == ("splat2d-fast", "splat2d-fast-ms-ssim-texture")
    assert (plain.texture, drawn.texture, drawn.tune) == (False, True, "ms-ssim")
    data = SplatCodec.parse("fast:texture", threads=1).encode(grass, Setting("quality", 15))
    assert read(data).textures
    assert not read(plain.encode(grass, Setting("quality", 15))).textures
