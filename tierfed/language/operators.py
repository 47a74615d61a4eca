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
from tierfed.ir.intrinsics.operator import Parameter
from tierfed.ir.nodes import Data, Lambda, Node, Reference, is_stateful
from tierfed.language.iterate import federated_iterate
from tierfed.language.trace import Value, as_node, bound, loosened, positional, traced
from tierfed.placements import CLIENTS, SERVER, Placement, as_placement
from tierfed.types import FederatedType, FunctionType, SequenceType, StructType, TensorType, Type, to_type
from tierfed.types.difference import shown
from tierfed.user_line import at_user_line, located


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


def function_node(value: Any, parameter: Type | None, name: str, uri: str) -> Node:
    """Return a function argument as a node; a plain Python function is traced."""
    node = getattr(value, "_node", None)
    if isinstance(node, Node):
        return node
    wanted = positional(value)
    unpacked = isinstance(parameter, StructType) and len(parameter) > 1 and wanted == len(parameter)
    if wanted is not None and not unpacked and wanted != (parameter is not None):
        raise TypeMismatch(
            f"{name} takes {wanted} argument{'' if wanted == 1 else 's'}, and is given {_given(parameter)}",
            mend=f"let {name} take {_arity(parameter)}",
        )
    try:
        return traced(value, parameter)
    except TypeMismatch as bad:
        if bad.where and " of federated_" not in bad.where:  # the innermost function tells most
            line_alone = bad.where.rpartition(":")[2].isdigit()
            bad.where = f"{bad.where}{': ' if line_alone else ', '}in {name} of {uri}"
        raise


def _given(parameter: Type | None) -> str:
    return "nothing" if parameter is None else f"a value of {shown(parameter)}"


def _arity(parameter: Type | None) -> str:
    if parameter is None:
        return "no argument"
    several = isinstance(parameter, StructType) and len(parameter) > 1
    return f"{len(parameter)} arguments, or one that it selects from" if several else "one argument"  # type: ignore[arg-type]


def _callable(op: Operator) -> Callable[..., Value]:
    signature = _signature(op)

    def call(*args: Any, **kwargs: Any) -> Value:
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError as bad:
            raise TypeMismatch(str(bad), where=at_user_line(op.uri), mend=_written(op.uri, signature)) from None
        given.apply_defaults()
        with located(op.uri):
            return _apply(op, given.arguments)

    call.__name__ = call.__qualname__ = op.uri
    call.__doc__ = _docstring(op)
    call.__signature__ = signature  # type: ignore[attr-defined]  # what help() shows
    return call


def _docstring(op: Operator) -> str:
    """Return what help() shows: what it returns, its signature, its meaning and errors, an example."""
    raises = "" if "TypeMismatch" in op.about else "Raises TypeMismatch, with the mend."
    parts = (op.doc, f"    {op.uri} : {op.signature}", op.about, raises, op.example)
    return "\n\n".join(part if part.startswith(" ") else inspect.cleandoc(part) for part in parts if part)


def _written(name: str, signature: inspect.Signature) -> str:
    shown = (n if p.default is p.empty else f"{n}={p.default}" for n, p in signature.parameters.items())
    return f"call {name}({', '.join(shown)})"


def _apply(op: Operator, given: dict[str, Any]) -> Value:
    to = given.get("to", given.get("placement"))
    if to is not None and not isinstance(to, Placement | str):
        name = "to" if "to" in given else "placement"
        raise TypeMismatch(f"{name}={to!r} is no placement", mend="pass a placement, such as tierfed.SERVER")
    nodes: dict[str, Node] = {}
    types: dict[str, Type] = {}
    present = [p for p in op.parameters if not (p.optional and given[p.name] is None)]
    _functions_where_expected(op, present, given)
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
            nodes[p.name] = function_node(given[p.name], p.function_of(types), p.name, op.uri)
    if op.uri == "federated_map" and is_stateful(nodes["fn"]):
        nodes["value"] = _one_a_member(nodes["value"])
    uri = op.uri
    if op.with_optional is not None and len(present) == len(op.parameters):
        uri = op.with_optional
    arguments = tuple(nodes[p.name] for p in present)
    if over is not None and isinstance(over.type, FederatedType):
        fn = Lambda("p", over.type.member, apply_intrinsic(uri, arguments))
        over = _one_a_member(over) if is_stateful(fn) else over
        return bound(apply_intrinsic("federated_map", (fn, over)))
    return bound(apply_intrinsic(uri, arguments, None if to is None else as_placement(to)))


