"""Pixels of a set of splats: any window of the picture at any resolution, without torch."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splat2d.arguments import finite
from splat2d.draw.texture import Texture, to_bytes, with_texture
from splat2d.errors import BackendUnavailableError, ConfigError, ShapeError
from splat2d.native import core, gpu
from splat2d.native.backend import ALL_CORES, Backend

CUTOFF = 12.25
"""Largest q that is drawn: 3.5 standard deviations. Part of the format."""

MAX_CHANNELS = 4
"""Most colour channels of a splat."""

MAX_OUTPUT_PIXELS = 268_435_456
"""Most pixels that one call renders (2^28, 16,384 squared)."""

MAX_OUTPUT_SIDE = 262_144
"""Longest side of an output in px (2^18); up to it float32 positions are exact to 1/128 px."""

_MAX_CUTOFF = 128.0  # the core's exponential is exact down to exp(-80)

Floats = NDArray[np.float32]
Splats = tuple[Floats, Floats, Floats]


def background_floats(background: Sequence[int]) -> Floats:
    """Return a base colour's bytes as floats in [0, 1], [C]."""
    return (np.array(background, np.float32) / 255).astype(np.float32)


def check_output_size(width: int, height: int) -> None:
    """Raise ShapeError unless a picture of this size may be rendered.

    Args:
        width: Width in px.
        height: Height in px.

    Raises:
        ShapeError: If a side is not a whole number from 1 to MAX_OUTPUT_SIDE or the picture has more than
            MAX_OUTPUT_PIXELS.
    """
    for name, side in (("width", width), ("height", height)):
        try:
            operator.index(side)
        except TypeError:
            raise ShapeError(f"{name} must be a whole number of px, found {side!r}") from None
        if not 1 <= side <= MAX_OUTPUT_SIDE:
            raise ShapeError(
                f"{name} must be from 1 to {MAX_OUTPUT_SIDE} px, found {side}; choose another scale or window"
            )
    if width * height > MAX_OUTPUT_PIXELS:
        raise ShapeError(
            f"the output must have at most {MAX_OUTPUT_PIXELS} px, found {width} x {height}; "
            "choose a smaller scale or window"
        )


def check_cutoff(cutoff: float) -> None:
    """Raise ConfigError unless the core can cut Gaussians at this q.

    Args:
        cutoff: Largest q that is drawn.

    Raises:
        ConfigError: If it is not above 0 and at most 128.
    """
    if not 0.0 < cutoff <= _MAX_CUTOFF:
        raise ConfigError(f"cutoff must be above 0 and at most {_MAX_CUTOFF:g}, found {cutoff}")


class Size(TypedDict, total=False):
    """What a caller of `render` may ask for instead of a view.

    Attributes:
        scale: output px for each canvas px, any positive number; 1 when nothing else says the size.
        width: output width, px, instead; the side that is not given keeps the proportions.
        height: output height, px, instead.
        crop: x, y, width and height of the window, canvas px; the whole canvas when None.
    """

    scale: float | None
    width: int | None
    height: int | None
    crop: Sequence[float] | None


