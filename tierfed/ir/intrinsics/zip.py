"""federated_zip(struct of values at P): at each member, the struct of its values.

    federated_zip : <{A}@P,{B}@P> -> {<A,B>}@P

Nests; all-equal only at singletons.
"""

from __future__ import annotations

from typing import Any

from tierfed.errors import TypeMismatch
from tierfed.ir.intrinsics.operator import Operator, Parameter, World, at, placed
from tierfed.placements import CLIENTS, Placement
from tierfed.types import FederatedType, FunctionType, StructType, Type
from tierfed.types.difference import shown
from tierfed.types.notation import quoted

_MEND = "move one of them first: tierfed.federated_broadcast goes down, an aggregate goes up"


def _members(t: Type, found: list[FederatedType], path: str = "value") -> Type:
    """Return `t` with each placed part replaced by its member type; collects the placed parts."""
    if isinstance(t, FederatedType):
        found.append(t)
        return t.member
    if isinstance(t, StructType) and len(t):
        paths = (f"{path}[{i}]" if n is None else f"{path}.{quoted(n)}" for i, n in enumerate(t.names))
        return StructType(
            [(n, _members(e, found, p)) for p, (n, e) in zip(paths, t.elements, strict=True)], t.container
        )
    at = found[0].placement if found else CLIENTS
    raise TypeMismatch(
        f"{path} is placed nowhere: expected a placed value, such as {{{shown(t)}}}@{at}, got {shown(t)}",
        where="federated_zip",
        mend=f"place it where the others are: tierfed.federated_value({path}, {at})",
    )


def _result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    if not isinstance(arguments[0], StructType) or not len(arguments[0]):
        raise TypeMismatch(
            f"value is {shown(arguments[0])}, expected a struct of placed values",
            where="federated_zip",
            mend="pass a tuple, list or dict with at least one placed value",
        )
    found: list[FederatedType] = []
    member = _members(arguments[0], found)
    other = next((f for f in found if f.placement != found[0].placement), None)
    if other is not None:
        raise TypeMismatch(
            f"two placements, {found[0].placement} and {other.placement}: {shown(found[0])} and {shown(other)}",
            where="federated_zip",
            mend=_MEND,
        )
    return at(member, found[0].placement)


def _meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
    assert world is not None and isinstance(t.result, FederatedType)

    def of(i: int, value: Any, part: Type) -> Any:
        if isinstance(part, FederatedType):
            return value if part.all_equal else value[i]
        assert isinstance(part, StructType)
        return tuple(of(i, v, e) for v, e in zip(value, part.parts(), strict=True))

    assert t.parameter is not None
    members = range(len(world.tree.members(t.result.placement)))
    return placed(tuple(of(i, values[0], t.parameter) for i in members), t.result)


ZIP = Operator(
    "federated_zip",
    "<{A}@P,{B}@P> -> {<A,B>}@P",
    (Parameter("value"),),
    "stays",
    _result,
    _meaning,
    doc="Return, at each member, the struct of its values.",
    about="""
        `value` is a tuple, list, dict or other container of values at one placement.  Containers nest
        and come back as they were given.  An all-equal part is each member's; the result is all-equal at
        singletons only.

        Two placements, a part that is placed nowhere, and a struct of nothing are a TypeMismatch.  The
        operators that take one placed value zip a struct of them by themselves.
        """,
    example="""
        >>> @tierfed.federated_computation("{float32}@CLIENTS", "float32@SERVER")
        ... def pairs(reading, limit):
        ...     return tierfed.federated_zip({"reading": reading, "limit": tierfed.federated_broadcast(limit)})
        >>> str(pairs.type_signature.result)
        '{<reading=float32,limit=float32>}@CLIENTS'
        >>> pairs([68, 72], 70)[1]
        {'reading': np.float32(72.0), 'limit': np.float32(70.0)}
        """,
)
