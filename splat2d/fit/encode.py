"""From a picture to the bytes of a .splat file, at a quality or at a target."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from splat2d.arguments import finite, whole
from splat2d.codec.layer import code_layer, container_of
from splat2d.draw.texture import Strength, checked_strength
from splat2d.errors import ConfigError, InputImageError, TargetError
from splat2d.fit.config import FitConfig, load_config
from splat2d.fit.fitter import OnProgress, psnr_of
from splat2d.fit.objects.cut import Cut, LayerTarget, cut
from splat2d.fit.objects.layers import MATTE_STEP, FittedLayer, LayersFit, RefinedLayers, bare
from splat2d.fit.perceptual import GUIDES
from splat2d.fit.texture import texture_budget, textured
from splat2d.format.container import write
from splat2d.format.header import (
    DEFAULT_LIMITS,
    MAX_PIXELS,
    MAX_SIDE,
    STEP_BIAS,
    STEP_CODES,
    STEP_SHIFT,
    Header,
    Limits,
    step_code,
    step_of,
)
from splat2d.format.layers import PICTURE
from splat2d.media.pictures import Picture
from splat2d.native.backend import ALL_CORES, Backend
from splat2d.scene.picture import Scene

DEFAULT_QUALITY = 75
MAX_SEED = 1 << 53  # JSON and floats hold all integers up to it, and the sweeps' own seeds fit 64 bits
MAX_BYTES = 1 << 40  # that a target may ask for
QUALITY_PER_OCTAVE = 19.0  # quality points that halve the step
# Above STEEP_FROM the step shrinks faster, so that 100 is hard to tell from the original.
STEEP_FROM, STEEP_OCTAVES = 85, 1.4
STEP_AT_50 = 0.327
WINDOW = 0.03  # a target's tolerance
AIM = 0.988  # of a size, where trimming aims
DEAREST = 1.2  # ratio of sizes beyond which dearer bits do not help trimming
# How log size and PSNR follow log2 D, for the first correction; later ones use what was measured.
SIZE_SLOPE = 1.15
PSNR_SLOPE = 4.2  # dB an octave
ROUNDING_LOSS = 0.7  # dB from the fit to its refined integers, about
# D with objects over what control finds for one layer in the preset fast: for a size, and for a PSNR.
OBJECTS_STEP = (0.9, 0.95)
CORRECTIONS = 6
CORRECTION_ROUNDS = 3


@dataclass(frozen=True)
class Encoded:
    """An encoded picture.

    Args:
        data: the file's bytes.
        psnr: dB over all samples (premultiplied with alpha), from decoding `data` to bytes without texture.
        seconds: wall-clock time of encoding.
        splats: number of splats.
        step: the global step D.
        quality: as asked, or None when another target was given.
        bits: ideal code length of each attribute, in bits.
        device: that fitted it, "cpu" or "cuda".
        warnings: about the masks, and objects that nothing is left of.
    """

    data: bytes
    psnr: float
    seconds: float
    splats: int
    step: float
    quality: int | None
    bits: dict[str, float]
    device: str
    warnings: tuple[str, ...] = ()


def checked_quality(quality: int | None) -> int:
    """A quality from 1 to 100, 75 for None.

    Raises:
        ConfigError: out of range.
    """
    return DEFAULT_QUALITY if quality is None else whole("quality", quality, 1, 100)


def checked_targets(
    psnr: float | None, bpp: float | None, size: int | None
) -> tuple[float | None, float | None, int | None]:
    """Targets within their ranges.

    Raises:
        ConfigError: one is out of range, or no number.
    """
    if psnr is not None and not 1 <= (psnr := finite("psnr", psnr)) <= 90:
        raise ConfigError(f"psnr is {psnr:g} dB, expected 1 to 90")
    if bpp is not None and not 0 < (bpp := finite("bpp", bpp)) <= 64:
        raise ConfigError(f"bpp is {bpp:g}, expected more than 0 and at most 64")
    return psnr, bpp, None if size is None else whole("size", size, 1, MAX_BYTES)


def checked_seed(seed: int) -> int:
    """A seed from 0 to `MAX_SEED`.

    Raises:
        ConfigError: out of range, or no integer.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed <= MAX_SEED:
        raise ConfigError(f"seed is {seed!r}, expected an integer from 0 to {MAX_SEED}")
    return int(seed)


