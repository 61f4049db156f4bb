"""Layers of a cut picture that take turns: what each should be, given what all others decode to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from splat2d.fit.config import load_config
from splat2d.fit.objects import layers
from splat2d.fit.objects.composite import Composite
from splat2d.fit.objects.cut import Cut
from splat2d.fit.objects.layers import LayersFit

HEIGHT, WIDTH = 80, 96
STEP = 0.15
MASKS = {"one": (35, 40, 18), "two": (58, 30, 14)}


def disc(x: float, y: float, radius: float) -> np.ndarray:
    """A mask of two levels, [H, W] float32."""
    yy, xx = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return (np.hypot(xx - x, yy - y) < radius).astype(np.float32)


@pytest.fixture(scope="module")
def pixels(samples) -> np.ndarray:
    """A window of a photograph, [3, H, W]."""
    with Image.open(samples / "chelsea.png") as picture:
        photo = np.asarray(picture.convert("RGB").crop((100, 60, 100 + WIDTH, 60 + HEIGHT)))
    return np.ascontiguousarray(photo.transpose(2, 0, 1).astype(np.float32) / 255)


def taken_apart(pixels: np.ndarray, spoil: Callable[[str, np.ndarray], np.ndarray]) -> Cut:
    """A cut whose first fits are what they should be, but for what `spoil` does to colours."""
    cut = Cut(pixels, {name: disc(*place) for name, place in MASKS.items()})
    for name in cut.names[::-1]:
        cut.matted(name, cut.matte(name).pixels[0])
    cut.drawn("picture", spoil("picture", cut.background().pixels))
    for name in cut.names:
        cut.drawn(name, spoil(name, cut.colors(name).pixels))
    return cut


def over(composite: Composite, cut: Cut) -> np.ndarray:
    """All layers over each other, [C, H, W]."""
    out = composite._colors["picture"]
    for name in cut.names:
        cover = composite._covers[name]
        out = cover * composite._colors[name] + (1 - cover) * out
    return out


@pytest.mark.parametrize("wrong", ["picture", "one", "two"])
def test_colours_make_up_for_what_others_miss(pixels, wrong):
    """Where a px is mostly one layer's, it takes what an error in another one left."""

    def spoil(name: str, planes: np.ndarray) -> np.ndarray:
        return np.clip(planes + (0.2 if name == wrong else 0), 0, 1)

    cut = taken_apart(pixels, spoil)
    composite = Composite(cut)
    for name in ["picture", *cut.names]:
        before = np.square(over(composite, cut) - pixels).sum()
        target = composite.colors(name)
        assert (target.name, target.pixels.shape) == (name, pixels.shape)
        assert target.weights.min() > 0
        composite.drawn(name, target.pixels)
        assert np.square(over(composite, cut) - pixels).sum() <= before + 1e-3
    assert np.abs(over(composite, cut) - pixels).mean() < 0.004


def test_a_matte_is_what_the_colours_ask_for():
    """A half-white px between black and white is half covered, whatever the mask said."""
    yy, xx = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    alpha = np.clip(20.5 - np.hypot(xx - 48, yy - 40), 0, 1).astype(np.float32)
    picture = np.stack([0.1 + 0.8 * alpha] * 3)
    cut = Cut(picture, {"disc": (alpha > 0.5).astype(np.float32)})
    cut.matte("disc")
    cut.matted("disc", np.roll(alpha, 1, axis=1))
    cut.drawn("picture", np.full_like(picture, 0.1))
    cut.drawn("disc", np.full_like(picture, 0.9))
    target = Composite(cut).matte("disc")
    assert np.abs(target.pixels[0] - alpha).mean() < 0.1 * np.abs(np.roll(alpha, 1, axis=1) - alpha).mean()
    # Errors of colours far inside are no reason for a hole in the matte.
    cut.drawn("disc", np.where(np.hypot(xx - 48, yy - 40) < 8, 1.0, 0.9) * np.ones_like(picture))
    assert Composite(cut).matte("disc").pixels[0, 40, 48] > 0.99


def test_the_background_stays_smooth_where_little_of_it_is_seen(pixels):
    """What a mixture leaves over is the object's, or it stays as strokes when the object goes."""
    cut = taken_apart(pixels, lambda _, planes: planes)
    composite = Composite(cut)
    rest = cut.continued_background
    composite.drawn("one", np.zeros_like(pixels))  # which asks for much more of the background
    target = composite.colors("picture")
    seen = (1 - composite._covers["one"]) * (1 - composite._covers["two"])
    off = np.abs(target.pixels - rest).mean(0)
    assert off[(seen > 0.01) & (seen < 0.2)].mean() < 0.05
    assert off[(seen > 0.6) & (seen < 0.95)].mean() > 0.07


def test_turns_pay(pixels, monkeypatch):
    """Squared error and bits together are less after them."""

    def cost(turns: int) -> float:
        monkeypatch.setattr(layers, "TURNS", turns)
        cut = Cut(pixels, {name: disc(*place) for name, place in MASKS.items()})
        fit = LayersFit(cut, load_config("fast").tuned("psnr"), STEP)
        refined = [refined.sse for refined in fit.refined()._refined]
        assert len(refined) == 5
        error = np.square(over(fit._composite, cut) - pixels).sum()
        return float(error + fit.lmbda * sum(f._fitter.bits for f in fit.fits))

    assert cost(2) < 0.99 * cost(0)


def test_trimming_drops_what_saves_least(pixels):
    """Over all fits, not so many of each: splats of mattes save more than others."""
    cut = Cut(pixels, {name: disc(*place) for name, place in MASKS.items()})
    refined = LayersFit(cut, load_config("fast"), STEP).refined()
    before = [part.savings() for part in refined._refined]
    limit = np.sort(np.concatenate(before))[29]
    refined.drop(30)
    dropped = [len(own) - len(part.integers()) for own, part in zip(before, refined._refined, strict=True)]
    assert dropped == [int((own <= limit).sum()) for own in before]
    assert sum(dropped) == 30
    parts = [n / len(own) for n, own in zip(dropped, before, strict=True)]
    assert max(parts[:2]) < 0.5 * max(parts[2:])
