"""Progress: what a tree is doing, as its events tell it.

    ✓ SERVER 1/1   ✓ EDGE_AGGREGATORS 2/2   ✓ CLIENTS 64/64   ready in 1.4 s
    round 4/10 ━━━━━━━━━────────────────  accuracy 0.712   loss 0.81   0.41 s/round
    SERVER server  collecting 1/2
    ├─ edge-eu     folded     32/32
    └─ edge-us     collecting 27/32  waits for c-us-07 (sending)  ⚠ c-us-05 lost

Events come from another thread than the one that draws, hence the lock.  A line is a list of
pieces, each a text and a style, so that what is drawn can be read by a test without a terminal.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from tierfed.report.hearing import Hearing
from tierfed.report.quantities import metrics, seconds
from tierfed.topology import Node, Topology
from tierfed.topology.collapse import collapsed
from tierfed.topology.draw import size

Event: TypeAlias = Mapping[str, Any]
Line: TypeAlias = list[tuple[str, str]]

_BAR = 24  # columns, where there is room
_NARROW = 60  # columns; below, what is known stands on lines of its own
_URGENT = 0.5  # share of its deadline after which an aggregator says how long it still waits


class Fold(NamedTuple):
    """How far a fold is; `awaits` names the next ones, and what they are about."""

    whole: int
    expected: int
    lost: int
    closed: bool
    awaits: str

    @property
    def state(self) -> str:
        """What is going on: `collecting`, `folding`, `folded`."""
        return "folded" if self.closed else "folding" if self.whole + self.lost >= self.expected else "collecting"


@dataclass(slots=True)
class Aggregator:
    """One that waits for children: how far its folds of the current invocation are, by site."""

    node: Node
    lead: str
    below: str
    sites: dict[str, Fold] = field(default_factory=dict)
    since: float = 0.0
    lost: list[str] = field(default_factory=list)

    @property
    def current(self) -> Fold | None:
        """The first of its folds that is still open, else the last one."""
        folds = list(self.sites.values())
        return next((fold for fold in folds if not fold.closed), folds[-1] if folds else None)


class Progress:
    """What is known of a run so far; `clock` gives seconds."""

    def __init__(self, topology: Topology, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._topology = topology
        self._aggregators = {a.node.name: a for a in _aggregators(topology, topology.root, "", "")}
        self.placements: dict[str, tuple[int, int]] = {
            str(p): (0, len(topology.members(p))) for p in topology.hierarchy.placements
        }
        self._ready: float | None = None
        self._round: tuple[int, int] | None = None
        self._done = 0
        self._took: list[float] = []
        self._metrics: Mapping[str, Any] = {}
        self._traffic: Mapping[str, Mapping[str, int]] = {}
        self._invocation: str | None = None
        self._hearing = Hearing(clock)

    def happened(self, event: Event) -> None:
        """Take an event; one that is not known says nothing."""
        with self._lock:
            match event.get("event"):
                case "starting":
                    self.placements.update(event["placements"])
                case "ready":
                    self._ready = event["seconds"]
                    self.placements = {name: (of, of) for name, (_, of) in self.placements.items()}
                case "heard":
                    self._hearing.happened(event)
                case "round":
                    self._hearing.over()
                    self._round = event["round"], event["of"]
                    for aggregator in self._aggregators.values():
                        aggregator.lost.clear()
                case "progress":
                    self._fold(event)
                case "lost":
                    self._lost(str(event["node"]))
                case "invoked":
                    self._hearing.over()
                case "released":
                    self._done = event["round"] + 1
                    self._took.append(event["seconds"])
                    self._metrics, self._traffic = event["metrics"], event["traffic"]

    def _fold(self, event: Event) -> None:
        aggregator = self._aggregators.get(str(event["node"]))
        if event["inv"] != self._invocation:
            self._invocation = event["inv"]
            for each in self._aggregators.values():
                each.sites.clear()
        if aggregator is not None:
            if not aggregator.sites:
                aggregator.since = self._clock()
            fold = Fold(event["whole"], event["expected"], event["lost"], event["closed"], str(event["awaits"]))
            aggregator.sites[str(event["site"])] = fold

    def _lost(self, name: str) -> None:
        node = self._topology.nodes.get(name)
        if node is not None and node.parent in self._aggregators:
            self._aggregators[node.parent].lost.append(name)

    def _leaves(self, node: Node) -> str | None:
        """Return the placement of the children of `node`, if those have none themselves."""
        first = self._topology.nodes[node.children[0]]
        return None if first.children else str(first.placement)

    def told(self) -> dict[str, Any]:
        """Return what is known, as plain values: for pages, and for programs."""
        with self._lock:
            return {
                "ready": self._ready,
                "placements": {name: {"ready": ready, "of": of} for name, (ready, of) in self.placements.items()},
                "round": None if self._round is None else {"number": self._round[0] + 1, "of": self._round[1]},
                "done": self._done,
                "aggregators": [_told(a, self._leaves(a.node), self._clock()) for a in self._aggregators.values()],
            }

    def lines(self, width: int, height: int) -> list[Line]:
        """Return what to draw on `width` columns and at most `height` lines."""
        with self._lock:
            if self._ready is None:
                return self._starting(width)
            lines = self._head(width)
            if (heard := self._hearing.told()) is not None:
                lines.append(_cut([(heard, "")], width))
            room = max(height - len(lines) - 1, 1)
            rows = [_row(a, self._clock(), width) for a in self._aggregators.values()]
            flat = [line for row in rows[:room] for line in row]
            if len(rows) > room or len(flat) > room:
                flat = [*flat[: room - 1], [(f"… {len(rows)} aggregators in all", "dim")]]
            return [*lines, *flat]

    def _starting(self, width: int) -> list[Line]:
        pieces = [
            (f"{'✓' if ready == of else '·'} {name} {ready}/{of}", "green" if ready == of else "")
            for name, (ready, of) in self.placements.items()
        ]
        return _flow(pieces, "   ", width)

    def _head(self, width: int) -> list[Line]:
        if self._round is None:
            return [[("running", "bold")]]
        number, of = self._round
        known = [(text, "") for text in metrics(self._metrics, 3)]
        if self._took:
            known.append((f"{seconds(self._took[-1])}/round", "dim"))
        bar = _bar(self._done, of, min(_BAR, max(width - 30, 8)))
        first: Line = [(f"round {min(number + 1, of)}/{of} ", "bold"), *bar]
        up = [f"{placement} {size(counts['up'])}" for placement, counts in reversed(list(self._traffic.items()))]
        sent: list[Line] = [[("↑ a round  ", "dim"), (" · ".join(up), "dim")]] if up and width >= _NARROW else []
        if width >= _NARROW and _length(first) + sum(len(t) + 3 for t, _ in known) <= width:
            return [first + [piece for text in known for piece in (("   ", ""), text)], *sent]
        return [first, *_flow(known, "   ", width), *sent]


def _aggregators(topology: Topology, node: Node, lead: str, below: str) -> list[Aggregator]:
    """Return the nodes that have children, depth first, each with its branches."""
    rows = [Aggregator(node, lead, below)] if node.children else []
    inner = [topology.nodes[name] for name in node.children if topology.nodes[name].children]
    for at, child in enumerate(inner):
        last = at == len(inner) - 1
        rows += _aggregators(topology, child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))
    return rows


def _told(aggregator: Aggregator, leaves: str | None, now: float) -> dict[str, Any]:
    node, fold = aggregator.node, aggregator.current
    plain: dict[str, Any] = {
        "name": node.name,
        "placement": str(node.placement),
        "parent": node.parent,
        "children": len(node.children),
        "leaves": leaves,
        "lost": aggregator.lost,
        "state": "waiting" if fold is None else fold.state,
    }
    if fold is not None:
        left = None if fold.closed else max(node.deadline.seconds - (now - aggregator.since), 0.0)
        plain |= {"whole": fold.whole, "expected": fold.expected, "awaits": fold.awaits, "left": left}
    return plain


def _row(aggregator: Aggregator, now: float, width: int) -> list[Line]:
    node = aggregator.node
    name = node.name if node.parent is not None else f"{node.placement} {node.name}"
    line: Line = [(aggregator.lead, "dim"), (name, "")]
    fold = aggregator.current
    room = max(width // 2 - 8, 14)
    line.append((" " * max(room - _length(line), 1), ""))
    if fold is None:
        return [_cut([*line, ("waiting", "dim")], width)]
    whole, expected, lost, closed, awaits = fold
    state = fold.state
    line.append((f"{state:<10} {whole}/{expected}", "green" if closed else ""))
    left = node.deadline.seconds - (now - aggregator.since)
    if not closed and left < node.deadline.seconds * _URGENT:
        line.append((f"  {max(left, 0):.0f} s left", "yellow"))
    waits = "" if closed else awaits
    if not aggregator.lost and not lost:
        return [_cut([*line, _waiting(waits, width - _length(line))], width)]
    told = f"⚠ {collapsed(aggregator.lost) if aggregator.lost else lost} lost"
    if _length(line) + len(told) + 2 <= width:
        line.append((f"  {told}", "yellow"))
        return [[*line, _waiting(waits, width - _length(line))]]
    second: Line = [(aggregator.below + "  ", "dim"), (told, "yellow")]
    return [_cut([*line, _waiting(waits, width - _length(line))], width), _cut(second, width)]


def _waiting(awaits: str, room: int) -> tuple[str, str]:
    """Return whom an aggregator waits for and why, as many of them as there is room for."""
    some = awaits.split(", ") if awaits else []
    while some:
        told = f"  waits for {', '.join(some)}{', …' if len(some) < awaits.count(', ') + 1 else ''}"
        if len(told) <= room:
            return told, "dim"
        some.pop()
    return "", ""


def _bar(done: int, of: int, width: int) -> Line:
    full = width * done // of if of else width
    return [("━" * full, "green"), ("─" * (width - full), "dim")]


def _flow(pieces: Line, gap: str, width: int) -> list[Line]:
    """Return `pieces` side by side, on as many lines as they take."""
    lines: list[Line] = [[]]
    for piece in pieces:
        if lines[-1] and _length(lines[-1]) + len(gap) + len(piece[0]) > width:
            lines.append([])
        lines[-1] += [(gap, ""), piece] if lines[-1] else [piece]
    return [_cut(line, width) for line in lines if line]


def _length(line: Line) -> int:
    return sum(len(text) for text, _ in line)


def _cut(line: Line, width: int) -> Line:
    """Return `line` with no more than `width` characters."""
    if _length(line) <= width:
        return line
    cut: Line = []
    left = width - 1
    for text, style in line:
        cut.append((text[:left], style))
        left -= len(text[:left])
    return [*cut, ("…", "dim")]
