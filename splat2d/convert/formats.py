"""Which suffix is whose: the one place that a new format is entered at.

A format is a module of this package. To export it has `export(drawable, file, *, time)`, which writes to an
open binary file and returns notes on what the format cannot show; to import, `load(data)`, which returns the
bytes of a .splat file.
"""

from __future__ import annotations

import io
import os
from fractions import Fraction
from importlib import import_module
from typing import TYPE_CHECKING, BinaryIO

from splat2d.errors import BitstreamError, OutputError
from splat2d.media.files import read_bytes, shown, write_atomic

if TYPE_CHECKING:
    from splat2d.scene.drawable import Drawable

EXPORTS = {".html": "html", ".svg": "svg", ".ply": "ply", ".ora": "ora", ".psd": "psd", ".npz": "npz"}
"""Modules of this package by the suffix of files that they write."""

PAINTED = (".ora", ".psd")
"""Those that hold all pixels of a canvas."""

IMPORTS = {".npz": "npz"}
"""Modules of this package by the suffix of files that they read."""


def suffix_of(path: str | os.PathLike[str]) -> str:
    """Return a path's suffix in lower case, with its dot."""
    return os.path.splitext(os.fspath(path))[1].lower()


def check_export(path: str | os.PathLike[str]) -> None:
    """Raise OutputError where no format is exported to a path."""
    if suffix_of(path) not in EXPORTS:
        raise OutputError(
            f"{shown(path)}: nothing is converted to {suffix_of(path) or 'a file without suffix'}; use "
            f"{', '.join(EXPORTS)}, or splat2d decode for pictures"
        )


def export(
    drawable: Drawable, path: str | os.PathLike[str], *, time: float | Fraction = 0, force: bool = False
) -> tuple[str, ...]:
    """Write a picture, or a moment of a clip, in the format of a path's suffix.

    Args:
        drawable: with its layers and edits.
        path: where to.
        time: s from the beginning of a clip.
        force: whether an existing file may be replaced.

    Returns:
        What the format cannot show.

    Raises:
        OutputError: no such format, a picture that it cannot hold, or a place that cannot be written to.
        BackendUnavailableError: the format's library is not installed.
    """
    check_export(path)
    module = import_module(f"splat2d.convert.{EXPORTS[suffix_of(path)]}")
    buffer = io.BytesIO()
    notes: tuple[str, ...] = module.export(drawable, buffer, time=time)
    with write_atomic(path, force=force) as file:
        _copy(buffer, file)
    return notes


def load(path: str | os.PathLike[str]) -> bytes:
    """Return the .splat file that another format's file holds.

    Raises:
        BitstreamError: it cannot be read, or holds none.
    """
    module = import_module(f"splat2d.convert.{IMPORTS[suffix_of(path)]}")
    data: bytes = module.load(read_bytes(path, error=BitstreamError))
    return data


def _copy(buffer: io.BytesIO, file: BinaryIO) -> None:
    file.write(buffer.getbuffer())
