"""Sound encoded anew, for outputs that do not take its codec."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

from splat2d.errors import BitstreamError
from splat2d.format.sound import MAX_PACKETS, Sound, Table, Track
from splat2d.media.convert import load_av

if TYPE_CHECKING:
    from av import AudioFrame, Packet
    from av.audio.codeccontext import AudioCodecContext

USUAL = {"webm": "opus", "mp4": "aac", "mov": "aac", "matroska": "opus"}
"""What becomes of a sound that does not go into a format, by ffmpeg's name of it."""

_ENCODERS = {"opus": "libopus", "aac": "aac"}
_RATES = {"opus": (48_000,), "aac": (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000)}
_BITS = 80_000  # a second of a channel
_MOST_SILENCE = 600  # s of gaps, which are filled
_LONGEST = 4 * 3600  # s
_LEAST_RATE, _LARGEST_RATE = 4000, 768_000  # samples a second
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}  # of others two channels are made


def recoded(sound: Sound, codec: str, file: BinaryIO) -> Sound | None:
    """Return a sound in another codec, from the clip's beginning on; None where that fails.

    Args:
        sound: of any codec.
        codec: `opus` or `aac`.
        file: empty, for writing and reading; gets the packets.
    """
    av = load_av()
    try:
        return _recoded(sound, codec, file)
    except (av.FFmpegError, BitstreamError, ValueError, OverflowError):
        return None


def _recoded(sound: Sound, codec: str, file: BinaryIO) -> Sound | None:
    frames = _bounded(_decoded(sound))
    first = next(frames, None)
    if first is None or not _LEAST_RATE <= first.sample_rate <= _LARGEST_RATE:
        return None
    layout = _LAYOUTS.get(len(first.layout.channels), "stereo")
    rate = first.sample_rate if first.sample_rate in _RATES[codec] else 48_000
    encoder = _encoder(codec, rate, layout)
    unit, rows = Fraction(1, rate), array("q")
    for count, packet in enumerate(_encoded(encoder, _even(first, frames, encoder))):
        if packet.pts is None or packet.time_base != unit or count == MAX_PACKETS:
            return None
        rows.extend((packet.pts, packet.pts, packet.duration or 0, packet.size, True))
        file.write(packet)
    if not rows:
        return None
    channels = encoder.channels
    return Sound(Track(codec, rate, channels, unit, encoder.extradata or b""), Table.of(rows), file)


def _bounded(frames: Iterator[AudioFrame]) -> Iterator[AudioFrame]:
    """Yield frames as long as their times are such as a sound can have.

    Raises:
        ValueError: there is too much of them, or between them.
    """
    end = silence = total = Fraction(0)
    for frame in frames:
        length = Fraction(frame.samples, frame.sample_rate)
        time = end if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
        silence, total = silence + max(time - end, 0), total + length
        if silence > _MOST_SILENCE or total > _LONGEST:
            raise ValueError("too long")
        end = max(end, time + length)
        yield frame


def _decoded(sound: Sound) -> Iterator[AudioFrame]:
    """Yield the samples of the packets that decode."""
    av = load_av()
    decoder: Any = av.CodecContext.create(sound.track.codec, "r")
    decoder.extradata = sound.track.extradata or None
    decoder.sample_rate = sound.track.rate
    decoder.layout = _LAYOUTS.get(sound.track.channels, f"{sound.track.channels}c")
    for packet in sound.packets():
        data = av.Packet(packet.data)
        data.pts, data.dts, data.duration = packet.pts, packet.dts, packet.duration
        data.time_base = sound.track.time_base
        with contextlib.suppress(av.InvalidDataError):  # a damaged packet is a gap
            yield from decoder.decode(data)
    yield from decoder.decode(None)


def _encoder(codec: str, rate: int, layout: str) -> AudioCodecContext:
    from av.codec.context import Flags

    encoder: Any = load_av().CodecContext.create(_ENCODERS[codec], "w")
    encoder.sample_rate, encoder.layout, encoder.time_base = rate, layout, Fraction(1, rate)
    encoder.format = encoder.codec.audio_formats[0].name
    encoder.bit_rate = _BITS * encoder.channels
    encoder.flags |= Flags.global_header
    encoder.open()
    return encoder


def _even(
    first: AudioFrame, frames: Iterator[AudioFrame], encoder: AudioCodecContext
) -> Iterator[AudioFrame]:
    """Yield frames as an encoder wants them: from time 0 on, with silence where there is a gap."""
    graph = load_av().filter.Graph()
    source = graph.add_abuffer(**_shape(first))
    even = graph.add("aresample", f"{encoder.sample_rate}:async=1:first_pts=0")
    shape = graph.add(
        "aformat",
        sample_fmts=encoder.format.name,
        sample_rates=str(encoder.sample_rate),
        channel_layouts=encoder.layout.name,
    )
    sink = graph.add("abuffersink")
    graph.link_nodes(source, even, shape, sink)
    graph.configure()
    if encoder.frame_size:
        graph.set_audio_frame_size(encoder.frame_size)
    frame: AudioFrame | None = first
    while frame is not None:
        graph.push(frame)
        yield from _pulled(graph)
        frame = next(frames, None)
    graph.push(None)
    yield from _pulled(graph)


def _pulled(graph: Any) -> Iterator[AudioFrame]:
    with contextlib.suppress(BlockingIOError, EOFError):
        while True:
            yield graph.pull()


def _shape(frame: AudioFrame) -> dict[str, Any]:
    return {
        "sample_rate": frame.sample_rate,
        "format": frame.format.name,
        "layout": frame.layout.name,
        "time_base": frame.time_base,
    }


def _encoded(encoder: AudioCodecContext, frames: Iterator[AudioFrame]) -> Iterator[Packet]:
    for frame in frames:
        yield from encoder.encode(frame)
    yield from encoder.encode(None)
