"""federated_mean(x, weight=None, to=Q): the mean over the members below, however many tiers lie between.

    federated_mean          : {T}@P -> {T}@Q
    federated_weighted_mean : <{T}@P,{W}@P> -> {T}@Q

Every member gives (w·x, w, 1); the parts are summed tier by tier, and divided only at Q.
So the mean over three tiers is the mean over the members, never a mean of means:

    mean(x, w) = sum(w·x) / sum(w)

w·x is summed in T's dtype (float32 for 16-bit floats), w in float64, the count in int64.
A count of zero, or a weight of zero, at a member of Q raises EmptyAggregate; negative and
non-finite weights are refused at the member that has them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tierfed.errors import EmptyAggregate, TypeMismatch, ValueMismatch
from tierfed.ir.build import apply_intrinsic, local
from tierfed.ir.intrinsics.arithmetic import numeric, structurally
from tierfed.ir.intrinsics.operator import Operator, Parameter, World, at, federated, per_member, placed, rises
from tierfed.ir.intrinsics.sum import has_zero, sum_up
from tierfed.ir.nodes import Node, Struct
from tierfed.placements import Placement
from tierfed.types import FederatedType, FunctionType, StructType, TensorType, Type
from tierfed.types.difference import shown, told
from tierfed.types.dtypes import INTEGERS

_WEIGHTS = (*INTEGERS, "float16", "float32", "float64", "bfloat16")


def summed(t: Type) -> Type:
    """Return the type that w·x is summed in: `t`, with float32 for 16-bit floats."""
    if isinstance(t, StructType):
        return StructType([(n, summed(e)) for n, e in t.elements], t.container)
    assert isinstance(t, TensorType)
    return TensorType("float32", t.shape) if t.name in ("float16", "bfloat16") else t


def partial_type(t: Type) -> StructType:
    """Return the type of what rises: `<sum=…,weight=float64,count=int64>`."""
    return StructType([("sum", summed(t)), ("weight", TensorType("float64")), ("count", TensorType("int64"))])


def _member_rule(x: FederatedType, where: str) -> None:
    numeric(x.member, where, ("bool", "str", *INTEGERS))
    has_zero(x.member, where)


def _weight_rule(t: Type, where: str) -> None:
    if not (isinstance(t, TensorType) and t.shape == () and t.name in _WEIGHTS):
        raise TypeMismatch(
            f"weight is {shown(t)} at each member, expected one integer or floating number",
            where=where,
            mend="give one number a member, such as {float32}@CLIENTS",
        )


def _mean_result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    x = federated(arguments[0], "federated_mean")
    _member_rule(x, "federated_mean")
    return at(x.member, rises(x, to, "federated_mean"))


def _weighted_result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    x, w = federated(arguments[0], "federated_mean"), federated(arguments[1], "federated_mean", "weight")
    _member_rule(x, "federated_mean")
    _weight_rule(w.member, "federated_mean")
    if w.placement != x.placement:
        raise TypeMismatch(
            told(x, w, "value is {}, and weight {}: two placements"),
            where="federated_mean",
            mend=f"give a weight at {x.placement}, one for each value",
        )
    return at(x.member, rises(x, to, "federated_mean"))


def weigh(x: Any, w: Any, t: Type) -> Any:
    """Return what a member contributes, `(w·x, w, 1)`; raises ValueMismatch for a weight that cannot be."""
    weight = np.float64(w)
    if not math.isfinite(weight) or weight < 0:
        raise ValueMismatch(f"a weight of {w}", where="federated_mean", mend="weights are finite and not negative")

    def times(v: Any) -> Any:
        v = np.asarray(v)
        wide = v.astype(np.float32) if v.dtype.itemsize == 2 else v
        return np.multiply(wide, weight.astype(wide.dtype))[()]

    return structurally(t, times, x), weight, np.int64(1)


def divide(partial: Any, t: Type) -> Any:
    """Return the mean that a partial stands for, a value of `t`; raises EmptyAggregate if it stands for none."""
    total, weight, count = partial
    if count == 0:
        raise EmptyAggregate(
            "a mean over no members", where="federated_mean", mend="have at least one member below, or lower the quorum"
        )
    if weight == 0:
        raise EmptyAggregate(
            "the total weight is zero", where="federated_mean", mend="give at least one member a positive weight"
        )

    def over(part: Type, v: Any) -> Any:
        if isinstance(part, StructType):
            return tuple(over(e, p) for e, p in zip(part.parts(), v, strict=True))
        assert isinstance(part, TensorType)
        with np.errstate(all="ignore"):
            v = np.asarray(v)
            return np.divide(v, weight.astype(v.dtype)).astype(part.dtype)[()]

    return over(t, total)


def _mean_of(world: World | None, values: tuple[Any, ...], x: FederatedType, weights: Any, result: Type) -> Any:
    assert world is not None and isinstance(result, FederatedType)
    weighted = tuple(zip(per_member(values[0], x, world.tree), weights, strict=True))
    folded = sum_up(
        world.tree,
        x.placement,
        result.placement,
        weighted,
        partial_type(x.member),
        prepare=lambda pair: weigh(pair[0], pair[1], x.member),
    )
    return placed(tuple(divide(p, x.member) for p in folded), result)


def _mean_meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
    assert world is not None and isinstance(t.parameter, FederatedType)
    ones = (np.float64(1),) * len(world.tree.members(t.parameter.placement))
    return _mean_of(world, values, t.parameter, ones, t.result)


def _weighted_meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
    assert world is not None and isinstance(t.parameter, StructType)
    x, w = t.parameter.parts()
    assert isinstance(x, FederatedType) and isinstance(w, FederatedType)
    return _mean_of(world, values, x, per_member(values[1], w, world.tree), t.result)


def _summed_and_divided(parts: Node, member: Type, to: Placement) -> Node:
    """Return the sum of `parts`, one partial a member, divided at `to`."""
    total = apply_intrinsic("federated_sum", (parts,), to=to)
    report = local("mean_report", FunctionType(partial_type(member), member))
    return apply_intrinsic("federated_map", (report, total))


def _mean_expand(arguments: tuple[Node, ...], t: FunctionType) -> Node:
    assert isinstance(t.parameter, FederatedType) and isinstance(t.result, FederatedType)
    member = t.parameter.member
    weigh_one = local("mean_prepare", FunctionType(member, partial_type(member)))
    parts = apply_intrinsic("federated_map", (weigh_one, arguments[0]))
    return _summed_and_divided(parts, member, t.result.placement)


def _weighted_expand(arguments: tuple[Node, ...], t: FunctionType) -> Node:
    assert isinstance(t.parameter, StructType) and isinstance(t.result, FederatedType)
    x, w = t.parameter.parts()
    assert isinstance(x, FederatedType) and isinstance(w, FederatedType)
    weigh_one = local("weighted_mean_prepare", FunctionType(StructType((x.member, w.member)), partial_type(x.member)))
    both = apply_intrinsic("federated_zip", (Struct(((None, arguments[0]), (None, arguments[1]))),))
    parts = apply_intrinsic("federated_map", (weigh_one, both))
    return _summed_and_divided(parts, x.member, t.result.placement)


MEAN = Operator(
    "federated_mean",
    "{T}@P -> {T}@Q",
    (Parameter("value", federated=True), Parameter("weight", optional=True, federated=True)),
    "rises",
    _mean_result,
    _mean_meaning,
    _mean_expand,
    with_optional="federated_weighted_mean",
    doc="Return the mean of the members' values, weighted if a weight is given, at each member of `to`.",
    about="""
        Every member gives (w·x, w, 1); these are summed tier by tier, and divided at `to` only.  So a
        mean over three tiers is the mean over the members, never a mean of means.  w·x is summed in the
        dtype of x (16-bit floats in float32), w in float64.

        Values are floating or complex, of known sizes; a weight is one number a member, where the values
        are: `<{T}@P,{W}@P> -> {T}@Q`.  Over nobody at a member of `to`, or with a total weight of zero,
        it is EmptyAggregate; an empty subtree on the way is skipped.  A negative or non-finite weight is
        a ValueMismatch at the member that has it.
        """,
    example="""
        >>> @tierfed.federated_computation("{float32}@CLIENTS", "{int32}@CLIENTS")
        ... def means(x, examples):
        ...     return tierfed.federated_mean(x), tierfed.federated_mean(x, weight=examples)
        >>> means([1, 4], [2, 1])
        (np.float32(2.5), np.float32(2.0))
        """,
)
WEIGHTED_MEAN = Operator(
    "federated_weighted_mean",
    "<{T}@P,{W}@P> -> {T}@Q",
    (Parameter("value", federated=True), Parameter("weight", federated=True)),
    "rises",
    _weighted_result,
    _weighted_meaning,
    _weighted_expand,
    public=False,
    doc="The form of federated_mean with a weight.",
)


def _local(uri: str, signature: str, meaning: Any, of: Callable[[Type], Type]) -> Operator:
    def agrees(t: FunctionType) -> bool:
        """The partial's type follows from the member's, not the other way round."""
        assert t.parameter is not None
        return t.parameter == of(t.result) if uri == "mean_report" else t.result == of(t.parameter)

    return Operator(
        uri,
        signature,
        (Parameter("value"),),
        "stays",
        lambda arguments, to: of(arguments[0]),
        meaning,
        agrees=agrees,
        public=False,
    )


PREPARE = _local(
    "mean_prepare",
    "T -> <sum=T,weight=float64,count=int64>",
    lambda world, values, t: weigh(values[0], np.float64(1), t.parameter),
    partial_type,
)
WEIGHTED_PREPARE = _local(
    "weighted_mean_prepare",
    "<T,W> -> <sum=T,weight=float64,count=int64>",
    lambda world, values, t: weigh(values[0][0], values[0][1], t.parameter[0]),
    lambda pair: partial_type(pair.parts()[0]),
)
REPORT = _local(
    "mean_report",
    "<sum=S,weight=float64,count=int64> -> T",
    lambda world, values, t: divide(values[0], t.result),
    partial_type,
)
