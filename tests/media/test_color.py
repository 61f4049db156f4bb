"""Colour and crop that files tell otherwise than by an ICC profile; clips that their content makes clips."""

from __future__ import annotations

import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

import splat2d
from splat2d.bench.clip_peers import as_scheduled
from splat2d.errors import InputImageError
from splat2d.media.boxes import Aperture
from splat2d.media.cicp import PRIMARIES, SRGB, Stated, ToSrgb, matrix_between
from splat2d.media.pictures import load_picture
from splat2d.media.reader import is_clip, open_clip

from ..support.clips import frame_of, moving, write_clip

av = pytest.importorskip("av")

P3_RED = (234, 51, 35)
"""Red of sRGB in Display P3."""


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(path, colour, *extra: bytes, bits: int = 8, kind: int = 2):
    samples = np.broadcast_to(np.array(colour, f">u{bits // 8}"), (16, 32, len(colour)))
    raw = b"".join(b"\0" + row.tobytes() for row in samples)
    out = chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 16, bits, kind, 0, 0, 0)) + b"".join(extra)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + out + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
    return path


def cicp(*codes: int) -> bytes:
    return chunk(b"cICP", bytes(codes))


def gama(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100000)))


def chrm(chromaticities) -> bytes:
    white_first = [*chromaticities[6:], *chromaticities[:6]]
    return chunk(b"cHRM", struct.pack(">8I", *(round(v * 100000) for v in white_first)))


def colour_of(path) -> list[float]:
    return (load_picture(path).pixels[:, 8, 8] * 255).tolist()


# --- the numbers -----------------------------------------------------------------------------------


def test_matrices_are_those_of_the_recommendations():
    # ITU-R BT.2407-0, section 2: linear BT.2020 to BT.709.
    expected = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    np.testing.assert_allclose(matrix_between(PRIMARIES[9], SRGB), expected, atol=1e-4)
    for primaries in PRIMARIES.values():  # white stays white, whatever it was
        np.testing.assert_allclose(matrix_between(primaries, SRGB).sum(1), 1, atol=1e-9)


@pytest.mark.parametrize(("curve", "white"), [(16, 0.5807), (18, 0.75)])
def test_tone_mapping(curve, white):
    convert = ToSrgb(Stated(9, curve), 65536)
    grey = np.rint(np.linspace(0, 1, 4097) * 65535).astype(np.uint16)[:, None].repeat(3, 1)
    found = convert(grey)
    assert np.ptp(found, axis=1).max() < 1e-6
    assert (np.diff(found[:, 0]) >= -1e-6).all()
    np.testing.assert_allclose(found[[0, -1], 0], [0, 1], atol=1e-5)
    # By the curve of BT.2390: 203 cd/m^2 is 160 on a screen of 203, which is 0.898 in sRGB.
    assert found[round(white * 4096), 0] == pytest.approx(0.898, abs=0.01)
    if curve == 16:  # below the knee, which is at 91 cd/m^2, nothing changes: 50 stay 50
        assert found[round(0.4402 * 4096), 0] == pytest.approx(
            1.055 * (50 / 203) ** (1 / 2.4) - 0.055, abs=2e-3
        )


# --- stills ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16])
def test_png_by_cicp(tmp_path, bits):
    scale = 257 if bits == 16 else 1
    path = png(tmp_path / "a.png", [v * scale for v in P3_RED], cicp(12, 13, 0, 1), bits=bits)
    np.testing.assert_allclose(colour_of(path), [255, 0, 0], atol=1)
    assert "Display P3 converted to sRGB" in load_picture(path).notes
    data = splat2d.encode(path, preset="fast")
    assert "Display P3 converted to sRGB" in splat2d.Scene.from_bytes(data).info()["notes"]


@pytest.mark.parametrize(("curve", "value"), [(16, 148), (18, 191)])
def test_png_in_high_range_is_tone_mapped_with_a_warning(tmp_path, curve, value):
    path = png(tmp_path / "a.png", [value] * 3, cicp(9, curve, 0, 1))
    np.testing.assert_allclose(colour_of(path), [229] * 3, atol=3)
    (warning,) = load_picture(path).warnings
    assert "HDR" in warning
    assert "BT.2390" in warning


