"""Pareto fronts: what is given up for what, and the cells that no other beats in both.

A cell is *on the front* (`jobs.front`) if no other is at least as good in both and better in one.  A point is
the mean of a cell's repeats, its bars one standard deviation to both sides; the front is of the means.  Cells on it are
filled diamonds, joined by the steps that bound what was attained, and named; others are hollow circles.  That does not
need a colour.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tierfed.jobs.front import front
from tierfed.report.page.axes import Frame, Scale, label
from tierfed.report.page.svg import NARROW, Drawing, marker, path, shape, shortened, text, width_of
from tierfed.report.quantities import number

_HEIGHT, _LEFT, _TOP, _BOTTOM = 290, 50, 30, 46
_LOSSES = ("loss", "error", "err", "mse", "rmse", "mae", "nmse", "perplexity", "regret")


@dataclass(frozen=True, slots=True)
class Spread:
    """The mean of repeats, and their standard deviation; nought of one."""

    mean: float
    deviation: float
    count: int

    @staticmethod
    def of(values: Sequence[float]) -> Spread | None:
        """Return that of `values`, None if there are none that are finite."""
        found = [float(v) for v in values if math.isfinite(v)]
        if not found:
            return None
        return Spread(statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else 0.0, len(found))

    def said(self, unit: str = "") -> str:
        """Return it as a table has it: `0.780 ±0.010`."""
        mean = label(self.mean, unit) if unit else number(float(self.mean))
        digits, _, named = mean.partition(" ")
        if self.count < 2 or self.deviation == 0 or "e" in digits:
            return mean
        size = self.mean / float(digits.replace(",", "")) if self.mean else 1.0  # of the unit that it is said in
        around = f"{self.deviation / size:,.{len(digits.partition('.')[2])}f}"
        return f"{digits} ±{around} {named}".rstrip() if float(around.replace(",", "")) else mean


@dataclass(frozen=True, slots=True)
class Point:
    """A cell: what it costs, and how good it is."""

    name: str
    x: Spread
    y: Spread


def lower_is_better(metric: str) -> bool:
    """Return whether `metric` is one to be small, by its name."""
    words = metric.lower().replace("-", "_").split("_")
    return any(word in _LOSSES for word in words)


def on_front(points: Sequence[Point], metric: str) -> list[Point]:
    """Return those of `points` that are on the front of `metric`, in their order."""
    found = front([(p.x.mean, p.y.mean) for p in points], low=lower_is_better(metric))
    return [points[at] for at in sorted(found)]


def drawing(name: str, title: str, points: Sequence[Point], x_name: str, y_name: str, unit: str) -> Drawing:
    """Return the drawing of `points` and their front."""
    low = lower_is_better(y_name)
    on = front([(p.x.mean, p.y.mean) for p in points], low=low)
    right = NARROW - 16
    x = Scale.of([v for p in points for v in (p.x.mean, *_ends(p.x))], (_LEFT, right), unit)
    y = Scale.of([v for p in points for v in _ends(p.y)], (_HEIGHT - _BOTTOM, _TOP), log=False)
    parts = [Frame(x, y, x_name, f"{y_name} (less is better)" if low else y_name).drawn()]
    steps = _steps([(x(points[at].x.mean), y(points[at].y.mean)) for at in on], right)
    parts.append(
        shape("path", d=path(steps), fill="none", stroke="s1", stroke_width=1.4, stroke_dasharray="5 3", opacity=0.9)
    )
    for at, p in sorted(enumerate(points), key=lambda one: one[0] in on):
        px, py = x(p.x.mean), y(p.y.mean)
        colour = "s1" if at in on else "axis"
        if p.x.deviation:
            a, b = (x(v) for v in _ends(p.x))
            parts += [
                shape("line", x1=a, x2=b, y1=py, y2=py, stroke=colour),
                *(shape("line", x1=e, x2=e, y1=py - 3, y2=py + 3, stroke=colour) for e in (a, b)),
            ]
        if p.y.deviation:
            a, b = (y(v) for v in _ends(p.y))
            parts += [
                shape("line", x1=px, x2=px, y1=a, y2=b, stroke=colour),
                *(shape("line", x1=px - 3, x2=px + 3, y1=e, y2=e, stroke=colour) for e in (a, b)),
            ]
        told = f"{p.name}: {y_name} {p.y.said()}, {p.x.said(unit)}{', on the front' if at in on else ''}"
        if at in on:
            parts.append(marker(3, px, py, r=5.0, told=told, colour="s1"))
        else:
            parts.append(shape("circle", shape("title", told), cx=px, cy=py, r=3.5, fill="surface", stroke="axis"))
    taken = [(x(p.x.mean) - 5, y(p.y.mean) - 5, x(p.x.mean) + 5, y(p.y.mean) + 5) for p in points]
    named = sorted(on, key=lambda at: points[at].x.mean)
    if len(points) <= 8:
        named += [at for at in range(len(points)) if at not in on]
    for at in named:
        said = shortened(points[at].name, 120, 10.5)
        place = _free(x(points[at].x.mean), y(points[at].y.mean), width_of(said, 10.5), taken, right)
        if place is not None:
            halo: dict[str, Any] = {"stroke": "surface", "stroke_width": 3, "paint_order": "stroke"}
            parts.append(text(said, *place, size=10.5, colour="ink" if at in on else "muted", **halo))
    note = "◆ on the front: no other cell is better in both. ○ others."
    if any(p.y.count > 1 for p in points):
        note += " Bars: one standard deviation of the repeats to both sides."
    return Drawing(name, title, NARROW, _HEIGHT, tuple(parts), note)


def _ends(of: Spread) -> tuple[float, float]:
    """Return the ends of a bar; of a positive number none is negative."""
    low = of.mean - of.deviation
    return (of.mean if low <= 0 < of.mean else low), of.mean + of.deviation


def _steps(places: Sequence[tuple[float, float]], right: float) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for px, py in sorted(places):
        if found:
            found.append((px, found[-1][1]))
        found.append((px, py))
    return [*found, (right, found[-1][1])]


def _free(
    px: float, py: float, width: float, taken: list[tuple[float, float, float, float]], right: float
) -> tuple[float, float] | None:
    """Return where a name beside a point lies on nothing, None if there is no such place."""
    for dx, dy in ((8, 16), (8, -8), (-8 - width, -8), (-8 - width, 16), (-width / 2, -12), (-width / 2, 22)):
        left, base = px + dx, py + dy
        box = (left, base - 10, left + width, base + 2)
        inside = left >= _LEFT and box[2] <= right + 14 and box[1] >= _TOP - 4 and base <= _HEIGHT - _BOTTOM - 2
        if inside and not any(box[0] < t[2] and t[0] < box[2] and box[1] < t[3] and t[1] < box[3] for t in taken):
            taken.append(box)
            return left, base
    return None
