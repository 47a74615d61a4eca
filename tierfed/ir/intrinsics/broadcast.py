"""federated_broadcast(x, to=C): a value goes down, over any number of tiers.

federated_broadcast : T@Q -> T@C      {T}@Q -> {T}@C, each member gets its own ancestor's value
"""

from __future__ import annotations

from typing import Any

from tierfed.errors import TypeMismatch
from tierfed.ir.intrinsics.operator import Operator, Parameter, World, federated
from tierfed.placements import Member, Placement, Tree
from tierfed.types import FederatedType, FunctionType, Type
from tierfed.types.difference import shown


def _result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    x = federated(arguments[0], "federated_broadcast")
    assert to is not None
    if x.placement == to:
        raise TypeMismatch(
            f"value is {shown(x)}, and cannot go down to {to}, where it already is",
            where="federated_broadcast",
            mend=f"leave the broadcast out, or name a placement below {to} with to=",
        )
    return FederatedType(x.member, to, x.all_equal)


def ancestor(tree: Tree, member: Member, placement: Placement) -> Member:
    """Return the member of `placement` above `member`."""
    tree.hierarchy.path(member.placement, placement)  # raises if there is none
    above: Member | None = member
    while above is not None and above.placement != placement:
        above = tree.parent(above.name)
    assert above is not None
    return above


def _meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
    assert world is not None
    source, result = t.parameter, t.result
    assert isinstance(source, FederatedType) and isinstance(result, FederatedType)
    tree = world.tree
    tree.hierarchy.path(result.placement, source.placement)
    if source.all_equal:
        return values[0]
    held = dict(zip((m.name for m in tree.members(source.placement)), values[0], strict=True))
    return tuple(held[ancestor(tree, m, source.placement).name] for m in tree.members(result.placement))


BROADCAST = Operator(
    "federated_broadcast",
    "T@Q -> T@C",
    (Parameter("value", federated=True),),
    "descends",
    _result,
    _meaning,
    doc="Return `value` at every member of `to`, which stands below it.",
    about="""
        `to` may be any number of tiers below.  Of `T@Q` all members have the same value, and the result
        is all-equal; of `{T}@Q` each has the value of its own ancestor in Q.

        To where the value is already, it is a TypeMismatch; to what is not below it, an error as soon as
        the tiers are known: when it is compiled, or called.
        """,
    example="""
        >>> @tierfed.federated_computation("{float32}@CLIENTS")
        ... def off_by(readings):
        ...     return readings - tierfed.federated_broadcast(tierfed.federated_mean(readings))
        >>> off_by([1, 2, 6])
        [np.float32(-2.0), np.float32(-1.0), np.float32(3.0)]
        """,
)
