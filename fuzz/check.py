"""What a reader does with a file, whatever it holds: our errors only, in bounded time and memory."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from splat2d.errors import BitstreamError, LargeFileWarning, Splat2dError
from splat2d.format.container import is_clip
from splat2d.format.header import Limits
from splat2d.scene.clip import Clip
from splat2d.scene.picture import Scene

SECONDS = 2.0  # of a processor, for one file
MEMORY = 300 << 20  # bytes beyond what the process had, for one file
LIMITS = Limits(max_pixels=1 << 20, max_splats=1 << 18)
SIDE = 96  # px of what is drawn

warnings.simplefilter("ignore", LargeFileWarning)


class Found(Exception):
    """A fault of the reader."""


def check(data: bytes) -> str:
    """Read, draw and describe a file in every way.

    Args:
        data: of a file, or of anything.

    Returns:
        "good" or the error's type.

    Raises:
        Found: too slow, or an error that only files may not cause.
        Exception: any other, which is a fault, too.
    """
    start = time.process_time()
    result = "good"
    try:
        _clip(data) if is_clip(data) else _picture(data)
    except BitstreamError as fault:
        text = str(fault)
        if not text or "\n" in text:
            raise Found(f"an error that is no line: {text!r}") from fault
        result = "BitstreamError"
    if is_clip(data):
        _ours(lambda: _clip(data, skip_damaged=True))
    if (seconds := time.process_time() - start) > SECONDS:
        raise Found(f"took {seconds:.1f} s")
    return result


def _ours(work: Callable[[], Any]) -> Any:
    """What comes out, or None for an error of ours."""
    try:
        return work()
    except Splat2dError:
        return None


def _picture(data: bytes) -> None:
    scene = Scene.from_bytes(data, threads=1, limits=LIMITS)
    scale = min(SIDE / max(scene.width, scene.height), 2.0)
    scene.render(scale=scale, threads=1)
    scene.render_float(crop=(0, 0, min(scene.width, 9), min(scene.height, 7)), threads=1)
    _ours(lambda: scene.render(tiers=2, scale=scale, threads=1))
    scene.info()
    for layer in scene.layers[:4]:
        _ours(lambda layer=layer: (layer.box, layer.edits, layer.count))
    Scene.from_bytes(scene.to_bytes(), threads=1, limits=LIMITS)


def _clip(data: bytes, *, skip_damaged: bool = False) -> None:
    clip = Clip.from_bytes(data, threads=1, limits=LIMITS, skip_damaged=skip_damaged)
    scale = min(SIDE / max(clip.width, clip.height), 2.0)
    for time_ in (Fraction(0), clip.duration / 3, clip.duration * Fraction(999, 1000), clip.duration):
        clip.render(time=time_, scale=scale, threads=1)
    clip.render(frame=clip.count - 1, scale=scale, threads=1)
    _ours(lambda: clip.sound and sum(len(packet.data) for packet in clip.sound.packets()))
    clip.info(count_bits=True)
    for layer in clip.layers[:4]:
        _ours(lambda layer=layer: (layer.box, layer.edits, layer.count))
    clip.to_bytes()