def quality_step(quality: float, tune: str = "psnr") -> float:
    """D of a quality from 1 to 100, so that all tunes give about one file size."""
    steep = max(quality - STEEP_FROM, 0) / (100 - STEEP_FROM)
    finer = GUIDES[tune].finer if tune in GUIDES else 1.0
    return finer * STEP_AT_50 * 2 ** ((50 - quality) / QUALITY_PER_OCTAVE - STEEP_OCTAVES * steep**2)


def picture_psnr(pixels: NDArray[np.float32], rendered: NDArray[np.uint8]) -> float:
    """PSNR in dB of a render [H, W, C] (straight alpha) against pixels [C, H, W] (premultiplied)."""
    sse = 0.0
    alpha = None
    if rendered.shape[2] in (2, 4):
        alpha = rendered[:, :, -1].astype(np.float32) / 255
    for c, plane in enumerate(pixels):
        got = rendered[:, :, c].astype(np.float32) / 255
        if alpha is not None and c + 1 < len(pixels):
            got *= alpha
        got -= plane
        sse += float(np.square(got, out=got).sum(dtype=np.float64))
    return psnr_of(sse, pixels.size)


@dataclass(frozen=True)
class _File:
    """A written file, its PSNR as decoded, step code, splats, code length by attribute, and unseen layers."""

    data: bytes
    psnr: float
    code: int
    splats: int
    bits: dict[str, float]
    empty: tuple[str, ...]


class _Writer:
    """Writes refined integers as files and decodes them again."""

    def __init__(self, picture: Picture, config: FitConfig, backend: Backend) -> None:
        self.picture = picture
        self.chroma_step = config.chroma_code
        self.backend = backend
        self.bits: dict[str, float] = {}
        self.empty: tuple[str, ...] = ()

    def write(self, layers: Sequence[FittedLayer], step: int, quality: int | None) -> bytes:
        """The file of layers, back to front; keeps each attribute's code length, and unseen layers' names."""
        _, height, width = self.picture.pixels.shape
        self.bits = {}
        coded = []
        for layer in layers:
            channels = len(layer.background)
            header = Header(width, height, channels, step, self.chroma_step, quality or 0, layer.background)
            matte = None
            if layer.matte is not None:
                own = replace(header, channels=1, step_code=step + MATTE_STEP, background=(0,))
                matte = own, layer.matte
            settings = {"matte": matte, "backend": self.backend, "bits": self.bits}
            coded.append(code_layer(layer.name, header, layer.integers, **settings))
        self.empty = tuple(layer.name for layer in coded if not any(layer.box or ()))
        file = container_of(width, height, coded, self.picture.notes)
        return write(replace(file, metadata=self.picture.metadata))

    def measured(self, data: bytes, code: int, layers: Sequence[FittedLayer]) -> _File:
        """The file that was written last, with the PSNR that it decodes to."""
        splats = sum(layer.count for layer in layers)
        threads = self.backend.threads
        scene = Scene.from_bytes(data, threads=threads, limits=Limits.of_format())
        rendered = scene.render(threads=threads)
        return _File(data, picture_psnr(self.picture.pixels, rendered), code, splats, self.bits, self.empty)


