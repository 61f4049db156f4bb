"""What pictures and clips have in common: layers with edits, drawn at any size at any moment."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.compose import Layers, Splats, compose, compose_bytes, draw_coverage, output_channels
from splat2d.draw.render import View, render, render_bytes
from splat2d.draw.texture import Strength, checked_strength
from splat2d.draw.work import check_work
from splat2d.edit.document import Document
from splat2d.edit.script import Entry, edited, entries_of
from splat2d.errors import ConfigError
from splat2d.native.backend import Backend, Device
from splat2d.scene.layer import Layer

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from splat2d.draw.render import Size
    from splat2d.format.header import Header

MODES = {1: "grey", 2: "grey+alpha", 3: "RGB", 4: "RGBA"}


class Drawable(ABC):
    """A file's layers, which can be drawn and edited. A value: an edit gives a new one.

    Attributes:
        document: the file behind it: coded layers and edits.
        header: the file's header.
        notes: what the encoder did on the way in.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.header: Header = document.container.header
        self.notes = document.container.notes

    @abstractmethod
    def _shown(self, time: float | Fraction, tiers: int | None = None) -> Layers:
        """All layers that there are at a moment, back to front, with their splats."""

    @abstractmethod
    def _with(self, document: Document) -> Self:
        """The same splats under other edits, or of a file that has them."""

    def _moment(self, time: float | Fraction, frame: int | None) -> float | Fraction:
        """The time in s that a caller asks for."""
        if frame is not None:
            raise ConfigError("frame is of clips, and this is a picture")
        return time

    def _metadata(self) -> dict[str, Any]:
        """What is said of the file's metadata; nothing where there is none."""
        metadata = self.document.container.metadata
        if metadata is None:
            return {}
        from splat2d.media.metadata import summary

        return {"metadata": summary(metadata)}

    @property
    def width(self) -> int:
        """Canvas width, px."""
        return self.header.width

    @property
    def height(self) -> int:
        """Canvas height, px."""
        return self.header.height

    # Layers

    def layers_at(self, time: float | Fraction) -> tuple[Layer, ...]:
        """All layers, back to front, with their splats of a moment in s."""
        return tuple(Layer(self, state, splats) for state, splats in self._shown(time))

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers, back to front, those of a clip as they are at its beginning."""
        return self.layers_at(0)

    def __getitem__(self, name: str) -> Layer:
        """The layer of this name.

        Raises:
            ConfigError: no layer has it; lists those that there are and the nearest.
        """
        state = self.document.stack.find(name)
        found = [splats for shown, splats in self._shown(0) if shown.number == state.number]
        return Layer(self, state, found[0] if found else empty(self, state.source))

    def pick(self, x: float, y: float, *, time: float | Fraction = 0) -> Layer | None:
        """The frontmost visible layer that covers a point of the canvas by half or more, or None.

        Args:
            x: px from the canvas's left edge.
            y: px from its upper edge.
            time: s from the beginning of a clip.

        Raises:
            ShapeError: a point that is not finite.
        """
        view = View(x - 0.5, y - 0.5, 1.0, 1.0, 1, 1)
        for state, splats in reversed(self._shown(time)):
            if state.visible and (not splats.has_alpha or draw_coverage(state, splats, view)[0, 0] >= 0.5):
                return Layer(self, state, splats)
        return None

    def edited(self, script: Sequence[Entry | dict[str, Any]]) -> Self:
        """The same after one more step of edits.

        Args:
            script: what is done, in order: entries, or mappings as in an edit script:
                `[{"group": "bike", "move": [40, 0], "rotate": 15}]`.

        Raises:
            ConfigError: an unknown layer or key, values out of range, or a transform without an inverse.
        """
        entries = [e for part in script for e in ([part] if isinstance(part, Entry) else entries_of(part))]
        return self._with(edited(self.document, entries))

    def undo(self, count: int = 1) -> Self:
        """The same without its last steps of edits.

        Raises:
            ConfigError: there are not that many.
        """
        return self._with(self.document.undone(count))

    def reset(self) -> Self:
        """The same without edits, as it was encoded or put together."""
        return self._with(self.document.reset())

    @abstractmethod
    def extract(self, name: str) -> Self:
        """One layer alone, on the same canvas, transparent around.

        Raises:
            ConfigError: no layer has this name.
        """

    @abstractmethod
    def merge(
        self,
        other: Drawable,
        *,
        at: tuple[float, float] | None = None,
        names: Sequence[str] | None = None,
    ) -> Self:
        """The same with the layers of another in front.

        Args:
            other: whose layers are added, as they are edited there.
            at: x, y where the middle of what is seen of them comes to stand, px of this canvas; None leaves
                them where they are on their own.
            names: of the added layers, back to front; a name that is taken is followed by a number.

        Raises:
            ConfigError: more than 255 layers, too many edits, or layers that move in a picture or at another
                rate.
        """

    # Files

    def to_bytes(self) -> bytes:
        """The .splat file; nothing is encoded again."""
        return self.document.to_bytes()

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the .splat file; an existing one is kept unless `force`."""
        from splat2d.media.files import write_atomic

        with write_atomic(path, force=force) as file:
            self.document.write(file)

    # Pixels

    def view(self, **size: Unpack[Size]) -> View:
        """The view that a size asks for.

        Raises:
            ConfigError: settings in contradiction, or a window that is not inside the canvas.
            ShapeError: an output that is empty or too large.
        """
        return View.asked(self.width, self.height, **size)

    def render(
        self,
        view: View | None = None,
        *,
        time: float | Fraction = 0,
        frame: int | None = None,
        tiers: int | None = None,
        threads: int | None = None,
        device: Device = "cpu",
        texture: Strength = 1.0,
        **size: Unpack[Size],
    ) -> NDArray[np.uint8]:
        """Render to bytes.

        Args:
            view: the window; None for what `size` asks for.
            time: s from the beginning of a clip, between frames too.
            frame: number of a frame of a clip, instead of time.
            tiers: leave out splats of later tiers.
            threads: of the renderer; None uses all cores.
            device: "cpu"; "cuda" for an NVIDIA GPU; "auto" for the GPU where there is one.
            texture: factor of the strength of textures that the file holds, 0 to 4; 0 or "off" for none.
            **size: as of `Size`: scale, or width and height, and crop.

        Returns:
            [H, W, C] uint8, alpha straight.

        Raises:
            ConfigError: settings out of range or in contradiction.
            BitstreamError: what this moment shows is damaged, or takes more to draw than the limits allow.
            BackendUnavailableError: device is "cuda", and there is no GPU to use.
        """
        view, backend = self.view(**size) if view is None else view, Backend(threads, device)
        layers = textured(self._shown(self._moment(time, frame), tiers), texture)
        check_work(layers, view, self.document.limits.max_evaluations)
        flat = flat_of(layers, (self.width, self.height))
        if flat is None:
            return compose_bytes(layers, view, backend=backend)
        return render_bytes(
            *(flat.means, flat.conics, flat.colors),
            view,
            background=flat.background,
            unpremultiply=flat.has_alpha,
            backend=backend,
            cutoffs=flat.cutoffs,
            texture=flat.texture and view.through(flat.texture),
        )

    def render_float(
        self,
        view: View | None = None,
        *,
        time: float | Fraction = 0,
        frame: int | None = None,
        tiers: int | None = None,
        threads: int | None = None,
        device: Device = "cpu",
        texture: Strength = 1.0,
        **size: Unpack[Size],
    ) -> NDArray[np.float32]:
        """Render without rounding: [H, W, C] float32, premultiplied; arguments as of `render`.

        A single layer without edits or a texture is not clamped either.
        """
        view, backend = self.view(**size) if view is None else view, Backend(threads, device)
        layers = textured(self._shown(self._moment(time, frame), tiers), texture)
        check_work(layers, view, self.document.limits.max_evaluations)
        flat = flat_of(layers, (self.width, self.height))
        if flat is None:
            planes = compose(layers, view, backend=backend)
        else:
            planes = render(
                *(flat.means, flat.conics, flat.colors),
                view,
                background=flat.background,
                backend=backend,
                cutoffs=flat.cutoffs,
                texture=flat.texture and view.through(flat.texture),
            )
        return np.ascontiguousarray(planes.transpose(1, 2, 0))

    def _channels(self, layers: Layers) -> int:
        flat = flat_of(layers, (self.width, self.height))
        return flat.channels if flat else output_channels(layers)


