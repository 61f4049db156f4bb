"""Pictures as users have them: every mode in, every format out, every bad file refused."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from splat2d.errors import InputImageError
from splat2d.media import pictures
from splat2d.media.pictures import load_picture

from ..support.places import CORPUS

MODES = CORPUS / "modes"
HALF_LEVEL = 0.5 / 255


def smooth(height: int, width: int, channels: int) -> np.ndarray:
    """Return a smooth uint8 picture [H, W, C] in which no two corners are alike."""
    y, x = np.mgrid[:height, :width]
    planes = [(x * (3 + c) + y * (7 - c) + 40 * c) % 256 for c in range(channels)]
    return np.stack(planes, -1).astype(np.uint8)


def png(rows: np.ndarray, colour: int, *extra: bytes, filters: int = 0) -> bytes:
    """Return a 16-bit PNG of uint16 samples [H, W, C]; `filters` rotates through the five filters."""
    height, width = rows.shape[:2]
    raw = rows.astype(">u2").reshape(height, -1).view(np.uint8)
    step = 2 * rows.shape[2]
    lines = []
    for i, line in enumerate(raw.astype(int)):
        kind = (i % 5) if filters else 0
        left = np.concatenate([np.zeros(step, int), line[:-step]])
        up = raw[i - 1].astype(int) if i else np.zeros_like(line)
        corner = np.concatenate([np.zeros(step, int), up[:-step]])
        guess = left + up - corner
        order = np.stack([abs(guess - left), abs(guess - up), abs(guess - corner)])
        paeth = np.choose(order.argmin(0), [left, up, corner])
        predicted = [0, left, up, (left + up) // 2, paeth][kind]
        lines.append(bytes([kind]) + ((line - predicted) % 256).astype(np.uint8).tobytes())

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    body = b"".join([*extra, chunk(b"IDAT", zlib.compress(b"".join(lines)))])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def profile(gamma: float, red: float = 0.64) -> bytes:
    """Return an ICC profile: sRGB's with another red and another tone curve."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", data[128:132])[0]
    for i in range(count):
        name, offset, _ = struct.unpack(">4sII", data[132 + 12 * i : 144 + 12 * i])
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            data[offset : offset + 16] = b"para" + bytes(8) + struct.pack(">i", round(gamma * 65536))
        if name == b"rXYZ":
            x, y, z = struct.unpack(">iii", data[offset + 8 : offset + 20])
            data[offset + 8 : offset + 20] = struct.pack(">iii", round(x * red / 0.64), y, z)
    return bytes(data)


def load_saved(image: Image.Image, path: Path, **options: Any) -> pictures.Picture:
    """Return a Pillow image after a round through a file."""
    image.save(path, **options)
    return load_picture(path)


# --- modes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (13, 1), (17, 33)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_eight_bit_pictures_are_exact(tmp_path, size, channels):
    """Eight bit pictures are exact."""
    samples = smooth(size[0], size[1], channels)
    if channels in (2, 4):
        samples[0, 0, -1] = 77  # so that no picture is opaque
    picture = load_saved(
        Image.fromarray(samples.squeeze(-1) if channels == 1 else samples), tmp_path / "a.png"
    )
    expected = samples.astype(np.float32).transpose(2, 0, 1) / np.float32(255)
    if channels in (2, 4):
        expected[:-1] *= expected[-1]
    assert picture.pixels.dtype == np.float32
    assert picture.pixels.flags.c_contiguous
    np.testing.assert_array_equal(picture.pixels, expected)
    assert (picture.channels, picture.height, picture.width) == (channels, *size)
    assert picture.notes == ()
    assert picture.warnings == ()


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_an_opaque_alpha_channel_is_dropped(tmp_path, mode):
    """An opaque alpha channel is dropped."""
    samples = smooth(5, 6, len(mode))
    samples[..., -1] = 255
    picture = load_saved(Image.fromarray(samples), tmp_path / "a.png")
    assert picture.channels == len(mode) - 1
    assert picture.notes == ("opaque alpha channel dropped",)
    np.testing.assert_array_equal(picture.pixels, samples[..., :-1].transpose(2, 0, 1) / np.float32(255))


