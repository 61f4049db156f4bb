"""What a worker of `splat2d batch` does: the bytes of one file become those of another.

Workers get bytes and give bytes, so that they need no file system in common, and only the process that asked
writes outputs: each once, however often a worker died.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

from splat2d.errors import ConfigError, Splat2dError


@dataclass(frozen=True)
class Made:
    """A finished file.

    Args:
        data: its bytes.
        figures: what there is to tell, for JSON.
        warnings: for the user.
    """

    data: bytes
    figures: dict[str, Any]
    warnings: tuple[str, ...] = field(default=())


def encode_job(name: str, data: bytes, options: dict[str, Any]) -> Made:
    """Encode a picture or a clip.

    Args:
        name: of the file, without a folder.
        data: its bytes.
        options: quality, psnr, bpp, size, preset, tune, seed and threads, as of `splat2d.encode`; and
            keep_metadata and keep_gps, as of `load_picture`.

    Raises:
        Splat2dError: as of `splat2d.encode`; names the file.
    """
    start = time.perf_counter()
    kept = {key: options[key] for key in ("keep_metadata", "keep_gps") if key in options}
    options = {key: value for key, value in options.items() if key not in kept}
    with _Folder(name) as folder:
        path = folder.put(data)
        from splat2d.media.reader import is_clip

        if is_clip(path):
            import splat2d
            from splat2d.media.reader import open_clip

            reader = open_clip(path, keeps_alpha=True, **kept)
            # Targets are those of segments.
            made = Made(splat2d.encode(reader, **options), {"kind": "clip"}, tuple(reader.warnings))
        else:
            from splat2d.fit.encode import encode_picture
            from splat2d.media.pictures import load_picture
            from splat2d.native.backend import Backend

            picture = load_picture(path, **kept)
            backend = Backend(options.pop("threads", None))
            encoded = encode_picture(picture, backend=backend, **options)
            figures = {
                "kind": "picture",
                "width": picture.width,
                "height": picture.height,
                "psnr": encoded.psnr,
                "splats": encoded.splats,
            }
            made = Made(encoded.data, figures, (*picture.warnings, *encoded.warnings))
    made.figures["seconds"] = time.perf_counter() - start
    return made


def decode_job(name: str, data: bytes, suffix: str, options: dict[str, Any]) -> Made:
    """Decode a .splat file.

    Args:
        name: of the file, without a folder.
        data: its bytes.
        suffix: of what it becomes, such as .png, or .mp4 of a clip.
        options: scale, width, height and threads, as of `splat2d.decode`.

    Raises:
        Splat2dError: damaged data, or a format that cannot hold it; names the file.
    """
    start = time.perf_counter()
    with _Folder(name) as folder:
        from splat2d.format.container import is_clip

        output, warnings = os.path.join(folder.path, os.path.splitext(name)[0] + suffix), []
        if is_clip(data[:64]):
            more, warnings = _decode_clip(data, output, options)
            figures = {"kind": "clip", **more}
        else:
            from splat2d.media.save import save_picture
            from splat2d.scene.picture import Scene

            scene = Scene.from_bytes(data, threads=options.get("threads"))
            as_float = suffix == ".npy"
            pixels = scene.render_float(**options) if as_float else scene.render(**options)
            save_picture(pixels, output, metadata=scene.document.container.metadata)
            figures = {"kind": "picture", "width": pixels.shape[1], "height": pixels.shape[0]}
            figures["splats"] = scene.count
        with open(output, "rb") as file:
            made = Made(file.read(), figures, tuple(warnings))
    made.figures["seconds"] = time.perf_counter() - start
    return made


def _decode_clip(data: bytes, output: str, options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Write all frames; returns figures and warnings."""
    from splat2d.media.writer import ClipWriter, check_clip_output
    from splat2d.scene.clip import Clip

    check_clip_output(output)
    clip = Clip.from_bytes(data, threads=options.get("threads"))
    view = clip.view(**{key: value for key, value in options.items() if key != "threads"})
    last = clip.duration - clip.time_of(clip.count - 1)
    sound, warnings = clip.heard()
    more = {"last": last, "sound": sound, "alpha": clip.has_alpha}
    more["metadata"] = clip.document.container.metadata
    with ClipWriter(output, view.width, view.height, clip.fps, **more) as writer:
        for moment, pixels in clip.frames(**options):
            writer.write(pixels, moment)
    return {"width": view.width, "height": view.height, "frames": clip.count}, [*warnings, *writer.warnings]


class _Folder:
    """A temporary folder, whose path errors do not tell."""

    def __init__(self, name: str) -> None:
        if os.path.basename(name) != name:
            raise ConfigError(f"{name!r} is no file name")
        self._name = name
        self._folder = tempfile.TemporaryDirectory(prefix="splat2d-")
        self.path = self._folder.name

    def put(self, data: bytes) -> str:
        """Write a file of the name; return its path."""
        path = os.path.join(self.path, self._name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def __enter__(self) -> _Folder:
        return self

    def __exit__(self, kind: Any, fault: BaseException | None, trace: Any) -> None:
        self._folder.cleanup()
        if isinstance(fault, Splat2dError):
            text = str(fault).replace(self.path + os.sep, "").replace(f"{self._name}: ", "", 1)
            raise type(fault)(text) from None
