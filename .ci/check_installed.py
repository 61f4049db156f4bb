"""Check an installed splat2d in an environment that has what it brings and no more."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import distributions, version
from importlib.resources import files
from pathlib import Path

BROUGHT = {"numpy", "pillow", "constriction", "tyro", "rich", "pyyaml"}
HEAVY = {"torch", "gsplat", "imageio", "av", "opencv-python-headless", "pytorch-msssim"}


def main(checkout: Path) -> None:
    """Import, look for the package's data, encode, edit, and decode what there is to decode.

    Args:
        checkout: Root of the checkout, for its pictures and golden files.
    """
    import splat2d
    import splat2d._core

    for module in (splat2d, splat2d._core):
        place = Path(module.__file__ or "")
        assert place.is_relative_to(sysconfig.get_path("platlib")), f"{module.__name__} comes from {place}"
    for name in ("py.typed", *(f"configs/{preset}.yaml" for preset in ("fast", "default", "best"))):
        assert files("splat2d").joinpath(name).is_file(), f"the package lacks {name}"
    installed = {found.metadata["Name"].lower() for found in distributions()}
    assert installed >= BROUGHT, f"not installed: {BROUGHT - installed}"
    assert not installed & HEAVY, f"installed without being asked for: {installed & HEAVY}"

    command = Path(sysconfig.get_path("scripts")) / "splat2d"
    said = subprocess.run([command, "--version"], check=True, capture_output=True, text=True).stdout
    assert said == f"splat2d {version('splat2d')}\n", said

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)

        def run(*words: object) -> str:
            done = subprocess.run(
                [command, *map(str, words)], check=True, cwd=work, capture_output=True, text=True
            )
            assert not done.stderr, done.stderr
            return done.stdout

        photo = checkout / "examples" / "pictures" / "coffee.png"
        run("encode", photo, "a.splat", "--preset", "fast", "--quality", 30)
        run("edit", "a.splat", "b.splat", "--saturation", 0)
        run("decode", "b.splat", "b.png", "--width", 200)
        from splat2d.web.bundle import html

        assert len(html((work / "a.splat").read_bytes())) > 100_000, "the package lacks the viewer"
        manifest = json.loads((checkout / "tests" / "golden" / "manifest.json").read_text())
        for kind in ("pictures", "layers", "clips"):
            for name in manifest[kind]:
                run("info", checkout / "tests" / "golden" / name)
                run("decode", checkout / "tests" / "golden" / name, "x.png", "--force", *_moment(kind))


def _moment(kind: str) -> tuple[str, ...]:
    """Return the options that make one picture of a file."""
    return ("--time", "0.1") if kind == "clips" else ()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
