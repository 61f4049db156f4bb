"""Build the GPU's kernels, check them against the CPU, and time them: one command for whoever has a GPU.

Usage: python benchmarks/gpu_check.py [--no-build] [--out FILE]

Needs nvcc, an NVIDIA GPU and a torch with CUDA; gsplat, where it is installed, is timed beside. Exits with 1
and one line where something is missing or wrong. The fit's figures are gpu_fit.py's.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import gpu_fit
import numpy as np
import torch
import tyro
from _paths import RESULTS, ROOT
from rich.console import Console

from splat2d.bench.machine import environment, spread
from splat2d.bench.results import write_json
from splat2d.errors import Splat2dError

CUTOFF = 12.25
# Width, height, splats and the frames a second that are aimed at.
SCENES = [(768, 512, 10_000, 5000), (1920, 1080, 100_000, 1000)]
EIGHT_K = (7680, 4320, 500_000)
BATCHES, BATCH = 20, 50  # drawn in a row between two looks at the clock
FORWARD_FLOPS, BACKWARD_FLOPS = 16, 30  # of one splat and one pixel with three channels


@dataclass(frozen=True)
class Options:
    """Options.

    Args:
        build: build and install this checkout first.
        out: JSON to write.
    """

    build: bool = True
    out: Path = RESULTS / "gpu.json"


def random_splats(count: int, width: int, height: int, device: str, seed: int = 0) -> list[torch.Tensor]:
    """Splats as a fit leaves them: of all sizes, together covering each pixel about a dozen times."""
    rng = np.random.default_rng(seed)
    means = rng.uniform(0, [width, height], (count, 2))
    size = np.sqrt(width * height / count) * 0.45
    scales = np.maximum(size * np.exp(rng.normal(0, 0.6, (count, 2))), 0.42)
    turn = rng.uniform(0, np.pi, count)
    c, s = np.cos(turn), np.sin(turn)
    a, b = scales[:, 0] ** -2, scales[:, 1] ** -2
    conics = np.stack([c * c * a + s * s * b, c * s * (a - b), s * s * a + c * c * b], 1)
    arrays = means, conics, rng.normal(0, 0.1, (count, 3))
    return [torch.from_numpy(x.astype(np.float32)).to(device) for x in arrays]


def check(splats: list[torch.Tensor], width: int, height: int) -> dict[str, float]:
    """Largest differences from the CPU, of pixels and of gradients over their largest."""
    from splat2d.rasterize import rasterize

    results = []
    for device in ("cpu", splats[0].device):
        leaves = [t.detach().to(device).clone().requires_grad_() for t in splats]
        picture = rasterize(leaves[0], leaves[1], leaves[2], width, height)
        picture.square().sum().backward()
        results.append([picture.detach().cpu(), *[t.grad.cpu() for t in leaves if t.grad is not None]])
    (expected, *gradients), (found, *others) = results
    return {
        "pixels": float((found - expected).abs().max()),
        "gradients": max(
            float((a - b).abs().max() / b.abs().max()) for a, b in zip(others, gradients, strict=True)
        ),
    }


def seconds(action: Callable[[], object], wait: Callable[[], object]) -> dict[str, float]:
    """Times of one action, from batches of many queued in a row."""
    action()
    wait()
    times = []
    for _ in range(BATCHES):
        start = perf_counter()
        for _ in range(BATCH):
            action()
        wait()
        times.append((perf_counter() - start) / BATCH)
    return {"median_s": median(times), **spread(times)}


def time_ours(
    splats: list[torch.Tensor], width: int, height: int, wait: Callable[[], object]
) -> dict[str, Any]:
    """Drawing and gradients into memory that is there already."""
    from splat2d.gpu import Session

    stream = torch.cuda.current_stream().cuda_stream
    session = Session(stream)
    shape, size = (1, len(splats[0]), 3), (width, height)
    out = torch.empty(3, height, width, device=splats[0].device)
    gradients = [torch.empty_like(t) for t in splats]
    pointers = (splats[0].data_ptr(), splats[1].data_ptr(), splats[2].data_ptr())
    to = (gradients[0].data_ptr(), gradients[1].data_ptr(), gradients[2].data_ptr())
    return {
        "forward": seconds(lambda: session.forward(pointers, shape, size, CUTOFF, out.data_ptr()), wait),
        "backward": seconds(
            lambda: session.backward(pointers, shape, size, CUTOFF, out.data_ptr(), to), wait
        ),
    }


def time_gsplat(
    splats: list[torch.Tensor], width: int, height: int, wait: Callable[[], object]
) -> dict[str, Any] | str:
    """Its tile lists and its alpha compositing of the same splats, tiles of 16 px; or why not."""
    try:
        from gsplat.cuda._wrapper import isect_offset_encode, isect_tiles, rasterize_to_pixels
    except ImportError as error:
        return " ".join(str(error).split())
    means, conics, colors = (t[None].contiguous() for t in splats)
    a, b, c = conics.unbind(-1)
    variances = torch.stack([c, a], -1) / (a * c - b * b)[..., None]
    radii = (CUTOFF * variances).sqrt().ceil().int()
    depths, opacities = torch.arange(means.shape[1], device=means.device)[None].float(), torch.ones_like(a)
    tiles = (width + 15) // 16, (height + 15) // 16

    def draw() -> None:
        _, ids, order = isect_tiles(means, radii, depths, 16, *tiles)
        offsets = isect_offset_encode(ids, 1, *tiles)
        rasterize_to_pixels(means, conics, colors, opacities, width, height, 16, offsets, order)

    try:
        return {"forward": seconds(draw, wait)}
    except (RuntimeError, TypeError, AttributeError) as error:
        return " ".join(str(error).split())[:300]


def bounds(splats: list[torch.Tensor], width: int, height: int) -> dict[str, float]:
    """Work of one frame: bytes that must move, evaluations inside the cut-off and their operations."""
    from splat2d._backend import core

    means, conics, colors = (t.cpu().numpy() for t in splats)
    pairs = core().count_pairs(means, conics, colors, width, height, CUTOFF)
    return {
        "bytes": 4.0 * (8 * len(splats[0]) + 3 * width * height),
        "pairs": pairs,
        "forward_flops": FORWARD_FLOPS * pairs,
        "backward_flops": BACKWARD_FLOPS * pairs,
    }


def eight_k() -> dict[str, float]:
    """Memory of the GPU that one 8K frame takes, with its splats, and the time to draw it."""
    width, height, count = EIGHT_K
    splats = random_splats(count, width, height, "cuda")
    torch.cuda.synchronize()
    free = torch.cuda.mem_get_info()[0]
    times = time_ours(splats, width, height, torch.cuda.synchronize)
    used = free - torch.cuda.mem_get_info()[0]
    return {"gib": used / 2**30, "forward_s": times["forward"]["median_s"]}


def measure(say: Callable[[str], None]) -> dict[str, Any]:
    """All figures, and an error as soon as one is wrong."""
    properties = torch.cuda.get_device_properties(0)
    driver = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True
    ).stdout.strip()
    result: dict[str, Any] = {
        "benchmark": "gpu",
        **environment(),
        "gpu": {"name": properties.name, "memory_gib": properties.total_memory / 2**30, "driver": driver},
        "torch": torch.__version__,
        "rows": [],
    }
    for width, height, count, goal in SCENES:
        splats = random_splats(count, width, height, "cuda")
        differences = check(splats, width, height)
        if differences["pixels"] > 1 / 255 or differences["gradients"] > 1e-3:
            raise Splat2dError(f"the GPU differs from the CPU at {width}x{height}: {differences}")
        row = {
            "width": width,
            "height": height,
            "splats": count,
            "differences": differences,
            "work": bounds(splats, width, height),
            "splat2d": time_ours(splats, width, height, torch.cuda.synchronize),
            "gsplat": time_gsplat(splats, width, height, torch.cuda.synchronize),
            "goal_frames_per_s": goal,
        }
        result["rows"].append(row)
        frames = 1 / row["splat2d"]["forward"]["median_s"]
        say(f"{width}x{height}, {count:,} splats: {frames:,.0f} frames/s (aim {goal:,}); {differences}")
    result["eight_k"] = eight_k()
    say(f"8K, {EIGHT_K[2]:,} splats: {result['eight_k']['gib']:.2f} GiB")
    result["fit"] = gpu_fit.measure(say)
    return result


def run(options: Options, say: Callable[[str], None]) -> None:
    """Build, check, measure, write."""
    if options.build:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps"]
        if subprocess.run([*command, "-Ccmake.define.SPLAT2D_CUDA=ON", str(ROOT)]).returncode:
            raise Splat2dError("the build failed; see above")
    from splat2d import gpu

    gpu.choose("cuda")
    if not torch.cuda.is_available():
        raise Splat2dError(f"this torch ({torch.__version__}) has no CUDA; install one that has")
    tests = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", str(ROOT / "tests")]
    if subprocess.run(tests, cwd=ROOT).returncode:
        raise Splat2dError("the GPU's tests failed; see above")
    write_json(options.out, measure(say))


def main() -> int:
    """Run from the command line."""
    console = Console(stderr=True)
    try:
        run(tyro.cli(Options), console.print)
    except Splat2dError as error:
        print(f"gpu_check: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
