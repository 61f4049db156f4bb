"""Pictures that are no photographs, for `splat2d bench images`: text, plots, shapes, interfaces, pixel art.

Usage: python benchmarks/graphics.py FOLDER [--data DIR]

Five are drawn here; four more are crops of pictures under DATA/modes, left out where there are none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import matplotlib
import numpy as np
import tyro
from _paths import DATA
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from tyro.conf import Positional

WIDTH, HEIGHT = 320, 240
FINER = 4  # flat shapes are drawn so much larger
COLORS = [
    (220, 60, 50),
    (40, 110, 180),
    (250, 190, 40),
    (60, 150, 90),
    (30, 30, 40),
    (150, 80, 160),
    (255, 255, 255),
]
PROSE = """A picture is a function on the plane, and a sum
is free of order: a set of splats costs fewer bits
than a list of them. Colours are found by least
squares; shapes move in units of their own energy.
Text like this is the hardest case of all, because
every stroke is a thin edge on both of its sides,
and neither blur nor gradient helps to predict it.
  1. Positions are coded by halving the canvas.
  2. Areas, aspects and angles follow in planes.
  3. Signs come last (see 0x3F7A, page 128).
Whoever zooms in will notice ringing at letters."""
FOLDERS = ["Inbox (12)", "Drafts", "Sent", "Archive", "Spam", "Bin"]
MAILS = [
    ("Anna Keller", "Re: figures for page 4"),
    ("Build bot", "job 8812 passed in 3m"),
    ("M. Okafor", "meeting moved to 14:30"),
    ("Newsletter", "ten links for Friday"),
    ("Li Wei", "photos from the hike"),
]
# Of pictures under modes/: left, top, right, bottom.
CROPS = {
    "graph": ("graph.png", (20, 150, 340, 390)),
    "screenshot": ("windows95.png", (0, 0, 320, 240)),
    "page": ("skimage_page.png", (0, 0, 320, 190)),
    "pixelart": ("pixelart_raylib_cyberpunk_street_foreground.png", (192, 0, 512, 192)),
}


def font(size: int, family: str = "DejaVu Sans") -> ImageFont.FreeTypeFont:
    """A font that matplotlib brings along."""
    return ImageFont.truetype(font_manager.findfont(family), size)


def text() -> Image.Image:
    """A page of small text."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    draw.text((12, 8), "Sums of Gaussians", font=font(18), fill="black")
    for i, line in enumerate(PROSE.split("\n")):
        draw.text((12, 38 + 17 * i), line, font=font(12), fill="black")
    return image


