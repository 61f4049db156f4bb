"""What the entropy coder asks for the integers of each splat: against what it writes."""

from __future__ import annotations

import numpy as np
import pytest

from splat2d.edit.document import Document
from splat2d.fit.fitter import PictureFit, Refined
from splat2d.format.field import Field, Layout
from splat2d.format.network import network
from splat2d.native import core

from ..support.places import GOLDEN

NAMES = ("grey", "grey-alpha", "rgb", "rgba", "extremes", "many", "parts")
TOKENS = 40
OWN = np.dtype(
    [
        *((name, np.int32) for name in ("energy_class", "low", "high", "area", "angles")),
        ("magnitude", np.uint16, (4, TOKENS)),
        ("sign", np.uint16, (4, 2)),
        ("areas", np.uint16, TOKENS),
        ("aspects", np.uint16, TOKENS),
        ("sectors", np.uint16, 32),
    ]
)


def tokens_of(values: np.ndarray) -> np.ndarray:
    """docs/FORMAT.md, section 5.5."""
    bits = np.floor(np.log2(np.maximum(values, 1))).astype(int) - 1
    return np.where(values < 16, values, 16 + 2 * (bits - 3) + (values >> np.maximum(bits, 0) & 1))


@pytest.fixture(params=NAMES)
def coded(request):
    data = (GOLDEN / "pictures" / f"{request.param}.splat").read_bytes()
    layer = Document.from_bytes(data).container.stack[0]
    integers, _ = layer.field.decode()
    order = np.random.default_rng(0).permutation(len(integers))
    return np.ascontiguousarray(integers[order]), layer.field.layout


def lengths_of(integers: np.ndarray, layout, **options) -> np.ndarray:
    found = core().code_lengths(network(), np.ascontiguousarray(integers), *layout.arguments[:5], **options)
    return found.view(OWN)[:, 0]


def test_they_add_up_to_what_is_written(coded):
    integers, layout = coded
    bits: dict[str, float] = {}
    Field.encode(integers, layout, bits=bits)
    channels, rows = layout.channels, np.arange(len(integers))
    own = lengths_of(integers, layout)
    assert np.array_equal(own, lengths_of(integers, layout, threads=2))
    assert np.array_equal(own["area"], integers[:, channels])
    found = dict.fromkeys(("luma", "chroma", "alpha", "sign", "area", "aspect", "angle"), 0.0)
    for c in range(channels):
        alpha = channels in (2, 4) and c == channels - 1
        name = "alpha" if alpha else "chroma" if c else "luma"
        found[name] += own["magnitude"][rows, c, tokens_of(np.abs(integers[:, c]))].sum() / 256
        signed = integers[:, c] != 0
        found["sign"] += own["sign"][signed, c, (integers[signed, c] < 0).astype(int)].sum() / 256
    above = integers[:, channels] - own["low"]
    assert (above >= 0).all()
    assert (integers[:, channels] <= own["high"]).all()
    found["area"] = own["areas"][rows, tokens_of(above)].sum() / 256
    found["aspect"] = own["aspects"][rows, tokens_of(integers[:, channels + 1])].sum() / 256
    several = own["angles"] > 1
    sectors = np.minimum(own["angles"], 32)[several]
    angles, count = integers[several, channels + 2], own["angles"][several]
    places = (2 * sectors * angles + count) // (2 * count) % sectors
    found["angle"] = (own["sectors"][several, places] / 256 + np.log2(count / sectors)).sum()
    for name, length in found.items():
        # The remainders of many angles take whole numbers of choices.
        assert length == pytest.approx(
            bits.get(name, 0.0), rel=0.02 if name == "angle" else 0.002, abs=0.5
        ), name


def test_splats_without_colour_have_none(coded):
    integers, layout = coded
    channels = layout.channels
    gone = np.arange(0, len(integers), 3)
    left = np.delete(integers, gone, 0)
    with_gaps = integers.copy()
    with_gaps[gone, :channels] = 0
    own = lengths_of(with_gaps, layout)
    assert (own["energy_class"][gone] == -2).all()
    assert np.array_equal(np.delete(own, gone), lengths_of(left, layout))


def test_no_splats(coded):
    integers, layout = coded
    assert len(lengths_of(integers[:0], layout)) == 0


def test_what_cannot_be_coded_is_an_error(coded):
    integers, layout = coded
    integers[0, layout.channels] = 1 << 20
    with pytest.raises(ValueError, match="range"):
        lengths_of(integers, layout)


def test_a_refinement_that_knows_them_makes_smaller_files(samples, monkeypatch):
    """J of the real file, for the same fit."""
    from PIL import Image

    from splat2d.fit.config import FitConfig
    from splat2d.media.pictures import load_picture

    with Image.open(samples / "chelsea.png") as picture:
        pixels = load_picture(picture.convert("RGB").crop((40, 20, 424, 276))).pixels
    fit = PictureFit(pixels, FitConfig(rounds=4, steps=8, final_steps=10, sweeps=4), 0.15)
    costs = []
    for known in (False, True):
        if not known:
            monkeypatch.setattr(PictureFit, "lengths", lambda *_: {})
        else:
            monkeypatch.undo()
        refined: Refined = fit.refined()
        layout = Layout(384, 256, 3, fit.config.chroma_code, 465)
        data = Field.encode(refined.integers(), layout).data
        costs.append(refined.sse + fit.lmbda * 8 * len(data))
    assert costs[1] < 0.999 * costs[0]
