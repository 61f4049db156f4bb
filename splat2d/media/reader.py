"""Clips in: any video file, animation, folder or pattern of images as frames with times."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import TYPE_CHECKING

from splat2d.errors import BackendUnavailableError, ConfigError, InputClipError
from splat2d.media.files import open_input, shown
from splat2d.media.frames import ClipReader, Frame
from splat2d.media.metadata import Keep
from splat2d.media.opening import HEIF_BRANDS
from splat2d.media.patterns import folder_files, is_pattern, pattern_files
from splat2d.media.sequences import AnimationReader, SequenceReader, is_animation
from splat2d.media.tiff import is_tiff

if TYPE_CHECKING:
    from splat2d.media.convert import Matrix

__all__ = ["ClipReader", "Frame", "is_clip", "open_clip", "parse_fps"]

MAX_FPS = 1000
MAX_DENOMINATOR = 100_000  # of a rate; a frame a day is more than 1/100,000

VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .qt .mkv .webm .avi .y4m .ts .m2ts .mts .mpg .mpeg .vob .wmv .asf .flv .f4v .ogv "
    ".3gp .3g2 .mxf .nut .264 .h264 .265 .hevc .ivf .obu .mjpeg".split()
)
"""Of videos: a file of such a name that nothing can read is a damaged clip rather than a damaged picture."""

_NEXT_JPEG = b"\xff\xd9\xff\xd8\xff"  # an end, and a beginning


def open_clip(
    path: str | os.PathLike[str],
    *,
    fps: Fraction | float | str | None = None,
    matrix: Matrix | None = None,
    keeps_alpha: bool = False,
    keep_metadata: bool = False,
    keep_gps: bool = False,
) -> ClipReader:
    """Open a clip to read it frame by frame, as sRGB of 8 bits with square, upright pixels.

    Colour follows the file's tags: matrix and range, and the siting of subsampled chroma. Without them, a
    frame of at least 1280 px in width or more than 576 in height is BT.709, others BT.601, limited range.

    Args:
        path: a video file (needs the extra `video`), an animated GIF, PNG, WebP or AVIF, a still picture, a
            folder of images, or a pattern such as `frame_%04d.png` or `frames/*.png`.
        fps: frames a second: of images, 25 when None; of a file with timestamps, to replace those.
        matrix: of a video file's YCbCr, instead of its tag.
        keeps_alpha: whether frames have alpha where anything in the clip is transparent; else they are put on
            white.
        keep_metadata: whether the reader has what the file says beside its frames; of images what the first
            one says.
        keep_gps: with the former, also the place.

    Returns:
        The reader; what needs saying is in its `warnings`.

    Raises:
        InputClipError: nothing there, or no clip, damaged, truncated or without frames.
        InputImageError: an image that cannot be read.
        ConfigError: fps out of range.
        BackendUnavailableError: a video file and no PyAV.
    """
    keep = Keep(keep_metadata, keep_gps)
    reader = _reader_of(path, None if fps is None else parse_fps(fps), matrix, keep)
    reader.keeps_alpha = keeps_alpha
    return reader


def _reader_of(
    path: str | os.PathLike[str], rate: Fraction | None, matrix: Matrix | None, keep: Keep
) -> ClipReader:
    name = os.fspath(path)
    if os.path.isdir(path):
        return SequenceReader(shown(path), folder_files(path), rate, keep)
    if not os.path.lexists(path) and is_pattern(name):
        return SequenceReader(shown(path), pattern_files(name), rate, keep)
    with open_input(path, error=InputClipError):
        pass  # what is wrong with the path is said before anything is made of its content
    animated = is_animation(path)
    if animated is None or _is_motion_jpeg(path):
        from splat2d.media.video import ContainerReader

        return ContainerReader(path, rate, matrix, None if animated is None else "mjpeg", keep)
    if animated:
        return AnimationReader(path, rate, keep)
    return SequenceReader(shown(path), [name], rate, keep)


def is_clip(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a clip's rather than a still picture's; an unreadable file is nobody's.

    Args:
        path: as of `open_clip`.
    """
    if os.path.isdir(path) or (not os.path.lexists(path) and is_pattern(os.fspath(path))):
        return True
    if not os.path.isfile(path) or not os.path.getsize(path):
        return os.path.splitext(os.fspath(path))[1].lower() in VIDEO_SUFFIXES
    animated = is_animation(path)
    if animated is not None:
        return animated or _is_motion_jpeg(path)
    # What Pillow cannot read is asked of PyAV: the content decides, and the name only of what is broken.
    if os.path.splitext(os.fspath(path))[1].lower() in VIDEO_SUFFIXES:
        return True
    with open(path, "rb") as file:
        head = file.read(12)
    if is_tiff(head) or (head[4:8] == b"ftyp" and head[8:] in HEIF_BRANDS):
        return False
    try:
        from splat2d.media.video import is_video

        return is_video(path)
    except BackendUnavailableError:
        return False


def _is_motion_jpeg(path: str | os.PathLike[str]) -> bool:
    """Whether a file is JPEG after JPEG of one size; of a gain map or a preview it is not."""
    with open(path, "rb") as file:
        if file.read(3) != b"\xff\xd8\xff":
            return False
        file.seek(0)
        data = file.read()
    at = data.find(_NEXT_JPEG)
    # Files of several pictures say so in a segment of their own.
    if at < 0 or b"MPF\0" in data[: min(at, 1 << 16)]:
        return False
    return _jpeg_size(data, 0) == _jpeg_size(data, at + 2) is not None


def _jpeg_size(data: bytes, start: int) -> bytes | None:
    """Return height and width as they are coded, from the frame's segment of the JPEG at an offset."""
    at = start + 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return data[at + 5 : at + 9]
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def parse_fps(fps: Fraction | float | str) -> Fraction:
    """Return a frame rate, from a number or a text such as 25, 29.97 or 30000/1001.

    Raises:
        ConfigError: it is none, or not above 0 and at most `MAX_FPS`.
    """
    try:
        # First as a float, before an exponent becomes an endless integer.
        if "/" not in str(fps) and not 0 < float(str(fps)) <= MAX_FPS:
            raise ValueError
        # By its text, so that 29.97 is 2997/100 and no binary fraction; and the nearest of small numbers, so
        # that 29.97002997002997 is 30000/1001.
        rate = Fraction(str(fps)).limit_denominator(MAX_DENOMINATOR)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not Fraction(1, MAX_DENOMINATOR) <= rate <= MAX_FPS:
        raise ConfigError(
            f"fps is {fps}, expected a rate above 0 and at most {MAX_FPS}, such as 25 or 30000/1001"
        )
    return rate
