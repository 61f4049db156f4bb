"""Clips out: frames into a video file, a GIF or numbered images, whole or not at all."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import BitstreamError, ConfigError, OutputError, ShapeError
from splat2d.media.convert import FromRgb, Matrix, guess_matrix, load_av
from splat2d.media.files import check_output, reason, shown, temporary_in, write_atomic
from splat2d.media.outputs import VideoFormat, video_format
from splat2d.media.patterns import Pattern
from splat2d.media.save import keeps_alpha, on_white, picture_format, save_picture
from splat2d.media.sound import SoundStream, fitting
from splat2d.media.texts import tags_for

if TYPE_CHECKING:
    from types import TracebackType

    from av import Packet, VideoFrame
    from av.filter import Graph

    from splat2d.format.metadata import Metadata
    from splat2d.format.sound import Sound

DEFAULT_CRF = 12
"""Of H.264 and VP9: losses that nobody sees, at a tenth of a lossless file's size."""

FOLDER_NAME = "frame_"
"""How names of the frames in a folder begin: `frame_0001.png`."""

_LONGEST_DELAY = (1 << 16) - 1  # of a GIF's frame, 1/100 s

_TICKS = 10_000  # least a second, so that times of a varying rate are kept


def check_clip_output(path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Make sure that a clip can be written, so that a command fails before minutes of work.

    Args:
        path: a video file or GIF, a pattern such as `out_%04d.png`, or a folder, which exists or ends in a
            separator. The folder of the images is made if only it is missing.
        force: whether existing files may be replaced.

    Raises:
        OutputError: nothing writes such a clip, or the place cannot be written to or is taken.
        ConfigError: a pattern with several places for a number.
        BackendUnavailableError: a video file and no PyAV.
    """
    pattern = _image_pattern(path)
    if pattern is None:
        video_format(path)
        load_av()
        check_output(path, force=force)
        return
    picture_format(pattern.path(1))
    folder = _folder(pattern)
    if os.path.isdir(folder):
        taken = pattern.files()
        if taken and not force:
            raise OutputError(f"{shown(min(taken.values()))}: exists already and is kept; use --force")
    else:
        folder = os.path.dirname(os.path.normpath(folder)) or "."  # the folder itself is made
    probe = temporary_in(folder)
    try:
        check_output(probe)  # whether a file could be made there
    except OutputError as fault:
        raise OutputError(str(fault).replace(shown(probe), shown(path))) from None


class ClipWriter:
    """Writes frames one by one; what it wrote appears when its block ends well, and vanishes otherwise.

    MP4, MOV, MKV and AVI are H.264, WebM is VP9, both 4:2:0 of BT.709 with limited range and tagged so; as
    H.264 has no odd sizes in 4:2:0, the last column or row is repeated. Y4M is 4:4:4 of 10 bits, from which
    8-bit RGB comes back exactly, in the matrix that players assume for its size. APNG and WebP are lossless.
    Images are numbered from 1.

    Args:
        path: as for `check_clip_output`.
        width: of all frames, px.
        height: of all frames, px.
        fps: frames a second, the average where times vary.
        crf: constant rate factor of H.264 and VP9, 0 to 51, lower is better.
        lossless: exact RGB, as FFV1 in .mkv and .avi.
        force: whether existing files may be replaced.
        file: open for writing, such as a pipe, where the clip goes as it comes; `path` then only tells the
            format, which needs no way back: not AVI.
        last: how long the last frame is shown, s; as the rate says when None.
        sound: what is heard with it, packet by packet; encoded anew where its codec does not fit, and left
            out of what has no sound, with a warning.
        alpha: whether frames may be transparent: MOV is then ProRes 4444, and what has no alpha gets them on
            white.
        metadata: to be written, too, as far as the container has a place for it.

    Attributes:
        warnings: what a user should be told on stderr.

    Raises:
        OutputError: nothing writes such a clip, or the place cannot be written to or is taken.
        ConfigError: fps, crf or last out of range, or a format that is not lossless.
        BackendUnavailableError: a video file and no PyAV.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        width: int,
        height: int,
        fps: Fraction,
        *,
        crf: int = DEFAULT_CRF,
        lossless: bool = False,
        force: bool = False,
        file: BinaryIO | None = None,
        last: Fraction | None = None,
        sound: Sound | None = None,
        alpha: bool = False,
        metadata: Metadata | None = None,
    ) -> None:
        if fps <= 0:
            raise ConfigError(f"fps is {fps}, expected a rate above 0")
        if not 0 <= crf <= 51:
            raise ConfigError(f"crf is {crf}, expected 0 to 51")
        if last is not None and last <= 0:
            raise ConfigError(f"the last frame lasts {float(last):g} s, expected more than 0")
        self.width, self.height, self.fps = width, height, Fraction(fps)
        self.warnings: list[str] = []
        self._path = path
        self._count = 0
        self._first = self._last = Fraction(0)
        pattern = None if file else _image_pattern(path)
        if pattern is not None:
            self._sink: _Images | _Video = _Images(pattern, force)
            if sound is not None:
                self.warnings.append("the sound is left out: this output has none")
            kept = alpha and keeps_alpha(pattern.path(1))
            tags, untold = tags_for(metadata, "images")
        else:
            form = video_format(path, lossless=lossless, alpha=alpha)
            if file is not None and form.seeks:
                name = form.muxer.upper()
                raise OutputError(f"{name} needs a file, and cannot go into a pipe; use y4m or mkv")
            kept = alpha and form.has_alpha
            tags, untold = tags_for(metadata, form.muxer)
            self._sink = _Video(
                path, (width, height), self.fps, form, crf, force, last, file, sound, alpha=kept, tags=tags
            )
            if self._sink.size != (width, height):
                size = "x".join(map(str, self._sink.size))
                self.warnings.append(
                    f"H.264 needs even sizes: frames of {width}x{height} are padded to {size}"
                )
        if alpha and not kept:
            self.warnings.append("this output has no alpha: frames are put on white; use .webm, .mov or .png")
        if untold:
            self.warnings.append(untold)
        self._channels = 4 if kept else 3
        if file is None:
            check_clip_output(path, force=force)

    def __enter__(self) -> ClipWriter:
        """Open the temporary output."""
        self._sink.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the output and give it its name; remove it after an error."""
        if kind is None and not self._count:
            self._sink.discard()
            raise OutputError(f"{shown(self._path)}: not written, as there are no frames")
        if kind is not None:
            self._sink.discard()
            return
        self.warnings += self._sink.publish()

    def write(
        self,
        pixels: NDArray[np.uint8],  # [H, W, 1..4]
        time: Fraction | float | None = None,
    ) -> None:
        """Append a frame.

        Args:
            pixels: uint8 sRGB: grey, grey and alpha, RGB or RGBA, alpha straight.
            time: seconds, above that of the frame before; the first frame's becomes 0. By the constant rate
                when None.

        Raises:
            ShapeError: pixels of another size or dtype.
            ConfigError: a time that does not rise.
            OutputError: the output cannot be written.
        """
        good = pixels.shape[:2] == (self.height, self.width) and pixels.shape[2:] in ((1,), (2,), (3,), (4,))
        if not good or pixels.dtype != np.uint8:
            raise ShapeError(
                f"expected uint8 pixels of shape {self.height}x{self.width}x1..4, found {pixels.dtype} of "
                f"shape {'x'.join(map(str, pixels.shape))}"
            )
        if time is None:
            time = self._last + (1 / self.fps if self._count else 0)
        time = Fraction(time)
        if not self._count:
            self._first = time
        elif time <= self._last:
            raise ConfigError(f"frame {self._count + 1} is at {float(time):g} s, not after the frame before")
        self._last = time
        time -= self._first
        if self._sink.constant_rate and abs(time * self.fps - self._count) > Fraction(1, 2):
            message = f"this output keeps no times: its frames have a constant rate of {float(self.fps):g}/s"
            if message not in self.warnings:
                self.warnings.append(message)
        self._sink.write(_with_channels(pixels, self._channels), self._count, time)
        self._count += 1


def _with_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Return pixels [H, W, 1..4] as RGB on white, or as RGBA."""
    if channels == 3:
        pixels = on_white(pixels)
    colour = pixels[..., : 1 if pixels.shape[2] < 3 else 3]
    planes = [np.broadcast_to(colour, (*pixels.shape[:2], 3))]
    if channels == 4:
        has_alpha = pixels.shape[2] in (2, 4)
        planes.append(pixels[..., -1:] if has_alpha else np.full_like(colour[..., :1], 255))
    return np.concatenate(planes, 2) if channels == 4 else np.ascontiguousarray(planes[0])


