"""A sweep as it goes on, for whoever is watching.

    12/27 runs ━━━━━━━─────────  2 running  1 failed  about 3 min left
    CLIENTS.codec.up  job.params.lr       accuracy
    none              0.05           ✓✓▸  0.78
    int8              0.05           ✓▸·  0.77
    foo               0.05           ✗··

A sign a run: ✓ done, ✗ failed, ▸ runs, · waits; where a cell has many, their numbers.  A pipe gets a line a run.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from tierfed.jobs.sweep.cells import Cell, Sweep
from tierfed.jobs.sweep.results import Row
from tierfed.report.output import Output
from tierfed.report.progress import Line
from tierfed.report.quantities import ago, metrics, number, seconds
from tierfed.report.sweep_table import shown_metrics

_BAR = 24  # columns, where there is room
_LONGEST = 200  # letters of a reason
_NAME = re.compile(r"\b[0-9a-f]{8}(?:-[0-9]+)?\b")
_ROOM = 10  # columns for a metric
_SIGNS = 8  # runs of a cell that have a sign each
_SIGN = {"ok": "✓", "failed": "✗", "running": "▸"}
_STYLE = {"ok": "green", "failed": "red", "running": "yellow"}


def sweep_view(sweep: Sweep, rows: Sequence[Row], jobs: int, output: Output) -> LiveSweep | PlainSweep:
    """Return the view that suits whoever reads `output`; `rows` are those of earlier."""
    return LiveSweep(sweep, rows, jobs, output) if output.live else PlainSweep(sweep, rows, output)


class SweepProgress:
    """What is known of a sweep so far; `clock` gives seconds."""

    def __init__(self, sweep: Sweep, rows: Sequence[Row], jobs: int, clock: Callable[[], float]) -> None:
        self._sweep = sweep
        self._jobs = jobs
        self._clock = clock
        self._lock = threading.Lock()
        self._of = len(sweep.cells) * len(sweep.seeds)
        self._states: dict[tuple[int, int], str] = {(r["cell"], r["repeat"]): "ok" for r in rows if r["status"] == "ok"}
        self._rows = [row for row in rows if row["status"] == "ok"]
        self._took: list[float] = []
        self._begun: dict[tuple[int, int], float] = {}

    def started(self, cell: Cell, repeat: int) -> None:
        """A run has begun."""
        with self._lock:
            self._states[cell.number, repeat] = "running"
            self._begun[cell.number, repeat] = self._clock()

    def done(self, cell: Cell, row: Row, seconds: float) -> None:
        """A run is over."""
        with self._lock:
            self._states[cell.number, row["repeat"]] = row["status"]
            self._begun.pop((cell.number, row["repeat"]), None)
            self._rows.append(row)
            self._took.append(seconds)

    def left(self) -> float | None:
        """Return the seconds that it will still take, by the mean of those that are over; None before the first."""
        if not self._took:
            return None
        mean = sum(self._took) / len(self._took)
        waiting = self._of - len(self._states)
        now = self._clock()
        running = sum(max(mean - (now - begun), 0.0) for begun in self._begun.values())
        return (waiting * mean + running) / max(1, min(self._jobs, waiting + len(self._begun)))

    def lines(self, width: int, height: int) -> list[Line]:
        """Return what to draw on `width` columns and at most `height` lines."""
        with self._lock:
            head = self._head(width)
            room = max(height - 3, 1)
            cells = list(self._sweep.cells)
            if len(cells) > room:
                cells = self._around_what_runs(cells, room - 1)
            lines = self._cells(cells, width)
            if len(cells) < len(self._sweep.cells):
                lines.append([(f"… {len(self._sweep.cells)} cells in all", "dim")])
            return [_cut(line, width) for line in [head, *lines]]

    def _head(self, width: int) -> Line:
        counts = {state: sum(one == state for one in self._states.values()) for state in _SIGN}
        over = counts["ok"] + counts["failed"]
        words = [f"{counts['running']} running"] + ([f"{counts['failed']} failed"] if counts["failed"] else [])
        if (left := self.left()) is not None and left >= 1 and over < self._of:
            words.append(f"about {ago(left)} left")
        first = f"{over}/{self._of} runs "
        bar = min(_BAR, width - len(first) - len("  ".join(words)) - 2)
        if bar < 4:
            return [(first, "bold"), (" ".join(words), "")]
        full = bar * over // self._of
        return [(first, "bold"), ("━" * full, "green"), ("─" * (bar - full), "dim"), ("  " + "  ".join(words), "")]

    def _around_what_runs(self, cells: list[Cell], room: int) -> list[Cell]:
        running = [at for at, cell in enumerate(cells) if any(key[0] == cell.number for key in self._begun)]
        first = max(0, min((min(running) if running else 0) - 1, len(cells) - room))
        return cells[first : first + max(room, 1)]

    def _cells(self, cells: Sequence[Cell], width: int) -> list[Line]:
        shown = shown_metrics(self._rows, self._sweep.paths)[:1]
        signs = [self._signs(cell) for cell in cells]
        drawn = [sum(len(text) for text, _ in one) for one in signs]
        wide = max(drawn, default=0)
        head, labels = _labels(self._sweep.paths, cells, width - wide - 2 - _ROOM)
        lines: list[Line] = []
        if head:
            lines.append([(f"{head}  {' ' * wide}  {''.join(shown)}".rstrip(), "dim")])
        for cell, label, sign, taken in zip(cells, labels, signs, drawn, strict=True):
            lines.append([(f"{label}  ", ""), *sign, (" " * (wide - taken), ""), *self._measured(cell, shown)])
        return lines

    def _signs(self, cell: Cell) -> Line:
        states = [self._states.get((cell.number, repeat), "") for repeat in range(1, len(self._sweep.seeds) + 1)]
        if len(states) <= _SIGNS:
            return [(_SIGN.get(state, "·"), _STYLE.get(state, "dim")) for state in states]
        told = [(f"{_SIGN[one]}{states.count(one)} ", _STYLE[one]) for one in _SIGN if one in states]
        return [*told, (f"of {len(states)}", "dim")]

    def _measured(self, cell: Cell, shown: Sequence[str]) -> Line:
        values = [row[name] for name in shown for row in self._rows if row["cell"] == cell.number and name in row]
        return [(f"  {number(sum(map(float, values)) / len(values))}", "")] if values else []


class LiveSweep:
    """See the module docstring."""

    def __init__(
        self,
        sweep: Sweep,
        rows: Sequence[Row],
        jobs: int,
        output: Output,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from tierfed.report.terminal import Picture  # with rich, which lines do not need

        self._progress = SweepProgress(sweep, rows, jobs, clock)
        self._picture = Picture(output.people, self._progress.lines, colours=output.colours)

    def started(self, cell: Cell, repeat: int) -> None:
        """A run has begun."""
        self._progress.started(cell, repeat)

    def done(self, cell: Cell, row: Row, seconds: float) -> None:
        """A run is over: one that failed is told above the picture."""
        self._progress.done(cell, row, seconds)
        if row["status"] != "ok":
            self._picture.write(f"✗ {_run(cell, row)}: {first_line(row)}", "yellow")

    def __enter__(self) -> Self:
        self._picture.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._picture.__exit__(kind, error, trace)


class PlainSweep:
    """See the module docstring."""

    def __init__(self, sweep: Sweep, rows: Sequence[Row], output: Output) -> None:
        self._sweep = sweep
        self._output = output
        self._of = len(sweep.cells) * len(sweep.seeds)
        self._over = sum(row["status"] == "ok" for row in rows)

    def started(self, cell: Cell, repeat: int) -> None:
        """Nothing is said of a run that has only begun."""

    def done(self, cell: Cell, row: Row, seconds: float) -> None:
        """Say a line about a run that is over."""
        self._over += 1
        self._output.say(f"run {self._over}/{self._of} · {_run(cell, row)}: {self._told(row)}")

    def _told(self, row: Row) -> str:
        if row["status"] != "ok":
            return f"failed: {first_line(row)}"
        shown: dict[str, Any] = {name: row[name] for name in shown_metrics([row], self._sweep.paths)}
        each = row["seconds_per_round"]
        return ", ".join([*metrics(shown), *([f"{seconds(each)}/round"] if each else [])]) or "ok"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to be said."""


