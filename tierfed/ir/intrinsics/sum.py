"""federated_sum(x, to=Q): the sum over the members below.

    federated_sum : {T}@P -> {T}@Q

Keeps the dtype; integers wrap as numpy's do.  A type with unknown dimensions has no typed
zero and is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tierfed.errors import TypeMismatch
from tierfed.ir.build import apply_intrinsic, generic, identity, zero_node
from tierfed.ir.intrinsics.arithmetic import elementwise, numeric
from tierfed.ir.intrinsics.folding import fold_up
from tierfed.ir.intrinsics.operator import Operator, Parameter, World, at, federated, per_member, placed, rises
from tierfed.ir.nodes import Node
from tierfed.placements import Placement, Tree
from tierfed.types import FederatedType, FunctionType, TensorType, Type
from tierfed.types.values import zero

_NAME = "federated_sum"
_MEND = "reduce it to known sizes in a leaf first, or use tierfed.federated_aggregate, whose zero you give"


def has_zero(t: Type, where: str, mend: str = _MEND) -> None:
    """Raise TypeMismatch if a tensor of `t` has an unknown shape, and so no zero to start from."""
    for part in t.walk():
        if isinstance(part, TensorType) and not part.is_static:
            raise TypeMismatch(
                f"value has a part {part}, whose unknown sizes leave no zero to start from"
                if part is not t
                else f"value is {t}, whose unknown sizes leave no zero to start from",
                where=where,
                mend=mend,
            )


def _result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    x = federated(arguments[0], _NAME)
    numeric(x.member, _NAME)
    has_zero(x.member, _NAME)
    return at(x.member, rises(x, to, _NAME))


def sum_up(
    tree: Tree,
    source: Placement,
    to: Placement,
    values: tuple[Any, ...],
    t: Type,
    prepare: Callable[[Any], Any] = lambda value: value,
) -> tuple[Any, ...]:
    """Return the sums of `prepare` of `values`, which gives values of `t`, at each member of `to`.

    A sum owns its array from the first addition on, so it is added to in place: for many
    members page faults would otherwise cost more than the additions.
    """

    def plus(pair: tuple[Any, Any]) -> Any:
        total, value = pair
        if total is None:
            return elementwise(t, lambda v: np.add(v, v.dtype.type(0)), (value,))
        return elementwise(t, add_in_place, (total, value))

    with np.errstate(all="ignore"):
        folded = fold_up(
            tree,
            source,
            to,
            values,
            zero=None,
            accumulate=lambda pair: plus((pair[0], prepare(pair[1]))),  # one at a time: memory for one, not for all
            merge=_merge_sums(plus),
        )
    return tuple(zero(t, _NAME) if total is None else total for total in folded)


def _merge_sums(plus: Callable[[tuple[Any, Any]], Any]) -> Callable[[tuple[Any, Any]], Any]:
    """Return `plus` on partials, of which None is the one of no members."""

    def merge(pair: tuple[Any, Any]) -> Any:
        left, right = pair
        return right if left is None else left if right is None else plus(pair)

    return merge


def add_in_place(total: Any, value: Any) -> Any:
    """Return `total + value`, in the memory of `total` where it is an array."""
    return np.add(total, value, out=total) if isinstance(total, np.ndarray) else np.add(total, value)


def _meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
    assert world is not None
    source, result = t.parameter, t.result
    assert isinstance(source, FederatedType) and isinstance(result, FederatedType)
    members = per_member(values[0], source, world.tree)
    return placed(sum_up(world.tree, source.placement, result.placement, members, source.member), result)


def _expand(arguments: tuple[Node, ...], t: FunctionType) -> Node:
    assert isinstance(t.parameter, FederatedType) and isinstance(t.result, FederatedType)
    member = t.parameter.member
    plus = generic("generic_plus", member)
    return apply_intrinsic(
        "federated_aggregate",
        (arguments[0], zero_node(member), plus, plus, identity(member)),
        to=t.result.placement,
    )


SUM = Operator(
    _NAME,
    "{T}@P -> {T}@Q",
    (Parameter("value", federated=True),),
    "rises",
    _result,
    _meaning,
    _expand,
    doc="Return the sum of the members' values at each member of `to`.",
    about="""
        Tensors of numbers and structs of them, element by element.  The dtype stays; integers wrap, as
        numpy's do.  The sum over nobody is zero, so a type of unknown sizes, which has no zero, is a
        TypeMismatch: give `federated_aggregate` an explicit one.

        It is folded along the tree in member order.  So sums of floats on two trees may differ in their
        last bits, and sums of integers do not.
        """,
    example="""
        >>> EDGE = tierfed.placement("EDGE_AGGREGATORS")
        >>> @tierfed.federated_computation("{int32}@CLIENTS")
        ... def totals(x):
        ...     return tierfed.federated_sum(x), tierfed.federated_sum(x, to=EDGE)
        >>> with tierfed.local(topology=tierfed.tree({"EDGE_AGGREGATORS": 2, "CLIENTS": 2})):
        ...     totals([1, 2, 3, 4])
        (np.int32(10), [np.int32(3), np.int32(7)])
        """,
)
