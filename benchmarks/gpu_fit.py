"""The fit on a GPU, timed and compared with the CPU's; of gpu_check.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import Any

import numpy as np
from _paths import DATA
from numpy.typing import NDArray
from PIL import Image

import splat2d
from splat2d.bench.clip_sources import RECIPES, load
from splat2d.bench.curves import bd_rate
from splat2d.bench.machine import spread
from splat2d.fit.encode import encode_picture
from splat2d.fit.views.encode import encode_views
from splat2d.media.pictures import Picture, load_picture
from splat2d.media.views import load_views
from splat2d.native import gpu
from splat2d.native.backend import Backend, Device
from splat2d.scene.clip import Clip

# Width, height and splats of the fit whose steps are timed, and the seconds that are aimed at.
FIT = (768, 512, 10_000, 3e-4)
STEPS = 60
GPU = Backend(device="cuda")
KODAK = (5, 13, 20, 23)  # what is encoded, where the pictures are at hand
QUALITIES = (30, 45, 60, 75)
ENCODE_GOAL, LARGE_GOAL, BD_RATE_GOAL = 0.5, 2.0, 0.5  # s, s, percent
LARGE = (2048, 1365)
CLIP, CLIP_FRAMES, CLIP_QUALITIES, CLIP_GOAL = "bunny-360p", 32, (17, 38, 58), 0.1  # s a frame
VIEWS_QUALITIES = (20, 40, 60)


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
class File:
    """Of an encode: bytes, PSNR in dB and the seconds that it took."""

    size: int
    psnr: float
    seconds: float


Encode = Callable[[int, Device], File]  # at a quality, on a device


def compare(
    name: str, encode: Encode, qualities: tuple[int, ...], earlier: dict[str, Any] | None
) -> dict[str, Any]:
    """Files of both devices: their curves, BD-rate, and the seconds that they took.

    Args:
        name: of what is encoded.
        encode: makes a file.
        qualities: of the files.
        earlier: what this returned before, for the CPU's files.
    """
    curves, seconds = {}, {}
    for device in ("cpu", "cuda"):
        if device == "cpu" and earlier:
            curves[device] = earlier["curves"]["cpu"]
            continue
        files = [encode(quality, device) for quality in qualities]
        curves[device] = [(float(file.size), file.psnr) for file in files]
        seconds[device] = [file.seconds for file in files]
    percent = bd_rate(curves["cpu"], curves["cuda"])["percent"]
    return {"name": name, "bd_rate": percent, "curves": curves, "seconds": seconds}


def told(row: dict[str, Any]) -> str:
    """A row of `compare` in a line."""
    times = ", ".join(f"{device} {median(found):.2f} s" for device, found in row["seconds"].items())
    percent = "none" if row["bd_rate"] is None else f"{row['bd_rate']:+.2f}%"
    return f"{row['name']}: {times}, BD-rate {percent}"


def picture_encoder(picture: Picture, tune: str) -> Encode:
    """Encodes a picture by a tune."""

    def encode(quality: int, device: Device) -> File:
        file = encode_picture(picture, quality=quality, tune=tune, backend=Backend(device=device))
        return File(len(file.data), file.psnr, file.seconds)

    return encode


def compare_encodes(
    say: Callable[[str], None], tune: str, earlier: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Files of pictures by both devices: their BD-rate, and the seconds that they took.

    Args:
        say: told of each picture.
        tune: of the encoder; of that for the eye the BD-rate says little, since it does not look at PSNR.
        earlier: what an earlier call returned, for the CPU's files.
    """
    known = {row["name"]: row for row in earlier["rows"]} if earlier else {}
    rows: list[dict[str, Any]] = []
    for name, picture in pictures().items():
        encode = picture_encoder(picture, tune)
        if not rows:  # kernels are loaded when they are first used
            encode(QUALITIES[0], "cuda")
        rows.append(compare(name, encode, QUALITIES, known.get(name)))
        say(f"{tune}, {told(rows[-1])}")
    rates = [row["bd_rate"] for row in rows if row["bd_rate"] is not None]
    return {
        "qualities": QUALITIES,
        "tune": tune,
        "rows": rows,
        "goals": {"encode_s": ENCODE_GOAL, "bd_rate": BD_RATE_GOAL},
        "seconds": median(second for row in rows for second in row["seconds"]["cuda"]),
        "bd_rate": fmean(rates) if rates else None,
    }