def plot() -> Image.Image:
    """Curves with axes and a legend."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100)
    axes = figure.add_axes((0.14, 0.15, 0.83, 0.73))
    t = np.linspace(0, 10, 300)
    for k in range(4):
        axes.plot(t, np.sin(t * (1 + 0.3 * k)) * np.exp(-t * 0.1 * k), label=f"mode {k}", lw=1.2)
    axes.legend(fontsize=6)
    axes.grid(alpha=0.4)
    axes.set_title("damped modes", fontsize=8)
    axes.set_xlabel("t, s", fontsize=6)
    axes.tick_params(labelsize=6)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[:, :, :3].copy()  # type: ignore[attr-defined]
    plt.close(figure)
    return Image.fromarray(pixels)


def shapes() -> Image.Image:
    """Flat ellipses, polygons and lines, smooth at their edges."""
    width, height = WIDTH * FINER, HEIGHT * FINER
    image = Image.new("RGB", (width, height), (244, 236, 220))
    draw = ImageDraw.Draw(image)
    rng = np.random.default_rng(3)
    for i in range(22):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        a, b = rng.uniform(40, 260, 2)
        color = COLORS[i % len(COLORS)]
        if i % 3 == 0:
            draw.ellipse((x - a, y - b, x + a, y + b), fill=color)
        elif i % 3 == 1:
            angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
            draw.polygon([(x + a * np.cos(v), y + b * np.sin(v)) for v in angles], fill=color)
        else:
            draw.line((x, y, x + 3 * a - 300, y + 3 * b - 300), fill=color, width=int(rng.integers(6, 40)))
    return image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def interface() -> Image.Image:
    """A window of a mail program."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (240, 242, 245))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, WIDTH, 26), fill=(45, 62, 80))
    draw.text((10, 6), "Inbox - Mailer", font=font(11), fill="white")
    for i, color in enumerate([(231, 76, 60), (241, 196, 15), (46, 204, 113)]):
        draw.ellipse((WIDTH - 18 - 16 * i, 8, WIDTH - 8 - 16 * i, 18), fill=color)
    draw.rectangle((0, 27, 80, HEIGHT), fill="white")
    draw.line((80, 27, 80, HEIGHT), fill=(200, 205, 210))
    for i, name in enumerate(FOLDERS):
        y = 36 + 22 * i
        if i == 0:
            draw.rectangle((0, y - 4, 79, y + 15), fill=(214, 234, 248))
        draw.rectangle((6, y, 14, y + 9), outline=(52, 152, 219))
        draw.text((20, y - 2), name, font=font(9), fill=(60, 60, 60))
    for i, (sender, subject) in enumerate(MAILS):
        y = 34 + 34 * i
        draw.rounded_rectangle((88, y, WIDTH - 8, y + 29), 4, fill="white", outline=(210, 214, 218))
        draw.ellipse((93, y + 5, 111, y + 23), fill=COLORS[i])
        draw.text((118, y + 3), sender, font=font(11), fill=(30, 30, 30))
        draw.text((118, y + 16), subject, font=font(9), fill=(130, 130, 130))
    draw.rounded_rectangle((WIDTH - 90, HEIGHT - 30, WIDTH - 10, HEIGHT - 8), 4, fill=(52, 152, 219))
    draw.text((WIDTH - 72, HEIGHT - 26), "Compose", font=font(11), fill="white")
    mono = font(9, "DejaVu Sans Mono")
    draw.text((90, HEIGHT - 26), "> sync ok 200 0.31s", font=mono, fill=(20, 120, 60))
    return image


def gradient() -> Image.Image:
    """Flat shapes on a smooth gradient."""
    y, x = np.mgrid[0 : HEIGHT * 2, 0 : WIDTH * 2] / 2.0
    planes = [60 + 150 * x / WIDTH, 90 + 100 * y / HEIGHT, 200 - 120 * (x + y) / (WIDTH + HEIGHT)]
    image = Image.fromarray(np.stack(planes, -1).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.ellipse((60, 60, 260, 260), fill=(255, 220, 90))
    draw.polygon([(380, 420), (520, 120), (620, 440)], fill=(30, 50, 90))
    draw.rounded_rectangle((120, 330, 340, 440), 30, fill=(240, 245, 250))
    draw.line((20, 300, 620, 60), fill="white", width=6)
    return image.resize((WIDTH, HEIGHT), Image.Resampling.BOX)


DRAWN: dict[str, Callable[[], Image.Image]] = {
    "text": text,
    "plot": plot,
    "shapes": shapes,
    "interface": interface,
    "gradient": gradient,
}


@dataclass(frozen=True)
class Options:
    """Options.

    Args:
        folder: where the pictures go.
        data: folder that holds modes/.
    """

    folder: Annotated[Positional[Path], tyro.conf.arg(metavar="FOLDER")]
    data: Path = DATA


def main() -> None:
    """Make the pictures."""
    options = tyro.cli(Options)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, make in DRAWN.items():
        make().save(options.folder / f"{name}.png")
    for name, (source, box) in CROPS.items():
        path = options.data / "modes" / source
        if path.is_file():
            with Image.open(path) as image:
                rgba = image.convert("RGBA").crop(box)
            under = Image.new("RGBA", rgba.size, (30, 20, 50, 255))
            under.alpha_composite(rgba)
            under.convert("RGB").save(options.folder / f"{name}.png")


if __name__ == "__main__":
    main()
