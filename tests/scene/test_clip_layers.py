"""Layers of clips: still and moving ones, mattes, edits, merging, extracting, and a file's claims of them."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import splat2d
from splat2d.codec.layer import decode_layer
from splat2d.draw.render import View, render
from splat2d.edit.document import Document
from splat2d.errors import BitstreamError, ConfigError
from splat2d.format.container import sections_of
from splat2d.format.field import Field
from splat2d.format.header import Header, header_bytes
from splat2d.format.layers import CodedLayer, layer_section, matte_header
from splat2d.format.sections import EDITS, INDEX, LAYER, SEGMENT, SPLATS, Source, index_section, section
from splat2d.format.segments import (
    CodedMatte,
    CodedSegment,
    clip_section,
    segment_layout,
    segment_section,
)
from splat2d.scene.clip import Clip

from ..support.integers import random_integers, random_moving
from ..support.layered import matted

HEADER = Header(64, 48, 3, 200, 10, 50, (90, 100, 110))
RATE = Fraction(25)


def segment(
    layer: CodedLayer, number: int, first: int, frames: int, *, seed: int = 0, path: bool = False
) -> CodedSegment:
    """A segment of random splats of a layer."""
    steps = np.zeros((frames, 2), np.int32)
    if path:
        steps[:, 0] = np.linspace(0, -640, frames)
    own = layer.header
    layout = segment_layout(own, steps, own.step_code)
    q = random_moving(40, own.channels, layout.width, layout.height, frames, seed=seed)
    matte = None
    if layer.matte is not None:
        cover = segment_layout(matte_header(own, 200, (128,)), steps, 200)
        m = random_moving(20, 1, layout.width, layout.height, frames, seed=seed + 1)
        matte = CodedMatte(200, (128,), Field.encode(m, cover).data)
    return CodedSegment(
        first, steps, (), own.step_code, own.background, Field.encode(q, layout).data, number, matte
    )


def clip_bytes(layers: list[CodedLayer], segments: list[CodedSegment], *, own: bool = True) -> bytes:
    """The file of a clip, with an index."""
    parts = [(clip_section(RATE, own=own), None)]
    parts += [(layer_section(layer), None) for layer in layers]
    parts += [(segment_section(s), s.span) for s in segments]
    data = header_bytes(HEADER) + b"".join(part for part, _ in parts)
    return data + index_section((part[0], len(part), span) for part, span in parts)


OWN = CodedLayer("picture", HEADER, None)
OBJECT = CodedLayer(
    "bike",
    replace(HEADER, background=(200, 30, 10)),
    None,
    (0, 0, 64, 48),
    CodedLayer("bike", matte_header(HEADER, 600, (0,)), None),
)


@pytest.fixture(scope="module")
def whole() -> bytes:
    """A clip of 12 frames in two segments, an object with a matte in frames 4 to 9, and a still layer."""
    segments = [
        segment(OWN, 0, 0, 8, seed=1, path=True),
        segment(OBJECT, 1, 4, 6, seed=2),
        segment(OWN, 0, 6, 6, seed=3),
    ]
    return clip_bytes([OBJECT, matted("sign", 30, channels=3, step_code=200)], segments)


def test_layers_come_and_go(whole):
    clip = Clip.from_bytes(whole)
    assert (clip.count, clip.width, clip.height) == (12, 64, 48)
    assert clip.document.stack.names == ("picture", "bike", "sign")
    names = [[layer.name for layer in clip.layers_at(clip.time_of(i))] for i in (0, 4, 9, 10)]
    assert names == [["picture", "sign"], ["picture", "bike", "sign"]] * 1 + [
        ["picture", "bike", "sign"],
        ["picture", "sign"],
    ]
    assert clip["bike"].count == 0  # at the beginning
    assert clip.info()["layers"] == ["picture", "bike", "sign"]


def test_layers_are_drawn_over_each_other(whole):
    clip = Clip.from_bytes(whole)
    view = View.whole(64, 48)

    def drawn(s):
        return render(s.means, s.conics, s.colors, view, background=s.background, cutoffs=s.cutoffs)

    base, bike = (clip.segment(number, layer).slice(at) for number, layer, at in ((0, 0, 5.5), (0, 1, 1.5)))
    sign = decode_layer(clip.document.container.stack[2])
    out = np.clip(drawn(base), 0, 1)
    for layer in (bike, sign):
        cover = np.clip(drawn(layer.matte)[0], 0, 1)
        out = out * (1 - cover) + np.clip(drawn(layer), 0, 1) * cover
    np.testing.assert_allclose(clip.render_float(frame=5), out.transpose(1, 2, 0), atol=1e-5)


def test_edits_of_clips(whole, tmp_path):
    clip = Clip.from_bytes(whole)
    hidden = clip.edited([{"group": "sign", "hide": True}, {"group": "bike", "move": [5, 0], "hue": 90}])
    assert not np.array_equal(hidden.render(frame=5), clip.render(frame=5))
    np.testing.assert_array_equal(hidden.undo().render(frame=5), clip.render(frame=5))
    data = hidden.to_bytes()
    assert len(data) - len(whole) < 40
    assert data.startswith(whole[: whole.rindex(b"\x87")])
    back = Clip.from_bytes(data)
    np.testing.assert_array_equal(back.render(frame=5), hidden.render(frame=5))
    assert back.reset().to_bytes() == whole
    hidden.save(tmp_path / "edited.splat")
    assert (tmp_path / "edited.splat").read_bytes() == data
    assert splat2d.open(tmp_path / "edited.splat").document.steps == hidden.document.steps
    blurred = clip["picture"].blur(2).scene
    assert blurred.render(frame=0).std() < clip.render(frame=0).std()
    assert clip.pick(3, 3) is not None


def test_an_object_alone_and_in_another_clip(whole):
    clip = Clip.from_bytes(whole)
    with pytest.raises(ConfigError, match="still layer"):
        clip.extract("sign")
    alone = clip.extract("picture")
    assert (alone.count, alone.document.stack.names) == (12, ("picture",))
    plain = clip.edited([{"group": "sign", "hide": True}, {"group": "bike", "hide": True}])
    np.testing.assert_array_equal(alone.render(frame=7), plain.render(frame=7))
    together = alone.merge(clip, names=["below", "bike", "sign"])
    np.testing.assert_array_equal(together.render(frame=5), clip.render(frame=5))
    assert Clip.from_bytes(together.to_bytes()).document.stack.names == ("picture", "below", "bike", "sign")


def test_a_picture_pasted_on_a_clip(whole):
    integers = random_integers(30, 4, 64, 48, seed=9)
    header = Header(64, 48, 4, 200, 10, 0, (0, 0, 0, 0))
    from splat2d.codec.layer import code_layer, container_of

    stamp = splat2d.Scene.of(Document.of(container_of(64, 48, [code_layer("stamp", header, integers)])))
    clip = Clip.from_bytes(whole).merge(stamp, at=(10, 10))
    assert clip.document.stack.names[-1] == "stamp"
    back = Clip.from_bytes(clip.to_bytes())
    np.testing.assert_array_equal(back.render(frame=11), clip.render(frame=11))
    with pytest.raises(ConfigError, match="same rate"):
        stamp.merge(clip)


def test_the_index_finds_everything(whole):
    """Without it the file is read from its beginning, with the same result; a false one is found out."""
    at = len(whole) - int.from_bytes(whole[-8:-4], "little")
    bare = Clip.from_bytes(whole[:at])
    indexed = Clip.from_bytes(whole)
    assert bare.document.container.places == indexed.document.container.places or all(
        a.span == b.span and a.section.at == b.section.at
        for a, b in zip(bare.document.container.places, indexed.document.container.places, strict=True)
    )
    np.testing.assert_array_equal(bare.render(frame=9), indexed.render(frame=9))

    class Counted(io.BytesIO):
        taken = 0

        def read(self, size=-1, /):
            data = super().read(size)
            Counted.taken += len(data)
            return data

    file = Counted(whole)
    clip = Clip.read(file)
    places = clip.document.container.places
    clip.render(frame=11)
    seen = places[2].section.size + places[1].section.size
    assert Counted.taken < len(whole) - places[0].section.size + 300
    assert Counted.taken > seen // 4


def lie(whole: bytes, change) -> bytes:
    """The clip with another index or other sections, all checksums right."""
    source = Source(io.BytesIO(whole))
    first, found = sections_of(source)
    spans = {p.section.at: p.span for p in Document.from_bytes(whole).container.places}
    parts = [[source.read(p.at, p.size), spans.get(p.at)] for p in found if p.kind != INDEX]
    start = whole[:first]
    parts = change(parts)
    data = start + b"".join(p[0] for p in parts)
    return data + index_section((p[0][0], len(p[0]), p[1]) for p in parts)


def without_layer(parts):
    return [p for p in parts if p[0][0] != LAYER]


def other_frames(parts):
    return [
        [data, replace(span, first=span.first + 1) if span and span.first else span] for data, span in parts
    ]


LIES = [
    (without_layer, "of layer 1, which has no segments"),
    (other_frames, "begins with frame 7|not what the index says"),
    (lambda parts: [*parts, [section(SPLATS, bytes(7)), None]], "section 0x01 in a clip"),
    (lambda parts: [parts[0], parts[0], *parts[1:]], "two sections of a clip's times"),
    (lambda parts: [*parts, [section(EDITS, b"\x90\x09"), None]], "which is not there"),
    (lambda parts: [p for p in parts if p[0][0] != SEGMENT], "no frames"),
    (lambda parts: [*parts[:3], *parts[4:]], "begins with frame|does not match|not where"),
]


@pytest.mark.parametrize(("change", "message"), LIES, ids=[message[:20] for _, message in LIES])
def test_clips_that_lie(whole, change, message):
    with pytest.raises(BitstreamError, match=message):
        list(Clip.from_bytes(lie(whole, change)))


def test_frames_last_a_tick_at_least(whole):
    zero = replace(segment(OWN, 0, 0, 3), ticks=(3600, 0, 3600))
    with pytest.raises(BitstreamError, match="a frame lasts 0 ticks"):
        list(Clip.from_bytes(clip_bytes([], [zero])))


def test_limits_of_clips(whole):
    with pytest.raises(BitstreamError, match=r"12 frames|14 frames"):
        Clip.from_bytes(whole, limits=splat2d.Limits(max_frames=10))
    with pytest.raises(BitstreamError, match="over the limit of 3000"):
        Clip.from_bytes(whole, limits=splat2d.Limits(max_pixels=3000))
    wide = Clip.from_bytes(whole, limits=splat2d.Limits(max_pixels=64 * 48))
    with pytest.raises(BitstreamError, match="over the limit of 3072"):  # its world is wider than its frames
        wide.render(frame=0)


def test_splats_of_a_segment_are_limited():
    data = clip_bytes([], [segment(OWN, 0, 0, 3)])
    ((_, field),) = Clip.from_bytes(data).document.fields()
    Clip.from_bytes(data, limits=splat2d.Limits(max_splats=field.count)).render(frame=0)
    few = Clip.from_bytes(data, limits=splat2d.Limits(max_splats=field.count - 1))
    with pytest.raises(BitstreamError, match=rf"segment 0 has {field.count} splats, over the limit"):
        few.render(frame=0)
