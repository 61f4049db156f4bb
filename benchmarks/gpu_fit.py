"""The fit on a GPU, timed and compared with the CPU's; of gpu_check.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import Any

import numpy as np
from _paths import DATA
from numpy.typing import NDArray
from PIL import Image

from splat2d.bench.curves import bd_rate
from splat2d.bench.machine import spread
from splat2d.fit.encode import encode_picture
from splat2d.media.pictures import Picture, load_picture
from splat2d.native import gpu

# Width, height and splats of the fit whose steps are timed, and the seconds that are aimed at.
FIT = (768, 512, 10_000, 3e-4)
STEPS = 60
KODAK = (5, 13, 20, 23)  # what is encoded, where the pictures are at hand
QUALITIES = (30, 45, 60, 75)
ENCODE_GOAL, LARGE_GOAL, BD_RATE_GOAL = 0.5, 2.0, 0.5  # s, s, percent
LARGE = (2048, 1365)


def drawn_picture(width: int, height: int, seed: int = 0) -> NDArray[np.float32]:
    """Coloured noise with the spectrum of photographs, [C, H, W] in [0, 1], where none is at hand."""
    rng = np.random.default_rng(seed)
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    amplitude = 1 / np.maximum(np.hypot(fx, fy), 1 / max(width, height)) ** 1.2
    planes = []
    for _ in range(3):
        phases = np.exp(2j * np.pi * rng.random(amplitude.shape))
        planes.append(np.fft.irfft2(amplitude * phases, (height, width)))
    noise = np.stack(planes)
    return np.clip(0.5 + 0.18 * noise / noise.std(), 0, 1).astype(np.float32)


def pictures() -> dict[str, Picture]:
    """Kodak's, or a drawn one where they are not at hand."""
    paths = [DATA / "kodak" / f"kodim{n:02d}.png" for n in KODAK]
    found = {path.stem: load_picture(path) for path in paths if path.is_file()}
    return found or {"drawn": _as_picture(drawn_picture(*FIT[:2]))}


def large_picture() -> tuple[str, Picture]:
    """A photograph of 2048x1365, or a drawn one."""
    for path in sorted((DATA / "photos").glob("*.png")):
        with Image.open(path) as image:
            if image.size == LARGE:
                return path.stem, load_picture(path)
    return "drawn", _as_picture(drawn_picture(*LARGE))


def _as_picture(pixels: NDArray[np.float32]) -> Picture:
    return load_picture((pixels.transpose(1, 2, 0) * 255).round().astype(np.uint8))


def time_steps(module: Any) -> dict[str, float]:
    """Seconds of a step of the optimiser (draw, residual, gradients, step, rate) with many splats.

    Args:
        module: has Fitter, the native core or splat2d.fit.cuda.
    """
    width, height, count, goal = FIT
    picture = drawn_picture(width, height)
    step = 0.05
    fitter = module.Fitter(picture, picture.mean((1, 2)), step, 0.107 * step**2)
    while fitter.count < count:
        fitter.seed(0.0, 0.3)
        fitter.refresh()
        for _ in range(5):
            fitter.step()
    times = []
    for _ in range(STEPS):
        start = perf_counter()
        fitter.step()
        times.append(perf_counter() - start)
    return {"splats": fitter.count, "goal_s": goal, "median_s": median(times), **spread(times)}


@dataclass(frozen=True)
class Files:
    """Files of one picture by one device: (bytes, PSNR in dB) and the seconds that each took."""

    curve: list[tuple[float, float]]
    seconds: list[float]


def files_of(picture: Picture, device: str) -> Files:
    """Encode a picture at all qualities."""
    made = [encode_picture(picture, quality=quality, device=device) for quality in QUALITIES]
    return Files([(float(len(file.data)), file.psnr) for file in made], [file.seconds for file in made])


def known_files(results: dict[str, Any] | None) -> dict[str, Files]:
    """The CPU's files in what `compare_encodes` returned earlier, by picture."""
    rows = results["rows"] if results else []
    return {row["picture"]: Files(row["curves"]["cpu"], row["seconds"]["cpu"]) for row in rows}


