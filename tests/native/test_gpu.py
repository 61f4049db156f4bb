"""The GPU's kernels: emulated on the CPU against the reference, and, where there is a GPU, there."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import splat2d
from splat2d.draw.render import Splats, View, render
from splat2d.errors import BackendUnavailableError, ConfigError, ShapeError, Splat2dError
from splat2d.native import core, gpu
from splat2d.native.backend import Backend
from splat2d.torch.reference import _render
from tests.support import emulated

from ..support.places import GOLDEN

CUTOFF = 12.25


def scene(count: int, channels: int, width: int, height: int, seed: int = 0) -> Splats:
    """Random splats, some of them far outside, huge, tiny, or none at all."""
    rng = np.random.default_rng(seed)
    means = rng.uniform([-20, -20], [width + 20, height + 20], (count, 2))
    scales = np.exp(rng.uniform(-1.5, 3, (count, 2)))
    if count >= 40:
        scales[0], scales[1], means[2] = 400, 0.05, [1e6, -1e6]
    turn = rng.uniform(0, np.pi, count)
    c, s = np.cos(turn), np.sin(turn)
    first, second = scales[:, 0] ** -2, scales[:, 1] ** -2
    conics = np.stack(
        [c * c * first + s * s * second, c * s * (first - second), s * s * first + c * c * second], 1
    )
    colors = rng.normal(size=(count, channels))
    if count >= 40:
        conics[3], means[4], conics[5], colors[6] = [1, 2, 1], np.nan, [np.inf, 0, 1], 0
    return means.astype(np.float32), conics.astype(np.float32), colors.astype(np.float32)


@pytest.fixture(scope="module")
def session() -> gpu.Session:
    return gpu.Session(kernels=emulated.kernels())


SIZES = [(1, 1), (15, 17), (16, 16), (33, 140), (150, 70)]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("count", [0, 1, 300])
def test_forward_is_the_reference(session, count, channels, width, height):
    splats = scene(count, channels, width, height, seed=width)
    background = np.random.default_rng(1).random(channels).astype(np.float32)
    found = session.render(*splats, width, height, CUTOFF, background)
    means, conics, colors, base = (torch.from_numpy(a).double() for a in (*splats, background))
    expected = _render(means, conics, colors, width, height, CUTOFF, base).numpy()
    assert np.abs(found - expected).max() < 2e-5 * max(np.abs(expected).max(), 1)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_backward_is_the_cores(session, channels, width, height):
    splats = scene(90, channels, width, height, seed=height)
    v_out = np.random.default_rng(2).normal(size=(channels, height, width)).astype(np.float32)
    expected = [np.zeros_like(a) for a in splats]
    core().backward_into(*splats, v_out, CUTOFF, 1, *expected)
    found = [np.full_like(a, 9) for a in splats]
    session.backward(
        tuple(a.ctypes.data for a in splats),
        (1, 90, channels),
        (width, height),
        CUTOFF,
        v_out.ctypes.data,
        tuple(a.ctypes.data for a in found),
    )
    for a, b in zip(found, expected, strict=True):
        # Needles, whose exponents cancel, go by columns here and by rows there: 7.5e-5 at worst.
        assert np.allclose(a, b, rtol=2e-4, atol=1e-4 * np.abs(b).max())


def test_frames_of_a_batch_are_those_drawn_alone(session):
    width, height, count = 150, 70, 120
    frames = [scene(count, 3, width, height, seed) for seed in range(3)]
    stacked = [np.ascontiguousarray(np.stack(arrays)) for arrays in zip(*frames, strict=True)]
    base = np.random.default_rng(3).random((3, 3, height, width)).astype(np.float32)
    out = np.zeros_like(base)
    pointers = tuple(a.ctypes.data for a in stacked)
    size, shape = (width, height), (3, count, 3)
    session.forward(pointers, shape, size, CUTOFF, out.ctypes.data, base.ctypes.data, base_is_color=False)
    for frame, (splats, drawn, under) in enumerate(zip(frames, out, base, strict=True)):
        alone = session.render(*splats, width, height, CUTOFF)
        assert np.array_equal(drawn, alone + under), frame
    v_out = np.random.default_rng(4).normal(size=base.shape).astype(np.float32)
    found = [np.zeros_like(a) for a in stacked]
    session.backward(pointers, shape, size, CUTOFF, v_out.ctypes.data, tuple(a.ctypes.data for a in found))
    for frame, splats in enumerate(frames):
        expected = [np.zeros_like(a) for a in splats]
        core().backward_into(*splats, v_out[frame], CUTOFF, 1, *expected)
        for a, b in zip(found, expected, strict=True):
            assert np.allclose(a[frame], b, rtol=2e-4, atol=2e-5 * np.abs(b).max())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [0.3, 1.0, 2.7])
def test_a_window_shows_what_the_cpu_shows(session, channels, scale):
    """Splats of the canvas, shrunk with their footprints, as `render` has them."""
    splats = scene(300, channels, 150, 70, seed=7)
    background = np.full(channels, 0.25, np.float32)
    view = View.crop(30.5, 10, 80, 50, scale)
    found = np.zeros((channels, view.height, view.width), np.float32)
    pointers = tuple(a.ctypes.data for a in splats)
    session.window(pointers, (300, channels), view, CUTOFF, found.ctypes.data, background.ctypes.data)
    with np.errstate(invalid="ignore"):
        expected = render(*splats, view, background=background)
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


def test_lists_that_do_not_fit_are_drawn_all_the_same(session):
    """More splats of a tile than are sorted, and more of all tiles than a first frame has room for."""
    count = 1500
    rng = np.random.default_rng(8)
    means = rng.uniform(0, 48, (count, 2)).astype(np.float32)
    means[1400:] = 8.3  # no pixel lies on the cut-off
    conics = np.tile(np.float32([0.5, 0, 0.5]), (count, 1))
    conics[:200] = [4e-3, 0, 4e-3]
    splats = means, conics, rng.normal(size=(count, 3)).astype(np.float32)
    expected = core().render(*splats, 48, 48, CUTOFF, None, 1)
    fresh = gpu.Session(kernels=emulated.kernels())
    first = fresh.render(*splats, 48, 48, CUTOFF)
    assert np.abs(first - expected).max() < 2e-5 * np.abs(expected).max()
    assert np.array_equal(fresh.render(*splats, 48, 48, CUTOFF), first), "by lists"
    splats[0][:] = 8.3
    expected = core().render(*splats, 48, 48, CUTOFF, None, 1)
    found = fresh.render(*splats, 48, 48, CUTOFF)
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


def test_large_splats_are_shared_out(session):
    """Their gradients are the core's; with too many of them each goes alone."""
    width, height = 150, 120
    for count in (5, 2100):
        rng = np.random.default_rng(count)
        means = rng.uniform(0, [width, height], (count, 2)).astype(np.float32)
        conics = np.tile(np.float32([2e-3, 5e-4, 3e-3]), (count, 1))
        colors = rng.normal(size=(count, 1)).astype(np.float32)
        splats = means, conics, colors
        v_out = rng.normal(size=(1, height, width)).astype(np.float32)
        expected, found = ([np.zeros_like(a) for a in splats] for _ in range(2))
        core().backward_into(*splats, v_out, CUTOFF, 2, *expected)
        pointers, to = ([a.ctypes.data for a in arrays] for arrays in (splats, found))
        session.backward(
            tuple(pointers), (1, count, 1), (width, height), CUTOFF, v_out.ctypes.data, tuple(to)
        )
        for a, b in zip(found, expected, strict=True):
            # Pixels on the cut-off may count here and not there: 2.5e-4 at worst.
            assert np.allclose(a, b, rtol=2e-4, atol=4e-4 * np.abs(b).max())


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_bytes_are_the_cores(session, channels):
    splats = scene(200, channels, 90, 60, seed=5)
    splats[2][:] *= np.float32(0.1)
    background = np.full(channels, 0.4, np.float32)
    straight = channels in (2, 4)
    found = session.render(*splats, 90, 60, CUTOFF, background, unpremultiply=straight, as_bytes=True)
    expected = core().render_bytes(*splats, 90, 60, CUTOFF, background, straight, 1)
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001
    assert len(np.unique(expected)) > 60


