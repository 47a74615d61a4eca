"""Bundles: siblings that are alike, drawn once.

    c-eu-00, c-eu-01, …, c-eu-15      ->      c-eu-[00-15] ×16

Members are alike if their placement, labels, settings and subtrees are, whatever their traces of hours.  The members
below alike parents are bundled together, so a regular tree of any size takes a line a tier.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tierfed.topology.collapse import collapsed
from tierfed.topology.links.trace import Trace
from tierfed.topology.model import Node, Topology
from tierfed.topology.settle import Settled


@dataclass(frozen=True, slots=True)
class Bundle:
    """Alike members, in member order, and the bundles of their children."""

    members: tuple[Node, ...]
    below: tuple[Bundle, ...]

    @property
    def first(self) -> Node:
        """A member to stand for all."""
        return self.members[0]

    @property
    def name(self) -> str:
        """The members' names as one, with their number if there are several."""
        names = [m.name for m in self.members]
        return names[0] if len(names) == 1 else f"{collapsed(names)} ×{len(names)}"


def bundles(topology: Topology) -> Bundle:
    """Return the root as a bundle of one, with everything below it."""
    kinds: dict[Any, int] = {}
    kind: dict[str, int] = {}
    for placement in reversed(topology.hierarchy.placements):  # children before their parents
        for node in topology.members(placement):
            below: dict[int, int] = {}
            for child in node.children:
                below[kind[child]] = below.get(kind[child], 0) + 1
            of = (node.placement, tuple(sorted(node.labels.items())), _drawn(node.settings), tuple(below.items()))
            kind[node.name] = kinds.setdefault(of, len(kinds))
    return _bundle(topology, (topology.root,), kind)


def _drawn(settings: Settled) -> Settled:
    """Return what is drawn of a member's settings: that it has a trace, of which each has another."""
    if not isinstance(settings.modelled.available, Trace):
        return settings
    return replace(settings, modelled=replace(settings.modelled, available=Trace(())))


def _bundle(topology: Topology, members: tuple[Node, ...], kind: dict[str, int]) -> Bundle:
    below: dict[int, list[Node]] = {}
    for member in members:
        for child in member.children:
            below.setdefault(kind[child], []).append(topology.nodes[child])
    return Bundle(members, tuple(_bundle(topology, tuple(of), kind) for of in below.values()))
