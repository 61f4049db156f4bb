"""Names of outputs that follow from those of inputs."""

from __future__ import annotations

import os
from collections.abc import Sequence

from splat2d.errors import ConfigError
from splat2d.media.files import shown


def beside(path: str, suffix: str = ".splat") -> str:
    """Return a path with another suffix, in the same folder: `photo.splat` of `photo.jpg`.

    Args:
        path: A file, a folder of frames, or a pattern of images, of which the part before the number counts.
        suffix: With its dot.
    """
    folder, name = os.path.split(path.rstrip("/" + os.sep) or path)
    stem = name if os.path.isdir(path) else os.path.splitext(name)[0]
    stem = stem.split("%0")[0].split("*")[0].rstrip("_-. ")
    return os.path.join(folder, (stem or "clip") + suffix)


def refuse_twins(inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Raise ConfigError where two inputs would become one file.

    Args:
        inputs: Paths.
        outputs: What each becomes.
    """
    seen: dict[str, str] = {}
    for path, output in zip(inputs, outputs, strict=True):
        # As some file systems have it, which take a.splat and A.splat for one file.
        key = os.path.normcase(os.path.abspath(output)).casefold()
        if key in seen:
            raise ConfigError(
                f"{shown(seen[key])} and {shown(path)} would both become {shown(output)}; rename one"
            )
        seen[key] = path
