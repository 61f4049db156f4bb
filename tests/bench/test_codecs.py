"""The codecs of `splat2d bench`: one interface, settings by name, each the best at what it is made for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from splat2d.bench import codecs, registry
from splat2d.bench.codecs import Setting, SplatCodec, nearest_quality
from splat2d.bench.curves import bd_rate
from splat2d.bench.once import encode_alone, load_pixels
from splat2d.errors import ConfigError, Splat2dError, TargetError


@pytest.mark.parametrize("peer", registry.peers(), ids=lambda peer: peer.name)
def test_others_speak_the_interface(peer, samples: Path):
    if why := peer.unavailable():
        pytest.skip(why)
    x = load_pixels(samples / "coffee.png")[100:196, 200:328]
    assert list(peer.qualities) == sorted(set(peer.qualities))
    files = [peer.encode(x, Setting("quality", quality)) for quality in (peer.qualities[1], 90)]
    pictures = [peer.decode(data) for data in files]
    errors = [float(np.mean((x.astype(float) - x_hat) ** 2)) for x_hat in pictures]
    assert all((x_hat.shape, x_hat.dtype) == (x.shape, np.uint8) for x_hat in pictures)
    assert len(files[0]) < len(files[1])
    assert errors[0] > 3 * errors[1]
    data = peer.encode(x, peer.resolve(x, Setting("bpp", 1.5), {}))
    assert 8 * len(data) / (96 * 128) == pytest.approx(1.5, rel=codecs.RATE_TOLERANCE)


def test_ours_speaks_the_interface(crops: Path):
    x = load_pixels(crops / "coffee.png")
    codec = SplatCodec("fast", threads=1)
    rate = Setting("bpp", 1.0)
    assert codec.resolve(x, rate, {}) == rate
    data = codec.encode(x, rate)
    assert 0.9 < 8 * len(data) / (64 * 48) <= 1.0
    assert codec.decode(data).shape == x.shape
    assert codec.version() == SplatCodec("fast").version() != SplatCodec("best").version()


def test_a_rate_becomes_the_nearest_quality():
    assert nearest_quality(lambda q: 0.01 * (q + 1), 0, 100, 0.304) == 29
    assert nearest_quality(lambda q: 0.01 * (q + 1), 0, 100, 0.306) == 30
    with pytest.raises(TargetError, match=r"no quality from 0 to 100 comes near 0\.05 bpp"):
        nearest_quality(lambda q: 0.1 * (q + 1), 0, 100, 0.05)


def test_ours_is_one_codec_for_each_preset():
    names = [codec.name for codec in registry.choose(("splat2d", "jpeg"), ("fast", "best"))]
    assert names == ["splat2d-fast", "splat2d-best", "jpeg"]
    with pytest.raises(
        ConfigError, match="'gif' is unknown; expected one of splat2d, jpeg, webp, avif, avif-psnr"
    ):
        registry.choose(("gif",), ())
    with pytest.raises(ConfigError):
        registry.choose(("splat2d",), ("no such preset",))


def test_settings_and_families_are_named():
    assert [codec.name for codec in registry.choose(("jxl", "jxl-7", "avif-psnr-speed0"), ())] == [
        "jxl-7",
        "jxl-9",
        "avif-psnr-speed0",
    ]
    avif = {codec.name: codec.optimises for codec in registry.choose(("avif",), ())}
    assert avif == {
        "avif-psnr": "psnr",
        "avif-psnr-444": "psnr",
        "avif-iq": "ssimulacra2",
        "avif-ssimulacra2": "ssimulacra2",
    }
    assert {codec.family for codec in registry.choose(("avif", "jpeg"), ())} == {"avif", "jpeg"}
    assert "avif-psnr-speed0" not in registry.NAMES


def test_a_setting_is_the_best_at_what_it_optimises(samples: Path):
    """Else the tables would compare with a soft anchor."""
    from splat2d.bench.metrics import psnr

    x = load_pixels(samples / "coffee.png")[100:292, 200:456]
    curves = {}
    for codec in registry.choose(("avif-psnr", "avif-iq"), ()):
        if why := codec.unavailable():
            pytest.skip(why)
        files = [codec.encode(x, Setting("quality", value)) for value in (20, 30, 40, 50)]
        curves[codec.name] = [(len(data), psnr(x, codec.decode(data))) for data in files]
    assert (bd_rate(curves["avif-iq"], curves["avif-psnr"])["percent"] or 0) < -3


def test_ours_has_tunes():
    plain, tuned = registry.choose(("splat2d",), ("fast", "fast:ms-ssim"))
    assert (tuned.name, tuned.label) == ("splat2d-fast-ms-ssim", "splat2d fast ms-ssim")
    assert tuned.optimises == "ms_ssim"
    assert isinstance(plain, SplatCodec)
    assert plain.version() != tuned.version()
    # What the preset says anyway makes the same files.
    assert registry.choose(("splat2d",), (f"fast:{plain.config().tune}",))[0].version() == plain.version()
    with pytest.raises(ConfigError, match="tune 'best' of fast:best is unknown; expected one of visual"):
        registry.choose(("splat2d",), ("fast:best",))
    x = np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8)
    rate = Setting("quality", 60)
    assert (
        tuned.encode(x, rate) == SplatCodec("fast", tune="ms-ssim").encode(x, rate) != plain.encode(x, rate)
    )


def test_memory_is_measured_in_a_process_of_its_own(crops: Path):
    figures = encode_alone(registry.peers()[0], crops / "coffee.png", Setting("quality", 60))
    assert (figures["width"], figures["height"]) == (64, 48)
    assert 0 < figures["loaded_mib"] <= figures["peak_mib"]
    with pytest.raises(Splat2dError, match="in its own process failed"):
        encode_alone(registry.peers()[0], crops / "missing.png", Setting("quality", 60))


def test_pictures_become_eight_bit_rgb(tmp_path: Path):
    pixels = np.array([[[200, 100, 50, 255], [200, 100, 50, 0]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "alpha.png")
    assert load_pixels(tmp_path / "alpha.png").tolist() == [[[200, 100, 50], [255, 255, 255]]]
    Image.fromarray(pixels[:, :, 0]).save(tmp_path / "grey.png")
    assert load_pixels(tmp_path / "grey.png").tolist() == [[[200] * 3] * 2]
