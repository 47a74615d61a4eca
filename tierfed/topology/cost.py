"""Cost: the seconds and the joules of one invocation, before it runs.

    cost(topology, compiled)      Cost(seconds=1.31, tiers={"CLIENTS": TierCost(seconds=0.92, joules=41.5), …})

Every member goes through its slice with a time of its own.  It waits for its parent's message, takes seconds / speed
for each call of a leaf, and sends; a fold waits for the last of the children.  A message of B bytes leaves at its
share of the parent's interface, max-min fair among those that leave then and never more than TCP carries over its
link (`cap`), and arrives its latency later.  Of latencies, which are drawn at random when it runs, each is the mean:

    arrival = begin + ∫ until B bytes have left + expected latency(B)

So nobody is lost, late or away, as for `messages.predicted`, whose bytes these are.  Where many jittery links are
waited for, the last is later than the mean.  Rounds that follow each other within a retransmission timeout find TCP's
windows open, and take up to some round trips less.

The seconds of a tier are its part of the critical path: each wait on it is for a link, that of the member below, or for
a member's computing, and they add up to the whole.  Joules are those of all members, over the whole.

Sources: links/tcp.py, links/fair.py, links/energy.py; a network of members that wait for messages by name has one
outcome, whoever is run first: Kahn 1974.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

from tierfed.compiler.slices import Broadcast, Compiled, Compute, Fold, Loop, Receive, Scatter, Send, Site, Step
from tierfed.ir.nodes import Compiled as LeafCall
from tierfed.ir.nodes import Node as Expression
from tierfed.topology.links.energy import joules
from tierfed.topology.links.fair import Flow, Interface
from tierfed.topology.links.profile import LinkProfile
from tierfed.topology.links.tcp import Path
from tierfed.topology.messages import Sent, Walk, constant, predicted
from tierfed.topology.model import Node, Topology

_NOWHERE = LinkProfile()  # a link without limit
_DONE = object()


@dataclass(frozen=True, slots=True)
class TierCost:
    """What a tier takes: its seconds of the critical path, and the joules of all its members; None: not modelled."""

    seconds: float | None
    joules: float | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What an invocation takes, in all and by placement."""

    seconds: float | None
    tiers: Mapping[str, TierCost]


def cost(topology: Topology, compiled: Compiled) -> Cost | None:
    """Return what one invocation of a program takes on a topology; None if nothing is modelled, or bytes are not known.

    Raises CodecError for what cannot be sent.
    """
    modelled = {id(of): of for of in (node.settings.modelled for node in topology.nodes.values())}.values()
    timed = any(of.link or of.interface or (of.device and of.device.seconds) for of in modelled)
    metered = any(
        of.device and (of.device.idle + of.device.computing + of.device.sent + of.device.received) for of in modelled
    )
    if not timed and not metered:
        return None
    sent: Sent = {}
    if any(one is None for one in predicted(topology, compiled, sent).values()):
        return None
    return _Timing(topology, compiled, sent).cost(timed, metered)


@dataclass(frozen=True, slots=True)
class _Time:
    """A moment, and the seconds of each tier on the way to it."""

    at: float
    parts: Mapping[str, float] = field(default_factory=dict)

    def later(self, placement: str, at: float) -> _Time:
        """Return the moment `at`, until which `placement` was waited for."""
        if at <= self.at:
            return self
        return _Time(at, {**self.parts, placement: self.parts.get(placement, 0.0) + at - self.at})


_START = _Time(0.0)
_Going: TypeAlias = Generator[None, None, _Time]


def _last(times: Sequence[_Time]) -> _Time:
    return max(times, key=lambda time: time.at)


