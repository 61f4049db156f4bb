"""The Pillow plug-in: lazy, sized by draft, clips as sequences, Pillow's own kinds of errors."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageSequence, UnidentifiedImageError

import splat2d
import splat2d.plugins.pillow
from splat2d.format.container import Container, write
from splat2d.format.field import Field
from splat2d.format.header import Header

from ..support.places import GOLDEN

PICTURES = sorted([*(GOLDEN / "pictures").glob("*.splat"), *(GOLDEN / "layers").glob("*.splat")])
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


@pytest.fixture
def photo() -> Image.Image:
    rows, columns = np.mgrid[:48, :64]
    planes = np.stack([rows * 5, columns * 4, (rows + columns) * 2], -1)
    noise = np.random.default_rng(0).normal(0, 12, planes.shape)
    return Image.fromarray(np.clip(planes + noise, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_pixels_size_and_mode_are_those_of_decode(path: Path):
    pixels = splat2d.decode(path.read_bytes())
    with Image.open(path) as image:
        assert image.format == "SPLAT"
        assert image.size == (pixels.shape[1], pixels.shape[0])
        assert image.mode == MODES[pixels.shape[2]]
        assert (image.n_frames, image.is_animated) == (1, False)
        np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)


def test_no_splat_is_decoded_before_pixels_are_asked_for(monkeypatch: pytest.MonkeyPatch):
    from splat2d.scene.picture import Scene

    def decode(*args, **kwargs):
        raise AssertionError("decoded")

    monkeypatch.setattr(Scene, "of", decode)
    with Image.open(GOLDEN / "layers" / "edits.splat") as image:
        assert (image.size, image.mode) == ((96, 64), "RGB")
        assert image.info["layers"] == ["picture", "grau, größer", "disc", "copy"]
        with pytest.raises(AssertionError, match="decoded"):
            image.load()


def test_opens_from_file_objects_and_leaves_them_open():
    file = io.BytesIO((GOLDEN / "pictures" / "rgb.splat").read_bytes())
    image = Image.open(file)
    image.load()
    assert image.getpixel((3, 4)) == Image.open(GOLDEN / "pictures" / "rgb.splat").getpixel((3, 4))
    assert not file.closed


def test_content_decides_and_not_the_name(tmp_path: Path):
    shutil.copy(GOLDEN / "pictures" / "grey.splat", tmp_path / "renamed.png")
    with Image.open(tmp_path / "renamed.png") as image:
        assert image.format == "SPLAT"
        assert image.get_format_mimetype() == "image/x-splat2d"


def test_a_loaded_picture_has_closed_its_file():
    image = Image.open(GOLDEN / "pictures" / "rgb.splat")
    image.load()
    image.getpixel((0, 0))
    del image  # would warn of a file that is left open


@pytest.mark.parametrize(
    ("wanted", "size"), [((48, 10), (48, 32)), ((20, 30), (45, 30)), ((999, 9), (96, 64))]
)
def test_draft_renders_at_a_size_that_covers_what_is_wanted(wanted: tuple[int, int], size: tuple[int, int]):
    path = GOLDEN / "pictures" / "rgb.splat"
    with Image.open(path) as image:
        image.draft("RGB", wanted)
        assert image.size == size
        expected = splat2d.decode(path.read_bytes(), width=size[0], height=size[1])
        np.testing.assert_array_equal(np.asarray(image), expected)
        assert image.draft("RGB", (10, 10)) is None


def test_thumbnail_is_rendered_and_not_resampled(monkeypatch: pytest.MonkeyPatch):
    path = GOLDEN / "pictures" / "rgb.splat"
    monkeypatch.setattr(Image.Image, "resize", None)
    with Image.open(path) as image:
        image.thumbnail((30, 30))
        assert image.size == (30, 20)
        np.testing.assert_array_equal(
            np.asarray(image), splat2d.decode(path.read_bytes(), width=30, height=20)
        )


def test_thumbnail_of_a_loaded_picture_is_resampled():
    with Image.open(GOLDEN / "pictures" / "rgb.splat") as image:
        image.load()
        image.thumbnail((30, 30))
        assert image.size == (30, 20)


def test_a_clip_is_a_sequence():
    path = GOLDEN / "clips" / "pan.splat"
    clip = splat2d.open(path)
    with Image.open(path) as image:
        assert (image.n_frames, image.is_animated, image.tell()) == (9, True, 0)
        frames = [np.asarray(frame) for frame in ImageSequence.Iterator(image)]
        assert len(frames) == 9
        for found, expected in zip(frames, clip, strict=True):
            np.testing.assert_array_equal(found, expected)
        image.seek(4)
        assert (image.tell(), image.info["timestamp"], image.info["duration"]) == (4, 160, 40)
        image.seek(1)
        np.testing.assert_array_equal(np.asarray(image), frames[1])
        for frame in (9, -1):
            with pytest.raises(EOFError, match="outside sequence"):
                image.seek(frame)
        assert image.tell() == 1


def test_layers_of_a_clip_do_not_change_its_mode():
    path = GOLDEN / "clips" / "layers.splat"
    with Image.open(path) as image:
        for frame, pixels in zip(ImageSequence.Iterator(image), splat2d.open(path), strict=True):
            np.testing.assert_array_equal(np.asarray(frame), pixels)


def test_save_takes_the_encoders_options(tmp_path: Path, photo: Image.Image):
    photo.save(tmp_path / "a.splat", quality=60, preset="fast", seed=3)
    assert (tmp_path / "a.splat").read_bytes() == splat2d.encode(photo, quality=60, preset="fast", seed=3)
    with Image.open(tmp_path / "a.splat") as image:
        assert np.abs(np.asarray(image) - np.asarray(photo, float)).mean() < 12
    file = io.BytesIO()
    photo.save(file, format="SPLAT", preset="fast", size=400)
    assert len(file.getvalue()) <= 400
    file = io.BytesIO()
    photo.convert("L").save(file, format="SPLAT", preset="fast", psnr=30)
    with Image.open(file) as image:
        error = np.asarray(image, float) - np.asarray(photo.convert("L"))
        assert image.mode == "L"
        assert 10 * np.log10(255**2 / np.mean(error**2)) >= 30


def test_save_all_writes_a_clip_with_times(tmp_path: Path):
    frames = [Image.new("RGB", (32, 24), (40 * i, 100, 200)) for i in range(4)]
    times = [100, 100, 300, 50]
    frames[0].save(
        tmp_path / "a.splat",
        save_all=True,
        append_images=frames[1:],
        duration=times,
        preset="fast",
        quality=30,
    )
    with Image.open(tmp_path / "a.splat") as image:
        assert image.n_frames == 4
        durations = []
        for i in range(4):
            image.seek(i)
            durations.append(image.info["duration"])
            assert abs(image.getpixel((16, 12))[0] - 40 * i) < 12
        assert durations == times


@pytest.mark.parametrize("option", [{"quality": 101}, {"quality": 5, "psnr": 30}, {"preset": "slowest"}])
def test_bad_options_are_value_errors_and_leave_no_file(tmp_path: Path, photo: Image.Image, option: dict):
    with pytest.raises(ValueError, match=next(iter(option))):
        photo.save(tmp_path / "a.splat", **option)
    assert not (tmp_path / "a.splat").exists()


def test_truncated_files_open_and_do_not_load():
    data = (GOLDEN / "pictures" / "rgb.splat").read_bytes()
    for length in range(len(data)):
        try:
            image = Image.open(io.BytesIO(data[:length]))
        except UnidentifiedImageError:
            assert length < 32  # in the header
            continue
        assert image.size == (96, 64)
        with pytest.raises(OSError, match="damaged or truncated"):
            image.load()


@pytest.mark.parametrize("path", sorted((GOLDEN / "broken").glob("*.bad")), ids=lambda path: path.stem)
def test_broken_files_are_oserrors(path: Path):
    with pytest.raises(OSError, match=r"damaged or truncated|cannot identify"), Image.open(path) as image:
        image.load()


def test_verify_finds_what_a_header_does_not_tell():
    data = bytearray((GOLDEN / "clips" / "pan.splat").read_bytes())
    Image.open(io.BytesIO(bytes(data))).verify()
    Image.open(GOLDEN / "pictures" / "rgb.splat").verify()
    data[len(data) // 2] ^= 1
    with pytest.raises(OSError, match="damaged"):
        Image.open(io.BytesIO(bytes(data))).verify()


def test_truncation_is_no_matter_of_a_global_setting(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    image = Image.open(GOLDEN / "broken" / "truncated.bad")
    with image, pytest.raises(OSError, match="truncated"):
        image.load()


def test_register_is_the_same_door():
    code = "import splat2d; splat2d.register(); from PIL import Image; print(Image.EXTENSION['.splat'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "SPLAT"


def test_import_is_light(run_python):
    code = (
        "import PIL.Image, PIL.ImageFile, sys; before = set(sys.modules)\n"
        "import splat2d.plugins.pillow\n"
        "print(sorted(n for n in set(sys.modules) - before if not n.startswith('splat2d')))"
    )
    done = run_python("-c", code, check=True)
    loaded = {name.partition(".")[0] for name in eval(done.stdout)}
    assert not loaded & {"numpy", "constriction", "torch", "av", "yaml", "rich", "tyro"}


def test_how_large_is_too_large_is_pillows_to_say(monkeypatch):
    header = Header(13378, 13378, 3, 600, 10, 0, (9,) * 3)
    huge = write(Container(header, Field.encode(np.zeros((0, 8), np.int32), header.layout)))
    with pytest.raises(Image.DecompressionBombError, match="178970884"):
        Image.open(io.BytesIO(huge))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = Image.open(io.BytesIO(huge))
        image.draft(None, (50, 50))
        assert max(image.convert("RGB").size) < 200
