"""Edits: what they do to a picture, exactly; that they compose, commute with scaling and can be undone."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest

import splat2d
from splat2d import Scene
from splat2d.codec.layer import code_layer, container_of, decode_layer
from splat2d.draw.compose import place
from splat2d.draw.render import View, render
from splat2d.edit.document import Document
from splat2d.edit.stack import Stack, color_matrix, rotation
from splat2d.errors import ConfigError
from splat2d.format.container import write
from splat2d.format.edits import KINDS, Operation, pack, unpack
from splat2d.native.backend import Backend

from ..support.integers import with_shapes
from ..support.layered import HEIGHT, SMALL, WIDTH, encoded, scene
from ..support.places import GOLDEN

CLOSE = 2e-4  # of floats in [0, 1], after other float32 roundings of the same splats


@pytest.fixture(scope="module")
def layered() -> Scene:
    """A photograph with two objects in front."""
    return scene("all")


def assert_same(a: Scene, b: Scene, tolerance: float = CLOSE, **view) -> None:
    first, second = a.render_float(**view), b.render_float(**view)
    assert first.shape == second.shape
    assert np.abs(first - second).max() <= tolerance


# What edits do.


@pytest.mark.parametrize("name", ["cat", "grey"])
@pytest.mark.parametrize(("dx", "dy"), [(7, 3), (0.37, -11.2), (1000, 0)])
def test_moving_back_and_forth_changes_nothing(layered, name, dx, dy):
    there = layered[name].move(dx, dy)
    assert np.abs(there.scene.render_float() - layered.render_float()).max() > 0.05
    assert np.array_equal(there.move(-dx, -dy).scene.render_float(), layered.render_float())


def test_a_move_by_whole_pixels_moves_the_pixels(layered):
    alone = layered.extract("cat")
    before, after = alone.render_float(), alone["cat"].move(9, -4).scene.render_float()
    assert np.abs(after[:-4, 9:] - before[4:, :-9]).max() < CLOSE


@pytest.mark.parametrize("about", [None, (3.25, 40)])
def test_four_quarter_turns_change_nothing(layered, about):
    cat = layered["cat"]
    for _ in range(4):
        cat = cat.rotate(90, about=about)
    assert_same(cat.scene, layered)
    assert cat.box == pytest.approx(layered["cat"].box)


def test_rotation_is_counter_clockwise_as_seen(layered):
    x, y, w, h = layered["cat"].box
    middle = (x + w / 2, y + h / 2)
    alone = layered.extract("cat").edited([{"group": "cat", "move": [36 - middle[0], 24 - middle[1]]}])
    turned = alone.edited([{"group": "cat", "rotate": 90, "about": [36, 24]}])
    square = np.s_[:, 12:60]
    expected = np.rot90(alone.render_float()[square], 1)
    assert np.abs(turned.render_float()[square] - expected).max() < CLOSE


@pytest.mark.parametrize("factor", [2.0, 0.5, -1.0, 1.7])
def test_scaling_there_and_back_changes_nothing(layered, factor):
    cat = layered["cat"].scale(factor).scale(1 / factor)
    # 1 / 1.7 is kept in ten-thousandths.
    assert_same(cat.scene, layered, CLOSE if factor != 1.7 else 2e-2)


def test_a_negative_factor_mirrors(layered):
    alone = layered.extract("cat")
    mirrored = alone["cat"].scale(-1, 1, about=(WIDTH / 2, 0)).scene
    assert np.abs(mirrored.render_float() - alone.render_float()[:, ::-1]).max() < CLOSE


@pytest.mark.parametrize("name", ["cat", "picture"])
def test_two_blurs_are_one(layered, name):
    twice = layered[name].blur(3).blur(4).scene
    assert_same(twice, layered[name].blur(5).scene)


def test_blur_is_the_convolution_with_a_gaussian():
    """Against sums over a fine raster of the unblurred picture, which is smooth enough not to be clamped."""
    soft = scene("cat")["picture"].blur(1.5).scene
    state = soft.document.stack.layers[0]
    splats = soft["picture"].splats
    view, raster = View(-30.0, -30.0, 1.0, 1.0, 100, 92), View(0.0, 0.0, 1.0, 1.0, 100, 92)
    plain = render(*place(state, splats, view), raster)
    state = soft["picture"].blur(2).scene.document.stack.layers[0]
    blurred = render(*place(state, splats, view), raster)
    x = np.arange(-10, 11)
    kernel = np.exp(-(x**2) / 8)
    kernel /= kernel.sum()

    def blur(line):
        return np.convolve(line, kernel, "same")

    expected = np.apply_along_axis(blur, 2, np.apply_along_axis(blur, 1, plain))
    inner = np.s_[:, 12:-12, 12:-12]
    # The cut-off at 3.5 sigma is that of the blurred splat on one side, of the plain one on the other.
    assert np.abs(blurred[inner] - expected[inner]).max() < 0.01


@pytest.mark.parametrize("scale", [1, 0.5])
def test_blur_keeps_the_integral_of_every_splat(scale):
    cat = scene("cat")["picture"]
    view = View.whole(40, 32, scale)
    integrals = []
    for layer in (cat.rotate(20), cat.rotate(20).blur(2)):
        _, conics, colors = place(layer.scene.document.stack.layers[0], cat.splats, view)
        det = conics[:, 0] * conics[:, 2] - conics[:, 1] ** 2
        integrals.append(colors / np.sqrt(det)[:, None])
    assert np.allclose(*integrals, rtol=1e-6)


@pytest.mark.parametrize("scale", [4, 2, 0.5, 0.3])
def test_scaling_the_render_scales_the_edits(layered, scale):
    """A 4x render of an edited scene is the edited 4x scene, whatever the edits."""
    edited = layered.edited(
        [
            {"group": "cat", "move": [5, -3], "rotate": 20, "about": [30, 20], "blur": 0.8},
            {"group": "grey", "scale": [1.5, 0.7], "about": [50, 20], "hue": 40, "opacity": 0.6},
            {"group": "picture", "contrast": 1.2},
        ]
    )
    state = edited.document.stack.find("cat")
    large = View.whole(WIDTH, HEIGHT, scale)
    placed = place(state, edited["cat"].splats, large)
    enlarged = layered.edited([{"group": "cat", "scale": large.scale_x, "about": [0, 0]}])
    # The same by hand: first the layer at that size, then the edits at that size.
    k = large.scale_x
    steps = [
        {"group": "cat", "move": [5 * k, -3 * k], "rotate": 20, "about": [30 * k, 20 * k], "blur": 0.8 * k}
    ]
    if large.scale_x == large.scale_y == scale and scale >= 1:
        by_hand = enlarged.edited(steps).document.stack.find("cat")
        view = View(0.0, 0.0, 1.0, 1.0, large.width, large.height)
        for a, b in zip(placed, place(by_hand, edited["cat"].splats, view), strict=True):
            assert np.allclose(a, b, rtol=1e-5, atol=1e-6)
    # And as pixels: the fine picture averaged is about the coarse one.
    fine, coarse = edited.render_float(scale=4), edited.render_float()
    means = fine.reshape(HEIGHT, 4, WIDTH, 4, -1).mean((1, 3))
    assert np.abs(means - coarse).mean() < 0.01


def test_a_shrunk_layer_does_not_alias(layered):
    """Shrinking by an edit is shrinking by a smaller render."""
    alone = scene("photo")
    small = alone["picture"].scale(0.25, about=(0, 0)).scene.render_float(crop=(0, 0, 18, 12))
    assert np.abs(small - np.clip(alone.render_float(scale=0.25), 0, 1)).max() < CLOSE


def test_crop_and_bands_are_windows_of_the_same_picture(layered, monkeypatch):
    edited = layered["cat"].rotate(30).blur(1).scene
    whole = edited.render_float()
    assert np.abs(edited.render_float(crop=(10, 8, 40, 30)) - whole[8:38, 10:50]).max() < CLOSE
    monkeypatch.setattr("splat2d.draw.compose._BAND", WIDTH * 7)
    assert np.abs(edited.render_float() - whole).max() < CLOSE
    assert np.array_equal(edited.render(threads=1), edited.render(threads=3))


# Colours and opacity.


def pixels_of(name: str, scene: Scene) -> np.ndarray:
    return scene.extract(name).render_float().astype(np.float64)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("brightness", 0.5, lambda c, a: 0.5 * c),
        ("contrast", 1.5, lambda c, a: 1.5 * c - 0.25 * a),
        ("saturation", 0.0, lambda c, a: (c @ [0.213, 0.715, 0.072])[..., None] * [1, 1, 1]),
        (
            "tint",
            ("#ff8000", 0.5),
            lambda c, a: 0.5 * c + 0.5 * (c @ [0.213, 0.715, 0.072])[..., None] * [1, 128 / 255, 0],
        ),
        ("opacity", 0.25, lambda c, a: 0.25 * c),
    ],
)
def test_colours_are_edited_pixel_by_pixel(layered, kind, value, expected):
    before = np.clip(pixels_of("cat", layered), 0, 1)
    alpha = before[..., 3:]
    before[..., :3] = np.minimum(before[..., :3], alpha)
    after = pixels_of("cat", layered.edited([{"group": "cat", kind: value}]))
    share = 0.25 if kind == "opacity" else 1
    wanted = np.clip(expected(before[..., :3], alpha), 0, share * alpha)
    assert np.abs(after[..., :3] - wanted).max() < CLOSE
    assert np.abs(after[..., 3:] - share * alpha).max() < CLOSE


def test_hue_turns_red_to_green_and_keeps_grey():
    matrix, shift = color_matrix("hue", [120.0])
    assert shift == 0
    assert matrix @ np.ones(3) == pytest.approx(np.ones(3))
    red = matrix @ [1, 0, 0]
    assert red.argmax() == 1
    assert color_matrix("hue", [360.0])[0] == pytest.approx(np.eye(3), abs=2e-3)


def test_opacity_shows_what_is_behind(layered):
    half = layered["cat"].opacity(0.5).scene.render_float()
    shown, hidden = layered.render_float(), layered["cat"].hide().scene.render_float()
    assert np.abs(half - (shown + hidden) / 2).max() < 0.02
    quarter = layered["cat"].opacity(0.5).opacity(0.5).scene
    assert_same(quarter, layered["cat"].opacity(0.25).scene)


def test_order_composites(layered):
    near = layered["grey"].move(-18, 4).scene
    lowered = near["grey"].lower().scene
    assert [layer.name for layer in lowered.layers] == ["picture", "grey", "cat"]
    x, y = 34, 24
    assert near.pick(x, y).name == "grey"
    assert lowered.pick(x, y).name == "cat"
    assert_same(lowered["grey"].raise_().scene, near)
    assert_same(near["cat"].to_front().scene, lowered)
    back = near["cat"].to_back().scene
    assert np.array_equal(
        back.render(), layered.extract("picture")["picture"].scene.merge(near.extract("grey")).render()
    )


def test_hide_all_but_one_is_extract(layered):
    edited = layered.edited([{"group": "cat", "rotate": 30, "tint": "#3050ff", "blur": 0.5}])
    for name in ("picture", "cat", "grey"):
        others = [layer.name for layer in edited.layers if layer.name != name]
        alone = edited.edited([{"group": other, "hide": True} for other in others])
        assert alone.channels == edited.extract(name).channels
        for scale in (1, 3, 0.4):
            assert np.array_equal(alone.render(scale=scale), edited.extract(name).render(scale=scale))


def test_duplicates_are_layers_of_their_own(layered):
    copy = layered["cat"].move(2, 0).duplicate("kitten")
    assert [layer.name for layer in copy.scene.layers] == ["picture", "cat", "kitten", "grey"]
    moved = copy.scale(0.5).move(20, 0).scene
    assert moved["cat"].edits == (*layered["cat"].edits, "move 2,0", "duplicate kitten")
    assert moved["kitten"].count == moved["cat"].count
    assert len(moved.to_bytes()) - len(layered.to_bytes()) < 64
    gone = moved["cat"].delete()
    assert [layer.name for layer in gone.layers] == ["picture", "kitten", "grey"]
    assert np.array_equal(gone.extract("kitten").render(), moved.extract("kitten").render())


def test_rename(layered):
    renamed = layered["cat"].rename("tiger").move(3, 0)
    assert renamed.name == "tiger"
    assert [layer.name for layer in renamed.scene.layers] == ["picture", "tiger", "grey"]


# Pick, boxes.


def test_pick_and_boxes(layered):
    x, y, w, h = layered["cat"].box
    assert layered.pick(x + w / 2, y + h / 2).name == "cat"
    assert layered.pick(1, 1).name == "picture"
    assert layered.extract("cat").pick(1, 1) is None
    moved = layered["cat"].move(30, 10)
    assert moved.box == pytest.approx((x + 30, y + 10, w, h))
    assert moved.scene.pick(x + w / 2 + 30, y + h / 2 + 10).name == "cat"
    assert layered["cat"].hide().scene.pick(x + w / 2, y + h / 2).name == "picture"
    seen = np.argwhere(layered.extract("cat").render_float()[..., 3] >= 1 / 16)
    (top, left), (bottom, right) = seen.min(0), seen.max(0) + 1
    assert (x, y, w, h) == pytest.approx((left, top, right - left, bottom - top), abs=1)


def test_at_is_the_middle_of_what_is_seen(layered):
    x, y, w, h = layered["cat"].box
    assert (x + w / 2, y + h / 2) == pytest.approx((30, 24))


# Undo, reset, size, time.


def test_undo_and_reset_restore_every_bit(layered):
    first = layered["cat"].move(5, 5).scene
    second = first.edited([{"group": "cat", "rotate": 5, "blur": 1}, {"group": "grey", "delete": True}])
    reread = Scene.from_bytes(second.to_bytes())
    assert np.array_equal(reread.render(), second.render())
    assert reread.undo().to_bytes() == first.to_bytes()
    assert reread.undo(2).to_bytes() == layered.to_bytes()
    flat = scene("photo")
    edited = flat["picture"].brightness(0.5).scene
    assert Scene.from_bytes(edited.to_bytes()).reset().to_bytes() == encoded("photo")
    with pytest.raises(ConfigError, match="cannot undo 1 of 0"):
        flat.undo()


def test_edits_leave_all_other_bytes(layered):
    """Unknown optional sections and notes stay where they are."""
    golden = (GOLDEN / "pictures" / "optional-section.splat").read_bytes()
    edited = Scene.from_bytes(golden)["picture"].move(1, 0).scene.to_bytes()
    assert edited.startswith(golden)
    assert Scene.from_bytes(edited).reset().to_bytes() == golden


def test_an_edit_takes_few_bytes_and_no_time(layered):
    data = layered.to_bytes()
    usual = {"move": [-340.5, 27.25], "rotate": 15.5, "scale": [1.25, 0.8], "tint": ["#c08040", 0.35]}
    usual |= {"opacity": 0.85, "blur": 1.75}
    fresh = scene("photo")
    assert len(fresh.edited([{"group": "picture", **usual}]).to_bytes()) - len(encoded("photo")) < 64
    assert len(layered.edited([{"group": "cat", **usual}]).to_bytes()) - len(data) < 64
    from splat2d.edit.document import Document
    from splat2d.edit.script import edited, entries_of

    start = time.perf_counter()
    edited(Document.from_bytes(data), entries_of({"group": "cat", **usual})).to_bytes()
    assert time.perf_counter() - start < 1  # measured 1 ms; nothing is decoded


# Numbers.


def test_rotations_are_exact_for_quarter_turns():
    assert rotation(90).tolist() == [[0, 1], [-1, 0]]
    assert rotation(-450).tolist() == [[0, -1], [1, 0]]
    assert rotation(30) == pytest.approx(np.array([[math.sqrt(3) / 2, 0.5], [-0.5, math.sqrt(3) / 2]]))


@pytest.mark.parametrize("kind", KINDS)
def test_operations_come_back(kind):
    values = [0.5] * len(KINDS[kind].numbers)
    name = "größer" if KINDS[kind].named else ""
    steps = ((Operation.of(kind, 3, values, name),), (Operation.of("move", 0, (-1e6, 1e6)),))
    assert unpack(pack(steps)) == steps


def test_composed_state_is_the_product_of_its_edits():
    steps = [
        (Operation.of("rotate", 0, (30, 5, 6)), Operation.of("scale", 0, (2, 0.5, 1, 1))),
        (Operation.of("blur", 0, (2,)), Operation.of("move", 0, (3, 4))),
    ]
    state = Stack.of(["a"], steps).layers[0]
    point = np.array([7.0, 8.0])
    expected = rotation(30) @ (point - [5, 6]) + [5, 6]
    expected = (expected - 1) * [2, 0.5] + 1 + [3, 4]
    assert state.apply(point) == pytest.approx(expected)
    assert state.blur == pytest.approx(4 * np.eye(2))
    turned = Stack.of(["a"], [*steps, (Operation.of("scale", 0, (3, 0.5, 9, 9)),)]).layers[0]
    assert turned.blur == pytest.approx(np.diag([36, 1]))  # what was blurred is stretched with its blur


# Bad input.

BAD = [
    ({"group": "cta", "move": [1, 2]}, "no group is called 'cta'; did you mean 'cat'.*picture, cat, grey"),
    ({"group": "cat", "mvoe": [1, 2]}, "unknown key 'mvoe' in entry 1.*did you mean 'move'"),
    ({"group": "cat", "zzz": 1}, "unknown key 'zzz'.*expected group, about, move"),
    ({"move": [1, 2]}, "entry 1 of the edit script names no group"),
    ({"group": "cat", "move": [1, math.nan]}, "move: nan is no finite number"),
    ({"group": "cat", "move": [math.inf, 0]}, "move: inf is no finite number"),
    ({"group": "cat", "move": [1e7, 0]}, "dx is 1e.07, expected -1e.06 to 1e.06"),
    ({"group": "cat", "move": 5}, "move: expected dx, dy, found 1 numbers"),
    ({"group": "cat", "rotate": [1, 2]}, "rotate: expected 1 numbers"),
    ({"group": "cat", "rotate": "fast"}, "rotate: 'fast' is no finite number"),
    ({"group": "cat", "rotate": True}, "rotate: True is no finite number"),
    ({"group": "cat", "rotate": 5, "about": [1]}, "about: expected x and y"),
    ({"group": "cat", "scale": 0}, "scale 0 .* leaves layer 'cat' without a size"),
    ({"group": "cat", "scale": [1, 1e-5]}, "without a size"),
    ({"group": "cat", "opacity": 1.5}, "opacity: the factor is 1.5, expected 0 to 1"),
    ({"group": "cat", "blur": -1}, "blur: sigma is -1"),
    ({"group": "cat", "tint": "red"}, "tint: 'red' is not understood; expected #rrggbb"),
    ({"group": "cat", "tint": ["#ffffff", 2]}, "tint: strength is 2"),
    ({"group": "cat", "hide": False}, "hide: expected true"),
    ({"group": "cat", "duplicate": "grey"}, "a group is already called 'grey'"),
    ({"group": "cat", "rename": "x" * 65}, "is no name for a layer"),
    ({"group": "cat", "rename": "a\nb"}, "is no name for a layer"),
    ({"group": "cat", "rename": 5}, "rename: 5 is no name"),
    ("bike", "an edit script is a list of mappings"),
    (None, "an edit script is a list of mappings"),
]


@pytest.mark.parametrize(("entry", "message"), BAD, ids=[message[:24] for _, message in BAD])
def test_bad_edits_say_what_is_wrong(layered, entry, message):
    with pytest.raises(ConfigError, match=message) as caught:
        layered.edited([entry])
    assert "\n" not in str(caught.value)


def test_scene_stays_as_it_was(layered):
    before = layered.to_bytes()
    layered["cat"].move(5, 5)
    with pytest.raises(ConfigError):
        layered.edited([{"group": "cat", "move": [1, 1]}, {"group": "cat", "scale": 0}])
    assert layered.to_bytes() == before


def test_too_many_edits(layered):
    entry = {"group": "cat", "move": [0, 0]}
    many = layered.edited([entry] * (2048 - 2))  # two placed the objects
    assert Scene.from_bytes(many.to_bytes()).to_bytes() == many.to_bytes()
    with pytest.raises(ConfigError, match="more than 2048 edits"):
        many.edited([entry])
    with pytest.raises(ConfigError, match="beyond all bounds"):
        layered.edited([{"group": "cat", "scale": [1e3, 1e-3], "about": [0, 0]}] * 4)


def test_decode_of_an_edited_file(layered):
    edited = layered["cat"].move(3, 3).scene
    assert np.array_equal(splat2d.decode(edited.to_bytes()), edited.render())
    few = splat2d.decode(edited.to_bytes(), tiers=3)
    assert np.array_equal(few, edited.render(tiers=3))


@pytest.mark.parametrize("count", [300, 4000])
def test_the_middle_takes_few_splats(count, monkeypatch):
    """Of a file without layers, whose box is not stored."""
    rng = np.random.default_rng(count)
    colors = rng.integers(1, 30, (count, 4)).astype(np.int32)
    integers = with_shapes(colors, 200, 100, rng, log2_s=(-1, 3))
    coded = code_layer("picture", replace(SMALL, width=600, height=400), integers, backend=Backend(1))
    document = Document.from_bytes(write(container_of(600, 400, [coded])))
    (state,) = document.stack.layers
    decoded = []

    def spy(*arguments, **settings):
        found = decode_layer(*arguments, **settings)
        decoded.append(found.count)
        return found

    monkeypatch.setattr("splat2d.edit.document.decode_layer", spy)
    center = document.center(state)
    assert document.center(state) == center
    assert len(decoded) == 1
    assert min(count, 100) < decoded[0] <= 1500
    x, y, w, h = document.box(state)
    assert decoded[-1] == len(integers)
    assert w < 400
    assert center == pytest.approx((x + w / 2, y + h / 2), abs=5)