@dataclass(frozen=True)
class View:
    """Window of the picture: target pixel (i, j) samples canvas point (x + (i + 0.5) / scale_x, y + ...).

    Attributes:
        x: Left edge of the window in canvas px; may lie outside the canvas.
        y: Top edge of the window in canvas px.
        scale_x: Target px per canvas px, across.
        scale_y: Target px per canvas px, down.
        width: Width of the output in px.
        height: Height of the output in px.
    """

    x: float
    y: float
    scale_x: float
    scale_y: float
    width: int
    height: int

    def __post_init__(self) -> None:
        """Refuse windows that cannot be rendered, before anything is allocated."""
        for name in ("x", "y"):
            if not math.isfinite(getattr(self, name)):
                raise ShapeError(f"the window's {name} must be finite, found {getattr(self, name)}")
        for name in ("scale_x", "scale_y"):
            scale = getattr(self, name)
            if not (math.isfinite(scale) and scale > 0):
                raise ShapeError(f"the window's {name} must be finite and above 0, found {scale}")
        check_output_size(self.width, self.height)

    @classmethod
    def asked(
        cls,
        canvas_width: int,
        canvas_height: int,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        crop: Sequence[float] | None = None,
    ) -> View:
        """Return the view that a caller of `render` asks for.

        Args:
            canvas_width: Width of the canvas in px.
            canvas_height: Height of the canvas in px.
            scale: As of `Size`, like all that follow.
            width: In px.
            height: In px.
            crop: In canvas px.

        Returns:
            The view.

        Raises:
            ConfigError: If scale contradicts a side, or the window is not inside the canvas.
            ShapeError: If the output would be empty or too large.
        """
        scale = None if scale is None else finite("scale", scale)
        if scale is not None and (width is not None or height is not None):
            raise ConfigError("scale contradicts width and height: give one of them")
        x, y, w, h = (0.0, 0.0, canvas_width, canvas_height)
        if crop is not None:
            try:
                x, y, w, h = (float(side) for side in crop)
            except (TypeError, ValueError, OverflowError):
                raise ConfigError(f"crop is {crop!r}, expected x, y, width and height") from None
        if not (w > 0 and h > 0 and x >= 0 and y >= 0 and x + w <= canvas_width and y + h <= canvas_height):
            raise ConfigError(
                f"crop {x:g},{y:g},{w:g},{h:g} is not inside the canvas of {canvas_width} x "
                f"{canvas_height} px"
            )
        if width is not None or height is not None:
            check_output_size(1 if width is None else width, 1 if height is None else height)
            wide = width if width is not None else max(round((height or 1) * w / h), 1)
            high = height if height is not None else max(round(wide * h / w), 1)
            return cls.resized(x, y, w, h, wide, high)
        return cls.crop(x, y, w, h, 1.0 if scale is None else scale)

    @classmethod
    def whole(cls, canvas_width: int, canvas_height: int, scale: float = 1.0) -> View:
        """Return the view of a whole canvas.

        Args:
            canvas_width: Width of the canvas in px.
            canvas_height: Height of the canvas in px.
            scale: Target px per canvas px. Sides are rounded to whole px, at least one, and the picture is
                stretched by that fraction of a pixel so that it still fills the output.

        Returns:
            The view.

        Raises:
            ShapeError: If the scale is not above 0 or the output would be too large.
        """
        return cls.crop(0.0, 0.0, canvas_width, canvas_height, scale)

    @classmethod
    def crop(cls, x: float, y: float, width: float, height: float, scale: float = 1.0) -> View:
        """Return the view of a rectangle of the canvas.

        Args:
            x: Left edge in canvas px.
            y: Top edge in canvas px.
            width: Width of the rectangle in canvas px.
            height: Height of the rectangle in canvas px.
            scale: Target px per canvas px; the output's sides are rounded as in `whole`.

        Returns:
            The view.

        Raises:
            ShapeError: If the rectangle is empty, the scale not above 0 or the output too large.
        """
        if not (math.isfinite(scale) and scale > 0):
            raise ShapeError(f"scale must be finite and above 0, found {scale}")
        sides = []
        for name, side in (("width", width), ("height", height)):
            if not (math.isfinite(side * scale) and side > 0):
                raise ShapeError(f"the rectangle's {name} must be finite and above 0, found {side}")
            sides.append(max(math.floor(side * scale + 0.5), 1))
        return cls.resized(x, y, width, height, sides[0], sides[1])

    @classmethod
    def resized(
        cls, x: float, y: float, width: float, height: float, output_width: int, output_height: int
    ) -> View:
        """Return the view of a rectangle of the canvas that fills an output of a given size.

        Args:
            x: Left edge in canvas px.
            y: Top edge in canvas px.
            width: Width of the rectangle in canvas px.
            height: Height of the rectangle in canvas px.
            output_width: Width of the output in px.
            output_height: Height of the output in px.

        Returns:
            The view.

        Raises:
            ShapeError: If the rectangle is empty or the output's size not allowed.
        """
        if not (width > 0 and height > 0):
            raise ShapeError(f"the rectangle must have positive sides, found {width} x {height}")
        check_output_size(output_width, output_height)
        return cls(x, y, output_width / width, output_height / height, output_width, output_height)

    def window(self, left: int, top: int, width: int, height: int) -> View:
        """Return the view of a block of this view's target pixels.

        Args:
            left: First column of the block in target px.
            top: First row of the block in target px.
            width: Columns of the block.
            height: Rows of the block.

        Returns:
            A view whose render equals that slice of this view's render, within float32 rounding.

        Raises:
            ShapeError: If the block's size is not allowed.
        """
        x, y = self.x + left / self.scale_x, self.y + top / self.scale_y
        return View(x, y, self.scale_x, self.scale_y, width, height)

    def through(self, texture: Texture) -> Any:
        """What draws the texture of the canvas as this view shows it, blurred as `transform` blurs splats."""
        scale = np.array([self.scale_x, self.scale_y])
        footprint = np.maximum(1 - scale * scale, 0) / 12
        return texture.drawer(np.diag(scale), -scale * [self.x, self.y], np.diag(footprint))


