"""`-` in place of a file: standard input is kept in a temporary file, and standard output has only data."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from splat2d.cli._arguments import UsageError
from splat2d.errors import InputImageError, OutputError, Splat2dError

STDIO = "-"

_Command = TypeVar("_Command")


@contextlib.contextmanager
def piped(
    command: _Command,
    *,
    input: str = "input",
    output: str | None = "output",
    suffix: Callable[[_Command], str | None] = lambda _: ".splat",
) -> Iterator[_Command]:
    """Give a command with files in place of `-`.

    What it prints goes to stderr while standard output is for data.

    Args:
        command: The command line.
        input: Name of the field that may be standard input.
        output: Name of the field that may be standard output, None where there is none.
        suffix: Of the file that stands for standard output, told by the command with its input in place; None
            where the command writes to standard output by itself.

    Yields:
        The command itself where nothing is `-`, else one like it.

    Raises:
        UsageError: If data would be read from or written to a terminal.
        Splat2dError: As the command, with the names that the user gave.
    """
    reads = getattr(command, input) == STDIO
    writes = output is not None and getattr(command, output) == STDIO
    if not (reads or writes):
        yield command
        return
    import shutil
    import tempfile

    # Before anything is read, so that nobody waits for input that cannot be used.
    data = binary_stdout() if writes else None
    with tempfile.TemporaryDirectory(prefix="splat2d-") as folder:
        command = copy.copy(command)
        names = {}
        if reads:
            names[received(folder)] = "standard input"
            object.__setattr__(command, input, next(iter(names)))
        said, target = _Said(data), ""
        try:
            ending = suffix(command) if writes else None
            if ending is not None:
                target = os.path.join(folder, f"output{ending}")
                names[target] = "standard output"
                object.__setattr__(command, output or "", target)
            with contextlib.redirect_stdout(said):
                yield command
            if target and data is not None:
                with open(target, "rb") as file:
                    shutil.copyfileobj(file, data)
                data.flush()
        except Splat2dError as fault:
            raise type(fault)(_renamed(str(fault), names)) from None
        finally:
            text = _renamed(said.getvalue(), dict.fromkeys(names, STDIO))
            print(text, end="", file=sys.stderr if writes else sys.stdout)


def binary_stdout() -> Any:
    """Return standard output for data.

    Raises:
        UsageError: If it is a terminal.
        OutputError: If it is closed.
    """
    if getattr(sys.stdout, "name", None) == os.devnull:  # what stands in for it
        raise OutputError("standard output is closed; redirect it, or give a file")
    if sys.stdout.isatty():
        raise UsageError("standard output is a terminal; redirect it, or give a file")
    return sys.stdout.buffer


def received(folder: str) -> str:
    """Return the path of a new file in a folder with all of standard input.

    Raises:
        UsageError: If that is a terminal.
        InputImageError: If it cannot be read.
        OutputError: If the disk is full.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("standard input is a terminal; pipe data into it, or give a file")
    import shutil

    path = os.path.join(folder, "input")
    try:
        with open(path, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    except OSError as fault:
        error = OutputError if fault.filename == path or fault.errno == 28 else InputImageError
        raise error(f"standard input cannot be kept in {folder} ({fault.strerror})") from None
    return path


class _Said(io.StringIO):
    """What a command prints, beside the stream for data."""

    def __init__(self, data: Any) -> None:
        super().__init__()
        self._data = data

    @property
    def buffer(self) -> Any:
        """The stream for data, under its usual name."""
        return self._data


def _renamed(text: str, names: dict[str, str]) -> str:
    for path, name in names.items():
        text = text.replace(path, name)
    return text
