"""The fold along a tree, which every aggregate means.

Each member just above the source left-folds `accumulate` from `zero` over its children in
member order; each member higher up left-folds `merge` over its children's partials,
starting from the first; `report` runs once at each member of the destination.  A member
without children on the way gives `zero`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tierfed.placements import Member, Placement, Tree


def fold_up(
    tree: Tree,
    source: Placement,
    to: Placement,
    values: tuple[Any, ...],
    *,
    zero: Any,
    accumulate: Callable[[Any], Any],
    merge: Callable[[Any], Any],
    report: Callable[[Any], Any] = lambda partial: partial,
) -> tuple[Any, ...]:
    """Return the report at each member of `to`, in member order.

    `values` are the members' of `source`, in member order; `accumulate` and `merge` take a pair.
    """
    held = dict(zip((m.name for m in tree.members(source)), values, strict=True))
    way = tree.hierarchy.path(source, to)

    def partial(member: Member, height: int) -> Any:
        below = [c for c in member.children if c.placement == way[height - 1]]
        if height == 1:
            return functools.reduce(lambda acc, c: accumulate((acc, held[c.name])), below, zero)
        partials = [partial(c, height - 1) for c in below]
        return functools.reduce(lambda a, b: merge((a, b)), partials) if partials else zero

    return tuple(report(partial(member, len(way) - 1)) for member in tree.members(to))
