"""Peers of clips: streams that any decoder reads and nothing else in them; measures with known answers."""

from __future__ import annotations

import io
import os
import sys
from fractions import Fraction

import numpy as np
import pytest

from splat2d.bench.clip_peers import PEERS, clip_ms_ssim, clip_psnr, encode_clip, flicker
from splat2d.errors import BackendUnavailableError, ConfigError, ShapeError

from ..support.clips import moving

av = pytest.importorskip("av")

FORMATS = {"x264": "h264", "x265": "hevc", "svt-av1": "obu"}  # by family


@pytest.mark.parametrize("codec", PEERS)
def test_peer(codec):
    frames = moving(10, 96, 128)
    fine, coarse = (encode_clip(codec, frames, Fraction(25), crf) for crf in (PEERS[codec].crfs[0], 50))
    assert fine.frames.shape == frames.shape
    assert fine.frames.dtype == np.uint8
    assert fine.seconds > 0
    assert len(coarse.data) < len(fine.data) < frames.nbytes / 30
    assert clip_psnr(frames, fine.frames) > 31
    assert clip_psnr(frames, coarse.frames) < clip_psnr(frames, fine.frames)
    # A wrong matrix or siting shows in the mean or at edges, and not in what the codec loses.
    assert abs(np.mean(fine.frames.astype(float) - frames)) < 0.5
    assert encode_clip(codec, frames, Fraction(25), 50).data == coarse.data


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="no policies of scheduling here")
@pytest.mark.parametrize("codec", PEERS)
def test_encoders_leave_the_thread_as_it_was(codec):
    encode_clip(codec, moving(4, 64, 64), 25, 40)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    assert os.sched_getparam(0).sched_priority == 0


@pytest.mark.parametrize("codec", PEERS)
def test_stream_stands_alone_and_has_no_remarks(codec):
    data = encode_clip(codec, moving(10, 96, 128), 25, 40).data
    with av.open(io.BytesIO(data), format=FORMATS[PEERS[codec].family]) as file:
        assert sum(1 for _ in file.decode(video=0)) == 10
    assert b"x264" not in data
    assert b"x265" not in data


@pytest.mark.parametrize("family", ["x264", "x265", "svt-av1"])
def test_the_setting_for_psnr_is_the_best_at_it(family, samples):
    from splat2d.bench.curves import bd_rate
    from splat2d.bench.once import load_pixels

    x = load_pixels(samples / "coffee.png")
    frames = np.stack([x[100 + t : 196 + t, 200 + 2 * t : 328 + 2 * t] for t in range(8)])
    curves = {}
    for tune in ("psnr", "ms_ssim"):
        name = next(p.name for p in PEERS.values() if (p.family, p.optimises) == (family, tune))
        found = [encode_clip(name, frames, 25, crf) for crf in (20, 28, 36, 44)]
        curves[tune] = [(len(each.data), clip_psnr(frames, each.frames)) for each in found]
    assert (bd_rate(curves["ms_ssim"], curves["psnr"])["percent"] or 0) < 0


def test_frames_keep_their_order():
    # Each frame is of its own grey, so that one out of place shows.
    frames = np.broadcast_to(np.arange(20, 240, 20, dtype=np.uint8)[:, None, None, None], (11, 64, 64, 3))
    for codec in PEERS:
        found = encode_clip(codec, np.ascontiguousarray(frames), 25, 20).frames
        assert np.abs(found.mean(axis=(1, 2, 3)) - frames[:, 0, 0, 0]).max() < 4, codec


def test_impossible_settings(monkeypatch):
    frames = moving(2, 64, 64)
    with pytest.raises(ConfigError, match="expected one of svt-av1-2, svt-av1-6"):
        encode_clip("vp9", frames, 25, 30)
    with pytest.raises(ConfigError, match="crf 999"):
        encode_clip("svt-av1-6", frames, 25, 999)
    for wrong in (frames[:0], frames[0], frames[:, :63], frames[..., :2]):
        with pytest.raises(ShapeError):
            encode_clip("x264-psnr", wrong, 25, 30)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BackendUnavailableError):
        encode_clip("x264-psnr", frames, 25, 30)


def test_psnr_is_of_the_mean_error_over_all_frames():
    x = np.full((2, 4, 4, 3), 100, np.uint8)
    x_hat = x.copy()
    assert clip_psnr(x, x_hat) == 99
    x_hat[1] += 2
    assert clip_psnr(x, x_hat) == pytest.approx(10 * np.log10(255**2 / 2))


def test_ms_ssim_is_the_mean_over_frames():
    pytest.importorskip("pytorch_msssim")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (2, 176, 176, 3), dtype=np.uint8)
    x_hat = x.copy()
    assert clip_ms_ssim(x, x_hat) == pytest.approx(1)
    x_hat[1] = 255 - x[1]
    assert 0 <= clip_ms_ssim(x, x_hat) < 0.75


def test_flicker_is_the_change_of_the_error():
    reference = moving(5).clip(10, 240)
    still = reference + np.uint8(9)
    assert flicker(still, reference) == 0  # the error is large and stands still
    wild = reference.copy()
    wild[1::2] += 3
    assert flicker(wild, reference) == 3
    once = reference.copy()
    once[2] -= 5
    assert flicker(once, reference) == 2.5
    assert flicker(wild[:1], reference[:1]) == 0
