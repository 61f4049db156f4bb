"""A .splat file: header, sections, layers, and in a clip where its segments are; one reader for all.

docs/FORMAT.md, sections 2 and 3, is this file in words.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from splat2d.errors import BitstreamError
from splat2d.format.eyes import Eyes, eyes_section, read_eyes
from splat2d.format.field import MAX_SPLATS, Field
from splat2d.format.header import DEFAULT_LIMITS, Header, Limits, header_bytes, read_header
from splat2d.format.layers import MAX_LAYERS, PICTURE, CodedLayer, layer_sections, read_layer
from splat2d.format.metadata import Metadata, metadata_section, read_metadata
from splat2d.format.sections import (
    CLIP,
    EDITS,
    EYES,
    INDEX,
    LAYER,
    MAX_RATE,
    MAX_SECTIONS,
    MAX_SEGMENTS,
    METADATA,
    NOTE,
    OPTIONAL,
    SEGMENT,
    SOUND,
    SPLATS,
    TEXTURE,
    Reader,
    Section,
    Source,
    Span,
    index_section,
    next_whole,
    read_index,
    section,
)
from splat2d.format.segments import MAX_HEAD, CodedSegment, read_clip, read_segment, read_span
from splat2d.format.texture import CodedTexture, read_textures, texture_section

MAX_NOTES = 1 << 16  # bytes, inflated
_HEADER = 1 << 6  # bytes that a header takes at most


@dataclass(frozen=True)
class Place:
    """A segment of a clip in its file.

    Args:
        section: where it lies.
        span: its frames; None where its beginning makes no sense.
    """

    section: Section
    span: Span | None


@dataclass(frozen=True)
class Container:
    """A parsed file.

    Args:
        header: canvas, steps and background.
        field: the coded splats of section 0x01; None in a file without that section.
        notes: what was done to the picture on the way in.
        layers: those of sections 0x02, back to front.
        edits: payload of the section of edits.
        rate: frames a second of a clip; None of a picture.
        own: of a clip, whether it has a layer on the header's canvas, behind those of `layers`.
        places: of a clip's segments.
        fault: what is missing at the end of a file, where that was asked for.
        metadata: what the picture's file said beside the picture.
        textures: of layers.
        sound: where a clip's lies.
        eyes: of a light field, whose views `field` shows.
    """

    header: Header
    field: Field | None = None
    notes: tuple[str, ...] = ()
    layers: tuple[CodedLayer, ...] = ()
    edits: bytes = b""
    rate: Fraction | None = None
    own: bool = False
    places: tuple[Place, ...] = ()
    fault: str = ""
    metadata: Metadata | None = None
    textures: tuple[CodedTexture, ...] = ()
    sound: Section | None = None
    eyes: Eyes | None = None

    @property
    def stack(self) -> tuple[CodedLayer, ...]:
        """All coded layers, back to front; that of section 0x01, or a clip's own, is the backmost."""
        if self.field is None and not self.own:
            return self.layers
        return (CodedLayer(PICTURE, self.header, self.field), *self.layers)

    def segment(self, source: Source, index: int, limits: Limits = DEFAULT_LIMITS) -> CodedSegment:
        """A segment of a clip.

        Args:
            source: the file.
            index: of the segment in `places`.
            limits: that its world and its splats must be within.

        Raises:
            BitstreamError: it is damaged, not what the index says, or beyond the limits.
        """
        place, what = self.places[index], f"segment {index}"
        found = source.section(place.section.at)
        if found.kind != SEGMENT:
            raise BitstreamError(f"{what} is not where the index says")
        segment = read_segment(source.payload(found, what), self.stack, what, limits)
        if place.span != segment.span:
            raise BitstreamError(f"{what} is not what the index says")
        header = self.stack[segment.layer].header
        _check_splats([segment.field(header), segment.matte_field(header)], f"{what} has", limits)
        return segment


def write(container: Container) -> bytes:
    """The bytes of a file, which is no clip."""
    out = header_bytes(container.header)
    if container.eyes is not None:
        out += eyes_section(container.eyes)
    if container.field is not None:
        out += section(SPLATS, container.field.data)
    out += layer_sections(container.layers)
    if container.edits:
        out += section(EDITS, container.edits)
    out += b"".join(map(texture_section, container.textures))
    return out + notes_section(container.notes) + metadata_section(container.metadata)


def notes_section(notes: tuple[str, ...]) -> bytes:
    """The section of notes; nothing where there are none."""
    if not notes:
        return b""
    text = "\n".join(notes).encode()[:MAX_NOTES].decode(errors="ignore").encode()
    return section(NOTE, zlib.compress(text, 9))


