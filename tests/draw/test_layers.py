"""Layered files: the format, its limits, damage of any kind, and taking files apart and together."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest

import splat2d
from splat2d import Scene
from splat2d.codec.layer import code_layer, container_of
from splat2d.draw.render import render
from splat2d.edit.document import Document
from splat2d.errors import BitstreamError, ConfigError
from splat2d.format.container import Container, read, write
from splat2d.format.edits import KINDS, Operation, pack
from splat2d.format.field import MAX_SPLATS, Field
from splat2d.format.header import Header
from splat2d.format.layers import MAX_LAYERS, CodedLayer, layer_sections
from splat2d.format.sections import EDITS, LAYER, varint
from splat2d.native import core

from ..support.integers import random_integers
from ..support.layered import HEIGHT, SMALL, WIDTH, encoded, layer, matted, scene
from ..support.places import GOLDEN


@pytest.fixture(scope="module")
def layered() -> Scene:
    """A photograph with two objects in front."""
    return scene("all")


def no_splats(header: Header) -> Field:
    """A field of none."""
    return Field.parse(bytes(7), header.layout)


def section(kind: int, payload: bytes) -> bytes:
    """A section with a right checksum."""
    data = bytes([kind]) + varint(len(payload)) + payload
    return data + zlib.crc32(data).to_bytes(4, "little")


def layer_payload(**changes: bytes) -> bytes:
    """A layer's payload; fields may be given as bytes that no writer writes."""
    fields = {
        "name": b"\x04bike",
        "box": bytes([1, 2, 30, 20]),
        "channels": b"\x04",
        "width": varint(40),
        "height": varint(24),
        "step": varint(600),
        "chroma_step": b"\x0a",
        "quality": b"\x00",
        "background": bytes(4),
        "matte": b"\x00",
        "counts": bytes(7),
        "words": b"",
    }
    return b"".join({**fields, **changes}.values())


def one_line(caught: pytest.ExceptionInfo[splat2d.Splat2dError]) -> None:
    message = str(caught.value)
    assert message
    assert "\n" not in message


# What is written comes back.


def test_layers_come_back():
    layers = tuple(layer(name, count, count) for name, count in [("bike", 20), ("größer", 0), ("a b", 90)])
    grey = layer("grey", 5, channels=1, background=(9,), width=17, height=300)
    cut = matted(), matted("flat", 0), matted("mono", 7, channels=1, background=(3,))
    container = Container(
        replace(SMALL, width=50), layers=(*layers, grey, *cut), edits=b"\x8e", notes=("one",)
    )
    assert read(write(container)) == container
    flat = Container(SMALL, layers[0].field, layers=layers[1:])
    assert read(write(flat)) == flat
    assert [found.name for found in flat.stack] == ["picture", "größer", "a b"]


def test_the_bytes_are_those_of_the_format():
    nothing = CodedLayer("bike", SMALL, no_splats(SMALL), (1, 2, 30, 20))
    assert layer_sections((nothing,)) == section(LAYER, layer_payload())
    color = replace(SMALL, channels=3, background=(1, 2, 3))
    own = replace(SMALL, channels=1, step_code=640, background=(9,))
    cover = CodedLayer("bike", own, no_splats(own))
    plain = {"channels": b"\x03", "background": b"\1\2\3"}
    payload = layer_payload(**plain, matte=b"\1" + varint(640) + b"\x09" + b"\7" + bytes(7))
    made = replace(nothing, header=color, field=no_splats(color), matte=cover)
    assert layer_sections((made,)) == section(LAYER, payload)
    assert read(write(Container(SMALL, layers=(made,)))).layers == (made,)


def test_a_picture_on_the_canvas_is_stored_as_without_layers():
    first, second = layer("picture"), layer("bike")
    container = container_of(40, 24, [first, second])
    assert container.field == first.field
    assert container.layers == (second,)
    for other in (
        container_of(41, 24, [first]),
        container_of(40, 24, [second]),
        container_of(40, 24, [matted("picture")]),
    ):
        assert other.field is None
        assert len(other.layers) == 1
    assert Scene.from_bytes(write(container)).render().shape == (24, 40, 4)


def test_splats_of_layers_are_their_integers():
    header = SMALL
    integers = random_integers(50, 4, 40, 24, seed=3)
    coded = code_layer("bike", header, integers)
    assert coded.field.count == len(integers)
    found = Scene.from_bytes(write(container_of(64, 64, [coded])))["bike"].splats
    expected = core().dequantize(integers, header.step, header.chroma_step)
    order = np.lexsort(np.hstack([found.means, found.colors]).T)
    wanted = np.lexsort(np.hstack([expected[0], expected[2]]).T)
    assert np.array_equal(found.conics[order], expected[1][wanted])
    assert sum(coded.field.tier_counts) == len(integers)


