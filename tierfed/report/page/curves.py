"""Curves: how a metric went on, by round, by bytes and by seconds; and what each round took.

A run is one line; runs that are compared are a line each, which a marker, a dash and its name at the end tell apart; of
repeats the mean is the line and one standard deviation to both sides its band.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tierfed.report.page.axes import Frame, Scale, label, rounds
from tierfed.report.page.stored_run import Round, StoredRun
from tierfed.report.page.svg import (
    DASHES,
    NARROW,
    SERIES,
    SIZE,
    Drawing,
    marker,
    path,
    shape,
    shortened,
    text,
    width_of,
)
from tierfed.report.quantities import number

_HEIGHT, _LEFT, _TOP, _BOTTOM = 246, 46, 28, 46
_POINTS = 300  # of a line; more are thinned out
_MARKS = 12  # of a line
_NAMED = 6  # lines that are told apart
_GAP = 14  # between names at the ends of lines
_AGAINST = {"round": ("round", ""), "bytes": ("bytes moved, all tiers", "B"), "seconds": ("seconds", "s")}

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart; `band` has the low and the high beside each of its points, where they differ."""

    name: str
    points: Sequence[Point]
    band: Sequence[Point] = ()


def chart(
    name: str,
    title: str,
    lines: Sequence[Line],
    x_name: str,
    y_name: str,
    *,
    unit: str = "",
    y_unit: str = "",
    whole: bool = False,
    zero: bool = False,
    note: str = "",
) -> Drawing:
    """Return a line chart; `unit` is that of x, which is of whole numbers if `whole`; y is from nought with `zero`."""
    lines = [Line(line.name, *_thinned(line)) for line in lines if line.points]
    told = len(lines) > 1 and len(lines) <= _NAMED
    names = [shortened(line.name, 108, 11) if told else "" for line in lines]
    right = NARROW - 14 - (max(width_of(one, 11) for one in names) + 22 if told else 0)
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for y in itertools.chain((p[1] for p in line.points), *line.band)]
    x = Scale.of(xs, (_LEFT, right), unit, zero=unit != "", log=False)
    if whole:
        x = Scale(min(xs) - 0.3, max(xs) + 0.3, (_LEFT, right))
    y = Scale.of(ys, (_HEIGHT - _BOTTOM, _TOP), y_unit, zero=zero, log=False)
    parts = [Frame(x, y, x_name, y_name).drawn(x_ticks=rounds([int(v) for v in xs]) if whole else None)]
    ends: list[tuple[float, int]] = []  # where each line ends, and which it is
    for at, line in enumerate(lines):
        which = at if len(lines) <= _NAMED else 0
        places = [(x(a), y(b)) for a, b in line.points]
        colour = SERIES[which % len(SERIES)]
        if line.band:
            outline = [(px, y(low)) for (px, _), (low, _) in zip(places, line.band, strict=True)]
            outline += [(px, y(high)) for (px, _), (_, high) in reversed(list(zip(places, line.band, strict=True)))]
            parts.append(shape("path", d=path(outline) + "Z", fill=colour, fill_opacity=0.15))
        if len(places) > 1:
            dash = DASHES[which % len(DASHES)] or None
            faint = 0.45 if len(lines) > _NAMED else None
            parts.append(
                shape(
                    "path",
                    d=path(places),
                    fill="none",
                    stroke=colour,
                    stroke_width=1.8,
                    stroke_dasharray=dash,
                    stroke_linejoin="round",
                    opacity=faint,
                )
            )
        every = math.ceil(len(places) / _MARKS)
        for index, ((px, py), (a, b)) in enumerate(zip(places, line.points, strict=True)):
            if len(lines) <= _NAMED and ((len(places) - 1 - index) % every == 0):
                said_here = f"{line.name}: {number(float(b))} at {label(a, unit)}" if line.name else ""
                parts.append(marker(which, px, py, r=3.0 if len(places) > 1 else 4.0, told=said_here))
        if told:
            ends.append((places[-1][1], at))
    for at_y, which in _spread(ends, _TOP, _HEIGHT - _BOTTOM):
        parts += [marker(which, right + 12, at_y, r=3.0), text(names[which], right + 20, at_y + 4, size=11)]
    return Drawing(name, title, NARROW, _HEIGHT, tuple(parts), note)


