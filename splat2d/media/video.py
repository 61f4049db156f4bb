"""Clips from video files, decoded by PyAV."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import InputClipError
from splat2d.media.boxes import track_crop
from splat2d.media.cicp import UNKNOWN, Stated
from splat2d.media.convert import Matrix, ToRgb, guess_matrix, load_av
from splat2d.media.files import open_input, reason, shown
from splat2d.media.frames import DEFAULT_FPS, ClipReader, Frame
from splat2d.media.metadata import NOTHING, Found, Keep
from splat2d.media.texts import texts_of
from splat2d.media.whole import check_whole

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

    from splat2d.format.sound import Sound

# Demuxers of files that hold a video. Others read playlists, which open more files, or take any text.
_DEMUXERS = (
    "mov,matroska,webm,avi,yuv4mpegpipe,mpegts,mpeg,mpegvideo,m4v,flv,live_flv,ogg,asf,mxf,nut,ivf,h261,h263,"
    "h264,hevc,vvc,obu,av1,vc1,dirac,cavsvideo,mjpeg,mpjpeg,dv,wtv,gxf,rm,nsv,lavf,kux,swf,smjpeg"
)

# Of ISO/IEC 23091-2, as in AVFrame.
_MATRICES: dict[int, Matrix] = {
    1: "bt709",
    4: "fcc",
    5: "bt601",
    6: "bt601",
    7: "smpte240m",
    9: "bt2020",
    10: "bt2020",
}
_OTHER_MATRICES = {8: "YCgCo", 11: "Y'D'zD'x", 12: "derived", 13: "derived", 14: "ICtCp"}
_LIMITED_RANGE, _FULL_RANGE = 1, 2
# Whose grey, where the file does not tell, has the limited range that their YCbCr has.
_LIMITED_GREY = {"h264", "hevc", "vvc", "av1", "vp8", "vp9", "mpeg1video", "mpeg2video", "mpeg4"}
# Of which each packet gives a picture.
_ONE_EACH = {"h264", "hevc", "vvc", "av1", "vp9", "ffv1", "mjpeg", "prores", "dnxhd"}
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # what decodes it, which ffmpeg's own do not


class ContainerReader(ClipReader):
    """A clip in a file of any format that ffmpeg reads.

    Its first frame is decoded to find out what is in there.

    Args:
        path: the file.
        fps: frames a second instead of the file's timestamps.
        matrix: of YCbCr instead of what the file says or its size suggests.
        format: ffmpeg's name of the container, where the content would be taken for another.
        keep: what of its metadata is kept.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fps: Fraction | None = None,
        matrix: Matrix | None = None,
        format: str | None = None,
        keep: Keep = NOTHING,
    ) -> None:
        self._path, self._format = path, format
        self._matrix: Matrix | None = matrix
        self._retimed = fps is not None
        name = shown(path)
        with open_input(path, error=InputClipError) as file:
            check_whole(file, name)
        with self._opened() as (container, stream):
            first = next(self._decoded(container, stream), None)
            if first is None:
                raise InputClipError(f"{name}: its video has no frames")
            own = stream.average_rate or stream.guessed_rate or DEFAULT_FPS
            aspect = stream.sample_aspect_ratio or Fraction(1)
            count = None
            if stream.frames and {"mp4", "avi"} & set(container.format.name.split(",")):
                # An edit list hides frames, and an AVI repeats one by an empty entry; neither is decoded.
                count = sum(entry.size > 0 and not entry.is_discard for entry in stream.index_entries)
            seconds = container.duration
            has_audio = bool(container.streams.audio)
            self._begins = Fraction(0)
            if first.pts is not None and stream.time_base is not None:
                self._begins = first.pts * stream.time_base
            self._rate_differs = fps is not None and fps != own
            self._limited_grey = stream.codec.name in _LIMITED_GREY or container.format.name == "yuv4mpegpipe"
            track = stream.id
            said = texts_of(container.metadata, keep=keep.metadata, keep_gps=keep.gps)
        self._stored = (first.width, first.height)
        self._has_alpha = any(component.is_alpha for component in first.format.components)
        with open_input(path, error=InputClipError) as file:
            crop = track_crop(file, track, *self._stored) if file.seekable() else None
        self._size = (max(round(first.width * aspect), 1), first.height)
        self._crop = crop and (round(crop[0] * aspect), crop[1], max(round(crop[2] * aspect), 1), crop[3])
        self._turn = _turn(first)
        width, height = self._crop[2:] if self._crop else self._size
        super().__init__(
            name,
            (height, width) if self._turn[0] else (width, height),
            fps or own,
            count=count,
            duration=Fraction(seconds, 1_000_000) if seconds else None,
            has_audio=has_audio,
        )
        if fps and fps != own:
            self._warn(f"its timestamps, {float(own):g} frames/s, are replaced by {float(fps):g} frames/s")
        if self._crop:
            self.notes.append(f"cropped to {width}x{height} as the file says")
        if self._size != self._stored:
            stored, shown_as = ("x".join(map(str, pair)) for pair in (self._stored, self._size))
            self._warn(
                f"pixels are {aspect.numerator}:{aspect.denominator}; {stored} is scaled to {shown_as}"
            )
        self._judge(first)
        self._keep(Found(*said), keep)

    def _may_be_transparent(self) -> bool:
        return self._has_alpha

    def _stored_frames(self, start: int) -> Iterator[Frame]:
        """Yield the frames in order."""
        convert, kind = None, None
        index, last = -1, Fraction(0)
        with self._opened() as (container, stream):
            clock = _Clock(self.fps, stream.time_base if not self._retimed else None)
            for index, frame in enumerate(self._decoded(container, stream)):
                self._check_size((frame.width, frame.height), index, self._stored)
                time = clock.next(frame.pts)
                if clock.repaired and not self._retimed:
                    self._warn("timestamps are missing or do not rise; the average rate stands in")
                end = time + _length(frame, stream.time_base, self.fps)
                last = max(end, last)
                if index < start:
                    continue
                found = (frame.format.name, frame.colorspace, frame.color_range, *_colour_codes(frame))
                if convert is None or found != kind:
                    convert, kind = self._converter(frame), found
                try:
                    pixels = convert(frame)
                except load_av().FFmpegError as fault:
                    raise InputClipError(self._odd_format(frame, fault)) from None
                if self._crop:
                    left, top, width, height = self._crop
                    pixels = pixels[top : top + height, left : left + width]
                yield Frame(_upright(pixels, self._turn), time)
        self.end = None if self._retimed else last
        if self.count and index + 1 < self.count:
            self._warn(f"only {index + 1} of {self.count} frames could be decoded")

    def sound(self, file: BinaryIO) -> Sound | None:
        """The first audio track; arguments as of `ClipReader.sound`."""
        if not self.has_audio:
            return None
        if self._rate_differs:
            self._drop("the sound is dropped: at another frame rate it would not fit the pictures")
            return None
        from splat2d.media.sound import gathered

        with self._opened() as (container, _):
            sound, warnings = gathered(container, self._begins, file)
        for message in warnings:
            (self._warn if sound else self._drop)(message)
        return sound

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        """Open the file and choose its video."""
        av = load_av()
        from av.stream import Disposition

        options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}
        try:
            # The prefix keeps a colon in the name from being taken for a protocol.
            container = av.open(
                f"file:{os.fspath(self._path)}",
                format=self._format,
                container_options=options,
                metadata_errors="replace",  # old files say their titles in some code page
            )
        except (av.FFmpegError, ValueError) as fault:
            raise InputClipError(
                f"{shown(self._path)}: is no video that can be read, or is damaged ({_words(fault)}); "
                "expected MP4, Matroska, WebM, AVI, Y4M or another format that ffmpeg reads"
            ) from None
        with container:
            streams = _videos(container)
            if not streams:
                raise InputClipError(f"{shown(self._path)}: has no video stream")
            stream = max(streams, key=lambda s: (s.disposition & Disposition.default, -s.index))
            if stream.codec_context is None:
                raise InputClipError(f"{shown(self._path)}: its video codec is unknown to this PyAV")
            stream.thread_type = "AUTO"
            yield container, stream

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """Yield the frames as they are stored; a fault is an error and not the end."""
        index = packets = 0
        fields = False
        end = None
        decoder = self._decoder(stream)
        try:
            for packet in container.demux(stream):
                damaged = packet.is_corrupt
                if packet.size and packet.pos is not None:
                    end = packet.pos + packet.size
                packets += bool(packet.size) and not packet.is_discard
                for frame in decoder.decode(packet if packet.size else None):
                    fields = fields or frame.interlaced_frame
                    if damaged or frame.is_corrupt:
                        raise InputClipError(self._damaged(index, "its data does not decode"))
                    yield frame
                    index += 1
        except load_av().FFmpegError as fault:
            raise InputClipError(self._damaged(index, _words(fault))) from None
        # Silently, a decoder leaves out what depends on something missing; of fields two make a picture.
        if index < packets and stream.codec.name in _ONE_EACH and not fields:
            lost = packets - index
            self._drop(f"{lost} damaged packet{'s' * (lost > 1)} gave no picture and had to be left out")
        if container.format.name == "yuv4mpegpipe" and end not in (None, container.size):
            raise InputClipError(self._damaged(index, "the file ends inside it"))

    @staticmethod
    def _decoder(stream: VideoStream) -> VideoStream | VideoCodecContext:
        """Return what decodes a stream: its own decoder, or the one that knows its alpha."""
        kind = stream.codec.name
        # A tag of the same name in capitals, as of ffmpeg's Matroska, hides the track's own word on it.
        modes = {value for key, value in stream.metadata.items() if key.lower() == "alpha_mode"}
        if modes != {"1"} or kind not in _WITH_ALPHA:
            return stream
        av = load_av()
        try:
            return av.CodecContext.create(_WITH_ALPHA[kind], "r")
        except (av.FFmpegError, ValueError):
            return stream

    def _damaged(self, index: int, why: str) -> str:
        return f"{shown(self._path)}: is damaged or truncated at frame {index + 1} ({why})"

    def _odd_format(self, frame: VideoFrame, fault: Exception) -> str:
        return (
            f"{shown(self._path)}: its pixel format {frame.format.name} cannot be converted ({_words(fault)})"
        )

    def _converter(self, frame: VideoFrame) -> ToRgb:
        """Return what converts frames tagged like this one."""
        matrix: Matrix | None = None
        full: bool | None = None
        limited = False
        if not frame.format.is_rgb and len(frame.format.components) >= 3:  # neither RGB nor grey
            guess = guess_matrix(frame.width, frame.height)
            matrix = self._matrix or _MATRICES.get(frame.colorspace, guess)
            # The formats with a j are of full range whether tagged or not.
            full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
        elif not frame.format.is_rgb and frame.format.name.startswith(("gray", "ya")):
            usual = _LIMITED_RANGE if self._limited_grey else _FULL_RANGE
            # The scaler takes all grey for full range.
            limited = (frame.color_range or usual) == _LIMITED_RANGE
        colour = Stated(*_colour_codes(frame), limited=limited)
        try:
            return ToRgb(
                frame,
                self._size,
                matrix=matrix,
                full_range=full,
                colour=None if colour.is_srgb else colour,
            )
        except (load_av().FFmpegError, ValueError) as fault:
            raise InputClipError(self._odd_format(frame, fault)) from None

    def _judge(self, frame: VideoFrame) -> None:
        """Refuse what cannot be converted, and warn of what is not."""
        space = frame.colorspace
        if space in _OTHER_MATRICES and not frame.format.is_rgb and not self._matrix:
            found = _OTHER_MATRICES[space]
            raise InputClipError(f"{self.name}: its colour matrix {found} cannot be read; make it BT.709")
        self._converter(frame)
        colour = Stated(*_colour_codes(frame))
        if not colour.is_srgb:
            self.notes.append(colour.note)
        if colour.warning:
            self._warn(colour.warning)
        if frame.interlaced_frame:
            self._warn("this clip is interlaced; its fields are kept as they are")


