"""The fit on a GPU, timed and compared with the CPU's; gpu_check.py's second half."""

from __future__ import annotations

from collections.abc import Callable
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
from splat2d.pictures import Picture, load_picture

# Width, height and splats of the fit whose steps are timed, and the seconds that are aimed at.
FIT = (768, 512, 10_000, 3e-4)
STEPS = 60
KODAK = (1, 8, 15, 20)  # what is encoded, where the pictures are at hand
QUALITIES = (30, 45, 60, 75)
ENCODE_GOAL, LARGE_GOAL, BD_RATE_GOAL = 0.5, 2.0, 1.0  # s, s, percent
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


def compare_encodes(say: Callable[[str], None]) -> dict[str, Any]:
    """Files of both devices: their BD-rate, and the seconds that they took."""
    rows: list[dict[str, Any]] = []
    for name, picture in pictures().items():
        curves: dict[str, list[tuple[float, float]]] = {"cpu": [], "cuda": []}
        seconds: dict[str, list[float]] = {"cpu": [], "cuda": []}
        for quality in QUALITIES:
            for device in curves:
                encoded = encode_picture(picture, quality=quality, device=device)
                curves[device].append((float(len(encoded.data)), encoded.psnr))
                seconds[device].append(encoded.seconds)
        rate = bd_rate(curves["cpu"], curves["cuda"])["percent"]
        rows.append({"picture": name, "bd_rate": rate, "curves": curves, "seconds": seconds})
        say(f"{name}: {median(seconds['cuda']):.2f} s (CPU {median(seconds['cpu']):.2f} s), BD-rate {rate}")
    name, picture = large_picture()
    large = encode_picture(picture, device="cuda")
    say(f"{name}, 2048x1365: {large.seconds:.2f} s, {large.psnr:.2f} dB, {len(large.data):,} bytes")
    rates = [row["bd_rate"] for row in rows if row["bd_rate"] is not None]
    return {
        "rows": rows,
        "goals": {"encode_s": ENCODE_GOAL, "large_s": LARGE_GOAL, "bd_rate": BD_RATE_GOAL},
        "bd_rate": fmean(rates) if rates else None,
        "large": {
            "picture": name,
            "seconds": large.seconds,
            "psnr": large.psnr,
            "bytes": len(large.data),
        },
    }


def measure(say: Callable[[str], None]) -> dict[str, Any]:
    """All figures of the fit on the GPU."""
    from splat2d.fit import cuda

    step = time_steps(cuda)
    say(f"a step with {step['splats']:,} splats: {1000 * step['median_s']:.3f} ms (aim {1000 * FIT[3]:.1f})")
    return {"step": step, "encode": compare_encodes(say)}