def _thinned(line: Line) -> tuple[list[Point], list[Point]]:
    step = max(1, math.ceil(len(line.points) / _POINTS))
    kept = range((len(line.points) - 1) % step, len(line.points), step)  # the last one always
    return [line.points[at] for at in kept], [line.band[at] for at in kept] if line.band else []


def _spread(ends: Iterable[tuple[float, int]], low: float, high: float) -> list[tuple[float, int]]:
    """Return the places of names, moved so that none lies on another."""
    found: list[tuple[float, int]] = []
    for at, said in sorted(ends):
        found.append((max(at, found[-1][0] + _GAP) if found else max(at, low), said))
    over = found[-1][0] - high if found else 0
    if over > 0:
        below = high + _GAP
        for index in range(len(found) - 1, -1, -1):
            below = min(found[index][0], below - _GAP)
            found[index] = below, found[index][1]
    return found


def of_run(run: StoredRun) -> list[Drawing]:
    """Return the curves of a run: each of its metrics by round, the first against bytes and seconds, and its rounds."""
    found = []
    changing = [name for name in run.names if len({r.metrics.get(name) for r in run.rounds}) > 1]
    for at, name in enumerate((changing or run.names)[:6]):
        by_round = Line("", points(run, name, "round"))
        found.append(chart(f"metric-{at}-by-round", f"{name} by round", [by_round], "round", name, whole=True))
    if found:
        first = (changing or run.names)[0]
        for against in ("bytes", "seconds"):
            line = Line("", points(run, first, against))
            if line.points[-1][0] > 0:
                words, unit = _words(against, run.virtual)
                drawn = chart(f"metric-0-by-{against}", f"{first} against {against}", [line], words, first, unit=unit)
                found.insert(1 if against == "bytes" else 2, drawn)
    return found


def _words(against: str, virtual: bool) -> tuple[str, str]:
    words, unit = _AGAINST[against]
    return (f"virtual {words}" if virtual and against == "seconds" else words), unit


def points(run: StoredRun, metric: str, against: str) -> list[Point]:
    """Return (x, metric) of each round that has it; bytes and seconds are sums of all rounds until then."""
    found, total = [], 0.0
    for row in run.rounds:
        total += _of(row, against)
        if metric in row.metrics and math.isfinite(row.metrics[metric]):
            found.append((float(row.number + 1) if against == "round" else total, row.metrics[metric]))
    return found


def _of(row: Round, against: str) -> float:
    return row.bytes if against == "bytes" else row.seconds


def together(name: str, runs: Sequence[StoredRun], metric: str, against: str) -> Line | None:
    """Return the line of repeats: the mean of each round, one standard deviation as its band; None if none has it."""
    each = [found for run in runs if (found := points(run, metric, against))]
    if not each:
        return None
    if len(each) == 1:
        return Line(name, each[0])
    mean, band = [], []
    for row in zip(*each, strict=False):  # as many rounds as all of them have
        y = [b for _, b in row]
        middle, spread = statistics.fmean(y), statistics.stdev(y)
        mean.append((statistics.fmean(a for a, _ in row), middle))
        band.append((middle - spread, middle + spread))
    return Line(name, mean, band)


def compared(cells: Sequence[tuple[str, Sequence[StoredRun]]], metric: str) -> list[Drawing]:
    """Return the curves of what is compared, in one chart each against rounds, bytes and seconds."""
    found = []
    virtual = any(run.virtual for _, runs in cells for run in runs)
    for against in _AGAINST:
        lines = [line for name, runs in cells if (line := together(name, runs, metric, against)) is not None]
        if not lines or max(x for line in lines for x, _ in line.points) <= 0:
            continue
        words, unit = _words(against, virtual)
        note = "Of repeats: the mean, and one standard deviation to both sides." if any(ln.band for ln in lines) else ""
        found.append(
            chart(
                f"{metric}-by-{against}",
                f"{metric} {'by round' if against == 'round' else f'against {against}'}",
                lines,
                words,
                metric,
                unit=unit,
                whole=against == "round",
                note=note,
            )
        )
    return found


