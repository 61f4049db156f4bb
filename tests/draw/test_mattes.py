"""Layers of straight colours under a matte: drawn, edited, taken apart and put together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from splat2d import Scene
from splat2d.codec.layer import container_of
from splat2d.draw.compose import Splats
from splat2d.draw.render import CUTOFF
from splat2d.edit.document import Document
from splat2d.format.container import write

from ..support.layered import HEIGHT, WIDTH, matted, scene

SPOT = (20.3, 11.8)
SIGMA = 5.0


def spot(**changes) -> Scene:
    """A matte of one round splat over an even colour with one straight splat, both known in closed form."""
    means, conics = np.array([SPOT], np.float32), np.array([[1 / SIGMA**2, 0, 1 / SIGMA**2]], np.float32)
    cover = Splats(
        means, conics, np.array([[1.5]], np.float32), np.zeros(1, np.float32), (1,) + (0,) * 5, (40, 24)
    )
    base = np.array([0.2, 0.9, 0.4], np.float32)
    colors = np.array([[0.5, 0.3, -0.2]], np.float32)
    splats = Splats(means, conics / 4, colors, base, cover.tier_counts, (40, 24), cover)
    coded = replace(matted(count=2), box=(9, 1, 22, 22), **changes)
    return Scene(Document.of(container_of(40, 24, [coded])), [splats], {})


def spot_by_hand(
    scale: float, variance: float = 0.0, size: tuple[int, int] = (40, 24)
) -> tuple[np.ndarray, np.ndarray]:
    """Straight colour [H, W, 3] and coverage [H, W, 1] of `spot`, both blurred with this variance."""
    y, x = (np.mgrid[: round(size[1] * scale), : round(size[0] * scale)] + 0.5) / scale
    square = ((x - SPOT[0]) ** 2 + (y - SPOT[1]) ** 2)[..., None]

    def gaussian(before: float) -> np.ndarray:
        after = before + variance
        q = square / after
        return before / after * np.exp(-q / 2) * (q < CUTOFF)

    color = np.array([0.2, 0.9, 0.4]) + np.array([0.5, 0.3, -0.2]) * gaussian(4 * SIGMA**2)
    return np.clip(color, 0, 1), np.clip(1.5 * gaussian(SIGMA**2), 0, 1)


@pytest.mark.parametrize("scale", [1, 4])
@pytest.mark.parametrize("sigma", [0, 3])
def test_a_matte_is_drawn_by_its_formula(scale, sigma):
    found = spot()
    if sigma:
        found = found["bike"].blur(sigma).scene
    color, cover = spot_by_hand(scale, sigma**2)
    drawn = found.render_float(scale=scale)
    assert np.abs(drawn - np.concatenate([color * cover, cover], 2)).max() < 1e-5
    pixels = found.render(scale=scale)
    assert np.abs(pixels[..., 3:] - 255 * cover).max() <= 0.51
    seen = cover[..., 0] > 0.5 / 255
    assert np.abs(pixels[..., :3] - 255 * color)[seen].max() <= 0.51
    assert np.array_equal(found["bike"].coverage(scale=scale), drawn[..., 3])
    assert found["bike"].rotate(30).scene.pick(*SPOT).name == "bike"
    assert found.pick(2, 2) is None


def test_a_matte_over_a_picture():
    over = scene("photo").merge(spot())
    assert over.channels == 3
    color, cover = spot_by_hand(1, size=(WIDTH, HEIGHT))
    below = scene("photo").render_float().clip(0, 1)
    expected = (1 - cover) * below + color * cover
    assert np.abs(over.render_float() - expected).max() < 1e-5
    faint = over["bike"].opacity(0.5).brightness(0.5).scene.render_float()
    expected = (1 - cover / 2) * below + 0.25 * color * cover
    assert np.abs(faint - expected).max() < 1e-5
    alone = spot()
    shifted = alone["bike"].move(7, 5).scene.render_float()
    assert np.abs(shifted[5:, 7:] - alone.render_float()[:-5, :-7]).max() < 1e-5
    turned = alone["bike"].rotate(90, about=(12, 12)).scene.render_float()[:, :24]
    assert np.abs(turned - np.rot90(alone.render_float()[:, :24])).max() < 1e-5


def test_a_matte_is_seen_where_its_box_says():
    coded = matted(count=200)
    assert coded.box is not None
    x, y, w, h = coded.box
    cover = Scene.from_bytes(write(container_of(40, 24, [coded])))["bike"].coverage() >= 1 / 16
    assert cover[y : y + h, x : x + w].sum() == cover.sum() > 0
    assert cover[y].any()
    assert cover[:, x + w - 1].any()


def test_splats_of_a_matte_are_its_integers():
    coded = matted(count=40)
    found = Scene.from_bytes(write(container_of(40, 24, [coded])))
    bike = found["bike"]
    counts = [field.count for field in coded.fields]
    assert [len(bike.splats.means), len(bike.splats.matte.means)] == counts
    assert min(counts) > 15
    assert bike.count == found.count == sum(found.tier_counts) == sum(counts)
    row = found.document.table()[0]
    assert (row["splats"], row["bytes"]) == (sum(counts), sum(len(field.data) for field in coded.fields))
    assert (found.channels, found.info()["mode"]) == (4, "RGBA")
    few = Scene.from_bytes(write(container_of(40, 24, [coded])), tiers=2)
    assert few.count == sum(sum(field.tier_counts[:2]) for field in coded.fields)
    assert np.array_equal(few.render(), found.render(tiers=2))
    means, conics = bike.rotate(20).placed()
    assert means.shape == (sum(counts), 2)
    assert conics.shape == (sum(counts), 3)


def test_a_matte_merged_then_extracted_is_the_same():
    alone = Scene.from_bytes(write(container_of(40, 24, [matted()])))
    together = scene("photo").merge(alone, at=(30, 20), names=["thing"])
    assert together["thing"].duplicate("again").move(3, 4).scene.count == together.count
    back = Scene.from_bytes(together.to_bytes()).extract("thing").reset()
    before, after = alone.document.container.layers[0], back.document.container.layers[0]
    assert replace(after, name="bike", matte=replace(after.matte, name="bike")) == before
    assert np.array_equal(back.render()[:24, :40], alone.render())
    assert back.render().shape == (HEIGHT, WIDTH, 4)
    renamed = alone["bike"].rename("picture").extract()
    assert np.array_equal(Scene.from_bytes(renamed.to_bytes()).render(), alone.render())
