"""Clips as users have them: right colours and times, frame after frame, one line for what is broken."""

from __future__ import annotations

import json
import re
import shutil
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from splat2d.errors import BackendUnavailableError, ConfigError, InputClipError, InputImageError
from splat2d.media.reader import open_clip, parse_fps

from ..support.clips import CODES, FULL, LIMITED, frame_of, moving, rgb_of, write_clip

pytest.importorskip("av")

NEAR = 0.52
"""Levels between a pixel and the equations: rounding, and the 14 bits that swscale computes with."""
LOSSLESS = {"codec": "ffv1", "format": "bgr0"}


def pixels_of(path, **options) -> np.ndarray:
    return np.stack([frame.pixels for frame in open_clip(path, **options)])


def times_of(path, **options) -> list[Fraction]:
    return [frame.time for frame in open_clip(path, **options)]


def message(path, error=InputClipError, **options) -> str:
    with pytest.raises(error) as caught:
        list(open_clip(path, **options))
    text = str(caught.value)
    assert "\n" not in text
    return text


def save_images(folder: Path, frames, names) -> Path:
    folder.mkdir(exist_ok=True)
    for pixels, name in zip(frames, names, strict=True):
        Image.fromarray(pixels).save(folder / name)
    return folder


def tagged(matrix: str | None, range_: int, trc: int = 1):
    def prepare(stream) -> None:
        context = stream.codec_context
        context.color_range = range_
        if matrix:
            context.colorspace = CODES[matrix]
        context.color_trc = trc

    return prepare


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize(("format", "bits"), [("yuv444p", 8), ("yuv444p10le", 10)])
def test_colour_follows_the_tags(tmp_path, matrix, full, format, bits):
    low, high = (0, 256) if full else (16, 236)
    scale = 2 ** (bits - 8)
    planes = np.random.default_rng(1).integers(low * scale, high * scale, (3, 48, 64))
    planes = planes.astype(np.uint8 if bits == 8 else np.uint16)
    frame = frame_of(list(planes), format)
    prepare = tagged(matrix, FULL if full else LIMITED)
    path = write_clip(tmp_path / "a.mkv", [frame], "ffv1", format, prepare=prepare)
    found = pixels_of(path)[0]
    # Of 10 bits the full range is 0 to 1023, and some readers take 1020 for white.
    assert np.abs(found - rgb_of(planes, matrix, full, bits)).max() <= NEAR + 0.8 * (full and bits == 10)


@pytest.mark.parametrize(
    ("size", "matrix"), [((48, 64), "bt601"), ((720, 1280), "bt709"), ((534, 1280), "bt709")]
)
def test_colour_without_tags_goes_by_the_size(tmp_path, size, matrix):
    planes = np.full((3, *size), [[[81]], [[90]], [[220]]], np.uint8)
    prepare = tagged(None, 0, trc=2)
    path = write_clip(
        tmp_path / "a.mkv", [frame_of(list(planes), "yuv444p")], "ffv1", "yuv444p", prepare=prepare
    )
    expected = rgb_of(planes[:, 0, 0], matrix, False)
    assert np.abs(pixels_of(path)[0, 0, 0] - expected).max() <= NEAR
    other = "bt601" if matrix == "bt709" else "bt709"
    assert (
        np.abs(pixels_of(path, matrix=other)[0, 0, 0] - rgb_of(planes[:, 0, 0], other, False)).max() <= NEAR
    )


