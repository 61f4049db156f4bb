"""What the benchmark's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def crops(tmp_path: Path, samples: Path) -> Path:
    """A folder of two photographs of 64x48 px."""
    folder = tmp_path / "crops"
    folder.mkdir()
    for name, box in (("coffee", (200, 100, 264, 148)), ("chelsea", (150, 100, 214, 148))):
        with Image.open(samples / f"{name}.png") as image:
            image.convert("RGB").crop(box).save(folder / f"{name}.png")
    return folder
