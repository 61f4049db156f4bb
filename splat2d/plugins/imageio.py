"""imageio reads and writes .splat files once this is imported: `import splat2d.plugins.imageio`.

>>> pixels = iio.imread("photo.splat")                            # doctest: +SKIP
>>> iio.imwrite("clip.splat", frames, fps=25, quality=60)         # doctest: +SKIP

Without it, `plugin=splat2d.plugins.imageio.SplatPlugin` names the plug-in itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import EllipsisType
from typing import Any

import numpy as np
from imageio import config
from imageio.config.extensions import FileExtension
from imageio.config.plugins import PluginConfig
from imageio.core.request import URI_BYTES, InitializationError, IOMode, Request
from imageio.core.v3_plugin_api import ImageProperties, PluginV3
from numpy.typing import ArrayLike, NDArray

import splat2d
from splat2d.errors import BitstreamError, ConfigError, Splat2dError, TargetError
from splat2d.format.header import MAGIC

NAME = "splat2d"
_EXTENSION = ".splat"

Index = int | EllipsisType | None
"""Number of a frame; ... for all of them, stacked; None for a picture's only one and all of a clip's."""


class SplatPlugin(PluginV3):
    """A .splat file as imageio's resource: a picture, or a clip of frames.

    Args:
        request: what imageio is asked for.
        **options: of reading: `limits`, as of `splat2d.open`.

    Raises:
        InitializationError: no .splat file, or a name that asks for another format.
    """

    def __init__(self, request: Request, **options: Any) -> None:
        super().__init__(request)
        self._drawable: Any = None
        if request.mode.io_mode == IOMode.write:
            given = request.extension
            if given != _EXTENSION and not (given is None and request._uri_type == URI_BYTES):
                raise InitializationError(f"{given or 'this'} is not {_EXTENSION}")
            return
        file = request.get_file()
        data = file.read(len(MAGIC))
        if data != MAGIC:
            raise InitializationError("not a .splat file of splat2d")
        try:
            self._drawable = _read(data + file.read(), **options)
        except Splat2dError as fault:
            raise OSError(str(fault)) from None

    @property
    def _count(self) -> int:
        """Frames of a clip, 1 of a picture."""
        return self._drawable.count if self._is_clip else 1

    @property
    def _is_clip(self) -> bool:
        return self._drawable.document.is_clip

    def _index(self, index: Index) -> int | EllipsisType:
        if index is None:
            return ... if self._is_clip else 0
        if index is not ... and not 0 <= index < self._count:
            raise ValueError(f"index is {index}, expected 0 to {self._count - 1}")
        return index

    def _render(self, index: int, **size: Any) -> NDArray[np.uint8]:
        try:
            pixels = self._drawable.render(frame=index if self._is_clip else None, **size)
        except ConfigError as fault:
            raise ValueError(str(fault)) from None
        except BitstreamError as fault:
            raise OSError(str(fault)) from None
        return pixels[..., 0] if pixels.shape[2] == 1 else pixels

    def read(self, *, index: Index = None, **size: Any) -> NDArray[np.uint8]:
        """Return pixels [H, W] of grey or [H, W, C], of several frames [T, ...].

        Args:
            index: of the frame.
            **size: scale, width, height, crop, tiers and threads, as of `splat2d.decode`.

        Raises:
            ValueError: no such frame, or a size out of range.
            OSError: the file is damaged.
        """
        found = self._index(index)
        if isinstance(found, int):
            return self._render(found, **size)
        return np.stack(list(self.iter(**size)))

    def iter(self, **size: Any) -> Iterator[NDArray[np.uint8]]:
        """Yield all frames, one at a time; arguments and errors as of `read`."""
        for index in range(self._count):
            yield self._render(index, **size)

    def write(
        self,
        ndimage: ArrayLike | list[ArrayLike],
        *,
        is_batch: bool | None = None,
        fps: Any = None,
        **options: Any,
    ) -> bytes | None:
        """Encode a picture, or the frames of a clip.

        Args:
            ndimage: [H, W] or [H, W, C]; of a clip [T, H, W, C], or a list of frames.
            is_batch: whether the first axis is that of frames; None for lists and four axes.
            fps: frames a second of a clip; 25 when None.
            **options: quality, size, preset and more, as of `splat2d.encode`.

        Returns:
            The file where the target is "<bytes>".

        Raises:
            ValueError: options out of range, or a target that cannot be reached.
            OSError: pixels that are none.
        """
        frames = isinstance(ndimage, list | tuple) or np.ndim(ndimage) == 4 if is_batch is None else is_batch
        try:
            if frames:
                images = np.stack([np.atleast_3d(image) for image in ndimage])  # type: ignore[union-attr]
                data = splat2d.encode(_rgb(images), fps=25 if fps is None else fps, **options)
            else:
                data = splat2d.encode(np.asarray(ndimage), **options)
        except (ConfigError, TargetError) as fault:
            raise ValueError(str(fault)) from None
        except Splat2dError as fault:
            raise OSError(str(fault)) from None
        self.request.get_file().write(data)
        return data if self.request._uri_type == URI_BYTES else None

    def properties(self, index: Index = None, **size: Any) -> ImageProperties:
        """Return shape and type of what `read` gives, without drawing it."""
        found = self._index(index)
        drawable = self._drawable
        view = drawable.view(**size)
        channels = drawable.document.channels
        shape = (view.height, view.width) + ((channels,) if channels > 1 else ())
        if isinstance(found, int):
            return ImageProperties(shape, np.dtype(np.uint8))
        return ImageProperties((self._count, *shape), np.dtype(np.uint8), n_images=self._count, is_batch=True)

    def metadata(self, index: Index = None, exclude_applied: bool = True) -> dict[str, Any]:
        """Return what `splat2d info` tells of the file, and of one frame of a clip also its time, s."""
        figures = self._drawable.info()
        if self._is_clip:
            figures.pop("damaged")
            if isinstance(index, int):
                figures["time"] = float(self._drawable.time_of(self._index(index)))
        return figures


def _read(data: bytes, **options: Any) -> Any:
    from splat2d.format.container import is_clip

    if is_clip(data[:64]):
        from splat2d.scene.clip import Clip

        return Clip.from_bytes(data, **options)
    from splat2d.scene.picture import Scene

    return Scene.from_bytes(data, **options)


def _rgb(frames: NDArray) -> NDArray:  # [T, H, W, 1 or 3]
    """Frames as the encoder of clips takes them; straight alpha is put on white."""
    if frames.shape[-1] not in (2, 4):
        return frames
    if frames.dtype != np.uint8:
        raise ConfigError(f"frames must be uint8, found {frames.dtype}")
    alpha = frames[..., -1:].astype(np.uint16)
    return ((frames[..., :-1] * alpha + (255 - alpha) * 255 + 127) // 255).astype(np.uint8)


def register() -> None:
    """Make imageio know the plug-in by its name and by the extension; importing this module does it."""
    config.known_plugins[NAME] = PluginConfig(NAME, SplatPlugin.__name__, __name__)
    if _EXTENSION not in config.known_extensions:
        extension = FileExtension(extension=_EXTENSION, priority=[NAME], name="2D Gaussians of splat2d")
        config.extension_list.append(extension)
        config.known_extensions[_EXTENSION] = [extension]


register()
