"""Speed: encode seconds by preset and size, decode in memory and as a process, render throughput.

Usage: python benchmarks/speed.py [--only encode large decode throughput] [--eight-k]

A section that is not run keeps what the JSON already holds, each with its own date and commit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Literal

import numpy as np
import tyro
from _paths import DATA, RESULTS, kodak_paths
from PIL import Image
from rich.console import Console

from splat2d.bench.codecs import Setting, SplatCodec
from splat2d.bench.machine import environment, significant, spread, stamp, timed
from splat2d.bench.once import encode_alone as encode_in_process
from splat2d.bench.results import read_json, write_json
from splat2d.errors import InputImageError, Splat2dError

Section = Literal["encode", "large", "eight_k", "decode", "throughput"]
LARGE = (2048, 1365)
EIGHT_K = (7680, 4320)
SPLATS = 5000  # of the file that decoding is timed with
DECODES, STARTS = 30, 10
# Floating-point operations of one evaluation with three channels, a fused multiply-add counted as two:
# the quadratic form, the exponential and three multiply-adds; backward adds the sums for nine gradients.
FORWARD_FLOPS, BACKWARD_FLOPS = 22, 31
PEAK_SECONDS = 0.2


@dataclass(frozen=True)
class Options:
    """Options of the benchmark.

    Args:
        only: sections to run; encode, large, decode and throughput when none are given.
        eight_k: also encode an enlargement to 7680x4320.
        pictures: Kodak numbers that encoding is timed with.
        presets: that encoding is timed with.
        qualities: that encoding is timed with.
        repeats: of each encoding at 768x512.
        threads: of splat2d.
        data: folder that holds kodak/ and photos/.
        out: JSON to write.
    """

    only: tuple[Section, ...] = ()
    eight_k: bool = False
    pictures: tuple[int, ...] = (5, 15, 20)
    presets: tuple[str, ...] = ("fast", "default", "best")
    qualities: tuple[int, ...] = (50, 75)
    repeats: int = 3
    threads: int = 2
    data: Path = DATA
    out: Path = RESULTS / "speed.json"


def encode(options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Time encoding at 768x512."""
    from splat2d.fit.encode import encode_picture
    from splat2d.media.pictures import load_picture
    from splat2d.native.backend import Backend

    rows, backend = [], Backend(options.threads)
    for preset in options.presets:
        for quality in options.qualities:
            each = {}
            for path in kodak_paths(options.data, options.pictures):
                picture, encoded = load_picture(path), None
                times = []
                for _ in range(options.repeats):
                    start = perf_counter()
                    encoded = encode_picture(picture, quality=quality, preset=preset, backend=backend)
                    times.append(perf_counter() - start)
                assert encoded is not None
                each[path.stem] = {
                    **spread(times),
                    "bytes": len(encoded.data),
                    "psnr": round(encoded.psnr, 3),
                    "splats": encoded.splats,
                }
            medians = [figures["median_s"] for figures in each.values()]
            rows.append(
                {
                    "preset": preset,
                    "quality": quality,
                    "median_s": significant(median(medians)),
                    "slowest_s": max(medians),
                    "pictures": each,
                }
            )
            say(f"encode, {preset}, quality {quality}: {rows[-1]['median_s']} s")
    return {"threads": options.threads, "rows": rows}


def encode_alone(path: Path, preset: str, quality: int, threads: int) -> dict[str, Any]:
    """Encode in a process of its own, which reports seconds and its peak memory."""
    figures = encode_in_process(SplatCodec(preset, threads), path, Setting("quality", quality))
    pixels = figures["width"] * figures["height"]
    return {**figures, "quality": quality, "s_per_mpx": significant(figures["encode_s"] / (1e-6 * pixels))}


def photograph(data: Path) -> Path:
    """Return the first photograph of `LARGE` pixels.

    Raises:
        InputImageError: If there is none.
    """
    for path in sorted((data / "photos").glob("*.png")):
        with Image.open(path) as image:
            if image.size == LARGE:
                return path
    size = f"{LARGE[0]}x{LARGE[1]}"
    raise InputImageError(f"no PNG of {size} in {data / 'photos'}; --data DIR says where photos/ is")


