"""Clips in: any video file, animation, folder or pattern of images as frames with times."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import TYPE_CHECKING

from splat2d.errors import ConfigError, InputClipError
from splat2d.media.files import open_input, shown
from splat2d.media.frames import ClipReader, Frame
from splat2d.media.patterns import folder_files, is_pattern, pattern_files
from splat2d.media.sequences import AnimationReader, SequenceReader, is_animation

if TYPE_CHECKING:
    from splat2d.media.convert import Matrix

__all__ = ["ClipReader", "Frame", "is_clip", "open_clip", "parse_fps"]

MAX_FPS = 1000

VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .y4m .ts .m2ts .mts .mpg .mpeg .wmv .flv .ogv .3gp .264 .265 .ivf".split()
)
"""Of files that no picture has."""


def open_clip(
    path: str | os.PathLike[str],
    *,
    fps: Fraction | float | str | None = None,
    matrix: Matrix | None = None,
) -> ClipReader:
    """Open a clip to read it frame by frame, as sRGB of 8 bits with square, upright pixels.

    Colour follows the file's tags: matrix and range, and the siting of subsampled chroma. Without them, a
    frame of at least 1280 px in width or more than 576 in height is BT.709, others BT.601, limited range.
    Transparent pixels are put on white.

    Args:
        path: a video file (needs the extra `video`), an animated GIF, PNG, WebP or AVIF, a still picture, a
            folder of images, or a pattern such as `frame_%04d.png` or `frames/*.png`.
        fps: frames a second: of images, 25 when None; of a file with timestamps, to replace those.
        matrix: of a video file's YCbCr, instead of its tag.

    Returns:
        The reader; what needs saying is in its `warnings`.

    Raises:
        InputClipError: nothing there, or no clip, damaged, truncated or without frames.
        InputImageError: an image that cannot be read.
        ConfigError: fps out of range.
        BackendUnavailableError: a video file and no PyAV.
    """
    rate = None if fps is None else parse_fps(fps)
    name = os.fspath(path)
    if os.path.isdir(path):
        return SequenceReader(shown(path), folder_files(path), rate)
    if not os.path.lexists(path) and is_pattern(name):
        return SequenceReader(shown(path), pattern_files(name), rate)
    with open_input(path, error=InputClipError):
        pass  # what is wrong with the path is said before anything is made of its content
    animated = is_animation(path)
    if animated is None:
        from splat2d.media.video import ContainerReader

        return ContainerReader(path, rate, matrix)
    return AnimationReader(path, rate) if animated else SequenceReader(shown(path), [name], rate)


def is_clip(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a clip's rather than a still picture's; an unreadable file is nobody's.

    Args:
        path: as of `open_clip`.
    """
    if os.path.isdir(path) or (not os.path.lexists(path) and is_pattern(os.fspath(path))):
        return True
    if os.path.splitext(os.fspath(path))[1].lower() in VIDEO_SUFFIXES:
        return True
    return os.path.isfile(path) and is_animation(path) is True


def parse_fps(fps: Fraction | float | str) -> Fraction:
    """Return a frame rate, from a number or a text such as 25, 29.97 or 30000/1001.

    Raises:
        ConfigError: it is none, or not above 0 and at most `MAX_FPS`.
    """
    try:
        # By its text, so that 29.97 is 2997/100 and no binary fraction.
        rate = Fraction(str(fps))
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= MAX_FPS:
        raise ConfigError(
            f"fps is {fps}, expected a rate above 0 and at most {MAX_FPS}, such as 25 or 30000/1001"
        )
    return rate
