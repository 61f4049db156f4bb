"""Masks and label images: what each kind of picture says, and what is no mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from splat2d.errors import InputImageError
from splat2d.fit.objects.masks import load_labels, load_mask

WIDTH, HEIGHT = 12, 8
SIZE = (WIDTH, HEIGHT)
RAMP = np.tile(np.linspace(0, 255, WIDTH).round().astype(np.uint8), (HEIGHT, 1))
INSIDE = np.zeros((HEIGHT, WIDTH), bool)
INSIDE[2:6, 3:9] = True
FLAT = np.full((HEIGHT, WIDTH), 90, np.uint8)


def saved(folder: Path, image: Image.Image, name: str = "mask.png", **options) -> Path:
    image.save(folder / name, **options)
    return folder / name


def with_palette(indices: np.ndarray, colors: list[int]) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8)).convert("L")
    image.putpalette(colors)
    return image


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(RAMP), RAMP / 255),
        (Image.fromarray(RAMP.astype(np.uint16) * 257), RAMP / 255),
        (Image.fromarray(np.dstack([RAMP] * 3)), RAMP / 255),
        (Image.fromarray(INSIDE), INSIDE),
        (Image.fromarray(np.dstack([FLAT, RAMP])), RAMP / 255),
        (Image.fromarray(np.dstack([FLAT, FLAT // 2, FLAT // 3, RAMP])), RAMP / 255),
        # An alpha that is opaque everywhere marks nothing.
        (Image.fromarray(np.dstack([RAMP, RAMP, RAMP, FLAT * 0 + 255])), RAMP / 255),
        # The colours of a palette do not matter: here the object is the darker.
        (with_palette(INSIDE * (1 + RAMP // 128), [255, 255, 255, 0, 0, 0, 9, 8, 7]), INSIDE),
    ],
    ids=["grey", "16 bits", "grey as RGB", "1 bit", "grey and alpha", "RGBA", "opaque", "palette"],
)
def test_kinds_of_masks(tmp_path: Path, image: Image.Image, expected: np.ndarray):
    coverage = load_mask(saved(tmp_path, image), SIZE)
    assert (coverage.dtype, coverage.shape) == (np.float32, (HEIGHT, WIDTH))
    np.testing.assert_allclose(coverage, expected, atol=1e-6)


def test_a_transparent_colour_of_a_palette_is_outside(tmp_path: Path):
    image = with_palette(np.where(INSIDE, 0, 1), [200, 10, 10, 0, 0, 0])
    coverage = load_mask(saved(tmp_path, image, transparency=1), SIZE)
    np.testing.assert_array_equal(coverage, INSIDE)


def test_a_mask_is_turned_upright(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored rows are columns, from right to left
    path = saved(tmp_path, Image.fromarray(np.rot90(RAMP)), exif=exif)
    np.testing.assert_allclose(load_mask(path, SIZE), RAMP / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("image", "part"),
    [
        (Image.fromarray(RAMP[:, 1:]), "is 11 x 8 px; expected a mask of the picture's size, 12 x 8 px"),
        (Image.fromarray(RAMP * 0), "covers nothing (no px by more than 0.0%)"),
        (Image.fromarray(INSIDE.astype(np.uint8)), "covers nothing (no px by more than 0.4%)"),
        (Image.fromarray(RAMP * 0 + 255), "covers everything"),
        (Image.fromarray(np.dstack([RAMP, FLAT, FLAT])), "is in colour"),
    ],
)
def test_no_masks(tmp_path: Path, image: Image.Image, part: str):
    path = saved(tmp_path, image)
    with pytest.raises(InputImageError) as caught:
        load_mask(path, SIZE)
    assert str(caught.value).startswith(f"{path}: ")
    assert part in str(caught.value)


@pytest.mark.parametrize("load", [load_mask, load_labels])
def test_files_that_are_no_pictures(tmp_path: Path, load):
    with pytest.raises(InputImageError, match=r"none\.png: no such file"):
        load(tmp_path / "none.png", SIZE)
    path = saved(tmp_path, Image.fromarray(RAMP))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputImageError, match=r"mask\.png: the picture is damaged or truncated"):
        load(path, SIZE)
    path.write_bytes(b"no picture at all")
    with pytest.raises(InputImageError, match=r"mask\.png: is no picture that can be read"):
        load(path, SIZE)
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 12 8\n%%EndComments\n")
    with pytest.raises(InputImageError, match=r"mask\.png: is a PostScript program"):
        load(path, SIZE)


@pytest.mark.parametrize("kind", ["palette", "grey", "16 bits"])
def test_labels(tmp_path: Path, kind: str):
    labels = INSIDE * 3
    labels[0, :4] = 1
    if kind == "16 bits":
        labels[7] = 4000
    image = with_palette(labels, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    if kind != "palette":
        image = Image.fromarray(labels.astype(np.uint8 if kind == "grey" else np.uint16))
    found = load_labels(saved(tmp_path, image), SIZE)
    values = [1, 3, 4000] if kind == "16 bits" else [1, 3]
    assert list(found) == [f"object {value}" for value in values]
    for value in values:
        coverage = found[f"object {value}"]
        assert coverage.dtype == np.float32
        np.testing.assert_array_equal(coverage, labels == value)


@pytest.mark.parametrize(
    ("image", "part"),
    [
        (Image.fromarray(RAMP[1:]), "is 12 x 7 px"),
        (Image.fromarray(RAMP * 0), "has no labels"),
        (Image.fromarray(np.dstack([RAMP] * 3)), "has mode RGB"),
    ],
)
def test_no_labels(tmp_path: Path, image: Image.Image, part: str):
    with pytest.raises(InputImageError) as caught:
        load_labels(saved(tmp_path, image), SIZE)
    assert part in str(caught.value)


def test_too_many_labels(tmp_path: Path):
    image = Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16))
    with pytest.raises(InputImageError, match="has 255 labels; the limit is 254"):
        load_labels(saved(tmp_path, image), (16, 16))
