"""Waiting: when what an aggregator's children sent was there, and which of them was waited for.

    waits = of_run(run.path / "history")
    waits[("i-7", "edge-eu")][0].last                       ("c-eu-05", 1.21)

A *wait* is one collection of one aggregator: from when its round came to it until the collection closed, with the
arrival of each child's message.  The last child that came before it closed was waited for; where members were lost
it was not they who were waited for in the end, but the deadline.  From the root down, each time to the one who was
last, is the *chain* of a round: what would have had to be quicker.

The times are those of the histories of aggregators (node/history.py): seconds of the machine's monotonic clock, or
virtual ones.  Of a collection with more than so many children the arrivals are thinned out, their order kept.
"""

from __future__ import annotations

import contextlib
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KEPT = 60  # arrivals of a wait
_EVENTS = tuple(f'"event":"{name}"' for name in ("begun", "reached", "accepted", "closed", "failed"))

Key = tuple[str, str]  # invocation, node


@dataclass(frozen=True, slots=True)
class Wait:
    """One collection: `arrivals` are (seconds, child), in their order, thinned out; `count` is how many there were."""

    site: str
    begun: float
    ended: float
    arrivals: Sequence[tuple[float, str]]
    count: int
    median: float
    lost: Mapping[str, str]
    expected: int

    @property
    def last(self) -> tuple[str, float] | None:
        """The child that came last, and when; None if none came."""
        return (self.arrivals[-1][1], self.arrivals[-1][0]) if self.arrivals else None

    @property
    def lag(self) -> float:
        """Seconds from when half of the children had come until it closed: what waiting for the rest took."""
        return self.ended - self.median if self.arrivals else self.ended - self.begun


@dataclass(frozen=True, slots=True)
class Waits:
    """All waits of a run, by invocation and aggregator; `parent` says below whom each aggregator is."""

    of: Mapping[Key, Sequence[Wait]]
    parent: Mapping[str, str]

    @property
    def root(self) -> str | None:
        """The aggregator that is nobody's child."""
        nodes = dict.fromkeys(node for _, node in self.of)
        return next((node for node in nodes if node not in self.parent), None)

    @property
    def nodes(self) -> list[str]:
        """The aggregators, each before those below it."""
        nodes = list(dict.fromkeys(node for _, node in self.of))
        below: dict[str | None, list[str]] = {}
        for node in nodes:
            below.setdefault(self.parent.get(node), []).append(node)
        found: list[str] = []
        waiting = [root for root in reversed(nodes) if self.parent.get(root) not in set(nodes)]
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.append(node)
                waiting += reversed(below.get(node, []))
        return found

    def chain(self, invocation: str) -> list[str]:
        """Return who was waited for, from the root down: the last of the root's children, the last of its, …"""
        node, found = self.root, []
        while node is not None and (waits := self.of.get((invocation, node))):
            longest = max(waits, key=lambda wait: wait.ended - wait.begun)
            node = longest.last[0] if longest.last is not None else None
            if node is None or node in found:
                break
            found.append(node)
        return found


def of_run(folder: Path) -> Waits:
    """Return the waits of a run from the folder of its histories; none if there is none."""
    found: dict[Key, list[Wait]] = {}
    parent: dict[str, str] = {}
    for file in sorted(folder.glob("*.jsonl")):
        for invocation, node, wait, children in _of_file(file):
            found.setdefault((invocation, node), []).append(wait)
            for child in children:
                parent.setdefault(child, node)
    aggregators = {node for _, node in found}
    return Waits(found, {child: above for child, above in parent.items() if child in aggregators})


def _of_file(file: Path) -> Iterator[tuple[str, str, Wait, Sequence[str]]]:
    begun: dict[str, dict[str, Any]] = {}  # by invocation: of its latest attempt
    reached: dict[tuple[str, str], float] = {}
    came: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for row in _rows(file):
        invocation, at, event = str(row["invocation"]), float(row["at"]), row["event"]
        key = (invocation, str(row.get("site")))
        if event == "begun":
            begun[invocation] = row
        elif event == "reached":
            reached[key] = at
        elif event == "accepted":
            came.setdefault(key, []).append((at, str(row.get("member"))))
        elif invocation in begun:
            arrivals = sorted(came.pop(key, []))
            start = begun[invocation]
            children = _children(start, key[1])
            since = reached.pop(key, float(start["at"]))
            lost = row.get("lost")
            wait = Wait(
                site=key[1],
                begun=since,
                ended=max(at, since),
                arrivals=_thinned(arrivals),
                count=len(arrivals),
                median=statistics.median_low([t for t, _ in arrivals]) if arrivals else since,
                lost=lost if isinstance(lost, dict) else {},
                expected=max(len(children), len(arrivals)),
            )
            yield invocation, str(row["node"]), wait, children


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows that say when; the last line may be torn, and the file's other lines are long."""
    try:
        with open(file, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if any(name in line for name in _EVENTS):
                    with contextlib.suppress(ValueError, RecursionError):
                        row = json.loads(line)
                        fits = isinstance(row, dict) and isinstance(row.get("at"), int | float)
                        if fits and {"invocation", "node", "event"} <= set(row):
                            yield row
    except OSError:
        return


def _children(begun: Mapping[str, Any], site: str) -> list[str]:
    """Return whom the collection of `site` was to hear from; a site in a loop is called by the loop's own."""
    for key in ("sites", "looped"):
        table = begun.get(key)
        if isinstance(table, dict):
            of = table.get(site) or table.get(site.partition("[")[0].rstrip("?"))
            if isinstance(of, dict) and isinstance(of.get("children"), list):
                return [str(child) for child in of["children"]]
    return []


def _thinned(arrivals: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    if len(arrivals) <= _KEPT:
        return list(arrivals)
    step = (len(arrivals) - 1) / (_KEPT - 1)
    return [arrivals[round(at * step)] for at in range(_KEPT)]
