"""federated_map(fn, x) and federated_apply(fn, x): a function of each member's value.

federated_map   : <(T -> U),{T}@P> -> {U}@P      all-equal in, all-equal out
federated_apply : <(T -> U),T@Q> -> U@Q          at a singleton
"""

from __future__ import annotations

from typing import Any

from tierfed.errors import TypeMismatch
from tierfed.ir.intrinsics.operator import Arguments, Operator, Parameter, World, federated, function, placed
from tierfed.placements import Placement
from tierfed.types import FederatedType, FunctionType, StructType, Type
from tierfed.types.difference import shown


def _member(where: str) -> Any:
    def parameter_of(given: Arguments) -> Type:
        return federated(given["value"], where).member

    return parameter_of


def _map_result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    x = federated(arguments[1], "federated_map")
    fn = function(arguments[0], x.member, "federated_map", "fn")
    return FederatedType(fn.result, x.placement, x.all_equal)


def _apply_result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    x = federated(arguments[1], "federated_apply")
    if not x.placement.singleton:
        raise TypeMismatch(
            f"value is {shown(x)}, expected a value where there is one member, such as {shown(x.member)}@SERVER",
            where="federated_apply",
            mend="use tierfed.federated_map, which applies fn at each member",
        )
    fn = function(arguments[0], x.member, "federated_apply", "fn")
    return FederatedType(fn.result, x.placement, True)


def _meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
    fn, x = values
    assert isinstance(t.parameter, StructType) and isinstance(t.result, FederatedType)
    source = t.parameter[1]
    assert isinstance(source, FederatedType)
    return fn(x) if source.all_equal else placed(tuple(fn(v) for v in x), t.result)


MAP = Operator(
    "federated_map",
    "<(T -> U),{T}@P> -> {U}@P",
    (Parameter("fn", function_of=_member("federated_map")), Parameter("value", federated=True)),
    "stays",
    _map_result,
    _meaning,
    doc="Return `fn` of each member's value; a struct of placed values is zipped first.",
    about="""
        `fn` takes the member's value, or as many arguments as its struct has elements.  It is a
        computation, or a plain function, which is traced.  It mentions no placement and uses no placed
        value of the body around it: zip what it needs to the value.  Unplaced ones it may use.

        Equal values have equal results, so all-equal in is all-equal out; but a leaf that draws random
        numbers (`stateful`) gives each member its own, and then the result is not all-equal.
        """,
    example="""
        >>> @tierfed.py_computation(np.float32, returns=np.float32)
        ... def to_celsius(fahrenheit):
        ...     return np.float32((fahrenheit - 32) / 1.8)
        >>> @tierfed.federated_computation("{float32}@CLIENTS")
        ... def in_celsius(readings):
        ...     return tierfed.federated_map(to_celsius, readings)
        >>> in_celsius([50, 68])
        [np.float32(10.0), np.float32(20.0)]
        """,
)
APPLY = Operator(
    "federated_apply",
    "<(T -> U),T@Q> -> U@Q",
    (Parameter("fn", function_of=_member("federated_apply")), Parameter("value", federated=True)),
    "stays",
    _apply_result,
    _meaning,
    doc="Return `fn` of the value at a singleton.",
    about="""
        It is `federated_map` where there is one member, and refused elsewhere.
        """,
    example="""
        >>> @tierfed.federated_computation("{int32}@CLIENTS")
        ... def twice_the_sum(x):
        ...     return tierfed.federated_apply(lambda total: total + total, tierfed.federated_sum(x))
        >>> twice_the_sum([1, 2, 3])
        np.int32(12)
        """,
)
