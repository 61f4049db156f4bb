"""Light fields: disparities that are found, views that come back, targets, gradients against differences."""

import numpy as np
import pytest

import splat2d
from splat2d.errors import ConfigError, ShapeError
from splat2d.fit.fitter import background_of
from splat2d.fit.views.encode import encode_views
from splat2d.fit.views.planes import doubt, sweep
from splat2d.format.eyes import Eyes
from splat2d.native import core
from splat2d.native.backend import Backend
from splat2d.scene.picture import Scene

from ..support.lightfields import FAR, NEAR, views_of
from ..support.places import GOLDEN

VIEWS, EYES = views_of(3, 3)


@pytest.fixture(scope="module")
def encoded():
    return encode_views(VIEWS, EYES, quality=60, preset="fast", backend=Backend(1))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def test_the_sweep_spans_the_disparities():
    planes = sweep(VIEWS.transpose(0, 3, 1, 2).astype(np.float32) / 255, EYES)
    assert planes[0] < FAR < NEAR < planes[-1]
    assert planes[-1] - planes[0] < 8


@pytest.mark.parametrize(
    "wrong",
    [EYES[:, ::-1], EYES * [-1, 1], EYES[:, ::-1] * [-1, 1]],
    ids=["swapped", "reversed", "both"],
)
def test_places_in_a_wrong_order_are_doubted(wrong):
    assert not doubt(VIEWS, EYES)
    assert "better otherwise" in doubt(VIEWS, wrong)


@pytest.mark.parametrize(
    ("count", "rows", "why"), [(1, 0, "one distortion for each"), (0, -1, "pictures' size")]
)
def test_distortions_are_one_for_each_view_and_of_its_size(count, rows, why):
    pixels = np.ascontiguousarray(VIEWS.transpose(0, 3, 1, 2), np.float32) / 255
    eyes = Eyes.of(EYES)
    weights = np.ones((pixels.shape[2] + rows, pixels.shape[3]), np.float32)
    distortions = [core().Distortion([weights])] * (count or len(pixels))
    with pytest.raises(ValueError, match=why):
        core().ViewsFitter(
            pixels,
            np.array(eyes.steps, np.float32),
            eyes.arguments,
            np.full(3, 0.5, np.float32),
            0.5,
            0.02,
            distortions=distortions,
        )


def test_gradient_is_that_of_the_value():
    pixels = np.ascontiguousarray(VIEWS.transpose(0, 3, 1, 2), np.float32) / 255
    eyes = Eyes.of(EYES)
    places = np.array(eyes.steps, np.float32)
    fit = core().ViewsFitter(
        pixels, places, eyes.arguments, np.full(3, 0.5, np.float32), 0.5, 0.02, cutoff=40.0, threads=1
    )
    rng = np.random.default_rng(3)
    n = 12
    means = np.column_stack([rng.uniform(8, 56, n), rng.uniform(8, 40, n), rng.uniform(0, 2, n)])
    factors = rng.normal(0, 0.4, (n, 4)) + np.array([3, 0, 0, 2.5])
    state = [
        means.astype(np.float32),
        factors.astype(np.float32),
        rng.normal(0, 2, (n, 3)).astype(np.float32),
    ]

    def value(arrays):
        other = core().ViewsFitter(
            pixels, places, eyes.arguments, np.full(3, 0.5, np.float32), 0.5, 0.02, cutoff=40.0, threads=1
        )
        other.insert(*arrays)
        return other.value()

    fit.insert(*state)
    gradient = fit.natural_gradient()
    assert gradient.shape == (n, 9)
    # By the disparity, whose unit is the short deviation over the eyes' spread, times sqrt(2) / A.
    for i in range(n):
        step = 1e-2
        shifted = [[a.copy() for a in state] for _ in range(2)]
        shifted[0][0][i, 2] += step
        shifted[1][0][i, 2] -= step
        slope = (value(shifted[0]) - value(shifted[1])) / (2 * step)
        cov = factors[i].reshape(2, 2) @ factors[i].reshape(2, 2).T
        spread = eyes.arguments[1] / 256
        unit = (
            np.sqrt(np.linalg.eigvalsh(cov)[0]) / spread * np.sqrt(2) / max(np.linalg.norm(state[2][i]), 0.2)
        )
        assert gradient[i, 8] == pytest.approx(slope * unit, rel=0.06, abs=0.03)


def test_views_come_back(encoded):
    scene = Scene.from_bytes(encoded.data)
    assert scene.eyes == tuple(map(tuple, EYES))
    shown = np.stack([scene.render((u, v)) for u, v in scene.eyes])
    assert psnr(shown, VIEWS) == pytest.approx(encoded.psnr, abs=1e-3)
    assert encoded.psnr > 30
    # The middle eye's view is what the picture shows without an eye.
    np.testing.assert_array_equal(scene.render(), shown[4])


