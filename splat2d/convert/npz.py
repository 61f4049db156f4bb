"""The splats as arrays, for numpy: what a file holds before its edits, and back to a file.

`means` [N, 2] px, `conics` [N, 3] px^-2, `colors` [N, C], `background` [C] and `tier` [N] are those of the
first layer; those of layer i are `i/means` and so on, and those of its matte `i/matte/means` (of the first
layer `matte/means`). `about` is a text of JSON: the canvas, and each layer's name, canvas, step and quality.
Splats that were not changed come back as they were; others are quantised at the step.
"""

from __future__ import annotations

import io
import json
import zipfile
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np

from splat2d.codec.layer import code_layer, container_of
from splat2d.draw.compose import Splats
from splat2d.errors import BitstreamError, ShapeError
from splat2d.format.container import write
from splat2d.format.field import MAX_SPLATS
from splat2d.format.header import Header, check_fields
from splat2d.format.layers import CodedLayer, check_name
from splat2d.native import core
from splat2d.scene.drawable import Drawable

VERSION = 1


def export(drawable: Drawable, file: BinaryIO, *, time: float | Fraction = 0) -> tuple[str, ...]:
    """Write all coded layers, of a clip the splats that a moment shows."""
    arrays: dict[str, Any] = {}
    about: list[dict[str, Any]] = []
    shown = {state.source: splats for state, splats in drawable._shown(time)}
    for source, splats in sorted(shown.items()):
        coded = drawable.document.container.stack[source]
        prefix = f"{len(about)}/" if about else ""
        entry = {"name": coded.name, **_fields(coded.header)}
        _add(arrays, prefix, splats)
        if splats.matte is not None:
            _add(arrays, f"{prefix}matte/", splats.matte)
            header = coded.header if coded.matte is None else coded.matte.header
            entry["matte"] = _fields(header)
        about.append(entry)
    told = {
        "version": VERSION,
        "width": drawable.width,
        "height": drawable.height,
        "layers": about,
        "notes": list(drawable.notes),
    }
    np.savez_compressed(file, about=np.array(json.dumps(told)), **arrays)
    notes = ["edits are left out: bake them first"] if drawable.document.steps else []
    if drawable.document.is_clip:
        notes.append("this is one moment of a clip, whose splats have lost their times and velocities")
    return tuple(notes)


def _fields(header: Header) -> dict[str, int]:
    return {
        "width": header.width,
        "height": header.height,
        "step_code": header.step_code,
        "chroma_step": header.chroma_step,
        "quality": header.quality,
    }


def _add(arrays: dict[str, Any], prefix: str, splats: Splats) -> None:
    for name in ("means", "conics", "colors", "background"):
        arrays[prefix + name] = getattr(splats, name)
    if splats.tier_counts:
        arrays[f"{prefix}tier"] = splats.tier.astype(np.uint8)


def load(data: bytes) -> bytes:
    """Return the .splat file of a picture.

    Raises:
        BitstreamError: no such archive, or one without what it takes.
        ShapeError: arrays of other shapes.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            about = json.loads(str(archive["about"]))
            layers = [_layer(archive, number, entry) for number, entry in enumerate(about["layers"])]
            notes = tuple(map(str, about.get("notes", ())))
            if not layers:
                raise BitstreamError("this .npz has no layers")
            return write(container_of(int(about["width"]), int(about["height"]), layers, notes))
    except KeyError as fault:
        raise BitstreamError(
            f"this .npz is not one of splat2d: it has no {str(fault.args[0]).split()[0]!r}"
        ) from None
    except (ValueError, TypeError, OSError, zipfile.BadZipFile) as fault:
        raise BitstreamError(
            f"this .npz is damaged, or not one of splat2d ({' '.join(str(fault).split())})"
        ) from None


def _layer(archive: Any, number: int, entry: dict[str, Any]) -> CodedLayer:
    prefix = f"{number}/" if number else ""
    check_name(entry["name"])
    matte = None
    if "matte" in entry:
        matte = _coded(archive, f"{prefix}matte/", entry["matte"])
    return code_layer(entry["name"], *_coded(archive, prefix, entry), matte=matte)


def _coded(archive: Any, prefix: str, fields: dict[str, Any]) -> tuple[Header, np.ndarray]:
    """A header, and integers [N, C + 5]."""
    base = np.asarray(archive[f"{prefix}background"], np.float64)
    channels = base.shape[0] if base.ndim == 1 else 0
    if not 1 <= channels <= 4:
        raise ShapeError(f"{prefix}background must be [C], C from 1 to 4, found {list(base.shape)}")
    arrays = []
    for name, columns in (("means", 2), ("conics", 3), ("colors", channels)):
        array = np.ascontiguousarray(archive[prefix + name], np.float32)
        if array.ndim != 2 or array.shape[1] != columns or not np.isfinite(array).all():
            raise ShapeError(
                f"{prefix}{name} must be [N, {columns}] finite numbers, found {list(array.shape)}"
            )
        arrays.append(array)
    counts = {len(array) for array in arrays}
    if len(counts) > 1 or max(counts) > MAX_SPLATS:
        raise ShapeError(f"means, conics and colors must have one number of rows, found {sorted(counts)}")
    background = tuple(np.rint(255 * np.clip(base, 0, 1)).astype(int).tolist())
    names = ("width", "height", "step_code", "chroma_step", "quality")
    width, height, code, chroma, quality = (int(fields[name]) for name in names)
    header = Header(width, height, channels, code, chroma, quality, background)
    check_fields(header)
    means, conics, colors = arrays
    a, b, c = conics.T.astype(np.float64)
    positive = (a > 0) & (a * c > b * b)
    if not positive.all():
        raise ShapeError(f"{prefix}conics must be positive definite; {int((~positive).sum())} are not")
    integers = core().quantize(means, conics, colors, width, height, header.step, chroma)
    return header, np.ascontiguousarray(integers[integers[:, :channels].any(1)])