def clip_frames() -> NDArray[np.uint8]:
    """Frames of `CLIP`, [T, H, W, 3]: of its PNGs, where these are at hand, or of its video."""
    source = RECIPES[CLIP]
    paths = sorted((DATA / "video" / CLIP).glob("*.png"))[:CLIP_FRAMES]
    if paths:
        return np.stack([np.asarray(Image.open(path)) for path in paths])
    return load(replace(source, path=DATA / "video" / source.path, count=CLIP_FRAMES)).frames


def encode_clip(say: Callable[[str], None], earlier: dict[str, Any] | None = None) -> dict[str, Any]:
    """Files of a clip by both devices."""
    frames = clip_frames()

    def encode(quality: int, device: Device) -> File:
        start = perf_counter()
        data = splat2d.encode(frames, fps=24, quality=quality, tune="psnr", device=device)
        seconds = perf_counter() - start
        shown = Clip.from_bytes(data).frames()
        squares = [((a.astype(np.float32) - b) ** 2).mean() for (_, a), b in zip(shown, frames, strict=True)]
        return File(len(data), float(10 * np.log10(255**2 / np.mean(squares))), seconds)

    row = compare(CLIP, encode, CLIP_QUALITIES, earlier)
    say(told(row))
    per_frame = median(row["seconds"]["cuda"]) / len(frames)
    return row | {"frames": len(frames), "goal_s": CLIP_GOAL, "per_frame_s": per_frame}


def encode_light_field(say: Callable[[str], None], earlier: dict[str, Any] | None = None) -> dict[str, Any]:
    """Files of a light field by both devices."""
    views = load_views(str(DATA / "lightfield" / "shop_5x5"), None)

    def encode(quality: int, device: Device) -> File:
        file = encode_views(views.pixels, views.eyes, quality=quality, backend=Backend(device=device))
        return File(len(file.data), file.psnr, file.seconds)

    row = compare("shop_5x5", encode, VIEWS_QUALITIES, earlier)
    say(told(row))
    return row | {"views": len(views.pixels), "seconds_median": median(row["seconds"]["cuda"])}


@cache
def large_file() -> bytes:
    """Return the file of a large picture, by the GPU."""
    return encode_picture(large_picture()[1], tune="psnr", backend=GPU).data


def encode_large(say: Callable[[str], None], tune: str) -> dict[str, Any]:
    """Time of encoding a large picture on the GPU, the second time."""
    name, picture = large_picture()
    encode_picture(picture, tune=tune, backend=GPU)
    large = encode_picture(picture, tune=tune, backend=GPU)
    say(f"{name}, 2048x1365, {tune}: {large.seconds:.2f} s, {large.psnr:.2f} dB, {len(large.data):,} bytes")
    return {
        "picture": name,
        "tune": tune,
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
    fit = PictureFit(picture.pixels, load_config("default"), quality_step(quality), backend=GPU)
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
    encode_picture(picture, quality=quality, backend=GPU)
    functions = cProfile.Profile()
    functions.runcall(encode_picture, picture, quality=quality, backend=GPU)
    stats: Any = pstats.Stats(functions).stats  # pyright: ignore[reportAttributeAccessIssue]
    python = [
        {"name": f"{Path(file).name}:{line} {name}", "calls": calls, "own_s": own, "whole_s": whole}
        for (file, line, name), (_, calls, own, whole, _) in stats.items()
    ]
    return {"kernels": parts, "python": sorted(python, key=lambda e: -e["own_s"])[:30]}
