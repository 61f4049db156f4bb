"""Files that ask for much: a warning, then an error, and memory in bands."""

import signal
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest

import splat2d
from splat2d.codec.layer import code_layer, container_of
from splat2d.draw.work import check_splats
from splat2d.errors import BitstreamError, InputImageError, LargeFileWarning
from splat2d.fit.encode import encode_picture
from splat2d.format.container import Container, read, write
from splat2d.format.field import Field
from splat2d.format.header import DEFAULT_LIMITS, Header, Limits
from splat2d.media.files import write_atomic
from splat2d.media.pictures import Picture
from splat2d.native.backend import Backend
from splat2d.scene.picture import Scene

from ..support.command import assert_one_line, run
from ..support.integers import random_integers, with_shapes

GOLDEN = Path(__file__).parents[1] / "golden"


def flat(width: int, height: int, channels: int = 3) -> bytes:
    """A file of a few dozen bytes."""
    header = Header(width, height, channels, 600, 10, 0, (9,) * channels)
    return write(Container(header, Field.encode(np.zeros((0, channels + 5), np.int32), header.layout)))


def test_a_large_canvas_is_warned_of_then_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Scene.from_bytes(flat(9459, 9459))
    with pytest.warns(LargeFileWarning, match="89491600 pixels"):
        Scene.from_bytes(flat(9460, 9460))
    with pytest.raises(BitstreamError, match="over the limit of 178956970"):
        Scene.from_bytes(flat(13378, 13378))
    assert Scene.from_bytes(flat(13378, 13378), limits=Limits.of_format()).width == 13378
    assert Scene.from_bytes(flat(13378, 13378), limits=Limits(max_pixels=1 << 28, warn_pixels=1 << 28))


def test_the_command_line_says_so(tmp_path, capsys):
    for name, side in (("large", 9460), ("huge", 13378)):
        with write_atomic(tmp_path / name) as file:
            file.write(flat(side, side))
    status, _, err = run(capsys, "decode", tmp_path / "large", tmp_path / "a.png", "--scale", 0.01)
    assert status == 0
    assert "warning: the canvas has 89491600 pixels" in err
    status, _, err = run(capsys, "decode", tmp_path / "huge", tmp_path / "b.png", "--scale", 0.01)
    assert status == 1
    assert_one_line(err, "over the limit of 178956970")
    more = ("--max-pixels", 200_000_000)
    assert run(capsys, "decode", tmp_path / "huge", tmp_path / "b.png", "--scale", 0.01, *more)[0] == 0
    assert run(capsys, "info", tmp_path / "huge")[0] == 0
    status, _, err = run(capsys, "decode", tmp_path / "large", tmp_path / "c.png", "--max-bytes", 8)
    assert_one_line(err, "the limit is 8")


