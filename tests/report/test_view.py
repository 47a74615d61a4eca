"""Views, on a terminal and without one."""

from __future__ import annotations

import io
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from terminal_screen import screen

from tierfed.report.output import Output
from tierfed.report.progress import Line
from tierfed.report.terminal import Picture
from tierfed.report.view import LiveView, PlainView, view
from tierfed.topology import load_topology

THREE = load_topology(Path(__file__).parents[2] / "topologies" / "three_tier.yaml")
READY = {"SERVER": (1, 1), "EDGE_AGGREGATORS": (2, 2), "CLIENTS": (32, 32)}
EVENTS: tuple[dict[str, Any], ...] = (
    {"event": "starting", "placements": READY},
    {"event": "ready", "seconds": 1.44},
    {"event": "round", "round": 0, "of": 3},
    {"event": "lost", "node": "c-us-05", "reason": "its connection was lost"},
    {"event": "released", "round": 0, "of": 3, "metrics": {"accuracy": 0.51234}, "seconds": 0.41, "traffic": {}},
    {"event": "fault", "node": "edge-us", "do": "stop", "over": False},
    {"event": "round", "round": 1, "of": 3},
    {"event": "fault", "node": "edge-us", "do": "stop", "over": True},
    {"event": "round", "round": 2, "of": 3},
    {"event": "done"},
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        """Return that it is one."""
        return True


def test_without_a_terminal_a_line_a_round(capsys: pytest.CaptureFixture[str]) -> None:
    """One line when ready, one a loss, one a round, released or not; no cursor codes."""
    with view(THREE, Output()) as watching:
        assert isinstance(watching, PlainView)
        for event in EVENTS:
            watching.happened(event)
    told = capsys.readouterr()
    assert (
        told.out
        == """\
✓ SERVER 1/1   ✓ EDGE_AGGREGATORS 2/2   ✓ CLIENTS 32/32   ready in 1.4 s
lost c-us-05: its connection was lost
round 1/3: accuracy 0.512, 0.41 s
fault edge-us: stop
fault edge-us: stop is over
round 2/3
round 3/3
"""
    )
    assert told.err == "" and "\033" not in told.out


def test_links_that_are_changed_have_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that a command has changed together, and one that the file says."""
    with view(THREE, Output()) as watching:
        watching.happened({"event": "link", "nodes": ["c-us-00", "c-us-01"], "set": {"rate.up": "1mbit"}})
        watching.happened({"event": "link", "nodes": ["c-us-00"], "set": "none"})
        watching.happened({"event": "link", "nodes": ["c-us-00"], "set": "clear"})
        watching.happened({"event": "fault", "node": "c-us-00", "do": "link", "set": {"delay": "2s"}, "over": False})
    assert (
        capsys.readouterr().out
        == """\
link c-us-[00-01] ×2: rate.up=1mbit
link c-us-00: modelled no more
link c-us-00: as the topology says
fault c-us-00: link delay=2s
"""
    )


def test_a_round_that_failed_is_not_told_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    """A job that ends in the middle of a round has not done that round."""
    with view(THREE, Output()) as watching:
        watching.happened({"event": "round", "round": 0, "of": 3})
    assert capsys.readouterr().out == ""


def test_with_json_people_read_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """The same lines go to stderr when a program reads stdout."""
    with view(THREE, Output(json=True)) as watching:
        for event in EVENTS:
            watching.happened(event)
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 7


@pytest.mark.parametrize("no_colour", ["", "1"])
def test_on_a_terminal_it_draws_and_clears(no_colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tree is redrawn in place; with NO_COLOR without colours, though the cursor still moves."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("NO_COLOR", no_colour)
    output = Output()
    watching = view(THREE, output)
    assert isinstance(watching, LiveView)
    with watching:
        for event in EVENTS:
            watching.happened(event)
            watching._picture.redraw()
    text = terminal.getvalue()
    assert "ready in 1.4 s" in text and "round 3/3" in text and "edge-us" in text
    assert "\033[2K" in text
    assert screen(terminal.getvalue()) == [  # nothing of the tree stays
        "✓ SERVER 1/1   ✓ EDGE_AGGREGATORS 2/2   ✓ CLIENTS 32/32   ready in 1.4 s",
        "⚠ lost c-us-05: its connection was lost",
        "⚠ fault edge-us: stop",
        "⚠ fault edge-us: stop is over",
    ]
    assert ("\033[3" not in text.replace("\033[39m", "")) == bool(no_colour)


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """TERM=dumb is a terminal for people without a live view."""
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(view(THREE, Output()), PlainView)


def test_threads_that_write_at_once_leave_no_ghosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the picture changes its height, lines written above it by others, or printed, stay once each and whole."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "40")
    heights = iter(range(10**9))

    def draw(width: int, height: int) -> list[Line]:
        return [[(f"picture {i}", "")] for i in range(1 + next(heights) % 7)]

    picture = Picture(terminal, draw, colours=False)

    def write(name: str) -> None:
        for i in range(40):
            picture.write(f"{name} {i}")
            picture.redraw()

    def prints() -> None:
        for i in range(40):
            print(f"printed {i}")

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns within each other's lines
    with picture:
        threads = [threading.Thread(target=write, args=(name,)) for name in "ab"] + [threading.Thread(target=prints)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    sys.setswitchinterval(before)
    lines = screen(terminal.getvalue())
    for name in ("a", "b", "printed"):
        assert [line for line in lines if line.startswith(f"{name} ")] == [f"{name} {i}" for i in range(40)]
    assert len(lines) == 120


def test_a_loss_is_told_once_and_with_its_like(capsys: pytest.CaptureFixture[str]) -> None:
    """Members with one reason share a line, and those that stay away are not told of again."""
    with view(THREE, Output()) as watching:
        for number in range(2):
            watching.happened({"event": "round", "round": number, "of": 2})
            for i in range(8):
                watching.happened({"event": "lost", "node": f"c-us-0{i}", "reason": "killed"})
            watching.happened({"event": "lost", "node": "c-eu-01", "reason": f"late in round {number}"})
            watching.happened({"event": "invoked"})
    assert (
        capsys.readouterr().out
        == """\
lost c-us-[00-07] ×8: killed
lost c-eu-01: late in round 0
round 1/2
"""
    )
