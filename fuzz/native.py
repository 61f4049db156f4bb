"""What `make fuzz-native` runs: build fuzz/native.cpp with clang, give it the golden files' fields, run it.

What it finds is kept in fuzz/found, and belongs into fuzz/corpus/native once it is mended;
`build/fuzz/native INPUT` runs one again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # behind an installed package

from fuzz.fields import changed, layers_of  # noqa: E402
from fuzz.mutate import File  # noqa: E402
from fuzz.run import seeds  # noqa: E402
from splat2d.format.field import Layout  # noqa: E402
from splat2d.format.network import PATH as NETWORK  # noqa: E402

BUILD = ROOT / "build" / "fuzz"
CORPUS = ROOT / "fuzz" / "corpus" / "native"
FLAGS = [
    *("-std=c++20", "-O2", "-g1", "-fno-omit-frame-pointer", "-ffp-contract=off", "-fno-math-errno"),
    *("-fno-trapping-math", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"),
    *("-DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION", "-DSPLAT2D_KERNELS=kernels_base"),
    *("-DSPLAT2D_MODEL_KERNELS=model_kernels_base", "-w"),
]
LIMITS = [
    "-timeout=10",
    "-rss_limit_mb=2048",
    "-malloc_limit_mb=300",
    "-max_len=20000",
    "-print_final_stats=1",
]


def head(layout: Layout) -> bytes:
    """What fuzz/native.cpp takes for a layout, all tiers and no window."""
    numbers = [(n - 1).to_bytes(2, "little") for n in (layout.width, layout.height)]
    code = layout.step_code.to_bytes(2, "little")
    return (
        b"".join(numbers)
        + bytes([layout.channels - 1, layout.chroma_step - 4])
        + code
        + bytes([layout.frames, 6, 0, 0])
    )


def fields() -> list[bytes]:
    """The fields of all seeds, with their heads."""
    found = []

    def keep(data: bytes, layout: Layout, _: str) -> bytes:
        found.append(head(layout) + data)
        return data

    for seed in seeds():
        file = File(seed)
        for kind, payload in file.sections:
            changed(kind, payload, file.header, layers_of(file.header, file.sections), keep)
    return found


def build(compiler: str) -> Path:
    """Compile what has changed."""
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "network.raw").write_bytes(zlib.decompress(NETWORK.read_bytes()))
    cpp = ROOT / "cpp"
    sources = [ROOT / "fuzz" / "native.cpp", *sorted((cpp / "model").glob("*.cpp"))]
    sources += [*sorted((cpp / "format").glob("*.cpp")), *sorted((cpp / "math").glob("*.cpp"))]
    out = BUILD / "native"
    newest = max(path.stat().st_mtime for path in [*cpp.rglob("*.hpp"), *sources, Path(__file__)])
    if not out.exists() or out.stat().st_mtime < newest:
        network = f'-DNETWORK="{BUILD / "network.raw"}"'
        subprocess.run(
            [compiler, *FLAGS, network, f"-I{cpp}", *map(str, sources), "-o", str(out)], check=True
        )
    return out


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--compiler", default=os.environ.get("CLANGXX", "clang++"))
    given = parser.parse_args()
    try:
        program = build(given.compiler)
    except FileNotFoundError:
        print(f"make fuzz-native: needs {given.compiler}, with libFuzzer")
        return 1
    kept, found = BUILD / "corpus", ROOT / "fuzz" / "found"
    for folder in (kept, found, CORPUS):
        folder.mkdir(parents=True, exist_ok=True)
    for data in fields():
        (kept / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
    # First what failed once, then what is new.
    for words in ([*map(str, sorted(CORPUS.glob("*.bin")))], [str(kept), str(CORPUS)]):
        if not words:
            continue
        more = [f"-max_total_time={given.seconds}"] if words[0] == str(kept) else []
        done = subprocess.run([str(program), *LIMITS, *more, f"-artifact_prefix={found}/native-", *words])
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
