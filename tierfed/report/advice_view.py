"""A search as it goes on, for whoever is watching.

    step 2  12 candidates × 9 rounds  ━━━━━━────────  7/12  accuracy 0.71 at 12.3 s

A pipe gets a line a step.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tierfed.jobs.advise.curves import Curve
from tierfed.jobs.advise.search import Question, Watching
from tierfed.jobs.sweep.cells import Cell
from tierfed.report.advice import cost
from tierfed.report.output import Output
from tierfed.report.progress import Line
from tierfed.report.quantities import number
from tierfed.report.sweep_view import counted

_BAR = 20  # columns


@contextmanager
def advice_view(question: Question, output: Output) -> Iterator[Watching]:
    """Give the view that suits whoever reads `output`."""
    if not output.live:
        yield PlainSearch(question, output)
        return
    from tierfed.report.terminal import Picture

    view = LiveSearch(question)
    with Picture(output.people, view.lines, colours=output.colours):
        yield view


class PlainSearch:
    """A line a step."""

    def __init__(self, question: Question, output: Output) -> None:
        self._question = question
        self._output = output
        self._steps = 0

    def step(self, what: str, runs: int, rounds: int) -> None:
        """Say what begins."""
        self._steps += 1
        self._output.say(f"step {self._steps}: {runs} {what} × {counted(rounds, 'round')}")

    def done(self, cell: Cell, curve: Curve | None) -> None:
        """Say what has failed."""
        if curve is None:
            self._output.say(f"left out: {cell}")


class LiveSearch:
    """A line a step, the last of them moving."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._lock = threading.Lock()
        self._steps: list[list[int | str]] = []  # what, runs, rounds, done
        self._best: tuple[float, float] | None = None  # value and cost

    def step(self, what: str, runs: int, rounds: int) -> None:
        """Take what begins."""
        with self._lock:
            self._steps.append([what, runs, rounds, 0])

    def done(self, cell: Cell, curve: Curve | None) -> None:
        """Take what is over."""
        target = self._question.target
        with self._lock:
            self._steps[-1][3] = int(self._steps[-1][3]) + 1
            if curve is None or not curve.rounds:
                return
            until = curve.reached(target)
            now = curve.best(target), curve.costs[-1] if until is None else until
            if self._best is None:
                self._best = now
                return
            met = target.met(now[0]), target.met(self._best[0])
            better = now[1] < self._best[1] if all(met) else target.gap(now[0]) < target.gap(self._best[0])
            if met[0] > met[1] or (better and met[0] == met[1]):
                self._best = now

    def lines(self, width: int, height: int) -> list[Line]:
        """Return what to draw."""
        with self._lock:
            lines: list[Line] = []
            for at, (what, runs, rounds, done) in enumerate(self._steps, 1):
                full = _BAR * int(done) // max(1, int(runs))
                bar: Line = [("━" * full, "green"), ("─" * (_BAR - full), "dim")] if width >= 70 else []
                lines.append([(f"step {at}  {runs} {what} × {rounds} rounds  ", ""), *bar, (f"  {done}/{runs}", "")])
            if self._best is not None:
                value, spent = self._best
                told = (
                    f"{self._question.target.metric} {number(float(value))} at {cost(spent, self._question.objective)}"
                )
                lines.append([(f"best so far: {told}"[:width], "dim")])
            return lines[-max(1, height) :]
