"""Captions: what a drawing says of a link and a device, in few words.

    4/20mbit  30±10ms  loss 1%        up/down; the delay one way and its jitter
    interface 1gbit  50ms/0.2  2.5W computing  22h-6h

Figures stand as they were written, those for both ways once.  `amount` is for figures that are worked out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from tierfed.topology.devices import AVAILABLE, Key
from tierfed.topology.model import Node

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))
_QUANTITY = re.compile(r"([0-9.]+)([A-Za-z%]+)")


def link(node: Node) -> list[str]:
    """Return the rate, the delay and the loss of a node's link to its parent, each empty if it is not set."""
    return link_of(node.settings.modelled.figures)


def link_of(figures: Mapping[Key, Any]) -> list[str]:
    """Return the same of figures by key."""
    delay, jitter = figures.get(("link", "delay")), figures.get(("link", "jitter"))
    late = _together(str(delay) if delay else "", str(jitter) if jitter else "", "±")
    loss = figures.get(("link", "loss"))
    return [_rates(figures, "link"), late, f"loss {loss}" if loss is not None else ""]


def device(node: Node) -> list[str]:
    """Return the interface, the computing, the power and the hours of a node, each empty if it is not set."""
    figures = node.settings.modelled.figures
    rates = _rates(figures, "interface")
    time, speed = figures.get(("compute", "time")), figures.get(("compute", "speed"))
    computing = f"{time}/{speed:g}" if time is not None and speed is not None else str(time or "")
    power = figures.get(("energy", "computing"))
    hours = figures.get(AVAILABLE)
    times = dict(hours.written()) if hours is not None else {}
    return [
        f"interface {rates}" if rates else "",
        f"leaf {computing}" if computing else "",
        f"{power} computing" if power is not None else "",
        "hours by trace"
        if "times" in times
        else f"{times['from']}-{times['to']}" + ("" if times["every"] == "24h" else f" of {times['every']}")
        if times
        else "",
    ]


def _rates(figures: Mapping[Key, Any], of: str) -> str:
    up, down = (figures.get((of, "rate", way)) for way in ("up", "down"))
    if up is None or down is None:
        return f"{up} up" if up is not None else f"{down} down" if down is not None else ""
    return str(up) if up == down else _together(str(up), str(down), "/")


def _together(first: str, second: str, sign: str) -> str:
    """Return two quantities as one, with the unit once if they have the same."""
    if not second:
        return first
    if not first:
        return sign + second
    one, other = _QUANTITY.fullmatch(first), _QUANTITY.fullmatch(second)
    if one is not None and other is not None and one[2] == other[2]:
        return f"{one[1]}{sign}{second}"
    return f"{first}{sign}{second}"


def amount(value: float, unit: str) -> str:
    """Return a figure as people say it, to two or three digits: `0.92 s`, `15 ms`, `1.2 kJ`, `120 s`."""
    if value == 0:
        return f"0 {unit}"
    if unit == "s" and value >= 0.0995:
        return f"{value:.2g} s" if value < 9.95 else f"{value:.0f} s"
    size, prefix = next((p for p in _PREFIXES if value >= 0.9995 * p[0]), _PREFIXES[-1])
    digits = 1 - math.floor(math.log10(value / size) + 1e-9)
    return f"{round(value / size, max(0, digits)):g} {prefix}{unit}"
