"""Drawings of the splats: outlines where the ellipses are, colours that tell what they should."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from splat2d.draw.outlines import outlines, plot_ellipses
from splat2d.errors import ConfigError


@dataclass
class TwoSplats:
    """A grey canvas with a bright splat on the left and a dark one on the right, in one layer."""

    width: int = 40
    height: int = 20
    channels: int = 3
    means: np.ndarray = field(default_factory=lambda: np.array([[10.0, 10.0], [30.0, 10.0]], np.float32))
    conics: np.ndarray = field(default_factory=lambda: np.array([[1 / 25, 0, 1 / 25]] * 2, np.float32))
    colors: np.ndarray = field(default_factory=lambda: np.array([[0.5] * 3, [-0.5] * 3], np.float32))
    tier: np.ndarray = field(default_factory=lambda: np.array([0, 3]))

    @property
    def layers(self) -> list[SimpleNamespace]:
        splats = SimpleNamespace(colors=self.colors, tier=self.tier, matte=None)
        hidden = SimpleNamespace(visible=False)
        return [
            hidden,
            SimpleNamespace(visible=True, splats=splats, placed=lambda: (self.means, self.conics)),
        ]

    def render(self, *, scale: float | None = None) -> np.ndarray:
        side = scale or 1
        shape = (round(self.height * side), round(self.width * side), self.channels)
        return np.full(shape, 100, np.uint8)


def test_outlines_lie_at_the_number_of_sigmas():
    rng = np.random.default_rng(3)
    means = rng.uniform(-5, 50, (50, 2))
    factors = rng.normal(size=(50, 2, 2)) + 2 * np.eye(2)
    inverse = np.linalg.inv(factors @ factors.transpose(0, 2, 1))
    conics = np.stack([inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]], axis=1)
    delta = outlines(means, conics, 2.0) - means[:, None]
    q = np.einsum("npi,nij,npj->np", delta, inverse, delta)
    np.testing.assert_allclose(q, 4.0, rtol=1e-9)
    np.testing.assert_allclose(delta[:, 0], delta[:, -1], atol=1e-9)


def test_colours_tell_signs_and_outlines_stand_where_the_splats_are():
    picture = plot_ellipses(TwoSplats(), scale=1.0)
    assert (picture.shape, picture.dtype) == ((20, 40, 3), np.uint8)
    # One sigma is 5 px: the leftmost points of the outlines lie at x = 5 and x = 25.
    warm, cold = picture[10, 4:6].max(axis=0).astype(int), picture[10, 24:26].max(axis=0).astype(int)
    assert warm[0] > warm[2] + 50
    assert cold[2] > cold[0] + 50
    assert (picture[10, 10] == 40).all()  # the picture, dimmed


def test_colours_tell_tiers():
    picture = plot_ellipses(TwoSplats(), by="tier", scale=2.0).reshape(-1, 3)
    assert {tuple(color) for color in np.unique(picture, axis=0).tolist()} == {
        (40, 40, 40),
        (255, 90, 90),
        (110, 230, 110),
    }


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_any_number_of_channels(channels: int):
    scene = TwoSplats(channels=channels, colors=np.full((2, channels), 0.5, np.float32))
    assert plot_ellipses(scene).shape == (40, 80, 3)


def test_no_splats():
    empty = np.zeros((0, 3), np.float32)
    scene = TwoSplats(means=empty[:, :2], conics=empty, colors=empty, tier=np.zeros(0, int))
    assert (plot_ellipses(scene) == 40).all()


def test_large_pictures_are_drawn_smaller():
    scene = TwoSplats(width=8192, height=8)
    assert plot_ellipses(scene).shape[1] == 4096


@pytest.mark.parametrize("options", [{"by": "size"}, {"sigma": 0.0}, {"scale": 3.0}])
def test_wrong_options(options):
    with pytest.raises(ConfigError, match="expected"):
        plot_ellipses(TwoSplats(), **options)
