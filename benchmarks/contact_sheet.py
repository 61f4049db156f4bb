"""Contact sheets of details: the original, AVIF, and ours at most as large, without and with texture.

Usage: python benchmarks/contact_sheet.py [--rates 0.15 0.25] [--out docs] [--data DIR]

A sheet a rate, `contact-15.jpg` for 0.15 bits a pixel at most: of each picture a window, and a part of it
at 300%, where our files are decoded at that scale and the others are enlarged (Lanczos).
"""

from __future__ import annotations

import io
import sys
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import tyro
from _paths import DATA, ROOT, existing
from PIL import Image, ImageDraw
from rich.console import Console

import splat2d
from splat2d.bench.codecs import Setting
from splat2d.bench.pillow_codecs import peers
from splat2d.errors import Splat2dError

CELL = (264, 198)  # px of a window
ENLARGED = 3
MARGIN, HEAD = 6, 18  # px
# Picture, and the left and upper px of its window.
WINDOWS = {
    "kodak/kodim05.png": (330, 60),
    "kodak/kodim13.png": (430, 300),
    "kodak/kodim20.png": (250, 190),
    "photos/clic2025_val_2a2420f929cd47122eae364a2bc27710.png": (600, 330),
    "photos/hific_clocktower_9.93bpp.png": (850, 560),
}
COLUMNS = ("original", "AVIF (tune iq)", "splat2d, at most as large", "the same, --texture auto")


@dataclass(frozen=True)
class Options:
    """Options.

    Args:
        rates: bits a pixel, a sheet each.
        out: folder of the sheets.
        data: folder of the pictures.
    """

    rates: tuple[float, ...] = (0.15, 0.25)
    out: Path = ROOT / "docs"
    data: Path = DATA


def avif(picture: Image.Image, most: int) -> bytes:
    """The best AVIF of at most so many bytes, or its smallest."""
    codec = next(peer for peer in peers() if peer.name == "avif-iq")
    pixels, (low, high) = np.asarray(picture), codec.range

    @cache
    def file(quality: int) -> bytes:
        return codec.encode(pixels, Setting("quality", quality))

    fitting = bisect_right(range(low, high + 1), most, key=lambda quality: len(file(quality)))
    return file(low + max(fitting - 1, 0))


def detail(at: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, upper, width and height of the part of a window that is enlarged."""
    width, height = (side // ENLARGED for side in CELL)
    return at[0] + (CELL[0] - width) // 2, at[1] + (CELL[1] - height) // 2, width, height


def cells_of(picture: Image.Image, at: tuple[int, int]) -> list[Image.Image]:
    """A picture's window, and the part of it, enlarged."""
    left, upper, width, height = detail(at)
    part = picture.crop((left, upper, left + width, upper + height))
    return [
        picture.crop((*at, at[0] + CELL[0], at[1] + CELL[1])),
        part.resize(CELL, Image.Resampling.LANCZOS),
    ]


def own_cells(file: bytes, at: tuple[int, int]) -> list[Image.Image]:
    """The same of our file, which enlarges by itself."""
    windows = ((*at, *CELL), 1), (detail(at), ENLARGED)
    return [Image.fromarray(splat2d.decode(file, crop=crop, scale=scale)) for crop, scale in windows]


def sheet(rate: float, data: Path, console: Console) -> Image.Image:
    """All pictures at a rate."""
    width = len(COLUMNS) * (CELL[0] + MARGIN) + MARGIN
    height = HEAD + len(WINDOWS) * (2 * CELL[1] + HEAD + 2 * MARGIN) + MARGIN
    out = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(out)
    for column, name in enumerate(COLUMNS):
        draw.text((MARGIN + column * (CELL[0] + MARGIN), 4), name, "black")
    top = HEAD
    for name, at in WINDOWS.items():
        picture = Image.open(data / name).convert("RGB")
        peer = avif(picture, int(rate * picture.width * picture.height / 8))
        ours = [splat2d.encode(picture, size=len(peer), texture=texture) for texture in ("off", "auto")]
        shown = Image.open(io.BytesIO(peer)).convert("RGB")
        columns = [cells_of(picture, at), cells_of(shown, at), *(own_cells(file, at) for file in ours)]
        sizes = ["", *(f"{len(file):,} bytes" for file in (peer, *ours))]
        console.print(f"{name} at {rate} bpp: {', '.join(filter(None, sizes))}")
        for column, (cells, size) in enumerate(zip(columns, sizes, strict=True)):
            left = MARGIN + column * (CELL[0] + MARGIN)
            draw.text((left, top + 4), size, "black")
            for row, cell in enumerate(cells):
                out.paste(cell, (left, top + HEAD + row * (CELL[1] + MARGIN)))
        top += 2 * CELL[1] + HEAD + 2 * MARGIN
    return out


def main() -> None:
    """Run from the command line."""
    console = Console(stderr=True)
    options = tyro.cli(Options)
    for name in WINDOWS:
        existing(options.data / name)
    for rate in options.rates:
        path = options.out / f"contact-{round(100 * rate):02d}.jpg"
        sheet(rate, options.data, console).save(path, quality=82, optimize=True)
        console.print(path)


if __name__ == "__main__":
    try:
        main()
    except Splat2dError as error:
        sys.exit(f"contact_sheet: {error}")
