"""Cutting an object out of a file: what is asked of the encoder, what the command says, and bad input."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import splat2d
from splat2d import Scene
from splat2d.errors import ConfigError
from splat2d.fit.encode import Encoded, quality_step, step_code
from splat2d.fit.objects import group as module
from splat2d.native.backend import Backend

from ..support.command import assert_one_line, run
from ..support.layered import HEIGHT, WIDTH, encoded, scene

SQUARE = (20, 10, 50, 10, 50, 40, 20, 40)
INSIDE = np.zeros((HEIGHT, WIDTH), np.float32)
INSIDE[10:40, 20:50] = 1


@pytest.fixture
def encoder(monkeypatch) -> dict[str, Any]:
    """Replace the encoder by one that keeps its arguments and answers with two layers."""
    calls: dict[str, Any] = {}

    def encode_picture(picture, *, masks, **options) -> Encoded:
        calls.update(picture=picture, masks=masks, options=options)
        names = list(masks)
        data = scene("photo").merge(scene("cat"), names=names).to_bytes()
        return Encoded(data, 40.0, 1.5, 123, 0.2, options["quality"], {}, options["backend"].device)

    monkeypatch.setattr(module, "encode_picture", encode_picture)
    return calls


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with photo.splat, all.splat of three layers, and a mask."""
    (tmp_path / "photo.splat").write_bytes(encoded("photo"))
    (tmp_path / "all.splat").write_bytes(scene("all").to_bytes())
    Image.fromarray((INSIDE * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    return tmp_path


def test_the_encoder_gets_the_decoded_picture_and_the_mask(encoder):
    before = scene("photo")
    after = splat2d.group(before, "cup", polygon=np.reshape(SQUARE, (4, 2)), preset="fast", threads=1)
    assert [layer.name for layer in after.layers] == ["picture", "cup"]
    assert [layer.name for layer in before.layers] == ["picture"]
    np.testing.assert_array_equal(
        np.rint(encoder["picture"].pixels.transpose(1, 2, 0) * 255), before.render()
    )
    assert list(encoder["masks"]) == ["cup"]
    np.testing.assert_array_equal(encoder["masks"]["cup"], INSIDE)
    expected = {"quality": 70, "preset": "fast", "backend": Backend(1), "progress": None}
    assert encoder["options"] == {**expected, "tune": "psnr"}


def test_edits_become_part_of_the_picture_and_notes_are_kept(encoder):
    edited = scene("photo")["picture"].brightness(0.5).scene
    edited.notes = ("upside down",)
    splat2d.group(edited, "cup", mask=INSIDE)
    pixels = encoder["picture"].pixels.transpose(1, 2, 0)
    np.testing.assert_array_equal(np.rint(pixels * 255), edited.render())
    assert encoder["picture"].notes == ("upside down",)


def test_the_quality_of_a_file_made_for_another_target():
    header = scene("photo").header
    assert module.quality_of(replace(header, step_code=100)) == 70  # as the file says
    for quality in range(1, 101):
        same = replace(header, quality=0, step_code=step_code(quality_step(quality)))
        assert module.quality_of(same) == quality
    assert module.quality_of(replace(header, quality=0, step_code=860)) == 1
    assert module.quality_of(replace(header, quality=0, step_code=200)) == 100


def test_a_quality_that_is_asked_for(encoder):
    splat2d.group(scene("photo"), "cup", mask=INSIDE, quality=85)
    assert encoder["options"]["quality"] == 85


def test_only_a_picture_of_one_layer():
    with pytest.raises(ConfigError, match=r"found 3 \(picture, cat, grey\); extract one of them first"):
        splat2d.group(scene("all"), "cup", mask=INSIDE)


def test_an_extracted_layer_will_do(encoder):
    splat2d.group(scene("all").extract("cat"), "eye", point=(30, 24))
    assert encoder["picture"].channels == 4
    assert encoder["masks"]["eye"][24, 30] == 1


@pytest.mark.parametrize("name", ["picture", "", "a\nb", "x" * 65])
def test_names(name: str):
    with pytest.raises(ConfigError, match="name"):
        splat2d.group(scene("photo"), name, mask=INSIDE)


def test_both_sides_look_as_before():
    before = scene("photo")
    fitted, coverage = module.group(before, "cup", mask=INSIDE, preset="fast", backend=Backend(1))
    after = Scene.from_bytes(fitted.data)
    assert [layer.name for layer in after.layers] == ["picture", "cup"]
    np.testing.assert_array_equal(coverage, INSIDE)
    error = after.render().astype(float) - before.render()
    assert fitted.psnr == pytest.approx(20 * np.log10(255 / np.sqrt(np.mean(error**2))), abs=0.01)
    assert fitted.psnr > 33
    # The object is where the mask says, and what is behind it is filled.
    covered = after["cup"].coverage()
    assert covered is not None
    assert np.abs(covered - INSIDE).mean() < 0.04
    assert after["cup"].hide().scene.channels == 3


# The command


def test_group_writes_the_file_and_one_line(capsys, encoder, folder: Path):
    source, output = folder / "photo.splat", folder / "o.splat"
    command = ["group", source, output, "--name", "cup", "--polygon", ",".join(map(str, SQUARE))]
    status, out, err = run(capsys, *command)
    assert (status, err) == (0, "")
    before, size = source.stat().st_size, output.stat().st_size
    assert out.startswith(
        f"{output}: {size:,} bytes ({before:,} before, {size / before - 1:+.1%}), "
        "40.00 dB to the picture before, cup is 26.0% of it, "
    )
    assert out.count("\n") == 1
    assert [layer.name for layer in splat2d.open(output).layers] == ["picture", "cup"]


def test_group_for_programs(capsys, encoder, folder: Path):
    source, output = folder / "photo.splat", folder / "o.splat"
    command = ["group", source, output, "--name=cup", "--mask", folder / "mask.png", "--json"]
    status, out, _ = run(capsys, *command, "--preset", "fast", "--threads", "1")
    assert status == 0
    assert json.loads(out) == {
        "input": str(source),
        "output": str(output),
        "name": "cup",
        "covered": pytest.approx(900 / (WIDTH * HEIGHT)),
        "size_before": source.stat().st_size,
        "size": output.stat().st_size,
        "psnr": 40.0,
        "splats": 123,
        "quality": 70,
        "preset": "fast",
        "device": "cpu",
        "seconds": 1.5,
        "warnings": [],
    }


def test_group_by_point_and_by_color(capsys, encoder, folder: Path):
    source = folder / "photo.splat"
    pixels = Scene.from_bytes(encoded("photo")).render()
    color = "#" + bytes(pixels[20, 30]).hex()
    for where in (["--point", "30.5,20.5", "--tolerance", "40"], ["--color", color, "--tolerance=40"]):
        assert run(capsys, "group", source, folder / "o.splat", "--name", "n", *where, "--force")[0] == 0
        assert encoder["masks"]["n"][20, 30] == 1


def test_group_in_place(capsys, encoder, folder: Path):
    source = folder / "photo.splat"
    command = ["group", source, source, "--name", "cup", "--mask", folder / "mask.png"]
    status, _, err = run(capsys, *command)
    assert status == 1
    assert_one_line(err, "exists already and is kept; use --force")
    status, out, _ = run(capsys, *command, "--force")
    assert status == 0
    assert f"({len(encoded('photo')):,} before, " in out
    assert len(splat2d.open(source).layers) == 2


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "expected one of box, polygon, point, color, mask"),
        (["--point", "3,3", "--color", "#000000"], "found point and color"),
        (["--box", "60,10,20,20"], "box 60,10,20,20 is not inside the picture of 72 x 48 px"),
        (["--box", "1,1,nan,5"], "box: expected 4 finite numbers"),
        (["--polygon", "1,1,9,9"], "at least 3 corners"),
        (["--polygon", "1,1,9,9,4,4"], "on one line"),
        (["--polygon", "1,1,9,9,nan,4"], "corners within"),
        (["--polygon=-9,-9,-1,-9,-9,-1"], "the polygon selects nothing"),
        (["--point", "72,3"], "point 72,3 is not inside"),
        (["--point", "3,nan"], "point: expected 2 finite numbers"),
        (["--point", "3,3", "--tolerance", "256"], "tolerance is 256, expected 0 to 255"),
        (["--point", "3,3", "--tolerance", "255"], "selects the whole picture"),
        (["--color", "#00ff00", "--tolerance", "nan"], "tolerance is nan"),
        (["--color", "#00ff00", "--tolerance", "3"], "the color selects nothing"),
        (["--color", "green"], "expected #rrggbb"),
        (["--mask", "none.png"], "none.png: no such file"),
        (["--mask", "small.png"], "small.png: is 10 x 10 px; expected a mask of the picture's size"),
        (["--mask", "black.png"], "black.png: covers nothing"),
        (["--mask", "white.png"], "white.png: covers everything"),
        (["--mask", "photo.splat"], "photo.splat: is no picture that can be read"),
        (["--mask", "mask.png", "--tolerance", "3"], "tolerance is of point and color"),
        (["--mask", "mask.png", "--name", "picture"], "the name 'picture' is taken"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    capsys, monkeypatch, encoder, folder: Path, arguments: list[str], part: str
):
    monkeypatch.chdir(folder)
    # Where another test has registered the plug-in, Pillow reads .splat files.
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "SPLAT"])
    for name, size, level in (
        ("small", (10, 10), 255),
        ("black", (WIDTH, HEIGHT), 0),
        ("white", (WIDTH, HEIGHT), 255),
    ):
        Image.new("L", size, level).save(f"{name}.png")
    named = [] if "--name" in arguments else ["--name", "cup"]
    files = set(folder.iterdir())
    status, out, err = run(capsys, "group", "photo.splat", "o.splat", *named, *arguments)
    assert (status, out) == (1, "")
    assert_one_line(err, part)
    assert set(folder.iterdir()) == files
    assert not encoder


def test_files_that_cannot_be_cut(capsys, encoder, folder: Path):
    (folder / "cut.splat").write_bytes(encoded("photo")[:-9])
    for name, part in (
        ("all", "found 3 (picture, cat, grey); extract one of them first"),
        ("none", "none.splat: no such file"),
        ("cut", "cut.splat: "),
    ):
        command = ["group", folder / f"{name}.splat", folder / "o.splat", "--name", "cup", "--point", "3,3"]
        status, _, err = run(capsys, *command)
        assert status == 1
        assert_one_line(err, part)
    assert not (folder / "o.splat").exists()
    assert not encoder


def test_a_box_without_opencv(capsys, monkeypatch, encoder, folder: Path):
    monkeypatch.setitem(sys.modules, "cv2", None)  # as if it was not installed
    command = ["group", folder / "photo.splat", folder / "o.splat", "--name", "cup", "--box", "9,9,30,30"]
    status, _, err = run(capsys, *command)
    assert status == 1
    assert_one_line(err, "needs OpenCV; pip install 'splat2d[segment]'")
    assert not (folder / "o.splat").exists()
