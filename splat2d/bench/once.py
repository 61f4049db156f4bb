"""One encode in a process of its own, for the memory that it takes: `encode_alone`."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat2d.bench.codecs import Codec, Setting
from splat2d.bench.machine import peak_memory, significant
from splat2d.errors import Splat2dError


@dataclass(frozen=True)
class Job:
    """What the process shall encode."""

    codec: Codec
    path: Path
    setting: Setting


def load_pixels(path: Path) -> NDArray[np.uint8]:
    """Return any picture as 8-bit sRGB [H, W, 3], upright, alpha laid on white.

    Raises:
        InputImageError: it cannot be read.
    """
    from splat2d.media.pictures import load_picture

    planes = load_picture(path).pixels
    colours = planes[: 3 if len(planes) >= 3 else 1]
    if len(planes) in (2, 4):
        colours = colours + (1 - planes[-1])
    x = np.round(np.clip(colours, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(x, (*x.shape[:2], 3)))


def encode_alone(codec: Codec, path: Path, setting: Setting) -> dict[str, Any]:
    """Encode a picture in a fresh process.

    Args:
        codec: any.
        path: of the picture.
        setting: that the codec takes at once.

    Returns:
        width and height in px; bytes; bpp; encode_s; loaded_mib, the process's peak memory before encoding,
        and peak_mib after it; psnr in dB; splats where the codec is ours.

    Raises:
        Splat2dError: the process failed; says its last line.
    """
    command = [sys.executable, "-m", "splat2d.bench.once"]
    done = subprocess.run(command, input=pickle.dumps(Job(codec, path, setting)), capture_output=True)
    if done.returncode:
        words = done.stderr.decode(errors="replace").splitlines() or ["no word"]
        raise Splat2dError(f"encoding {path.name} in its own process failed: {words[-1]}")
    return json.loads(done.stdout)


def run(job: Job) -> dict[str, Any]:
    """Encode, decode and return the figures of `encode_alone`."""
    from splat2d.bench.metrics import psnr

    x = load_pixels(job.path)
    loaded = peak_memory()
    start = perf_counter()
    data = job.codec.encode(x, job.setting)
    seconds = perf_counter() - start
    peak = peak_memory()
    height, width, _ = x.shape
    figures = {
        "width": width,
        "height": height,
        "bytes": len(data),
        "bpp": round(8 * len(data) / (width * height), 5),
        "encode_s": significant(seconds),
        "loaded_mib": round(loaded / 2**20),
        "peak_mib": round(peak / 2**20),
        "psnr": round(psnr(x, job.codec.decode(data)), 3),
    }
    return {**figures, **splats_of(job.codec, data)}


def splats_of(codec: Codec, data: bytes) -> dict[str, int]:
    """Return the number of splats in a file as `splats`, nothing for other codecs' files."""
    if not codec.ours:
        return {}
    from splat2d.scene.picture import Scene

    return {"splats": Scene.from_bytes(data).count}


if __name__ == "__main__":
    # Under its own name, as which the parent's pickle knows it.
    from splat2d.bench import once  # noqa: PLW0406

    print(json.dumps(once.run(pickle.load(sys.stdin.buffer))))
