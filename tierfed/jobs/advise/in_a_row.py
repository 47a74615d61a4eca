"""In a row: one link in the place of two, as a topology writes links.

    in_a_row({rate: 2mbit, delay: 30ms, jitter: 4ms, loss: 2%}, {rate: 20mbit, delay: 40ms, jitter: 3ms, loss: 1%})
    {"link": {rate: 2mbit, delay: 70ms, jitter: 5ms, loss: 2.98%}}

The smaller rate of each way, the sum of delays, the root of summed squares of jitters (independent ones add up as
variances do), and what gets past both losses.  It is what a message takes that is handed on as it comes; where a tier
in between waited for the whole of it, the two took longer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from tierfed.topology.units import Duration, Percent, Rate


def in_a_row(below: Any, above: Any) -> dict[str, Any]:
    """Return `{"link": …}` of one link behind another, as both are written; nothing where neither is."""
    links = [dict(link) for link in (below, above) if link]
    if len(links) < 2:
        return {"link": links[0]} if links else {}
    joined: dict[str, Any] = links[0] | {}
    first, second = links
    rates = [_ways(link.get("rate")) for link in links]
    rate = {way: _slower(rates[0].get(way), rates[1].get(way)) for way in ("up", "down")}
    if any(rate.values()):
        joined["rate"] = {way: value for way, value in rate.items() if value is not None}
    if "delay" in first or "delay" in second:
        joined["delay"] = _seconds(sum(_duration(link.get("delay")) for link in links))
    if "jitter" in first or "jitter" in second:
        joined["jitter"] = _seconds(math.hypot(*(_duration(link.get("jitter")) for link in links)))
        if "distribution" in second:
            joined.setdefault("distribution", second["distribution"])
        if "correlation" in second:
            joined.setdefault("correlation", second["correlation"])
    if "loss" in first or "loss" in second:
        passed = Fraction(1)
        for link in links:
            passed *= 1 - Percent.parse(str(link.get("loss", "0%"))).exact
        joined["loss"] = str(Percent((1 - passed).limit_denominator(10**6)))
    return {"link": joined}


def _ways(rate: Any) -> dict[str, str]:
    if rate is None:
        return {}
    return {k: str(v) for k, v in rate.items()} if isinstance(rate, Mapping) else {"up": str(rate), "down": str(rate)}


def _slower(one: str | None, other: str | None) -> str | None:
    given = [rate for rate in (one, other) if rate is not None]
    return min(given, key=lambda text: Rate.parse(text).bits) if given else None


def _duration(text: Any) -> float:
    return 0.0 if text is None else Duration.parse(str(text)).seconds


def _seconds(value: float) -> str:
    return str(Duration(Fraction(round(value * 10**9), 10**9)))