def test_bilevel_is_grey(tmp_path):
    """Bilevel is grey."""
    bits = smooth(9, 11, 1)[..., 0] > 100
    picture = load_saved(Image.fromarray(bits), tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels[0], bits.astype(np.float32))


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("transparent", [False, True])
def test_palettes(tmp_path, grey, transparent):
    """Palettes."""
    colours = np.array([[250, 3, 9], [4, 99, 200], [255, 255, 255]], np.uint8)
    if grey:
        colours[:] = colours[:, :1]
    indices = np.arange(30).reshape(5, 6) % 3
    image = Image.fromarray(indices.astype(np.uint8)).convert("P")
    image.putpalette([*colours.tobytes(), 1, 2, 3])  # the unused entry has a colour
    options = {"transparency": bytes([255, 128, 0])} if transparent else {}
    picture = load_saved(image, tmp_path / "a.png", **options)
    expected = colours[indices][..., : 1 if grey else 3].astype(np.float32) / 255
    if transparent:
        alpha = (np.array([255, 128, 0], np.float32) / 255)[indices][..., None]
        expected = np.concatenate([expected * alpha, alpha], -1)
    np.testing.assert_allclose(picture.pixels, expected.transpose(2, 0, 1), atol=1e-7)
    assert picture.notes == ("palette resolved",)


@pytest.mark.parametrize(("mode", "key"), [("L", 40), ("RGB", (40, 80, 120))])
def test_a_transparent_colour_becomes_alpha(tmp_path, mode, key):
    """A transparent colour becomes alpha."""
    samples = np.full((4, 5, len(mode)), 200, np.uint8)
    samples[1, 2] = key
    picture = load_saved(
        Image.fromarray(samples.squeeze(-1) if mode == "L" else samples), tmp_path / "a.png", transparency=key
    )
    assert picture.channels == len(mode) + 1
    assert picture.pixels[-1].sum() == 19
    assert not picture.pixels[:, 1, 2].any()


def test_cmyk_without_a_profile(tmp_path):
    """Cmyk without a profile."""
    cmyk = np.zeros((8, 16, 4), np.uint8)
    cmyk[:, 8:] = (0, 255, 255, 0)  # red
    picture = load_saved(Image.frombytes("CMYK", (16, 8), cmyk.tobytes()), tmp_path / "a.jpg", quality=100)
    assert picture.notes == ("CMYK converted to RGB without a profile",)
    np.testing.assert_allclose(picture.pixels[:, 4, 2], [1, 1, 1], atol=0.02)
    np.testing.assert_allclose(picture.pixels[:, 4, 13], [1, 0, 0], atol=0.02)


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "LAB", "RGBX", "RGBa", "La", "PA", "CMYK", "1", "P"])
def test_rare_modes_of_images_in_memory(mode):
    """Rare modes of images in memory."""
    grey = mode in ("1", "La")
    image = Image.new("LA" if grey else "RGBA", (3, 2), (255, 255) if grey else (255, 255, 255, 255))
    if mode == "LAB":
        image = Image.frombytes("LAB", (3, 2), bytes([255, 0, 0] * 6))
    else:
        image = image if mode in ("RGBa", "La") else image.convert("L" if mode == "1" else "RGB")
        image = image.convert(mode)
    picture = load_picture(image)
    # An opaque white palette is a grey one, in mode P; PA is resolved as colour.
    assert picture.pixels.shape == (1 if grey or mode == "P" else 3, 2, 3)
    np.testing.assert_allclose(picture.pixels, 1, atol=0.01)


