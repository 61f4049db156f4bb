"""NumPy's functions of each pixel, by threads that share out rows: the same bits, sooner."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat2d.native.backend import Backend

__all__ = ["Rows"]

Planes = NDArray[Any]
LEAST = 1 << 17  # numbers of a plane for which a thread is worth its while
MOST = 4  # threads; more wait for memory, which takes turns


class Rows:
    """Threads for functions of planes [..., H, W]; a context, in which they live."""

    def __init__(self, backend: Backend) -> None:
        """Take threads of a backend."""
        self.backend = backend
        self._threads = min(backend.thread_count, MOST)
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Rows:
        """Start the threads."""
        if self._threads > 1:
            self._pool = ThreadPoolExecutor(self._threads)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def __call__(self, f: Callable[..., Planes], *planes: Planes, per: int = 1) -> Planes:
        """f(*planes), of which a row depends on `per` rows of the planes: those at its place and below."""
        rows = planes[0].shape[-2] // per
        threads = min(self._threads, planes[0].size // LEAST, rows)
        if self._pool is None or threads < 2 or planes[0].shape[-2] % per:
            return f(*planes)
        edges = [rows * i // threads for i in range(threads + 1)]

        def band(first: int, end: int) -> Planes:
            return f(*(plane[..., per * first : per * end, :] for plane in planes))

        head = band(edges[0], edges[1])
        out = np.empty((*head.shape[:-2], rows, head.shape[-1]), head.dtype)

        def fill(edge: tuple[int, int]) -> None:
            out[..., edge[0] : edge[1], :] = band(*edge)

        out[..., : edges[1], :] = head
        del head
        for _ in self._pool.map(fill, pairwise(edges[1:])):
            pass
        return out

    def add(self, to: Planes, by: float, plane: Planes, size: int = 1) -> None:
        """Add `by` times a plane to another, each pixel to size x size there; in place, row by row."""
        height, width = to.shape
        step = max(LEAST // max(width, 1), 1) // size * size + size

        def fill(first: int) -> None:
            end = min(first + step, height)
            part = plane[first // size : -(-end // size)]
            if size > 1:
                (h, w), whole = part.shape, (size * part.shape[0], size * part.shape[1])
                part = np.broadcast_to(part[:, None, :, None], (h, size, w, size)).reshape(whole)
            to[first:end] += by * part[: end - first, :width]

        for _ in (map if self._pool is None else self._pool.map)(fill, range(0, height, step)):
            pass
