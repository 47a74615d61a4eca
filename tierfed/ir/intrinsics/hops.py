"""The hops that a compiled program is made of: one tier at a time.

    hop_accumulate : <{T}@P,U,(<U,T> -> U)> -> {U}@Q      Q just above P
    hop_merge      : <{U}@P,U,(<U,U> -> U)> -> {U}@Q
    hop_broadcast  : T@Q -> T@C                            C just below Q

`climb` makes them of aggregates and broadcasts.  No user writes them, but they have a
meaning like every operator, so a compiled program can be run by the reference interpreter
and compared with the program that it was made of.
"""

from __future__ import annotations

from typing import Any

from tierfed.ir.intrinsics import broadcast
from tierfed.ir.intrinsics.folding import fold_up
from tierfed.ir.intrinsics.operator import Operator, Parameter, World, federated, per_member
from tierfed.placements import Placement
from tierfed.types import FederatedType, FunctionType, StructType, Type


def _result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    assert to is not None
    federated(arguments[0], "hop")
    return FederatedType(arguments[1], to, to.singleton)


def _folding(kind: str) -> Any:
    def meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
        assert world is not None and isinstance(t.parameter, StructType) and isinstance(t.result, FederatedType)
        source = t.parameter[0]
        assert isinstance(source, FederatedType)
        members = per_member(values[0], source, world.tree)
        zero, operator = values[1], values[2]
        if kind == "accumulate":
            folded = fold_up(
                world.tree,
                source.placement,
                t.result.placement,
                members,
                zero=zero,
                accumulate=operator,
                merge=operator,
            )
        else:
            folded = _merged(world, members, source.placement, t.result.placement, zero, operator)
        return folded[0] if t.result.all_equal else folded

    return meaning


def _merged(
    world: World, partials: tuple[Any, ...], source: Placement, to: Placement, zero: Any, merge: Any
) -> tuple[Any, ...]:
    held = dict(zip((m.name for m in world.tree.members(source)), partials, strict=True))
    result = []
    for member in world.tree.members(to):
        below = [held[c.name] for c in member.children if c.placement == source]
        total = below[0] if below else zero
        for partial in below[1:]:
            total = merge((total, partial))
        result.append(total)
    return tuple(result)


def _fold_hop(kind: str, signature: str) -> Operator:
    return Operator(
        f"hop_{kind}",
        signature,
        (Parameter("value"), Parameter("zero"), Parameter("operator")),
        "rises",
        _result,
        _folding(kind),
        public=False,
    )


ACCUMULATE = _fold_hop("accumulate", "<{T}@P,U,(<U,T> -> U)> -> {U}@Q")
MERGE = _fold_hop("merge", "<{U}@P,U,(<U,U> -> U)> -> {U}@Q")
DOWN = Operator(
    "hop_broadcast",
    "T@Q -> T@C",
    (Parameter("value"),),
    "descends",
    broadcast.BROADCAST.result,
    broadcast.BROADCAST.meaning,
    public=False,
)