@pytest.mark.parametrize("extension", ["png", "tif", "pgm"])
def test_sixteen_bit_grey(tmp_path, extension):
    """Sixteen bit grey."""
    samples = (np.arange(77, dtype=np.uint16) * 851).reshape(7, 11)
    picture = load_saved(Image.fromarray(samples), tmp_path / f"a.{extension}")
    np.testing.assert_array_equal(picture.pixels[0], samples / np.float32(65535))
    assert picture.notes == ("16-bit samples",)


@pytest.mark.parametrize(("channels", "colour"), [(1, 0), (2, 4), (3, 2), (4, 6)])
@pytest.mark.parametrize("filters", [0, 1])
def test_sixteen_bit_png_keeps_all_bits(tmp_path, channels, colour, filters):
    """Sixteen bit png keeps all bits."""
    samples = np.random.default_rng(5).integers(0, 65536, (11, 7, channels)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(png(samples, colour, filters=filters))
    picture = load_picture(tmp_path / "a.png")
    expected = samples.astype(np.float32).transpose(2, 0, 1) / np.float32(65535)
    if channels in (2, 4):
        expected[:-1] *= expected[-1]
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.notes == ("16-bit samples",)


def test_a_sixteen_bit_transparent_colour_is_compared_in_sixteen_bits(tmp_path):
    """A sixteen bit transparent colour is compared in sixteen bits."""
    samples = np.full((2, 3, 3), 0x1234, np.uint16)
    samples[0, 0] += 1  # the same in 8 bits
    key = b"tRNS" + struct.pack(">3H", 0x1234, 0x1234, 0x1234)
    chunk = struct.pack(">I", 6) + key + struct.pack(">I", zlib.crc32(key))
    (tmp_path / "a.png").write_bytes(png(samples, 2, chunk))
    assert load_picture(tmp_path / "a.png").pixels[-1].tolist() == [[1, 0, 0], [0, 0, 0]]


def test_sixteen_bit_colour_in_memory_is_read_as_eight_and_says_so(tmp_path):
    """Sixteen bit colour in memory is read as eight and says so."""
    samples = np.random.default_rng(5).integers(0, 65536, (5, 4, 3)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(png(samples, 2))
    with Image.open(tmp_path / "a.png") as image:
        picture = load_picture(image)
    assert picture.notes == ("16-bit samples read as 8-bit",)
    np.testing.assert_allclose(picture.pixels, samples.transpose(2, 0, 1) / 65535, atol=2 * HALF_LEVEL)


def test_float_pictures(tmp_path):
    """Float pictures."""
    samples = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    picture = load_saved(Image.fromarray(samples), tmp_path / "a.tif")
    np.testing.assert_allclose(picture.pixels[0], samples, atol=1e-7)
    assert (picture.notes, picture.warnings) == (("float samples",), ())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_float_pictures_that_are_not_finite(tmp_path, bad):
    """Float pictures that are not finite."""
    Image.fromarray(np.array([[0.5, bad]], np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(InputImageError, match="finite, found"):
        load_picture(tmp_path / "a.tif")


def test_integer_pictures(tmp_path):
    """Integer pictures."""
    low = load_saved(Image.fromarray(np.array([[0, 65535]], np.int32)), tmp_path / "a.tif")
    assert low.pixels.tolist() == [[[0, 1]]]
    high = load_saved(Image.fromarray(np.array([[0, 2**31 - 1]], np.int32)), tmp_path / "b.tif")
    assert high.pixels.tolist() == [[[0, 1]]]
    assert high.notes == ("32-bit samples",)
    Image.fromarray(np.array([[-1, 7]], np.int32)).save(tmp_path / "c.tif")
    with pytest.raises(InputImageError, match="not negative"):
        load_picture(tmp_path / "c.tif")


# --- orientation, profiles, frames -----------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["png", "tif", "webp"])
def test_exif_orientation(tmp_path, orientation, extension):
    """Exif orientation."""
    image = Image.fromarray(smooth(6, 9, 3))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = load_saved(image, tmp_path / f"a.{extension}", exif=exif, lossless=True)
    turned = image.copy()
    turned.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(turned))
    np.testing.assert_array_equal(picture.pixels, expected.transpose(2, 0, 1) / np.float32(255))
    assert picture.pixels.flags.c_contiguous
    assert picture.notes == ((f"EXIF orientation {orientation} applied",) if orientation > 1 else ())


def test_sixteen_bits_are_turned_too(tmp_path):
    """Sixteen bits are turned too."""
    samples = np.arange(6, dtype=np.uint16).reshape(1, 6, 1) * 10_000
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes()[6:]
    chunk = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    (tmp_path / "a.png").write_bytes(png(np.repeat(samples, 3, 2), 2, chunk))
    picture = load_picture(tmp_path / "a.png")
    assert picture.pixels.shape == (3, 6, 1)
    assert picture.notes == ("EXIF orientation 6 applied", "16-bit samples")


def test_damaged_exif_does_not_cost_the_picture(tmp_path):
    """Damaged exif does not cost the picture."""
    picture = load_saved(
        Image.new("RGB", (8, 8)), tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x00garbage"
    )
    assert picture.pixels.shape == (3, 8, 8)


def test_a_profile_that_is_srgb_makes_no_note(tmp_path):
    """A profile that is srgb makes no note."""
    samples = smooth(5, 6, 3)
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = load_saved(Image.fromarray(samples), tmp_path / "a.png", icc_profile=data)
    assert picture.notes == ()
    np.testing.assert_array_equal(picture.pixels, samples.transpose(2, 0, 1) / np.float32(255))


@pytest.mark.parametrize("channels", [3, 4])
def test_a_profile_is_converted(tmp_path, channels):
    """A profile is converted."""
    samples = np.full((4, 4, channels), 128, np.uint8)
    samples[0, 0, -1] = 64
    picture = load_saved(Image.fromarray(samples), tmp_path / "a.png", icc_profile=profile(1.0))
    linear = 128 / 255
    coded = 1.055 * linear ** (1 / 2.4) - 0.055
    alpha = 128 / 255 if channels == 4 else 1
    np.testing.assert_allclose(picture.pixels[:3, 2, 2], coded * alpha, atol=3 * HALF_LEVEL)
    assert channels == 3 or picture.pixels[3, 0, 0] == np.float32(64 / 255)
    assert picture.notes[0].startswith('ICC profile "')
    assert picture.notes[0].endswith("converted to sRGB")


@pytest.mark.parametrize("data", [b"rubbish", profile(1.0)[:200], bytes(500)])
def test_a_broken_profile_is_ignored_with_a_note(tmp_path, data):
    """A broken profile is ignored with a note."""
    samples = smooth(5, 6, 3)
    picture = load_saved(Image.fromarray(samples), tmp_path / "a.png", icc_profile=data)
    assert picture.notes == ("ICC profile is damaged and was ignored",)
    np.testing.assert_array_equal(picture.pixels, samples.transpose(2, 0, 1) / np.float32(255))


def test_a_profile_of_another_colour_space_is_ignored_with_a_note(tmp_path):
    """A profile of another colour space is ignored with a note."""
    picture = load_saved(
        Image.fromarray(smooth(5, 6, 1)[..., 0]), tmp_path / "a.png", icc_profile=profile(1.0)
    )
    assert picture.channels == 1
    assert "does not fit" in picture.notes[0]


@pytest.mark.parametrize("extension", ["gif", "png", "webp", "tif"])
def test_the_first_of_several_frames_with_a_warning(tmp_path, extension):
    """The first of several frames with a warning."""
    frames = [Image.new("RGB", (8, 8), (200 - 60 * i, 10, 10)) for i in range(3)]
    options = {"lossless": True} if extension == "webp" else {}
    path = tmp_path / f"a.{extension}"
    picture = load_saved(frames[0], path, save_all=True, append_images=frames[1:], **options)
    word = "pages" if extension == "tif" else "frames"
    assert f"first of 3 {word}" in picture.notes
    assert picture.warnings == (f"only the first of 3 {word} is kept",)
    np.testing.assert_allclose(picture.pixels[:, 4, 4], np.array([200, 10, 10]) / 255, atol=1e-6)
    with Image.open(path) as image:
        image.seek(1)
        picture = load_picture(image)
    assert picture.warnings == ()
    assert f"number 2 of 3 {word}" in picture.notes


# --- corpus and cost -------------------------------------------------------------------------------

PICTURES = {
    "apng_imagers_ball.png": (4, 100, 100),
    "cmyk_libjxl_flower_small.cmyk.jpg": (3, 532, 510),
    "exif_libavif_paris_exif_orientation_5.jpg": (3, 403, 302),
    "exif_recurser_Portrait_8.jpg": (3, 1800, 1200),
    "graph.png": (3, 481, 796),
    "grey_libjxl_flower_small.g.png": (1, 532, 510),
    "greyalpha_libjxl_flower_small.ga.png": (2, 532, 510),
    "pixelart_raylib_cyberpunk_street_foreground.png": (4, 192, 704),
    "png16_libavif_weld_16bit.png": (3, 684, 1024),
    "rgba_libjxl_flower_small.rgba.png": (4, 532, 510),
    "rgba_libjxl_wesaturate_tmshre_alpha.png": (4, 500, 500),
    "skimage_page.png": (1, 191, 384),
    "skimage_retina.jpg": (3, 1411, 1411),
    "widegamut_libjxl_P3-sRGB-color-ring.png": (3, 1000, 1000),
    "windows95.png": (3, 480, 640),
}


@pytest.mark.corpus
@pytest.mark.parametrize("name", PICTURES)
def test_corpus(name):
    """Corpus."""
    if not (MODES / name).exists():
        pytest.skip("../shared/data/modes is not here")
    picture = load_picture(MODES / name)
    pixels = picture.pixels
    assert pixels.shape == PICTURES[name]
    assert pixels.dtype == np.float32
    assert 0 <= pixels.min() < pixels.max() <= 1
    if picture.channels in (2, 4):
        assert (pixels[:-1] <= pixels[-1]).all()
    text = " | ".join(picture.notes)
    words = {"exif": "EXIF orientation", "png16": "16-bit samples", "cmyk": "CMYK", "apng": "first of 20"}
    for word, expected in {**words, "widegamut": "converted to sRGB", "windows": "palette"}.items():
        assert (expected in text) == (name.startswith(word) or (word == "widegamut" and "page" in name))
    others = [warning for warning in picture.warnings if not warning.startswith("dropped: ")]
    assert bool(others) == name.startswith("apng")
    # Upright, and the same picture as Pillow's own conversion where that is right.
    with Image.open(MODES / name) as image:
        upright = ImageOps.exif_transpose(image).convert("RGBA")
    if picture.channels == 3 and "widegamut" not in name:
        reference = np.asarray(upright.convert("RGB")).transpose(2, 0, 1) / np.float32(255)
        np.testing.assert_allclose(pixels, reference, atol=2 * HALF_LEVEL)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from resource, in KiB on Linux")
def test_memory_stays_near_one_float_copy(tmp_path):
    """A 24 Mpx picture costs its float32 planes and the 8-bit pictures of Pillow and numpy, no more."""
    path = tmp_path / "a.png"
    Image.new("RGB", (6000, 4000), (9, 99, 200)).save(path)
    code = (
        "import resource, sys; from splat2d.media.pictures import load_picture\n"
        "from PIL import Image; Image.preinit()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "picture = load_picture(sys.argv[1])\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print((after - before) * 1024 / picture.width / picture.height)\n"
        "assert 'torch' not in sys.modules"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, timeout=120
    )
    # 12 of float32, 4 of Pillow's RGB, 3 (for a moment 6) of numpy's bytes: bytes per pixel.
    assert float(result.stdout) < 25
