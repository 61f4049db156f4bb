"""One HTML file with viewer, decoder and picture or clip: it opens in a browser without a server."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from splat2d.scene.drawable import Drawable


def export(drawable: Drawable, file: BinaryIO, *, time: float | Fraction = 0) -> tuple[str, ...]:  # noqa: ARG001
    """Write the whole file, edits and all; a clip plays from its beginning, whatever `time` is.

    Args:
        drawable: a picture or a clip.
        file: open for writing bytes.
        time: of no use here.

    Returns:
        What the page cannot show: nothing.
    """
    from splat2d.web.bundle import html

    file.write(html(drawable.to_bytes()).encode())
    return ()
