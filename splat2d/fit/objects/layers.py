"""All layers of a file being fitted at one step D; a picture without objects is one layer.

Objects have a second fit, of their matte. Each fit of a picture that is cut goes against what those before it
decode to, which is why they are refined as soon as they are made. Then they take turns again, each against
what all others decode to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from splat2d.draw.render import View, background_floats, render
from splat2d.fit.config import FitConfig
from splat2d.fit.fitter import (
    Control,
    OnProgress,
    PictureFit,
    Progress,
    Refined,
    background_of,
)
from splat2d.fit.objects.composite import Composite
from splat2d.fit.objects.cut import Cut, LayerTarget
from splat2d.format.header import STEP_SHIFT
from splat2d.format.layers import PICTURE
from splat2d.native import core
from splat2d.native.backend import ALL_CORES, Backend

MATTE_STEP = 48
"""Step codes by which a matte is coarser than its layer's colours: 1.7 D."""

TURNS, ROUNDS = 1, 3
"""How often all fits of a cut picture go on, given what the others decode to, and rounds of each."""


@dataclass(frozen=True, eq=False)
class FittedLayer:
    """A layer's name, base colour in bytes and integers [N, C + 5], and its matte's integers [M, 6]."""

    name: str
    background: tuple[int, ...]
    integers: NDArray[np.int32]
    matte: NDArray[np.int32] | None = None

    @property
    def count(self) -> int:
        """Number of splats."""
        return len(self.integers) + (0 if self.matte is None else len(self.matte))


def bare(targets: Sequence[LayerTarget] | Cut) -> list[FittedLayer]:
    """Layers without splats, back to front."""

    def nothing(channels: int) -> NDArray[np.int32]:
        return np.zeros((0, channels + 5), np.int32)

    if isinstance(targets, Cut):
        c = targets.channels
        objects = [FittedLayer(name, (0,) * c, nothing(c), nothing(1)) for name in targets.names]
        return [FittedLayer(PICTURE, (0,) * c, nothing(c)), *objects]
    layers = ((target, target.background or background_of(target.pixels)) for target in targets)
    return [FittedLayer(target.name, base, nothing(len(base))) for target, base in layers]


