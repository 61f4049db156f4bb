"""Build the GPU's kernels, check them against the CPU, and time them: one command for whoever has a GPU.

Usage: python benchmarks/gpu_check.py [--no-build] [--only SECTION ...] [--out FILE]

Needs nvcc, an NVIDIA GPU and a torch with CUDA; gsplat, where it is installed, is timed beside. What is done
is written after every section, also when a later one fails; then, and where something is missing or wrong, it
exits with 1 and a line for each. Figures of drawing are gpu_draw.py's, those of the fit gpu_fit.py's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gpu_draw
import gpu_fit
import torch
import tyro
from _paths import RESULTS, ROOT
from rich.console import Console

from splat2d.bench.machine import environment, stamp
from splat2d.bench.results import write_json
from splat2d.errors import Splat2dError

TESTS = ("native", "fit", "format/test_golden.py", "draw/test_layers.py")  # where some are marked `gpu`


@dataclass(frozen=True)
class Options:
    """Options.

    Args:
        build: build and install this checkout first.
        tests: run the GPU's tests first.
        only: sections to measure; all when none is given.
        out: JSON to write; sections that are not measured stay as they are there.
        cpu: JSON of an earlier run, whose files by the CPU are compared with instead of new ones; all
            machines make the same.
    """

    build: bool = True
    tests: bool = True
    only: tuple[str, ...] = ()
    out: Path = RESULTS / "gpu.json"
    cpu: Path | None = None


def card() -> dict[str, Any]:
    """Return what was measured on."""
    properties = torch.cuda.get_device_properties(0)
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = subprocess.run(query, capture_output=True, text=True).stdout.strip()
    gpu = {"name": properties.name, "memory_gib": properties.total_memory / 2**30, "driver": driver}
    return {"benchmark": "gpu", **environment(), "gpu": gpu, "torch": torch.__version__}


def sections(cpu: dict[str, Any]) -> dict[str, Callable[[dict[str, Any], Callable[[str], None]], Any]]:
    """Return what can be measured, by name, each of the results so far and of whom to tell."""
    from splat2d.fit import cuda

    def gsplat(_: dict[str, Any], say: Callable[[str], None]) -> list[dict[str, Any]]:
        rows = []
        for width, height, count in (scene[:3] for scene in gpu_draw.SCENES):
            splats = gpu_draw.random_splats(count, width, height, "cuda")
            times = gpu_draw.time_gsplat(splats, width, height, torch.cuda.synchronize)
            rows.append({"width": width, "height": height, "splats": count, **times})
            say(
                f"gsplat {width}x{height}: "
                + ", ".join(f"{k} {1e6 * v['median_s']:.1f} us" for k, v in times.items())
            )
        return rows

    def step(_: dict[str, Any], say: Callable[[str], None]) -> dict[str, float]:
        found = gpu_fit.time_steps(cuda)
        times = " ms (aim ".join(f"{1000 * found[name]:.3f}" for name in ("median_s", "goal_s"))
        say(f"a step with {found['splats']:,} splats: {times})")
        return found

    return {
        "ceilings": lambda *_: gpu_draw.ceilings(),
        "draw": lambda _, say: gpu_draw.measure(say),
        "eight_k": lambda *_: gpu_draw.eight_k(),
        "gsplat": gsplat,
        "step": step,
        "encode": lambda _, say: gpu_fit.compare_encodes(say, "psnr", cpu.get("encode")),
        "encode_visual": lambda _, say: gpu_fit.compare_encodes(say, "visual", cpu.get("encode_visual")),
        "large": lambda _, say: gpu_fit.encode_large(say, "psnr"),
        "large_visual": lambda _, say: gpu_fit.encode_large(say, "visual"),
        "clip": lambda _, say: gpu_fit.encode_clip(say, cpu.get("clip")),
        "light_field": lambda _, say: gpu_fit.encode_light_field(say, cpu.get("light_field")),
        "window": lambda *_: gpu_draw.window(gpu_fit.large_file()),
        "profile": lambda *_: gpu_fit.profile(),
    }


def run(options: Options, say: Callable[[str], None]) -> list[str]:
    """Build, check, measure, write; returns what failed."""
    if options.build:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps"]
        if subprocess.run([*command, "-Ccmake.define.SPLAT2D_CUDA=ON", str(ROOT)]).returncode:
            raise Splat2dError("the build failed; see above")
    from splat2d.native.backend import Backend

    Backend(device="cuda").uses_gpu()  # or there is none, which ends it here
    if not torch.cuda.is_available():
        raise Splat2dError(f"this torch ({torch.__version__}) has no CUDA; install one that has")
    failed = []
    if options.tests:
        paths = [str(ROOT / "tests" / name) for name in TESTS]
        if subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "gpu", *paths], cwd=ROOT).returncode:
            failed.append("the GPU's tests failed; see above")
    results = json.loads(options.out.read_text()) if options.only and options.out.is_file() else {}
    results |= card()
    cpu = json.loads(options.cpu.read_text()) if options.cpu else {}
    known = sections(cpu)
    for name in options.only or known:
        if name not in known:
            raise Splat2dError(f"no section {name!r}; there are {', '.join(known)}")
        try:
            results[name] = known[name](results, say)
            results.setdefault("measured", {})[name] = stamp()
        except Exception as error:  # the sections after it have their own worth
            failed.append(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:400]}")
            say(failed[-1])
        write_json(options.out, results)
    return failed


def main() -> int:
    """Run from the command line."""
    console = Console(stderr=True)
    try:
        failed = run(tyro.cli(Options), console.print)
    except Splat2dError as error:
        failed = [str(error)]
    for line in failed:
        print(f"gpu_check: error: {line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