def textured(layers: Layers, texture: Strength) -> Layers:
    """Layers whose textures are as strong as a caller asks for.

    Raises:
        ConfigError: as of `checked_strength`.
    """
    strength = checked_strength(texture)
    return [(state, splats.textured(strength)) for state, splats in layers]


def flat_of(layers: Layers, size: tuple[int, int]) -> Splats | None:
    """The only visible layer's splats, if they fill the canvas, without a matte or edits; else None."""
    shown = [(state, splats) for state, splats in layers if state.visible]
    if len(shown) != 1:
        return None
    state, splats = shown[0]
    whole = splats.matte is None and splats.size == size
    return splats if whole and not state.changes_look else None


def empty(drawable: Drawable, source: int) -> Splats:
    """What is seen of a layer that is nowhere at a moment."""
    h = drawable.document.container.stack[source].header
    shape = (np.zeros((0, 2), np.float32), np.zeros((0, 3), np.float32))
    colors, base = np.zeros((0, h.channels), np.float32), np.zeros(h.channels, np.float32)
    matte = Splats(*shape, np.zeros((0, 1), np.float32), np.zeros(1, np.float32), (), (h.width, h.height))
    covered = drawable.document.container.stack[source].matte is not None
    return Splats(*shape, colors, base, (), (h.width, h.height), matte if covered else None)