class _Target:
    """What a file must reach: at most `size` bytes, or at least `psnr` dB."""

    def __init__(self, size: int | None, psnr: float | None, window: float = WINDOW) -> None:
        self.size = size
        self.psnr = psnr
        self.window = window  # below the size, to be content with

    def met(self, size: int, psnr: float) -> bool:
        """Whether a file lies in the target's window."""
        if self.size is not None:
            return self.size * (1 - self.window) <= size <= self.size
        assert self.psnr is not None
        return self.psnr <= psnr <= self.psnr * (1 + 0.5 * WINDOW)

    def allowed(self, size: int, psnr: float) -> bool:
        """Whether a file is on the right side of the target."""
        return size <= self.size if self.size is not None else psnr >= (self.psnr or 0)

    def warnings(self, size: int) -> list[str]:
        """What to say of a file that is far below a size."""
        # A few bytes of a tiny file are more than its tolerance.
        if self.size is None or size >= self.size * (1 - WINDOW) - 8:
            return []
        return [
            f"the largest file found that fits has {size} bytes, {1 - size / self.size:.0%} below the size"
        ]

    def best(self, allowed: list[_File]) -> _File:
        """The largest file below a size, or the one that exceeds a PSNR least."""
        if self.size is not None:
            return max(allowed, key=lambda file: len(file.data))
        return min(allowed, key=lambda file: file.psnr)

    def octaves(self, size: float, psnr: float) -> float:
        """By how many octaves D should grow to move a result to the target."""
        if self.size is not None:
            aim = (1 - 0.4 * self.window) * self.size
            return math.log2(max(size, 1) / aim) / SIZE_SLOPE
        assert self.psnr is not None
        return (psnr - self.psnr * (1 + 0.15 * WINDOW)) / PSNR_SLOPE


