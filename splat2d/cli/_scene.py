"""The verbs' way from a path to a scene, a document or an edit script."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from splat2d.edit.document import Document
    from splat2d.format.header import Limits
    from splat2d.scene.clip import Clip
    from splat2d.scene.picture import Scene

_IN_MEMORY = 1 << 26  # bytes of a clip that is read at once


def limits_of(**given: int | None) -> Limits:
    """Return what a file may have at most.

    Args:
        **given: As of `Limits`; None for its default.
    """
    from splat2d.format.header import Limits

    return Limits(**{name: value for name, value in given.items() if value is not None})


def open_drawable(path: str, **options: Any) -> Scene | Clip:
    """Return the picture or the clip in a .splat file.

    Args:
        path: The file.
        **options: Tiers, count_bits, threads and limits as of `Scene.from_bytes`; skip_damaged for clips.

    Returns:
        The scene or the clip.

    Raises:
        BitstreamError: If the file cannot be read or is no undamaged .splat file; names the file.
        ConfigError: If there are no such tiers.
    """
    from splat2d.errors import BitstreamError
    from splat2d.format.header import Limits
    from splat2d.media.files import read_bytes, shown

    # Only what makes pixels of a whole canvas has to fear large ones.
    options.setdefault("limits", Limits.of_format())
    try:
        if is_clip_file(path):
            from splat2d.scene.clip import Clip

            options.pop("count_bits", None)
            with warnings_said():
                return Clip.open(path, **options)
        from splat2d.scene.picture import Scene

        options.pop("skip_damaged", None)
        data = read_bytes(path, limit=options["limits"].max_bytes, error=BitstreamError)
    except BitstreamError as fault:
        named = str(fault).startswith(shown(path))
        raise (fault if named else BitstreamError(f"{shown(path)}: {fault}")) from None
    try:
        with warnings_said():
            return Scene.from_bytes(data, **options)
    except BitstreamError as fault:
        raise BitstreamError(f"{shown(path)}: {fault}") from None


@contextlib.contextmanager
def warnings_said() -> Iterator[None]:
    """Say on stderr what a reader warns of."""
    import warnings

    from splat2d.cli._terminal import warn
    from splat2d.errors import LargeFileWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LargeFileWarning)
        yield
    warn(str(warning.message) for warning in caught if issubclass(warning.category, LargeFileWarning))


def is_clip_file(path: str) -> bool:
    """Return whether a .splat file holds a clip.

    Args:
        path: The file; a pipe holds a picture.

    Raises:
        BitstreamError: If the file cannot be read.
    """
    from splat2d.errors import BitstreamError
    from splat2d.format.container import is_clip
    from splat2d.media.files import open_input

    with open_input(path, error=BitstreamError) as file:
        return file.seekable() and is_clip(file.read(64))


def open_document(path: str, limits: Limits | None = None) -> Document:
    """Return a .splat file's layers and edits, no splat decoded.

    Args:
        path: The file.
        limits: That it must be within; those of the format when None.

    Returns:
        The document.

    Raises:
        BitstreamError: If the file cannot be read or is no undamaged .splat file; names the file.
    """
    from splat2d.edit.document import Document
    from splat2d.errors import BitstreamError
    from splat2d.format.header import Limits
    from splat2d.format.sections import Source
    from splat2d.media.files import read_bytes, shown

    large = os.path.isfile(path) and os.path.getsize(path) > _IN_MEMORY
    data = b"" if large else read_bytes(path, error=BitstreamError)
    try:
        limits = limits or Limits.of_format()
        return Document.read(Source(open(path, "rb")), limits) if large else Document.from_bytes(data, limits)
    except BitstreamError as fault:
        raise BitstreamError(f"{shown(path)}: {fault}") from None


def read_script(path: str) -> Any:
    """Return what a YAML or JSON file holds.

    Args:
        path: The file; JSON is YAML, too.

    Returns:
        Lists, mappings, texts and numbers.

    Raises:
        ConfigError: If the file cannot be read, or is neither; names the file.
    """
    import yaml

    from splat2d.errors import ConfigError
    from splat2d.media.files import read_bytes, shown

    try:
        return yaml.safe_load(read_bytes(path, error=ConfigError))
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        raise ConfigError(f"{shown(path)}: no YAML or JSON ({' '.join(str(fault).split())})") from None