def test_the_same_bits_every_time(session):
    splats = scene(300, 3, 150, 70)
    first = session.render(*splats, 150, 70, CUTOFF)
    session.render(*scene(10, 3, 20, 20), 20, 20, CUTOFF)
    assert np.array_equal(session.render(*splats, 150, 70, CUTOFF), first)
    assert np.array_equal(gpu.Session(kernels=emulated.kernels()).render(*splats, 150, 70, CUTOFF), first)


def test_faults_are_our_errors(session):
    splats = scene(1, 3, 10, 10)
    with pytest.raises(BackendUnavailableError, match=r"memory does not suffice \(.*out of memory\)"):
        session.forward((0, 0, 0), (2000, 1 << 20, 3), (8, 8), CUTOFF, 0)
    for shape, size, message in (
        ((1, 1, 3), (0, 8), "width"),
        ((1, 1, 3), (8, 1 << 19), "height"),
        ((1, 1, 5), (8, 8), "channels"),
        ((0, 1, 3), (8, 8), "frames"),
        ((1, -1, 3), (8, 8), "splats"),
    ):
        with pytest.raises(ShapeError, match=message):
            session.forward((0, 0, 0), shape, size, CUTOFF, 0)
    # The session goes on.
    assert session.render(*splats, 10, 10, CUTOFF).shape == (3, 10, 10)


