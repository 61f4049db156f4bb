"""The sound of clips through PyAV: packets out of a file and into another, none of them decoded."""

from __future__ import annotations

import io
import struct
from array import array
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from splat2d.errors import BitstreamError, OutputError
from splat2d.format.sound import MAX_EXTRADATA, MAX_PACKET, MAX_PACKETS, Packet, Sound, Table, Track
from splat2d.media.convert import load_av
from splat2d.media.files import reason

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer

# Names of codecs in Matroska, by ffmpeg's.
_CODECS = {
    "aac": "A_AAC",
    "ac3": "A_AC3",
    "alac": "A_ALAC",
    "dts": "A_DTS",
    "eac3": "A_EAC3",
    "flac": "A_FLAC",
    "mp2": "A_MPEG/L2",
    "mp3": "A_MPEG/L3",
    "opus": "A_OPUS",
    "truehd": "A_TRUEHD",
    "vorbis": "A_VORBIS",
    **{f"pcm_s{bits}le": "A_PCM/INT/LIT" for bits in (16, 24, 32)},
    **{f"pcm_s{bits}be": "A_PCM/INT/BIG" for bits in (16, 24, 32)},
    "pcm_u8": "A_PCM/INT/LIT",
    "pcm_f32le": "A_PCM/FLOAT/IEEE",
    "pcm_f64le": "A_PCM/FLOAT/IEEE",
}
_SILENT = (
    "gif",
    "apng",
    "webp",
    "yuv4mpegpipe",
    "avi",
)  # muxers of formats without sound, or without its times

_PREROLL = Fraction(1, 10)
"""What is kept of the sound before the clip's first frame, s: decoders begin with up to 80 ms."""

_ROW = 5  # numbers of a packet
_ALAC_HEAD = 12  # bytes of ffmpeg's extradata that Matroska leaves out


def gathered(container: InputContainer, origin: Fraction, file: BinaryIO) -> tuple[Sound | None, list[str]]:
    """Copy the packets of the first audio track into a file.

    Args:
        container: open, at its beginning.
        origin: when the first frame is shown, s of the container's time.
        file: empty, for writing and reading.

    Returns:
        The sound, None where there is none that can be kept; and what a user should be told.
    """
    streams, warnings = container.streams.audio, []
    if not streams:
        return None, []
    stream = streams[0]
    if len(streams) > 1:
        warnings.append(f"of {len(streams)} audio tracks the first is kept")
    codec = stream.codec.canonical_name if stream.codec_context is not None else "unknown"
    if codec not in _CODECS:
        return None, [f"the sound is dropped: its codec, {codec}, cannot be kept"]
    context = stream.codec_context
    unit = stream.time_base
    if unit is None or not 0 < unit <= 1 or not context.rate or not 0 < context.channels < 256:
        return None, ["the sound is dropped: its track says neither rate nor times that make sense"]
    gathering = _Gathering(unit, round(origin / unit), context.frame_size * Fraction(1, context.rate))
    extradata = context.extradata or b""
    try:
        for packet in _framed(container, stream, codec, extradata):
            extradata = extradata or _new_extradata(packet)
            if packet.size > MAX_PACKET or gathering.count == MAX_PACKETS:
                return None, ["the sound is dropped: it has too many packets, or too large ones"]
            if gathering.add(packet):
                _keep(packet, file)
    except load_av().FFmpegError as fault:
        warnings.append(f"the sound is damaged and ends at {float(gathering.end):.2f} s ({fault.strerror})")
    if not gathering.rows:
        return None, [*warnings, "the sound is dropped: its track is empty"]
    if gathering.untimed:
        return None, [*warnings, "the sound is dropped: it has no timestamps"]
    track = Track(codec, context.rate, context.channels, unit, extradata)
    sound = Sound(track, Table.of(gathering.rows), file)
    if len(extradata) > MAX_EXTRADATA or not sound.fits:
        return None, ["the sound is dropped: it is larger than a file can hold"]
    return sound, [*warnings, *gathering.warnings]


def _framed(container: InputContainer, stream: AudioStream, codec: str, extradata: bytes) -> Iterator[Any]:
    """Yield the packets that are not empty, without the headers that AAC has in streams only."""
    strip = None
    for packet in container.demux(stream):
        if not packet.size:
            continue
        if codec == "aac" and not extradata and strip is None and bytes(packet)[:1] == b"\xff":
            from av.bitstream import BitStreamFilterContext

            strip = BitStreamFilterContext("aac_adtstoasc", stream)
        yield from strip.filter(packet) if strip else [packet]


