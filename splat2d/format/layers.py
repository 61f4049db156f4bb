"""Coded layers: a field with a name, a box, a canvas of its own, and perhaps a matte.

docs/FORMAT.md, section 3.1, is this file in words.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from splat2d.errors import BitstreamError, ConfigError
from splat2d.format.field import Field
from splat2d.format.header import (
    DEFAULT_LIMITS,
    MAX_SIDE,
    Header,
    Limits,
    check_fields,
    fields_bytes,
    read_fields,
)
from splat2d.format.sections import LAYER, MAX_LENGTH, Reader, section, varint

MAX_LAYERS = 255
MAX_NAME = 64  # bytes of a layer's name

PICTURE = "picture"
"""Name of the layer in section 0x01, and of a clip's own."""

_MATTE, _MOVES = 1, 2  # flags

Box = tuple[int, int, int, int]
"""Left, top, width and height, px of a layer's own canvas."""


@dataclass(frozen=True)
class CodedLayer:
    """A layer as a file holds it: coded splats, and what they are relative to.

    Args:
        name: 1 to 64 bytes of UTF-8.
        header: its own canvas, whose corner lies on that of the file's, its channels, steps and base colour.
        field: its coded splats; None where they are in segments of a clip.
        box: where it can be seen; None where the file does not say (section 0x01).
        matte: the layer's coverage as a picture of one channel, of the same name and canvas; the colours are
            then straight. None where there is no alpha, or where it is the last channel.
    """

    name: str
    header: Header
    field: Field | None
    box: Box | None = None
    matte: CodedLayer | None = None

    @property
    def moves(self) -> bool:
        """Whether its splats are in segments of a clip."""
        return self.field is None

    @property
    def channels(self) -> int:
        """Of the colours: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA."""
        return self.header.channels

    @property
    def has_alpha(self) -> bool:
        """Whether the layer has a coverage of its own; else it covers everything."""
        return self.matte is not None or self.header.has_alpha

    @property
    def fields(self) -> tuple[Field, ...]:
        """What is coded on its own: the colours, then the matte if there is one; nothing where it moves."""
        parts = (self, self.matte) if self.matte is not None else (self,)
        return tuple(part.field for part in parts if part.field is not None)


def layer_section(layer: CodedLayer) -> bytes:
    """The section of a layer.

    Raises:
        ValueError: a layer without a box.
    """
    if layer.box is None:
        raise ValueError(f"layer {layer.name!r} has no box")
    name, matte = layer.name.encode(), layer.matte
    payload = varint(len(name)) + name + b"".join(map(varint, layer.box)) + fields_bytes(layer.header)
    payload += bytes([_MATTE * (matte is not None) | _MOVES * layer.moves])
    if layer.field is None:
        return section(LAYER, payload)
    if matte is not None and matte.field is not None:
        payload += varint(matte.header.step_code) + bytes(matte.header.background)
        payload += varint(len(matte.field.data)) + matte.field.data
    return section(LAYER, payload + layer.field.data)


def layer_sections(layers: Iterable[CodedLayer]) -> bytes:
    """The sections of layers, which may also be put behind the last section of a file.

    Raises:
        ValueError: a layer without a box.
    """
    return b"".join(map(layer_section, layers))


def read_layer(payload: bytes, *, clip: bool, limits: Limits = DEFAULT_LIMITS) -> CodedLayer:
    """The layer in a section's payload.

    Args:
        payload: of the section.
        clip: whether the file is one.
        limits: that its canvas must be within.

    Raises:
        BitstreamError: it makes no sense, or is beyond the limits.
    """
    r = Reader(payload)
    name = read_name(r)
    x, y, w, h = (r.varint("a layer's box", MAX_SIDE) for _ in range(4))
    header = read_fields(r, "a layer")
    check_fields(header, limits)
    if x + w > header.width or y + h > header.height:
        raise BitstreamError(f"the box {x},{y},{w},{h} of layer {name!r} is not inside its canvas")
    flags = r.take(1, "a layer")[0]
    if flags > _MATTE | _MOVES:
        raise BitstreamError(f"layer {name!r} has flags {flags}: a newer version may be needed")
    if flags & _MATTE and header.has_alpha:
        raise BitstreamError(f"layer {name!r} of {header.channels} channels has a matte besides its alpha")
    box, matte = (x, y, w, h), None
    if flags & _MOVES:
        if not clip:
            raise BitstreamError(f"layer {name!r} moves, and this is no clip")
        r.end(f"layer {name!r}")
        if flags & _MATTE:
            matte = CodedLayer(name, matte_header(header, header.step_code, (0,)), None)
        return CodedLayer(name, header, None, box, matte)
    if flags & _MATTE:
        matte = read_matte(r, name, header)
    return CodedLayer(name, header, Field.parse(r.rest, header.layout), box, matte)


def read_matte(r: Reader, name: str, h: Header) -> CodedLayer:
    """The matte of a still layer, in front of its colours.

    Raises:
        BitstreamError: it makes no sense.
    """
    step_code = r.varint("the step of a matte", 2047)
    background = tuple(r.take(1, "the background of a matte"))
    length = r.varint("the length of a matte", MAX_LENGTH)
    coded = r.take(length, f"the matte of layer {name!r}")
    header = matte_header(h, step_code, background)
    return CodedLayer(name, header, Field.parse(coded, header.layout))


def matte_header(h: Header, step_code: int, background: tuple[int, ...]) -> Header:
    """That of the matte of a layer."""
    return Header(h.width, h.height, 1, step_code, h.chroma_step, h.quality, background)


def read_name(r: Reader) -> str:
    """A layer's name.

    Raises:
        BitstreamError: it is none.
    """
    length = r.varint("the length of a layer's name", MAX_NAME)
    try:
        name = r.take(length, "a layer's name").decode()
        check_name(name)
    except (UnicodeDecodeError, ConfigError) as error:
        raise BitstreamError(f"a layer's name is damaged: {error}") from None
    return name


def check_name(name: str) -> None:
    """Refuse a name that no layer can have.

    Raises:
        ConfigError: empty, longer than 64 bytes of UTF-8, no Unicode text, or with control characters (U+0000
            to U+001F and U+007F to U+009F).
    """
    try:
        if not isinstance(name, str):
            raise ConfigError(f"{name!r} is no name for a layer; expected text")
        fits = 1 <= len(name.encode()) <= MAX_NAME
    except UnicodeEncodeError:  # half of a surrogate pair
        fits = False
    if not fits or any(c < " " or "\x7f" <= c <= "\x9f" for c in name):
        raise ConfigError(
            f"{name!r} is no name for a layer; expected 1 to {MAX_NAME} bytes of UTF-8, no control characters"
        )
