"""Pictures cut into objects by masks: what layers are fitted to, and the files that come of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import splat2d
from splat2d.errors import ConfigError, InputImageError, ShapeError
from splat2d.fit.objects.cut import HIDDEN_WEIGHT, Cut, continued, cut
from splat2d.native import core

from ..support.command import run

HEIGHT, WIDTH = 80, 96


@pytest.fixture(scope="module")
def photo(samples) -> np.ndarray:
    """A window of a photograph with a cat, [H, W, 3] uint8."""
    with Image.open(samples / "chelsea.png") as picture:
        return np.asarray(picture.convert("RGB").crop((100, 60, 100 + WIDTH, 60 + HEIGHT)))


def disc(x: float, y: float, radius: float) -> np.ndarray:
    """A mask of two levels, [H, W] float32."""
    yy, xx = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return (np.hypot(xx - x, yy - y) < radius).astype(np.float32)


def planes_of(photo: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(photo.transpose(2, 0, 1).astype(np.float32) / 255)


def over(targets) -> np.ndarray:
    """The targets composited, [C, H, W]."""
    out = targets[0].pixels
    for target in targets[1:]:
        out = target.pixels[:-1] + (1 - target.pixels[-1]) * out
    return out


# What layers are fitted to.


def test_the_targets_composited_are_the_picture(photo):
    pixels = planes_of(photo)
    targets, warnings = cut(pixels, {"one": disc(30, 40, 18), "two": disc(70, 30, 14)})
    assert [target.name for target in targets] == ["picture", "one", "two"]
    assert not warnings
    assert [len(target.pixels) for target in targets] == [3, 4, 4]
    # Where a mixture counts little the background is its continuation instead.
    assert np.abs(over(targets) - pixels).mean() < 0.002
    inside = disc(30, 40, 14) + disc(70, 30, 10) > 0
    assert np.abs(over(targets) - pixels)[:, inside].max() < 1e-5


def test_errors_weigh_where_a_layer_is_seen(photo):
    targets, _ = cut(planes_of(photo), {"behind": disc(40, 40, 20), "front": disc(60, 40, 15)})
    background, behind, front = (target.weights for target in targets)
    assert front is None
    assert behind[40, 60] == pytest.approx(HIDDEN_WEIGHT)
    assert behind[40, 25] == 1
    assert background[40, 40] == pytest.approx(HIDDEN_WEIGHT)
    assert background[5, 5] == 1


def test_nothing_of_an_object_is_left_in_what_is_behind():
    """A black disc on a grey ramp: behind it the ramp goes on."""
    ramp = np.broadcast_to(np.linspace(0.4, 0.9, WIDTH, dtype=np.float32), (3, HEIGHT, WIDTH)).copy()
    mask = disc(48, 40, 20)
    picture = np.where(mask > 0, np.float32(0), ramp)
    (background, hole), _ = cut(picture, {"hole": mask})
    assert np.abs(background.pixels - ramp).max() < 0.06
    alpha = hole.pixels[-1]
    assert np.array_equal(alpha > 0.5, mask > 0)
    assert hole.pixels[:3].max() < 0.05, "no grey at its edge"


def test_a_known_mixture_of_colours_gives_the_coverage_back():
    """The soft edge of a white disc on black, from a mask of two levels."""
    yy, xx = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    alpha = np.clip(20.5 - np.hypot(xx - 48, yy - 40), 0, 1).astype(np.float32)
    picture = np.stack([0.1 + 0.8 * alpha] * 3)
    (_, disc_target), _ = cut(picture, {"disc": (alpha > 0.5).astype(np.float32)})
    assert np.abs(disc_target.pixels[-1] - alpha).mean() < 0.003
    assert np.abs(disc_target.pixels[-1] - alpha).max() < 0.12


def test_soft_masks_stay_as_they_are_where_colours_do_not_tell():
    soft = np.clip((disc(48, 40, 20) + disc(48, 40, 23) + disc(48, 40, 26)) / 3, 0, 1).astype(np.float32)
    flat = np.full((3, HEIGHT, WIDTH), 0.5, np.float32)
    (_, target), _ = cut(flat, {"ghost": soft})
    assert np.abs(target.pixels[-1] - soft).max() < 1e-6


def taken_apart(pixels: np.ndarray, masks: dict[str, np.ndarray], spoil=lambda cover: cover) -> tuple:
    """A cut whose fits are perfect, but for what `spoil` does to coverage; its targets, and what is drawn."""
    cut = Cut(pixels, masks)
    cut.begin()
    mattes, colors = {}, {}
    for name in cut.names[::-1]:
        mattes[name] = cut.matte(name)
        cut.matted(name, spoil(mattes[name].pixels[0]))
    colors["picture"] = cut.background()
    cut.drawn("picture", colors["picture"].pixels)
    for name in cut.names:
        colors[name] = cut.colors(name)
        cut.drawn(name, colors[name].pixels)
    return mattes, colors, cut._drawn


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("levels", [0, 6])
def test_straight_colours_under_mattes_are_the_picture(photo, channels, levels):
    """Also where the mattes are only about what was wanted: colours make up for it."""
    pixels = planes_of(photo)[:channels]
    masks = {"one": disc(35, 40, 18), "two": disc(58, 30, 14)}

    def coarse(cover: np.ndarray) -> np.ndarray:
        return np.round(cover * levels) / levels if levels else cover

    mattes, colors, drawn = taken_apart(pixels, masks, coarse)
    assert list(colors) == ["picture", "one", "two"]
    assert {len(target.pixels) for target in colors.values()} == {channels}
    assert {target.background for target in mattes.values()} == {(0,)}
    assert all(target.pixels.min() >= 0 and target.pixels.max() <= 1 for target in colors.values())
    assert np.abs(drawn - pixels).mean() < 0.004
    inside = disc(35, 40, 14) + disc(58, 30, 10) > 0
    assert np.abs(drawn - pixels)[:, inside].max() < 0.03
    # Beyond its edge an object goes on smoothly, so that its edge costs nothing.
    beyond = (disc(35, 40, 26) > 0) & (disc(35, 40, 20) == 0)
    steps = np.abs(np.diff(colors["one"].pixels, axis=2))[:, beyond[:, 1:]]
    assert steps.mean() < 0.5 * np.abs(np.diff(pixels, axis=2))[:, beyond[:, 1:]].mean()


def test_errors_of_coverage_weigh_where_both_sides_differ():
    ramp = np.broadcast_to(np.linspace(0, 1, WIDTH, dtype=np.float32), (3, HEIGHT, WIDTH)).copy()
    mask = disc(48, 40, 30)
    mattes, colors, _ = taken_apart(np.where(mask > 0, np.float32(0), ramp), {"hole": mask})
    weights = mattes["hole"].weights
    assert weights[40, 76] > 3 * weights[40, 20] > 0
    assert weights.min() > 0.1, "coverage counts everywhere"
    assert colors["hole"].weights[40, 48] == pytest.approx(1, abs=0.05)
    assert colors["hole"].weights[2, 2] < 0.02
    assert colors["hole"].background == (0, 0, 0)


def test_what_is_covered_weighs_little(photo):
    masks = {"behind": disc(40, 40, 20), "front": disc(60, 40, 15)}
    mattes, colors, _ = taken_apart(planes_of(photo), masks)
    assert mattes["behind"].weights[40, 55] == mattes["behind"].weights.min()
    assert colors["behind"].weights[40, 58] < 0.1
    assert colors["behind"].weights[40, 25] == pytest.approx(1, abs=0.05)
    assert colors["picture"].weights[40, 40] == pytest.approx(HIDDEN_WEIGHT)
    assert colors["picture"].weights[5, 5] == 1


def test_planes_continue_smoothly():
    known = np.ones((33, 47), bool)
    known[8:25, 10:37] = False
    constant = np.full((2, 33, 47), 0.3, np.float32)
    assert np.abs(continued(constant, known) - 0.3).max() < 1e-5
    ramp = np.broadcast_to(np.linspace(0, 1, 47, dtype=np.float32), (1, 33, 47))
    filled = np.where(known, ramp, continued(ramp, known))
    assert filled[0, 16, 12] < filled[0, 16, 23] < filled[0, 16, 34]
    assert np.abs(np.diff(filled[0, 16])).max() < 0.2


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_modes_are_cut_too(photo, channels):
    pixels = planes_of(photo)
    alpha = np.clip(1.5 - np.mgrid[:HEIGHT, :WIDTH][1] / WIDTH, 0, 1).astype(np.float32)[None]
    planes = {1: pixels[:1], 2: np.concatenate([pixels[:1] * alpha, alpha])}
    picture = planes.get(channels, np.concatenate([pixels * alpha, alpha]))
    targets, _ = cut(picture, {"disc": disc(40, 40, 20)})
    assert [len(target.pixels) for target in targets] == [channels, channels + channels % 2]
    assert targets[1].pixels.min() >= 0
    assert (targets[1].pixels[:-1] <= targets[1].pixels[-1] + 1e-6).all()


@pytest.mark.parametrize(
    ("masks", "error", "message"),
    [
        ({}, ConfigError, "no masks"),
        ({"a": np.zeros((HEIGHT, WIDTH), np.float32)}, ConfigError, "'a' is empty"),
        ({"a": np.ones((HEIGHT, WIDTH), np.float32)}, ConfigError, "'a' covers the whole picture"),
        ({"a": np.zeros((5, 4), np.float32)}, ShapeError, "'a' is 4 x 5 px; expected the picture's 96 x 80"),
        ({"picture": disc(40, 40, 9)}, ConfigError, "cannot be called 'picture'"),
        ({"a\n": disc(40, 40, 9)}, ConfigError, "name"),
        ({f"{i}": disc(40, 40, 9) for i in range(255)}, ConfigError, "limit of 255 layers"),
    ],
)
def test_masks_that_cannot_be_used(photo, masks, error, message):
    with pytest.raises(error, match=message):
        cut(planes_of(photo), masks)


def test_masks_that_overlap_are_warned_of(photo):
    _, warnings = cut(planes_of(photo), {"a": disc(40, 40, 20), "b": disc(50, 40, 20)})
    assert warnings == ["'b' lies over 'a' where their masks overlap"]


def test_seeds_do_not_burst_where_weights_change(photo):
    """An error beside what weighs next to nothing is no error of a hundred times its size there."""
    pixels = planes_of(photo)
    weights = np.where(disc(48, 40, 20) > 0, np.float32(0.01), np.float32(1))
    step = 0.2
    fitter = core().Fitter(
        pixels, pixels.mean((1, 2)), step, 0.107 * step**2, distortion=core().Distortion([weights])
    )
    before = fitter.sse
    for _ in range(4):
        fitter.seed(17 * 0.107 * step**2, 0.4)
        fitter.refresh()
        assert fitter.sse < 2 * before
        for _ in range(6):
            fitter.step()
    assert fitter.sse < 0.2 * before


# Whole files.


@pytest.fixture(scope="module")
def layered(photo) -> bytes:
    masks = {"eye": disc(30, 40, 18), "ear": disc(70, 30, 14)}
    return splat2d.encode(photo, quality=70, preset="fast", masks=masks, threads=2)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def test_objects_are_colours_and_mattes(photo, layered):
    scene = splat2d.Scene.from_bytes(layered)
    for name in ("eye", "ear"):
        splats = scene[name].splats
        assert splats.channels == 3
        assert splats.matte.channels == 1
        assert len(splats.matte.means) > 0
    back, *objects = scene.document.container.stack
    assert back.matte is None
    for thing in objects:
        assert thing.matte.header.step > 1.3 * thing.header.step == 1.3 * back.header.step
    grey = splat2d.encode(photo[:, :, :1], quality=40, preset="fast", masks={"eye": disc(30, 40, 18)})
    scene = splat2d.Scene.from_bytes(grey)
    assert (scene.channels, scene.extract("eye").channels) == (1, 2)
    assert scene["eye"].splats.matte is not None


def test_objects_of_pictures_with_alpha_are_premultiplied(photo):
    alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    alpha[:, 80:] = 90
    data = splat2d.encode(
        np.dstack([photo, alpha]), quality=40, preset="fast", masks={"eye": disc(30, 40, 18)}
    )
    scene = splat2d.Scene.from_bytes(data)
    assert scene["eye"].splats.matte is None
    assert scene["eye"].splats.channels == 4
    assert psnr(scene.render()[:, :80, :3], photo[:, :80]) > 24


def test_a_layered_file_looks_like_the_flat_one(photo, layered):
    flat = splat2d.encode(photo, quality=70, preset="fast")
    scene = splat2d.Scene.from_bytes(layered)
    assert [layer.name for layer in scene.layers] == ["picture", "eye", "ear"]
    assert scene.channels == 3
    assert psnr(splat2d.decode(layered), photo) > psnr(splat2d.decode(flat), photo) - 1.5
    assert len(layered) < 1.9 * len(flat)


def test_the_file_does_not_depend_on_threads(photo, layered):
    masks = {"eye": disc(30, 40, 18), "ear": disc(70, 30, 14)}
    assert splat2d.encode(photo, quality=70, preset="fast", masks=masks, threads=1) == layered


def test_an_object_is_its_mask_and_leaves_no_hole(photo, layered):
    scene = splat2d.Scene.from_bytes(layered)
    eye = scene.extract("eye").render()
    assert np.abs(eye[:, :, 3] / 255 - disc(30, 40, 18)).mean() < 0.02
    behind = scene["eye"].hide().scene.render()
    # As bright as what is around it, and nowhere transparent.
    ring = (disc(30, 40, 24) > 0) & (disc(30, 40, 20) == 0)
    hidden = disc(30, 40, 14) > 0
    low, high = np.percentile(photo[ring], [2, 98], axis=0)
    assert ((behind[hidden] > low - 25) & (behind[hidden] < high + 25)).all()


def test_a_target_is_one_of_the_whole_file(photo):
    masks = {"eye": disc(30, 40, 18)}
    data = splat2d.encode(photo, size=2500, preset="fast", masks=masks)
    assert 2400 < len(data) <= 2500
    assert splat2d.encode(photo, size=2500, preset="fast", masks=masks, threads=3) == data
    least = psnr(splat2d.decode(splat2d.encode(photo, psnr=31, preset="fast", masks=masks)), photo)
    assert 31 <= least < 31.6


def test_ms_ssim_and_objects_go_together(photo):
    data = splat2d.encode(photo, quality=60, preset="fast", tune="ms-ssim", masks={"eye": disc(30, 40, 18)})
    assert psnr(splat2d.decode(data), photo) > 26


@pytest.fixture
def files(tmp_path, photo):
    """A picture, a mask and a label image as files."""
    Image.fromarray(photo).save(tmp_path / "photo.png")
    Image.fromarray((disc(30, 40, 18) * 255).astype(np.uint8)).save(tmp_path / "eye.png")
    labels = disc(30, 40, 18) + 2 * disc(70, 30, 14)
    Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "labels.png")
    return tmp_path


def test_masks_from_files(files, capsys):
    out = files / "o.splat"
    command = ["encode", files / "photo.png", out, "--preset", "fast", "--quality", "40"]
    status, printed, err = run(capsys, *command, "--mask", f"eye={files / 'eye.png'}", "--json")
    assert (status, err) == (0, "")
    assert json.loads(printed)["warnings"] == []
    names = [layer.name for layer in splat2d.open(out).layers]
    assert names == ["picture", "eye"]
    status, _, err = run(capsys, *command, "--labels", files / "labels.png", "--force")
    assert (status, err) == (0, "")
    assert [layer.name for layer in splat2d.open(out).layers] == ["picture", "object 1", "object 2"]
    data = splat2d.encode(files / "photo.png", quality=40, preset="fast", masks=files / "labels.png")
    assert data == out.read_bytes()
    data = splat2d.encode(files / "photo.png", quality=40, preset="fast", masks={"eye": files / "eye.png"})
    assert len(splat2d.Scene.from_bytes(data).layers) == 2


def test_an_object_too_small_for_the_quality_is_warned_of(files, capsys):
    tiny = np.zeros((HEIGHT, WIDTH), np.uint8)
    tiny[40:42, 30:32] = 255
    Image.fromarray(tiny).save(files / "tiny.png")
    out = files / "o.splat"
    command = ["encode", files / "photo.png", out, "--preset", "fast", "--quality", "1"]
    status, printed, err = run(capsys, *command, "--mask", f"dot={files / 'tiny.png'}", "--json")
    warning = "'dot' is empty: at this quality it is too small to be worth a splat"
    assert (status, err) == (0, f"splat2d: warning: {warning}\n")
    assert json.loads(printed)["warnings"] == [warning]
    assert splat2d.open(out)["dot"].box == (0, 0, 0, 0)
    flat, grouped = files / "flat.splat", files / "grouped.splat"
    run(capsys, "encode", files / "photo.png", flat, "--preset", "fast", "--quality", "1")
    command = ["group", flat, grouped, "--name", "dot", "--mask", files / "tiny.png", "--preset", "fast"]
    status, _, err = run(capsys, *command)
    assert (status, err) == (0, f"splat2d: warning: {warning}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mask", "eye.png"], "expected NAME=FILE"),
        (["--mask", "eye="], "expected NAME=FILE"),
        (["--mask", "a=eye.png", "--mask", "a=eye.png"], "twice"),
        (["--mask", "a=none.png"], "no such file"),
        (["--mask", "a=eye.png", "--labels", "labels.png"], "labels"),
        (["--mask", "picture=eye.png"], "cannot be called 'picture'"),
        (["--labels", "photo.png"], "expected labels"),
    ],
)
def test_bad_masks_are_one_line_and_no_file(files, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(files)
    status, out, err = run(capsys, "encode", "photo.png", "o.splat", "--preset", "fast", *arguments)
    assert status != 0
    assert out == ""
    assert message in err.replace("\n", " ")
    assert not (files / "o.splat").exists()


def test_masks_in_python_are_checked(photo):
    with pytest.raises(ShapeError, match="names and masks"):
        splat2d.encode(photo, masks=3)
    with pytest.raises(ShapeError, match=r"the mask of 'a' must be \[H, W\] in \[0, 1\]"):
        splat2d.encode(photo, masks={"a": np.full((HEIGHT, WIDTH), 7.0)})
    with pytest.raises(InputImageError, match="no such file"):
        splat2d.encode(photo, masks={"a": "/nowhere/mask.png"})
