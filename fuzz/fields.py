"""Coded fields of layers, mattes and segments: taken out, changed, put back with right checksums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from splat2d.errors import BitstreamError
from splat2d.format.field import Field, Layout
from splat2d.format.header import Header, Limits
from splat2d.format.layers import PICTURE, CodedLayer, layer_section, read_layer
from splat2d.format.network import network
from splat2d.format.sections import CLIP, LAYER, SEGMENT, SPLATS, Reader
from splat2d.format.segments import matte_header, read_clip, read_segment, segment_layout, segment_section
from splat2d.native import core

Sections = list[tuple[int, bytes]]
"""Type and payload of each."""

Change = Callable[[bytes, Layout, str], bytes]
"""New bytes of a field, from the old, its layout, and "colours" or "matte"."""

_LIMITS = Limits(max_pixels=1 << 40, max_splats=1 << 30)


def layers_of(header: Header, sections: Sections) -> list[CodedLayer]:
    """A clip's layers, as many as can be read."""
    layers = []
    for kind, payload in sections:
        try:
            if kind == CLIP and read_clip(payload)[1]:
                layers.append(CodedLayer(PICTURE, header, None))
            elif kind == LAYER:
                layers.append(read_layer(payload, clip=True, limits=_LIMITS))
        except BitstreamError:
            continue
    return layers


def changed(
    kind: int, payload: bytes, header: Header, layers: Sequence[CodedLayer], change: Change
) -> bytes | None:
    """A section's payload with its fields changed.

    Args:
        kind: of the section.
        payload: of it.
        header: of the file.
        layers: of the file, where it is a clip.
        change: is asked for each field.

    Returns:
        The payload; None where there is no field in it, or nothing that can be read.
    """
    try:
        if kind == SPLATS:
            return change(payload, header.layout, "colours")
        if kind == LAYER:
            return _layer(payload, change)
        if kind == SEGMENT:
            return _segment(payload, layers, change)
    except (BitstreamError, ValueError, OverflowError):
        return None
    return None


def _layer(payload: bytes, change: Change) -> bytes | None:
    layer = read_layer(payload, clip=True, limits=_LIMITS)
    if layer.field is None:
        return None
    matte = layer.matte
    if matte is not None and matte.field is not None:
        data = change(matte.field.data, matte.field.layout, "matte")
        matte = replace(matte, field=replace(matte.field, data=data))
    data = change(layer.field.data, layer.field.layout, "colours")
    return _payload(layer_section(replace(layer, field=replace(layer.field, data=data), matte=matte)))


def _segment(payload: bytes, layers: Sequence[CodedLayer], change: Change) -> bytes:
    segment = read_segment(payload, layers, limits=_LIMITS)
    header, matte = layers[segment.layer].header, segment.matte
    if matte is not None:
        own = matte_header(header, matte.step_code, matte.background)
        layout = segment_layout(own, segment.path, own.step_code)
        matte = replace(matte, data=change(matte.data, layout, "matte"))
    layout = segment_layout(header, segment.path, segment.step_code)
    data = change(segment.data, layout, "colours")
    return _payload(segment_section(replace(segment, data=data, matte=matte)))


def with_directory(data: bytes, layout: Layout, _: str) -> bytes:
    """A field's splats coded in parts, with a directory, as large ones are."""
    integers, _counts = Field.parse(data, layout).decode()
    coded, _bits = core().encode_field(
        network(),
        integers,
        *layout.arguments,
        most_in_part=max(len(integers) // 5, 1),
        least_for_directory=0,
    )
    return coded


def _payload(section: bytes) -> bytes:
    r = Reader(section)
    r.take(1, "a type")
    return r.take(r.varint("a length", 1 << 31), "a section")