def test_flat_files_are_scenes_of_one_layer():
    for name in ("rgb", "rgba", "grey", "one-pixel", "note"):
        data = (GOLDEN / "pictures" / f"{name}.splat").read_bytes()
        flat = Scene.from_bytes(data)
        assert [found.name for found in flat.layers] == ["picture"]
        assert flat["picture"].edits == ()
        assert flat.to_bytes() == data


# Drawing.


def test_layers_composite_as_by_hand(layered):
    out = np.zeros((HEIGHT, WIDTH, 3))
    for name in ("picture", "cat", "grey"):
        pixels = layered.extract(name).render_float().astype(np.float64)
        channels = pixels.shape[2]
        alpha = np.clip(pixels[..., -1:], 0, 1) if channels in (2, 4) else 1.0
        color = np.clip(pixels[..., : 3 if channels >= 3 else 1], 0, alpha)
        out = color + (1 - alpha) * out
    assert np.abs(layered.render_float() - out).max() < 1e-5
    assert np.abs(layered.render().astype(float) - 255 * out).max() <= 0.51


def test_channels_follow_what_is_visible(layered):
    assert layered.channels == 3
    assert layered["picture"].hide().scene.channels == 4
    grey = layered.edited([{"group": "picture", "hide": True}, {"group": "cat", "hide": True}])
    assert (grey.channels, grey.render().shape) == (2, (HEIGHT, WIDTH, 2))
    assert grey["grey"].tint("#ff0000").scene.channels == 4
    assert grey["grey"].brightness(0.5).scene.channels == 2
    assert layered["picture"].opacity(0.5).scene.channels == 4
    empty = grey["grey"].hide().scene
    assert not empty.render().any()
    assert empty.pick(5, 5) is None


def test_straight_alpha_of_composited_bytes(layered):
    objects = layered["picture"].hide().scene
    pixels, planes = objects.render(), objects.render_float()
    alpha = planes[..., 3:]
    seen = alpha[..., 0] > 0.5 / 255
    assert not pixels[~seen][:, :3].any()
    assert np.abs(pixels[seen][:, :3] - 255 * planes[seen][:, :3] / alpha[seen]).max() <= 0.51


def test_what_is_pasted_is_transparent_beyond_its_canvas(layered):
    """Also where a file has a base colour that covers, as pictures with alpha may have."""
    header = Header(20, 10, 4, 600, 10, 0, (80, 40, 20, 128))
    data = write(Container(header, no_splats(header)))
    alone = Scene.from_bytes(data)
    pasted = scene("photo")["picture"].hide().scene.merge(alone, at=(40, 20), names=["flat"])
    coverage = pasted.render_float()[..., 3]
    assert coverage[15:25, 30:50] == pytest.approx(128 / 255)
    assert np.count_nonzero(coverage) == 200
    blurred = pasted["flat"].blur(1.5).scene.render_float()[..., 3]
    assert blurred.sum() == pytest.approx(200 * 128 / 255, rel=1e-4)
    assert blurred[20, 30] == pytest.approx(blurred[20, 40] * 0.63, rel=0.01)  # half a px inside the edge
    turned = pasted["flat"].rotate(90).scene.render_float()[..., 3]
    assert turned[10:30, 35:45] == pytest.approx(128 / 255)
    assert turned.sum() == pytest.approx(200 * 128 / 255)
    cut = scene("photo").merge(alone, names=["flat"]).extract("flat")
    assert np.count_nonzero(cut.render()[..., 3]) == 200


def test_a_layer_without_alpha_covers_everything(layered):
    moved = scene("photo")["picture"].move(500, 0).scene
    assert moved.channels == 3
    assert np.abs(moved.render().astype(int) - moved.header.background).max() <= 1


