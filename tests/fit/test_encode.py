"""Pictures to files and back through the public functions: modes, sizes, targets, windows, tiers."""

from __future__ import annotations

import numpy as np
import pytest

import splat2d
from splat2d.errors import ConfigError, InputImageError, ShapeError, Splat2dError, TargetError
from splat2d.fit.encode import encode_picture, quality_step
from splat2d.media.pictures import load_picture
from splat2d.native.backend import Backend

from ..conftest import CORPUS

MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
SIZES = [(1, 1), (1, 7), (5, 3), (33, 17), (64, 64)]
WINDOW = 0.03  # within which a target is met


@pytest.fixture(scope="module")
def quick(tmp_path_factory) -> str:
    """A preset of few rounds."""
    path = tmp_path_factory.mktemp("configs") / "quick.yaml"
    path.write_text("rounds: 3\nsteps: 5\nfinal_steps: 4\nsweeps: 2\n")
    return str(path)


@pytest.fixture(scope="module")
def cat(samples):
    """A Pillow picture of 192 x 128 px: the face of a cat."""
    from PIL import Image

    with Image.open(samples / "chelsea.png") as picture:
        return picture.convert("RGB").crop((120, 60, 312, 188))


@pytest.fixture(scope="module")
def cat_file(cat, quick) -> bytes:
    return splat2d.encode(cat, quality=60, preset=quick)


def in_mode(picture, mode: str, width: int, height: int) -> np.ndarray:
    """A crop [H, W, C] from the middle; alpha is a soft disc, clear in the corners."""
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    array = np.array(picture.crop((left, top, left + width, top + height)).convert(mode))
    array = array.reshape(height, width, MODES[mode])
    if mode.endswith("A"):
        y, x = (np.arange(n) * 2 / n + 1 / n - 1 for n in (height, width))
        radius = np.hypot(x[None], y[:, None]) if width * height > 1 else np.full((1, 1), 0.5)
        array[..., -1] = np.rint(255 * np.clip(1.6 - 1.5 * radius, 0, 1))
    return array


def premultiplied(array: np.ndarray) -> np.ndarray:
    """Straight bytes [H, W, C] as premultiplied float64 in [0, 1]."""
    values = array.astype(np.float64) / 255
    if array.shape[2] in (2, 4):
        values[..., :-1] *= values[..., -1:]
    return values


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = np.square(premultiplied(a) - premultiplied(b)).mean()
    return 99.0 if error == 0 else float(-10 * np.log10(error))


def one_line(caught: pytest.ExceptionInfo[Splat2dError]) -> str:
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


# Modes and sizes.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_mode_and_size_comes_back(cat, quick, mode, size):
    array = in_mode(cat, mode, *size)
    data = splat2d.encode(array, quality=85, preset=quick)
    pixels = splat2d.decode(data)
    assert pixels.dtype == np.uint8
    assert pixels.shape == array.shape
    assert psnr(array, pixels) > 24
    again = splat2d.Scene.from_bytes(data)
    assert (again.width, again.height, again.channels) == (*size, MODES[mode])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", [0, 93, 255])
def test_flat_picture_is_exact_and_small(quick, mode, value):
    array = np.full((20, 30, MODES[mode]), value, np.uint8)
    if mode.endswith("A"):
        array[..., -1] = 128
    data = splat2d.encode(array, preset=quick)
    assert len(data) < 60
    assert np.abs(splat2d.decode(data).astype(int) - array).max() <= 1


@pytest.mark.parametrize(("height", "width"), [(1, 100), (100, 1), (2, 100), (100, 2)])
def test_strips_are_pictures_too(quick, height, width):
    wave = 0.5 + 0.5 * np.sin(np.arange(max(height, width)) / 6)
    array = np.rint(255 * np.broadcast_to(wave if width > height else wave[:, None], (height, width))).astype(
        np.uint8
    )
    pixels = splat2d.decode(splat2d.encode(array, quality=85, preset=quick))
    assert psnr(array[..., None], pixels) > 24


