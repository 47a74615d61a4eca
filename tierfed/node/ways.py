"""Ways: the channels of a node's children, made of what the topology says of their links.

    ways = Ways()
    ways.add(assignment)                    a node that has children
    ways.of("c-eu-03", "bulk")              a channel up and one down, None where neither link nor interface is modelled

The children of a node share its interface, in each direction, with what is large.  What is small goes beside, on a
connection of its own: it takes the time of the way, and no room.
"""

from __future__ import annotations

import math
from random import Random
from typing import cast

from tierfed.node.channel import Channel, Wire
from tierfed.topology.assignment import NodeAssignment
from tierfed.topology.links.draws import Draws
from tierfed.topology.links.profile import InterfaceProfile, LinkProfile
from tierfed.topology.links.tcp import Path


class Ways:
    """See the module docstring."""

    def __init__(self) -> None:
        self._parents: dict[str, NodeAssignment] = {}
        self._links: dict[str, tuple[LinkProfile, str]] = {}
        self._wires: dict[str, tuple[Wire, Wire]] = {}
        self._aside = Wire(math.inf)

    def add(self, parent: NodeAssignment) -> None:
        """Learn of a node's children."""
        for child in parent.children:
            if child.link is not None or parent.interface is not None:
                self._parents[parent.name] = parent
                self._links[child.name] = child.link or LinkProfile(), parent.name

    def of(self, child: str, plane: str) -> tuple[Channel, Channel] | None:
        """Return new channels up and down of a child, None if its link is not modelled."""
        if child not in self._links:
            return None
        profile, parent = self._links[child]
        wires = (self._aside, self._aside) if plane == "control" else self._shared(parent)
        ways = []
        for wire, rises in zip(wires, (True, False), strict=True):
            seed = f"{self._parents[parent].seed}/{child}/{plane}/{rises}"
            ways.append(Channel(wire, Path(profile, rises, cast(Random, Draws(seed)))))
        return ways[0], ways[1]

    def _shared(self, parent: str) -> tuple[Wire, Wire]:
        if parent not in self._wires:
            profile = self._parents[parent].interface or InterfaceProfile()
            self._wires[parent] = Wire(profile.rate_up), Wire(profile.rate_down)
        return self._wires[parent]
