"""Pictures opened by Pillow, guarded: its faults become one line, and its settings stay as they are."""

from __future__ import annotations

import contextlib
import re
import threading
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from splat2d.errors import InputImageError, Splat2dError
from splat2d.format.header import MAX_PIXELS
from splat2d.media.files import reason

if TYPE_CHECKING:
    from PIL import Image

_ORIENTATION = 0x0112  # EXIF tag
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1"}
"""Kinds of files of still pictures that MP4's boxes are around, and Pillow does not read by itself."""

_PILLOW_DEFAULT = 1024 * 1024 * 1024 // 4 // 3


@contextlib.contextmanager
def strict(name: str) -> Iterator[None]:
    """Let Pillow work without its warnings and global settings, and turn its faults into one line."""
    import logging

    from PIL import Image, ImageFile

    with _PILLOW:
        log = logging.getLogger("PIL")
        if not log.handlers:  # what it logs would go to stderr
            log.addHandler(logging.NullHandler())
        limit = pixel_limit()
        kept = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        # Pillow raises above twice its limit, and warns above it once.
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = limit / 2, False
        _HELD.append(limit)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except Splat2dError:
            raise
        except Image.DecompressionBombError as fault:
            found = re.search(r"\d+", str(fault))
            raise InputImageError(too_large(name, int(found[0]) if found else None, limit)) from None
        except MemoryError:
            raise InputImageError(f"{name}: there is not enough memory to decode this picture") from None
        except Exception as fault:  # a damaged file makes plugins raise almost anything
            raise InputImageError(f"{name}: the picture is damaged or truncated ({reason(fault)})") from None
        finally:
            _HELD.pop()
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = kept


_PILLOW = threading.RLock()
_HELD: list[int] = []  # limits of users while Pillow's is another


def pixel_limit() -> int:
    """Return the most pixels of a picture: the format's, or fewer where the user told Pillow so."""
    from PIL import Image

    with _PILLOW:
        own = Image.MAX_IMAGE_PIXELS
        if _HELD:
            return _HELD[-1]
        # Pillow's own default is a warning that pictures of today come near; a lower one was set by someone.
        return MAX_PIXELS if own is None or own >= _PILLOW_DEFAULT else min(int(own), MAX_PIXELS)


def too_large(name: str, pixels: int | None, limit: int) -> str:
    """Return the message for a picture beyond the limit."""
    whose = "" if limit == MAX_PIXELS else " by PIL.Image.MAX_IMAGE_PIXELS"
    return f"{name}: has {pixels or 'too many'} pixels; the limit is {limit}{whose}; make it smaller"


def open_image(stream: BinaryIO, name: str) -> Image.Image:
    """Return the picture in a stream, its header read and its pixels not."""
    from PIL import Image, UnidentifiedImageError

    with strict(name):
        stream.seek(0)
        with contextlib.suppress(UnidentifiedImageError):
            return Image.open(stream)
    stream.seek(0)
    start = stream.read(12)
    if start[4:8] == b"ftyp" and start[8:] in HEIF_BRANDS:
        return _open_heif(stream, name)
    start = start[:8]
    raise InputImageError(
        f"{name}: is no picture that can be read, or its header is damaged (it starts with {start!r}); "
        "expected PNG, JPEG, WebP, AVIF, TIFF or another format that Pillow reads, or a video"
    )


def _open_heif(stream: BinaryIO, name: str) -> Image.Image:
    """Return the picture in a HEIF file, by the plug-in that users may have."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise InputImageError(f"{name}: HEIF needs pillow-heif; pip install 'splat2d[heif]'") from None
    with strict(name):
        stream.seek(0)
        return HeifImageFile(stream)


def check_pixels(image: Image.Image, name: str) -> None:
    """Raise InputImageError for a picture whose pixels must not be loaded."""
    if image.width * image.height > (limit := pixel_limit()):
        raise InputImageError(too_large(name, image.width * image.height, limit))
    if image.width * image.height == 0:
        raise InputImageError(f"{name}: has no pixels ({image.width}x{image.height})")
    if image.format == "EPS":  # Pillow would start Ghostscript on it
        raise InputImageError(f"{name}: is a PostScript program, not a picture; convert it to PNG first")


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if there is none or EXIF is damaged."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # the pixels are worth having whatever is wrong with the metadata
        return 1
    return value if value in range(1, 9) else 1
