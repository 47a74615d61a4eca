"""Told: a topology becomes what each of its nodes is told.

    assignments(topology)           [server, edge-eu, edge-us, c-eu-00, …], without addresses
    each_assignment(topology)       the same, one by one: of a million members nobody may want all at once

Addresses are known once the supervisor has bound its listeners: `assignment.at(address)`.  What is equal for many
nodes is one object for all of them, and nobody changes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tierfed.data import crowd_of, need
from tierfed.topology.assignment import ChildAssignment, NodeAssignment
from tierfed.topology.cohort import CohortPlan
from tierfed.topology.collector import paused
from tierfed.topology.model import Node, Topology

_ALL: dict[str, CohortPlan] = {}  # take part
_NOBODY: dict[str, Any] = {}  # is asked for


def assignments(topology: Topology) -> list[NodeAssignment]:
    """Return the assignment of every node, those of one process together, parents before children."""
    with paused():
        return list(each_assignment(topology))


def each_assignment(topology: Topology) -> Iterator[NodeAssignment]:
    """Yield what `assignments` returns."""
    telling = _Telling(topology)
    if not topology.colocate:
        for node in topology.nodes.values():
            yield telling.of(node, True)
        return
    for members in topology.processes.values():
        nodes = [topology.nodes[name] for name in members]
        listening = {node.name for node in nodes if node.children or node.parent is None} or {members[0]}
        for node in nodes:
            yield telling.of(node, node.name in listening)


def members_below(topology: Topology) -> dict[str, Mapping[str, int]]:
    """Return, for every node, the members of its subtree by placement, itself included; equal ones are one object."""
    made: dict[tuple[tuple[str, int], ...], Mapping[str, int]] = {}
    below: dict[str, Mapping[str, int]] = {}
    for placement in reversed(topology.hierarchy.placements):  # children before their parents
        alone = made.setdefault(((str(placement), 1),), {str(placement): 1})
        for member in topology.tree.members(placement):
            if not member.children:
                below[member.name] = alone
                continue
            counts = {str(placement): 1}
            for child in member.children:
                for name, number in below[child.name].items():
                    counts[name] = counts.get(name, 0) + number
            below[member.name] = made.setdefault(tuple(counts.items()), counts)
    return below


def plans(topology: Topology, node: Node) -> dict[str, CohortPlan]:
    """Return how many of the children of `node` are drawn, by placement, where not all of them take part."""
    names: dict[str, list[str]] = {}
    for name in node.children if topology.cohorts else ():
        names.setdefault(topology.nodes[name].placement, []).append(name)
    return {
        placement: topology.cohorts[placement].plan({name: topology.visible_labels(name) for name in of})
        for placement, of in names.items()
        if placement in topology.cohorts
    }


class _Telling:
    """What is worked out once for all nodes."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._below = members_below(topology)
        self._counts = {str(p): len(topology.tree.members(p)) for p in topology.hierarchy.placements}
        job = topology.job
        self._data = dict(job.data) if job is not None and job.data is not None else None
        wanted = need(self._data)
        self._crowds: dict[str, dict[str, Any]] = {}  # by placement
        if wanted is not None:
            for placement in topology.hierarchy.placements:
                crowd = crowd_of(topology.tree, placement, wanted, topology.visible_labels)
                self._crowds[str(placement)] = crowd.to_dict()
        self._labels: dict[str, dict[str, str]] = {}  # of those with children, as they see them
        self._quorums: dict[int, dict[str, int]] = {}
        self._deadlines: dict[int, float] = {}

    def of(self, node: Node, listens: bool) -> NodeAssignment:
        """Return what `node` is told."""
        topology, below = self._topology, self._below
        nodes = topology.nodes
        children = []
        for name in node.children:
            c = nodes[name].settings
            placement = nodes[name].placement
            children.append(ChildAssignment(name, placement, c.codec_up, c.codec_down, below[name], c.modelled.link))
        modelled = node.settings.modelled
        hours = modelled.available
        return NodeAssignment(
            name=node.name,
            placement=node.placement,
            index=node.index,
            count=self._counts[node.placement],
            parent=node.parent,
            parent_address=None,
            children=tuple(children),
            codec_up=node.codec_up,
            codec_down=node.codec_down,
            quorum=self._quorum(node),
            deadline=self._seconds(node),
            labels=self._visible(node),
            data=self._data,
            seed=topology.seed,
            listens=listens,
            process=node.process,
            interface=modelled.interface,
            device=modelled.device,
            available=hours.of(topology.seed, node.name) if hours is not None else None,
            crowd=self._crowds.get(node.placement, _NOBODY),
            cohorts=plans(topology, node) if topology.cohorts and node.children else _ALL,
        )

    def _quorum(self, node: Node) -> dict[str, int]:
        key = id(node.quorum)
        if key not in self._quorums:
            self._quorums[key] = dict(node.quorum)
        return self._quorums[key]

    def _seconds(self, node: Node) -> float:
        key = id(node.settings)
        if key not in self._deadlines:
            self._deadlines[key] = node.deadline.seconds
        return self._deadlines[key]

    def _visible(self, node: Node) -> dict[str, str]:
        above = self._labels[node.parent] if node.parent is not None else {}
        labels = {**above, **node.labels} if node.labels else above
        if node.children:
            self._labels[node.name] = labels
        return labels
