"""Fitting clips: the gradient against differences, still and moving pictures, and what refinement keeps."""

import numpy as np
import pytest

from splat2d.fit.clip.camera import camera_path
from splat2d.fit.clip.segment import SEEDS, SegmentFit, planar
from splat2d.fit.config import ClipConfig
from splat2d.fit.rates import moving_tables, rate_tables
from splat2d.native import core
from splat2d.native.backend import Backend

from ..support.moving_splats import moved_by, random_state
from ..support.scenes_in_time import moving_scene

QUICK = ClipConfig(rounds=3, steps=5, final_steps=9, sweeps=2)


@pytest.mark.parametrize(
    ("lmbda", "size", "density"),
    [(1e-9, 1.0, 1.0), (0.5, 1.0, 1.0), (1e-9, 4.0, 1.0), (1e-9, 1.0, 3.0), (0.5, 2.0, 0.4)],
)
def test_natural_gradient_is_that_of_the_objective(lmbda, size, density):
    rng = np.random.default_rng(0)
    frames, width, height, count = 6, 56, 40, 10
    pixels = rng.random((frames, 3, height, width)).astype(np.float32)
    shifts = np.zeros((frames, 2), np.float32)
    shifts[:, 0] = -0.7 * np.arange(frames)
    gains = np.linspace(1.2, 0.9, frames).astype(np.float32)
    background = np.full(3, 0.5, np.float32)

    def fitter(means, factors, k):
        # A cut-off so large that no step of the differences crosses it.
        weights = np.full((height, width), density, np.float32)
        distortions = [core().Distortion([weights])] * frames if density != 1 else []
        options = {"cutoff": 40.0, "distortions": distortions}
        f = core().ClipFitter(pixels, shifts, gains, width + 4, height, background, 0.3, lmbda, **options)
        arrays = (means, factors.reshape(-1, 9), k)
        f.insert(*(np.ascontiguousarray(a, np.float32) for a in arrays))
        return f

    means, factors, k = random_state(rng, count, width, height, frames, size)
    gradient = fitter(means, factors, k).natural_gradient()
    # Colours only where the rate's corner at 0 is rounded alike, that is without the rate.
    for columns in [range(3)] * (lmbda < 0.1) + [range(3, 5), range(5, 6), range(6, 9), range(9, 12)]:
        z = np.zeros((count, 12))
        z[:, columns] = rng.standard_normal((count, len(columns)))

        def moved(t, z=z):
            return fitter(*moved_by(t * z, means, factors, k, density)).value()

        step = 1e-2
        difference = (moved(step) - moved(-step)) / (2 * step)
        assert (gradient * z).sum() == pytest.approx(difference, rel=0.04, abs=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_splats_that_last_long_and_are_fast_have_the_shape_of_their_slice(seed):
    # All factors L Q have the covariance L L^T; of products of their rows, 10^7 px^2, a slice of 2 px^2 is no
    # more than the rounding.
    rng = np.random.default_rng(seed)
    frames, width, height, duration, velocity = 64, 60, 40, 256.0, (-15.0, 11.0)
    factor = np.array([[2, 0, velocity[0] * duration], [0.4, 1, velocity[1] * duration], [0, 0, duration]])
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    pixels = np.zeros((frames, 1, height, width), np.float32)
    found = []
    for turned in (factor, factor @ turn):
        f = core().ClipFitter(
            pixels,
            np.zeros((frames, 2), np.float32),
            np.ones(frames, np.float32),
            width,
            height,
            np.zeros(1, np.float32),
            0.3,
            1e-9,
        )
        arrays = (np.array([[30, 20, 32.5]]), turned.reshape(1, 9), np.array([[5.0]]))
        f.insert(*(np.ascontiguousarray(a, np.float32) for a in arrays))
        found.append((f.value(), np.linalg.norm(f.natural_gradient())))
        assert f.step()
    np.testing.assert_allclose(found[1], found[0], rtol=2e-3)


def drawn(means, factors, k, frames, width, height):
    """Frames [T, H, W] of one channel, straight from the definition."""
    ys, xs = np.mgrid[0.5:height, 0.5:width]
    times = np.arange(frames) + 0.5
    out = np.zeros((frames, height, width))
    for mean, factor, amplitude in zip(means, factors, k, strict=True):
        cov = factor @ factor.T
        velocity = cov[:2, 2] / cov[2, 2]
        of_slice = cov[:2, :2] - np.outer(velocity, cov[:2, 2])
        q_time = (times - mean[2]) ** 2 / cov[2, 2]
        norm = np.sqrt(np.pi * np.sqrt(np.linalg.det(of_slice)) * np.exp(-q_time).sum())
        a, b, _, c = np.linalg.inv(of_slice).ravel()
        for t in range(frames):
            x, y = mean[:2] + velocity * (times[t] - mean[2])
            q = a * (xs - x) ** 2 + 2 * b * (xs - x) * (ys - y) + c * (ys - y) ** 2
            out[t] += amplitude[0] / norm * np.exp(-0.5 * (q + q_time[t]))
    return out


@pytest.mark.parametrize("size", [1.0, 2.5, 6.0])
def test_splats_are_drawn_as_defined_on_every_level(size):
    rng = np.random.default_rng(1)
    frames, width, height, count = 3, 150, 131, 6
    means, factors, k = random_state(rng, count, width, height, frames, size)
    k *= 10
    expected = drawn(means, factors, k[:, :1], frames, width, height)
    # Not 0: values at the ends of the range are clamped.
    pixels = (0.5 + 0.1 * rng.standard_normal((frames, 1, height, width))).astype(np.float32)
    fitter = core().ClipFitter(
        pixels,
        np.zeros((frames, 2), np.float32),
        np.ones(frames, np.float32),
        width,
        height,
        np.full(1, 0.5, np.float32),
        0.3,
        1e-9,
        cutoff=60.0,
    )
    fitter.insert(*(np.ascontiguousarray(a, np.float32) for a in (means, factors.reshape(-1, 9), k[:, :1])))
    wanted = ((0.5 + expected - pixels[:, 0]) ** 2).sum()
    assert wanted > 1.5 * ((0.5 - pixels) ** 2).sum()
    assert fitter.sse == pytest.approx(wanted, rel=1e-3)


def test_seeds_see_what_was_pruned():
    rng = np.random.default_rng(5)
    pixels = np.repeat(rng.random((6, 3, 8, 12), np.float32), 4, 2).repeat(4, 3)
    background, zeros = np.full(3, 0.5, np.float32), np.zeros((6, 2), np.float32)

    def seeded(look: bool):
        fitter = core().ClipFitter(pixels, zeros, np.ones(6, np.float32), 48, 32, background, 0.3, 1e-3)
        fitter.seed(1e-2, 1.0, **SEEDS, durations=[1.0])
        fitter.refresh()
        assert fitter.prune(2000.0) > 0
        if look:
            fitter.value()
        fitter.seed(1e-2, 1.0, **SEEDS, durations=[1.0])
        return fitter.state()

    for found, expected in zip(seeded(False), seeded(True), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_seeds_move_with_what_they_show():
    y, x = np.mgrid[0.5:64, 0.5:96]
    velocity = np.array([4.0, -2.0])
    frames = np.zeros((7, 3, 64, 96), np.float32)
    for t in range(7):
        cx, cy = np.array([48, 32]) + velocity * (t - 3)
        frames[t] = 0.4 + 0.3 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 2.0**2))
    fitter = core().ClipFitter(
        frames,
        np.zeros((7, 2), np.float32),
        np.ones(7, np.float32),
        96,
        64,
        np.full(3, 0.4, np.float32),
        0.3,
        1e-3,
    )
    fitter.seed(1e-2, 1.0, **SEEDS, durations=[1.0])
    means, factors, k = fitter.state()
    factors = factors.reshape(-1, 3, 3)
    short = np.flatnonzero(factors[:, 2, 2] < 2)  # others last from beginning to end
    best = short[(k[short] ** 2).sum(1).argsort()[-2:]]
    factors = factors[best]
    found = factors[:, :2, 2] / factors[:, 2:, 2]
    np.testing.assert_allclose(found, np.tile(velocity, (2, 1)), atol=0.5)
    # On the blob's path, too
    away = means[best, :2] - ([48, 32] + velocity * (means[best, 2:] - 3.5))
    assert np.abs(away).max() < 1.0


