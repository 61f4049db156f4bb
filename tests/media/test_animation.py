"""Animations of every disposal and blending, as browsers show them."""

from __future__ import annotations

import io
import json
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from splat2d.errors import InputClipError
from splat2d.media.pictures import load_picture
from splat2d.media.reader import open_clip

from ..support.clips import moving
from ..support.command import run

W, R, G, B = [255] * 3, [255, 0, 0], [0, 255, 0], [0, 0, 255]
NONE, BACKGROUND, PREVIOUS = range(3)
SOURCE, OVER = range(2)


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def pixels(colour, width: int, height: int, alpha: int = 255) -> np.ndarray:
    return np.broadcast_to(np.uint8([*colour, alpha]), (height, width, 4))


def apng(path: Path, width: int, height: int, frames, before: bytes = b"") -> Path:
    """Write frames: pixels [h, w, 4], left, top, disposal, blending."""
    out = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)) + before
    out += chunk(b"acTL", struct.pack(">II", len(frames), 0))
    number = 0
    for index, (part, left, top, disposal, blending) in enumerate(frames):
        high, wide = part.shape[:2]
        control = (number, wide, high, left, top, 1, 10, disposal, blending)
        out += chunk(b"fcTL", struct.pack(">IIIIIHHBB", *control))
        data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in part))
        out += chunk(b"IDAT", data) if index == 0 else chunk(b"fdAT", struct.pack(">I", number + 1) + data)
        number += 1 if index == 0 else 2
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + out + chunk(b"IEND", b""))
    return path


def gif(path: Path, width: int, height: int, frames) -> Path:
    """Write frames: index (0 to 3 are W R G B), left, top, width, height, disposal, transparent index."""
    out = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF1, 1, 0) + bytes([*W, *R, *G, *B])
    for index, left, top, wide, high, disposal, transparent in frames:
        still = io.BytesIO()
        image = Image.new("P", (wide, high), index)
        image.putpalette([*W, *R, *G, *B])
        image.save(still, "GIF", optimize=False)
        data = still.getvalue()
        body = data.rindex(b"," + struct.pack("<HHHH", 0, 0, wide, high)) + 10
        flags = disposal << 2 | (transparent is not None)
        out += b"!\xf9\x04" + struct.pack("<BHBB", flags, 10, transparent or 0, 0)
        out += b"," + struct.pack("<HHHHB", left, top, wide, high, 0) + data[body:-1]
    path.write_bytes(out + b";")
    return path


def shown(path) -> list[list]:
    """Colours of the canvas's first row."""
    return [frame.pixels[0].tolist() for frame in open_clip(path)]


def read_on(path) -> tuple[str, int | None]:
    """What is said of a file, and its frames if it can be read."""
    try:
        reader = open_clip(path)
        return "".join(reader.warnings), sum(1 for _ in reader)
    except InputClipError as fault:
        return str(fault), None


def test_what_was_before_a_blended_frame_comes_back(tmp_path):
    clear = pixels(G, 2, 1, 0).copy()
    clear[0, 0, 3] = 255
    frames = [
        (pixels(R, 4, 1), 0, 0, NONE, SOURCE),
        (clear, 1, 0, PREVIOUS, OVER),
        (pixels(B, 1, 1), 0, 0, NONE, OVER),
    ]
    assert shown(apng(tmp_path / "a.png", 4, 1, frames)) == [[R] * 4, [R, G, R, R], [B, R, R, R]]


@pytest.mark.parametrize(
    ("disposal", "blending", "second", "third"),
    [
        (NONE, SOURCE, [R, W, W, R], [B, W, W, R]),
        (NONE, OVER, [R, R, R, R], [B, R, R, R]),
        (BACKGROUND, SOURCE, [R, W, W, R], [B, W, W, R]),
        (BACKGROUND, OVER, [R, R, R, R], [B, W, W, R]),
        (PREVIOUS, SOURCE, [R, W, W, R], [B, R, R, R]),
        (PREVIOUS, OVER, [R, R, R, R], [B, R, R, R]),
    ],
)
def test_all_disposals_and_blendings(tmp_path, disposal, blending, second, third):
    frames = [
        (pixels(R, 4, 1), 0, 0, NONE, SOURCE),
        (pixels(G, 2, 1, 0), 1, 0, disposal, blending),
        (pixels(B, 1, 1), 0, 0, NONE, SOURCE),
    ]
    assert shown(apng(tmp_path / "a.png", 4, 1, frames)) == [[R] * 4, second, third]


def test_a_first_frame_that_is_to_be_what_was_before_is_cleared(tmp_path):
    frames = [(pixels(R, 2, 1), 0, 0, PREVIOUS, SOURCE), (pixels(B, 1, 1), 0, 0, NONE, OVER)]
    assert shown(apng(tmp_path / "a.png", 2, 1, frames)) == [[R, R], [B, W]]


