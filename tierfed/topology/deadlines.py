"""Deadlines: those that the links below cannot meet, whatever else happens.

    placements.CLIENTS.link.rate.up, line 19: c-us-00 sends 54 kB, which are 108 s at 4kbit, and edge-us waits 30s
    placements.EDGE.interface.rate.up, line 9: 8 children of edge-eu send 430 kB, which are 34 s at 100kbit, …

A bound from below: the largest message of a child over its rate without loss or headers, and its delay; and what the
quorum sends over the interface.  If with that the quorum cannot come in time, every round fails, and it is an error; if
only some of the children cannot, it is told.

The deadline is that of whom the message is for (`collect.deadline`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from tierfed.compiler.slices import Compiled
from tierfed.errors import Advice, TierfedError, TopologyError
from tierfed.topology.captions import amount
from tierfed.topology.draw import size
from tierfed.topology.messages import Sent, predicted
from tierfed.topology.model import Node, Topology

_RATE, _INTERFACE = ("link", "rate", "up"), ("interface", "rate", "up")


def unmet(topology: Topology, compiled: Compiled) -> list[TierfedError]:
    """Return an error for each rate with which a quorum misses its deadline, and advice where some children do."""
    modelled = {id(of): of for of in (node.settings.modelled for node in topology.nodes.values())}.values()
    if not any(of.link or of.interface for of in modelled):
        return []
    sent: Sent = {}
    predicted(topology, compiled, sent)
    largest: dict[str, int] = {}
    for (member, direction, _), nbytes in sent.items():
        if direction == "up":
            largest[member] = max(nbytes, largest.get(member, 0))
    found: dict[str, TierfedError] = {}
    for node in topology.nodes.values():
        for where, error in _of(topology, node, largest):
            if where not in found or isinstance(found[where], Advice):
                found[where] = error
    return sorted(found.values(), key=lambda error: isinstance(error, Advice))


def _of(topology: Topology, node: Node, largest: dict[str, int]) -> Iterator[tuple[str, TierfedError]]:
    """Yield what is wrong with the deadline of one node, and the setting that it is about."""
    deadline = node.deadline.seconds
    for placement, needed in node.quorum.items():
        children = [topology.nodes[name] for name in node.children if topology.nodes[name].placement == placement]
        if placement in topology.cohorts:  # those that are taken to be drawn
            children = [child for child in children if child.name in largest]
        sizes = sorted(largest.get(child.name, 0) for child in children)
        rate = node.interface.rate_up if node.interface is not None else math.inf
        least = sum(sizes[:needed])
        if least / rate > deadline:
            told = node.settings.modelled.figures[_INTERFACE]
            where = node.settings.origins[".".join(_INTERFACE)]
            what = (
                f"{needed} children of {node.name} send {size(least)}, which are {amount(least / rate, 's')} at {told}"
                f", and it waits {node.deadline}"
            )
            yield (
                where,
                TopologyError(what, where=where, mend="raise the rate or collect.deadline, or lower the quorum"),
            )
        late = [child for child in children if _least(child, largest) > deadline]
        if not late:
            continue
        first = late[0]
        where = first.settings.origins.get(".".join(_RATE)) or first.settings.origins["link.delay"]
        rated = first.settings.modelled.figures.get(_RATE)
        what = (
            f"{first.name} sends {size(largest[first.name])}, which are {amount(_least(first, largest), 's')}"
            f"{f' at {rated}' if rated is not None else ''}, and {node.name} waits {node.deadline}"
        )
        if len(children) - len(late) < needed:
            what += f" for {needed} of {len(children)}, of which {len(late)} cannot"
            mend = "raise the rate or collect.deadline, or lower the quorum"
            yield where, TopologyError(what, where=where, mend=mend)
        else:
            what += f": {len(late)} of its {len(children)} children are in no round"
            yield where, Advice(what, where=where, mend="raise the rate or collect.deadline")


def _least(child: Node, largest: dict[str, int]) -> float:
    """Return the seconds that the largest message of `child` takes at least."""
    link = child.link
    return largest.get(child.name, 0) / link.rate_up + link.delay if link is not None else 0.0
