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

PEERS: dict[str, tuple[str, dict]] = {
    "JPEG, optimised, progressive, 4:2:0": (
        "JPEG",
        {"optimize": True, "progressive": True, "subsampling": "4:2:0"},
    ),
    "WebP, method 6": ("WEBP", {"method": 6}),
    "AVIF, speed 3": ("AVIF", {"speed": 3}),
}


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


def largest_below(encode: Callable[[int], bytes], limit: int) -> tuple[int, bytes]:
    """Return the quality 0..100 with the largest file of at most `limit` bytes, and that file.

    Args:
        encode: From a quality to a file; a better quality gives no smaller file, near enough.
        limit: Bytes; where even the lowest quality has more, that file is returned.
    """
    best = (0, encode(0))
    low, high = 1, 100
    while low <= high:
        middle = (low + high) // 2
        data = encode(middle)
        if len(data) <= limit:
            best, low = (middle, data), middle + 1
        else:
            high = middle - 1
    return best


def peer(name: str, x: np.ndarray, limit: int) -> Row:
    """Return the figures of one of Pillow's codecs at the best quality of at most `limit` bytes."""
    image_format, options = PEERS[name]

    def encode(quality: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(x).save(file, image_format, quality=quality, **options)
        return file.getvalue()

    quality, data = largest_below(encode, limit)
    start = time.perf_counter()
    encode(quality)
    middle = time.perf_counter()
    x_hat = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    end = time.perf_counter()
    return Row(name, len(data), psnr(x, x_hat), ms_ssim(x, x_hat), middle - start, end - middle)


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
    rows = [row, *(peer(name, x, row.size) for name in PEERS)]

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
