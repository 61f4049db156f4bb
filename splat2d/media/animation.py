"""Animated GIF and PNG as browsers show them: each frame decoded alone, then laid on the canvas by its rules.

Pillow decodes the frames; what it makes of disposal, blending and frames that cover a part is not taken.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from splat2d.errors import InputImageError
from splat2d.media.opening import check_pixels, open_image
from splat2d.media.reading import read_image
from splat2d.media.samples import Picture
from splat2d.media.tags import PNG_MAGIC

if TYPE_CHECKING:
    from PIL import Image

KEEP, CLEAR, RESTORE = range(3)  # what becomes of a frame before the next, as in APNG

_PER_FRAME = {b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT"}


class Damage(Exception):
    """An animation that does not make sense, or ends too early.

    Attributes:
        frame: number of the frame, from 0.
    """

    def __init__(self, frame: int, why: str) -> None:
        super().__init__(why)
        self.frame = frame


@dataclass(frozen=True)
class Part:
    """A frame of an animation as it is stored.

    Args:
        data: a whole file of this frame alone.
        left: px of the canvas.
        top: px of the canvas.
        delay: s, as it is stored.
        after: KEEP, CLEAR or RESTORE.
        over: whether it is blended, rather than replacing what was there.
    """

    data: bytes
    left: int
    top: int
    delay: Fraction
    after: int = KEEP
    over: bool = True


@dataclass(frozen=True)
class Animation:
    """The frames of a file.

    Args:
        width: of the canvas, px.
        height: likewise.
        parts: in order.
        whole: whether the mark was there that ends the file.
    """

    width: int
    height: int
    parts: list[Part]
    whole: bool = True

    def pictures(self, name: str) -> Iterator[Picture]:
        """Yield what is to be seen at each frame, premultiplied sRGB, on nothing.

        Args:
            name: of messages.

        Raises:
            InputImageError: a frame that does not decode.
        """
        canvas = np.zeros((4, self.height, self.width), np.float32)
        for part in self.parts:
            stream = io.BytesIO(part.data)
            picture = read_image(open_image(stream, name), stream, name)
            planes = picture.pixels
            alpha = planes[-1:] if picture.channels in (2, 4) else np.ones_like(planes[:1])
            colour = np.broadcast_to(planes[: 1 if picture.channels < 3 else 3], (3, *planes.shape[1:]))
            source = np.concatenate([colour, alpha])
            # What lies beyond the canvas is not shown.
            source = source[:, : max(self.height - part.top, 0), : max(self.width - part.left, 0)]
            rows, columns = source.shape[1:]
            place = canvas[:, part.top : part.top + rows, part.left : part.left + columns]
            before = place.copy() if part.after == RESTORE else None
            place[...] = source + place * (1 - source[3:]) if part.over else source
            shown = canvas[:3] if (canvas[3] == 1).all() else canvas
            yield Picture(shown.copy(), picture.notes, picture.warnings)
            if part.after == CLEAR:
                place[...] = 0
            elif before is not None:
                place[...] = before


def still(image: Image.Image, stream: BinaryIO, name: str) -> Picture | None:
    """Return the first picture of a GIF where it does not cover its canvas; None where Pillow reads it right.

    Args:
        image: opened, not loaded.
        stream: where it comes from.
        name: of messages.

    Raises:
        InputImageError: it is damaged.
    """
    check_pixels(image, name)
    extents = {tuple(tile[1] or ()) for tile in getattr(image, "tile", [])}
    if extents <= {(0, 0, *image.size)}:
        return None
    stream.seek(0)
    try:
        animation = parse(stream.read())
    except Damage as fault:
        raise InputImageError(f"{name}: the picture is damaged or truncated ({fault})") from None
    if animation is None or not animation.parts:
        return None
    first = next(animation.pictures(name))
    count = len(animation.parts)
    if count == 1:
        return first
    alert = f"only the first of {count} frames is kept"
    return replace(first, notes=(f"first of {count} frames", *first.notes), warnings=(alert, *first.warnings))


def parse(data: bytes) -> Animation | None:
    """Return the frames of an animated GIF or PNG; None for another file, or a PNG that is a still.

    Raises:
        Damage: it ends too early or makes no sense.
    """
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return _gif(data)
    return _png(data) if data[:8] == PNG_MAGIC else None


def _gif(data: bytes) -> Animation:
    parts: list[Part] = []

    def need(start: int, count: int) -> int:
        if start + count > len(data):
            raise Damage(len(parts), "the file ends inside it")
        return start + count

    def skip_blocks(start: int) -> int:
        while True:
            length = data[need(start, 1) - 1]
            start = need(start, 1 + length)
            if not length:
                return start

    at = need(6, 7)
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    table = b""
    if flags & 128:
        end = need(at, 3 << ((flags & 7) + 1))
        table, at = data[at:end], end
    control = b""
    whole = False
    while at < len(data):
        kind = data[at]
        at += 1
        if kind == 0x3B:
            whole = True
            break
        if kind == 0x21:
            label = data[need(at, 1) - 1]
            start = at
            at = skip_blocks(at + 1)
            if label == 0xF9:
                control = data[start - 1 : at]
        elif kind == 0x2C:
            body = need(at, 9)
            left, top, wide, high, own = struct.unpack_from("<HHHHB", data, at)
            at = need(body, 3 << ((own & 7) + 1)) if own & 128 else body
            at = skip_blocks(need(at, 1))
            if not parts:  # some writers state no screen, or one too small for the first frame
                width, height = max(width, left + wide), max(height, top + high)
            still = b"GIF89a" + struct.pack("<HHB", wide, high, flags) + b"\0\0" + table + control
            still += b"\x2c" + struct.pack("<HHHH", 0, 0, wide, high) + data[body - 1 : at] + b"\x3b"
            delay, after = Fraction(0), KEEP
            if len(control) >= 7:
                delay = Fraction(struct.unpack_from("<H", control, 4)[0], 100)
                after = {2: CLEAR, 3: RESTORE}.get(control[3] >> 2 & 7, KEEP)
            parts.append(Part(still, left, top, delay, after))
            control = b""
        elif kind:  # some writers pad with zeros
            raise Damage(len(parts), "its blocks make no sense")
    return Animation(width, height, parts, whole)


def _png(data: bytes) -> Animation | None:
    parts: list[Part] = []
    common = b""
    header = b""
    control: tuple[Any, ...] = ()
    expected, ended = None, False
    body: list[bytes] = []

    def finish() -> None:
        nonlocal body, control
        if not control:
            return
        if not body:
            raise Damage(len(parts), "it has no data")
        wide, high, left, top, above, below, after, blend = control
        size = struct.pack(">II", wide, high)
        still = PNG_MAGIC + _chunk(b"IHDR", size + header[8:]) + common
        still += _chunk(b"IDAT", b"".join(body)) + _chunk(b"IEND", b"")
        if not parts and after == RESTORE:
            after = CLEAR
        parts.append(Part(still, left, top, Fraction(above, below or 100), after, bool(blend)))
        body, control = [], ()

    at = 8
    while at < len(data):
        if at + 12 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, at)
        payload = data[at + 8 : at + 8 + length]
        if at + 12 + length > len(data):
            break
        if data[at : at + 12 + length] != _chunk(kind, payload):
            raise Damage(len(parts), f"the checksum of its chunk {kind.decode('latin-1')} is wrong")
        at += 12 + length
        if kind == b"IHDR":
            header = payload
        elif kind == b"acTL" and length == 8:
            expected = struct.unpack(">II", payload)[0]
        elif kind == b"fcTL" and length == 26:
            finish()
            control = struct.unpack(">IIIIHHBB", payload[4:])
        elif kind == b"IDAT":
            if control:
                body.append(payload)
        elif kind == b"fdAT":
            body.append(payload[4:])
        elif kind in _PER_FRAME and not parts and not body:
            common += _chunk(kind, payload)
        elif kind == b"IEND":
            ended = True
            break
    if expected is None or len(header) != 13:
        return None
    if not ended:
        raise Damage(len(parts), "the file ends inside it")
    finish()
    if len(parts) < expected:
        raise Damage(len(parts), f"it has {len(parts)} of {expected} frames")
    width, height = struct.unpack_from(">II", header)
    return Animation(width, height, parts)


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))
