"""An object cut out of a photograph and edited: moved, recoloured, before a blurred background, gone, pasted.

Usage: python examples/edit_objects.py [--out FOLDER] [--photo FILE --box X,Y,W,H] [--labels FILE]

Without arguments it takes the cup of examples/pictures/coffee.png, which GrabCut finds (extra `segment`).
With --labels the objects are those of a label image, and the last of them, the frontmost, is edited.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from PIL import Image, ImageDraw

import splat2d

PICTURES = Path(__file__).resolve().parent / "pictures"
COLUMNS, GAP, LABEL = 3, 8, 20  # of the sheet: pictures in a row, px between them, px of a title


@dataclass(frozen=True)
class Options:
    """Options.

    Args:
        out: folder of the pictures.
        photo: picture to cut.
        box: around the object, x, y, width, height.
        labels: label image of the picture's size, instead of the box.
        other: picture that the object is pasted into.
        quality: of the files.
        preset: of the encoder.
    """

    out: Path = Path("objects")
    photo: Path = PICTURES / "coffee.png"
    box: tuple[int, int, int, int] = (75, 12, 410, 375)
    labels: Path | None = None
    other: Path = PICTURES / "chelsea.png"
    quality: int = 75
    preset: str = "default"


def layered(options: Options) -> splat2d.Scene:
    """The picture as layers."""
    if options.labels is not None:
        data = splat2d.encode(
            options.photo, quality=options.quality, preset=options.preset, masks=options.labels
        )
        return splat2d.Scene.from_bytes(data)
    flat = splat2d.Scene.from_bytes(
        splat2d.encode(options.photo, quality=options.quality, preset=options.preset)
    )
    return splat2d.group(flat, "object", box=options.box, preset=options.preset)


def edits(scene: splat2d.Scene, options: Options) -> dict[str, splat2d.Scene]:
    """The scene after each edit, by title."""
    name = scene.layers[-1].name
    step = 0.15 * scene.width
    other = splat2d.Scene.from_bytes(
        splat2d.encode(options.other, quality=options.quality, preset=options.preset)
    )
    small = scene.extract(name)[name].scale(0.5).scene
    return {
        "as encoded": scene,
        "moved": scene[name].move(step, 0).scene,
        "rotated and smaller": scene[name].rotate(25).scale(0.7).scene,
        "recoloured": scene[name].hue(140).saturation(1.3).scene,
        "before a blurred background": scene["picture"].blur(5).brightness(0.85).scene,
        "taken out": scene[name].hide().scene,
        "twice": scene[name].duplicate("copy").scene["copy"].move(-step, 0).scale(0.6).scene,
        "half transparent": scene[name].opacity(0.5).scene,
        "pasted": other.merge(small, at=(0.7 * other.width, 0.6 * other.height)),
    }


def sheet(pictures: dict[str, np.ndarray]) -> Image.Image:
    """All pictures with their titles, in rows."""
    width = max(pixels.shape[1] for pixels in pictures.values())
    height = max(pixels.shape[0] for pixels in pictures.values()) + LABEL
    rows = -(-len(pictures) // COLUMNS)
    out = Image.new("RGB", (COLUMNS * (width + GAP) - GAP, rows * (height + GAP) - GAP), "white")
    draw = ImageDraw.Draw(out)
    for i, (title, pixels) in enumerate(pictures.items()):
        x, y = i % COLUMNS * (width + GAP), i // COLUMNS * (height + GAP)
        draw.text((x + 2, y + 3), title, fill="black")
        out.paste(Image.fromarray(pixels[:, :, :3]), (x, y + LABEL))
    return out


def main() -> None:
    """Cut, edit, render and write."""
    options = tyro.cli(Options)
    options.out.mkdir(parents=True, exist_ok=True)
    scene = layered(options)
    scene.save(options.out / "scene.splat", force=True)
    pictures = {}
    for title, edited in edits(scene, options).items():
        pictures[title] = edited.render()
        Image.fromarray(pictures[title]).save(options.out / f"{title.replace(' ', '-')}.png")
        extra = len(edited.to_bytes()) - len(scene.to_bytes())
        print(f"{title}: {extra:+,} bytes")
    sheet(pictures).save(options.out / "sheet.jpg", quality=88)


if __name__ == "__main__":
    main()