def large(options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Time and measure the memory of encoding 2048x1365, and a quarter of it to see how both grow."""
    path = photograph(options.data)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        quarter = Path(folder) / "quarter.png"
        with Image.open(path) as image:
            # A crop, not a reduction: the same detail in each pixel.
            left, top = image.width // 4, image.height // 4
            box = (left, top, left + image.width // 2, top + image.height // 2)
            image.convert("RGB").crop(box).save(quarter)
        for quality in options.qualities:
            for name, file in (("quarter", quarter), ("whole", path)):
                row = {"picture": name, **encode_alone(file, "default", quality, options.threads)}
                rows.append(row)
                say(f"large, {name}, quality {quality}: {row['encode_s']} s, {row['peak_mib']} MiB")
    return {"threads": options.threads, "preset": "default", "source": path.name, "rows": rows}


def eight_k(options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Time and measure the memory of encoding an enlargement to 7680x4320."""
    path = photograph(options.data)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "8k.png"
        with Image.open(path) as image:
            image.convert("RGB").resize(EIGHT_K, Image.Resampling.LANCZOS).save(file, compress_level=1)
        row = encode_alone(file, "fast", 50, options.threads)
    say(f"8K: {row['encode_s']} s, {row['peak_mib']} MiB")
    return {"threads": options.threads, "preset": "fast", "source": path.name, "rows": [row]}


@cache
def file_of_splats(options: Options) -> bytes:
    """Return a 768x512 file with about `SPLATS` splats, within 4%."""
    from splat2d.fit.encode import QUALITY_PER_OCTAVE, encode_picture
    from splat2d.media.pictures import load_picture
    from splat2d.native.backend import Backend

    picture = load_picture(kodak_paths(options.data, (5,))[0])
    quality, encoded = 50, None
    for _ in range(4):
        encoded = encode_picture(picture, quality=quality, preset="fast", backend=Backend(options.threads))
        change = round(QUALITY_PER_OCTAVE * np.log2(SPLATS / encoded.splats))
        if abs(encoded.splats / SPLATS - 1) < 0.04 or not change:
            break
        quality = int(np.clip(quality + change, 1, 100))
    assert encoded is not None
    return encoded.data


def decode(options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Time decoding from bytes in memory to uint8 pixels, and the whole command in a fresh process."""
    import splat2d
    from splat2d.edit.document import Document
    from splat2d.native.backend import Backend
    from splat2d.scene.picture import Scene

    data = file_of_splats(options)
    scene = Scene.from_bytes(data)
    result: dict[str, Any] = {
        "picture": {"width": scene.width, "height": scene.height, "splats": scene.count, "bytes": len(data)},
        "memory": {},
    }
    (field,) = (field for _, field in Document.from_bytes(data).fields())
    for threads in sorted({1, options.threads}):
        result["memory"][f"threads_{threads}"] = {
            "entropy_decoding": timed(lambda n=threads: field.decode(backend=Backend(n)), DECODES),
            "whole": timed(lambda n=threads: splat2d.decode(data, threads=n), DECODES),
            "render": timed(lambda n=threads: scene.render(threads=n), DECODES),
        }
    with tempfile.TemporaryDirectory() as folder:
        file, output = Path(folder) / "picture.splat", Path(folder) / "picture.png"
        file.write_bytes(data)
        arguments = ["decode", str(file), str(output), "--force"]
        # An installed package has its modules compiled; the first start does it here.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

        def command(*python: str) -> None:
            subprocess.run(
                [sys.executable, *python], cwd=folder, env=env, stdout=subprocess.DEVNULL, check=True
            )

        result["process"] = timed(lambda: command("-m", "splat2d", *arguments), STARTS)
        result["python_alone"] = timed(lambda: command("-c", "pass"), STARTS)
        result["imports_torch"] = imports_torch(arguments, folder)
    whole = result["memory"][f"threads_{options.threads}"]["whole"]["median_s"]
    say(f"decode, {scene.count} splats: {1e3 * whole:.1f} ms; process {result['process']['median_s']:.3f} s")
    return result


def imports_torch(arguments: list[str], folder: str) -> bool:
    """Return whether the command line has torch loaded after it did its work."""
    program = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\n"
        f"sys.argv = ['splat2d', *{arguments!r}]\n"
        "from splat2d.cli import main\n"
        "sys.exit(main())\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stderr.split()[-1] == "True"


def throughput(options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Count splat-pixel evaluations a second on a fitted scene, beside the multiply-add peak of one core."""
    from splat2d.draw.render import CUTOFF
    from splat2d.native import core
    from splat2d.scene.picture import Scene

    native = core()
    scene = Scene.from_bytes(file_of_splats(options))
    splats = scene.means, scene.conics, scene.colors
    out = np.zeros((scene.channels, scene.height, scene.width), np.float32)
    v_out = np.random.default_rng(0).standard_normal(out.shape, np.float32)
    v_splats = [np.zeros_like(array) for array in splats]
    pairs = native.count_pairs(*splats, scene.width, scene.height, CUTOFF)
    peak = peak_flops()
    result: dict[str, Any] = {
        "picture": {"width": scene.width, "height": scene.height, "splats": scene.count, "pairs": pairs},
        "flops_per_pair": {"forward": FORWARD_FLOPS, "backward": BACKWARD_FLOPS},
        "peak_flops_per_s": peak and significant(peak),
        "rows": [],
    }

    def forward(threads: int) -> None:
        native.render_into(*splats, CUTOFF, scene.background, threads, out)

    def backward(threads: int) -> None:
        native.backward_into(*splats, v_out, CUTOFF, threads, *v_splats)

    for name, action, flops in (("forward", forward, FORWARD_FLOPS), ("backward", backward, BACKWARD_FLOPS)):
        for threads in sorted({1, options.threads}):
            times = timed(lambda a=action, n=threads: a(n), DECODES, warm_up=3)
            rate = pairs / times["median_s"]
            share = None if peak is None else significant(rate * flops / (peak * threads), 3)
            row = {"direction": name, "threads": threads, "pairs_per_s": significant(rate)}
            result["rows"].append({**row, "share_of_peak": share, **times})
            of_peak = "" if share is None else f", {share:.1%} of the peak"
            say(f"{name}, {threads} threads: {rate / 1e9:.2f} G evaluations/s{of_peak}")
    return result


def peak_flops() -> float | None:
    """Return the floating-point operations a second of the core's multiply-adds on one thread, at best."""
    from splat2d.native import core

    probe = getattr(core(), "peak", None)
    if probe is None:
        return None
    rounds = 100_000
    while probe(rounds)[1] < PEAK_SECONDS:
        rounds *= 2
    # The peak is what the machine can do, so the best of a few, not the median.
    return max(2 * count / seconds for count, seconds in (probe(rounds) for _ in range(5)))


SECTIONS: dict[Section, Callable[[Options, Callable[[str], None]], dict[str, Any]]] = {
    "encode": encode,
    "large": large,
    "eight_k": eight_k,
    "decode": decode,
    "throughput": throughput,
}


def main() -> None:
    """Run the chosen sections and write each when it is done."""
    options = tyro.cli(Options, description=(__doc__ or "").splitlines()[0])
    console = Console(stderr=True)
    sections: list[Section] = list(options.only) or ["encode", "large", "decode", "throughput"]
    if options.eight_k and "eight_k" not in sections:
        sections.append("eight_k")
    before = read_json(options.out) or {"sections": {}}
    result = {"benchmark": "speed", **environment(), "sections": before["sections"]}
    for name in sections:
        section = SECTIONS[name](options, lambda line: console.print(line, highlight=False))
        result["sections"][name] = {"measured": stamp(), **section}
        write_json(options.out, result)


if __name__ == "__main__":
    try:
        main()
    except Splat2dError as error:
        sys.exit(f"speed: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
