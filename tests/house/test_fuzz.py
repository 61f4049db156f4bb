"""The fuzzer's own tests, its corpus, and a handful of mutants of each kind."""

import random
import sys

import pytest

from ..support.places import ROOT

sys.path.append(str(ROOT))  # behind an installed package

from fuzz.check import Found, check
from fuzz.mutate import CHANGES, File, mutated
from fuzz.run import CORPUS, seeds


def outcome(data: bytes) -> str:
    try:
        return check(data)
    except Found as found:
        return str(found)  # too slow, as a busy machine may be


def test_a_file_is_put_together_as_it_was():
    for data in seeds():
        assert File(data).bytes() == data
        assert outcome(data) == "good"


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.bin")), ids=lambda path: path.stem)
def test_what_failed_once(path):
    assert outcome(path.read_bytes()) in ("good", "BitstreamError")


@pytest.mark.parametrize(
    "change", sorted(set(CHANGES), key=lambda change: change.__name__), ids=lambda change: change.__name__
)
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


def test_mutants_of_a_seed_are_the_same():
    files = seeds()
    made = [mutated(files[0], files[1], random.Random(7)) for _ in range(2)]
    assert made[0] == made[1]
