"""Rates and distortions of light fields: ours, video codecs on the views row by row, views left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat2d.bench.clip_peers import PEERS, clip_psnr, encode_clip
from splat2d.bench.curves import bd_rate
from splat2d.bench.machine import environment
from splat2d.fit.views.encode import encode_views
from splat2d.media.views import Views, load_views
from splat2d.native.backend import ALL_CORES, Backend
from splat2d.scene.picture import Scene

ANCHORS = ("svt-av1-2", "x265-psnr")
"""Peers, the hardest first."""

QUALITIES = (20, 35, 50, 65)
CRFS = {"svt-av1-2": (38, 44, 50, 56, 63), "x265-psnr": (25, 28, 31, 34, 37)}


@dataclass(frozen=True)
class Row:
    """One file.

    Args:
        codec: its setting's name.
        setting: quality or constant rate factor.
        size: bytes.
        bpp: bits a pixel of all views.
        psnr: dB over all samples of all views.
        seconds: of encoding.
    """

    codec: str
    setting: float
    size: int
    bpp: float
    psnr: float
    seconds: float


def serpentine(views: Views) -> list[int]:
    """The order of the views row by row, every second row backwards."""
    rows = sorted({v for _, v in views.eyes})
    keys = [(rows.index(v), u if rows.index(v) % 2 == 0 else -u) for u, v in views.eyes]
    return sorted(range(len(keys)), key=keys.__getitem__)


def measure(
    path: str | Path,
    *,
    presets: Sequence[str] = ("default",),
    qualities: Sequence[int] = QUALITIES,
    anchors: Sequence[str] = ANCHORS,
    backend: Backend = ALL_CORES,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Encode a light field at several rates by ours and others.

    Args:
        path: as of `load_views`.
        presets: of ours.
        qualities: of ours.
        anchors: names of `clip_peers.PEERS`.
        backend: of ours; its threads are those of all encoders.
        say: gets a line a file.

    Returns:
        For JSON: rows, BD-rates in % against each anchor, views that were left out.
    """
    views = load_views(path)
    order = serpentine(views)
    frames = np.ascontiguousarray(views.pixels[order])
    samples = views.pixels[..., 0].size
    rows: list[Row] = []

    def add(codec: str, setting: float, size: int, psnr: float, seconds: float) -> None:
        rows.append(Row(codec, setting, size, 8 * size / samples, psnr, seconds))
        say(f"{codec} {setting:g}: {size:,} bytes, {psnr:.2f} dB, {seconds:.1f} s")

    for anchor in anchors:
        for crf in CRFS.get(anchor, PEERS[anchor].crfs):
            coded = encode_clip(anchor, frames, 25, crf, threads=backend.thread_count)
            add(anchor, crf, len(coded.data), clip_psnr(frames, coded.frames), coded.seconds)
    for preset in presets:
        for quality in qualities:
            done = encode_views(views.pixels, views.eyes, quality=quality, preset=preset, backend=backend)
            add(f"splat2d-{preset}", quality, len(done.data), done.psnr, done.seconds)
    return {
        "benchmark": "lightfields",
        **environment(),
        "source": Path(path).name,
        "views": len(views.pixels),
        "size": list(views.pixels.shape[2:0:-1]),
        "rows": [row.__dict__ for row in rows],
        "bd_rate": _bd_rates(rows, anchors),
        "left_out": [left_out(views, preset, backend) for preset in presets],
    }


def _bd_rates(rows: Sequence[Row], anchors: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Of each of ours against each anchor, %."""

    def curve(codec: str) -> list[tuple[float, float]]:
        return [(row.bpp, row.psnr) for row in rows if row.codec == codec]

    ours = dict.fromkeys(row.codec for row in rows if row.codec not in anchors)
    return {
        codec: {anchor: bd_rate(curve(anchor), curve(codec))["percent"] for anchor in anchors}
        for codec in ours
    }


def left_out(views: Views, preset: str, backend: Backend, quality: int = 50) -> dict[str, Any]:
    """Encode every second view and look at the others: how well views between come out.

    Returns:
        PSNR of the views that were left out and have neighbours on both sides that were not, and that of
        these neighbours, dB.
    """
    kept = [k for k in range(len(views.pixels)) if k % 2 == 0]
    done = encode_views(views.pixels[kept], views.eyes[kept], quality=quality, preset=preset, backend=backend)
    scene = Scene.from_bytes(done.data, threads=backend.threads)
    low, high = views.eyes[kept].min(0), views.eyes[kept].max(0)
    within = [
        k
        for k in range(len(views.pixels))
        if k % 2 and ((views.eyes[k] >= low) & (views.eyes[k] <= high)).all()
    ]
    start = perf_counter()
    psnrs = {k: _psnr(scene, views, k) for k in [*kept, *within]}
    return {
        "preset": preset,
        "quality": quality,
        "encoded": len(kept),
        "psnr_encoded": round(float(np.mean([psnrs[k] for k in kept])), 2),
        "psnr_left_out": round(float(np.mean([psnrs[k] for k in within])), 2),
        "seconds_a_view": (perf_counter() - start) / len(psnrs),
    }


def _psnr(scene: Scene, views: Views, index: int) -> float:
    shown: NDArray[np.uint8] = scene.seen_from(*views.eyes[index]).render()
    return float(10 * np.log10(255**2 / np.mean((shown.astype(np.float64) - views.pixels[index]) ** 2)))
