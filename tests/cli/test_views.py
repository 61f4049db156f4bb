"""`splat2d encode` and `decode` of light fields, as a user types them."""

import json

import numpy as np
import pytest
from PIL import Image

from splat2d import cli

from ..support.command import assert_one_line, run
from ..support.lightfields import views_of

VIEWS, EYES = views_of(3, 2, 40, 32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("lightfield")
    for index, view in enumerate(VIEWS):
        (out / "views").mkdir(exist_ok=True)
        Image.fromarray(view).save(out / "views" / f"v{index // 3 + 1}_u{index % 3 + 1}.png")
    return out


@pytest.fixture(scope="module")
def splat(folder):
    path = folder / "scene.splat"
    assert cli.main(["encode", str(folder / "views"), str(path), "--views", "3x2", "--preset", "fast"]) == 0
    return path


def shown(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_encode_says_what_it_did(capsys, folder, tmp_path):
    pattern = folder / "views" / "v%d_u%d.png"
    status, out, err = run(capsys, "encode", pattern, tmp_path / "a.splat", "--preset", "fast", "--json")
    assert status == 0, err
    figures = json.loads(out)
    assert figures["views"] == 6
    assert figures["size"] == (tmp_path / "a.splat").stat().st_size
    assert figures["bpp"] == pytest.approx(8 * figures["size"] / (6 * 40 * 32))


def test_all_views(capsys, splat, tmp_path):
    status, out, err = run(capsys, "decode", splat, tmp_path / "out" / "u%02d_v%02d.png")
    assert status == 0, err
    assert "6 of 6 views" in out
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == [f"u{u:02d}_v{v:02d}.png" for u in (1, 2, 3) for v in (1, 2)]
    for index, view in enumerate(VIEWS):
        found = shown(tmp_path / "out" / f"u{index % 3 + 1:02d}_v{index // 3 + 1:02d}.png")
        assert np.mean((found.astype(float) - view) ** 2) < 150


def test_one_view_and_the_middle(capsys, splat, tmp_path):
    for name, options in (("a.png", ["--view", "1,0.5"]), ("b.png", []), ("c.png", ["--view", "0,0"])):
        status, _, err = run(capsys, "decode", splat, tmp_path / name, *options)
        assert status == 0, err
    np.testing.assert_array_equal(shown(tmp_path / "b.png"), shown(tmp_path / "c.png"))
    assert np.mean((shown(tmp_path / "a.png").astype(float) - VIEWS[5]) ** 2) < 150


def test_refocus_depth_and_size(capsys, splat, tmp_path):
    words = ["--refocus", "2", "--depth", tmp_path / "d.npy", "--scale", "2", "--crop", "4,4,20,10"]
    status, _, err = run(capsys, "decode", splat, tmp_path / "a.png", *words)
    assert status == 0, err
    assert shown(tmp_path / "a.png").shape == (20, 40, 3)
    assert np.load(tmp_path / "d.npy").shape[:2] == (20, 40)
    status, _, err = run(capsys, "decode", splat, tmp_path / "b.png", "--depth", tmp_path / "d.png")
    assert status == 0, err
    assert shown(tmp_path / "d.png").shape == (32, 40)


def test_info_tells_the_views(capsys, splat):
    status, out, _ = run(capsys, "info", splat, "--json")
    assert status == 0
    assert json.loads(out)["views"] == 6
    assert "disparity" in json.loads(out)["bits_per_splat"]


@pytest.mark.parametrize(
    "words",
    [
        ["--view", "1"],
        ["--view", "a,b"],
        ["--view", "0,nan", "--refocus", "1"],
        ["--refocus", "nan"],
    ],
)
def test_decode_options_that_cannot_be_meant(capsys, splat, tmp_path, words):
    status, _, err = run(capsys, "decode", splat, tmp_path / "a.png", *words)
    assert status in (1, 2)
    assert_one_line(err)
    assert not (tmp_path / "a.png").exists()


def test_views_of_pictures_are_refused(capsys, tmp_path, folder):
    picture = tmp_path / "p.splat"
    view = folder / "views" / "v1_u1.png"
    assert run(capsys, "encode", view, picture, "--preset", "fast")[0] == 0
    status, _, err = run(capsys, "decode", picture, tmp_path / "a.png", "--view", "0,0")
    assert status == 2
    assert_one_line(err, "light fields")


@pytest.mark.parametrize(
    "words",
    [
        ["--views", "5"],
        ["--views", "0x3"],
        ["--views", "3x2", "--lenslet", "2x2"],
        ["--views", "3x2", "--jobs", "2"],
        ["--views", "3x2", "--texture", "auto"],
        ["--views", "2x2"],
    ],
)
def test_encode_options_that_cannot_be_meant(capsys, folder, tmp_path, words):
    status, _, err = run(capsys, "encode", folder / "views", tmp_path / "a.splat", *words)
    assert status in (1, 2)
    assert_one_line(err)
    assert not (tmp_path / "a.splat").exists()


def test_a_light_field_is_not_merged_or_taken_apart(capsys, splat, folder, tmp_path):
    picture = tmp_path / "p.splat"
    assert run(capsys, "encode", folder / "views" / "v1_u1.png", picture, "--preset", "fast")[0] == 0
    for words in (
        ["merge", picture, splat, tmp_path / "m.splat"],
        ["merge", splat, picture, tmp_path / "m.splat"],
        ["extract", splat, tmp_path / "m.splat", "--group", "picture"],
    ):
        status, _, err = run(capsys, *words)
        assert status == 1
        assert_one_line(err, "light field")


def test_edits_hold_for_all_eyes(capsys, splat, tmp_path):
    edited = tmp_path / "e.splat"
    assert run(capsys, "edit", splat, edited, "--group", "picture", "--brightness", "0.5")[0] == 0
    for eye in ("-1,0.5", "1,0"):
        assert run(capsys, "decode", edited, tmp_path / "a.png", "--view", eye, "--force")[0] == 0
        assert run(capsys, "decode", splat, tmp_path / "b.png", "--view", eye, "--force")[0] == 0
        assert shown(tmp_path / "a.png").mean() < 0.6 * shown(tmp_path / "b.png").mean()
