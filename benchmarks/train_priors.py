"""Train the entropy coder's priors: `python benchmarks/train_priors.py [--data ../shared/data/train]`.

Fits crops of training pictures at several steps, counts the symbols of every table and writes
splat2d/codec/priors.bin. Changing that file changes the format: bump the version first.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from splat2d._backend import core
from splat2d.codec import priors, splats, tables
from splat2d.codec.coder import Counter
from splat2d.fit.config import load_config
from splat2d.fit.encode import step_code, step_of
from splat2d.fit.fitter import PictureFit

STEPS = (0.85, 0.6, 0.42, 0.3, 0.21, 0.15, 0.09)
STRENGTH = 32  # coded symbols that a prior row is worth
BACK_OFF = 4.0  # symbols of the all-context distribution added to each row
SMOOTH = 0.3  # and of the uniform one to that


def crops(folder: Path) -> Iterator[np.ndarray]:
    """Two crops of each picture as it is and one at half size, [C, H, W] float32."""
    for path in sorted(folder.glob("*.png")):
        picture = Image.open(path).convert("RGB")
        smaller = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
        for image, (x, y) in ((picture, (200, 100)), (smaller, (60, 60)), (picture, (500, 900))):
            pixels = np.asarray(image.crop((x, y, x + 768, y + 512)), np.float32)
            yield np.ascontiguousarray(pixels.transpose(2, 0, 1) / np.float32(255))


def fits(folder: Path) -> Iterator[tuple[np.ndarray, splats.Layout]]:
    """Integers and layout of every crop at every step."""
    config = load_config("default")
    for pixels in crops(folder):
        channels, height, width = pixels.shape
        for step in STEPS:
            q = PictureFit(pixels, config, step_of(step_code(step)), threads=2).refined().integers()
            classes = core().energy_classes(np.ascontiguousarray(q[:, :channels]), 10)
            tiers = core().tiers(classes, np.ascontiguousarray(q[:, channels]))
            counts = tuple(int(n) for n in np.bincount(tiers, minlength=core().TIERS))
            print(f"{len(q)} splats at D = {step}", flush=True)
            yield q, splats.Layout(width, height, channels, 10, counts)


def count_symbols(samples: Iterator[tuple[np.ndarray, splats.Layout]]) -> dict[str, np.ndarray]:
    """Symbols seen in each context of each table, [contexts, symbols]."""
    counts = {name: np.zeros(shape) for name, shape in priors.SHAPES.items()}
    code, prior = tables.Plane.code, splats.prior
    owners: list[str] = []

    def naming_prior(name: str) -> np.ndarray:
        owners.append(priors.ALIASES.get(name, name))
        return np.ones(priors.SHAPES[owners[-1]], np.int64)

    init = tables.Plane.__init__

    def naming_init(self: tables.Plane, *args: object, **kwargs: object) -> None:
        init(self, *args, **kwargs)  # type: ignore[arg-type]
        self.prior_name = owners[-1]  # type: ignore[attr-defined]

    def counting_code(self, coder, coarse, fine, values):
        out = code(self, coder, coarse, fine, values)
        np.add.at(counts[self.prior_name], (coarse, out), 1)
        return out

    tables.Plane.code, tables.Plane.__init__, splats.prior = counting_code, naming_init, naming_prior  # type: ignore
    try:
        for q, layout in samples:
            splats.code_splats(Counter(), layout, q)
    finally:
        tables.Plane.code, tables.Plane.__init__, splats.prior = code, init, prior
    return counts


def weights(counts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Prior weights in 1/256 symbols, each row backed off to all rows together."""
    out = {}
    for name, n in counts.items():
        allowed = np.ones_like(n)
        if name == "few_angles":  # context n has the n angles 0 .. n - 1
            allowed = (np.arange(n.shape[1]) < np.maximum(np.arange(len(n)), 1)[:, None]).astype(float)
            base = allowed / allowed.sum(1, keepdims=True)
        else:
            base = (n.sum(0) + SMOOTH) / (n.sum(0) + SMOOTH).sum()
        p = (n + BACK_OFF * base) / (n.sum(1, keepdims=True) + BACK_OFF)
        out[name] = np.where(allowed > 0, np.maximum(np.round(p * 256 * STRENGTH), 1), 0).astype(np.int64)
    return out


def main(data: Path = Path("../shared/data/train")) -> None:
    """Write splat2d/codec/priors.bin."""
    table = weights(count_symbols(fits(data)))
    codes = np.concatenate([priors.code_of(table[name]).ravel() for name in priors.SHAPES]).astype(np.uint8)
    target = Path(priors.__file__).parent / "priors.bin"
    target.write_bytes(zlib.compress(codes.tobytes(), 9))
    print(f"{codes.size} weights in {target.stat().st_size} bytes")


if __name__ == "__main__":
    tyro.cli(main)
