"""Which clips are measured: recipes of the standard ones, and any clip that `open_clip` reads."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splat2d.errors import ConfigError, InputClipError
from splat2d.media.convert import Matrix
from splat2d.media.files import shown
from splat2d.media.reader import open_clip

LEAST_SIDE = 16  # px
MAX_SAMPLES = 1 << 29  # of a clip, which is measured whole
QUALITIES = (16.0, 32.0, 48.0, 66.0)
"""Of splat2d, about 0.02 to 0.15 bpp on ordinary clips."""


@dataclass(frozen=True)
class Source:
    """A clip and what is taken of it.

    Args:
        name: of tables.
        path: of its file, or of a folder or pattern of images; of a recipe, inside the folder of all.
        first: number of the first frame, from 0.
        count: frames; None takes all that follow.
        reduce: by how much width and height are divided, with a Lanczos filter.
        fps: frames a second; what the file says when None.
        matrix: of a video file's YCbCr; by tags, else by size, when None.
        qualities: of splat2d.
        crop: x, y, width and height of what is taken of each frame, before it is reduced; all when None.
    """

    name: str
    path: Path
    first: int = 0
    count: int | None = None
    reduce: int = 1
    fps: Fraction | None = None
    matrix: Matrix | None = None
    qualities: tuple[float, ...] = QUALITIES
    crop: tuple[int, int, int, int] | None = None

    def described(self) -> str:
        """Return what is taken of which file, in words."""
        last = "" if self.count is None else f" to {self.first + self.count - 1}"
        parts = [f"frames {self.first}{last or ' on'} of {self.path.name}"]
        if self.crop is not None:
            x, y, width, height = self.crop
            parts.append(f"{width}x{height} px of them from {x}, {y} on")
        parts += [f"reduced by {self.reduce}"] if self.reduce > 1 else []
        return ", ".join(parts + ([f"matrix {self.matrix}"] if self.matrix else []))


@dataclass(frozen=True)
class Loaded:
    """Frames [T, H, W, 3] uint8, and how many there are in a second."""

    frames: NDArray[np.uint8]
    fps: Fraction


# Bunny has no tag of its matrix; those who published figures read it by ffmpeg's default.
_BUNNY = Path("bigbuckbunny.mp4")
RECIPES = {
    source.name: source
    for source in (
        Source("bunny-360p", _BUNNY, 40, 64, reduce=2, matrix="bt601", qualities=(17, 38, 58, 78)),
        Source(
            "basketballpass",
            Path("BasketballPass_416x240"),
            *(0, 64),
            fps=Fraction(50),
            qualities=(15, 34, 53, 72),
        ),
        Source(
            "park-joy", Path("park_joy_480x270_10f.y4m"), 0, 10, matrix="bt601", qualities=(12, 25, 38, 52)
        ),
        Source("bikes", Path("bikes.mp4"), 20, 24, qualities=(15, 32, 50, 68)),
        Source("pancake", Path("pancake.mkv"), 60, 24, qualities=(15, 32, 50, 68)),
        # 176x144 with pixels that are not square.
        Source(
            "carphone",
            Path("carphone_pristine.mp4"),
            *(0, 32),
            qualities=(20, 38, 56, 74),
            crop=(0, 0, 192, 144),
        ),
        Source("bunny-720p", _BUNNY, 40, 32, matrix="bt601", qualities=(25, 42, 60, 77)),
        Source(
            "bunny-crop", _BUNNY, 0, 132, matrix="bt601", qualities=(15, 30, 45, 60), crop=(0, 40, 1280, 640)
        ),
    )
}
"""The clips of the README: Big Buck Bunny (Blender Foundation, CC BY 3.0), BasketballPass (of the common test
conditions of HEVC, as PNG), park_joy (SVT, from Xiph's collection, 4:2:0), and three of real cameras: a
street and a kitchen by hand (from test data of BSD-3 and Apache-2.0 repositories), and a face in a car
(Xiph's carphone)."""


def find_sources(
    words: Iterable[str],
    *,
    data: Path = Path(),
    frames: tuple[int, int | None] = (0, None),
    reduce: int = 1,
    fps: Fraction | None = None,
    matrix: Matrix | None = None,
) -> tuple[Source, ...]:
    """Return what a command line names.

    Args:
        words: names of `RECIPES`, and paths as of `open_clip`.
        data: folder of the recipes' files.
        frames: first frame that is taken of each clip, and the one behind the last.
        reduce: by how much each is reduced, besides what its recipe does.
        fps: instead of what a recipe or a file says.
        matrix: likewise.

    Raises:
        InputClipError: a recipe's file is missing.
        ConfigError: no frames are left.
    """
    out = []
    for word in dict.fromkeys(words):
        source = RECIPES.get(word)
        if source is None:
            source = Source(_name(word), Path(word))
        elif not (data / source.path).exists():
            raise InputClipError(
                f"{shown(data / source.path)}: is missing, which {word} is made of; --data DIR says where"
            )
        else:
            source = replace(source, path=data / source.path)
        first, end = frames
        ends = [n for n in (source.count, end) if n is not None]
        count = min(ends) - first if ends else None
        if count is not None and count < 1:
            raise ConfigError(f"{word}: has no frames from {first} to {min(ends)}")
        source = replace(source, first=source.first + first, count=count, reduce=reduce * source.reduce)
        out.append(replace(source, fps=fps or source.fps, matrix=matrix or source.matrix))
    return tuple(out)


def parse_range(text: str) -> tuple[int, int | None]:
    """Return the frames that `A:B` names, A to B - 1; either may be left out.

    Raises:
        ConfigError: it is no such text.
    """
    found = re.fullmatch(r"(\d*):(\d*)", text)
    first, end = (int(found[1] or 0), int(found[2]) if found[2] else None) if found else (0, 0)
    if end is not None and end <= first:
        raise ConfigError(f"frames is {text!r}, expected A:B with A below B, such as 40:104")
    return first, end


def load(source: Source) -> Loaded:
    """Read a clip.

    Raises:
        InputClipError: it cannot be read, has too few frames, is too small, has odd sides, or is too large.
        ConfigError: fps out of range.
    """
    reader = open_clip(source.path, fps=source.fps, matrix=source.matrix)
    name = shown(source.path)
    x, y, width, height = source.crop or (0, 0, reader.width, reader.height)
    if x + width > reader.width or y + height > reader.height:
        raise InputClipError(
            f"{name}: has frames of {reader.width}x{reader.height} px, but {width}x{height} px from {x}, {y} "
            "on are to be measured"
        )
    box = np.s_[y : y + height, x : x + width]
    width, height = width // source.reduce, height // source.reduce
    if min(width, height) < LEAST_SIDE or width % 2 or height % 2:
        raise InputClipError(
            f"{name}: has frames of {width}x{height} px; a benchmark needs even sides, for 4:2:0, of "
            f"{LEAST_SIDE} px at least"
        )
    most = MAX_SAMPLES // (3 * width * height)
    frames = []
    if source.count is None or source.count <= most:
        taken = islice(reader.frames(source.first), source.count or most + 1)
        frames = [_reduced(frame.pixels[box], source.reduce) for frame in taken]
    if len(frames) > most or (source.count or 0) > most:
        raise InputClipError(
            f"{name}: is too long to be measured whole; --frames A:B may take {most} frames at most"
        )
    if not frames or (source.count is not None and len(frames) < source.count):
        raise InputClipError(
            f"{name}: has {len(frames)} frames from frame {source.first} on, expected {source.count or 1}"
        )
    return Loaded(np.stack(frames), reader.fps)


def _reduced(pixels: NDArray[np.uint8], by: int) -> NDArray[np.uint8]:
    """Return pixels [H, W, 3] reduced by a whole number, without what is left over at right and bottom."""
    if by == 1:
        return pixels
    height, width = pixels.shape[0] // by, pixels.shape[1] // by
    box = (0, 0, width * by, height * by)
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS, box))


def _name(word: str) -> str:
    """Return what tables call a path: its stem, or the folder of a pattern."""
    path = Path(word)
    found = path.name if path.is_dir() else path.stem
    return path.parent.name or "frames" if re.search(r"[*?%\[]", found) else found or "frames"
