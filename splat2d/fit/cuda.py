"""The fit on a GPU: the native core's classes again, with the same methods, in the GPU's library."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat2d.gpu import _Library, library

__all__ = ["Distortion", "Fitter"]


def _address(array: NDArray[Any]) -> int:
    return array.ctypes.data


class Distortion:
    """Weights of a distortion that weighs errors by place and by scale; see cpp/distortion.hpp.

    Args:
        weights: one plane [H, W] a level, each half of the one before, rounded up.
    """

    def __init__(self, weights: Sequence[NDArray[np.float32]]) -> None:
        self.levels = len(weights)
        self.planes = np.concatenate([np.ascontiguousarray(plane, np.float32).ravel() for plane in weights])


class Fitter:
    """Gaussians being fitted to a picture in the GPU's memory; see cpp/fitter.hpp. `threads` are the core's.

    Raises:
        BackendUnavailableError: by any method, when the GPU fails or its memory does not suffice.
    """

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
        self._library = library() if kernels is None else kernels
        self._handle = ctypes.c_void_p()
        self._channels, height, width = image.shape
        image, background = (np.ascontiguousarray(a, np.float32) for a in (image, background))
        self._library.call(
            "fitter_open",
            _address(image),
            *(self._channels, width, height),
            _address(background),
            *(step, lmbda, chroma_step, cutoff),
            *(memory, natural_units, rate_term),
            None if distortion is None else _address(distortion.planes),
            0 if distortion is None else distortion.levels,
            ctypes.byref(self._handle),
        )

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

    def set_rate(self, step: float, lmbda: float) -> None:
        """Change D and lambda; what has been fitted stays."""
        self._call("set_rate", step, lmbda)

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
    ) -> tuple[int, int]:
        """Add splats at the residual's peaks; returns candidates found and added."""
        candidates, added = ctypes.c_int(), ctypes.c_int()
        options = threshold, energy, smallest, largest, ratio, amplitude, separation, random
        self._call("seed", *options, ctypes.byref(candidates), ctypes.byref(added))
        return candidates.value, added.value

    def refresh(self) -> None:
        """Evaluate at the present state."""
        self._call("refresh")

    def step(self) -> bool:
        """One step of the optimiser; False when none was found."""
        stepped = ctypes.c_int()
        self._call("step", ctypes.byref(stepped))
        return bool(stepped.value)

    def resample_from(self, other: Fitter, factor: float) -> None:
        """Take another fitter's splats, all lengths times `factor`."""
        self._call("resample_from", other._handle, factor)

    def splats(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Means [N, 2], conics [N, 3] and colours [N, C] of the present state."""
        count = self.count
        means, conics, colors = (np.empty((count, n), np.float32) for n in (2, 3, self._channels))
        self._call("splats", _address(means), _address(conics), _address(colors))
        return means, conics, colors

    def quantize(self) -> NDArray[np.int32]:
        """Integers [N, C + 5] nearest to the present state."""
        integers = np.empty((self.count, self._channels + 5), np.int32)
        self._call("quantize", _address(integers))
        return integers
