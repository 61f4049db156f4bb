"""The file of a clip: what is written is read, at any time, and damage is said."""

import io
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import splat2d
from splat2d.draw.render import View, render
from splat2d.errors import BitstreamError, ConfigError, ShapeError
from splat2d.fit.clip.encode import encode_frames, header_of
from splat2d.fit.clip.shots import Shots
from splat2d.fit.config import ClipConfig, load_clip_config
from splat2d.fit.encode import encode_picture
from splat2d.format.container import is_clip, parse
from splat2d.format.sections import Source
from splat2d.format.segments import code_segment
from splat2d.media.pictures import load_picture
from splat2d.native import core
from splat2d.native.backend import Backend
from splat2d.scene.clip import Clip

from ..support.scenes_in_time import moving_scene

QUICK = ClipConfig(rounds=3, steps=5, final_steps=9, sweeps=2, frames=8)


def encoded(frames, fps=Fraction(25), **options):
    file = io.BytesIO()
    encode_frames(
        ((f, None) for f in frames), fps, file, config=QUICK, quality=60, backend=Backend(1), **options
    )
    return file.getvalue()


@pytest.fixture(scope="module")
def frames():
    return moving_scene(20, pan=(1.0, 0.25))


@pytest.fixture(scope="module")
def data(frames):
    return encoded(frames)


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def test_decoded_frames_are_like_the_given(frames, data):
    clip = Clip.from_bytes(data)
    assert (clip.count, clip.width, clip.height, clip.fps) == (20, 96, 64, 25)
    assert clip.duration == Fraction(20, 25)
    shown = np.stack(list(clip))
    assert shown.shape == frames.shape
    assert psnr(shown, frames) > 33
    assert min(psnr(a, b) for a, b in zip(shown, frames, strict=True)) > 30
    assert len(data) < frames.nbytes / 60
    figures = clip.info(count_bits=True)
    assert figures["segments"] == 3
    bits = figures["bits_per_splat"]
    assert {"position", "luma", "duration", "time", "velocity"} <= set(bits)
    assert sum(bits.values()) * figures["splats"] / 8 == pytest.approx(len(data), rel=0.15)
    assert "bits_per_splat" not in clip.info()


def test_same_bytes_for_any_number_of_threads(frames, data):
    file = io.BytesIO()
    encode_frames(
        ((f, None) for f in frames), Fraction(25), file, config=QUICK, quality=60, backend=Backend(2)
    )
    assert file.getvalue() == data


def test_times_between_frames(frames, data):
    clip = Clip.from_bytes(data)
    np.testing.assert_array_equal(clip.render(frame=3), clip.render(time=Fraction(3, 25)))
    between = clip.render(time=3.5 / 25).astype(float)
    # Half-way between two frames of a pan lies half the pan, not a blend of both.
    y, x = np.mgrid[8:56, 24:80]
    moved = frames[3].astype(float)[y, x - 1]  # by 1 px is too far, by 0 too near
    assert np.abs(between[y, x] - moved).mean() < np.abs(frames[6][y, x].astype(float) - moved).mean()
    assert len(list(clip.frames(fps=50))) == 40
    half = clip.render(time=0.1, scale=0.5)
    assert half.shape == (32, 48, 3)
    crop = clip.render(frame=2, crop=(10, 20, 30, 25))
    np.testing.assert_array_equal(crop, clip.render(frame=2)[20:45, 10:40])


def test_segments_go_over_into_each_other(frames, data):
    clip = Clip.from_bytes(data)
    one, two = clip.segment(0), clip.segment(1)
    assert one.matte is None

    def alone(segment, at):
        s = segment.slice(at)
        view = View.whole(96, 64)
        return render(s.means, s.conics, s.colors, view, background=s.background, cutoffs=s.cutoffs)

    for frame, part in ((6, 1 / 3), (7, 2 / 3)):
        blend = (1 - part) * alone(one, frame + 0.5) + part * alone(two, frame - 6 + 0.5)
        np.testing.assert_allclose(clip.render_float(frame=frame), blend.transpose(1, 2, 0), atol=1e-5)
    np.testing.assert_allclose(clip.render_float(frame=8), alone(two, 2.5).transpose(1, 2, 0), atol=1e-6)


@pytest.mark.parametrize("time", [-0.01, 0.81])
def test_time_outside_is_refused(data, time):
    with pytest.raises(ConfigError, match=r"expected 0 to 0\.8"):
        Clip.from_bytes(data).render(time=time)


