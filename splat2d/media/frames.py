"""What a clip is to its readers: frames with times, one after another, never all at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import InputClipError
from splat2d.format.header import MAX_PIXELS
from splat2d.format.sound import Sound

if TYPE_CHECKING:
    from splat2d.format.metadata import Metadata
    from splat2d.media.metadata import Found, Keep

DEFAULT_FPS = Fraction(25)
"""Frames a second of images that do not say, as in ffmpeg."""


@dataclass(frozen=True)
class Frame:
    """One picture of a clip.

    Attributes:
        pixels: [H, W, 3] uint8, sRGB; or [H, W, 4], premultiplied by its alpha.
        time: seconds from the clip's first frame.
    """

    pixels: NDArray[np.uint8]  # [H, W, 3 or 4]
    time: Fraction


class ClipReader(ABC):
    """A clip that is read frame by frame; each iteration starts anew and holds a few frames at most.

    Attributes:
        name: of messages.
        width: of each frame, px, upright and with square pixels.
        height: of each frame, px.
        fps: frames a second, the average where the rate varies.
        count: number of frames, None when only reading tells.
        duration: seconds according to the source, None when it does not say.
        end: when the last frame ends, s from the clip's beginning; None where the rate tells, and before the
            frames are read where only reading tells.
        has_audio: whether there is sound.
        keeps_alpha: whether frames have alpha where anything is transparent, rather than being put on white.
        warnings: what a user should be told on stderr; reading may add some, each once.
        notes: what is done on the way in, one short sentence each.
        metadata: what is kept of what the source says beside its frames.
    """

    keeps_alpha = False
    metadata: Metadata | None = None

    def __init__(
        self,
        name: str,
        size: tuple[int, int],
        fps: Fraction,
        *,
        count: int | None = None,
        duration: Fraction | None = None,
        has_audio: bool = False,
    ) -> None:
        self.name = name
        self.width, self.height = size
        self.fps = fps
        self.count = count
        self.duration = duration
        self.end: Fraction | None = None
        self.has_audio = has_audio
        self.warnings: list[str] = []
        self.notes: list[str] = []
        if not 0 < self.width * self.height <= MAX_PIXELS:
            raise InputClipError(
                f"{name}: has frames of {self.width}x{self.height} px; the limit is {MAX_PIXELS} pixels"
            )

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames in order, of `channels` channels.

        Args:
            start: index of the first to yield; those before are decoded where that is needed and not
                converted.

        Raises:
            InputClipError: the source is damaged, truncated, or changes its size, when reading gets there.
        """
        channels = self.channels
        for frame in self._stored_frames(start):
            pixels = frame.pixels
            if pixels.shape[2] > channels:
                self._warn("transparent pixels are put on white")
                pixels = np.ascontiguousarray(pixels[..., :3] + (255 - pixels[..., 3:]))
            elif pixels.shape[2] < channels:
                pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], 2)
            yield Frame(pixels, frame.time)

    @abstractmethod
    def _stored_frames(self, start: int) -> Iterator[Frame]:
        """Yield the frames, [H, W, 4] where something in them is transparent and [H, W, 3] elsewhere."""

    def _may_be_transparent(self) -> bool:
        """Whether the source could have transparent pixels, as far as can be told without reading it."""
        return True

    @cached_property
    def channels(self) -> int:
        """Of the frames: 4 with alpha, which takes reading up to the first transparent pixel, or 3."""
        if not self.keeps_alpha or not self._may_be_transparent():
            return 3
        return 4 if any(frame.pixels.shape[2] == 4 for frame in self._stored_frames(0)) else 3

    @property
    def expected(self) -> int | None:
        """About how many frames there will be; None where nothing tells."""
        if self.count is not None or self.duration is None:
            return self.count
        return round(self.duration * self.fps)

    def sound(self, file: BinaryIO) -> Sound | None:
        """The first audio track, its packets as they are; None without one that can be kept.

        Args:
            file: empty, for writing and reading; gets the packets.
        """
        return None

    def __iter__(self) -> Iterator[Frame]:
        """Yield all frames in order."""
        return self.frames()

    def _warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)

    def _keep(self, found: Found, keep: Keep) -> None:
        """Keep metadata, and say what is dropped of it."""
        self.metadata = found.kept
        if found.note:
            self.notes.append(found.note)
            self._warn(found.alert(keep=keep.metadata))

    def _drop(self, message: str) -> None:
        """Warn of something that is left out, and keep a note of it."""
        self._warn(message)
        if message not in self.notes:
            self.notes.append(message)

    def _check_size(self, size: tuple[int, int], index: int, expected: tuple[int, int]) -> None:
        """Raise InputClipError for a frame of another size than the first."""
        if size != expected:
            raise InputClipError(
                f"{self.name}: frame {index + 1} has {size[0]}x{size[1]} px, expected "
                f"{expected[0]}x{expected[1]} as the first; all frames of a clip have one size"
            )


@dataclass(frozen=True)
class ClipProgress:
    """How far an encoder or decoder of a clip is.

    Args:
        frames: done.
        total: frames in all, None where nobody knows.
        size: of the file so far, bytes.
    """

    frames: float
    total: int | None
    size: int
