"""federated_aggregate(x, zero, accumulate, merge, report, to=Q): the general fold up a tree.

    federated_aggregate : <{T}@P,U,(<U,T> -> U),(<U,U> -> U),(U -> R)> -> {R}@Q

See `folding`.  Required of the user: `merge` is associative, `zero` its unit, and
`accumulate(merge(a,b),t) = merge(a,accumulate(b,t))`; the order is fixed, so commutativity
is not needed.  Source: the operator of the specification, generalised to tiers.
"""

from __future__ import annotations

from typing import Any

from tierfed.ir.intrinsics.folding import fold_up
from tierfed.ir.intrinsics.operator import (
    Arguments,
    Operator,
    Parameter,
    World,
    assignable,
    at,
    federated,
    function,
    per_member,
    placed,
    rises,
    unplaced,
)
from tierfed.placements import Placement
from tierfed.types import FederatedType, FunctionType, StructType, Type
from tierfed.types.difference import shown

_NAME = "federated_aggregate"


def pair(a: Type, b: Type) -> StructType:
    """Return `<a,b>`."""
    return StructType((a, b))


def fold_types(
    x: FederatedType, zero: Type, accumulate: Type, merge: Type | None, where: str, names: tuple[str, str]
) -> None:
    """Raise TypeMismatch unless `accumulate` and `merge` fold values of `x` from `zero`."""
    mend = f"let it return the type of zero, {shown(zero)}"
    first = function(accumulate, pair(zero, x.member), where, names[0])
    assignable(zero, first.result, where, f"{names[0]} returns another type than zero's", mend)
    if merge is not None:
        second = function(merge, pair(zero, zero), where, names[1])
        assignable(zero, second.result, where, f"{names[1]} returns another type than zero's", mend)


def _result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    x = federated(arguments[0], _NAME)
    zero = unplaced(arguments[1], _NAME, "zero")
    fold_types(x, zero, arguments[2], arguments[3], _NAME, ("accumulate", "merge"))
    report = function(arguments[4], zero, _NAME, "report")
    return at(report.result, rises(x, to, _NAME))


def _meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
    x, zero, accumulate, merge, report = values
    assert world is not None and isinstance(t.parameter, StructType) and isinstance(t.result, FederatedType)
    source = t.parameter[0]
    assert isinstance(source, FederatedType)
    members = per_member(x, source, world.tree)
    folded = fold_up(
        world.tree,
        source.placement,
        t.result.placement,
        members,
        zero=zero,
        accumulate=accumulate,
        merge=merge,
        report=report,
    )
    return placed(folded, t.result)


def _accumulated(given: Arguments) -> Type:
    return pair(unplaced(given["zero"], _NAME, "zero"), federated(given["value"], _NAME).member)


def _merged(given: Arguments) -> Type:
    return pair(given["zero"], given["zero"])


def _reported(given: Arguments) -> Type:
    return given["zero"]


AGGREGATE = Operator(
    _NAME,
    "<{T}@P,U,(<U,T> -> U),(<U,U> -> U),(U -> R)> -> {R}@Q",
    (
        Parameter("value", federated=True),
        Parameter("zero"),
        Parameter("accumulate", function_of=_accumulated),
        Parameter("merge", function_of=_merged),
        Parameter("report", function_of=_reported),
    ),
    "rises",
    _result,
    _meaning,
    doc="Return the fold of the members' values at each member of `to`.",
    about="""
        Each member just above P left-folds `accumulate`, from `zero`, over its children's values in
        member order; each member higher up left-folds `merge` over its children's partials, starting
        from the first; `report` is called once at each member of `to`.  A member without children of P
        gives `zero`.

        So that the result is the same on every tree, `merge` is associative with `zero` as its unit, and
        `accumulate(merge(a,b),t) = merge(a,accumulate(b,t))`.  The order is fixed: it need not commute.

        `zero` is placed nowhere; `accumulate` and `merge` return its type, or it is a TypeMismatch.
        """,
    example="""
        >>> @tierfed.federated_computation("{float32}@CLIENTS")
        ... def spread(x):
        ...     empty = (np.float32(0), np.float32(0), np.float32(0))
        ...     seen = lambda p, v: (p[0] + np.float32(1), p[1] + v, p[2] + v * v)
        ...     both = lambda a, b: (a[0] + b[0], a[1] + b[1], a[2] + b[2])
        ...     variance = lambda p: p[2] / p[0] - (p[1] / p[0]) * (p[1] / p[0])
        ...     return tierfed.federated_aggregate(x, empty, seen, both, variance)
        >>> spread([1, 3, 5, 7])
        np.float32(5.0)
        """,
)
