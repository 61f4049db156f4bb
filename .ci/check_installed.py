"""Check an installed splat2d in an environment that has the decode floor's needs and no more."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path


def main(checkout: Path) -> None:
    """Import, look for the package's data, and decode what there is to decode.

    Args:
        checkout: Root of the checkout, for its golden files.
    """
    import splat2d
    import splat2d._core

    for module in (splat2d, splat2d._core):
        place = Path(module.__file__ or "")
        assert place.is_relative_to(sysconfig.get_path("platlib")), f"{module.__name__} comes from {place}"
    for name in ("py.typed", *(f"configs/{preset}.yaml" for preset in ("fast", "default", "best"))):
        assert files("splat2d").joinpath(name).is_file(), f"the package lacks {name}"

    command = Path(sysconfig.get_path("scripts")) / "splat2d"
    said = subprocess.run([command, "--version"], check=True, capture_output=True, text=True).stdout
    assert said == f"splat2d {version('splat2d')}\n", said

    golden = sorted((checkout / "tests").glob("golden/**/*.splat"))
    for file in golden[:3]:
        subprocess.run([command, "info", file], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
