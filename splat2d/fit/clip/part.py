"""What is finished of a clip, in a file that outlives whatever ends its encoder.

It is a clip's file as far as it goes, with sections that say of which settings and of which frames it is;
these are left out of what a user gets.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from splat2d.errors import BitstreamError, ConfigError, OutputError, TargetError
from splat2d.fit.clip.shots import Shot
from splat2d.format.container import notes_section
from splat2d.format.header import Limits, read_header
from splat2d.format.metadata import Metadata, metadata_section
from splat2d.format.sections import (
    CLIP,
    MAX_SEGMENTS,
    METADATA,
    NOTE,
    PROGRESS,
    SEGMENT,
    SOUND,
    Reader,
    Section,
    Source,
    Span,
    index_section,
    section,
)
from splat2d.format.segments import CodedSegment, read_span, segment_section
from splat2d.format.sound import Sound
from splat2d.media.files import locked, open_own, reason, remove_own, shown

_DIGEST = 16  # bytes
_HEAD = 1 << 7  # bytes that a header and a clip's first section take at most


@dataclass(frozen=True)
class Finished:
    """A segment that is whole.

    Args:
        section: where it lies.
        span: its frames.
        digest: of the pixels and durations that it was fitted to.
    """

    section: Section
    span: Span
    digest: bytes


class Part:
    """The finished segments of a clip.

    Args:
        file: open for reading and writing; in memory when None.
        name: of messages.
        durable: whether what is finished is forced to the disk.

    Attributes:
        segments: finished, in order.
        warnings: what was damaged and is made anew.
    """

    def __init__(
        self, file: BinaryIO | None = None, *, name: str = "the part", durable: bool = False
    ) -> None:
        self.file = io.BytesIO() if file is None else file
        self.name, self._durable = name, durable
        self.segments: list[Finished] = []
        self.warnings: list[str] = []
        self._first = self._times = self._end = 0  # bytes of the header, of the first section, and of all
        self._said: dict[str, Any] | None = None
        if self.file.seek(0, os.SEEK_END):
            self._read()

    @property
    def frames(self) -> int:
        """Frames in finished segments."""
        return self.segments[-1].span.first + self.segments[-1].span.count if self.segments else 0

    @property
    def size(self) -> int:
        """Of the clip as far as it goes, bytes."""
        return self._first + self._times + sum(s.section.size for s in self.segments)

    def begin(self, header: bytes, times: bytes, settings: dict[str, Any]) -> None:
        """Write the beginning, or check that what is there is of the same settings.

        Args:
            header: of the file.
            times: the clip's first section.
            settings: all that the segments depend on but the frames, as JSON has it.

        Raises:
            ConfigError: what is there is of other settings; says which.
        """
        self._first, self._times = len(header), len(times)
        if self._said is None:
            self._said = settings
            payload = json.dumps(settings, sort_keys=True).encode()
            self._write(header + times + section(PROGRESS, payload))
            return
        for key, value in settings.items():
            if self._said.get(key) != value:
                raise ConfigError(
                    f"{self.name} was begun with {key} {_told(self._said.get(key))}, and this is "
                    f"{_told(value)}; give the same, or begin anew with --force"
                )

    def check(self, number: int, shot: Shot) -> None:
        """Check that a finished segment is of these frames.

        Raises:
            ConfigError: it is of others.
        """
        if self.segments[number].digest != digest_of(shot):
            raise ConfigError(
                f"{self.name} was begun with another input: frames {shot.first} to "
                f"{shot.first + len(shot.frames) - 1} differ; begin anew with --force"
            )

    def add(self, segment: CodedSegment, digest: bytes) -> None:
        """Append a finished segment.

        Raises:
            ConfigError: more segments than a file can have.
            OutputError: it cannot be written.
        """
        if len(self.segments) == MAX_SEGMENTS:
            raise ConfigError(f"the clip needs more than {MAX_SEGMENTS} segments; encode it in pieces")
        data = segment_section(segment)
        at = self._end
        self._write(data + section(PROGRESS, digest))
        found = Source(self.file).section(at)
        self.segments.append(Finished(found, segment.span, digest))

    def write(
        self,
        file: BinaryIO,
        notes: tuple[str, ...] = (),
        sound: Sound | None = None,
        metadata: Metadata | None = None,
    ) -> int:
        """Write the clip.

        Args:
            file: where it goes.
            notes: what was done to it on the way in; those that would break the size asked for are left out.
            sound: of the clip.
            metadata: of the clip.

        Returns:
            Its bytes.
        """
        source = Source(self.file)
        notes = self._fitting(notes, sound, metadata)
        size = file.write(source.read(0, self._first + self._times))
        for segment in self.segments:
            size += file.write(source.read(segment.section.at, segment.section.size))
        for told in (notes_section(notes), metadata_section(metadata)):
            size += file.write(told)
        if sound is not None:
            size += sound.write(file)
        entries = self._entries(notes, sound, metadata)
        return size + file.write(index_section(entries))

    def _fitting(
        self, notes: tuple[str, ...], sound: Sound | None, metadata: Metadata | None
    ) -> tuple[str, ...]:
        """The first of the notes, as many as leave the clip within the size that it was begun for."""
        most = (self._said or {}).get("size")
        while notes and most is not None:
            entries = self._entries(notes, sound, metadata)
            total = self._first + sum(size for _, size, _ in entries) + len(index_section(entries))
            if total <= most:
                break
            notes = notes[:-1]
        return notes

    def _entries(
        self, notes: tuple[str, ...], sound: Sound | None, metadata: Metadata | None
    ) -> list[tuple[int, int, Span | None]]:
        """What the index says of all sections before it."""
        entries: list[tuple[int, int, Span | None]] = [(CLIP, self._times, None)]
        entries += [(SEGMENT, s.section.size, s.span) for s in self.segments]
        rest = (NOTE, len(notes_section(notes))), (METADATA, len(metadata_section(metadata)))
        rest += ((SOUND, sound.size if sound else 0),)
        return entries + [(kind, size, None) for kind, size in rest if size]

    def _write(self, data: bytes) -> None:
        try:
            self.file.seek(self._end)
            self.file.truncate()
            self.file.write(data)
            self.file.flush()
            if self._durable:
                os.fsync(self.file.fileno())
        except OSError as fault:
            kept = f"; the {len(self.segments)} finished segments are kept" if self.segments else ""
            advice = f"{kept}: make room, then --resume goes on" if kept else ""
            raise OutputError(f"{self.name}: cannot be written ({reason(fault)}){advice}") from None
        self._end += len(data)

    def _read(self) -> None:
        """Find what is whole; what lies behind it goes.

        Raises:
            BitstreamError: this is not what an encoder left.
        """
        source = Source(self.file)
        head = Reader(source.read(0, _HEAD))
        read_header(head, Limits.of_format())
        self._first = head.at
        times = source.section(head.at)
        progress = source.section(times.end)
        if times.kind != CLIP or progress.kind != PROGRESS:
            raise BitstreamError("no part of a clip")
        source.payload(times)
        self._times, self._end = times.size, progress.end
        self._said = json.loads(source.payload(progress))
        with contextlib.suppress(BitstreamError):
            while self._end < source.size:
                found = source.section(self._end)
                mark = source.section(found.end)
                if (found.kind, mark.kind) != (SEGMENT, PROGRESS):
                    break
                span = read_span(source.payload(found))
                self.segments.append(Finished(found, span, source.payload(mark)))
                self._end = mark.end
        if lost := source.size - self._end:
            self.warnings.append(
                f"{self.name}: {lost:,} bytes behind frame {self.frames} are not whole and are made anew"
            )


def digest_of(shot: Shot) -> bytes:
    """A digest of all that a segment is fitted to."""
    digest = hashlib.blake2b(repr((shot.first, shot.frames.shape, shot.ticks)).encode(), digest_size=_DIGEST)
    digest.update(np.ascontiguousarray(shot.frames).data)
    return digest.digest()


@contextlib.contextmanager
def open_part(path: str, *, resume: bool = False, force: bool = False) -> Iterator[Part]:
    """Give the part of an output; it is removed when the block ends well, or with no segment finished.

    Nobody else can have it open meanwhile, and a file that no encoder left is never touched.

    Args:
        path: of the part.
        resume: go on with what is there.
        force: begin anew whatever is there.

    Raises:
        OutputError: it is of another program or in use, is there without `resume` or `force`, or cannot be
            written.
    """
    name = shown(path)
    with open_own(path) as file:
        if not locked(file, path):
            raise OutputError(
                f"{name}: another encode is writing it; wait for its end, or choose another output"
            )
        begun = os.fstat(file.fileno()).st_size
        try:
            part = Part(file, name=name, durable=True)
        except (BitstreamError, ValueError):
            raise OutputError(
                f"{name}: is not what an interrupted encode left, and is kept; move it away"
            ) from None
        if begun and not (resume or force):
            raise OutputError(_left_there(name))
        if not resume:
            file.truncate(0)
            part = Part(file, name=name, durable=True)
        try:
            yield part
        except BaseException as fault:
            if not _holds_segments(file):
                remove_own(file, path)
            elif isinstance(fault, KeyboardInterrupt):
                kept = f"the finished segments are kept in {name}; --resume goes on"
                raise KeyboardInterrupt(kept) from None
            raise
        remove_own(file, path)


class Parts:
    """The parts of an output of several layers, at one quality or, while one is looked for, at several.

    They are all removed when the block ends well, or no quality will do; what ends it otherwise leaves those
    with something finished.

    Args:
        output: path that they become.
        resume: go on with what is there.
        force: begin anew whatever is there.

    Raises:
        OutputError: as `open_part`.
    """

    def __init__(self, output: str, *, resume: bool = False, force: bool = False) -> None:
        self._output, self._resume, self._force = output, resume, force
        self._open: dict[str, Part] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Parts:
        """Look at what is there."""
        left = self._left()
        if left and not (self._resume or self._force):
            raise OutputError(_left_there(shown(left[0])))
        if not self._resume:
            self._remove(left)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> bool | None:
        """Close all, and remove them where nobody goes on."""
        ended = self._stack.__exit__(kind, *rest)
        if kind is None or issubclass(kind, TargetError):
            self._remove(self._left())
        return ended

    def of(self, layer: int, quality: int) -> Part:
        """That of a layer, from 0, at a quality."""
        path = f"{self._output}.{layer}q{quality}.part"
        if path not in self._open:
            part = open_part(path, resume=self._resume, force=self._force)
            self._open[path] = self._stack.enter_context(part)
        return self._open[path]

    @property
    def warnings(self) -> list[str]:
        """Of all parts so far."""
        return [warning for part in self._open.values() for warning in part.warnings]

    def _left(self) -> list[str]:
        return sorted(glob.glob(f"{glob.escape(self._output)}.[0-9]*q[0-9]*.part"))

    def _remove(self, paths: list[str]) -> None:
        for path in paths:
            with open_part(path, force=True):
                pass


def _left_there(name: str) -> str:
    return f"{name}: an interrupted encode left it; --resume goes on with it, --force begins anew"


def _holds_segments(file: BinaryIO) -> bool:
    """Whether anything is finished, by the file itself: what ended the encoder may have come in between."""
    try:
        return bool(Part(file).segments)
    except (BitstreamError, OSError, ValueError):
        return False


def _told(value: Any) -> str:
    return "none" if value is None else str(value)