class _Images:
    """Numbered pictures, gathered in a temporary folder beside their place."""

    constant_rate = True

    def __init__(self, pattern: Pattern, force: bool) -> None:
        self._pattern, self._force = pattern, force
        self._folder = _folder(pattern)
        self._makes_folder = not os.path.isdir(self._folder)
        self._temporary = temporary_in(self._folder)
        self._names: list[str] = []

    def open(self) -> None:
        try:
            os.makedirs(self._temporary) if self._makes_folder else os.mkdir(self._temporary)
        except OSError as fault:
            raise OutputError(f"{shown(self._folder)}: cannot be written ({reason(fault)})") from None

    def write(self, pixels: NDArray[np.uint8], index: int, time: Fraction) -> None:
        name = os.path.basename(self._pattern.path(index + 1))
        save_picture(pixels, os.path.join(self._temporary, name))
        self._names.append(name)

    def publish(self) -> list[str]:
        """Move the images to their place; returns warnings."""
        try:
            older = self._pattern.files()
            if older and not self._force:
                raise OutputError(
                    f"{shown(min(older.values()))}: appeared meanwhile and is kept; use --force"
                )
            for name in self._names:
                os.replace(os.path.join(self._temporary, name), os.path.join(self._folder, name))
        except OSError as fault:
            raise OutputError(f"{shown(self._folder)}: cannot be written ({reason(fault)})") from None
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)
        stale = sum(number > len(self._names) or number < 1 for number in older)
        return [f"{stale} older images match {shown(self._pattern.text)} and are kept"] if stale else []

    def discard(self) -> None:
        shutil.rmtree(self._temporary, ignore_errors=True)
        if self._makes_folder:
            with contextlib.suppress(OSError):
                os.rmdir(self._folder)