_MINI = (150, 104)


def small_multiples(cells: Sequence[tuple[str, Sequence[StoredRun]]], metric: str, columns: int = 5) -> Drawing | None:
    """Return a small chart for each cell, all on the same axes: every repeat a line; None if there are no curves."""
    drawn = [(name, [p for run in runs if (p := points(run, metric, "round"))]) for name, runs in cells]
    all_points = [p for _, lines in drawn for line in lines for p in line]
    if not all_points:
        return None
    width, height = _MINI
    rows = math.ceil(len(drawn) / columns)
    x_all = [p[0] for p in all_points]
    low, high = min(x_all), max(x_all)
    y_all = [p[1] for p in all_points]
    parts = []
    for at, (name, lines) in enumerate(drawn):
        left, top = (at % columns) * width + 30, (at // columns) * height
        x = Scale(low, high if high > low else low + 1, (left + 4.0, left + width - 38.0))
        y = Scale.of(y_all, (top + height - 24.0, top + 24.0), log=False)
        parts.append(
            shape("rect", x=left, y=top + 18, width=width - 34, height=height - 38, fill="none", stroke="grid")
        )
        parts.append(text(shortened(name, width - 30, 10.5), left, top + 12, size=10.5))
        for value in (y_ticks := y.ticks(3))[:: max(1, len(y_ticks) - 1)] if at % columns == 0 else []:
            parts.append(text(label(value), left - 4, y(value) + 3.5, anchor="end", size=9, colour="muted"))
        if not lines:
            middle = left + (width - 34) / 2
            parts.append(text("no curve", middle, top + height / 2 + 4, anchor="middle", size=10, colour="muted"))
        for which, line in enumerate(lines):
            places = [(x(a), y(b)) for a, b in _thinned(Line("", line))[0]]
            if len(places) > 1:
                parts.append(
                    shape(
                        "path",
                        d=path(places),
                        fill="none",
                        stroke="s0",
                        stroke_width=1.4,
                        stroke_dasharray=DASHES[which % 6] or None,
                    )
                )
            else:
                parts.append(marker(0, *places[0], r=2.5))
        if lines:
            last = statistics.fmean(line[-1][1] for line in lines)
            parts.append(
                text(number(last), left + width - 38, top + height - 26, anchor="end", size=9.5, colour="muted")
            )
    title = f"{metric} by round, rounds {low:g} to {high:g}, in each cell"
    note = f"Rounds {low:g} to {high:g}, the same axes for all; a line is a repeat; the number is the mean at the end."
    return Drawing(f"{metric}-by-cell", title, columns * width + 10.0, float(rows * height), tuple(parts), note)


def round_seconds(run: StoredRun) -> Drawing | None:
    """Return what each round took, as bars; None if there are none."""
    if not run.rounds or not any(r.seconds for r in run.rounds):
        return None
    rows = run.rounds[-_POINTS:]
    x = Scale(rows[0].number + 0.4, rows[-1].number + 1.6, (_LEFT, NARROW - 14))
    y = Scale.of([r.seconds for r in rows], (_HEIGHT - _BOTTOM, _TOP), "s", zero=True)
    bottom = y(0.0)
    wide = max(0.8, (x(2.0) - x(1.0)) * 0.7)
    name = "virtual seconds of the round" if run.virtual else "seconds of the round"
    parts = [Frame(x, y, "round", name).drawn(x_ticks=rounds([r.number + 1 for r in rows]))]
    for r in rows:
        told = f"round {r.number + 1}: {label(r.seconds, 's')}, {r.contributors} contributors, {r.lost} lost"
        left, top = x(r.number + 1.0) - wide / 2, y(r.seconds)
        parts.append(
            shape("rect", shape("title", told), x=left, y=top, width=wide, height=max(0.5, bottom - top), fill="s0")
        )
        if r.lost:
            parts.append(text("×", left + wide / 2, top - 3, anchor="middle", size=SIZE))
    note = "× : somebody was lost." if any(r.lost for r in rows) else ""
    return Drawing("seconds-by-round", "seconds of each round", NARROW, _HEIGHT, tuple(parts), note)
