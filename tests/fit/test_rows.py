"""Means of a few neighbours, and threads that share out rows: the same bits as NumPy's own on the whole."""

import numpy as np
import pytest

from splat2d.fit import rows as module
from splat2d.fit.means import grey, half
from splat2d.fit.rows import Rows
from splat2d.native.backend import Backend


@pytest.mark.parametrize("shape", [(6, 8), (3, 7, 9), (2, 3, 5, 4), (1, 2, 3)])
def test_halves_are_means_of_two_by_two(shape):
    planes = np.random.default_rng(0).random(shape, np.float32)
    h, w = shape[-2] // 2, shape[-1] // 2
    blocks = planes[..., : 2 * h, : 2 * w].reshape(*shape[:-2], h, 2, w, 2)
    np.testing.assert_allclose(half(planes), blocks.mean((-3, -1)), rtol=1e-6)
    assert half(planes).dtype == np.float32


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grey_is_the_mean_of_the_channels(channels):
    pictures = np.random.default_rng(1).integers(0, 256, (2, 5, 6, channels), np.uint8)
    np.testing.assert_allclose(grey(pictures), pictures.mean(-1) / 255, rtol=1e-6)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(module, "LEAST", 16)  # so that small planes are shared out, too


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (2, 9, 16)])
def test_threads_share_out_rows(threads, shape):
    rng = np.random.default_rng(2)
    a, b = rng.random(shape), rng.random(shape)
    with Rows(Backend(threads=threads)) as rows:
        assert np.array_equal(rows(lambda x, y: np.log(1 + x) * y, a, b), np.log(1 + a) * b)
        even = a[..., : shape[-2] // 2 * 2, :]
        if even.size:
            pairs = rows(lambda x: x[..., ::2, :] - x[..., 1::2, :], even, per=2)
            assert np.array_equal(pairs, even[..., ::2, :] - even[..., 1::2, :])
    assert np.array_equal(rows(np.square, a), np.square(a))  # without threads any more


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("shape", [(1, 1), (6, 8), (13, 11)])
def test_a_coarser_plane_is_added(threads, size, shape):
    rng = np.random.default_rng(3)
    to, plane = rng.random(shape), rng.random([-(-side // size) for side in shape])
    expected = to + 0.3 * plane.repeat(size, 0).repeat(size, 1)[: shape[0], : shape[1]]
    with Rows(Backend(threads=threads)) as rows:
        rows.add(to, 0.3, plane, size)
    assert np.array_equal(to, expected)
