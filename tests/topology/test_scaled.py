"""The same topology with another number of clients, and fleets as large as they come."""

from __future__ import annotations

import gc
import sys

import pytest

from tierfed.errors import TopologyError
from tierfed.topology import assignments, parse_topology

TEXT = """\
apiVersion: tierfed/v1
kind: Topology
placements:
  SERVER: {}
  EDGE: {parent: SERVER, members: {eu: {labels: {region: eu}}, us: {labels: {region: us}}, as: {}}}
  CLIENTS:
    parent: EDGE
    count: 6
    fan_in: 2
    name: "c-{parent.name}-{i:02d}"
    link: {rate: 4mbit}
    overrides: [{match: {region: us, i: 0}, link: {rate: 1mbit}}]
"""


@pytest.mark.parametrize("old", ["count: 6\n    fan_in: 2", "per_parent: 2", "count: 7\n    distribute: round_robin"])
def test_so_many_clients(old: str) -> None:
    """Whatever gave the leaves their members, there are so many, dealt one by one, with the same settings."""
    text = TEXT.replace("count: 6\n    fan_in: 2", old)
    topology = parse_topology(text, clients=10)
    assert [len(n.children) for n in topology.members("EDGE")] == [4, 3, 3]
    assert [n.name for n in topology.members("CLIENTS") if n.link and n.link.rate_up == 125e3] == ["c-us-00"]
    assert parse_topology(topology.to_yaml()) == topology


@pytest.mark.parametrize(
    ("text", "clients", "told"),
    [
        (TEXT, 0, "clients=0: error: a fleet has at least one client"),
        (
            TEXT,
            3_000_000,
            "clients=3000000: error: placements.CLIENTS.count: 3000004 members in all; 2000000 are the most",
        ),
        (
            TEXT.replace(
                'count: 6\n    fan_in: 2\n    name: "c-{parent.name}-{i:02d}"', "members: {a: {}, b: {}, c: {}}"
            ).replace("overrides: [{match: {region: us, i: 0}, link: {rate: 1mbit}}]", ""),
            5,
            "t.yaml:8:5: error: placements.CLIENTS.members: members are written out and cannot be 5; write count, or "
            "per_parent",
        ),
        (
            TEXT + "  PHONES: {parent: EDGE, per_parent: 1}\n",
            5,
            "clients=5: error: there are 2 placements without children, CLIENTS, PHONES; --set the count of one",
        ),
        (
            "apiVersion: tierfed/v1\nkind: Topology\nplacements: {SERVER: }\n",
            5,
            "clients=5: error: there are none; --set the count of one",
        ),
    ],
)
def test_what_cannot_be_scaled(text: str, clients: int, told: str) -> None:
    """Nothing is guessed: no number below one, no members written out, one placement of leaves."""
    with pytest.raises(TopologyError) as error:
        parse_topology(text, "t.yaml", clients=clients)
    assert str(error.value) == told


def test_members_that_are_alike_share_what_they_have() -> None:
    """A member of a large fleet has its name and its place; settings, labels and counts are one object for many."""
    topology = parse_topology(TEXT, clients=3000)
    clients = topology.members("CLIENTS")
    assert len({id(n.settings) for n in clients}) == 4
    assert len({id(n.labels) for n in clients}) == len({id(n.quorum) for n in clients}) == 1
    told = assignments(topology)
    leaves = [a for a in told if a.placement == "CLIENTS"]
    assert len({id(a.labels) for a in leaves}) == 3 and len({id(a.quorum) for a in leaves}) == 1
    assert len({id(a.device) for a in leaves}) == 1
    assert len({id(c.members_below) for a in told for c in a.children if c.placement == "CLIENTS"}) == 1
    assert len({id(c.link) for a in told for c in a.children if c.placement == "CLIENTS"}) == 4


def test_a_member_takes_less_than_a_kilobyte() -> None:
    """All that one more client adds to the blocks Python holds, so that a million fit in a gigabyte."""
    small = parse_topology(TEXT, clients=100)
    gc.collect()
    before = sys.getallocatedblocks()
    large = parse_topology(TEXT, clients=10_100)
    blocks = sys.getallocatedblocks() - before
    assert len(large.nodes) - len(small.nodes) == 10_000
    assert blocks / 10_000 < 8  # name, member, node, its number, and their empty tuples' share


def test_the_collector_is_on_again() -> None:
    """Growing keeps the collector out, also when it fails, and leaves it as it was."""
    assert gc.isenabled()
    with pytest.raises(TopologyError):
        parse_topology("nothing")
    assert gc.isenabled()
    gc.disable()
    try:
        parse_topology(TEXT)
        assert not gc.isenabled()
    finally:
        gc.enable()