def test_some_frames_stand_for_all():
    frames = np.repeat(moving_scene(1), 12, axis=0)
    fit = SegmentFit(frames, QUICK, 0.5)

    def fitter(every, count=12):
        pixels = np.ascontiguousarray(planar(frames)[::every])
        shifts, gains = np.zeros((len(pixels), 2), np.float32), np.ascontiguousarray(fit._gains[::every])
        background = np.array(fit.background, np.float32) / 255
        settings = background, 0.5, fit.lmbda
        return core().ClipFitter(pixels, shifts, gains, 96, 64, *settings, every=every, count=count)

    every, some = fitter(1), fitter(3)
    for one in (every, some):
        one.insert(*fit._fitter.state())
    assert some.sse == pytest.approx(every.sse, rel=0.05)
    gradient, less = every.natural_gradient(), some.natural_gradient()
    assert (less * gradient).sum() > 0.7 * np.linalg.norm(less) * np.linalg.norm(gradient)
    with pytest.raises(ValueError, match="every so many"):
        fitter(3, count=5)


def test_still_picture_costs_hardly_more_than_one_frame():
    frames = np.repeat(moving_scene(1), 12, axis=0)
    one, many = (SegmentFit(part, QUICK, 0.5).refined().integers() for part in (frames[:1], frames))
    assert not many[:, -2:].any()  # nothing moves
    assert len(many) < 5 * len(one)


