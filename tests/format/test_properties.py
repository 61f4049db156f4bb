"""Whatever is encoded decodes: any array, any options that the signature allows, or one of our errors."""

import io
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import splat2d
from splat2d.errors import Splat2dError
from splat2d.fit.clip.encode import encode_frames
from splat2d.fit.config import ClipConfig, FitConfig, load_config
from splat2d.fit.encode import encode_picture
from splat2d.media.pictures import load_picture
from splat2d.native.backend import Backend
from splat2d.scene.clip import Clip

QUICK = ClipConfig(rounds=1, steps=1, final_steps=1, sweeps=1, frames=4)
FEW = settings(max_examples=25, deadline=None, derandomize=True)


def one_line(fault: Splat2dError) -> None:
    assert str(fault)
    assert "\n" not in str(fault)


def quick() -> FitConfig:
    from dataclasses import replace

    return replace(load_config("fast"), rounds=1, steps=1, half_rounds=0, final_steps=1, sweeps=1)


numbers = st.one_of(
    st.integers(-5, 110),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.1, 0.5, 2.0, 30.0, 50.0, 1000, 10**30, None]),
)


@FEW
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4)),
    kind=st.sampled_from([np.uint8, np.uint16, np.float32, np.float64, np.int32]),
    wish=st.sampled_from(["quality", "psnr", "bpp", "size"]),
    value=numbers,
    seed=st.integers(-1, 2**64),
)
def test_pictures_decode(shape, kind, wish, value, seed):
    rng = np.random.default_rng(shape[0])
    pixels = rng.random(shape)
    if np.dtype(kind).kind != "f":
        pixels = pixels * np.iinfo(kind).max
    try:
        picture = load_picture(pixels.astype(kind))
        data = encode_picture(picture, **{wish: value}, seed=seed, config=quick(), backend=Backend(1)).data
    except Splat2dError as fault:
        one_line(fault)
        return
    assert splat2d.decode(data, threads=1).shape[:2] == shape[:2]
    if wish == "size" and value is not None:
        assert len(data) <= value


@FEW
@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3])),
    gaps=st.lists(
        st.one_of(st.fractions(0, 3, max_denominator=1000), st.fractions(0, 10**7)), min_size=0, max_size=9
    ),
    fps=st.one_of(st.fractions("1/100000", 1000), st.floats(1e-5, 1000).map(Fraction)),
    timed=st.booleans(),
)
def test_clips_decode(size, gaps, fps, timed):
    rng = np.random.default_rng(len(gaps))
    frames, when = [], Fraction(0)
    for gap in [*gaps, Fraction(0)]:
        frames.append((rng.integers(0, 256, size, dtype=np.uint8), when if timed else None))
        when += gap
    file = io.BytesIO()
    try:
        encode_frames(frames, fps, file, config=QUICK, quality=20, backend=Backend(1))
    except Splat2dError as fault:
        one_line(fault)
        assert timed
        return
    clip = Clip.from_bytes(file.getvalue(), threads=1)
    assert clip.count == len(frames)
    assert clip.render(time=clip.duration, threads=1).shape[:2] == size[:2]


@settings(max_examples=12, deadline=None, derandomize=True)
@given(names=st.lists(st.text(min_size=0, max_size=30), min_size=1, max_size=3, unique=True))
def test_layers_decode(names):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    masks = {}
    for at, name in enumerate(names):
        masks[name] = np.zeros((24, 24), np.float32)
        masks[name][4 + at : 12 + at, 5:14] = 1
    try:
        data = encode_picture(
            load_picture(pixels), quality=20, masks=masks, config=quick(), backend=Backend(1)
        ).data
    except Splat2dError as fault:
        one_line(fault)
        return
    scene = splat2d.Scene.from_bytes(data, threads=1)
    assert [layer.name for layer in scene.layers] == ["picture", *names]