def _keep(packet: Any, file: BinaryIO) -> None:
    try:
        file.write(packet)
    except OSError as fault:
        raise OutputError(f"a temporary file for the sound cannot be written ({reason(fault)})") from None


def _new_extradata(packet: Any) -> bytes:
    return bytes(packet.get_sidedata("new_extradata")) if packet.has_sidedata("new_extradata") else b""


class _Gathering:
    """Times of packets as they come, from the clip's beginning.

    Args:
        unit: of time, s.
        origin: time of the clip's beginning, units.
        usual: how long a packet lasts where it does not say, s; 0 where that is not known.

    Attributes:
        rows: pts, dts, duration, size and whether it is a key of each, one behind another.
        count: of packets.
        untimed: whether there is a packet of which nothing tells the time.
    """

    def __init__(self, unit: Fraction, origin: int, usual: Fraction) -> None:
        self._unit, self._origin, self._usual = unit, origin, round(usual / unit)
        self.rows, self.count = array("q"), 0
        self.untimed = self._guessed = self._repaired = False
        self._corrupt = 0

    @property
    def end(self) -> Fraction:
        """Of the packets so far, s."""
        return (self.rows[-_ROW] + self.rows[2 - _ROW]) * self._unit if self.rows else Fraction(0)

    def add(self, packet: Any) -> bool:
        """Take a packet's times; returns whether it belongs to the clip."""
        before, lasts = self.rows[1 - _ROW : 3 - _ROW] if self.rows else (None, 0)
        dts, pts = packet.dts, packet.pts
        duration = packet.duration or self._usual
        pts, dts = dts if pts is None else pts, pts if dts is None else dts
        if pts is None or dts is None:
            self._guessed = True
            self.untimed = self.untimed or not duration
            pts = dts = (before or 0) + lasts
        else:
            pts, dts = pts - self._origin, dts - self._origin
        if pts + duration <= -(_PREROLL // self._unit):
            return False
        if before is not None and not lasts:  # it lasted until this one
            self.rows[2 - _ROW] = max(dts - before, 0)
        if before is not None and dts <= before:
            self._repaired = True
            dts = before + 1
        self._corrupt += packet.is_corrupt
        self.rows.extend((max(pts, dts), dts, duration, packet.size, packet.is_keyframe))
        self.count += 1
        return True

    @property
    def warnings(self) -> list[str]:
        """What a user should be told of the packets."""
        out = []
        if self._guessed or self._repaired:
            out.append("timestamps of the sound are missing or do not rise; its packets follow one another")
        if self._corrupt:
            out.append(f"{self._corrupt} damaged packets of the sound are kept as they are")
        return out


class SoundStream:
    """A sound on its way into a container.

    Args:
        container: open for writing, before its first packet.
        sound: that fits the container's format.
    """

    def __init__(self, container: OutputContainer, sound: Sound) -> None:
        self._container, self._unit = container, sound.track.time_base
        self._stream = _stream_of(container, sound)
        self._packets = sound.packets()
        self._next = next(self._packets, None)

    def mux(self, until: Fraction | None = None) -> None:
        """Write the packets before a time in s, or all that are left.

        Raises:
            BitstreamError: the file they lie in ends.
            FFmpegError: one does not go into the container.
        """
        while self._next is not None and (until is None or self._next.dts * self._unit < until):
            self._container.mux(_av_packet(self._next, self._unit, self._stream))
            self._next = next(self._packets, None)


def fitting(sound: Sound, muxer: str, file: BinaryIO) -> tuple[Sound | None, str]:
    """Return a sound as a format takes it, encoded anew where it must be; None where there is no way.

    Args:
        sound: of any codec.
        muxer: ffmpeg's name of the format; empty for images.
        file: empty, for writing and reading; gets packets that are made anew.

    Returns:
        The sound, and what a user should be told, which is nothing where packets stay as they are.
    """
    codec = sound.track.codec
    if not muxer or muxer in _SILENT:
        return None, "the sound is left out: this output has none"
    if codec not in _CODECS:
        return None, f"the sound is left out: its codec, {codec}, is not known here"
    if _goes_into(sound, muxer):
        return sound, ""
    from splat2d.media.recode import USUAL, recoded

    usual = USUAL[muxer]
    made = recoded(sound, usual, file)
    if made is None or not _goes_into(made, muxer):
        return (
            None,
            f"the sound is left out: its {codec} does not go into this output, nor into another codec",
        )
    return made, f"the sound is encoded anew: {codec} does not go into this output, and becomes {usual}"


def _goes_into(sound: Sound, muxer: str) -> bool:
    """Whether a format takes a sound: all of it by itself, and so that its beginning is read again."""
    av = load_av()
    begin = io.BytesIO()
    try:
        for file, packets in ((_Nowhere(), sound.packets()), (begin, islice(sound.packets(), 1))):
            with av.open(file, "w", format=muxer) as container:
                stream = _stream_of(container, sound)
                for packet in packets:
                    container.mux(_av_packet(packet, sound.track.time_base, stream))
        # A muxer writes extradata that its demuxer refuses, and all pictures with it.
        with av.open(io.BytesIO(begin.getvalue())) as container:
            return container.streams.audio[0].codec_context is not None
    except (av.FFmpegError, BitstreamError, IndexError, ValueError, OverflowError):
        return False


class _Nowhere:
    """A file that is not kept."""

    def __init__(self) -> None:
        self._at = self._end = 0

    def write(self, data: bytes) -> int:
        self._at += len(data)
        self._end = max(self._at, self._end)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def tell(self) -> int:
        return self._at


def _av_packet(packet: Packet, unit: Fraction, stream: Any) -> Any:
    out = load_av().Packet(packet.data)
    out.pts, out.dts, out.duration, out.time_base = packet.pts, packet.dts, packet.duration, unit
    out.stream, out.is_keyframe = stream, packet.is_key
    return out


def _stream_of(container: OutputContainer, sound: Sound) -> Any:
    """Add a stream for a sound's packets.

    PyAV makes streams without an encoder from those of another file only, so there is one, in memory.
    """
    head = _matroska(sound.track, _CODECS[sound.track.codec], _delay(sound))
    with load_av().open(io.BytesIO(head), format="matroska") as template:
        return container.add_stream_from_template(template.streams.audio[0])


def _delay(sound: Sound) -> Fraction:
    """Return how much decoders drop at a sound's beginning, s: what comes before the clip's.

    Opus knows it by itself, to the sample, where times are rounded to milliseconds.
    """
    delay, extradata = max(-sound.start, Fraction(0)), sound.track.extradata
    if sound.track.codec == "opus" and extradata[:8] == b"OpusHead" and len(extradata) >= 12:
        own = Fraction(int.from_bytes(extradata[10:12], "little"), 48_000)
        if delay and abs(delay - own) <= Fraction(1, 1000):
            return own
    return delay


def _matroska(track: Track, codec: str, delay: Fraction) -> bytes:
    """A Matroska file of one audio track without any packet.

    Args:
        track: what it says.
        codec: Matroska's name.
        delay: what decoders drop at the beginning, s.
    """
    private, bits = track.extradata, 0
    if track.codec == "flac":  # a whole file's head, of this block alone
        private = b"fLaC\x80" + len(private).to_bytes(3, "big") + private
    elif track.codec == "alac":
        private = private[_ALAC_HEAD:]
    elif track.codec.startswith("pcm_"):
        bits = int("".join(filter(str.isdigit, track.codec)))
    audio = _element(0xB5, struct.pack(">d", track.rate)) + _element(0x9F, _uint(track.channels))
    if bits:
        audio += _element(0x6264, _uint(bits))
    entry = _element(0xD7, _uint(1)) + _element(0x73C5, _uint(1)) + _element(0x83, _uint(2))
    entry += _element(0x86, codec.encode())
    if private:
        entry += _element(0x63A2, private)
    if delay:
        entry += _element(0x56AA, _uint(round(delay * 10**9)))
    tracks = _element(0x1654AE6B, _element(0xAE, entry + _element(0xE1, audio)))
    info = _element(0x1549A966, _element(0x2AD7B1, _uint(1_000_000)))
    cluster = _element(0x1F43B675, _element(0xE7, _uint(0)))
    head = _element(0x1A45DFA3, _element(0x4282, b"matroska"))
    return head + _element(0x18538067, info + tracks + cluster)


def _element(kind: int, payload: bytes) -> bytes:
    """An element of EBML (RFC 8794)."""
    width = next(n for n in range(1, 9) if len(payload) < (1 << 7 * n) - 1)
    return _uint(kind) + (len(payload) | 1 << 7 * width).to_bytes(width, "big") + payload


def _uint(value: int) -> bytes:
    return value.to_bytes(max((value.bit_length() + 7) // 8, 1), "big")
