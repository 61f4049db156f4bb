"""Which px of a picture an object covers: from a box, a polygon, a point, a colour or a mask."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splat2d.errors import BackendUnavailableError, ConfigError, ShapeError
from splat2d.fit.objects.masks import Coverage, load_mask
from splat2d.media.pictures import picture_from_array

TOLERANCE = 24.0
"""How far similar colours may lie apart in any channel, 8-bit levels."""

_GRABCUT_ROUNDS = 5
_SPECK = 3  # px, the window of the median
_ROWS = 8  # lines in a px along which a polygon is measured
_FARTHEST = 1e6  # px

Pixels = NDArray[np.uint8]
"""[H, W, C] as decoded: grey, grey and alpha, RGB or RGBA, alpha straight."""


def select(
    pixels: Pixels,
    *,
    box: Sequence[float] | None = None,
    polygon: ArrayLike | None = None,
    point: Sequence[float] | None = None,
    color: str | None = None,
    mask: str | os.PathLike[str] | NDArray | None = None,
    tolerance: float | None = None,
) -> Coverage:
    """How much of each px an object covers; what it is, exactly one argument says.

    Args:
        pixels: [H, W, C] uint8.
        box: x, y, width and height around the object, px; see `from_box`.
        polygon: [N, 2] the object's corners, px; see `from_polygon`.
        point: x, y of a point in it, px; see `from_point`.
        color: its colour, as `#rrggbb`; see `from_color`.
        mask: a file for `load_mask`, or [H, W] of bool, uint8, uint16 or floats in [0, 1].
        tolerance: of point and color, 8-bit levels from 0 to 255; 24 when None.

    Returns:
        [H, W] float32 in [0, 1].

    Raises:
        ConfigError: none or several of these, numbers out of range, or nothing or everything selected.
        ShapeError: an array that is no mask of this picture.
        InputImageError: a file that is none.
        BackendUnavailableError: a box without OpenCV installed.
    """
    options = {"box": box, "polygon": polygon, "point": point, "color": color, "mask": mask}
    given = [name for name, value in options.items() if value is not None]
    if len(given) != 1:
        found = f"found {' and '.join(given)}" if given else "found none"
        raise ConfigError(f"expected one of {', '.join(options)} to say where the object is, {found}")
    if tolerance is not None and point is None and color is None:
        raise ConfigError(f"tolerance is of point and color, and does not go with {given[0]}")
    reach = TOLERANCE if tolerance is None else tolerance
    height, width = pixels.shape[:2]
    if box is not None:
        coverage = from_box(pixels, box)
    elif polygon is not None:
        coverage = from_polygon((width, height), polygon)
    elif point is not None:
        coverage = from_point(pixels, point, reach)
    elif color is not None:
        coverage = from_color(pixels, color, reach)
    elif isinstance(mask, np.ndarray):
        coverage = _from_array((width, height), mask)
    else:
        assert mask is not None
        coverage = load_mask(mask, (width, height))
    if coverage.max() < 0.5:
        raise ConfigError(f"the {given[0]} selects nothing of the picture")
    if coverage.min() >= 0.5:
        raise ConfigError(f"the {given[0]} selects the whole picture; nothing is left around it")
    return coverage


def from_box(pixels: Pixels, box: Sequence[float]) -> Coverage:
    """The object in a box, told from what is around it by GrabCut.

    Source: "GrabCut": Interactive foreground extraction using iterated graph cuts (2004), as OpenCV has it.
    Transparent px are background, too, and what is far from the box is not looked at.

    Args:
        pixels: [H, W, C] uint8.
        box: x, y, width and height, px; the object lies wholly inside.

    Returns:
        [H, W] float32, 0 or 1.

    Raises:
        ConfigError: a box that is empty, not inside the picture, or has no background around.
        BackendUnavailableError: no OpenCV.
    """
    height, width = pixels.shape[:2]
    x, y, w, h = _numbers("box", box, 4)
    if not (w > 0 and h > 0 and x >= 0 and y >= 0 and x + w <= width and y + h <= height):
        raise ConfigError(f"box {x:g},{y:g},{w:g},{h:g} is not inside the picture of {width} x {height} px")
    try:
        import cv2
    except ImportError:
        raise BackendUnavailableError(
            "finding the object in a box needs OpenCV; pip install 'splat2d[segment]'"
        ) from None
    margin = max(w, h) / 2
    rows = slice(int(max(y - margin, 0)), int(np.ceil(min(y + h + margin, height))))
    columns = slice(int(max(x - margin, 0)), int(np.ceil(min(x + w + margin, width))))
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)
    labels[int(y) : int(np.ceil(y + h)), int(x) : int(np.ceil(x + w))] = cv2.GC_PR_FGD
    color, alpha = _color_and_alpha(pixels)
    labels[alpha < 128] = cv2.GC_BGD
    window = np.ascontiguousarray(labels[rows, columns])
    if (window == cv2.GC_PR_FGD).all():
        raise ConfigError("the box is the whole picture; GrabCut needs some background around it")
    if (window == cv2.GC_PR_FGD).any():
        cv2.setRNGSeed(0)  # its first guess is random
        rgb = np.ascontiguousarray(np.broadcast_to(color, (height, width, 3))[rows, columns])
        models = np.zeros((2, 1, 65))
        cv2.grabCut(rgb, window, (0, 0, 0, 0), models[0], models[1], _GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    coverage = np.zeros((height, width), np.float32)
    found = (window == cv2.GC_PR_FGD).astype(np.uint8)
    # Specks of up to four px are rather noise than object, and their edges would cost bits.
    coverage[rows, columns] = cv2.medianBlur(found, _SPECK)
    return coverage


def from_polygon(size: tuple[int, int], points: ArrayLike) -> Coverage:
    """The inside of a polygon, with as much of its border's px as lies inside.

    Where it crosses itself, what an odd number of turns goes around is inside.

    Args:
        size: width and height of the picture, px.
        points: [N, 2] corners in order, px, at least three and not on one line; some may lie outside.

    Returns:
        [H, W] float32 in [0, 1].

    Raises:
        ConfigError: no such points.
    """
    corners = np.asarray(points, np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        shape = "x".join(map(str, corners.shape)) or "a number"
        raise ConfigError(f"polygon: expected at least 3 corners x, y, found {shape}")
    # Not a number fails every comparison.
    if not (np.abs(corners) <= _FARTHEST).all():
        raise ConfigError(f"polygon: expected corners within {_FARTHEST:g} px, found {corners.tolist()}")
    if np.linalg.matrix_rank(corners - corners[0]) < 2:
        raise ConfigError("polygon: all corners lie on one line")
    width, height = size
    (x0, y0), (x1, y1) = corners.T, np.roll(corners, -1, axis=0).T
    coverage = np.zeros((height, width), np.float32)
    for line in range(_ROWS * height):
        y = (line + 0.5) / _ROWS
        i = (y0 <= y) != (y1 <= y)
        if i.any():
            crossings = np.sort(x0[i] + (y - y0[i]) / (y1[i] - y0[i]) * (x1[i] - x0[i]))
            # How much of each px lies to the left of each crossing; inside is from each odd one to the next.
            left = np.clip(crossings[:, None] - np.arange(width), 0, 1)
            coverage[line // _ROWS] += (left[1::2] - left[::2]).sum(0)
    return np.minimum(coverage / np.float32(_ROWS), 1)


def from_point(pixels: Pixels, point: Sequence[float], tolerance: float = TOLERANCE) -> Coverage:
    """The connected region of similar colour around a point.

    Args:
        pixels: [H, W, C] uint8.
        point: x, y, px.
        tolerance: largest difference to the point's px in any channel, alpha included, 8-bit levels.

    Returns:
        [H, W] float32, 0 or 1.

    Raises:
        ConfigError: a point outside, or a tolerance out of range.
    """
    height, width = pixels.shape[:2]
    x, y = _numbers("point", point, 2)
    if not (0 <= x < width and 0 <= y < height):
        raise ConfigError(f"point {x:g},{y:g} is not inside the picture of {width} x {height} px")
    row, column = int(y), int(x)
    return _connected(_similar(pixels, pixels[row, column], tolerance), row, column).astype(np.float32)


def from_color(pixels: Pixels, color: str, tolerance: float = TOLERANCE) -> Coverage:
    """All px of about one colour that are not transparent.

    Args:
        pixels: [H, W, C] uint8.
        color: `#rrggbb`.
        tolerance: largest difference to it in red, green or blue, 8-bit levels.

    Returns:
        [H, W] float32, 0 or 1.

    Raises:
        ConfigError: no such colour, or a tolerance out of range.
    """
    if not isinstance(color, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", color):
        raise ConfigError(f"color: {color!r} is not understood; expected #rrggbb")
    opaque, alpha = _color_and_alpha(pixels)
    wanted = np.frombuffer(bytes.fromhex(color[1:]), np.uint8)
    return (_similar(opaque, wanted, tolerance) & (alpha >= 128)).astype(np.float32)


def _from_array(size: tuple[int, int], mask: NDArray) -> Coverage:
    """A mask that is given as [H, W]."""
    if mask.shape != size[::-1]:
        shape = "x".join(map(str, mask.shape)) or "a number"
        raise ShapeError(f"mask: expected the picture's shape {size[1]}x{size[0]}, found {shape}")
    return picture_from_array(mask.astype(np.float32) if mask.dtype == bool else mask).pixels[0]


def _numbers(name: str, values: Sequence[float], count: int) -> list[float]:
    """That many finite numbers."""
    numbers = [float(value) for value in values]
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ConfigError(f"{name}: expected {count} finite numbers, found {', '.join(map(str, values))}")
    return numbers


def _color_and_alpha(pixels: Pixels) -> tuple[Pixels, Pixels]:
    """Colour [H, W, 1 or 3] and alpha [H, W]."""
    if pixels.shape[2] in (2, 4):
        return pixels[..., :-1], pixels[..., -1]
    return pixels, np.full(pixels.shape[:2], 255, np.uint8)


def _similar(pixels: Pixels, color: Pixels, tolerance: float) -> NDArray[np.bool_]:
    """Where no channel of [H, W, C] differs by more than the tolerance from a colour [C]."""
    if not 0 <= tolerance <= 255:
        raise ConfigError(f"tolerance is {tolerance:g}, expected 0 to 255")
    return np.all(np.abs(pixels.astype(np.int16) - color.astype(np.int16)) <= tolerance, axis=-1)


def _connected(region: NDArray[np.bool_], row: int, column: int) -> NDArray[np.bool_]:
    """The part of a region [H, W] that is connected, by sides of px, to one px of it.

    Works on runs of px in rows: each points to the first run that it is known to be connected to, and those
    are joined until nothing changes.
    """
    height, width = region.shape
    stride = width + 1  # one px beside each row, so that no run goes on in the next
    flat = np.pad(region, ((0, 0), (0, 1))).ravel().astype(np.int8)
    starts, ends = np.flatnonzero(np.diff(flat, prepend=0)).reshape(-1, 2).T
    # Runs of the next row that have a column in common with each run: from `first` to before `last`.
    first = np.searchsorted(ends, starts + stride, "right")
    last = np.searchsorted(starts, ends + stride, "left")
    count = last - first
    upper = np.repeat(np.arange(len(starts)), count)
    lower = np.arange(len(upper)) + np.repeat(first - np.cumsum(count) + count, count)
    joined = np.arange(len(starts))
    while True:
        a, b = joined[upper], joined[lower]
        new = joined.copy()
        np.minimum.at(new, np.maximum(a, b), np.minimum(a, b))
        while (new[new] != new).any():
            new = new[new]
        if (new == joined).all():
            break
        joined = new
    run = np.searchsorted(starts, row * stride + column, "right") - 1
    found = joined == joined[run]
    change = np.zeros(height * stride, np.int8)
    change[starts[found]] = 1
    change[ends[found]] = -1
    return np.cumsum(change, dtype=np.int8).reshape(height, stride)[:, :width].astype(bool)
