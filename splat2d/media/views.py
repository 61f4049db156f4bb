"""Light fields in: pictures of one scene from a grid of places, by names, a list, or one lenslet picture."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import ConfigError, InputImageError
from splat2d.media.files import read_bytes, shown
from splat2d.media.patterns import folder_files, natural_key
from splat2d.media.pictures import load_picture

MOST_VIEWS = 64
"""Views that one file holds: those of a field."""

FAR = 1 << 15
"""Least distance from the middle view that is too far, in steps of the grid."""

# What names call a column and a row: u and v are the light field's own letters.
_COLUMN, _ROW = {"u", "x", "c", "col", "column"}, {"v", "y", "r", "row"}
_LETTERS = re.compile(r"([A-Za-z]*)[^A-Za-z]?$")
_NUMBERED = re.compile(r"%(?:0\d+)?d")


@dataclass(frozen=True)
class Views:
    """Pictures of one scene, seen from several places.

    Args:
        pixels: [K, H, W, 3] uint8.
        eyes: [K, 2] u, v of each, to the right and down from the middle of the grid, in steps of it.
        warnings: what the pictures lost on their way.
    """

    pixels: NDArray[np.uint8]
    eyes: NDArray[np.float64]
    warnings: tuple[str, ...] = ()


def load_views(source: str | os.PathLike[str] | Sequence[str], grid: tuple[int, int] | None = None) -> Views:
    """Read the views of a light field.

    Args:
        source: a folder; a pattern with two numbers, as `v%02d_u%02d.png`; a JSON file, a list of objects
            with `file` (relative to the list), `u` and `v`; or paths.
        grid: columns and rows. With it, names without two numbers are views row by row.

    Raises:
        InputImageError: a view is missing, damaged, or of another size.
        ConfigError: the places cannot be told, or are too many or too far.
    """
    if not isinstance(source, str | os.PathLike):
        name, placed = "the views", places_of(list(source), grid, "the views")
    else:
        name = shown(source)
        text = os.fspath(source)
        if text.lower().endswith(".json") and not os.path.isdir(text):
            placed = _listed(text)
        elif _has_two_numbers(text):
            placed = places_of(_matching(text), grid, name)
        elif os.path.isdir(text):
            placed = places_of(folder_files(text), grid, name)
        else:
            raise InputImageError(
                f"{name}: holds no views; give a folder, a pattern such as v%02d_u%02d.png, or a JSON list"
            )
    return _read(placed, name)


def is_light_field(path: str) -> bool:
    """Whether a path can only be meant as views: a pattern with two numbers, or a JSON list."""
    return _has_two_numbers(path) or path.lower().endswith(".json")


def _has_two_numbers(path: str) -> bool:
    """Whether a file's name has two places for numbers with something between them."""
    pieces = _NUMBERED.split(os.path.basename(path))
    return len(pieces) == 3 and pieces[1] != ""


def cut_views(source: Any, size: tuple[int, int]) -> Views:
    """Take the views out of a lenslet picture, in which W x H pixels lie behind each lens.

    Args:
        source: a picture, as of `load_picture`.
        size: W and H, px; as many views.

    Raises:
        InputImageError: it is no picture, or no whole number of lenses.
        ConfigError: more views than a file holds.
    """
    columns, rows = size
    _check_count(columns * rows, "the lenslet picture")
    picture = load_picture(source)
    if picture.width % columns or picture.height % rows:
        raise InputImageError(
            f"the lenslet picture of {picture.width}x{picture.height} px is no whole number of lenses of "
            f"{columns}x{rows} px"
        )
    levels = _levels(picture)
    grid = [(u, v) for v in range(rows) for u in range(columns)]
    pixels = np.stack([levels[v::rows, u::columns] for u, v in grid])
    return Views(np.ascontiguousarray(pixels), _centred(grid), picture.warnings)


def places_of(
    paths: Sequence[str], grid: tuple[int, int] | None, name: str
) -> list[tuple[str, float, float]]:
    """Where views are, by two numbers in their names, else row by row.

    Of the numbers in the names, those that differ from name to name are taken: behind `u`, `x` or `col` the
    column, behind `v`, `y` or `row` the row, else the row first.

    Returns:
        Path, u and v of each, row by row, the grid's middle at 0.

    Raises:
        ConfigError: the names do not tell, or contradict the grid.
    """
    _check_count(len(paths), name)
    found = _by_name(paths)
    if found is None and grid is None:
        raise ConfigError(
            f"{name}: the names tell no row and column; give --views COLUMNSxROWS for views row by row"
        )
    if found is None:
        columns, rows = grid or (1, 1)
        if len(paths) != columns * rows:
            raise ConfigError(f"{name}: has {len(paths)} pictures, expected {columns}x{rows} views")
        order = sorted(paths, key=natural_key)
        cells = [(u, v) for v in range(rows) for u in range(columns)]
        return [(path, float(u), float(v)) for path, (u, v) in zip(order, _centred(cells), strict=True)]
    if len(set(found)) < len(found):
        raise ConfigError(f"{name}: two views have one place")
    columns, rows = (len(set(axis)) for axis in zip(*found, strict=True))
    spread = [max(axis) - min(axis) + 1 for axis in zip(*found, strict=True)]
    if grid is not None and (columns, rows) != grid and tuple(spread) != grid:
        raise ConfigError(
            f"{name}: the names are of {columns}x{rows} views, not of {grid[0]}x{grid[1]} as --views says"
        )
    eyes = _centred(found)
    order = sorted(range(len(paths)), key=lambda k: (found[k][1], found[k][0]))
    return [(paths[k], float(eyes[k][0]), float(eyes[k][1])) for k in order]


