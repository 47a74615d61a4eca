"""Messages: those of one invocation, node by node, and their bytes.

    predicted(topology, compiled)   {"CLIENTS": Predicted(raw_up=6515712, up=1735680, …), …}

A prediction goes through the slices node by node, as if nobody were lost, and counts the
frames that will be sent.  The types fix the payloads; the headers also carry an invocation's
name, which is taken to be of usual length.  Of a cohort as many are counted as are drawn, the first of
each parent's children for all.  So where codecs are of fixed size, it is the
number of bytes at the sockets, up to a 64-byte step of a header.  Where a loop is taken as
often as an argument says, it is not known.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from tierfed.codecs import link_codec
from tierfed.compiler.slices import (
    Broadcast,
    Compiled,
    Fold,
    Loop,
    Scatter,
    Send,
    Site,
    Slice,
    Slot,
    Step,
    added,
    walk,
)
from tierfed.ir.evaluate import evaluate
from tierfed.ir.intrinsics import iterate
from tierfed.ir.nodes import Compiled as LeafCall
from tierfed.ir.nodes import Node as Expression
from tierfed.ir.nodes import free_names
from tierfed.leaves import load
from tierfed.topology.model import Node, Topology
from tierfed.topology.told import members_below, plans
from tierfed.wire import forecast
from tierfed.wire.forecast import Forecast
from tierfed.wire.terms import Terms

_INVOCATION = "00000000-10"  # of usual length
link = functools.lru_cache(maxsize=256)(link_codec)  # most members share one
_TURNS = 1000  # of a loop that are gone through one by one


class Predicted(NamedTuple):
    """Bytes that all members of a placement move in one invocation; see the module docstring.

    `raw_*` are the same frames under `none`; `headers_*` is what is no payload.  `exact_*` is
    false where zstd will make it less.
    """

    raw_up: int
    up: int
    raw_down: int
    down: int
    headers_up: int
    headers_down: int
    exact_up: bool
    exact_down: bool


Sent: TypeAlias = dict[tuple[str, str, str], int]
"""The bytes of each message, by the member at the lower end of its link, "up" or "down", and its site."""


def predicted(topology: Topology, compiled: Compiled, sent: Sent | None = None) -> dict[str, Predicted | None]:
    """Return the bytes of one invocation by placement, None where a size is known only when it runs.

    The root is not in it: it has nobody to send to.  With `sent`, that gets every message.
    Raises CodecError for what cannot be sent.
    """
    walk = Walk(topology, compiled, sent)
    sums = {str(p): _Sum() for p in topology.hierarchy.placements if p != topology.hierarchy.root}
    for placement in reversed(topology.hierarchy.placements):  # children before their parents
        for node in topology.members(placement):
            if node.name in walk.drawn:
                walk.run(node, sums)
    return {name: each.result() for name, each in sums.items()}


@dataclass(slots=True)
class _Sum:
    up: list[int] = field(default_factory=lambda: [0, 0, 0])  # raw, on the wire, headers
    down: list[int] = field(default_factory=lambda: [0, 0, 0])
    exact: dict[str, bool] = field(default_factory=lambda: {"up": True, "down": True})
    open: bool = False

    def result(self) -> Predicted | None:
        if self.open:
            return None
        (raw_up, up, headers_up), (raw_down, down, headers_down) = self.up, self.down
        return Predicted(raw_up, up, raw_down, down, headers_up, headers_down, self.exact["up"], self.exact["down"])


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message that rises: its bytes, and what its sender says of itself and those below."""

    wire: int
    raw: int
    counts: Mapping[str, int]
    traffic: Mapping[str, list[int]]


@dataclass(slots=True)
class _Behind:
    """Who stands behind what a node has folded so far, and the traffic that it has to tell of."""

    counts: dict[str, int]
    traffic: dict[str, list[int]]