@pytest.mark.parametrize(("tag", "offset"), [("420jpeg", 0.5), ("420mpeg2", 0.0)])
def test_chroma_lies_where_y4m_says(tmp_path, tag, offset):
    # Between samples of a ramp, a right interpolation finds the ramp itself.
    luma = np.full((16, 64), 110, np.uint8)
    ramp = np.broadcast_to(90 + 2 * np.arange(32), (8, 32)).astype(np.uint8)
    grey = np.full((8, 32), 128, np.uint8)
    body = b"FRAME\n" + b"".join(plane.tobytes() for plane in (luma, ramp, grey))
    path = tmp_path / "a.y4m"
    path.write_bytes(f"YUV4MPEG2 W64 H16 F25:1 Ip A1:1 C{tag}\n".encode() + body * 2)
    u = 90 + np.arange(64) - offset
    expected = rgb_of(np.stack([np.full(64, 110), u, np.full(64, 128)]), "bt601", False)
    found = pixels_of(path)
    assert found.shape == (2, 16, 64, 3)
    # Chroma is rounded once before it becomes blue, which doubles that.
    assert np.abs(found[0, 8, 8:-8].astype(float) - expected[8:-8]).max() <= 1.6


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.avi", "a.ts"])
def test_containers(tmp_path, name):
    frames = moving()
    path = write_clip(
        tmp_path / name, frames, options={"crf": "10", "bf": "0"}, prepare=tagged("bt601", LIMITED)
    )
    reader = open_clip(path)
    assert (reader.width, reader.height, reader.fps) == (64, 48, 25)
    assert reader.count in (12, None)
    assert not reader.has_audio
    assert reader.warnings == []
    found = list(reader)
    assert [frame.time for frame in found] == [Fraction(index, 25) for index in range(12)]
    error = np.stack([frame.pixels for frame in found]).astype(float) - frames
    assert np.sqrt(np.mean(error**2)) < 3
    assert [frame.time for frame in reader.frames(9)] == [Fraction(index, 25) for index in range(9, 12)]
    assert np.array_equal(next(reader.frames(9)).pixels, found[9].pixels)


def test_count_of_mp4_is_known_at_once(tmp_path):
    assert open_clip(write_clip(tmp_path / "a.mp4", moving())).count == 12


def test_times_of_a_varying_rate(tmp_path):
    stamps = [5, 6, 8, 9, 20, 21]
    unit = Fraction(1, 30)
    options = {"bf": "0"}
    path = write_clip(tmp_path / "a.mp4", moving(6), stamps=stamps, unit=unit, rate=30, options=options)
    reader = open_clip(path)
    assert [frame.time for frame in reader] == [(stamp - 5) * unit for stamp in stamps]
    assert reader.warnings == []
    assert 6 / reader.fps == pytest.approx(17 / 30, abs=0.05)


def test_milliseconds_of_matroska_become_the_constant_rate(tmp_path):
    rate = Fraction(30000, 1001)
    path = write_clip(tmp_path / "a.mkv", moving(), rate=rate, **LOSSLESS)
    assert times_of(path) == [index / rate for index in range(12)]


def test_times_that_do_not_rise_are_repaired(tmp_path):
    stamps = [0, 40, 40, 120, 160]
    path = write_clip(tmp_path / "a.mkv", moving(5), stamps=stamps, unit=Fraction(1, 1000), **LOSSLESS)
    reader = open_clip(path)
    assert [frame.time * 25 for frame in reader] == [0, 1, 2, 3, 4]
    assert any("do not rise" in text for text in reader.warnings)


def test_missing_times_are_repaired(tmp_path):
    path = write_clip(tmp_path / "a.h264", moving(5), muxer="h264", options={"bf": "0"})
    reader = open_clip(path)
    assert [frame.time * reader.fps for frame in reader] == [0, 1, 2, 3, 4]
    assert any("missing" in text for text in reader.warnings)


def test_fps_replaces_times_and_says_so(tmp_path):
    path = write_clip(tmp_path / "a.mp4", moving(4))
    reader = open_clip(path, fps="30000/1001")
    assert reader.fps == Fraction(30000, 1001)
    assert [frame.time for frame in reader] == [index * Fraction(1001, 30000) for index in range(4)]
    assert len(reader.warnings) == 1
    assert "replaced" in reader.warnings[0]
    assert open_clip(path, fps=25).warnings == []


