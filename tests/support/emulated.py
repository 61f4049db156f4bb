"""The GPU's kernels on the CPU: their own source, compiled with cuda/emulated.hpp in place of CUDA."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest

from splat2d.native import gpu
from splat2d.native.gpu import _Library

from .places import ROOT

needs_gpu = pytest.mark.skipif(gpu.unavailable() is not None, reason=f"no GPU: {gpu.unavailable()}")
SOURCES = ROOT / "cuda"


@cache
def kernels() -> _Library:
    """Compile and load them; skips where there is no compiler or no source.

    What has been compiled of the same sources is taken as it is, so that the processes of a run compile once.
    """
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    if not SOURCES.is_dir():
        pytest.skip("no sources of the kernels")
    command = [compiler, "-std=c++20", "-O1", "-fPIC", "-DSPLAT2D_EMULATED", "-Wall", "-Wextra", "-Werror"]
    command.append(f"-I{ROOT / 'cpp'}")
    digest = hashlib.sha256(subprocess.run([compiler, "--version"], capture_output=True, check=True).stdout)
    digest.update(repr(command).encode())
    for path in sorted([*SOURCES.iterdir(), *ROOT.glob("cpp/*/*")]):
        digest.update(path.name.encode() + path.read_bytes())
    folder = ROOT / "build" / "emulated"
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / f"{digest.hexdigest()[:16]}.so"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            _compile(command, library)
    return _Library(str(library))


def _compile(command: list[str], library: Path) -> None:
    """Compile the sources side by side, one a processor, and link them."""
    objects = {
        SOURCES / f"{name}.cu": library.with_name(f"{name}.o")
        for name in (
            "fit",
            "fit_views",
            "api_refine",
            "draw",
            "gather",
            "api",
            "api_fit",
        )  # what takes longest first
    }
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in [
            pool.submit(subprocess.run, [*command, "-x", "c++", "-c", source, "-o", out], check=True)
            for source, out in objects.items()
        ]:
            done.result()
    linked = library.with_suffix(".tmp")
    subprocess.run([command[0], "-shared", *objects.values(), "-o", linked], check=True)
    linked.rename(library)