def test_frame_or_time(data):
    clip = Clip.from_bytes(data)
    with pytest.raises(ConfigError, match="one of them"):
        clip.render(time=0.1, frame=3)
    np.testing.assert_array_equal(clip.render(), clip.render(frame=0))
    with pytest.raises(ConfigError, match="expected 0 to 19"):
        clip.render(frame=20)


def test_tiers_give_a_coarser_clip(frames, data):
    coarse = Clip.from_bytes(data, tiers=3).render(frame=4)
    whole = Clip.from_bytes(data).render(frame=4)
    assert 15 < psnr(coarse, frames[4]) < psnr(whole, frames[4])


def test_a_damaged_segment_leaves_the_others(frames, data):
    place = parse(Source(io.BytesIO(data))).places[1].section
    damaged = bytearray(data)
    damaged[place.at + place.size // 2] ^= 1
    clip = Clip.from_bytes(bytes(damaged))
    clip.render(frame=0)
    with pytest.raises(BitstreamError, match="segment 1"):
        clip.render(frame=9)
    clip = Clip.from_bytes(bytes(damaged), skip_damaged=True)
    shown = np.stack(list(clip))
    # Of 8 frames a segment, two are those of the next: 0 to 7, 6 to 13, 12 to 19.
    np.testing.assert_array_equal(shown[:6], np.stack(list(Clip.from_bytes(data)))[:6])
    assert psnr(shown[6:8], frames[6:8]) > 30
    np.testing.assert_array_equal(shown[8], shown[11])  # the last good frame
    assert psnr(shown[12:], frames[12:]) > 30
    assert "segment 1" in clip.damaged[0]


@pytest.mark.parametrize("part", [0.5, 0.7, 0.9])
def test_a_truncated_file(data, part):
    cut = data[: int(part * len(data))]
    with pytest.raises(BitstreamError, match="truncated"):
        Clip.from_bytes(cut)
    clip = Clip.from_bytes(cut, skip_damaged=True)
    assert clip.count < 20
    assert clip.damaged
    clip.render(frame=0)


def test_every_flipped_byte_is_found(data):
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x55
        try:
            clip = Clip.from_bytes(bytes(damaged))
            for segment in range(len(clip.document.container.places)):
                clip._segment(segment)
        except (BitstreamError, ConfigError):
            continue
        raise AssertionError(f"byte {at} was damaged unseen")


def test_pictures_and_clips_are_told_apart(data):
    picture = splat2d.encode(moving_scene(1)[0], preset="fast", quality=30)
    assert is_clip(data[:64])
    assert not is_clip(picture[:64])
    assert not is_clip(b"")
    with pytest.raises(BitstreamError, match="a picture, not a clip"):
        Clip.from_bytes(picture)


def test_segments_end_at_cuts():
    first, second = moving_scene(11, seed=1), 255 - moving_scene(10, seed=2)
    found = list(Shots(((f, None) for f in [*first, *second]), Fraction(25), 32, 2))
    assert [(s.first, len(s.frames)) for s in found] == [(0, 11), (11, 10)]  # none shared
    assert [len(s.frames) for s in Shots(((f, None) for f in first), Fraction(25), 4, 1)] == [4, 4, 4, 2]


def test_frames_of_changing_size():
    frames = [*moving_scene(3), *moving_scene(2, width=90)]
    with pytest.raises(ShapeError, match="frame 3 has 90 x 64 px, the first 96 x 64"):
        encoded(frames)
    with pytest.raises(ShapeError, match="no frames"):
        encoded([])


def test_times_of_a_varying_rate(frames):
    times = [Fraction(n) for n in (0, 40, 80, 120, 160, 200, 240, 280, 320, 500, 520)]
    timed = list(zip(frames, [t / 1000 for t in times], strict=False))
    file = io.BytesIO()
    encode_frames(timed, Fraction(25), file, config=QUICK, quality=40)
    clip = Clip.from_bytes(file.getvalue())
    assert [abs(clip.time_of(i) - t) < Fraction(1, 90_000) for i, (_, t) in enumerate(timed)] == [True] * 11
    # Frame 8 is shown from 0.32 to 0.5 s, by the segment that begins with frame 6.
    s = clip.segment(1).slice(2 + 0.17 / 0.18 + 0.5)
    view = View.whole(96, 64)
    expected = render(s.means, s.conics, s.colors, view, background=s.background, cutoffs=s.cutoffs)
    np.testing.assert_allclose(clip.render_float(time=0.49), expected.transpose(1, 2, 0), atol=2e-3)
    assert clip.count == 11
    assert float(clip.duration) == pytest.approx(0.56, abs=1e-4)
    # Milliseconds of a container are no varying rate.
    rounded = [(f, Fraction(round(1000 * i / 29.97), 1000)) for i, f in enumerate(frames[:9])]
    assert not any(s.ticks for s in Shots(rounded, Fraction(2997, 100), 4))


def test_jobs_give_the_same_file(frames, data):
    file = io.BytesIO()
    encode_frames([(f, None) for f in frames], Fraction(25), file, config=QUICK, quality=60, jobs=2)
    assert file.getvalue() == data


def test_a_psnr_is_reached_in_each_segment(frames):
    file = io.BytesIO()
    encode_frames([(f, None) for f in frames[:12]], Fraction(25), file, config=QUICK, psnr=30.0)
    clip = Clip.from_bytes(file.getvalue())
    shown = np.stack(list(clip))
    for first in (0, 8):
        part = slice(first, first + 8)
        assert 30 <= psnr(shown[part], frames[part][: len(shown[part])]) < 31.5
    with pytest.raises(ConfigError, match="one of them"):
        encode_frames([(frames[0], None)], Fraction(25), io.BytesIO(), psnr=30.0, quality=50)
    with pytest.raises(ConfigError, match="number of frames"):
        encode_frames([(frames[0], None)], Fraction(25), io.BytesIO(), size=5000)


def test_segments_of_a_known_length_are_even(frames):
    file = io.BytesIO()
    timed = ((f, None) for f in frames[:9])
    encode_frames(timed, Fraction(25), file, config=QUICK, quality=20, total=9)
    places = parse(Source(io.BytesIO(file.getvalue()))).places
    assert [place.span.count for place in places] == [6, 5]


def random_integers(rng, count, header, frames):
    """Integers of splats that a file may hold."""
    out = []
    while len(out) < count:
        q = np.zeros((1, 12), np.int32)
        q[0, :3] = rng.integers(-40, 40, 3) // rng.integers(1, 30)
        q[0, 3:6] = rng.integers(-3, 12), rng.integers(0, 4), 0
        q[0, 6:8] = rng.integers(0, 200, 2)
        q[0, 8:] = rng.integers(-3, 12), rng.integers(-20, 20), *rng.integers(-60, 60, 2)
        if q[0, :3].any() and core().moving_in_range(q, header.width, header.height, frames)[0]:
            classes = core().energy_classes(np.ascontiguousarray(q[:, :3]), 10)
            counts = core().angle_counts(classes, np.ascontiguousarray(q[:, 4]))
            q[0, 5] = rng.integers(0, counts[0])
            if core().moving_in_range(q, header.width, header.height, frames)[0]:
                out.append(q)
    return np.concatenate(out)


@pytest.mark.parametrize("frames", [2, 7, 64])
def test_any_integers_survive(frames):
    rng = np.random.default_rng(frames)
    header = header_of(300, 200, 3, 60, QUICK)
    path = np.zeros((frames, 2), np.int32)
    path[0] = -640, -100
    integers = random_integers(rng, 300, header, frames)
    coded = code_segment(header, 0, path, (), header.step_code, (1, 2, 3), integers)
    back, _ = coded.field(header).decode()
    assert sorted(map(tuple, back)) == sorted(map(tuple, integers))


def test_a_clip_of_one_frame_is_a_picture():
    frame = moving_scene(1)[0]
    config = load_clip_config("fast")
    file = io.BytesIO()
    encode_frames([(frame, None)], Fraction(25), file, quality=60, config=config, backend=Backend(1), total=1)
    clip = Clip.from_bytes(file.getvalue())
    assert config.still is not None
    still = replace(config.still, chroma_step=config.chroma_step)  # that of clips
    picture = encode_picture(load_picture(frame), quality=60, config=still, backend=Backend(1))
    # Both steps are rounded to their own codes, so they may be one code apart.
    assert len(file.getvalue()) < 1.02 * len(picture.data) + 90
    assert psnr(clip.render(time=0), frame) > psnr(splat2d.decode(picture.data), frame) - 0.2
    (segment,) = clip.document.fields()
    assert segment[1].layout.frames == 0
