"""Whether a video file is all there, by the lengths that its container declares."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from splat2d.errors import InputClipError

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"sidx", b"uuid"}


def check_whole(file: BinaryIO, name: str) -> None:
    """Raise InputClipError for an MP4, MOV, Matroska, WebM or AVI file that ends before it should.

    Demuxers take a cut file for one with fewer frames. Others formats declare no length and pass.

    Args:
        file: at any position; left at any.
        name: of messages.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] == b"RIFF":
        end = _riff_end(file, size)
    elif head[:4] == _EBML:
        end = _segment_end(file)
    elif head[4:8] in _BOXES:
        end = _boxes_end(file, size)
    else:
        return
    if end > size:
        raise InputClipError(f"{name}: is truncated: it has {size} of at least {end} bytes; get a whole copy")


def _riff_end(file: BinaryIO, size: int) -> int:
    """Return where the last of the RIFF chunks in a row ends; a long AVI has several."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind != b"RIFF" or not length:  # 0 while it is being written
            break
        end += 8 + length + length % 2
    # Some writers leave the last padding byte out.
    return end - 1 if end == size + 1 else end


def _segment_end(file: BinaryIO) -> int:
    """Return where a Matroska segment ends; 0 for one that was streamed."""
    file.seek(4)
    header = _variable_integer(file)
    if header is None:
        return 0
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != _SEGMENT:
        return 0
    length = _variable_integer(file)
    return 0 if length is None else file.tell() + length


def _variable_integer(file: BinaryIO) -> int | None:
    """Return the length at the file's position; None for the one that means unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    count = 8 - first[0].bit_length()
    bits = 7 * (count + 1)
    value = int.from_bytes(first + file.read(count), "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value


def _boxes_end(file: BinaryIO, size: int) -> int:
    """Return where the last of an MP4's boxes ends."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        # A length of 0 means to the end of the file; what is no box is something appended.
        if length < 8 or not (kind.isalnum() and kind.isascii()):
            break
        end += length
    return end
