"""From arguments to a command object, and the checks that the verbs share."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from splat2d.errors import ConfigError


class UsageError(Exception):
    """A command line that cannot be meant: exit status 2."""


class Command(Protocol):
    """A parsed command line of one verb."""

    def run(self) -> None:
        """Do the work."""
        ...


PRESETS = ("fast", "default", "best")

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def parse(argv: list[str], verbs: Mapping[str, str]) -> Command | None:
    """Return the command that the arguments ask for.

    Args:
        argv: Arguments without the program's name.
        verbs: Name of each verb's module in this package, and of its command class.

    Returns:
        The command, or None when help or a completion script was printed instead.

    Raises:
        UsageError: If the arguments do not parse.
    """
    from importlib import import_module

    from splat2d.cli._marks import read_plain

    def load(verb: str) -> Any:
        return getattr(import_module(f"splat2d.cli.{verb}"), verbs[verb])

    if argv and argv[0] in verbs and argv[0] != "bench":
        command = read_plain(load(argv[0]), argv[1:])
        if command is not None:
            return _in_order(command, argv[1:])
    import tyro

    config = (tyro.conf.FlagCreatePairsOff,)
    if argv and argv[0] in verbs and argv[0] != "bench" and {"-h", "--help"} & set(argv[1:]):
        from splat2d.cli._help import parser_of

        parser_of(argv[0], load(argv[0])).print_help()
        return None
    complaint = io.StringIO()
    try:
        # tyro draws a box of several lines around a complaint; a script wants one line.
        with contextlib.redirect_stderr(complaint):
            if argv and argv[0] in verbs:
                # One verb alone, so that a decode does not wait for the others' parsers.
                verb = argv[0]
                command = tyro.cli(load(verb), prog=f"splat2d {verb}", args=argv[1:], config=config)
                return _in_order(command, argv[1:])
            return tyro.extras.subcommand_cli_from_dict(
                {verb: load(verb) for verb in verbs},
                prog="splat2d",
                description="Pictures as sets of 2D Gaussians. Also: splat2d --version, and "
                "splat2d --completion {bash,zsh,fish} for a completion script of that shell.",
                args=argv,
                config=config,
            )
    except SystemExit as stop:
        if not stop.code:
            return None
        raise UsageError(_first_statement(complaint.getvalue())) from None


def _in_order(command: Any, words: list[str]) -> Any:
    """Show the words to a verb that cares for their order, which a parser loses."""
    return command.in_order(words) if hasattr(command, "in_order") else command


def _first_statement(box: str) -> str:
    """Return a boxed complaint's first statement and its advice as one line."""
    lines = box.splitlines()
    # The title, which the statement repeats, stands in the frame, or above a rule where the terminal
    # knows no line drawing and the frame is made of spaces.
    lines = [line for line in lines[1:] if not line.startswith("╰")]
    if lines and re.fullmatch(r" ?-+ ?", lines[0]):
        del lines[0]
    sections: list[list[str]] = [[]]
    for line in lines:
        inner = line[1:-1]
        if re.fullmatch(r"[ ─-]*", inner):
            sections.append([])  # a rule or an empty line
        elif not inner.startswith(" " * 8):  # so deep are only options' help texts
            sections[-1].append(inner.strip())
    statements = [" ".join(section).rstrip(".") for section in sections if section]
    if not statements:
        return "the arguments do not parse; run splat2d --help"
    advice = re.search(r"splat2d(?: \w+)? --help", " ".join(statements[1:]))
    return f"{statements[0]}; run {advice[0] if advice else 'splat2d --help'}"


def at_most_one(**options: object) -> None:
    """Raise ConfigError if more than one of these options was given.

    Args:
        **options: Name of each option without dashes, and its value; None when it was not given.
    """
    given = [f"--{name}" for name, value in options.items() if value is not None]
    if len(given) > 1:
        choices = ", ".join(f"--{name}" for name in options)
        raise ConfigError(f"{' and '.join(given)} contradict each other; give one of {choices}")


