"""Frames of Pillow images as a clip to encode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from PIL import Image, ImageSequence

from splat2d.errors import ConfigError
from splat2d.media.convert import premultiplied
from splat2d.media.frames import ClipReader, Frame


class ImagesReader(ClipReader):
    """All frames of some images, one after another.

    Args:
        images: of one size.
        durations: ms, of every frame or of each.

    Raises:
        ConfigError: durations that are not above 0, or another number of them than frames.
    """

    keeps_alpha = True

    def __init__(self, images: Sequence[Image.Image], durations: float | Sequence[float]) -> None:
        count = sum(getattr(image, "n_frames", 1) for image in images)
        each = [durations] * count if isinstance(durations, (int, float)) else list(durations)
        if len(each) != count:
            raise ConfigError(f"{len(each)} durations for {count} frames; give one, or one for each")
        if not all(duration > 0 for duration in each):
            raise ConfigError(f"a duration is {min(each):g} ms, expected more than 0")
        self._seconds = [Fraction(str(duration)) / 1000 for duration in each]
        self._images = images
        super().__init__("<images>", images[0].size, count / sum(self._seconds, Fraction(0)), count=count)
        self.duration = self.end = sum(self._seconds, Fraction(0))

    def _stored_frames(self, start: int) -> Iterator[Frame]:
        """Yield the frames in order."""
        index, time = 0, Fraction(0)
        for image in self._images:
            for frame in ImageSequence.Iterator(image):
                self._check_size(frame.size, index, (self.width, self.height))
                if index >= start:
                    yield Frame(_pixels(frame), time)
                time += self._seconds[index]
                index += 1


def _pixels(image: Image.Image) -> np.ndarray:
    """RGB [H, W, 3] of a frame; or [H, W, 4], premultiplied, where it is transparent."""
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    pixels = np.asarray(image.convert("RGBA"))
    colour, alpha = pixels[..., :3], pixels[..., 3:]
    return colour if alpha.min() == 255 else np.concatenate([premultiplied(colour, alpha), alpha], -1)
