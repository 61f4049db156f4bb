"""Encode a shipped photograph, decode it at 1x and 4x, and compare with JPEG, WebP and AVIF at the same size.

Usage: python examples/demo.py [PICTURE] [--out FOLDER] [--quality 1..100] [--preset fast|default|best]
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent

# Annex K of the JPEG standard, which libjpeg scales by the quality.
LUMA = (
    16,
    11,
    10,
    16,
    24,
    40,
    51,
    61,
    12,
    12,
    14,
    19,
    26,
    58,
    60,
    55,
    14,
    13,
    16,
    24,
    40,
    57,
    69,
    56,
    14,
    17,
)
LUMA += (22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64)
LUMA += (78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99)
CHROMA = (
    17,
    18,
    24,
    47,
    99,
    99,
    99,
    99,
    18,
    21,
    26,
    66,
    99,
    99,
    99,
    99,
    24,
    26,
    56,
    99,
    99,
    99,
    99,
    99,
    47,
    66,
)
CHROMA += (99,) * 38


def jpeg_tables(quality: float) -> list[list[int]]:
    """Return the quantisation tables of a JPEG quality, which may lie between whole ones."""
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality
    tables = (LUMA, CHROMA)
    return [[min(max(int((step * percent + 50) / 100), 1), 255) for step in table] for table in tables]


def avif_levels(tune: str, knobs: tuple[dict, ...]) -> list[dict]:
    """Return settings of AVIF; between two qualities, whose files differ by 7%, are those of some knobs."""
    return [
        {"quality": quality, "advanced": {"tune": tune, **knob}} for quality in range(101) for knob in knobs
    ]


# Quantisation matrices from strong to flat, and small changes of what is rounded away.
MATRICES = tuple(
    {**matrix, **change}
    for matrix in (*({"enable-qm": "1", "qm-min": str(k), "qm-max": str(k)} for k in range(7, 12)), {})
    for change in ({}, {"quant-b-adapt": "1"}, {"enable-chroma-deltaq": "1"})
)
# How much the quantiser follows the picture; 100 is the tune's own.
STRENGTHS = tuple({"deltaq-strength": str(k)} for k in range(74, 101, 2))


@dataclass(frozen=True)
class Peer:
    """One of Pillow's codecs.

    Args:
        name: with the setting.
        format: Pillow's name.
        options: of every file.
        levels: further options, from those with the smallest file to those with the largest, near enough.
    """

    name: str
    format: str
    options: dict
    levels: list[dict]

    def encode(self, x: np.ndarray, level: int) -> bytes:
        """Return the file of a picture."""
        file = io.BytesIO()
        Image.fromarray(x).save(file, self.format, **self.options, **self.levels[level])
        return file.getvalue()


PEERS = (
    Peer("AVIF psnr, speed 3", "AVIF", {"speed": 3}, avif_levels("psnr", MATRICES)),
    Peer("AVIF iq (its default), speed 3", "AVIF", {"speed": 3}, avif_levels("iq", STRENGTHS)),
    Peer("WebP, method 6", "WEBP", {"method": 6}, [{"quality": k / 4} for k in range(401)]),
    Peer(
        "JPEG, optimised, progressive, 4:2:0",
        "JPEG",
        {"optimize": True, "progressive": True, "subsampling": "4:2:0"},
        [{"qtables": jpeg_tables(k / 32)} for k in range(32, 3201)],
    ),
)
NEIGHBOURS = 4  # levels tried on each side of that of a search, since sizes rise only near enough


@dataclass(frozen=True)
class Row:
    """One codec's figures: size in bytes, PSNR in dB over RGB, times in seconds."""

    name: str
    size: int
    psnr: float
    ms_ssim: float
    encode: float
    decode: float