class _Timing:
    """All members on their way through their slices."""

    def __init__(self, topology: Topology, compiled: Compiled, sent: Sent) -> None:
        self._topology = topology
        self._slices = {p.name: part for p, part in compiled.slices.items()}
        self._walk = Walk(topology, compiled)
        self._bytes = sent
        self._down: dict[tuple[str, str], _Time] = {}  # when what members wait for is there, by member and site
        self._up: dict[tuple[str, str], _Time] = {}  # when members began to send
        self._computed: dict[str, float] = {}
        self._ends: list[_Time] = []

    def cost(self, timed: bool, metered: bool) -> Cost:
        """Return what all of it takes."""
        there = (node for node in self._topology.nodes.values() if node.name in self._walk.drawn)
        going = [self._member(node) for node in there if self._slices[node.placement].steps]
        while going:
            before = len(going), len(self._down), len(self._up)
            going = [one for one in going if next(one, _DONE) is not _DONE]
            if going and before == (len(going), len(self._down), len(self._up)):
                raise AssertionError("members wait for each other")
        end = _last(self._ends or [_START])
        used = self._joules(end.at) if metered else {}
        tiers = {
            str(p): TierCost(end.parts.get(str(p), 0.0) if timed else None, used.get(str(p)))
            for p in self._topology.hierarchy.placements
        }
        return Cost(end.at if timed else None, tiers)

    def _member(self, node: Node) -> Iterator[None]:
        """Go through the slice of `node`; stop wherever it waits for what is not there yet."""
        self._ends.append((yield from self._steps(node, self._slices[node.placement].steps, (), _START)))

    def _steps(self, node: Node, steps: tuple[Step, ...], turns: tuple[int, ...], now: _Time) -> _Going:
        for step in steps:
            match step:
                case Receive(site=site) if node.parent is not None:
                    now = _last([now, (yield from _until(self._down, node.name, site.at(turns)))])
                case Compute(expression=expression):
                    now = self._compute(node, _calls(expression), now)
                case Broadcast(site=site, to=to) | Scatter(site=site, to=to):
                    self._send_down(node, list(self._walk.taking_part(node, to.name)), site.at(turns), now)
                case Fold(site=site, source=source):
                    children = list(self._walk.taking_part(node, source.name))
                    asked = [c for c in children if (c.name, "up", str(site.at(turns).before)) in self._bytes]
                    if asked:
                        now = _last([now, *(yield from self._arrived(node, asked, site.at(turns).before))])
                        self._send_down(node, asked, site.at(turns).before, now)
                    now = _last([now, *(yield from self._arrived(node, children, site.at(turns)))])
                    calls = sum(_calls(fold.operator) for fold in step.folds if fold.operator is not None)
                    now = self._compute(node, calls * len(children), now)
                case Send(site=site) if node.parent is not None:
                    asking = site.at(turns).before
                    if (node.name, "up", str(asking)) in self._bytes:
                        self._up[node.name, str(asking)] = now
                        now = _last([now, (yield from _until(self._down, node.name, asking))])
                    self._up[node.name, str(site.at(turns))] = now
                case Loop(turns=count):
                    for turn in range(constant(count) or 0):
                        now = yield from self._steps(node, step.steps, (*turns, turn), now)
        return now

    def _compute(self, node: Node, calls: int, now: _Time) -> _Time:
        """Return when `node` has called a leaf so many times."""
        device = node.device
        if not calls or device is None or not device.seconds:
            return now
        seconds = calls * device.seconds / device.speed
        self._computed[node.name] = self._computed.get(node.name, 0.0) + seconds
        return now.later(node.placement, now.at + seconds)

    def _send_down(self, node: Node, children: list[Node], site: Site, now: _Time) -> None:
        """Note when each of `children` has what `node` sends them all at once."""
        arrivals = self._carried(node, children, "down", site, [now.at] * len(children))
        for child, at in zip(children, arrivals, strict=True):
            self._down[child.name, str(site)] = now.later(child.placement, at)

    def _arrived(self, node: Node, children: list[Node], site: Site) -> Generator[None, None, list[_Time]]:
        """Return when what each of `children` sends at `site` is at `node`, once all have begun to."""
        begun: list[_Time] = []
        for child in children:
            begun.append((yield from _until(self._up, child.name, site)))
        arrivals = self._carried(node, children, "up", site, [time.at for time in begun])
        return [time.later(child.placement, at) for child, time, at in zip(children, begun, arrivals, strict=True)]

    def _carried(
        self, node: Node, children: list[Node], direction: str, site: Site, begins: list[float]
    ) -> list[float]:
        """Return when the messages between `node` and each of `children`, begun at these times, are there."""
        rises = direction == "up"
        sizes = [self._bytes[child.name, direction, str(site)] for child in children]
        ways = [_way(child.link or _NOWHERE, rises) for child in children]
        interface = node.interface
        capacity = math.inf if interface is None else interface.rate_up if rises else interface.rate_down
        ends = _left(capacity, [way.cap for way in ways], sizes, begins)
        return [end + way.expected(size) for end, way, size in zip(ends, ways, sizes, strict=True)]

    def _joules(self, seconds: float) -> dict[str, float]:
        """Return the joules by placement over `seconds`, of the members that say what they cost."""
        sent: dict[str, int] = {}
        received: dict[str, int] = {}
        for (member, direction, _), size in self._bytes.items():
            parent = self._topology.nodes[member].parent or ""
            one, other = (member, parent) if direction == "up" else (parent, member)
            sent[one] = sent.get(one, 0) + size
            received[other] = received.get(other, 0) + size
        used: dict[str, list[float]] = {}
        for node in self._topology.nodes.values():
            if node.device is not None:
                name = node.name
                moved = sent.get(name, 0), received.get(name, 0)
                one_used = joules(node.device, seconds, self._computed.get(name, 0.0), *moved)
                used.setdefault(node.placement, []).append(one_used)
        return {placement: math.fsum(of) for placement, of in used.items()}


def _until(there: Mapping[tuple[str, str], _Time], member: str, site: Site) -> _Going:
    """Return what is `there` for a member at a site, once it is."""
    key = (member, str(site))
    while key not in there:
        yield
    return there[key]


def _left(capacity: float, caps: list[float], sizes: list[int], begins: list[float]) -> list[float]:
    """Return when each message has left: so many bytes, from these times on, at its cap or its share of `capacity`."""
    if capacity == math.inf:
        return [begin + size / cap for begin, size, cap in zip(begins, sizes, caps, strict=True)]
    interface = Interface(capacity)
    ends: dict[Flow, float] = {}
    order = sorted(range(len(begins)), key=begins.__getitem__)
    now = 0.0
    for at in [*order, None]:
        until = begins[at] if at is not None else math.inf
        while (end := interface.next_time(now)) <= until and end < math.inf:
            now = end
            for flow in interface.finished(now):
                ends[flow] = now
        if at is not None:
            now = max(now, until)
            interface.begin(at, sizes[at], caps[at], now)
    return [ends[at] for at in range(len(begins))]


@functools.lru_cache(maxsize=4096)
def _way(link: LinkProfile, rises: bool) -> Path:
    return Path(link, rises, Random(0))


@functools.lru_cache(maxsize=4096)
def _calls(expression: Expression) -> int:
    """Return how many calls of leaves are written in `expression`."""
    return sum(isinstance(n, LeafCall) for n in expression.walk())
