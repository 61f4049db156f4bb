"""How blocks of frames move, and splats that are looked for along that."""

import numpy as np
import pytest

from splat2d.fit.clip.blocks import block_motion
from splat2d.fit.clip.camera import camera_path
from splat2d.fit.clip.segment import SEEDS
from splat2d.native import core

SIDE = 40  # px of what moves


def textured(rng, height, width):
    """Noise that has something to say on every level."""
    fine = rng.uniform(-40, 40, (height, width))
    coarse = rng.uniform(-60, 60, (-(-height // 8), -(-width // 8)))
    return 128 + fine + coarse.repeat(8, 0).repeat(8, 1)[:height, :width]


def crossing(frames, velocity, *, width=200, height=120, pan=0):
    """A textured square that crosses a textured ground, which the camera passes at `pan` px a frame."""
    rng = np.random.default_rng(0)
    ground, square = textured(rng, height, width + abs(pan) * frames), textured(rng, SIDE, SIDE)
    out = []
    for t in range(frames):
        picture = ground[:, pan * t : pan * t + width].copy()
        x, y = 30 + velocity[0] * t, 40 + velocity[1] * t
        picture[y : y + SIDE, x : x + SIDE] = square
        out.append(picture)
    return np.stack(out).clip(0, 255).astype(np.uint8)[..., None].repeat(3, 3)


@pytest.mark.parametrize(("velocity", "pan"), [((13, 2), 0), ((-3, 0), 0), ((6, -1), 5)])
def test_blocks_move_as_what_they_show(velocity, pan):
    frames = crossing(5, velocity, pan=pan) if velocity[0] > 0 else crossing(5, (3, 0))[:, :, ::-1]
    path = np.column_stack([-64 * pan * np.arange(5), np.zeros(5)]).astype(np.int32)
    found, block = block_motion(frames, path)
    assert found.shape == (5, 15, 25, 2)
    assert block == 8
    x, y = (30 + velocity[0] * 2, 40 + velocity[1] * 2) if velocity[0] > 0 else (200 - 36 - SIDE, 40)
    inside = found[
        2, -(-y // block) + 1 : (y + SIDE) // block - 1, -(-x // block) + 1 : (x + SIDE) // block - 1
    ]
    assert inside.size >= 8
    np.testing.assert_allclose(inside, np.broadcast_to(np.add(velocity, (pan, 0)), inside.shape), atol=0.6)
    # Nothing of the ground leaves the path; blocks at the square's edges may.
    still = np.hypot(*np.moveaxis(found[2], 2, 0)) < 0.6
    assert still[:3].all()
    assert still[-3:].all()
    assert not still.all()


def test_what_is_flat_or_stands_still_does_not_move():
    for frames in (np.full((3, 40, 56, 3), 90, np.uint8), crossing(1, (0, 0)).repeat(4, 0)):
        found, _ = block_motion(frames, np.zeros((len(frames), 2), np.int32))
        assert not found.any()


def test_frames_of_any_size_have_blocks():
    rng = np.random.default_rng(1)
    for size, shape in (
        ((1, 1), (1, 1)),
        ((3, 50), (1, 13)),
        ((37, 1), (10, 1)),
        ((161, 163), (20, 21)),
        ((9, 700), (3, 175)),
    ):
        frames = rng.integers(0, 256, (2, *size, 1), dtype=np.uint8)
        found, _ = block_motion(frames, np.zeros((2, 2), np.int32))
        assert found.shape == (2, *shape, 2)
        assert np.isfinite(found).all()


def fitter(frames, world=(96, 64), shifts=None):
    count = len(frames)
    shifts = np.zeros((count, 2), np.float32) if shifts is None else shifts
    background = np.full(3, 0.4, np.float32)
    gains = np.ones(count, np.float32)
    return core().ClipFitter(frames, shifts, gains, world[0], world[1], background, 0.3, 1e-3)


def blob(count, velocity, size=3.0):
    """[T, 3, 64, 96]: a blob in the middle of the middle frame, and where it is in each."""
    y, x = np.mgrid[0.5:64, 0.5:96]
    places = [np.array([48.0, 32.0]) + np.array(velocity) * (t - count // 2) for t in range(count)]
    pictures = [np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * size * size)) for cx, cy in places]
    return (0.4 + 0.3 * np.stack(pictures)[:, None].repeat(3, 1)).astype(np.float32)


@pytest.mark.parametrize("shift", [0.0, -7.0])
def test_seeds_go_along_the_flow(shift):
    frames = np.roll(blob(9, (10.0, -3.0)), int(shift), 3)
    shifts = np.array([[shift, 0]] + [[shift, 0]] * 8, np.float32)
    flow = np.zeros((9, 8, 12, 2), np.float32)
    flow[:, 3:5, 4:8] = 10, -3  # the four blocks around the middle, and what is beside them
    saved = []
    for options in ({}, {"flow": flow, "block": 8.0}):
        f = fitter(frames, (103, 64), shifts)
        f.refresh()
        before = f.sse
        f.seed(1e-2, 1.0, **{**SEEDS, "amplitude": 1.0}, durations=[3.0], **options)
        f.refresh()
        saved.append(before - f.sse)
    means, factors, k = f.state()
    factors = factors.reshape(-1, 3, 3)
    best = (k**2).sum(1).argmax()
    np.testing.assert_allclose(factors[best, :2, 2] / factors[best, 2, 2], [10, -3], atol=0.5)
    along = means[best, :2] - ([48, 32] + np.array([10, -3]) * (means[best, 2] - 4.5))
    assert np.abs(along).max() < 1.0
    assert saved[1] > saved[0]


def test_a_flow_of_another_clip_is_refused():
    f = fitter(blob(5, (0, 0)))
    for shape in ((4, 2, 2, 2), (5, 2, 2, 3), (5, 0, 2, 2)):
        with pytest.raises(ValueError, match="flow"):
            f.seed(1e-2, 1.0, **SEEDS, durations=[1.0], flow=np.zeros(shape, np.float32), block=8.0)
    with pytest.raises(ValueError, match="blocks"):
        f.seed(1e-2, 1.0, **SEEDS, durations=[1.0], flow=np.zeros((5, 2, 2, 2), np.float32), block=0.0)


def test_ground_that_stands_still_outweighs_a_few_edges():
    # Faint texture that stands still, and a third of the frame that passes it and is all contrast.
    rng = np.random.default_rng(2)
    ground = 120 + rng.integers(-12, 13, (48, 80)).repeat(4, 0).repeat(4, 1)
    truck = 128 + rng.integers(-110, 111, (16, 32)).repeat(8, 0).repeat(8, 1)
    frames = np.repeat(ground[None], 8, 0)
    for t in range(8):
        frames[t, 30:158, 20 + 4 * t : 148 + 4 * t][:, :128] = truck[:, :128]
    frames = frames.astype(np.uint8)[..., None].repeat(3, 3)
    assert not camera_path(frames).any()
