"""Functions as arguments.

    @federated_computation(FunctionType(np.int32, np.int32), FederatedType(np.int32, CLIENTS))
    def total(f, x): return federated_sum(federated_map(f, x))

    total(lambda v: v * v, [1, 2, 3])        # 14

A function has no form that could travel as a value, so none does.  Before a call it is put into
the program: what runs is the program of the other arguments.  A function that comes back is a
computation: see `results`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tierfed.errors import TypeMismatch
from tierfed.ir.nodes import Block, Call, Lambda, Node, Reference, Selection, Struct
from tierfed.language.arguments import hold, hold_arguments, parts_of
from tierfed.language.computation import Computation
from tierfed.language.packing import packed_arguments
from tierfed.language.trace import as_node
from tierfed.types import FunctionType, StructType, Type
from tierfed.types.difference import told
from tierfed.user_line import located


def applied(computation: Computation, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Computation, Any]:
    """Return what is to run, with the functions among its arguments put in, and the held argument that is left.

    Raises ValueMismatch or TypeMismatch.
    """
    t = computation.type_signature
    if t.parameter is None or not t.parameter.contains(FunctionType):
        return computation, hold_arguments(t, args, kwargs)
    with located(computation.name):
        left = _Left()
        argument = left.node(packed_arguments(t.parameter, args, kwargs), t.parameter, "argument")
        rest = left.types[0] if len(left.types) == 1 else StructType(left.types) if left.types else None
        body = Call(computation.node, argument)
        if rest is None:
            return Computation(Lambda(None, None, body), computation.name, computation.python_function), None
        whole = Reference(_PARAMETER, rest)
        parts = [whole] if len(left.types) == 1 else [Selection(whole, i) for i in range(len(left.types))]
        bindings = tuple((f"{_PARAMETER}.{i}", part) for i, part in enumerate(parts))
        program = Lambda(_PARAMETER, rest, Block(bindings, body))
        held = left.values[0] if len(left.types) == 1 else tuple(left.values)
        return Computation(program, computation.name, computation.python_function), held


_PARAMETER = "given"


class _Left:
    """The arguments that are no functions, as they are found."""

    def __init__(self) -> None:
        self.types: list[Type] = []
        self.values: list[Any] = []

    def node(self, value: Any, t: Type, where: str) -> Node:
        """Return an argument as a node: functions as they are, anything else by the name that it will have."""
        if isinstance(t, FunctionType):
            fn = as_node(value, t)
            if not t.is_assignable_from(fn.type):
                what = told(t, fn.type, f"{where}: expected {{}}, got {{}}")
                raise TypeMismatch(what, mend="pass a function of the type that is taken")
            return fn
        if isinstance(t, StructType) and t.contains(FunctionType):
            parts = parts_of(value, t, where)
            return Struct(
                tuple(
                    (n, self.node(v, e, f"{where}.{n}" if n is not None else f"{where}[{i}]"))
                    for i, (v, (n, e)) in enumerate(zip(parts, t.elements, strict=True))
                )
            )
        self.types.append(t)
        self.values.append(hold(value, t, where))
        return Reference(f"{_PARAMETER}.{len(self.types) - 1}", t)