def test_partial_alpha_comes_back(cat, quick):
    for mode in ("LA", "RGBA"):
        array = in_mode(cat, mode, 96, 80)
        pixels = splat2d.decode(splat2d.encode(array, quality=90, preset=quick))
        alpha, found = array[..., -1].astype(float), pixels[..., -1].astype(float)
        assert np.abs(found - alpha).mean() < 8
        assert found[alpha == 0].mean() < 8
        assert found[alpha == 255].mean() > 245
        solid = alpha > 200
        difference = pixels[solid][:, :-1].astype(float) - array[solid][:, :-1]
        assert np.sqrt(np.square(difference).mean()) < 20


def test_opaque_alpha_is_not_coded(cat, quick):
    array = in_mode(cat, "RGBA", 64, 64)
    array[..., -1] = 255
    data = splat2d.encode(array, preset=quick)
    assert any("alpha" in note for note in splat2d.Scene.from_bytes(data).notes)
    plain = splat2d.encode(np.ascontiguousarray(array[..., :3]), preset=quick)
    assert np.array_equal(splat2d.decode(data), splat2d.decode(plain))
    assert splat2d.decode(data).shape == (64, 64, 3)


def test_paths_pillow_pictures_and_arrays_give_the_same_file(cat, quick, tmp_path):
    crop = cat.crop((40, 30, 104, 94))
    crop.save(tmp_path / "crop.png")
    data = splat2d.encode(crop, preset=quick)
    assert splat2d.encode(tmp_path / "crop.png", preset=quick) == data
    assert splat2d.encode(np.asarray(crop), preset=quick) == data


def test_sixteen_bits_and_floats_say_the_same_as_bytes(cat, quick):
    array = np.asarray(cat.crop((40, 30, 104, 94)))
    data = splat2d.encode(array, quality=60, preset=quick)
    for other in (array.astype(np.uint16) * 257, array / np.float32(255)):
        assert (
            psnr(splat2d.decode(splat2d.encode(other, quality=60, preset=quick)), splat2d.decode(data)) > 40
        )


def test_strip_longer_than_a_file_holds_is_refused_as_a_picture(quick):
    strip = np.repeat(np.random.default_rng(0).integers(0, 2, 7000) * 255, 10).astype(np.uint8)[None]
    with pytest.raises((InputImageError, ShapeError), match="65535") as caught:
        splat2d.encode(strip, quality=20, preset=quick)
    one_line(caught)


@pytest.mark.corpus
@pytest.mark.parametrize("name", [path.name for path in sorted((CORPUS / "modes").glob("*"))] or ["absent"])
def test_pictures_as_users_have_them(corpus, name):
    from PIL import Image

    path = corpus / "modes" / name
    picture = load_picture(path)
    if max(picture.width, picture.height) > 200:
        with Image.open(path) as image:
            # Pillow's thumbnail keeps mode, profile and EXIF, so that every way in is gone through.
            if image.mode == "P":
                image = image.convert("RGBA" if "transparency" in image.info else "RGB")
            image.thumbnail((200, 200))
            picture = load_picture(image)
    encoded = encode_picture(picture, quality=30, preset="fast", backend=Backend(1))
    pixels = splat2d.decode(encoded.data)
    assert pixels.shape == (picture.height, picture.width, picture.channels)
    assert max(pixels.shape[:2]) <= 200
    error = np.square(premultiplied(pixels) - picture.pixels.transpose(1, 2, 0)).mean()
    assert -10 * np.log10(error) == pytest.approx(encoded.psnr, abs=0.02)
    assert encoded.psnr > 15
    assert splat2d.Scene.from_bytes(encoded.data).notes == picture.notes


# Same input, same file.


def test_file_does_not_depend_on_threads(cat, quick):
    first, *others = [splat2d.encode(cat, quality=60, preset=quick, threads=n, seed=3) for n in (1, 2, 3)]
    assert all(other == first for other in others)
    assert all(
        splat2d.encode(cat, size=900, preset=quick, threads=n)
        == splat2d.encode(cat, size=900, preset=quick, threads=1)
        for n in (2, 3)
    )


def test_another_seed_is_another_file_of_the_same_worth(cat, quick, cat_file):
    other = splat2d.encode(cat, quality=60, preset=quick, seed=1)
    assert other == splat2d.encode(cat, quality=60, preset=quick, seed=1)
    assert other != cat_file
    assert len(other) == pytest.approx(len(cat_file), rel=0.05)
    array = np.asarray(cat)
    assert psnr(array, splat2d.decode(other)) == pytest.approx(psnr(array, splat2d.decode(cat_file)), abs=0.5)


