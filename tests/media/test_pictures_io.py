"""Pictures: bad files refused in one line, arrays, and every format out."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from splat2d.errors import InputImageError, OutputError, ShapeError
from splat2d.media import opening, pictures
from splat2d.media.files import write_atomic
from splat2d.media.pictures import MAX_PIXELS, load_picture, picture_format, picture_from_array, save_picture


def smooth(height: int, width: int, channels: int) -> np.ndarray:
    """Return a smooth uint8 picture [H, W, C] in which no two corners are alike."""
    y, x = np.mgrid[:height, :width]
    planes = [(x * (3 + c) + y * (7 - c) + 40 * c) % 256 for c in range(channels)]
    return np.stack(planes, -1).astype(np.uint8)


def header_only(width: int, height: int) -> bytes:
    """Return a PNG whose header claims a size and which has next to no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0"))]
    parts = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def save_and_load(image: Image.Image, path: Path) -> pictures.Picture:
    """Return a Pillow image after a round through a file."""
    image.save(path)
    return load_picture(path)


# --- bad files -------------------------------------------------------------------------------------


def test_bad_files_are_one_line(tmp_path):
    """Bad files are one line."""
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("hello, I am no picture\n" * 50)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "program.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n1\n"
    )
    for name, expected in [
        ("missing.png", "no such file"),
        ("empty.png", "is empty"),
        ("text.png", r"is no picture .* starts with b'hello, I'"),
        ("folder.png", "is a directory"),
        ("program.png", "PostScript"),
    ]:
        with pytest.raises(InputImageError, match=expected) as caught:
            load_picture(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("format_name", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {}),
    ],
)
def test_a_cut_picture_is_never_filled_in(tmp_path, format_name, options):
    """A cut picture is never filled in."""
    if format_name not in Image.registered_extensions().values():
        pytest.skip(f"this Pillow has no {format_name}")
    buffer = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    Image.fromarray(noise).save(buffer, format_name, **options)
    data, path = buffer.getvalue(), tmp_path / "a"
    path.write_bytes(data)
    whole = load_picture(path).pixels
    refused = 0
    for length in range(1, len(data), max(1, len(data) // 40)):
        path.write_bytes(data[:length])
        try:
            # What misses its last mark only may be read, if every pixel is right.
            np.testing.assert_array_equal(load_picture(path).pixels, whole)
        except InputImageError:
            refused += 1
    assert refused >= 38


def test_global_settings_of_pillow_are_left_alone(tmp_path, monkeypatch):
    """Global settings of pillow are left alone."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99_000_000)
    path = tmp_path / "a.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert save_and_load(Image.fromarray(smooth(50, 60, 3)), path).width == 60
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(InputImageError, match="truncated"):
            load_picture(path)
    assert Image.MAX_IMAGE_PIXELS == 99_000_000
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_a_lower_limit_of_the_user_is_respected(tmp_path, monkeypatch):
    """A lower limit of the user is respected."""
    for name in ("a.png", "a.tif"):
        deep = smooth(50, 60, 1)[..., 0].astype(np.uint16) * 257
        Image.fromarray(deep).save(tmp_path / name)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
        assert load_picture(tmp_path / name).width == 60
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2999)
        with pytest.raises(InputImageError, match=r"limit is 2999 by PIL.Image.MAX_IMAGE_PIXELS"):
            load_picture(tmp_path / name)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        assert load_picture(tmp_path / name).width == 60


def test_the_size_is_checked_from_the_header(tmp_path):
    """The size is checked from the header."""
    path = tmp_path / "a.png"
    for width, height in [(16385, 16384), (2**31 - 1, 2**31 - 1), (MAX_PIXELS + 1, 1)]:
        path.write_bytes(header_only(width, height))
        with pytest.raises(InputImageError, match=f"has {width * height} pixels; the limit is {MAX_PIXELS}"):
            load_picture(path)
    # Beyond Pillow's own limit, within ours: read on, and found to be cut.
    path.write_bytes(header_only(16384, 16384))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputImageError, match=r"truncated \(image file is truncated"):
            load_picture(path)


def test_an_image_in_memory_is_checked_too(monkeypatch):
    """An image in memory is checked too."""
    monkeypatch.setattr(opening, "MAX_PIXELS", 11)
    with pytest.raises(InputImageError, match="has 12 pixels"):
        load_picture(Image.new("L", (4, 3)))


def test_other_sources_are_refused():
    """Other sources are refused."""
    with pytest.raises(InputImageError, match="found int"):
        load_picture(5)  # type: ignore[arg-type]


def test_threads_may_load_at_once(tmp_path):
    """Threads may load at once."""
    path = tmp_path / "a.png"
    expected = save_and_load(Image.fromarray(smooth(60, 70, 3)), path).pixels
    limit = Image.MAX_IMAGE_PIXELS
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda: found.append(np.array_equal(load_picture(path).pixels, expected)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8
    assert limit == Image.MAX_IMAGE_PIXELS


# --- arrays ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 2), (4, 5, 3), (4, 5, 4), (1, 1)])
def test_arrays(dtype, shape):
    """Arrays."""
    values = np.random.default_rng(2).random(shape)
    peak = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    array = (values * peak).astype(dtype)
    picture = load_picture(array)
    expected = (array.astype(np.float64) / peak).reshape(*shape[:2], -1).transpose(2, 0, 1)
    if expected.shape[0] in (2, 4):
        expected[:-1] *= expected[-1]
    np.testing.assert_allclose(picture.pixels, expected, atol=1e-6)
    assert picture.pixels.dtype == np.float32
    assert picture.notes == (("16-bit samples",) if np.dtype(dtype).itemsize == 2 else ())


def test_an_overshoot_is_clipped():
    """An overshoot is clipped."""
    picture = picture_from_array(np.array([[-0.001, 1.001]], np.float32))
    assert picture.pixels.tolist() == [[[0, 1]]]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros(5, np.uint8), "found 5"),
        (np.zeros((2, 2, 2, 2), np.uint8), "found 2x2x2x2"),
        (np.zeros((3, 8, 8), np.uint8), "put the channels last"),
        (np.zeros((0, 8, 3), np.uint8), "at least one pixel"),
        (np.zeros((8, 8, 3), np.int64), "found int64"),
        (np.zeros((8, 8), bool), "found bool"),
        (np.array([[0.5, np.nan]]), "NaN"),
        (np.array([[0.5, np.inf]]), "NaN or infinity"),
        (np.array([[0.0, 255.0]]), r"found 0 to 255; scale"),
        (np.array([[-0.5, 1.0]]), r"found -0.5 to 1"),
        (np.broadcast_to(np.uint8(0), (16385, 16384)), "at most"),
    ],
)
def test_arrays_that_do_not_fit(array, expected):
    """Arrays that do not fit."""
    with pytest.raises(ShapeError, match=expected):
        picture_from_array(array)


# --- output ----------------------------------------------------------------------------------------

LOSSLESS = ["png", "tif", "webp", "bmp", "ppm", "tga", "PNG", "qoi"]


@pytest.mark.parametrize("extension", LOSSLESS)
@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4])
def test_lossless_formats_come_back(tmp_path, extension, channels):
    """Lossless formats come back."""
    path = tmp_path / f"a.{extension}"
    try:
        picture_format(path)
    except OutputError:
        pytest.skip("this Pillow does not write the format")
    pixels = smooth(7, 9, channels) if channels else smooth(7, 9, 1)[..., 0]
    if channels in (2, 4):
        pixels[..., -1] |= 1  # lossless WebP may change the colour of what is invisible
    save_picture(pixels, path)
    with Image.open(path) as image:
        back = np.asarray(image.convert("RGBA")).astype(int)
    planes = pixels.reshape(7, 9, -1).astype(int)
    colour, alpha = planes, np.full((7, 9, 1), 255)
    if channels in (2, 4):
        colour, alpha = planes[..., :-1], planes[..., -1:]
        if extension in ("bmp", "ppm"):
            colour = (colour * alpha + 255 * (255 - alpha) + 127) // 255
            alpha = np.full((7, 9, 1), 255)
    expected = np.concatenate([np.broadcast_to(colour, (7, 9, 3)), alpha], -1)
    np.testing.assert_array_equal(back, expected)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("extension", ["jpg", "JPEG", "avif", "jp2", "gif", "pdf"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_other_formats_are_written(tmp_path, extension, channels):
    """Other formats are written."""
    path = tmp_path / f"a.{extension}"
    try:
        picture_format(path)
    except OutputError:
        pytest.skip("this Pillow does not write the format")
    save_picture(smooth(24, 16, channels), path)
    assert path.stat().st_size > 20
    if extension != "pdf":
        assert load_picture(path).pixels.shape[1:] == (24, 16)


def test_jpeg_gets_the_picture_on_white(tmp_path):
    """Jpeg gets the picture on white."""
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:, 8:] = (255, 0, 0, 255)
    save_picture(pixels, tmp_path / "a.jpg")
    back = load_picture(tmp_path / "a.jpg").pixels
    np.testing.assert_allclose(back[:, 8, 2], [1, 1, 1], atol=0.03)
    np.testing.assert_allclose(back[:, 8, 13], [1, 0, 0], atol=0.03)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_npy_is_exact(tmp_path, dtype):
    """Npy is exact."""
    pixels = np.asfortranarray((smooth(5, 6, 3) / dtype(1)).astype(dtype))
    save_picture(pixels, tmp_path / "a.npy")
    back = np.load(tmp_path / "a.npy", allow_pickle=False)
    np.testing.assert_array_equal(back, pixels)
    assert back.dtype == dtype


def test_an_icon_has_the_size_of_the_picture(tmp_path):
    """An icon has the size of the picture."""
    save_picture(smooth(20, 30, 4), tmp_path / "a.ico")
    with Image.open(tmp_path / "a.ico") as image:
        assert image.size == (30, 20)
    with pytest.raises(OutputError, match="at most 256"):
        save_picture(smooth(20, 300, 4), tmp_path / "b.ico")


@pytest.mark.parametrize("name", ["a", "a.txt", "a.splat", "a.eps", "a.psd", ".png"])
def test_unknown_extensions_are_refused_before_anything_is_written(tmp_path, name):
    """Unknown extensions are refused before anything is written."""
    with pytest.raises(OutputError, match=r"use \.png, \.jpg"):
        save_picture(smooth(4, 4, 3), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_cannot_hold_the_picture_leaves_nothing(tmp_path):
    """A format that cannot hold the picture leaves nothing."""
    with pytest.raises(OutputError, match="cannot be written as XBM") as caught:
        save_picture(smooth(4, 4, 3), tmp_path / "a.xbm")
    assert "\n" not in str(caught.value)
    with pytest.raises(OutputError, match="cannot be written as WEBP"):
        save_picture(np.zeros((1, 16384, 3), np.uint8), tmp_path / "a.webp")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("pixels", "name", "expected"),
    [
        (np.zeros((4, 4, 3), np.float32), "a.png", "use .npy for floats"),
        (np.zeros((4, 4, 3), np.float64), "a.npy", "found float64"),
        (np.zeros((4, 4, 5), np.uint8), "a.png", "found 4x4x5"),
        (np.zeros((0, 4, 3), np.uint8), "a.png", "at least one pixel"),
    ],
)
def test_pixels_that_do_not_fit(tmp_path, pixels, name, expected):
    """Pixels that do not fit."""
    with pytest.raises(ShapeError, match=expected):
        save_picture(pixels, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_picture_is_kept_unless_forced(tmp_path):
    """An existing picture is kept unless forced."""
    path = tmp_path / "a.png"
    with write_atomic(path) as file:
        file.write(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        save_picture(smooth(4, 4, 3), path)
    assert path.read_bytes() == b"mine"
    save_picture(smooth(4, 4, 3), path, force=True)
    assert load_picture(path).width == 4
