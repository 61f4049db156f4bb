"""Where the scripts find pictures and keep results."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from splat2d.errors import InputImageError

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DATA = ROOT.parent / "shared" / "data"


def kodak_paths(data: Path, numbers: Iterable[int] = ()) -> list[Path]:
    """Return the Kodak pictures with these numbers, all 24 for none.

    Raises:
        InputImageError: If one is missing.
    """
    paths = [data / "kodak" / f"kodim{n:02d}.png" for n in tuple(numbers) or range(1, 25)]
    for path in paths:
        if not path.is_file():
            raise InputImageError(
                f"expected a Kodak picture at {path}, found none; --data DIR says where they are"
            )
    return paths
