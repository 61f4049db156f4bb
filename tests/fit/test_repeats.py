"""Clips in which frames repeat: which are found, and what their fit makes of them."""

import io
from fractions import Fraction

import numpy as np
import pytest

import splat2d
from splat2d.fit.clip import encode as encoding
from splat2d.fit.clip import target as targeting
from splat2d.fit.clip.encode import encode_frames
from splat2d.fit.clip.part import Part
from splat2d.fit.clip.repeats import clock_of, moments_of
from splat2d.fit.clip.segment import frame_weights
from splat2d.fit.config import ClipConfig
from splat2d.format.clock import Clock
from splat2d.native.backend import Backend
from splat2d.scene.clip import Clip

from ..support.clips import PRESET
from ..support.scenes_in_time import moving_scene

QUICK = ClipConfig(rounds=3, steps=5, final_steps=9, sweeps=2, frames=12, tune="psnr")
STEP = 0.4
PULLDOWN = [0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9]
"""Of film with 24 frames shown as 30, 12 frames."""


def encoded(frames, **options):
    file = io.BytesIO()
    options = {"config": QUICK, "quality": 60, "backend": Backend(1), "total": len(frames), **options}
    encode_frames(((f, None) for f in frames), Fraction(30), file, **options)
    return file.getvalue()


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def noisy(frames, sigma, seed=0):
    noise = np.random.default_rng(seed).normal(0, sigma, frames.shape)
    return np.clip(np.rint(frames + noise), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def film():
    return moving_scene(10, pan=(2.0, 0.5))


@pytest.fixture(scope="module")
def frames(film):
    return noisy(film[PULLDOWN], 0.7)


@pytest.fixture(scope="module")
def data(frames):
    return encoded(frames)


def moments(order):
    return tuple(int(v) for v in np.cumsum(np.diff(order, prepend=order[0]) != 0))


@pytest.mark.parametrize(
    "order",
    [
        PULLDOWN,
        [0, 0, 1, 1, 2, 2, 3, 3],  # on twos
        [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2],  # on fours
        [0, 1, 2, 3, 4, 4],
        [0, 0, 1, 2, 3],
    ],
)
@pytest.mark.parametrize("sigma", [0, 0.7])
def test_repeats_are_found(film, order, sigma):
    assert clock_of(noisy(film[order], sigma), STEP) == Clock(moments(order))


def test_what_moves_does_not_repeat(film):
    assert clock_of(film, STEP) is None
    assert clock_of(film[:2], STEP) is None
    assert clock_of(film[:1], STEP) is None
    # Slow motion: a change that is small, beside others that are; and where it gathers speed.
    slow = moving_scene(12, pan=(0.2, 0.0))
    slow[:, 20:40] = slow[0, 20:40]  # but for the disc, which is fast
    assert np.square(slow[1].astype(float) - slow[0]).mean() < 4
    assert clock_of(slow, STEP) is None
    film = moving_scene(10, pan=(2.0, 0.5))
    assert clock_of(np.concatenate([slow[:8], film[1:]]), STEP) is None


@pytest.mark.parametrize("sigma", [0, 0.7])
def test_what_stands_for_a_lost_frame_stays_a_moment(film, sigma):
    assert clock_of(noisy(film[[0, 1, 2, 2, 4, 5, 6, 7]], sigma), STEP) is None
    assert clock_of(noisy(film[[0, 1, 2, 3, 3, 5, 6, 7, 7, 9]], sigma), STEP) is None
    # What stands still in between is no motion that went on.
    held = [0, 1, 2, 2, 4, 5, 6, 6, 6, 6, 6, 7, 8, 9]
    assert clock_of(film[held], STEP) == Clock((0, 1, 2, 3, 4, 5, 6, 6, 6, 6, 6, 7, 8, 9))


def test_what_moves_alone_is_kept(film):
    """A pointer over frames that are held."""
    frames = film[[0, 0, 0, 1, 1, 1, 2, 2, 2]].copy()
    assert clock_of(frames, STEP) == Clock((0, 0, 0, 1, 1, 1, 2, 2, 2))
    for t, frame in enumerate(frames):
        frame[40:46, 8 * t : 8 * t + 6] = 255 * (t % 2)
    assert clock_of(frames, STEP) is None


def test_nothing_that_counts_is_lost(film):
    """The finer the fit, the less a repeat may differ."""
    frames = noisy(film[PULLDOWN], 1.5)
    assert clock_of(frames, STEP) == Clock(moments(PULLDOWN))
    assert clock_of(frames, 0.02) is None
    assert clock_of(film[PULLDOWN], 0.02) == Clock(moments(PULLDOWN))


def test_slow_changes_add_up():
    still = moving_scene(1)[0]
    assert clock_of(np.stack([still] * 20), STEP) == Clock((0,) * 20)
    fade = np.stack([np.clip(still.astype(int) + t // 2, 0, 255).astype(np.uint8) for t in range(16)])
    found = clock_of(fade, 1.2)
    # What is below an eighth of D in each step is not in all of them.
    assert found is not None
    assert found.count >= 4
    off = moments_of(fade, found)[list(found.moments)].astype(float) - fade
    assert np.abs(off).max() < 1.5


def test_weights_count(film):
    """A mask that moves over a still picture makes other moments; what has no weight makes none."""
    still = np.stack([moving_scene(1)[0]] * 6)
    weights = np.full((*still.shape[:3], 1), 255, np.uint8)
    assert clock_of(np.concatenate([still, weights], -1), STEP, weighed=True) == Clock((0,) * 6)
    hidden = still.copy()
    hidden[:, 10:30, 10:30] = np.random.default_rng(0).integers(0, 255, (6, 20, 20, 3))
    weights[:, 10:30, 10:30] = 0
    assert clock_of(np.concatenate([hidden, weights], -1), STEP, weighed=True) == Clock((0,) * 6)
    for t in range(6):
        weights[t, 40:50, 8 * t : 8 * t + 10] = 0
    assert clock_of(np.concatenate([still, weights], -1), STEP, weighed=True) is None


def test_a_moment_is_the_mean_of_its_frames():
    frames = np.array([10, 20, 40, 43, 45], np.uint8).reshape(5, 1, 1, 1)
    assert moments_of(frames, Clock((0, 1, 2, 2, 2))).ravel().tolist() == [10, 20, 43]


def test_frames_that_are_shown_longer_weigh_more():
    weights = frame_weights(4, 1.0, (1, 2, 1, 1))
    np.testing.assert_allclose(weights / weights[0], [1, 2, 1, 1])
    assert weights.mean() == pytest.approx(1)
    np.testing.assert_array_equal(frame_weights(4, 1.5, (1, 1, 1, 1)), frame_weights(4, 1.5))


def test_a_pulldown_is_smaller_and_better(frames, data, monkeypatch):
    clip = Clip.from_bytes(data)
    assert clip.count == 12
    (place,) = clip.document.container.places
    coded = clip._segment(0)
    assert (place.span.count, coded.moments) == (12, 10)
    assert coded.clock == Clock(moments(PULLDOWN))
    shown = np.stack(list(clip))
    np.testing.assert_array_equal(shown[3], shown[4])
    assert (shown[4] != shown[5]).any()
    monkeypatch.setattr(encoding, "clock_of", lambda *_, **__: None)
    without = encoded(frames)
    assert Clip.from_bytes(without)._segment(0).clock is None
    before = np.stack(list(Clip.from_bytes(without)))
    assert psnr(shown, frames) > psnr(before, frames) + 0.2
    assert len(data) < len(without)


def test_each_time_is_shown_alone_as_in_order(frames, data):
    shown = list(Clip.from_bytes(data))
    for frame in (9, 4, 0, 8):
        np.testing.assert_array_equal(Clip.from_bytes(data).render(frame=frame), shown[frame])
        time = Fraction(frame, 30)
        np.testing.assert_array_equal(Clip.from_bytes(data).render(time=time), shown[frame])
    # Nothing moves from frame 3 until frame 4 begins, and then it does.
    np.testing.assert_array_equal(Clip.from_bytes(data).render(time=Fraction(7, 60)), shown[3])
    between = Clip.from_bytes(data).render(time=Fraction(9, 60))
    assert psnr(between, shown[4]) < 45
    assert psnr(between, shown[5]) < 45
    assert [psnr(a, b) > 33 for a, b in zip(shown, frames, strict=True)] == [True] * 12
    # At half the rate every second frame is the same.
    half = [pixels for _, pixels in Clip.from_bytes(data).frames(fps=15)]
    for a, b in zip(half, shown[::2], strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_clip_without_repeats_is_as_before(film, monkeypatch):
    data = encoded(film)
    monkeypatch.setattr(encoding, "clock_of", lambda *_, **__: None)
    assert encoded(film) == data


def test_repeats_in_segments_that_share_frames():
    order = [0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 11, 12, 13, 14, 15, 15]
    frames = moving_scene(16, pan=(1.0, 0.25))[order]
    data = encoded(frames)
    clip = Clip.from_bytes(data)
    assert clip.info()["segments"] == 2
    assert all(clip._segment(n).clock for n in (0, 1))
    shown = np.stack(list(clip))
    assert shown.shape == frames.shape
    assert min(psnr(a, b) for a, b in zip(shown, frames, strict=True)) > 31
    assert encoded(frames, jobs=2) == data
    # Goes on with what is finished.
    part = Part(io.BytesIO())

    def some(count):
        yield from ((f, None) for f in frames[:count])
        if count < len(frames):
            raise KeyboardInterrupt

    options = {"config": QUICK, "quality": 60, "backend": Backend(1), "total": len(frames), "part": part}
    with pytest.raises(KeyboardInterrupt):
        encode_frames(some(13), Fraction(30), None, **options)
    assert len(part.segments) == 1
    file = io.BytesIO()
    encode_frames(some(20), Fraction(30), file, **{**options, "part": Part(part.file)})
    assert file.getvalue() == data


def test_a_still_clip_is_a_picture(tmp_path):
    frames = np.stack([moving_scene(1)[0]] * 9)
    data = encoded(frames)
    clip = Clip.from_bytes(data)
    coded = clip._segment(0)
    assert (clip.count, coded.count, coded.moments) == (9, 9, 1)
    assert coded.field(clip.header).layout.frames == 0
    shown = list(clip)
    for pixels in shown:
        np.testing.assert_array_equal(pixels, shown[0])
    np.testing.assert_array_equal(clip.render(time=clip.duration), shown[0])
    # What is shown nine times is worth a finer D than what is shown once.
    alone = Clip.from_bytes(encoded(frames[:1]))
    assert coded.step < 0.5 * alone._segment(0).step
    assert psnr(shown[0], frames[0]) > psnr(alone.render(frame=0), frames[0]) + 2


def test_targets_count_all_frames(frames, monkeypatch):
    found = []
    monkeypatch.setattr(targeting, "clock_of", lambda *a: found.append(clock_of(*a)) or found[-1])
    data = encoded(frames, quality=None, psnr=33.0)
    assert 33 <= psnr(np.stack(list(Clip.from_bytes(data))), frames) < 34
    # What differs a little may cost at a high rate.
    assert clock_of(frames, STEP / 20) is None
    data = encoded(moving_scene(10, pan=(2.0, 0.5))[PULLDOWN], quality=None, size=3000)
    assert 2500 < len(data) <= 3000
    assert found == [Clock(moments(PULLDOWN))] * 2


def test_objects_go_by_clocks_of_their_own(tmp_path):
    """Film of a disc that flies by a still wall, shown faster, with masks."""
    order, count = [0, 1, 1, 2, 3, 4, 4, 5], 6
    y, x = np.mgrid[:64, :96] + 0.5
    masks = np.stack([np.clip(11 - np.hypot(x - 20 - 9 * t, y - 34), 0, 1) for t in range(count)])[..., None]
    wall = moving_scene(1, seed=4)[0]
    film = np.rint(wall * (1 - masks) + np.array([220, 180, 40]) * masks).astype(np.uint8)
    preset = tmp_path / "quick.yaml"
    preset.write_text(PRESET.replace("frames: 6", "frames: 8"))
    options = {"fps": 12, "quality": 50, "preset": preset, "tune": "psnr"}
    data = splat2d.encode(film[order], masks={"disc": masks[order, ..., 0]}, **options)
    clip = Clip.from_bytes(data)
    found = [clip._segment(n) for n in range(len(clip.document.container.places))]
    assert [coded.layer for coded in found] == [0, 1]
    # The wall's errors do not count where the disc is, so that its moments are the disc's.
    assert [coded.clock for coded in found] == [Clock(tuple(order))] * 2
    assert min(psnr(a, b) for a, b in zip(clip, film[order], strict=True)) > 28
    # Where the disc's masks go on while the wall repeats, the disc's moments are more.
    odd = masks[[0, 1, 5, 2, 3, 4, 4, 5], ..., 0]
    other = Clip.from_bytes(splat2d.encode(film[order], masks={"disc": odd}, **options))
    assert other._segment(0).clock == Clock((0, 1, 2, 3, 4, 5, 5, 6))


def test_durations_stay_with_frames(frames):
    times = [Fraction(t, 10) for t in (0, 1, 2, 3, 5, 6, 7, 8, 9, 11, 12, 13)]
    file = io.BytesIO()
    timed = zip(frames, times, strict=True)
    encode_frames(timed, Fraction(10), file, config=QUICK, quality=50, backend=Backend(1), total=12)
    clip = Clip.from_bytes(file.getvalue())
    assert clip._segment(0).clock is not None
    assert [float(clip.time_of(i)) for i in range(12)] == pytest.approx([float(t) for t in times], abs=1e-4)