class Walk:
    """The messages of one invocation, node by node."""

    def __init__(self, topology: Topology, compiled: Compiled, sent: Sent | None = None) -> None:
        self._topology = topology
        self._told = sent
        self._compiled = compiled
        self._slices: dict[str, Slice] = {p.name: part for p, part in compiled.slices.items()}
        self._active = {name for name, part in self._slices.items() if part.steps}
        self._below = members_below(topology)
        self._forecasts: dict[Any, Forecast | None] = {}
        self._sizes: dict[Any, tuple[Forecast, tuple[int, int, int]]] = {}
        self._sent: dict[tuple[str, Site], _Sent] = {}
        self._agreeing: dict[tuple[str, Site], Terms] = {}
        self._terms_of: dict[tuple[str, Site, str], Terms | None] = {}
        self._alike: dict[tuple[int, str, str], Forecast | None] = {}
        self.drawn: Mapping[str, Any] = topology.nodes  # who takes part
        self._drawn_below: dict[str, dict[str, int]] = {}  # what they tell of, by placement
        if topology.cohorts:
            self.drawn = self._drawn_below
            self._draw(topology.root)

    def links(self, node: Node) -> Iterator[tuple[str, str, list[forecast.Slot], str]]:
        """Yield (child, direction, slots, codec) of each message between `node` and its parent or its children."""
        for step in self._slices[node.placement].walk():
            if isinstance(step, Send) and node.parent is not None:
                yield node.name, "up", self._rising(node, step), node.codec_up
            elif isinstance(step, Broadcast | Scatter):
                for child in self.children(node, step.to.name):
                    yield child.name, "down", self._descending(child, step), child.codec_down

    def summed(self, node: Node) -> list[forecast.Slot]:
        """Return the slots that `node` sends and its parent adds up."""
        if node.parent is None:
            return []
        above = self._slices[self._topology.nodes[node.parent].placement].walk()
        plus = {
            (step.site, fold.incoming.name)
            for step in above
            if isinstance(step, Fold) and step.source.name == node.placement
            for fold in step.folds
            if fold.plus and fold.kind != "gather"
        }
        sends = [step for step in self._slices[node.placement].walk() if isinstance(step, Send)]
        return [self._slot(slot, node.name) for step in sends for slot in step.slots if (step.site, slot.name) in plus]

    def run(self, node: Node, sums: Mapping[str, _Sum]) -> None:
        """Count the messages that `node` sends, in the order of its steps."""
        self._run(node, self._slices[node.placement].steps, (), _Behind({}, {}), sums)

    def _run(
        self, node: Node, steps: tuple[Step, ...], turns: tuple[int, ...], behind: _Behind, sums: Mapping[str, _Sum]
    ) -> None:
        for step in steps:
            match step:
                case Broadcast() | Scatter():
                    ident = {"m": "down", "inv": _INVOCATION, "att": 1, "site": str(step.site.at(turns))}
                    for child in self.taking_part(node, step.to.name):
                        made = self._of_step(child, step, child.codec_down)
                        wire, raw = self._add(sums, child, "down", made, ident)
                        _count_traffic(behind.traffic, child.placement, [0, 0, wire, raw, 0, 1])
                case Fold(site=site, source=source):
                    folded: dict[str, int] = {}
                    for child in self.taking_part(node, source.name):
                        self._answer(child, site.at(turns), behind, sums)
                        sent = self._came(child, site.at(turns), behind)
                        for placement, number in sent.counts.items():
                            folded[placement] = folded.get(placement, 0) + number
                    before = behind.counts
                    behind.counts = {p: min(n, before.get(p, n)) for p, n in {**before, **folded}.items()}
                case Send(site=site) if node.parent is not None:
                    terms = self._terms(node, step)
                    if terms is None:
                        made = self._of_step(node, step, node.codec_up)
                    else:
                        offer = self._forecast([("offer", terms.offer_type, None)], "none")
                        self._send(node, site.at(turns).before, offer, behind, sums)
                        made = self._agreed(self._rising(node, step), terms)
                    self._send(node, site.at(turns), made, behind, sums)
                case Loop(turns=count):
                    known = constant(count)
                    if known is None:
                        self._unknown(step.steps, node, sums)
                    for turn in range(known or 0):
                        self._run(node, step.steps, (*turns, turn), behind, sums)

    def _send(self, node: Node, site: Site, made: Forecast | None, behind: _Behind, sums: Mapping[str, _Sum]) -> None:
        """Count a message to the parent, with what its header says of those below."""
        said = {**behind.counts, node.placement: behind.counts.get(node.placement, 0) + 1}
        taken, behind.traffic = behind.traffic, {}
        ident = {"m": "up", "inv": _INVOCATION, "att": 1, "site": str(site), "member": node.name}
        summary: dict[str, Any] = {"counts": said, "lost": {}, "more": 0}
        if behind.counts and (drawn := self._drawn_below.get(node.name)):
            summary["drawn"] = drawn
        ident |= {"summary": summary, "traffic": taken}
        wire, raw = self._add(sums, node, "up", made, ident)
        self._sent[node.name, site] = _Sent(wire, raw, said, taken)

    def _came(self, child: Node, site: Site, behind: _Behind) -> _Sent:
        """Return the message of a child, and count what its header says."""
        sent = self._sent.pop((child.name, site))
        _count_traffic(behind.traffic, child.placement, [sent.wire, sent.raw, 0, 0, 1, 0])
        for placement, numbers in sent.traffic.items():
            _count_traffic(behind.traffic, placement, numbers)
        return sent

    def _answer(self, child: Node, site: Site, behind: _Behind, sums: Mapping[str, _Sum]) -> None:
        """Count the offer of a child, and the answer to it, if it agrees on what it sends at `site`."""
        if (child.name, site.before) not in self._sent:
            return
        self._came(child, site.before, behind)
        terms = self._agreeing[child.placement, site.written]
        ident = {"m": "down", "inv": _INVOCATION, "att": 1, "site": str(site.before)}
        made = self._forecast([("answer", terms.answer_type, None)], "none")
        wire, raw = self._add(sums, child, "down", made, ident)
        _count_traffic(behind.traffic, child.placement, [0, 0, wire, raw, 0, 1])

    def _terms(self, node: Node, step: Send) -> Terms | None:
        """Return what `node` agrees on with its siblings before it sends, None if it does not."""
        key = (node.placement, step.site, node.codec_up)
        if key not in self._terms_of:
            fold = self._compiled.fold_of(step.site, node.placement)
            plus = tuple((s.name, s.type) for s in added(fold.folds)) if fold is not None else ()
            self._terms_of[key] = Terms.of(plus, link(node.codec_up)) if fold is not None else None
        terms = self._terms_of[key]
        if terms is not None:
            self._agreeing[node.placement, step.site] = terms
        return terms

    def _agreed(self, slots: list[forecast.Slot], terms: Terms) -> Forecast | None:
        key = ("agreed", str(terms.link), *slots)
        if key not in self._forecasts:
            self._forecasts[key] = Forecast.of(slots, terms.blank())
        return self._forecasts[key]

    def _unknown(self, steps: tuple[Step, ...], node: Node, sums: Mapping[str, _Sum]) -> None:
        """Note the tiers whose bytes depend on how often a loop is taken, which is known only when it runs."""
        for step in walk(steps):
            if isinstance(step, Broadcast | Scatter):
                sums[step.to.name].open = True
            elif isinstance(step, Send):
                sums[node.placement].open = True

    def _add(
        self, sums: Mapping[str, _Sum], member: Node, direction: str, made: Forecast | None, ident: dict[str, Any]
    ) -> tuple[int, int]:
        """Count one message; return its bytes on the wire and raw (0 if they are not known)."""
        to = sums[member.placement]
        if made is None:
            to.open = True
            return 0, 0
        wire, raw, headers = self._measured(made, ident)
        of = to.up if direction == "up" else to.down
        for at, amount in enumerate((raw, wire, headers)):
            of[at] += amount
        to.exact[direction] &= made.exact
        if self._told is not None:
            self._told[member.name, direction, ident["site"]] = wire
        return wire, raw

    def _measured(self, made: Forecast, ident: dict[str, Any]) -> tuple[int, int, int]:
        """Return the bytes of a message on the wire, raw and of its headers; of a sender its name's length counts."""
        told = [(p, *amounts) for p, amounts in ident.get("traffic", {}).items()]
        counts = ident["summary"]["counts"].items() if "summary" in ident else ()
        key = (id(made), ident["site"], len(ident.get("member", "")), *counts, *told)
        if key not in self._sizes:
            sizes = made.wire_bytes(ident), made.raw_bytes(ident), made.header_bytes(ident)
            self._sizes[key] = (made, sizes)  # which keeps `made`, and so its id
        return self._sizes[key][1]

    def children(self, node: Node, placement: str) -> Iterator[Node]:
        """Yield the children at `placement` in whose subtree there is something to do."""
        for name in node.children:
            child = self._topology.nodes[name]
            if child.placement == placement and any(p in self._active for p in self._below[name]):
                yield child

    def taking_part(self, node: Node, placement: str) -> Iterator[Node]:
        """Yield those of `children` who are drawn."""
        return (child for child in self.children(node, placement) if child.name in self.drawn)

    def _draw(self, node: Node) -> dict[str, int]:
        """Note that `node` takes part, and who of those below it; return how many are drawn, by placement."""
        told = self._drawn_below[node.name] = {p: plan.draw for p, plan in plans(self._topology, node).items()}
        own, seen = dict(told), dict[str, int]()
        for name in node.children:
            child = self._topology.nodes[name]
            seen[child.placement] = seen.get(child.placement, 0) + 1
            if seen[child.placement] <= own.get(child.placement, len(node.children)):
                for placement, number in self._draw(child).items():
                    told[placement] = told.get(placement, 0) + number
        return told

    def _rising(self, node: Node, step: Send) -> list[forecast.Slot]:
        return [self._slot(s, node.name) for s in step.slots]

    def _descending(self, child: Node, step: Broadcast | Scatter) -> list[forecast.Slot]:
        """Return the slots as `child` gets them: of a list over its own placement, one value."""
        own = [Slot(s.name, s.type) if s.many is not None and s.many.name == child.placement else s for s in step.slots]
        return [self._slot(s, child.name) for s in own]

    def _slot(self, slot: Slot, member: str) -> forecast.Slot:
        return slot.name, slot.type, None if slot.many is None else self._below[member].get(slot.many.name, 0)

    def _of_step(self, member: Node, step: Send | Broadcast | Scatter, spec: str) -> Forecast | None:
        """Return the forecast of what `member` sends or is sent in a step; one for all, but for lists."""
        key = (id(step), member.placement, spec)
        if key in self._alike:
            return self._alike[key]
        slots = self._rising(member, step) if isinstance(step, Send) else self._descending(member, step)
        made = self._forecast(slots, spec, isinstance(step, Scatter))
        if all(count is None for _, _, count in slots):
            self._alike[key] = made
        return made

    def _forecast(self, slots: list[forecast.Slot], spec: str, in_full: bool = False) -> Forecast | None:
        key = (spec, in_full, *slots)
        if key not in self._forecasts:
            self._forecasts[key] = Forecast.of(slots, link(spec), in_full=in_full)
        return self._forecasts[key]


def _count_traffic(traffic: dict[str, list[int]], placement: str, amounts: list[int]) -> None:
    """Count a message as a node does, in the order of `node.traffic.FIELDS`: its header carries the counts up."""
    before = traffic.get(placement, [0] * len(amounts))
    traffic[placement] = [a + b for a, b in zip(before, amounts, strict=True)]


def constant(turns: Expression) -> int | None:
    """Return the turns of a loop if they are written in the program, at most `_TURNS`; None if they are not."""
    if free_names(turns) or any(isinstance(n, LeafCall) for n in turns.walk()):
        return None
    known = iterate.turns(evaluate(turns, {}, load))
    return known if known <= _TURNS else None
