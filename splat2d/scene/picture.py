"""A decoded picture: its splats, and what can be done with them without fitting anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splat2d.arguments import finite
from splat2d.codec.layer import decode_layer
from splat2d.codec.texture import decode_textures
from splat2d.draw.compose import Layers, Splats
from splat2d.draw.render import View, render, transform
from splat2d.draw.work import check_splats
from splat2d.edit.document import Document
from splat2d.errors import BitstreamError, ConfigError
from splat2d.format.field import check_tiers
from splat2d.format.header import DEFAULT_LIMITS, Limits
from splat2d.format.texture import texture_section
from splat2d.native.backend import ALL_CORES, Backend
from splat2d.scene.drawable import MODES, Drawable, flat_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from splat2d.draw.render import Size

__all__ = ["MODES", "Scene"]


class Scene(Drawable):
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
        super().__init__(document)
        self._decoded = tuple(decoded)
        self._bits = bits
        first = self._decoded[0]
        self.means, self.conics, self.colors = first.means, first.conics, first.colors
        self.tier = first.tier
        counts = [field.tier_counts for layer in document.container.stack for field in layer.fields]
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
        limits: Limits = DEFAULT_LIMITS,
    ) -> Scene:
        """Decode a picture's .splat file.

        Args:
            data: the whole file.
            tiers: decode only this many tiers (1 to 6), a coarser picture; None decodes all.
            count_bits: also keep the code length of each attribute, for `info`.
            threads: None uses all cores.
            limits: that the file must be within.

        Raises:
            BitstreamError: not a whole, undamaged picture, or one beyond the limits.
            ConfigError: tiers out of range.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise ConfigError(f"data is of type {type(data).__name__}, expected the bytes of a file")
        check_tiers(tiers)
        document = Document.from_bytes(bytes(data), limits)
        return cls.of(document, tiers=tiers, count_bits=count_bits, backend=Backend(threads))

    @classmethod
    def of(
        cls,
        document: Document,
        *,
        tiers: int | None = None,
        count_bits: bool = False,
        backend: Backend = ALL_CORES,
    ) -> Scene:
        """Decode a parsed file; arguments as of `from_bytes`, but for the backend whose threads do it.

        Raises:
            BitstreamError: a clip, or damaged splats.
        """
        if document.is_clip:
            raise BitstreamError("this is a clip, not a picture; splat2d.open reads both")
        bits: dict[str, float] = {}
        counted = bits if count_bits else None
        decoded = [
            decode_layer(layer, tiers=tiers, bits=counted, backend=backend)
            for layer in document.container.stack
        ]
        # What is left out of a coarser picture is more than its texture.
        textures = decode_textures(document.container) if tiers is None else {}
        decoded = [replace(splats, texture=textures.get(number)) for number, splats in enumerate(decoded)]
        return cls(document, decoded, bits)

    def _shown(self, time: float | Fraction = 0, tiers: int | None = None) -> Layers:
        check_tiers(tiers)
        return [(state, self._decoded[state.source].first(tiers)) for state in self.document.stack.layers]

    def _with(self, document: Document) -> Scene:
        return Scene(document, self._decoded, self._bits)

    @property
    def channels(self) -> int:
        """Of the picture: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.

        Of several layers colour is what has a coloured layer, and alpha what no visible layer covers whole.
        """
        return self._channels(self._shown())

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

    def render(self, view: View | tuple[float, float] | None = None, **options: Any) -> NDArray[np.uint8]:
        """Render to bytes; arguments and errors as of `Drawable.render`.

        Args:
            view: also u, v of the eye that sees a light field.
            **options: of `Drawable.render`.
        """
        if isinstance(view, tuple):
            return self.seen_from(*view).render(**options)
        return super().render(view, **options)

    @property
    def eyes(self) -> tuple[tuple[float, float], ...]:
        """Places of a light field's views: u, v of each, in steps of their grid; none of a picture."""
        eyes = self.document.container.eyes
        return eyes.steps if eyes is not None else ()

    def seen_from(self, u: float, v: float) -> Scene:
        """A light field as an eye sees it, between the encoded views too; a picture is always the same.

        Args:
            u: of the eye, to the right of the middle, in steps of the eyes' grid.
            v: downwards.

        Raises:
            ConfigError: a place that is not finite.
        """
        eye = finite("u", u), finite("v", v)
        return Scene(self.document, [splats.seen_from(*eye) for splats in self._decoded], self._bits)

    def refocused(self, disparity: float, *, view: Sequence[float] = (0, 0)) -> Scene:
        """A light field through an aperture as wide as its eyes lie apart, focused on a disparity.

        Args:
            disparity: of what is sharp, px a step of the eyes' grid.
            view: u, v of the aperture's middle.

        Raises:
            ConfigError: a disparity or a place that is not finite.
        """
        finite("disparity", disparity)
        eye = finite("u", view[0]), finite("v", view[1])
        spread = np.cov(np.array(self.eyes).T, bias=True) if self.eyes else np.zeros((2, 2))
        return Scene(self.document, [s.refocused(disparity, spread, eye) for s in self._decoded], self._bits)

    def disparity(self, **size: Any) -> NDArray[np.float32]:
        """How far what is seen of a light field moves from eye to eye; arguments as of `render`.

        Returns:
            [H, W] px a step of the eyes' grid, for the middle eye: the mean of the disparities of what is
            there, by the energy of its slopes, which shows where it moves.

        Raises:
            ConfigError: not a light field, or settings out of range.
        """
        splats = self._decoded[0]
        if splats.disparities is None:
            raise ConfigError("disparities are of light fields, and this is none")
        backend = Backend(size.pop("threads", None))
        share = (splats.colors**2).sum(1) * (splats.conics[:, 0] + splats.conics[:, 2])
        weights = np.stack([share * splats.disparities, share], 1).astype(np.float32)
        view = self.view(**size)
        check_splats(splats.means, splats.conics, weights, view, self.document.limits.max_evaluations)
        planes = render(*(splats.means, splats.conics, weights), view, background=(0.0, 0.0), backend=backend)
        if not share.any():
            return np.zeros_like(planes[0])
        least = 1e-6 * float(share.mean())  # of what nothing is seen of
        middle = float(np.average(splats.disparities, weights=share))
        return (planes[0] + least * middle) / (planes[1] + least)

    def extract(self, name: str) -> Scene:
        """A scene of one layer alone, on the same canvas, transparent around.

        Raises:
            ConfigError: no layer has this name.
        """
        document = self.document.extracted(name)
        return Scene(document, [self._decoded[self.document.stack.find(name).source]], {})

    def merge(
        self,
        other: Drawable,
        *,
        at: tuple[float, float] | None = None,
        names: Sequence[str] | None = None,
    ) -> Scene:
        """This scene with the layers of another in front; arguments and errors as of `Drawable.merge`."""
        document = self.document.merged(other.document, at=at, names=names)
        added = [splats for _, splats in other._shown(0)]
        return Scene(document, [*self._decoded, *added], {})

    def window(
        self, view: View | None = None, *, tiers: int | None = None, **size: Unpack[Size]
    ) -> tuple[tuple[NDArray[np.float32], ...], View]:
        """Splats that show a window, for a rasteriser of your own; arguments as of `render`.

        Returns:
            Means [M, 2] in output px, conics [M, 3] in output px^-2, colours [M, C] and the colour [C] under
            all; and the view, whose width and height are the output's.

        Raises:
            ConfigError: settings out of range, or not a single visible layer without edits.
        """
        view = self.view(**size) if view is None else view
        first = self.flat.first(check_tiers(tiers))
        return (*transform(first.means, first.conics, first.colors, view), first.background), view

    @property
    def flat(self) -> Splats:
        """The splats of a picture of one visible layer that fills the canvas, without a matte or edits.

        Raises:
            ConfigError: it is none.
        """
        flat = flat_of(self._shown(), (self.width, self.height))
        if flat is None:
            raise ConfigError("splats of a window are those of one layer without edits; render draws layers")
        return flat

    def info(self) -> dict[str, Any]:
        """Size, rate, splats, bits of each attribute for JSON; the bits need `count_bits` at decoding."""
        h = self.header
        pixels = h.width * h.height
        size = self.document.size
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
            "texture": sum(len(texture_section(t)) for t in self.document.container.textures),
            "bits_per_splat": {name: bits / count for name, bits in sorted(self._bits.items())},
            "quality": h.quality or None,
            "step": h.step,
            "chroma_step": h.chroma_step / 8,
            "background": list(h.background),
            "notes": list(self.notes),
            **({"views": len(self.eyes), "eyes": [list(eye) for eye in self.eyes]} if self.eyes else {}),
            **self._metadata(),
        }
