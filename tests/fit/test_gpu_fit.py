"""The fit on a GPU: its own source emulated on the CPU against the core, and, where there is a GPU, there."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import splat2d
from splat2d.errors import BackendUnavailableError
from splat2d.fit import cuda
from splat2d.native import core, gpu
from tests.support import emulated

STEP = 0.1
LAMBDA = 0.107 * STEP**2


@pytest.fixture(scope="module")
def chelsea(samples) -> np.ndarray:
    """A cat's eye, [3, 40, 56], with a white corner that the decoder clamps."""
    with Image.open(samples / "chelsea.png") as picture:
        pixels = np.asarray(picture.convert("RGB").crop((120, 90, 176, 130)), np.float32) / 255
    pixels[:12, 40:] = 1
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def picture_of(chelsea: np.ndarray, channels: int) -> np.ndarray:
    """One to four channels of it, alpha last."""
    alpha = np.ones_like(chelsea[:1])
    alpha[:, :, :9] = 0.4
    planes = {1: [chelsea[1:2]], 2: [chelsea[1:2] * alpha, alpha], 3: [chelsea], 4: [chelsea * alpha, alpha]}
    return np.ascontiguousarray(np.concatenate(planes[channels]))


def trajectory(module, picture: np.ndarray, weights: list[np.ndarray] | None = None, rounds: int = 4):
    """A short fit by a module's Fitter: the fitter, and what it was at every stage."""
    background = picture.mean((1, 2)).astype(np.float32)
    distortion = None if weights is None else module.Distortion(weights, 0.6)
    fitter = module.Fitter(picture, background, STEP, LAMBDA, distortion=distortion)
    stages = []
    for number in range(rounds):
        removed = fitter.prune(1.0)
        fitter.refresh()
        candidates, added = fitter.seed(17 * LAMBDA, 0.4)
        fitter.refresh()
        steps = [fitter.step() for _ in range(5)]
        if number == 1:
            fitter.set_rate(0.9 * STEP, 0.8 * LAMBDA)
            fitter.refresh()
        if number == 2 and weights is not None:
            fitter.reweigh([module.Distortion([plane[::-1].copy() for plane in weights], 0.5)])
            fitter.retarget(picture**1.1)
            fitter.refresh()
        stages.append((removed, candidates, added, sum(steps), fitter.count, fitter.sse, fitter.bits))
    return fitter, np.array(stages)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_fit_is_the_cores(as_the_gpu, chelsea, channels):
    picture = picture_of(chelsea, channels)
    expected, by_core = trajectory(core(), picture)
    found, by_gpu = trajectory(cuda, picture)
    assert np.array_equal(by_gpu[:, :5], by_core[:, :5])
    assert np.allclose(by_gpu[:, 5:], by_core[:, 5:], rtol=2e-3)
    assert by_core[-1, 4] > 15
    assert by_core[:, 0].sum() > 0, "some splats are pruned"
    for a, b in zip(found.splats(), expected.splats(), strict=True):
        assert a.shape == b.shape
    # Seeds that promise nearly the same may come in another order.
    apart = np.abs(found.splats()[0][:, None] - expected.splats()[0]).max(2)
    same = apart.argmin(1)
    assert len(set(same)) == len(same)
    assert apart.min(1).max() < 0.05
    assert (found.quantize() == expected.quantize()[same]).mean() > 0.97


def test_a_weighed_fit_is_the_cores(as_the_gpu, chelsea):
    """Also with sides that do not halve evenly."""
    picture = np.ascontiguousarray(chelsea[:, :39, :53])
    rng = np.random.default_rng(0)
    sizes = [(39, 53), (20, 27), (10, 14)]
    weights = [rng.uniform(0.1, 1, size).astype(np.float32) for size in sizes]
    _, by_core = trajectory(core(), picture, weights)
    _, by_gpu = trajectory(cuda, picture, weights)
    assert np.array_equal(by_gpu[:, :5], by_core[:, :5])
    assert np.allclose(by_gpu[:, 5:], by_core[:, 5:], rtol=2e-3)


def test_the_same_bits_every_time(as_the_gpu, chelsea):
    (first, a), (second, b) = trajectory(cuda, chelsea, rounds=2), trajectory(cuda, chelsea, rounds=2)
    assert np.array_equal(a, b)
    assert all(np.array_equal(x, y) for x, y in zip(first.splats(), second.splats(), strict=True))


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("on_core", [True, False])
def test_what_has_rested_goes_on_as_if_it_had_not(as_the_gpu, chelsea, on_core, weighed):
    """Behind it come seeds, a step or a look: each has to see the picture first."""
    module = core() if on_core else cuda
    weights = [np.full(size, 0.7, np.float32) for size in ((40, 56), (20, 28))] if weighed else None
    results = []
    for rests in (False, True):
        fitter, _ = trajectory(module, chelsea, weights, rounds=1)
        if rests:
            fitter.rest()
        seeds = fitter.seed(17 * LAMBDA, 0.4)
        if rests:
            fitter.rest()
        fitter.refresh()
        if rests:
            fitter.rest()
        stepped = fitter.step()
        results.append((seeds, stepped, fitter.sse, *(part.tobytes() for part in fitter.splats())))
    assert results[0] == results[1]


