"""Patterns that mean several files: one place for a number, as `frame_%04d.png`, or a glob."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass

from splat2d.errors import ConfigError, InputClipError
from splat2d.media.files import reason, shown

MAX_WIDTH = 20
"""Most digits that a place for a number may ask for."""

_NUMBER = re.compile(r"%(?:0(\d+))?d")


@dataclass(frozen=True)
class Pattern:
    """A path with one place for a number; any other percent sign stands for itself.

    Args:
        before: what stands before the number.
        width: least digits.
        after: what stands behind it.
    """

    before: str
    width: int
    after: str

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Pattern | None:
        """The pattern that a path is, None for one without a place for a number.

        Raises:
            ConfigError: several places, or one that is absurdly wide.
        """
        text = os.fspath(path)
        folder = len(text) - len(os.path.basename(text))
        # A folder's name counts only where the file's has no number: it may have percent signs of its own.
        places = list(_NUMBER.finditer(text, folder)) or list(_NUMBER.finditer(text))
        if not places:
            return None
        if len(places) > 1:
            found = " and ".join(place[0] for place in places)
            raise ConfigError(f"{shown(text)}: has {found}; a pattern has one place for a number, as %04d")
        digits = (places[0][1] or "1").lstrip("0") or "1"
        if len(digits) > 2 or int(digits) > MAX_WIDTH:
            raise ConfigError(f"{shown(text)}: asks for more than {MAX_WIDTH} digits; use %04d")
        return cls(text[: places[0].start()], int(digits), text[places[0].end() :])

    @property
    def text(self) -> str:
        """The pattern as it is written."""
        return f"{self.before}%0{self.width}d{self.after}"

    def path(self, number: int) -> str:
        """The path of a number."""
        return f"{self.before}{number:0{self.width}d}{self.after}"

    def files(self) -> dict[int, str]:
        """The files that are there, by number.

        Raises:
            InputClipError: the folder cannot be read.
        """
        folder, start = os.path.split(self.before)
        end, separator, rest = self.after.partition(os.sep)
        found = {}
        for name in _listed(folder or "."):
            digits = name[len(start) : len(name) - len(end)]
            if not (digits.isascii() and digits.isdigit() and len(digits) <= MAX_WIDTH):
                continue
            path = self.path(int(digits))
            if os.path.join(folder, name) + separator + rest == path and (not rest or os.path.isfile(path)):
                found[int(digits)] = path
        return found


def is_numbered(path: str | os.PathLike[str]) -> bool:
    """Whether a path has places for numbers, such as `%04d`, be they one or several."""
    return bool(_NUMBER.search(os.fspath(path)))


def is_pattern(path: str) -> bool:
    """Whether a path that is no file means several."""
    return is_numbered(path) or glob.has_magic(path)


def pattern_files(pattern: str) -> list[str]:
    """Return the files that a pattern such as `frame_%04d.png` or `frames/*.png` means, in order.

    Raises:
        InputClipError: none matches, or a number is missing between the first and the last.
        ConfigError: several places for a number.
    """
    numbered = Pattern.of(pattern)
    if numbered is None:
        names = sorted((path for path in glob.glob(pattern) if os.path.isfile(path)), key=natural_key)
        if not names:
            raise InputClipError(f"{shown(pattern)}: matches no file; check the pattern")
        return names
    found = numbered.files()
    if not found:
        raise InputClipError(f"{shown(pattern)}: matches no file; check the pattern")
    first, last = min(found), max(found)
    if len(found) < last - first + 1:
        missing = next(index for index in range(first, last) if index not in found)
        raise InputClipError(
            f"{shown(pattern)}: number {missing} is missing between {first} and {last}; "
            "rename the files, or use * in the pattern"
        )
    return [found[index] for index in sorted(found)]


def folder_files(folder: str | os.PathLike[str]) -> list[str]:
    """Return the images in a folder in natural order.

    Raises:
        InputClipError: there is none, or the folder cannot be read.
    """
    from PIL import Image

    known = Image.registered_extensions()
    names = [
        name
        for name in _listed(folder)
        if not name.startswith(".") and os.path.splitext(name)[1].lower() in known
    ]
    if not names:
        raise InputClipError(f"{shown(folder)}: has no images; expected files such as frame_0001.png")
    return [os.path.join(folder, name) for name in sorted(names, key=natural_key)]


def natural_key(name: str) -> list[tuple[int, str]]:
    """Return a sorting key by which frame2 comes before frame10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _listed(folder: str | os.PathLike[str]) -> list[str]:
    try:
        return os.listdir(folder)
    except (OSError, ValueError) as fault:
        raise InputClipError(f"{shown(folder)}: cannot be read ({reason(fault)}); check the path") from None
