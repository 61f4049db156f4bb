"""What objects cost: pictures with masks as one layer and as several, in files of equal size.

Usage: python benchmarks/objects.py [--data DIR] [--out FILE] [--preset P] [--quality Q ...]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import tyro
from _paths import DATA, RESULTS, existing
from rich.console import Console

from splat2d.bench.machine import environment
from splat2d.bench.results import write_json
from splat2d.errors import Splat2dError
from splat2d.fit.encode import encode_picture
from splat2d.fit.objects.masks import load_labels
from splat2d.media.pictures import load_picture
from splat2d.native.backend import Backend
from splat2d.scene.picture import Scene

PICTURES = ("bike/00000.jpg", "judo/00000.jpg", "FudanPed00054.png")
EDGE = 3  # px around a mask's edge that are its edge


@dataclass(frozen=True)
class Options:
    """Options.

    Args:
        data: folder of pictures with masks.
        out: JSON to write.
        preset: of the encoder.
        quality: of the layered files; flat ones get their size.
        threads: of the encoder.
    """

    data: Path = DATA / "masks"
    out: Path = RESULTS / "objects.json"
    preset: str = "default"
    quality: tuple[int, ...] = (50, 75)
    threads: int = 2


def edge_of(mask: np.ndarray) -> np.ndarray:
    """Pixels [H, W] within EDGE px of a mask's edge."""
    padded = np.pad(mask > 0.5, EDGE, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * EDGE + 1, 2 * EDGE + 1))
    return np.asarray(windows.any((2, 3)) & ~windows.all((2, 3)))


def measure(path: Path, options: Options, quality: int) -> dict[str, Any]:
    """Both files of a picture at one quality."""
    picture = load_picture(path)
    height, width = picture.pixels.shape[1:]
    masks = load_labels(path.with_name(path.stem + "_mask.png"), (width, height))
    settings: dict[str, Any] = {"preset": options.preset, "backend": Backend(options.threads)}
    at_quality = encode_picture(picture, quality=quality, masks=masks, **settings)
    flat = encode_picture(picture, size=len(at_quality.data), **settings)
    layered = encode_picture(picture, size=len(flat.data), masks=masks, **settings)
    scene = Scene.from_bytes(at_quality.data)
    errors = []
    for name, mask in masks.items():
        alpha = scene.extract(name).render()[:, :, -1] / 255
        errors.append(float(np.abs(alpha - mask)[edge_of(mask)].mean()))
    return {
        "picture": path.parent.name + "/" + path.name,
        "objects": len(masks),
        "quality": quality,
        "bytes": {"layered": len(layered.data), "flat": len(flat.data)},
        "psnr": {"layered": layered.psnr, "flat": flat.psnr},
        "seconds": at_quality.seconds,
        "edge_alpha_error": fmean(errors),
    }


def run(options: Options, say: Any) -> None:
    """Measure all and write the JSON."""
    rows = []
    for name in PICTURES:
        path = existing(options.data / name)
        for quality in options.quality:
            row = measure(path, options, quality)
            rows.append(row)
            cost = row["psnr"]["flat"] - row["psnr"]["layered"]
            say(f"{name}, quality {quality}: {cost:.2f} dB; alpha {row['edge_alpha_error']:.3f} at the edge")
    write_json(options.out, {"benchmark": "objects", "preset": options.preset, **environment(), "rows": rows})


def main() -> int:
    """Run from the command line."""
    try:
        run(tyro.cli(Options), Console(stderr=True).print)
    except Splat2dError as error:
        print(f"objects: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
