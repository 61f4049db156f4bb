"""Pillow reads and writes .splat files once this is imported: `import splat2d.plugins.pillow`.

>>> with Image.open("photo.splat") as image:                      # doctest: +SKIP
...     image.thumbnail((256, 256))
>>> image.save("small.splat", quality=60, preset="fast")          # doctest: +SKIP

`Image.open` reads the header, and no splat is decoded before pixels are asked for. `draft` and `thumbnail`
make it render at that size in the first place. A clip is a sequence of frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from PIL import Image, ImageFile

from splat2d.errors import BitstreamError, ConfigError, Splat2dError, TargetError

if TYPE_CHECKING:
    from splat2d.draw.render import Size
    from splat2d.edit.document import Document
    from splat2d.media.frames import ClipReader
    from splat2d.scene.clip import Clip
    from splat2d.scene.picture import Scene

FORMAT = "SPLAT"

_MAGIC = b"\xc2SPL"  # of splat2d.format.header, whose import would be felt
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_OPTIONS = ("quality", "psnr", "bpp", "size", "preset", "tune", "seed", "threads", "device", "progress")


class SplatImageFile(ImageFile.ImageFile):
    """A .splat file as Pillow's image.

    Attributes:
        n_frames: 1 of a picture.
        is_animated: whether there are several frames.
    """

    format = FORMAT
    format_description = "Picture or clip as 2D Gaussians"
    _close_exclusive_fp_after_loading = False

    def _open(self) -> None:
        from splat2d.format.header import Limits, read_header
        from splat2d.format.sections import Reader

        assert self.fp is not None
        try:
            # How large is too large is what Pillow asks next, and its user sets.
            header = read_header(Reader(self.fp.read(64)), Limits.of_format())
        except BitstreamError as fault:
            raise SyntaxError(str(fault)) from None
        self._fp = self.fp
        self._fault: Exception | None = None
        self._drawable: Scene | Clip | None = None
        self._clip: Clip | None = None
        self._document: Document | None = None
        self._inside = False
        channels = header.channels
        try:
            self._document = _document(cast("BinaryIO", self.fp))
            channels = self._document.channels
            if self._document.is_clip:
                from splat2d.scene.clip import Clip

                self._drawable = self._clip = Clip(self._document)
        except BitstreamError as fault:
            self._fault = fault  # as of other formats, a truncated file opens and does not load
        self._canvas = (header.width, header.height)
        self._size, self._mode = self._canvas, _MODES[channels]
        self.n_frames = 1 if self._clip is None else self._clip.count
        self.is_animated = self.n_frames > 1
        if self._document is not None:
            self.info["layers"] = list(self._document.stack.names)
        self._seek(0)

    def seek(self, frame: int) -> None:
        """Go to a frame; `info` holds its duration and timestamp in ms.

        Raises:
            EOFError: there is no such frame.
        """
        if self._seek_check(frame) and frame != self._frame:
            self._seek(frame)

    def _seek_check(self, frame: int) -> bool:
        if not 0 <= frame < self.n_frames:
            raise EOFError("attempt to seek outside sequence")
        return True

    def _seek(self, frame: int) -> None:
        self._frame = frame
        self.tile = [ImageFile._Tile("raw", (0, 0, *self.size), 0, self.mode)]
        clip = self._clip
        if clip is not None:
            begin = clip.time_of(frame)
            end = clip.time_of(frame + 1) if frame + 1 < clip.count else clip.duration
            self.info["timestamp"], self.info["duration"] = _milliseconds(begin), _milliseconds(end - begin)

    def tell(self) -> int:
        """Number of the present frame."""
        return self._frame

    def draft(self, mode: str | None, size: tuple[int, int] | None):
        """Render at about this size: at least as large on both sides, in the picture's proportions.

        Args:
            mode: left as it is.
            size: width and height, px; never more than the picture's own.

        Returns:
            The mode and the box of the image in px, or None where nothing changes.
        """
        if not self.tile or size is None:
            return None
        width, height = self._canvas
        sides = [size[0] / width, size[1] / height]
        scale = min(min(sides) if self._inside else max(sides), 1)
        if scale <= 0:
            return None
        width, height = max(round(width * scale), 1), max(round(height * scale), 1)
        self._size = width, height
        self.tile = [ImageFile._Tile("raw", (0, 0, *self.size), 0, self.mode)]
        return self.mode, (0, 0, float(width), float(height))

    def thumbnail(
        self,
        size: tuple[float, float],
        resample: Image.Resampling = Image.Resampling.BICUBIC,
        reducing_gap: float | None = 1.0,
    ) -> None:
        """Make this image one of at most this size, rendered at it.

        Args:
            size: width and height, px.
            resample: of a frame whose pixels are there already.
            reducing_gap: how much larger than needed to render, and then to resample; None for the full size.
        """
        self._inside = True
        try:
            super().thumbnail(size, resample, reducing_gap)
        finally:
            self._inside = False

    def load(self):
        """Render the frame unless that is done.

        Raises:
            OSError: the file is damaged or truncated.
        """
        if self.tile:
            assert self._fp is not None
            self.fp = cast("Any", BytesIO(self._rendered()))
        return super().load()

    def load_seek(self, pos: int) -> None:
        """Stay: pixels begin at 0."""

    def _rendered(self) -> bytes:
        """Pixels of the present frame."""
        width, height = self.size
        try:
            if self._fault is not None:
                raise self._fault
            if self._drawable is None:
                from splat2d.scene.picture import Scene

                assert self._document is not None
                self._drawable = Scene.of(self._document)
                if self._exclusive_fp:
                    cast("BinaryIO", self._fp).close()  # all of a picture's file is in memory
            frame = None if self._clip is None else self._frame
            # Without a size where there is none to change, as `decode` renders.
            size: Size = {} if self.size == self._canvas else {"width": width, "height": height}
            pixels = self._drawable.render(frame=frame, **size)
        except Splat2dError as fault:
            raise OSError(f"this .splat file is damaged or truncated: {fault}") from None
        if pixels.shape[2] != len(self.getbands()):  # where a layer covers all for a while
            mode = _MODES[pixels.shape[2]]
            return Image.frombytes(mode, self.size, pixels.tobytes()).convert(self.mode).tobytes()
        return pixels.tobytes()

    def verify(self) -> None:
        """Decode all splats without drawing any.

        Raises:
            OSError: the file is damaged or truncated.
        """
        try:
            if self._fault is not None:
                raise self._fault
            if self._clip is not None:
                self._clip.info(count_bits=True)
            elif self._document is not None:
                from splat2d.scene.picture import Scene

                Scene.of(self._document)
        except Splat2dError as fault:
            raise OSError(f"this .splat file is damaged or truncated: {fault}") from None
        super().verify()


def _document(file: BinaryIO) -> Document:
    from splat2d.edit.document import Document
    from splat2d.format.header import DEFAULT_LIMITS, MAX_PIXELS
    from splat2d.format.sections import Source

    limits = replace(DEFAULT_LIMITS, max_pixels=MAX_PIXELS, warn_pixels=MAX_PIXELS)
    return Document.read(Source(file), limits)


def _milliseconds(time: Fraction) -> int | float:
    value = round(float(time * 1000), 3)
    return int(value) if value.is_integer() else value


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(_MAGIC)


def _save(image: Image.Image, file: Any, _: str | bytes) -> None:
    """Encode one picture; options are those of `splat2d.encode`."""
    import splat2d

    _write(file, lambda: splat2d.encode(image, **_options(image)))


def _save_all(image: Image.Image, file: Any, name: str | bytes) -> None:
    """Encode a clip of all frames, those of `append_images` too; `duration` is in ms, of all or of each."""
    images = [image, *image.encoderinfo.get("append_images", ())]
    count = sum(getattr(part, "n_frames", 1) for part in images)
    if count == 1:
        return _save(image, file, name)
    import splat2d
    from splat2d.plugins.sequence import ImagesReader

    durations = image.encoderinfo.get("duration", image.info.get("duration", 40))
    options = {**_options(image), "jobs": image.encoderinfo.get("jobs", 1)}

    def encode() -> bytes:
        reader: ClipReader = ImagesReader(images, durations)
        return splat2d.encode(reader, fps=reader.fps, **options)

    _write(file, encode)


def _options(image: Image.Image) -> dict[str, Any]:
    given = image.encoderinfo
    return {name: given[name] for name in _OPTIONS if given.get(name) is not None}


def _write(file: Any, encode: Callable[[], bytes]) -> None:
    """Write what is encoded; faults are of the kinds that Pillow's own writers raise."""
    try:
        data = encode()
    except (ConfigError, TargetError) as fault:
        raise ValueError(str(fault)) from None
    except Splat2dError as fault:
        raise OSError(str(fault)) from None
    file.write(data)


def register() -> None:
    """Make Pillow know the format; importing this module does it."""
    Image.register_open(FORMAT, SplatImageFile, _accept)
    Image.register_save(FORMAT, _save)
    Image.register_save_all(FORMAT, _save_all)
    Image.register_extension(FORMAT, ".splat")
    Image.register_mime(FORMAT, "image/x-splat2d")


register()
