"""From the views of a light field to the bytes of a .splat file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import ConfigError, ShapeError
from splat2d.fit.clip.segment import COARSER
from splat2d.fit.clip.target import ClipTarget, Try, reach
from splat2d.fit.config import load_clip_config
from splat2d.fit.encode import checked_quality, checked_seed, checked_targets, quality_step
from splat2d.fit.fitter import OnProgress, psnr_of
from splat2d.fit.views.fit import ViewsFit
from splat2d.format.container import Container, write
from splat2d.format.eyes import Eyes
from splat2d.format.field import Field
from splat2d.format.header import MAX_PIXELS, MAX_SIDE, Header, Limits, step_code, step_of
from splat2d.native.backend import ALL_CORES, Backend
from splat2d.scene.picture import Scene


@dataclass(frozen=True)
class EncodedViews:
    """An encoded light field.

    Args:
        data: the file's bytes.
        psnr: dB over all samples of all views, from decoding `data` to bytes.
        seconds: wall-clock time of encoding.
        splats: number of splats.
        quality: as asked, or None when another target was given.
    """

    data: bytes
    psnr: float
    seconds: float
    splats: int
    quality: int | None


def encode_views(
    views: NDArray[np.uint8],
    places: Sequence[Sequence[float]] | NDArray[np.float64],
    *,
    quality: int | None = None,
    psnr: float | None = None,
    bpp: float | None = None,
    size: int | None = None,
    preset: str = "default",
    tune: str | None = None,
    seed: int = 0,
    backend: Backend = ALL_CORES,
    progress: OnProgress | None = None,
    notes: tuple[str, ...] = (),
) -> EncodedViews:
    """Encode a light field.

    Args:
        views: [K, H, W, 3] uint8, of 2 to 64 views.
        places: [K, 2] u, v of their eyes, to the right and down from the middle, in steps of their grid.
        quality: 1 to 100; 75 when None and there is no target.
        psnr: least PSNR over all views, dB.
        bpp: most bits a pixel of all views.
        size: most bytes of the file.
        preset: fast, default or best, or the path of a YAML file.
        tune: visual, psnr or ms-ssim; psnr when None.
        seed: of the refinement's order.
        backend: fits.
        progress: called with a `Progress` now and then.
        notes: what was done to the views on the way in.

    Raises:
        BackendUnavailableError: the backend is "cuda", and there is no GPU to use, or it fails.
        ConfigError: settings out of range, or several targets.
        ShapeError: an array of another shape, or of too many pixels.
        TargetError: a target that these views cannot reach.
    """
    start = time.perf_counter()
    if sum(v is not None for v in (quality, psnr, bpp, size)) > 1:
        raise ConfigError("quality, psnr, bpp and size contradict each other: give one target")
    if views.ndim != 4 or views.dtype != np.uint8 or views.shape[3] not in (1, 3) or not views.size:
        raise ShapeError(f"views are {views.dtype} {list(views.shape)}, expected uint8 [K, H, W, 1 or 3]")
    count, height, width, channels = views.shape
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise ShapeError(f"views are {width} x {height} px; a file may have {MAX_SIDE} px a side")
    eyes = Eyes.of([tuple(map(float, place)) for place in places])
    if len(eyes.places) != count:
        raise ShapeError(f"there are {len(eyes.places)} places for {count} views")
    seed = checked_seed(seed)
    config = load_clip_config(preset).tuned(tune or "psnr")
    psnr, bpp, size = checked_targets(psnr, bpp, size)
    if size is not None:
        bpp = 8 * size / (width * height * count)
    target = ClipTarget(bpp, psnr) if bpp is not None or psnr is not None else None
    quality = checked_quality(quality) if target is None else None
    step = (
        target.first_step if target else step_of(step_code(COARSER * quality_step(quality or 0, config.tune)))
    )

    def encode(on: Backend) -> Try[bytes]:
        fit = ViewsFit(views, eyes, config, step, backend=on, seed=seed, on_progress=progress)

        def code() -> Try[bytes]:
            header = Header(
                width,
                height,
                channels,
                step_code(fit.step),
                config.chroma_code,
                quality or 0,
                fit.background,
            )
            data = _written(header, eyes, fit.refined().integers(), notes, on)
            return Try(data, fit.step, 8 * len(data) / (width * height * count), _psnr(data, views, on))

        return code() if target is None else reach(target, fit, code, "these views")

    done = backend.run(encode)
    splats = Scene.from_bytes(done.coded, threads=backend.threads, limits=Limits.of_format()).count
    return EncodedViews(done.coded, done.psnr, time.perf_counter() - start, splats, quality)


def _written(
    header: Header, eyes: Eyes, integers: NDArray[np.int32], notes: tuple[str, ...], backend: Backend
) -> bytes:
    layout = replace(header.layout, eyes=eyes.arguments)
    field = Field.encode(integers, layout, backend=backend)
    return write(Container(header, field, notes, eyes=eyes))


def _psnr(data: bytes, views: NDArray[np.uint8], backend: Backend) -> float:
    """PSNR in dB of all views, decoded to bytes."""
    scene = Scene.from_bytes(data, threads=backend.threads, limits=Limits.of_format())
    sse = 0.0
    for view, (u, v) in zip(views, scene.eyes, strict=True):
        shown = scene.seen_from(u, v).render(threads=backend.threads)
        sse += float(((shown.astype(np.float32) - view) ** 2).sum(dtype=np.float64)) / 255**2
    return psnr_of(sse, views.size)
