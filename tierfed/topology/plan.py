"""Plan: a topology becomes what each node is told.

    assignments(topology)      [server, edge-eu, edge-us, c-eu-00, …], without addresses

Addresses are known once the supervisor has bound its listeners: `assignment.at(address)`.
"""

from __future__ import annotations

from typing import Any

from tierfed.placements import Member
from tierfed.topology.assignment import ChildAssignment, NodeAssignment
from tierfed.topology.model import Node, Topology


def assignments(topology: Topology) -> list[NodeAssignment]:
    """Return the assignment of every node, those of one process together, parents before children."""
    below: dict[str, dict[str, int]] = {}
    _count(topology.tree.root, below)
    counts = {str(p): len(topology.tree.members(p)) for p in topology.hierarchy.placements}
    data = dict(topology.job.data) if topology.job is not None and topology.job.data is not None else None
    made: list[NodeAssignment] = []
    for members in topology.processes.values():
        for name in members:
            node = topology.nodes[name]
            made.append(_assignment(topology, node, below, counts[node.placement], data))
    return made


def _assignment(
    topology: Topology, node: Node, below: dict[str, dict[str, int]], count: int, data: dict[str, Any] | None
) -> NodeAssignment:
    children = tuple(
        ChildAssignment(c.name, c.placement, c.codec_up, c.codec_down, below[c.name])
        for c in (topology.nodes[name] for name in node.children)
    )
    return NodeAssignment(
        name=node.name,
        placement=node.placement,
        index=node.index,
        count=count,
        parent=node.parent,
        parent_address=None,
        children=children,
        codec_up=node.codec_up,
        codec_down=node.codec_down,
        quorum=dict(node.quorum),
        deadline=node.deadline.seconds,
        labels=topology.visible_labels(node.name),
        data=data,
        seed=topology.seed,
        listens=bool(children) or node.parent is None,
        process=node.process,
    )


def _count(member: Member, below: dict[str, dict[str, int]]) -> dict[str, int]:
    """Fill in, for `member` and all below it, the members of its subtree by placement."""
    counts = {member.placement.name: 1}
    for child in member.children:
        for placement, number in _count(child, below).items():
            counts[placement] = counts.get(placement, 0) + number
    below[member.name] = counts
    return counts