def test_decoding_does_not_depend_on_threads(cat_file):
    first = splat2d.decode(cat_file, threads=1)
    assert all(np.array_equal(splat2d.decode(cat_file, threads=n), first) for n in (2, 3, None))


# Targets.


def test_more_quality_is_more_bytes_and_more_decibels(cat):
    array = np.asarray(cat)
    files = [splat2d.encode(cat, quality=q, preset="fast", threads=1) for q in (1, 20, 40, 60, 80, 100)]
    sizes = [len(data) for data in files]
    assert sizes == sorted(set(sizes))
    quality = [psnr(array, splat2d.decode(data)) for data in files]
    assert quality == sorted(quality)
    assert quality[-1] > quality[0] + 8


def test_quality_75_is_the_default(cat, quick):
    assert splat2d.encode(cat, preset=quick) == splat2d.encode(cat, quality=75, preset=quick)


@pytest.mark.parametrize("size", [200, 400, 900, 1777, 3600, 9000])
def test_size_never_overshoots(cat, size):
    data = splat2d.encode(cat, size=size, preset="fast", threads=1)
    assert len(data) <= size
    assert len(data) >= (1 - WINDOW) * size - 8


@pytest.mark.parametrize("bpp", [0.1, 0.35, 1.2])
def test_bpp_never_overshoots(cat, bpp):
    data = splat2d.encode(cat, bpp=bpp, preset="fast", threads=1)
    found = 8 * len(data) / (192 * 128)
    assert found <= bpp
    assert found >= (1 - WINDOW) * bpp - 64 / (192 * 128)


@pytest.mark.parametrize("target", [22, 25.5, 28, 31, 35, 40])
def test_psnr_never_undershoots(cat, target):
    data = splat2d.encode(cat, psnr=target, preset="fast", threads=1)
    found = psnr(np.asarray(cat), splat2d.decode(data))
    assert found >= target
    assert found <= (1 + WINDOW) * target


@pytest.mark.parametrize("target", [58, 62])
def test_high_psnr_of_a_smooth_picture(target):
    """Large splats of great amplitude have the finest lattices."""
    y, x = np.mgrid[:256, :256]
    blob = np.exp(-(np.square(x - 128) + np.square(y - 120)) / 3200)
    array = np.rint(np.stack([blob, 0.8 * blob, 1 - blob], -1) * 255).astype(np.uint8)
    try:
        data = splat2d.encode(array, psnr=target, preset="fast", threads=1)
    except TargetError:
        return
    assert psnr(array, splat2d.decode(data)) >= target


def test_psnr_of_a_picture_with_alpha(cat):
    array = in_mode(cat, "RGBA", 96, 96)
    found = psnr(array, splat2d.decode(splat2d.encode(array, psnr=30, preset="fast", threads=1)))
    assert 30 <= found <= 30 * (1 + WINDOW)


@pytest.mark.parametrize("target", [{"size": 1}, {"psnr": 90}, {"bpp": 1e-5}])
def test_target_out_of_reach_says_what_is_near(cat, target):
    with pytest.raises((TargetError, ConfigError)) as caught:
        splat2d.encode(cat.crop((0, 0, 64, 48)), preset="fast", threads=1, **target)
    message = one_line(caught)
    if target != {"bpp": 1e-5}:  # less than a byte
        assert isinstance(caught.value, TargetError)
        assert "nearest" in message or "smallest" in message
        assert any(word.isdigit() for word in message.replace("(", " ").split())


def test_target_out_of_reach_can_be_reached_as_said(cat):
    small = cat.crop((0, 0, 64, 48))
    with pytest.raises(TargetError) as caught:
        splat2d.encode(small, size=1, preset="fast", threads=1)
    smallest = max(int(word) for word in str(caught.value).split() if word.isdigit())
    data = splat2d.encode(small, size=smallest, preset="fast", threads=1)
    assert len(data) == smallest
    assert splat2d.decode(data).shape == (48, 64, 3)


