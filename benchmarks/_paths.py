"""Where the scripts find pictures and keep results."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from splat2d.errors import InputImageError

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DATA = ROOT.parent / "shared" / "data"


def existing(path: Path, what: str = "a picture") -> Path:
    """Return a path.

    Raises:
        InputImageError: If there is no file.
    """
    if not path.is_file():
        raise InputImageError(f"expected {what} at {path}, found none; --data DIR says where they are")
    return path


def kodak_paths(data: Path, numbers: Iterable[int] = ()) -> list[Path]:
    """Return the Kodak pictures with these numbers, all 24 for none.

    Raises:
        InputImageError: If one is missing.
    """
    names = [f"kodim{n:02d}.png" for n in tuple(numbers) or range(1, 25)]
    return [existing(data / "kodak" / name, "a Kodak picture") for name in names]
