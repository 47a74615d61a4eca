"""federated_reduce(x, zero, op, merge=None, to=Q): one operation folds members and partials alike.

    federated_reduce : <{T}@P,U,(<U,T> -> U)> -> {U}@Q

`op` serves as accumulate and merge when U = T.  With U other than T it needs `merge`, or a
single hop; which it is shows when a hierarchy is given.
"""

from __future__ import annotations

from typing import Any

from tierfed.errors import CompileError
from tierfed.ir.build import apply_intrinsic, identity, pack
from tierfed.ir.intrinsics.aggregate import fold_types, pair
from tierfed.ir.intrinsics.folding import fold_up
from tierfed.ir.intrinsics.operator import (
    Arguments,
    Operator,
    Parameter,
    World,
    at,
    federated,
    per_member,
    placed,
    rises,
    unplaced,
)
from tierfed.ir.nodes import Call, Intrinsic, Node
from tierfed.placements import Hierarchy, Placement
from tierfed.types import FederatedType, FunctionType, StructType, Type

_NAME = "federated_reduce"


def _result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    x = federated(arguments[0], _NAME)
    zero = unplaced(arguments[1], _NAME, "zero")
    fold_types(x, zero, arguments[2], arguments[3] if len(arguments) > 3 else None, _NAME, ("op", "merge"))
    return at(zero, rises(x, to, _NAME))


def merges_itself(arguments: tuple[Type, ...]) -> bool:
    """Return whether a reduce's operation can merge partials: it was given `merge`, or U = T."""
    x = arguments[0]
    assert isinstance(x, FederatedType)
    return len(arguments) > 3 or arguments[1].is_equivalent_to(x.member)


def needs_merge(hierarchy: Hierarchy, source: Placement, to: Placement) -> CompileError | None:
    """Return the error for a reduce without a merge that crosses several tiers, None if it crosses one."""
    way = hierarchy.path(source, to)
    if len(way) == 2:
        return None
    return CompileError(
        f"from {source} to {to} are {len(way) - 1} hops in {hierarchy}, and op, which adds a member's value to a "
        "partial result, cannot merge two partial results",
        where=_NAME,
        mend="give merge=, a function of two partial results: merge=lambda a, b: …",
    )


def _meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
    assert world is not None and isinstance(t.parameter, StructType) and isinstance(t.result, FederatedType)
    source = t.parameter[0]
    assert isinstance(source, FederatedType)
    if not merges_itself(t.parameter.parts()):
        bad = needs_merge(world.tree.hierarchy, source.placement, t.result.placement)
        if bad is not None:
            raise bad
    folded = fold_up(
        world.tree,
        source.placement,
        t.result.placement,
        per_member(values[0], source, world.tree),
        zero=values[1],
        accumulate=values[2],
        merge=values[3] if len(values) > 3 else values[2],
    )
    return placed(folded, t.result)


def _expand(arguments: tuple[Node, ...], t: FunctionType) -> Node:
    """A reduce that can merge is an aggregate whose report is the identity; the others climb as they are."""
    assert isinstance(t.result, FederatedType)
    if not merges_itself(tuple(a.type for a in arguments)):
        return Call(Intrinsic(_NAME, t), pack(arguments))
    x, zero, op, *rest = arguments
    merge = rest[0] if rest else op
    return apply_intrinsic("federated_aggregate", (x, zero, op, merge, identity(zero.type)), to=t.result.placement)


def _operated(given: Arguments) -> Type:
    return pair(unplaced(given["zero"], _NAME, "zero"), federated(given["value"], _NAME).member)


def _merged(given: Arguments) -> Type:
    return pair(given["zero"], given["zero"])


REDUCE = Operator(
    _NAME,
    "<{T}@P,U,(<U,T> -> U)> -> {U}@Q",
    (
        Parameter("value", federated=True),
        Parameter("zero"),
        Parameter("op", function_of=_operated),
        Parameter("merge", function_of=_merged, optional=True),
    ),
    "rises",
    _result,
    _meaning,
    _expand,
    doc="Return the fold of the members' values by `op`, starting from `zero`.",
    about="""
        As `federated_aggregate`, with `op` as accumulate and, unless `merge`, `(<U,U> -> U)`, is given, as
        merge, and nothing to report.  Where `zero` is of another type than the values, `op` cannot merge two
        partials: then `merge` is given, or one hop lies between P and `to`, and else it is a
        CompileError when the tiers are known.  A plain number as `zero` takes the values' dtype.
        """,
    example="""
        >>> @tierfed.federated_computation("{int32}@CLIENTS")
        ... def product(x):
        ...     return tierfed.federated_reduce(x, 1, lambda a, b: a * b)
        >>> product([2, 3, 7])
        np.int32(42)
        """,
)