def test_pan_is_the_camera_s():
    frames = moving_scene(10, pan=(1.5, -0.5))
    path = camera_path(frames) / 64
    steps = np.diff(path, axis=0)
    assert np.abs(steps - [1.5, -0.5]).max() < 0.1
    assert path.max() == 0
    still = camera_path(np.repeat(frames[:1], 5, axis=0))
    assert not still.any()


def test_fit_does_not_depend_on_threads():
    frames = moving_scene(6, pan=(1.0, 0.0))
    one, two = (SegmentFit(frames, QUICK, 0.5, backend=Backend(n)).refined().integers() for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_refinement_lowers_the_objective():
    frames = moving_scene(6)
    rough = fine = 0.0
    for step in (0.3, 0.45, 0.6):  # a single fit of so few splats gains by chance
        fit = SegmentFit(frames, ClipConfig(rounds=3, steps=5, final_steps=9, sweeps=0), step)
        results = [fit.refined().integers()]
        fit.config = QUICK
        results.append(fit.refined().integers())
        before, after = (core().ClipRefiner(q, fit._fitter, fit.step).render() for q in results)
        rough += before
        fine += after
    assert fine < 0.9 * rough


def test_refinement_moves_splats():
    frames = moving_scene(6)
    fit = SegmentFit(frames, ClipConfig(rounds=3, steps=5, final_steps=9, sweeps=0), 0.1)
    refiner = core().ClipRefiner(fit._fitter.quantize(), fit._fitter, fit.step)

    before, classes = refiner.integers(), refiner.classes()
    tables = (*rate_tables(before, classes, 3, 96 * 64), *moving_tables(before, classes, 3, 6))
    rough = refiner.render()
    changed, removed = refiner.sweep(fit.lmbda, *tables, 0, 0.0)
    after = refiner.integers()
    alive = after[:, :3].any(1)
    moved = (before[alive, 3:] != after[alive, 3:]).mean(0)
    assert changed >= (before[alive] != after[alive]).any(1).sum()
    assert removed == (before[:, :3].any(1) & ~alive).sum()
    assert refiner.render() < rough
    # Every field is moved: area, aspect, angle, place, duration, time and velocity.
    assert (moved > 0.03).all(), moved
    again, _ = refiner.sweep(fit.lmbda, *tables, 1, 0.0)
    assert again < changed


def test_planar_is_exact():
    frames = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    np.testing.assert_allclose(planar(frames), frames.transpose(0, 3, 1, 2) / 255, atol=1e-7)
