"""One interface through which splat2d, JPEG, WebP and AVIF run side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class Codec(Protocol):
    """A codec of 8-bit RGB pictures with one quality setting."""

    name: str

    def encode(self, x: NDArray[np.uint8], quality: int) -> bytes:
        """Return the file of a picture [H, W, 3]."""
        ...

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Return the picture [H, W, 3] of a file."""
        ...


@dataclass(frozen=True)
class PillowCodec:
    """One of Pillow's codecs.

    Args:
        name: as tables print it.
        format: Pillow's name.
        qualities: spread over the rates that ours is compared at, ascending.
        options: of Pillow's save.
    """

    name: str
    format: str
    qualities: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def encode(self, x: NDArray[np.uint8], quality: int) -> bytes:
        """Return the file of a picture [H, W, 3]."""
        file = io.BytesIO()
        Image.fromarray(x).save(file, self.format, quality=quality, **self.options)
        return file.getvalue()

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Return the picture [H, W, 3] of a file."""
        with Image.open(io.BytesIO(data)) as image:
            return np.array(image.convert("RGB"))


@dataclass(frozen=True)
class SplatCodec:
    """splat2d through its public functions.

    Args:
        preset: fast, default or best, or the path of a YAML file.
        threads: None for all cores.
        name: as tables print it.
    """

    preset: str = "default"
    threads: int | None = None
    name: str = "splat2d"

    def encode(self, x: NDArray[np.uint8], quality: int) -> bytes:
        """Return the file of a picture [H, W, 3]."""
        import splat2d

        return splat2d.encode(x, quality=quality, preset=self.preset, threads=self.threads)

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Return the picture [H, W, 3] of a file."""
        import splat2d

        pixels = splat2d.decode(data, threads=self.threads)
        # A picture without colour is coded as one plane.
        return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), np.uint8)


JPEG = PillowCodec(
    "JPEG",
    "JPEG",
    (5, 8, 12, 18, 26, 36, 48, 60, 72, 82, 90, 95),
    {"optimize": True, "progressive": True, "subsampling": "4:2:0"},
)
WEBP = PillowCodec("WebP", "WEBP", (0, 4, 10, 20, 32, 46, 60, 72, 80, 86, 92, 96), {"method": 6})
AVIF = PillowCodec(
    "AVIF", "AVIF", (10, 20, 28, 36, 44, 52, 60, 68, 76, 84), {"speed": 3, "subsampling": "4:2:0"}
)
PEERS = (JPEG, WEBP, AVIF)
