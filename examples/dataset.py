"""A torch Dataset of a folder of .splat files: random crops at any scale, rendered straight into batches.

A .splat file has no resolution: a crop is rendered at the size that a network wants, and zooming in or out
costs no resampling. Files are decoded once for each worker and kept as splats, which are small.

Run: python examples/dataset.py FOLDER
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

import splat2d

KEPT = 256  # decoded pictures of each worker


@lru_cache(maxsize=KEPT)
def decoded(path: Path) -> splat2d.Scene:
    """Return a file's splats; a process of its own decodes its own."""
    scene = splat2d.open(path)
    if scene.document.is_clip:
        raise splat2d.ConfigError(f"{path} is a clip, not a picture")
    return scene


class SplatCrops(Dataset[torch.Tensor]):
    """Random crops of pictures, [3, S, S] float32 in [0, 1].

    Args:
        folder: whose .splat files count, and those of its subfolders.
        size: S, px of a crop as it is rendered.
        scales: least and largest size of a crop's px over those of the picture; above 1 zooms in.
        seed: of the crops; an epoch of its own for each value that `set_epoch` is given.
    """

    def __init__(
        self, folder: str | Path, size: int = 128, scales: tuple[float, float] = (0.5, 2.0), seed: int = 0
    ) -> None:
        self.paths = sorted(Path(folder).rglob("*.splat"))
        if not self.paths:
            raise splat2d.ConfigError(f"{folder}: no .splat files in there")
        self.size, self.scales, self.seed = size, scales, seed
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # workers stay for all epochs

    def set_epoch(self, epoch: int) -> None:
        """Choose other crops for another pass."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        """Number of pictures, which is that of crops in an epoch."""
        return len(self.paths)

    def crop(self, index: int) -> tuple[float, float, float, float]:
        """Return left, top, width and height of a crop, px of the picture."""
        scene = decoded(self.paths[index])
        # The same for the same seed, epoch and index, whatever worker renders it.
        draw = torch.Generator().manual_seed(hash((self.seed, int(self._epoch), index)) & (2**63 - 1))
        low, high = (torch.tensor(scale).log2() for scale in self.scales)
        scale = float(2 ** (low + (high - low) * torch.rand((), generator=draw)))
        side = min(self.size / scale, scene.width, scene.height)
        room = torch.tensor([scene.width - side, scene.height - side])
        x, y = (torch.rand(2, generator=draw) * room).tolist()
        return x, y, min(side, scene.width - x), min(side, scene.height - y)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return a crop of a picture."""
        scene, size = decoded(self.paths[index]), self.size
        # One thread: workers share the cores.
        pixels = scene.render_float(crop=self.crop(index), width=size, height=size, threads=1)
        image = torch.from_numpy(pixels).permute(2, 0, 1).clamp(0, 1)
        return image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)


def loader(
    dataset: SplatCrops, batch: int = 16, workers: int = 2, context: str | None = "spawn"
) -> DataLoader[torch.Tensor]:
    """Return a loader of batches [B, 3, S, S].

    Args:
        dataset: of crops.
        batch: B.
        workers: processes; 0 renders in this one.
        context: how they begin: "spawn" or "fork".
    """
    return DataLoader(
        dataset,
        batch,
        num_workers=workers,
        multiprocessing_context=context if workers else None,
        persistent_workers=workers > 0,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Time an epoch."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--context", choices=("spawn", "fork"), default="spawn")
    options = parser.parse_args(arguments)
    dataset = SplatCrops(options.folder, options.size)
    batches = loader(dataset, workers=options.workers, context=options.context)
    for epoch in range(2):
        dataset.set_epoch(epoch)
        start = time.perf_counter()
        count = sum(len(batch) for batch in batches)
        seconds = time.perf_counter() - start
        print(f"epoch {epoch}: {count} crops of {options.size} px in {seconds:.2f} s")


if __name__ == "__main__":
    main()
