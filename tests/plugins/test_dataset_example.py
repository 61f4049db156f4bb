"""examples/dataset.py: crops at any scale, the same from every worker."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import splat2d

from ..support.places import GOLDEN, ROOT

torch = pytest.importorskip("torch")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch):
    # Under its name, so that spawned workers find it.
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'examples'}:{ROOT}")
    spec = importlib.util.spec_from_file_location("dataset", ROOT / "examples" / "dataset.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "dataset", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("rgb", "grey", "rgba"):
        shutil.copy(GOLDEN / "pictures" / f"{name}.splat", tmp_path / "sub" / f"{name}.splat")
    shutil.copy(GOLDEN / "layers" / "objects.splat", tmp_path / "objects.splat")
    return tmp_path


def test_crops_are_windows_of_the_picture(example, folder: Path):
    data = example.SplatCrops(folder, size=24, scales=(1.0, 4.0))
    assert len(data) == 4
    crops = [data[i] for i in range(4)]
    for crop in crops:
        assert crop.shape == (3, 24, 24)
        assert crop.dtype == torch.float32
        assert 0 <= float(crop.min()) < float(crop.max()) <= 1
    assert torch.equal(crops[2], data[2])
    data.set_epoch(1)
    assert not torch.equal(crops[2], data[2])


def test_a_crop_is_what_decode_gives(example, folder: Path):
    data = example.SplatCrops(folder / "sub", size=20, scales=(0.5, 2.0))
    index = [path.stem for path in data.paths].index("rgb")
    sides = set()
    for epoch in range(8):
        data.set_epoch(epoch)
        x, y, width, height = data.crop(index)
        assert 0 <= x <= x + width <= 96
        assert 0 <= y <= y + height <= 64
        assert width == pytest.approx(height, abs=1e-3)
        assert 10 <= width <= 40.001
        sides.add(width)
        expected = splat2d.decode(
            data.paths[index].read_bytes(), crop=(x, y, width, height), width=20, height=20, dtype="float32"
        )
        np.testing.assert_array_equal(data[index].permute(1, 2, 0).numpy(), np.clip(expected, 0, 1))
    assert len(sides) == 8


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")  # of Python 3.12
@pytest.mark.parametrize("context", ["spawn", "fork"])
def test_workers_give_the_same_batches(example, folder: Path, context: str):
    data = example.SplatCrops(folder, size=16)
    splat2d.decode(data.paths[0].read_bytes(), threads=2)  # behind which a fork used to hang
    spawned = example.loader(data, batch=3, workers=2, context=context)
    for epoch in range(2):
        data.set_epoch(epoch)
        here = list(example.loader(data, batch=3, workers=0))
        there = list(spawned)
        assert [batch.shape for batch in there] == [(3, 3, 16, 16), (1, 3, 16, 16)]
        for a, b in zip(here, there, strict=True):
            assert torch.equal(a, b)


def test_a_folder_without_files(example, tmp_path: Path):
    with pytest.raises(splat2d.ConfigError, match=r"no \.splat files"):
        example.SplatCrops(tmp_path)
