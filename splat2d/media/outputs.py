"""Video files that can be written: containers, codecs and their settings, by extension."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from splat2d.errors import ConfigError, OutputError
from splat2d.media.files import shown


@dataclass(frozen=True)
class VideoFormat:
    """How a container is written.

    Args:
        muxer: ffmpeg's name.
        codec: ffmpeg's name.
        pixels: ffmpeg's name of the pixel format.
        options: of the codec.
        constant_rate: whether frames have no times of their own.
        even: whether width and height must be even.
    """

    muxer: str
    codec: str
    pixels: str
    options: dict[str, str] = field(default_factory=dict)
    constant_rate: bool = False
    even: bool = False


_X264 = {"preset": "medium"}
_VP9 = {"b": "0", "row-mt": "1", "deadline": "good", "cpu-used": "3"}
_FORMATS = {
    ".mp4": VideoFormat("mp4", "libx264", "yuv420p", _X264, even=True),
    ".m4v": VideoFormat("mp4", "libx264", "yuv420p", _X264, even=True),
    ".mov": VideoFormat("mov", "libx264", "yuv420p", _X264, even=True),
    ".mkv": VideoFormat("matroska", "libx264", "yuv420p", _X264, even=True),
    # Its index has no times, nor can it say that frames are shown in another order than stored.
    ".avi": VideoFormat("avi", "libx264", "yuv420p", {**_X264, "bf": "0"}, constant_rate=True, even=True),
    ".webm": VideoFormat("webm", "libvpx-vp9", "yuv420p", _VP9),
    ".gif": VideoFormat("gif", "gif", "pal8"),
    # Two bits more than RGB has, which makes the way there and back exact.
    ".y4m": VideoFormat("yuv4mpegpipe", "rawvideo", "yuv444p10le", {"strict": "-1"}, constant_rate=True),
}
_FFV1 = {"level": "3", "slicecrc": "1"}
_LOSSLESS = {
    ".mkv": VideoFormat("matroska", "ffv1", "bgr0", _FFV1),
    ".avi": VideoFormat("avi", "ffv1", "bgr0", _FFV1, constant_rate=True),
    ".y4m": _FORMATS[".y4m"],
}


def video_format(path: str | os.PathLike[str], lossless: bool) -> VideoFormat:
    """Return how to write a path's extension."""
    extension = os.path.splitext(os.fspath(path))[1].lower()
    if lossless and extension in _FORMATS and extension not in _LOSSLESS:
        raise ConfigError(f"{shown(path)}: cannot be lossless; use {', '.join(_LOSSLESS)} or images")
    formats = _LOSSLESS if lossless else _FORMATS
    if extension not in formats:
        found = f"the extension {shown(extension)} is no clip that can be written" if extension else ""
        raise OutputError(
            f"{shown(path)}: {found or 'has no extension'}; use {', '.join(_FORMATS)}, "
            "a pattern such as out_%04d.png, or a folder with / at its end"
        )
    return formats[extension]
