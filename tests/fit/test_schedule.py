"""Which splats the CPU refines at the same time."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from ..support import emulated

SHIM = """
#include "refine/schedule.hpp"

extern "C" void cells_of(const float* means, const int* boxes, int count, int width, int height, int* out) {
  std::vector<splat2d::Waiting> waiting;
  for (int i = 0; i < count; ++i) {
    const int* b = boxes + 4 * i;
    waiting.push_back({0, i, {means[2 * i], means[2 * i + 1]}, {b[0], b[1], b[2], b[3]}});
  }
  const splat2d::Schedule s = splat2d::in_cells(waiting, {width, height});
  for (size_t stage = 0; stage + 1 < s.stages.size(); ++stage)
    for (int line = s.stages[stage]; line < s.stages[stage + 1]; ++line)
      for (int v = s.lines[line]; v < s.lines[line + 1]; ++v) {
        const splat2d::Visit& visit = s.visits[v];
        int* row = out + 8 * visit.splat;
        row[0] += 1;
        row[1] = static_cast<int>(stage);
        row[2] = line;
        row[3] = visit.reach.x0, row[4] = visit.reach.y0, row[5] = visit.reach.x1, row[6] = visit.reach.y1;
        row[7] = v;
      }
}
"""


@pytest.fixture(scope="module")
def cells_of(tmp_path_factory: pytest.TempPathFactory):
    compiler = shutil.which("g++") or shutil.which("c++")
    sources = emulated.SOURCES.parent / "cpp"
    if compiler is None or not sources.is_dir():
        pytest.skip("no C++ compiler, or no sources")
    folder: Path = tmp_path_factory.mktemp("schedule")
    (folder / "shim.cpp").write_text(SHIM)
    command = [compiler, "-std=c++20", "-fPIC", "-shared", f"-I{sources}", str(folder / "shim.cpp")]
    subprocess.run(
        [*command, str(sources / "refine/schedule.cpp"), "-o", str(folder / "schedule.so")], check=True
    )
    library = ctypes.CDLL(str(folder / "schedule.so"))

    def run(means: np.ndarray, boxes: np.ndarray, width: int, height: int) -> np.ndarray:
        out = np.zeros((len(means), 8), np.int32)
        library.cells_of(
            means.astype(np.float32).ctypes,
            boxes.astype(np.int32).ctypes,
            len(means),
            width,
            height,
            out.ctypes,
        )
        return out

    return run


@pytest.mark.parametrize(("width", "height"), [(2048, 1365), (768, 512), (90, 1700), (20, 20)])
def test_lines_of_a_stage_meet_nowhere_and_wide_splats_share_them(cells_of, width: int, height: int):
    rng = np.random.default_rng(width)
    means = rng.uniform([-60, -60], [width + 60, height + 60], (600, 2))
    halves = np.exp(rng.uniform(0, 6.4, (600, 2)))
    boxes = np.concatenate([np.floor(means - halves), np.ceil(means + halves)], 1).astype(int)
    found = cells_of(means, boxes, width, height)
    visited, stage, line, reach = found[:, 0], found[:, 1], found[:, 2], found[:, 3:7]
    assert (visited == 1).all()
    assert (reach[:, :2] <= boxes[:, :2]).all()
    assert (reach[:, 2:] >= boxes[:, 2:]).all()
    for i, j in combinations(range(600), 2):
        if stage[i] == stage[j] and line[i] != line[j]:
            assert (reach[i, :2] >= reach[j, 2:]).any() or (reach[j, :2] >= reach[i, 2:]).any()
    alone = reach[:, 0] < -10_000  # whose moves may go anywhere
    wide = halves.max(1) > 130
    if width > 2000:
        assert alone.sum() < 0.4 * wide.sum()
        assert len(set(line[wide & ~alone])) >= 20


def test_within_a_line_the_order_is_that_of_waiting(cells_of):
    """Splats in one place are one line; the result is that of going one after another."""
    means = np.full((9, 2), 100.0)
    boxes = np.tile([90, 90, 110, 110], (9, 1))
    found = cells_of(means, boxes, 768, 512)
    assert len(set(map(tuple, found[:, 1:3]))) == 1
    assert (np.diff(found[:, 7]) == 1).all()
