"""The codecs of others for pictures, through Pillow and its plugins: each as named settings."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat2d.bench.codecs import Setting, nearest_quality

THREADS = ("max_threads", "num_threads")
"""Options that change times and no file."""


@dataclass(frozen=True)
class PillowCodec:
    """One of Pillow's codecs, or of a plugin's.

    Args:
        name: of options and files.
        label: of tables, with the setting.
        suffix: of files.
        format: Pillow's name.
        qualities: its grid.
        library: what `PIL.features` calls the library.
        options: of Pillow's save.
        plugin: module that adds the format to Pillow, and the package that holds it.
        range: least and largest quality.
        family: the codec that this is a setting of; its name where there is but one.
        optimises: the metric that the setting is made for; empty where it is made for none of ours.
        optional: measured only when it is named, since it takes long.
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
    family: str = ""
    optimises: str = ""
    optional: bool = False
    ours: bool = False

    def __post_init__(self) -> None:
        """Let a codec of one setting be its own family."""
        object.__setattr__(self, "family", self.family or self.name)

    def version(self) -> str:
        """Return the library's version and the options."""
        from splat2d.bench.machine import LIBRARIES, package_version

        if self.plugin:
            name, found = self.plugin[1], package_version(self.plugin[1])
        else:
            from PIL import features

            name, found = LIBRARIES[self.library], features.version(self.library)
        options = {k: v for k, v in self.options.items() if k not in THREADS}
        options |= options.pop("advanced", {})
        words = (f"{key} {value}" for key, value in options.items())
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


# About 0.08 to 1.2 bpp on photographs that are easy and on those that are hard; the tunes spend unlike rates
# at equal quality.
_AVIF_GRIDS = {
    "psnr": (2, 6, 12, 20, 30, 42, 56, 70),
    "iq": (2, 10, 20, 30, 40, 50, 62, 76),
    "ssimulacra2": (2, 10, 20, 30, 40, 50, 62, 76),
}
_JXL_GRID = (1, 4, 8, 14, 22, 32, 44, 56, 68, 80, 88, 94)


def peers(threads: int | None = None) -> tuple[PillowCodec, ...]:
    """Return the codecs of others, each setting as a codec of its own.

    Args:
        threads: of codecs that use more than one; the library's own choice when None.
    """
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
        _avif(threads, "psnr"),
        _avif(threads, "psnr", subsampling="4:4:4"),
        _avif(threads, "iq"),
        _avif(threads, "ssimulacra2"),
        _avif(threads, "ssimulacra2", subsampling="4:4:4", optional=True),
        _avif(threads, "psnr", speed=0, optional=True),
        _avif(threads, "psnr", subsampling="4:4:4", speed=0, optional=True),
        _avif(threads, "iq", speed=0, optional=True),
        _avif(threads, "ssimulacra2", speed=0, optional=True),
        Jpeg2000(
            "jpeg2000",
            "JPEG 2000",
            ".jp2",
            "JPEG2000",
            (8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88),
            "jpg_2000",
            # Pillow leaves the colour transform out unless asked, and loses about 3 dB.
            {"irreversible": True, "mct": 1},
            optimises="psnr",
        ),
        _jxl(threads, 7),
        _jxl(threads, 9),
    )


def _avif(
    threads: int | None, tune: str, subsampling: str = "4:2:0", speed: int = 3, optional: bool = False
) -> PillowCodec:
    """Return AVIF through libaom with a tune; `avif-psnr-444-speed0` is one's name, `AVIF psnr` a label."""
    full, slow = subsampling == "4:4:4", speed != 3
    # Tiles let threads work and make larger files. The others' defaults differ from version to version.
    options = {"speed": speed, "subsampling": subsampling, "autotiling": False, "advanced": {"tune": tune}}
    return PillowCodec(
        f"avif-{tune}" + "-444" * full + f"-speed{speed}" * slow,
        f"AVIF {tune}" + " 4:4:4" * full + f" speed {speed}" * slow,
        ".avif",
        "AVIF",
        _AVIF_GRIDS[tune],
        "avif",
        options | ({"max_threads": threads} if threads else {}),
        family="avif",
        # libaom's `iq` was made for SSIMULACRA2 too, with an eye on the looks.
        optimises="psnr" if tune == "psnr" else "ssimulacra2",
        optional=optional,
    )


def _jxl(threads: int | None, effort: int) -> PillowCodec:
    return PillowCodec(
        f"jxl-{effort}",
        f"JPEG XL effort {effort}",
        ".jxl",
        "JXL",
        _JXL_GRID,
        options={"effort": effort} | ({"num_threads": threads} if threads else {}),
        plugin=("pillow_jxl", "pillow-jxl-plugin"),
        range=(1, 99),
        family="jxl",
    )