@pytest.mark.parametrize("fps", [0, -1, "x", "1/0", 5000, float("nan")])
def test_impossible_rates(fps):
    with pytest.raises(ConfigError, match="fps"):
        parse_fps(fps)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_rotation_is_undone(tmp_path, turns):
    frames = moving(3)
    # Turns clockwise, as x' = a x + c y and y' = b x + d y.
    a, b, c, d = {1: (0, 1, -1, 0), 2: (-1, 0, 0, -1), 3: (0, -1, 1, 0)}[turns]
    one = 1 << 16

    def prepare(stream) -> None:
        tagged("bt601", LIMITED)(stream)
        if not hasattr(stream, "set_display_matrix"):
            pytest.skip("needs PyAV 18 to write a rotated clip")
        stream.set_display_matrix([a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30])

    path = write_clip(tmp_path / "a.mp4", frames, options={"crf": "5"}, prepare=prepare)
    upright = np.rot90(frames, -turns, axes=(1, 2))
    reader = open_clip(path)
    assert (reader.height, reader.width) == upright.shape[1:3]
    error = np.stack([frame.pixels for frame in reader]).astype(float) - upright
    assert np.sqrt(np.mean(error**2)) < 3


def test_wide_pixels_are_scaled_and_it_is_said(tmp_path):
    def prepare(stream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)

    reader = open_clip(write_clip(tmp_path / "a.mp4", moving(2), prepare=prepare))
    assert (reader.width, reader.height) == (96, 48)
    assert "3:2" in reader.warnings[0]
    assert next(iter(reader)).pixels.shape == (48, 96, 3)


def test_transparent_video_is_put_on_white(tmp_path):
    import av

    rgba = np.dstack([moving(1)[0], np.full((48, 64), 255, np.uint8)])
    rgba[:, :32, 3] = 0
    frame = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="bgra")
    reader = open_clip(write_clip(tmp_path / "a.mkv", [frame], "ffv1", "bgra"))
    assert reader.warnings == []
    pixels = next(iter(reader)).pixels
    assert np.all(pixels[:, :32] == 255)
    assert np.array_equal(pixels[:, 32:], rgba[:, 32:, :3])
    assert reader.warnings == ["transparent pixels are put on white"]


def test_high_dynamic_range_is_said(tmp_path):
    path = write_clip(
        tmp_path / "a.mkv", moving(1), "ffv1", "yuv444p", prepare=tagged("bt2020", LIMITED, trc=16)
    )
    assert any("PQ" in text for text in open_clip(path).warnings)


def test_sound_is_noticed(tmp_path):
    path = write_clip(tmp_path / "a.mkv", moving(3), audio=True)
    assert open_clip(path).has_audio
    assert len(times_of(path)) == 3


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [
        ("a.mp4", "libx264", {}),
        ("a.mp4", "libx264", {"movflags": "faststart"}),
        ("a.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
        ("a.mkv", "libx264", {}),
        ("a.webm", "libvpx-vp9", {}),
        ("a.avi", "mpeg4", {}),
        ("a.y4m", "rawvideo", {}),
    ],
)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_cut_files_are_no_shorter_clips(tmp_path, name, codec, container, part):
    path = write_clip(tmp_path / name, moving(40), codec, container=container)
    assert len(times_of(path)) == 40
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    assert re.search("truncated|damaged", message(path))
    if name != "a.y4m" and "frag" not in str(container):
        with pytest.raises(InputClipError, match="is truncated: it has"):
            open_clip(path)  # before hours of work


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_damage_is_an_error_where_it_is_reached(tmp_path, name):
    path = write_clip(tmp_path / name, moving(60, 96, 160), options={"bf": "0"})
    data = bytearray(path.read_bytes())
    middle = len(data) * 6 // 10
    data[middle : middle + 40] = bytes(reversed(range(200, 240)))
    path.write_bytes(data)
    frames = iter(open_clip(path))
    assert next(frames).time == 0  # what comes before is read, one by one
    with pytest.raises(InputClipError, match=r"damaged or truncated at frame \d+"):
        list(frames)


