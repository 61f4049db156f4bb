"""What a figure depends on besides the codec: this machine, these versions, this commit, how it was timed."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import splat2d

CHECKOUT = Path(splat2d.__file__).resolve().parents[1]
# What a commit must hold for its hash to name the code that ran; results themselves do not count.
CODE = ("splat2d", "cpp", "cuda", "configs", "benchmarks/*.py")
PACKAGES = ("numpy", "pillow", "bjontegaard", "pytorch-msssim", "ssimulacra2", "pillow-jxl-plugin", "av")
LIBRARIES = {"libjpeg_turbo": "libjpeg-turbo", "webp": "libwebp", "avif": "libavif", "jpg_2000": "openjpeg"}


def cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def stamp() -> dict[str, Any]:
    """Return when this is, and of which commit; `modified` says that the code differs from it."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "modified": bool(_git("status", "--porcelain", "--", *CODE)),
    }


def environment() -> dict[str, Any]:
    """Return the stamp, the machine, and the versions of packages and of the codecs' libraries."""
    from PIL import features

    return {
        **stamp(),
        "machine": {
            "cpu": _proc_cpuinfo("model name") or platform.processor() or platform.machine(),
            "cores": cores(),
            "vectors": vectors(),
            "memory_gib": _memory_gib(),
            "os": _os_name(),
            # Well above zero before a run starts, others were working and times are too long.
            "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        },
        "versions": {
            "splat2d": splat2d.__version__,
            "python": platform.python_version(),
            **{name: package_version(name) for name in PACKAGES},
            **{name: features.version(key) for key, name in LIBRARIES.items()},
        },
    }


def package_version(name: str) -> str | None:
    """Return the version of an installed package, None where it is absent."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


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


def _git(*arguments: str) -> str | None:
    """Return what git says about the checkout that this package runs from, None when it runs from none."""
    # An installed package may lie inside somebody else's checkout.
    if not (CHECKOUT / ".git").exists():
        return None
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _proc_cpuinfo(key: str) -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.split(":")[0].strip() == key:
                return line.split(":", 1)[1].strip()
    return ""


def vectors() -> str:
    """Return the widest vector instructions of this CPU that matter here, by the kernel's name for them."""
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
