"""Encode one picture and print its figures as JSON: for speed.py, which wants the memory of a whole process.

Usage: python benchmarks/_encode_once.py PICTURE PRESET QUALITY THREADS
"""

from __future__ import annotations

import json
import sys

from _measure import peak_memory, significant


def main() -> None:
    """Encode the picture that the command line names."""
    path, preset, quality, threads = sys.argv[1:]
    from splat2d.fit.encode import encode_picture
    from splat2d.pictures import load_picture

    picture = load_picture(path)
    loaded = peak_memory()
    encoded = encode_picture(picture, quality=int(quality), preset=preset, threads=int(threads))
    _, height, width = picture.pixels.shape
    figures = {
        "width": width,
        "height": height,
        "quality": int(quality),
        "encode_s": significant(encoded.seconds),
        "s_per_mpx": significant(encoded.seconds / (width * height * 1e-6)),
        "peak_mib": round(peak_memory() / 2**20),
        "loaded_mib": round(loaded / 2**20),
        "bytes": len(encoded.data),
        "bpp": round(8 * len(encoded.data) / (width * height), 5),
        "psnr": round(encoded.psnr, 3),
        "splats": encoded.splats,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
