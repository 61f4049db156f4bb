"""All layers of a file being fitted at one step D; a picture without objects is one layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from splat2d.fit.config import FitConfig
from splat2d.fit.fitter import Control, OnProgress, PictureFit, Progress, Refined
from splat2d.fit.objects import LayerTarget


@dataclass(frozen=True, eq=False)
class FittedLayer:
    """A layer's name, base colour in bytes and integers [N, C + 5]."""

    name: str
    background: tuple[int, ...]
    integers: NDArray[np.int32]


class LayersFit:
    """One fit for each target; arguments as of PictureFit. Only a single layer heeds `control`."""

    def __init__(
        self,
        targets: Sequence[LayerTarget],
        config: FitConfig,
        step: float,
        *,
        threads: int = 1,
        seed: int = 0,
        on_progress: OnProgress | None = None,
        share_of_work: tuple[float, float] = (0.0, 1.0),
        control: Control | None = None,
        cuda: bool = False,
    ) -> None:
        self.names = [target.name for target in targets]
        self._on_progress = on_progress
        self._reports: list[Progress | None] = [None] * len(targets)
        self.fits = [
            PictureFit(
                target.pixels,
                config,
                step,
                weights=target.weights,
                background=target.background,
                threads=threads,
                seed=seed,
                on_progress=self._report_of(i) if on_progress else None,
                share_of_work=share,
                control=control if len(targets) == 1 else None,
                cuda=cuda,
            )
            for i, (target, share) in enumerate(zip(targets, self._shares(share_of_work), strict=True))
        ]

    def _shares(self, work: tuple[float, float]) -> list[tuple[float, float]]:
        """Equal parts of the work, one a layer."""
        return list(pairwise(np.linspace(*work, len(self.names) + 1).tolist()))

    def _report_of(self, number: int) -> OnProgress:
        """Reports of one layer as of all that have begun: their bytes and splats, with this one's PSNR."""

        def report(progress: Progress) -> None:
            self._reports[number] = progress
            begun = [report for report in self._reports if report]
            size, splats = sum(p.estimated_bytes for p in begun), sum(p.splats for p in begun)
            assert self._on_progress is not None
            self._on_progress(Progress(progress.fraction, progress.psnr, size, splats))

        return report

    @property
    def step(self) -> float:
        """D."""
        return self.fits[0].step

    @property
    def lmbda(self) -> float:
        """SSE that one bit is worth."""
        return self.fits[0].lmbda

    def set_step(self, step: float) -> None:
        """Change D; what has been fitted stays."""
        for fit in self.fits:
            fit.set_step(step)

    def continue_at(self, step: float, rounds: int, share_of_work: tuple[float, float]) -> None:
        """Go on from the present state with another D, fixed from now on."""
        for fit, share in zip(self.fits, self._shares(share_of_work), strict=True):
            fit.continue_at(step, rounds, share)

    def refined(self) -> RefinedLayers:
        """The integers of the present state after exact refinement."""
        return RefinedLayers(self, [fit.refined() for fit in self.fits])


class RefinedLayers:
    """Integers of all layers under refinement."""

    def __init__(self, fit: LayersFit, refined: list[Refined]) -> None:
        self._fit = fit
        self._refined = refined

    def sweep(self, lmbda: float, number: int, patience: float | None = None) -> None:
        """One sweep of every layer; arguments as of Refined.sweep."""
        for refined in self._refined:
            refined.sweep(lmbda, number, patience)

    def drop(self, count: int) -> None:
        """Take out the least useful splats, from each layer in proportion to what it has."""
        have = [len(refined.integers()) for refined in self._refined]
        for refined, n in zip(self._refined, have, strict=True):
            refined.drop(-(-count * n // max(sum(have), 1)))

    def layers(self) -> list[FittedLayer]:
        """What is left, back to front."""
        parts = zip(self._fit.names, self._fit.fits, self._refined, strict=True)
        return [FittedLayer(name, fit.background, refined.integers()) for name, fit, refined in parts]
