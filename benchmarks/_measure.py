"""What all benchmarks share: where pictures are, what machine this is, distortion, and JSON results."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

import splat2d
from splat2d.errors import InputImageError

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DATA = ROOT.parent / "shared" / "data"
# What a commit must hold for its hash to name the code that ran; the results themselves do not count.
CODE = ("splat2d", "cpp", "cuda", "configs", "benchmarks/*.py")


def kodak_paths(data: Path, numbers: Iterable[int] = ()) -> list[Path]:
    """Return the Kodak pictures with these numbers, all 24 for none.

    Raises:
        InputImageError: If one is missing.
    """
    paths = [data / "kodak" / f"kodim{n:02d}.png" for n in tuple(numbers) or range(1, 25)]
    for path in paths:
        if not path.is_file():
            raise InputImageError(
                f"expected a Kodak picture at {path}, found none; --data DIR says where they are"
            )
    return paths


def pixels_of(path: Path) -> NDArray[np.uint8]:  # [H, W, 3]
    """Return a picture's RGB samples."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def psnr(x: NDArray[np.uint8], x_hat: NDArray[np.uint8]) -> float:
    """Return the PSNR in dB over all samples of two pictures [H, W, 3]; 99 for equal ones."""
    error = float(np.mean((x.astype(np.float64) - x_hat.astype(np.float64)) ** 2))
    return 10 * math.log10(255**2 / error) if error else 99.0


def ms_ssim(x: NDArray[np.uint8], x_hat: NDArray[np.uint8]) -> float:
    """Return the MS-SSIM over RGB of two pictures [H, W, 3] with sides above 160 px."""
    import torch
    from pytorch_msssim import ms_ssim as measure

    a, b = (torch.from_numpy(np.array(p)).permute(2, 0, 1)[None].float() for p in (x, x_hat))
    return float(measure(a, b, data_range=255))


def timed(action: Callable[[], Any], repeats: int, warm_up: int = 1) -> dict[str, float]:
    """Return median, fastest and slowest wall-clock time of an action, in seconds."""
    for _ in range(warm_up):
        action()
    times = []
    for _ in range(repeats):
        start = perf_counter()
        action()
        times.append(perf_counter() - start)
    return spread(times)


def spread(times: list[float]) -> dict[str, float]:
    """Return median, fastest and slowest of times in seconds, and how many there are."""
    return {
        "median_s": significant(median(times)),
        "fastest_s": significant(min(times)),
        "slowest_s": significant(max(times)),
        "repeats": len(times),
    }


def significant(value: float, digits: int = 4) -> float:
    """Return a number with as many digits as a measurement deserves."""
    return float(f"{value:.{digits}g}")


def peak_memory() -> int:
    """Return the largest resident set of this process so far, in bytes."""
    # Linux carries ru_maxrss over from the parent that started the process; VmHWM is this program's own.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def stamp() -> dict[str, Any]:
    """Return when this is, and of which commit; `modified` says that the code differs from it."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "modified": bool(_git("status", "--porcelain", "--", *CODE)),
    }


def environment() -> dict[str, Any]:
    """Return the machine and the versions that a result depends on."""
    return {
        **stamp(),
        "machine": {
            "cpu": _cpu_model(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "vectors": _vectors(),
            "memory_gib": _memory_gib(),
            "os": _os_name(),
            # Well above zero before a run starts, others were working and times are too long.
            "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        },
        "versions": {
            "splat2d": splat2d.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pillow": _version("pillow"),
            "libjpeg-turbo": features.version("libjpeg_turbo"),
            "libwebp": features.version("webp"),
            "libavif": features.version("avif"),
        },
    }


def read_json(path: Path) -> dict[str, Any] | None:
    """Return an earlier result, or None."""
    return json.loads(path.read_text()) if path.is_file() else None


def write_json(path: Path, result: dict[str, Any]) -> None:
    """Write a result whole or not at all, so that an interrupted run can be resumed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    text = json.dumps(result, indent=1, allow_nan=False)
    # A measured point is one line, so that a diff of two runs can be read.
    text = re.sub(r"\{[^{}\[\]]*\}", lambda found: " ".join(found[0].split()), text)
    part.write_text(text + "\n")
    part.replace(path)


def _git(*arguments: str) -> str | None:
    """Return what git says about the checkout, or None outside one."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _proc_cpuinfo(key: str) -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.split(":")[0].strip() == key:
                return line.split(":", 1)[1].strip()
    return ""


def _cpu_model() -> str:
    return _proc_cpuinfo("model name") or platform.processor() or platform.machine()


def _vectors() -> str:
    flags = _proc_cpuinfo("flags").split()
    return next((name for name in ("avx512f", "avx2", "sse2") if name in flags), platform.machine())


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _os_name() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError, AttributeError):
        name = platform.system()
    kernel = ".".join(platform.release().split("-")[0].split(".")[:2])
    return f"{name}, {platform.system()} {kernel}, {platform.machine()}"