@pytest.mark.parametrize(
    "targets",
    [
        {"quality": 50, "size": 1000},
        {"quality": 50, "psnr": 30},
        {"bpp": 0.5, "size": 1000},
        {"psnr": 30, "bpp": 1.0},
        {"quality": 1, "psnr": 30, "bpp": 1.0, "size": 1},
    ],
)
def test_targets_that_contradict_each_other(cat, quick, targets):
    with pytest.raises(ConfigError, match="contradict") as caught:
        splat2d.encode(cat, preset=quick, **targets)
    message = one_line(caught)
    assert sum(name in message for name in targets) >= 2


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("quality", [0, -1, 101, 1 << 40, float("nan")]),
        ("psnr", [0, -3.0, 0.5, 91, float("nan"), float("inf")]),
        ("bpp", [0, -1.0, 65, float("nan"), float("inf")]),
        ("size", [0, -5]),
        ("threads", [0, -1, 100_000]),
    ],
)
def test_settings_out_of_range_are_named(cat, quick, name, values):
    for value in values:
        with pytest.raises(ConfigError, match=name) as caught:
            splat2d.encode(cat, preset=quick, **{name: value})
        one_line(caught)


def test_progress_grows_to_the_end(cat, quick):
    for target in ({"quality": 60}, {"size": 900}):
        seen = []
        splat2d.encode(cat, preset=quick, progress=seen.append, **target)
        fractions = [step.fraction for step in seen]
        assert fractions == sorted(fractions)
        assert 0 < fractions[0] < 0.5
        assert 0.6 < fractions[-1] <= 1
        assert seen[-1].psnr > seen[0].psnr
        assert seen[-1].splats > 10
        assert 100 < seen[-1].estimated_bytes < 10_000


# Scenes.


@pytest.fixture
def scene(cat_file):
    return splat2d.Scene.from_bytes(cat_file)


def test_scene_renders_what_decode_does(scene, cat_file):
    assert np.array_equal(scene.render(), splat2d.decode(cat_file))
    assert np.array_equal(
        scene.render(scale=2, crop=(10, 20, 30, 40)), splat2d.decode(cat_file, scale=2, crop=(10, 20, 30, 40))
    )
    assert np.array_equal(scene.render_float(width=50), splat2d.decode(cat_file, width=50, dtype="float32"))


def test_scene_says_what_it_holds(scene, cat_file):
    assert (scene.width, scene.height, scene.channels) == (192, 128, 3)
    assert scene.count == sum(scene.tier_counts) == len(scene.means) == len(scene.conics) == len(scene.colors)
    info = scene.info()
    assert info["size"] == len(cat_file)
    assert info["bpp"] == 8 * len(cat_file) / (192 * 128)
    assert (info["width"], info["height"], info["mode"], info["quality"]) == (192, 128, "RGB", 60)
    counted = splat2d.Scene.from_bytes(cat_file, count_bits=True).info()
    assert sum(counted["bits_per_splat"].values()) * scene.count <= 8 * len(cat_file)
    assert sum(counted["bits_per_splat"].values()) * scene.count > 8 * len(cat_file) - 8 * 60


def test_bytes_are_rounded_floats(scene):
    floats = scene.render_float()
    assert floats.dtype == np.float32
    rounded = np.rint(np.clip(floats, 0, 1) * 255)
    difference = np.abs(rounded - scene.render())
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001


@pytest.mark.parametrize(
    ("scale", "shape"), [(0.5, (64, 96)), (2, (256, 384)), (0.01, (1, 2)), (1.5, (192, 288))]
)
def test_any_scale(cat, scene, scale, shape):
    from PIL import Image

    pixels = scene.render(scale=scale)
    assert pixels.shape == (*shape, 3)
    reference = np.asarray(
        cat.resize(shape[::-1], Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)
    )
    assert psnr(reference, pixels) > 24


@pytest.mark.parametrize(
    ("sides", "shape"),
    [
        ({"width": 96}, (64, 96)),
        ({"height": 32}, (32, 48)),
        ({"width": 50, "height": 70}, (70, 50)),
        ({"width": 1}, (1, 1)),
    ],
)
def test_width_and_height(scene, sides, shape):
    assert scene.render(**sides).shape == (*shape, 3)