def in_range(low: float, high: float = math.inf, *, above: bool = False, **options: float | None) -> None:
    """Raise UsageError if an option that was given is not a number within limits.

    Args:
        low: Least value.
        high: Largest value.
        above: Whether the value must be more than `low`.
        **options: Name of each option with underscores for dashes, and its value; None when it was not given.
    """
    expected = f"more than {_plain(low)}" if above else f"{_plain(low)} or more"
    if high < math.inf:
        expected = f"{_plain(low)} to {_plain(high)}"
    for name, value in options.items():
        if value is None:
            continue
        # Not a number fails every comparison, hence the negation.
        if not (low <= value <= high and math.isfinite(value)) or (above and value == low):
            option = name.replace("_", "-")
            raise UsageError(f"--{option} {_plain(value)} is out of range; expected {expected}")


def _plain(value: float) -> str:
    """A number as one would write it: integers with all their digits."""
    return str(value) if isinstance(value, int) else f"{value:g}"


def parse_bytes(text: str) -> int:
    """Return a number of bytes that may carry a unit: 20000, 20k, 1.5M, 64KiB.

    Args:
        text: What the user wrote.

    Returns:
        Bytes, at least 1; k, M and G are powers of 1000, Ki, Mi and Gi of 1024.

    Raises:
        UsageError: If this is no such number.
    """
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([kmg]?i?)b?", text.strip().lower())
    size = int(float(match[1]) * _UNITS[match[2]]) if match and match[2] in _UNITS else 0
    if size < 1:
        raise UsageError(f"--size {text!r} is no size; expected bytes such as 20000, 20k, 1.5M or 64KiB")
    return size


def parse_strength(text: str, *, auto: bool = False) -> float:
    """Return the strength of a texture that was written as `off`, as a number, or as `auto`, which is 1.

    Args:
        text: What the user wrote.
        auto: Whether `auto` can be meant.

    Returns:
        From 0 to 4.

    Raises:
        UsageError: If it is none.
    """
    from splat2d.draw.texture import MAX_STRENGTH, checked_strength

    try:
        if text == "auto" and not auto:
            raise ConfigError("there is no auto here")
        return checked_strength(text)
    except ConfigError:
        words = "off, auto or" if auto else "off or"
        raise UsageError(
            f"--texture {text!r}: expected {words} a strength from 0 to {MAX_STRENGTH:g}"
        ) from None


def check_preset(name: str) -> None:
    """Refuse what is neither a preset nor looks like a file of settings.

    Args:
        name: What the user wrote.

    Raises:
        UsageError: If it is neither.
    """
    if name not in PRESETS and not name.endswith((".yaml", ".yml")):
        raise UsageError(f"--preset {name!r} is unknown; expected {', '.join(PRESETS)} or a YAML file")


def parse_numbers(option: str, text: str, expected: str) -> list[float]:
    """Return numbers that were written with commas between them.

    Args:
        option: Name of the option without dashes.
        text: What the user wrote.
        expected: What stands there, as `X,Y`; it tells the number of numbers by its commas.

    Returns:
        The numbers.

    Raises:
        UsageError: If these are no numbers, or another number of them than `expected` has in capitals.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or (expected.isupper() and len(numbers) != expected.count(",") + 1):
        raise UsageError(f"--{option} {text!r} is not understood; expected {expected}")
    return numbers


def parse_integers(option: str, text: str, names: Iterable[str]) -> tuple[int, ...]:
    """Return integers that were written with commas between them.

    Args:
        option: Name of the option without dashes.
        text: What the user wrote.
        names: What each integer means; their number is the number expected.

    Returns:
        One integer for each name.

    Raises:
        UsageError: If these are not that many integers.
    """
    names = list(names)
    parts = text.split(",")
    try:
        numbers = tuple(int(part) for part in parts)
    except ValueError:
        numbers = ()
    if len(numbers) != len(names):
        expected = ",".join(names)
        raise UsageError(f"--{option} {text!r} is not understood; expected {expected} as integers in px")
    return numbers
