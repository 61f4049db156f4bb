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
        """Take the threads of a backend."""
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
        for _ in self._pool.map(fill, pairwise(edges[1:])):
            pass
        return out
