"""Where work is done: chosen once, where a user asks for it, and handed on as one value."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from splat2d.arguments import whole
from splat2d.errors import BackendUnavailableError, ConfigError
from splat2d.native import MAX_THREADS, gpu

Device = Literal["auto", "cpu", "cuda"]
DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda")

_Done = TypeVar("_Done")


@dataclass(frozen=True)
class Backend:
    """Threads of the CPU, and the device that fits and draws.

    Args:
        threads: from 1 to `MAX_THREADS`; None for as many as the process may run at once when it works.
        device: "cpu"; "cuda" for an NVIDIA GPU; "auto" for the GPU where there is one.

    Raises:
        ConfigError: threads or device are none of these.
    """

    threads: int | None = None
    device: Device = "cpu"

    def __post_init__(self) -> None:
        """Refuse what there cannot be; 2.0 threads are 2."""
        if self.threads is not None:
            object.__setattr__(self, "threads", whole("threads", self.threads, 1, MAX_THREADS))
        if self.device not in DEVICES:
            raise ConfigError(f"device must be one of {', '.join(DEVICES)}, found {self.device!r}")

    @property
    def thread_count(self) -> int:
        """Number of threads, at least 1; no result depends on it."""
        if self.threads is not None:
            return self.threads
        process_cpu_count = getattr(os, "process_cpu_count", None)  # Python 3.13
        if process_cpu_count:
            available = process_cpu_count()
        elif hasattr(os, "sched_getaffinity"):
            available = len(os.sched_getaffinity(0))
        else:
            available = os.cpu_count()
        return min(max(available or 1, 1), MAX_THREADS)

    @property
    def on_cpu(self) -> Backend:
        """The same threads, and no GPU."""
        return replace(self, device="cpu")

    def uses_gpu(self) -> bool:
        """Whether the GPU is to be used.

        Raises:
            BackendUnavailableError: the device is "cuda" and there is no GPU; says what is missing.
        """
        why = "not asked for" if self.device == "cpu" else gpu.unavailable()
        if why is not None and self.device == "cuda":
            raise BackendUnavailableError(why)
        return why is None

    def run(self, work: Callable[[Backend], _Done]) -> _Done:
        """Do work on the device, and with "auto" on the CPU where the GPU fails half-way.

        Args:
            work: called with this backend on the device "cpu" or "cuda".

        Raises:
            BackendUnavailableError: the device is "cuda", and there is no GPU or it fails.
        """
        if self.uses_gpu():
            try:
                return work(replace(self, device="cuda"))
            except BackendUnavailableError:
                if self.device == "cuda":
                    raise
        return work(self.on_cpu)


ALL_CORES = Backend()
