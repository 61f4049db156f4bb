"""Clips with sound for tests, written by PyAV alone: a beep at each flash."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np

from splat2d.format.container import NewSection, assembled, parse
from splat2d.format.header import Header, header_bytes
from splat2d.format.sections import Section, Source, index_section, section
from splat2d.format.segments import CodedSegment, clip_section, segment_section
from splat2d.format.sound import Sound, Table, Track

RATE, FPS, COUNT = 48_000, 25, 20
FLASH = 10
"""Number of the frame that is white, at the beginning of which the beep begins."""


def flashes(count: int = COUNT, flash: int = FLASH) -> np.ndarray:
    """Return dark frames with a white one, [T, 32, 48, 3] uint8."""
    frames = np.full((count, 32, 48, 3), 20, np.uint8)
    frames[flash] = 235
    return frames


def beeps(seconds: float, at: float) -> np.ndarray:
    """Return silence with 80 ms of a tone in it, [N] int16."""
    samples = np.zeros(round(seconds * RATE), np.int16)
    first = round(at * RATE)
    tone = 12_000 * np.sin(np.arange(RATE * 2 // 25) * 2 * np.pi * 1000 / RATE)
    samples[first : first + len(tone)] = tone[: len(samples) - first]
    return samples


def write_sounding(
    path: Path,
    audio: str = "aac",
    *,
    video: str = "libx264",
    seconds: float = COUNT / FPS,
    at: float = FLASH / FPS,
    late: Fraction | int = 0,
    tracks: int = 1,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip with a flash, and sound with a beep.

    Args:
        path: where.
        audio: ffmpeg's name of the codec.
        video: likewise.
        seconds: length of the sound.
        at: when the beep comes, s from the sound's beginning.
        late: by how much the sound begins behind the pictures, s; before them below 0.
        tracks: of the same sound.
        options: of the container.
    """
    import av

    with av.open(str(path), "w", options=options or {}) as container:
        pictures = container.add_stream(video, rate=FPS)
        pictures.width, pictures.height, pictures.pix_fmt = 48, 32, "yuv420p"
        sounds = [container.add_stream(audio, rate=RATE) for _ in range(tracks)]
        for sound in sounds:
            sound.layout = "mono"
        early = max(-Fraction(late), 0)
        for i, pixels in enumerate(flashes()):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round((i / Fraction(FPS) + early) * 1000), Fraction(1, 1000)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        for sound in sounds:
            frame = av.AudioFrame.from_ndarray(beeps(seconds, at)[None], format="s16", layout="mono")
            frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
            frame.pts = round((late + early) * RATE)
            resampler = av.AudioResampler(sound.format, "mono", RATE, frame_size=sound.frame_size or 1024)
            for part in (*resampler.resample(frame), *resampler.resample(None)):
                container.mux(sound.encode(part))
            container.mux(sound.encode(None))
    return path


def packets_of(path: Path, track: int = 0) -> list[bytes]:
    """Return the packets of an audio track."""
    import av

    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(container.streams.audio[track]) if p.size]


def gap_of(path: Path) -> float:
    """Return by how much a file's beep comes behind its flash, s, as a player has both."""
    import av

    with av.open(str(path)) as container:
        frames = [(f.time, f.to_ndarray(format="gray").mean()) for f in container.decode(video=0)]
    flash = next(time for time, level in frames if level > 120)
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("s16", "mono", RATE)
        for frame in container.decode(audio=0):
            for part in resampler.resample(frame):
                loud = np.flatnonzero(np.abs(part.to_ndarray()[0].astype(int)) > 3000)
                if len(loud):
                    assert part.pts is not None
                    assert part.time_base is not None
                    return float(part.pts * part.time_base) + loud[0] / RATE - flash
    raise AssertionError("no beep")


def silent_clip() -> bytes:
    """Return the smallest clip: a frame without splats."""
    header = Header(48, 32, 3, 640, 10, 0, (0, 0, 0))
    empty = bytes(7)
    segment = CodedSegment(0, np.zeros((1, 2), np.int32), (), 640, (20, 20, 20), empty)
    parts = [clip_section(Fraction(FPS)), segment_section(segment)]
    index = index_section([(0x05, len(parts[0]), None), (0x06, len(parts[1]), segment.span)])
    return header_bytes(header) + b"".join(parts) + index


def sound_of(packets=(b"one", b"three"), **track) -> Sound:
    """Return a sound of a few packets of 1,024 samples each."""
    head = {
        "codec": "aac",
        "rate": RATE,
        "channels": 1,
        "time_base": Fraction(1, RATE),
        "extradata": b"\x11\x88",
    }
    rows = [(1024 * i, 1024 * i, 1024, len(data), True) for i, data in enumerate(packets)]
    return Sound(Track(**{**head, **track}), Table.of(rows), io.BytesIO(b"".join(packets)))


def with_section(data: bytes, payload: bytes, kind: int = 0x83) -> bytes:
    """Return a clip's file with one more section before its index, or at the end of one without."""
    source = Source(io.BytesIO(data))
    spans = [place.span for place in parse(source).places]
    pieces = assembled(source, spans, b"", [NewSection(section(kind, payload))])
    return b"".join(source.read(p.at, p.size) if isinstance(p, Section) else p for p in pieces)


def payload_of(sound: Sound) -> bytes:
    """Return the payload of a sound's section."""
    file = io.BytesIO()
    sound.write(file)
    found = Source(file).section(0)
    return Source(file).payload(found)
