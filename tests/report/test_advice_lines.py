"""The lines of an advice, for people."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tierfed.jobs.advise.curves import Curve, Target
from tierfed.jobs.advise.search import Advice, Best, Candidate, Question
from tierfed.jobs.sweep.cells import Cell
from tierfed.jobs.sweep.results import Spread
from tierfed.report.advice import cheapest


def test_the_file_as_it_is_is_compared_by_the_seed_that_both_had() -> None:
    """One seed of the file and the mean of several of another are not held against each other."""
    own, other = Cell(1, {}), Cell(2, {"CLIENTS.codec.up": "drive"})
    advice = Advice(
        candidates={
            0: Candidate(own, Curve((36.0,), (0.9,)), 36.0, True),
            1: Candidate(other, Curve((30.0,), (0.9,)), 30.0, True),
        },
        best=Best(other, (), Spread.of([30.0, 6.0]), 1, 2, 2),  # type: ignore[arg-type]
    )
    space: Any = SimpleNamespace(topology=SimpleNamespace(seed=7))
    lines = cheapest(advice, Question(space, Target("accuracy", 0.8), "time", 2, 6, 2))
    assert lines[1].startswith("  time 18 s ± 17 s over 2 seeds; at most 1 round")
    assert lines[1].endswith("at most 1 round")
    assert lines[2] == "  the file as it is: 36 s with seed 7, 1.2x as much as this with it"
