"""The operators as Python functions, derived from the table of intrinsics.

    federated_sum(x, to=SERVER)     federated_map(fn, x)     generic_plus(a, b)     sequence_map(fn, x)

A plain Python function given where a function is expected is traced, at the type that the
other arguments determine.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tierfed.errors import TypeMismatch
from tierfed.ir.build import apply_intrinsic, zero_node
from tierfed.ir.intrinsics import TABLE, Operator
from tierfed.ir.nodes import Data, Lambda, Node, Reference
from tierfed.language.trace import Value, as_node, bound, trace
from tierfed.placements import CLIENTS, SERVER, Placement, as_placement
from tierfed.types import FederatedType, FunctionType, SequenceType, StructType, TensorType, Type, to_type
from tierfed.user_line import located, user_line


def _destinations(op: Operator) -> list[inspect.Parameter]:
    """Return the placement parameter of the callable of `op`, if it has one."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    match op.direction:
        case "rises":
            return [inspect.Parameter("to", kind, default=SERVER)]
        case "descends":
            return [inspect.Parameter("to", kind, default=CLIENTS)]
        case "at":
            return [inspect.Parameter("placement", kind)]
    return []


def _signature(op: Operator) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = [
        inspect.Parameter(p.name, kind, default=None if p.optional else inspect.Parameter.empty) for p in op.parameters
    ]
    return inspect.Signature([*own, *_destinations(op)])


def _argument(value: Any, federated: bool, like: Type | None) -> Node:
    """Return an argument as a node, with a struct of placed values zipped where one placed value is meant."""
    node = as_node(value, like)
    if federated and isinstance(node.type, StructType) and node.type.contains(FederatedType):
        return bound(apply_intrinsic("federated_zip", (node,)))._node
    return node


def _function(value: Any, parameter: Type | None) -> Node:
    """Return a function argument as a node; a plain Python function is traced."""
    node = getattr(value, "_node", None)
    if isinstance(node, Node):
        return node
    if not callable(value):
        raise TypeMismatch(f"{value!r} is no function", where=user_line(), mend="pass a computation or a function")
    wanted = _positional(value)
    unpacked = isinstance(parameter, StructType) and len(parameter) > 1 and wanted == len(parameter)
    if wanted is not None and not unpacked and wanted != (parameter is not None):
        raise TypeMismatch(
            f"a function of {wanted} parameters is given {parameter or 'nothing'}",
            where=user_line(),
            mend=_arity(parameter),
        )
    return trace(value, parameter, tuple if unpacked else None)


def _positional(fn: Callable[..., Any]) -> int | None:
    """Return how many arguments `fn` must be given, None if it takes any number or does not say.

    A default, as in `lambda x, rate=rate: …`, is a capture and no parameter.
    """
    try:
        parameters = inspect.signature(fn).parameters.values()
    except ValueError:  # some of Python's own
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.kind is not p.VAR_KEYWORD and p.default is p.empty for p in parameters)


def _arity(parameter: Type | None) -> str:
    if parameter is None:
        return "let it take nothing"
    several = f", or {len(parameter)}" if isinstance(parameter, StructType) and len(parameter) > 1 else ""
    return f"let it take one parameter{several}"


def _callable(op: Operator) -> Callable[..., Value]:
    signature = _signature(op)

    def call(*args: Any, **kwargs: Any) -> Value:
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError as bad:
            raise TypeMismatch(str(bad), where=f"{user_line()}: {op.uri}", mend=_written(op.uri, signature)) from None
        given.apply_defaults()
        with located(op.uri):
            return _apply(op, given.arguments)

    call.__name__ = call.__qualname__ = op.uri
    call.__doc__ = f"{op.doc}\n\n    {op.uri} : {op.signature}\n\nRaises TypeMismatch, with the mend."
    call.__signature__ = signature  # type: ignore[attr-defined]  # what help() shows
    return call


def _written(name: str, signature: inspect.Signature) -> str:
    shown = (n if p.default is p.empty else f"{n}={p.default}" for n, p in signature.parameters.items())
    return f"call {name}({', '.join(shown)})"


