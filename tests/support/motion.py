"""Motion fields that are known."""

from dataclasses import replace
from fractions import Fraction

import numpy as np

from splat2d.fit.clip.lattice import Lattice
from splat2d.format.field import Field
from splat2d.format.header import Header, header_bytes
from splat2d.format.layers import CodedLayer, layer_section, matte_header
from splat2d.format.motion import CodedMotion
from splat2d.format.sections import index_section
from splat2d.format.segments import CodedMatte, CodedSegment, clip_section, segment_layout, segment_section

from .integers import random_moving

WORLD = (90, 70)


def affine_field(frames, matrix, cell=16, world=WORLD):
    """Coefficients [T, rows, columns, 2] that displace x by (matrix x) (t - T/2)."""
    lattice = Lattice.of(world, cell)
    rows, columns = np.indices(lattice.shape)
    places = np.stack([columns - 1.0, rows - 1.0], -1) * cell - 64
    return np.stack([(t - frames / 2) * places @ np.array(matrix).T for t in range(frames)]).astype(
        np.float32
    )


def riding_clip(clock=None):
    """The bytes of a clip of 48 x 32 px and 5 moments: splats and a matte that ride on a field."""
    header = Header(48, 32, 3, 200, 10, 0, (90, 100, 110))
    layer = CodedLayer(
        "kite", header, None, (0, 0, 48, 32), CodedLayer("kite", matte_header(header, 200, (0,)), None)
    )
    path = np.array([[-128, 0], [-64, -32], [0, -64], [-32, -80], [-64, -96]], np.int32)
    layout = segment_layout(header, path, 200)
    cover = segment_layout(matte_header(header, 200, (0,)), path, 200)
    rng = np.random.default_rng(7)
    coded = CodedMotion(4, 6, 2, b"")
    native = coded.native((layout.width, layout.height), 5)
    integers = rng.integers(-4, 5, (len(native.order), native.integers)).astype(np.int32)
    integers[:, 6 + native.shape(0)[0] * native.shape(0)[1] * 2 :] //= 2
    motion = replace(coded, data=native.encode(integers))
    segments = []
    for number, own in ((0, None), (1, 1)):
        splats = random_moving(30, 3, layout.width, layout.height, 5, seed=number)
        matte = None
        if own:
            shape = random_moving(15, 1, layout.width, layout.height, 5, seed=9)
            matte = CodedMatte(200, (96,), Field.encode(shape, cover).data)
        data = Field.encode(splats, layout).data
        segments.append(CodedSegment(0, path, (), 200, (90, 100, 110), data, number, matte, motion, clock))
    parts = [(clip_section(Fraction(10)), None), (layer_section(layer), None)]
    parts += [(segment_section(s), s.span) for s in segments]
    data = header_bytes(header) + b"".join(part for part, _ in parts)
    return data + index_section((part[0], len(part), span) for part, span in parts)
