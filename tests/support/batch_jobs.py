"""Tasks for workers that die; in a module of their own, so that spawned processes find them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def work(number: int, seconds: float = 0.0) -> int:
    time.sleep(seconds)
    return number * number


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(flag: Path) -> str:
    """Die at the first call."""
    try:
        flag.touch(exist_ok=False)
    except FileExistsError:
        return "second"
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def marked(folder: Path, number: int, seconds: float) -> tuple[int, int]:
    """Leave a mark for each run."""
    (folder / f"{number}-{os.getpid()}-{time.monotonic_ns()}").touch()
    time.sleep(seconds)
    return number, os.getpid()


class Deadly:
    """A result at which the worker dies that is asked for it."""

    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGKILL)
        return Deadly, ()


def fail_when_done_again(flag: Path) -> Deadly:
    """End well the first time, with a result that nobody gets."""
    try:
        flag.touch(exist_ok=False)
    except FileExistsError:
        raise ValueError("done again") from None
    return Deadly()
