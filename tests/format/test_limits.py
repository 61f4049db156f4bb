"""Files that ask for much: a warning, then an error, and memory in bands."""

import tracemalloc
import warnings

import numpy as np
import pytest

import splat2d
from splat2d.codec.layer import code_layer, container_of
from splat2d.errors import BitstreamError, InputImageError, LargeFileWarning
from splat2d.fit.encode import encode_picture
from splat2d.format.container import Container, write
from splat2d.format.field import Field
from splat2d.format.header import DEFAULT_LIMITS, Header, Limits
from splat2d.media.files import write_atomic
from splat2d.media.pictures import Picture
from splat2d.scene.picture import Scene

from ..support.command import assert_one_line, run
from ..support.integers import random_integers


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


def test_what_the_encoder_writes_is_within_the_formats_limits():
    assert DEFAULT_LIMITS.max_pixels < Limits.of_format().max_pixels
    assert splat2d.Limits is Limits
