"""Entropy coding: real files against the ideal code length of their own models, and against zstd -19.

Usage: python benchmarks/entropy.py [--pictures 5 20 23] [--qualities 50 75] [--preset default]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from _paths import DATA, RESULTS, kodak_paths
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from splat2d.bench.machine import environment, significant
from splat2d.bench.results import write_json
from splat2d.errors import Splat2dError

ZSTD_LEVEL = 19


@dataclass(frozen=True)
class Options:
    """Options of the benchmark.

    Args:
        pictures: Kodak numbers.
        qualities: of splat2d.
        preset: of splat2d; the integers are its, whatever codes them.
        threads: of splat2d.
        data: folder that holds kodak/.
        out: JSON to write.
    """

    pictures: tuple[int, ...] = (5, 20, 23)
    qualities: tuple[int, ...] = (50, 75)
    preset: str = "default"
    threads: int = 2
    data: Path = DATA
    out: Path = RESULTS / "entropy.json"


def integers_of(data: bytes) -> tuple[NDArray[np.int32], int]:
    """Return a file's integers [N, C + 5] in coding order, and the bytes of its range-coded splats."""
    from splat2d.format.container import read

    field = read(data).field
    assert field is not None
    return field.decode()[0], len(field.data)


def narrow(column: NDArray[np.int32]) -> NDArray[np.signedinteger]:
    """Return a column in the narrowest integer type that holds it."""
    for dtype in (np.int8, np.int16):
        limits = np.iinfo(dtype)
        if len(column) == 0 or (column.min() >= limits.min and column.max() <= limits.max):
            return column.astype(dtype)
    return column


def zstd_sizes(integers: NDArray[np.int32]) -> dict[str, int]:
    """Return the bytes of the integers after zstd, column by column in one frame.

    Args:
        integers: [N, K].

    Returns:
        int32: as they are. narrow: each column in the narrowest type that holds it, which is fairer.
    """
    import zstandard

    compress = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress
    columns = np.ascontiguousarray(integers.T)
    return {
        "int32": len(compress(columns.tobytes())),
        "narrow": len(compress(b"".join(narrow(column).tobytes() for column in columns))),
    }


def measure(path: Path, quality: int, options: Options) -> dict[str, Any]:
    """Return the code lengths of one picture at one quality."""
    from splat2d.fit.encode import encode_picture
    from splat2d.media.pictures import load_picture
    from splat2d.native.backend import Backend

    encoded = encode_picture(
        load_picture(path), quality=quality, preset=options.preset, backend=Backend(options.threads)
    )
    integers, coded = integers_of(encoded.data)
    size, ideal = len(encoded.data), sum(encoded.bits.values()) / 8
    zstd = zstd_sizes(integers)
    count = max(encoded.splats, 1)
    return {
        "picture": path.stem,
        "quality": quality,
        "psnr": round(encoded.psnr, 3),
        "splats": encoded.splats,
        "file_bytes": size,
        "range_coded_bytes": coded,
        "ideal_bytes": round(ideal, 1),
        "overhead_percent": round(100 * (size / ideal - 1), 3),
        "bits_per_splat": {name: significant(b / count) for name, b in sorted(encoded.bits.items())},
        "zstd_bytes": zstd,
        "zstd_over_file": {name: round(n / size, 3) for name, n in zstd.items()},
    }


def main() -> None:
    """Measure, print a table, write the JSON."""
    options = tyro.cli(Options, description=(__doc__ or "").splitlines()[0])
    console = Console()
    rows = []
    for path in kodak_paths(options.data, options.pictures):
        for quality in options.qualities:
            rows.append(measure(path, quality, options))
    result = {
        "benchmark": "entropy",
        **environment(),
        "settings": {"preset": options.preset, "zstd_level": ZSTD_LEVEL},
        "rows": rows,
    }
    write_json(options.out, result)
    table = Table(title=f"Bytes; zstd -{ZSTD_LEVEL} of the same integers, over the file's size")
    for heading in ("picture", "quality", "splats", "ideal", "file", "over %", "zstd int32", "zstd narrow"):
        table.add_column(heading, justify="left" if heading == "picture" else "right")
    for row in rows:
        figures = (row["quality"], row["splats"], round(row["ideal_bytes"]), row["file_bytes"])
        factors = (f"{row['zstd_over_file'][name]:.2f}x" for name in ("int32", "narrow"))
        table.add_row(row["picture"], *map(str, figures), f"{row['overhead_percent']:.2f}", *factors)
    console.print(table)
    attributes = rows[0]["bits_per_splat"] if rows else {}
    table = Table(title="Bits a splat")
    for heading in ("picture", "quality", *attributes, "sum"):
        table.add_column(heading, justify="left" if heading == "picture" else "right")
    for row in rows:
        bits = row["bits_per_splat"]
        figures = (f"{value:.2f}" for value in (*bits.values(), sum(bits.values())))
        table.add_row(row["picture"], str(row["quality"]), *figures)
    console.print(table)


if __name__ == "__main__":
    try:
        main()
    except Splat2dError as error:
        sys.exit(f"entropy: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
