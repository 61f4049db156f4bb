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
        seeks: whether its muxer goes back in the file.
        container: options of the muxer.
    """

    muxer: str
    codec: str
    pixels: str
    options: dict[str, str] = field(default_factory=dict)
    constant_rate: bool = False
    even: bool = False
    seeks: bool = False
    container: dict[str, str] = field(default_factory=dict)

    @property
    def has_alpha(self) -> bool:
        """Whether its pixels have alpha."""
        return self.pixels in _WITH_ALPHA or self.codec == "gif"


_WITH_ALPHA = ("yuva420p", "yuva444p10le", "rgba", "bgra")
_X264 = {"preset": "medium"}
_VP9 = {"b": "0", "row-mt": "1", "deadline": "good", "cpu-used": "3"}
_WEBP = {"lossless": "1"}
_FORMATS = {
    ".mp4": VideoFormat("mp4", "libx264", "yuv420p", _X264, even=True),
    ".m4v": VideoFormat("mp4", "libx264", "yuv420p", _X264, even=True),
    ".mov": VideoFormat("mov", "libx264", "yuv420p", _X264, even=True),
    ".mkv": VideoFormat("matroska", "libx264", "yuv420p", _X264, even=True),
    # Its index has no times, nor can it say that frames are shown in another order than stored.
    ".avi": VideoFormat(
        "avi", "libx264", "yuv420p", {**_X264, "bf": "0"}, constant_rate=True, even=True, seeks=True
    ),
    ".webm": VideoFormat("webm", "libvpx-vp9", "yuv420p", _VP9),
    ".gif": VideoFormat("gif", "gif", "pal8"),
    ".apng": VideoFormat("apng", "apng", "rgb24", seeks=True, container={"plays": "0"}),
    ".webp": VideoFormat("webp", "libwebp_anim", "bgra", _WEBP, seeks=True, container={"loop": "0"}),
    # Two bits more than RGB has, which makes the way there and back exact.
    ".y4m": VideoFormat("yuv4mpegpipe", "rawvideo", "yuv444p10le", {"strict": "-1"}, constant_rate=True),
}
# Instead of these, of frames with alpha.
_ALPHA = {
    ".mov": VideoFormat("mov", "prores_ks", "yuva444p10le", {"profile": "4444"}),
    ".webm": VideoFormat("webm", "libvpx-vp9", "yuva420p", _VP9),
    ".apng": VideoFormat("apng", "apng", "rgba", seeks=True, container={"plays": "0"}),
}
_FFV1 = {"level": "3", "slicecrc": "1"}
_LOSSLESS = {
    ".mkv": VideoFormat("matroska", "ffv1", "bgr0", _FFV1),
    ".avi": VideoFormat("avi", "ffv1", "bgr0", _FFV1, constant_rate=True, seeks=True),
    ".y4m": _FORMATS[".y4m"],
}
_LOSSLESS_ALPHA = {".mkv": VideoFormat("matroska", "ffv1", "bgra", _FFV1)}


def video_format(path: str | os.PathLike[str], *, lossless: bool = False, alpha: bool = False) -> VideoFormat:
    """Return how to write a path's extension, with alpha where that is asked for and can be.

    Raises:
        OutputError: no clip is written under this extension.
        ConfigError: none that is lossless.
    """
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
    with_alpha = (_LOSSLESS_ALPHA if lossless else _ALPHA) if alpha else {}
    return with_alpha.get(extension, formats[extension])
