"""How far a long round is, as people are told."""

from __future__ import annotations

from typing import Any

import pytest

from tierfed.report.hearing import Hearing
from tierfed.report.output import Output
from tierfed.report.progress import Progress
from tierfed.report.view import PlainView
from tierfed.topology import tree


class Clock:
    """Seconds, set by the test."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def report(heard: int, *, folded: int = 0, lost: int = 0, inv: str = "a-1") -> dict[str, Any]:
    """Return a fleet's report of a thousand clients."""
    said = {"event": "heard", "inv": inv, "phase": "2.0", "placement": "CLIENTS", "of": 1000}
    return {**said, "heard": heard, "folded": folded, "lost": lost}


def test_rate_and_time_left() -> None:
    """Since the phase was first heard of; nothing in its first two seconds, nor when the round is over."""
    clock = Clock()
    hearing = Hearing(clock)
    assert hearing.told() is None
    hearing.happened(report(0))
    clock.now = 1.9
    hearing.happened(report(90))
    assert hearing.told() is None
    clock.now = 4.0
    hearing.happened(report(250))
    assert hearing.told() == "250 of 1,000 CLIENTS heard, 62/s, 12 s left"
    hearing.happened(report(250, lost=150))
    assert hearing.told() == "250 of 1,000 CLIENTS heard, 150 lost, 62/s, 9.6 s left"
    hearing.over()
    assert hearing.told() is None


def test_once_all_are_heard_it_tells_of_folds() -> None:
    """With a rate of their own; and no rate where nothing has moved."""
    clock = Clock()
    hearing = Hearing(clock)
    hearing.happened(report(0))
    clock.now = 10.0
    hearing.happened(report(1000, folded=100))
    assert hearing.told() is None
    clock.now = 13.0
    assert hearing.told() == "1,000 of 1,000 CLIENTS heard, 100 folded"
    hearing.happened(report(1000, folded=400))
    assert hearing.told() == "1,000 of 1,000 CLIENTS heard, 400 folded, 100/s, 6.0 s left"
    hearing.happened(report(0, inv="a-2"))
    assert hearing.told() is None


def test_the_first_few_say_nothing_of_the_others() -> None:
    """Leaves of all are called before the first is heard, so no rate is told of less than one in a hundred."""
    clock = Clock()
    hearing = Hearing(clock)
    hearing.happened(report(0))
    clock.now = 400.0
    hearing.happened(report(9))
    assert hearing.told() == "9 of 1,000 CLIENTS heard"
    hearing.happened(report(10))
    assert hearing.told() == "10 of 1,000 CLIENTS heard, 0.025/s, 11 h 0 min left"


def test_without_a_terminal_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """However often a fleet reports, a long round is told of in few lines."""
    clock = Clock()
    view = PlainView(Output(), clock)
    view.happened({"event": "round", "round": 0, "of": 3})
    for second in range(25):
        clock.now = float(second)
        view.happened(report(40 * second))
    view.happened({"event": "invoked"})
    assert capsys.readouterr().out == (
        "round 1/3: 400 of 1,000 CLIENTS heard, 40/s, 15 s left\n"
        "round 1/3: 800 of 1,000 CLIENTS heard, 40/s, 5.0 s left\n"
    )


def test_on_a_terminal_it_stands_below_the_round() -> None:
    """And is gone when the invocation is."""
    clock = Clock()
    progress = Progress(tree({"CLIENTS": 2}), clock)
    progress.happened({"event": "ready", "seconds": 1.0})
    progress.happened({"event": "round", "round": 0, "of": 3})
    progress.happened(report(0))
    clock.now = 4.0
    progress.happened(report(500))
    lines = ["".join(text for text, _ in line) for line in progress.lines(80, 24)]
    assert lines[1] == "500 of 1,000 CLIENTS heard, 120/s, 4.0 s left"
    progress.happened({"event": "invoked"})
    assert not any("heard" in text for line in progress.lines(80, 24) for text, _ in line)
