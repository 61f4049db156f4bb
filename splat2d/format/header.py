"""The beginning of a file: what a reader knows before it decodes any splat, and its limits.

docs/FORMAT.md, section 2, is this file in words.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, fields

from splat2d.arguments import whole
from splat2d.errors import BitstreamError, LargeFileWarning
from splat2d.format.field import MAX_SPLATS, Layout
from splat2d.format.sections import MAX_RATE, Reader, crc, varint

MAGIC = b"\xc2SPL"
VERSION = 1
MAX_PIXELS = 268_435_456
MAX_SIDE = 65_535
STEP_SHIFT = 64  # D = 2^((code - STEP_BIAS) / STEP_SHIFT)
STEP_BIAS = 640
STEP_CODES = (200, 860)  # that encoders use: D = 0.0085 (finer than 8 bits hold) and 10.9

_OTHER_FORMATS = (
    (b"ply\n", "a PLY point cloud (3D Gaussian splats from another program)"),
    (b"ply\r", "a PLY point cloud (3D Gaussian splats from another program)"),
    (b"\x1f\x8b", "a gzip file (a 3D .spz splat file from another program?)"),
    (b"NGSP", "a 3D .spz splat file from another program"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"RIFF", "a RIFF file (WebP picture?)"),
)


@dataclass(frozen=True)
class Limits:
    """What a reader takes on at most; a file beyond it is refused before anything is allocated for it.

    Canvases beyond `warn_pixels` are read with a `LargeFileWarning`. Both numbers of pixels are Pillow's for
    pictures of three bytes a pixel.

    Args:
        max_pixels: of a canvas; `Limits.of_format()` has what the format allows.
        max_splats: of a file, or of a segment of a clip.
        max_bytes: of a picture's file, which is read whole.
        max_frames: of a clip.
        max_evaluations: of a splat at a pixel, to draw a picture or a frame; a minute or so of two cores.
        warn_pixels: of a canvas, that are read without a warning.
    """

    max_pixels: int = 178_956_970
    max_splats: int = MAX_SPLATS
    max_bytes: int = 1 << 30
    max_frames: int = MAX_RATE
    max_evaluations: int = 1 << 36
    warn_pixels: int = 89_478_485

    def __post_init__(self) -> None:
        """Check what the caller gives.

        Raises:
            ConfigError: a limit that is no whole number from 0 on.
        """
        for field in fields(self):
            object.__setattr__(self, field.name, whole(field.name, getattr(self, field.name), 0, 1 << 63))

    @classmethod
    def of_format(cls) -> Limits:
        """What the format allows, without a warning."""
        return cls(max_pixels=MAX_PIXELS, max_bytes=1 << 62, max_evaluations=1 << 62, warn_pixels=MAX_PIXELS)


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Header:
    """What a reader knows before it decodes any splat.

    Args:
        width: canvas width, px.
        height: canvas height, px.
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
        step_code: D = 2^((step_code - 640) / 64).
        chroma_step: chroma step over D, in eighths.
        quality: the quality asked for, 1 to 100, or 0 when another target was given.
        background: one byte a channel.
    """

    width: int
    height: int
    channels: int
    step_code: int
    chroma_step: int
    quality: int
    background: tuple[int, ...]

    @property
    def step(self) -> float:
        """The global step D, in [0, 1] units times px."""
        return step_of(self.step_code)

    @property
    def layout(self) -> Layout:
        """What its splats are relative to."""
        return Layout(self.width, self.height, self.channels, self.chroma_step, self.step_code)

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.channels in (2, 4)


def step_of(code: int) -> float:
    """D of a step code."""
    return 2.0 ** ((code - STEP_BIAS) / STEP_SHIFT)


def step_code(step: float) -> int:
    """The code of the nearest step that a file can hold."""
    low, high = STEP_CODES
    return min(max(round(STEP_BIAS + STEP_SHIFT * math.log2(step)), low), high)


def header_bytes(header: Header) -> bytes:
    """The beginning of a file, to the first section."""
    head = MAGIC + bytes([VERSION]) + fields_bytes(header)
    return head + crc(head)[:2]


def fields_bytes(h: Header) -> bytes:
    """What the header and a layer's section tell alike."""
    sides = varint(h.width) + varint(h.height)
    steps = varint(h.step_code) + bytes([h.chroma_step, h.quality])
    return bytes([h.channels]) + sides + steps + bytes(h.background)


def read_header(r: Reader, limits: Limits = DEFAULT_LIMITS) -> Header:
    """The header, checked.

    Raises:
        BitstreamError: another file, a damaged header, or one beyond the limits.
    """
    _check_magic(r.data)
    r.take(len(MAGIC), "the magic")
    version = r.take(1, "the header")[0]
    if version != VERSION:
        raise BitstreamError(f"format version {version}; this reader knows version {VERSION}")
    header = read_fields(r, "the header")
    check = crc(r.data[: r.at])[:2]
    if r.take(2, "the header's checksum") != check:
        raise BitstreamError("the header's checksum does not match: the file is damaged")
    check_fields(header, limits)
    return header


def read_fields(r: Reader, where: str) -> Header:
    """Fields as `fields_bytes` writes them."""
    channels = r.take(1, where)[0]
    if not 1 <= channels <= 4:
        raise BitstreamError(f"channels is {channels}, expected 1 to 4")
    width = r.varint("the width", MAX_SIDE)
    height = r.varint("the height", MAX_SIDE)
    step_code = r.varint("the step", 2047)
    chroma_step, quality = r.take(2, where)
    background = tuple(r.take(channels, "the background"))
    return Header(width, height, channels, step_code, chroma_step, quality, background)


def check_fields(h: Header, limits: Limits = DEFAULT_LIMITS) -> None:
    """Refuse sizes and steps beyond the limits.

    Raises:
        BitstreamError: a field out of range.
    """
    if h.width == 0 or h.height == 0:
        raise BitstreamError(f"the canvas is {h.width} x {h.height}: both sides must be positive")
    pixels, most = h.width * h.height, min(limits.max_pixels, MAX_PIXELS)
    if h.width > MAX_SIDE or h.height > MAX_SIDE:
        raise BitstreamError(f"the canvas is {h.width} x {h.height} px, over the limit of {MAX_SIDE} a side")
    if pixels > most:
        raise BitstreamError(f"the canvas has {pixels} pixels, over the limit of {most}")
    if pixels > limits.warn_pixels:
        warnings.warn(
            f"the canvas has {pixels} pixels; if that is not what you expect, it may be an attack on memory",
            LargeFileWarning,
            stacklevel=2,
        )
    if not 4 <= h.chroma_step <= 16:
        raise BitstreamError(f"the chroma step is {h.chroma_step}, expected 4 to 16")
    if h.quality > 100:
        raise BitstreamError(f"the quality is {h.quality}, expected 0 to 100")


def _check_magic(data: bytes) -> None:
    if data[: len(MAGIC)] == MAGIC:
        return
    if not data:
        raise BitstreamError("not a .splat file of splat2d: it is empty (0 bytes)")
    for magic, name in _OTHER_FORMATS:
        if data.startswith(magic):
            raise BitstreamError(f"not a .splat file of splat2d: this is {name}")
    if MAGIC.startswith(data):
        raise BitstreamError(f"truncated in the magic: need {len(MAGIC)} bytes, have {len(data)}")
    hint = ""
    if len(data) % 32 == 0:
        hint = "; its length fits a 3D .splat file from another program (32 bytes a splat)"
    raise BitstreamError(
        f"not a .splat file of splat2d: it begins with {data[:4].hex(' ')}, expected {MAGIC.hex(' ')}{hint}"
    )