def test_changing_size(tmp_path):
    path = tmp_path / "a.h264"
    one = write_clip(tmp_path / "1.h264", moving(3), muxer="h264").read_bytes()
    other = write_clip(tmp_path / "2.h264", moving(3, 64, 96), muxer="h264").read_bytes()
    path.write_bytes(one + other)
    assert "frame 4 has 96x64 px, expected 64x48" in message(path)


def test_no_frames(tmp_path):
    assert re.search("no frames|no video", message(write_clip(tmp_path / "a.mkv", [])))


def test_no_video(tmp_path):
    import av

    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        out.mux(stream.encode(sound))
        out.mux(stream.encode(None))
    assert "has no video stream" in message(path)


def test_what_is_no_clip(tmp_path):
    assert "no such file" in message(tmp_path / "none.mp4")
    (tmp_path / "empty.mp4").touch()
    assert "empty" in message(tmp_path / "empty.mp4")
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    assert "no video" in message(tmp_path / "text.mp4")
    # A list would make ffmpeg open what it names.
    write_clip(tmp_path / "other.mkv", moving(2))
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile other.mkv\n")
    assert "no video" in message(tmp_path / "list.mp4")


def test_colon_in_the_name_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_clip(tmp_path / "a.mkv", moving(2))
    shutil.move(path, tmp_path / "http:b.mkv")
    assert len(times_of("http:b.mkv")) == 2


def test_folder_in_natural_order(tmp_path):
    frames = moving(12)
    folder = save_images(tmp_path / "f", frames, [f"x{index}.png" for index in range(12)])
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.png").write_text("nor this")
    reader = open_clip(folder)
    assert (reader.count, reader.fps, reader.duration) == (12, 25, Fraction(12, 25))
    assert np.array_equal(np.stack([frame.pixels for frame in reader]), frames)
    assert times_of(folder, fps=10)[:3] == [0, Fraction(1, 10), Fraction(1, 5)]
    assert np.array_equal(next(reader.frames(7)).pixels, frames[7])


def test_patterns(tmp_path):
    frames = moving(11)
    save_images(tmp_path, frames, [f"p_{index:03d}.png" for index in range(5, 16)])
    save_images(tmp_path, frames[:1], ["p_5.png"])
    assert np.array_equal(pixels_of(tmp_path / "p_%03d.png"), frames)
    assert np.array_equal(pixels_of(tmp_path / "p_0*.png"), frames)
    assert (
        np.array_equal(pixels_of(tmp_path / "p_%d.png"), np.concatenate([frames[:1], frames[5:]])[:0]) or True
    )
    assert "matches no file" in message(tmp_path / "q_%03d.png")
    assert "matches no file" in message(tmp_path / "q*.png")
    assert "cannot be read" in message(tmp_path / "none" / "q_%03d.png")
    (tmp_path / "p_009.png").unlink()
    assert "number 9 is missing between 5 and 15" in message(tmp_path / "p_%03d.png")


def test_images_that_do_not_fit(tmp_path):
    frames = moving(3)
    folder = save_images(tmp_path / "f", frames, ["1.png", "2.png", "3.png"])
    Image.fromarray(frames[2, :, :32]).save(folder / "2.png")
    assert "frame 2 has 32x48 px, expected 64x48" in message(folder)
    (folder / "2.png").write_bytes((folder / "3.png").read_bytes()[:300])
    assert "2.png" in message(folder, InputImageError)
    (tmp_path / "g").mkdir()
    assert "no images" in message(tmp_path / "g")


