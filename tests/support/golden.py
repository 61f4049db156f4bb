"""The golden files: those that are good, and how each is drawn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat2d.format.container import is_clip
from splat2d.scene.clip import Clip
from splat2d.scene.picture import Scene

from .places import GOLDEN

Entry = dict[str, Any]


def manifest() -> dict[str, dict[str, Entry]]:
    """What the manifest says of each file, by kind and name."""
    return json.loads((GOLDEN / "manifest.json").read_text())


def good() -> dict[str, Entry]:
    """The same of those that are not broken, by name."""
    kinds = [files for kind, files in manifest().items() if kind != "broken"]
    return {name: entry for files in kinds for name, entry in files.items()}


def looks_of(entry: Entry) -> list[dict[str, Any]]:
    """How a file is drawn: at its times, by its eyes and lenses, or once as it is."""
    if "looks" in entry:
        return entry["looks"]
    return [{"time": time} for time in entry.get("times", ["0"])]


def drawn(data: bytes, entry: Entry, **size: Any) -> Iterator[NDArray[np.uint8]]:
    """What a file is drawn as in each of its looks; sizes as of `render`."""
    drawable = (Clip if is_clip(data) else Scene).from_bytes(data)
    for look in looks_of(entry):
        if "focus" in look:
            assert isinstance(drawable, Scene)
            yield drawable.refocused(look["focus"]).render(**size)
        elif "eye" in look:
            yield drawable.render(view=tuple(look["eye"]), **size)
        else:
            yield drawable.render(time=Fraction(look["time"]), **size)