def psnr(x: np.ndarray, x_hat: np.ndarray) -> float:
    """Return the PSNR over all samples of two uint8 pictures, in dB."""
    error = np.mean((x.astype(np.float64) - x_hat.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def ms_ssim(x: np.ndarray, x_hat: np.ndarray) -> float:
    """Return the MS-SSIM of two uint8 pictures [H, W, 3]; no number for those that are too small for it."""
    from splat2d.bench import ms_ssim

    return ms_ssim.ms_ssim(x, x_hat) if min(x.shape[:2]) >= 161 else float("nan")


def largest_below(encode: Callable[[int], bytes], count: int, limit: int) -> tuple[int, bytes]:
    """Return the level with the largest file of at most `limit` bytes, and that file.

    Args:
        encode: From a level to a file; a higher level gives no smaller file, near enough.
        count: Of levels, which start at 0.
        limit: Bytes; where even the lowest level has more, that file is returned.
    """
    files = {0: encode(0)}
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        files[middle] = encode(middle)
        low, high = (middle, high) if len(files[middle]) <= limit else (low, middle)
    for level in range(max(low - NEIGHBOURS, 0), min(low + 1 + NEIGHBOURS, count)):
        if level not in files:
            files[level] = encode(level)
    fitting = [level for level in files if len(files[level]) <= limit]
    best = max(fitting, key=lambda level: len(files[level]), default=0)
    return best, files[best]


def beside(peer: Peer, x: np.ndarray, limit: int) -> Row:
    """Return the figures of one of Pillow's codecs at its largest file of at most `limit` bytes."""
    level, data = largest_below(lambda level: peer.encode(x, level), len(peer.levels), limit)
    start = time.perf_counter()
    peer.encode(x, level)
    middle = time.perf_counter()
    x_hat = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    end = time.perf_counter()
    return Row(peer.name, len(data), psnr(x, x_hat), ms_ssim(x, x_hat), middle - start, end - middle)


def ours(picture: Path, folder: Path, quality: int, preset: str) -> tuple[np.ndarray, Row, int]:
    """Encode and decode with splat2d, write the files, and return the original, the figures, the splats."""
    from splat2d.fit.encode import encode_picture
    from splat2d.media.pictures import load_picture, save_picture
    from splat2d.scene.picture import Scene

    loaded = load_picture(picture)
    start = time.perf_counter()
    encoded = encode_picture(loaded, quality=quality, preset=preset)
    encode_seconds = time.perf_counter() - start

    start = time.perf_counter()
    x_hat = Scene.from_bytes(encoded.data).render()
    decode_seconds = time.perf_counter() - start

    file = folder / f"{picture.stem}.splat"
    file.write_bytes(encoded.data)
    save_picture(x_hat, folder / f"{picture.stem}-1x.png", force=True)
    large = Scene.from_bytes(encoded.data).render(scale=4)
    save_picture(large, folder / f"{picture.stem}-4x.png", force=True)

    x = np.rint(loaded.pixels[:3].transpose(1, 2, 0) * 255).astype(np.uint8)
    size = file.stat().st_size
    name = f"splat2d, {preset}, quality {quality}"
    row = Row(name, size, psnr(x, x_hat), ms_ssim(x, x_hat), encode_seconds, decode_seconds)
    return x, row, encoded.splats


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("picture", nargs="?", type=Path, default=HERE / "pictures" / "coffee.png")
    parser.add_argument("--out", type=Path, default=HERE.parent / "build" / "demo")
    parser.add_argument("--quality", type=int, default=50)
    parser.add_argument("--preset", choices=("fast", "default", "best"), default="default")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    console = Console()
    console.print(f"encoding {options.picture.name} ...")
    x, row, splats = ours(options.picture, options.out, options.quality, options.preset)
    rows = [row, *(beside(peer, x, row.size) for peer in PEERS)]

    height, width = x.shape[:2]
    title = f"{options.picture.name}, {width}x{height}, {splats:,} splats; the others at most as large"
    table = Table(title=title)
    for heading in ("codec", "bytes", "bpp", "PSNR dB", "MS-SSIM", "encode s", "decode s"):
        table.add_column(heading, justify="left" if heading == "codec" else "right")
    for row in rows:
        figures = (f"{row.size:,}", f"{8 * row.size / (width * height):.3f}", f"{row.psnr:.2f}")
        times = (f"{row.encode:.2f}", f"{row.decode:.3f}")
        # A codec whose lowest quality does not fit is no comparison; say so instead of hiding it.
        name = row.name if row.size <= rows[0].size else f"{row.name} (its smallest)"
        table.add_row(name, *figures, f"{row.ms_ssim:.4f}", *times)
    console.print(table)
    console.print(f"written to {options.out}: .splat, 1x and 4x PNG", soft_wrap=True)


if __name__ == "__main__":
    main()