def _by_name(paths: Sequence[str]) -> list[tuple[int, int]] | None:
    """Column and row of each, from the two numbers that differ; None where there are not two."""
    parts = [re.split(r"(\d+)", os.path.basename(path)) for path in paths]
    if len({tuple(p[::2]) for p in parts}) != 1:
        return None
    numbers = [[int(n) for n in p[1::2]] for p in parts]
    varying = [i for i in range(len(numbers[0])) if len({n[i] for n in numbers}) > 1]
    # A single row or column: the number beside it is told by its letter.
    named = [i for i in range(len(numbers[0])) if _letter(parts[0][2 * i]) in _COLUMN | _ROW]
    chosen = varying if len(varying) == 2 else named if len(named) == 2 else []
    if len(chosen) != 2:
        return None
    first, second = chosen
    turned = column_first(parts[0][2 * first], parts[0][2 * second])
    column, row = (first, second) if turned else (second, first)
    return [(n[column], n[row]) for n in numbers]


def column_first(before: str, between: str) -> bool:
    """Whether of two numbers in a name the first is the column, by what stands before each."""
    return _letter(before) in _COLUMN or _letter(between) in _ROW


def _letter(before: str) -> str:
    """The word right before a number."""
    match = _LETTERS.search(before)
    return match[1].lower() if match else ""


def _matching(pattern: str) -> list[str]:
    """The files that a pattern with two numbers means."""
    folder, base = os.path.split(pattern)
    pieces = [re.escape(piece) for piece in _NUMBERED.split(base)]
    wanted = re.compile(r"\d+".join(pieces))
    try:
        names = [n for n in os.listdir(folder or ".") if wanted.fullmatch(n)]
    except OSError:
        names = []
    if not names:
        raise InputImageError(f"{shown(pattern)}: matches no file; check the pattern")
    return [os.path.join(folder, n) for n in names]


def _listed(path: str) -> list[tuple[str, float, float]]:
    """Views and places of a JSON list."""
    wrong = ConfigError(
        f'{shown(path)}: expected a JSON list of views such as {{"file": "a.png", "u": -1, "v": 0.5}}'
    )
    try:
        rows = json.loads(read_bytes(path))
    except (ValueError, RecursionError):
        raise wrong from None
    if not isinstance(rows, list) or not rows:
        raise wrong
    _check_count(len(rows), shown(path))
    placed = []
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("file"), str):
            raise wrong
        eye: list[Any] = [row.get(axis) for axis in "uv"]
        if not all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < FAR for v in eye):
            raise ConfigError(f"{shown(path)}: the place of {row['file']} is {eye}, expected two numbers")
        placed.append((os.path.join(os.path.dirname(path), row["file"]), float(eye[0]), float(eye[1])))
    if len({(u, v) for _, u, v in placed}) < len(placed):
        raise ConfigError(f"{shown(path)}: two views have one place")
    return placed


def _read(placed: Sequence[tuple[str, float, float]], name: str) -> Views:
    """The pictures at their places."""
    pixels, warnings = [], dict[str, None]()
    for path, *_ in placed:
        picture = load_picture(path)
        warnings |= dict.fromkeys(picture.warnings)
        if picture.channels in (2, 4):
            warnings["transparent pixels are put on white"] = None
        pixels.append(_levels(picture))
        if pixels[-1].shape != pixels[0].shape:
            (h, w, _), (height, width, _) = pixels[-1].shape, pixels[0].shape
            raise InputImageError(
                f"{shown(path)}: is {w}x{h} px, but {shown(placed[0][0])} is {width}x{height} px; "
                f"the views of {name} must have one size"
            )
    return Views(np.stack(pixels), np.array([place[1:] for place in placed], float), tuple(warnings))


def _levels(picture: Any) -> NDArray[np.uint8]:
    """A picture as 8-bit RGB [H, W, 3], on white where it is transparent."""
    planes = picture.pixels
    if picture.channels in (2, 4):
        planes = planes[:-1] + (1 - planes[-1])  # its colour is premultiplied
    levels = np.rint(planes * 255).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(levels, (3, *levels.shape[1:])).transpose(1, 2, 0))


def _centred(cells: Iterable[tuple[int, int]]) -> NDArray[np.float64]:
    """Places [K, 2] from cells of a grid, whose middle is at 0."""
    at = np.array(list(cells), float)
    return at - (at.min(0) + at.max(0)) / 2


def _check_count(count: int, name: str) -> None:
    if count > MOST_VIEWS:
        raise ConfigError(f"{name}: has {count} views, expected {MOST_VIEWS} at most")
    if count < 2:
        raise ConfigError(f"{name}: has {count} view; encode a single picture as a picture")
