"""The tunes for the eye: their weights, their distortion, and what they buy on a real picture."""

from __future__ import annotations

import math

import numpy as np
import pytest

import splat2d
from splat2d.errors import ConfigError
from splat2d.fit.config import CHROMA_STEPS, CLIP_CHROMA_STEPS, load_clip_config
from splat2d.fit.encode import encode_picture
from splat2d.fit.perceptual import (
    GUIDES,
    WINDOW_RADIUS,
    WINDOW_SIGMA,
    emphasised,
    error_weights,
    half_weights,
    structure_weights,
    windowed,
)
from splat2d.fit.rates import rate_tables
from splat2d.media.pictures import load_picture
from splat2d.native import core
from splat2d.native.backend import Backend
from splat2d.scene.picture import Scene

TUNES = pytest.mark.parametrize("tune", GUIDES)
SIZES = [(1, 1), (1, 9), (15, 16), (17, 40), (33, 64), (101, 67)]


@pytest.fixture(scope="module")
def quick(tmp_path_factory) -> str:
    """A preset of few rounds, some at half resolution."""
    path = tmp_path_factory.mktemp("configs") / "quick.yaml"
    path.write_text("half_rounds: 2\nhalf_steps: 4\nrounds: 3\nsteps: 5\nfinal_steps: 4\nsweeps: 2\n")
    return str(path)


@pytest.fixture(scope="module")
def coffee(samples):
    """A picture of 224 x 176 px: a cup on a wooden table, smooth and textured."""
    from PIL import Image

    with Image.open(samples / "coffee.png") as picture:
        return picture.convert("RGB").resize((300, 200)).crop((40, 12, 264, 188))


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    """[C, H, W] in [0, 1], rough on the left and nearly flat on the right."""
    rough = np.random.default_rng(height * width).random((channels, height, width), np.float32)
    return (0.5 + (rough - 0.5) * np.linspace(1, 0.02, width, dtype=np.float32)).astype(np.float32)


