"""From what a user writes, on a command line, in a script or in Python, to one step of operations."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from splat2d.arguments import finite
from splat2d.edit.document import Document
from splat2d.edit.stack import Stack
from splat2d.errors import ConfigError
from splat2d.format.edits import KINDS, Operation

KEYS = ("group", "about", *KINDS)
"""Keys of an entry of an edit script."""


@dataclass(frozen=True)
class Entry:
    """What is done to one layer, in order.

    Args:
        group: name of the layer.
        actions: key of `KINDS` and value of each: numbers as a user writes them, a name, or True.
        about: x, y of the point, canvas px, that rotations and scalings keep; None for the middle of the
            layer's visible box.
    """

    group: str
    actions: Sequence[tuple[str, Any]]
    about: Sequence[float] | None = None


def edited(document: Document, entries: Sequence[Entry]) -> Document:
    """A file after one more step of edits.

    Raises:
        ConfigError: an unknown layer, values that are not understood, or edits that cannot be done.
    """
    step: list[Operation] = []
    stack = document.stack
    for entry in entries:
        group = entry.group
        for kind, value in entry.actions:
            operation = _operation(document, stack, group, kind, value, entry.about)
            step.append(operation)
            stack = stack.after(operation)
            group = operation.name if kind == "rename" else group
    return document.with_step(tuple(step))


def entries_of(script: Any) -> list[Entry]:
    """The entries of an edit script as YAML or JSON has it: a list of mappings.

    Raises:
        ConfigError: anything else, or an unknown key; names it and the nearest.
    """
    if isinstance(script, dict):
        script = [script]
    if not isinstance(script, list) or not all(isinstance(entry, dict) for entry in script):
        raise ConfigError("an edit script is a list of mappings such as {group: bike, move: [40, 0]}")
    entries = []
    for number, entry in enumerate(script, 1):
        for key in entry:
            if key not in KEYS:
                close = difflib.get_close_matches(str(key), KEYS, 1, 0.4)
                hint = f"; did you mean {close[0]!r}?" if close else f"; expected {', '.join(KEYS)}"
                raise ConfigError(f"unknown key {key!r} in entry {number} of the edit script{hint}")
        if not isinstance(entry.get("group"), str):
            raise ConfigError(f"entry {number} of the edit script names no group")
        actions = [(key, value) for key, value in entry.items() if key in KINDS]
        entries.append(Entry(entry["group"], actions, entry.get("about")))
    return entries


def _operation(document: Document, stack: Stack, group: str, kind: str, value: Any, about: Any) -> Operation:
    """The operation on the layer of this name in a stack of the document's layers."""
    state = stack.find(group)
    if KINDS[kind].named:
        if not isinstance(value, str):
            raise ConfigError(f"{kind}: {value!r} is no name")
        if value in stack.names and (kind, value) != ("rename", group):
            raise ConfigError(f"{kind}: a group is already called {value!r}")
        return Operation.of(kind, state.number, name=value)
    if not KINDS[kind].numbers:
        if value is not True:
            raise ConfigError(f"{kind}: expected true, found {value!r}; leave it out otherwise")
        return Operation.of(kind, state.number)
    if kind == "tint":
        return Operation.of(kind, state.number, _tint(value))
    numbers = _numbers(kind, value)
    if kind == "scale" and len(numbers) == 1:
        numbers = numbers * 2
    if kind in ("rotate", "scale"):
        wanted = 1 if kind == "rotate" else 2
        if len(numbers) != wanted:
            raise ConfigError(f"{kind}: expected {wanted} numbers, found {len(numbers)}")
        point = document.center(state) if about is None else _numbers("about", about)
        if len(point) != 2:
            raise ConfigError(f"about: expected x and y, found {len(point)} numbers")
        numbers = [*numbers, *point]
    return Operation.of(kind, state.number, numbers)


def _numbers(key: str, value: Any) -> list[float]:
    """One number or several, all finite."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    for number in values:
        if isinstance(number, bool) or not isinstance(number, Real) or number - number != 0:
            raise ConfigError(f"{key}: {number!r} is no finite number")
    return [finite(key, number) for number in values]


def _tint(value: Any) -> list[float]:
    """Red, green, blue from 0 to 255 and strength from `#rrggbb`, or from that and a strength."""
    color, *strength = (value if isinstance(value, list | tuple) else [value]) or [None]
    if not isinstance(color, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", color) or len(strength) > 1:
        raise ConfigError(f"tint: {value!r} is not understood; expected #rrggbb, or that and a strength")
    return [*bytes.fromhex(color[1:]), *(_numbers("tint", strength) if strength else [1.0])]