def test_png_of_limited_range(tmp_path):
    path = png(tmp_path / "a.png", (16, 126, 235), cicp(1, 13, 0, 0))
    np.testing.assert_allclose(colour_of(path), [0, 128.1, 255], atol=0.6)


@pytest.mark.parametrize("kind", ["grey", "colour", "palette"])
def test_png_by_gamma(tmp_path, kind):
    path = png(
        tmp_path / "a.png", [55] * (1 if kind == "grey" else 3), gama(1), kind=0 if kind == "grey" else 2
    )
    if kind == "palette":
        image = Image.new("P", (32, 16), 0)
        image.putpalette([55, 55, 55])
        image.save(path)
        data = path.read_bytes()
        path.write_bytes(data[:33] + gama(1) + data[33:])
    np.testing.assert_allclose(colour_of(path), [128] * (3 if kind == "colour" else 1), atol=0.6)
    assert "gamma 1 converted to sRGB" in load_picture(path).notes


@pytest.mark.parametrize(
    "extra",
    [
        [gama(0.45455)],
        [gama(0.45455), chrm(SRGB)],
        [chunk(b"sRGB", b"\0"), gama(1)],
        [cicp(1, 13, 0, 1), gama(1)],
        [cicp(2, 2, 0, 1)],
        [gama(0)],
        [chrm([0.3] * 8)],
        [chrm([0] * 8)],
        [chunk(b"cHRM", b"short")],
    ],
)
def test_png_that_is_srgb_or_makes_no_sense_stays(tmp_path, extra):
    if len(extra[0]) < 32 and b"cHRM" in extra[0]:
        with pytest.raises(InputImageError, match="damaged"):  # Pillow's word on it
            load_picture(png(tmp_path / "a.png", P3_RED, *extra))
        return
    picture = load_picture(png(tmp_path / "a.png", P3_RED, *extra))
    np.testing.assert_allclose(picture.pixels[:, 8, 8] * 255, P3_RED, atol=1e-4)
    assert picture.notes == ()


def test_png_by_chromaticities_also_from_pillow(tmp_path):
    path = png(tmp_path / "a.png", P3_RED, gama(0.45455), chrm(PRIMARIES[12]))
    np.testing.assert_allclose(colour_of(path), [255, 0, 0], atol=1)
    with Image.open(path) as image:
        np.testing.assert_allclose(load_picture(image).pixels[:, 8, 8] * 255, [255, 0, 0], atol=1)


def test_a_profile_counts_before_gamma_and_not_before_cicp(tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    iccp = chunk(b"iCCP", b"p\0\0" + zlib.compress(profile))
    np.testing.assert_allclose(colour_of(png(tmp_path / "a.png", P3_RED, gama(1), iccp)), P3_RED, atol=1)
    told = png(tmp_path / "b.png", P3_RED, cicp(12, 13, 0, 1), iccp)
    np.testing.assert_allclose(colour_of(told), [255, 0, 0], atol=1)


def still(path, codes, colour, codec: str = "libsvtav1"):
    """An AVIF by PyAV, tagged with primaries, curve and matrix."""
    with av.open(str(path), "w", format="avif") as out:
        stream = out.add_stream(codec, rate=1, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = codes
        context.color_range = 2
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), colour, np.uint8), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=codes[2], dst_color_range=2)
        with as_scheduled():
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    return path


def test_avif_by_nclx(tmp_path):
    path = still(tmp_path / "a.avif", (12, 13, 1), P3_RED)
    np.testing.assert_allclose(colour_of(path), [255, 0, 0], atol=3)
    assert "Display P3 converted to sRGB" in load_picture(path).notes
    path = still(tmp_path / "b.avif", (9, 16, 9), (148, 148, 148))
    assert "HDR (PQ)" in load_picture(path).warnings[0]
    np.testing.assert_allclose(colour_of(path), [229] * 3, atol=12)  # lossy, and PQ is steep


