"""Plan: a topology becomes what each node is told, and is held against a program's slices.

    assignments(topology)           [server, edge-eu, edge-us, c-eu-00, …], without addresses
    misfits(topology, compiled)     [a codec that cannot carry what the program sends, …]
    idle_rules(topology, compiled)  [a rule for tensors that the program has not, …]
    summed(topology, compiled)      {"c-eu-00": [(codec("int8"), 50816), (codec("none"), 74)], …}
    predicted(topology, compiled)   {"CLIENTS": Predicted(raw_up=6515712, up=1735680, …), …}

Addresses are known once the supervisor has bound its listeners: `assignment.at(address)`.

A prediction goes through the slices node by node, as if nobody were lost, and counts the
frames that will be sent.  The types fix the payloads; the headers also carry an invocation's
name, which is taken to be of usual length.  So where codecs are of fixed size, it is the
number of bytes at the sockets, up to a 64-byte step of a header.  Where a loop is taken as
often as an argument says, it is not known.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tierfed.codecs import Codec, Rules, link_codec
from tierfed.codecs.rules import hits
from tierfed.compiler.slices import (
    Broadcast,
    Compiled,
    Fold,
    Load,
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
from tierfed.data import check_use
from tierfed.errors import CodecError, DataError, IdleRule, TierfedError
from tierfed.ir.evaluate import evaluate
from tierfed.ir.intrinsics import iterate
from tierfed.ir.nodes import Compiled as LeafCall
from tierfed.ir.nodes import Node as Expression
from tierfed.ir.nodes import free_names
from tierfed.leaves import load
from tierfed.placements import Member
from tierfed.topology.assignment import ChildAssignment, NodeAssignment
from tierfed.topology.error import Mix
from tierfed.topology.model import Node, Topology
from tierfed.topology.suggest import did_you_mean
from tierfed.wire import forecast
from tierfed.wire.forecast import Forecast
from tierfed.wire.terms import Terms

_INVOCATION = "00000000-10"  # of usual length
_link = functools.lru_cache(maxsize=256)(link_codec)  # most members share one
_NONE = _link("none")
_TURNS = 1000  # of a loop that are gone through one by one


def assignments(topology: Topology) -> list[NodeAssignment]:
    """Return the assignment of every node, those of one process together, parents before children."""
    below: dict[str, dict[str, int]] = {}
    _count(topology.tree.root, below)
    counts = {str(p): len(topology.tree.members(p)) for p in topology.hierarchy.placements}
    data = dict(topology.job.data) if topology.job is not None and topology.job.data is not None else None
    made: list[NodeAssignment] = []
    for members in topology.processes.values():
        nodes = [topology.nodes[name] for name in members]
        listening = {node.name for node in nodes if node.children or node.parent is None} or {members[0]}
        made += (_assignment(topology, n, below, counts[n.placement], data, n.name in listening) for n in nodes)
    return made


def _assignment(
    topology: Topology,
    node: Node,
    below: dict[str, dict[str, int]],
    count: int,
    data: dict[str, Any] | None,
    listens: bool,
) -> NodeAssignment:
    children = tuple(
        ChildAssignment(c.name, c.placement, c.codec_up, c.codec_down, below[c.name], c.link)
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
        listens=listens,
        process=node.process,
        interface=node.interface,
        device=node.device,
        available=node.available.of(topology.seed, node.name) if node.available is not None else None,
    )


def _count(member: Member, below: dict[str, dict[str, int]]) -> dict[str, int]:
    """Fill in, for `member` and all below it, the members of its subtree by placement."""
    counts = {member.placement.name: 1}
    for child in member.children:
        for placement, number in _count(child, below).items():
            counts[placement] = counts.get(placement, 0) + number
    below[member.name] = counts
    return counts


# -- a program on this topology


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


def check(topology: Topology, compiled: Compiled) -> None:
    """Raise the first of `misfits`."""
    for error in misfits(topology, compiled):
        raise error


def misfits(topology: Topology, compiled: Compiled) -> list[TierfedError]:
    """Return why a program cannot run on this topology: codecs that do not carry its values, data that is not there."""
    found: dict[str, TierfedError] = {}
    walk = _Walk(topology, compiled)
    seen: set[Any] = set()  # most members send the same
    for node in topology.nodes.values():
        for name, direction, slots, spec in walk.links(node):
            key = (topology.nodes[name].placement, direction, spec, *slots)
            if key in seen:
                continue
            seen.add(key)
            try:
                forecast.check_carried(slots, _link(spec))
            except CodecError as error:
                at = f"placements.{topology.nodes[name].placement}.codec.{direction}"
                told = f"{error.what} ({error.where}, on its way {direction})"
                found.setdefault(at, CodecError(told, where=at, mend=error.mend))
    data = topology.job.data if topology.job is not None else None
    for placement, part in compiled.slices.items():
        for step in part.walk():
            if isinstance(step, Load):
                try:
                    check_use(data, step.uri, step.slot.type, len(topology.members(placement)))
                except DataError as error:
                    found.setdefault(f"{placement} {step.uri}", error)
    return list(found.values())


def idle_rules(
    topology: Topology, compiled: Compiled, origins: Mapping[str, Mapping[str, str]] | None = None
) -> list[IdleRule]:
    """Return an error for each rule by tensor name that names nothing that the program sends where it is set.

    `origins` are those of nodes' settings, where the topology's own are not those of the file that a reader has.
    """
    names: dict[tuple[str, str, str], dict[str, None]] = {}  # by origin, direction and codec
    seen: set[Any] = set()  # most members send the same
    walk = _Walk(topology, compiled)
    for node in topology.nodes.values():
        for name, direction, slots, spec in walk.links(node):
            if spec.startswith("{"):
                known = (origins or {}).get(name) or topology.nodes[name].settings.origins
                key = (known[f"codec.{direction}"], direction, spec)
                if (key, *slots) not in seen:
                    seen.add((key, *slots))
                    names.setdefault(key, {}).update(dict.fromkeys(forecast.tensor_names(slots)))
    found = []
    for (origin, direction, spec), there in names.items():
        coder = _link(spec)
        for pattern, _ in coder.rules if isinstance(coder, Rules) else ():
            if not any(hits(pattern, name) for name in there):
                what = f'"{pattern}" names no tensor that the program sends {direction} there'
                found.append(IdleRule(what, where=origin, mend=_meant(pattern, list(there))))
    return found


def _meant(pattern: str, names: list[str]) -> str:
    """Return what was likely meant by a pattern that hits none of `names`."""
    ends = dict.fromkeys(name.rpartition("/")[2] for name in names)
    last = pattern.rpartition("/")[2].replace("*", "").replace("?", "")
    return did_you_mean(last or pattern, ends if last else names, "its tensors are")


def predicted(topology: Topology, compiled: Compiled) -> dict[str, Predicted | None]:
    """Return the bytes of one invocation by placement, None where a size is known only when it runs.

    The root is not in it: it has nobody to send to.  Raises CodecError for what cannot be sent.
    """
    walk = _Walk(topology, compiled)
    sums = {str(p): _Sum() for p in topology.hierarchy.placements if p != topology.hierarchy.root}
    for placement in reversed(topology.hierarchy.placements):  # children before their parents
        for node in topology.members(placement):
            walk.run(node, sums)
    return {name: each.result() for name, each in sums.items()}


def summed(topology: Topology, compiled: Compiled) -> dict[str, Mix]:
    """Return the codecs of the floats that each member sends to be summed, each with its number of elements.

    Left out are members that send none, or whose sizes are known only when the program runs.
    """
    walk = _Walk(topology, compiled)
    known: dict[Any, list[tuple[Codec, float]] | None] = {}
    found: dict[str, Mix] = {}
    for node in topology.nodes.values():
        slots = walk.summed(node)
        key = (node.codec_up, *slots)
        if key not in known:
            known[key] = forecast.shares(slots, _link(node.codec_up))
        mix = known[key]
        if mix:
            found[node.name] = mix
    return found


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


class _Walk:
    """The messages of one invocation, node by node."""

    def __init__(self, topology: Topology, compiled: Compiled) -> None:
        self._topology = topology
        self._compiled = compiled
        self._slices: dict[str, Slice] = {p.name: part for p, part in compiled.slices.items()}
        self._active = {name for name, part in self._slices.items() if part.steps}
        self._below: dict[str, dict[str, int]] = {}
        _count(topology.tree.root, self._below)
        self._forecasts: dict[Any, Forecast | None] = {}
        self._sent: dict[tuple[str, Site], _Sent] = {}
        self._agreeing: dict[tuple[str, Site], Terms] = {}

    def links(self, node: Node) -> Iterator[tuple[str, str, list[forecast.Slot], str]]:
        """Yield (child, direction, slots, codec) of each message between `node` and its parent or its children."""
        for step in self._slices[node.placement].walk():
            if isinstance(step, Send) and node.parent is not None:
                yield node.name, "up", self._rising(node, step), node.codec_up
            elif isinstance(step, Broadcast | Scatter):
                for child in self._children(node, step.to.name):
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
                    for child in self._children(node, step.to.name):
                        made = self._forecast(
                            self._descending(child, step), child.codec_down, isinstance(step, Scatter)
                        )
                        wire, raw = self._add(sums[child.placement], "down", made, ident)
                        _count_traffic(behind.traffic, child.placement, [0, 0, wire, raw, 0, 1])
                case Fold(site=site, source=source):
                    folded: dict[str, int] = {}
                    for child in self._children(node, source.name):
                        self._answer(child, site.at(turns), behind, sums)
                        sent = self._came(child, site.at(turns), behind)
                        for placement, number in sent.counts.items():
                            folded[placement] = folded.get(placement, 0) + number
                    before = behind.counts
                    behind.counts = {p: min(n, before.get(p, n)) for p, n in {**before, **folded}.items()}
                case Send(site=site) if node.parent is not None:
                    terms = self._terms(node, step)
                    if terms is None:
                        made = self._forecast(self._rising(node, step), node.codec_up)
                    else:
                        offer = Forecast.of([("offer", terms.offer_type, None)], _NONE)
                        self._send(node, site.at(turns).before, offer, behind, sums)
                        made = self._agreed(self._rising(node, step), terms)
                    self._send(node, site.at(turns), made, behind, sums)
                case Loop(turns=count):
                    known = _constant(count)
                    if known is None:
                        self._unknown(step.steps, node, sums)
                    for turn in range(known or 0):
                        self._run(node, step.steps, (*turns, turn), behind, sums)

    def _send(self, node: Node, site: Site, made: Forecast | None, behind: _Behind, sums: Mapping[str, _Sum]) -> None:
        """Count a message to the parent, with what its header says of those below."""
        said = {**behind.counts, node.placement: behind.counts.get(node.placement, 0) + 1}
        taken, behind.traffic = behind.traffic, {}
        ident = {"m": "up", "inv": _INVOCATION, "att": 1, "site": str(site), "member": node.name}
        ident |= {"summary": {"counts": said, "lost": {}, "more": 0}, "traffic": taken}
        wire, raw = self._add(sums[node.placement], "up", made, ident)
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
        made = Forecast.of([("answer", terms.answer_type, None)], _NONE)
        wire, raw = self._add(sums[child.placement], "down", made, ident)
        _count_traffic(behind.traffic, child.placement, [0, 0, wire, raw, 0, 1])

    def _terms(self, node: Node, step: Send) -> Terms | None:
        """Return what `node` agrees on with its siblings before it sends, None if it does not."""
        fold = self._compiled.fold_of(step.site, node.placement)
        if fold is None:
            return None
        terms = Terms.of(tuple((s.name, s.type) for s in added(fold.folds)), _link(node.codec_up))
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

    def _add(self, to: _Sum, direction: str, made: Forecast | None, ident: dict[str, Any]) -> tuple[int, int]:
        """Count one message; return its bytes on the wire and raw (0 if they are not known)."""
        if made is None:
            to.open = True
            return 0, 0
        wire, raw, headers = made.wire_bytes(ident), made.raw_bytes(ident), made.header_bytes(ident)
        of = to.up if direction == "up" else to.down
        for at, amount in enumerate((raw, wire, headers)):
            of[at] += amount
        to.exact[direction] &= made.exact
        return wire, raw

    def _children(self, node: Node, placement: str) -> Iterator[Node]:
        """Yield the children at `placement` in whose subtree there is something to do."""
        for name in node.children:
            child = self._topology.nodes[name]
            if child.placement == placement and any(p in self._active for p in self._below[name]):
                yield child

    def _rising(self, node: Node, step: Send) -> list[forecast.Slot]:
        return [self._slot(s, node.name) for s in step.slots]

    def _descending(self, child: Node, step: Broadcast | Scatter) -> list[forecast.Slot]:
        """Return the slots as `child` gets them: of a list over its own placement, one value."""
        own = [Slot(s.name, s.type) if s.many is not None and s.many.name == child.placement else s for s in step.slots]
        return [self._slot(s, child.name) for s in own]

    def _slot(self, slot: Slot, member: str) -> forecast.Slot:
        return slot.name, slot.type, None if slot.many is None else self._below[member].get(slot.many.name, 0)

    def _forecast(self, slots: list[forecast.Slot], spec: str, in_full: bool = False) -> Forecast | None:
        key = (spec, in_full, *slots)
        if key not in self._forecasts:
            self._forecasts[key] = Forecast.of(slots, _link(spec), in_full=in_full)
        return self._forecasts[key]


def _count_traffic(traffic: dict[str, list[int]], placement: str, amounts: list[int]) -> None:
    """Count a message as a node does, in the order of `node.traffic.FIELDS`: its header carries the counts up."""
    before = traffic.get(placement, [0] * len(amounts))
    traffic[placement] = [a + b for a, b in zip(before, amounts, strict=True)]


def _constant(turns: Expression) -> int | None:
    """Return the turns of a loop if they are written in the program, at most `_TURNS`; None if they are not."""
    if free_names(turns) or any(isinstance(n, LeafCall) for n in turns.walk()):
        return None
    known = iterate.turns(evaluate(turns, {}, load))
    return known if known <= _TURNS else None
