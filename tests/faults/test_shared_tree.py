"""Faults that leave the tree whole: one tree of real processes takes them all, one after the other.

    server ── e-0 (deadline 1 s) ── c-0 c-1 c-2
           └─ e-1               ── c-3 c-4 c-5        half of an edge's clients are enough; c-5 sends int8

After each test a round over all six clients gives the exact mean: the tree is still good.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fault_gate import Gate
from fault_programs import WIDE, mean_of, mean_reading, mean_spoilt, mean_wide, update
from fault_trees import Brought, bring_up, orders, patiently, same

TREE = """
apiVersion: tierfed/v1
kind: Topology
name: faults
placements:
  SERVER: {collect: {deadline: 60s}}
  EDGE_AGGREGATORS:
    parent: SERVER
    members:
      e-0: {collect: {deadline: 1s}}
      e-1: {}
    collect: {quorum: 50%, deadline: 40s}
  CLIENTS: {parent: EDGE_AGGREGATORS, per_parent: 3, name: "c-{n}", overrides: [{match: {n: 5}, codec: {up: int8}}]}
"""
ALL = range(6)


@pytest.fixture(scope="module")
def shared(fault_home: Path) -> Iterator[Brought]:
    """The tree of this module."""
    file = fault_home / "faults.yaml"
    file.write_text(TREE)
    tree = bring_up(file)
    yield tree
    tree.end()


@pytest.fixture
def tree(shared: Brought) -> Iterator[Brought]:
    """The tree, which is to be as good as before when the test is over."""
    yield shared
    assert same(shared.result(mean_reading, ALL, orders(6)), mean_of([0, 1, 2], [3, 4, 5]))
    assert shared.recorded()["lost"] == {}


def test_a_leaf_that_raises_is_left_out(tree: Brought, gate: Gate) -> None:
    """Above the quorum the mean is that of the others, and the log of the client has the traceback, once."""
    asked = tree.ask(mean_reading, ALL, orders(6, c_1=gate.order("c-1")))
    gate.say("c-1", "raise")
    assert same(asked.result(30), mean_of([0, 2], [3, 4, 5]))
    record = tree.recorded()
    assert record["counts"] == {"SERVER": 1, "EDGE_AGGREGATORS": 2, "CLIENTS": 5}
    assert record["lost"] == {"c-1": "leaf reading: raised ValueError: the sensor of c-1 is broken"}
    (error,) = tree.logged("c-1", "ERROR")
    assert "ValueError: the sensor of c-1 is broken" in error["traceback"] and "in obey" in error["traceback"]
    assert tree.logged("e-0", "ERROR") == tree.logged("server", "ERROR") == []


def test_the_user_is_shown_the_first_traceback_of_a_round_that_went_on(
    tree: Brought, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """A leaf that raised is shown at ERROR with its node, traceback and log, although the quorum was held."""
    asked = tree.ask(mean_reading, ALL, orders(6, c_4=gate.order("c-4")))
    gate.say("c-4", "raise")
    asked.result(30)
    shown = patiently(lambda: [r.getMessage() for r in caplog.records if r.name == "tierfed.run"])
    assert len(shown) == 1
    assert shown[0].startswith("c-4: leaf reading: raised ValueError: the sensor of c-4 is broken\nTraceback")
    assert 'raise ValueError(f"the sensor' in shown[0]
    assert shown[0].endswith(f"c-4; its log: {tree.run_dir}/logs/c-4.jsonl")


def test_a_silent_first_member_delays_nobodys_upload(tree: Brought, gate: Gate) -> None:
    """While the first in member order computes, the others' contributions are accepted, and wait to be folded."""
    asked = tree.ask(mean_reading, ALL, orders(6, c_3=gate.order("c-3")))
    gate.arrived("c-3")
    for member in ("c-4", "c-5"):
        tree.until("e-1", "accepted", member=member, invocation=last(tree, "e-1"))
    now = [e for e in tree.history("e-1") if e["invocation"] == last(tree, "e-1")]
    assert not [e for e in now if e["event"] == "fold"]
    gate.say("c-3")
    assert same(asked.result(30), mean_of([0, 1, 2], [3, 4, 5]))
    folds = [
        e["member"] for e in tree.history("e-1") if e["event"] == "fold" and e["invocation"] == now[0]["invocation"]
    ]
    assert folds == ["c-3", "c-4", "c-5"]


