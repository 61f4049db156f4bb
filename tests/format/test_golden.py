"""The golden files decode for ever to the same integers and pixels, in splat2d and in the tiny decoder.

The files and their manifest are never made anew to make these tests pass: see tests/golden/make.py.
"""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import re
import subprocess
import sys
import zlib
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

import splat2d
from splat2d.draw import render
from splat2d.errors import BitstreamError
from splat2d.format import container, edits, field, header, layers, sections, segments
from splat2d.format.container import Container, is_clip, read, write
from splat2d.format.field import Field
from splat2d.format.header import Header
from splat2d.format.network import PATH as NETWORK
from splat2d.native import core
from splat2d.native.backend import Backend
from splat2d.scene.clip import Clip
from splat2d.scene.picture import Scene

from ..support import model
from ..support.golden import drawn, good, manifest
from ..support.integers import fields_of, layout_for, random_integers
from ..support.places import GOLDEN, ROOT

TINY = ROOT / "examples" / "tiny_decoder.py"
FORMAT = (ROOT / "docs" / "FORMAT.md").read_text()
GOOD, PICTURES, BROKEN = good(), manifest()["pictures"], manifest()["broken"]
# Pixels are the same bits on x86-64 and on 64-bit Arm of Linux; elsewhere exp, sin and cos may differ in a
# last bit.
EXACT = platform.machine().lower() in ("x86_64", "amd64", "aarch64")


@pytest.fixture(scope="module")
def tiny() -> ModuleType:
    """The decoder that was written from docs/FORMAT.md."""
    spec = importlib.util.spec_from_file_location("tiny_decoder", TINY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def integers_sha256(*integers: np.ndarray) -> str:
    return sha256(b"".join(q.astype("<i4").tobytes() for q in integers))


def integers_of(data: bytes) -> np.ndarray:
    (only,) = fields_of(data)
    return only.decode()[0]


def within_one_level(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and int(np.abs(a.astype(int) - b.astype(int)).max(initial=0)) <= 1


# splat2d.


def test_the_manifest_lists_all_files():
    found = {p.relative_to(GOLDEN).as_posix() for p in GOLDEN.rglob("*") if p.suffix in (".splat", ".bad")}
    assert found == {*GOOD, *BROKEN}
    for name, entry in {**GOOD, **BROKEN}.items():
        data = (GOLDEN / name).read_bytes()
        assert (len(data), sha256(data)) == (entry["bytes"], entry["sha256"]), name


def test_they_cover_what_they_should():
    assert {entry["channels"] for entry in PICTURES.values()} == {1, 2, 3, 4}
    assert {entry["splats"] == 0 for entry in PICTURES.values()} == {True, False}
    counts = Scene.from_bytes((GOLDEN / "pictures/many.splat").read_bytes()).tier_counts
    assert max(counts) > 256  # the root's split is uniform
    assert min(counts) > 0
    notes = Scene.from_bytes((GOLDEN / "pictures/note.splat").read_bytes()).notes
    assert notes[1].startswith('ICC profile "Größe"')
    fields = {
        name: fields_of((GOLDEN / f"pictures/{name}.splat").read_bytes())[0]
        for name in ("parts", "directory")
    }
    assert fields["parts"].parts == 4
    assert len(set(fields["directory"].ends)) == 6


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", GOOD)
def test_integers_are_the_manifests(name, threads):
    found = [field.decode(backend=Backend(threads))[0] for field in fields_of((GOLDEN / name).read_bytes())]
    assert sum(map(len, found)) == GOOD[name]["splats"]
    assert integers_sha256(*found) == GOOD[name]["integers_sha256"]


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    ("scale", "key"), [(1.0, "pixels_sha256"), (0.5, "half_size_sha256"), (2.0, "double_size_sha256")]
)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.skipif(not EXACT, reason="not where the manifest's pixels are exact")
def test_pixels_are_the_manifests(name, scale, key, threads):
    entry, data = GOOD[name], (GOLDEN / name).read_bytes()
    pictures = list(drawn(data, entry, scale=scale, threads=threads))
    if scale == 1:
        assert pictures[0].shape == (entry["height"], entry["width"], entry["channels"])
    assert sha256(b"".join(pixels.tobytes() for pixels in pictures)) == entry[key]


@pytest.mark.parametrize("name", GOOD)
def test_integers_are_coded_as_the_same_bytes(name):
    for coded in fields_of((GOLDEN / name).read_bytes()):
        if coded.ends[0] == coded.ends[-1]:  # a small field has a directory only where it is asked for
            assert Field.encode(coded.decode()[0], coded.layout, backend=Backend(2)).data == coded.data


@pytest.mark.parametrize("name", GOOD)
def test_files_are_written_as_the_same_bytes(name):
    data = (GOLDEN / name).read_bytes()
    drawable = (Clip if is_clip(data) else Scene).from_bytes(data)
    assert drawable.to_bytes() == data
    if not is_clip(data) and name not in ("pictures/note.splat", "pictures/optional-section.splat"):
        assert write(read(data)) == data


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_say_what_is_wrong(name):
    with pytest.raises(BitstreamError) as caught:
        splat2d.decode((GOLDEN / name).read_bytes())
    assert str(caught.value) == BROKEN[name]["error"]


# The tiny decoder.


def test_tiny_decoder_is_short_and_stands_alone():
    text = TINY.read_text()
    assert text.count("\n") < 500
    imports = set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE))
    assert imports - set(sys.stdlib_module_names) == {"numpy"}


