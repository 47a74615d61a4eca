"""Ways: the channels of a node's children, made of what the topology says of their links, and what they become.

    ways = Ways()
    ways.add(assignment)                    a node that has children
    ways.of("c-eu-03", "bulk")              a channel up and one down, None where neither link nor interface is modelled
    ways.change("c-eu-03", profile)         from now on by other figures, None: it takes no time of its own

The children of a node share its interface, in each direction, with what is large.  What is small goes beside, on a
connection of its own: it takes the time of the way, and no room.

A link that is changed begins like a new connection, with the first window of TCP and draws of its own; what has begun
to leave keeps its time, and nothing overtakes it (channel.py).
"""

from __future__ import annotations

import math
from collections.abc import Container
from random import Random
from typing import cast

from tierfed.node.channel import Channel, Wire
from tierfed.topology.assignment import NodeAssignment
from tierfed.topology.links.draws import Draws
from tierfed.topology.links.profile import InterfaceProfile, LinkProfile
from tierfed.topology.links.tcp import Path

_FREE = LinkProfile()


class Ways:
    """See the module docstring.

    Links of children in `changing` may change: their channels are remembered.
    """

    def __init__(self, changing: Container[str] = ()) -> None:
        self._changing = changing
        self._parents: dict[str, NodeAssignment] = {}
        self._links: dict[str, tuple[LinkProfile | None, str]] = {}
        self._made: dict[tuple[str, str], tuple[Channel, Channel]] = {}
        self._changes: dict[str, int] = {}
        self._wires: dict[str, tuple[Wire, Wire]] = {}
        self._aside = Wire(math.inf)

    def add(self, parent: NodeAssignment) -> None:
        """Learn of a node's children."""
        for child in parent.children:
            if child.link is not None or parent.interface is not None or child.name in self._changing:
                self._parents[parent.name] = parent
                self._links[child.name] = child.link, parent.name

    def of(self, child: str, plane: str, *, always: bool = False) -> tuple[Channel, Channel] | None:
        """Return new channels up and down of a child, None if its link is not modelled, unless it is `always` one."""
        if child not in self._links:
            return None
        profile, parent = self._links[child]
        if profile is None and self._parents[parent].interface is None and not always:
            return None
        wires = (self._aside, self._aside) if plane == "control" else self._shared(parent)
        up, down = (
            Channel(wire, self._path(child, plane, rises)) for wire, rises in zip(wires, (True, False), strict=True)
        )
        if child in self._changing:
            self._made[child, plane] = up, down
        return up, down

    def figures(self, child: str) -> LinkProfile | None:
        """Return what a child's link is now, None if nothing is modelled of it."""
        return self._links[child][0]

    def change(self, child: str, profile: LinkProfile | None) -> None:
        """Let the link of a child, one of `changing`, go by other figures from now on."""
        self._links[child] = profile, self._links[child][1]
        self._changes[child] = self._changes.get(child, 0) + 1
        for plane in ("control", "bulk"):
            for channel, rises in zip(self._made.get((child, plane), ()), (True, False), strict=False):
                channel.change(self._path(child, plane, rises))

    def _path(self, child: str, plane: str, rises: bool) -> Path:
        profile, parent = self._links[child]
        changes = self._changes.get(child, 0)
        seed = f"{self._parents[parent].seed}/{child}/{plane}/{rises}" + (f"/{changes}" if changes else "")
        return Path(profile or _FREE, rises, cast(Random, Draws(seed)))

    def _shared(self, parent: str) -> tuple[Wire, Wire]:
        if parent not in self._wires:
            profile = self._parents[parent].interface or InterfaceProfile()
            self._wires[parent] = Wire(profile.rate_up), Wire(profile.rate_down)
        return self._wires[parent]
