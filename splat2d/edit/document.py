"""A .splat file as what editing needs: coded layers and steps of edits, no splat decoded unless asked for."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any, BinaryIO

import numpy as np

from splat2d.codec.layer import container_of, decode_layer, visible_box
from splat2d.draw.compose import output_channels
from splat2d.edit.stack import Stack, State
from splat2d.errors import BitstreamError, ConfigError
from splat2d.format.container import Container, NewSection, assembled, notes_section, parse, write
from splat2d.format.edits import MAX_OPERATIONS, Operation, Step, pack, unpack
from splat2d.format.field import Field
from splat2d.format.header import DEFAULT_LIMITS, Limits, header_bytes
from splat2d.format.layers import MAX_LAYERS, MAX_NAME, CodedLayer, layer_section
from splat2d.format.metadata import metadata_section
from splat2d.format.sections import Section, Source, index_section
from splat2d.format.segments import clip_section, of_layer
from splat2d.format.texture import renumbered, texture_section

# Of a layer in a stack only; one that is extracted or merged into another stack leaves them behind.
_OF_THE_STACK = ("hide", "show", "raise", "lower", "to-front", "to-back", "duplicate", "rename", "delete")

_COARSE = 1500  # splats that are decoded in well under 100 ms

Bounds = tuple[float, float, float, float]
"""Left, top, width and height, px of the file's canvas."""


