"""Data in the local context: each member of the tree asks as it would in a process of its own."""

from typing import Any

import numpy as np
import pytest

import tierfed
from tierfed.backends.data import provider_for
from tierfed.data import MemberInfo
from tierfed.placements import Hierarchy, Tree

TREE = Tree.grown(Hierarchy.chain("SERVER", "EDGE_AGGREGATORS", "CLIENTS"), {"EDGE_AGGREGATORS": 2, "CLIENTS": 2})
MEMBER = tierfed.to_type("<index=int32,seed=uint64>")


@tierfed.py_computation(MEMBER, np.float32, returns=np.int64)
def added(member: Any, reading: Any) -> Any:
    """Ten times the member's index, and its reading."""
    return np.int64(10 * member["index"] + int(reading))


@tierfed.federated_computation()
def total() -> Any:
    """The sum of `added` over the clients."""
    member = tierfed.federated_data("tierfed:member", MEMBER, tierfed.CLIENTS)
    reading = tierfed.federated_data("reading", np.float32, tierfed.CLIENTS)
    return tierfed.federated_sum(tierfed.federated_map(lambda p: added(p[0], p[1]), (member, reading)))


@tierfed.federated_computation()
def highest() -> Any:
    """The highest index of a client."""
    member = tierfed.federated_data("tierfed:member", MEMBER, tierfed.CLIENTS)
    return tierfed.federated_max(member.index)


def readings(uri: str, type: Any, member: MemberInfo) -> Any:
    """One more at each member."""
    assert uri == "reading"
    return float(member.index + 1)


def test_a_function_gives_each_member_its_own() -> None:
    """0+10+20+30 and 1+2+3+4, over two edges."""
    with tierfed.local(topology=TREE, data=readings):
        assert total() == 70


def test_who_a_member_is_needs_no_data() -> None:
    """`tierfed:member` is there without a provider; anything else is not, and says so."""
    with tierfed.local(topology=TREE):
        assert highest() == 3
        with pytest.raises(tierfed.DataError, match="asks for 'reading', and no data is given\n  to mend: give `job"):
            total()


def test_a_member_is_told_its_place_its_labels_and_the_seed() -> None:
    """Index and count are by placement and in member order, across edges."""
    asked: list[MemberInfo] = []

    def ask(uri: str, type: Any, member: MemberInfo) -> Any:
        asked.append(member)
        return 0.0

    clients = TREE.members(tierfed.CLIENTS)
    provide = provider_for(ask, TREE, 7, {clients[2].name: {"region": "us"}})
    for member in (*clients, TREE.root):
        provide("reading", tierfed.to_type("float32"), member)
    assert [(m.placement, m.index, m.count, m.seed) for m in asked] == [
        *(("CLIENTS", i, 4, 7) for i in range(4)),
        ("SERVER", 0, 1, 7),
    ]
    assert [dict(m.labels) for m in asked] == [{}, {}, {"region": "us"}, {}, {}]
    assert [m.name for m in asked] == [*(c.name for c in clients), TREE.root.name]
