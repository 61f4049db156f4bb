"""Make the golden files and their manifest: once for each version of the format, never to make a test pass.

Run: python tests/golden/make.py [--force] [--only NAME...]. It also puts the sizes and digests of these files
and of the network into docs/FORMAT.md.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import re
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splat2d.codec.coder import Decoder, Encoder
from splat2d.codec.network import PATH
from splat2d.codec.splats import code_splats
from splat2d.errors import BitstreamError
from splat2d.fit.encode import encode_picture
from splat2d.format.container import Container, Header, read, varint, write
from splat2d.media.pictures import load_picture
from splat2d.native import core
from splat2d.scene.picture import Scene, layout_of

HERE = Path(__file__).resolve().parent
PICTURES = HERE.parents[1] / "examples" / "pictures"
MANIFEST = HERE / "manifest.json"
FORMAT = HERE.parents[1] / "docs" / "FORMAT.md"


def sha256(data: bytes) -> str:
    """Return the digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def little_endian(integers: NDArray[np.int32]) -> bytes:
    """Return integers as the manifest hashes them."""
    return integers.astype("<i4").tobytes()


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
    return encode_picture(picture, quality=quality, threads=1).data


def extremes() -> bytes:
    """Return a file of random splats: all classes, needles, tiny and huge ones, many on the margin."""
    spec = importlib.util.spec_from_file_location("integers", HERE.parent / "integers.py")
    assert spec is not None
    assert spec.loader is not None
    integers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(integers)
    q = integers.random_integers(400, 3, 40, 24, seed=7)
    layout = replace(integers.layout_for(q, 40, 24), step_code=0)
    coder = Encoder()
    code_splats(coder, layout, q)
    header = Header(40, 24, 3, layout.step_code, layout.chroma_step, 0, (90, 100, 110))
    return write(Container(header, layout.tier_counts, coder.to_bytes()))


def section(kind: int, payload: bytes) -> bytes:
    """Return a section with its checksum."""
    data = bytes([kind]) + varint(len(payload)) + payload
    return data + zlib.crc32(data).to_bytes(4, "little")


def good_files() -> dict[str, tuple[str, bytes]]:
    """Return what each file shows and its bytes, by name."""
    cat = crop("chelsea.png", 130, 90, 96, 64)
    grey = np.asarray(cat).mean(2).round().astype(np.uint8)
    rgb = encoded(cat, 60)
    note = ("the EXIF orientation was applied", 'ICC profile "Größe" was converted to sRGB')
    return {
        "rgb": ("a photograph, 96 x 64", rgb),
        "many": (
            "several hundred splats, cells of more than 256",
            encoded(crop("coffee.png", 180, 60, 240, 200), 90),
        ),
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
    return Scene.from_bytes(encode_picture(picture, quality=60, masks=masks, threads=1).data)


def layered_files(good: dict[str, bytes]) -> dict[str, tuple[str, bytes]]:
    """Return what each file of several layers shows and its bytes, by name, made of files of one layer."""
    cut = objects()
    picture, disc, grey = (Scene.from_bytes(good[name]) for name in ("rgb", "rgba", "grey-alpha"))
    layers = picture.merge(disc, names=["disc"]).merge(grey, names=["grau, größer"]).reset()
    edited = layers.edited(
        [
            {"group": "disc", "move": [20.5, -8], "rotate": 30, "scale": [0.75, -0.5], "blur": 1.25},
            {"group": "grau, größer", "tint": ["#3060ff", 0.5], "opacity": 0.6, "lower": True},
            {"group": "picture", "contrast": 1.3, "saturation": 0.4, "hue": -25, "brightness": 0.9},
        ]
    ).edited([{"group": "disc", "duplicate": "copy", "scale": 1.5}, {"group": "copy", "move": [-30, 12]}])
    return {
        "layers": ("an opaque layer below two with alpha, one of them grey", layers.to_bytes()),
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
    }


def broken_files(rgb: bytes) -> dict[str, tuple[str, bytes]]:
    """Return what is wrong with each file and its bytes, by name."""
    container = read(rgb, core().TIERS)
    no_splats = write(replace(container, tier_counts=(0,) * core().TIERS, splats=b""))
    header = no_splats[: -len(section(1, bytes(core().TIERS)))]
    future = b"\xc2SPL\x02" + header[5:-2]
    counts = b"".join(map(varint, (1, 2, 3, 4, 5, 1_000_000)))
    return {
        "unknown-mandatory-section": ("a section 0x42 of a newer version", rgb + section(0x42, b"?")),
        "header-checksum": ("a bit of the background flipped", rgb[:13] + bytes([rgb[13] ^ 4]) + rgb[14:]),
        "section-checksum": (
            "a bit of the coded splats flipped",
            rgb[:-20] + bytes([rgb[-20] ^ 1]) + rgb[-19:],
        ),
        "truncated": ("the last 100 bytes are missing", rgb[:-100]),
        "future-version": (
            "version 2, rightly checked",
            future + zlib.crc32(future).to_bytes(4, "little")[:2],
        ),
        "too-many-splats": ("a million splats claimed in 64 bytes", header + section(1, counts + bytes(64))),
    }


def describe(what: str, data: bytes) -> dict[str, str | int]:
    """Return what a file must decode to."""
    scene = Scene.from_bytes(data)
    layers = read(data, core().TIERS).stack
    sets = [part for layer in layers for part in layer.sets]
    integers = [code_splats(Decoder(part.splats), layout_of(part), None) for part in sets]
    return {
        "what": what,
        "bytes": len(data),
        "sha256": sha256(data),
        "width": scene.width,
        "height": scene.height,
        "channels": scene.channels,
        "splats": sum(map(len, integers)),
        "integers_sha256": sha256(b"".join(map(little_endian, integers))),
        "pixels_sha256": sha256(scene.render().tobytes()),
        "half_size_sha256": sha256(scene.render(scale=0.5).tobytes()),
    }


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
        f"`splat2d/codec/network.bin` **is part of this document**: {len(data):,} bytes, SHA-256\n"
        f"`{sha256(data)}`,\n"
        f"a zlib stream of {len(inflated):,} bytes, SHA-256\n"
        f"`{sha256(inflated)}`.\n"
    )


