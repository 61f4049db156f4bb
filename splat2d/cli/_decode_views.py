"""`splat2d decode` of a light field: its views, any view, what a lens would see, disparities."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any

from splat2d.cli._arguments import UsageError, in_range, parse_numbers
from splat2d.cli._terminal import print_json

if TYPE_CHECKING:
    from splat2d.cli.decode import Decode
    from splat2d.scene.picture import Scene

_NUMBER = re.compile(r"%(?:0(\d+))?d")


def decode_views(scene: Scene, command: Decode, size: dict[str, Any], start: float) -> None:
    """Write what the command asks for.

    Args:
        scene: a light field.
        command: as it was given.
        size: arguments of `Scene.render`.
        start: when the command began, s of `time.perf_counter`.

    Raises:
        UsageError: options that contradict each other, or several views without a pattern.
    """
    in_range(-1e6, 1e6, refocus=command.refocus)
    numbers = list(_NUMBER.finditer(os.path.basename(command.output)))
    if command.depth is not None:
        _write(command.depth, scene.disparity(**_only_window(size)), command)
    if len(numbers) == 2:
        if command.view is not None or command.refocus is not None:
            raise UsageError("--view and --refocus are of one picture, and OUTPUT is a pattern of all views")
        names = _names(command.output, scene)
        for path, (u, v) in zip(names, scene.eyes, strict=True):
            _write(path, _drawn(scene.seen_from(u, v), path, size), command)
        _say(command, scene, len(names), start)
        return
    if numbers:
        raise UsageError(f"{command.output!r} has one number; views have a row and a column: v%02d_u%02d.png")
    seen = scene
    u, v = (0, 0) if command.view is None else parse_numbers("view", command.view, "U,V")
    if command.refocus is not None:
        seen = scene.refocused(command.refocus, view=(u, v))
    elif command.view is not None:
        seen = scene.seen_from(u, v)
    _write(command.output, _drawn(seen, command.output, size), command)
    _say(command, scene, 1, start)


def _names(pattern: str, scene: Scene) -> list[str]:
    """The path of each view: row and column from 1 on, where the pattern's letters say which is which."""
    from splat2d.media.views import column_first

    columns, rows = (sorted({eye[axis] for eye in scene.eyes}) for axis in (0, 1))
    folder, base = os.path.split(pattern)
    pieces, names = _NUMBER.split(base), []
    turned = column_first(pieces[0], pieces[2])
    for u, v in scene.eyes:
        cell = [rows.index(v) + 1, columns.index(u) + 1]
        first, second = cell[::-1] if turned else cell
        numbers = [f"{n:0{int(width or 1)}d}" for n, width in ((first, pieces[1]), (second, pieces[3]))]
        names.append(os.path.join(folder, pieces[0] + numbers[0] + pieces[2] + numbers[1] + pieces[4]))
    return names


def _only_window(size: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in size.items() if key not in ("device", "texture")}


def _drawn(scene: Scene, path: str, size: dict[str, Any]) -> Any:
    from splat2d.media.save import picture_format

    return scene.render_float(**size) if picture_format(path) == "NPY" else scene.render(**size)


def _write(path: str, pixels: Any, command: Decode) -> None:
    from splat2d.media.files import check_output, make_folder
    from splat2d.media.save import picture_format, save_picture

    if pixels.dtype != "uint8" and picture_format(path) != "NPY":
        low, high = float(pixels.min()), float(pixels.max())
        pixels = ((pixels - low) * (255 / max(high - low, 1e-6)) + 0.5).astype("uint8")
    if folder := os.path.dirname(path):
        make_folder(folder)
    check_output(path, force=command.force)
    save_picture(pixels, path, force=command.force)


def _say(command: Decode, scene: Scene, views: int, start: float) -> None:
    seconds = time.perf_counter() - start
    if command.as_json:
        print_json(
            {
                "input": command.input,
                "output": command.output,
                "views": views,
                "splats": scene.count,
                "seconds": seconds,
            }
        )
        return
    print(f"{command.output}: {views} of {len(scene.eyes)} views, {scene.count:,} splats, {seconds:.3f} s")
