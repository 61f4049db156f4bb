"""The conformance folder says what splat2d decodes."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from ..golden import conformance
from ..support.golden import good

GOOD = good()


def test_all_golden_files_are_there():
    found = {
        path.relative_to(conformance.OUT).with_suffix("").as_posix()
        for path in conformance.OUT.rglob("*.txt")
    }
    assert found == {Path(name).with_suffix("").as_posix() for name in GOOD}


@pytest.mark.parametrize("name", GOOD)
def test_integers_and_pixels_are_those_of_the_file(name: str):
    data, out = (conformance.HERE / name).read_bytes(), conformance.OUT / Path(name).with_suffix("")
    assert out.with_suffix(".txt").read_text() == conformance.integers_text(data)
    kept, drawn = (
        np.frombuffer(pixels, np.uint8).astype(int)
        for pixels in (
            gzip.decompress(Path(f"{out}.raw.gz").read_bytes()),
            conformance.pixels_of(data, GOOD[name]),
        )
    )
    assert kept.shape == drawn.shape
    assert np.abs(kept - drawn).max(initial=0) <= 1
