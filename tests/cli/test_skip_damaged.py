"""Damaged clips: what is whole is found, nothing is invented, and a stopped decode leaves nothing behind."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from splat2d.errors import BitstreamError, Splat2dError
from splat2d.fit.clip.encode import encode_frames
from splat2d.fit.config import ClipConfig
from splat2d.format.container import parse
from splat2d.format.sections import INDEX, Source
from splat2d.format.segments import segment_section
from splat2d.native.backend import Backend
from splat2d.scene.clip import Clip

from ..support.command import needs
from ..support.scenes_in_time import moving_scene

QUICK = ClipConfig(rounds=1, steps=2, final_steps=2, sweeps=1, frames=5)
FRAMES, SEGMENTS = 26, 7


@pytest.fixture(scope="module")
def data():
    frames = [(np.ascontiguousarray(frame[:32, :48]), None) for frame in moving_scene(FRAMES)]
    file = io.BytesIO()
    encode_frames(frames, Fraction(25), file, config=QUICK, quality=20, backend=Backend(1))
    assert len(parse(Source(io.BytesIO(file.getvalue()))).places) == SEGMENTS
    return file.getvalue()


def found(data: bytes) -> tuple[int, int]:
    """Frames and whole segments."""
    clip = Clip.from_bytes(data, skip_damaged=True, threads=1)
    whole = 0
    for number in range(len(clip._timeline.parts)):
        with contextlib.suppress(BitstreamError):
            whole += bool(clip.segment(number))
    return clip.count, whole


def first_segment(data: bytes) -> int:
    return parse(Source(io.BytesIO(data))).places[0].section.at


def test_a_flipped_bit_costs_one_segment(data):
    for bit in range(8 * first_segment(data), 8 * len(data), 3):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        frames, whole = found(bytes(flipped))
        assert frames == FRAMES
        assert whole >= SEGMENTS - 1


def test_a_flipped_bit_costs_one_segment_without_the_index_too(data):
    places = parse(Source(io.BytesIO(data))).places
    last, end = places[-1].section.at, places[-1].section.end
    for bit in range(8 * places[0].section.at, 8 * end, 3):
        flipped = bytearray(data[: end + 4])  # some bytes of the index
        flipped[bit // 8] ^= 1 << bit % 8
        frames, whole = found(bytes(flipped))
        assert whole == SEGMENTS - 1
        assert frames == FRAMES if bit < 8 * last else FRAMES - 5 <= frames <= FRAMES


def test_frames_are_not_invented(data):
    clip = Clip.from_bytes(data)
    places = clip.document.container.places
    for first in (2**31 - 65, 2**31 - 1, 10**6, FRAMES + 1):
        coded = replace(clip.document.container.segment(clip.document.source, SEGMENTS - 1), first=first)
        told = data[: places[-1].section.at] + segment_section(coded)
        with contextlib.suppress(Splat2dError):
            assert Clip.from_bytes(told, skip_damaged=True).count <= FRAMES
        damaged = bytearray(told)
        damaged[places[3].section.at + 9] ^= 1
        assert Clip.from_bytes(bytes(damaged), skip_damaged=True).count < FRAMES + 64 * 10


def test_a_clip_that_lasts_no_time_is_refused(data):
    clip = Clip.from_bytes(data)
    coded = clip.document.container.segment(clip.document.source, 0)
    places = clip.document.container.places
    told = data[: places[0].section.at] + segment_section(replace(coded, ticks=(0,) * coded.count))
    for options in ({}, {"skip_damaged": True}):
        with pytest.raises(BitstreamError, match=r"0 ticks|no frames"):
            Clip.from_bytes(told, **options)


def test_the_index_is_the_last_section(data):
    source = Source(io.BytesIO(data))
    assert list(source.sections(first_segment(data)))[-1].kind == INDEX


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stopped_decode_leaves_nothing_behind(tmp_path, data, stop):
    needs(stop)
    (tmp_path / "a.splat").write_bytes(data)
    words = ["decode", "a.splat", "out/", "--scale", "40", "--threads", "1"]
    child = subprocess.Popen([sys.executable, "-m", "splat2d", *words], cwd=tmp_path, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    child.send_signal(stop)
    complaint = child.communicate(timeout=60)[1].decode()
    assert child.returncode == 128 + stop, complaint
    assert complaint.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.splat"]
