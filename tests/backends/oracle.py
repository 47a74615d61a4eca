"""The oracle: what a collective means, folded by hand in plain numpy.

A tree is three dictionaries of names, a placed value a dictionary from member to value, and every
fold two loops: over the children of a member, from zero; and over the partials of those below,
from the first.  Nothing of the interpreter, the compiler or the daemons is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tierfed.placements import Tree
from tierfed.types import StructType, Type


class Empty(Exception):
    """A mean, minimum or maximum over nobody."""


@dataclass
class At:
    """A placed value: each member's own, in member order."""

    placement: str
    values: dict[str, Any]

    def map(self, fn: Callable[[Any], Any]) -> At:
        """`fn` of each."""
        return At(self.placement, {name: fn(value) for name, value in self.values.items()})


@dataclass
class Oracle:
    """A tree as names: who is at a placement, who is below whom, which placement is above which."""

    members: dict[str, list[str]] = field(default_factory=dict)
    children: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # (name, placement)
    parent: dict[str, str] = field(default_factory=dict)
    above: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(tree: Tree) -> Oracle:
        """Write `tree` down, depth-first."""
        found = Oracle({str(p): [] for p in tree.hierarchy.placements})
        for p in tree.hierarchy.placements:
            over = tree.hierarchy.parent(p)
            if over is not None:
                found.above[str(p)] = str(over)

        def visit(member: Any) -> None:
            found.members[str(member.placement)].append(member.name)
            found.children[member.name] = [(c.name, str(c.placement)) for c in member.children]
            for child in member.children:
                found.parent[child.name] = member.name
                visit(child)

        visit(tree.root)
        return found

    def everywhere(self, placement: str, value: Any) -> At:
        """The same value at every member."""
        return At(placement, dict.fromkeys(self.members[placement], value))

    def zipped(self, *parts: At) -> At:
        """At each member, the tuple of its values."""
        return At(parts[0].placement, {n: tuple(p.values[n] for p in parts) for n in parts[0].values})

    def down(self, x: At, to: str) -> At:
        """Each member's value is its ancestor's."""

        def ancestor(name: str) -> str:
            while name not in x.values:
                name = self.parent[name]
            return name

        return At(to, {name: x.values[ancestor(name)] for name in self.members[to]})

    def up(
        self, x: At, to: str, zero: Any, accumulate: Callable[[Any, Any], Any], merge: Callable[[Any, Any], Any]
    ) -> At:
        """The fold at each member of `to`, tier by tier."""
        below, here = x.placement, self.above[x.placement]
        held: dict[str, Any] = {}
        for member in self.members[here]:
            total = zero
            for name, placement in self.children[member]:
                if placement == below:
                    total = accumulate(total, x.values[name])
            held[member] = total
        while here != to:
            below, here = here, self.above[here]
            higher = {}
            for member in self.members[here]:
                partials = [held[name] for name, placement in self.children[member] if placement == below]
                total = partials[0] if partials else zero
                for partial in partials[1:]:
                    total = merge(total, partial)
                higher[member] = total
            held = higher
        return At(to, held)

    def sum(self, x: At, to: str, t: Type) -> At:
        """0 + x1 + x2 + …, and then partial + partial + …"""
        plus = lambda a, b: each(t, np.add, a, b)  # noqa: E731
        return self.up(x, to, zeros(t), plus, plus)

    def extremum(self, x: At, to: str, t: Type, pick: Any) -> At:
        """The least or greatest, nobody being no number at all."""

        def better(a: Any, b: Any) -> Any:
            return b if a is None else a if b is None else (each(t, pick, a[0], b[0]),)

        found = self.up(x, to, None, lambda a, b: better(a, (b,)), better)
        if None in found.values.values():
            raise Empty
        return found.map(lambda one: one[0])

    def mean(self, x: At, w: At | None, to: str, t: Type) -> At:
        """sum(w·x) / sum(w), summed in float32 at least, divided at `to` alone."""
        weights = {n: np.float64(1 if w is None else w.values[n]) for n in x.values}
        of = wide(t)

        def weighed(name: str) -> Any:
            return each(t, lambda v: np.multiply(widened(v), weights[name].astype(widened(v).dtype)), x.values[name])

        parts = At(x.placement, {n: (weighed(n), weights[n], 1) for n in x.values})

        def plus(a: Any, b: Any) -> Any:
            return each(of, np.add, a[0], b[0]), a[1] + b[1], a[2] + b[2]

        totals = self.up(parts, to, (zeros(of), np.float64(0), 0), plus, plus)
        if any(count == 0 or weight == 0 for _, weight, count in totals.values.values()):
            raise Empty
        return totals.map(
            lambda p: each(t, lambda v, like: np.divide(v, p[1].astype(v.dtype)).astype(like.dtype), p[0], zeros(t))
        )


def each(t: Type, operation: Callable[..., Any], *values: Any) -> Any:
    """`operation` on the tensors of values of `t`."""
    if isinstance(t, StructType):
        return tuple(each(e, operation, *parts) for e, *parts in zip(t.parts(), *values, strict=True))
    with np.errstate(all="ignore"):
        return operation(*(np.asarray(v) for v in values))[()]


def zeros(t: Type) -> Any:
    """Zeros of the shape and dtype of `t`."""
    if isinstance(t, StructType):
        return tuple(zeros(e) for e in t.parts())
    return np.zeros(t.shape, t.dtype)[()]


def widened(v: Any) -> Any:
    """16-bit floats as float32, anything else as it is."""
    return v.astype(np.float32) if v.dtype.itemsize == 2 else v


def wide(t: Type) -> Type:
    """The type that a mean of `t` is summed in."""
    if isinstance(t, StructType):
        return StructType([(n, wide(e)) for n, e in t.elements])
    return type(t)("float32" if t.dtype.itemsize == 2 else t.name, t.shape)
