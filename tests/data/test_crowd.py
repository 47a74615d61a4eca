"""Crowds: who stands in whose subtree, and sees which label; told as plain data, checked when it is read."""

import json
from typing import Any

import pytest

from tierfed.data import ALONE, Crowd, Need, crowd_of, crowd_told, need
from tierfed.errors import ProtocolError
from tierfed.placements import Hierarchy, Member, Tree, as_placement
from tierfed.topology import assignments, parse_topology

S, R, E, C = (as_placement(name) for name in ("SERVER", "REGIONS", "EDGE", "CLIENTS"))


def clients(*names: str) -> tuple[Member, ...]:
    """Members without children."""
    return tuple(Member(name, C) for name in names)


TREE = Tree(
    Hierarchy.chain(S, R, E, C),
    Member(
        "server",
        S,
        (
            Member("eu", R, (Member("e1", E, clients("a", "b")), Member("e2", E, clients("c")))),
            Member("us", R, (Member("e3", E, clients("d", "e", "f")),)),
        ),
    ),
)


def test_regions_are_the_parents_or_the_named_ancestors() -> None:
    """In runs, in member order; none where the named placement is not above."""
    of = {name: crowd_of(TREE, C, Need(name), lambda _: {}).regions for name in ("", "REGIONS", "SERVER", "CLIENTS")}
    assert of == {
        "": (("e1", 2), ("e2", 1), ("e3", 3)),
        "REGIONS": (("eu", 3), ("us", 3)),
        "SERVER": (("server", 6),),
        "CLIENTS": (),
    }
    assert crowd_of(TREE, S, Need(), lambda _: {}).regions == (("server", 1),)


def test_labels_are_gathered_if_a_member_has_one() -> None:
    """Of the columns that are asked for alone; where nobody has it, there is nothing to tell."""
    labels = {"a": {"school": "1", "colour": "red"}, "b": {"school": "1"}, "d": {"school": "2"}}
    crowd = crowd_of(TREE, C, Need("", ("school", "authority")), lambda name: labels.get(name, {}))
    assert crowd.labels == (("school", (("1", 2), ("", 1), ("2", 1), ("", 2))),)
    assert crowd.label("school") == ["1", "1", "", "2", "", ""] and crowd.label("authority") == []


@pytest.mark.parametrize("crowd", [ALONE, Crowd((("a", 2),)), Crowd((("a", 2),), (("l", (("", 1), ("x", 1))),))])
def test_a_crowd_survives_json(crowd: Crowd) -> None:
    """As an assignment carries it."""
    assert crowd_told(json.loads(json.dumps(crowd.to_dict()))) == crowd


@pytest.mark.parametrize(
    "data",
    [
        {"regions": []},
        {"regions": [["a"]], "labels": {}},
        {"regions": [["a", 0]], "labels": {}},
        {"regions": 3, "labels": {}},
        {"regions": [[1, 1]], "labels": {}},
        {"regions": [["a", True]], "labels": {}},
        {"regions": [], "labels": {"x": 1}},
    ],
    ids=str,
)
def test_what_is_no_crowd_is_refused(data: dict[str, Any]) -> None:
    """Whatever else comes over the wire."""
    with pytest.raises(ProtocolError, match=r"^assignment\.crowd: .* (is no crowd|are no runs)"):
        crowd_told(data)


TOPOLOGY = """\
apiVersion: tierfed/v1
kind: Topology
placements:
  SERVER:
  EDGE: {parent: SERVER, members: {e0: {labels: {authority: "007"}}, e1: {labels: {authority: "003"}}}}
  CLIENTS: {parent: EDGE, per_parent: 2}
job: {program: "m:f", data: {dataset: chem97, SPLIT}}
"""


def test_nodes_are_told_what_the_split_asks_for() -> None:
    """One object for all of a placement; nothing if the split asks for nothing."""
    told = assignments(parse_topology(TOPOLOGY.replace("SPLIT", "split: {by: [authority, school]}")))
    of_clients = [one.crowd for one in told if one.placement == "CLIENTS"]
    assert crowd_told(of_clients[0]) == Crowd((("e0", 2), ("e1", 2)), (("authority", (("007", 2), ("003", 2))),))
    assert all(one is of_clients[0] for one in of_clients)
    plain = assignments(parse_topology(TOPOLOGY.replace("SPLIT", "split: iid")))
    assert all(not one.crowd for one in plain)


def test_only_a_split_that_can_be_asks_for_something() -> None:
    """Wrong ones are told where the data is looked at, not where nodes are told of it."""
    assert need({"dataset": "x", "split": {"by": "a"}}) == Need("", ("a",))
    two = {"dirichlet": {"alpha_region": 1, "alpha_client": 1, "regions": "E"}}
    assert need({"dataset": "x", "split": two}) == Need("E")
    for config in (None, {"provider": "a:b"}, {"dataset": "x"}, {"dataset": "x", "split": "nonsense"}, len):
        assert need(config) is None