@pytest.mark.parametrize("scale", [3, 0.25])
def test_layers_of_any_splats_are_drawn_where_they_can_be_seen(scale, monkeypatch):
    """Needles, giants and specks, also far away; only a part of the picture is drawn for each layer."""
    random = layer("any", 300, width=60, height=50)
    photo = scene("photo")
    together = photo.merge(Scene.from_bytes(write(container_of(60, 50, [random]))))
    for edit in ({"rotate": 33}, {"scale": 0.01}, {"scale": 900}, {"move": [1e6, 0]}, {"blur": 1e4}):
        edited = together.edited([{"group": "any", **edit}])
        fast = edited.render_float(scale=scale)
        whole = (0, 0, fast.shape[1], fast.shape[0])
        with monkeypatch.context() as patch:
            patch.setattr("splat2d.draw.compose._block", lambda *_, whole=whole: whole)
            slow = edited.render_float(scale=scale)
        assert np.isfinite(fast).all()
        assert np.abs(fast - slow).max() < 1e-3
    gone = together["any"].move(1e6, 0).scene
    assert np.array_equal(gone.render(), photo.render())


def test_all_layers_are_drawn_by_the_device(layered, monkeypatch):
    devices = []

    def drawn(*splats, backend, **options):
        devices.append(backend.device)
        return render(*splats, backend=backend.on_cpu, **options)

    monkeypatch.setattr("splat2d.draw.compose.render", drawn)
    assert np.array_equal(layered.render(device="cuda"), layered.render())
    assert devices == ["cuda"] * 3 + ["cpu"] * 3


# Taking apart and together.


@pytest.mark.parametrize("at", [None, (20.5, 11)])
@pytest.mark.parametrize("kind", ["cat", "grey"])
def test_merging_then_extracting_is_identity(kind, at):
    pasted = scene(kind)
    name = "thing"
    back = scene("photo").merge(pasted, at=at, names=[name]).extract(name).reset()
    before, after = pasted.document.container.stack[0], back.document.container.stack[0]
    assert (after.header, after.field) == (before.header, before.field)
    if at is None:
        assert np.array_equal(back.render()[:32, :32], pasted.render()[:, :32])


def test_extracting_a_picture_gives_its_file_back():
    for kind in ("photo", "cat"):
        together = scene(kind).merge(scene("grey"), names=["grey"])
        assert together.extract("picture").to_bytes() == encoded(kind)


def test_merging_back_what_was_extracted(layered):
    apart = [layered.extract(name) for name in ("picture", "cat", "grey")]
    together = apart[0].merge(apart[1]).merge(apart[2])
    assert [found.name for found in together.layers] == ["picture", "cat", "grey"]
    assert np.array_equal(together.render(), layered.render())


def test_merge_keeps_edits_order_and_copies():
    below = scene("photo").merge(scene("cat"), at=(20, 20), names=["cat"])
    below = below["picture"].duplicate("copy").opacity(0.5).to_front().scene
    above = scene("grey").merge(scene("cat"), names=["cat"])["cat"].to_back().duplicate("kitten").move(9, 9)
    above = above.scene["picture"].hide().scene
    before = [found.name for found in below.layers]
    together = below.merge(above)
    assert [found.name for found in together.layers] == [*before, "cat 2", "kitten", "picture 2"]
    assert not together["picture 2"].visible
    alone = together.edited([{"group": name, "hide": True} for name in before])
    assert np.abs(alone.render_float()[:32, :32] - above.render_float()[:, :32]).max() < 1e-6
    alone = together.edited([{"group": found.name, "hide": True} for found in together.layers[3:]])
    assert np.array_equal(alone.render(), below.render())
    assert Scene.from_bytes(together.to_bytes()).render().tobytes() == together.render().tobytes()


def test_a_document_decodes_nothing(layered, monkeypatch):
    data = layered.to_bytes()

    def decode_layer(*_, **__):
        raise AssertionError("decoded")

    monkeypatch.setattr("splat2d.edit.document.decode_layer", decode_layer)
    document = Document.from_bytes(data)
    assert [row["splats"] for row in document.table()] == [found.count for found in layered.layers]
    assert document.extracted("cat").stack.names == ("cat",)
    assert document.center(document.stack.find("cat")) == pytest.approx((30, 24))


# Limits.


def test_most_layers():
    nothing = CodedLayer("a", SMALL, no_splats(SMALL), (0, 0, 0, 0))
    full = Container(SMALL, layers=(nothing,) * MAX_LAYERS)
    assert len(read(write(full)).layers) == MAX_LAYERS
    for beyond in (
        replace(full, layers=(nothing,) * (MAX_LAYERS + 1)),
        replace(full, field=no_splats(SMALL)),
    ):
        with pytest.raises(BitstreamError, match="more than 255 layers") as caught:
            read(write(beyond))
        one_line(caught)
    whole = Scene.from_bytes(write(full))
    with pytest.raises(ConfigError, match="256 layers in a file"):
        whole.merge(scene("cat"))
    with pytest.raises(ConfigError, match="more than 255 layers, deleted ones included"):
        whole["a"].delete()["a"].duplicate("b")


