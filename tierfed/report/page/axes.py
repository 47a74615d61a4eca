"""Axes: where a number stands in a drawing, and the frame that says so.

    Scale.of([3e3, 8e6], room=(40, 350), unit="B")        logarithmic: the numbers are 2,667-fold apart
    ticks(0.62, 0.81)                                     0.65, 0.7, 0.75, 0.8

Ticks are at 1, 2 or 5 times a power of ten, three to six of them, and say their unit as people do: `2 MB`, `1.5 s`.
Source of the steps: Heckbert, "Nice numbers for graph labels", Graphics Gems (1990).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tierfed.report.page.svg import shape, text, width_of
from tierfed.types.html import Html

_APART, _TOO_FAR = 30.0, 1e12  # largest over smallest, between which a scale is logarithmic
_BYTES = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))
_SI = (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0), ("m", 1e-3), ("µ", 1e-6), ("n", 1e-9))


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return nice numbers from `low` to `high`, at most so many, which differ."""
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    for step in (power, 2 * power, 5 * power, 10 * power):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            return [at * step for at in range(first, last + 1)]
    return [low, high]


def label(value: float, unit: str = "") -> str:
    """Return a number as it is read: `2 MB`, `0.75`, `340 ms`."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}".rstrip()
    if not unit and (abs(value) >= 1e5 or abs(value) < 1e-4):
        return f"{value:.3g}"
    size, prefix = _prefix(value, unit)
    return f"{_digits(value / size)} {prefix}".rstrip()


def _prefix(value: float, unit: str) -> tuple[float, str]:
    """Return the size of the unit that `value` is said in, and its name."""
    if unit not in ("B", "J", "s") or (unit == "s" and abs(value) >= 0.9995):
        return 1.0, unit
    of = _BYTES if unit == "B" else [(f"{prefix}{unit}", size) for prefix, size in _SI]
    return next(((size, name) for name, size in of if abs(value) >= 0.9995 * size), (of[-1][1], of[-1][0]))


def _digits(value: float, step: float | None = None) -> str:
    if step:
        places = max(0, -math.floor(math.log10(step) + 1e-9))
        return f"{value:,.{min(places, 9)}f}"
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class Scale:
    """Numbers from `low` to `high` on the units from `room[0]` to `room[1]`."""

    low: float
    high: float
    room: tuple[float, float]
    unit: str = ""
    log: bool = False

    @staticmethod
    def of(
        values: Iterable[float],
        room: tuple[float, float],
        unit: str = "",
        *,
        zero: bool = False,
        log: bool | None = None,
    ) -> Scale:
        """Return a scale for `values`, with some air; from nought with `zero`; logarithmic if they are far apart."""
        found = [v for v in values if math.isfinite(v)] or [0.0]
        low, high = min(found), max(found)
        if log is None and not zero and low > high / _TOO_FAR and high / low > _APART:
            return Scale(low / (high / low) ** 0.05 / 1.1, high * (high / low) ** 0.05 * 1.1, room, unit, True)
        if zero:
            low, high = min(low, 0.0), max(high, 0.0)
        air = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
        return Scale(low if zero and low == 0 else low - air, high + air, room, unit)

    def __call__(self, value: float) -> float:
        """Return the place of `value`, within the room."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
        share = (value - low) / (high - low) if high > low else 0.5
        begin, end = self.room
        return begin + (end - begin) * min(max(share, 0.0), 1.0)

    def ticks(self, most: int = 6) -> list[float]:
        """Return the numbers to be written at the axis."""
        if not self.log:
            return ticks(self.low, self.high, most)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for heads in ((1, 2, 5), (1, 3), (1,)):
            found = [head * 10.0**p for p in powers for head in heads if self.low <= head * 10.0**p <= self.high]
            if len(found) <= most:
                return found
        return found[:: math.ceil(len(found) / most)]

    def labels(self, most: int = 6) -> list[tuple[float, str]]:
        """Return the ticks, each with what is written there; a step of less than its digits is none."""
        at = self.ticks(most)
        if self.log or len(at) < 2:
            return [(value, label(value, self.unit)) for value in at]
        size, prefix = _prefix(max(abs(v) for v in at), self.unit)
        step = (at[1] - at[0]) / size
        return [(v, f"{_digits(v / size, step)} {prefix}".rstrip() if abs(v) > step * size / 1e6 else "0") for v in at]


@dataclass(frozen=True, slots=True)
class Frame:
    """Two axes, and what they measure."""

    x: Scale
    y: Scale
    x_name: str
    y_name: str

    def drawn(self, *, x_ticks: Sequence[tuple[float, str]] | None = None) -> Html:
        """Return grid, axes and their texts."""
        left, right = self.x.room
        bottom, top = self.y.room
        parts = []
        for value, said in self.y.labels(5):
            at = self.y(value)
            parts.append(shape("line", x1=left, x2=right, y1=at, y2=at, stroke="grid"))
            parts.append(text(said, left - 6, at + 4, anchor="end", colour="muted", size=11))
        most = max(2, int((right - left) / 58))
        beyond = -math.inf
        for value, said in self.x.labels(min(6, most)) if x_ticks is None else x_ticks:
            at, half = self.x(value), width_of(said, 11) / 2
            parts.append(shape("line", x1=at, x2=at, y1=bottom, y2=bottom + 4, stroke="axis"))
            if at - half > beyond:
                parts.append(text(said, at, bottom + 16, anchor="middle", colour="muted", size=11))
                beyond = at + half + 6
        parts.append(shape("line", x1=left, x2=right, y1=bottom, y2=bottom, stroke="axis"))
        log = ", log scale"
        parts.append(
            text(
                self.x_name + (log if self.x.log else ""),
                (left + right) / 2,
                bottom + 33,
                anchor="middle",
                colour="muted",
            )
        )
        parts.append(text(self.y_name + (log if self.y.log else ""), 4, top - 9, colour="muted"))
        return Html("".join(parts))


def rounds(values: Sequence[int]) -> list[tuple[float, str]]:
    """Return ticks at whole numbers from the first to the last of `values`."""
    low, high = min(values), max(values)
    found = [t for t in ticks(low, high, 6) if t == int(t)] or [float(low), float(high)]
    return [(t, f"{t:,.0f}") for t in dict.fromkeys(found)]