@pytest.mark.parametrize("crop", [(0, 0, 192, 128), (37, 21, 64, 48), (191, 127, 1, 1), (0, 100, 192, 28)])
def test_crop_is_the_window_of_the_whole(scene, crop):
    x, y, w, h = crop
    whole = scene.render_float()[y : y + h, x : x + w]
    assert np.abs(scene.render_float(crop=crop) - whole).max() < 1e-4
    doubled = scene.render_float(scale=2)[2 * y : 2 * (y + h), 2 * x : 2 * (x + w)]
    assert np.abs(scene.render_float(crop=crop, scale=2) - doubled).max() < 1e-4


@pytest.mark.parametrize(
    "crop",
    [(-1, 0, 10, 10), (0, -0.5, 10, 10), (0, 0, 193, 10), (190, 0, 3, 10), (0, 0, 0, 5), (0, 0, 5, -5),
     (0, 128, 1, 1), (float("nan"), 0, 1, 1), (0, 0, float("inf"), 1)],
)  # fmt: skip
def test_crop_outside_the_canvas(scene, cat_file, crop):
    with pytest.raises(ConfigError, match=r"crop.*192 x 128") as caught:
        scene.render(crop=crop)
    one_line(caught)
    with pytest.raises(ConfigError, match="crop"):
        splat2d.decode(cat_file, crop=crop)


@pytest.mark.parametrize(
    "settings",
    [{"scale": 0}, {"scale": -1}, {"scale": float("nan")}, {"scale": 1e9}, {"width": 0}, {"height": -3},
     {"width": 1 << 40}, {"scale": 1, "width": 5}, {"scale": 1, "height": 5}, {"tiers": 0}, {"tiers": 7},
     {"threads": 0}],
    ids=str,
)  # fmt: skip
def test_bad_settings_of_decoding_are_one_line(cat_file, scene, settings):
    for render in (scene.render, scene.render_float, lambda **s: splat2d.decode(cat_file, **s)):
        with pytest.raises((ConfigError, ShapeError)) as caught:
            render(**settings)
        one_line(caught)


def test_bad_dtype(cat_file):
    with pytest.raises(ConfigError, match="uint8"):
        splat2d.decode(cat_file, dtype="float64")  # type: ignore[arg-type]


def test_more_tiers_are_a_better_picture(cat, cat_file):
    array = np.asarray(cat)
    scene = splat2d.Scene.from_bytes(cat_file)
    quality, counts = [], []
    for tiers in range(1, 7):
        part = splat2d.decode(cat_file, tiers=tiers)
        assert part.shape == array.shape
        assert np.array_equal(part, scene.render(tiers=tiers))
        quality.append(psnr(array, part))
        counts.append(splat2d.Scene.from_bytes(cat_file, tiers=tiers).count)
    assert counts == np.cumsum(scene.tier_counts).tolist()
    assert np.array_equal(splat2d.decode(cat_file, tiers=6), splat2d.decode(cat_file))
    # On average: splats of several tiers are fitted together, so one tier alone may overshoot.
    assert np.polyfit(range(6), quality, 1)[0] > 0.5
    assert quality[-1] == max(quality)


def test_tiers_of_a_scene_that_was_opened_in_part(cat_file):
    part = splat2d.Scene.from_bytes(cat_file, tiers=3)
    whole = splat2d.Scene.from_bytes(cat_file)
    for tiers in (1, 2, 3):
        assert np.array_equal(part.render(tiers=tiers), whole.render(tiers=tiers))
    assert len(part.tier) == part.count
    assert np.array_equal(part.tier, whole.tier[: part.count])


def test_save_and_open(scene, cat_file, tmp_path):
    path = tmp_path / "cat.splat"
    scene.save(path)
    assert path.read_bytes() == cat_file
    with pytest.raises(Splat2dError, match="exists"):
        scene.save(path)
    scene.save(path, force=True)
    opened = splat2d.open(path)
    assert np.array_equal(opened.render(), scene.render())
    assert [entry.name for entry in tmp_path.iterdir()] == ["cat.splat"]


def test_steps_shrink_with_quality_without_a_cliff():
    steps = [quality_step(q) for q in range(1, 101)]
    octaves = np.log2(np.array(steps[:-1]) / np.array(steps[1:]))
    assert (octaves > 0).all()
    assert octaves.max() < 0.25
    # Where nothing is asked of the last qualities, 19 points halve the step.
    assert steps[49] == 0.327
    assert steps[65] / steps[84] == pytest.approx(2)
