"""A decoded picture: its splats, and what can be done with them without fitting anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splat2d.codec.layer import decode_layer, layout_of
from splat2d.codec.splats import check_tiers
from splat2d.draw.compose import Layers, Splats, compose, draw_coverage, output_channels, to_bytes
from splat2d.draw.render import View, render, render_bytes, transform
from splat2d.edit.document import Document
from splat2d.edit.script import Entry, edited, entries_of
from splat2d.errors import ConfigError
from splat2d.format.container import Header
from splat2d.scene.layer import Layer

if TYPE_CHECKING:
    from splat2d.native.gpu import Device

__all__ = ["MODES", "Scene", "layout_of"]

MODES = {1: "grey", 2: "grey+alpha", 3: "RGB", 4: "RGBA"}


class Scene:
    """A picture as splats, in one layer or several. A value: an edit gives a new scene.

    Most pictures are one layer, called "picture". `scene.layers` are all layers, `scene["bike"]` is one, with
    every edit as a method.

    Attributes:
        document: the file behind it: coded layers and edits.
        header: the file's header.
        means: [N, 2] centres of the first layer, px.
        conics: [N, 3] upper triangle of the inverse covariance of the first layer, px^-2.
        colors: [N, C] amplitudes of the first layer, premultiplied when there is alpha.
        tier: [N] tier of each of these splats, 0 the coarsest.
        tier_counts: splats that the file holds in each tier, of all layers.
        notes: what the encoder did to the picture on the way in.
    """

    def __init__(self, document: Document, decoded: Sequence[Splats], bits: dict[str, float]) -> None:
        self.document = document
        self._decoded = tuple(decoded)
        self._bits = bits
        self.header: Header = document.container.header
        self.notes = document.container.notes
        first = self._decoded[0]
        self.means, self.conics, self.colors = first.means, first.conics, first.colors
        self.tier = first.tier
        counts = [part.tier_counts for layer in document.container.stack for part in layer.sets]
        self.tier_counts = tuple(map(sum, zip(*counts, strict=True)))
        self._by_device: dict[str, Any] = {}  # copies of the splats, of `rasterize.render_tensor`

    @classmethod
    def from_bytes(
        cls,
        data: bytes,
        *,
        tiers: int | None = None,
        count_bits: bool = False,
        threads: int | None = None,
    ) -> Scene:
        """Decode a .splat file.

        Args:
            data: the whole file.
            tiers: decode only this many tiers (1 to 6), a coarser picture; None decodes all.
            count_bits: also keep the code length of each attribute, for `info`.
            threads: None uses all cores.

        Raises:
            BitstreamError: not a whole, undamaged .splat file.
            ConfigError: tiers out of range.
        """
        check_tiers(tiers)
        return cls.of(Document.from_bytes(bytes(data)), tiers=tiers, count_bits=count_bits, threads=threads)

    @classmethod
    def of(
        cls,
        document: Document,
        *,
        tiers: int | None = None,
        count_bits: bool = False,
        threads: int | None = None,
    ) -> Scene:
        """Decode a parsed file; arguments as of `from_bytes`."""
        decoded, bits = [], {}
        for layer in document.container.stack:
            splats, layer_bits = decode_layer(layer, tiers=tiers, count_bits=count_bits, threads=threads)
            decoded.append(splats)
            for name, length in layer_bits.items():
                bits[name] = bits.get(name, 0.0) + length
        return cls(document, decoded, bits)

    @property
    def width(self) -> int:
        """Canvas width, px."""
        return self.header.width

    @property
    def height(self) -> int:
        """Canvas height, px."""
        return self.header.height

    @property
    def channels(self) -> int:
        """Of the picture: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.

        Of several layers colour is what has a coloured layer, and alpha what no visible layer covers whole.
        """
        flat = self._flat
        return flat.channels if flat else output_channels(self._stack)

    @property
    def count(self) -> int:
        """Number of decoded splats, of all layers."""
        return sum(splats.count for splats in self._decoded)

    @property
    def tiers(self) -> int:
        """Number of tiers that hold splats, counted to the last."""
        return max((t + 1 for t, n in enumerate(self.tier_counts) if n), default=0)

    @property
    def background(self) -> NDArray[np.float32]:
        """[C] the colour under all splats of the first layer."""
        return self._decoded[0].background

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers, back to front."""
        return tuple(Layer(self, state, splats) for state, splats in self._stack)

    def __getitem__(self, name: str) -> Layer:
        """The layer of this name.

        Raises:
            ConfigError: no layer has it; lists those that there are and the nearest.
        """
        state = self.document.stack.find(name)
        return Layer(self, state, self._decoded[state.source])

    def pick(self, x: float, y: float) -> Layer | None:
        """The frontmost visible layer that covers a point of the canvas by half or more, or None.

        Args:
            x: px from the canvas's left edge.
            y: px from its upper edge.

        Raises:
            ShapeError: a point that is not finite.
        """
        view = View(x - 0.5, y - 0.5, 1.0, 1.0, 1, 1)
        for layer, (state, splats) in zip(reversed(self.layers), reversed(self._stack), strict=True):
            if state.visible and (not splats.has_alpha or draw_coverage(state, splats, view)[0, 0] >= 0.5):
                return layer
        return None

    def edited(self, script: Sequence[Entry | dict[str, Any]]) -> Scene:
        """The scene after one more step of edits.

        Args:
            script: what is done, in order: entries, or mappings as in an edit script:
                `[{"group": "bike", "move": [40, 0], "rotate": 15}]`.

        Raises:
            ConfigError: an unknown layer or key, values out of range, or a transform without an inverse.
        """
        entries = [e for part in script for e in ([part] if isinstance(part, Entry) else entries_of(part))]
        return self._with(edited(self.document, entries))

    def undo(self, count: int = 1) -> Scene:
        """The scene without its last steps of edits.

        Raises:
            ConfigError: there are not that many.
        """
        return self._with(self.document.undone(count))

    def reset(self) -> Scene:
        """The scene without edits, as it was encoded or put together."""
        return self._with(self.document.reset())

    def extract(self, name: str) -> Scene:
        """A scene of one layer alone, on the same canvas, transparent around.

        Raises:
            ConfigError: no layer has this name.
        """
        document = self.document.extracted(name)
        return Scene(document, [self._decoded[self.document.stack.find(name).source]], {})

    def merge(
        self,
        other: Scene,
        *,
        at: tuple[float, float] | None = None,
        names: Sequence[str] | None = None,
    ) -> Scene:
        """This scene with the layers of another in front.

        Args:
            other: whose layers are added, as they are edited there.
            at: x, y where the middle of what is seen of them comes to stand, px of this canvas; None leaves
                them where they are on their own.
            names: of the added layers, back to front; a name that is taken is followed by a number.

        Raises:
            ConfigError: more than 255 layers, or too many edits.
        """
        document = self.document.merged(other.document, at=at, names=names)
        added = [other._decoded[state.source] for state in other.document.stack.layers]
        return Scene(document, [*self._decoded, *added], {})

    def to_bytes(self) -> bytes:
        """The .splat file; nothing is encoded again."""
        return self.document.to_bytes()

    def render(
        self,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        crop: Sequence[float] | None = None,
        tiers: int | None = None,
        threads: int | None = None,
        device: Device = "cpu",
    ) -> NDArray[np.uint8]:
        """Render to bytes.

        Args:
            scale: output px for each canvas px, any positive number.
            width: output width, px, instead of scale; the height follows unless given too.
            height: output height, px, instead of scale.
            crop: x, y, width, height of the window, canvas px.
            tiers: leave out splats of later tiers.
            threads: of the renderer; None uses all cores.
            device: "cpu"; "cuda" for an NVIDIA GPU; "auto" for the GPU where there is one.

        Returns:
            [H, W, C] uint8, alpha straight.

        Raises:
            ConfigError: settings out of range or in contradiction.
            BackendUnavailableError: device is "cuda", and there is no GPU to use.
        """
        view = View.asked(self.width, self.height, scale, width, height, crop)
        flat = self._flat
        if flat:
            first = flat.first(check_tiers(tiers))
            return render_bytes(
                *(first.means, first.conics, first.colors),
                view,
                background=flat.background,
                unpremultiply=flat.has_alpha,
                threads=threads,
                device=device,
            )
        return to_bytes(compose(self._first(tiers), view, threads=threads, device=device))

    def render_float(
        self,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        crop: Sequence[float] | None = None,
        tiers: int | None = None,
        threads: int | None = None,
        device: Device = "cpu",
    ) -> NDArray[np.float32]:
        """Render without rounding: [H, W, C] float32, premultiplied; arguments as of `render`.

        A single layer without edits is not clamped either.
        """
        view = View.asked(self.width, self.height, scale, width, height, crop)
        flat = self._flat
        if flat:
            first = flat.first(check_tiers(tiers))
            planes = render(
                *(first.means, first.conics, first.colors),
                view,
                background=flat.background,
                threads=threads,
                device=device,
            )
        else:
            planes = compose(self._first(tiers), view, threads=threads, device=device)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))

    def window(
        self,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        crop: Sequence[float] | None = None,
        tiers: int | None = None,
    ) -> tuple[tuple[NDArray[np.float32], ...], View]:
        """Splats that show a window, for a rasteriser of your own; arguments as of `render`.

        Returns:
            Means [M, 2] in output px, conics [M, 3] in output px^-2, colours [M, C] and the colour [C] under
            all; and the view, whose width and height are the output's.

        Raises:
            ConfigError: settings out of range, or not a single visible layer without edits.
        """
        view = View.asked(self.width, self.height, scale, width, height, crop)
        flat = self.flat
        first = flat.first(check_tiers(tiers))
        return (*transform(first.means, first.conics, first.colors, view), flat.background), view

    @property
    def flat(self) -> Splats:
        """The splats of a picture of one visible layer that fills the canvas, without a matte or edits.

        Raises:
            ConfigError: it is none.
        """
        flat = self._flat
        if flat is None:
            raise ConfigError("splats of a window are those of one layer without edits; render draws layers")
        return flat

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the .splat file; an existing one is kept unless `force`."""
        from splat2d.media.files import write_atomic

        with write_atomic(path, force=force) as file:
            file.write(self.to_bytes())

    def info(self) -> dict[str, Any]:
        """Size, rate, splats and bits of each attribute for JSON; the bits need `count_bits` at decoding."""
        h = self.header
        pixels = h.width * h.height
        size = len(self.to_bytes())
        count = max(self.count, 1)
        return {
            "size": size,
            "bpp": 8 * size / pixels,
            "width": h.width,
            "height": h.height,
            "channels": self.channels,
            "mode": MODES[self.channels],
            "layers": list(self.document.stack.names),
            "edits": sum(map(len, self.document.steps)),
            "splats": self.count,
            "tiers": list(self.tier_counts),
            "bits_per_splat": {name: bits / count for name, bits in sorted(self._bits.items())},
            "quality": h.quality or None,
            "step": h.step,
            "chroma_step": h.chroma_step / 8,
            "background": list(h.background),
            "notes": list(self.notes),
        }

    @property
    def _stack(self) -> Layers:
        """All layers with their splats, back to front."""
        return [(state, self._decoded[state.source]) for state in self.document.stack.layers]

    @property
    def _flat(self) -> Splats | None:
        """The only visible layer's splats, if they fill the canvas, without a matte or edits; else None."""
        shown = [(state, splats) for state, splats in self._stack if state.visible]
        if len(shown) != 1:
            return None
        state, splats = shown[0]
        whole = splats.matte is None and splats.size == (self.width, self.height)
        return splats if whole and not state.changes_look else None

    def _first(self, tiers: int | None) -> Layers:
        check_tiers(tiers)
        return [(state, splats.first(tiers)) for state, splats in self._stack]

    def _with(self, document: Document) -> Scene:
        """The same splats under other edits."""
        return Scene(document, self._decoded, self._bits)