def test_heif_by_nclx(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.heic"
    image = Image.new("RGB", (64, 64), P3_RED)
    options = {"quality": -1, "chroma": 444}
    options |= {"color_primaries": 12, "transfer_characteristics": 13, "matrix_coefficients": 1}
    heif.from_pillow(image).save(path, save_nclx_profile=True, **options)
    np.testing.assert_allclose(colour_of(path), [255, 0, 0], atol=4)
    assert not is_clip(path)


def test_heif_without_its_plugin_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(InputImageError, match=r"pip install 'splat2d\[heif\]'"):
        load_picture(tmp_path / "a.heic")


# --- videos ----------------------------------------------------------------------------------------


def tagged(primaries: int, curve: int, matrix: int, range_: int = 1):
    def prepare(stream) -> None:
        context = stream.codec_context
        context.color_primaries, context.color_trc = primaries, curve
        context.colorspace, context.color_range = matrix, range_

    return prepare


def bars(path, primaries: int, curve: int, encode, peak: float = 1.0):
    """Red, green, blue and white of BT.709 in a video of other primaries, of 10 bits."""
    colours = np.eye(4, 3)
    colours[3] = 1
    colours = colours @ matrix_between(SRGB, PRIMARIES[primaries]).T
    red, green, blue = encode(np.clip(colours, 0, None) * peak).repeat(24, 0).T
    luma = 0.2627 * red + 0.678 * green + 0.0593 * blue
    planes = [64 + 876 * luma, 512 + 896 * (blue - luma) / 1.8814, 512 + 896 * (red - luma) / 1.4746]
    planes = [np.rint(plane)[None].repeat(48, 0).astype(np.uint16) for plane in planes]
    frame = frame_of(planes, "yuv444p10le")
    return write_clip(path, [frame], "ffv1", "yuv444p10le", prepare=tagged(primaries, curve, 9))


def camera(light):
    return np.where(light < 0.018, 4.5 * light, 1.099 * np.maximum(light, 1e-9) ** 0.45 - 0.099)


def seen(path) -> list:
    return next(iter(open_clip(path))).pixels[20, 12::24].tolist()


@pytest.mark.parametrize("primaries", [9, 11, 12])
def test_video_of_other_primaries(tmp_path, primaries):
    path = bars(tmp_path / "a.mkv", primaries, 14, camera)
    reader = open_clip(path)
    found = next(iter(reader)).pixels[20, 12::24]
    expected = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]
    assert np.abs(found.astype(int) - expected).max() <= 2
    assert reader.warnings == []
    assert "converted to sRGB" in reader.notes[0]
    data = splat2d.encode(path, preset="fast")
    (tmp_path / "a.splat").write_bytes(data)
    assert reader.notes[0] in splat2d.open(tmp_path / "a.splat").info()["notes"]


def test_video_in_high_range_is_tone_mapped_with_a_warning(tmp_path):
    def pq(light):
        power = light ** (2610 / 16384)
        return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)

    path = bars(tmp_path / "a.mkv", 9, 16, pq, peak=50 / 10000)
    level = 255 * (1.055 * (50 / 203) ** (1 / 2.4) - 0.055)
    found = np.array(seen(path))
    assert np.abs(found - np.vstack([np.eye(3), np.ones(3)]) * level).max() <= 3
    (warning,) = open_clip(path).warnings
    assert "HDR (PQ)" in warning
    assert "BT.2390" in warning


def test_camera_curves_of_plain_video_change_nothing(tmp_path):
    frames = [frame_of([np.full((48, 64), v, np.uint8) for v in (90, 110, 140)], "yuv444p")]
    plain = write_clip(tmp_path / "a.mkv", frames, "ffv1", "yuv444p", prepare=tagged(2, 2, 1))
    told = write_clip(tmp_path / "b.mkv", frames, "ffv1", "yuv444p", prepare=tagged(1, 1, 1))
    assert seen(plain) == seen(told)
    assert open_clip(told).notes == []


GREY = np.repeat(np.linspace(16, 235, 64)[None], 48, 0).round()


