"""Clips from images: folders, patterns, stills and animations."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import InputClipError, InputImageError
from splat2d.media.files import open_input, reason, shown
from splat2d.media.frames import DEFAULT_FPS, ClipReader, Frame
from splat2d.media.pictures import Picture, load_picture

if TYPE_CHECKING:
    from PIL import Image

# Formats whose frames follow each other in time; those of a TIFF are pages.
_ANIMATED = {"GIF", "PNG", "WEBP", "AVIF", "FLI"}
# What browsers and ffmpeg make of a GIF that asks for no delay.
_LEAST_DELAY, _USUAL_DELAY = Fraction(20, 1000), Fraction(100, 1000)
_ON_WHITE = "transparent pixels are put on white"


class SequenceReader(ClipReader):
    """A clip whose frames are files of one picture each.

    Args:
        name: of messages.
        paths: at least one.
        fps: frames a second.
    """

    def __init__(self, name: str, paths: Sequence[str], fps: Fraction | None = None) -> None:
        self._paths = paths
        first = load_picture(paths[0])
        fps = fps or DEFAULT_FPS
        duration = len(paths) / fps
        super().__init__(name, (first.width, first.height), fps, count=len(paths), duration=duration)
        self._say(first)

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames in order; those before start are not read."""
        for index in range(start, len(self._paths)):
            picture = load_picture(self._paths[index])
            self._check_size((picture.width, picture.height), index, (self.width, self.height))
            self._say(picture)
            yield Frame(_on_white(picture), index / self.fps)

    def _say(self, picture: Picture) -> None:
        for message in picture.warnings:
            self._warn(message)
        if picture.channels in (2, 4):
            self._warn(_ON_WHITE)


class AnimationReader(ClipReader):
    """A GIF, animated PNG, WebP or AVIF.

    Args:
        path: the file.
        fps: frames a second instead of the file's delays.
    """

    def __init__(self, path: str | os.PathLike[str], fps: Fraction | None = None) -> None:
        self._path = path
        delays: list[Fraction] = []
        size = (0, 0)
        with open_input(path) as file:
            for image in self._images(file):
                delays.append(_delay(image))
                size = image.size
            cut = _lacks_trailer(file)
        own = len(delays) / sum(delays, Fraction(0))
        self._times = [Fraction(0)]
        for delay in delays[:-1]:
            self._times.append(self._times[-1] + delay)
        if fps:
            self._times = [index / fps for index in range(len(delays))]
        rate = fps or own
        super().__init__(shown(path), size, rate, count=len(delays), duration=len(delays) / rate)
        self.end = None if fps else sum(delays, Fraction(0))
        if fps and fps != own:
            self._warn(f"its delays, {float(own):g} frames/s, are replaced by {float(fps):g} frames/s")
        if cut:
            self._warn("this GIF has no end mark and may be truncated")

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames in order."""
        with open_input(self._path) as file:
            for index, image in enumerate(self._images(file)):
                if index < start:
                    continue
                try:
                    picture = load_picture(image)
                except InputImageError as fault:
                    raise self._damage(index, fault) from None
                if picture.channels in (2, 4):
                    self._warn(_ON_WHITE)
                yield Frame(_on_white(picture), self._times[index])

    def _images(self, file: BinaryIO) -> Iterator[Image.Image]:
        """Yield the animation's image at each of its frames, loaded."""
        from PIL import Image

        index = 0
        try:
            with Image.open(file) as image:
                # An animated PNG may begin with a picture for programs that do not animate.
                first = int(getattr(image, "default_image", False))
                for index in range(first, getattr(image, "n_frames", 1)):
                    image.seek(index)
                    image.load()
                    yield image
        except (OSError, ValueError, EOFError, SyntaxError, KeyError, IndexError) as fault:
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
    return _USUAL_DELAY if delay < (_LEAST_DELAY if image.format == "GIF" else Fraction(1, 1000)) else delay


def _lacks_trailer(file: BinaryIO) -> bool:
    """Whether a file is a GIF without the mark that ends it: later frames may be missing."""
    file.seek(0)
    if file.read(3) != b"GIF":
        return False
    file.seek(max(file.seek(0, os.SEEK_END) - 64, 0))
    return not file.read().rstrip(b"\0").endswith(b";")


def _on_white(picture: Picture) -> NDArray[np.uint8]:
    """Return a picture as 8-bit RGB [H, W, 3], on white where it is transparent."""
    planes = picture.pixels
    if picture.channels in (2, 4):
        planes = planes[:-1] + (1 - planes[-1])  # its colour is premultiplied
    levels = np.rint(planes * 255).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(levels, (3, *levels.shape[1:])).transpose(1, 2, 0))