class Document:
    """A file and its edits. A value: every change gives a new one.

    Attributes:
        source: the file, where it lies.
        container: the file, parsed, without edits.
        steps: of edits; each is what one call did.
        stack: what they make of the layers.
        limits: that drawing must be within.
    """

    def __init__(
        self,
        source: Source,
        container: Container,
        steps: Sequence[Step] = (),
        stack: Stack | None = None,
        boxes: dict[tuple[int, int], Bounds] | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Check the edits.

        Args:
            source: the file; whatever edits it has do not count.
            container: the same, parsed.
            steps: of edits.
            stack: what the steps make of the layers, where it is known.
            boxes: of coded layers, by number and tiers decoded (0 of those that move), where they are known
                but not stored.
            limits: that drawing must be within.

        Raises:
            ConfigError: edits that cannot be done, or too many.
        """
        self.source, self.limits = source, limits
        self._boxes = {} if boxes is None else boxes
        self.container = replace(container, edits=b"")
        self.steps = tuple(steps)
        if sum(map(len, self.steps)) > MAX_OPERATIONS:
            raise ConfigError(f"more than {MAX_OPERATIONS} edits in a file; undo or reset some")
        self.stack = stack or Stack.of((layer.name for layer in container.stack), self.steps)

    @classmethod
    def read(cls, source: Source, limits: Limits = DEFAULT_LIMITS, *, forgive: bool = False) -> Document:
        """Parse a file; arguments as of `parse`.

        Raises:
            BitstreamError: not a whole, undamaged .splat file, or one beyond the limits.
        """
        container = parse(source, limits, forgive=forgive)
        try:
            return cls(source, container, unpack(container.edits), limits=limits)
        except ConfigError as fault:
            raise BitstreamError(f"the edits are damaged: {fault}") from None

    @classmethod
    def from_bytes(cls, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Document:
        """Parse a file in memory; errors as of `read`."""
        return cls.read(Source(io.BytesIO(data)), limits)

    @classmethod
    def of(cls, container: Container) -> Document:
        """A new file of a picture without edits."""
        return cls(Source(io.BytesIO(write(container))), container)

    @property
    def is_clip(self) -> bool:
        """Whether it has frames."""
        return self.container.rate is not None

    @property
    def channels(self) -> int:
        """Of what it shows: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; no splat is decoded for it."""
        return output_channels([(state, self.coded(state)) for state in self.stack.layers])

    def write(self, file: BinaryIO) -> None:
        """Write the file: all that was read bit for bit, and the edits."""
        for piece in self._pieces():
            file.write(self.source.read(piece.at, piece.size) if isinstance(piece, Section) else piece)

    def to_bytes(self) -> bytes:
        """The file in memory."""
        file = io.BytesIO()
        self.write(file)
        return file.getvalue()

    @property
    def size(self) -> int:
        """Of the file, bytes."""
        return sum(piece.size if isinstance(piece, Section) else len(piece) for piece in self._pieces())

    def fields(self) -> Iterator[tuple[str, Field]]:
        """All coded fields by what messages call them: of layers back to front, then of a clip's segments.

        Raises:
            BitstreamError: a damaged segment.
        """
        stack = self.container.stack
        for layer in stack:
            for part, field in zip(("layer", "matte"), layer.fields, strict=False):
                yield f"the {part} {layer.name!r}", field
        for index in range(len(self.container.places)):
            coded = self.container.segment(self.source, index)
            header = stack[coded.layer].header
            yield f"segment {index}", coded.field(header)
            if (matte := coded.matte_field(header)) is not None:
                yield f"the matte of segment {index}", matte

    def _pieces(self, added: Sequence[NewSection] = (), *, edited: bool = True) -> list[Section | bytes]:
        spans = [place.span for place in self.container.places]
        edits = pack(self.steps) if edited else b""
        return list(assembled(self.source, spans, edits, added))

    def coded(self, state: State) -> CodedLayer:
        """What a layer was decoded from."""
        return self.container.stack[state.source]

    def with_step(self, step: Step) -> Document:
        """The file after one more step of edits.

        Raises:
            ConfigError: edits that cannot be done, or too many.
        """
        stack = self.stack
        for operation in step:
            stack = stack.after(operation)
        return self._with((*self.steps, step), stack) if step else self

    def undone(self, count: int = 1) -> Document:
        """The file without its last steps.

        Raises:
            ConfigError: there are not that many.
        """
        if not 0 <= count <= len(self.steps):
            raise ConfigError(f"cannot undo {count} of {len(self.steps)} steps of edits")
        return self._with(self.steps[: len(self.steps) - count])

    def reset(self) -> Document:
        """The file without edits."""
        return self._with(())

    def _with(self, steps: Sequence[Step], stack: Stack | None = None) -> Document:
        return Document(self.source, self.container, steps, stack, self._boxes, self.limits)

    def _coded_box(self, source: int, *, coarse: bool = False) -> Bounds:
        """Where a coded layer can be seen, px of its canvas; `coarse` is quick whatever the file's size.

        Only the alpha of a file without layers is decoded for its box; all others store it.
        """
        layer = self.container.stack[source]
        if layer.box is not None:
            return layer.box
        if layer.field is None:
            return self._boxes.get((source, 0), (0, 0, layer.header.width, layer.header.height))
        tiers = len(layer.field.tier_counts)
        if coarse:
            tiers = sum(total <= _COARSE for total in accumulate(layer.field.tier_counts))
        if (source, tiers) not in self._boxes:
            h, found = layer.header, (0, 0, layer.header.width, layer.header.height)
            if layer.has_alpha and tiers:
                found = visible_box(decode_layer(layer, tiers=tiers), h)
            self._boxes[source, tiers] = found
        return self._boxes[source, tiers]

    def box(self, state: State) -> Bounds:
        """Where a layer can be seen: the box around its edited box, wider by the blur's sigma."""
        x, y, w, h = self._coded_box(state.source)
        if not w * h:
            return 0.0, 0.0, 0.0, 0.0
        corners = np.array([(x, y), (x + w, y), (x, y + h), (x + w, y + h)]) @ state.matrix.T + state.offset
        reach = np.sqrt(np.diag(state.blur)) * self.coded(state).has_alpha
        low, high = corners.min(0) - reach, corners.max(0) + reach
        return tuple(np.concatenate([low, high - low]).tolist())

    def center(self, state: State) -> tuple[float, float]:
        """The middle of a layer's box as it stands now, which is the canvas's for a layer nowhere visible.

        In a file without layers, which stores no box, it is where the largest splats are seen, at most 1,500.
        """
        x, y, w, h = self._coded_box(state.source, coarse=True)
        if not w * h:
            x, y, w, h = 0, 0, self.coded(state).header.width, self.coded(state).header.height
        return state.apply((x + w / 2, y + h / 2))

    def table(self) -> list[dict[str, Any]]:
        """Each layer's name, splats, bytes, box, visibility and edits, back to front, for JSON."""
        return [
            {
                "name": state.name,
                "splats": sum(field.count for field in self.coded(state).fields) or None,
                "bytes": self._coded_size(state.source),
                "box": list(self.box(state)),
                "visible": state.visible,
                "edits": list(map(str, state.operations)),
            }
            for state in self.stack.layers
        ]

    def _coded_size(self, source: int) -> int:
        """Bytes of a coded layer's splats."""
        layer = self.container.stack[source]
        if layer.moves:
            return sum(p.section.size for p in self.container.places if p.span and p.span.layer == source)
        return sum(len(field.data) for field in layer.fields)

    def extracted(self, name: str) -> Document:
        """A file of one layer alone, on the same canvas, shown as it is edited.

        Raises:
            ConfigError: no such layer.
        """
        state = self.stack.find(name)
        self.refuse_eyes("taken apart")
        h, rate = self.container.header, self.container.rate
        kept = state.source == 0 and (self.container.field is not None or self.container.own)
        notes, metadata = (self.container.notes, self.container.metadata) if kept else ((), None)
        layer = self.whole(state, state.name)
        if rate is None:
            textures = renumbered(self.container.textures, {state.source: 0})
            file = container_of(h.width, h.height, [layer], notes)
            file = Document.of(replace(file, metadata=metadata, textures=textures))
        elif not layer.moves:
            raise ConfigError(f"{name!r} is a still layer of a clip, and cannot be a clip alone")
        else:
            new = [NewSection(layer_section(layer)), *self._segments(state.source, 0)]
            for told in (notes_section(notes), metadata_section(metadata)):
                new += [NewSection(told)] if told else []
            if sound := self.container.sound:
                new.append(NewSection(self.source.read(sound.at, sound.size)))
            parts = [NewSection(clip_section(rate, own=False)), *new]
            index = index_section((p.data[0], len(p.data), p.span) for p in parts)
            data = header_bytes(
                replace(h, channels=layer.header.channels, background=layer.header.background)
            )
            file = Document.from_bytes(data + b"".join(p.data for p in parts) + index)
        return file._with(self._steps_of({state.number: 0}))

    def refuse_eyes(self, what: str) -> None:
        """Refuse to do to a light field what only pictures and clips can bear.

        Raises:
            ConfigError: it is one.
        """
        if self.container.eyes is not None:
            raise ConfigError(f"a light field cannot be {what}; decode one of its views and encode that")

    def _segments(self, source: int, layer: int) -> list[NewSection]:
        """The segments of a moving layer as those of another number."""
        out = []
        for place in self.container.places:
            if place.span and place.span.layer == source:
                data = of_layer(self.source.payload(place.section), layer)
                out.append(NewSection(data, replace(place.span, layer=layer)))
        return out

    def merged(
        self, other: Document, *, at: tuple[float, float] | None = None, names: Sequence[str] | None = None
    ) -> Document:
        """This file with the layers of another in front, as they are edited there.

        Args:
            other: whose layers are added; its copies become layers of their own.
            at: where the middle of its visible layers' common box comes to stand, px; None leaves them where
                they are on their own canvas.
            names: of the added layers, back to front; a name that is taken is followed by a number.

        Raises:
            ConfigError: too many layers or edits, or moving layers in a picture or a clip of another rate.
        """
        added = other.stack.layers
        for document in (self, other):
            document.refuse_eyes("merged")
        if other.is_clip and self.container.rate != other.container.rate:
            raise ConfigError("layers that move can only be merged into a clip of the same rate")
        here, total = len(self.container.stack), len(self.container.stack) + len(added)
        if total > MAX_LAYERS:
            raise ConfigError(f"{total} layers in a file, over the limit of {MAX_LAYERS}")
        taken = {name for step in self.steps for name in (operation.name for operation in step)}
        taken.update(self.stack.names, (layer.name for layer in self.container.stack))
        layers = []
        for state, name in zip(added, names or [state.name for state in added], strict=True):
            layers.append(other.whole(state, unique_name(name, taken)))
            taken.add(layers[-1].name)
        numbers = {state.number: here + i for i, state in enumerate(added)}
        # Numbers of this file's copies come behind all coded layers.
        moved = [
            tuple(replace(o, layer=o.layer + len(added) if o.layer >= here else o.layer) for o in step)
            for step in self.steps
        ]
        new = [NewSection(layer_section(layer)) for layer in layers]
        for number, state in enumerate(added, here):
            new += other._segments(state.source, number)
            textures = renumbered(other.container.textures, {state.source: number})
            new += [NewSection(texture_section(texture)) for texture in textures]
        pieces = self._pieces(new, edited=False)
        data = b"".join(self.source.read(p.at, p.size) if isinstance(p, Section) else p for p in pieces)
        file = Document.from_bytes(data)._with((*moved, *other._steps_of(numbers)))
        last = [Operation("hide", numbers[state.number]) for state in added if not state.visible]
        if at is not None:
            x, y = other._middle()
            shift = (at[0] - x, at[1] - y)
            last += [Operation.of("move", number, shift) for number in numbers.values()]
        behind = [layer.number for layer in file.stack.layers if layer.number not in numbers.values()]
        order = behind + list(numbers.values())
        # This file's own changes of order were made without the new layers.
        if order != [layer.number for layer in file.stack.layers]:
            last += [Operation("to-front", number) for number in order]
        return file.with_step(tuple(last))

    def _middle(self) -> tuple[float, float]:
        """The middle of the box around all layers that are visible."""
        boxes = [box for state in self.stack.layers if state.visible and (box := self.box(state))[2] > 0]
        if not boxes:
            return self.container.header.width / 2, self.container.header.height / 2
        low = [min(box[i] for box in boxes) for i in (0, 1)]
        high = [max(box[i] + box[i + 2] for box in boxes) for i in (0, 1)]
        return (low[0] + high[0]) / 2, (low[1] + high[1]) / 2

    def whole(self, state: State, name: str) -> CodedLayer:
        """A layer's coded form, without edits, under another name, with a box."""
        x, y, w, h = map(math.floor, self._coded_box(state.source))
        coded = self.coded(state)
        matte = coded.matte and replace(coded.matte, name=name)
        return replace(coded, name=name, box=(x, y, w, h), matte=matte)

    def _steps_of(self, numbers: dict[int, int]) -> list[Step]:
        """The steps as they concern some layers and their looks, under other numbers."""
        # A copy's history is in part its original's, so operations are told apart by identity.
        histories = [
            ({id(operation) for operation in state.operations}, numbers[state.number])
            for state in self.stack.layers
            if state.number in numbers
        ]
        steps = []
        for step in self.steps:
            kept = [
                replace(operation, layer=number)
                for operation in step
                for history, number in histories
                if id(operation) in history and operation.kind not in _OF_THE_STACK
            ]
            if kept:
                steps.append(tuple(kept))
        return steps


def unique_name(name: str, taken: Iterable[str]) -> str:
    """A name, followed by a number if it is taken."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        end = f" {number}"
        candidate = name.encode()[: MAX_NAME - len(end)].decode(errors="ignore") + end
    return candidate
