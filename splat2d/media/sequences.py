"""Clips from images: folders, patterns, stills and animations."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import InputClipError, InputImageError
from splat2d.media.animation import Animation, Damage, parse
from splat2d.media.files import open_input, read_bytes, reason, shown
from splat2d.media.frames import DEFAULT_FPS, ClipReader, Frame
from splat2d.media.metadata import NOTHING, Keep, metadata_of
from splat2d.media.opening import open_image, orientation_of, pixel_limit, too_large
from splat2d.media.pictures import load_picture
from splat2d.media.reading import read_image
from splat2d.media.samples import Picture, upright
from splat2d.media.tags import Tags, tags_of

if TYPE_CHECKING:
    from PIL import Image

# Formats whose frames follow each other in time; those of a TIFF are pages.
_ANIMATED = {"GIF", "PNG", "WEBP", "AVIF", "FLI"}
# What browsers and ffmpeg make of a GIF that asks for no delay.
_LEAST_DELAY, _USUAL_DELAY = Fraction(20, 1000), Fraction(100, 1000)


class SequenceReader(ClipReader):
    """A clip whose frames are files of one picture each.

    Args:
        name: of messages.
        paths: at least one.
        fps: frames a second.
        keep: what of the first one's metadata is kept.
    """

    def __init__(
        self, name: str, paths: Sequence[str], fps: Fraction | None = None, keep: Keep = NOTHING
    ) -> None:
        self._paths, self._keeps = paths, keep
        first = self._load(0)
        fps = fps or DEFAULT_FPS
        duration = len(paths) / fps
        super().__init__(name, (first.width, first.height), fps, count=len(paths), duration=duration)
        self.notes += first.notes
        self.metadata = first.metadata
        self._say(first)

    def _load(self, index: int) -> Picture:
        return load_picture(self._paths[index], keep_metadata=self._keeps.metadata, keep_gps=self._keeps.gps)

    def _stored_frames(self, start: int) -> Iterator[Frame]:
        """Yield the frames in order; those before start are not read."""
        for index in range(start, len(self._paths)):
            picture = self._load(index)
            self._check_size((picture.width, picture.height), index, (self.width, self.height))
            self._say(picture)
            yield Frame(_frame_of(picture), index / self.fps)

    def _may_be_transparent(self) -> bool:
        return any(map(_has_alpha, self._paths))

    def _say(self, picture: Picture) -> None:
        for message in picture.warnings:
            self._warn(message)


class AnimationReader(ClipReader):
    """A GIF, animated PNG, WebP or AVIF.

    Args:
        path: the file.
        fps: frames a second instead of the file's delays.
        keep: what of its metadata is kept.
    """

    def __init__(
        self, path: str | os.PathLike[str], fps: Fraction | None = None, keep: Keep = NOTHING
    ) -> None:
        self._path = path
        self._orientation = 1
        animation = self._parsed()
        if animation is None:
            with open_input(path) as file:
                delays = [_delay(image) for image in self._images(file)]
        else:
            least = _LEAST_DELAY if self._is_gif else Fraction(1, 1000)
            delays = [_USUAL_DELAY if part.delay < least else part.delay for part in animation.parts]
        if not delays:
            raise self._damage(0, EOFError("it has no frames"))
        first = next(self._pictures())
        own = len(delays) / sum(delays, Fraction(0))
        self._times = [Fraction(0)]
        for delay in delays[:-1]:
            self._times.append(self._times[-1] + delay)
        if fps:
            self._times = [index / fps for index in range(len(delays))]
        rate = fps or own
        size = first.width, first.height
        super().__init__(shown(path), size, rate, count=len(delays), duration=len(delays) / rate)
        self.end = None if fps else sum(delays, Fraction(0))
        self.notes += first.notes
        for message in first.warnings:
            self._warn(message)
        with open_input(path) as file:
            found = metadata_of(open_image(file, shown(path)), keep=keep.metadata, keep_gps=keep.gps)
        self._keep(found, keep)
        if fps and fps != own:
            self._warn(f"its delays, {float(own):g} frames/s, are replaced by {float(fps):g} frames/s")
        if animation is not None and not animation.whole:
            self._warn("this GIF has no end mark and may be truncated")

    def _stored_frames(self, start: int) -> Iterator[Frame]:
        """Yield the frames in order."""
        for index, picture in enumerate(self._pictures()):
            if index < start:
                continue
            self._check_size((picture.width, picture.height), index, (self.width, self.height))
            yield Frame(_frame_of(picture), self._times[index])

    def _parsed(self) -> Animation | None:
        """The frames of a GIF or PNG; of others, which Pillow composes right, None."""
        try:
            data = read_bytes(self._path)
            self._is_gif = data[:3] == b"GIF"
            animation = parse(data)
        except Damage as fault:
            raise self._damage(fault.frame, fault) from None
        if animation is None:
            return None
        if (pixels := animation.width * animation.height) > (limit := pixel_limit()):
            raise InputClipError(too_large(shown(self._path), pixels, limit))
        if not self._is_gif:
            stream = io.BytesIO(data)
            self._orientation = orientation_of(open_image(stream, shown(self._path)))
        return animation

    def _pictures(self) -> Iterator[Picture]:
        """Yield what is to be seen at each frame, upright."""
        animation = self._parsed()
        index = 0
        try:
            if animation is not None:
                for picture in animation.pictures(shown(self._path)):
                    turned = upright(picture.pixels.transpose(1, 2, 0), self._orientation).transpose(2, 0, 1)
                    yield replace(picture, pixels=turned)
                    index += 1
                return
            with open_input(self._path) as file:
                tags: Tags | None = None
                for image in self._images(file):
                    tags = tags or tags_of(image, file)
                    frame = image.copy()  # a picture of its own, and not the first of several
                    frame.format = image.format
                    yield read_image(frame, None, shown(self._path), tags=tags)
                    index += 1
        except InputClipError:
            raise
        except InputImageError as fault:
            raise self._damage(index, fault) from None

    def _images(self, file: BinaryIO) -> Iterator[Image.Image]:
        """Yield the animation's image at each of its frames, loaded."""
        from PIL import Image

        index = 0
        try:
            with Image.open(file) as image:
                for index in range(getattr(image, "n_frames", 1)):
                    image.seek(index)
                    image.load()
                    yield image
        except Exception as fault:  # a damaged file makes plugins raise almost anything
            raise self._damage(index, fault) from None

    def _damage(self, index: int, fault: Exception) -> InputClipError:
        text = f"{shown(self._path)}: is damaged or truncated at frame {index + 1} ({reason(fault)})"
        return InputClipError(text)


