"""The native core, loaded on first use."""

from __future__ import annotations

import os

from splat2d.arguments import whole
from splat2d.errors import BackendUnavailableError

MAX_THREADS = 1024
"""Most threads that a caller may ask for."""


def core():
    """Return the native module `splat2d._core`.

    Cheap to call again; import it nowhere else, so that `import splat2d` works without it. No return
    annotation, because only an inferred type tells a checker the members of the module.

    Returns:
        The module.

    Raises:
        BackendUnavailableError: If the module is missing or does not load.
    """
    try:
        import splat2d._core as module
    except ImportError as error:
        why = " ".join(str(error).split())
        raise BackendUnavailableError(
            f"expected the native core splat2d._core, which does not load ({why}); "
            "install a wheel of splat2d for this Python and machine, or build it with `pip install .` "
            "in a checkout"
        ) from error
    return module


def thread_count(threads: int | None) -> int:
    """Return the number of threads to use.

    Args:
        threads: From 1 to `MAX_THREADS`; None for as many as this process may run at once.

    Returns:
        The number, at least 1.

    Raises:
        ConfigError: If `threads` is out of range.
    """
    if threads is None:
        process_cpu_count = getattr(os, "process_cpu_count", None)  # Python 3.13
        if process_cpu_count:
            available = process_cpu_count()
        elif hasattr(os, "sched_getaffinity"):
            available = len(os.sched_getaffinity(0))
        else:
            available = os.cpu_count()
        return min(max(available or 1, 1), MAX_THREADS)
    return whole("threads", threads, 1, MAX_THREADS)
