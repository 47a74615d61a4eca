"""The roster: events in, states and reasons out."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tierfed.launch.pids import ProcessId
from tierfed.launch.roster import Roster, ending

ROWS = [("server", "SERVER", "server"), ("c-0", "CLIENTS", "p"), ("c-1", "CLIENTS", "p"), ("c-2", "CLIENTS", "q")]


@pytest.fixture
def roster() -> Roster:
    """A server and three clients in two processes."""
    return Roster({"name": name, "placement": placement, "process": process} for name, placement, process in ROWS)


def record(level: str, message: str, **rest: Any) -> dict[str, Any]:
    """Return a line of a log, as the roster is shown it."""
    return {"level": level, "logger": "tierfed", "node": "c-0", "message": message, "traceback": None, **rest}


def test_a_process_is_ready_with_its_last_node(roster: Roster) -> None:
    """A colocated process is ready when each of its nodes has said so, in any order."""
    roster.started("p", ProcessId(10, 1))
    assert roster.node_state("c-1") == "starting" and roster.node_state("server") == "waiting"
    assert roster.node_ready("p", "c-1")
    assert roster.node_state("c-1") == "ready" and roster.processes["p"].state == "starting"
    assert roster.node_ready("p", "c-0")
    assert roster.processes["p"].state == "ready"
    assert roster.progress() == {"SERVER": (0, 1), "CLIENTS": (2, 3)}
    assert not roster.all_ready


def test_a_process_may_be_ready_before_it_is_known(roster: Roster) -> None:
    """Its nodes may say so before the zygote tells its pid: no tree is ready without pids, and none waits in vain."""
    for process, names in (("server", ("server",)), ("p", ("c-0", "c-1")), ("q", ("c-2",))):
        assert all(roster.node_ready(process, name) for name in names)
    assert not roster.all_ready
    assert "4 of 4 nodes not ready after 2 s: server, c-0, c-1, c-2" in roster.why_late(2.0, "logs").what
    for pid, process in enumerate(("q", "server", "p"), 10):
        roster.started(process, ProcessId(pid, 1))
        assert roster.processes[process].state == "ready"
        assert roster.all_ready == (process == "p")


def test_a_process_speaks_for_its_own_nodes_alone(roster: Roster) -> None:
    """A name that is not the process's, said twice, or said after the end, counts for nothing."""
    roster.started("p", ProcessId(10, 1))
    assert not roster.node_ready("p", "c-2")
    assert not roster.node_ready("p", "")
    assert roster.node_ready("p", "c-0") and not roster.node_ready("p", "c-0")
    assert roster.ended("p", 0) and not roster.ended("p", 0)
    assert not roster.node_ready("p", "c-1")
    assert roster.progress()["CLIENTS"] == (0, 3)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (-signal.SIGSEGV, "was killed by SIGSEGV"),
        (-250, "was killed by signal 250"),
        (None, "ended in an unknown way"),
    ],
)
def test_endings(status: int | None, text: str) -> None:
    """A wait status in words."""
    assert ending(status) == text


def test_the_first_process_with_an_error_is_to_blame(roster: Roster) -> None:
    """Of several dead processes the first that has logged an error is named, with what the error itself would mend."""
    for process in ("server", "p", "q"):
        roster.started(process, ProcessId(1, 1))
    assert roster.why_dead("logs") is None
    error = {"mend": "name it in `job.data`"}
    roster.said("p", record("ERROR", "no such data set", traceback="Traceback …", error=error, node="c-1"))
    roster.said("p", record("ERROR", "a second one"))
    roster.ended("q", -9)
    roster.ended("p", 1)
    why = roster.why_dead("logs")
    assert str(why) == (
        "up: c-0, c-1 ended with exit code 1 before it was ready: no such data set; so did c-2\n"
        "  to mend: name it in `job.data`"
    )
    assert why is not None and (why.node, why.remote_traceback) == ("c-1", "Traceback …")


def test_a_death_without_a_word_points_to_the_log(roster: Roster) -> None:
    """Where nothing was logged, the last line on stderr stands for it, if there is one."""
    roster.started("q", ProcessId(1, 1))
    roster.said("q", record("WARNING", "terminate called", logger="stderr"))
    roster.ended("q", -6)
    assert str(roster.why_dead("logs")) == (
        "up: c-2 was killed by SIGABRT before it was ready: terminate called\n  to mend: read logs/c-2.jsonl"
    )


def test_who_is_late_and_why(roster: Roster) -> None:
    """The time limit names all that are missing, and the last warning of one that gave any."""
    roster.started("server", ProcessId(1, 1))
    roster.node_ready("server", "server")
    roster.started("p", ProcessId(2, 1))
    roster.node_ready("p", "c-0")
    roster.started("q", ProcessId(3, 1))
    roster.said("q", record("WARNING", "server refuses: wrong token"))
    assert str(roster.why_late(30, "logs")) == (
        "up: 2 of 4 nodes not ready after 30 s: c-1, c-2; c-2 said: server refuses: wrong token\n"
        "  to mend: read logs/c-2.jsonl, or allow more with --wait-timeout"
    )


def test_late_for_the_zygote_s_imports(roster: Roster) -> None:
    """Before the first fork it is the zygote that everybody waits for."""
    assert "4 of 4 nodes not ready after 0.5 s: server, c-0, c-1, c-2; they wait for the zygote" in str(
        roster.why_late(0.5, "logs")
    )


def test_many_names_are_cut() -> None:
    """A message names eight nodes and counts the rest."""
    roster = Roster({"name": f"c-{i}", "placement": "C", "process": f"c-{i}"} for i in range(20))
    assert "c-6, c-7 and 12 more" in str(roster.why_late(1, "logs"))
