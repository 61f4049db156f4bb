"""Fixtures that many tests share: the corpus, the shipped pictures, and commands as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from .support.places import CORPUS, ROOT


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CORPUS.is_dir():
        return
    skip = pytest.mark.skip(reason="needs the corpus at ../shared/data beside the checkout, which is absent")
    for item in items:
        if item.get_closest_marker("corpus"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def scheduling() -> Iterator[None]:
    """Fails a test that leaves its thread a real-time one, as encoders may: all later ones would starve."""
    yield
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        pytest.fail("the thread was left a real-time one")


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Folder of the corpus; a test that uses it is marked `corpus`."""
    if not CORPUS.is_dir():
        pytest.skip("needs the corpus at ../shared/data beside the checkout, which is absent")
    return CORPUS


@pytest.fixture(scope="session")
def samples() -> Path:
    """Folder of the photographs that the project ships."""
    return ROOT / "examples" / "pictures"


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python in a process of its own, outside the checkout, so that it finds the installed package."""

    def run(*args: str | Path, check: bool = False) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *map(str, args)]
        environment = {**os.environ, "PYTHONWARNINGS": ""}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=check
        )

    return run


@pytest.fixture(scope="session")
def small_splat() -> bytes:
    """A .splat file of 48x32 px, RGB, with 40 splats in its third tier and a note, made without a fit."""
    from splat2d.format.container import Container, write
    from splat2d.format.field import Field
    from splat2d.format.header import Header
    from splat2d.native import core

    width, height, chroma_step, count = 48, 32, 10, 40
    rng = np.random.default_rng(0)
    integers = np.zeros((20000, 8), np.int32)
    integers[:, :3] = rng.integers(-12, 13, (len(integers), 3))
    integers[:, 0] = rng.choice([-20, 20], len(integers))
    classes = core().energy_classes(np.ascontiguousarray(integers[:, :3]), chroma_step)
    integers[:, 3] = core().area_ranges(classes, 2)[:, 0]
    integers[:, 6:] = rng.integers(0, 3000, (len(integers), 2))
    # Which lattice points lie on the canvas depends on everything else, so draw many and keep some.
    means = core().dequantize(integers, 0.3, chroma_step)[0]
    integers = integers[np.all((means >= 0) & (means < [width, height]), axis=1)][:count]
    assert len(integers) == count

    header = Header(width, height, 3, 600, chroma_step, 50, (90, 100, 110))
    return write(Container(header, Field.encode(integers, header.layout), ("made by a test",)))