class LayersFit:
    """All fits of a file; arguments as of PictureFit. Only a single layer heeds `control`.

    Args:
        targets: one a layer, back to front; or a picture that is cut, whose fits go in turn.
    """

    def __init__(
        self,
        targets: Sequence[LayerTarget] | Cut,
        config: FitConfig,
        step: float,
        *,
        backend: Backend = ALL_CORES,
        seed: int = 0,
        on_progress: OnProgress | None = None,
        share_of_work: tuple[float, float] = (0.0, 1.0),
        control: Control | None = None,
    ) -> None:
        cutting = isinstance(targets, Cut)
        self._composite: Composite | None = None
        self.names = [PICTURE, *targets.names] if cutting else [target.name for target in targets]
        self.fits: list[PictureFit] = []
        self._mattes = targets.names[::-1] if cutting else []
        self._on_progress = on_progress
        self._reports: list[Progress | None] = [None] * self._count
        self._refined: list[Refined] = []
        turns = list(pairwise(np.linspace(*share_of_work, TURNS + 2 if cutting else 2).tolist()))
        shares = self._shares(turns[0])

        def fit(target: LayerTarget, config: FitConfig) -> PictureFit:
            number = len(self.fits)
            coarser = _coarser() if number < len(self._mattes) else 1.0
            self.fits.append(
                PictureFit(
                    target.pixels,
                    config,
                    step * coarser,
                    weights=target.weights,
                    background=target.background,
                    backend=backend,
                    seed=seed,
                    on_progress=self._report_of(number) if on_progress else None,
                    share_of_work=shares[number],
                    control=control if self._count == 1 else None,
                )
            )
            return self.fits[-1]

        if isinstance(targets, Cut):
            # Errors of coverage are weighed by what they do to the picture, whatever the tune.
            many, matting = len(self._mattes), replace(config, tune="psnr")
            self._composite = self._in_turn(
                targets, lambda target: fit(target, matting if len(self.fits) < many else config)
            )
            for turn in turns[1:]:
                self._again(self._composite, step, ROUNDS, turn)
        else:
            for target in targets:
                fit(target, config)

    def _in_turn(self, cut: Cut, fit: Callable[[LayerTarget], PictureFit]) -> Composite:
        """Fit mattes and colours, each to what those before it decode to."""
        cut.begin()
        for name in self._mattes:
            cut.matted(name, self._decoded(fit(cut.matte(name)))[0])
        cut.drawn(PICTURE, self._decoded(fit(cut.background())))
        for name in cut.names:
            cut.drawn(name, self._decoded(fit(cut.colors(name))))
        return Composite(cut)

    def _again(self, composite: Composite, step: float, rounds: int, work: tuple[float, float]) -> None:
        """Go on with each fit, to what all others decode to."""
        steps, shares = self._steps(step), self._shares(work)

        def decoded(number: int, target: LayerTarget) -> NDArray[np.float32]:
            fit = self.fits[number]
            fit.retarget(target.pixels, target.weights)
            fit.continue_at(steps[number], rounds, shares[number])
            return self._decoded(fit)

        self._refined = []
        for name in self._mattes:
            composite.matted(name, decoded(len(self._refined), composite.matte(name))[0])
        for name in self.names:
            composite.drawn(name, decoded(len(self._refined), composite.colors(name)))

    @property
    def _count(self) -> int:
        """Number of fits: first the mattes, front to back, then the colours of all layers, back to front."""
        return len(self._mattes) + len(self.names)

    def _decoded(self, fit: PictureFit) -> NDArray[np.float32]:  # [C, H, W]
        """What a fit decodes to, clamped; its refinement is kept."""
        self._refined.append(fit.refined())
        height, width = fit.pixels.shape[1:]
        chroma_step = fit.config.chroma_code
        splats = core().dequantize(self._refined[-1].integers(), fit.step, chroma_step)
        base = background_floats(fit.background)
        planes = render(*splats, View.whole(width, height), background=base, backend=fit.backend.on_cpu)
        return np.clip(planes, 0, 1)

    def _shares(self, work: tuple[float, float]) -> list[tuple[float, float]]:
        """Equal parts of the work, one a fit."""
        return list(pairwise(np.linspace(*work, self._count + 1).tolist()))

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
        return self.fits[-1].step

    @property
    def lmbda(self) -> float:
        """SSE that one bit is worth."""
        return self.fits[-1].lmbda

    def set_step(self, step: float) -> None:
        """Change D; what has been fitted stays."""
        if step == self.step:
            return
        self._refined = []
        for fit, own in zip(self.fits, self._steps(step), strict=True):
            fit.set_step(own)

    def _steps(self, step: float) -> list[float]:
        """The step of each fit."""
        return [step * _coarser()] * len(self._mattes) + [step] * len(self.names)

    def continue_at(self, step: float, rounds: int, share_of_work: tuple[float, float]) -> None:
        """Go on from the present state with another D, fixed from now on."""
        if self._composite is not None:
            self._again(self._composite, step, rounds, share_of_work)
            return
        shares = self._shares(share_of_work)
        for fit, own, share in zip(self.fits, self._steps(step), shares, strict=True):
            fit.continue_at(own, rounds, share)

    def refined(self) -> RefinedLayers:
        """The integers of the present state after exact refinement, to be had once a state."""
        refined, self._refined = self._refined or [fit.refined() for fit in self.fits], []
        return RefinedLayers(self, refined)

    def layers(self, integers: Sequence[NDArray[np.int32]]) -> list[FittedLayer]:
        """Layers, back to front, of the integers of all fits."""
        many = len(self._mattes)
        mattes = dict(zip(self._mattes, integers[:many], strict=True))
        parts = zip(self.names, self.fits[many:], integers[many:], strict=True)
        return [FittedLayer(name, fit.background, rows, mattes.get(name)) for name, fit, rows in parts]


def _coarser() -> float:
    """A matte's step over D."""
    return 2.0 ** (MATTE_STEP / STEP_SHIFT)


class RefinedLayers:
    """Integers of all layers under refinement."""

    def __init__(self, fit: LayersFit, refined: list[Refined]) -> None:
        self._fit = fit
        self._refined = refined

    def sweep(self, lmbda: float, number: int, patience: float | None = None) -> None:
        """One sweep of every layer; arguments as of Refined.sweep."""
        for refined, fit in zip(self._refined, self._fit.fits, strict=True):
            refined.sweep(lmbda * (fit.step / self._fit.step) ** 2, number, patience)

    def drop(self, count: int) -> None:
        """Take out those splats of all fits that save least, by what their errors do to the picture."""
        savings = [refined.savings() for refined in self._refined]
        limit = np.sort(np.concatenate(savings))[: max(count, 1)][-1:]
        for refined, own in zip(self._refined, savings, strict=True):
            refined.drop(int((own <= limit).sum()))

    def layers(self) -> list[FittedLayer]:
        """What is left, back to front."""
        return self._fit.layers([refined.integers() for refined in self._refined])
