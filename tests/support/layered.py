"""Small files for tests of layers: a photograph, objects with alpha cut out of others, and both together."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from splat2d import Scene
from splat2d.codec.layer import code_layer
from splat2d.fit.config import FitConfig
from splat2d.fit.encode import encode_picture
from splat2d.format.header import Header
from splat2d.format.layers import CodedLayer
from splat2d.media.pictures import load_picture
from splat2d.native.backend import Backend

from .integers import random_integers
from .places import SAMPLES

WIDTH, HEIGHT = 72, 48
SMALL = Header(40, 24, 4, 600, 10, 0, (0, 0, 0, 0))


def crop(name: str, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
    """A window of a shipped photograph, [H, W, 3]."""
    from PIL import Image

    with Image.open(SAMPLES / name) as picture:
        return np.asarray(picture.convert("RGB"))[y : y + height, x : x + width]


def cut_out(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels [H, W, C] with a soft disc as alpha."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width] + 0.5
    distance = np.hypot((x - width / 2) / width, (y - height / 2) / height)
    alpha = np.clip((0.4 - distance) * 8, 0, 1) * 255
    return np.dstack([pixels, alpha.round().astype(np.uint8)])


@cache
def encoded(kind: str) -> bytes:
    """A file: `photo` (72 x 48), `cat` (40 x 32, RGBA) or `grey` (32 x 32, grey and alpha)."""
    if kind == "photo":
        pixels = crop("coffee.png", 200, 100, WIDTH, HEIGHT)
    elif kind == "cat":
        pixels = cut_out(crop("chelsea.png", 150, 100, 40, 32))
    else:
        grey = crop("astronaut.png", 180, 60, 32, 32).mean(2, keepdims=True).astype(np.uint8)
        pixels = cut_out(grey)
    config = FitConfig(rounds=4, steps=6, final_steps=8, sweeps=2)
    return encode_picture(load_picture(pixels), quality=70, config=config, backend=Backend(1)).data


def scene(kind: str) -> Scene:
    """The scene of a file of `encoded`, or of `all`: photo, cat and grey."""
    if kind != "all":
        return Scene.from_bytes(encoded(kind))
    together = scene("photo").merge(scene("cat"), at=(30, 24), names=["cat"])
    return together.merge(scene("grey"), at=(52, 20), names=["grey"])


def layer(name: str = "bike", count: int = 20, seed: int = 0, **changes) -> CodedLayer:
    """A layer of random splats."""
    header = replace(SMALL, **changes)
    integers = random_integers(count, header.channels, header.width, header.height, seed=seed)
    return code_layer(name, header, integers, backend=Backend(1))


def matted(name: str = "bike", count: int = 20, seed: int = 0, **changes) -> CodedLayer:
    """A layer of random straight colours with a matte of random splats."""
    header = replace(SMALL, **{"channels": 3, "background": (10, 200, 60), **changes})
    w, h = header.width, header.height
    own = replace(header, channels=1, step_code=655, background=(0,))
    cover = own, random_integers(count // 2, 1, w, h, seed=seed + 1)
    colors = random_integers(count, header.channels, w, h, seed=seed)
    return code_layer(name, header, colors, matte=cover, backend=Backend(1))
