"""Clips out: what comes back from each format, times, and nothing left of what fails."""

from __future__ import annotations

import os
import resource
import sys
from fractions import Fraction

import numpy as np
import pytest

from splat2d.errors import BackendUnavailableError, ConfigError, OutputError, ShapeError
from splat2d.media.reader import open_clip
from splat2d.media.writer import ClipWriter, check_clip_output

from ..support.clips import moving, rgb_of

av = pytest.importorskip("av")


def write(path, frames=None, times=None, fps=Fraction(25), **options) -> ClipWriter:
    frames = moving() if frames is None else frames
    with ClipWriter(path, frames.shape[2], frames.shape[1], fps, **options) as writer:
        for index, pixels in enumerate(frames):
            writer.write(pixels, None if times is None else times[index])
    return writer


def read(path) -> np.ndarray:
    return np.stack([frame.pixels for frame in open_clip(path)])


def noise(count: int = 3, height: int = 50, width: int = 70) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.y4m", {}),
        ("a.mkv", {"lossless": True}),
        ("a.avi", {"lossless": True}),
        ("a_%04d.png", {}),
        ("folder/", {}),
    ],
)
def test_lossless_formats_return_every_pixel(tmp_path, name, options):
    frames = noise(height=51, width=71)
    writer = write(f"{tmp_path}/{name}", frames, **options)
    assert writer.warnings == []
    assert np.array_equal(read(f"{tmp_path}/{name}"), frames)


@pytest.mark.parametrize("name", ["a.mp4", "a.m4v", "a.mov", "a.mkv", "a.avi", "a.webm"])
def test_lossy_formats_are_near(tmp_path, name):
    frames = moving(12, 96, 128)
    writer = write(tmp_path / name, frames)
    assert writer.warnings == []
    assert os.listdir(tmp_path) == [name]
    reader = open_clip(tmp_path / name)
    assert (reader.width, reader.height, reader.fps) == (128, 96, 25)
    found = list(reader)
    assert [frame.time * 25 for frame in found] == list(range(12))
    error = np.stack([frame.pixels for frame in found]).astype(float) - frames
    assert np.sqrt(np.mean(error**2)) < 4
    assert abs(error.mean()) < 0.3


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 255, 0), (20, 40, 220), (128, 128, 128)])
def test_mp4_is_bt709_and_says_so(tmp_path, color):
    write(tmp_path / "a.mp4", np.full((2, 48, 64, 3), color, np.uint8), crf=1)
    with av.open(str(tmp_path / "a.mp4")) as file:
        stream = file.streams.video[0]
        context = stream.codec_context
        tags = context.colorspace, context.color_range, context.color_primaries, context.color_trc
        assert tags == (1, 1, 1, 1)
        assert context.name == "h264"
        assert context.pix_fmt == "yuv420p"
        planes = next(file.decode(stream)).to_ndarray()
    y, u, v = planes[10, 10], planes[50, 10], planes[62, 10]
    assert np.abs(rgb_of(np.array([y, u, v]), "bt709", False) - color).max() <= 2.5


def test_chroma_lies_left_as_h264_says(tmp_path):
    # A ramp, whose samples say where they were taken.
    ramp = np.broadcast_to((2 * np.arange(96) + 30)[None, None, :, None], (2, 48, 96, 3)).copy()
    ramp[..., :2] = 110
    write(tmp_path / "a.mp4", ramp.astype(np.uint8), crf=0)
    with av.open(str(tmp_path / "a.mp4")) as file:
        planes = next(file.decode(video=0)).to_ndarray()
    u = planes[48:60].reshape(24, 48)[12].astype(float)
    luma = 0.2126 * 110 + 0.7152 * 110 + 0.0722 * ramp[0, 0, :, 2]
    expected = 128 + 224 / 255 * (ramp[0, 0, :, 2] - luma) / (2 * (1 - 0.0722))
    assert abs(np.mean(u - expected[::2])[()]) < 0.3  # half a pixel to the right is 0.44 more


def test_gif(tmp_path):
    frames = np.where(moving(6) > 128, 255, 0).astype(np.uint8)
    write(tmp_path / "a.gif", frames, fps=Fraction(10))
    reader = open_clip(tmp_path / "a.gif")
    assert reader.fps == 10
    assert np.array_equal(read(tmp_path / "a.gif"), frames)
    write(tmp_path / "b.gif", moving(3))
    assert np.abs(read(tmp_path / "b.gif").astype(float) - moving(3)).mean() < 10


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.webm", "a.gif"])
def test_times_of_a_varying_rate_are_kept(tmp_path, name):
    steps = [0, 3, 9, 20, 22, 49]
    times = [2 + Fraction(step, 100) for step in steps]
    assert write(tmp_path / name, moving(6), times).warnings == []
    assert [frame.time * 100 for frame in open_clip(tmp_path / name)] == steps


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(1, 2), Fraction(120)])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.y4m", "a.avi"])
def test_rates(tmp_path, name, fps):
    write(tmp_path / name, fps=fps)
    reader = open_clip(tmp_path / name)
    assert reader.fps == fps
    assert [frame.time * fps for frame in reader] == list(range(12))


