"""Fixtures that many tests share: the corpus, the shipped pictures, and commands as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT.parent / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CORPUS.is_dir():
        return
    skip = pytest.mark.skip(reason="needs the corpus at ../shared/data beside the checkout, which is absent")
    for item in items:
        if item.get_closest_marker("corpus"):
            item.add_marker(skip)


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
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=check
        )

    return run
