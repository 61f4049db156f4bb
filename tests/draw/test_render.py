"""Windows of the picture at any resolution, on the decode floor."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from splat2d.draw.render import CUTOFF, MAX_OUTPUT_PIXELS, Splats, View, render, render_bytes, transform
from splat2d.errors import ConfigError, ShapeError
from splat2d.native import core
from splat2d.native.backend import Backend

from ..support.scenes import clear_of_cutoff, random_splats
from ..support.tolerances import assert_close

WIDTH, HEIGHT = 97, 61
WHOLE = View.whole(WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def splats() -> Splats:
    return random_splats(80, 3, WIDTH, HEIGHT, seed=4, scales=(0.5, 12.0))


def evaluate(splats: Splats, x, y):
    """Return the sum of Gaussians [C, H, W] at canvas points in float64, by its definition."""
    means, conics, colors = (v.astype(np.float64) for v in splats)
    picture = np.zeros((colors.shape[1], len(y), len(x)))
    for (mx, my), (a, b, c), color in zip(means, conics, colors, strict=True):
        dx, dy = x[None, :] - mx, y[:, None] - my
        q = a * dx**2 + 2 * b * dx * dy + c * dy**2
        picture += color[:, None, None] * np.where(q <= CUTOFF, np.exp(-q / 2), 0)
    return picture


def clear_pixels(splats: Splats, view, margin=1e-3):
    """Return the target pixels [H, W] whose q is not within rounding of the cut-off."""
    means, conics, _ = transform(*splats, view)
    return clear_of_cutoff(means, conics, view.width, view.height, margin=margin)


def test_whole_at_scale_one_is_the_core_bit_for_bit(splats: Splats):
    background = [0.1, 0.2, 0.3]
    found = render(*splats, WHOLE, background=background)
    expected = core().render(*splats, WIDTH, HEIGHT, CUTOFF, np.array(background, np.float32))
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous


@pytest.mark.parametrize(("scale_x", "scale_y"), [(4, 4), (1, 1), (3, 1), (1.7, 2.3)])
def test_enlarging_samples_the_same_function(splats: Splats, scale_x, scale_y):
    view = View(0, 0, scale_x, scale_y, round(WIDTH * scale_x), round(HEIGHT * scale_y))
    x, y = (np.arange(view.width) + 0.5) / scale_x, (np.arange(view.height) + 0.5) / scale_y
    assert_close("enlarged", render(*splats, view), evaluate(splats, x, y), where=clear_pixels(splats, view))


def test_an_offset_moves_the_samples(splats: Splats):
    view = View(-3.25, 7.5, 2.0, 2.0, 60, 50)
    x, y = (np.arange(60) + 0.5) / 2 - 3.25, (np.arange(50) + 0.5) / 2 + 7.5
    assert_close("enlarged", render(*splats, view), evaluate(splats, x, y), where=clear_pixels(splats, view))


@pytest.mark.parametrize("scale", [0.23, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("window", [(3, 2, 11, 7), (0, 0, 1, 1), (10, 1, 9, 13)])
def test_a_window_equals_the_slice_of_the_whole(splats: Splats, scale, window):
    left, top, width, height = window
    view = View.whole(WIDTH, HEIGHT, scale)
    clear = clear_pixels(splats, view)[top : top + height, left : left + width]
    whole = render(*splats, view)[:, top : top + height, left : left + width]
    assert_close("window", render(*splats, view.window(*window)), whole, where=clear)


def test_a_window_may_reach_beyond_the_canvas(splats: Splats):
    picture = render(*splats, WHOLE.window(-20, -30, 200, 150))
    clear = clear_pixels(splats, WHOLE)
    assert_close("window", picture[:, 30 : 30 + HEIGHT, 20 : 20 + WIDTH], render(*splats, WHOLE), where=clear)
    assert not picture[:, 140:, 190:].any()


@pytest.mark.parametrize(("across", "down"), [(2, 2), (4, 4), (8, 8), (4, 1), (1, 3)])
def test_shrinking_equals_the_average_of_the_pixels(across, down):
    width, height = 48 * across, 24 * down
    splats = random_splats(150, 3, width, height, seed=9, scales=(0.6, 10.0), aspect=4.0)
    pixels = render(*splats, View.whole(width, height)).astype(np.float64)
    averaged = pixels.reshape(3, 24, down, 48, across).mean((2, 4))
    view = View.resized(0, 0, width, height, 48, 24)
    smooth = render(*splats, view)
    x, y = (np.arange(48) + 0.5) * across, (np.arange(24) + 0.5) * down
    sampled = evaluate(splats, x, y)

    def rms(v):
        return np.sqrt(np.mean((v - averaged) ** 2))

    # A box is not a Gaussian, so this is an approximation; in units of the picture's own contrast.
    assert_close("box average", rms(smooth) / averaged.std(), 0.0)
    assert rms(smooth) < 0.25 * rms(sampled)


@pytest.mark.parametrize("view", [View(-90, -80, 0.1, 0.1, 40, 30), View(-90, -80, 0.3, 5, 90, 1200)])
def test_shrinking_keeps_the_integral_of_every_splat(splats: Splats, view):
    means, conics, colors = (v.astype(np.float64) for v in transform(*splats, view))
    assert len(means) == len(splats[0])

    def integrals(conics, colors):
        area = 2 * np.pi / np.sqrt(conics[:, :1] * conics[:, 2:] - conics[:, 1:2] ** 2)
        return area * colors

    before = integrals(*(v.astype(np.float64) for v in splats[1:])) * (view.scale_x * view.scale_y)
    assert_close("integral", integrals(conics, colors) / before, np.ones_like(before))


def test_anti_aliasing_is_continuous_at_scale_one(splats: Splats):
    just_below = View(0, 0, 1 - 1e-7, 1 - 1e-7, WIDTH, HEIGHT)
    found = render(*splats, just_below)
    assert_close("continuous", found, render(*splats, WHOLE), where=clear_pixels(splats, WHOLE))


def test_only_the_axis_that_shrinks_is_blurred():
    means, conics = np.array([[50.0, 50.0]]), np.array([[0.25, 0.0, 0.25]])
    _, out, color = transform(means, conics, np.ones((1, 1)), View(0, 0, 0.5, 2.0, 50, 200))
    np.testing.assert_allclose(1 / out[0, [0, 2]], [4 * 0.25 + 0.75 / 12, 4 * 4], rtol=1e-6)
    np.testing.assert_allclose(color, np.sqrt(1.0 / (1.0 + 0.75 / 12)), rtol=1e-6)


def test_transform_keeps_order_and_drops_what_cannot_touch():
    means = np.array([[5, 5], [200, 5], [5, -9.9], [8, 8], [-3, 2]])
    conics = np.tile([0.25, 0.0, 0.25], (5, 1))  # reaches 7 px
    colors = np.arange(5.0)[:, None]
    out_means, out_conics, out_colors = transform(means, conics, colors, View(0, 0, 1, 1, 10, 10))
    assert out_colors[:, 0].tolist() == [0, 3, 4]
    assert [v.dtype for v in (out_means, out_conics, out_colors)] == [np.float32] * 3
    assert all(v.flags.c_contiguous for v in (out_means, out_conics, out_colors))


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
def test_culling_changes_no_bit(splats: Splats, scale):
    view = View.crop(20, 15, 30, 20, scale)
    far = View(view.x - 1e4, view.y - 1e4, view.scale_x, view.scale_y, 262_144, 1)
    assert len(transform(*splats, far)[0]) == 0
    kept = transform(*splats, view)
    assert 0 < len(kept[0]) < len(splats[0])
    # Moving every splat one by one into the culled set must not remove a pixel.
    for n in range(len(splats[0])):
        means, conics, colors = (v[n : n + 1] for v in splats)
        one = means, conics, colors
        if not len(transform(*one, view)[0]):
            x = (np.arange(view.width) + 0.5) / view.scale_x + view.x
            y = (np.arange(view.height) + 0.5) / view.scale_y + view.y
            assert not evaluate(one, x, y).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", range(8))
@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_splats_that_are_not_finite_count_for_nothing(splats: Splats, at, value, scale):
    view = View.whole(WIDTH, HEIGHT, scale)
    tensor, column = ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2))[at]
    means, conics, colors = bad = [v.copy() for v in splats]
    means[4] = WIDTH / 2, HEIGHT / 2  # where it would show
    bad[tensor][4, column] = value
    rest = (np.delete(v, 4, axis=0) for v in splats)
    np.testing.assert_array_equal(render(means, conics, colors, view), render(*rest, view=view))


@pytest.mark.parametrize("conic", [(1, 1, 1), (1, 2, 1), (0, 0, 0), (-1, 0, -1), (1, 0, 0)])
@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_degenerate_conics_count_for_nothing(conic, scale):
    one = np.array([[5.0, 5.0]]), np.array([conic], np.float64), np.ones((1, 1))
    assert not render(*one, View.whole(10, 10, scale)).any()


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e-6, 1e6, 1e30, 1e150])
@pytest.mark.parametrize("scale", [1e-3, 0.5, 1.0, 100.0])
def test_extreme_sizes_stay_finite(size, scale):
    with np.errstate(over="ignore"):
        conics = np.array([[1.0, 0.1, 1.0]]) * np.float64(size) ** -2
    picture = render(np.array([[5.0, 5.0]]), conics, np.ones((1, 3)), View(0, 0, scale, scale, 20, 10))
    assert np.isfinite(picture).all()
    assert np.abs(picture).max() <= 1.0 + 1e-5


def test_no_splats_give_the_background():
    empty = np.zeros((0, 2)), np.zeros((0, 3)), np.zeros((0, 3))
    picture = render(*empty, View.whole(5, 3), background=(1, 2, 3))
    np.testing.assert_array_equal(picture, np.broadcast_to([[[1.0]], [[2.0]], [[3.0]]], (3, 3, 5)))
    assert not render_bytes(*empty, View.whole(5, 3)).any()


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_bytes_are_the_rounded_render(splats: Splats, scale):
    view = View.whole(WIDTH, HEIGHT, scale)
    picture = render(*splats, view, background=[0.5] * 3)
    expected = (np.clip(picture, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    found = render_bytes(*splats, view, background=[0.5] * 3)
    np.testing.assert_array_equal(found, expected.transpose(1, 2, 0))
    assert found.shape == (view.height, view.width, 3)


def test_unpremultiplied_bytes_divide_by_alpha():
    means, conics = np.array([[5.0, 5.0]]), np.array([[1e-9, 0, 1e-9]])
    found = render_bytes(
        means, conics, np.array([[0.2, 0.1, 0.0, 0.5]]), View.whole(10, 10), unpremultiply=True
    )
    assert found[4, 4].tolist() == [102, 51, 0, 128]
    with pytest.raises(ShapeError, match="2 or 4 channels"):
        render_bytes(means, conics, np.ones((1, 3)), View.whole(10, 10), unpremultiply=True)


def test_same_bits_for_any_number_of_threads(splats: Splats):
    view = View.whole(WIDTH, HEIGHT, 7.3)
    for threads in (2, 3, None):
        np.testing.assert_array_equal(render(*splats, view, backend=Backend(threads)), render(*splats, view))
        np.testing.assert_array_equal(
            render_bytes(*splats, view, backend=Backend(threads)), render_bytes(*splats, view)
        )


def test_views_have_whole_sides_and_fill_the_output():
    assert View.whole(768, 512) == View(0, 0, 1, 1, 768, 512)
    assert View.whole(7, 5, 0.5) == View(0, 0, 4 / 7, 3 / 5, 4, 3)
    assert View.whole(7, 5, 0.01) == View(0, 0, 1 / 7, 1 / 5, 1, 1)
    assert View.crop(10, 20, 30, 40, 2) == View(10, 20, 2, 2, 60, 80)
    assert View.resized(1, 2, 10, 20, 5, 40) == View(1, 2, 0.5, 2, 5, 40)
    assert View.crop(10, 20, 30, 40, 2).window(4, 6, 3, 2) == View(12, 23, 2, 2, 3, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: View(0, 0, 0.0, 1, 10, 10), "scale_x must be finite and above 0, found 0"),
        (lambda: View(0, 0, 1, float("nan"), 10, 10), "scale_y must be finite"),
        (lambda: View(float("inf"), 0, 1, 1, 10, 10), "x must be finite"),
        (lambda: View(0, 0, 1, 1, 0, 10), "width must be from 1"),
        (lambda: View(0, 0, 1, 1, 10, 2.5), "height must be a whole number"),
        (lambda: View(0, 0, 1, 1, 16_385, 16_384), f"at most {MAX_OUTPUT_PIXELS} px, found 16385 x 16384"),
        (lambda: View(0, 0, 1, 1, 262_145, 1), "width must be from 1 to 262144"),
        (lambda: View.whole(768, 512, -1), "scale must be finite and above 0, found -1"),
        (lambda: View.whole(768, 512, 1e300), "width must be from 1"),
        (lambda: View.crop(0, 0, 0, 5), "rectangle's width must be finite and above 0"),
        (lambda: View.resized(0, 0, -1, 5, 2, 2), "positive sides"),
    ],
)
def test_windows_that_cannot_be_rendered(make, message):
    with pytest.raises(ShapeError, match=message):
        make()


def test_the_largest_output_is_allowed_without_allocating():
    assert View(0, 0, 1, 1, 16_384, 16_384).width == 16_384


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"means": np.zeros((80, 3))}, r"means must be \[N, 2\] real numbers, found \[80, 3\]"),
        ({"conics": np.zeros((79, 3))}, r"same number of rows, found \[80, 79, 80\]"),
        ({"colors": np.zeros((80, 5))}, "from 1 to 4 channels, found 5"),
        ({"colors": np.zeros(80)}, r"colors must be \[N, C\]"),
        ({"means": np.zeros((80, 2), complex)}, "complex128"),
        ({"background": [0, 0]}, r"background must be \[3\], one value a channel, found \[2\]"),
    ],
)
def test_arrays_that_do_not_fit(splats: Splats, change, message):
    arguments = {**dict(zip(("means", "conics", "colors"), splats, strict=True)), "view": WHOLE, **change}
    for verb in (render, render_bytes):
        with pytest.raises(ShapeError, match=message):
            verb(**arguments)


def test_threads_out_of_range(splats: Splats):
    with pytest.raises(ConfigError, match="threads is"):
        render(*splats, WHOLE, backend=Backend(0))


def test_the_decode_floor_does_not_import_torch():
    script = (
        "import sys, numpy as np; from splat2d.draw.render import *; "
        "render(np.zeros((1, 2)), np.ones((1, 3)), np.ones((1, 1)), View.whole(4, 4)); "
        "print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
