"""What callers in Python give: numbers of any type that means one, or one clear error."""

from __future__ import annotations

import math
from typing import Any

from splat2d.errors import ConfigError


def finite(name: str, value: Any) -> float:
    """Return a finite number as a float.

    Args:
        name: What messages call it.
        value: A number of Python or NumPy.

    Raises:
        ConfigError: If it is none, or not finite.
    """
    try:
        if isinstance(value, str | bytes | bool):
            raise TypeError
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise ConfigError(f"{name} is {_shown(value)}, expected a finite number")
    return found


def whole(name: str, value: Any, low: int, high: int) -> int:
    """Return a whole number within limits; 50.0 is one.

    Args:
        name: What messages call it.
        value: A number of Python or NumPy.
        low: Least value.
        high: Largest value.

    Raises:
        ConfigError: If it is none, or out of range.
    """
    found = finite(name, value) if not isinstance(value, int) else value
    if isinstance(value, bool) or found != int(found) or not low <= found <= high:
        raise ConfigError(f"{name} is {_shown(value)}, expected {low} to {high}")
    return int(found)


def _shown(value: Any) -> str:
    try:
        text = " ".join((str(value) if isinstance(value, int | float) else repr(value)).split())
    except ValueError:  # an integer of thousands of digits
        return "a number beyond all bounds"
    return text if len(text) < 80 else f"{text[:77]}..."
