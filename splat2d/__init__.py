"""splat2d: an image codec whose picture is a set of 2D Gaussians.

>>> import splat2d
>>> data = splat2d.encode("photo.png", quality=60)          # doctest: +SKIP
>>> pixels = splat2d.decode(data, scale=2)                  # doctest: +SKIP
>>> scene = splat2d.open("photo.splat")                     # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from splat2d.arguments import whole
from splat2d.errors import (
    BackendUnavailableError,
    BitstreamError,
    ConfigError,
    InputClipError,
    InputImageError,
    LargeFileWarning,
    OutputError,
    ShapeError,
    Splat2dError,
    TargetError,
)
from splat2d.native import MAX_THREADS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from splat2d.format.header import Limits
    from splat2d.scene.clip import Clip
    from splat2d.scene.picture import Scene

__version__ = "0.1.0"

__all__ = [
    "BackendUnavailableError",
    "BitstreamError",
    "ConfigError",
    "InputClipError",
    "InputImageError",
    "LargeFileWarning",
    "Limits",
    "OutputError",
    "ShapeError",
    "Splat2dError",
    "TargetError",
    "__version__",
    "bake",
    "decode",
    "encode",
    "group",
    "open",
    "register",
]


def encode(
    image: Any,
    *,
    quality: int | None = None,
    psnr: float | None = None,
    bpp: float | None = None,
    size: int | None = None,
    preset: str = "default",
    tune: Literal["visual", "psnr", "ms-ssim"] | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Any = None,
    device: Literal["auto", "cpu", "cuda"] = "cpu",
    masks: Any = None,
    texture: float | Literal["off", "auto"] = "off",
    fps: Any = None,
    jobs: int = 1,
    audio: bool = True,
    keep_metadata: bool = False,
    positions: Any = None,
) -> bytes:
    """Encode a picture, a clip or a light field as the bytes of a .splat file.

    Args:
        image: a path, the bytes of a picture's file, an open file, a Pillow image or an array [H, W] or
            [H, W, C] (uint8, uint16, or floats in [0, 1]).
            A clip: the path, bytes or open file of one, or with `fps` an iterable of frames, arrays [H, W, C]
            of uint8 or an array [T, H, W, C] of them, which need not all be in memory. Alpha is straight
            everywhere.
        quality: 1 to 100; 75 when no target is given.
        psnr: least PSNR of the decoded file, dB.
        bpp: most bits a pixel of the file.
        size: most bytes of the file.
        preset: fast, default or best, or the path of a YAML file.
        tune: what the encoder keeps small: "visual", errors as eyes weigh them (SSIMULACRA2 is the guide);
            "psnr", squared errors; or "ms-ssim", what that metric sees of them. None: "psnr" with a `psnr` to
            reach, else what the preset says, "visual" in all that are shipped.
        seed: of the encoder's random order; the same input, settings and seed give the same file.
        threads: None uses all cores; the file does not depend on it.
        progress: called with a `Progress` now and then.
        device: fits on "cpu", on an NVIDIA GPU with "cuda", or with "auto" on the GPU where there is one.
        masks: objects, each a layer in front of the background: a mapping of names, back to front, to masks
            (paths, or arrays [H, W] in [0, 1]), or the path of a picture of labels. Of a clip paths of
            folders, patterns or videos, or arrays [T, H, W]; or the path of a folder or a pattern of labels.
        texture: "auto" for noise like the fine structure that the file would lack, which the decoder draws
            for 0.01 bits a pixel; or its strength, 0 to 4, 1 being that of "auto".
        fps: frames a second of a clip; those of the file when None. Of the arguments above, texture is for
            pictures; psnr and bpp are those of each segment.
        jobs: segments of a clip that are fitted at the same time, by processes of their own.
        audio: whether the file holds the sound of a clip's file: the packets of its first track, as they are.
        keep_metadata: whether the file holds a picture's EXIF, XMP, resolution and its profile's name, or
            title, artist, copyright, comment, description and date of a clip's file, but not the place.
        positions: of the views of a light field: [K, 2] u, v of each of an array [K, H, W, 3], in steps of
            their grid from its middle; or the grid's columns and rows, for an array row by row, a folder or a
            pattern.

    Returns:
        The file's bytes.

    Raises:
        InputImageError: a picture or a mask that cannot be read.
        ShapeError: an array that is not a picture, or a mask of another size.
        ConfigError: settings out of range or in contradiction.
        TargetError: a target that the picture cannot reach.
        BackendUnavailableError: device is "cuda", and there is no GPU to use.
    """
    from splat2d.native.backend import Backend

    backend = Backend(threads, device)
    whole("jobs", jobs, 1, MAX_THREADS)
    if hasattr(image, "read") and not isinstance(image, str | os.PathLike):
        from splat2d.media.files import read_open

        image = read_open(image)
    if positions is not None:
        if masks is not None or texture not in ("off", 0):
            raise ConfigError("masks and texture are not for light fields")
        targets = {"quality": quality, "psnr": psnr, "bpp": bpp, "size": size}
        return _encode_views(
            image,
            positions,
            preset=preset,
            tune=tune,
            seed=seed,
            backend=backend,
            progress=progress,
            **targets,
        )
    with _path_of(image) as source:
        if fps is not None or _is_clip(source):
            if texture not in ("off", 0):
                raise ConfigError("texture is for pictures, and this is a clip")
            options = {"quality": quality, "bpp": bpp, "psnr": psnr, "size": size, "preset": preset}
            options |= {"tune": tune, "seed": seed, "backend": backend, "jobs": jobs, "progress": progress}
            return _encode_clip(source, fps, audio, masks, keep_metadata, options)
    from splat2d.fit.encode import encode_picture
    from splat2d.fit.objects.masks import load_masks
    from splat2d.media.pictures import load_picture

    picture = load_picture(image, keep_metadata=keep_metadata)
    return encode_picture(
        picture,
        quality=quality,
        psnr=psnr,
        bpp=bpp,
        size=size,
        preset=preset,
        tune=tune,
        seed=seed,
        backend=backend,
        progress=progress,
        masks=None if masks is None else load_masks(masks, picture.pixels.shape[1:]),
        texture=texture,
    ).data


def _encode_views(source: Any, positions: Any, **options: Any) -> bytes:
    """Encode views of a path or an array."""
    import numpy as np

    from splat2d.fit.views.encode import encode_views
    from splat2d.format.eyes import Eyes
    from splat2d.media.views import load_views

    places = np.asarray(positions)
    grid = (int(places[0]), int(places[1])) if places.shape == (2,) else None
    if isinstance(source, str | os.PathLike):
        if grid is None:
            raise ConfigError("positions of files are the grid's columns and rows")
        views = load_views(source, grid)
        return encode_views(views.pixels, views.eyes, **options).data
    if grid is not None:
        places = np.array(Eyes.grid(*grid).steps)
    if places.ndim != 2 or places.shape[1] != 2:
        raise ShapeError(f"positions are {list(places.shape)}, expected [K, 2] or columns and rows")
    return encode_views(np.asarray(source), places, **options).data


def _is_clip(image: Any) -> bool:
    if isinstance(image, str | os.PathLike):
        from splat2d.media.reader import is_clip

        return is_clip(image)
    from splat2d.media.frames import ClipReader

    if isinstance(image, ClipReader):
        return True
    return getattr(image, "ndim", 0) == 4


@contextlib.contextmanager
def _path_of(image: Any) -> Iterator[Any]:
    """Give bytes as the path of a temporary file, which errors do not tell, and all else as it is."""
    if not isinstance(image, bytes | bytearray | memoryview):
        yield image
        return
    import pathlib
    import tempfile

    with tempfile.TemporaryDirectory(prefix="splat2d-") as folder:
        path = os.path.join(folder, "data")
        pathlib.Path(path).write_bytes(image)
        try:
            yield path
        except Splat2dError as fault:
            raise type(fault)(str(fault).replace(path, "<clip>")) from None


def _encode_clip(
    source: Any, fps: Any, audio: bool, masks: Any, keep_metadata: bool, options: dict[str, Any]
) -> bytes:
    """Encode the frames of a path, a reader, an array or any iterable."""
    import io
    import tempfile

    from splat2d.fit.clip.encode import encode_frames
    from splat2d.fit.clip.objects import encode_objects
    from splat2d.media.frames import DEFAULT_FPS, ClipReader
    from splat2d.media.reader import open_clip, parse_fps

    if isinstance(source, str | os.PathLike):
        source = open_clip(source, fps=fps, keeps_alpha=True, keep_metadata=keep_metadata)
    if isinstance(source, ClipReader):
        rate, frames = source.fps, lambda: ((frame.pixels, frame.time) for frame in source)
        total, options["end"], options["notes"] = source.expected, lambda: source.end, source.notes
        options["metadata"] = source.metadata
    else:
        if masks is not None and not hasattr(source, "__len__"):
            source = list(source)  # which is read once a layer
        total = len(source) if hasattr(source, "__len__") else None
        rate = DEFAULT_FPS if fps is None else parse_fps(fps)
        frames = lambda: ((_pixels(frame), None) for frame in source)  # noqa: E731
    file = io.BytesIO()
    with tempfile.TemporaryFile() as packets:
        sound = source.sound(packets) if audio and isinstance(source, ClipReader) else None
        if masks is None:
            encode_frames(frames(), rate, file, total=total, sound=sound, **options)
        else:
            encode_objects(frames, masks, rate, file, sound=sound, **options)
    return file.getvalue()


def _pixels(frame: Any) -> NDArray[np.uint8]:
    """A frame that a caller gives."""
    import numpy as np

    pixels = np.asarray(frame)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4):
        raise ShapeError(f"a frame must be [H, W, C] of uint8, found {list(pixels.shape)} of {pixels.dtype}")
    if pixels.shape[2] in (1, 3):
        return pixels
    from splat2d.media.convert import premultiplied

    return np.concatenate([premultiplied(pixels[..., :-1], pixels[..., -1:]), pixels[..., -1:]], 2)


def decode(
    data: bytes,
    *,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    crop: Sequence[float] | None = None,
    tiers: int | None = None,
    dtype: Literal["uint8", "float32"] = "uint8",
    threads: int | None = None,
    device: Literal["auto", "cpu", "cuda"] = "cpu",
    texture: float | Literal["off"] = 1.0,
    limits: Limits | None = None,
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Decode the bytes of a picture's .splat file to pixels.

    Args:
        data: the whole file.
        scale: output px for each canvas px.
        width: output width, px, instead of scale; the height follows unless given too.
        height: output height, px, instead of scale.
        crop: x, y, width, height of the window, canvas px.
        tiers: decode only this many tiers, a coarser picture.
        dtype: uint8 with straight alpha, or float32 unclamped with premultiplied alpha.
        threads: None uses all cores.
        device: draws on "cpu", on an NVIDIA GPU with "cuda", or with "auto" on the GPU where there is one.
        texture: factor of the strength of textures that the file holds, 0 to 4; "off" for none.
        limits: that the file must be within; `Limits()` when None.

    Returns:
        [H, W, C].

    Raises:
        BitstreamError: not a whole, undamaged picture, or one beyond the limits.
        ConfigError: settings out of range or in contradiction.
        BackendUnavailableError: device is "cuda", and there is no GPU to use.
    """
    from splat2d.format.header import Limits
    from splat2d.scene.picture import Scene

    if not isinstance(limits, Limits | None):
        raise ConfigError(f"limits is of type {type(limits).__name__}, expected Limits")
    if dtype not in ("uint8", "float32"):
        raise ConfigError(f"dtype is {dtype!r}, expected 'uint8' or 'float32'")
    scene = Scene.from_bytes(data, tiers=tiers, threads=threads, limits=limits or Limits())
    render = scene.render if dtype == "uint8" else scene.render_float
    size = {"scale": scale, "width": width, "height": height, "crop": crop}
    return render(**size, threads=threads, device=device, texture=texture)