def is_video(path: str | os.PathLike[str]) -> bool:
    """Return whether a file has a video that PyAV decodes; raises BackendUnavailableError without PyAV."""
    av = load_av()
    options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}
    try:
        with av.open(
            f"file:{os.fspath(path)}", container_options=options, metadata_errors="replace"
        ) as container:
            return any(next(container.decode(stream), None) for stream in _videos(container)[:1])
    except (av.FFmpegError, ValueError, OSError):
        return False


def _videos(container: InputContainer) -> list[VideoStream]:
    """Return the streams of moving pictures; the cover of a song is a video stream too."""
    from av.stream import Disposition

    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


class _Clock:
    """Times of frames, rising from 0.

    Args:
        fps: what stands in where there are no times.
        tick: seconds of a timestamp's unit; None to go by fps alone.
    """

    def __init__(self, fps: Fraction, tick: Fraction | None) -> None:
        self._fps, self._tick = fps, tick
        self._origin: Fraction | None = None
        self._time = -1 / fps
        self.repaired = False

    def next(self, stamp: int | None) -> Fraction:
        """Return the time of the next frame, seconds."""
        following = self._time + 1 / self._fps
        if stamp is None or self._tick is None:
            self.repaired = True
            self._time = following
            return following
        if self._origin is None:
            self._origin = stamp * self._tick - following
        time = stamp * self._tick - self._origin
        # Matroska rounds to milliseconds: where the rate is constant, a time off by a tick is meant to be on.
        even = round(time * self._fps) / self._fps
        if abs(even - time) <= self._tick and even > self._time:
            time = even
        if time <= self._time:
            self.repaired = True
            time = following
        self._time = time
        return time


