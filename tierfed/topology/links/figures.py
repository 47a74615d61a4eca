"""Figures: profiles as plain data, and what is refused of such data.

    plain(LinkProfile(rate_up=500e3))     {"rate_up": 500000.0, "rate_down": None, "delay": 0.0, …}

JSON has no infinity, so that stands as null.  What comes back is checked figure by figure: a model would
divide by a rate of 0, and wait for ever on a delay that is no number.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from tierfed.errors import ProtocolError
from tierfed.topology.links.profile import DeviceProfile, InterfaceProfile, LinkProfile
from tierfed.topology.links.trace import Trace
from tierfed.topology.links.window import Window

DISTRIBUTIONS = ("normal", "uniform", "pareto", "paretonormal")
P = TypeVar("P", LinkProfile, InterfaceProfile, DeviceProfile, Window)

_POSITIVE = frozenset({"rate_up", "rate_down", "speed", "every"})
_SHARES = frozenset({"correlation", "loss"})
_MOST = 2.0**63


def plain(profile: LinkProfile | InterfaceProfile | DeviceProfile | Window | Trace | None) -> dict[str, Any] | None:
    """Return `profile` as plain data, None as None."""
    if profile is None:
        return None
    values = ((f.name, getattr(profile, f.name)) for f in dataclasses.fields(profile))
    return {name: None if value == math.inf else value for name, value in values}


def hours(data: object, where: str) -> Window | Trace | None:
    """Return the window or trace that `plain` wrote.  Raises ProtocolError for anything else."""
    if not isinstance(data, Mapping) or set(data) != {"spans", "every"}:
        return profile(data, Window, where)
    every, before = data["every"], -1.0
    if every is not None and not _fits("every", every):
        raise ProtocolError(f"{every!r} is no every", where=f"{where}.every")
    if not isinstance(data["spans"], list | tuple):
        raise ProtocolError(f"{data['spans']!r} are no spans", where=f"{where}.spans")
    for span in data["spans"]:
        numbers = isinstance(span, list | tuple) and len(span) == 2 and all(_fits("begin", edge) for edge in span)
        if not numbers or not before < span[0] < span[1] or (every is not None and span[1] > every):
            raise ProtocolError(f"{span!r} is no span after {before:g}", where=f"{where}.spans")
        before = span[1]
    return Trace(tuple((float(a), float(b)) for a, b in data["spans"]), math.inf if every is None else float(every))


def profile(data: object, kind: type[P], where: str) -> P | None:
    """Return the profile that `plain` wrote.  Raises ProtocolError, naming the figure, for anything else."""
    if data is None:
        return None
    if not isinstance(data, Mapping):
        raise ProtocolError(f"expected a mapping, got {type(data).__name__}", where=where)
    names = [f.name for f in dataclasses.fields(kind)]
    if set(data) != set(names):
        odd = ", ".join(sorted(str(name) for name in set(data) ^ set(names)))
        raise ProtocolError(f"missing or unknown: {odd}", where=where, mend="run one version of tierfed on both sides")
    figures: dict[str, Any] = {}
    for name in names:
        value = data[name]
        if not _fits(name, value):
            raise ProtocolError(f"{value!r} is no {name}", where=f"{where}.{name}")
        figures[name] = value if name == "distribution" else math.inf if value is None else float(value)
    return kind(**figures)


def changed(before: LinkProfile | None, data: object, where: str) -> LinkProfile:
    """Return `before` (None: a link that takes no time) with the figures in `data`; raises as `profile`."""
    if not isinstance(data, Mapping) or not data:
        raise ProtocolError("no figures to change", where=where)
    known = plain(before or LinkProfile()) or {}
    after = profile({**known, **data}, LinkProfile, where)
    assert after is not None
    return after


def _fits(name: str, value: object) -> bool:
    if name == "distribution":
        return value in DISTRIBUTIONS
    if value is None:
        return name in ("rate_up", "rate_down")
    if type(value) not in (int, float) or not isinstance(value, int | float) or not abs(value) <= _MOST:
        return False
    if name in _SHARES:
        return 0 <= value < 1
    return value > 0 if name in _POSITIVE else value >= 0
