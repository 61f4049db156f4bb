"""Clips that ride on a motion field: the gradient through it, its estimation, and when it pays."""

import io
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from splat2d.fit import film
from splat2d.fit.clip import segment as fitting
from splat2d.fit.clip.encode import encode_frames
from splat2d.fit.clip.motion import following, motion_of
from splat2d.fit.config import ClipConfig
from splat2d.format.segments import world_shown
from splat2d.native import core
from splat2d.native.backend import Backend
from splat2d.scene.clip import Clip

from ..support.motion import affine_field
from ..support.moving_splats import moved_by, random_state
from ..support.scenes_in_time import turning_scene

QUICK = ClipConfig(rounds=3, steps=5, half_rounds=4, half_steps=5, final_steps=9, sweeps=2)


def test_gradient_goes_through_the_field():
    rng = np.random.default_rng(0)
    frames, width, height, count = 6, 56, 40, 10
    pixels = rng.random((frames, 3, height, width)).astype(np.float32)
    field = affine_field(frames, [[0.05, -0.03], [0.04, 0.02]], world=(width, height))
    field += 0.1 * rng.standard_normal(field.shape).astype(np.float32)
    ones, background = np.ones(frames, np.float32), np.full(3, 0.5, np.float32)

    def fitter(means, factors, k):
        f = core().ClipFitter(
            pixels,
            np.zeros((frames, 2), np.float32),
            ones,
            width,
            height,
            background,
            0.3,
            1e-9,
            cutoff=40.0,
            field=field,
            cell=16.0,
            margin=64.0,
        )
        f.insert(*(np.ascontiguousarray(a, np.float32) for a in (means, factors.reshape(-1, 9), k)))
        return f

    means, factors, k = random_state(rng, count, width, height, frames)
    gradient = fitter(means, factors, k).natural_gradient()
    for columns in (range(3), range(3, 5), range(5, 6), range(6, 9), range(9, 12)):
        z = np.zeros((count, 12))
        z[:, columns] = rng.standard_normal((count, len(columns)))

        def moved(t, z=z):
            return fitter(*moved_by(t * z, means, factors, k)).value()

        step = 1e-2
        difference = (moved(step) - moved(-step)) / (2 * step)
        assert (gradient * z).sum() == pytest.approx(difference, rel=0.04, abs=0.05)


# Estimation, and whole clips.


@pytest.fixture(scope="module")
def turning():
    return turning_scene(9)


def test_a_turning_camera_is_found(turning):
    frames, place = turning
    path, coded = motion_of(frames, np.zeros((9, 2), np.int32), 0.02)
    assert coded is not None
    assert len(coded.data) < 150
    field = coded.decoded(world_shown((96, 80), path), 9)
    points = np.random.default_rng(0).uniform(20, 60, (40, 2)).astype(np.float32)
    arrays = np.zeros((40, 2), np.float32), np.ones((40, 3), np.float32), np.full(40, 1e-6, np.float32)
    means = np.column_stack([points, np.zeros(40, np.float32)]).astype(np.float32)
    for t in (0, 8):
        moved = core().slice(
            means,
            *arrays,
            np.ones((40, 1), np.float32),
            t + 0.5,
            path[t, 0] / 64,
            path[t, 1] / 64,
            12.25,
            field.grid(t + 0.5),
            field.cell,
            64.0,
        )[1]
        seen = place(points + path[4] / 64, t)
        assert np.sqrt(((moved - seen) ** 2).sum(1).mean()) < 0.7


def test_frames_that_drift_far_are_followed():
    path = np.zeros((5, 2), np.int32)
    drift = np.array([[-60, 0], [-30, 0], [0, 0], [30, 0], [60, 0]], np.float32)
    moved = following(path, drift, (200, 100))
    assert np.array_equal(moved[:, 0] / 64, [-120, -90, -60, -30, 0])
    assert following(path, 3 * drift, (200, 100)) is None


def encoded(frames, **options):
    file = io.BytesIO()
    encode_frames(((f, None) for f in frames), Fraction(25), file, config=QUICK, quality=40, **options)
    return file.getvalue()


def psnr(data, frames):
    shown = np.stack([f[..., :3] for f in Clip.from_bytes(data)]).astype(float)
    return 10 * np.log10(255**2 / np.mean((shown - frames) ** 2))


def test_a_turning_clip_is_smaller_and_better_with_a_field(turning, monkeypatch):
    frames, _ = turning
    data = encoded(frames, backend=Backend(2))
    assert Clip.from_bytes(data).segment(0).motion is not None
    assert encoded(frames, backend=Backend(1)) == data
    monkeypatch.setattr(fitting, "motion_of", lambda frames, path, lmbda: (path, None))
    without = encoded(frames, backend=Backend(2))
    assert len(data) < 0.9 * len(without)
    assert psnr(data, frames) > psnr(without, frames)


@pytest.mark.parametrize("kind", ["still", "black", "flash", "narrow", "noise"])
def test_clips_without_motion_have_no_field(kind):
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(0, 256, (1, 48, 64, 3), dtype=np.uint8), 5, 0)
    if kind == "black":
        frames[:] = 0
    elif kind == "flash":
        frames[2] = 255
    elif kind == "narrow":
        frames = frames[:, :, :1]
    elif kind == "noise":
        frames = rng.integers(0, 256, frames.shape, dtype=np.uint8)
    data = encoded(frames, backend=Backend(2))
    clip = Clip.from_bytes(data)
    assert clip.segment(0).motion is None
    assert len(list(clip)) == 5


@pytest.mark.parametrize(
    ("quarter", "half", "taken", "tried"),
    [(0.9, 0.9, True, 2), (1.05, 0.9, True, 2), (0.9, 1.05, False, 2), (1.3, 0.9, False, 0)],
)
def test_what_a_field_costs_decides(monkeypatch, turning, quarter, half, taken, tried):
    # What a fit costs with a field over what it costs without, at a quarter of the size and at half of it.
    frames = turning[0] if isinstance(turning, tuple) else turning
    costs, asked = {4: quarter, 2: half}, []

    def cost(fit, _, scale):
        asked.append((scale, fit.motion is not None))
        return costs[scale] if fit.motion is not None else 1.0

    monkeypatch.setattr(fitting.SegmentFit, "_cost", cost)
    monkeypatch.setattr(film, "HALF_MIN", 16)
    fit = fitting.SegmentFit(frames, replace(QUICK, quarter_rounds=2), 0.6)
    assert (fit.motion is not None) == taken
    assert asked == [(4, False), (4, True), (2, False), (2, True)][: 2 + tried]


def test_bits_of_splats_and_field_count_in_what_decides(turning):
    frames = turning[0] if isinstance(turning, tuple) else turning
    fit = fitting.SegmentFit(frames, QUICK, 0.6)
    native = fit._fitter
    path, motion = motion_of(frames, fit.path, fit.lmbda)
    assert motion is not None
    fit._ride(path, None)
    without = fit._cost(native, 1)
    j = 2 * native.value()
    assert without - j == pytest.approx(fit.lmbda * 18 * native.count)
    fit._ride(path, motion)
    assert fit._cost(native, 1) - without == pytest.approx(fit.lmbda * 8 * len(motion.bytes()))
