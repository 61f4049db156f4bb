"""The fuzzer's own tests, its corpus, and a handful of mutants of each kind."""

import operator
import random
import re
import sys

import pytest

from ..support.places import ROOT

sys.path.append(str(ROOT))  # behind an installed package

from fuzz import native
from fuzz.check import Found, _clip, _picture, check
from fuzz.fields import changed, layers_of
from fuzz.mutate import CHANGES, File, coded_in_parts, field_mutated, mutated
from fuzz.run import CORPUS, GOLDEN, seeds
from splat2d.errors import BitstreamError
from splat2d.format.field import Layout
from splat2d.format.sections import LAYER, SEGMENT


def outcome(data: bytes) -> str:
    try:
        return check(data)
    except Found as found:
        return str(found)  # too slow, as a busy machine may be


NAME = operator.attrgetter("__name__")


def test_a_file_is_put_together_as_it_was():
    for data in seeds():
        assert File(data).bytes() == data
        assert outcome(data) == "good"


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.bin")), ids=lambda path: path.stem)
def test_what_failed_once(path):
    assert outcome(path.read_bytes()) in ("good", "BitstreamError")


@pytest.mark.parametrize("change", sorted(set(CHANGES), key=NAME), ids=NAME)
def test_mutants_get_past_the_checksums(change):
    files, said = seeds(), set()
    for seed in range(40):
        rng = random.Random(seed)
        file = File(rng.choice(files))
        change(file, rng.choice(files), rng)
        try:
            said.add(check(file.bytes()))
        except Found as found:
            said.add(str(found))
    assert said & {"good", "BitstreamError"}
    assert not [text for text in said if "checksum" in text]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("layers/objects.splat", LAYER), ("clips/layers.splat", SEGMENT)],
    ids=["layer", "segment"],
)
@pytest.mark.parametrize("part", ["colours", "matte"])
def test_streams_of_mattes_and_segments_are_changed_behind_their_checksums(name, kind, part):
    good = coded_in_parts((GOLDEN / name).read_bytes())
    said = set()
    for seed in range(100):
        rng, file = random.Random(seed), File(good)
        layers = layers_of(file.header, file.sections)

        def change(data, layout, which, rng=rng):
            return field_mutated(data, layout, rng) if which == part else data

        at = rng.choice([i for i, (k, _) in enumerate(file.sections) if k == kind])
        payload = changed(kind, file.sections[at][1], file.header, layers, change)
        if payload in (None, file.sections[at][1]):  # a layer that moves, or has no matte
            continue
        file.sections[at] = (kind, payload)
        try:
            (_clip if kind == SEGMENT else _picture)(file.bytes())
            said.add("good")  # other splats, which are as good as those that were
        except BitstreamError as fault:
            said.add(str(fault).rpartition(": ")[2])
    # What only the decoding of splats can find.
    deep = r"good|an? .* is (out of range|outside its tier)|no symbol fits|.* that no splat can have"
    assert len([text for text in said if re.match(deep, text)]) > 1


def test_the_native_fuzzer_begins_with_all_kinds_of_fields():
    found = native.fields()
    assert len(found) > 40
    assert {data[8] > 1 for data in found} == {True, False}  # frames
    assert {data[4] for data in found} == {0, 1, 2, 3}  # channels, less one
    assert {bool(data[12] & 4) for data in found} == {True, False}  # a directory
    assert native.head(Layout(96, 64, 3, 10, 0x123, 7)) == bytes([95, 0, 63, 0, 2, 6, 0x23, 1, 7, 6, 0, 0])


def test_mutants_of_a_seed_are_the_same():
    files = seeds()
    made = [mutated(files[0], files[1], random.Random(7)) for _ in range(2)]
    assert made[0] == made[1]