def _apply(op: Operator, given: dict[str, Any]) -> Value:
    to = given.get("to", given.get("placement"))
    if to is not None and not isinstance(to, Placement | str):
        raise TypeMismatch(f"{to!r} is no placement", where=op.uri, mend="pass a placement, such as tierfed.SERVER")
    nodes: dict[str, Node] = {}
    types: dict[str, Type] = {}
    present = [p for p in op.parameters if not (p.optional and given[p.name] is None)]
    for p in present:
        if p.function_of is None:
            like: Type | None = None
            first = types.get(op.parameters[0].name)
            if p.name == "zero" and op.uri in ("federated_reduce", "sequence_reduce"):
                like = _counted_from(given[p.name], first)
            if p.name == "right":
                like = first
            nodes[p.name] = _argument(given[p.name], p.federated, like)
            types[p.name] = nodes[p.name].type
    over = nodes.get("value") if op.uri in _sequences else None
    if over is not None and isinstance(over.type, FederatedType):  # at each member, under a name that no trace gives
        types["value"] = over.type.member
        nodes["value"] = Reference("p", over.type.member)
    for p in present:
        if p.function_of is not None:
            nodes[p.name] = _function(given[p.name], p.function_of(types))
    uri = op.uri
    if op.with_optional is not None and len(present) == len(op.parameters):
        uri = op.with_optional
    arguments = tuple(nodes[p.name] for p in present)
    if over is not None and isinstance(over.type, FederatedType):
        fn = Lambda("p", over.type.member, apply_intrinsic(uri, arguments))
        return bound(apply_intrinsic("federated_map", (fn, over)))
    return bound(apply_intrinsic(uri, arguments, None if to is None else as_placement(to)))


def _counted_from(zero: Any, of: Type | None) -> Type | None:
    """Return the dtype that a plain Python number takes as the zero of a reduce: that of what is reduced."""
    element = of.member if isinstance(of, FederatedType) else of
    element = element.element if isinstance(element, SequenceType) else element
    plain = isinstance(zero, int | float | complex) and not isinstance(zero, np.generic)  # numpy's have their own
    return element if plain and isinstance(element, TensorType) else None


def federated_data(uri: str, type: Any, placement: Placement | str) -> Value:
    """Return what each member of `placement` has under `uri`, a value of `type`.

    Each node resolves the URI with its own data provider; raw data never moves.
    """
    with located("federated_data"):
        t = to_type(type)
        if t.contains(FederatedType, FunctionType):
            raise TypeMismatch(f"{t} is no type of data", where="federated_data", mend="give one member's type")
        return bound(Data(uri, FederatedType(t, as_placement(placement), False)))


def generic_zero(type: Any) -> Value:
    """Return the zero of a type of numeric tensors and structs of them."""
    with located("generic_zero"):
        t = to_type(type)
        from tierfed.ir.intrinsics.arithmetic import numeric
        from tierfed.ir.intrinsics.sum import has_zero

        numeric(t, "generic_zero")
        has_zero(t, "generic_zero")
        return bound(zero_node(t))


_sequences = ("sequence_map", "sequence_reduce", "sequence_sum")  # on a placed sequence, at each member
_arithmetic = ("generic_plus", "generic_minus", "generic_multiply", "generic_divide")


def _lifting(uri: str) -> Callable[[Any, Any], Value]:
    from tierfed.language.trace import arithmetic

    @functools.wraps(_callable(TABLE[uri]))
    def call(left: Any, right: Any) -> Value:
        if not isinstance(left, Value) and not isinstance(right, Value):
            left = Value(as_node(left))
        return arithmetic(uri, left, right)

    return call


CALLABLES: dict[str, Callable[..., Value]] = {
    **{op.uri: _callable(op) for op in TABLE.values() if op.public and op.uri not in (*_arithmetic, "generic_zero")},
    **{uri: _lifting(uri) for uri in _arithmetic},
    "federated_data": federated_data,
    "generic_zero": generic_zero,
}
