"""What `make sanitize` runs: golden and broken files, an encode of each kind, the corpus, some mutants.

More of them with `make sanitize MUTANTS=100000`, which takes minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # behind the package that is built with sanitizers

import splat2d  # noqa: E402
from fuzz.check import Found, check  # noqa: E402
from fuzz.run import CORPUS, GOLDEN, mutant, seeds  # noqa: E402
from splat2d.native import core  # noqa: E402

QUICK = """rounds: 1
steps: 2
half_rounds: 1
half_steps: 1
final_steps: 1
sweeps: 1
clip:
  rounds: 1
  steps: 2
  final_steps: 1
  sweeps: 1
  frames: 4
"""


def pictures(preset: str) -> list[bytes]:
    """A small file of each kind of encode."""
    rng = np.random.default_rng(0)
    rgb = np.kron(rng.integers(0, 256, (5, 7, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    mask = np.zeros(rgb.shape[:2], np.float32)
    mask[10:30, 12:40] = 1
    alpha = np.dstack([rgb, (255 * mask).astype(np.uint8)])
    options = {"preset": preset, "threads": 2}
    files = [
        splat2d.encode(pixels, quality=40, **options)
        for pixels in (rgb, rgb[..., 0], alpha, np.ascontiguousarray(alpha[..., 2:]), rgb[:1, :1])
    ]
    files.append(splat2d.encode(rgb, quality=40, masks={"box": mask}, **options))
    files.append(splat2d.encode(rgb, quality=40, tune="ms-ssim", **options))
    with contextlib.suppress(splat2d.TargetError):  # so little effort may not get there
        files.append(splat2d.encode(rgb, size=250, **options))
    frames = np.stack([np.roll(rgb, t, 1) for t in range(6)])
    files.append(splat2d.encode(frames, fps=5, quality=40, **options))
    files.append(splat2d.encode(frames, fps=5, psnr=25, **options))
    return files


def checked(files: Iterable[bytes]) -> int:
    """Read, draw and describe all files; their number."""
    count = 0
    for count, data in enumerate(files, 1):
        with contextlib.suppress(Found):  # slow, as it is under sanitizers
            check(data)
        if count % 10_000 == 0:
            print(f"{count:,} files", flush=True)
    return count


def main() -> int:
    """Run all of it; a sanitizer's report ends the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=5000)
    given = parser.parse_args()
    print(f"core: {core().__file__}")
    start = time.monotonic()
    sound = seeds()
    files = sound + [path.read_bytes() for path in sorted(GOLDEN.rglob("*.bad"))]
    files += [path.read_bytes() for path in sorted(CORPUS.glob("*.bin"))]
    rng = random.Random(int(start))
    count = checked(itertools.chain(files, (mutant(sound, rng) for _ in range(given.mutants))))
    print(f"{count:,} files in {time.monotonic() - start:.0f} s", flush=True)
    preset = Path(core().__file__).with_name("quick.yaml")
    preset.write_text(QUICK)
    encoded = pictures(str(preset))
    checked(encoded)
    print(f"and {len(encoded)} encodes in {time.monotonic() - start:.0f} s: nothing to report")
    return 0


if __name__ == "__main__":
    sys.exit(main())