@pytest.mark.parametrize(
    ("name", "codec", "format", "range_", "limited"),
    [
        ("a.mkv", "ffv1", "gray", 1, True),
        ("a.mkv", "ffv1", "gray", 2, False),
        ("a.mkv", "ffv1", "gray10le", 1, True),
        ("a.mkv", "ffv1", "gray", 0, False),
        ("a.mkv", "libx265", "gray", 1, True),
        ("a.y4m", "rawvideo", "gray", 1, True),
        ("a.y4m", "rawvideo", "gray", 2, False),
        ("a.y4m", "rawvideo", "gray", 0, True),
    ],
)
def test_range_of_grey_video(tmp_path, name, codec, format, range_, limited):
    deep = format != "gray"
    stored = (GREY * (4 if deep else 1)).astype(np.uint16 if deep else np.uint8)
    options = {"x265-params": "lossless=1:log-level=none"} if codec == "libx265" else {}
    frame = frame_of([stored], format)
    frame.color_range = range_
    prepare = tagged(2, 2, 2, range_)
    path = write_clip(tmp_path / name, [frame], codec, format, prepare=prepare, options=options)
    expected = (GREY - 16) * 255 / 219 if limited else GREY
    found = next(iter(open_clip(path))).pixels
    assert np.abs(found - expected[..., None]).max() <= 0.6
    assert open_clip(path).notes == []


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
@pytest.mark.parametrize("suffix", ["webm", "mkv"])
def test_alpha_of_webm_is_put_on_white(tmp_path, codec, suffix):
    rgba = np.zeros((48, 64, 4), np.uint8)
    rgba[..., 0] = 255
    rgba[:, :32, 3] = 255
    frames = [av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="yuva420p") for _ in range(4)]
    options, tagged = {"auto-alt-ref": "0"}, lambda stream: stream.metadata.update(alpha_mode="1")
    path = write_clip(tmp_path / f"a.{suffix}", frames, codec, "yuva420p", options=options, prepare=tagged)
    reader = open_clip(path)
    frames = [frame.pixels for frame in reader]
    assert len(frames) == 4
    for pixels in frames:
        assert pixels[20, 50].tolist() == [255, 255, 255]
        assert np.abs(pixels[20, 10].astype(int) - [255, 0, 0]).max() <= 8
    assert "transparent pixels are put on white" in reader.warnings


# --- crop ------------------------------------------------------------------------------------------


def clap(width: int, height: int, right: float = 0, down: float = 0) -> bytes:
    halves = (int(2 * right), 2, int(2 * down), 2)
    return struct.pack(">I4sIIIIiIiI", 40, b"clap", width, 1, height, 1, *halves)


def with_box(data: bytes, path: list[bytes], box: bytes) -> bytes:
    """Put a box at the end of the one that a path leads to; those around grow."""
    out, at = bytearray(data), 0
    for kind in path:
        at = out.index(kind, at) - 4
        out[at : at + 4] = struct.pack(">I", int.from_bytes(out[at : at + 4], "big") + len(box))
        at += 8
    end = at - 8 + int.from_bytes(out[at - 8 : at - 4], "big") - len(box)
    return bytes(out[:end]) + box + bytes(out[end:])


def test_apertures():
    assert Aperture(10, 6, 0, 0).box(20, 16) == (5, 5, 10, 6)
    assert Aperture(10, 6, -5, 5).box(20, 16) == (0, 10, 10, 6)
    assert Aperture(10, 6, -6, 0).box(20, 16) is None
    assert Aperture(30, 6, 0, 0).box(20, 16) is None


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_clean_aperture_of_a_video(tmp_path, name):
    path = write_clip(
        tmp_path / name, moving(2), options={"crf": "0", "preset": "ultrafast"}, format="yuv444p"
    )
    whole = [frame.pixels for frame in open_clip(path)]
    parents = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"]
    path.write_bytes(with_box(path.read_bytes(), parents, clap(40, 30, -4, 3)))
    reader = open_clip(path)
    assert (reader.width, reader.height) == (40, 30)
    assert reader.notes == ["cropped to 40x30 as the file says"]
    for frame, full in zip(reader, whole, strict=True):
        np.testing.assert_array_equal(frame.pixels, full[12:42, 8:48])


@pytest.mark.parametrize(
    ("element", "rows", "columns"),
    [
        (b"\x54\xcc", slice(None), slice(6, None)),
        (b"\x54\xdd", slice(None), slice(None, -6)),
        (b"\x54\xbb", slice(6, None), slice(None)),
        (b"\x54\xaa", slice(None, -6), slice(None)),
    ],
)
def test_pixel_crop_of_matroska(tmp_path, element, rows, columns):
    path = write_clip(tmp_path / "a.mkv", moving(2), "ffv1", "bgr0")
    data = path.read_bytes()
    unit = b"\x54\xb2\x81\x04"  # of the size to be shown, which makes room
    assert data.count(unit) == 1
    path.write_bytes(data.replace(unit, element + b"\x81\x06"))
    expected = moving(1)[0, rows, columns]
    reader = open_clip(path)
    assert (reader.height, reader.width) == expected.shape[:2]
    np.testing.assert_array_equal(next(iter(reader)).pixels, expected)


