"""Deadlines that no link meets: told before the start, with the figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tierfed
from tierfed.compiler import compile
from tierfed.errors import Advice, TierfedError, TopologyError
from tierfed.placements import SERVER
from tierfed.topology import parse_topology, tree
from tierfed.topology.deadlines import unmet
from tierfed.types import to_type

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


VECTOR = to_type("float32[10000]")


@tierfed.py_computation(np.float32, returns=VECTOR)
def many(value: Any) -> Any:
    """Make 40 kB of a number."""
    return np.full(10_000, value, np.float32)


@tierfed.py_computation(VECTOR, returns=np.float32)
def first(values: Any) -> Any:
    """Make a number of 40 kB."""
    return values[0]


@tierfed.federated_computation(np.float32)
def summed(value: Any) -> Any:
    """Sum 40 kB of each client, which is told a number."""
    there = tierfed.federated_broadcast(tierfed.federated_value(value, SERVER))
    return tierfed.federated_sum(tierfed.federated_map(many, there))


@tierfed.federated_computation(VECTOR)
def asked(values: Any) -> Any:
    """Sum a number of each client, which is told 40 kB."""
    there = tierfed.federated_broadcast(tierfed.federated_value(values, SERVER))
    return tierfed.federated_sum(tierfed.federated_map(first, there))


def told(*sets: str, program: Any = summed) -> list[tuple[type[TierfedError], str]]:
    """Return what is told of the text with `sets`."""
    topology = parse_topology(TEXT, sets=sets)
    return [(type(error), str(error)) for error in unmet(topology, compile(program, topology.hierarchy))]


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


QUICK = "CLIENTS.overrides=[]"


@pytest.mark.parametrize("sets", [[], ["SERVER.collect.deadline=85s", "EDGE.collect.deadline=79s"]])
def test_what_is_sent_down_takes_its_time(sets: list[str]) -> None:
    """A model that is not there before the deadline: as wrong as an update that is not."""
    [(kind, text)] = told(*sets, program=asked)
    assert kind is TopologyError
    wait = "79s" if sets else "30s"
    assert text.splitlines() == [
        "placements.CLIENTS.overrides[0].link.rate, line 10: clients-5 takes 80 s to get 40 kB at 4kbit and 0.67 s to "
        f"send 320 B at 4kbit, and edge-1 waits {wait} for 4 of 4, of which 2 cannot",
        "  to mend: raise the rate or collect.deadline, or lower the quorum",
    ]
    enough = ["SERVER.collect.deadline=85s", "EDGE.collect.deadline=82s"]
    assert told(*enough, program=asked) == told(QUICK, program=asked) == []


def test_an_interface_that_is_too_narrow_downwards() -> None:
    """What a quorum is sent has to come through together, too."""
    [(kind, text)] = told(QUICK, "EDGE.interface={rate: {up: 1mbit, down: 40kbit}}", program=asked)
    assert kind is TopologyError
    assert "4 children of edge-0 are sent 161 kB, which are 32 s at 40kbit, and it waits 30s" in text


def test_a_device_that_is_too_slow() -> None:
    """A leaf that takes longer than is waited for, and one that does with the ways there and back."""
    [(kind, text)] = told(QUICK, "CLIENTS.compute={time: 20s, speed: 0.5}")
    assert kind is TopologyError
    assert text.splitlines() == [
        "--set CLIENTS.compute={time: 20s, speed: 0.5}: clients-0 takes 31 ms to get 256 B at 4mbit, 40 s to compute "
        "and 0.11 s to send 40 kB at 4mbit, and edge-0 waits 30s for 4 of 4, of which 4 cannot",
        "  to mend: shorten compute.time, or raise compute.speed or collect.deadline, or lower the quorum",
    ]
    assert told(QUICK, "CLIENTS.compute={time: 29.8s}") == []
    assert len(told(QUICK, "CLIENTS.compute={time: 29.9s}")) == 1


def test_what_is_passed_on_as_it_comes_may_have_left() -> None:
    """An aggregator waits when it has all of a large model, and by then a child may lack its last frame alone."""

    @tierfed.py_computation(to_type("float32[1000000]"), returns=np.float32)
    def first_of_many(values: Any) -> Any:
        return values[0]

    @tierfed.federated_computation(to_type("float32[1000000]"))
    def model(values: Any) -> Any:
        there = tierfed.federated_broadcast(tierfed.federated_value(values, SERVER))
        return tierfed.federated_sum(tierfed.federated_map(first_of_many, there))

    assert told(QUICK, "CLIENTS.link.rate=1mbit", program=model) == []  # 32 s in all, 8.4 s of the last frame
    [(_, text)] = told(QUICK, "CLIENTS.link.rate=250kbit", program=model)
    assert "takes 34 s to get 1.0 MB at 250kbit" in text
