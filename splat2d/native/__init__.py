"""The native core, loaded on first use."""

from __future__ import annotations

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
