"""Clips that are cut into objects: layers that move, what is behind them, and masks that fit no clip."""

import numpy as np
import pytest
from PIL import Image

import splat2d
import splat2d.fit.clip.encode as encode_module
from splat2d.errors import ConfigError, InputImageError, ShapeError, TargetError
from splat2d.fit.clip.hidden import revealed
from splat2d.fit.film import LEAST_WEIGHT, planes_of
from splat2d.scene.clip import Clip

from ..support.clips import PRESET
from ..support.command import assert_one_line, run
from ..support.scenes_in_time import moving_scene

COUNT, WIDTH, HEIGHT = 10, 96, 64


def psnr(a, b, where):
    return 10 * np.log10(255**2 / np.average(((a.astype(float) - b) ** 2).mean(-1), weights=where))


@pytest.fixture(scope="module")
def scene():
    """A still background, the same behind a striped disc that flies by, and the disc's masks."""
    back = np.repeat(moving_scene(1, seed=4)[:1], COUNT, 0)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    masks = np.stack([np.clip(11 - np.hypot(x - 16 - 7 * t, y - 34), 0, 1) for t in range(COUNT)])
    stripes = np.stack([np.where((x - 7 * t) % 8 < 4, 220, 40) for t in range(COUNT)])[..., None] * [
        1,
        0.9,
        0.2,
    ]
    frames = np.rint(back * (1 - masks[..., None]) + stripes * masks[..., None]).astype(np.uint8)
    return back, frames, masks


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    path = tmp_path_factory.mktemp("objects") / "quick.yaml"
    path.write_text(PRESET)
    return path


@pytest.fixture(scope="module")
def clip(scene, preset):
    _, frames, masks = scene
    options = {"fps": 12, "quality": 50, "preset": preset, "tune": "psnr"}
    return Clip.from_bytes(splat2d.encode(frames, masks={"disc": masks}, **options))


@pytest.mark.parametrize("target", [{"size": 2600}, {"bpp": 0.34}, {"psnr": 27.0}])
def test_a_clip_with_masks_meets_a_target(scene, preset, target):
    _, frames, masks = scene
    told = []
    options = {"fps": 12, "preset": preset, "progress": told.append, **target}
    data = splat2d.encode(frames, masks={"disc": masks}, **options)
    found = psnr(frames, shown(Clip.from_bytes(data)), np.ones(masks.shape))
    if "psnr" in target:
        assert target["psnr"] <= found < target["psnr"] + 1
    else:
        most = target.get("size", target.get("bpp", 0) * frames[..., 0].size / 8)
        assert 0.85 * most < len(data) <= most
    done = [at.frames for at in told]
    assert done == sorted(done)
    assert done[-1] <= COUNT


def shown(clip):
    return np.stack([pixels for _, pixels in clip.frames()])


def test_the_object_is_a_layer_before_what_is_behind_it(clip, scene):
    back, frames, masks = scene
    assert clip.document.stack.names == ("picture", "disc")
    assert clip.count == COUNT
    # From x = 16 - 11 of the first frame to 79 + 11 of the last.
    assert clip.document.stack.find("disc").source == 1
    assert clip.document.container.stack[1].box == (5, 23, 85, 22)
    everywhere, hole = np.ones(masks.shape), masks > 0
    assert psnr(shown(clip), frames, everywhere) > 29
    bare = shown(clip["disc"].hide().scene)
    assert psnr(bare, back, hole) > 30
    assert psnr(bare, frames, hole) < 20


def test_the_object_can_be_moved(clip, scene):
    _, frames, masks = scene
    moved = shown(clip["disc"].move(0, -18).scene)
    up = np.roll(masks, -18, 1) > 0.99
    assert psnr(moved, np.roll(frames, -18, 1), up) > 24
    alone = clip.extract("disc")
    assert alone.document.stack.names == ("disc",)
    assert alone.render(frame=3).shape == (HEIGHT, WIDTH, 4)


def test_what_another_object_covers_counts_for_nothing(scene, preset):
    _, frames, masks = scene
    before = np.zeros_like(masks)
    before[:, 20:60, 40:60] = 1
    covered = np.where(before[..., None] > 0, 250, frames).astype(np.uint8)
    both = {"disc": masks * (1 - before), "wall": before}
    data = splat2d.encode(covered, fps=12, quality=40, preset=preset, tune="psnr", masks=both)
    clip = Clip.from_bytes(data)
    assert clip.document.stack.names == ("picture", "disc", "wall")
    assert psnr(shown(clip), covered, np.ones(masks.shape)) > 26