@pytest.mark.parametrize("name", PICTURES)
def test_tiny_decoder_decodes(name, tiny):
    data = (GOLDEN / name).read_bytes()
    file = tiny.parse(data)
    integers, shapes = tiny.decode_splats(file)
    assert integers_sha256(integers) == PICTURES[name]["integers_sha256"]
    assert within_one_level(tiny.render(file, integers, shapes), splat2d.decode(data))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("width", "height", "count"), [(1, 1, 3), (200, 40, 700)])
def test_tiny_decoder_decodes_random_integers(channels, width, height, count, tiny):
    q = random_integers(count, channels, width, height, seed=channels)
    layout = layout_for(q, width, height)
    head = Header(width, height, channels, layout.step_code, layout.chroma_step, 0, (0,) * channels)
    data = write(Container(head, Field.encode(q, layout)))
    integers, shapes = tiny.decode_splats(tiny.parse(data))
    assert np.array_equal(integers, integers_of(data))
    assert len(shapes) == len(integers) == len(q)


@pytest.mark.parametrize("seed", range(24))
def test_both_decoders_agree_on_damaged_splats(seed, tiny):
    rng = np.random.default_rng(seed)
    name = ("rgb", "rgba", "extremes", "parts")[seed % 4]
    parsed = read((GOLDEN / f"pictures/{name}.splat").read_bytes())
    coded = parsed.field
    at = int(rng.integers(12, len(coded.data) - 8))
    data = write(
        replace(parsed, field=replace(coded, data=coded.data[:at] + rng.bytes(8) + coded.data[at + 8 :]))
    )
    try:
        expected = integers_of(data)
    except BitstreamError:
        with pytest.raises(ValueError, match="the coded splats are damaged"):
            tiny.decode_splats(tiny.parse(data))
    else:
        assert np.array_equal(tiny.decode_splats(tiny.parse(data))[0], expected)


@pytest.mark.parametrize("name", [name for name in (*GOOD, *BROKEN) if name not in PICTURES])
def test_tiny_decoder_refuses_broken_and_layered_files(name, tiny):
    with pytest.raises(ValueError, match=r"\w") as caught:
        tiny.decode_splats(tiny.parse((GOLDEN / name).read_bytes()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("rgb", "ppm"), ("grey", "pgm"), ("grey-alpha", "pam"), ("rgba", "pam"), ("rgba", "npy")],
)
def test_tiny_decoder_as_a_command(name, suffix, tmp_path, run_python):
    out = tmp_path / f"out.{suffix}"
    run_python(TINY, GOLDEN / f"pictures/{name}.splat", out, check=True)
    expected = splat2d.decode((GOLDEN / f"pictures/{name}.splat").read_bytes())
    if suffix == "npy":
        pixels = np.load(out)
    else:
        *_, body = out.read_bytes().partition(b"ENDHDR\n" if suffix == "pam" else b"\n255\n")
        pixels = np.frombuffer(body, np.uint8).reshape(expected.shape)
    assert within_one_level(pixels, expected)


@pytest.mark.parametrize("source", ["broken/truncated.bad", "broken/future-version.bad", "no-such.splat"])
def test_tiny_decoder_fails_in_one_line(source, tmp_path, run_python):
    done: subprocess.CompletedProcess[str] = run_python(TINY, GOLDEN / source, tmp_path / "out.ppm")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.ppm").exists()


# The document.


def test_network_of_the_document_is_that_of_the_code():
    data = NETWORK.read_bytes()
    inflated = zlib.decompress(data)
    for content in (data, inflated):
        assert f"{len(content):,} bytes, SHA-256\n`{sha256(content)}`" in FORMAT
    assert inflated[0] == 11


def native_constants() -> dict[str, float]:
    """The constants of cpp/ that are numbers, by their names in the document: kNearInputs is NEAR_INPUTS."""
    found = {}
    for path in (ROOT / "cpp").rglob("*.hpp"):
        for declared in re.findall(r"constexpr \w+ (k[^;]+);", path.read_text()):
            for name, value in re.findall(r"k(\w+) = ([\d.]+(?: << \d+)?)f?\b", declared):
                found[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()] = float(eval(value))
    return found


