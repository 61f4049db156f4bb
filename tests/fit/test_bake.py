"""Baking: edits become part of the splats, and the picture stays what it was."""

from __future__ import annotations

import json

import numpy as np
import pytest

import splat2d
from splat2d import Scene
from splat2d.codec.layer import container_of
from splat2d.draw.render import View, render
from splat2d.edit.document import Document
from splat2d.errors import ConfigError
from splat2d.fit.objects.bake import CLOSE, bake
from splat2d.format.header import STEP_SHIFT
from splat2d.native import core
from splat2d.native.backend import Backend

from ..support.command import assert_one_line, run
from ..support.integers import CHROMA_STEP, with_shapes
from ..support.layered import HEIGHT, WIDTH, crop, matted, scene


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.mean((a.astype(float) - b) ** 2), 1e-9)))


@pytest.fixture(scope="module")
def disc() -> Scene:
    """A photograph with an object of straight colours and a matte."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    mask = (np.hypot(x - 36, y - 24) < 12).astype(np.float32)
    pixels = crop("coffee.png", 200, 100, WIDTH, HEIGHT)
    return Scene.from_bytes(
        splat2d.encode(pixels, quality=70, preset="fast", masks={"disc": mask}, threads=1)
    )


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_quantize_is_the_inverse_of_dequantize(channels: int):
    rng = np.random.default_rng(channels)
    colors = rng.integers(-40, 41, (300, channels)).astype(np.int32)
    colors = colors[colors.any(1)]
    integers = with_shapes(colors, 90, 70, rng, log2_s=(-1, 4))
    splats = core().dequantize(integers, 0.1, CHROMA_STEP)
    np.testing.assert_array_equal(core().quantize(*splats, 90, 70, 0.1, CHROMA_STEP), integers)


def test_quantize_what_a_file_cannot_hold():
    means = np.array([[20, 10], [500, -500], [20, 10]], np.float32)
    conics = np.array([[0.04, 0, 0.04], [0.04, 0, 0.04], [1e4, 0, 0.04]], np.float32)
    colors = np.array([[1e-9], [1], [100]], np.float32)
    found = core().quantize(means, conics, colors, 40, 24, 0.1)
    assert not found[0].any()
    means, conics, _ = core().dequantize(found[1:], 0.1)
    assert 40 < means[0, 0] <= 40 + core().MARGIN
    assert -core().MARGIN <= means[0, 1] < 0
    assert conics[1, 0] < 10  # thinner than that is not worth coding
    with pytest.raises(ValueError, match="positive definite"):
        core().quantize(means[:1], -conics[:1], colors[:1], 40, 24, 0.1)


EDITS = {
    "move": lambda layer: layer.move(7.3, -2.6),
    "rotate": lambda layer: layer.rotate(25),
    "shrink": lambda layer: layer.scale(0.6, 0.8),
    "mirror": lambda layer: layer.scale(-1.3, 1.1),
    "blur": lambda layer: layer.blur(1.5),
    "brightness": lambda layer: layer.brightness(1.4),
    "contrast": lambda layer: layer.contrast(1.5),
    "hue": lambda layer: layer.hue(80),
    "tint": lambda layer: layer.tint("#2060ff", 0.8),
    "opacity": lambda layer: layer.opacity(0.6),
    "all": lambda layer: layer.rotate(-10).blur(0.7).saturation(0.3).opacity(0.8),
}


@pytest.mark.parametrize("kind", EDITS)
@pytest.mark.parametrize("name", ["disc", "picture", "cat", "grey"])
def test_what_was_edited_looks_the_same(disc: Scene, name: str, kind: str):
    before = disc if name in disc.document.stack.names else scene("all")
    edited = EDITS[kind](before[name]).scene
    baked = bake(edited, preset="fast", backend=Backend(1))
    after = baked.scene
    assert not after.document.steps
    assert [layer.name for layer in after.layers] == [layer.name for layer in edited.layers]
    assert after.channels == edited.channels
    assert baked.psnr > 36
    planes = [255 * np.clip(s.render_float(), 0, 1) for s in (before, edited, after)]
    assert psnr(planes[2], planes[1]) == pytest.approx(baked.psnr, abs=0.01)
    if planes[0].shape == planes[1].shape and (name, kind) != ("grey", "hue"):  # grey has no hue
        assert psnr(planes[0], planes[1]) < baked.psnr - 3
    assert Scene.from_bytes(after.to_bytes()).render().tolist() == after.render().tolist()


def test_splats_are_quantised_again_not_fitted(disc: Scene):
    baked = bake(disc["disc"].move(5.3, 2.2).rotate(10).scene, backend=Backend(1))
    assert baked.fitted == ()
    was, now = (s["disc"].splats for s in (disc, baked.scene))
    assert 0.9 < len(now.means) / len(was.means) <= 1
    codes = [s.document.container.stack[1].header.step_code for s in (disc, baked.scene)]
    assert codes[0] - codes[1] == STEP_SHIFT
    # Under 1.3 times the layer's bytes, and nothing else changes.
    assert baked.scene.document.container.field == disc.document.container.field
    sizes = [len(s.to_bytes()) for s in (disc, baked.scene)]
    assert sizes[1] - sizes[0] < 0.3 * (sizes[0] - len(disc.document.container.field.data))


def test_opacity_is_fitted_anew_where_coverage_was_clamped(disc: Scene):
    """Coverage sums to more than one, so half the amplitudes would be too much."""
    matte = disc["disc"].splats.matte
    assert render(matte.means, matte.conics, matte.colors, View.whole(WIDTH, HEIGHT)).max() > 1.02
    baked = bake(disc["disc"].opacity(0.5).scene, preset="fast", backend=Backend(1))
    assert baked.fitted == ("disc",)
    coverage = baked.scene["disc"].coverage()
    assert abs(coverage[20:28, 32:40] - 0.5).max() < 0.05
    # Its colours need no fit.
    assert len(baked.scene["disc"].splats.means) == len(disc["disc"].splats.means)


def test_names_order_copies_and_what_is_hidden():
    edited = scene("all")["cat"].duplicate("twin").move(-20, 4).scene
    edited = edited["grey"].to_back().hide().scene["cat"].rename("tom").to_front().scene
    baked = splat2d.bake(edited, preset="fast", threads=1)
    assert [layer.name for layer in baked.layers] == ["picture", "twin", "tom"]
    assert not any(layer.edits for layer in baked.layers)
    assert psnr(baked.render(), edited.render()) > 40
    assert [layer.name for layer in splat2d.bake(edited["picture"].delete()).layers] == ["twin", "tom"]


def test_layers_that_look_as_before_keep_their_bytes():
    before = scene("all").reset()
    edited = before["cat"].to_back().scene["grey"].rename("mouse").scene
    after = splat2d.bake(edited)
    stack = {layer.name: layer for layer in after.document.container.stack}
    for layer in before.document.container.stack:
        assert stack[{"grey": "mouse"}.get(layer.name, layer.name)].field == layer.field
    np.testing.assert_array_equal(after.render(), edited.render())
    assert bake(edited).psnr == 99


def test_a_flat_picture_stays_a_flat_file():
    edited = scene("photo")["picture"].contrast(1.2).scene
    baked = bake(edited, preset="fast", backend=Backend(1))
    assert baked.scene.document.container.layers == ()
    assert baked.psnr > CLOSE


def test_a_copy_far_outside_is_an_empty_layer(disc: Scene):
    baked = bake(disc["disc"].move(5000, 0).scene, backend=Backend(1))
    assert baked.scene["disc"].count == 0
    assert baked.psnr == 99


def test_a_layer_that_grows_beyond_the_margin_is_fitted_anew(disc: Scene):
    edited = disc["disc"].scale(12).scene
    baked = bake(edited, preset="fast", backend=Backend(1))
    assert baked.fitted == ("disc",)
    assert baked.psnr > 36


def test_random_layers_on_canvases_of_their_own():
    document = Document.of(container_of(60, 50, [matted(seed=3, background=(90, 20, 160))]))
    edited = Scene.of(document)["bike"].move(12, 9).blur(1).scene
    assert bake(edited, preset="fast", backend=Backend(1)).psnr > 34


def test_nothing_visible(tmp_path, capsys):
    hidden = scene("photo")["picture"].hide().scene
    with pytest.raises(ConfigError, match="no layer is visible"):
        splat2d.bake(hidden)
    path = tmp_path / "in.splat"
    hidden.save(path)
    status, out, err = run(capsys, "edit", path, tmp_path / "o.splat", "--bake")
    assert (status, out) == (1, "")
    assert_one_line(err)
    assert not (tmp_path / "o.splat").exists()


def test_command(tmp_path, capsys, disc: Scene):
    path, out = tmp_path / "in.splat", tmp_path / "o.splat"
    disc.save(path)
    command = ["edit", path, out, "--group", "disc", "--move", "4,1", "--bake"]
    status, printed, err = run(capsys, *command)
    assert (status, err) == (0, "")
    assert "dB to what was edited, " in printed
    baked = splat2d.open(out)
    assert not baked.document.steps
    assert psnr(baked.render(), disc["disc"].move(4, 1).scene.render()) > 40
    status, printed, _ = run(capsys, *command, "--json", "--force", "--opacity", "0.5")
    figures = json.loads(printed)
    assert figures["fitted"] == ["disc"]
    assert figures["psnr"] > 36
    assert figures["size"] == out.stat().st_size


def test_command_without_edits_changes_nothing(tmp_path, capsys, disc: Scene):
    path, out = tmp_path / "in.splat", tmp_path / "o.splat"
    disc.save(path)
    status, _, err = run(capsys, "edit", path, out, "--bake")
    assert (status, err) == (0, "")
    assert out.read_bytes() == path.read_bytes()
