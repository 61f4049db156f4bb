"""Masks from files: which px belong to an object, and how much of each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splat2d.errors import InputImageError, ShapeError
from splat2d.format.layers import MAX_LAYERS
from splat2d.media.files import shown
from splat2d.media.pictures import load_image, load_picture

Coverage = NDArray[np.float32]
"""[H, W] in [0, 1]: how much of each px belongs to an object."""

_GREY_SPREAD = 8 / 255  # between the channels of a grey picture that was stored in colour


def load_mask(path: str | os.PathLike[str], size: tuple[int, int]) -> Coverage:
    """Read a mask: white is the object, black what is not, grey an edge between them.

    What tells is the alpha of a picture that has some, the index of a palette (0 is outside, all others are
    inside), and else the grey value.

    Args:
        path: a picture in any format that Pillow reads.
        size: width and height of the picture that it belongs to, px.

    Returns:
        [H, W] float32 in [0, 1].

    Raises:
        InputImageError: a file that is no picture, is in colour or has another size, or a mask that covers
            nothing or everything by half.
    """
    name, coverage = shown(path), coverage_of(path, size)
    if coverage.max() < 0.5:
        most = f"no px by more than {float(coverage.max()):.1%}"
        raise InputImageError(f"{name}: covers nothing ({most}); white marks the object")
    if coverage.min() >= 0.5:
        raise InputImageError(f"{name}: covers everything; black marks what is not the object")
    return coverage


def coverage_of(path: str | os.PathLike[str], size: tuple[int, int]) -> Coverage:
    """Read a mask that may cover nothing or everything; else as `load_mask`."""
    name = shown(path)
    image = load_image(path)
    _check_size(image, size, name)
    if image.mode == "P" and "transparency" not in image.info:
        coverage = (np.asarray(image) > 0).astype(np.float32)
    else:
        planes = load_picture(image).pixels
        if len(planes) == 3 and np.ptp(planes, axis=0).max() > _GREY_SPREAD:
            raise InputImageError(
                f"{name}: is in colour; expected a mask in grey or with a palette, or a picture with alpha"
            )
        # The last plane is the alpha; of grey that is stored as RGB any will do.
        coverage = planes[-1]
    return coverage


def load_labels(path: str | os.PathLike[str], size: tuple[int, int]) -> dict[str, Coverage]:
    """Read a label image: each px holds the number of the object that it belongs to, 0 of none.

    Args:
        path: a picture with a palette, or grey of 8 or 16 bits, in any format that Pillow reads.
        size: width and height of the picture that it belongs to, px.

    Returns:
        A mask [H, W] float32, 0 or 1, for each number but 0, in rising order: "object 1", "object 2", ...

    Raises:
        InputImageError: a file that is no picture of labels, has another size, no label, or more than a file
            can hold beside the background.
    """
    name, labels = shown(path), labels_of(path, size)
    values = [int(value) for value in np.unique(labels) if value != 0]
    if not values:
        raise InputImageError(f"{name}: has no labels, all px are 0")
    if len(values) >= MAX_LAYERS:
        raise InputImageError(f"{name}: has {len(values)} labels; the limit is {MAX_LAYERS - 1}")
    return {f"object {value}": (labels == value).astype(np.float32) for value in values}


def labels_of(path: str | os.PathLike[str], size: tuple[int, int]) -> NDArray[np.integer]:
    """The numbers [H, W] of a label image, which may all be 0; else as `load_labels`."""
    name = shown(path)
    image = load_image(path)
    _check_size(image, size, name)
    if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
        raise InputImageError(
            f"{name}: has mode {image.mode}; expected labels: a picture with a palette or grey integers"
        )
    return np.asarray(image)


def load_masks(masks: object, size: Sequence[int]) -> dict[str, Coverage]:
    """Masks as Python callers give them.

    Args:
        masks: names and masks, which are paths or arrays [H, W] in [0, 1]; or the path of a label image.
        size: height and width of the picture, px.

    Raises:
        InputImageError: a file that is no mask of this picture.
        ShapeError: an array that is none.
    """
    height, width = size
    if isinstance(masks, (str, os.PathLike)):
        return load_labels(masks, (width, height))
    if not isinstance(masks, Mapping):
        raise ShapeError(f"masks must be names and masks, or a path of labels; found {type(masks).__name__}")
    out = {}
    for name, mask in masks.items():
        if isinstance(mask, (str, os.PathLike)):
            out[name] = load_mask(mask, (width, height))
            continue
        array = np.asarray(mask)
        if array.dtype.kind not in "bfiu" or array.ndim != 2 or not (array.min() >= 0 and array.max() <= 1):
            raise ShapeError(f"the mask of {name!r} must be [H, W] in [0, 1]")
        out[name] = array.astype(np.float32)
    return out


def _check_size(image: Image.Image, size: tuple[int, int], name: str) -> None:
    """Raise InputImageError for a mask of another size than its picture."""
    if image.size != size:
        raise InputImageError(
            f"{name}: is {image.width} x {image.height} px; expected a mask of the picture's size, "
            f"{size[0]} x {size[1]} px"
        )
