"""A decoded clip: any frame at any time and size, segment by segment."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from splat2d.codec.layer import decode_layer
from splat2d.draw.compose import Layers, Splats, output_channels
from splat2d.edit.document import Document
from splat2d.errors import BitstreamError, ConfigError
from splat2d.format.field import check_tiers
from splat2d.format.header import DEFAULT_LIMITS, Limits
from splat2d.format.sections import Source
from splat2d.format.sound import Sound, read_sound
from splat2d.media.files import open_input
from splat2d.media.reader import parse_fps
from splat2d.native import core
from splat2d.native.backend import Backend
from splat2d.scene.drawable import Drawable
from splat2d.scene.track import Frames, Segment, Timeline, blended, weights

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from splat2d.draw.render import Size

__all__ = ["Clip"]

_LEAST_SEGMENT = 16  # bytes
_KEPT = 2  # decoded segments of each layer
_IN_MEMORY = 1 << 26  # bytes of a file that is read at once


class Clip(Drawable):
    """A clip as splats in x, y and t. Segments are read and decoded when a frame asks for them.

    Attributes:
        document: the file behind it: coded layers, segments and edits.
        header: the file's header.
        fps: frames a second, the mean where frames last differently.
        count: number of frames.
        duration: s.
        notes: what the encoder did to the clip on the way in.
        damaged: what was found damaged and left out, where that was asked for.
    """

    def __init__(
        self,
        document: Document,
        *,
        tiers: int | None = None,
        skip_damaged: bool = False,
        threads: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        super().__init__(document)
        container = document.container
        if container.rate is None:
            raise BitstreamError("this is a picture, not a clip")
        self._options: dict[str, Any] = {
            "tiers": check_tiers(tiers),
            "skip_damaged": skip_damaged,
            "threads": threads,
            "limits": limits,
        }
        self._tiers, self._skip, self._backend, self._limits = tiers, skip_damaged, Backend(threads), limits
        self._decoded: dict[tuple[int, int], Segment] = {}
        self._stills: dict[int, Splats] = {}
        self.damaged: list[str] = []
        if container.fault:
            self._lost("the file is truncated: what follows its last whole segment is missing")
        self._timeline, self._tracks = self._read_tracks()
        self.count = self._timeline.count
        if not self.count:
            raise BitstreamError("the clip has no frames")
        self.duration = self._timeline.duration
        self.fps = self.count / self.duration

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        tiers: int | None = None,
        skip_damaged: bool = False,
        threads: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> Clip:
        """Open a .splat file of a clip; one of more than 64 MiB stays open until `close`.

        Args:
            path: of the file.
            tiers: decode only this many tiers (1 to 6), coarser frames; None decodes all.
            skip_damaged: leave damaged segments out, whose frames show the last good one, and say so in
                `damaged`.
            threads: None uses all cores.
            limits: that the file must be within.

        Raises:
            BitstreamError: no clip, a damaged one, or one beyond the limits.
            ConfigError: tiers out of range.
        """
        options: dict[str, Any] = {
            "tiers": tiers,
            "skip_damaged": skip_damaged,
            "threads": threads,
            "limits": limits,
        }
        with open_input(path, error=BitstreamError) as found:
            if os.fstat(found.fileno()).st_size <= _IN_MEMORY:
                return cls.from_bytes(found.read(), **options)
        file = open(path, "rb")
        try:
            return cls.read(file, **options)
        except BaseException:
            file.close()
            raise

    @classmethod
    def read(cls, file: BinaryIO, **options: Any) -> Clip:
        """Read a clip from a file that is open for reading and seeking; options as of `open`."""
        forgive, limits = options.get("skip_damaged", False), options.get("limits", DEFAULT_LIMITS)
        return cls(Document.read(Source(file), limits, forgive=forgive), **options)

    @classmethod
    def from_bytes(cls, data: bytes, **options: Any) -> Clip:
        """Read a clip from the bytes of its file; options as of `open`."""
        return cls.read(io.BytesIO(data), **options)

    def close(self) -> None:
        """Close the file; what is decoded stays."""
        self.document.source.file.close()

    def __enter__(self) -> Clip:
        """Return the clip, whose file is closed when the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def __len__(self) -> int:
        """Number of frames."""
        return self.count

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """All frames at their own times, [H, W, C] uint8, one at a time."""
        for _, pixels in self.frames():
            yield pixels

    @property
    def channels(self) -> int:
        """Of the frames: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA."""
        return self._channels(self._shown(0))

    @property
    def has_alpha(self) -> bool:
        """Whether some frame can be transparent: no visible layer that is in all of them covers them."""
        document = self.document
        coded = [(state, document.coded(state)) for state in document.stack.layers]
        always = [(state, layer) for state, layer in coded if not (state.source and layer.moves)]
        return output_channels(always) in (2, 4)

    def _lost(self, what: str) -> None:
        if not self._skip:
            raise BitstreamError(what)
        if what not in self.damaged:
            self.damaged.append(what)

    def _read_tracks(self) -> tuple[Timeline, dict[int, list[Frames]]]:
        """The frames of all segments, without decoding their splats."""
        container = self.document.container
        assert container.rate is not None
        timeline, tracks, missing = Timeline(container.rate), {}, 0
        for index, place in enumerate(container.places):
            span = place.span
            try:
                if span is None:
                    raise BitstreamError(f"segment {index} is damaged")
                if span.layer:
                    track = tracks.setdefault(span.layer, [])
                    if track and span.first <= track[-1].first:
                        raise BitstreamError(f"segment {index} does not follow those of its layer")
                    track.append(Frames(index, span.first, span.count))
                    continue
                coded = self._segment(index) if span.ticks else None
                timeline.add(index, coded, span.first, span.count, missing=missing if self._skip else 0)
                missing = 0
            except BitstreamError as error:
                self._lost(str(error))
                # What is damaged may have been several segments, but no more than its bytes hold.
                missing += core().MAX_FRAMES * max(place.section.size // _LEAST_SEGMENT, 1)
        return timeline, {0: timeline.parts, **tracks}

    def _segment(self, index: int) -> Any:
        return self.document.container.segment(self.document.source, index, self._limits)

    @property
    def sound(self) -> Sound | None:
        """What is heard with it, None without; its packets stay in the file.

        Raises:
            BitstreamError: it is damaged, and that may not be left out.
        """
        found = self.document.container.sound
        if found is None:
            return None
        try:
            return read_sound(self.document.source, found)
        except BitstreamError as error:
            self._lost(f"the sound is left out: {error}")
            return None

    def heard(self) -> tuple[Sound | None, list[str]]:
        """The sound, and what a user should be told: damage is no reason not to see the pictures."""
        try:
            return self.sound, []
        except BitstreamError as error:
            return None, [str(error)]

    def time_of(self, frame: int) -> Fraction:
        """When a frame begins, s from the clip's beginning.

        Raises:
            ConfigError: no such frame.
        """
        if not 0 <= frame < self.count:
            raise ConfigError(f"frame is {frame}, expected 0 to {self.count - 1}")
        return self._timeline.time_of(frame)

    def segment(self, number: int, layer: int = 0) -> Segment:
        """A decoded segment of a layer.

        Args:
            number: of the segment among the layer's, damaged ones not counted.
            layer: number of the coded layer.

        Raises:
            BitstreamError: it is damaged.
        """
        key = (layer, number)
        if key not in self._decoded:
            held = [other for other in self._decoded if other[0] == layer]
            for old in held[: max(len(held) - _KEPT + 1, 0)]:
                del self._decoded[old]
            header = self.document.container.stack[layer].header
            coded = self._segment(self._tracks[layer][number].index)
            self._decoded[key] = Segment.of(header, coded, tiers=self._tiers, backend=self._backend)
        return self._decoded[key]

    def _shown(self, time: float | Fraction = 0, tiers: int | None = None) -> Layers:
        if tiers is not None:
            raise ConfigError("the tiers of a clip are chosen when it is opened")
        if not 0 <= time <= self.duration:
            raise ConfigError(f"time is {float(time):g} s, expected 0 to {float(self.duration):g}")
        number, at = self._timeline.place(time)
        moment = self._timeline.parts[number].first + at
        layers = []
        for state in self.document.stack.layers:
            splats = self._layer_at(state.source, number, at, moment)
            if splats is not None:
                layers.append((state, splats))
        return layers

    def _layer_at(self, source: int, number: int, at: float, moment: float) -> Splats | None:
        """What a coded layer shows at a moment in frames, None where it is nowhere then."""
        coded = self.document.container.stack[source]
        if not coded.moves:
            if source not in self._stills:
                self._stills[source] = decode_layer(coded, tiers=self._tiers, backend=self._backend)
            return self._stills[source]
        parts = self._tracks.get(source, [])
        if source:
            covering = [i for i, part in enumerate(parts) if part.first <= moment < part.last]
            if not covering:
                return None
            number = covering[-1]
            at = moment - parts[number].first
        return self._slice(source, parts, number, at)

    def _slice(self, source: int, parts: Sequence[Frames], number: int, at: float) -> Splats:
        """What a layer shows at a local time of a segment; the last good frame where that is damaged."""
        shown = [(self._decoded_slice(source, i, t), weight) for i, t, weight in weights(parts, number, at)]
        found = [(part, weight) for part, weight in shown if part is not None]
        while not found:
            if number == 0:
                raise BitstreamError(self.damaged[-1])
            number -= 1
            last = self._decoded_slice(source, number, parts[number].count - 0.5)
            found = [] if last is None else [(last, 1.0)]
        return blended(found)

    def _decoded_slice(self, source: int, number: int, at: float) -> Splats | None:
        """What a segment shows at a local time, None where it is damaged and may be left out."""
        try:
            return self.segment(number, source).slice(at)
        except BitstreamError as error:
            self._lost(f"segment {self._tracks[source][number].index}: {error}")
            return None

    def _with(self, document: Document) -> Clip:
        clip = Clip(document, **self._options)
        if document.container.stack[: len(self.document.container.stack)] == self.document.container.stack:
            clip._decoded, clip._stills = dict(self._decoded), dict(self._stills)
        return clip

    def extract(self, name: str) -> Clip:
        """A clip of one layer alone, on the same canvas, transparent around.

        Raises:
            ConfigError: no layer has this name, or it does not move.
        """
        return Clip(self.document.extracted(name), **self._options)

    def merge(
        self,
        other: Drawable,
        *,
        at: tuple[float, float] | None = None,
        names: Sequence[str] | None = None,
    ) -> Clip:
        """This clip with the layers of another in front; arguments and errors as of `Drawable.merge`."""
        return Clip(self.document.merged(other.document, at=at, names=names), **self._options)

    def _moment(self, time: float | Fraction, frame: int | None) -> float | Fraction:
        if frame is None:
            return time
        if time:
            raise ConfigError("a clip is rendered at a time or a frame: give one of them")
        return self.time_of(frame)

    def frames(
        self,
        *,
        fps: float | Fraction | None = None,
        threads: int | None = None,
        **size: Unpack[Size],
    ) -> Iterator[tuple[Fraction, NDArray[np.uint8]]]:
        """Times in s and frames [H, W, C] uint8, one at a time.

        Args:
            fps: frames a second, at times of their own; those of the file when None.
            threads: None uses all cores.
            **size: as of `render`.

        Raises:
            ConfigError: settings out of range or in contradiction.
            BitstreamError: a segment is damaged.
        """
        rate = None if fps is None else parse_fps(fps)
        count = self.count if rate is None else max(int(self.duration * rate), 1)
        for number in range(count):
            time = self.time_of(number) if rate is None else number / rate
            yield time, self.render(time=time, threads=threads, **size)

    def info(self, *, count_bits: bool = False) -> dict[str, Any]:
        """Size, rate, frames, segments and sound for JSON; bits a pixel are those of the pictures.

        Args:
            count_bits: also decode all segments and tell the bits of each attribute.

        Raises:
            BitstreamError: a segment is damaged.
        """
        bits: dict[str, float] = {}
        splats = self._counted(bits if count_bits else None)
        size, sound, place = self.document.size, self.sound, self.document.container.sound
        own = place.size if place else 0
        return {
            "size": size,
            "bpp": 8 * (size - own) / (self.width * self.height * self.count),
            "width": self.width,
            "height": self.height,
            "channels": self.header.channels,
            "layers": list(self.document.stack.names),
            "edits": sum(map(len, self.document.steps)),
            "frames": self.count,
            "fps": float(self.fps),
            "duration": float(self.duration),
            "segments": len(self._timeline.parts),
            "splats": splats,
            **({"bits_per_splat": {n: v / max(splats, 1) for n, v in sorted(bits.items())}} if bits else {}),
            "quality": self.header.quality or None,
            "step": self.header.step,
            "chroma_step": self.header.chroma_step / 8,
            **({"sound": {**sound.figures(), "bytes": own}} if sound else {}),
            "notes": list(self.notes),
            **self._metadata(),
            "damaged": self.damaged,
        }

    def _counted(self, bits: dict[str, float] | None) -> int:
        """Number of splats; and the code length of each attribute, which takes decoding, if asked for."""
        stack, count = self.document.container.stack, 0
        for number, layer in enumerate(stack):
            count += sum(field.count for field in layer.fields)
            if bits is not None and not layer.moves:
                decode_layer(layer, bits=bits, backend=self._backend)
            for part in self._tracks.get(number, []):
                try:
                    coded = self._segment(part.index)
                    fields = (coded.field(layer.header), coded.matte_field(layer.header))
                    for field in fields:
                        if field is not None:
                            count += field.count
                            if bits is not None:
                                field.decode(bits=bits, backend=self._backend)
                except BitstreamError as error:
                    self._lost(f"segment {part.index}: {error}")
        return count