def golden_rows(manifest: dict[str, dict[str, dict[str, str | int]]]) -> tuple[str, ...]:
    """Return the rows of the document's tables of good, of layered and of broken files."""
    good = ("what", "bytes", "splats", "channels")
    return tuple(
        "".join(
            f"| `{name}` | " + " | ".join(str(entry[key]) for key in keys) + " |\n"
            for name, entry in manifest[kind].items()
        )
        for kind, keys in (("good", good), ("layered", good), ("broken", ("what", "error")))
    )


def refresh_document(manifest: dict[str, dict[str, dict[str, str | int]]]) -> None:
    """Put the network's and the golden files' present sizes and digests into the document."""
    text = FORMAT.read_text()
    rows = golden_rows(manifest)
    flat, bad = r"(?:\| `[\w-]+\.splat` \|.*\n)+", r"(?:\| `broken/[\w-]+\.bad` \|.*\n)+"
    sentence = r"`splat2d/codec/network\.bin` \*\*is[^.]*\.\n"
    for pattern, presents in ((sentence, [network_sentence()]), (flat, rows[:2]), (bad, rows[2:])):
        present = iter(presents)
        text, count = re.subn(pattern, lambda _, present=present: next(present), text)
        assert count == len(presents), pattern
    FORMAT.write_text(text)


def add_layered(names: list[str], force: bool) -> None:
    """Write layered files, and put them into manifest and document."""
    manifest = json.loads(MANIFEST.read_text())
    made = layered_files({Path(name).stem: (HERE / name).read_bytes() for name in manifest["good"]})
    entries = manifest.setdefault("layered", {})
    for name in names:
        if f"{name}.splat" in entries and not force:
            sys.exit(f"error: {name}.splat is there; a change of the format needs --force and a good reason")
        what, data = made[name]
        (HERE / f"{name}.splat").write_bytes(data)
        entries[f"{name}.splat"] = describe(what, data)
    ordered = {kind: manifest[kind] for kind in ("good", "layered", "broken")}
    MANIFEST.write_text(json.dumps(ordered, indent=1) + "\n")
    refresh_document(ordered)


def main() -> None:
    """Write all files and the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--force", action="store_true", help="replace the files that are there")
    parser.add_argument(
        "--only", nargs="+", default=(), help="layered files to write, made of those that are there"
    )
    options = parser.parse_args()
    if options.only:
        add_layered(options.only, options.force)
        return
    if MANIFEST.exists() and not options.force:
        sys.exit("error: the golden files are there; a change of the format needs --force and a good reason")
    good = good_files()
    manifest: dict[str, dict[str, dict[str, str | int]]] = {"good": {}, "layered": {}, "broken": {}}
    for name, (what, data) in good.items():
        (HERE / f"{name}.splat").write_bytes(data)
        manifest["good"][f"{name}.splat"] = describe(what, data)
    for name, (what, data) in layered_files({name: data for name, (_, data) in good.items()}).items():
        (HERE / f"{name}.splat").write_bytes(data)
        manifest["layered"][f"{name}.splat"] = describe(what, data)
    (HERE / "broken").mkdir(exist_ok=True)
    for name, (what, data) in broken_files(good["rgb"][1]).items():
        # Not .splat, so that whoever tries all golden files finds the good ones.
        (HERE / "broken" / f"{name}.bad").write_bytes(data)
        entry: dict[str, str | int] = {"what": what, "bytes": len(data), "sha256": sha256(data)}
        manifest["broken"][f"broken/{name}.bad"] = {**entry, "error": error_of(data)}
    MANIFEST.write_text(json.dumps(manifest, indent=1) + "\n")
    refresh_document(manifest)


if __name__ == "__main__":
    main()
