"""What a computation returns, in users' containers.

    {"world": 3.0, "regions": <placed {float32}@EDGE_AGGREGATORS of 4 members>}

A value that all have is itself; one at each member of a placement is a handle (see `placed`);
a function is a computation, in which the values that it captured are constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tierfed.errors import TypeMismatch
from tierfed.ir.evaluate import Function
from tierfed.ir.nodes import Block, Literal, Node, Struct, free_names
from tierfed.language.computation import Computation
from tierfed.language.placed import PlacedHere
from tierfed.types import FederatedType, FunctionType, StructType, TensorType, Type
from tierfed.types.values import present


def shown(value: Any, t: Type, placed: Callable[[Any, FederatedType], Any] = lambda value, t: value) -> Any:
    """Return a held result of `t` as users see it; `placed` gives the handle of what is not here."""
    if isinstance(t, FederatedType):
        if t.all_equal:
            return present(value, t.member)
        return PlacedHere(t, value) if isinstance(value, tuple) else placed(value, t)
    if isinstance(t, FunctionType):
        return returned(value)
    if isinstance(t, StructType) and t.contains(FederatedType, FunctionType):
        parts = tuple(shown(v, e, placed) for v, e in zip(value, t.parts(), strict=True))
        return present(parts, StructType([(n, _Shown()) for n in t.names], t.container))
    return present(value, t)


class _Shown(Type):
    """A part that is shown already: `present` gives it back as it is."""

    __slots__ = ()


def returned(function: Function) -> Computation:
    """Return a function that a computation gave, as a computation.

    Raises TypeMismatch if it captured what cannot be a constant.
    """
    return Computation(_closed(function), "returned")


def _closed(function: Function) -> Node:
    captured = free_names(function.node)
    constants = tuple((n, _constant(function.names[n], t, n)) for n, t in captured.items())
    return Block(constants, function.node) if constants else function.node


def _constant(value: Any, t: Type, name: str) -> Node:
    if isinstance(value, Function):
        return _closed(value)
    if isinstance(t, TensorType):
        return Literal.make(value, t)
    if isinstance(t, StructType):
        parts = ((n, _constant(v, e, name)) for v, (n, e) in zip(value, t.elements, strict=True))
        return Struct(tuple(parts), t.container)
    raise TypeMismatch(
        f"the function that is returned uses {name} of type {t}, which is no constant",
        where="result",
        mend="return the value beside the function, and let the function take it as an argument",
    )