def level_sizes(height: int, width: int, levels: int) -> list[tuple[int, int]]:
    return [(-(-height // 2**level), -(-width // 2**level)) for level in range(levels)]


def ms_ssim_db(a: np.ndarray, b: np.ndarray) -> float:
    """MS-SSIM of two pictures [H, W, 3] uint8, dB."""
    torch = pytest.importorskip("torch")
    from pytorch_msssim import ms_ssim

    x, y = (torch.from_numpy(np.array(p)).permute(2, 0, 1)[None].float() for p in (a, b))
    return -10 * math.log10(1 - ms_ssim(x, y, data_range=255).item())


@TUNES
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_weights_halve_from_level_to_level(tune: str, height: int, width: int):
    weights = structure_weights(noise(height, width), GUIDES[tune])
    assert [w.shape for w in weights] == level_sizes(height, width, len(weights))
    assert all(w.dtype == np.float32 and np.isfinite(w).all() for w in weights)
    assert (weights[0] > 0).all()
    halves = half_weights(weights)
    if min(height, width) > 1:
        assert [w.shape for w in halves] == level_sizes(height // 2, width // 2, len(halves))


@TUNES
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_smooth_places_weigh_more(tune: str, channels: int):
    weights = structure_weights(noise(96, 128, channels), GUIDES[tune])
    assert weights[0][:, 96:].mean() > 3 * weights[0][:, :32].mean()


def test_fine_scales_weigh_more_at_a_fine_step():
    pixels, guide = noise(96, 96), GUIDES["visual"]
    coarse, usual, unsaid, fine = (
        float(structure_weights(pixels, guide, step=step)[0].mean()) for step in (0.6, 0.2, None, 0.05)
    )
    assert usual == unsaid
    assert coarse < 0.8 * usual < 0.64 * fine
    plain = GUIDES["ms-ssim"]
    assert plain.scales(0.05) == list(plain.exponents), "MS-SSIM's own"


@TUNES
def test_a_flat_picture_weighs_the_same_everywhere(tune: str):
    finest = structure_weights(np.full((3, 80, 80), 0.5, np.float32), GUIDES[tune])[0]
    assert np.ptp(finest) < 1e-5 * finest.mean()


@TUNES
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_distortion_is_never_negative_and_its_gradient_is_exact(tune: str, height: int, width: int):
    native = core().Distortion(structure_weights(noise(height, width), GUIDES[tune]))
    rng = np.random.default_rng(1)
    for blur in (1, 4, 16):  # the coarser levels take back what smooth errors weigh
        shape = (3, -(-height // blur), -(-width // blur))
        a, b = (
            rng.normal(size=shape).repeat(blur, 1).repeat(blur, 2)[:, :height, :width].astype(np.float32)
            for _ in range(2)
        )
        value, gradient = native.evaluate(np.ascontiguousarray(a))
        other, _ = native.evaluate(np.ascontiguousarray(b))
        both, _ = native.evaluate(np.ascontiguousarray(a + b))
        assert value > 0
        assert value == pytest.approx(float((a.astype(float) * gradient).sum()), rel=1e-4)
        assert both == pytest.approx(value + other + 2 * float((b * gradient).sum(dtype=float)), rel=1e-3)
        assert native.evaluate(np.ascontiguousarray(a), 3)[0] == value


def test_errors_of_chroma_count_less():
    planes = noise(33, 64)[0]
    weights = [planes, planes[::2, ::2].copy()]
    alike, tinted = core().Distortion(weights), core().Distortion(weights, 0.4)
    rng = np.random.default_rng(3)
    plane = rng.normal(size=planes.shape).astype(np.float32)
    grey, chroma, mixed = (
        plane * np.array(c, np.float32)[:, None, None] for c in ([1, 1, 1], [2, -1, 0], [3, 0, 1])
    )
    (before, gradient), (after, tinted_gradient) = (d.evaluate(grey) for d in (alike, tinted))
    assert after == pytest.approx(before, rel=1e-5)
    # Grey errors of 0.1 cost more where green has a part of them than where blue has.
    assert tinted_gradient[1].std() > gradient[1].std() > tinted_gradient[2].std()
    assert tinted.evaluate(chroma)[0] == pytest.approx(0.4 * alike.evaluate(chroma)[0], rel=1e-5)
    value, gradient = tinted.evaluate(mixed)
    assert value == pytest.approx(float((mixed.astype(float) * gradient).sum()), rel=1e-5)
    # Of two or fewer channels, and of alpha, nothing changes.
    assert tinted.evaluate(grey[:2])[0] == alike.evaluate(grey[:2])[0]
    with_alpha = np.concatenate([0 * grey, plane[None]])
    assert tinted.evaluate(with_alpha)[0] == alike.evaluate(with_alpha)[0]


@pytest.mark.parametrize("channels", [3, 4])
def test_the_refinement_counts_chroma_as_the_distortion_does(coffee, channels: int):
    pixels = load_picture(coffee).pixels[:, 40:104, 60:124].copy()
    if channels == 4:
        alpha = np.linspace(0.4, 1, 64, dtype=np.float32) * np.ones((64, 1), np.float32)
        pixels = np.concatenate([pixels * alpha, alpha[None]])
    background, step = pixels.mean((1, 2)), 0.1
    distortion = core().Distortion([np.linspace(0.5, 2, 64 * 64, dtype=np.float32).reshape(64, 64)], 0.3)
    fitter = core().Fitter(pixels, background, step, 0.107 * step**2, distortion=distortion)
    for _ in range(3):
        fitter.seed(0.01, 0.5)
        fitter.refresh()
        for _ in range(5):
            fitter.step()
    refiner = core().Refiner(fitter.quantize(), fitter, step)
    refiner.render()
    integers, savings = refiner.integers(), refiner.savings()

    def without(row: int | None) -> float:
        kept = np.asarray(integers[:, :channels].any(1))
        if row is not None:
            kept[row] = False
        drawn = core().render(*core().dequantize(integers[kept], step), 64, 64, 12.25, background, 1)
        return distortion.evaluate(drawn - pixels)[0]

    rows = np.flatnonzero(integers[:, :channels].any(1))[:20]
    assert np.ptp(savings[rows]) > 0
    expected = [without(row) - without(None) for row in rows]
    assert savings[rows] == pytest.approx(expected, rel=0.01, abs=0.002 * max(expected))
    classes = refiner.classes()
    before = without(None)
    for seed in range(3):
        tables = rate_tables(integers, classes, channels, 64 * 64)
        refiner.sweep(1e-6, *tables, seed, -1.0)
    integers = refiner.integers()
    assert without(None) < 0.95 * before, "bits are free, so that only the distortion counts"


@TUNES
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_what_lost_structure_is_to_show_more_of_what_it_kept(tune: str, channels: int):
    pixels = 0.25 + 0.5 * noise(96, 97, channels)
    if channels in (2, 4):
        pixels[-1] = 0.9
    colors = channels - (channels in (2, 4))
    assert np.array_equal(emphasised(pixels, GUIDES[tune], pixels), pixels)
    flat = np.full_like(pixels, 0.5)
    assert np.abs(emphasised(pixels, GUIDES[tune], flat) - pixels).max() < 1e-6
    shown = pixels.copy()
    shown[:, :48] = windowed(pixels)[:, :48]
    added = emphasised(pixels, GUIDES[tune], shown)[:colors] - pixels[:colors]
    assert np.abs(added - added[0]).max() < 1e-6, "grey"
    kept = GUIDES[tune].planes(shown - windowed(windowed(shown))).mean(0)[8:40, 8:40]
    assert np.corrcoef(kept.ravel(), added[0, 8:40, 8:40].ravel())[0, 1] > 0.8
    assert np.abs(added[0, 72:]).max() < 0.2 * np.abs(added[0, 8:40]).max()
    if channels in (2, 4):
        pixels[:-1] = 0.9 * noise(96, 97, channels)[:-1]
        out = emphasised(pixels, GUIDES[tune], shown)
        assert np.array_equal(out[-1], pixels[-1])
        assert (out[:-1] <= out[-1]).all()


def test_a_fit_goes_on_towards_another_picture(coffee):
    pixels = load_picture(coffee).pixels[:, :64, :64].copy()
    background = np.zeros(3, np.float32)
    fitter = core().Fitter(pixels, background, 0.1, 0.001)
    fitter.seed(0.02, 0.5)
    fitter.refresh()
    other = np.ascontiguousarray(pixels[:, ::-1])
    fitter.retarget(other)
    fitter.refresh()
    drawn = core().render(*fitter.splats(), 64, 64, 9.5, background, 1)
    assert fitter.sse == pytest.approx(float(np.square(drawn - other).sum()), rel=0.01)
    before = fitter.sse
    for _ in range(10):
        fitter.step()
    assert fitter.sse < 0.9 * before
    with pytest.raises(ValueError, match="shape"):
        fitter.retarget(other[:, :32].copy())


def test_distortion_follows_ms_ssim(coffee):
    """Equal distortion of two kinds of error is about equal MS-SSIM; equal SSE is far from it."""
    x = np.asarray(coffee)
    pixels = load_picture(coffee).pixels
    native = core().Distortion(structure_weights(pixels, GUIDES["ms-ssim"]))
    rng = np.random.default_rng(2)
    finest = structure_weights(pixels, GUIDES["ms-ssim"])[0]
    smooth = finest > np.median(finest)
    spread = rng.normal(size=finest.shape)
    loss = []
    for where in (smooth, ~smooth):
        error = np.array(np.broadcast_to(where * spread, pixels.shape), np.float32, order="C")
        error *= np.float32(math.sqrt(20 / native.evaluate(error)[0]))
        noisy = np.rint(np.clip(pixels + error, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
        loss.append((ms_ssim_db(x, noisy), float(np.square(error).sum())))
    assert abs(loss[0][0] - loss[1][0]) < 1.5
    assert loss[1][1] > 2 * loss[0][1]


def test_windows_have_the_mean_of_what_they_show():
    planes = noise(23, 31, 2)
    taps = np.exp(-0.5 * (np.arange(-WINDOW_RADIUS, WINDOW_RADIUS + 1) / WINDOW_SIGMA) ** 2)
    padded = np.pad(planes.astype(float), [(0, 0), (WINDOW_RADIUS,) * 2, (WINDOW_RADIUS,) * 2], mode="edge")
    shown = np.lib.stride_tricks.sliding_window_view(padded, (len(taps), len(taps)), (1, 2))
    expected = np.einsum("cyxij,i,j->cyx", shown, taps, taps) / taps.sum() ** 2
    assert np.abs(windowed(planes) - expected).max() < 1e-6
    assert np.array_equal(windowed(planes, Backend(3)), windowed(planes))


@TUNES
def test_errors_weigh_more_where_the_picture_is_flat(tune: str):
    pixels = noise(96, 96)[:, :, :48]
    pixels = np.concatenate([pixels, pixels[:, :, ::-1]], 2)
    assert all(
        np.allclose(a, b, rtol=1e-5, atol=1e-6)
        for a, b in zip(
            structure_weights(pixels, GUIDES[tune], pixels),
            structure_weights(pixels, GUIDES[tune]),
            strict=True,
        )
    )
    flat = pixels.copy()
    flat[:, :, :40] = 0.5
    before, after = (structure_weights(pixels, GUIDES[tune], shown)[0] for shown in (None, flat))
    grown = (after / before).mean(0)
    assert grown[8:32].min() > 2 * grown[64:88].max()


def test_a_fit_looks_at_what_it_lacks(coffee, quick, monkeypatch):
    seen = []

    def weights(pixels, tune, plane, shown=None, **options):
        seen.append(None if shown is None else float(np.abs(shown - pixels).mean()))
        return error_weights(pixels, tune, plane, shown, **options)

    monkeypatch.setattr("splat2d.fit.fitter.error_weights", weights)
    splat2d.encode(coffee, quality=40, preset=quick, tune="visual")
    assert seen[0] is None
    assert 0.1 > seen[1] > seen[2] > 0
    assert len(seen) == 3
    seen.clear()
    splat2d.encode(coffee, size=3000, preset=quick, tune="visual")
    assert [found is None for found in seen] == [True, False, False], "corrections keep the weights"
    with pytest.raises(ValueError, match="not weighed"):
        core().Fitter(np.zeros((1, 8, 8), np.float32), np.zeros(1, np.float32), 0.1, 0.001).reweigh([])


def test_the_default_is_for_the_eye(coffee, quick):
    plain = splat2d.encode(coffee, quality=40, preset=quick)
    assert splat2d.encode(coffee, quality=40, preset=quick, tune="visual") == plain
    others = [splat2d.encode(coffee, quality=40, preset=quick, tune=tune) for tune in ("psnr", "ms-ssim")]
    assert len({plain, *others}) == 3


def test_who_asks_for_a_psnr_gets_the_tune_for_it(coffee, quick):
    wanted = splat2d.encode(coffee, psnr=29.0, preset=quick)
    assert splat2d.encode(coffee, psnr=29.0, preset=quick, tune="psnr") == wanted
    assert len(splat2d.encode(coffee, psnr=29.0, preset=quick, tune="visual")) > len(wanted)


def test_tunes_have_chroma_steps_of_their_own(coffee, quick):
    steps = {
        tune: Scene.from_bytes(splat2d.encode(coffee, quality=30, preset=quick, tune=tune)).header.chroma_step
        for tune in CHROMA_STEPS
    }
    assert steps == {tune: round(8 * step) for tune, step in CHROMA_STEPS.items()}


@pytest.mark.parametrize("tune", ["visual", "ms-ssim"])
def test_quality_means_about_one_size(coffee, tune):
    plain, tuned = (len(splat2d.encode(coffee, quality=50, preset="fast", tune=t)) for t in ("psnr", tune))
    assert 0.7 < tuned / plain < 1.4


def test_visual_tune_wins_in_ssimulacra2(coffee):
    metric = pytest.importorskip("splat2d.bench.metrics").METRICS["ssimulacra2"].measure
    pytest.importorskip("ssimulacra2")
    large = coffee.resize((448, 352))
    x = np.asarray(large)
    plain = splat2d.encode(large, quality=45, preset="fast", tune="psnr")
    tuned = splat2d.encode(large, size=len(plain), preset="fast")
    assert metric(x, splat2d.decode(tuned)) > metric(x, splat2d.decode(plain)) + 2


def test_ms_ssim_tune_wins_by_a_margin(coffee):
    x = np.asarray(coffee)
    plain = splat2d.encode(coffee, quality=60, preset="fast", tune="psnr")
    tuned = splat2d.encode(coffee, size=len(plain), preset="fast", tune="ms-ssim")
    assert len(tuned) <= len(plain)
    assert ms_ssim_db(x, splat2d.decode(tuned)) > ms_ssim_db(x, splat2d.decode(plain)) + 0.3


def test_a_preset_may_name_the_tune(coffee, quick, tmp_path):
    path = tmp_path / "tuned.yaml"
    with open(quick) as file:
        path.write_text(file.read() + "tune: ms-ssim\n")
    named = splat2d.encode(coffee, quality=40, preset=quick, tune="ms-ssim")
    assert splat2d.encode(coffee, quality=40, preset=str(path)) == named
    assert splat2d.encode(coffee, quality=40, preset=str(path), tune="psnr") != named


@pytest.mark.parametrize("bad", ["ssim", "", 3, None])
def test_an_unknown_tune_is_one_clear_line(bad, quick, tmp_path):
    path = tmp_path / "bad.yaml"
    with open(quick) as file:
        path.write_text(file.read() + f"tune: {'null' if bad is None else repr(bad)}\n")
    with pytest.raises(ConfigError, match=r"tune is .*, expected visual, psnr or ms-ssim"):
        splat2d.encode(np.zeros((4, 4), np.uint8), preset=str(path))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (40, 23), (130, 70)])
def test_all_modes_and_sizes(height: int, width: int, channels: int, quick):
    picture = np.rint(noise(height, width, channels) * 255).astype(np.uint8).transpose(1, 2, 0)
    data = splat2d.encode(picture, quality=85, preset=quick, tune="ms-ssim")
    assert splat2d.decode(data).shape == (height, width, channels)


def test_psnr_target_is_plain_psnr(coffee, quick):
    encoded = encode_picture(load_picture(coffee), psnr=28, preset=quick, tune="ms-ssim")
    assert encoded.psnr >= 28
    error = splat2d.decode(encoded.data).astype(float) - np.asarray(coffee)
    assert encoded.psnr == pytest.approx(10 * math.log10(255**2 / np.square(error).mean()), abs=1e-3)


def test_tuned_file_does_not_depend_on_threads(coffee, quick):
    first, *others = [
        splat2d.encode(coffee, quality=50, preset=quick, tune="ms-ssim", threads=n) for n in (1, 2, 3)
    ]
    assert all(other == first for other in others)


def panned(coffee, count: int = 4) -> np.ndarray:
    """A window that goes over the picture, [T, 128, 160, 3]."""
    pixels = np.asarray(coffee)
    return np.stack([pixels[20 : 20 + 128, 10 + 3 * t : 170 + 3 * t] for t in range(count)])


def test_the_visual_tune_of_clips_wins_in_ssimulacra2(samples):
    """A better score in a smaller file."""
    from PIL import Image

    measure = pytest.importorskip("splat2d.bench.metrics").METRICS["ssimulacra2"].measure
    pytest.importorskip("ssimulacra2")
    with Image.open(samples / "chelsea.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    frames = np.stack([pixels[20:276, 10 + 4 * t : 330 + 4 * t] for t in range(2)])
    size, score = {}, {}
    for tune, quality in (("psnr", 66), ("visual", 60)):
        data = splat2d.encode(frames, quality=quality, tune=tune, preset="fast", fps=25, threads=1)
        clip = splat2d.Clip.from_bytes(data)
        size[tune] = len(data)
        score[tune] = np.mean([measure(x, clip.render(time=t / 25)) for t, x in enumerate(frames)])
    assert size["visual"] < 0.95 * size["psnr"]
    assert score["visual"] > score["psnr"]


def test_clips_have_the_tune_of_their_presets_pictures(tmp_path):
    path = tmp_path / "preset.yaml"
    for text, tune in (
        ("rounds: 3", "visual"),
        ("tune: ms-ssim", "ms-ssim"),
        ("tune: psnr\nclip:\n  tune: visual", "visual"),
    ):
        path.write_text(
            "rounds: 3\nsteps: 5\nfinal_steps: 4\nsweeps: 2\n" + text.replace("rounds: 3", "") + "\n"
        )
        config = load_clip_config(path)
        assert (config.tune, config.chroma_step) == (tune, CLIP_CHROMA_STEPS[tune])
    assert load_clip_config("default").tune == "visual"


def test_a_tuned_clip_does_not_depend_on_threads(coffee, tmp_path):
    preset = tmp_path / "quick.yaml"
    preset.write_text("clip:\n  half_rounds: 1\n  rounds: 1\n  steps: 4\n  final_steps: 3\n  sweeps: 2\n")
    frames = panned(coffee, 3)
    options = {"quality": 40, "preset": str(preset), "tune": "visual", "fps": 25}
    assert splat2d.encode(frames, threads=1, **options) == splat2d.encode(frames, threads=2, **options)


def test_a_clip_of_a_psnr_is_plain_psnr(coffee, tmp_path):
    preset = tmp_path / "quick.yaml"
    settings = "  half_rounds: 1\n  rounds: 1\n  steps: 4\n  final_steps: 3\n  sweeps: 1\n"
    preset.write_text("clip:\n" + settings)
    options = {"psnr": 24.0, "preset": str(preset), "fps": 25, "threads": 1}
    frames = panned(coffee, 2)
    assert splat2d.encode(frames, **options) == splat2d.encode(frames, tune="psnr", **options)
