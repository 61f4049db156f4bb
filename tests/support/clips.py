"""Small clips for tests, written by PyAV itself and not by the code under test."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

WEIGHTS = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}
"""Shares of red and blue in luma, from the recommendations."""
CODES = {"bt709": 1, "bt601": 6, "bt2020": 9}
LIMITED, FULL = 1, 2

PRESET = """
rounds: 4
steps: 8
final_steps: 8
sweeps: 2
clip:
  rounds: 3
  steps: 5
  final_steps: 6
  sweeps: 2
  frames: 6
"""
"""Effort of a preset's file for a clip of a second, in segments of six frames at most."""


def moving(count: int = 12, height: int = 48, width: int = 64) -> np.ndarray:
    """Return a soft pattern that moves, [T, H, W, 3] uint8; no two frames are the same."""
    t, y, x = np.mgrid[:count, :height, :width]
    waves = [np.sin(x / 9 + t / 3), np.cos(y / 7 - t / 4), np.sin((x + y) / 11 + t / 5)]
    return np.stack([np.rint(127 + 110 * wave) for wave in waves], axis=-1).astype(np.uint8)


def rgb_of(planes: np.ndarray, matrix: str, full: bool, bits: int = 8) -> np.ndarray:
    """Return RGB [..., 3], floats of 0 to 255, of YCbCr planes [3, ...] by the recommendations' equations."""
    red, blue = WEIGHTS[matrix]
    y, u, v = planes.astype(float) / 2 ** (bits - 8)
    u, v = u - 128, v - 128
    if full:
        peak = (2**bits - 1) / 2 ** (bits - 8)
        y, u, v = (plane * 255 / peak for plane in (y, u, v))
    else:
        y, u, v = (y - 16) * 255 / 219, u * 255 / 224, v * 255 / 224
    r = y + 2 * (1 - red) * v
    b = y + 2 * (1 - blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.stack([r, g, b], axis=-1), 0, 255)


def frame_of(planes: list[np.ndarray], format: str):
    """Return a PyAV frame of planes, uint8 or uint16."""
    import av

    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, format)
    for plane, samples in zip(frame.planes, planes, strict=True):
        row = np.zeros((plane.height, plane.line_size // samples.itemsize), samples.dtype)
        row[:, : samples.shape[1]] = samples
        plane.update(row)
    return frame


def write_clip(
    path: Path,
    frames,
    codec: str = "libx264",
    format: str = "yuv420p",
    *,
    rate: Fraction | int = 25,
    stamps=None,
    unit: Fraction | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    muxer: str | None = None,
    prepare=None,
    audio: bool = False,
) -> Path:
    """Write frames, arrays [H, W, 3] or PyAV's own, as a video file.

    Args:
        path: where.
        frames: any number, none too.
        codec: ffmpeg's name.
        format: of pixels.
        rate: frames a second.
        stamps: times in units, by the rate when None.
        unit: seconds.
        options: of the codec.
        container: options of the container.
        muxer: its name when the path does not tell.
        prepare: called with the stream before it opens.
        audio: whether a second of silence comes along.
    """
    import av

    with av.open(str(path), "w", format=muxer, container_options=container or {}) as out:
        stream = out.add_stream(codec, rate=Fraction(rate), options=options or {})
        stream.width, stream.height, stream.pix_fmt = 64, 48, format
        if unit:
            stream.codec_context.time_base = unit
        if prepare:
            prepare(stream)
        sound = out.add_stream("pcm_s16le", rate=8000) if audio else None
        for index, pixels in enumerate(frames):
            frame = pixels
            if isinstance(pixels, np.ndarray):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=format)
            if index == 0:
                stream.width, stream.height = frame.width, frame.height
            frame.pts = stamps[index] if stamps else index
            frame.time_base = unit or 1 / Fraction(rate)
            out.mux(stream.encode(frame))
        out.start_encoding()  # a header, where there was no frame either
        out.mux(stream.encode(None))
        if sound:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
            silence.sample_rate = 8000
            out.mux(sound.encode(silence))
            out.mux(sound.encode(None))
    return path