def test_disparities_are_those_of_the_scene(encoded):
    found = Scene.from_bytes(encoded.data).disparity()
    assert np.median(found[20:28, 28:36]) == pytest.approx(NEAR, abs=0.35)
    assert np.median(found[:10]) == pytest.approx(FAR, abs=0.35)


def test_what_is_fine_tells_the_disparity():
    # By amplitudes alone wide splats behind the square draw it to 1.44 px.
    found = Scene.from_bytes((GOLDEN / "lightfields/grid.splat").read_bytes()).disparity()
    assert np.median(found[19:29, 25:38]) == pytest.approx(NEAR, abs=0.3)
    assert np.median(found[:12]) == pytest.approx(FAR, abs=0.1)


def test_between_and_beyond_the_views():
    views, eyes = views_of(5, 1)
    kept = [0, 2, 4]
    data = encode_views(views[kept], eyes[kept], quality=70, preset="fast", backend=Backend(1)).data
    scene = Scene.from_bytes(data)
    seen = [psnr(scene.render(tuple(eyes[k])), views[k]) for k in range(5)]
    between = np.mean([seen[1], seen[3]])
    assert between > np.mean([seen[k] for k in kept]) - 3


def test_refocus_is_the_mean_over_many_eyes(encoded):
    scene = Scene.from_bytes(encoded.data)
    # Normal eyes of the covariance that the refocused picture states.
    spread = np.cov(np.array(scene.eyes).T, bias=True)
    rng = np.random.default_rng(0)
    eyes = rng.multivariate_normal([0, 0], spread, 600)
    mean = np.mean([scene.seen_from(*eye).render_float() for eye in eyes], axis=0)
    # Focused on 0: all eyes' pictures lie on each other as they are.
    np.testing.assert_allclose(scene.refocused(0.0).render_float(), mean, atol=0.03)
    around = np.mean([scene.seen_from(u + 1, v - 0.5).render_float() for u, v in eyes], axis=0)
    np.testing.assert_allclose(scene.refocused(0.0, view=(1, -0.5)).render_float(), around, atol=0.03)
    # Focused on the square it is as the middle eye sees it.
    square = np.s_[18:30, 26:38]
    middle, sharp = (picture[square] for picture in (VIEWS[4] / 255, scene.refocused(NEAR).render_float()))
    assert np.mean((sharp - middle) ** 2) < 0.3 * np.mean((mean[square] - middle) ** 2)


def test_targets(encoded):
    small = encode_views(VIEWS, EYES, size=2000, preset="fast", backend=Backend(1))
    assert 1000 < len(small.data) <= 2000
    good = encode_views(VIEWS, EYES, psnr=encoded.psnr - 2, preset="fast", backend=Backend(1))
    assert good.psnr >= encoded.psnr - 2
    assert len(good.data) < len(encoded.data)


def test_the_file_does_not_depend_on_threads(encoded):
    assert encode_views(VIEWS, EYES, quality=60, preset="fast", backend=Backend(3)).data == encoded.data


def test_from_python():
    data = splat2d.encode(VIEWS, positions=(3, 3), quality=30, preset="fast", threads=1)
    scene = Scene.from_bytes(data)
    assert len(scene.eyes) == 9
    assert splat2d.decode(data).shape == (48, 64, 3)
    moved = scene["picture"].move(3, 0).scene
    assert len(moved.eyes) == 9
    assert not np.array_equal(moved.render((1.0, 0.0)), scene.render((1.0, 0.0)))


@pytest.mark.parametrize(
    ("views", "places", "error"),
    [
        (VIEWS[:1], EYES[:1], ConfigError),
        (VIEWS, EYES[:4], ShapeError),
        (VIEWS[:2], [(0, 0), (0, 0)], ConfigError),
        (VIEWS[..., :2], EYES, ShapeError),
        (VIEWS.astype(float), EYES, ShapeError),
        (VIEWS[:2], [(0, 0), (1e9, 0)], ConfigError),
    ],
)
def test_what_is_no_light_field(views, places, error):
    with pytest.raises(error):
        encode_views(views, places, preset="fast")


def test_rows_of_views_and_flat_ones():
    for views, eyes in (views_of(4, 1, 40, 24), views_of(1, 3, 24, 40)):
        assert encode_views(views, eyes, quality=40, preset="fast", backend=Backend(1)).psnr > 24
    grey = np.full((4, 9, 7, 3), 90, np.uint8)
    flat = encode_views(grey, Eyes.grid(2, 2).steps, quality=50, preset="fast", backend=Backend(1))
    assert flat.psnr > 45
    assert background_of(grey[0].transpose(2, 0, 1).astype(np.float32) / 255) == (90, 90, 90)