def test_one_frame_lasts_as_long_as_the_rate_says(tmp_path):
    for name in ("a.mp4", "a.mkv", "a.y4m"):
        write(tmp_path / name, moving(1))
        assert open_clip(tmp_path / name).duration == Fraction(1, 25)


def test_formats_without_times_say_so(tmp_path):
    for name in ("a.y4m", "a_%d.png"):
        (warning,) = write(tmp_path / name, moving(3), [0, 1, 2]).warnings
        assert "keeps no times" in warning
        assert write(tmp_path / name, moving(3), [7, 7.041, 7.079], force=True).warnings == []


def test_odd_sizes_are_padded_and_it_is_said(tmp_path):
    frames = moving(3, 47, 63)
    (warning,) = write(tmp_path / "a.mp4", frames).warnings
    assert "63x47" in warning
    assert "64x48" in warning
    found = read(tmp_path / "a.mp4").astype(float)
    assert np.abs(found[:, :47, :63] - frames).mean() < 3.5
    assert np.abs(found[:, 47] - found[:, 46]).mean() < 6
    assert write(tmp_path / "a.webm", frames).warnings == []
    assert read(tmp_path / "a.webm").shape == frames.shape


def test_images_are_numbered_from_one(tmp_path):
    write(tmp_path / "a_%03d.jpg", moving(2))
    assert sorted(os.listdir(tmp_path)) == ["a_001.jpg", "a_002.jpg"]
    write(f"{tmp_path}/new/", moving(2))
    assert sorted(os.listdir(tmp_path / "new")) == ["frame_0001.png", "frame_0002.png"]


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.y4m", "a_%04d.png", "folder/"])
@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_of_what_fails(tmp_path, name, fault):
    def fail() -> None:
        with ClipWriter(f"{tmp_path}/{name}", 64, 48, Fraction(25)) as writer:
            for pixels in moving(4):
                writer.write(pixels)
            raise fault

    with pytest.raises(fault):
        fail()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a.mp4", "a_%04d.png", "folder/"])
def test_nothing_is_left_without_frames(tmp_path, name):
    with pytest.raises(OutputError, match="no frames"):
        write(f"{tmp_path}/{name}", moving(0))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a.y4m", "a.mkv", "a_%04d.png"])
def test_a_full_disk_is_one_line(tmp_path, name):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))  # Python ignores the signal, so that writes fail
    try:
        with pytest.raises(OutputError) as caught:
            write(tmp_path / name, noise(12))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a.mp4", "a_%04d.png", "folder"])
def test_existing_files_are_kept(tmp_path, name):
    if name == "folder":
        (tmp_path / name).mkdir()
    write(tmp_path / name, moving(3))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match="--force"):
        write(tmp_path / name, moving(3)[::-1])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert write(tmp_path / name, moving(3)[::-1], force=True).warnings == []
    assert all(path.read_bytes() != data for path, data in before.items() if not path.name.endswith("2.png"))


def test_older_images_beyond_the_last_are_said(tmp_path):
    write(tmp_path / "a_%d.png", moving(5))
    (warning,) = write(tmp_path / "a_%d.png", moving(3), force=True).warnings
    assert warning.startswith("2 older images")


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("a.xyz", OutputError, "out_%04d.png"),
        ("a", OutputError, "no extension"),
        ("a_%04d.xyz", OutputError, "no picture format"),
        ("none/a.mp4", OutputError, "does not exist"),
        ("none/none/a_%d.png", OutputError, "does not exist"),
        ("none/none/", OutputError, "does not exist"),
    ],
)
def test_impossible_outputs(tmp_path, name, error, said):
    for attempt in (check_clip_output, write):
        with pytest.raises(error, match=said):
            attempt(f"{tmp_path}/{name}")
    assert os.listdir(tmp_path) == []


def test_impossible_settings_and_frames(tmp_path):
    path = tmp_path / "a.mp4"
    with pytest.raises(ConfigError, match="lossless"):
        write(path, lossless=True)
    with pytest.raises(ConfigError, match="crf"):
        write(path, crf=60)
    with pytest.raises(ConfigError, match="fps"):
        write(path, fps=Fraction(0))
    with pytest.raises(ConfigError, match="frame 3 is at 1 s"):
        write(path, times=[0, 1, 1] + [2] * 9)
    with pytest.raises(ShapeError), ClipWriter(path, 64, 48, Fraction(25)) as writer:
        writer.write(moving(1)[0][:20])
    with pytest.raises(ShapeError), ClipWriter(path, 64, 48, Fraction(25)) as writer:
        writer.write(moving(1)[0].astype(np.float32))
    assert os.listdir(tmp_path) == []


def test_without_pyav(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BackendUnavailableError, match="splat2d\\[video\\]"):
        check_clip_output(tmp_path / "a.mp4")
    write(tmp_path / "a_%d.png", moving(2))
    assert len(os.listdir(tmp_path)) == 2
