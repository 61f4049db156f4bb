"""Clips that are cut into objects: each a layer that moves, before a background that goes on behind it.

    frames, masks -> frames with weights -> encode_frames, once a layer -> one clip of all layers

The background is fitted to what is seen of it only: splats live through time, so what an object covers in
some frames is what others show of it. An object's frames have its mask as alpha; what another one covers of
it counts for nothing.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from splat2d.edit.document import Document
from splat2d.errors import ConfigError, ShapeError
from splat2d.fit.clip.encode import bytes_beside, encode_frames, exclude_others, quality_of_step
from splat2d.fit.clip.masks import Masks, boxes_of, load_clip_masks
from splat2d.fit.clip.part import Part
from splat2d.fit.clip.search import psnr_of_clip, search
from splat2d.fit.clip.shots import TimedFrame
from splat2d.fit.clip.target import MAX_BPP, ClipTarget
from splat2d.fit.config import load_clip_config
from splat2d.fit.encode import checked_quality, checked_targets
from splat2d.fit.objects.cut import eroded
from splat2d.format.layers import MAX_LAYERS, PICTURE, check_name
from splat2d.format.metadata import Metadata
from splat2d.format.sound import Sound
from splat2d.media.frames import ClipProgress
from splat2d.scene.clip import Clip

BAND = 2  # px around an object whose colours are a mixture of both sides, and count for neither background

Frames = Callable[[], Iterable[TimedFrame]]
"""Begins anew with all frames [H, W, C] and their times."""

PartOf = Callable[[int, int], Part]


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
    part_of: PartOf | None = None,
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
        part_of: gives what keeps, and perhaps already has, the finished segments of a layer, from 0, at a
            quality; they are in memory when None.
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
    beside = bytes_beside(size, sound, metadata)
    whole = {"sound": sound, "metadata": metadata, "notes": notes}
    layers = _Layers(frames, given, boxes_of(given, count), fps, count, options, whole, part_of)
    pixels = sizes[0][0] * sizes[0][1] * count
    if size is not None:
        bpp, beside = min(8 * size / pixels, MAX_BPP), 0
    goal = ClipTarget(bpp, psnr) if bpp is not None or psnr is not None else None

    def tell(at: ClipProgress, begun: float = 0.0, share: float = 1.0) -> None:
        if progress is not None:
            progress(replace(at, frames=begun * count + share * at.frames))

    def attempt(quality: int, tries: int) -> bytes:
        # Nobody knows how many tries it takes: each but those before has half of what is left.
        return layers.encode(quality, partial(tell, begun=1 - 0.5**tries, share=0.5 ** (tries + 1)))

    def excess(target: ClipTarget, data: bytes) -> float:
        reached = 0.0 if target.psnr is None else psnr_of_clip(Clip.from_bytes(data), frames())
        return target.excess(8 * max(len(data) - beside, 1) / pixels, reached)

    if goal is None:
        data = layers.encode(quality, tell)
    else:
        config = options.get("config") or load_clip_config(options.get("preset", "default"))
        first = quality_of_step(goal.first_step, options.get("tune") or config.tune)
        data = search(goal, attempt, partial(excess, goal), first)
    file.write(data)
    return ClipProgress(count, count, len(data))


@dataclass(frozen=True)
class _Layers:
    """A clip's background and objects, to be encoded at a quality."""

    frames: Frames
    masks: Mapping[str, Masks]
    boxes: Mapping[str, tuple[int, int, int, int]]
    fps: Fraction
    count: int
    options: dict[str, Any]
    whole: dict[str, Any]  # what the file has beside layers
    part_of: PartOf | None = None

    def encode(self, quality: int | None, tell: Callable[[ClipProgress], None]) -> bytes:
        """The file; told of frames of all layers together."""
        clip = self._coded(0, _background(self.frames, self.masks), quality, tell, **self.whole)
        for number, name in enumerate(self.masks, 1):
            document = self._coded(number, _object(self.frames, self.masks, name), quality, tell).document
            # Its handles and the middle that it turns about are those of where it goes.
            document = Document(document.source, document.container, boxes={(0, 0): self.boxes[name]})
            clip = clip.merge(Clip(document), names=[name])
        return clip.to_bytes()

    def _coded(
        self,
        number: int,
        pictures: Iterable[TimedFrame],
        quality: int | None,
        tell: Callable[[ClipProgress], None],
        **more: Any,
    ) -> Clip:
        """The clip of one layer."""

        def told(at: ClipProgress) -> None:
            done = number * self.count + min(float(at.frames), self.count)
            tell(replace(at, frames=done / (1 + len(self.masks)), total=self.count))

        out = io.BytesIO()
        quality = checked_quality(quality)
        if self.part_of is not None:
            more["part"] = self.part_of(number, quality)
        own = {"quality": quality, "total": self.count, "weighed": True, "progress": told}
        encode_frames(pictures, self.fps, out, **own, **self.options, **more)
        return Clip.from_bytes(out.getvalue())


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
