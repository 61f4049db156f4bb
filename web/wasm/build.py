"""Build the WebAssembly decoder, once with SIMD and once without: python web/wasm/build.py OUT_DIR.

The compiler is the `zig c++` of the PyPI package ziglang, with a libc and libc++ for WebAssembly,
or the command in the environment variable WASM_CXX.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
SOURCES = (
    *(HERE / name for name in ("core.cpp", "runtime.cpp")),
    *(
        ROOT / "cpp/model" / name
        for name in ("context.cpp", "field_codec.cpp", "field_reader.cpp", "kernels.cpp", "network.cpp")
    ),
    ROOT / "cpp/model/split_tree.cpp",
    ROOT / "cpp/format/quantizer.cpp",
    *(ROOT / "cpp/texture" / name for name in ("levels.cpp", "texture.cpp")),
)
FLAGS = (
    "--target=wasm32-wasi -mexec-model=reactor -std=c++20 -O2 -DNDEBUG -fno-exceptions -fno-rtti "
    "-fno-threadsafe-statics -fno-math-errno -fno-trapping-math -ffp-contract=off -fvisibility=hidden "
    "-ffunction-sections -fdata-sections -Wall -Wextra -Wno-psabi -Wno-unused-const-variable "
    "-DSPLAT2D_MODEL_KERNELS=model_kernels_base -Wl,--gc-sections -Wl,--strip-all -Wl,-z,stack-size=1048576"
).split()
VARIANTS = {"splat2d.wasm": ["-msimd128"], "splat2d-plain.wasm": ["-mno-simd128"]}


def compiler() -> list[str] | None:
    """The command of a C++ compiler for WebAssembly; None where there is none."""
    if os.environ.get("WASM_CXX"):
        return shlex.split(os.environ["WASM_CXX"])
    if importlib.util.find_spec("ziglang") is None:
        return None
    return [sys.executable, "-m", "ziglang", "c++"]


def build(out: Path) -> None:
    """Write both variants."""
    command = compiler()
    if command is None:
        raise SystemExit("no compiler for WebAssembly: pip install ziglang, or set WASM_CXX")
    out.mkdir(parents=True, exist_ok=True)
    network = zlib.decompress((ROOT / "splat2d/format/network.bin").read_bytes())
    (out / "network.inc").write_text(",".join(map(str, network)))
    for name, flags in VARIANTS.items():
        done = subprocess.run(
            [
                *command,
                *FLAGS,
                *flags,
                f"-I{ROOT / 'cpp'}",
                f"-I{out}",
                *map(str, SOURCES),
                "-o",
                str(out / name),
            ]
        )
        if done.returncode:
            raise SystemExit(done.returncode)
    (out / "network.inc").unlink()


if __name__ == "__main__":
    build(Path(sys.argv[1]))
