"""Requests of the IIIF Image API 3.0, level 2: from parts of an address to a view, and what is done to it.

https://iiif.io/api/image/3.0/. Arbitrary rotations are the one feature beyond level 2 that is refused.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from splat2d.draw.render import View
from splat2d.errors import ConfigError

TILE = 512
"""Side of the tiles that `info.json` offers, px."""

FORMATS = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
QUALITIES = ("default", "color", "gray", "bitonal")

_NUMBER = r"\d{1,9}(?:\.\d{1,9})?"


@dataclass(frozen=True)
class Request:
    """A picture that is asked for.

    Args:
        region: left, top, width and height, px of the canvas.
        size: width and height of the picture before it is turned.
        mirrored: before it is turned.
        rotation: 0, 90, 180 or 270 degrees clockwise.
        quality: one of QUALITIES.
        format: one of FORMATS.
        canonical: region, size, rotation and quality.format as the API wants them said.
    """

    region: tuple[int, int, int, int]
    size: tuple[int, int]
    mirrored: bool
    rotation: int
    quality: str
    format: str
    canonical: str

    @property
    def view(self) -> View:
        """What is rendered."""
        return View.resized(*self.region, *self.size)

    @property
    def scale(self) -> float:
        """Target px for each canvas px, of the larger."""
        return max(self.size[0] / self.region[2], self.size[1] / self.region[3])


def parse(width: int, height: int, region: str, size: str, rotation: str, file: str, *, most: int) -> Request:
    """The request in the parts of an address.

    Args:
        width: of the canvas, px.
        height: of the canvas, px.
        region: as in the address, like all that follow.
        size: of the output.
        rotation: in degrees.
        file: quality and format.
        most: pixels of the output.

    Raises:
        ConfigError: what the API calls a bad request, or more pixels than are served.
    """
    box = _region(region, width, height)
    w, h = _size(size, box[2], box[3], most)
    turned = re.fullmatch(r"(!?)(0|90|180|270|360)(?:\.0*)?", rotation)
    if turned is None:
        raise ConfigError(
            f"rotation {rotation[:40]!r} is not served, expected 0, 90, 180 or 270, mirrored with !"
        )
    quality, _, kind = file.rpartition(".")
    if quality not in QUALITIES:
        raise ConfigError(f"quality {quality[:40]!r} is not served, expected {', '.join(QUALITIES)}")
    if kind not in FORMATS:
        raise ConfigError(f"format {kind[:40]!r} is not served, expected {', '.join(FORMATS)}")
    whole = box == (0, 0, width, height)
    said = "full" if whole else ",".join(map(str, box))
    larger = "^" if w > box[2] or h > box[3] else ""
    sized = "max" if (w, h) == _fitting(box[2], box[3], most) else f"{larger}{w},{h}"
    angle = int(turned[2]) % 360
    canonical = f"{said}/{sized}/{turned[1]}{angle}/{quality}.{kind}"
    return Request(box, (w, h), bool(turned[1]), angle, quality, kind, canonical)


def _region(text: str, width: int, height: int) -> tuple[int, int, int, int]:
    if text == "full":
        return 0, 0, width, height
    if text == "square":
        side = min(width, height)
        return (width - side) // 2, (height - side) // 2, side, side
    found = re.fullmatch(rf"(pct:)?({_NUMBER}),({_NUMBER}),({_NUMBER}),({_NUMBER})", text)
    if found is None or not (found[1] or "." not in text):
        raise ConfigError(
            f"region {text[:60]!r} is not understood, expected full, square, x,y,w,h or pct:x,y,w,h"
        )
    x, y, w, h = (float(v) for v in found.groups()[1:])
    if found[1]:
        x, w, y, h = (v * side / 100 for v, side in ((x, width), (w, width), (y, height), (h, height)))
    left, top = math.floor(x + 0.5), math.floor(y + 0.5)
    right, bottom = min(math.floor(x + w + 0.5), width), min(math.floor(y + h + 0.5), height)
    if right <= left or bottom <= top:
        raise ConfigError(f"region {text[:60]!r} is empty, or outside of {width} x {height} px")
    return left, top, right - left, bottom - top


def _fitting(width: int, height: int, most: int) -> tuple[int, int]:
    """The largest size of these proportions that is served, not enlarged."""
    scale = min(1.0, math.sqrt(most / (width * height)))
    return max(math.floor(width * scale), 1), max(math.floor(height * scale), 1)


def _size(text: str, width: int, height: int, most: int) -> tuple[int, int]:
    enlarge, rest = text.startswith("^"), text.removeprefix("^")
    found = re.fullmatch(rf"max|pct:({_NUMBER})|(!?)(\d{{0,9}}),(\d{{0,9}})", rest)
    if found is None or (found[2] and not (found[3] and found[4])) or rest == ",":
        raise ConfigError(
            f"size {text[:60]!r} is not understood, expected max, w, or ,h or w,h or !w,h or pct:n"
        )
    if rest == "max":
        scale = math.sqrt(most / (width * height))
        return _fitting(width, height, most) if not enlarge else _scaled(width, height, scale)
    if found[1] is not None:
        w, h = _rounded(width, height, float(found[1]) / 100)
    elif found[2]:
        scale = min(int(found[3]) / width, int(found[4]) / height)
        w, h = _rounded(width, height, scale if enlarge else min(scale, 1.0))
    else:
        w = int(found[3]) if found[3] else max(round(int(found[4]) * width / height), 1)
        h = int(found[4]) if found[4] else max(round(int(found[3]) * height / width), 1)
    if not (w and h):
        raise ConfigError(f"size {text[:60]!r} is empty")
    if not enlarge and (w > width or h > height):
        raise ConfigError(
            f"size {text[:60]!r} is larger than the region, {width} x {height} px; ask for ^{rest}"
        )
    if w * h > most:
        raise ConfigError(f"the output would have {w} x {h} px, more than the {most} that are served")
    return w, h


def _rounded(width: int, height: int, scale: float) -> tuple[int, int]:
    return round(width * scale), round(height * scale)


def _scaled(width: int, height: int, scale: float) -> tuple[int, int]:
    return max(math.floor(width * scale), 1), max(math.floor(height * scale), 1)


def info(url: str, width: int, height: int, *, most: int) -> dict[str, Any]:
    """What `info.json` says.

    Args:
        url: of the picture, without info.json.
        width: of the canvas, px.
        height: of the canvas, px.
        most: pixels of an output.
    """
    factors = [1]
    while TILE * factors[-1] < max(width, height):
        factors.append(2 * factors[-1])
    sizes = [(-(-width // f), -(-height // f)) for f in reversed(factors)]
    return {
        "@context": "http://iiif.io/api/image/3/context.json",
        "id": url,
        "type": "ImageService3",
        "protocol": "http://iiif.io/api/image",
        "profile": "level2",
        "width": width,
        "height": height,
        "maxArea": most,
        "sizes": [{"width": w, "height": h} for w, h in sizes if w * h <= most],
        "tiles": [{"width": TILE, "height": TILE, "scaleFactors": factors}],
        "extraFormats": ["webp"],
        "extraQualities": ["bitonal"],
        "extraFeatures": ["mirroring", "sizeUpscaling", "profileLinkHeader", "canonicalLinkHeader"],
    }