def reasons(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the failed ones of `rows` by why they failed, told shortly; runs and invocations may have other names."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["status"] != "ok":
            why = _NAME.sub("…", first_line(row))
            found.setdefault(why if len(why) <= _LONGEST else why[: _LONGEST - 1] + "…", []).append(row)
    return found


def counted(count: int, what: str) -> str:
    """Return `1 run`, `2 runs`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def _labels(paths: Sequence[str], cells: Sequence[Cell], width: int) -> tuple[str, list[str]]:
    """Return a head and the values of each cell below it; where that is too wide no head, and values side by side."""
    if not paths:
        return "", [str(cell) for cell in cells]
    columns = [[path, *(cell.values.get(path, "–") for cell in cells)] for path in paths]
    widths = [max(map(len, column)) for column in columns]
    if sum(widths) + 2 * (len(widths) - 1) <= width:
        rows = [
            "  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)) for row in zip(*columns, strict=True)
        ]
        return rows[0], rows[1:]
    labels = [" ".join(row) for row in list(zip(*columns, strict=True))[1:]]
    longest = max(min(width, max(map(len, labels))), 8)
    return "", [(one if len(one) <= longest else one[: longest - 1] + "…").ljust(longest) for one in labels]


def first_line(row: Row) -> str:
    """Return the first line of what a failed run says."""
    return str(row.get("error", "")).partition("\n")[0]


def _run(cell: Cell, row: Row) -> str:
    return f"cell {cell.number} ({cell}) seed {row['seed']}"


def _cut(line: Line, width: int) -> Line:
    """Return `line` with no more than `width` characters."""
    if sum(len(text) for text, _ in line) <= width:
        return line
    cut: Line = []
    left = width - 1
    for text, style in line:
        cut.append((text[:left], style))
        left -= len(text[:left])
    return [*cut, ("…", "dim")]
