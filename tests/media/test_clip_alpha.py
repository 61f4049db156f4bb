"""Clips with alpha: kept on the way in, fitted premultiplied, and written where there is a place for it."""

import json

import numpy as np
import pytest
from PIL import Image

import splat2d
from splat2d.media.reader import open_clip
from splat2d.scene.clip import Clip

from ..support.command import run

COUNT = 6
PRESET = """
rounds: 2
steps: 3
final_steps: 2
sweeps: 1
clip: {rounds: 3, steps: 5, final_steps: 6, sweeps: 1, frames: 6}
"""


def discs(opaque: bool = False) -> np.ndarray:
    """Return a disc with a soft edge that moves over nothing, [T, H, W, 4] uint8, alpha straight."""
    t, y, x = np.mgrid[:COUNT, :48, :64]
    distance = np.hypot(x - 26 - t, y - 24)
    alpha = np.full_like(x, 255) if opaque else np.clip((16 - distance) / 4 + 0.5, 0, 1) * 255
    colours = 200 + 40 * np.sin(x / 9), 90 + 50 * np.sin(y / 7), 60 + 40 * np.cos(x / 8)
    return np.rint(np.stack([*colours, alpha], -1)).astype(np.uint8)


def premultiplied(pixels: np.ndarray) -> np.ndarray:
    """Return floats in [0, 1] of straight bytes [..., C], alpha last."""
    values = pixels / 255
    return np.concatenate([values[..., :-1] * values[..., -1:], values[..., -1:]], -1)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Return dB between arrays in [0, 1]."""
    return float(-10 * np.log10(((a - b) ** 2).mean() + 1e-12))


def on_white(pixels: np.ndarray) -> np.ndarray:
    """Return what straight bytes look like on white, floats in [0, 1]."""
    values = premultiplied(pixels)
    return values[..., :-1] + 1 - values[..., -1:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Frames as PNG, a preset, and the clip of them."""
    path = tmp_path_factory.mktemp("alpha")
    (path / "quick.yaml").write_text(PRESET)
    for i, frame in enumerate(discs()):
        Image.fromarray(frame).save(path / f"in_{i:03d}.png")
    return path


@pytest.fixture(scope="module")
def clip(folder):
    """The clip of the frames."""
    return splat2d.encode(discs(), fps=25, preset=str(folder / "quick.yaml"), quality=60)


def encode(folder, capsys, source, *options):
    """Return what encode says of a source, beside which the clip lies as `out.splat`."""
    words = ("--preset", folder / "quick.yaml", "--quality", 60, "--force", "--json", *options)
    status, out, err = run(capsys, "encode", source, folder / "out.splat", *words)
    assert status == 0, err
    return json.loads(out), err


def decode(folder, capsys, data, name):
    """Return the warnings of a decode, and the frames as they are read again."""
    (folder / "in.splat").write_bytes(data)
    status, _, err = run(capsys, "decode", folder / "in.splat", f"{folder}/{name}", "--force")
    assert status == 0, err
    reader = open_clip(folder / name, keeps_alpha=True)
    return err, np.stack([frame.pixels for frame in reader])


def test_a_sequence_keeps_its_alpha(folder, clip, capsys):
    """PSNR counts premultiplied samples, as of pictures; what is transparent stays so."""
    figures, err = encode(folder, capsys, folder / "in_%03d.png")
    assert (err, figures["channels"], figures["warnings"]) == ("", 4, [])
    assert (folder / "out.splat").read_bytes() == clip
    shown = np.stack(list(Clip.from_bytes(clip)))
    assert shown.shape == (COUNT, 48, 64, 4)
    # 43.7 dB when this was written; a disc of frames without their alpha has 5.
    assert psnr(premultiplied(shown), premultiplied(discs())) > 37
    assert shown[..., 3][discs()[..., 3] == 0].mean() < 2
    assert shown[..., 3][discs()[..., 3] == 255].mean() > 250


def test_grey_with_alpha_has_two_channels(folder):
    """From an array; and one frame alone is a picture with alpha."""
    grey = discs()[..., [0, 3]]
    options = {"fps": 25, "preset": str(folder / "quick.yaml"), "quality": 60, "tune": "psnr"}
    shown = np.stack(list(Clip.from_bytes(splat2d.encode(grey, **options))))
    assert shown.shape == (COUNT, 48, 64, 2)
    assert psnr(premultiplied(shown), premultiplied(grey)) > 37
    still = Clip.from_bytes(splat2d.encode(grey[:1], **options))
    assert psnr(premultiplied(still.render(frame=0)), premultiplied(grey[0])) > 34