def _one_a_member(value: Node) -> Node:
    """Return `value` with one value a member: equal members that draw differ, so their results are not all-equal."""
    t = value.type
    assert isinstance(t, FederatedType)
    apart = t.all_equal and not t.placement.singleton
    return loosened(value, FederatedType(t.member, t.placement, False)) if apart else value


def _functions_where_expected(op: Operator, present: list[Parameter], given: dict[str, Any]) -> None:
    """Raise TypeMismatch if a value was given for a function, or a function for a value."""
    for p in present:
        value = given[p.name]
        node = getattr(value, "_node", None)
        t = node.type if isinstance(node, Node) else None
        is_function = isinstance(t, FunctionType) if t is not None else callable(value)
        if isinstance(value, type) and p.function_of is None:
            continue  # told as the type that it is
        if is_function != (p.function_of is not None):
            what = shown(t) if t is not None else type(value).__name__ if is_function else repr(value)
            expected = "a value" if is_function else "a function"
            raise TypeMismatch(
                f"{p.name} is {'a function' if is_function and t is None else what}, expected {expected}",
                mend=_written(op.uri, _signature(op)),
            )


def _counted_from(zero: Any, of: Type | None) -> Type | None:
    """Return the dtype that a plain Python number takes as the zero of a reduce: that of what is reduced."""
    element = of.member if isinstance(of, FederatedType) else of
    element = element.element if isinstance(element, SequenceType) else element
    plain = isinstance(zero, int | float | complex) and not isinstance(zero, np.generic)  # numpy's have their own
    return element if plain and isinstance(element, TensorType) and element.shape == () else None


def federated_data(uri: str, type: Any, placement: Placement | str) -> Value:
    """Return what each member of `placement` has under `uri`, a value of `type`.

        federated_data : {T}@P

    Each member resolves the URI with its own data provider, `(uri, type, member) -> value`, which a
    topology or `tierfed.local(data=…)` names; what it gives is checked against `type` and never cast.
    It has one value a member at singletons too.  `tierfed:member`, of `<index=int32,seed=uint64>`,
    needs no provider and says who a member is.  Raw data never moves: it may be folded, and may
    leave its member by way of a leaf.

    Raises TypeMismatch, with the mend; DataError where a member has no such data, when it is asked.

    >>> def thermometers(uri, type, member):
    ...     return np.float32([68.5, 70.3][member.index])
    >>> @tierfed.federated_computation
    ... def hottest():
    ...     return tierfed.federated_max(tierfed.federated_data("reading", np.float32, tierfed.CLIENTS))
    >>> with tierfed.local(topology=tierfed.tree({"CLIENTS": 2}), data=thermometers):
    ...     hottest()
    np.float32(70.3)
    """
    with located("federated_data"):
        t = to_type(type)
        if t.contains(FederatedType, FunctionType):
            each = t.member if isinstance(t, FederatedType) else None
            raise TypeMismatch(
                f"type is the type of one member's data, which {shown(t)} is not",
                mend=f"give {each} as the type: the placement is an argument of its own"
                if each
                else "give a type of tensors, structs and sequences, without placements or functions",
            )
        return bound(Data(uri, FederatedType(t, as_placement(placement), False)))


def generic_zero(type: Any) -> Value:
    """Return the zero of a type of numeric tensors and structs of them.

        generic_zero : ( -> T)

    Every size is known, or there is no zero: TypeMismatch.  It is placed nowhere.

    >>> @tierfed.federated_computation
    ... def blank():
    ...     return tierfed.generic_zero("<w=float32[2],b=float32>")
    >>> blank()
    {'w': array([0., 0.], dtype=float32), 'b': np.float32(0.0)}
    """
    with located("generic_zero"):
        t = to_type(type)
        from tierfed.ir.intrinsics.arithmetic import numeric
        from tierfed.ir.intrinsics.sum import has_zero

        numeric(t, "generic_zero")
        has_zero(t, "generic_zero")
        return bound(zero_node(t))


_sequences = ("sequence_map", "sequence_reduce", "sequence_sum")  # on a placed sequence, at each member
_written_out = ("generic_zero", "federated_iterate")
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
    **{op.uri: _callable(op) for op in TABLE.values() if op.public and op.uri not in (*_arithmetic, *_written_out)},
    **{uri: _lifting(uri) for uri in _arithmetic},
    "federated_data": federated_data,
    "federated_iterate": federated_iterate,
    "generic_zero": generic_zero,
}
