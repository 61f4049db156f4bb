"""What `make sanitize` runs under TSan: decodes by several threads, decodes and encodes at the same time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # behind the package that is built with sanitizers

import splat2d  # noqa: E402
from fuzz.run import seeds  # noqa: E402
from fuzz.sanitize import QUICK  # noqa: E402
from splat2d.format.container import is_clip  # noqa: E402
from splat2d.native import core  # noqa: E402
from splat2d.scene.clip import Clip  # noqa: E402
from splat2d.scene.picture import Scene  # noqa: E402


def at_once(*works: Callable[[], object]) -> None:
    """Run each in a thread of its own; raise what one raises."""
    faults: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def decode_all(threads: int) -> None:
    """Decode and draw the golden files, some in parts."""
    for data in seeds():
        if is_clip(data):
            clip = Clip.from_bytes(data, threads=threads)
            clip.render(time=clip.duration / 2, scale=1.5, threads=threads)
        else:
            Scene.from_bytes(data, threads=threads).render(scale=1.5, threads=threads)


def encode(pixels: np.ndarray, preset: str, **options: object) -> Callable[[], bytes]:
    """What encodes a picture or a clip, by two threads."""
    return lambda: splat2d.encode(pixels, preset=preset, quality=40, threads=2, **options)  # type: ignore[arg-type]


def main() -> int:
    """Run all of it; a sanitizer's report ends the process."""
    print(f"core: {core().__file__}")
    start = time.monotonic()
    preset = Path(core().__file__).with_name("quick.yaml")
    preset.write_text(QUICK)
    rng = np.random.default_rng(0)
    a, b = (np.kron(rng.integers(0, 256, (6, 9, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(2))
    frames = np.stack([np.roll(a, t, 1) for t in range(4)])
    decode_all(4)
    print(f"decoded by 4 threads in {time.monotonic() - start:.0f} s", flush=True)
    at_once(lambda: decode_all(2), lambda: decode_all(2))
    print(f"twice at once in {time.monotonic() - start:.0f} s", flush=True)
    at_once(encode(a, str(preset)), encode(b[..., 0], str(preset)))
    at_once(encode(frames, str(preset), fps=5), lambda: decode_all(2))
    print(f"encodes at once in {time.monotonic() - start:.0f} s: nothing to report")
    return 0


if __name__ == "__main__":
    sys.exit(main())
