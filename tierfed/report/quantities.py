"""Quantities as people say them: metrics, durations.

seconds(0.41)                          0.41 s
seconds(93600)                         26 h 0 min
ago(7260)                              2 h
metrics({"accuracy": 0.71234})         accuracy 0.712
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def metrics(values: Mapping[str, Any], most: int = 4) -> list[str]:
    """Return at most so many metrics as words, measured ones before counts."""
    floats = [(name, value) for name, value in values.items() if isinstance(value, float)]
    counts = [(name, value) for name, value in values.items() if not isinstance(value, float)]
    return [f"{name} {number(value)}" for name, value in (floats or counts)[:most]]


def number(value: Any) -> str:
    """Return a number with three digits that say something, or the whole of it where it has more."""
    if not isinstance(value, float):
        return str(value)
    size = abs(value)
    return f"{value:.0f}" if 99.95 <= size < 1e6 else f"{value:#.3g}" if 0.001 <= size < 99.95 else f"{value:.3g}"


def seconds(value: float) -> str:
    """Return a duration of a round or a run."""
    if value >= 172_800:
        return "{} d {} h".format(*divmod(round(value / 3600), 24))
    if value >= 7200:
        return "{} h {} min".format(*divmod(round(value / 60), 60))
    if value >= 120:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes} min {rest} s"
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s" if value >= 1 else f"{value:.2f} s"


def ago(value: float) -> str:
    """Return how long something has been so, roughly."""
    for unit, each in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if value >= each:
            return f"{value / each:.0f} {unit}"
    return f"{max(value, 0.0):.0f} s"