def group(
    scene: Scene,
    name: str,
    *,
    box: Sequence[float] | None = None,
    polygon: Sequence[Sequence[float]] | None = None,
    point: Sequence[float] | None = None,
    color: str | None = None,
    mask: Any = None,
    tolerance: float | None = None,
    quality: int | None = None,
    preset: str = "default",
    threads: int | None = None,
    progress: Any = None,
    device: Literal["auto", "cpu", "cuda"] = "cpu",
) -> Scene:
    """Cut an object out of a picture of one layer.

    Both sides are fitted anew to what the scene decodes to. Exactly one argument says where the object is.

    Args:
        scene: of one layer; its edits become part of the picture.
        name: of the object's layer; the other one is called "picture".
        box: x, y, width and height around the object, px; GrabCut finds it in there, which needs the extra
            `segment`.
        polygon: [N, 2] its corners, px.
        point: x, y of a point in it, px: the connected region of similar colour.
        color: all that is about of this colour, as "#rrggbb".
        mask: the path of a picture that is white, has a palette's index above 0, or alpha where the object
            is; or an array [H, W] of bool, uint8, uint16 or floats in [0, 1].
        tolerance: of point and color: largest difference in any channel, 8-bit levels; 24 when None.
        quality: 1 to 100; that which the scene was encoded at when None. A second fit loses about 1 dB to the
            original; more quality, and bytes, make it less.
        preset: fast, default or best, or the path of a YAML file.
        threads: None uses all cores.
        progress: called with a `Progress` now and then.
        device: fits on "cpu", on an NVIDIA GPU with "cuda", or with "auto" on the GPU where there is one.

    Returns:
        A scene of two layers; the one given stays as it was.

    Raises:
        ConfigError: several layers, a name that is none or taken, or settings that do not fit.
        ShapeError: an array that is no mask of this picture.
        InputImageError: a mask that cannot be read.
        BackendUnavailableError: a box without OpenCV, or device is "cuda", and there is no GPU to use.
    """
    from splat2d.fit.objects.group import group
    from splat2d.native.backend import Backend
    from splat2d.scene.picture import Scene

    encoded, _ = group(
        scene,
        name,
        box=box,
        polygon=polygon,
        point=point,
        color=color,
        mask=mask,
        tolerance=tolerance,
        quality=quality,
        preset=preset,
        backend=Backend(threads, device),
        progress=progress,
    )
    return Scene.from_bytes(encoded.data, threads=threads)