class _Video:
    """A video file through PyAV."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int],
        fps: Fraction,
        format: VideoFormat,
        crf: int,
        force: bool,
        last: Fraction | None,
        file: BinaryIO | None = None,
        sound: Sound | None = None,
        *,
        alpha: bool = False,
        tags: dict[str, str],
    ) -> None:
        self._av, self._alpha, self._tags = load_av(), alpha, tags
        self._sound, self._heard = sound, None
        self._warnings: list[str] = []
        self._path, self._force, self._format, self._file = path, force, format, file
        self._fps = fps.limit_denominator(1001) if fps > 1 else fps.limit_denominator(100_000)
        self._options = dict(format.options)
        if format.codec in ("libx264", "libvpx-vp9"):
            self._options["crf"] = str(crf)
        self._stored = size
        self.size = tuple(side + side % 2 for side in size) if format.even else size
        self.constant_rate = format.constant_rate
        self._last = -1
        self._waiting: list[Packet] = []
        self._length = last or 1 / fps
        self._stack = contextlib.ExitStack()

    def open(self) -> None:
        file: Any = self._file or self._stack.enter_context(write_atomic(self._path, force=self._force))
        try:
            self._start(file)
        except (self._av.FFmpegError, OSError) as fault:
            self.discard()
            raise self._error(fault) from None
        except BaseException:
            self.discard()
            raise

    def _start(self, file: Any) -> None:
        width, height = self.size
        # The muxer wants its consent to unofficial Y4M as much as the codec.
        options = {key: value for key, value in self._options.items() if key == "strict"}
        options |= self._format.container
        if self._file is not None:
            if self._format.muxer in ("mp4", "mov"):
                options["movflags"] = "frag_keyframe+empty_moov"
            file = _OneWay(self._file)
        if self._format.muxer == "apng":
            options["final_delay"] = str(self._length.limit_denominator(1000))
        if self._format.muxer == "gif":
            options["final_delay"] = str(min(max(round(self._length * 100), 1), _LONGEST_DELAY))
        self._container = self._av.open(file, "w", format=self._format.muxer, container_options=options)
        self._container.metadata.update(self._tags)
        stream: Any = self._container.add_stream(self._format.codec, rate=self._fps, options=self._options)
        stream.width, stream.height, stream.pix_fmt = width, height, self._format.pixels
        context = stream.codec_context
        matrix: Matrix | None = None
        if self._format.pixels == "pal8":
            self._tick = Fraction(1, 100)
            self._convert = _ToPalette(width, height, self._alpha)
        else:
            # So many that each frame of a constant rate falls on one.
            steps = 1 if self.constant_rate else math.ceil(_TICKS / self._fps)
            self._tick = 1 / (self._fps * steps)
            if self._format.pixels.startswith("yuv"):
                tagged = self._format.codec != "rawvideo"
                matrix = "bt709" if tagged else guess_matrix(width, height)
                context.color_range = 1
                if tagged:
                    context.colorspace = context.color_primaries = context.color_trc = 1
            chroma = "left" if self._format.pixels in ("yuv420p", "yuva420p") else None
            self._convert = FromRgb(width, height, self._format.pixels, matrix, chroma, alpha=self._alpha)
        context.time_base = self._tick
        self._stream = stream
        if self._sound is not None:
            packets = self._stack.enter_context(tempfile.TemporaryFile())
            sound, said = fitting(self._sound, self._format.muxer, packets)
            self._warnings += [said] if said else []
            self._heard = SoundStream(self._container, sound) if sound else None

    def write(self, pixels: NDArray[np.uint8], index: int, time: Fraction) -> None:
        if self.constant_rate:
            time = index / self._fps
        if self.size != self._stored:
            extra = [(0, new - old) for new, old in zip(self.size[::-1], self._stored[::-1], strict=True)]
            pixels = np.pad(pixels, (*extra, (0, 0)), "edge")
        try:
            frame = self._convert(pixels)
            # Two times may fall into one tick.
            frame.pts = self._last = max(round(time / self._tick), self._last + 1)
            frame.time_base = self._tick
            # The newest packets wait, because the last of all is told how long it lasts.
            self._mux(self._waiting)
            self._waiting = self._stream.encode(frame)
        except (self._av.FFmpegError, OSError) as fault:
            raise self._error(fault) from None

    def publish(self) -> list[str]:
        """Finish the file and give it its name; returns warnings."""
        with self._stack:
            try:
                packets = [*self._waiting, *self._stream.encode(None)]
                final = max(packets, key=lambda packet: packet.pts, default=None)
                if final is not None and final.pts == self._last and not self.constant_rate:
                    final.duration = max(round(self._length / self._tick), 1)
                self._mux(packets)
                self._mux_sound(None)
                self._container.close()
            except self._av.FFmpegError as fault:
                raise self._error(fault) from None
        return self._warnings

    def _mux(self, packets: Sequence[Packet]) -> None:
        """Write packets of pictures, each behind the sound that comes before it."""
        for packet in packets:
            if packet.dts is not None:
                self._mux_sound(packet.dts * packet.time_base)
            self._container.mux(packet)

    def _mux_sound(self, until: Fraction | None) -> None:
        if self._heard is None:
            return
        try:
            self._heard.mux(until)
        except (self._av.InvalidDataError, self._av.ArgumentError, BitstreamError) as fault:
            self._heard = None
            self._warnings.append(f"the sound is damaged and ends early ({reason(fault)})")

    def discard(self) -> None:
        # The muxer wants to write its index into the file that is about to vanish.
        with contextlib.suppress(Exception):
            self._container.close()
        with contextlib.suppress(_Discarded), self._stack:
            raise _Discarded

    def _error(self, fault: Exception) -> Exception:
        if isinstance(fault, BrokenPipeError):
            return fault  # the reader of a pipe has had enough
        return OutputError(f"{shown(self._path)}: cannot be written ({reason(fault)})")


class _OneWay:
    """A file without a way back; PyAV would ask a pipe for its position."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        return self._file.write(data)


