"""The fit on a GPU: the native core's classes again, with the same methods, in the GPU's library."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat2d.native.gpu import _Library, library

__all__ = [
    "ClipFitter",
    "ClipRefiner",
    "Distortion",
    "Fit",
    "Fitter",
    "Refinement",
    "Refiner",
    "ViewsFitter",
    "ViewsRefiner",
]


def _address(array: NDArray[Any]) -> int:
    return array.ctypes.data


class Distortion:
    """Weights of a distortion that weighs errors by place and by scale; see cpp/fit/distortion.hpp.

    Args:
        weights: one plane [H, W] a level, each half of the one before, rounded up.
        chroma: of pictures, what errors that leave the luma as it is count over grey ones.
    """

    def __init__(self, weights: Sequence[NDArray[np.float32]], chroma: float = 1.0) -> None:
        self.chroma = chroma
        self.levels = len(weights)
        self.planes = np.concatenate([np.ascontiguousarray(plane, np.float32).ravel() for plane in weights])


def _weights(distortions: Sequence[Distortion]) -> tuple[NDArray[np.float32], int]:
    """Planes of all distortions, one after another, and how many levels each has; none of SSE."""
    if not distortions:
        return np.empty(0, np.float32), 0
    return np.concatenate([d.planes for d in distortions]), distortions[0].levels


class Fit:
    """Gaussians being fitted in the GPU's memory; see cpp/fit/fitter.hpp.

    Raises:
        BackendUnavailableError: by any method, when the GPU fails or its memory does not suffice.
    """

    dimensions, fields = 2, 5  # of a splat's centre, and of its integers behind the colours

    def __init__(self, channels: int, kernels: _Library | None) -> None:
        self._library = library() if kernels is None else kernels
        self._handle = ctypes.c_void_p()
        self._channels = channels

    def __del__(self) -> None:
        """Free the memory."""
        if getattr(self, "_handle", None):
            self._library.call("fitter_close", self._handle)

    def _numbers(self) -> tuple[int, float, float]:
        count, sse, bits = ctypes.c_int(), ctypes.c_double(), ctypes.c_double()
        self._call("numbers", ctypes.byref(count), ctypes.byref(sse), ctypes.byref(bits))
        return count.value, sse.value, bits.value

    def _call(self, name: str, *arguments: Any) -> None:
        self._library.call(f"fitter_{name}", self._handle, *arguments)

    @property
    def count(self) -> int:
        """Number of splats."""
        return self._numbers()[0]

    @property
    def sse(self) -> float:
        """Sum of squared errors of the present state."""
        return self._numbers()[1]

    @property
    def bits(self) -> float:
        """Estimated bits of the present state."""
        return self._numbers()[2]

    def value(self) -> float:
        """Half of J, the distortion and lambda times the estimated bits, at the present state."""
        value = ctypes.c_double()
        self._call("value", ctypes.byref(value))
        return value.value

    def set_rate(self, step: float, lmbda: float) -> None:
        """Change D and lambda; what has been fitted stays."""
        self._call("set_rate", step, lmbda)

    def reweigh(self, distortions: Sequence[Distortion]) -> None:
        """Weigh errors, which are weighed already, by other distortions, one a picture."""
        planes, levels = _weights(distortions)
        self._call("reweigh", _address(planes), levels, distortions[0].chroma)

    def prune(self, factor: float) -> int:
        """Remove splats that do not pay their bits times `factor`; returns how many went."""
        removed = ctypes.c_int()
        self._call("prune", factor, ctypes.byref(removed))
        return removed.value

    def seed(
        self,
        threshold: float,
        energy: float,
        smallest: float = 0.45,
        largest: float = 24.0,
        ratio: float = 1.6,
        amplitude: float = 0.8,
        separation: float = 1.2,
        random: bool = False,
        durations: Sequence[float] = (),
        disparities: Sequence[float] = (),
    ) -> tuple[int, int]:
        """Add splats at the residual's peaks; returns candidates found and added."""
        candidates, added = ctypes.c_int(), ctypes.c_int()
        options = threshold, energy, smallest, largest, ratio, amplitude, separation, random
        windows, planes = np.array(durations, np.float64), np.array(disparities, np.float64)
        lists = _address(windows), len(windows), _address(planes), len(planes)
        self._call("seed", *options, *lists, ctypes.byref(candidates), ctypes.byref(added))
        return candidates.value, added.value

    def rest(self) -> None:
        """Let go of what a look at the present state makes again."""
        self._call("rest")

    def refresh(self) -> None:
        """Evaluate at the present state."""
        self._call("refresh")

    def step(self) -> bool:
        """One step of the optimiser; False when none was found."""
        stepped = ctypes.c_int()
        self._call("step", ctypes.byref(stepped))
        return bool(stepped.value)

    def resample_from(self, other: Fit, factor: float) -> None:
        """Take another fitter's splats, all lengths times `factor`."""
        self._call("resample_from", other._handle, factor)

    def insert(
        self,
        means: NDArray[np.float32],  # [N, d]
        frames: NDArray[np.float32],  # [N, d * d]
        k: NDArray[np.float32],  # [N, C]
    ) -> None:
        """Add splats: centres, factors and amplitudes."""
        arrays = [np.ascontiguousarray(a, np.float32) for a in (means, frames, k)]
        self._call("insert", *map(_address, arrays), len(means))

    def splats(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Means [N, d], conics [N, 3] and colours [N, C] of the present state."""
        count = self.count
        widths = self.dimensions, 3, self._channels
        means, conics, colors = (np.empty((count, n), np.float32) for n in widths)
        self._call("splats", _address(means), _address(conics), _address(colors))
        return means, conics, colors

    def quantize(self) -> NDArray[np.int32]:
        """Integers [N, C + fields], nearest to the present state."""
        integers = np.empty((self.count, self._channels + self.fields), np.int32)
        self._call("quantize", _address(integers))
        return integers


class Fitter(Fit):
    """A picture's; `threads` are the core's."""

    def __init__(
        self,
        image: NDArray[np.float32],  # [C, H, W]
        background: NDArray[np.float32],  # [C]
        step: float,
        lmbda: float,
        chroma_step: float = 1.25,
        cutoff: float = 9.5,
        memory: int = 12,
        threads: int = 1,
        distortion: Distortion | None = None,
        natural_units: bool = True,
        rate_term: bool = True,
        *,
        kernels: _Library | None = None,
    ) -> None:
        channels, height, width = image.shape
        super().__init__(channels, kernels)
        image, background = (np.ascontiguousarray(a, np.float32) for a in (image, background))
        self._library.call(
            "fitter_open",
            _address(image),
            *(channels, width, height),
            _address(background),
            *(step, lmbda, chroma_step, cutoff),
            *(memory, natural_units, rate_term),
            None if distortion is None else _address(distortion.planes),
            0 if distortion is None else distortion.levels,
            1.0 if distortion is None else distortion.chroma,
            ctypes.byref(self._handle),
        )
        self._shape = image.shape

    def retarget(self, image: NDArray[np.float32]) -> None:  # [C, H, W]
        """Go on towards another image of the same shape; what has been fitted stays."""
        if image.shape != self._shape:
            raise ValueError("image must have the shape of the one before")
        image = np.ascontiguousarray(image, np.float32)
        self._call("retarget", _address(image))


class ClipFitter(Fit):
    """A clip's; `threads` are the core's."""

    dimensions, fields = 3, 9

    def __init__(
        self,
        frames: NDArray[np.float32],  # [T, C, H, W], those that are looked at
        shifts: NDArray[np.float32],  # [T, 2]
        gains: NDArray[np.float32],  # [T]
        width: int,
        height: int,
        background: NDArray[np.float32],  # [C]
        step: float,
        lmbda: float,
        chroma_step: float = 1.25,
        cutoff: float = 9.5,
        memory: int = 12,
        threads: int = 1,
        distortions: Sequence[Distortion] = (),
        every: int = 1,
        count: int = 0,
        *,
        kernels: _Library | None = None,
    ) -> None:
        seen, channels, rows, columns = frames.shape
        super().__init__(channels, kernels)
        arrays = [np.ascontiguousarray(a, np.float32) for a in (frames, shifts, gains, background)]
        pixels, path, heights, base = map(_address, arrays)
        weights, levels = _weights(distortions)
        self._library.call(
            "clip_fitter_open",
            *(pixels, seen, channels, columns, rows, path, heights, width, height, base),
            *(step, lmbda, chroma_step, cutoff, memory),
            *(_address(weights), levels, every, count or seen),
            ctypes.byref(self._handle),
        )


class ViewsFitter(Fit):
    """A light field's; `threads` are the core's."""

    dimensions, fields = 3, 6

    def __init__(
        self,
        views: NDArray[np.float32],  # [K, C, H, W]
        places: NDArray[np.float32],  # [K, 2]
        eyes: tuple[int, int, int],
        background: NDArray[np.float32],  # [C]
        step: float,
        lmbda: float,
        chroma_step: float = 1.25,
        cutoff: float = 9.5,
        memory: int = 12,
        threads: int = 1,
        distortions: Sequence[Distortion] = (),
        *,
        kernels: _Library | None = None,
    ) -> None:
        count, channels, height, width = views.shape
        super().__init__(channels, kernels)
        arrays = [np.ascontiguousarray(a, np.float32) for a in (views, places, background)]
        pixels, at, base = map(_address, arrays)
        whole = np.array(eyes, np.int64)
        weights, levels = _weights(distortions)
        self._library.call(
            "views_fitter_open",
            *(pixels, count, channels, width, height, at, _address(whole), base),
            *(step, lmbda, chroma_step, cutoff, memory),
            *(_address(weights), levels, ctypes.byref(self._handle)),
        )


class Refinement:
    """Integers under exact refinement in the GPU's memory; see cpp/refine/refiner.hpp.

    Raises:
        BackendUnavailableError: by any method, when the GPU fails or its memory does not suffice.
        ShapeError: by `remove`, when an index is not a splat's.
    """

    def __init__(
        self,
        integers: NDArray[np.int32],  # [N, C + fields]
        fitter: Fit,
        step: float,
        chroma_step: int = 10,
        cutoff: float = 12.25,
    ) -> None:
        self._library = fitter._library
        self._fitter = fitter  # its film is the refinement's
        self._handle = ctypes.c_void_p()
        self._shape = integers.shape
        integers = np.ascontiguousarray(integers, np.int32)
        options = len(integers), step, chroma_step, cutoff
        self._library.call(
            "refiner_open", fitter._handle, _address(integers), *options, ctypes.byref(self._handle)
        )

    def __del__(self) -> None:
        """Free the memory."""
        if getattr(self, "_handle", None):
            self._library.call("refiner_close", self._handle)

    def _call(self, name: str, *arguments: Any) -> None:
        self._library.call(f"refiner_{name}", self._handle, *arguments)

    def sweep(self, lmbda: float, *arguments: Any, **options: Any) -> tuple[int, int]:
        """One sweep over all splats; returns how many changed and how many went.

        Args:
            lmbda: SSE that one bit is worth.
            arguments: color [C, 3, 256], area [36, 512] and aspect [36, 96] code lengths, position; of a clip
                also duration [36, 64], time [4, 24] and speed [2, 36, 129]; then what `options` name.
            options: seed, patience (-1), pairs (true) and, of a picture, own: code lengths of each splat, as
                the native core's `code_lengths` has them.
        """
        of_time = 3 if self._fitter.fields == 9 else 0
        tables = [np.ascontiguousarray(a, np.float32) for a in (*arguments[:3], *arguments[4 : 4 + of_time])]
        names = ("seed", "patience", "pairs", "own")
        given = dict(zip(names, arguments[4 + of_time :], strict=False))
        options = {"patience": -1.0, "pairs": True, "own": None} | given | options
        own = None if options["own"] is None else np.ascontiguousarray(options["own"], np.uint8)
        addresses = [*map(_address, tables), *[None] * (3 - of_time)]
        changed, removed = ctypes.c_int(), ctypes.c_int()
        self._call(
            "sweep",
            *(lmbda, *addresses[:3], arguments[3], *addresses[3:]),
            *(options[name] for name in names[:3]),
            None if own is None else _address(own),
            *(ctypes.byref(changed), ctypes.byref(removed)),
        )
        return changed.value, removed.value

    def integers(self) -> NDArray[np.int32]:
        """As given; the colours of removed splats are zero."""
        integers = np.empty(self._shape, np.int32)
        self._call("integers", _address(integers))
        return integers

    def classes(self) -> NDArray[np.int32]:
        """Energy classes, [N]."""
        classes = np.empty(self._shape[0], np.int32)
        self._call("classes", _address(classes))
        return classes

    def savings(self) -> NDArray[np.float32]:
        """Distortion saved by each splat's presence, [N]."""
        savings = np.empty(self._shape[0], np.float32)
        self._call("savings", _address(savings))
        return savings

    def remove(self, indices: NDArray[np.int32]) -> None:
        """Remove splats without touching the others."""
        indices = np.ascontiguousarray(indices, np.int32)
        self._call("remove", _address(indices), len(indices))

    def render(self) -> float:
        """Draw the integers afresh; returns the sum of squared errors."""
        sse = ctypes.c_double()
        self._call("render", ctypes.byref(sse))
        return sse.value


class Refiner(Refinement):
    """A picture's."""


class ClipRefiner(Refinement):
    """A clip's."""


class ViewsRefiner(Refinement):
    """A light field's."""