# Choosing a device.


@pytest.fixture
def uncached():
    gpu.library.cache_clear()
    gpu.unavailable.cache_clear()
    yield
    gpu.library.cache_clear()
    gpu.unavailable.cache_clear()


def test_without_kernels_auto_is_the_cpu_and_cuda_says_why(monkeypatch, uncached):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not Backend(device="auto").uses_gpu()
    assert not Backend(device="cpu").uses_gpu()
    with pytest.raises(BackendUnavailableError, match="no GPU kernels; build splat2d where CUDA's compiler"):
        Backend(device="cuda").uses_gpu()


def test_kernels_that_do_not_load_are_one_line(monkeypatch, uncached, tmp_path):
    (tmp_path / "_cuda.so").write_bytes(b"not a library")
    spec = importlib.util.spec_from_file_location("splat2d._cuda", tmp_path / "_cuda.so")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(BackendUnavailableError, match=r"^the GPU kernels do not load \(.*\)$"):
        Backend(device="cuda").uses_gpu()
    assert not Backend(device="auto").uses_gpu()


def test_an_unknown_device():
    with pytest.raises(ConfigError, match="device must be one of auto, cpu, cuda, found 'tpu'"):
        Backend(device="tpu")


def test_a_gpu_that_fails_is_left_to_the_cpu_with_auto_only(monkeypatch):
    class Broken:
        def render(self, *_, **__):
            raise BackendUnavailableError("the GPU cannot be used: it fell off the bus")

    monkeypatch.setattr(gpu, "unavailable", lambda: None)
    monkeypatch.setattr(gpu, "session", Broken)
    splats, view = scene(3, 3, 9, 9), View.whole(9, 9)
    drawn = render(*splats, view, backend=Backend(device="auto"))
    assert np.array_equal(drawn, render(*splats, view))
    with pytest.raises(BackendUnavailableError, match="fell off the bus"):
        render(*splats, view, backend=Backend(device="cuda"))


def test_scenes_are_drawn_by_the_device_they_ask_for(monkeypatch, samples):
    """The whole way from bytes to pixels, with the emulated kernels as the GPU."""
    with Image.open(samples / "chelsea.png") as picture:
        pixels = np.asarray(picture.convert("RGB").crop((120, 60, 184, 108)))
    data = splat2d.encode(pixels, quality=40, preset="fast")
    expected = splat2d.decode(data, scale=1.5), splat2d.decode(data, dtype="float32")
    session = gpu.Session(kernels=emulated.kernels())
    monkeypatch.setattr(gpu, "unavailable", lambda: None)
    monkeypatch.setattr(gpu, "session", lambda: session)
    drawn = splat2d.decode(data, scale=1.5, device="cuda")
    assert np.abs(drawn.astype(int) - expected[0]).max() <= 1
    floats = splat2d.decode(data, dtype="float32", device="auto")
    assert np.abs(floats - expected[1]).max() < 1e-5
    assert not np.array_equal(floats, expected[1]), "the kernels' exponential is another"


def test_a_window_goes_into_a_tensor(samples):
    with Image.open(samples / "chelsea.png") as picture:
        pixels = np.asarray(picture.convert("RGB").crop((120, 60, 184, 108)))
    scene = splat2d.Scene.from_bytes(splat2d.encode(pixels, quality=40, preset="fast"))
    window = {"crop": (10, 5, 40, 30), "scale": 2.5, "tiers": 4}
    found = splat2d.render_tensor(scene, **window, device="cpu")
    assert found.shape == (3, 75, 100)
    assert np.array_equal(found.permute(1, 2, 0).numpy(), scene.render_float(**window))
    with pytest.raises(ConfigError, match="one layer without edits"):
        splat2d.render_tensor(scene["picture"].blur(2).scene, device="cpu")
    with pytest.raises(BackendUnavailableError, match="torch cannot use the device 'cuda:97'"):
        splat2d.render_tensor(scene, device="cuda:97")