def bake(scene: Scene, *, preset: str = "default", threads: int | None = None, progress: Any = None) -> Scene:
    """Apply all edits of a scene to its splats, for good.

    Splats are moved, blurred and recoloured, and quantised again at half the step; where sums of splats
    cannot show what an edit does to clamped colours or coverage, a layer is fitted anew. Layers whose look is
    unedited keep their bytes, hidden and deleted ones are left out.

    Args:
        scene: with any edits.
        preset: of fits, where they are needed: fast, default or best, or the path of a YAML file.
        threads: None uses all cores.
        progress: called with a `Progress` now and then.

    Returns:
        A scene of plain layers without edits; the one given stays as it was.

    Raises:
        ConfigError: no layer is visible, or no such preset.
    """
    from splat2d.fit.objects.bake import bake
    from splat2d.native.backend import Backend

    return bake(scene, preset=preset, backend=Backend(threads), progress=progress).scene


def open(path: str | os.PathLike[str], *, limits: Limits | None = None) -> Scene | Clip:
    """Read a .splat file as a `Scene` or a `Clip` to render from.

    Args:
        path: the file.
        limits: that the file must be within; `Limits()` when None.

    Raises:
        BitstreamError: not a whole, undamaged .splat file, or one beyond the limits.
        ConfigError: no path.
    """
    from splat2d.format.container import is_clip
    from splat2d.format.header import Limits
    from splat2d.media.files import open_input, read_bytes

    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"path is of type {type(path).__name__}, expected the path of a file")
    limits = limits or Limits()
    with open_input(path, error=BitstreamError) as file:
        clip = is_clip(file.read(64)) if file.seekable() else False
    if clip:
        from splat2d.scene.clip import Clip

        return Clip.open(path, limits=limits)
    from splat2d.scene.picture import Scene

    data = read_bytes(path, limit=limits.max_bytes, error=BitstreamError)
    return Scene.from_bytes(data, limits=limits)


def register() -> None:
    """Make Pillow, and imageio where it is installed, read and write .splat files."""
    from importlib.util import find_spec

    from splat2d.plugins import pillow

    pillow.register()
    if find_spec("imageio") is not None:
        from splat2d.plugins import imageio

        imageio.register()


def __getattr__(name: str) -> Any:
    """Load the heavier names on first use, so that `import splat2d` stays quick."""
    if name == "Scene":
        from splat2d.scene.picture import Scene

        return Scene
    if name == "Clip":
        from splat2d.scene.clip import Clip

        return Clip
    if name == "Limits":
        from splat2d.format.header import Limits

        return Limits
    if name == "Progress":
        from splat2d.fit.fitter import Progress

        return Progress
    if name == "rasterize":
        from splat2d.torch.rasterize import rasterize

        return rasterize
    if name == "render_tensor":
        from splat2d.torch.rasterize import render_tensor

        return render_tensor
    raise AttributeError(f"module 'splat2d' has no attribute {name!r}")
