"""The .splat files of a folder, and pixels of their windows: decoded by parts, with bounded memory."""

from __future__ import annotations

import io
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

import splat2d
from splat2d.codec.layer import splats_of
from splat2d.draw.compose import Splats
from splat2d.draw.render import background_floats, render_bytes
from splat2d.draw.work import check_splats
from splat2d.errors import BitstreamError, InputImageError
from splat2d.format.field import Field, PartReader, Window
from splat2d.format.header import DEFAULT_LIMITS, Header
from splat2d.media.files import open_input
from splat2d.native.backend import ALL_CORES
from splat2d.scene.drawable import Drawable
from splat2d.scene.picture import Scene
from splat2d.web.iiif import FORMATS, Request

SUFFIX = ".splat"

_WHOLE = 100_000  # splats of a picture that is decoded at once
_SPLAT = 64  # bytes of a decoded splat, about
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}

T = TypeVar("T")


class Cache(Generic[T]):
    """Values that were made, the least recently used dropped; each is made once however many ask for it.

    Args:
        most: bytes of all values.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = 0
        self._held: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._made: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def find(self, key: Hashable) -> T | None:
        """The value of a key, if it is held."""
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            return self._held[key][0]

    def get(self, key: Hashable, make: Callable[[], tuple[T, int]]) -> T:
        """The value of a key.

        Args:
            key: of the value.
            make: gives it, and its bytes, where it is not held.
        """
        with self._lock:
            lock = self._made.setdefault(key, threading.Lock())
        with lock:
            found = self.find(key)
            if found is not None:
                return found
            try:
                value, size = make()
            finally:
                with self._lock:
                    self._made.pop(key, None)
            with self._lock:
                self._held[key] = (value, size)
                self.size += size
                while self.size > self.most and len(self._held) > 1:
                    self.size -= self._held.popitem(last=False)[1][1]
            return value


@dataclass(frozen=True)
class Entry:
    """A file as it was when it was asked for.

    Args:
        path: of the file.
        tag: changes when the file does.
        modified: s since 1970.
    """

    path: Path
    tag: str
    modified: float


class Store:
    """The .splat files of a folder.

    Args:
        root: the folder; nothing outside of it is read, whatever links say.
        most_decoded: bytes of decoded splats that are kept.
        most_drawn: bytes of pictures that are kept.

    Raises:
        InputImageError: it is no folder.
    """

    def __init__(
        self, root: str | os.PathLike[str], *, most_decoded: int = 1 << 28, most_drawn: int = 1 << 26
    ) -> None:
        self.root = Path(os.path.realpath(root))
        if not self.root.is_dir():
            raise InputImageError(f"{os.fspath(root)}: is no folder; give one with .splat files")
        self._open: Cache[Drawable | _Parts] = Cache(most_decoded)
        self._readers: Cache[PartReader] = Cache(most_decoded)
        self._parts: Cache[Splats] = Cache(most_decoded)
        self._drawn: Cache[bytes] = Cache(most_drawn)

    def names(self) -> list[str]:
        """All files, relative to the folder."""
        found = (path.relative_to(self.root).as_posix() for path in self.root.rglob(f"*{SUFFIX}"))
        return sorted(name for name in found if self.entry(name) is not None)

    def entry(self, name: str) -> Entry | None:
        """The file of a name, or None where there is none in the folder."""
        if not name.endswith(SUFFIX) or "\0" in name or any(part.startswith(".") for part in name.split("/")):
            return None
        path = Path(os.path.realpath(self.root / name))
        try:
            if self.root not in path.parents or not path.is_file():
                return None
            status = path.stat()
        except OSError:
            return None
        return Entry(path, f"{status.st_mtime_ns:x}-{status.st_size:x}", status.st_mtime)

    def size(self, entry: Entry) -> tuple[int, int]:
        """Width and height of a file's canvas, px."""
        held = self._held(entry)
        return held.width, held.height

    def find(self, entry: Entry, request: Request) -> bytes | None:
        """What was drawn before, if it is kept."""
        return self._drawn.find((entry, request))

    def draw(self, entry: Entry, request: Request) -> bytes:
        """The encoded picture that a request asks for.

        Raises:
            BitstreamError: a damaged file.
        """

        def make() -> tuple[bytes, int]:
            data = _encoded(self._pixels(entry, request), request)
            return data, len(data)

        return self._drawn.get((entry, request), make)

    def _held(self, entry: Entry) -> Drawable | _Parts:
        return self._open.get(entry, lambda: _opened(entry.path))

    def _pixels(self, entry: Entry, request: Request) -> NDArray[np.uint8]:
        held, view = self._held(entry), request.view
        if isinstance(held, Drawable):
            return held.render(view)
        means, conics, colors = self._seen(entry, held, request)
        check_splats(means, conics, colors, view, DEFAULT_LIMITS.max_evaluations)
        return render_bytes(
            means,
            conics,
            colors,
            view,
            background=background_floats(held.header.background),
            unpremultiply=held.header.channels in (2, 4),
        )

    def _seen(self, entry: Entry, held: _Parts, request: Request) -> list[NDArray[np.float32]]:
        """Means, conics and colours of all parts that can be seen in a request's region."""
        tiers = held.tiers(request.scale)
        reader = self._readers.get((entry, tiers), lambda: held.reader(tiers))
        x, y, w, h = request.region
        # What is shrunk is blurred, by less than that.
        around = 2 + math.ceil(1 / request.scale)
        window = x - around, y - around, x + w + around, y + h + around
        seen = [number for number, box in enumerate(reader.reach) if number == 0 or _meet(box, window)]

        def part(number: int) -> Splats:
            return self._parts.get((entry, tiers, number), lambda: held.decoded(reader, number))

        with ThreadPoolExecutor(ALL_CORES.thread_count) as pool:
            parts = list(pool.map(part, seen))
        return [
            np.concatenate(arrays)
            for arrays in zip(*((part.means, part.conics, part.colors) for part in parts), strict=True)
        ]


