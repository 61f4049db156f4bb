"""One interface through which splat2d and other codecs run side by side."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import BackendUnavailableError, ConfigError, TargetError

if TYPE_CHECKING:
    from splat2d.fit.config import FitConfig

RATE_TOLERANCE = 0.15  # how far from a target rate a codec's nearest file may be


@dataclass(frozen=True)
class Setting:
    """What is asked of a codec.

    Args:
        kind: whether `value` is the codec's own quality, a rate, or a video codec's constant rate factor.
        value: from 0 to 100, bits a pixel, or the factor.
    """

    kind: Literal["quality", "bpp", "crf"]
    value: float

    def __str__(self) -> str:
        """Return `quality=50` or `bpp=0.25`, as results have it."""
        return f"{self.kind}={self.value:g}"


class Described(Protocol):
    """What a codec of pictures or clips says of itself."""

    @property
    def name(self) -> str:
        """How files and options call it: `avif-psnr`, `splat2d-fast`."""
        ...

    @property
    def label(self) -> str:
        """How tables and plots call it, with the setting."""
        ...

    @property
    def family(self) -> str:
        """Which codec it is a setting of: `avif`. Tables show the family's hardest setting."""
        ...

    @property
    def optimises(self) -> str:
        """The metric that the setting is made for, of `METRICS`; empty where it is made for none of them."""
        ...

    @property
    def ours(self) -> bool:
        """Whether it is splat2d."""
        ...

    @property
    def suffix(self) -> str:
        """Of its files, with the dot."""
        ...

    def version(self) -> str:
        """Return what its files depend on; rows of another version are measured again."""
        ...

    def unavailable(self) -> str | None:
        """Return why it cannot run here and what would help; None when it can."""
        ...


class Codec(Described, Protocol):
    """A codec of 8-bit RGB pictures."""

    @property
    def qualities(self) -> tuple[float, ...]:
        """The grid that covers about 0.08 to 1.2 bpp on photographs, ascending."""
        ...

    def resolve(self, x: NDArray[np.uint8], setting: Setting, sizes: dict[float, int]) -> Setting:
        """Return a setting that `encode` takes at once: a rate becomes the quality that comes nearest.

        Args:
            x: picture [H, W, 3].
            setting: any.
            sizes: file sizes in bytes of this picture by quality, kept by the caller from call to call.

        Raises:
            TargetError: no quality comes near the rate.
        """
        ...

    def encode(self, x: NDArray[np.uint8], setting: Setting) -> bytes:
        """Return the file of a picture [H, W, 3]."""
        ...

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Return the picture [H, W, 3] of a file."""
        ...


TEXTURE = ":texture"


@dataclass(frozen=True)
class SplatCodec:
    """splat2d through its public functions.

    Args:
        preset: fast, default or best, or the path of a YAML file.
        threads: None for all cores; the file does not depend on it.
        tune: instead of what the preset says.
        texture: whether files have a texture, which is drawn.
    """

    preset: str = "default"
    threads: int | None = None
    tune: str | None = None
    texture: bool = False
    qualities: tuple[float, ...] = (32, 42, 52, 62, 72, 82)
    suffix: str = ".splat"
    ours: bool = True
    family: str = "splat2d"

    @classmethod
    def parse(cls, text: str, threads: int | None = None) -> SplatCodec:
        """Return the codec of `PRESET` or `PRESET:TUNE`, or of either with `:texture` behind it.

        Raises:
            ConfigError: there is no such preset or tune.
        """
        from splat2d.fit.config import TUNES

        texture = text.endswith(TEXTURE)
        text = text.removesuffix(TEXTURE)
        # A YAML file may have a colon in its name.
        preset, _, tune = (text, "", "") if Path(text).exists() else text.partition(":")
        if ":" in text and preset != text and tune not in TUNES:
            raise ConfigError(f"tune {tune!r} of {text} is unknown; expected one of {', '.join(TUNES)}")
        codec = cls(preset, threads, tune or None, texture)
        codec.config()
        return codec

    def config(self) -> FitConfig:
        """Return what the encoder does."""
        from splat2d.fit.config import load_config

        config = load_config(self.preset)
        return replace(config, tune=self.tune) if self.tune else config

    @property
    def name(self) -> str:
        """splat2d-PRESET, and the tune where one was given."""
        return "-".join(self._words())

    @property
    def label(self) -> str:
        """Splat2d PRESET, and the tune where one was given."""
        return " ".join(self._words())

    def _words(self) -> Iterator[str]:
        words = ("splat2d", Path(self.preset).stem, self.tune, "texture" if self.texture else None)
        return filter(None, words)

    @property
    def optimises(self) -> str:
        """The metric of its tune."""
        tune = self.config().tune
        return {"visual": "ssimulacra2"}.get(tune, tune.replace("-", "_"))

    def version(self) -> str:
        """Return the package's version and a digest of all code and settings that a file depends on."""
        return own_version(repr(self.config()))

    def unavailable(self) -> str | None:
        """Return why the native core does not load; None when it does."""
        from splat2d.native import core

        try:
            core()
        except BackendUnavailableError as error:
            return str(error)
        return None

    def resolve(self, x: NDArray[np.uint8], setting: Setting, sizes: dict[float, int]) -> Setting:
        """Return the setting: the encoder has a rate target of its own."""
        return setting

    def encode(self, x: NDArray[np.uint8], setting: Setting) -> bytes:
        """Return the file of a picture [H, W, 3]."""
        import splat2d

        given: Any = {"preset": self.preset, "threads": self.threads, "tune": self.tune}
        given["texture"] = "auto" if self.texture else "off"
        if setting.kind == "bpp":
            return splat2d.encode(x, bpp=setting.value, **given)
        return splat2d.encode(x, quality=round(setting.value), **given)

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Return the picture [H, W, 3] of a file."""
        import splat2d

        pixels = splat2d.decode(data, threads=self.threads)
        # A picture without colour is coded as one plane.
        return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), np.uint8)


def nearest_quality(bpp: Callable[[int], float], low: int, high: int, target: float) -> int:
    """Return the quality whose rate comes nearest to a target, as a ratio.

    Args:
        bpp: rate of a quality in bits a pixel, rising.
        low: least quality.
        high: largest quality.
        target: bits a pixel.

    Raises:
        TargetError: if the nearest rate is more than `RATE_TOLERANCE` away.
    """
    first, last = low, high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if bpp(middle) <= target else (low, middle)
    best = min((low, high), key=lambda quality: abs(math.log(bpp(quality) / target)))
    if abs(math.log(bpp(best) / target)) > math.log(1 + RATE_TOLERANCE):
        raise TargetError(
            f"no quality from {first} to {last} comes near {target:g} bpp; the nearest has {bpp(best):.3f}"
        )
    return best


@cache
def own_version(settings: str) -> str:
    """Return what files of splat2d depend on: its version, and a digest of its code and of settings."""
    import splat2d
    import splat2d.codec
    import splat2d.fit
    import splat2d.format
    from splat2d.native import core

    digest = hashlib.sha256(settings.encode())
    files = [Path(core().__file__)]
    for package in (splat2d.codec, splat2d.fit, splat2d.format):
        folder = Path(package.__path__[0])
        files += sorted(path for path in folder.rglob("*") if path.suffix in {".py", ".bin"})
    for path in files:
        digest.update(path.read_bytes())
    return f"splat2d {splat2d.__version__} {digest.hexdigest()[:12]}"