RGB = {"channels": b"\x03", "background": bytes(3)}
LAYER_LIES = [
    ({"name": b"\x00"}, "name is damaged: '' is no name"),
    ({"name": b"\x41" + b"a" * 65}, "length of a layer's name is 65, over the limit of 64"),
    ({"name": b"\x01\xff"}, "name is damaged"),
    ({"name": b"\x01\n"}, "name is damaged"),
    ({"box": bytes([1, 2, 40, 20])}, "box 1,2,40,20 of layer 'bike' is not inside its canvas"),
    ({"box": bytes([0, 5, 1, 20])}, "not inside its canvas"),
    ({"box": bytes([0, 0, 0]) + varint(1 << 20)}, "a layer's box is 1048576, over the limit"),
    ({"channels": b"\x05"}, "channels is 5"),
    ({"width": varint(0)}, "0 x 24"),
    ({"width": varint(65535), "height": varint(65535)}, "over the limit"),
    ({"step": varint(2048)}, "the step is 2048"),
    ({"chroma_step": b"\x03"}, "chroma step is 3"),
    ({"quality": b"\x65"}, "quality is 101"),
    ({"counts": b"\0" + varint(MAX_SPLATS) + bytes(5)}, "more splats than its bytes can hold"),
    ({"counts": b"\x00" * 6}, "counts that are cut short"),
    ({"counts": b"\x01" + bytes(6)}, "a field of another kind"),
    ({"matte": b"\x04"}, "layer 'bike' has flags 4: a newer version may be needed"),
    ({"matte": b"\x02"}, "layer 'bike' moves, and this is no clip"),
    ({"matte": b"\x01"}, "layer 'bike' of 4 channels has a matte besides its alpha"),
    ({**RGB, "matte": b"\1" + varint(2048)}, "the step of a matte is 2048"),
    ({**RGB, "matte": b"\1\1\0" + varint(99)}, "truncated in the matte of layer 'bike': need 99 bytes"),
    ({**RGB, "matte": b"\1\1\0\5", "counts": bytes(5)}, "counts that are cut short"),
    (
        {**RGB, "matte": b"\1\1\0" + b"\x0a" + b"\0" + varint(MAX_SPLATS) + bytes(5)},
        "more splats than its bytes can hold",
    ),
]


@pytest.mark.parametrize(("changes", "message"), LAYER_LIES, ids=[message[:24] for _, message in LAYER_LIES])
def test_layers_that_lie(changes, message):
    data = encoded("photo") + section(LAYER, layer_payload(**changes))
    with pytest.raises(BitstreamError, match=message) as caught:
        splat2d.decode(data)
    one_line(caught)


def test_splats_of_all_layers_are_limited():
    many = layer_payload(counts=b"\0" + varint(8 << 20) + bytes(5), words=b"\x55" * (2 << 20))
    with pytest.raises(BitstreamError, match=r"the layers have \d+ splats, over the limit"):
        read(encoded("photo") + section(LAYER, many) * 2)
    words = b"\0" + varint(8 << 20) + bytes(5) + b"\x55" * (2 << 20)
    matte = b"\1\1\0" + varint(len(words)) + words
    both = layer_payload(**RGB, matte=matte, counts=words)
    with pytest.raises(BitstreamError, match=r"the layers have \d+ splats, over the limit"):
        read(encoded("photo") + section(LAYER, both))


EDIT_LIES = [
    (b"", "the section of edits is empty"),
    (b"\x81", "truncated in an edit: need 2 bytes"),
    (b"\x81\x00", "truncated in dx of the edit move"),
    (b"\x81\x00\x00", "truncated in dy of the edit move"),
    (b"\x81\x00\xff\xff\xff\xff\x7f\x00", "dx of the edit move is"),
    (b"\x81\x00\x80\x80\x80\x80\x80\x00\x00", "does not end within five bytes"),
    (b"\x81\x09\x00\x00", "the edits are damaged: move of layer 9, which is not there"),
    (b"\xff\x00", "unknown edit 0x7f: a newer version"),
    (b"\x80\x00", "unknown edit 0x00"),
    (b"\x83\x00\x00\x00\x00\x00", "without a size that can be drawn"),
    (b"\x88\x00\x01", "the factor of the edit opacity is -0.0001, expected 0 to 1"),
    (b"\x98\x00\x00", "a layer's name is damaged"),
    (b"\x9a\x00\x81\x00\x00\x00", "move of layer 0, which is not there"),
    (b"\x90\x00" * 2049, "more than 2048 edits"),
    (b"\x98\x00\x01a" * 255, "more than 255 layers"),
    (b"\x83\x00\xc0\x84\x3d\xc0\x84\x3d\x00\x00" * 3, "without a size|beyond all bounds"),
]


