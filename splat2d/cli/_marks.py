"""tyro's marks for the fields of a command, and a reader of plain command lines that does without tyro.

To import tyro takes a third of a small decode. It stays what defines the command line: what is not plain
(options that repeat or collect, `--name=value`, help, mistakes) is left to it.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:
    from tyro.conf import Positional, UseAppendAction, UseCounterAction, arg

    from splat2d.cli._arguments import Command
else:

    class _Mark:
        """A name of `tyro.conf` that imports it when it is used; annotations are text until then."""

        def __init__(self, name: str) -> None:
            self._name = name

        def _loaded(self) -> Any:
            import tyro

            return getattr(tyro.conf, self._name)

        def __getitem__(self, item: Any) -> Any:
            return self._loaded()[item]

        def __call__(self, **settings: Any) -> Any:
            return self._loaded()(**settings)

    Positional, UseAppendAction, UseCounterAction, arg = map(
        _Mark, ("Positional", "UseAppendAction", "UseCounterAction", "arg")
    )

__all__ = ["Positional", "UseAppendAction", "UseCounterAction", "arg", "read_plain"]


class _Place:
    """Stands for `Positional`."""

    def __class_getitem__(cls, item: Any) -> Any:
        return Annotated[item, cls]


class _Other:
    """Stands for what only tyro reads."""

    def __class_getitem__(cls, item: Any) -> Any:
        return cls


_STAND_INS = {"Positional": _Place, "UseAppendAction": _Other, "UseCounterAction": _Other, "arg": dict}
_NUMBERS = {int: r"\d+", float: r"\d+(\.\d*)?|\.\d+"}


def read_plain(command: type, words: list[str]) -> Command | None:
    """Return the command that plain words ask for, as tyro would.

    Args:
        command: Dataclass of a verb.
        words: Arguments behind the verb.

    Returns:
        The command; None when tyro is to look at the words.
    """
    hints = typing.get_type_hints(command, localns=_STAND_INS, include_extras=True)
    places: list[str] = []
    options: dict[str, tuple[str, Any]] = {}
    for name, hint in hints.items():
        kind, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        if _Place in marks:
            places.append(name)
        settings = next((mark for mark in marks if isinstance(mark, dict)), {})
        options["--" + settings.get("name", name.replace("_", "-"))] = (name, kind)
    values: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if word in options and options[word][0] not in places:
            name, kind = options[word]
            value = True if kind is bool else _value(kind, next(rest, "-"))
        elif places and (word == "-" or not word.startswith("-")):
            name = places.pop(0)
            value = word if hints[name].__origin__ in (str, Union[str, None]) and word != "None" else None
        else:
            return None
        if value is None or name in values:
            return None
        values[name] = value
    needed = {f.name for f in fields(command) if f.default is MISSING and f.default_factory is MISSING}
    return command(**values) if needed <= values.keys() else None


def _value(kind: Any, word: str) -> Any:
    """Return what a word means for an option of a type; None when that is not plain."""
    if get_origin(kind) is Union:
        kind = next(inner for inner in get_args(kind) if inner is not type(None))
    if word.startswith("-") or word == "None":
        return None
    if get_origin(kind) is Literal:
        return word if word in get_args(kind) else None
    if kind is str:
        return word
    parse: Callable[[str], Any] | None = (
        kind if kind in _NUMBERS and re.fullmatch(_NUMBERS[kind], word) else None
    )
    return parse(word) if parse else None