def _meet(a: Window, b: Window) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


class _Parts:
    """A large picture of one layer without edits, whose parts are decoded when they are seen."""

    def __init__(self, header: Header, field: Field) -> None:
        self.header, self.field = header, field
        self.width, self.height = self.header.width, self.header.height

    def tiers(self, scale: float) -> int:
        """How many are drawn at a scale: not those of splats of less than about half a target px.

        A tier is a factor of four in area finer than the one before; the last has less than a px.
        """
        tiers = len(self.field.tier_counts)
        while tiers > 3 and scale * 2.0 ** (len(self.field.tier_counts) - tiers) <= 0.25:
            tiers -= 1
        return tiers

    def reader(self, tiers: int) -> tuple[PartReader, int]:
        reader = PartReader(self.field, tiers=tiers)
        return reader, 2 * _SPLAT * len(reader.part(0)[0])

    def decoded(self, reader: PartReader, number: int) -> tuple[Splats, int]:
        integers, counts = reader.part(number)
        return splats_of(integers, self.header, counts), _SPLAT * len(integers)


def _opened(path: Path) -> tuple[Drawable | _Parts, int]:
    """A file, and about how many bytes it takes in memory."""
    from splat2d.edit.document import Document
    from splat2d.format.container import is_clip

    with open_input(path, error=BitstreamError) as file:
        data = file.read()
    if is_clip(data[:64]):
        return splat2d.open(path), len(data)
    document = Document.from_bytes(data)
    field = document.container.field
    plain = len(document.stack.layers) == 1 and not document.steps
    if field is not None and plain and field.parts > 1 and field.count > _WHOLE:
        return _Parts(document.container.header, field), len(data)
    scene = Scene.of(document)
    return scene, len(data) + _SPLAT * scene.count


def _encoded(pixels: NDArray[np.uint8], request: Request) -> bytes:
    """Pixels [H, W, C] turned, in the quality and the format that a request asks for."""
    from PIL import Image

    mode = _MODES[pixels.shape[2]]
    image = Image.fromarray(pixels[..., 0] if mode == "L" else pixels, mode)
    if request.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if request.rotation:
        turn = {
            90: Image.Transpose.ROTATE_270,
            180: Image.Transpose.ROTATE_180,
            270: Image.Transpose.ROTATE_90,
        }
        image = image.transpose(turn[request.rotation])
    if request.format == "jpg" and image.mode in ("LA", "RGBA"):
        # No JPEG has alpha: what is transparent becomes white.
        under = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(under, image.convert("RGBA")).convert("RGB")
    if request.quality == "gray":
        image = image.convert("LA" if image.mode in ("LA", "RGBA") else "L")
    elif request.quality == "bitonal":
        image = image.convert("L").point([0] * 128 + [255] * 128).convert("1")
        image = image.convert("L") if request.format != "png" else image
    out = io.BytesIO()
    options: dict[str, Any] = {"jpg": {"quality": 85}, "webp": {"quality": 85, "method": 2}, "png": {}}[
        request.format
    ]
    image.save(out, FORMATS[request.format].removeprefix("image/"), **options)
    return out.getvalue()
