"""Every client is needed, and sends under int8: one that fails, fails the round, by name; the next one is whole.

server ── c-0 c-1 c-2
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fault_gate import Gate
from fault_programs import mean_of, mean_reading, mean_spoilt, mean_wide
from fault_trees import Brought, bring_up, orders, same

import tierfed
from tierfed.topology import load_topology

TREE = """
apiVersion: tierfed/v1
kind: Topology
name: everybody
placements:
  SERVER: {collect: {deadline: 40s}}
  CLIENTS: {parent: SERVER, per_parent: 3, name: "c-{n}", codec: {up: int8}}
"""


@pytest.fixture(scope="module")
def shared(fault_home: Path) -> Iterator[Brought]:
    """The tree of this module."""
    file = fault_home / "everybody.yaml"
    file.write_text(TREE)
    tree = bring_up(load_topology(file))
    yield tree
    tree.end()


@pytest.fixture
def tree(shared: Brought) -> Iterator[Brought]:
    """The tree, which is to be as good as before when the test is over."""
    yield shared
    assert same(shared.result(mean_reading, range(3), orders(3)), mean_of([0, 1, 2]))


def test_a_leaf_that_raises_fails_the_round_with_its_traceback(tree: Brought, gate: Gate) -> None:
    """The error is a RoundFailed that names the node, and carries the traceback of its leaf."""
    asked = tree.ask(mean_reading, range(3), orders(3, c_1=gate.order("c-1")))
    gate.say("c-1", "raise")
    error = tree.failure(asked)
    assert isinstance(error, tierfed.RoundFailed) and error.node == "c-1" and error.exit_code == 4
    assert error.what == (
        "2 of 3 CLIENTS left, quorum is 3; the first lost is c-1: "
        "leaf reading: raised ValueError: the sensor of c-1 is broken"
    )
    assert error.mend == "see `tierfed logs c-1`, or lower collect.quorum at the parent of CLIENTS"
    trace = error.remote_traceback or ""
    assert trace.startswith("Traceback (most recent call last)") and "fault_programs.py" in trace
    assert trace.rstrip().endswith("ValueError: the sensor of c-1 is broken")
    assert "the sensor of c-1 is broken" not in str(tree.logged("server", "ERROR"))


def test_an_error_too_long_for_a_frame_arrives_all_the_same(tree: Brought) -> None:
    """A leaf that raises with a megabyte of text, not all of it text, is told at once, cut."""
    error = tree.failure(tree.ask(mean_reading, range(3), orders(3, c_2="shout")))
    assert error.node == "c-2" and "raised ValueError: \\udc80loud loud" in error.what
    assert "bytes left out" in error.what and len(str(error)) < 20_000
    assert (error.remote_traceback or "").rstrip().endswith("the end")


def test_a_leaf_that_exits_fails_the_round_and_not_its_process(tree: Brought, gate: Gate) -> None:
    """`sys.exit` in a leaf ends the leaf: it is told like any other error, and the node is there for the next round."""
    asked = tree.ask(mean_reading, range(3), orders(3, c_0=gate.order("c-0")))
    gate.say("c-0", "exit")
    error = tree.failure(asked)
    assert error.what.endswith("the first lost is c-0: leaf reading: raised SystemExit: enough")
    assert 'sys.exit("enough")' in (error.remote_traceback or "")

    asked = tree.ask(mean_reading, range(3), orders(3, c_0=gate.order("c-0")))
    gate.say("c-0", "interrupt")
    error = tree.failure(asked)
    assert error.what.endswith("the first lost is c-0: leaf: raised KeyboardInterrupt")
    assert "raise KeyboardInterrupt" in (error.remote_traceback or "")


def test_nan_under_a_lossy_codec_names_client_tensor_and_index(tree: Brought) -> None:
    """Before it is quantised a NaN is refused, where it is; nobody else's update suffers."""
    for _ in range(2):
        error = tree.failure(tree.ask(mean_wide, range(3), orders(3, c_1="nan")))
        assert error.node == "c-1"
        left, _, why = error.what.partition("; the first lost is c-1: ")
        assert left == "2 of 3 CLIENTS left, quorum is 3"
        assert re.fullmatch(r"v\d+\.sum: nan at element 300017 cannot be quantised", why)
    (first, second) = tree.logged("c-1", "ERROR")[-2:]
    assert first["error"]["kind"] == second["error"]["kind"] == "CodecError"
    got = tree.result(mean_wide, range(3), orders(3))
    assert got.shape == (400_000,) and np.isfinite(got).all()


def test_nan_in_what_is_small_travels_as_it_is(tree: Brought) -> None:
    """A tensor of fewer than 4096 elements is sent raw under every codec, and so is a NaN in it."""
    got = tree.result(mean_spoilt, range(3), orders(3, c_0="nan"))
    assert np.isnan(got).tolist() == [False, False, True, False, False]
