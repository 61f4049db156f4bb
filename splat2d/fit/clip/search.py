"""The quality at which a clip of layers meets a target: they share it, so the whole is encoded anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from splat2d.errors import TargetError
from splat2d.fit.clip.shots import TimedFrame
from splat2d.fit.clip.target import ClipTarget
from splat2d.fit.encode import QUALITY_PER_OCTAVE
from splat2d.fit.fitter import psnr_of
from splat2d.media.convert import premultiplied
from splat2d.scene.clip import Clip

__all__ = ["psnr_of_clip", "search"]

TRIES = 5  # after which what meets the target is good enough


def search(
    target: ClipTarget, encode: Callable[[int, int], bytes], excess: Callable[[bytes], float], first: int
) -> bytes:
    """Encode at qualities until the target is met within its window, or no quality lies between.

    Args:
        target: what is to be met.
        encode: makes the file of a quality; told how many were made before, too.
        excess: by how much a file misses the target, as of `ClipTarget.excess`.
        first: quality to begin with.

    Returns:
        Of the files that meet the target the one that comes nearest to it.

    Raises:
        TargetError: none does.
    """
    low, high = 0, 101  # of qualities between which the answer is; up to `low` for rates all meet the target
    misses: dict[int, float] = {}
    best, quality = None, first
    while high - low > 1 and (best is None or len(misses) < TRIES):
        made = encode(quality, len(misses))
        missed = misses[quality] = excess(made)
        if missed <= 0 and (best is None or missed > best[0]):
            best = missed, made
        if -target.window <= missed <= 0:
            break
        if (missed <= 0) == (target.psnr is None):
            low = quality
        else:
            high = quality
        if low in misses and high in misses:
            part = (-0.5 * target.window - misses[low]) / (misses[high] - misses[low])
            guess = low + round(part * (high - low))
        else:
            guess = quality - round(target.octaves(missed) * QUALITY_PER_OCTAVE)
        quality = min(max(guess, low + 1), high - 1)
    if best is None:
        if target.psnr is not None:
            raise TargetError(f"no quality reaches {target.psnr:g} dB with these masks")
        raise TargetError("the file is too large at the lowest quality, too, with these masks")
    return best[1]


def psnr_of_clip(clip: Clip, frames: Iterable[TimedFrame]) -> float:
    """PSNR in dB of a clip's frames, decoded to bytes, against premultiplied ones of which it was made."""
    sse, samples = 0.0, 0
    for (_, shown), (pixels, _) in zip(clip.frames(), frames, strict=True):
        if shown.shape[2] in (2, 4):
            alpha = shown[..., -1:]
            shown = np.dstack([premultiplied(shown[..., :-1], alpha), alpha])
        sse += float(((shown.astype(np.float32) - pixels) ** 2).sum(dtype=np.float64)) / 255**2
        samples += pixels.size
    return psnr_of(sse, samples)