def test_opaque_alpha_is_dropped(folder, capsys):
    """As of pictures: three channels, and the same splats as without."""
    for i, frame in enumerate(discs(opaque=True)):
        Image.fromarray(frame).save(folder / f"opaque_{i}.png")
        Image.fromarray(frame[..., :3]).save(folder / f"plain_{i}.png")
    figures, _ = encode(folder, capsys, folder / "opaque_%d.png")
    frames = np.stack(list(splat2d.open(folder / "out.splat")))
    assert figures["channels"] == 3
    assert encode(folder, capsys, folder / "plain_%d.png")[0]["channels"] == 3
    assert (np.stack(list(splat2d.open(folder / "out.splat"))) == frames).all()


def test_transparency_that_comes_later_counts_for_all_frames(folder, capsys):
    """The first frames are opaque."""
    frames = discs(opaque=True)
    frames[4:] = discs()[4:]
    for i, frame in enumerate(frames):
        Image.fromarray(frame[..., :3] if i < 2 else frame).save(folder / f"late_{i}.png")
    reader = open_clip(folder / "late_%d.png", keeps_alpha=True)
    assert reader.channels == 4
    read = np.stack([frame.pixels for frame in reader])
    assert (read[:4, ..., 3] == 255).all()
    assert (read[4:, ..., 3] == discs()[4:, ..., 3]).all()
    assert encode(folder, capsys, folder / "late_%d.png")[0]["channels"] == 4


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("out.webm", 36),  # VP9, lossy in 4:2:0
        ("out.mov", 50),  # ProRes 4444 of 10 bits
        ("out.apng", 55),  # but for premultiplying in bytes
        ("out.webp", 55),
        ("out_%03d.png", 55),
        ("frames/", 55),
    ],
)
def test_alpha_goes_out_and_comes_back(name, least, folder, clip, capsys):
    """Into what has a place for it, without a word."""
    if not name.endswith((".png", "/")):
        pytest.importorskip("av")
    err, frames = decode(folder, capsys, clip, name)
    assert err == ""
    assert frames.shape == (COUNT, 48, 64, 4)
    expected = premultiplied(np.stack(list(Clip.from_bytes(clip))))
    assert psnr(frames / 255, expected) > least
    reader = open_clip(folder / name, keeps_alpha=True)
    assert [frame.time for frame in reader] == [i / reader.fps for i in range(COUNT)]
    assert reader.fps == 25
    # And as a source.
    figures, err = encode(folder, capsys, folder / name)
    assert (figures["channels"], err) == (4, "")
    shown = np.stack(list(splat2d.open(folder / "out.splat")))
    assert psnr(premultiplied(shown), premultiplied(discs())) > 32


def test_gif_has_one_bit_of_alpha(folder, clip, capsys):
    """What covers half or more is there."""
    pytest.importorskip("av")
    err, frames = decode(folder, capsys, clip, "out.gif")
    assert err == ""
    assert set(np.unique(frames[..., 3])) == {0, 255}
    alpha = np.stack(list(Clip.from_bytes(clip)))[..., 3]
    sure = (alpha < 120) | (alpha > 136)
    assert ((frames[..., 3] == 255) == (alpha >= 128))[sure].all()


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.y4m", "out_%d.jpg"])
def test_what_has_no_alpha_gets_white_and_a_warning(name, folder, clip, capsys):
    """Once."""
    if not name.endswith("jpg"):
        pytest.importorskip("av")
    err, frames = decode(folder, capsys, clip, name)
    warning = "this output has no alpha: frames are put on white; use .webm, .mov or .png"
    assert err == f"splat2d: warning: {warning}\n"
    assert frames.shape == (COUNT, 48, 64, 3)
    assert psnr(frames / 255, on_white(np.stack(list(Clip.from_bytes(clip))))) > 30


def test_lossless_keeps_it_too(tmp_path):
    """FFV1 has alpha."""
    pytest.importorskip("av")
    from fractions import Fraction

    from splat2d.media.writer import ClipWriter

    with ClipWriter(tmp_path / "a.mkv", 64, 48, Fraction(25), lossless=True, alpha=True) as writer:
        for frame in discs():
            writer.write(frame)
    read = np.stack([frame.pixels for frame in open_clip(tmp_path / "a.mkv", keeps_alpha=True)])
    assert (read[..., 3] == discs()[..., 3]).all()
    assert np.abs(read / 255 - premultiplied(discs())).max() < 0.6 / 255


