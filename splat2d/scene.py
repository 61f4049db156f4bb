"""A decoded picture: its splats, and what can be done with them without fitting anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splat2d._backend import core, thread_count
from splat2d.codec.coder import Decoder
from splat2d.codec.container import Container, read
from splat2d.codec.splats import Layout, code_splats
from splat2d.errors import BitstreamError, ConfigError

if TYPE_CHECKING:
    from splat2d.gpu import Device
    from splat2d.render import View

MODES = {1: "grey", 2: "grey+alpha", 3: "RGB", 4: "RGBA"}


def layout_of(container: Container) -> Layout:
    """What the splats' coder needs of a file."""
    h = container.header
    return Layout(h.width, h.height, h.channels, h.chroma_step, h.step_code, container.tier_counts)


class Scene:
    """A picture as splats.

    Attributes:
        header: the file's header.
        means: [N, 2] centres, px.
        conics: [N, 3] upper triangle of the inverse covariance, px^-2.
        colors: [N, C] amplitudes, premultiplied when there is alpha.
        tier: [N] tier of each splat, 0 the coarsest.
        tier_counts: splats that the file holds in each tier.
        notes: what the encoder did to the picture on the way in.
    """

    def __init__(
        self, data: bytes, container: Container, integers: NDArray[np.int32], bits: dict[str, float]
    ) -> None:
        self._data = data
        self._bits = bits
        self.header = container.header
        self.notes = container.notes
        self.means, self.conics, self.colors = core().dequantize(
            integers, self.header.step, self.header.chroma_step
        )
        counts = self.tier_counts = container.tier_counts
        self.tier = np.repeat(np.arange(len(counts)), counts)[: len(integers)]

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
        limit = core().TIERS
        if tiers is not None and not 1 <= tiers <= limit:
            raise ConfigError(f"tiers is {tiers}, expected 1 to {limit}")
        container = read(bytes(data), limit)
        coder = Decoder(container.splats, count_bits=count_bits)
        try:
            integers = code_splats(
                coder, layout_of(container), None, tiers=tiers, threads=thread_count(threads)
            )
        except ValueError as error:
            raise BitstreamError(f"the coded splats are damaged: {error}") from error
        return cls(data, container, integers, coder.bits)

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
        """1 grey, 2 grey and alpha, 3 RGB, 4 RGBA."""
        return self.header.channels

    @property
    def count(self) -> int:
        """Number of decoded splats."""
        return len(self.means)

    @property
    def tiers(self) -> int:
        """Number of tiers that hold splats, counted to the last."""
        return max((t + 1 for t, n in enumerate(self.tier_counts) if n), default=0)

    @property
    def background(self) -> NDArray[np.float32]:
        """[C] the colour under all splats."""
        return (np.array(self.header.background, np.float32) / 255).astype(np.float32)

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
        from splat2d.render import render_bytes

        view = self._view(scale, width, height, crop)
        unpremultiply = self.channels in (2, 4)
        return render_bytes(
            *self._splats(tiers),
            view,
            background=self.background,
            unpremultiply=unpremultiply,
            threads=threads,
            device=device,
        )

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
        """Render without rounding or clamping: [H, W, C] float32, premultiplied; arguments as of `render`."""
        from splat2d.render import render

        view = self._view(scale, width, height, crop)
        planes = render(
            *self._splats(tiers), view, background=self.background, threads=threads, device=device
        )
        return np.ascontiguousarray(planes.transpose(1, 2, 0))

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the .splat file; an existing one is kept unless `force`."""
        from splat2d.files import write_atomic

        with write_atomic(path, force=force) as file:
            file.write(self._data)

    def info(self) -> dict[str, Any]:
        """Size, rate, splats and bits of each attribute for JSON; the bits need `count_bits` at decoding."""
        h = self.header
        pixels = h.width * h.height
        count = max(self.count, 1)
        return {
            "size": len(self._data),
            "bpp": 8 * len(self._data) / pixels,
            "width": h.width,
            "height": h.height,
            "channels": h.channels,
            "mode": MODES[h.channels],
            "splats": self.count,
            "tiers": list(self.tier_counts),
            "bits_per_splat": {name: bits / count for name, bits in sorted(self._bits.items())},
            "quality": h.quality or None,
            "step": h.step,
            "chroma_step": h.chroma_step / 8,
            "background": list(h.background),
            "notes": list(self.notes),
        }

    def _splats(
        self, tiers: int | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        if tiers is None:
            return self.means, self.conics, self.colors
        if not 1 <= tiers <= core().TIERS:
            raise ConfigError(f"tiers is {tiers}, expected 1 to {core().TIERS}")
        n = sum(self.tier_counts[:tiers])
        return self.means[:n], self.conics[:n], self.colors[:n]

    def _view(
        self, scale: float | None, width: int | None, height: int | None, crop: Sequence[float] | None
    ) -> View:
        from splat2d.render import View

        if scale is not None and (width is not None or height is not None):
            raise ConfigError("scale contradicts width and height: give one of them")
        x, y, w, h = (0, 0, self.width, self.height) if crop is None else crop
        if not (w > 0 and h > 0 and x >= 0 and y >= 0 and x + w <= self.width and y + h <= self.height):
            raise ConfigError(
                f"crop {x:g},{y:g},{w:g},{h:g} is not inside the canvas of {self.width} x {self.height} px"
            )
        if width is not None or height is not None:
            # The side that is not given keeps the proportions.
            wide = width if width is not None else max(round((height or 1) * w / h), 1)
            high = height if height is not None else max(round(wide * h / w), 1)
            return View.resized(x, y, w, h, wide, high)
        return View.crop(x, y, w, h, 1.0 if scale is None else scale)
