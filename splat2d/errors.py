"""What a user can cause: every such fault is a Splat2dError with one clear line."""

from __future__ import annotations


class Splat2dError(Exception):
    """Base of all errors that input, files or settings can cause."""


class BitstreamError(Splat2dError):
    """A .splat file that is damaged, truncated, from another program or beyond a limit."""


class ShapeError(Splat2dError):
    """An array whose shape or dtype does not fit."""


class ConfigError(Splat2dError):
    """A setting or preset that is unknown, out of range or contradicts another."""


class BackendUnavailableError(Splat2dError):
    """The native core, or an optional package, is missing or does not load."""


class InputImageError(Splat2dError):
    """A picture that cannot be read or is beyond a limit."""


class InputClipError(InputImageError):
    """A clip that cannot be read, is damaged or truncated, or changes its size."""


class OutputError(Splat2dError):
    """An output that exists, or cannot be written."""


class TargetError(Splat2dError):
    """A size, rate or quality that this picture cannot reach; says the nearest reachable."""


class LargeFileWarning(UserWarning):
    """A .splat file whose canvas is unusually large; `Limits` says what is."""
