"""The imageio plug-in: pictures and clips in and out, shapes without drawing, imageio's kinds of errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from splat2d.scene.clip import Clip

from ..support.places import GOLDEN

iio = pytest.importorskip("imageio.v3", reason="needs imageio")

import splat2d  # noqa: E402
import splat2d.plugins.imageio  # noqa: E402

RGB, GREY, CLIP = (
    GOLDEN / "pictures" / "rgb.splat",
    GOLDEN / "pictures" / "grey.splat",
    GOLDEN / "clips" / "pan.splat",
)


@pytest.fixture
def pixels() -> np.ndarray:
    rows, columns = np.mgrid[:32, :48]
    return np.stack([rows * 7, columns * 5, rows + columns], -1).astype(np.uint8)


@pytest.mark.parametrize("plugin", [None, "splat2d", splat2d.plugins.imageio.SplatPlugin])
def test_reads_pictures_by_extension_name_and_class(plugin):
    np.testing.assert_array_equal(iio.imread(RGB, plugin=plugin), splat2d.decode(RGB.read_bytes()))
    assert iio.imread(GREY, plugin=plugin).shape == (64, 96)


def test_reads_bytes_and_renders_at_other_sizes():
    data = RGB.read_bytes()
    found = iio.imread(data, extension=".splat", scale=2, crop=(8, 8, 24, 16))
    np.testing.assert_array_equal(found, splat2d.decode(data, scale=2, crop=(8, 8, 24, 16)))


def test_properties_tell_the_shape_without_drawing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(splat2d.plugins.imageio.SplatPlugin, "_render", None)
    assert iio.improps(RGB).shape == (64, 96, 3)
    assert iio.improps(RGB).dtype == np.uint8
    assert iio.improps(GREY).shape == (64, 96)
    assert not iio.improps(RGB).is_batch
    clip = iio.improps(CLIP)
    assert (clip.shape, clip.n_images, clip.is_batch) == ((9, 48, 64, 3), 9, True)
    assert iio.improps(CLIP, index=2).shape == (48, 64, 3)


def test_metadata_is_what_info_tells():
    assert iio.immeta(RGB)["splats"] == splat2d.open(RGB).info()["splats"]
    found = iio.immeta(CLIP, index=3)
    assert found["frames"] == 9
    assert found["time"] == pytest.approx(0.12)


def test_reads_clips_whole_and_frame_by_frame():
    expected = np.stack(list(splat2d.open(CLIP)))
    np.testing.assert_array_equal(iio.imread(CLIP), expected)
    np.testing.assert_array_equal(iio.imread(CLIP, index=4), expected[4])
    assert len(iio.imread(RGB, index=...)) == 1
    for found, frame in zip(iio.imiter(CLIP), expected, strict=True):
        np.testing.assert_array_equal(found, frame)
    with pytest.raises(ValueError, match="expected 0 to 8"):
        iio.imread(CLIP, index=9)


def test_writes_pictures(tmp_path: Path, pixels: np.ndarray):
    iio.imwrite(tmp_path / "a.splat", pixels, quality=60, preset="fast")
    data = splat2d.encode(pixels, quality=60, preset="fast")
    assert (tmp_path / "a.splat").read_bytes() == data
    assert iio.imwrite("<bytes>", pixels, extension=".splat", quality=60, preset="fast") == data


def test_writes_clips(tmp_path: Path, pixels: np.ndarray):
    frames = [np.roll(pixels, 2 * i, 1) for i in range(4)]
    iio.imwrite(tmp_path / "a.splat", frames, fps=10, quality=30, preset="fast")
    found = Clip.open(tmp_path / "a.splat")
    assert (found.count, found.fps) == (4, 10)
    iio.imwrite(tmp_path / "b.splat", np.stack(frames), fps=10, quality=30, preset="fast")
    assert (tmp_path / "b.splat").read_bytes() == (tmp_path / "a.splat").read_bytes()


def test_faults_are_pythons_own_kinds(tmp_path: Path, pixels: np.ndarray):
    with pytest.raises(ValueError, match="quality"):
        iio.imwrite(tmp_path / "a.splat", pixels, quality=200)
    (tmp_path / "cut.splat").write_bytes(RGB.read_bytes()[:200])
    with pytest.raises(OSError, match="truncated") as caught:
        iio.imread(tmp_path / "cut.splat")
    assert caught.value.__cause__ is None
    (tmp_path / "other.splat").write_bytes(b"\x89PNG and so on")
    with pytest.raises(OSError, match="can not handle"):
        iio.imread(tmp_path / "other.splat", plugin="splat2d")