def _length(frame: VideoFrame, tick: Fraction | None, fps: Fraction) -> Fraction:
    """Return how long a frame is shown, s: as it says, unless that is the rate's but for rounding."""
    usual = 1 / fps
    if not frame.duration or tick is None:
        return usual
    length = frame.duration * tick
    return usual if abs(length - usual) <= max(tick, Fraction(1, 1000)) else length


def _colour_codes(frame: VideoFrame) -> tuple[int, int]:
    """Return the codes of a frame's primaries and curve."""
    return int(frame.color_primaries or UNKNOWN), int(frame.color_trc or UNKNOWN)


def _turn(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Return what makes frames upright: whether to swap axes, then to reverse rows, then columns."""
    try:
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # a kind of side data that this PyAV does not know
        matrix = None
    if matrix is None:
        return False, False, False
    # x' = a x + c y, y' = b x + d y, in 16.16 fixed point with y down.
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    swap = abs(b) > abs(a)
    return (True, b < 0, c < 0) if swap else (False, d < 0, a < 0)


def _upright(pixels: NDArray[np.uint8], turn: tuple[bool, bool, bool]) -> NDArray[np.uint8]:
    """Return pixels [H, W, C] as a player shows them."""
    swap, rows, columns = turn
    if swap:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels[:: -1 if rows else 1, :: -1 if columns else 1])


def _words(fault: Exception) -> str:
    """Return what ffmpeg says, without PyAV's number and file name."""
    return getattr(fault, "strerror", None) or reason(fault)