def is_animation(path: str | os.PathLike[str]) -> bool | None:
    """Return whether a file is an animation, False if a still; None if no picture that Pillow reads."""
    from PIL import Image

    with open_input(path) as file:
        try:
            with Image.open(file) as image:
                if image.format == "MPEG":  # Pillow knows its header only
                    return None
                return image.format in _ANIMATED and getattr(image, "n_frames", 1) > 1
        except Image.DecompressionBombError:
            return False  # what reads stills knows what to say
        except Exception:  # damaged headers make plugins raise almost anything
            return None


def _delay(image: Image.Image) -> Fraction:
    """Return how long a frame of an animation stays, seconds."""
    milliseconds = cast(float, image.info.get("duration") or 0)
    delay = Fraction(milliseconds).limit_denominator(1000) / 1000
    return _USUAL_DELAY if delay < Fraction(1, 1000) else delay


def _frame_of(picture: Picture) -> NDArray[np.uint8]:
    """Return a picture's bytes [H, W, 3], or [H, W, 4] where it is transparent."""
    levels = np.rint(picture.pixels * 255).clip(0, 255).astype(np.uint8)
    colours = 1 if picture.channels < 3 else 3
    planes = [np.broadcast_to(levels[:colours], (3, *levels.shape[1:]))]
    alpha = levels[colours:]
    if alpha.size and alpha.min() < 255:
        planes.append(alpha)
    return np.ascontiguousarray(np.concatenate(planes).transpose(1, 2, 0))


def _has_alpha(path: str) -> bool:
    """Whether a picture's file says that it can be transparent; a file that cannot be read says nothing."""
    from PIL import Image

    try:
        with open_input(path) as file, Image.open(file) as image:
            return image.has_transparency_data
    except Exception:  # what reads it knows what to say
        return True