def test_half_transparent_frames_add_up(tmp_path):
    frames = [(pixels(R, 1, 1, 128), 0, 0, NONE, SOURCE), (pixels(R, 1, 1, 128), 0, 0, NONE, OVER)]
    found = np.array(shown(apng(tmp_path / "a.png", 1, 1, frames)))[:, 0]
    left = 1 - 128 / 255
    assert np.abs(found - [[255, 255 * left, 255 * left], [255, 255 * left**2, 255 * left**2]]).max() <= 0.51


def test_colour_of_animations_is_converted(tmp_path):
    told = chunk(b"cICP", bytes((12, 13, 0, 1)))
    frames = [(pixels((234, 51, 35), 2, 2), 0, 0, NONE, SOURCE)] * 2
    reader = open_clip(apng(tmp_path / "a.png", 2, 2, frames, told))
    assert next(iter(reader)).pixels[0, 0].tolist() == [255, 0, 0]
    assert "Display P3 converted to sRGB" in reader.notes


def test_a_partial_first_frame_has_nothing_around(tmp_path):
    path = gif(tmp_path / "a.gif", 4, 2, [(3, 1, 0, 2, 2, 1, None), (2, 3, 0, 1, 1, 1, None)])
    assert shown(path) == [[W, B, B, W], [W, B, B, G]]
    still = load_picture(gif(tmp_path / "b.gif", 4, 2, [(3, 1, 0, 2, 2, 0, None)]))
    assert still.pixels[3, 0].tolist() == [0, 1, 1, 0]
    assert still.pixels[2, 0].tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("transparent", [None, 0])
@pytest.mark.parametrize(
    ("disposal", "third"), [(0, [B, G, G, R]), (1, [B, G, G, R]), (2, [B, W, W, R]), (3, [B, R, R, R])]
)
def test_disposal_of_gif_needs_no_transparent_index(tmp_path, disposal, transparent, third):
    frames = [
        (1, 0, 0, 4, 1, 1, transparent),
        (2, 1, 0, 2, 1, disposal, transparent),
        (3, 0, 0, 1, 1, 1, transparent),
    ]
    assert shown(gif(tmp_path / "a.gif", 4, 1, frames)) == [[R] * 4, [R, G, G, R], third]


def test_frames_beyond_the_canvas_are_cut(tmp_path):
    frames = [(1, 0, 0, 2, 1, 1, None), (2, 1, 0, 3, 2, 1, None), (3, 9, 9, 1, 1, 1, None)]
    assert shown(gif(tmp_path / "a.gif", 2, 1, frames)) == [[R, R], [R, G], [R, G]]


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_damage_is_one_line_wherever_the_file_ends(tmp_path, name):
    images = [Image.fromarray(frame) for frame in moving(3)]
    images[0].save(tmp_path / name, save_all=True, append_images=images[1:], duration=50)
    data = (tmp_path / name).read_bytes()
    for size in range(len(data) // 2, len(data) - 1, 97):
        (tmp_path / name).write_bytes(data[:size])
        said, count = read_on(tmp_path / name)
        assert "\n" not in said
        # A GIF may end between two frames, which only its missing mark tells.
        assert count is None or (count < 3 and said == "this GIF has no end mark and may be truncated")


@pytest.mark.parametrize("suffix", ["webp", "png"])
def test_turned_animations_have_the_size_that_is_shown(capsys, tmp_path, suffix):
    images = [Image.fromarray(frame) for frame in moving(2, height=24, width=40)]
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    images[0].save(path, save_all=True, append_images=images[1:], duration=100, exif=exif, **options)
    reader = open_clip(path)
    assert (reader.width, reader.height) == (24, 40)
    expected = np.rot90(moving(2, height=24, width=40)[1], -1)
    np.testing.assert_array_equal(list(reader)[1].pixels, expected)
    status, out, _ = run(capsys, "encode", path, tmp_path / "a.splat", "--preset", "fast", "--json")
    assert status == 0
    made = json.loads(out)
    status, out, _ = run(capsys, "info", tmp_path / "a.splat", "--json")
    held = json.loads(out)
    assert (made["width"], made["height"]) == (held["width"], held["height"]) == (24, 40)


def test_times_of_animations(tmp_path):
    reader = open_clip(gif(tmp_path / "a.gif", 2, 1, [(1, 0, 0, 2, 1, 1, None)] * 3))
    assert [frame.time for frame in reader] == [0, Fraction(1, 10), Fraction(2, 10)]
    assert reader.end == Fraction(3, 10)