def transform(
    means: NDArray,  # [N, 2]
    conics: NDArray,  # [N, 3]
    colors: NDArray,  # [N, C]
    view: View,
) -> Splats:
    """Return the splats that can touch a window, in its target pixels.

    An axis that shrinks (scale s < 1) is blurred by the footprint of the target pixel, whose variance beyond
    that of the canvas pixel is (1 - s^2) / 12 target px^2; amplitudes follow, so that every splat keeps its
    integral. Arithmetic is in float64; at scale 1 the conics pass unchanged.

    Args:
        means: Centres [N, 2] (x, y) in canvas px.
        conics: Upper triangles of the inverse covariances [N, 3] in canvas px^-2.
        colors: Amplitudes [N, C], C from 1 to 4.
        view: The window.

    Returns:
        Means [M, 2], conics [M, 3] and colours [M, C], float32 and contiguous, in the given order. Gone are
        splats that miss the window, have a number that is not finite or whose conic is not positive definite.

    Raises:
        ShapeError: If the arrays do not have these shapes.

    Source: the project's design notes, section 1.
    """
    return _transformed(means, conics, colors, view)[0]


def _transformed(
    means: NDArray, conics: NDArray, colors: NDArray, view: View, backend: Backend = ALL_CORES
) -> tuple[Splats, NDArray[np.int32]]:
    """Return `transform` and which of the splats it kept."""
    m, s, k = _splats(means, conics, colors)
    place = view.x, view.y, view.scale_x, view.scale_y
    *splats, kept = core().through_window(
        m, s, k, place, view.width, view.height, CUTOFF, backend.thread_count
    )
    return (splats[0], splats[1], splats[2]), kept


def render(
    means: NDArray,  # [N, 2]
    conics: NDArray,  # [N, 3]
    colors: NDArray,  # [N, C]
    view: View,
    *,
    background: ArrayLike | None = None,  # [C]
    backend: Backend = ALL_CORES,
    cutoffs: NDArray[np.float32] | None = None,  # [N]
    texture: Any = None,
) -> Floats:  # [C, H, W]
    """Render a window of the picture, not clamped.

    Args:
        means: Centres [N, 2] (x, y) in canvas px.
        conics: Upper triangles of the inverse covariances [N, 3] in canvas px^-2.
        colors: Amplitudes [N, C], C from 1 to 4.
        view: The window.
        background: Colour [C] under all splats; black when None.
        backend: Draws it.
        cutoffs: Largest q that is drawn of each splat [N], on the CPU; CUTOFF for all when None.
        texture: Of `Texture.drawer`, drawn over the sum of splats, which is clamped first; on the CPU.

    Returns:
        The window [C, H, W], float32.

    Raises:
        ShapeError: If the arrays do not have these shapes.
        BackendUnavailableError: If the native core does not load, or there is no GPU for "cuda".
    """
    splats, kept = _transformed(means, conics, colors, view, backend)
    settings = view.width, view.height, CUTOFF, _background(background, splats[2].shape[1])
    cut = None if cutoffs is None else cutoffs[kept]

    def draw(on: Backend) -> Floats:
        if on.device == "cpu":
            return core().render(*splats, *settings, on.thread_count, cut, texture)
        drawn = gpu.session().render(*splats, *settings)
        return drawn if texture is None else with_texture(drawn, texture, on)

    return (backend if cutoffs is None else _on_cpu(backend)).run(draw)