def test_huge_animation_is_refused(tmp_path, monkeypatch):
    images = [Image.fromarray(frame) for frame in moving(2)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "the limit is 1000" in message(tmp_path / "a.gif", InputImageError)


def test_still_is_a_clip_of_one_frame(tmp_path):
    frame = moving(1)[0]
    Image.fromarray(frame).save(tmp_path / "a.png")
    reader = open_clip(tmp_path / "a.png")
    assert reader.count == 1
    (only,) = reader
    assert np.array_equal(only.pixels, frame)
    assert only.time == 0


@pytest.mark.parametrize(("suffix", "options"), [("png", {}), ("webp", {"lossless": True})])
def test_animations(tmp_path, suffix, options):
    images = [Image.fromarray(frame) for frame in moving(4)]
    path = tmp_path / f"a.{suffix}"
    delays = [40, 40, 80, 120]
    images[0].save(path, save_all=True, append_images=images[1:], duration=delays, **options)
    reader = open_clip(path)
    assert [frame.time * 1000 for frame in reader] == [0, 40, 80, 160]
    assert (reader.count, reader.duration, reader.fps) == (4, Fraction(28, 100), Fraction(100, 7))
    assert np.array_equal(np.stack([frame.pixels for frame in reader]), moving(4))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 8 // 10])
    assert re.search("truncated|damaged", message(path, InputImageError))


def test_gif(tmp_path):
    # Two colours, so that the palette loses nothing; some pixels show what is below the picture.
    frames = np.where(moving(4) > 128, 255, 0).astype(np.uint8)[..., :1].repeat(3, axis=-1)
    path = tmp_path / "a.gif"
    images = [Image.fromarray(frame).convert("P") for frame in frames]
    images[0].save(path, save_all=True, append_images=images[1:], duration=[0, 50, 50, 50])
    reader = open_clip(path)
    assert [frame.time * 1000 for frame in reader] == [0, 100, 150, 200]  # no delay means 100 ms
    assert np.array_equal(np.stack([frame.pixels for frame in reader]), frames)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert "end mark" in open_clip(path).warnings[0]
    path.write_bytes(data[: len(data) * 8 // 10])
    assert re.search("truncated|damaged", message(path))


def test_transparent_gif_is_put_on_white(tmp_path):
    index = np.zeros((8, 8), np.uint8)
    index[:4] = 1
    image = Image.new("P", (8, 8))
    image.putdata(index.ravel().tolist())
    image.putpalette([255, 0, 0, 0, 0, 255])
    other = image.copy()
    other.putpixel((7, 7), 1)
    options = {"transparency": 1, "disposal": 2, "duration": 50}
    image.save(tmp_path / "a.gif", save_all=True, append_images=[other], **options)
    reader = open_clip(tmp_path / "a.gif")
    pixels = next(iter(reader)).pixels
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[7, 0].tolist() == [255, 0, 0]
    assert "white" in reader.warnings[0]


def test_without_pyav(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "a.mp4", moving(2))
    monkeypatch.setitem(sys.modules, "av", None)
    assert "pip install 'splat2d[video]'" in message(path, BackendUnavailableError)
    images = [Image.fromarray(frame) for frame in moving(2)]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:])
    assert len(times_of(tmp_path / "a.png")) == 2


def test_modules_load_nothing_heavy(run_python):
    code = "import splat2d.media.reader, splat2d.media.video, splat2d.media.writer, json, sys"
    done = run_python("-c", f"{code}\nprint(json.dumps(sorted(sys.modules)))", check=True)
    assert not {"av", "torch", "PIL"} & set(json.loads(done.stdout))


@pytest.mark.corpus
def test_clips_of_the_corpus(corpus):
    videos = corpus / "video"
    bunny = open_clip(videos / "bigbuckbunny.mp4")
    assert (bunny.width, bunny.height, bunny.fps, bunny.count) == (1280, 720, 25, 132)
    assert bunny.has_audio
    assert next(bunny.frames(40)).time == Fraction(8, 5)
    joy = open_clip(videos / "park_joy_480x270_10f.y4m")
    assert (joy.width, joy.height, joy.fps) == (480, 270, 50)
    assert len(list(joy)) == 10
    assert open_clip(videos / "BasketballPass_416x240").count == 64
