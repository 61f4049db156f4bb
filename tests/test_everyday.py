"""Everyday faults that users met: limits said clearly, patterns of any name, times of the last picture."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

import splat2d
from splat2d.errors import ConfigError
from splat2d.fit.encode import MAX_SEED

from .command import assert_one_line, run

FLAT = np.full((8, 8), 90, np.uint8)
FRAMES = np.full((2, 16, 16, 3), 90, np.uint8)


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, 2**64, 0.5])
@pytest.mark.parametrize("image", [FLAT, FRAMES], ids=["picture", "clip"])
def test_a_seed_beyond_its_limit_is_a_clear_line(image, seed):
    with pytest.raises(ConfigError, match=f"expected an integer from 0 to {2**53}"):
        splat2d.encode(image, preset="fast", seed=seed)


@pytest.mark.parametrize("image", [FLAT, FRAMES], ids=["picture", "clip"])
def test_the_largest_seed_works(image):
    assert splat2d.encode(image, preset="fast", seed=MAX_SEED)


def test_the_command_line_has_the_same_limit(capsys, tmp_path):
    status, _, err = run(capsys, "encode", "a.png", tmp_path / "a.splat", "--seed", str(MAX_SEED + 1))
    assert status == 2
    assert_one_line(err, f"expected 0 to {MAX_SEED}")


@pytest.mark.parametrize("jobs", [0, -2])
def test_no_jobs_is_a_setting_out_of_range(jobs):
    with pytest.raises(ConfigError, match=f"jobs is {jobs}, expected 1 or more"):
        splat2d.encode(FRAMES, preset="fast", jobs=jobs)