def compare_encodes(say: Callable[[str], None], earlier: dict[str, Any] | None = None) -> dict[str, Any]:
    """Files of both devices: their BD-rate, and the seconds that they took.

    Args:
        say: told of each picture.
        earlier: what an earlier call returned, for the CPU's files.
    """
    known = known_files(earlier)
    rows: list[dict[str, Any]] = []
    for name, picture in pictures().items():
        if not rows:  # kernels are loaded when they are first used
            encode_picture(picture, quality=QUALITIES[0], device="cuda")
        files = {"cpu": known.get(name) or files_of(picture, "cpu"), "cuda": files_of(picture, "cuda")}
        row: dict[str, Any] = {
            "picture": name,
            "bd_rate": bd_rate(files["cpu"].curve, files["cuda"].curve)["percent"],
            "curves": {device: found.curve for device, found in files.items()},
            "seconds": {device: found.seconds for device, found in files.items()},
        }
        rows.append(row)
        times = {device: median(found.seconds) for device, found in files.items()}
        say(f"{name}: {times['cuda']:.2f} s (CPU {times['cpu']:.2f} s), BD-rate {row['bd_rate']}")
    rates = [row["bd_rate"] for row in rows if row["bd_rate"] is not None]
    return {
        "qualities": QUALITIES,
        "rows": rows,
        "goals": {"encode_s": ENCODE_GOAL, "bd_rate": BD_RATE_GOAL},
        "seconds": median(second for row in rows for second in row["seconds"]["cuda"]),
        "bd_rate": fmean(rates) if rates else None,
    }


@cache
def large_file() -> bytes:
    """Return the file of a large picture, by the GPU."""
    return encode_picture(large_picture()[1], device="cuda").data


def encode_large(say: Callable[[str], None]) -> dict[str, Any]:
    """Time of encoding a large picture on the GPU."""
    name, picture = large_picture()
    large = encode_picture(picture, device="cuda")
    say(f"{name}, 2048x1365: {large.seconds:.2f} s, {large.psnr:.2f} dB, {len(large.data):,} bytes")
    return {
        "picture": name,
        "goal_s": LARGE_GOAL,
        "seconds": large.seconds,
        "psnr": large.psnr,
        "bytes": len(large.data),
        "splats": large.splats,
    }


def kernels_of(action: Callable[[], object]) -> list[dict[str, Any]]:
    """Times of the GPU's kernels and of CUDA's calls during an action, the longest first."""
    import torch

    action()
    torch.cuda.synchronize()
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as found:
        action()
        torch.cuda.synchronize()
    events = [
        {
            "name": event.key[:200],
            "calls": event.count,
            "device_us": event.self_device_time_total,
            "host_us": event.self_cpu_time_total,
        }
        for event in found.key_averages()
    ]
    return sorted(events, key=lambda e: -max(e["device_us"], e["host_us"]))[:40]


def profile(quality: int = 60) -> dict[str, Any]:
    """Where the time goes: of parts of an encode by kernel, and of a whole one by Python's function."""
    import cProfile
    import pstats

    import gpu_draw
    import torch

    from splat2d.draw.render import CUTOFF
    from splat2d.fit import cuda
    from splat2d.fit.config import load_config
    from splat2d.fit.encode import quality_step
    from splat2d.fit.fitter import PictureFit
    from splat2d.fit.rates import rate_tables

    picture = next(iter(pictures().values()))
    fit = PictureFit(picture.pixels, load_config("default"), quality_step(quality), cuda=True)
    fitter: Any = fit._fitter
    refiner = cuda.Refiner(fitter.quantize(), fitter, fit.step, 10, CUTOFF)
    tables = rate_tables(refiner.integers(), refiner.classes(), *picture.pixels.shape[::2])

    def steps() -> None:
        for _ in range(10):
            fitter.step()

    def renew() -> None:
        fitter.prune(1.2)
        fitter.refresh()
        fitter.seed(0.2 * 34 * fit.lmbda, 0.3)
        fitter.refresh()

    width, height, count, *_ = gpu_draw.SCENES[-1]
    session = gpu.Session(torch.cuda.current_stream().cuda_stream)
    splats = gpu_draw.random_splats(count, width, height, "cuda")
    out = torch.empty(3, height, width, device="cuda")

    def draw() -> None:
        pointers = splats[0].data_ptr(), splats[1].data_ptr(), splats[2].data_ptr()
        session.forward(pointers, (1, count, 3), (width, height), CUTOFF, out.data_ptr())

    parts = {
        "a frame": kernels_of(draw),
        "ten steps": kernels_of(steps),
        "a pruning and a seeding": kernels_of(renew),
        "a sweep": kernels_of(lambda: refiner.sweep(fit.lmbda, *tables, 0, -1.0, True)),
    }
    encode_picture(picture, quality=quality, device="cuda")
    functions = cProfile.Profile()
    functions.runcall(encode_picture, picture, quality=quality, device="cuda")
    stats: Any = pstats.Stats(functions).stats  # pyright: ignore[reportAttributeAccessIssue]
    python = [
        {"name": f"{Path(file).name}:{line} {name}", "calls": calls, "own_s": own, "whole_s": whole}
        for (file, line, name), (_, calls, own, whole, _) in stats.items()
    ]
    return {"kernels": parts, "python": sorted(python, key=lambda e: -e["own_s"])[:30]}