@pytest.mark.parametrize(
    "words",
    [
        ("convert", "huge", "a.psd"),
        ("convert", "huge", "a.ora"),
        ("group", "huge", "a.splat", "--name", "n", "--box", "1,2,3,4"),
        ("edit", "huge", "a.splat", "--bake"),
    ],
    ids=" ".join,
)
def test_verbs_that_make_all_pixels_have_the_limit(tmp_path, capsys, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    Path("huge").write_bytes(flat(13378, 13378))
    status, _, err = run(capsys, *words)
    assert status == 1
    assert_one_line(err, "huge: the canvas has 178970884 pixels, over the limit of 178956970")
    assert [path.name for path in tmp_path.iterdir()] == ["huge"]


def test_layers_are_composited_in_bands():
    width, height = 5000, 4000
    header = Header(width, height, 4, 600, 10, 0, (0, 0, 0, 0))
    q = random_integers(20, 4, 400, 400, seed=3)
    layers = [code_layer(name, header, q) for name in ("one", "two")]
    scene = Scene.from_bytes(write(container_of(width, height, layers)))
    tracemalloc.start()
    pixels = scene.render()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pixels.shape == (height, width, 4)
    assert pixels[:400, :400].any()
    # The picture, and some floats for each of 2 million px.
    assert peak < pixels.nbytes + 100 * (1 << 21), f"{peak / 2**20:.0f} MiB"


def test_a_picture_beyond_the_format_is_refused_before_it_is_fitted():
    pixels = np.broadcast_to(np.float32(0.5), (3, 16400, 16400))
    with pytest.raises(InputImageError, match="a file may have"):
        encode_picture(Picture(pixels, (), ()))


def huge(count: int, width: int, height: int) -> bytes:
    """A file of splats that each cover thousands of px in all directions."""
    colors = np.tile(np.array([[3, 0, 0]], np.int32), (count, 1))
    q = with_shapes(colors, width, height, np.random.default_rng(0), log2_s=(10.9, 11))
    header = Header(width, height, 3, 600, 10, 0, (9, 9, 9))
    return write(Container(header, Field.encode(q, header.layout)))


@pytest.mark.filterwarnings("ignore::splat2d.errors.LargeFileWarning")
def test_hours_of_drawing_are_refused(tmp_path, capsys):
    data = huge(29_800, 13_377, 13_377)
    assert len(data) < 120_000
    scene = Scene.from_bytes(data)
    for draw in (scene.render, scene.render_float):
        with pytest.raises(
            BitstreamError, match=r"evaluations of a splat at a pixel, the limit is 68,719,476,736"
        ):
            draw()
    moved = scene.edited([{"group": "picture", "rotate": 15}])
    with pytest.raises(BitstreamError, match="max_evaluations"):
        moved.render()
    assert scene.render(crop=(5000, 5000, 16, 16)).shape == (16, 16, 3)
    (tmp_path / "a.splat").write_bytes(data)
    status, _, err = run(capsys, "decode", tmp_path / "a.splat", tmp_path / "a.png")
    assert status == 1
    assert_one_line(err.splitlines(keepends=True)[-1], "max_evaluations")


def test_the_limit_of_drawing_is_the_callers():
    data = huge(20, 64, 48)  # each of them everywhere
    exact = 20 * 64 * 48
    assert Scene.from_bytes(data, limits=Limits(max_evaluations=exact)).render().shape == (48, 64, 3)
    tight = Scene.from_bytes(data, limits=Limits(max_evaluations=exact - 1))
    with pytest.raises(BitstreamError, match=f"takes {exact:,} evaluations"):
        tight.render()
    assert tight.render(scale=0.5).shape == (24, 32, 3)
    with pytest.raises(BitstreamError, match=f"takes {2 * exact:,} evaluations"):
        tight.edited(
            [{"group": "picture", "duplicate": "again"}, {"group": "again", "opacity": 0.5}]
        ).render()
    assert tight.edited([{"group": "picture", "duplicate": "again"}, {"group": "picture", "hide": True}])


def test_a_clips_frames_have_the_limit():
    data = (GOLDEN / "clips" / "pan.splat").read_bytes()
    assert splat2d.Clip.from_bytes(data, limits=Limits(max_evaluations=1 << 30)).render() is not None
    with pytest.raises(BitstreamError, match="max_evaluations"):
        splat2d.Clip.from_bytes(data, limits=Limits(max_evaluations=100)).render()


def test_splats_that_are_drawn_as_they_are_have_it():
    scene = Scene.from_bytes(huge(20, 64, 48))
    arrays = scene.means, scene.conics, scene.colors
    view, most = scene.view(scale=0.5), 20 * 32 * 24
    check_splats(*arrays, view, most)
    with pytest.raises(BitstreamError, match="max_evaluations"):
        check_splats(*arrays, view, most - 1)


class Enough(Exception):
    """Raised by a signal."""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("what", ["decode", "draw"])
def test_signals_end_what_is_decoded_and_drawn(what, threads):
    """In a fraction of the time that it takes; of the processor, so that a busy machine does not matter."""
    if what == "decode":
        field = read(huge(200_000, 4000, 4000)).field
        work = lambda: field.decode(backend=Backend(threads))  # noqa: E731
    else:
        scene = Scene.from_bytes(huge(4000, 600, 600))
        work = lambda: scene.render(threads=threads)  # noqa: E731
    start = time.process_time()
    work()
    whole = time.process_time() - start

    def stop(*_):
        raise Enough

    before = signal.signal(signal.SIGPROF, stop)
    try:
        start = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, whole / 10)
        with pytest.raises(Enough):
            work()
        assert time.process_time() - start < 0.8 * whole
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def test_what_the_encoder_writes_is_within_the_formats_limits():
    assert DEFAULT_LIMITS.max_pixels < Limits.of_format().max_pixels
    assert splat2d.Limits is Limits