def render_bytes(
    means: NDArray,  # [N, 2]
    conics: NDArray,  # [N, 3]
    colors: NDArray,  # [N, C]
    view: View,
    *,
    background: ArrayLike | None = None,  # [C]
    unpremultiply: bool = False,
    backend: Backend = ALL_CORES,
    cutoffs: NDArray[np.float32] | None = None,  # [N]
    texture: Any = None,
) -> NDArray[np.uint8]:  # [H, W, C]
    """Render a window of the picture, clamped to [0, 1] and rounded to bytes.

    Args:
        means: Centres [N, 2] (x, y) in canvas px.
        conics: Upper triangles of the inverse covariances [N, 3] in canvas px^-2.
        colors: Amplitudes [N, C], C from 1 to 4.
        view: The window.
        background: Colour [C] under all splats; black when None.
        unpremultiply: Divide the colours by the last channel, which is alpha; C is then 2 or 4.
        backend: Draws it; devices differ by one level here and there.
        cutoffs: Largest q that is drawn of each splat [N], on the CPU; CUTOFF for all when None.
        texture: Of `Texture.drawer`, drawn over the sum of splats, which is clamped first; on the CPU.

    Returns:
        The window [H, W, C], uint8.

    Raises:
        ShapeError: If the arrays do not have these shapes.
        BackendUnavailableError: If the native core does not load, or there is no GPU for "cuda".
    """
    splats, kept = _transformed(means, conics, colors, view, backend)
    channels = splats[2].shape[1]
    if unpremultiply and channels not in (2, 4):
        raise ShapeError(f"unpremultiply needs 2 or 4 channels, the last being alpha, found {channels}")
    settings = view.width, view.height, CUTOFF, _background(background, channels)
    cut = None if cutoffs is None else cutoffs[kept]

    def draw(on: Backend) -> NDArray[np.uint8]:
        if on.device == "cpu":
            return core().render_bytes(*splats, *settings, unpremultiply, on.thread_count, cut, texture)
        if texture is None:
            return gpu.session().render(*splats, *settings, unpremultiply=unpremultiply, as_bytes=True)
        return to_bytes(with_texture(gpu.session().render(*splats, *settings), texture, on), unpremultiply)

    return (backend if cutoffs is None else _on_cpu(backend)).run(draw)


def _splats(means: NDArray, conics: NDArray, colors: NDArray) -> tuple[NDArray[np.float64], ...]:
    """Return the three arrays in float64 after checking their shapes."""
    arrays = []
    for name, array, columns in (("means", means, 2), ("conics", conics, 3), ("colors", colors, None)):
        array = np.asarray(array)
        wanted = f"[N, {columns or 'C'}] real numbers"
        if array.dtype.kind not in "fiu" or array.ndim != 2 or columns not in (None, array.shape[1]):
            raise ShapeError(f"{name} must be {wanted}, found {list(array.shape)} of {array.dtype}")
        arrays.append(np.ascontiguousarray(array, np.float64))
    rows = [len(array) for array in arrays]
    if len(set(rows)) > 1:
        raise ShapeError(f"means, conics and colors must have the same number of rows, found {rows}")
    if not 1 <= arrays[2].shape[1] <= MAX_CHANNELS:
        raise ShapeError(f"colors must have from 1 to {MAX_CHANNELS} channels, found {arrays[2].shape[1]}")
    return tuple(arrays)


def _background(background: ArrayLike | None, channels: int) -> Floats | None:
    """Return the background colour as the core takes it."""
    if background is None:
        return None
    color = np.ascontiguousarray(background, np.float32)
    if color.shape != (channels,):
        raise ShapeError(f"background must be [{channels}], one value a channel, found {list(color.shape)}")
    return color


def _on_cpu(backend: Backend) -> Backend:
    """A backend for what only the CPU draws; raises BackendUnavailableError where it must be the GPU."""
    if backend.device == "cuda":
        raise BackendUnavailableError("moving splats are drawn on the CPU; leave device at its default")
    return backend.on_cpu
