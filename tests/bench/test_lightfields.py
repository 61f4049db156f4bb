"""`splat2d bench lightfields`: real codecs on a tiny light field, and the order that videos are made in."""

import json

import numpy as np
import pytest
from PIL import Image

from splat2d.bench.lightfields import serpentine
from splat2d.media.views import Views

from ..support.command import run
from ..support.lightfields import views_of


def test_serpentine():
    views, eyes = views_of(3, 3, 8, 8)
    assert serpentine(Views(views, eyes)) == [0, 1, 2, 5, 4, 3, 6, 7, 8]


@pytest.mark.slow
def test_a_whole_run(capsys, tmp_path):
    views, eyes = views_of(3, 3, 64, 64)
    for view, (u, v) in zip(views, eyes, strict=True):
        Image.fromarray(view).save(tmp_path / f"u{u + 1:.0f}_v{v + 1:.0f}.png")
    out = tmp_path / "out.json"
    words = ["--presets", "fast", "--quality", "20", "40", "60", "80", "--threads", "1", "--out", out]
    status, said, err = run(capsys, "bench", "lightfields", tmp_path, *words)
    assert status == 0, err
    result = json.loads(out.read_text())
    assert len(result["rows"]) == 10 + 4
    ours = [row for row in result["rows"] if row["codec"] == "splat2d-fast"]
    assert all(np.diff([row["size"] for row in ours]) > 0)
    assert all(np.diff([row["psnr"] for row in ours]) > 0)
    assert result["left_out"][0]["encoded"] == 5
    assert "half of the views" in said
