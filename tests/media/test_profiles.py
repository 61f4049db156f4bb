"""ICC profiles of pictures with more than 8 bits: no bit is lost where the profile is a simple one."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from splat2d.media import profiles
from splat2d.media.pictures import load_picture
from splat2d.media.profiles import simple_profile

from .test_pictures import png

D50 = (0.9642, 1.0, 0.8249)
# Columns of matrices, adapted to D50.
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))

GAMMA = b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
LINEAR = b"curv" + bytes(4) + struct.pack(">I", 0)
TABLE = (
    b"curv"
    + bytes(4)
    + struct.pack(">I", 64)
    + (65535 * np.linspace(0, 1, 64) ** 1.8).astype(">u2").tobytes()
)


def parametric(kind: int, *numbers: float) -> bytes:
    return (
        b"para" + bytes(4) + struct.pack(f">HH{len(numbers)}i", kind, 0, *(round(65536 * v) for v in numbers))
    )


CURVES = {
    "gamma": GAMMA,
    "linear": LINEAR,
    "table": TABLE,
    "power": parametric(0, 1.8),
    "power with a foot": parametric(1, 2.0, 1.0, 0.0),
    "power and a sum": parametric(2, 2.0, 1.0, 0.0, 0.0),
    "sRGB's": parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    "all numbers": parametric(4, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, 0.0, 0.0),
}


def icc(tags: dict[bytes, bytes], *, space: bytes = b"RGB ", connection: bytes = b"XYZ ") -> bytes:
    """A profile of a screen."""
    text = "test".encode("utf-16-be")
    words = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    tags = {b"desc": words, b"cprt": words, b"wtpt": b"XYZ " + bytes(4) + fixed(*D50), **tags}
    at, places, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, tag in tags.items():
        tag += bytes(-len(tag) % 4)
        places += struct.pack(">4sII", name, at + len(body), len(tag))
        body += tag
    head = struct.pack(
        ">I4sI4s4s4s12x4s4s", 0, b"none", 0x04400000, b"mntr", space, connection, b"acsp", b"APPL"
    )
    head = (head + bytes(24) + fixed(*D50)).ljust(128, b"\0")
    data = head + struct.pack(">I", len(tags)) + places + body
    return struct.pack(">I", len(data)) + data[4:]


def fixed(*numbers: float) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(65536 * v) for v in numbers))


def rgb_profile(curve: bytes, matrix: tuple[tuple[float, ...], ...] = ADOBE) -> bytes:
    columns = {
        name: b"XYZ " + bytes(4) + fixed(*column)
        for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), matrix, strict=True)
    }
    return icc({**columns, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)})


def colours(count: int = 4096) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65536, (1, count, 3)).astype(np.uint16)


@pytest.mark.parametrize("matrix", [ADOBE, PROPHOTO, SRGB])
@pytest.mark.parametrize("name", CURVES)
def test_as_the_engine_does(name: str, matrix):
    """Against LittleCMS, which Pillow has in 8 bits, and imagecodecs in 16."""
    data = rgb_profile(CURVES[name], matrix)
    convert = simple_profile(data, grey=False)
    assert convert is not None
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(data)),
        ImageCms.createProfile("sRGB"),
        "RGB",
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    eight = (colours() >> 8).astype(np.uint8)
    expected = np.asarray(ImageCms.applyTransform(Image.fromarray(eight), transform)).astype(int)
    assert np.abs(np.rint(255 * convert(eight, 255.0)) - expected).max() <= 1
    codecs = pytest.importorskip("imagecodecs")
    expected = codecs.cms_transform(
        colours().astype(np.float32) / np.float32(65535),
        data,
        codecs.cms_profile("srgb"),
        colorspace="rgb",
        outcolorspace="rgb",
        outdtype="float32",
        intent=1,
    )
    # Its own sRGB has rounded primaries.
    np.testing.assert_allclose(convert(colours(), 65535.0), np.clip(expected, 0, 1), atol=2e-3)


def test_what_is_white_and_what_is_black():
    convert = simple_profile(rgb_profile(GAMMA), grey=False)
    assert convert is not None
    ends = convert(np.array([[[0, 0, 0], [65535, 65535, 65535]]], np.uint16), 65535.0)
    np.testing.assert_allclose(ends, [[[0, 0, 0], [1, 1, 1]]], atol=1e-4)


def test_a_profile_that_is_srgb_changes_nothing():
    convert = simple_profile(rgb_profile(CURVES["sRGB's"], SRGB), grey=False)
    assert convert is not None
    # Near the edge of the gamut, five digits of a matrix are a little more than a level of 8 bits' third.
    np.testing.assert_allclose(convert(colours(), 65535.0), colours() / 65535, atol=2.5e-3)


def test_integers_and_floats_alike():
    convert = simple_profile(rgb_profile(TABLE), grey=False)
    assert convert is not None
    floats = colours() / np.float32(65535)
    np.testing.assert_allclose(convert(colours(), 65535.0), convert(floats, 1.0), atol=1e-6)
    np.testing.assert_allclose(
        convert(colours() >> 4, 4095.0), convert((colours() >> 4) / np.float64(4095), 1.0), atol=1e-6
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        rgb_profile(GAMMA)[:300],
        rgb_profile(b"text" + bytes(20)),
        rgb_profile(parametric(5, *[1.0] * 7)),
        rgb_profile(parametric(2, 2.0, 1.0, 0.0, 0.05)),  # black is not black
        rgb_profile(parametric(0, -1.0)),
        icc({b"A2B0": bytes(20), b"rTRC": GAMMA, b"gTRC": GAMMA, b"bTRC": GAMMA}),
        icc({b"rTRC": GAMMA, b"gTRC": GAMMA, b"bTRC": GAMMA}),
        icc({b"kTRC": GAMMA}, space=b"GRAY"),
        rgb_profile(GAMMA).replace(b"XYZ ", b"Lab ", 1),
    ],
)
@pytest.mark.filterwarnings("error")
def test_others_are_left_to_the_engine(data: bytes):
    assert simple_profile(data, grey=False) is None


def saved(path: Path, samples: np.ndarray, colour: int, data: bytes) -> Path:
    body = b"iCCP" + b"p\0\0" + zlib.compress(data)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(png(samples, colour, chunk))
    return path


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_all_sixteen_bits_of_a_png_count(tmp_path: Path, colour: int):
    """A ramp within two levels of 8 bits has more steps than that."""
    data = icc({b"kTRC": GAMMA}, space=b"GRAY") if colour in (0, 4) else rgb_profile(GAMMA, SRGB)
    ramp = np.broadcast_to(np.arange(30000, 30512, dtype=np.uint16)[None, :, None], (2, 512, 3))
    samples = np.ascontiguousarray(ramp if colour in (2, 6) else ramp[..., :1])
    if colour in (4, 6):
        samples = np.concatenate([samples, np.full_like(samples[..., :1], 65535)], -1)
        samples[1, :, -1] = 32768
    picture = load_picture(saved(tmp_path / "a.png", samples, colour, data))
    linear = (ramp[0, :, 0] / 65535) ** 2.19921875
    expected = 1.055 * linear ** (1 / 2.4) - 0.055
    np.testing.assert_allclose(picture.pixels[0, 0], expected, atol=3e-4)
    assert len(np.unique(picture.pixels[0, 0])) > 500
    if colour in (4, 6):
        np.testing.assert_allclose(picture.pixels[-1, 1], 32768 / 65535)
    assert any("converted to sRGB" in note for note in picture.notes)
    assert not any("8" in note.replace("16-bit", "") for note in picture.notes)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_all_bits_of_a_tiff_count(tmp_path: Path, dtype):
    import tifffile

    ramp = np.repeat(np.linspace(0.45, 0.46, 512)[None, :, None], 3, 2)
    stored = (ramp * (65535 if dtype == np.uint16 else 1)).astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.repeat(stored, 2, 0), photometric="rgb", iccprofile=rgb_profile(LINEAR, SRGB))
    picture = load_picture(path)
    expected = 1.055 * ramp[0, :, 0] ** (1 / 2.4) - 0.055
    np.testing.assert_allclose(picture.pixels[0, 0], expected, atol=3e-4)
    assert len(np.unique(picture.pixels[0, 0])) > 300


def test_sixteen_bits_with_a_table_are_converted_in_eight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(profiles, "_BLACK", -1.0)  # none is simple
    path = saved(tmp_path / "a.png", np.full((3, 3, 3), 32896, np.uint16), 2, rgb_profile(LINEAR, SRGB))
    picture = load_picture(path)
    coded = 1.055 * (32896 / 65535) ** (1 / 2.4) - 0.055
    np.testing.assert_allclose(picture.pixels, coded, atol=1.5 / 255)
    assert picture.notes[-1] == "16-bit samples read as 8-bit"
