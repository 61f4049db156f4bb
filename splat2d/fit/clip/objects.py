"""Clips that are cut into objects: each a layer that moves, before a background that goes on behind it.

    frames, masks -> frames with weights -> encode_frames, once a layer -> one clip of all layers

The background is fitted to what is seen of it only: splats live through time, so what an object covers in
some frames is what others show of it. An object's frames have its mask as alpha; what another one covers of
it counts for nothing.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from splat2d.edit.document import Document
from splat2d.errors import ConfigError, ShapeError, TargetError
from splat2d.fit.clip.encode import encode_frames, exclude_others, nearest_quality
from splat2d.fit.clip.masks import Masks, boxes_of, load_clip_masks
from splat2d.fit.clip.search import psnr_of_clip, search
from splat2d.fit.clip.shots import TimedFrame
from splat2d.fit.clip.target import MAX_BPP, ClipTarget
from splat2d.fit.config import load_clip_config
from splat2d.fit.encode import checked_targets
from splat2d.fit.objects.cut import eroded
from splat2d.format.layers import MAX_LAYERS, PICTURE, check_name
from splat2d.format.metadata import Metadata, metadata_section
from splat2d.format.sound import Sound
from splat2d.media.frames import ClipProgress
from splat2d.scene.clip import Clip

BAND = 2  # px around an object whose colours are a mixture of both sides, and count for neither background

Frames = Callable[[], Iterable[TimedFrame]]
"""Begins anew with all frames [H, W, C] and their times."""


def encode_objects(
    frames: Frames,
    masks: object,
    fps: Fraction,
    file: BinaryIO,
    *,
    progress: Callable[[ClipProgress], None] | None = None,
    sound: Sound | None = None,
    metadata: Metadata | None = None,
    notes: Sequence[str] = (),
    quality: int | None = None,
    bpp: float | None = None,
    psnr: float | None = None,
    size: int | None = None,
    **options: Any,
) -> ClipProgress:
    """Encode a clip with objects.

    Args:
        frames: begins anew with the clip.
        masks: of the objects, as of `load_clip_masks`.
        fps: frames a second.
        file: gets the clip.
        progress: called now and then.
        sound: of the clip.
        metadata: of the clip.
        notes: what was done to it on the way in.
        quality: of each layer.
        bpp: most bits a pixel of the file without sound and metadata, instead; some files are tried.
        psnr: least PSNR of the clip, dB, instead.
        size: most bytes of the file, instead.
        options: as of `encode_frames`.

    Raises:
        ConfigError: names that no layer can have, masks that cover nothing.
        ShapeError: more or fewer masks than frames; and as `encode_frames`.
        TargetError: no quality meets the target.
    """
    exclude_others(quality, bpp, psnr, size)
    psnr, bpp, size = checked_targets(psnr, bpp, size)
    if psnr is not None:
        options["tune"] = options.get("tune") or "psnr"
    sizes = [pixels.shape[1::-1] for pixels, _ in frames()]
    if not sizes:
        raise ShapeError("the clip has no frames")
    count, given = len(sizes), load_clip_masks(masks, sizes[0])
    names = list(given)
    for name in names:
        check_name(name)
    if PICTURE in names:
        raise ConfigError(f"the background is called {PICTURE!r}; the mask needs another name")
    if len(names) >= MAX_LAYERS:
        raise ConfigError(f"{len(names)} masks, over the limit of {MAX_LAYERS - 1}")
    boxes = boxes_of(given, count)
    passes = 1 + len(given)

    def encode(quality: int | None, tries: int = 0) -> bytes:
        # Nobody knows how many tries it takes: each but those before has half of what is left.
        begun, share = 1 - 0.5**tries, 0.5 ** (tries + 1) if goal else 1.0

        def coded(number: int, pictures: Iterable[TimedFrame], **more: Any) -> Clip:
            def tell(at: ClipProgress) -> None:
                if progress is not None:
                    done = (number * count + min(float(at.frames), count)) / passes
                    progress(replace(at, frames=begun * count + share * done, total=count))

            out = io.BytesIO()
            own = {"quality": quality, "total": count, "weighed": True, "progress": tell}
            encode_frames(pictures, fps, out, **own, **options, **more)
            return Clip.from_bytes(out.getvalue())

        clip = coded(0, _background(frames, given), sound=sound, metadata=metadata, notes=notes)
        for number, name in enumerate(names, 1):
            document = coded(number, _object(frames, given, name)).document
            # Its handles and the middle that it turns about are those of where it goes.
            document = Document(document.source, document.container, boxes={(0, 0): boxes[name]})
            clip = clip.merge(Clip(document), names=[name])
        return clip.to_bytes()

    beside = (sound.size if sound else 0) + len(metadata_section(metadata))
    if size is not None and beside >= size:
        raise TargetError(f"sound and metadata alone have {beside} bytes, and the file may have {size}")
    pixels = sizes[0][0] * sizes[0][1] * count
    if size is not None:
        bpp, beside = min(8 * size / pixels, MAX_BPP), 0
    goal = ClipTarget(bpp, psnr) if bpp is not None or psnr is not None else None

    def excess(data: bytes) -> float:
        assert goal is not None
        reached = 0.0 if goal.psnr is None else psnr_of_clip(Clip.from_bytes(data), frames())
        return goal.excess(8 * max(len(data) - beside, 1) / pixels, reached)

    if goal is None:
        data = encode(quality)
    else:
        config = options.get("config") or load_clip_config(options.get("preset", "default"))
        tune = options.get("tune") or config.tune
        data = search(goal, encode, excess, nearest_quality(goal.first_step, tune))
    file.write(data)
    return ClipProgress(count, count, len(data))


def _together(
    frames: Frames, masks: Mapping[str, Masks]
) -> Iterator[tuple[TimedFrame, dict[str, NDArray[np.uint8]]]]:
    """Each frame with the masks of all objects."""
    begun = {name: begin() for name, begin in masks.items()}
    for frame in frames():
        yield frame, {name: next(mask) for name, mask in begun.items()}


def _background(frames: Frames, masks: Mapping[str, Masks]) -> Iterator[TimedFrame]:
    """Frames that count where no object is, nor the mixture at its edge."""
    for (pixels, time), covers in _together(frames, masks):
        free = eroded(np.max(list(covers.values()), axis=0) == 0, BAND)
        yield np.dstack([pixels, np.where(free, 255, 0).astype(np.uint8)]), time


def _object(frames: Frames, masks: Mapping[str, Masks], name: str) -> Iterator[TimedFrame]:
    """Frames of an object alone, premultiplied; they count where nothing in front covers it."""
    names = list(masks)
    front = names[names.index(name) :]
    for (pixels, time), covers in _together(frames, {own: masks[own] for own in front}):
        cover = covers.pop(name)
        alpha = pixels[..., -1:] if pixels.shape[2] in (2, 4) else np.full_like(pixels[..., :1], 255)
        colors = pixels[..., : pixels.shape[2] - (pixels.shape[2] in (2, 4))]
        share = cover.astype(np.uint16)[..., None]
        own = [((plane * share + 127) // 255).astype(np.uint8) for plane in (colors, alpha)]
        hidden = np.max([np.zeros_like(cover), *covers.values()], axis=0)
        yield np.dstack([*own, 255 - hidden]), time
