"""federated_collect(x, to=Q): the members' values as one sequence, in member order.

    federated_collect : {T}@P -> T*@Q

Up a tree it is an aggregate from the empty sequence that appends and concatenates:

    federated_aggregate(x, sequence_empty, sequence_append, sequence_concat, (x -> x))

Sound because member order is depth-first: what a member's children bring, joined in their
order, is what its whole subtree holds in order.  No value is changed on the way, so what
`federated_data` gives must pass a leaf first (`ir.raw_data`).
"""

from __future__ import annotations

from typing import Any

from tierfed.ir.build import apply_intrinsic, identity, local
from tierfed.ir.intrinsics.aggregate import pair
from tierfed.ir.intrinsics.operator import Operator, Parameter, World, at, federated, per_member, placed, rises
from tierfed.ir.intrinsics.sequence import APPEND, CONCAT, sequence_of
from tierfed.ir.nodes import Call, Node
from tierfed.placements import Placement
from tierfed.types import FederatedType, FunctionType, SequenceType, Type
from tierfed.types.values import Rows

_NAME = "federated_collect"


def _result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    x = federated(arguments[0], _NAME)
    return at(sequence_of(x.member, _NAME, "each member has"), rises(x, to, _NAME))


def _meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
    assert world is not None
    source, result = t.parameter, t.result
    assert isinstance(source, FederatedType) and isinstance(result, FederatedType)
    tree = world.tree
    tree.hierarchy.path(source.placement, result.placement)  # raises if it does not rise
    members = per_member(values[0], source, tree)
    held = dict(zip((m.name for m in tree.members(source.placement)), members, strict=True))
    below = (top.below(source.placement) for top in tree.members(result.placement))
    return placed(tuple(Rows(held[m.name] for m in subtree) for subtree in below), result)


def _expand(arguments: tuple[Node, ...], t: FunctionType) -> Node:
    assert isinstance(t.parameter, FederatedType) and isinstance(t.result, FederatedType)
    rows = SequenceType(t.parameter.member)
    empty = Call(local("sequence_empty", FunctionType(None, rows)))
    append = local(APPEND, FunctionType(pair(rows, rows.element), rows))
    concat = local(CONCAT, FunctionType(pair(rows, rows), rows))
    return apply_intrinsic(
        "federated_aggregate", (arguments[0], empty, append, concat, identity(rows)), to=t.result.placement
    )


COLLECT = Operator(
    _NAME,
    "{T}@P -> T*@Q",
    (Parameter("value", federated=True),),
    "rises",
    _result,
    _meaning,
    _expand,
    leaf_first=True,
    doc="Return the sequence of the members' values, in member order, at each member of `to`.",
    about="""
        At `to=SERVER` that is `T*@SERVER`; at another placement each member has those of its own subtree,
        `{T*}@Q`.  Of nobody it is empty.  T holds no sequence, which would be a sequence of sequences.

        Values leave their members as they are, so what `federated_data` gives has to pass a leaf first:
        collecting it is a TypeMismatch.
        """,
    example="""
        >>> @tierfed.federated_computation("{int32}@CLIENTS")
        ... def everyone(x):
        ...     return tierfed.federated_collect(x)
        >>> everyone([3, 1, 2])
        [np.int32(3), np.int32(1), np.int32(2)]
        """,
)
