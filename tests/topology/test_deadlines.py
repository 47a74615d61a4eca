"""Deadlines that no link meets: told before the start, with the figure."""

from __future__ import annotations

from typing import Any

import pytest

import tierfed
from tierfed.compiler import compile
from tierfed.errors import Advice, TierfedError, TopologyError
from tierfed.placements import CLIENTS
from tierfed.topology import parse_topology, tree
from tierfed.topology.deadlines import unmet
from tierfed.types import FederatedType, to_type

TEXT = """\
apiVersion: tierfed/v1
kind: Topology
placements:
  SERVER: {}
  EDGE: {parent: SERVER, per_parent: 2}
  CLIENTS:
    parent: EDGE
    per_parent: 4
    link: {rate: 4mbit, delay: 30ms}
    overrides: [{match: {n: 5-6}, link: {rate: 4kbit}}]
"""


@tierfed.federated_computation(FederatedType(to_type("float32[10000]"), CLIENTS))
def summed(values: Any) -> Any:
    """Sum 40 kB of each client."""
    return tierfed.federated_sum(values)


def told(*sets: str) -> list[tuple[type[TierfedError], str]]:
    """Return what is told of the text with `sets`."""
    topology = parse_topology(TEXT, sets=sets)
    return [(type(error), str(error)) for error in unmet(topology, compile(summed, topology.hierarchy))]


def test_a_quorum_that_cannot_come() -> None:
    """Two of four cannot be there in time and all are needed: an error where the rate is set."""
    assert told() == [
        (
            TopologyError,
            "placements.CLIENTS.overrides[0].link.rate, line 10: clients-5 sends 40 kB, which are 81 s at 4kbit, and "
            "edge-1 waits 30s for 4 of 4, of which 2 cannot\n"
            "  to mend: raise the rate or collect.deadline, or lower the quorum",
        )
    ]


@pytest.mark.parametrize("sets", [["EDGE.collect.quorum=50%"], ["EDGE.collect.quorum=20%"]])
def test_some_that_cannot_come(sets: list[str]) -> None:
    """Where the others are enough it is told, and ends nothing."""
    [(kind, text)] = told(*sets)
    assert kind is Advice
    assert text.splitlines() == [
        "placements.CLIENTS.overrides[0].link.rate, line 10: clients-5 sends 40 kB, which are 81 s at 4kbit, and "
        "edge-1 waits 30s: 2 of its 4 children are in no round",
        "  to mend: raise the rate or collect.deadline",
    ]


@pytest.mark.parametrize(
    "name", ["EDGE.collect.deadline=90s", "CLIENTS.link.rate=4mbit", "CLIENTS.codec.up=topk(0.01)"]
)
def test_what_mends_it(name: str) -> None:
    """A later deadline, a faster link, or fewer bytes."""
    sets = [name, "SERVER.collect.deadline=90s"] if "deadline" in name else [name]
    assert told(*sets) == []


def test_an_interface_that_is_too_narrow() -> None:
    """What a quorum sends has to come through together; half of them may."""
    [(kind, text)] = told("CLIENTS.link.rate=4mbit", "EDGE.interface={rate: 40kbit}")
    assert kind is TopologyError
    assert text.startswith(
        "--set EDGE.interface={rate: 40kbit}: 4 children of edge-0 send 161 kB, which are 32 s at 40kbit, and it "
        "waits 30s"
    )
    assert told("CLIENTS.link.rate=4mbit", "EDGE.interface={rate: 40kbit}", "EDGE.collect.quorum=50%") == []


def test_a_delay_alone_can_be_too_long() -> None:
    """A link without a rate has a delay all the same, and the error stands where that is set."""
    text = TEXT.replace(
        "link: {rate: 4mbit, delay: 30ms}\n    overrides: [{match: {n: 5-6}, link: {rate: 4kbit}}]", "DELAY"
    )
    topology = parse_topology(text.replace("DELAY", "link: {delay: 40s}"))
    [error] = unmet(topology, compile(summed, topology.hierarchy))
    assert str(error).splitlines()[0] == (
        "placements.CLIENTS.link.delay, line 9: clients-0 sends 40 kB, which are 40 s, and edge-0 waits 30s for 4 of "
        "4, of which 4 cannot"
    )


def test_trees_without_links_are_not_looked_at() -> None:
    """Nothing modelled, nothing told."""
    plain = tree({"EDGE": 2, "CLIENTS": 2})
    assert unmet(plain, compile(summed, plain.hierarchy)) == []
