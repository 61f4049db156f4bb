"""Views of a light field as people have them: names, lists, lenses, and what is wrong with them."""

import json

import numpy as np
import pytest
from PIL import Image

from splat2d.errors import ConfigError, InputImageError, Splat2dError
from splat2d.media.views import cut_views, is_light_field, load_views

from ..support.lightfields import views_of

VIEWS, EYES = views_of(3, 2, 24, 16)


def save(folder, name, k):
    """Save each view under the name of its column u and row v."""
    folder.mkdir(exist_ok=True)
    for index, view in enumerate(VIEWS):
        Image.fromarray(view).save(folder / name.format(u=index % 3 + k, v=index // 3 + k, n=index + k))
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "u{u}_v{v}.png",
        "v{v:02d}_u{u:02d}.png",
        "scene2_row{v}_col{u}.png",
        "shot_{v}_{u}.png",
        "x{u}y{v}.png",
    ],
)
def test_names_tell_row_and_column(tmp_path, name):
    found = load_views(save(tmp_path / "views", name, 9))
    np.testing.assert_array_equal(found.pixels, VIEWS)
    np.testing.assert_array_equal(found.eyes, EYES)


def test_one_number_needs_the_grid(tmp_path):
    folder = save(tmp_path / "views", "shot{n}.png", 7)  # 7 ... 12: natural order
    np.testing.assert_array_equal(load_views(folder, (3, 2)).pixels, VIEWS)
    with pytest.raises(ConfigError, match="--views"):
        load_views(folder)
    with pytest.raises(ConfigError, match="expected 2x2"):
        load_views(folder, (2, 2))


def test_a_pattern(tmp_path):
    folder = save(tmp_path / "views", "u{u}_v{v}.png", 0)
    (folder / "other.png").write_bytes(b"none")
    found = load_views(str(folder / "u%d_v%d.png"), (3, 2))
    np.testing.assert_array_equal(found.pixels, VIEWS)
    with pytest.raises(InputImageError, match="matches no file"):
        load_views(str(folder / "w%d_v%d.png"))


def test_a_list_and_gaps(tmp_path):
    folder = save(tmp_path / "views", "u{u}_v{v}.png", 0)
    rows = [{"file": "views/u0_v0.png", "u": -1.5, "v": 0}, {"file": "views/u2_v1.png", "u": 2, "v": 0.25}]
    path = tmp_path / "list.json"
    path.write_text(json.dumps(rows))
    found = load_views(path)
    np.testing.assert_array_equal(found.pixels, VIEWS[[0, 5]])
    np.testing.assert_array_equal(found.eyes, [(-1.5, 0), (2, 0.25)])
    (folder / "u1_v0.png").unlink()
    np.testing.assert_array_equal(load_views(folder, (3, 2)).eyes, np.delete(EYES, 1, 0))


def test_lenses():
    lenslet = np.zeros((16 * 2, 24 * 3, 3), np.uint8)
    for index, view in enumerate(VIEWS):
        lenslet[index // 3 :: 2, index % 3 :: 3] = view
    found = cut_views(lenslet, (3, 2))
    np.testing.assert_array_equal(found.pixels, VIEWS)
    np.testing.assert_array_equal(found.eyes, EYES)
    with pytest.raises(InputImageError, match="whole number of lenses"):
        cut_views(lenslet, (5, 2))


def test_grey_and_transparent_views(tmp_path):
    Image.fromarray(VIEWS[0]).convert("L").save(tmp_path / "u0_v0.png")
    clear = np.dstack([VIEWS[1], np.full(VIEWS[1].shape[:2], 0, np.uint8)])
    Image.fromarray(clear).save(tmp_path / "u1_v0.png")
    found = load_views(tmp_path)
    assert (found.pixels[1] == 255).all()
    assert "transparent pixels are put on white" in found.warnings


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", '[{"file": 3}]', '[{"file": "a.png", "u": 0, "v": 0}]', "[" * 10_000],
)
def test_lists_that_are_none(tmp_path, text):
    path = tmp_path / "views.json"
    path.write_text(text)
    with pytest.raises(Splat2dError):
        load_views(path)


@pytest.mark.parametrize("place", [None, "1", 1e9, float("nan"), True])
def test_places_that_are_none(tmp_path, place):
    save(tmp_path / "views", "u{u}_v{v}.png", 0)
    rows = [{"file": f"views/u{i}_v0.png", "u": i if i else place, "v": 0} for i in range(2)]
    path = tmp_path / "views.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(ConfigError, match="place of"):
        load_views(path)


def test_views_of_two_sizes_and_missing_ones(tmp_path):
    folder = save(tmp_path / "views", "u{u}_v{v}.png", 0)
    Image.fromarray(VIEWS[0][:-1]).save(folder / "u1_v1.png")
    with pytest.raises(InputImageError, match="must have one size"):
        load_views(folder)
    (folder / "u1_v1.png").write_bytes(b"broken")
    with pytest.raises(InputImageError):
        load_views(folder)
    with pytest.raises(InputImageError):
        load_views(tmp_path / "nowhere")
    one = tmp_path / "one"
    one.mkdir()
    Image.fromarray(VIEWS[0]).save(one / "u0_v0.png")
    with pytest.raises(ConfigError, match="as a picture"):
        load_views(one)


def test_what_can_only_be_meant_as_views():
    assert is_light_field("a/v%02d_u%02d.png")
    assert is_light_field("views.json")
    assert not is_light_field("frames_%04d.png")
    assert not is_light_field("photo.png")
