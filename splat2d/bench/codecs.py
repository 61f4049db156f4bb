"""One interface through which splat2d and other codecs run side by side."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import BackendUnavailableError, ConfigError, TargetError

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
        """How files and options call it: `avif`, `splat2d-fast`."""
        ...

    @property
    def label(self) -> str:
        """How tables and plots call it."""
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


@dataclass(frozen=True)
class PillowCodec:
    """One of Pillow's codecs, or of a plugin's.

    Args:
        name: of options and files.
        label: of tables.
        suffix: of files.
        format: Pillow's name.
        qualities: its grid.
        library: what `PIL.features` calls the library.
        options: of Pillow's save.
        plugin: module that adds the format to Pillow, and the package that holds it.
        range: least and largest quality.
    """

    name: str
    label: str
    suffix: str
    format: str
    qualities: tuple[float, ...]
    library: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    plugin: tuple[str, str] | None = None
    range: tuple[int, int] = (0, 100)
    ours: bool = False

    def version(self) -> str:
        """Return the library's version and the options."""
        from splat2d.bench.machine import LIBRARIES, package_version

        if self.plugin:
            name, found = self.plugin[1], package_version(self.plugin[1])
        else:
            from PIL import features

            name, found = LIBRARIES[self.library], features.version(self.library)
        words = (f"{key} {value}" for key, value in self.options.items() if key not in THREADS)
        return ", ".join((f"{name} {found}", *words))

    def unavailable(self) -> str | None:
        """Return why it cannot run here; None when it can."""
        from importlib import import_module

        from PIL import features

        if self.plugin:
            try:
                import_module(self.plugin[0])
            except ImportError:
                return f"{self.label} needs the package {self.plugin[1]}; pip install {self.plugin[1]}"
        elif not features.check(self.library):
            return f"this Pillow is built without {self.label}; install Pillow's wheel from PyPI"
        return None

    def resolve(self, x: NDArray[np.uint8], setting: Setting, sizes: dict[float, int]) -> Setting:
        """Return the quality whose file comes nearest to a rate."""
        if setting.kind == "quality":
            return setting
        pixels = x.shape[0] * x.shape[1]

        def bpp(quality: int) -> float:
            if quality not in sizes:
                sizes[quality] = len(self.encode(x, Setting("quality", quality)))
            return 8 * sizes[quality] / pixels

        return Setting("quality", nearest_quality(bpp, *self.range, setting.value))

    def encode(self, x: NDArray[np.uint8], setting: Setting) -> bytes:
        """Return the file of a picture [H, W, 3]."""
        return self._save(x, quality=round(setting.value))

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Return the picture [H, W, 3] of a file."""
        from PIL import Image

        self._load_plugin()
        with Image.open(io.BytesIO(data)) as image:
            return np.array(image.convert("RGB"))

    def _save(self, x: NDArray[np.uint8], **options: Any) -> bytes:
        from PIL import Image

        self._load_plugin()
        file = io.BytesIO()
        Image.fromarray(x).save(file, self.format, **self.options, **options)
        return file.getvalue()

    def _load_plugin(self) -> None:
        if self.plugin:
            from importlib import import_module

            import_module(self.plugin[0])


@dataclass(frozen=True)
class Jpeg2000(PillowCodec):
    """JPEG 2000, which has no quality but exact control of rate and of PSNR.

    Quality q is a PSNR of 20 + q / 4 dB, so that the grid runs from 0 to 100 as the others' does.
    """

    def resolve(self, x: NDArray[np.uint8], setting: Setting, sizes: dict[float, int]) -> Setting:
        """Return the setting: either kind is its own."""
        return setting

    def encode(self, x: NDArray[np.uint8], setting: Setting) -> bytes:
        """Return the file of a picture [H, W, 3]."""
        # Each resolution halves the sides; six is its default.
        levels = min(6, int(math.log2(min(x.shape[:2]))) + 1)
        if setting.kind == "bpp":
            layers = {"quality_mode": "rates", "quality_layers": [24 / setting.value]}
        else:
            layers = {"quality_mode": "dB", "quality_layers": [20 + setting.value / 4]}
        return self._save(x, num_resolutions=levels, **layers)


@dataclass(frozen=True)
class SplatCodec:
    """splat2d through its public functions.

    Args:
        preset: fast, default or best, or the path of a YAML file.
        threads: None for all cores; the file does not depend on it.
    """

    preset: str = "default"
    threads: int | None = None
    qualities: tuple[float, ...] = (32, 42, 52, 62, 72, 82)
    suffix: str = ".splat"
    ours: bool = True

    @property
    def name(self) -> str:
        """splat2d-PRESET."""
        return f"splat2d-{Path(self.preset).stem}"

    @property
    def label(self) -> str:
        """Splat2d PRESET."""
        return f"splat2d {Path(self.preset).stem}"

    def version(self) -> str:
        """Return the package's version and a digest of all code and settings that a file depends on."""
        from splat2d.fit.config import load_config

        return own_version(repr(load_config(self.preset)))

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

        if setting.kind == "bpp":
            return splat2d.encode(x, bpp=setting.value, preset=self.preset, threads=self.threads)
        return splat2d.encode(x, quality=round(setting.value), preset=self.preset, threads=self.threads)

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Return the picture [H, W, 3] of a file."""
        import splat2d

        pixels = splat2d.decode(data, threads=self.threads)
        # A picture without colour is coded as one plane.
        return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), np.uint8)


THREADS = ("max_threads", "num_threads")
"""Options that change times and no file."""


def peers(threads: int | None = None) -> tuple[PillowCodec, ...]:
    """Return the codecs of others.

    Args:
        threads: of codecs that use more than one; the library's own choice when None.
    """
    avif = {"speed": 3, "subsampling": "4:2:0", **({"max_threads": threads} if threads else {})}
    jxl = {"effort": 7, **({"num_threads": threads} if threads else {})}
    jpeg = {"optimize": True, "progressive": True, "subsampling": "4:2:0"}
    return (
        PillowCodec(
            "jpeg",
            "JPEG",
            ".jpg",
            "JPEG",
            (5, 8, 12, 18, 26, 36, 48, 60, 72, 82, 90, 95),
            "libjpeg_turbo",
            jpeg,
            range=(1, 95),
        ),
        PillowCodec(
            "webp",
            "WebP",
            ".webp",
            "WEBP",
            (0, 4, 10, 20, 32, 46, 60, 72, 80, 86, 92, 96),
            "webp",
            {"method": 6},
        ),
        PillowCodec(
            "avif",
            "AVIF",
            ".avif",
            "AVIF",
            (10, 20, 28, 36, 44, 52, 60, 68, 76, 84),
            "avif",
            avif,
        ),
        Jpeg2000(
            "jpeg2000",
            "JPEG 2000",
            ".jp2",
            "JPEG2000",
            (8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88),
            "jpg_2000",
            # Pillow leaves the colour transform out unless asked, and loses about 3 dB.
            {"irreversible": True, "mct": 1},
        ),
        PillowCodec(
            "jxl",
            "JPEG XL",
            ".jxl",
            "JXL",
            (1, 4, 8, 14, 22, 32, 44, 56, 68, 80, 88, 94),
            options=jxl,
            plugin=("pillow_jxl", "pillow-jxl-plugin"),
            range=(1, 99),
        ),
    )


OURS = "splat2d"
NAMES = (OURS, *(peer.name for peer in peers()))


def choose(names: Iterable[str], presets: Iterable[str], threads: int | None = None) -> list[Codec]:
    """Return the codecs that a command line names, ours once for each preset.

    Args:
        names: from `NAMES`.
        presets: of splat2d.
        threads: of each codec that uses more than one.

    Raises:
        ConfigError: a name or a preset that does not exist.
    """
    known: dict[str, Codec] = {peer.name: peer for peer in peers(threads)}
    out: list[Codec] = []
    for name in dict.fromkeys(names):
        if name == OURS:
            out += [SplatCodec(preset, threads) for preset in dict.fromkeys(presets)]
        elif name in known:
            out.append(known[name])
        else:
            raise ConfigError(f"codec {name!r} is unknown; expected one of {', '.join(NAMES)}")
    for codec in out:
        if isinstance(codec, SplatCodec):
            from splat2d.fit.config import load_config

            load_config(codec.preset)
    return out


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
    from splat2d.native import core

    digest = hashlib.sha256(settings.encode())
    files = [Path(core().__file__)]
    for package in (splat2d.codec, splat2d.fit):
        folder = Path(package.__path__[0])
        files += sorted(path for path in folder.iterdir() if path.suffix in {".py", ".bin"})
    for path in files:
        digest.update(path.read_bytes())
    return f"splat2d {splat2d.__version__} {digest.hexdigest()[:12]}"
