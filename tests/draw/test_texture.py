"""Textures: their section, the noise against an obvious reference, how it follows views and edits."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import splat2d
from splat2d.draw.render import View, render
from splat2d.draw.texture import Texture, checked_strength
from splat2d.errors import BitstreamError, ConfigError
from splat2d.format.container import read, write
from splat2d.format.sections import TEXTURE, section, varint
from splat2d.format.texture import CodedTexture, texture_section
from splat2d.native import core
from splat2d.native.backend import Backend
from splat2d.scene.picture import Scene

from ..support.layered import scene
from ..support.places import ROOT

LEVEL = 9


def levels(bands: int = 4, rows: int = 3, columns: int = 4, directions: int = 1) -> NDArray[np.uint8]:
    """Smooth levels with holes."""
    rng = np.random.default_rng(5)
    field = (
        5 + 3 * rng.standard_normal((bands, 1, 1, directions)) + rng.standard_normal((1, rows, columns, 1))
    )
    return np.clip(np.round(field * (rng.random((1, rows, columns, 1)) > 0.3)), 0, 15).astype(np.uint8)


def with_texture(data: bytes, *textures: CodedTexture) -> bytes:
    """A file with textures."""
    return write(replace(read(data), textures=textures))


def noise(
    texture: Texture, view: View, *, threads: int = 1, matrix: NDArray | None = None, blur: float = 0
) -> NDArray[np.float32]:
    """What a view shows of a texture alone, [H, W]."""
    nothing = (np.zeros((0, columns), np.float32) for columns in (2, 3, 1))
    drawer = view.through(texture)
    if matrix is not None:
        drawer = texture.drawer(matrix, np.zeros(2), blur * np.eye(2))
    grey = np.array([0.5], np.float32)
    options = {"background": grey, "backend": Backend(threads), "texture": drawer}
    return render(*nothing, view=view, **options)[0] - np.float32(0.5)


def full(level: int = LEVEL, bands: int = 4, side: int = 128) -> Texture:
    """A texture of one level everywhere."""
    n = -(-side // 32)
    return Texture(np.full((bands, n, n, 1), level, np.uint8), 32, 16, 3, (side, side))


# The section


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (4, 3, 4, 1), (6, 5, 2, 4), (3, 1, 9, 2)])
def test_levels_come_back(shape):
    rng = np.random.default_rng(1)
    for x in (levels(*shape), rng.integers(0, 16, shape, np.uint8), np.zeros(shape, np.uint8)):
        coded = CodedTexture.of(x, (0,), 32)
        assert np.array_equal(coded.levels(32 * shape[2], 32 * shape[1] - 31), x)


def test_levels_have_golden_bytes():
    coded = core().encode_levels(np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1) % 16)
    assert coded.hex() == GOLDEN
    assert core().encode_levels(np.zeros((4, 30, 40, 1), np.uint8)) == b""


GOLDEN = "95feffffaa4c65f2bb6536917ec33745002b9976"


def test_a_smooth_grid_costs_little():
    smooth = np.full((4, 21, 32, 1), 8, np.uint8)
    assert len(core().encode_levels(smooth)) < 40


def test_a_file_keeps_its_texture(small_splat):
    texture = CodedTexture.of(levels(4, 2, 2, 2), (0,), 24, slope=7, seed=200)
    found = read(with_texture(small_splat, texture)).textures
    assert found == (texture,)
    plain, drawn = (splat2d.decode(with_texture(small_splat, texture), texture=t) for t in ("off", 1.0))
    assert np.array_equal(plain, splat2d.decode(small_splat))
    assert not np.array_equal(plain, drawn)


def test_an_unknown_kind_is_skipped(small_splat):
    data = small_splat + section(TEXTURE, b"\x07whatever") + section(TEXTURE, b"\x00")
    assert read(data).textures == ()
    assert np.array_equal(splat2d.decode(data), splat2d.decode(small_splat))


def payload(kind=1, layers=(0,), cell=24, bands=4, directions=1, tail=b"") -> bytes:
    gaps = b"".join(varint(b - a - 1) for a, b in zip((-1, *layers), layers, strict=False))
    return bytes([kind]) + varint(len(layers)) + gaps + bytes([cell, 16 * directions + bands, 16, 0]) + tail


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (b"", "truncated in a texture"),
        (payload()[:-1], "truncated in a texture"),
        (payload(layers=()), "of no layer"),
        (payload(layers=(1,)), "layer 1, which is not there"),
        (payload(layers=(0, 254)), "layer 254"),
        (payload(cell=0), "cells of 0 px"),
        (payload(cell=23), "cells of 23 px"),
        (payload(cell=65), "cells of 65 px"),
        (payload(bands=0), "0 bands"),
        (payload(bands=7), "7 bands"),
        (payload(directions=0), "0 directions"),
        (payload(directions=15), "15 directions"),
        (bytes([1]) + varint(300), "over the limit"),
    ],
)
def test_absurd_textures_are_refused(small_splat, bad, says):
    with pytest.raises(BitstreamError, match=says):
        read(small_splat + section(TEXTURE, bad))


def test_two_textures_of_a_layer_are_refused(small_splat):
    with pytest.raises(BitstreamError, match="two textures"):
        read(small_splat + 2 * section(TEXTURE, payload()))


def test_a_texture_of_unlike_canvases_is_refused():
    file = scene("all").to_bytes()
    sizes = [(layer.header.width, layer.header.height) for layer in read(file).stack]
    assert len(set(sizes)) > 1
    with pytest.raises(BitstreamError, match="canvases differ"):
        read(file + section(TEXTURE, payload(layers=tuple(range(len(sizes))))))


def test_any_words_decode_or_are_refused(small_splat):
    rng = np.random.default_rng(2)
    for size in (0, 1, 3, 4, 9, 40):
        for _ in range(20):
            data = small_splat + section(TEXTURE, payload(tail=rng.bytes(size)))
            assert splat2d.decode(data).shape == (32, 48, 3)
    with pytest.raises(BitstreamError, match="the texture of layer 0 is damaged"):
        splat2d.decode(small_splat + section(TEXTURE, payload(tail=b"\xff" * 60)))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
def test_thin_canvases(small_splat, size):
    header = replace(read(small_splat).header, width=size[0], height=size[1])
    texture = CodedTexture.of(np.full((6, -(-size[1] // 64), -(-size[0] // 64), 4), 15, np.uint8), (0,), 64)
    from splat2d.codec.layer import code_layer, container_of

    layer = code_layer("picture", header, np.zeros((0, 8), np.int32))
    data = write(replace(container_of(size[0], size[1], [layer]), textures=(texture,)))
    assert splat2d.decode(data).shape == (size[1], size[0], 3)
    assert splat2d.decode(data, scale=9).shape == (9 * size[1], 9 * size[0], 3)


# The noise


def mix(x: int) -> int:
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x ^= x >> shift
        x = x * factor & 0xFFFFFFFF
    return x ^ x >> 16


def _noise(t: Texture, x: float, y: float, scale: float, octaves: range) -> float:
    """The noise at a point of the canvas, from docs/FORMAT.md, section 6.7; seen at a scale of 1 or more."""
    total = 0.0
    amplitude = [0.0] + [2 ** (v / 2) / 2 / 255 for v in range(1, 16)]
    _, rows, columns, directions = t.levels.shape
    for o in octaves:
        side, sigma = 4 * 2.0**o, 0.6 * 2.0**o / 0.34
        root = mix((64 * t.seed + o + 16) & 0xFFFFFFFF)
        reach = math.ceil(3 * sigma / side) + 1
        for j in range(math.floor(y / side) - reach, math.floor(y / side) + reach + 1):
            for i in range(math.floor(x / side) - reach, math.floor(x / side) + reach + 1):
                key = mix((mix((root + j) & 0xFFFFFFFF) + i) & 0xFFFFFFFF)
                for n in (0, 1):
                    place, kind = mix((key + 2 * n) & 0xFFFFFFFF), mix((key + 2 * n + 1) & 0xFFFFFFFF)
                    px, py = (i + (place & 0xFFFF) / 65536) * side, (j + (place >> 16) / 65536) * side
                    u, v = x - px, y - py
                    if max(abs(u), abs(v)) > 3 * sigma:
                        continue
                    turn = ((kind & 255) + 0.5) / 256
                    f = 0.34 * 2.0**-o * 2 ** (((kind >> 8 & 63) + 0.5) / 64 - 0.5)
                    column = min(max(px / t.cell - 0.5, 0), columns - 1)
                    row = min(max(py / t.cell - 0.5, 0), rows - 1)
                    s = 0.0
                    for r, c, d in np.ndindex(rows, columns, directions):
                        away = abs(turn * directions - d)
                        around = max(1 - min(away, directions - away), 0) if directions > 1 else 1
                        share = max(1 - abs(row - r), 0) * max(1 - abs(column - c), 0) * around
                        s += share * amplitude[t.levels[max(o, 0), r, c, d]]
                    s *= 2 ** (t.slope * min(o, 0) / 16) * min(max((0.5 - f / scale) / 0.08, 0), 1)
                    wave = f * (math.cos(math.pi * turn) * u + math.sin(math.pi * turn) * v)
                    wave += (kind >> 14 & 1023) / 1024
                    height = s / math.sqrt(math.pi * sigma**2 / side**2)
                    gauss = math.exp(-(u * u + v * v) / (2 * sigma**2))
                    total += height * gauss * math.cos(2 * math.pi * wave)
    return total


@pytest.mark.parametrize("directions", [1, 2, 4])
def test_noise_is_what_the_format_says(directions):
    texture = Texture(levels(3, 2, 3, directions), 32, 9, 250, (70, 50))
    assert texture.levels.any()
    found = noise(texture, View.whole(70, 50))
    for x, y in ((0, 0), (69, 49), (33, 17), (31, 20), (50, 2)):
        assert found[y, x] == pytest.approx(_noise(texture, x + 0.5, y + 0.5, 1, range(-2, 3)), abs=2e-6)
    large = noise(texture, View.whole(70, 50, 3))
    for x, y in ((0, 0), (100, 77), (207, 149)):
        expected = _noise(texture, (x + 0.5) / 3, (y + 0.5) / 3, 3, range(-3, 3))
        assert large[y, x] == pytest.approx(expected, abs=2e-6)


def test_a_level_is_a_deviation():
    for band in range(4):
        only = full(0, side=512)
        only.levels[band] = LEVEL
        found = noise(only, View.whole(512, 512))
        assert found.std() == pytest.approx(2 ** (LEVEL / 2) / 2 / 255, rel=0.12)
        assert abs(found.mean()) < 0.1 * found.std()


def test_threads_and_windows_give_the_same_grain():
    texture, view = full(side=600), View.whole(600, 600)
    whole = noise(texture, view)
    assert np.array_equal(whole, noise(texture, view, threads=3))
    part = noise(texture, view.window(301, 77, 101, 95))
    np.testing.assert_allclose(part, whole[77:172, 301:402], atol=2e-6)


@pytest.mark.skipif(core().isa == "base", reason="one instruction set here")
def test_all_instruction_sets_give_the_same_bits(tmp_path: Path):
    code = (
        f"import hashlib, sys; sys.path.append({str(ROOT)!r})\n"
        "from tests.draw.test_texture import *; t = full(side=96)\n"
        "a = noise(t, View.whole(96, 96, 1.3)); m = np.array([[1.1, .2], [-.3, .9]])\n"
        "b = noise(t, View.whole(96, 96), matrix=m, blur=.4)\n"
        "print(hashlib.sha256(a.tobytes() + b.tobytes()).hexdigest())"
    )
    found = set()
    for isa in ("base", "v3", "v4"):
        environment = {**os.environ, "SPLAT2D_ISA": isa}
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
        )
        found.add(done.stdout)
    assert len(found) == 1


def test_both_ways_to_draw_a_wave_agree():
    texture, view = full(), View.whole(128, 128)
    skewed = noise(texture, view, matrix=np.array([[1, 1e-9], [0, 1]]))
    np.testing.assert_allclose(skewed, noise(texture, view), atol=2e-6)


def test_a_quarter_turn_turns_the_noise():
    # From x, y to y, 128 - x: counter-clockwise as seen.
    texture = full()
    turned = noise(texture, View(0, -128, 1, 1, 128, 128), matrix=np.array([[0.0, 1], [-1, 0]]))
    moved = texture.drawer(np.array([[0.0, 1], [-1, 0]]), np.array([0.0, 128.0]), np.zeros((2, 2)))
    nothing = (np.zeros((0, columns), np.float32) for columns in (2, 3, 1))
    turned = render(*nothing, view=View.whole(128, 128), texture=moved)[0]
    np.testing.assert_allclose(turned, np.rot90(noise(texture, View.whole(128, 128))), atol=1e-5)


def test_a_blur_is_exact():
    texture = full(0, side=256)
    texture.levels[1] = LEVEL
    sharp, blurred = (
        noise(texture, View.whole(256, 256), matrix=np.eye(2), blur=variance) for variance in (0, 1.7)
    )
    y, x = np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)
    kept = np.fft.ifft2(np.fft.fft2(sharp) * np.exp(-2 * np.pi**2 * 1.7 * (x * x + y * y))).real
    # Impulses end at three deviations, where their height is a hundredth.
    np.testing.assert_allclose(blurred[20:-20, 20:-20], kept[20:-20, 20:-20], atol=0.1 * kept.std())
    assert blurred.std() < 0.7 * sharp.std()


def test_shrinking_fades_and_enlarging_goes_on():
    texture = full(side=256)
    texture.levels[1:] = 0
    assert noise(texture, View.whole(256, 256, 0.4)).std() < 0.05 * noise(texture, View.whole(256, 256)).std()
    assert not noise(texture, View.whole(256, 256, 0.01)).any()
    large = np.abs(np.fft.fft2(noise(texture, View.whole(256, 256, 2)))) ** 2
    radius = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.fftfreq(512))
    # Beyond the canvas's own sampling, 0.25 of this one's, an octave weaker.
    beyond, within = large[(radius > 0.26) & (radius < 0.42)].sum(), large[radius < 0.24].sum()
    assert 0.08 < beyond / within < 0.5


def test_extreme_maps_end_soon():
    texture, view = full(), View.whole(128, 128)
    for matrix in ([[1e4, 0], [0, 1e-4]], [[1e-9, 0], [0, 1e-9]], [[1e9, 0], [0, 1e9]], [[7, 7], [-1, 1]]):
        assert np.isfinite(noise(texture, view, matrix=np.array(matrix, float))).all()
    assert not noise(texture, view, matrix=np.diag([1e4, 1e-4])).any()


# In scenes


def textured(kind: str, number: int = 0) -> Scene:
    """A scene of `layered` with a strong texture on a layer."""
    data = scene(kind).to_bytes()
    header = read(data).stack[number].header
    shape = (2, -(-header.height // 24), -(-header.width // 24), 1)
    return Scene.from_bytes(with_texture(data, CodedTexture.of(np.full(shape, 8, np.uint8), (number,), 24)))


def test_strength_scales_the_noise():
    photo = textured("photo")
    plain = photo.render_float(texture="off")
    one, half = (photo.render_float(texture=t) for t in (1, 0.5))
    base = np.clip(plain, 0, 1)
    np.testing.assert_allclose(half - base, 0.5 * (one - base), atol=1e-6)
    assert np.array_equal(plain, scene("photo").render_float())
    assert (one - base).std() > 4 / 255
    assert np.ptp(one - base, axis=2).max() < 1e-6


@pytest.mark.parametrize("strength", [-1, 4.1, "loud", float("nan"), None])
def test_strengths_out_of_range_are_refused(strength):
    with pytest.raises(ConfigError, match="expected off, auto or a strength"):
        checked_strength(strength)


def test_bytes_are_the_floats_rounded():
    photo = textured("photo")
    floats = np.clip(photo.render_float(), 0, 1) * 255 + 0.5
    assert np.array_equal(photo.render(), floats.astype(np.uint8))


def test_grain_moves_with_its_layer():
    photo = textured("photo")
    grain = photo.render_float() - np.clip(photo.render_float(texture="off"), 0, 1)
    moved = photo["picture"].move(16, 8).scene
    after = moved.render_float() - moved.render_float(texture="off")
    inside = np.s_[16:40, 24:60]
    expected = grain[8:32, 8:44]
    unclamped = (moved.render_float()[inside] > 0) & (moved.render_float()[inside] < 1)
    assert unclamped.mean() > 0.8
    np.testing.assert_allclose(after[inside][unclamped], expected[unclamped], atol=1e-5)


def test_grain_is_weighed_by_coverage():
    cat = textured("cat")
    plain, drawn = cat.render_float(texture="off"), cat.render_float()
    alpha = np.clip(plain[:, :, 3], 0, 1)
    assert np.array_equal(plain[:, :, 3], drawn[:, :, 3])
    grain = np.abs(drawn - np.clip(plain, 0, 1))[:, :, :3].max(2)
    assert (grain[alpha < 0.02] <= 0.02 * 6 * 8 / 255).all()
    assert (alpha < 0.02).sum() > 100
    assert grain[alpha > 0.9].std() > 5 / 255


def test_a_layer_keeps_its_texture_elsewhere():
    both = scene("photo").merge(textured("cat"))
    assert [t.layers for t in both.document.container.textures] == [(1,)]
    cat = both.extract(both.layers[1].name)
    assert [t.layers for t in cat.document.container.textures] == [(0,)]
    again = Scene.from_bytes(cat.to_bytes())
    assert not np.array_equal(again.render(), again.render(texture="off"))
    assert Scene.from_bytes(textured("cat").to_bytes()).extract("picture").document.container.textures


def test_fewer_tiers_have_no_texture():
    data = textured("photo").to_bytes()
    assert np.array_equal(splat2d.decode(data, tiers=3), splat2d.decode(data, tiers=3, texture="off"))
    assert len(texture_section(read(data).textures[0])) < 60


def test_info_tells_what_a_texture_takes():
    photo = textured("photo")
    (texture,) = photo.document.container.textures
    assert photo.info()["texture"] == len(texture_section(texture))
    assert photo.info()["size"] == scene("photo").info()["size"] + photo.info()["texture"]
    assert scene("photo").info()["texture"] == 0


def test_a_cut_out_object_keeps_its_share():
    photo = textured("photo")
    both = splat2d.group(
        photo, "middle", box=None, polygon=[(20, 10), (50, 10), (50, 40), (20, 40)], preset="fast"
    )
    assert [t.layers for t in both.document.container.textures] == [(0, 1)]
    alone, together = (s.render_float() - np.clip(s.render_float(texture="off"), 0, 1) for s in (photo, both))
    inside = np.s_[2:-2, 2:-2]
    assert np.corrcoef(alone[inside].ravel(), together[inside].ravel())[0, 1] > 0.9


def test_baking_keeps_textures_of_layers_that_look_as_coded():
    both = scene("photo").merge(textured("cat"))
    cat = both.layers[1].name
    assert (
        splat2d.bake(both[cat].hide().scene["picture"].brightness(1.1).scene).document.container.textures
        == ()
    )
    baked = splat2d.bake(both["picture"].brightness(1.1).scene, preset="fast")
    assert [t.layers for t in baked.document.container.textures] == [(1,)]