@pytest.mark.parametrize(("payload", "message"), EDIT_LIES, ids=[message[:24] for _, message in EDIT_LIES])
def test_edits_that_lie(payload, message):
    with pytest.raises(BitstreamError, match=message) as caught:
        splat2d.decode(encoded("photo") + section(EDITS, payload))
    one_line(caught)


def test_two_sections_of_edits():
    edits = section(EDITS, pack([(Operation("hide", 0),)]))
    with pytest.raises(BitstreamError, match="two sections of edits"):
        splat2d.decode(encoded("photo") + edits * 2)


# Damage.


def every_edit() -> bytes:
    """A small file with two layers and every kind of edit."""
    header = replace(SMALL, channels=3, background=(10, 20, 30))
    flat = code_layer("picture", header, random_integers(5, 3, 40, 24, seed=1))
    document = Document.of(container_of(40, 24, [flat, layer(count=4), matted("cut", 6)]))
    order = sorted(KINDS, key=lambda kind: kind == "delete")
    step = []
    for kind in order:
        low = [1.0 if kind == "scale" else 0.5] * len(KINDS[kind].numbers)
        step.append(Operation.of(kind, 1, low, "new" if KINDS[kind].named else ""))
    return document.with_step(tuple(step)).to_bytes()


def test_cut_at_every_byte(layered):
    data = every_edit()
    splat2d.decode(data)
    parsed = read(data)
    whole = {len(write(replace(parsed, layers=parsed.layers[:n], edits=b""))) for n in range(3)}
    assert len(Document.from_bytes(data).reset().to_bytes()) in whole
    for end in set(range(len(data))) - whole:
        with pytest.raises(BitstreamError) as caught:
            splat2d.decode(data[:end])
        one_line(caught)


def test_every_flipped_bit():
    data = every_edit()
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError) as caught:
            splat2d.decode(bytes(flipped))
        one_line(caught)


@pytest.mark.parametrize("kind", [LAYER, "matte", EDITS])
def test_garbage_behind_right_checksums_is_refused_or_drawn(kind):
    """Every flipped bit and random bytes of a payload, with the checksum made right again."""
    base = encoded("photo")
    whole = every_edit()
    payload = read(whole).edits
    if kind == LAYER:
        payload = layer_payload(counts=bytes([0, 0, 0, 1, 0, 0, 0]), words=bytes(range(7)))
    if kind == "matte":
        words = bytes([0, 0, 0, 1, 0, 0, 0]) + bytes(range(7))
        matte = b"\1" + varint(620) + b"\0" + varint(len(words)) + words
        payload = layer_payload(**RGB, matte=matte, counts=words)
        kind = LAYER
    rng = np.random.default_rng(0)
    tries = [rng.bytes(int(n)) for n in rng.integers(1, 60, 200)]
    for bit in range(8 * len(payload)):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        tries.append(bytes(flipped))
    refused = 0
    for garbage in tries:
        try:
            splat2d.decode(base + section(kind, garbage), width=4, threads=1)
        except BitstreamError:
            refused += 1
    assert refused > len(tries) // 4


def test_newer_files_are_refused_by_every_edit():
    future = (GOLDEN / "broken" / "future-version.bad").read_bytes()
    with pytest.raises(BitstreamError, match="format version 2"):
        Document.from_bytes(future)
    with pytest.raises(BitstreamError, match="unknown mandatory section 0x42"):
        Document.from_bytes((GOLDEN / "broken" / "unknown-mandatory-section.bad").read_bytes())


def test_plot_of_layers(layered):
    from splat2d.draw.outlines import plot_ellipses, plot_layers

    splats = plot_ellipses(layered["cat"].rotate(10).scene, by="tier")
    assert not np.array_equal(splats, plot_ellipses(layered, by="tier"))
    drawing = plot_layers(layered["cat"].rotate(10).scene)
    assert drawing.shape == (2 * HEIGHT, 2 * WIDTH, 3)
    assert len(np.unique(drawing.reshape(-1, 3), axis=0)) > 100
