"""TIFF of all kinds of samples: as they are meant, or one line."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from splat2d.errors import InputImageError
from splat2d.media.pictures import load_picture

from ..support.command import assert_one_line, run

RAMP = np.linspace(0, 1, 64)[None].repeat(32, 0)
COLOUR = np.stack([RAMP, RAMP[:, ::-1], RAMP * 0.5], -1)
HALF_OF_16 = 0.51 / 65535


def save(path, values, **options):
    tifffile.imwrite(path, values, **{"metadata": None, **options})
    return path


def levels(values, bits: int, dtype) -> np.ndarray:
    return np.rint(values * (2**bits - 1)).astype(dtype)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_of_colour(tmp_path, planar, order, compression):
    values = levels(COLOUR, 16, np.uint16)
    stored = values.transpose(2, 0, 1) if planar == "separate" else values
    options = {"photometric": "rgb", "planarconfig": planar, "byteorder": order, "compression": compression}
    picture = load_picture(save(tmp_path / "a.tif", np.ascontiguousarray(stored), **options))
    np.testing.assert_allclose(picture.pixels, COLOUR.transpose(2, 0, 1), atol=HALF_OF_16)
    assert picture.notes == ("16-bit samples",)


@pytest.mark.parametrize("bits", [8, 16])
def test_white_may_be_zero(tmp_path, bits):
    dtype = np.dtype(f"u{bits // 8}")
    stored = levels(1 - RAMP, bits, dtype)
    picture = load_picture(save(tmp_path / "a.tif", stored, photometric="miniswhite"))
    np.testing.assert_allclose(picture.pixels[0], RAMP, atol=0.51 / (2**bits - 1))


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", ["grey", "colour"])
def test_wide_samples(tmp_path, dtype, shape):
    values = RAMP if shape == "grey" else COLOUR
    wide = np.dtype(dtype)
    stored = (
        values.astype(wide)
        if wide.kind == "f"
        else (values * 0.999999 * 2.0 ** (8 * wide.itemsize)).astype(wide)
    )
    kind = "minisblack" if shape == "grey" else "rgb"
    picture = load_picture(save(tmp_path / "a.tif", stored, photometric=kind))
    np.testing.assert_allclose(picture.pixels, np.atleast_3d(values).transpose(2, 0, 1), atol=5e-4)


@pytest.mark.parametrize("loaded", [False, True])
def test_an_image_that_pillow_opened_is_read_the_same(tmp_path, loaded):
    white = save(tmp_path / "a.tif", levels(1 - RAMP, 16, np.uint16), photometric="miniswhite")
    planes = np.ascontiguousarray(levels(COLOUR, 16, np.uint16).transpose(2, 0, 1))
    planar = save(tmp_path / "b.tif", planes, photometric="rgb", planarconfig="separate")
    for path in (white, planar):
        try:
            image = Image.open(path)
        except OSError:
            continue  # not for Pillow
        with image:
            if loaded and path == white:
                image.load()
            np.testing.assert_array_equal(load_picture(image).pixels, load_picture(path).pixels)


def test_twelve_bits(tmp_path):
    values = levels(RAMP, 12, np.uint16)
    picture = load_picture(save(tmp_path / "a.tif", values, bitspersample=12))
    np.testing.assert_allclose(picture.pixels[0], RAMP, atol=0.51 / 4095)
    assert picture.notes == ("12-bit samples",)


def test_an_overshoot_of_floats_is_clipped_and_said(tmp_path):
    path = save(tmp_path / "a.tif", (RAMP * 1.04 - 0.02).astype(np.float32))
    picture = load_picture(path)
    np.testing.assert_allclose(picture.pixels[0], np.clip(RAMP * 1.04 - 0.02, 0, 1), atol=1e-6)
    assert picture.warnings == (
        "float samples from -0.02 to 1.02 are clipped to 0 to 1; --peak 1.02 would keep them",
    )


@pytest.mark.parametrize(("dtype", "peak"), [(np.float32, 255), (np.uint16, 4095), (np.uint32, 100000)])
def test_peak_says_what_is_white(capsys, tmp_path, dtype, peak):
    path = save(tmp_path / "a.tif", (RAMP * peak).astype(dtype))
    picture = load_picture(path, peak=peak)
    np.testing.assert_allclose(picture.pixels[0], RAMP, atol=1.01 / peak)
    words = (path, tmp_path / "a.splat", "--preset", "fast", "--peak")
    assert run(capsys, "encode", *words, str(peak))[0] == 0
    if dtype is not np.float32:
        status, _, err = run(capsys, "encode", *words, "9", "--force")
        assert status == 1
        assert_one_line(err, "above the peak of 9")
    assert run(capsys, "encode", *words, "0", "--force")[0] == 2


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
def test_alpha_of_sixteen_bits(tmp_path, kind):
    alpha = levels(RAMP[:, ::-1] * 0.5 + 0.25, 16, np.uint16)
    colour = COLOUR * (alpha[..., None] / 65535) if kind == "assocalpha" else COLOUR
    stored = np.concatenate([levels(colour, 16, np.uint16), alpha[..., None]], -1)
    picture = load_picture(save(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=[kind]))
    assert picture.channels == 4
    expected = COLOUR * (alpha[..., None] / 65535)
    np.testing.assert_allclose(picture.pixels[:3], expected.transpose(2, 0, 1), atol=2e-5)


def test_samples_of_unknown_meaning_are_dropped_and_said(tmp_path):
    stored = levels(np.concatenate([COLOUR, COLOUR[..., :2]], -1), 16, np.uint16)
    picture = load_picture(
        save(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["unspecified", "unspecified"])
    )
    assert picture.channels == 3
    assert "2 extra samples dropped" in picture.notes


def test_deep_samples_follow_their_profile_and_orientation(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    stored = np.ascontiguousarray(levels(COLOUR, 16, np.uint16).transpose(2, 0, 1))
    extra = [(274, 3, 1, 6, False)]
    path = save(tmp_path / "a.tif", stored, photometric="rgb", planarconfig="separate", extratags=extra)
    picture = load_picture(path)
    assert (picture.width, picture.height) == (32, 64)
    np.testing.assert_allclose(picture.pixels[0, :, 0], RAMP[0], atol=HALF_OF_16)
    path = save(tmp_path / "b.tif", stored, photometric="rgb", planarconfig="separate", iccprofile=profile)
    assert "does not fit" in load_picture(path).notes[1]


def test_pages(tmp_path):
    picture = load_picture(
        save(tmp_path / "a.tif", levels(np.stack([RAMP] * 3), 16, np.uint16), photometric="minisblack")
    )
    assert picture.warnings == ("only the first of 3 pages is kept",)


@pytest.mark.parametrize(
    ("values", "options", "said"),
    [
        (RAMP.astype(np.complex64), {}, "complex"),
        (np.full((8, 8), -5, np.int16), {}, "not negative, found -5"),
        (np.full((8, 8), np.nan, np.float32), {}, "finite"),
        (levels(COLOUR, 16, np.uint16), {"photometric": "cielab"}, "CIELab"),
        (levels(RAMP, 16, np.uint16), {"photometric": "cfa"}, "raw data"),
    ],
)
def test_what_nobody_can_show_is_one_line(tmp_path, values, options, said):
    path = save(tmp_path / "a.tif", values, **options)
    with pytest.raises(InputImageError, match=said) as caught:
        load_picture(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_a_cut_file_is_refused(tmp_path, compression):
    noise = np.random.default_rng(1).integers(0, 65536, (32, 64, 3)).astype(np.uint16)
    path = save(tmp_path / "a.tif", noise, photometric="rgb", compression=compression, rowsperstrip=4)
    data = path.read_bytes()
    for part in (0.1, 0.5, 0.99):
        path.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(InputImageError, match=r"damaged|truncated|no picture"):
            load_picture(path)
