"""What users pass to a computation, checked and held.

A value at a placement is one value when it is all-equal, and a list in member order when it
is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

from tierfed.errors import PlacementError, ValueMismatch
from tierfed.ir.intrinsics.operator import assignable
from tierfed.language.packing import packed_arguments, takes_nothing
from tierfed.language.placed import Placed, PlacedHere
from tierfed.placements import Placement, Tree
from tierfed.types import FederatedType, FunctionType, StructType, TensorType, Type
from tierfed.types.containers import Struct, fields_of
from tierfed.types.values import check, described
from tierfed.user_line import located

_AS_A_LIST = "pass it where its own type is taken, or its values, as a list: handle.fetch()"


def hold_arguments(t: FunctionType, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return what a user passed to a computation of type `t`, checked and held; None if it takes nothing.

    Raises ValueMismatch or TypeMismatch.
    """
    with located():
        if t.parameter is None:
            if args or kwargs:
                raise takes_nothing(len(args) + len(kwargs))
            return None
        return hold(packed_arguments(t.parameter, args, kwargs), t.parameter, "argument")


def hold(value: Any, t: Type, where: str) -> Any:
    """Return `value` held as a value of `t`, which may be federated or a struct of such."""
    if isinstance(t, FederatedType):
        if isinstance(value, Placed | PlacedHere):
            assignable(t, value.type_signature, where, "the placed value", _AS_A_LIST)
        if t.all_equal:
            return _held_by_all(value, t, where)
        if isinstance(value, Placed):
            return value
        if isinstance(value, str | bytes | Mapping | Set) or not hasattr(value, "__iter__"):
            raise ValueMismatch(
                f"expected {t}, got {described(value)}",
                where=where,
                mend=f"pass a list with one value for each member of {t.placement}",
            )
        return tuple(check(v, t.member, f"{where}[{i}]") for i, v in enumerate(value))
    if isinstance(t, StructType) and t.contains(FederatedType):
        parts = parts_of(value, t, where)
        return tuple(
            hold(v, e, f"{where}.{n}" if n is not None else f"{where}[{i}]")
            for i, (v, (n, e)) in enumerate(zip(parts, t.elements, strict=True))
        )
    return check(value.fetch() if isinstance(value, Placed) else value, t, where)


def _held_by_all(value: Any, t: FederatedType, where: str) -> Any:
    """Return the one value that all members of a placement have, held."""
    try:
        return check(value, t.member, where)
    except ValueMismatch as bad:
        if isinstance(value, list | tuple) and bad.where == where and isinstance(t.member, TensorType):
            raise ValueMismatch(
                f"expected {t}, got {described(value)}",
                where=where,
                mend=f"pass one value of {t.member}: all members of {t.placement} have the same",
            ) from None
        raise


def parts_of(value: Any, t: StructType, where: str) -> list[Any]:
    """Return the elements of a struct that a user passed, in the order of its type; raises ValueMismatch."""
    if isinstance(value, Mapping) and set(value) == set(t.names):
        return [value[n] for n in t.names]
    fields = fields_of(type(value))
    if fields is not None and set(fields) == set(t.names):
        return [getattr(value, n) for n in t.names if n is not None]
    if isinstance(value, tuple | list | Struct) and len(value) == len(t):
        return list(value)
    raise ValueMismatch(f"expected {t}, got {described(value)}", where=where, mend="pass each element of the type")


def brought(argument: Any, t: Type, stays: Callable[[Placed], bool] = lambda handle: False) -> Any:
    """Return a held argument with the constituents of its handles, but for those that may stay where they are."""
    if isinstance(argument, Placed):
        return argument if stays(argument) else argument.whole()
    if isinstance(t, StructType) and t.contains(FederatedType):
        return tuple(brought(a, e, stays) for a, e in zip(argument, t.parts(), strict=True))
    return argument


def handles(argument: Any, t: Type, path: str) -> Iterator[tuple[str, Placed]]:
    """Yield the handles in a held argument, each with the name `path.0.1` of its part."""
    if isinstance(argument, Placed):
        yield path, argument
    elif isinstance(t, StructType) and t.contains(FederatedType):
        for i, (a, e) in enumerate(zip(argument, t.parts(), strict=True)):
            yield from handles(a, e, f"{path}.{i}")


def fit(argument: Any, t: FunctionType, tree: Tree) -> None:
    """Raise unless a held argument has a value for each member, and each part of the result a member to hold it.

    Raises ValueMismatch for the argument and PlacementError for the result.
    """
    for where, placement, count in () if t.parameter is None else placed_counts(argument, t.parameter):
        if count is not None and count != len(tree.members(placement)):
            raise ValueMismatch(
                f"{count} values for the {len(tree.members(placement))} members of {placement}",
                where=where,
                mend="pass one value for each member, in member order",
            )
    for part in t.result.walk():
        if not isinstance(part, FederatedType) or not part.all_equal or part.placement not in tree.hierarchy:
            continue  # a placement that is not there is the compiler's to refuse
        if not tree.members(part.placement):
            raise PlacementError(
                f"the result has a part {part}, and {part.placement} has no member to hold it",
                where="call",
                mend="return it from a placement that has members",
            )


def placed_counts(value: Any, t: Type, where: str = "argument") -> Iterator[tuple[str, Placement, int | None]]:
    """Yield (path, placement, number of values) for each part of a held argument that is a list over a placement.

    A handle, which its tree knows the members of, has None.
    """
    if isinstance(t, FederatedType) and not t.all_equal:
        yield where, t.placement, None if isinstance(value, Placed) else len(value)
    elif isinstance(t, StructType):
        for i, (v, (n, e)) in enumerate(zip(value, t.elements, strict=True)):
            yield from placed_counts(v, e, f"{where}.{n}" if n is not None else f"{where}[{i}]")