def test_importing_loads_nothing():
    code = "import splat2d.native.gpu as g, sys; print('torch' in sys.modules, g.library.cache_info().misses)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "0"]


# On a GPU.


@pytest.mark.gpu
@emulated.needs_gpu
def test_a_gpu_draws_what_the_cpu_draws():
    for channels in (1, 2, 3, 4):
        splats = scene(2000, channels, 301, 203, seed=channels)
        found = gpu.session().render(*splats, 301, 203, CUTOFF)
        expected = core().render(*splats, 301, 203, CUTOFF, None, 1)
        difference = np.abs(found - expected)
        # A pixel on a cut-off may count on one side only, which is exp(-CUTOFF / 2) of an amplitude.
        assert difference.max() < 1.1 * np.exp(-CUTOFF / 2) * np.abs(splats[2]).max()
        assert (difference > 1e-5 * np.abs(expected).max()).mean() < 1e-3


@pytest.mark.gpu
@emulated.needs_gpu
@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.splat")), ids=lambda path: path.stem)
def test_a_gpu_draws_the_golden_files(path):
    try:
        scene = splat2d.Scene.from_bytes(path.read_bytes())
    except Splat2dError:
        pytest.skip("a broken file")
    for scale in (0.6, 1.0, 2.3):
        found, expected = (scene.render(scale=scale, device=device) for device in ("cuda", "cpu"))
        # Straight colours of what is nearly clear may differ at will.
        if scene.channels in (2, 4):
            found, expected = ((a[..., :-1] * (a[..., -1:] / 255.0)).round() for a in (found, expected))
        assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.gpu
@emulated.needs_gpu
def test_the_same_bits_every_time_on_a_gpu():
    splats = scene(3000, 3, 500, 400)
    v_out = np.random.default_rng(1).normal(size=(3, 400, 500)).astype(np.float32)
    first = gpu.session().render(*splats, 500, 400, CUTOFF)
    for _ in range(20):
        assert np.array_equal(gpu.session().render(*splats, 500, 400, CUTOFF), first)
    if not torch.cuda.is_available():
        return
    tensors = [torch.from_numpy(a).cuda() for a in splats]
    cotangent = torch.from_numpy(v_out).cuda()
    pictures = []
    for _ in range(10):
        to = [torch.empty_like(t) for t in tensors]
        gpu.session().backward(
            tuple(t.data_ptr() for t in tensors),
            (1, 3000, 3),
            (500, 400),
            CUTOFF,
            cotangent.data_ptr(),
            tuple(t.data_ptr() for t in to),
        )
        torch.cuda.synchronize()
        pictures.append([t.cpu() for t in to])
    for other in pictures[1:]:
        assert all(torch.equal(a, b) for a, b in zip(pictures[0], other, strict=True))


@pytest.mark.gpu
@emulated.needs_gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this torch has no CUDA")
def test_a_window_goes_into_a_tensor_of_a_gpu(samples):
    with Image.open(samples / "chelsea.png") as picture:
        pixels = np.asarray(picture.convert("RGB").crop((120, 60, 184, 108)))
    decoded = splat2d.Scene.from_bytes(splat2d.encode(pixels, quality=40, preset="fast"))
    for window in ({"crop": (10, 5, 40, 30), "scale": 2.5, "tiers": 4}, {"scale": 0.4}, {}):
        found = splat2d.render_tensor(decoded, **window, device="cuda").permute(1, 2, 0).cpu().numpy()
        assert np.abs(found - decoded.render_float(**window)).max() < 3e-3


@pytest.mark.gpu
@emulated.needs_gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this torch has no CUDA")
def test_rasterize_on_cuda_tensors():
    from splat2d.torch.rasterize import rasterize

    results = []
    for device in ("cpu", "cuda"):
        tensors = [torch.from_numpy(a).to(device).requires_grad_() for a in scene(500, 3, 120, 90)]
        picture = rasterize(*tensors, width=120, height=90)
        picture.square().sum().backward()
        results.append([picture.detach().cpu(), *[t.grad.cpu() for t in tensors]])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()))