class _Discarded(Exception):
    """Makes `write_atomic` remove its file."""


class _ToPalette:
    """Converts pixels to frames with the best palette of 256 colours each, dithered.

    Alpha becomes one bit: what covers less than half is not there.
    """

    def __init__(self, width: int, height: int, alpha: bool = False) -> None:
        graph: Graph = load_av().filter.Graph()
        self._pixels = "rgba" if alpha else "rgb24"
        source = graph.add("buffer", video_size=f"{width}x{height}", pix_fmt=self._pixels, time_base="1/100")
        split = graph.add("split")
        palette = graph.add("palettegen", stats_mode="single", reserve_transparent=str(int(alpha)))
        mapped = graph.add("paletteuse", new="1")
        source.link_to(split)
        split.link_to(mapped, 0, 0)
        split.link_to(palette, 1, 0)
        palette.link_to(mapped, 0, 1)
        mapped.link_to(graph.add("buffersink"))
        graph.configure()
        self._graph = graph
        self._count = 0

    def __call__(self, pixels: NDArray[np.uint8]) -> VideoFrame:
        frame = load_av().VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=self._pixels)
        # The filter pairs pictures and palettes by time.
        frame.pts, frame.time_base = self._count, Fraction(1, 100)
        self._count += 1
        self._graph.vpush(frame)
        return self._graph.vpull()


def _image_pattern(path: str | os.PathLike[str]) -> Pattern | None:
    """Return the pattern of the images that a path asks for; None for a video file."""
    name = os.fspath(path)
    pattern = Pattern.of(name)
    if pattern is not None and os.path.dirname(pattern.after):
        raise OutputError(
            f"{shown(name)}: has its number in the name of a folder; put it in that of the files"
        )
    if pattern is None and (os.path.isdir(name) or name.endswith(("/", os.sep))):
        return Pattern(os.path.join(name, FOLDER_NAME), 4, ".png")
    return pattern


def _folder(pattern: Pattern) -> str:
    """Return the folder that the images of a pattern lie in."""
    return os.path.dirname(pattern.before) or "."
