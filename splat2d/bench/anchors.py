"""Which setting of each other codec stands in the tables: the hardest to beat, which comes first."""

from __future__ import annotations

from typing import Any


def family_of(result: dict[str, Any], codec: str) -> str:
    """Return which codec a setting belongs to; results of before families existed have none."""
    return result["codecs"][codec].get("family") or codec


def ranked(result: dict[str, Any], test: str, metric: str) -> list[str]:
    """Return all settings that one of our codecs was compared with in a metric, the hardest first.

    The hardest is the one against which our BD-rate is largest. A setting without a BD-rate comes last.
    """
    against = result["summary"]["bd_rate"][test]
    means = {name: by_metric[metric]["mean"] for name, by_metric in against.items() if metric in by_metric}
    return sorted(means, key=lambda name: (means[name] is None, -(means[name] or 0)))


def hardest(result: dict[str, Any], test: str, metric: str) -> list[str]:
    """Return the hardest setting of each other codec in a metric, the hardest of all first.

    Of settings of one codec those count that were measured on most of the pictures or clips: means over fewer
    do not compare.
    """
    against = result["summary"]["bd_rate"][test]
    names = ranked(result, test, metric)
    most: dict[str, int] = {}
    for name in names:
        family = family_of(result, name)
        most[family] = max(most.get(family, 0), _count(against[name][metric]))
    best: dict[str, str] = {}
    for name in names:
        if _count(against[name][metric]) == most[family_of(result, name)]:
            best.setdefault(family_of(result, name), name)
    return list(best.values())


def hardest_of(result: dict[str, Any], test: str, metric: str, family: str) -> str | None:
    """Return the hardest setting of one codec in a metric; None where none was measured."""
    names = hardest(result, test, metric)
    return next((name for name in names if family_of(result, name) == family), None)


def _count(found: dict[str, Any]) -> int:
    """Return over how many pictures or clips a mean BD-rate is."""
    each = found["pictures"] if "pictures" in found else found["clips"]
    values = (value["percent"] if isinstance(value, dict) else value for value in each.values())
    return sum(value is not None for value in values)
