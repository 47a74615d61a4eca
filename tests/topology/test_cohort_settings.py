"""Cohorts in a topology: read, written out again, drawn, set from the command line, and told to those who draw."""

from __future__ import annotations

import json

import pytest

from tierfed.errors import TopologyError
from tierfed.topology import assignments, parse_topology, tree
from tierfed.topology.cohort import CohortPlan
from tierfed.topology.draw import FORMATS
from tierfed.topology.error import at_root

TEXT = """
apiVersion: tierfed/v1
kind: Topology
placements:
  SERVER: {collect: {quorum: 60%}}
  EDGES: {parent: SERVER, per_parent: 5, cohort: {select: 2}}
  CLIENTS:
    parent: EDGES
    per_parent: 10
    cohort: {select: 25%, over: 130%}
  SENSORS:
    parent: SERVER
    members: {s-0: {labels: {size: 3}}, s-1: {labels: {size: "0.5"}}, s-2: {labels: {size: 12}}}
    cohort: {select: 50%, weights: size}
"""


def test_parents_are_told_how_many() -> None:
    """Each of its own children, by placement; the quorum is of those that are to count."""
    topology = parse_topology(TEXT)
    told = {a.name: a for a in assignments(topology)}
    weights = {"s-0": 3.0, "s-1": 0.5, "s-2": 12.0}
    assert told["server"].cohorts == {"EDGES": CohortPlan(2, 2), "SENSORS": CohortPlan(2, 2, weights)}
    assert told["edges-0"].cohorts == {"CLIENTS": CohortPlan(3, 4)}
    assert told["clients-00"].cohorts == {} and dict(told["server"].quorum) == {"EDGES": 2, "SENSORS": 2}
    assert dict(told["edges-0"].quorum) == {"CLIENTS": 3}


def test_it_is_written_out_with_its_origin() -> None:
    """The resolved form loads as an equal topology, and says where a cohort came from."""
    topology = parse_topology(TEXT, sets=["SENSORS.cohort.select=1"])
    written = topology.to_yaml(origins=True)
    assert "cohort: {select: 25%, over: 130%}     # placements.CLIENTS.cohort, line 10" in written
    assert "cohort: {select: 1, weights: size}    # placements.SENSORS.cohort" in written
    assert parse_topology(written) == topology != parse_topology(TEXT)


def test_it_is_drawn() -> None:
    """Each drawing says it once a tier, and JSON at each member."""
    topology = parse_topology(TEXT)
    lines = FORMATS["tree"](topology).splitlines()
    assert [line.partition("cohort ")[2] for line in lines[2:4]] == ["2", "25%, over 130%"]
    assert any("cohort 50%, by size" in line for line in lines)
    nodes = {node["name"]: node for node in json.loads(FORMATS["json"](topology))["nodes"]}
    assert nodes["clients-00"]["cohort"] == {"select": "25%", "over": "130%"} and "cohort" not in nodes["server"]
    assert nodes["edges-1"]["cohort"] == {"select": 2}
    assert "cohort 25%, over 130%" in FORMATS["mermaid"](topology) and "cohort 2" in FORMATS["dot"](topology)


def test_a_call_says_it_as_a_file_does() -> None:
    """`tree` takes cohorts by placement, and refuses those of no placement."""
    topology = tree({"CLIENTS": 10}, cohort={"CLIENTS": {"select": "10%"}})
    assert str(topology.cohorts["CLIENTS"]) == "cohort 10%" and dict(topology.root.quorum) == {"CLIENTS": 1}
    with pytest.raises(TopologyError) as error:
        tree({"CLIENTS": 10}, cohort={"CLEINTS": {"select": "10%"}})
    assert str(error.value) == "tree(): error: cohort: no placement 'CLEINTS'; did you mean 'CLIENTS'?"


def test_figures_are_of_those_that_count() -> None:
    """Bits that are shared out, and the error at the root, are those of a tree of that many children."""
    up = {"codec": {name: {"up": "eden(bits=auto)"} for name in ("EDGES", "CLIENTS")}}
    drawn = tree({"EDGES": 4, "CLIENTS": 64}, cohort={"CLIENTS": {"select": 4, "over": "200%"}}, **up)
    small, large = tree({"EDGES": 4, "CLIENTS": 4}, **up), tree({"EDGES": 4, "CLIENTS": 64}, **up)
    bits = [{m.codec_up for m in t.members("CLIENTS")} for t in (drawn, small, large)]
    assert bits[0] == bits[1] != bits[2]
    errors = [at_root(t) for t in (drawn, small, large)]
    assert errors[0] == errors[1] != errors[2] and errors[0] is not None and errors[0].nmse is not None


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        ("CLIENTS.cohort.select=0%", "a cohort of 0% would draw nobody; write more than 0%, such as 10%"),
        ("CLIENTS.cohort.over=90%", "over 90% would draw fewer than are to count; write 100% or more, such as 130%"),
        ("CLIENTS.cohort.over=1.3", "1.3 has no unit; write 130%"),
        ("CLIENTS.cohort.select=yes", "'yes' is no quantity; write a number with a unit, such as 20%"),
    ],
)
def test_what_set_says_wrongly_is_told(sets: str, told: str) -> None:
    """The same words as in a file, at the `--set`."""
    with pytest.raises(TopologyError) as error:
        parse_topology(TEXT, sets=[sets])
    path = "placements." + sets.partition("=")[0]
    assert str(error.value) == f"--set {sets}: error: {path}: {told}"
