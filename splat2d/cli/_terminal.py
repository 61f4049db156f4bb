"""What the verbs tell their user: lines, warnings, JSON and a progress bar."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from splat2d.fit.fitter import Progress
    from splat2d.media.frames import ClipProgress


def say(message: str) -> None:
    """Print `splat2d: message` on stderr as exactly one line.

    Args:
        message: Text; line breaks inside become spaces.
    """
    with contextlib.suppress(OSError, ValueError):  # stderr itself may be closed
        print(f"splat2d: {' '.join(message.split())}", file=sys.stderr, flush=True)


def warn(messages: Iterable[str]) -> None:
    """Print each message on stderr as one line `splat2d: warning: ...`.

    Args:
        messages: What a picture's loader wants the user to know.
    """
    for message in messages:
        say(f"warning: {message}")


def print_json(figures: dict[str, Any]) -> None:
    """Print one JSON object on one line of stdout.

    Args:
        figures: JSON-ready values; numpy scalars are converted, infinite and undefined numbers become
            null, since JSON has no word for them.
    """
    print(json.dumps(_plain(figures), allow_nan=False, ensure_ascii=False))


def _plain(value: Any) -> Any:
    """Return a value with numpy's scalars and non-finite numbers replaced by what JSON knows."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Callable[[Progress], None] | None]:
    """Give a callable that draws a fit's progress on stderr, or None when stderr is no terminal.

    Args:
        label: What is being worked on.

    Yields:
        A callable for `encode_picture`'s `progress`, or None.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        # A file name may hold brackets, which rich would read as markup.
        task = bar.add_task(Text(label).markup, total=1.0, state="")

        def draw(now) -> None:
            state = f"{now.psnr:.2f} dB, about {now.estimated_bytes:,} bytes, {now.splats:,} splats"
            bar.update(task, completed=now.fraction, state=state)

        yield draw


@contextlib.contextmanager
def clip_progress(label: str) -> Iterator[Callable[[ClipProgress], None] | None]:
    """Give a callable that draws frames done and time left on stderr, or None when stderr is no terminal.

    Args:
        label: What is being worked on.

    Yields:
        A callable for `encode_frames`' `progress`, or None.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.text import Text

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(Text(label).markup, total=None, state="")

        def draw(now) -> None:
            of = "" if now.total is None else f" of {now.total:,}"
            state = f"{int(now.frames):,}{of} frames, {now.size:,} bytes"
            bar.update(task, completed=now.frames, total=now.total, state=state)

        yield draw
