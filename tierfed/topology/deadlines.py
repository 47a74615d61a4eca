"""Deadlines: those that the links and devices below cannot meet, whatever else happens.

    placements.CLIENTS.link.rate.up, line 19: c-us-00 sends 54 kB, which are 108 s at 4kbit, and edge-us waits 30s
    placements.CLIENTS.compute.time, line 9: c-0 takes 1 s to get 40 kB, 40 s to compute and 0.2 s to send 54 kB, and …
    placements.EDGE.interface.rate.up, line 9: 8 children of edge-eu send 430 kB, which are 34 s at 100kbit, …

A bound from below: what a child is sent for a fold, over its rate without loss or headers, and its delay; the leaves
that it calls then; and what it sends back, likewise; and what the quorum moves over the interface.  If with that
the quorum cannot come in time, every round fails, and it is an error; if only some of the children cannot, it is told.

The deadline is that of whom the message is for (`collect.deadline`), and counts from when it waits, which is when it
has begun to send.  What an aggregator passes on frame by frame may have left by then, but for its last frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from tierfed.compiler.slices import (
    Broadcast,
    Compiled,
    Compute,
    Fold,
    Loop,
    Receive,
    Scatter,
    Send,
    Site,
    Slice,
    Step,
    walk,
)
from tierfed.errors import Advice, TierfedError, TopologyError
from tierfed.ir.nodes import Compiled as LeafCall
from tierfed.topology.captions import amount
from tierfed.topology.draw import size
from tierfed.topology.messages import Sent, predicted
from tierfed.topology.model import Node, Topology

_FRAME = 1 << 20  # bytes of the largest frame of a float32 message
_RATE, _INTERFACE = ("link", "rate", "{}"), ("interface", "rate", "{}")
_MEND = "raise the rate or collect.deadline"
_Phase: TypeAlias = tuple[str, list[Site], Site]  # a placement below, what it is sent, and what is folded of it


def unmet(topology: Topology, compiled: Compiled) -> list[TierfedError]:
    """Return an error for each figure with which a quorum misses its deadline, and advice where some children do."""
    modelled = {id(of): of for of in (node.settings.modelled for node in topology.nodes.values())}.values()
    if not any(of.link or of.interface or (of.device and of.device.seconds) for of in modelled):
        return []
    sent: Sent = {}
    predicted(topology, compiled, sent)
    slices = {placement.name: part for placement, part in compiled.slices.items()}
    phases = {name: list(_phases(part.steps)) for name, part in slices.items()}
    found: dict[str, TierfedError] = {}
    for node in topology.nodes.values():
        for phase in phases.get(node.placement, ()):
            for where, error in _of(topology, node, sent, phase, _calls(slices[phase[0]], phase[2])):
                if where not in found or isinstance(found[where], Advice):
                    found[where] = error
    return sorted(found.values(), key=lambda error: isinstance(error, Advice))


def _phases(steps: Sequence[Step], turns: tuple[int, ...] = ()) -> Iterator[_Phase]:
    """Yield what a slice folds, with what it sends just before it; of loops the first turn, since all are alike."""
    going: dict[str, list[Site]] = {}
    for step in steps:
        match step:
            case Broadcast(site=site, to=to) | Scatter(site=site, to=to):
                going.setdefault(to.name, []).append(site.at(turns))
            case Fold(site=site, source=source):
                yield source.name, going.pop(source.name, []), site.at(turns)
                going = {}
            case Loop():
                yield from _phases(step.steps, (*turns, 0))
                going = {}
            case Receive() | Compute():  # these may take time, in which what was sent arrives
                going = {} if isinstance(step, Receive) or _leaves(step) else going


def _calls(part: Slice, site: Site) -> int:
    """Return how many leaves a child calls between the last message that it gets and what it sends at `site`."""
    calls, heard = 0, False
    for step in walk(part.steps):
        match step:
            case Receive():
                calls, heard = 0, True
            case Compute():
                calls += _leaves(step)
            case Send(site=at) if (at.phase, at.index) == (site.phase, site.index):
                return calls if heard else 0
    return 0


def _leaves(step: Compute) -> int:
    return sum(isinstance(node, LeafCall) for node in step.expression.walk())


def _of(topology: Topology, node: Node, sent: Sent, phase: _Phase, calls: int) -> Iterator[tuple[str, TierfedError]]:
    """Yield what is wrong with the deadline of one node in one phase, and the setting that it is about."""
    placement, _, up = phase
    deadline, needed = node.deadline.seconds, node.quorum[placement]
    children = [topology.nodes[name] for name in node.children if topology.nodes[name].placement == placement]
    if placement in topology.cohorts:  # those that are taken to be drawn
        children = [child for child in children if (child.name, "up", str(up)) in sent]
    ways = [_Way(child, node, sent, phase, calls) for child in children]
    if (interface := node.interface) is not None:
        for direction, verb, rate, sizes in (
            ("down", "are sent", interface.rate_down, [way.down for way in ways]),
            ("up", "send", interface.rate_up, [way.up for way in ways]),
        ):
            least = sum(sorted(sizes)[:needed])
            if least / rate > deadline:
                told = node.settings.modelled.figures[_named(_INTERFACE, direction)]
                where = node.settings.origins[".".join(_named(_INTERFACE, direction))]
                what = (
                    f"{needed} children of {node.name} {verb} {size(least)}, which are {amount(least / rate, 's')} at "
                    f"{told}, and it waits {node.deadline}"
                )
                yield where, TopologyError(what, where=where, mend=f"{_MEND}, or lower the quorum")
    late = [way for way in ways if way.seconds > deadline]
    if not late:
        return
    what, where, mend = late[0].told(deadline)
    what += f", and {node.name} waits {node.deadline}"
    if len(children) - len(late) < needed:
        what += f" for {needed} of {len(children)}, of which {len(late)} cannot"
        yield where, TopologyError(what, where=where, mend=f"{mend}, or lower the quorum")
    else:
        what += f": {len(late)} of its {len(children)} children are in no round"
        yield where, Advice(what, where=where, mend=mend)


class _Way:
    """What a child has to do for a phase at least: bytes, and seconds to get, to compute and to send."""

    def __init__(self, child: Node, parent: Node, sent: Sent, phase: _Phase, calls: int) -> None:
        _, down, up = phase
        self.child = child
        self.up = sent.get((child.name, "up", str(up)), 0)
        self.down = sum(sent.get((child.name, "down", str(site)), 0) for site in down)
        if parent.parent is not None and self.down > _FRAME:
            self.down = _FRAME
        link, device = child.link, child.device
        self.getting = self.down / link.rate_down + link.delay if link is not None and self.down else 0.0
        self.computing = calls * device.seconds / device.speed if device is not None else 0.0
        self.sending = self.up / link.rate_up + link.delay if link is not None else 0.0
        self.seconds = self.getting + self.computing + self.sending

    def told(self, deadline: float) -> tuple[str, str, str]:
        """Return what takes so long, the setting that takes most of it, and what would mend that."""
        name, settings = self.child.name, self.child.settings
        most = max(self.getting, self.computing, self.sending)
        if self.computing == most:
            where = settings.origins.get("compute.time") or settings.origins["compute.speed"]
            mend = "shorten compute.time, or raise compute.speed or collect.deadline"
        else:
            direction = "up" if self.sending == most else "down"
            where = settings.origins.get(".".join(_named(_RATE, direction))) or settings.origins["link.delay"]
            mend = _MEND
        if self.sending > deadline:
            return f"{name} sends {size(self.up)}, which are {amount(self.sending, 's')}{self._at('up')}", where, mend
        parts = [
            f"{amount(self.getting, 's')} to get {size(self.down)}{self._at('down')}" if self.getting else "",
            f"{amount(self.computing, 's')} to compute" if self.computing else "",
            f"{amount(self.sending, 's')} to send {size(self.up)}{self._at('up')}" if self.sending else "",
        ]
        *first, last = [part for part in parts if part]
        return f"{name} takes {', '.join(first)}{' and ' if first else ''}{last}", where, mend

    def _at(self, direction: str) -> str:
        rate = self.child.settings.modelled.figures.get(_named(_RATE, direction))
        return f" at {rate}" if rate is not None else ""


def _named(path: tuple[str, ...], direction: str) -> tuple[str, ...]:
    return tuple(part.format(direction) for part in path)