def test_what_is_hidden_is_what_other_frames_show(scene):
    back, frames, masks = scene
    np.testing.assert_array_equal(revealed(frames, masks > 0), back)
    np.testing.assert_array_equal(revealed(frames, np.zeros(masks.shape, bool)), frames)
    always = np.zeros(masks.shape, bool)
    always[:, 20:40, 30:50] = True
    found = revealed(back, always)
    assert np.array_equal(found[~always], back[~always])
    assert np.abs(np.diff(found[0, 20:40, 30:50].astype(int), axis=0)).max() < 40
    assert revealed(frames, np.ones(masks.shape, bool)).shape == frames.shape


def test_no_weight_is_nothing():
    planes = planes_of(np.array([[[0, 51, 255]]], np.uint8))
    np.testing.assert_allclose(planes[0], [[LEAST_WEIGHT, 0.2, 1]])


@pytest.mark.parametrize(
    ("masks", "options", "error", "words"),
    [
        ({"disc": np.ones((COUNT - 1, HEIGHT, WIDTH))}, {}, ShapeError, "has 9 frames, and the clip has 10"),
        ({"disc": np.ones((COUNT + 2, HEIGHT, WIDTH))}, {}, ShapeError, "has 12 frames, and the clip has 10"),
        ({"disc": np.ones((COUNT, HEIGHT, 90))}, {}, ShapeError, "90 x 64 px, the frames 96 x 64 px"),
        ({"disc": np.zeros((COUNT, HEIGHT, WIDTH))}, {}, ConfigError, "covers nothing in any frame"),
        ({"disc": np.full((COUNT, HEIGHT, WIDTH), 2)}, {}, ShapeError, r"\[T, H, W\] in \[0, 1\]"),
        ({"disc": np.ones((HEIGHT, WIDTH))}, {}, ShapeError, r"\[T, H, W\] in \[0, 1\]"),
        ({"picture": np.ones((COUNT, HEIGHT, WIDTH))}, {}, ConfigError, "another name"),
        ({"disc": np.ones((COUNT, HEIGHT, WIDTH))}, {"size": 90, "bpp": 1}, ConfigError, "give one of them"),
        ({"disc": np.ones((COUNT, HEIGHT, WIDTH))}, {"size": 20}, TargetError, "lowest quality"),
        ([1, 2], {}, ShapeError, "names and masks"),
        ("labels.png", {}, InputImageError, "a folder or a pattern"),
    ],
)
def test_masks_that_fit_no_clip(scene, preset, masks, options, error, words):
    with pytest.raises(error, match=words):
        splat2d.encode(scene[1], fps=12, preset=preset, masks=masks, **options)


@pytest.fixture(scope="module")
def folder(scene, tmp_path_factory):
    """Frames and masks as files; those of palette have the disc as index 3."""
    path = tmp_path_factory.mktemp("files")
    for kind in ("frames", "masks", "indexed", "small", "empty"):
        (path / kind).mkdir()
    for t, (frame, mask) in enumerate(zip(*scene[1:], strict=True)):
        Image.fromarray(frame).save(path / f"frames/{t:04d}.png")
        Image.fromarray(np.rint(255 * mask).astype(np.uint8)).save(path / f"masks/{t:04d}.png")
        indexed = Image.fromarray(np.where(mask > 0.5, 3, 0).astype(np.uint8), "P")
        indexed.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
        indexed.save(path / f"indexed/{t:04d}.png")
        Image.new("L", (40, 30), 255).save(path / f"small/{t:04d}.png")
        Image.new("L", (WIDTH, HEIGHT)).save(path / f"empty/{t:04d}.png")
    return path


@pytest.mark.parametrize("masks", ["masks", "masks/%04d.png", "indexed/*.png"])
def test_the_command(capsys, folder, preset, tmp_path, masks):
    words = ["--fps", 12, "--preset", preset, "--quality", 40]
    out = tmp_path / "a.splat"
    status, _, err = run(capsys, "encode", folder / "frames", out, "--mask", f"disc={folder / masks}", *words)
    assert (status, err) == (0, "")
    assert Clip.open(out).document.stack.names == ("picture", "disc")
    assert not (tmp_path / "a.splat.part").exists()