def test_a_fit_moves_to_twice_the_size(as_the_gpu, chelsea):
    half = np.ascontiguousarray(chelsea.reshape(3, 20, 2, 28, 2).mean((2, 4)))
    results = []
    for module in (core(), cuda):
        small, _ = trajectory(module, half, rounds=2)
        large = module.Fitter(chelsea, chelsea.mean((1, 2)).astype(np.float32), STEP, LAMBDA)
        large.resample_from(small, 2.0)
        assert np.allclose(large.splats()[0], 2 * small.splats()[0])
        results.append(large.sse)
    assert results[0] == pytest.approx(results[1], rel=2e-3)


def test_a_picture_too_large_for_the_memory_is_our_error(emulated_gpu):
    large = np.zeros((1, 4000, 5000), np.float32)
    with pytest.raises(BackendUnavailableError, match="the GPU's memory does not suffice"):
        cuda.Fitter(large, np.zeros(1, np.float32), STEP, LAMBDA)
    # What was taken until then is free again.
    cuda.Fitter(large[:, :2000], np.zeros(1, np.float32), STEP, LAMBDA)


def pixels_of(picture: np.ndarray) -> np.ndarray:
    return (picture.transpose(1, 2, 0) * 255).round().astype(np.uint8)


def test_without_a_gpu_cuda_says_why_and_auto_uses_the_cpu(monkeypatch, chelsea):
    monkeypatch.setattr(gpu, "unavailable", lambda: "there is no GPU that CUDA can use")
    image = pixels_of(chelsea)
    with pytest.raises(BackendUnavailableError, match="no GPU that CUDA can use"):
        splat2d.encode(image, preset="fast", device="cuda")
    assert splat2d.encode(image, preset="fast", device="auto") == splat2d.encode(image, preset="fast")


def test_a_gpu_that_fails_is_left_to_the_cpu_with_auto_only(monkeypatch, chelsea):
    def fail(*_, **__):
        raise BackendUnavailableError("the GPU cannot be used: it fell off the bus")

    monkeypatch.setattr(gpu, "unavailable", lambda: None)
    monkeypatch.setattr(cuda, "Fitter", fail)
    image = pixels_of(chelsea)
    assert splat2d.encode(image, preset="fast", device="auto") == splat2d.encode(image, preset="fast")
    with pytest.raises(BackendUnavailableError, match="fell off the bus"):
        splat2d.encode(image, preset="fast", device="cuda")


def test_objects_are_fitted_on_the_gpu_too(as_the_gpu, chelsea):
    image = pixels_of(chelsea)
    mask = np.zeros(image.shape[:2], np.float32)
    mask[10:30, 12:34] = 1
    files = {
        device: splat2d.encode(image, quality=30, preset="fast", masks={"eye": mask}, device=device)
        for device in ("cpu", "cuda")
    }
    pixels = {device: splat2d.decode(data).astype(float) for device, data in files.items()}
    errors = {device: np.square(p - image).mean() for device, p in pixels.items()}
    assert errors["cuda"] == pytest.approx(errors["cpu"], rel=0.15)
    assert len(files["cuda"]) == pytest.approx(len(files["cpu"]), rel=0.1)


@pytest.mark.gpu
@emulated.needs_gpu
def test_a_gpu_fits_what_the_core_fits(samples):
    with Image.open(samples / "chelsea.png") as picture:
        pixels = np.asarray(picture.convert("RGB"), np.float32).transpose(2, 0, 1) / 255
    results = [trajectory(module, np.ascontiguousarray(pixels))[1][-1] for module in (core(), cuda)]
    assert results[1][4:] == pytest.approx(results[0][4:], rel=0.02)


@pytest.mark.gpu
@emulated.needs_gpu
@pytest.mark.parametrize("tune", ["psnr", "ms-ssim"])
def test_files_of_a_gpu_are_as_good_as_the_cpus(samples, tune):
    with Image.open(samples / "chelsea.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    settings = {"quality": 50, "preset": "fast", "tune": tune}
    files = {device: splat2d.encode(pixels, **settings, device=device) for device in ("cpu", "cuda")}
    errors = {d: np.square(splat2d.decode(f).astype(float) - pixels).mean() for d, f in files.items()}
    assert errors["cuda"] == pytest.approx(errors["cpu"], rel=0.05)
    assert len(files["cuda"]) == pytest.approx(len(files["cpu"]), rel=0.05)
    assert splat2d.encode(pixels, **settings, device="cuda") == files["cuda"], "the same bits every time"