def test_constants_of_the_document_are_those_of_the_code():
    listed = dict(re.findall(r"^\| ([A-Z_]+) \| ([\d.]+) \|", FORMAT, re.MULTILINE))
    assert len(listed) >= 20
    native = native_constants()
    modules = (container, edits, header, field, layers, sections, segments, render, core())
    for name, value in listed.items():
        found = {getattr(module, name) for module in modules if hasattr(module, name)}
        if name in native:
            found.add(native[name])
        assert found == {float(value)}, name


def native_list(name: str) -> list[int]:
    """The numbers of an array constant in cpp/."""
    found = re.search(
        rf"{name}\[kTiers\] = {{([\d, ]+)}}", (ROOT / "cpp" / "format" / "quantizer.hpp").read_text()
    )
    assert found, f"no {name} in cpp/format/quantizer.hpp"
    return [int(n) for n in found[1].split(",")]


def test_tier_table_of_the_document_is_that_of_the_code():
    rows = re.findall(r"^\| ([0-5]) \| (\d+) \| (\d+), (\d+) \|$", FORMAT, re.MULTILINE)
    tier, leaf, fine, coarse = (list(column) for column in np.array(rows, int).T)
    assert tier == list(range(core().TIERS))
    assert leaf == list(core().LEAF_LOG2) == native_list("kLeafLog2")
    assert fine == [1 << (14 + (6 - t) // 2 - 12) for t in tier]
    assert coarse == [4 * side for side in fine]


def test_golden_tables_of_the_document_are_the_manifests():
    for name, entry in GOOD.items():
        row = f"| `{name}` | {entry['what']} | {entry['bytes']} | {entry['splats']} | {entry['channels']} |"
        assert row in FORMAT
    for name, entry in BROKEN.items():
        assert f"| `{name}` | {entry['what']} | {entry['error']} |" in FORMAT


def numbers_after(text: str) -> list[int]:
    """The list of numbers that follows a text in the document."""
    return [int(n) for n in re.search(re.escape(text) + r"\s+([\d, \n]+\d)", FORMAT)[1].split(",")]


def test_worked_rows_of_the_document(tiny):
    assert numbers_after("3, 0, 5, 5 becomes") == model.normalise([3, 0, 5, 5])
    logits = [10, -1023, 74, 74]
    assert (
        numbers_after("four symbols become")
        == model.weigh(logits)
        == tiny.weigh(np.array([logits]))[0].tolist()
    )
    weights = [1] * 32
    weights[5] = 2**16 - 31
    assert numbers_after("all\n   others 1, u is") == model.shares_of_angles(weights, 3)
    expected = numbers_after("v2 = 96 gives the weights")
    assert expected == model.split_weights(3, 15, 96) == tiny.split_weights(3, 15, 96)[0].tolist()


def test_examples_of_the_document(tiny):
    for function, arguments, value in re.findall(r"(exp2_q16|sine_q15)\((-?\d+)\) = (\d+)", FORMAT):
        assert getattr(tiny, function)(int(arguments)) == int(value)
    for x, value in re.findall(r"log2_q6\((\d+)\) = (\d+)", FORMAT):
        assert tiny.log2_q6(int(x)) == model.log2_q6(int(x)) == int(value)
    for x, unit, value in re.findall(r"signed_log\((-?\d+), (\d+)\) = (-?\d+)", FORMAT):
        assert tiny.signed_log(int(x), int(unit)) == model.signed_log(int(x), int(unit)) == int(value)
    decoder = tiny.RangeDecoder(bytes.fromhex(re.search(r"The bytes `([0-9a-f ]+)` are", FORMAT)[1]))
    starts = [0, *np.cumsum([30247, 1, 25208]).tolist()]
    assert [decoder.uniform(5), decoder.symbol(starts)] == [2, 2]
    assert [decoder.uniform(n) for n in (1000, 3, 1 << 24, 1 << 24)] == [999, 1, 1234567, 7654321]
    whole = (GOLDEN / "pictures/no-splats.splat").read_bytes()
    assert (
        bytes.fromhex("c2 53 50 4c 01 03 18 10 bd 03 0a 4b 0c 82 ff 04 d8 01 07" + " 00" * 7 + "f4 09 b7 fb")
        == whole
    )
    k = np.array([[5, -3, 2]], np.int32)
    r = core().energy_classes(k, 10)
    assert r.tolist() == [6]
    assert core().area_ranges(r, 2).tolist() == [[14, 20]]
    assert core().angle_counts(r, np.array([2], np.int32)).tolist() == [11]
    rows = np.array([[3, 2, 5, 0, 1], [3, 2, 5, 1, 0]], np.int32)
    assert core().lattice_centers(np.repeat(r, 2), rows).tolist() == [[803, 0], [(325 * 1194) >> 12, 1194]]
