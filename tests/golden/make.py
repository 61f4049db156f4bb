"""Make the golden files and their manifest: once for each version of the format, never to make a test pass.

Run: python tests/golden/make.py with --missing for kinds of files that are new, or with --force for all.
It also puts the sizes and digests of these files and of the network into docs/FORMAT.md.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import splat2d
from splat2d.errors import BitstreamError
from splat2d.fit.clip.encode import encode_frames
from splat2d.fit.config import ClipConfig, load_config
from splat2d.fit.encode import encode_picture
from splat2d.format.clock import Clock
from splat2d.format.container import Container, is_clip, read, write
from splat2d.format.eyes import Eyes
from splat2d.format.field import Field
from splat2d.format.header import Header, header_bytes
from splat2d.format.layers import CodedLayer, layer_section, matte_header
from splat2d.format.network import PATH, network
from splat2d.format.sections import index_section, section, varint
from splat2d.format.segments import (
    CodedMatte,
    CodedSegment,
    clip_section,
    segment_layout,
    segment_section,
)
from splat2d.media.pictures import load_picture
from splat2d.native import core
from splat2d.native.backend import Backend
from splat2d.scene.clip import Clip
from splat2d.scene.picture import Scene

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))
PICTURES = HERE.parents[1] / "examples" / "pictures"
MANIFEST = HERE / "manifest.json"
FORMAT = HERE.parents[1] / "docs" / "FORMAT.md"
CONFIG = load_config("default").tuned("psnr")

Files = dict[str, tuple[str, bytes]]
"""What each file shows, or what is wrong with it, and its bytes, by name."""

Manifest = dict[str, dict[str, dict[str, Any]]]
"""What each file decodes to, by kind and name."""


def sha256(data: bytes) -> str:
    """Return the digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def crop(name: str, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
    """Return a window of a shipped photograph, [height, width, 3]."""
    from PIL import Image

    with Image.open(PICTURES / name) as picture:
        return np.asarray(picture.convert("RGB"))[y : y + height, x : x + width]


def with_alpha(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pixels with a soft disc as alpha: nothing outside it, opaque inside, a wide edge between."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width]
    distance = np.hypot((x - width / 2) / width, (y - height / 2) / height)
    alpha = np.clip((0.5 - distance) * 5, 0, 1) * 255
    return np.dstack([pixels, alpha.round().astype(np.uint8)])


def encoded(pixels: NDArray[np.uint8], quality: int, notes: tuple[str, ...] = ()) -> bytes:
    """Return the file of a picture."""
    picture = replace(load_picture(np.ascontiguousarray(pixels)), notes=notes)
    return encode_picture(picture, quality=quality, config=CONFIG, backend=Backend(1)).data


def extremes() -> bytes:
    """Return a file of random splats: all classes, needles, tiny and huge ones, many on the margin."""
    from tests.support.integers import random_integers

    header = Header(40, 24, 3, 0, 10, 0, (90, 100, 110))
    q = random_integers(400, 3, 40, 24, seed=7)
    return write(Container(header, Field.encode(q, header.layout)))


def divided(data: bytes, most_in_part: int) -> bytes:
    """Return a file's splats with a directory, in parts of so many."""
    container = read(data)
    assert container.field is not None
    layout = container.field.layout
    integers, _ = container.field.decode()
    coded, _ = core().encode_field(
        network(), integers, *layout.arguments, most_in_part=most_in_part, least_for_directory=0
    )
    return write(replace(container, field=Field.parse(coded, layout)))


def pictures() -> Files:
    """Return files of one layer."""
    cat = crop("chelsea.png", 130, 90, 96, 64)
    grey = np.asarray(cat).mean(2).round().astype(np.uint8)
    rgb = encoded(cat, 60)
    many = encoded(crop("coffee.png", 180, 60, 240, 200), 90)
    note = ("the EXIF orientation was applied", 'ICC profile "Größe" was converted to sRGB')
    return {
        "rgb": ("a photograph, 96 x 64", rgb),
        "many": ("several hundred splats, cells of more than 256", many),
        "directory": ("the same with a directory", divided(many, 1 << 20)),
        "parts": ("the same in parts of at most 200 splats", divided(many, 200)),
        "grey": ("one channel", encoded(grey, 60)),
        "grey-alpha": ("two channels, soft alpha", encoded(with_alpha(grey[:, :, None]), 60)),
        "rgba": ("four channels, soft alpha", encoded(with_alpha(cat), 60)),
        "one-pixel": ("1 x 1", encoded(np.array([[[200, 100, 50]]], np.uint8), 75)),
        "no-splats": (
            "a flat colour and nothing else",
            encoded(np.full((16, 24, 3), (12, 130, 255), np.uint8), 75),
        ),
        "strip": ("300 x 5", encoded(crop("rocket.jpg", 120, 300, 300, 5), 70)),
        "note": ("a section of notes", encoded(cat[:32, :48], 50, note)),
        "optional-section": (
            "an unknown optional section, to be skipped",
            rgb + section(0xF5, b"from the future"),
        ),
        "extremes": ("random splats of every class, shape and size", extremes()),
    }


def objects() -> Scene:
    """Return a photograph cut into a background and two objects with mattes, one over the other."""
    height, width = 64, 96
    y, x = np.mgrid[:height, :width] + 0.5
    masks = {
        name: (np.hypot(x - left, y - top) < radius).astype(np.float32)
        for name, left, top, radius in (("left", 30, 34, 18), ("right", 54, 28, 14))
    }
    picture = load_picture(np.ascontiguousarray(crop("chelsea.png", 130, 90, width, height)))
    return Scene.from_bytes(
        encode_picture(picture, quality=60, config=CONFIG, masks=masks, backend=Backend(1)).data
    )


def layers(flat: Files) -> Files:
    """Return files of several layers, made of those of one."""
    cut = objects()
    picture, disc, grey = (Scene.from_bytes(flat[name][1]) for name in ("rgb", "rgba", "grey-alpha"))
    together = picture.merge(disc, names=["disc"]).merge(grey, names=["grau, größer"]).reset()
    edited = together.edited(
        [
            {"group": "disc", "move": [20.5, -8], "rotate": 30, "scale": [0.75, -0.5], "blur": 1.25},
            {"group": "grau, größer", "tint": ["#3060ff", 0.5], "opacity": 0.6, "lower": True},
            {"group": "picture", "contrast": 1.3, "saturation": 0.4, "hue": -25, "brightness": 0.9},
        ]
    ).edited([{"group": "disc", "duplicate": "copy", "scale": 1.5}, {"group": "copy", "move": [-30, 12]}])
    reordered = cut["left"].duplicate("third").to_back().scene["right"].hide().scene["third"].raise_().scene
    return {
        "layers": ("an opaque layer below two with alpha, one of them grey", together.to_bytes()),
        "edits": ("the same after two steps of edits, with a copy", edited.to_bytes()),
        "cut-out": (
            "one of its layers, with its edits, on a transparent canvas",
            edited.extract("disc").to_bytes(),
        ),
        "objects": ("a background and two objects with mattes", cut.to_bytes()),
        "edited-objects": (
            "the same with one moved, turned and blurred, and the other recoloured",
            cut.edited(
                [
                    {"group": "right", "move": [18, 6], "rotate": 20, "scale": 1.25, "blur": 1.5},
                    {"group": "left", "hue": 60, "contrast": 0.8, "opacity": 0.7},
                ]
            ).to_bytes(),
        ),
        "reordered-objects": (
            "the same with a copy, hidden, deleted, raised and lowered layers",
            reordered["left"].delete().to_bytes(),
        ),
    }


def clips() -> Files:
    """Return files of clips."""
    wide = crop("coffee.png", 180, 60, 200, 120)
    frames = [np.ascontiguousarray(wide[20 + t : 68 + t, 4 * t : 64 + 4 * t]) for t in range(9)]
    times = [Fraction(t, 25) for t in (0, 1, 2, 3, 4, 5, 6, Fraction(19, 2), 10)]
    config = ClipConfig(rounds=3, steps=5, final_steps=9, sweeps=2, frames=6)
    panned = io.BytesIO()
    timed = zip(frames, times, strict=True)
    encode_frames(
        timed, Fraction(25), panned, config=config, quality=40, backend=Backend(1), total=9, notes=("a note",)
    )
    return {
        "pan": ("nine frames in two segments that overlap, a path, durations", panned.getvalue()),
        "layers": ("an object with a matte through time, a still layer, edits", layered_clip()),
    }


def clocks() -> Files:
    """Return files of clips in which frames repeat the one before."""
    wide = crop("coffee.png", 180, 60, 200, 120)
    moments = [np.ascontiguousarray(wide[20 + t : 68 + t, 4 * t : 64 + 4 * t]) for t in range(9)]
    config = ClipConfig(rounds=3, steps=5, final_steps=9, sweeps=2, frames=8)

    def of(order: tuple[int, ...]) -> bytes:
        file = io.BytesIO()
        frames = ((moments[t], None) for t in order)
        encode_frames(
            frames, Fraction(30), file, config=config, quality=40, backend=Backend(1), total=len(order)
        )
        return file.getvalue()

    clock = (Clock((0, 1, 1, 2, 3, 3)), Clock((0, 0, 0, 1)), Clock((0, 0, 1, 1)))
    return {
        "pulldown": (
            "every fifth frame twice, in two segments that overlap",
            of((0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8)),
        ),
        "held": ("a picture for five frames, of one moment", of((0, 0, 0, 0, 0))),
        "layers": (
            "layers and a matte by clocks of their own, durations",
            layered_clip(clock, (3000,) * 5 + (9000,)),
        ),
    }


def layered_clip(clocks: tuple[Clock | None, ...] = (None, None, None), ticks: tuple[int, ...] = ()) -> bytes:
    """Return a clip of random splats with a moving object and a still one, and edits of both.

    Args:
        clocks: of its segments: one of the background, one of the object, and another of the background.
        ticks: of the first one's frames.
    """
    from tests.support.integers import random_integers, random_moving

    header = Header(48, 32, 3, 200, 10, 0, (90, 100, 110))
    bike = replace(header, background=(200, 30, 10))
    still = Header(30, 20, 4, 200, 10, 0, (0, 0, 0, 0))
    stack = [
        CodedLayer(
            "bike", bike, None, (0, 0, 48, 32), CodedLayer("bike", matte_header(bike, 200, (0,)), None)
        ),
        CodedLayer(
            "sign", still, Field.encode(random_integers(20, 4, 30, 20, seed=3), still.layout), (0, 0, 30, 20)
        ),
    ]
    segments = []
    own_segments = ((4, 0, header, 0, 4), (5, 1, bike, 1, 3), (6, 0, header, 3, 3))
    for (seed, layer, own, first, count), clock in zip(own_segments, clocks, strict=True):
        count = count if clock is None else clock.count
        path = np.zeros((count, 2), np.int32)
        layout = segment_layout(own, path, own.step_code)
        coded = Field.encode(random_moving(30, 3, 48, 32, count, seed=seed), layout).data
        matte = None
        if layer:
            cover = segment_layout(matte_header(own, 200, (0,)), path, 200)
            matte = CodedMatte(
                200, (96,), Field.encode(random_moving(15, 1, 48, 32, count, seed=9), cover).data
            )
        lasting = () if segments else ticks
        segments.append(
            CodedSegment(first, path, lasting, 200, own.background, coded, layer, matte, clock=clock)
        )
    parts = [(clip_section(Fraction(10)), None), *((layer_section(layer), None) for layer in stack)]
    parts += [(segment_section(s), s.span) for s in segments]
    data = header_bytes(header) + b"".join(part for part, _ in parts)
    clip = Clip.from_bytes(data + index_section((part[0], len(part), span) for part, span in parts))
    edits = [{"group": "bike", "rotate": 25, "opacity": 0.8}, {"group": "sign", "move": [9, 4], "blur": 1}]
    return clip.edited(edits).to_bytes()


def light_fields() -> Files:
    """Return files of scenes that several eyes see."""
    from tests.support.integers import random_integers, with_disparities
    from tests.support.lightfields import views_of

    views, places = views_of(3, 2)
    seen = splat2d.encode(views, positions=places, quality=50, preset="fast", threads=1)
    eyes = Eyes.of([(0, 0), (1.5, -3), (0.25, 7)])
    header = Header(300, 200, 4, 100, 10, 0, (90, 100, 110, 0))
    q = with_disparities(random_integers(500, 4, 300, 200, seed=8, log2_s=(-1, 5)), eyes, 6)
    layout = replace(header.layout, eyes=eyes.arguments)
    random = write(Container(header, Field.encode(q, layout), eyes=eyes))
    return {
        "grid": ("a square before a wall, by 3 x 2 eyes", seen),
        "list": ("random splats with alpha, eyes anywhere, in parts", divided(random, 100)),
    }


def broken(flat: Files) -> Files:
    """Return files that a reader must refuse."""
    rgb, parts = flat["rgb"][1], flat["parts"][1]
    head = header_bytes(read(rgb).header)
    future = b"\xc2SPL\x02" + head[5:-2]
    counts = b"\0" + b"".join(map(varint, (1, 2, 3, 4, 5, 1_000_000)))
    container = read(parts)
    assert container.field is not None
    data = container.field.data
    flipped = data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]
    index = core().field_index(data, container.header.width, container.header.height)
    return {
        "unknown-mandatory-section": ("a section 0x42 of a newer version", rgb + section(0x42, b"?")),
        "header-checksum": ("a bit of the background flipped", rgb[:13] + bytes([rgb[13] ^ 4]) + rgb[14:]),
        "section-checksum": (
            "a bit of the coded splats flipped",
            rgb[:-20] + bytes([rgb[-20] ^ 1]) + rgb[-19:],
        ),
        "piece-checksum": (
            "a bit of a part flipped, the section's checksum right",
            header_bytes(container.header) + section(1, flipped),
        ),
        "missing-tier": (
            "the last tier's pieces are missing, the section's checksum right",
            header_bytes(container.header) + section(1, data[: index["ends"][-2]]),
        ),
        "truncated": ("the last 100 bytes are missing", rgb[:-100]),
        "future-version": (
            "version 2, rightly checked",
            future + zlib.crc32(future).to_bytes(4, "little")[:2],
        ),
        "too-many-splats": ("a million splats claimed in 64 bytes", head + section(1, counts + bytes(64))),
    }


KINDS = {
    "pictures": pictures,
    "layers": lambda: layers(pictures()),
    "clips": clips,
    "clocks": clocks,
    "lightfields": light_fields,
}


def describe(what: str, data: bytes) -> dict[str, Any]:
    """Return what a file must decode to."""
    from tests.support.golden import drawn
    from tests.support.integers import fields_of

    integers = [field.decode()[0] for field in fields_of(data)]
    clip = Clip.from_bytes(data) if is_clip(data) else None
    drawable = clip or Scene.from_bytes(data)
    times = []
    if clip is not None:
        times = [clip.time_of(i) for i in range(clip.count)]
        times.append((times[1] + times[2]) / 2)
    out: dict[str, Any] = {
        "what": what,
        "bytes": len(data),
        "sha256": sha256(data),
        "width": drawable.width,
        "height": drawable.height,
        "channels": drawable.channels,
        "splats": sum(map(len, integers)),
        "integers_sha256": sha256(b"".join(q.astype("<i4").tobytes() for q in integers)),
    }
    if clip is not None:
        out["times"] = [str(time) for time in times]
    elif read(data).eyes:
        out["looks"] = [{"eye": [0, 0]}, {"eye": [1, -0.5]}, {"eye": [-0.75, 0.25]}, {"focus": 2.0}]
    for name, scale in (("pixels_sha256", 1.0), ("half_size_sha256", 0.5), ("double_size_sha256", 2.0)):
        out[name] = sha256(b"".join(pixels.tobytes() for pixels in drawn(data, out, scale=scale)))
    return out


def error_of(data: bytes) -> str:
    """Return what a reader says of a broken file."""
    try:
        Scene.from_bytes(data)
    except BitstreamError as error:
        return str(error)
    raise AssertionError("a broken file was read")


def network_sentence() -> str:
    """Return what the document says of the network file."""
    data = PATH.read_bytes()
    inflated = zlib.decompress(data)
    return (
        f"`splat2d/format/network.bin` **is part of this document**: {len(data):,} bytes, SHA-256\n"
        f"`{sha256(data)}`,\n"
        f"a zlib stream of {len(inflated):,} bytes, SHA-256\n"
        f"`{sha256(inflated)}`.\n"
    )


def refresh_document(manifest: Manifest) -> None:
    """Put the network's and the golden files' present sizes and digests into the document."""
    text = FORMAT.read_text()
    presents = {r"`splat2d/format/network\.bin` \*\*is[^.]*\.\n": network_sentence()}
    keys = {kind: ("what", "bytes", "splats", "channels") for kind in KINDS}
    for kind, columns in {**keys, "broken": ("what", "error")}.items():
        rows = [
            f"| `{name}` | " + " | ".join(str(entry[key]) for key in columns) + " |\n"
            for name, entry in manifest[kind].items()
        ]
        presents[rf"(?:\| `{kind}/[\w.-]+` \|.*\n)+"] = "".join(rows)
    for pattern, present in presents.items():
        text, count = re.subn(pattern, lambda _, present=present: present, text)
        assert count == 1, pattern
    FORMAT.write_text(text)


def main() -> None:
    """Write all files and the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--force", action="store_true", help="replace the files that are there")
    parser.add_argument("--missing", action="store_true", help="add kinds of files that are not there")
    options = parser.parse_args()
    manifest: Manifest = {}
    if MANIFEST.exists() and not options.force:
        manifest = json.loads(MANIFEST.read_text())
        if not options.missing:
            sys.exit(
                "error: the golden files are there; a change of the format needs --force and a good reason"
            )
        add(manifest, {kind: make for kind, make in KINDS.items() if kind not in manifest})
    else:
        add(manifest, KINDS)
        add_broken(manifest)
    MANIFEST.write_text(json.dumps(manifest, indent=1) + "\n")
    refresh_document(manifest)


def add(manifest: Manifest, kinds: dict[str, Callable[[], Files]]) -> None:
    """Write kinds of files."""
    for kind, make in kinds.items():
        (HERE / kind).mkdir(exist_ok=True)
        manifest[kind] = {}
        for name, (what, data) in make().items():
            (HERE / kind / f"{name}.splat").write_bytes(data)
            manifest[kind][f"{kind}/{name}.splat"] = describe(what, data)


def add_broken(manifest: Manifest) -> None:
    """Write files that a reader must refuse."""
    (HERE / "broken").mkdir(exist_ok=True)
    manifest["broken"] = {}
    for name, (what, data) in broken(pictures()).items():
        # Not .splat, so that whoever tries all golden files finds the good ones.
        (HERE / "broken" / f"{name}.bad").write_bytes(data)
        entry = {"what": what, "bytes": len(data), "sha256": sha256(data)}
        manifest["broken"][f"broken/{name}.bad"] = {**entry, "error": error_of(data)}


if __name__ == "__main__":
    main()
