"""PyAV on first use, and conversion between its frames and sRGB pixels."""

from __future__ import annotations

from fractions import Fraction
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import BackendUnavailableError
from splat2d.media.cicp import Stated, ToSrgb

if TYPE_CHECKING:
    from av import VideoFrame
    from av.filter import Graph

Matrix = Literal["bt601", "bt709", "bt2020", "fcc", "smpte240m"]

# What swscale offers for exactness: within 0.52 of a level of the equations, where its default is off by 3.
_FLAGS = "bicubic+accurate_rnd+full_chroma_int"


def load_av() -> ModuleType:
    """Return PyAV.

    Raises:
        BackendUnavailableError: it is not installed.
    """
    try:
        import av
        import av.filter
    except ImportError:
        raise BackendUnavailableError("video files need PyAV; pip install 'splat2d[video]'") from None
    return av


def guess_matrix(width: int, height: int) -> Matrix:
    """Return the matrix that players assume where a file does not say, by its size in px."""
    # mpv's rule; a height alone would miss films whose black bars are cut off.
    return "bt709" if width >= 1280 or height > 576 else "bt601"


_WHITE = 255 << 8  # in 16 bits, as swscale has it


class ToRgb:
    """Converts frames of one format to sRGB.

    Args:
        frame: whose size and format are those of all.
        size: width and height of the output, px.
        matrix: of YCbCr formats; None for those that have none.
        full_range: whether YCbCr uses all levels; None to go by the format.
        chroma: siting of subsampled chroma; None to go by the frames' tags.
        colour: primaries and curve of the frames; None where they are those of sRGB.
    """

    def __init__(
        self,
        frame: VideoFrame,
        size: tuple[int, int] | None = None,
        *,
        matrix: Matrix | None = None,
        full_range: bool | None = None,
        chroma: Literal["left", "center", "topleft"] | None = None,
        colour: Stated | None = None,
    ) -> None:
        width, height = size or (frame.width, frame.height)
        options = {"w": str(width), "h": str(height)}
        if matrix:
            options["in_color_matrix"] = matrix
        if full_range is not None:
            options["in_range"] = "full" if full_range else "limited"
        if chroma:
            options["in_chroma_loc"] = chroma
        self.has_alpha = any(component.is_alpha for component in frame.format.components)
        # Of 16 bits where the colour is to be converted: HDR has more to say than 8 hold.
        self._to_srgb = None if colour is None else ToSrgb(colour, 1 << 16, _WHITE)
        eight, deep = ("rgba", "rgba64le") if self.has_alpha else ("rgb24", "rgb48le")
        output = eight if colour is None else deep
        self._graph = _graph((frame.width, frame.height), frame.format.name, output, options)

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return the pixels [H, W, 3]; or [H, W, 4], premultiplied, where any is transparent."""
        self._graph.vpush(frame)
        pixels: Any = self._graph.vpull().to_ndarray()
        if self._to_srgb is not None:
            eight = self._to_srgb.eight_bits(pixels[..., :3])
            pixels = np.concatenate([eight, (pixels[..., 3:] >> 8).astype(np.uint8)], -1)
        if not self.has_alpha:
            return pixels
        alpha = pixels[..., 3:]
        if alpha.min() == 255:
            return np.ascontiguousarray(pixels[..., :3])
        return np.concatenate([premultiplied(pixels[..., :3], alpha), alpha], -1)


def premultiplied(
    colour: NDArray[np.uint8],  # [..., C]
    alpha: NDArray[np.uint8],  # [..., 1]
) -> NDArray[np.uint8]:
    """Return straight colours times their alpha."""
    return ((colour * alpha.astype(np.uint16) + 127) // 255).astype(np.uint8)


class FromRgb:
    """Converts sRGB pixels to frames of a format.

    Args:
        width: px.
        height: px.
        format: ffmpeg's name, such as yuv420p; YCbCr has limited range.
        matrix: of YCbCr formats.
        chroma: siting of subsampled chroma.
        alpha: whether pixels are RGBA.
    """

    def __init__(
        self,
        width: int,
        height: int,
        format: str,
        matrix: Matrix | None = None,
        chroma: Literal["left", "center"] | None = None,
        alpha: bool = False,
    ) -> None:
        self._pixels = "rgba" if alpha else "rgb24"
        options = {}
        if matrix:
            options |= {"out_color_matrix": matrix, "out_range": "limited"}
        if chroma:
            options["out_chroma_loc"] = chroma
        self._graph = _graph((width, height), self._pixels, format, options)

    def __call__(
        self,
        pixels: NDArray[np.uint8],  # [H, W, 3 or 4]
    ) -> VideoFrame:
        """Return the frame, without a time."""
        frame = load_av().VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=self._pixels)
        self._graph.vpush(frame)
        converted: Any = self._graph.vpull()
        return converted


def _graph(size: tuple[int, int], format: str, output: str, options: dict[str, str]) -> Graph:
    """Return a filter graph that converts frames; unlike a bare scaler it takes the chroma's siting."""
    graph = load_av().filter.Graph()
    source = graph.add(
        "buffer",
        video_size=f"{size[0]}x{size[1]}",
        pix_fmt=format,
        time_base=str(Fraction(1)),
    )
    scale = graph.add("scale", flags=_FLAGS, **options)
    graph.link_nodes(source, scale, graph.add("format", pix_fmts=output), graph.add("buffersink"))
    graph.configure()
    return graph