def test_labels_are_objects(capsys, folder, preset, tmp_path):
    words = ["--fps", 12, "--preset", preset, "--quality", 40, "--labels", folder / "indexed/%04d.png"]
    out = tmp_path / "a.splat"
    status, _, err = run(capsys, "encode", folder / "frames", out, *words)
    assert (status, err) == (0, "")
    assert Clip.open(out).document.stack.names == ("picture", "object 3")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--labels", "empty"], "has no labels"),
        (["--labels", "frames"], "expected labels"),
        (["--labels", "masks/0001.png"], "a folder or a pattern"),
        (["--labels", "indexed", "--mask", "disc=masks"], "contradict"),
        (["--mask", "disc=small"], "expected a mask of the picture's size"),
        (["--mask", "disc=empty"], "covers nothing in any frame"),
        (["--mask", "disc=nowhere/%04d.png"], "nowhere"),
        (["--mask", "disc=masks", "--size", "20"], "lowest quality"),
        (["--mask", "masks"], "expected NAME=FILE"),
    ],
)
def test_the_command_refuses_in_one_line(capsys, folder, preset, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(folder)
    status, _, err = run(capsys, "encode", "frames", tmp_path / "a.splat", "--preset", preset, *words)
    assert status in (1, 2)
    assert_one_line(err, says)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("goal", [["--quality", 40], ["--psnr", 24]])
def test_an_interrupted_encode_goes_on(capsys, folder, preset, tmp_path, monkeypatch, goal):
    """What is finished of each layer, at each quality that was tried, is not made again."""
    words = ["--fps", 12, "--preset", preset, *goal, "--mask", f"disc={folder / 'masks'}"]
    whole, out = tmp_path / "whole.splat", tmp_path / "a.splat"
    assert run(capsys, "encode", folder / "frames", whole, *words)[0] == 0
    fits: list[int] = []
    fit = encode_module.fit_segment

    def counted(frames, *arguments, **options):
        fits.append(frames.shape[-1])
        if len(fits) == stop:
            raise KeyboardInterrupt
        return fit(frames, *arguments, **options)

    monkeypatch.setattr(encode_module, "fit_segment", counted)
    stop = 2
    status, _, err = run(capsys, "encode", folder / "frames", out, *words)
    assert status == 130
    assert err.startswith("splat2d: interrupted; ")
    assert err.endswith("; --resume goes on\n")
    (left,) = (path for path in tmp_path.iterdir() if path.suffix == ".part")
    assert not out.exists()
    status, _, err = run(capsys, "encode", folder / "frames", out, *words)
    assert status == 1
    assert_one_line(err, f"{left.name}: an interrupted encode left it")
    stop, done = 0, len(fits)
    status, _, err = run(capsys, "encode", folder / "frames", out, *words, "--resume")
    assert (status, err) == (0, "")
    assert out.read_bytes() == whole.read_bytes()
    resumed = len(fits) - done
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.splat", "whole.splat"]
    status, _, err = run(capsys, "encode", folder / "frames", out, *words, "--force")
    assert (status, err) == (0, "")
    assert len(fits) - done - resumed == resumed + 1, "but for the one that was finished"


def interrupted(*_):
    raise KeyboardInterrupt


def test_an_interrupted_encode_of_other_settings_does_not_go_on(
    capsys, folder, preset, tmp_path, monkeypatch
):
    words = ["--fps", 12, "--preset", preset, "--quality", 40, "--mask", f"disc={folder / 'masks'}"]
    out = tmp_path / "a.splat"
    monkeypatch.setattr("splat2d.fit.clip.objects._object", interrupted)
    assert run(capsys, "encode", folder / "frames", out, *words)[0] == 130
    monkeypatch.undo()
    status, _, err = run(capsys, "encode", folder / "frames", out, *words, "--resume", "--seed", 1)
    assert status == 1
    assert_one_line(err, "begun with seed 0, and this is 1")
    status, _, err = run(capsys, "encode", folder / "frames", out, *words, "--force", "--seed", 1)
    assert (status, err) == (0, "")
    assert list(tmp_path.iterdir()) == [out]


def test_a_picture_wants_no_sequence(scene, tmp_path):
    with pytest.raises((ShapeError, InputImageError)):
        splat2d.encode(scene[1][0], masks={"disc": scene[2]})