def read(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Container:
    """Parse and check a picture's file.

    Args:
        data: the whole file.
        limits: that it must be within.

    Raises:
        BitstreamError: anything that is not a whole, undamaged picture within the limits.
    """
    container = parse(Source(io.BytesIO(data)), limits)
    if container.rate is not None:
        raise BitstreamError("this is a clip, not a picture; splat2d.open reads both")
    return container


def parse(source: Source, limits: Limits = DEFAULT_LIMITS, *, forgive: bool = False) -> Container:
    """Parse and check a file but for a clip's segments, which are only looked for.

    Args:
        source: the file.
        limits: that it must be within.
        forgive: leave out sections that are damaged or cut off, if there is anything else.

    Raises:
        BitstreamError: anything that is not a whole, undamaged file within the limits.
    """
    head = Reader(source.read(0, _HEADER))
    header = read_header(head, limits)
    if source.size > limits.max_bytes and source.read(head.at, 1) != bytes([CLIP]):
        raise BitstreamError(f"the file has {source.size} bytes, over the limit of {limits.max_bytes}")
    return _Parser(source, header, limits, forgive).parsed(head.at)


class _Parser:
    """Goes through the sections of a file."""

    def __init__(self, source: Source, header: Header, limits: Limits, forgive: bool) -> None:
        self.source, self.header, self.limits, self.forgive = source, header, limits, forgive
        self.field: Field | None = None
        self.layers: list[CodedLayer] = []
        self.places: list[Place] = []
        self.notes: tuple[str, ...] = ()
        self.edits, self.rate, self.own = b"", None, False
        self.fault = ""
        self.metadata: Metadata | None = None
        self.sound: Section | None = None
        self.eyes: Eyes | None = None
        self._textures: list[bytes] = []
        self._seen: set[int] = set()
        self._others = 0

    def parsed(self, first: int) -> Container:
        """The file whose first section begins at an offset."""
        try:
            indexed = read_index(self.source, first)
            if indexed is not None and indexed[:1] and indexed[0][0].kind == CLIP:
                for found, span in indexed:
                    self._take(found if found.kind == SEGMENT else self.source.section(found.at), span)
            elif self.forgive:
                self._salvage(first)
            else:
                for found in self.source.sections(first):
                    self._take(found, None)
        except BitstreamError as error:
            if not (self.forgive and self.rate is not None):
                raise
            self.fault = str(error)
        container = Container(
            self.header,
            self.field,
            self.notes,
            tuple(self.layers),
            self.edits,
            self.rate,
            self.own,
            tuple(self.places),
            self.fault,
            self.metadata,
            sound=self.sound,
            eyes=self.eyes,
        )
        self._check(container)
        return replace(container, textures=read_textures(self._textures, container.stack))

    def _salvage(self, first: int) -> None:
        """Take all whole sections from an offset on, and what lies between as damaged segments of a clip.

        A section whose checksum is wrong may be wrong in its type and length, too, so the next is looked for.
        """
        at, end = first, self.source.size
        while at < end:
            whole = self._whole(at)
            if whole is None and self.rate is None:
                whole = self.source.section(at)  # what a clip begins with cannot be left out
            if whole is not None:
                self._take(whole, None)
                at = whole.end
                continue
            following = next_whole(self.source, at + 1)
            if following is None:
                raise BitstreamError(f"truncated: no whole section from offset {at} on")
            self.places.append(Place(Section(SEGMENT, at, at, following.at), None))
            at = following.at

    def _whole(self, at: int) -> Section | None:
        try:
            found = self.source.section(at)
            self.source.payload(found)
            return found
        except BitstreamError:
            return None

    def _take(self, found: Section, span: Span | None) -> None:
        kind = found.kind
        if not self._seen and kind == CLIP:
            self.rate, self.own = read_clip(self.source.payload(found, "the clip's times"))
            self._seen.add(kind)
            return
        self._others += kind not in (LAYER, SEGMENT)
        if self._others > MAX_SECTIONS:
            raise BitstreamError(f"more than {MAX_SECTIONS} sections")
        if kind in self._seen and kind in (SPLATS, EDITS, CLIP, EYES):
            names = {SPLATS: "splats", EDITS: "edits", CLIP: "a clip's times", EYES: "eyes"}
            raise BitstreamError(f"two sections of {names[kind]}, expected one")
        self._seen.add(kind)
        if kind == SEGMENT and self.rate is not None:
            self.places.append(Place(found, span or self._span(found)))
            if len(self.places) > MAX_SEGMENTS:
                raise BitstreamError(f"more than {MAX_SEGMENTS} segments")
            return
        if kind == SOUND and self.rate is not None:
            self.sound = self.sound or found  # whose checksum counts when it is heard
            return
        payload = self.source.payload(found)
        if kind == EYES and self.rate is None and self.field is None:
            self.eyes = read_eyes(payload)
        elif kind == SPLATS and self.rate is None:
            layout = self.header.layout
            if self.eyes is not None:
                layout = replace(layout, eyes=self.eyes.arguments)
            self.field = Field.parse(payload, layout)
        elif kind == LAYER:
            self.layers.append(read_layer(payload, clip=self.rate is not None, limits=self.limits))
        elif kind == EDITS:
            if not payload:
                raise BitstreamError("the section of edits is empty")
            self.edits = payload
        elif kind in (SPLATS, SEGMENT, CLIP, EYES):
            raise BitstreamError(f"section 0x{kind:02x} in a {'picture' if self.rate is None else 'clip'}")
        elif kind == NOTE:
            self.notes = read_notes(payload)
        elif kind == METADATA:
            self.metadata = read_metadata(payload)
        elif kind == TEXTURE:
            self._textures.append(payload)
        elif not kind & OPTIONAL:
            raise BitstreamError(
                f"unknown mandatory section 0x{kind:02x}: a newer version of splat2d is needed"
            )

    def _span(self, found: Section) -> Span | None:
        """Frames of a segment from its first bytes; None where they make no sense and that is forgiven."""
        end = min(found.end - 4, found.payload + MAX_HEAD)
        try:
            return read_span(self.source.read(found.payload, end - found.payload))
        except BitstreamError:
            if self.forgive:
                return None
            raise

    def _check(self, container: Container) -> None:
        stack = container.stack
        if not stack:
            raise BitstreamError("truncated: no section of splats")
        if len(stack) > MAX_LAYERS:
            raise BitstreamError(f"more than {MAX_LAYERS} layers")
        if container.eyes is not None and (container.field is None or container.layers):
            raise BitstreamError("a light field is one layer, of the header's")
        if container.rate is not None and not stack[0].moves:
            raise BitstreamError("the backmost layer of the clip has no segments")
        for index, place in enumerate(container.places):
            layer = place.span.layer if place.span else 0
            if layer >= len(stack) or not stack[layer].moves:
                raise BitstreamError(f"segment {index} is of layer {layer}, which has no segments")
        _check_splats((field for layer in stack for field in layer.fields), "the layers have", self.limits)
        frames = sum(place.span.count for place in container.places if place.span and not place.span.layer)
        if frames > (most := min(self.limits.max_frames, MAX_RATE)):
            raise BitstreamError(f"the clip has {frames} frames, over the limit of {most}")


def _check_splats(fields: Iterable[Field | None], whose: str, limits: Limits) -> None:
    """Refuse fields that have too many splats together."""
    total = sum(field.count for field in fields if field is not None)
    if total > (most := min(limits.max_splats, MAX_SPLATS)):
        raise BitstreamError(f"{whose} {total} splats, over the limit of {most}")


def read_notes(payload: bytes) -> tuple[str, ...]:
    """The notes of a section.

    Raises:
        BitstreamError: no text, or too long.
    """
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(payload, MAX_NOTES + 1)
        text = raw.decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise BitstreamError("the notes do not inflate to text: the file is damaged") from error
    if len(raw) > MAX_NOTES:
        raise BitstreamError(f"the notes are longer than {MAX_NOTES} bytes")
    if not inflate.eof:
        raise BitstreamError("the notes do not inflate to text: the file is damaged")
    return tuple(text.split("\n"))


def is_clip(data: bytes) -> bool:
    """Whether the beginning of a file, some dozens of bytes, is that of a clip."""
    try:
        r = Reader(data)
        read_header(r, Limits.of_format())
        return data[r.at] == CLIP
    except (BitstreamError, IndexError):
        return False


def sections_of(source: Source) -> tuple[int, list[Section]]:
    """The offset of a whole file's first section, and all sections.

    Raises:
        BitstreamError: a damaged file.
    """
    head = Reader(source.read(0, _HEADER))
    read_header(head, Limits.of_format())
    return head.at, list(source.sections(head.at))


@dataclass(frozen=True)
class NewSection:
    """A section that a file gets beside those it has.

    Args:
        data: the whole section.
        span: its frames, of a clip's segment.
    """

    data: bytes
    span: Span | None = None


def assembled(
    source: Source, spans: Sequence[Span | None], edits: bytes, added: Sequence[NewSection] = ()
) -> Iterator[Section | bytes]:
    """A file with more sections and other edits, in pieces: parts of the given file, and new bytes.

    A file whose edits stay, and that gets nothing, stays as it is, bit for bit.

    Args:
        source: the file.
        spans: frames of its segments, of a clip, in order.
        edits: payload of the section of edits; empty for none.
        added: what comes behind its sections.

    Raises:
        BitstreamError: a damaged file.
    """
    first, found = sections_of(source)
    before = next((source.payload(part) for part in found if part.kind == EDITS), b"")
    if before == edits and not added:
        yield Section(0, 0, 0, source.size)
        return
    if sum(part.kind == SEGMENT for part in found) != len(spans):
        raise BitstreamError("the index does not name the segments that there are: the file is damaged")
    yield Section(0, 0, 0, first)
    entries: list[tuple[int, int, Span | None]] = []
    left = iter(spans)
    last = [part for part in found if part.kind == SOUND]  # behind all that frames need
    for part in found:
        if part.kind not in (EDITS, INDEX, SOUND):
            yield part
            entries.append((part.kind, part.size, next(left) if part.kind == SEGMENT else None))
    new = [*added, *([NewSection(section(EDITS, edits))] if edits else [])]
    for part in new:
        yield part.data
        entries.append((part.data[0], len(part.data), part.span))
    for part in last:
        yield part
        entries.append((part.kind, part.size, None))
    if found[:1] and found[0].kind == CLIP:
        yield index_section(entries)
