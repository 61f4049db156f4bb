"""The GPU's kernels on the CPU: their own source, compiled with cuda/emulated.hpp in place of CUDA."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from splat2d.native import gpu
from splat2d.native.gpu import _Library

from .places import ROOT

needs_gpu = pytest.mark.skipif(gpu.unavailable() is not None, reason=f"no GPU: {gpu.unavailable()}")
SOURCES = ROOT / "cuda"


@cache
def kernels() -> _Library:
    """Compile and load them; skips where there is no compiler or no source."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    if not SOURCES.is_dir():
        pytest.skip("no sources of the kernels")
    library = Path(mkdtemp(prefix="splat2d-emulated-")) / "kernels.so"
    options = ["-std=c++20", "-O1", "-fPIC", "-shared", "-DSPLAT2D_EMULATED", "-Wall", "-Wextra", "-Werror"]
    options.append(f"-I{SOURCES.parent / 'cpp'}")
    sources = [
        str(SOURCES / name)
        for name in ("draw.cu", "gather.cu", "fit.cu", "api.cu", "api_fit.cu", "api_refine.cu")
    ]
    subprocess.run([compiler, *options, "-x", "c++", *sources, "-o", str(library)], check=True)
    return _Library(str(library))
