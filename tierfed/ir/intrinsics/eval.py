"""federated_eval(fn, P): what a function of nothing gives at each member.

federated_eval : ( -> T) -> {T}@P
"""

from __future__ import annotations

from typing import Any

from tierfed.ir.intrinsics.operator import Operator, Parameter, World, at, function
from tierfed.placements import Placement
from tierfed.types import FederatedType, FunctionType, Type


def _result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    assert to is not None
    return at(function(arguments[0], None, "federated_eval", "fn").result, to)


def _meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
    assert world is not None and isinstance(t.result, FederatedType)
    fn = values[0]
    if t.result.all_equal:
        return fn()
    return tuple(fn() for _ in world.tree.members(t.result.placement))


EVAL = Operator(
    "federated_eval",
    "( -> T) -> {T}@P",
    (Parameter("fn", function_of=lambda given: None),),
    "at",
    _result,
    _meaning,
    doc="Return what `fn`, called without arguments at each member of `placement`, gives.",
    about="""
        `fn` is called once for each member, in member order; at a singleton the result is all-equal,
        `T@SERVER`.  What differs from member to member is no result of a function of nothing: it comes
        from `federated_data`.
        """,
    example="""
        >>> @tierfed.py_computation(returns="float32[2]")
        ... def start():
        ...     return np.zeros(2, np.float32)
        >>> @tierfed.federated_computation
        ... def starts():
        ...     return tierfed.federated_eval(start, tierfed.CLIENTS)
        >>> str(starts.type_signature)
        '( -> {float32[2]}@CLIENTS)'
        >>> with tierfed.local(topology=tierfed.tree({"CLIENTS": 2})):
        ...     starts()
        [array([0., 0.], dtype=float32), array([0., 0.], dtype=float32)]
        """,
)