def test_clean_aperture_of_an_avif(tmp_path):
    path = tmp_path / "a.avif"
    Image.fromarray(moving(1)[0]).save(path, quality=100, subsampling="4:4:4")
    whole = load_picture(path)
    data = path.read_bytes()
    box = clap(20, 10, 6, -2)
    count = data[data.index(b"ipma") + 14]  # properties of the one item
    # The new property is the last of its list, and of the item's.
    stored = data.index(b"ipco") - 4
    number = 0
    at = stored + 8
    while at < stored + int.from_bytes(data[stored : stored + 4], "big"):
        number, at = number + 1, at + int.from_bytes(data[at : at + 4], "big")
    place = data.index(b"iloc")
    data = with_box(data, [b"meta", b"iprp", b"ipco"], box)
    data = with_box(data, [b"meta", b"iprp", b"ipma"], bytes([0x80 | (number + 1)]))
    at = data.index(b"ipma") + 14
    data = data[:at] + bytes([count + 1]) + data[at + 1 :]
    moved = bytearray(data)
    old = struct.pack(">I", path.read_bytes().index(b"mdat") + 4)
    at = moved.index(old, place)
    moved[at : at + 4] = struct.pack(">I", int.from_bytes(old, "big") + len(box) + 1)
    path.write_bytes(bytes(moved))
    picture = load_picture(path)
    np.testing.assert_array_equal(picture.pixels, whole.pixels[:, 17:27, 28:48])
    assert "cropped to 20x10 as the file says" in picture.notes


# --- the content decides ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("muxer", "codec", "format", "names"),
    [
        ("mp4", "libx264", "yuv420p", ["no_suffix", "a.qt", "a.3g2", "a.f4v", "a.jpg"]),
        ("mxf", "mpeg2video", "yuv420p", ["a.mxf", "b"]),
        ("vob", "mpeg2video", "yuv420p", ["a.vob", "b"]),
        ("nut", "libx264", "yuv420p", ["a.nut", "b"]),
        ("asf", "wmv2", "yuv420p", ["a.asf", "b"]),
        ("h264", "libx264", "yuv420p", ["a.h264", "b"]),
        ("mjpeg", "mjpeg", "yuvj420p", ["a.mjpeg", "b.jpg", "c"]),
        ("mpeg2video", "mpeg2video", "yuv420p", ["a.m2v", "b"]),
    ],
)
def test_a_video_of_any_name(tmp_path, muxer, codec, format, names):
    made = write_clip(tmp_path / "made", moving(5), codec, format, muxer=muxer)
    for name in names:
        path = tmp_path / name
        shutil.copy(made, path)
        assert is_clip(path)
        frames = [frame.pixels for frame in open_clip(path)]
        assert len(frames) == 5
        assert np.abs(np.stack(frames).astype(int) - moving(5)).mean() < 12
        assert splat2d.encode(path, quality=5, preset="fast")


def test_stills_are_no_clips(tmp_path):
    frame = Image.fromarray(moving(1)[0])
    for name in ("a.jpg", "a.png", "a.webp", "a.tif", "a.avif", "a"):
        frame.save(tmp_path / name, format="JPEG" if name == "a" else None)
        assert not is_clip(tmp_path / name)
    small = frame.resize((32, 24))
    small.save(tmp_path / "small.jpg")
    (tmp_path / "gain.jpg").write_bytes(
        (tmp_path / "a.jpg").read_bytes() + (tmp_path / "small.jpg").read_bytes()
    )
    assert not is_clip(tmp_path / "gain.jpg")
    frame.save(tmp_path / "a.mpo", save_all=True, append_images=[frame])
    assert not is_clip(tmp_path / "a.mpo")
    (tmp_path / "text").write_text("no picture at all\n" * 99)
    (tmp_path / "empty").write_bytes(b"")
    for name in ("text", "empty", "missing"):
        assert not is_clip(tmp_path / name)
    with pytest.raises(InputImageError, match="no picture"):
        splat2d.encode(tmp_path / "text")
