"""What each way of selecting takes of drawn pictures whose answer is known, and what selects nothing."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

from splat2d.errors import BackendUnavailableError, ConfigError, ShapeError
from splat2d.fit.objects.select import from_box, from_color, from_point, from_polygon, select

from ..support.layered import crop

WIDTH, HEIGHT = 40, 30
RED, BLUE, GREY = (200, 40, 30), (30, 60, 180), (120, 120, 120)

needs_opencv = pytest.mark.skipif(
    importlib.util.find_spec("cv2") is None, reason="needs OpenCV, of the extra segment, which is absent"
)


def drawn(*parts: tuple[np.ndarray, tuple[int, ...]], base: tuple[int, ...] = GREY) -> np.ndarray:
    """A picture [H, W, C] of one colour with others in regions [H, W]."""
    pixels = np.full((HEIGHT, WIDTH, len(base)), base, np.uint8)
    for region, color in parts:
        pixels[region] = color
    return pixels


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return np.hypot(columns - x, rows - y) <= radius


def rectangle(x: int, y: int, width: int, height: int) -> np.ndarray:
    region = np.zeros((HEIGHT, WIDTH), bool)
    region[y : y + height, x : x + width] = True
    return region


TWO_DISCS = drawn((disc(10, 12, 7), RED), (disc(30, 15, 6), RED))


# Polygons


def test_polygon_on_whole_px():
    coverage = from_polygon((WIDTH, HEIGHT), [(4, 3), (14, 3), (14, 23), (4, 23)])
    assert coverage.dtype == np.float32
    np.testing.assert_array_equal(coverage, rectangle(4, 3, 10, 20))


def test_polygon_covers_a_part_of_its_border():
    coverage = from_polygon((WIDTH, HEIGHT), [(4.25, 3.5), (14.5, 3.5), (14.5, 22.75), (4.25, 22.75)])
    assert coverage[10, 4] == pytest.approx(0.75)
    assert coverage[10, 14] == pytest.approx(0.5)
    assert coverage[22, 8] == pytest.approx(0.75)
    assert coverage[3, 4] == pytest.approx(0.375)
    assert coverage.sum() == pytest.approx(10.25 * 19.25)


@pytest.mark.parametrize("turn", [1, -1])
def test_polygon_of_any_direction_and_start(turn: int):
    corners = np.array([(2.3, 4.1), (37.2, 9.9), (20.4, 28.6)])
    area = abs(np.linalg.det(corners[1:] - corners[0])) / 2
    coverage = np.zeros((HEIGHT, WIDTH))
    for start in range(3):
        coverage = from_polygon((WIDTH, HEIGHT), np.roll(corners, start, axis=0)[::turn])
        assert coverage.sum() == pytest.approx(area, rel=2e-3)
    upside_down = from_polygon((WIDTH, HEIGHT), corners * (1, -1) + (0, HEIGHT))
    np.testing.assert_allclose(coverage[::-1], upside_down, atol=1e-6)


def test_polygon_that_reaches_out_of_the_picture():
    coverage = from_polygon((WIDTH, HEIGHT), [(-100, -50), (20, -50), (20, 900), (-100, 900)])
    np.testing.assert_array_equal(coverage, rectangle(0, 0, 20, HEIGHT))


def test_polygon_that_goes_around_twice_has_a_hole():
    outer, inner = (
        [(2, 2), (38, 2), (38, 28), (2, 28), (2, 2)],
        [(10, 8), (30, 8), (30, 20), (10, 20), (10, 8)],
    )
    coverage = from_polygon((WIDTH, HEIGHT), outer + inner)
    np.testing.assert_array_equal(coverage, rectangle(2, 2, 36, 26) & ~rectangle(10, 8, 20, 12))


@pytest.mark.parametrize(
    ("corners", "part"),
    [
        ([(1, 1), (5, 5)], "at least 3 corners x, y, found 2x2"),
        ([1, 2, 3, 4, 5, 6], "at least 3 corners"),
        ([(1, 1), (5, 5), (9, 9), (2, 2)], "on one line"),
        ([(1, 1), (1, 1), (1, 1)], "on one line"),
        ([(1, 1), (5, float("nan")), (9, 2)], "corners within"),
        ([(1, 1), (5, float("inf")), (9, 2)], "corners within"),
    ],
)
def test_no_polygons(corners, part: str):
    with pytest.raises(ConfigError, match=part):
        from_polygon((WIDTH, HEIGHT), corners)


# Points


def test_point_takes_the_region_around_it():
    np.testing.assert_array_equal(from_point(TWO_DISCS, (10, 12)), disc(10, 12, 7))
    np.testing.assert_array_equal(from_point(TWO_DISCS, (30.9, 15.2)), disc(30, 15, 6))
    rest = ~disc(10, 12, 7) & ~disc(30, 15, 6)
    np.testing.assert_array_equal(from_point(TWO_DISCS, (39.99, 29.99)), rest)


def test_point_and_tolerance():
    ramp = np.repeat(np.arange(WIDTH, dtype=np.uint8)[None, :, None] * 5, HEIGHT, 0)
    assert from_point(ramp, (20, 3), 10).sum() == 5 * HEIGHT
    assert from_point(ramp, (20, 3), 9).sum() == 3 * HEIGHT
    assert from_point(ramp, (20, 3), 0).sum() == HEIGHT
    assert from_point(ramp, (20, 3), 255).sum() == WIDTH * HEIGHT


def test_point_tells_transparent_from_opaque():
    pixels = np.dstack([drawn(), np.where(disc(20, 15, 8), 255, 0).astype(np.uint8)])
    np.testing.assert_array_equal(from_point(pixels, (20, 15)), disc(20, 15, 8))


def test_corners_do_not_connect():
    pixels = drawn((rectangle(0, 0, 10, 10), RED), (rectangle(10, 10, 10, 10), RED))
    np.testing.assert_array_equal(from_point(pixels, (3, 3)), rectangle(0, 0, 10, 10))


def flooded(region: np.ndarray, row: int, column: int) -> np.ndarray:
    """Reference: the connected part of a region, px by px."""
    found, todo = np.zeros_like(region), [(row, column)]
    while todo:
        r, c = todo.pop()
        if 0 <= r < region.shape[0] and 0 <= c < region.shape[1] and region[r, c] and not found[r, c]:
            found[r, c] = True
            todo += [(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)]
    return found


def test_regions_of_any_shape():
    rng = np.random.default_rng(0)
    for _ in range(100):
        region = rng.random(rng.integers(1, 24, 2)) < rng.uniform(0.4, 0.8)
        row, column = (rng.integers(side) for side in region.shape)
        region[row, column] = True
        found = from_point(region[..., None].astype(np.uint8), (column, row), 0)
        np.testing.assert_array_equal(found, flooded(region, row, column))


def test_a_long_way_round():
    snake = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    snake[::2] = 255
    snake[1::4, -1] = snake[3::4, 0] = 255
    snake[-1] = 0
    np.testing.assert_array_equal(from_point(snake, (0, 0)), snake[..., 0] / 255)


@pytest.mark.parametrize("point", [(-0.1, 3), (40, 3), (3, 30), (float("nan"), 3), (3, float("inf")), (3,)])
def test_no_points(point):
    with pytest.raises(ConfigError, match="point"):
        from_point(TWO_DISCS, point)


# Colours


def test_color_takes_all_of_it():
    both = disc(10, 12, 7) | disc(30, 15, 6)
    np.testing.assert_array_equal(from_color(TWO_DISCS, "#c8281e", 0), both)
    np.testing.assert_array_equal(from_color(TWO_DISCS, "#C0301e", 8), both)
    assert not from_color(TWO_DISCS, "#c0301e", 7).any()


def test_color_of_grey_and_transparent_pictures():
    grey = drawn((disc(10, 12, 7), (200,)), base=(90,))
    np.testing.assert_array_equal(from_color(grey, "#c8c8c8"), disc(10, 12, 7))
    assert not from_color(grey, "#c80000").any()
    alpha = np.where(disc(10, 12, 7), 255, 0).astype(np.uint8)
    np.testing.assert_array_equal(from_color(np.dstack([TWO_DISCS, alpha]), "#c8281e"), disc(10, 12, 7))


@pytest.mark.parametrize("color", ["red", "#12345", "#1234567", "c8281e", "", (200, 40, 30)])
def test_no_colors(color):
    with pytest.raises(ConfigError, match=r"color: .* is not understood; expected #rrggbb"):
        from_color(TWO_DISCS, color)


@pytest.mark.parametrize("tolerance", [-1, 256, float("nan")])
def test_no_tolerances(tolerance: float):
    for where in ({"point": (10, 12)}, {"color": "#c8281e"}):
        with pytest.raises(ConfigError, match=r"tolerance is .*, expected 0 to 255"):
            select(TWO_DISCS, **where, tolerance=tolerance)


# Boxes


def noisy(pixels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 6, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


@needs_opencv
@pytest.mark.parametrize("channels", [1, 3])
def test_box_finds_the_object_in_it(channels: int):
    pixels = noisy(TWO_DISCS)[..., :channels]
    coverage = from_box(pixels, (2, 3, 17, 18))
    assert set(np.unique(coverage)) == {0, 1}
    assert (coverage != disc(10, 12, 7)).sum() <= 6  # of 148 px


@needs_opencv
def test_box_of_a_transparent_picture():
    opaque = disc(20, 15, 10)
    colors = noisy(drawn((disc(20, 15, 5), RED), (~opaque, GREY), base=BLUE))
    pixels = np.dstack([colors, opaque * np.uint8(255)])
    assert (from_box(pixels, (14, 9, 12, 12)) != disc(20, 15, 5)).sum() <= 4
    # What is transparent is background, also within the box.
    assert (from_box(pixels, (0, 0, WIDTH, HEIGHT)) != opaque).sum() <= 8
    assert not from_box(pixels, (0, 0, 5, 5)).any()


@needs_opencv
def test_box_gives_the_same_again():
    import cv2

    cup = crop("coffee.png", 0, 0, 600, 400)[::2, ::2]
    found = []
    for seed in range(4):
        cv2.setRNGSeed(seed)  # four seeds that give four masks of this picture
        found.append(from_box(cup, (37, 6, 205, 188)))
    np.testing.assert_array_equal(found, [found[0]] * 4)


@needs_opencv
def test_box_without_background():
    with pytest.raises(ConfigError, match="the box is the whole picture"):
        from_box(TWO_DISCS, (0, 0, WIDTH, HEIGHT))


@pytest.mark.parametrize(
    "box", [(-1, 2, 5, 5), (30, 2, 11, 5), (2, 2, 0, 5), (2, 2, 5, float("nan")), (1, 2, 3), (2, 28, 5, 5)]
)
def test_no_boxes(box):
    with pytest.raises(ConfigError, match="box"):
        from_box(TWO_DISCS, box)


def test_box_needs_opencv(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)  # as if it was not installed
    with pytest.raises(BackendUnavailableError, match=r"needs OpenCV; pip install 'splat2d\[segment\]'"):
        from_box(TWO_DISCS, (2, 3, 17, 18))


# All of them


@pytest.mark.parametrize(
    "where",
    [
        {"polygon": [(3, 5), (17, 5), (17, 19), (3, 19)]},
        {"point": (10, 12)},
        {"color": "#c8281e", "tolerance": 5},
        {"mask": disc(10, 12, 7)},
        {"mask": disc(10, 12, 7) * 0.5},
        {"mask": disc(10, 12, 7) * np.uint8(255)},
    ],
)
def test_select(where):
    coverage = select(TWO_DISCS, **where)
    assert (coverage.dtype, coverage.shape) == (np.float32, (HEIGHT, WIDTH))
    assert 0.5 <= coverage[12, 10] <= 1
    assert coverage[28, 20] == 0


@pytest.mark.parametrize(
    ("where", "part"),
    [
        ({}, "expected one of box, polygon, point, color, mask .* found none"),
        ({"point": (1, 1), "color": "#000000"}, "found point and color"),
        ({"mask": disc(9, 9, 3), "tolerance": 3}, "tolerance is of point and color, .* with mask"),
        ({"color": "#00ff00"}, "the color selects nothing"),
        ({"polygon": [(50, 1), (60, 1), (60, 9)]}, "the polygon selects nothing"),
        ({"point": (1, 1), "tolerance": 255}, "the point selects the whole picture"),
        ({"mask": np.zeros((HEIGHT, WIDTH), bool)}, "the mask selects nothing"),
        ({"mask": np.ones((HEIGHT, WIDTH))}, "the mask selects the whole picture"),
    ],
)
def test_nothing_everything_and_contradictions(where, part: str):
    with pytest.raises(ConfigError, match=part):
        select(TWO_DISCS, **where)


@pytest.mark.parametrize(
    "mask", [np.ones((3, 4)), np.ones((HEIGHT, WIDTH, 1)), np.full((HEIGHT, WIDTH), np.nan), np.array(1.0)]
)
def test_arrays_that_are_no_masks(mask: np.ndarray):
    with pytest.raises(ShapeError):
        select(TWO_DISCS, mask=mask)