def test_a_straggler_is_left_out_and_its_late_update_refused(tree: Brought, gate: Gate) -> None:
    """At the deadline the edge goes on without it; what comes later gets ROUND_CLOSED and changes nothing."""
    asked = tree.ask(mean_reading, ALL, orders(6, c_0=gate.order("c-0"), c_5=gate.order("c-5")))
    gate.arrived("c-0", "c-5")
    closed = tree.until("e-0", "closed", invocation=last(tree, "e-0"))
    assert closed["contributors"] == ["c-1", "c-2"] and closed["lost"] == {"c-0": "deadline"}
    gate.say("c-0")
    late = tree.until("e-0", "rejected", member="c-0", invocation=closed["invocation"])
    assert late["why"] == "ROUND_CLOSED" and "c-0 is lost to invocation" in late["detail"]
    assert not asked.done()
    gate.say("c-5")
    assert same(asked.result(30), mean_of([1, 2], [3, 4, 5]))
    assert tree.recorded()["lost"] == {"c-0": "deadline"}


def test_a_stopped_client_is_left_out_and_comes_back(tree: Brought) -> None:
    """A client under SIGSTOP is lost at the deadline; when it runs again, the next round has it."""
    tree.kill("c-1", signal.SIGSTOP)
    try:
        assert same(tree.result(mean_reading, ALL, orders(6)), mean_of([0, 2], [3, 4, 5]))
        assert tree.recorded()["lost"] == {"c-1": "deadline"}
    finally:
        tree.kill("c-1", signal.SIGCONT)


def test_nan_without_a_codec_passes_through(tree: Brought) -> None:
    """Under `none` a NaN is a number like any other, as in the reference: it is in the mean, where it was."""
    got = tree.result(mean_spoilt, ALL, orders(6, c_2="nan"))
    with np.errstate(invalid="ignore"):
        spoilt = [update(n, 5) for n in ALL]
        spoilt[2][2] = np.nan
        expected = ((spoilt[0] + spoilt[1] + spoilt[2]) + (spoilt[3] + spoilt[4] + spoilt[5])) / np.float32(6)
    assert np.isnan(got[2]) and np.array_equal(got, expected, equal_nan=True)


def test_nan_under_a_lossy_codec_loses_its_sender_alone(tree: Brought) -> None:
    """The client that would have to quantise a NaN is out, with the place; the mean is that of the others, exactly."""
    got = tree.result(mean_wide, ALL, orders(6, c_5="nan"))
    assert same(got, mean_of([0, 1, 2], [3, 4], size=WIDE))
    (lost,) = tree.recorded()["lost"].items()
    assert lost[0] == "c-5" and lost[1].endswith(".sum: nan at element 300017 cannot be quantised")


def test_a_program_is_deployed_once(tree: Brought) -> None:
    """However many rounds run it, each node gets a program once, by its hash; the others of this module too."""
    for _ in range(3):
        tree.result(mean_reading, ALL, orders(6))
    for node in ("server", "e-0", "c-2"):
        said = [row["message"] for row in tree.logged(node, "INFO") if row["message"].endswith(" deployed")]
        assert len(said) == len(set(said)) >= 1


def test_an_edge_below_its_quorum_fails_the_round_with_the_first_traceback(tree: Brought, gate: Gate) -> None:
    """Two of three clients of an edge raise: the edge is lost, and the root, which needs both, says by whom."""
    asked = tree.ask(mean_reading, ALL, orders(6, c_4=gate.order("c-4"), c_5=gate.order("c-5")))
    gate.arrived("c-4", "c-5")
    gate.say("c-4", "raise")
    tree.until("e-1", "child_failed", member="c-4", invocation=last(tree, "e-1"))
    gate.say("c-5", "raise")
    error = tree.failure(asked)
    assert type(error).__name__ == "RoundFailed" and error.node == "c-4"
    assert error.what == (
        "1 of 2 EDGE_AGGREGATORS left, quorum is 2; the first lost is e-1: "
        "1 of 3 CLIENTS left, quorum is 2; the first lost is c-4: "
        "leaf reading: raised ValueError: the sensor of c-4 is broken; after it c-5"
    )
    assert error.mend == "see `tierfed logs c-4`, or lower collect.quorum at the parent of CLIENTS"
    assert "ValueError: the sensor of c-4 is broken" in (error.remote_traceback or "")
    assert "That was at c-4:\nTraceback" in "".join(error.__notes__)


def last(tree: Brought, node: str) -> str:
    """The invocation that a node began last."""
    return str([e for e in tree.history(node) if e["event"] == "begun"][-1]["invocation"])
