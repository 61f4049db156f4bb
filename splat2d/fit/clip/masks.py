"""Masks of a clip's objects: how much of each pixel of each frame belongs to one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import ConfigError, InputClipError, InputImageError, ShapeError
from splat2d.fit.objects.masks import coverage_of, labels_of
from splat2d.media.files import shown
from splat2d.media.patterns import folder_files, is_pattern, pattern_files

Masks = Callable[[], Iterator[NDArray[np.uint8]]]
"""Begins anew with the masks [H, W] of all frames, 255 where the object covers all."""


def load_clip_masks(masks: object, size: tuple[int, int]) -> dict[str, Masks]:
    """Masks of objects, back to front, as callers give them.

    Args:
        masks: names and masks, which are arrays [T, H, W] in [0, 1], folders of pictures, patterns such as
            `%04d.png`, or videos in grey; or a folder or pattern of label images.
        size: width and height of the frames, px.

    Raises:
        ShapeError: an array that is none.
        InputImageError: label images without labels, or that are none.
    """
    if _is_path(masks):
        return _of_labels(masks, size)
    if not isinstance(masks, Mapping):
        raise ShapeError(f"masks must be names and masks, or a path of labels; found {type(masks).__name__}")
    begin = {name: _of_files if _is_path(mask) else _of_array for name, mask in masks.items()}
    return {name: begin[name](name, mask, size) for name, mask in masks.items()}


def boxes_of(masks: Mapping[str, Masks], count: int) -> dict[str, tuple[int, int, int, int]]:
    """Read all masks once, before anything is fitted.

    Returns:
        Left, top, width and height of what each object covers over all frames, px.

    Raises:
        ShapeError: more or fewer masks than frames.
        ConfigError: masks that cover nothing in any frame.
    """
    boxes = {}
    for name, begin in masks.items():
        frames, most = 0, np.zeros((1, 1), np.uint8)
        for mask in begin():
            frames, most = frames + 1, np.maximum(most, mask)
        if frames != count:
            raise ShapeError(f"mask {name!r} has {frames} frames, and the clip has {count}")
        if most.max() < 128:
            raise ConfigError(f"mask {name!r} covers nothing in any frame; white marks the object")
        (ys, xs) = np.nonzero(most)
        left, top = int(xs.min()), int(ys.min())
        boxes[name] = (left, top, int(xs.max()) + 1 - left, int(ys.max()) + 1 - top)
    return boxes


def _is_path(mask: object) -> TypeGuard[str]:
    return isinstance(mask, (str, os.PathLike))


def _of_array(name: str, mask: object, size: tuple[int, int]) -> Masks:
    array = np.asarray(mask)
    if array.dtype.kind not in "bfiu" or array.ndim != 3 or not (array.min() >= 0 and array.max() <= 1):
        raise ShapeError(f"the masks of {name!r} must be [T, H, W] in [0, 1]")
    if array.shape[:0:-1] != size:
        found = f"{array.shape[2]} x {array.shape[1]} px"
        raise ShapeError(f"the masks of {name!r} are {found}, the frames {size[0]} x {size[1]} px")
    return lambda: (np.rint(255 * plane.astype(np.float32)).astype(np.uint8) for plane in array)


def _files_of(path: str) -> list[str] | None:
    """The pictures of a folder or a pattern; None of anything else."""
    if os.path.isdir(path):
        return folder_files(path)
    return (
        pattern_files(os.fspath(path)) if not os.path.lexists(path) and is_pattern(os.fspath(path)) else None
    )


def _of_labels(path: str, size: tuple[int, int]) -> dict[str, Masks]:
    """A mask of each number but 0 that any of some label images has, in rising order."""
    files = _files_of(path)
    if files is None:
        raise InputImageError(f"{shown(path)}: labels of a clip are a folder or a pattern of pictures")
    values = sorted({int(v) for file in files for v in np.unique(labels_of(file, size)) if v})
    if not values:
        raise InputImageError(f"{shown(path)}: has no labels, all px are 0")

    def begin(value: int) -> Masks:
        return lambda: (np.where(labels_of(file, size) == value, 255, 0).astype(np.uint8) for file in files)

    return {f"object {value}": begin(value) for value in values}


def _of_files(_: str, path: str, size: tuple[int, int]) -> Masks:
    files = _files_of(path)
    if files is not None:
        return lambda: (np.rint(255 * coverage_of(file, size)).astype(np.uint8) for file in files)
    from splat2d.media.reader import open_clip

    reader = open_clip(path, keeps_alpha=True)
    if (reader.width, reader.height) != size:
        found = f"{reader.width} x {reader.height} px"
        raise InputClipError(
            f"{shown(path)}: is {found}; expected masks of the clip's size, {size[0]} x {size[1]} px"
        )
    return lambda: (_coverage(frame.pixels) for frame in reader)


def _coverage(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Of a frame with alpha that tells, of others the grey value."""
    return pixels[..., 3] if pixels.shape[2] == 4 else pixels.mean(2).round().astype(np.uint8)
