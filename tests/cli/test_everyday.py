"""Everyday faults that users met: limits said clearly, patterns of any name, times of the last picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import splat2d
import splat2d.media.reader
from splat2d.codec.layer import container_of
from splat2d.errors import ConfigError
from splat2d.fit.encode import MAX_SEED
from splat2d.format.container import write
from splat2d.scene.clip import Clip

from ..support.command import assert_one_line, run
from ..support.layered import encoded, matted

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
    with pytest.raises(ConfigError, match=f"jobs is {jobs}, expected 1 to"):
        splat2d.encode(FRAMES, preset="fast", jobs=jobs)


# --- patterns --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.splat"
    path.write_bytes(splat2d.encode(FRAMES, fps=5, preset="fast"))
    return path


@pytest.mark.parametrize(
    ("pattern", "first"),
    [
        ("50%_%04d.png", "50%_0001.png"),
        ("%04d.png", "0001.png"),
        ("%d%%.png", "1%%.png"),
        ("out/%04d.png", "out/0001.png"),
        ("100%day/f_%02d.png", "100%day/f_01.png"),
    ],
)
def test_a_pattern_has_one_number_anywhere_in_a_name(capsys, tmp_path, clip, pattern, first):
    status, _, err = run(capsys, "decode", clip, tmp_path / pattern)
    assert (status, err) == (0, "")
    assert (tmp_path / first).is_file()
    assert len(list((tmp_path / first).parent.iterdir())) == 2
    assert splat2d.media.reader.open_clip(tmp_path / pattern).count == 2


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("d_%d%d.png", "has %d and %d; a pattern has one place"),
        ("take%d_%04d.png", "has %d and %04d; a pattern has one place"),
        ("d_%0999999999d.png", "more than 20 digits"),
        ("no/such/%04d.png", "does not exist; create it first"),
        ("shot_%02d/a.png", "in the name of a folder"),
    ],
)
def test_what_is_no_pattern_is_one_line(capsys, tmp_path, clip, pattern, said):
    status, _, err = run(capsys, "decode", clip, tmp_path / pattern)
    assert status == 1
    assert_one_line(err, said)
    assert ".tmp" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pattern", ["d_%d%d.png", "d_%0999999999d.png"])
def test_nor_is_it_one_to_read(capsys, tmp_path, pattern):
    status, _, err = run(capsys, "encode", tmp_path / pattern, tmp_path / "o.splat")
    assert status == 1
    assert_one_line(err, "digits" if "9" in pattern else "one place")


def test_folders_may_be_numbered_in_input(tmp_path):
    for number in (3, 4):
        (tmp_path / f"shot_{number:02d}").mkdir()
        Image.fromarray(FRAMES[0]).save(tmp_path / f"shot_{number:02d}" / "a.png")
    assert splat2d.media.reader.open_clip(tmp_path / "shot_%02d" / "a.png").count == 2


# --- the last picture's length ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["back.gif", "back.mkv", "back.mp4", "back.webm", "back.mov"])
def test_the_last_picture_of_a_slideshow_is_as_long_as_it_was(capsys, tmp_path, name):
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "lime", "blue")]
    frames[0].save(
        tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[100, 100, 3000], loop=0
    )
    assert run(capsys, "encode", tmp_path / "a.gif", tmp_path / "a.splat", "--preset", "fast")[0] == 0
    assert float(Clip.open(tmp_path / "a.splat").duration) == pytest.approx(3.2, abs=1e-3)
    assert run(capsys, "decode", tmp_path / "a.splat", tmp_path / name)[0] == 0
    reader = splat2d.media.reader.open_clip(tmp_path / name)
    times = [float(frame.time) for frame in reader]
    assert times == pytest.approx([0, 0.1, 0.2], abs=2e-3)
    assert float(reader.end) == pytest.approx(3.2, abs=5e-3)
    if name == "back.gif":
        with Image.open(tmp_path / name) as image:
            delays = [image.seek(index) or image.info["duration"] for index in range(3)]
        assert delays == [100, 100, 3000]


def test_merging_a_layer_with_a_matte_warns_of_nothing(capsys, tmp_path):
    (tmp_path / "below.splat").write_bytes(encoded("photo"))
    (tmp_path / "above.splat").write_bytes(write(container_of(40, 24, [matted(count=2)])))
    names = [tmp_path / f"{name}.splat" for name in ("below", "above", "out")]
    status, _, err = run(capsys, "merge", *names)
    assert (status, err) == (0, "")
