"""Heard: of how many members at the bottom a fleet has heard in the invocation that is under way.

    heard_of(nodes, "9f-3")       {"kind": "heard", "placement": "CLIENTS", "heard": 312, "folded": 0, "of": 1000, …}

A round of a million takes minutes, in which the root, and those just below it, hear of nobody.  So this adds up what
all parents of leaves have; it costs a look at each parent, and none at a member.  Of several phases it tells of
the first that is not over; `of` counts the members whose parents have begun.

Sound because it only reads: what a view shows can change neither a result nor an order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tierfed.node.collection import Order
from tierfed.node.node import Node


@dataclass(slots=True)
class _Phase:
    placement: str
    heard: int = 0
    lost: int = 0
    folded: int = 0
    of: int = 0
    closed: bool = True


def heard_of(parents: Iterable[Node], invocation: str) -> dict[str, Any] | None:
    """Return a report of the first phase that is not over at these parents of leaves; None if none has begun."""
    phases: dict[tuple[Order, str], _Phase] = {}
    for node in parents:
        for c in node.collections(invocation):
            if not c.members or len(node.children[c.members[0]].members_below) > 1:
                continue
            phase = phases.setdefault((c.order, c.placement), _Phase(c.placement))
            folds = c.folds.values()
            phase.heard += len(c.held)
            phase.lost += len(c.lost)
            phase.folded += min(fold.done for fold in folds)
            phase.of += len(c.members)
            phase.closed = phase.closed and all(fold.closed for fold in folds)
    if not phases:
        return None
    order = min((key for key, phase in phases.items() if not phase.closed), default=max(phases))
    now = phases[order]
    return {
        "kind": "heard",
        "inv": invocation,
        "phase": str(order),
        "placement": now.placement,
        "heard": now.heard,
        "lost": now.lost,
        "folded": now.folded,
        "of": now.of,
    }
