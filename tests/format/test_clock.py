"""Clips in which frames repeat: what a segment's clock says, what is shown between, what is refused."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from splat2d.errors import BitstreamError
from splat2d.format.clock import Clock, read_clock
from splat2d.format.field import Field
from splat2d.format.header import Header, header_bytes
from splat2d.format.layers import CodedLayer
from splat2d.format.sections import Reader, index_section
from splat2d.format.segments import (
    CodedSegment,
    clip_section,
    read_segment,
    read_span,
    segment_layout,
    segment_section,
)
from splat2d.scene.clip import Clip

from ..support.integers import random_moving
from ..support.motion import riding_clip

HEADER = Header(64, 48, 3, 200, 10, 50, (90, 100, 110))
OWN = CodedLayer("picture", HEADER, None)
CLOCK = Clock((0, 0, 1, 2, 3, 3, 4, 5, 5))


def segment(clock=CLOCK, first=0, ticks=(), *, seed=1):
    """A segment of random splats on a path."""
    moments = clock.count
    path = np.zeros((moments, 2), np.int32)
    path[:, 0] = np.linspace(0, -640, moments)
    layout = segment_layout(HEADER, path, HEADER.step_code)
    q = random_moving(40, 3, layout.width, layout.height, moments, seed=seed)
    data = Field.encode(q, layout).data
    return CodedSegment(first, path, ticks, HEADER.step_code, HEADER.background, data, clock=clock)


def clip_of(*segments, rate=Fraction(10)):
    parts = [(clip_section(rate), None), *((segment_section(s), s.span) for s in segments)]
    data = header_bytes(HEADER) + b"".join(part for part, _ in parts)
    return Clip.from_bytes(data + index_section((part[0], len(part), span) for part, span in parts))


def payload_of(coded):
    r = Reader(segment_section(coded))
    r.take(1, "a type")
    return r.take(r.varint("a length", 1 << 31), "a segment")


def test_the_document_s_example():
    assert CLOCK.bytes() == bytes.fromhex("2201")
    assert Clock.of([i in (1, 5, 8) for i in range(9)]) == CLOCK
    assert (CLOCK.frames, CLOCK.count, CLOCK.shown) == (9, 6, (2, 1, 1, 2, 1, 2))
    assert CLOCK.at(6) == 4
    assert Clock.of([False] * 5) is None


def test_frames_show_their_moments_and_what_lies_between_goes_evenly():
    assert [CLOCK.at(i + 0.5) for i in range(9)] == [m + 0.5 for m in CLOCK.moments]
    # A moment stays until the frame that repeats it begins.
    assert CLOCK.at(1.2) == 0.5
    assert CLOCK.at(1.75) == pytest.approx(0.75)
    # In the last frame it goes on, and before the first middle, too.
    assert CLOCK.at(9.25) == pytest.approx(6.25)
    assert CLOCK.at(0.25) == 0.25
    at = [CLOCK.at(t) for t in np.linspace(0, 10, 501)]
    assert (np.diff(at) >= -1e-12).all()
    assert np.abs(np.diff(at)).max() < 0.021


@pytest.mark.parametrize("frames", [2, 8, 9, 64])
def test_any_clock_survives(frames):
    rng = np.random.default_rng(frames)
    for _ in range(20):
        clock = Clock.of([False, *(rng.random(frames - 1) < rng.random())])
        if clock is not None:
            assert len(clock.bytes()) == -(-frames // 8)
            assert read_clock(Reader(clock.bytes()), frames, "a segment") == clock


def test_a_segment_with_a_clock_is_read_as_written():
    coded = segment(ticks=(1, 2, 3, 4, 5, 6, 7, 8, 9))
    back = read_segment(payload_of(coded), [OWN])
    assert (back.count, back.moments, back.clock, back.ticks) == (9, 6, CLOCK, coded.ticks)
    assert back.span == read_span(payload_of(coded)) == coded.span
    assert back.span.count == 9
    np.testing.assert_array_equal(back.path, coded.path)
    assert segment_section(back) == segment_section(coded)


def test_a_clip_shows_each_moment_when_its_frames_are_there():
    clip = clip_of(segment())
    plain = clip_of(replace(segment(), clock=None))
    assert (clip.count, plain.count, clip.duration) == (9, 6, Fraction(9, 10))
    moments = list(plain)
    for frame, pixels in enumerate(clip):
        np.testing.assert_array_equal(pixels, moments[CLOCK.moments[frame]])
    # At another rate it stays in frame 0, and half-way through frame 1 it is half-way to the second moment.
    np.testing.assert_array_equal(clip.render(time=Fraction(7, 100)), moments[0])
    np.testing.assert_array_equal(clip.render(time=Fraction(15, 100)), plain.render(time=Fraction(5, 100)))
    assert len(list(clip.frames(fps=20))) == 18
    assert clip.info()["frames"] == 9


def test_durations_are_of_frames():
    ticks = (9000,) * 8 + (90_000,)
    clip = clip_of(segment(ticks=ticks))
    assert clip.duration == Fraction(18, 10)
    plain = list(clip_of(replace(segment(), clock=None)))
    np.testing.assert_array_equal(clip.render(frame=7), plain[5])
    np.testing.assert_array_equal(clip.render(frame=8), plain[5])
    # In its last frame, which lasts 1 s, it goes on by a moment.
    late = clip_of(replace(segment(), clock=None)).render(time=Fraction(55, 100))
    np.testing.assert_array_equal(clip.render(time=Fraction(13, 10)), late)


def test_segments_that_share_frames_each_go_by_their_own_clock():
    other = Clock((0, 1, 1, 2))
    clip = clip_of(segment(), segment(other, 7, seed=2))
    assert clip.count == 11
    one, two = clip_of(segment()), clip_of(segment(other, seed=2))
    for frame, share in ((7, 1 / 3), (8, 2 / 3)):
        blend = (1 - share) * one.render_float(frame=frame) + share * two.render_float(frame=frame - 7)
        np.testing.assert_allclose(clip.render_float(frame=frame), blend, atol=1e-5)
    np.testing.assert_array_equal(clip.render(frame=9), two.render(frame=2))
    np.testing.assert_array_equal(clip.render(frame=9), two.render(frame=1))


def test_a_motion_field_goes_by_the_clock():
    clock = Clock((0, 1, 1, 2, 3, 3, 3, 4))
    clip, plain = (Clip.from_bytes(riding_clip(c)) for c in (clock, None))
    assert (clip.count, plain.count) == (8, 5)
    assert clip.segment(0).motion is not None
    moments = list(plain)
    for frame, pixels in enumerate(clip):
        np.testing.assert_array_equal(pixels, moments[clock.moments[frame]])


# Layer, first frame, number of frames and flags take a byte each.
CLOCK_AT = 4


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        ("2301", "the clock of a segment repeats a frame before its first"),
        ("2202", "the clock of a segment repeats frames behind its 9"),
        ("22ff", "the clock of a segment repeats frames behind its 9"),
        ("0000", "the clock of a segment repeats no frame"),
    ],
)
def test_a_clock_that_makes_no_sense_is_refused(bits, said):
    good = payload_of(segment())
    assert good[CLOCK_AT : CLOCK_AT + 2] == CLOCK.bytes()
    bad = good[:CLOCK_AT] + bytes.fromhex(bits) + good[CLOCK_AT + 2 :]
    with pytest.raises(BitstreamError, match=said):
        read_segment(bad, [OWN])
    with pytest.raises(BitstreamError, match=said):
        read_span(bad)


def test_a_clock_that_is_cut_off_is_refused():
    with pytest.raises(BitstreamError, match="truncated in the clock of a segment"):
        read_segment(payload_of(segment())[: CLOCK_AT + 1], [OWN])


def test_one_frame_has_no_clock_and_one_moment_no_motion_field():
    good = payload_of(segment())
    with pytest.raises(BitstreamError, match="flags 17: a newer version may be needed"):
        read_segment(good[:2] + bytes([1, 17]) + good[4:], [OWN])
    with pytest.raises(BitstreamError, match="flags 49: a newer version may be needed"):
        read_segment(good[:3] + bytes([49]) + good[4:], [OWN])
    still = bytes([0, 0, 9, 24]) + bytes.fromhex("fe01") + good[6:]
    with pytest.raises(BitstreamError, match="a motion field and one moment"):
        read_segment(still, [OWN])


def test_fewer_moments_make_another_field():
    """A clock that says more or fewer moments than were coded is damage, not a crash."""
    good = payload_of(segment())
    for bits in ("0200", "fe01", "fe00"):
        bad = good[:CLOCK_AT] + bytes.fromhex(bits) + good[CLOCK_AT + 2 :]
        try:
            read_segment(bad, [OWN]).field(HEADER).decode()
        except BitstreamError:
            continue
