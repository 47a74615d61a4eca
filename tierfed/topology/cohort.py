"""Cohort: how many of a parent's children take part in an invocation, and what the parent is told of it.

    cohort: {select: 10%, over: 130%}      over 64 children: target 7, draw 10, the first 7 count
    cohort: {select: 5, weights: examples} five, the more examples a child has the likelier

Every parent draws from its own children, so that it needs nobody's word and the tree keeps its shape: of n
children the target is `select` of n, rounded up (a number: at most n), and `over` of that is drawn.

These are plain values: daemons read them without pydantic.  Who is drawn is said in `node/cohort.py`.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tierfed.errors import ProtocolError

if TYPE_CHECKING:
    from tierfed.topology.model import Topology
    from tierfed.topology.units import Percent


@dataclass(frozen=True, slots=True)
class Cohort:
    """What a file says at a placement; `weights` names a label, `origin` is where it was written."""

    select: Percent | int
    over: Percent | None = None
    weights: str | None = None
    origin: str = field(default="", compare=False)

    def target(self, children: int) -> int:
        """Return how many of a parent's `children` are to count."""
        return min(children, self.select) if isinstance(self.select, int) else self.select.of(children)

    def draw(self, children: int) -> int:
        """Return how many of a parent's `children` are drawn."""
        target = self.target(children)
        return target if self.over is None else min(children, self.over.of(target))

    def plan(self, names: Mapping[str, Mapping[str, str]]) -> CohortPlan:
        """Return what a parent is told of its children; `names` are theirs, with the labels that each sees."""
        weights = {} if self.weights is None else {name: float(of[self.weights]) for name, of in names.items()}
        return CohortPlan(self.target(len(names)), self.draw(len(names)), weights)

    def to_dict(self) -> dict[str, Any]:
        """Return the mapping that a file has."""
        written: dict[str, Any] = {"select": self.select if isinstance(self.select, int) else str(self.select)}
        if self.over is not None:
            written["over"] = str(self.over)
        return written if self.weights is None else {**written, "weights": self.weights}

    def __str__(self) -> str:
        over = "" if self.over is None else f", over {self.over}"
        return f"cohort {self.select}{over}" + ("" if self.weights is None else f", by {self.weights}")


@dataclass(frozen=True, slots=True)
class CohortPlan:
    """Of one parent's children at one placement `target` are to count, `draw` are drawn.

    `weights` is by child; empty: all alike.
    """

    target: int
    draw: int
    weights: Mapping[str, float] = field(default_factory=dict, hash=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return {"target": self.target, "draw": self.draw, "weights": dict(self.weights)}


def counting(topology: Topology) -> Container[str]:
    """Return who stands for those that count in a round: the first so many children of each placement and parent."""
    if not topology.cohorts:
        return topology.nodes
    found = {topology.root.name}
    for node in topology.nodes.values():  # parents before their children
        if node.name in found:
            below: dict[str, list[str]] = {}
            for name in node.children:
                below.setdefault(topology.nodes[name].placement, []).append(name)
            for placement, names in below.items():
                cohort = topology.cohorts.get(placement)
                found.update(names if cohort is None else names[: cohort.target(len(names))])
    return found


def plans_of(data: Mapping[Any, Any], where: str) -> dict[str, CohortPlan]:
    """Return the plans that `to_dict` wrote, by placement.  Raises ProtocolError for anything else."""
    return {str(placement): _plan_of(plan, f"{where}.{placement}") for placement, plan in data.items()}


def _plan_of(data: object, where: str) -> CohortPlan:
    if not isinstance(data, Mapping) or set(data) != {"target", "draw", "weights"}:
        raise ProtocolError(f"{data!r} is no cohort", where=where, mend="run one version of tierfed on both sides")
    target, draw, weights = data["target"], data["draw"], data["weights"]
    if type(target) is not int or type(draw) is not int or not 0 <= target <= draw:
        raise ProtocolError(f"{draw!r} drawn for {target!r} is no cohort", where=where)
    if not isinstance(weights, Mapping) or not all(
        isinstance(name, str) and isinstance(w, int | float) and math.isfinite(w) and w > 0
        for name, w in weights.items()
    ):
        raise ProtocolError(f"{weights!r} are no weights", where=where)
    return CohortPlan(target, draw, {name: float(w) for name, w in weights.items()})
