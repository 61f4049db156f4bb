"""The verbs' way from a path to a scene, a document or an edit script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from splat2d.edit.document import Document
    from splat2d.scene.picture import Scene


def open_scene(
    path: str, *, tiers: int | None = None, count_bits: bool = False, threads: int | None = None
) -> Scene:
    """Return the scene in a .splat file.

    Args:
        path: The file.
        tiers: Decode only this many tiers, the coarsest first.
        count_bits: Whether to keep the code length of each attribute.
        threads: To use; None for all cores.

    Returns:
        The scene.

    Raises:
        BitstreamError: If the file cannot be read or is no undamaged .splat file; names the file.
        ConfigError: If there are no such tiers.
    """
    from splat2d.errors import BitstreamError
    from splat2d.media.files import read_bytes, shown
    from splat2d.scene.picture import Scene

    data = read_bytes(path, error=BitstreamError)
    try:
        return Scene.from_bytes(data, tiers=tiers, count_bits=count_bits, threads=threads)
    except BitstreamError as fault:
        raise BitstreamError(f"{shown(path)}: {fault}") from None


def is_clip_file(path: str) -> bool:
    """Return whether a .splat file holds a clip.

    Args:
        path: The file; a pipe holds a picture.

    Raises:
        BitstreamError: If the file cannot be read.
    """
    from splat2d.errors import BitstreamError
    from splat2d.format.clips import is_clip
    from splat2d.media.files import open_input

    with open_input(path, error=BitstreamError) as file:
        return file.seekable() and is_clip(file.read(64))


def open_document(path: str) -> Document:
    """Return a .splat file's layers and edits, no splat decoded.

    Args:
        path: The file.

    Returns:
        The document.

    Raises:
        BitstreamError: If the file cannot be read or is no undamaged .splat file; names the file.
    """
    from splat2d.edit.document import Document
    from splat2d.errors import BitstreamError
    from splat2d.media.files import read_bytes, shown

    data = read_bytes(path, error=BitstreamError)
    try:
        return Document.from_bytes(data)
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
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as fault:
        raise ConfigError(f"{shown(path)}: no YAML or JSON ({' '.join(str(fault).split())})") from None