def test_grey_and_opaque_frames_go_where_alpha_does(tmp_path):
    """A frame of another kind is one of the output's."""
    from fractions import Fraction

    from splat2d.media.writer import ClipWriter

    frame = discs()[0]
    with ClipWriter(f"{tmp_path}/%d.png", 64, 48, Fraction(25), alpha=True) as writer:
        for pixels in (frame, frame[..., :3], frame[..., [0, 3]], frame[..., :1]):
            writer.write(pixels)
    images = [np.asarray(Image.open(tmp_path / f"{i}.png")) for i in range(1, 5)]
    assert all(image.shape == (48, 64, 4) for image in images)
    assert (images[0] == frame).all()
    assert (images[1] == np.dstack([frame[..., :3], np.full((48, 64), 255)])).all()
    assert (images[2] == frame[..., [0, 0, 0, 3]]).all()
    assert (images[3][..., 3] == 255).all()


def test_one_moment_is_a_picture_with_alpha(folder, clip, capsys):
    """As of a picture's file."""
    (folder / "in.splat").write_bytes(clip)
    assert run(capsys, "decode", folder / "in.splat", folder / "one.png", "--time", "0.1", "--force")[0] == 0
    image = np.asarray(Image.open(folder / "one.png"))
    assert (image == Clip.from_bytes(clip).render(time=0.1)).all()
    assert image.shape == (48, 64, 4)


def test_edits_work_as_on_pictures(folder, clip):
    """Moved by whole pixels it is the same farther on; opacity is of the alpha."""
    before = Clip.from_bytes(clip)
    moved = before.edited([{"group": "picture", "move": [10, 5]}])
    a, b = before.render(frame=2), moved.render(frame=2)
    assert psnr(premultiplied(b[5:, 10:]), premultiplied(a[:-5, :-10])) > 50
    half = before.edited([{"group": "picture", "opacity": 0.5}]).render(frame=2)
    assert np.abs(half[..., 3] - a[..., 3] / 2).max() <= 1
    again = Clip.from_bytes(moved.to_bytes())
    assert (again.render(frame=2) == b).all()
    assert (again.undo().render(frame=2) == a).all()


def test_a_clip_with_alpha_lies_over_another(folder, clip):
    """Merged, it shows what is behind it where it is transparent; extracted, it is as before."""
    ground = np.zeros((COUNT, 48, 64, 3), np.uint8) + np.array([20, 60, 120], np.uint8)
    options = {"fps": 25, "preset": str(folder / "quick.yaml"), "quality": 60}
    back = Clip.from_bytes(splat2d.encode(ground, **options))
    over = Clip.from_bytes(clip)
    both = Clip.from_bytes(back.merge(over, names=["disc"]).to_bytes())
    assert not both.has_alpha
    assert over.has_alpha
    shown, top = both.render(frame=3), premultiplied(over.render(frame=3))
    expected = top[..., :3] + (1 - top[..., 3:]) * ground[3] / 255
    assert psnr(shown / 255, expected) > 45
    alone = both.extract("disc")
    assert psnr(premultiplied(alone.render(frame=3)), top) > 50
    gone = both.edited([{"group": "picture", "hide": True}])
    assert gone.has_alpha


def test_a_target_counts_alpha(folder):
    """As `--psnr` of pictures does: premultiplied samples of four channels."""
    options = {"fps": 25, "preset": str(folder / "quick.yaml")}
    clip = Clip.from_bytes(splat2d.encode(discs(), psnr=34, **options))
    assert psnr(premultiplied(np.stack(list(clip))), premultiplied(discs())) >= 33.9


def test_frames_that_are_transparent_all_over(folder, tmp_path, capsys):
    """Nothing is nothing, and goes out as that."""
    empty = np.zeros((3, 48, 64, 4), np.uint8)
    data = splat2d.encode(empty, fps=25, preset=str(folder / "quick.yaml"))
    assert not np.stack(list(Clip.from_bytes(data))).any()
    for name in ("a.apng", "a.webm", "a.gif", "%d.png"):
        if name != "%d.png":
            pytest.importorskip("av")
        _, frames = decode(tmp_path, capsys, data, name)
        assert frames.shape == (3, 48, 64, 4)
        assert not frames[..., 3].any()


def test_an_animation_is_no_first_of_several(folder, clip, capsys):
    """Of WebP, too, whose frames Pillow gives one by one."""
    pytest.importorskip("av")
    decode(folder, capsys, clip, "out.webp")
    reader = open_clip(folder / "out.webp")
    assert (reader.warnings, reader.notes, reader.count) == ([], [], COUNT)


@pytest.mark.parametrize("name", ["apng", "webp"])
def test_animations_need_a_file(name, folder, clip, capsys):
    """Their muxers go back to the beginning."""
    pytest.importorskip("av")
    import subprocess
    import sys

    (folder / "in.splat").write_bytes(clip)
    words = [sys.executable, "-m", "splat2d", "decode", str(folder / "in.splat"), "-", "--format", name]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{name.upper()} needs a file, and cannot go into a pipe" in done.stderr