def encode_picture(
    picture: Picture,
    *,
    quality: int | None = None,
    psnr: float | None = None,
    bpp: float | None = None,
    size: int | None = None,
    preset: str = "default",
    config: FitConfig | None = None,
    tune: str | None = None,
    seed: int = 0,
    backend: Backend = ALL_CORES,
    progress: OnProgress | None = None,
    masks: Mapping[str, NDArray[np.float32]] | None = None,
    texture: Strength = "off",
) -> Encoded:
    """Encode a picture.

    Args:
        picture: from `load_picture`.
        quality: 1 to 100; 75 when no target is given.
        psnr: least PSNR of the decoded file, dB.
        bpp: most bits a pixel of the file.
        size: most bytes of the file.
        preset: fast, default or best, or the path of a YAML file.
        config: effort, instead of a preset.
        tune: visual, psnr or ms-ssim, instead of what the preset or config says; psnr where one is asked for.
        seed: of the refinement's random order.
        backend: fits; devices round otherwise, so their files differ a little.
        progress: called after each step of the optimiser.
        masks: coverage [H, W] in [0, 1] of objects, back to front, by name; each becomes a layer in front of
            the background, which is called "picture". A mask of two levels is softened by a pixel.
        texture: "off"; "auto" for noise like the fine structure that the file would lack; or its strength,
            1 being that of "auto". A size holds with it, a PSNR is that of the file without it.

    Raises:
        BackendUnavailableError: the backend is "cuda", and there is no GPU to use, or it fails.
        ConfigError: targets or the seed out of range, or more than one target.
        InputImageError: a side longer than a file can hold.
        TargetError: a target that this picture cannot reach.
    """
    start = time.perf_counter()
    wishes = {"quality": quality, "psnr": psnr, "bpp": bpp, "size": size}
    given = [name for name, value in wishes.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{given[0]} and {given[1]} contradict each other: give one target")
    config = config or load_config(preset)
    if tune is None and psnr is not None:
        tune = "psnr"
    if tune is not None:
        config = config.tuned(tune)
    seed = checked_seed(seed)
    writer = _Writer(picture, config, backend)
    _, height, width = picture.pixels.shape
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise InputImageError(
            f"the picture is {width} x {height} px; a file may have {MAX_SIDE} px a side and {MAX_PIXELS} px"
        )
    psnr, bpp, size = checked_targets(psnr, bpp, size)
    if bpp is not None:
        size = int(bpp * width * height / 8)
        if size < 1:
            raise ConfigError(f"bpp is {bpp:g}, which is not a byte for this picture")
    strength = checked_strength(texture)
    if size is not None and strength:
        size -= texture_budget(width * height, size)
    targets: list[LayerTarget] | Cut = [LayerTarget(PICTURE, picture.pixels)]
    warnings: list[str] = []
    if masks is not None and len(picture.pixels) in (2, 4):
        targets, warnings = cut(picture.pixels, masks)
    elif masks is not None:
        targets = Cut(picture.pixels, masks)
        warnings = targets.warnings
    # Fits in turn gain by every correction, so that it is worth to come nearer.
    window = 0.4 * WINDOW if isinstance(targets, Cut) else WINDOW
    target = None if size is None and psnr is None else _Target(size, psnr, window)
    if target is None:
        quality = checked_quality(quality)

    def fitted(on: Backend) -> tuple[_File, str]:
        settings = {"backend": on, "seed": seed, "on_progress": progress}
        fit = partial(LayersFit, targets, config, **settings)
        short = replace(load_config("fast"), tune=config.tune, chroma_step=config.chroma_step)
        pilot = partial(LayersFit, [LayerTarget(PICTURE, picture.pixels)], short, **settings)
        if target is None:
            code = step_code(quality_step(quality or 0, config.tune))
            return _at_step(code, quality or 0, writer, fit), on.device
        return _reach(target, writer, targets, fit, pilot), on.device

    file, device = backend.run(fitted)
    warnings += [
        f"{name!r} is empty: at this quality it is too small to be worth a splat" for name in file.empty
    ]
    if target is not None:
        warnings += target.warnings(len(file.data))
    if width * height > DEFAULT_LIMITS.max_pixels:
        warnings.append(f"readers refuse more than {DEFAULT_LIMITS.max_pixels} px unless told (--max-pixels)")
    data = textured(file.data, picture.pixels, strength=strength, backend=backend) if strength else file.data
    seconds = time.perf_counter() - start
    return Encoded(
        data,
        file.psnr,
        seconds,
        file.splats,
        step_of(file.code),
        quality,
        file.bits,
        device,
        tuple(warnings),
    )


def _at_step(code: int, quality: int, writer: _Writer, fit: Callable[..., LayersFit]) -> _File:
    """Fit at the step of a quality."""
    layers = fit(step=step_of(code)).refined().layers()
    return writer.measured(writer.write(layers, code, quality), code, layers)


def _reach(
    target: _Target,
    writer: _Writer,
    targets: Sequence[LayerTarget] | Cut,
    start: Callable[..., LayersFit],
    pilot: Callable[..., LayersFit],
) -> _File:
    """Fit with D under control, then correct D until the file lies in the target's window."""
    picture = writer.picture
    samples = picture.pixels.size
    # The smallest file: no splats at all.
    background_only = writer.write(bare(targets), STEP_BIAS, None)
    if target.size is not None and target.size < len(background_only):
        raise TargetError(
            f"{target.size} bytes cannot be reached: the smallest file of this picture has "
            f"{len(background_only)} bytes"
        )
    low, high = (step_of(code) for code in STEP_CODES)

    def control(step: float, sse: float, bits: float) -> float:
        octaves = target.octaves(bits / 8, psnr_of(sse, samples) - ROUNDING_LOSS)
        return min(max(step * 2 ** max(min(octaves, 0.5), -0.5), low), high)

    first, begun = _first_step(target, picture), 0.0
    if isinstance(targets, Cut):
        # Fits depend on what others decode to, so D stays what it is at first; one layer tells it quickly.
        begun = 0.1
        whole = pilot(step=first, share_of_work=(0.0, begun), control=control)
        first = step_of(step_code(whole.step * OBJECTS_STEP[target.size is None]))
    fit = start(step=first, share_of_work=(begun, 0.7), control=control)
    tried: list[_File] = []
    search = _Search(target)
    for attempt in range(CORRECTIONS + 1):
        code = step_code(fit.step)
        fit.set_step(step_of(code))
        refined = fit.refined()
        data = writer.write(refined.layers(), code, None)
        file = writer.measured(data, code, refined.layers())
        search.add(code, len(data), file.psnr)
        last = attempt == CORRECTIONS or not search.goes_on
        # Many fits bear trimming less, and one that goes on is better fitted than trimmed.
        most = 1.12 if last or not isinstance(targets, Cut) else 1.03
        if target.size is not None and len(data) > target.size and (last or len(data) <= most * target.size):
            file = _trim(data, refined, writer, fit, code, target.size)
        tried.append(file)
        if target.met(len(file.data), file.psnr) or last:
            break
        part = 0.7 + 0.3 * attempt / CORRECTIONS
        fit.continue_at(step_of(search.next()), CORRECTION_ROUNDS, (part, part + 0.3 / CORRECTIONS))
    allowed = [file for file in tried if target.allowed(len(file.data), file.psnr)]
    if not allowed:
        wish = f"{target.psnr:g} dB" if target.psnr is not None else f"{target.size} bytes"
        nearest = (
            max(tried, key=lambda file: file.psnr) if target.psnr else min(tried, key=lambda f: len(f.data))
        )
        raise TargetError(
            f"{wish} cannot be reached for this picture; the nearest reached was "
            f"{len(nearest.data)} bytes ({nearest.psnr:.2f} dB)"
        )
    return target.best(allowed)


class _Search:
    """Looks for the step at which a target is met, between steps that are too coarse and too fine."""

    def __init__(self, target: _Target) -> None:
        self.target = target
        self._tried: list[tuple[int, float]] = []  # step codes, and how many octaves D should grow

    def add(self, code: int, size: int, psnr: float) -> None:
        """Add what a step gave."""
        self._tried.append((code, self.target.octaves(size, psnr)))

    @property
    def goes_on(self) -> bool:
        """Whether there is another step to try."""
        return self.next() not in [code for code, _ in self._tried]

    def next(self) -> int:
        """The code of the next step."""
        code, octaves = self._tried[-1]
        fine = max(((c, o) for c, o in self._tried if o > 0), default=None)  # should grow
        coarse = min(((c, o) for c, o in self._tried if o <= 0), default=None)
        if fine and coarse and fine[0] < coarse[0]:
            share = min(max(fine[1] / (fine[1] - coarse[1]), 0.2), 0.8)
            return round(fine[0] + share * (coarse[0] - fine[0]))
        wanted = round(code + STEP_SHIFT * min(max(octaves, -1.5), 1.5))
        if wanted == code:
            wanted += 1 if octaves > 0 else -1
        return min(max(wanted, STEP_CODES[0]), STEP_CODES[1])


def _first_step(target: _Target, picture: Picture) -> float:
    """A first D from the target alone; control and corrections do the rest."""
    if target.psnr is not None:
        step = 0.3 * 2 ** ((31 - target.psnr) / PSNR_SLOPE)
    else:
        _, height, width = picture.pixels.shape
        bpp = 8 * (target.size or 1) / (width * height)
        step = 0.3 * (bpp / 0.25) ** (-1 / SIZE_SLOPE)
    return min(max(step, step_of(STEP_CODES[0])), step_of(STEP_CODES[1]))


def _trim(
    data: bytes, refined: RefinedLayers, writer: _Writer, fit: LayersFit, code: int, size: int
) -> _File:
    """Bring a file that is too large under `size`: dearer bits first, then the least useful splats go."""
    for number in range(2):
        if len(data) <= size:
            break
        dearer = min(len(data) / (AIM * size), DEAREST)
        refined.sweep(fit.lmbda * dearer**2, 100 + number, patience=-1)
        data = writer.write(refined.layers(), code, None)
    while len(data) > size and (count := sum(layer.count for layer in refined.layers())):
        bits = 8 * len(data) / count
        refined.drop(math.ceil(8 * (len(data) - size * 0.998) / bits))
        data = writer.write(refined.layers(), code, None)
    return writer.measured(data, code, refined.layers())
