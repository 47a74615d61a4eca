"""Embedding: what a user gives an executor, as a step.

    5  [1, 2, 3] at {int32}@CLIENTS  a computation, or its bytes  lambda x: x + 1 at (int32 -> int32)
    CLIENTS  "federated_sum" at ({int32}@CLIENTS -> int32@SERVER)

What is given is copied: a value of an executor stays what it was when it was created.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from tierfed.backends.executor.steps import Constant, Given, Step, call, struct
from tierfed.errors import TypeMismatch
from tierfed.ir.check import check
from tierfed.ir.nodes import Intrinsic, Lambda, Node, PlacementLiteral
from tierfed.ir.proto.uris import native_uri
from tierfed.language.arguments import fit, hold
from tierfed.language.computation import Computation
from tierfed.language.interchange import deserialize
from tierfed.language.trace import trace
from tierfed.placements import Placement, Tree
from tierfed.types import FederatedType, FunctionType, PlacementType, StructType, Type, to_type
from tierfed.types.containers import fields_of
from tierfed.types.values import Rows, Struct, infer

_WHERE = "create_value"


def embedded(value: Any, spec: Any, tree: Tree) -> Step:
    """Return `value`, at the type that `spec` says if it says one; raises TypeMismatch or ValueMismatch."""
    t = None if spec is None else to_type(spec)
    node = _closed(value, t)
    if node is not None:
        return _embedded_node(node, t)
    if isinstance(t, StructType) and t.contains(FunctionType, PlacementType):
        parts = zip(t.elements, _parts(value, t), strict=True)
        return struct(((n, embedded(v, e, tree)) for (n, e), v in parts), t.container)
    if t is None:
        own = getattr(value, "type_signature", None)  # what a call left at its members knows its type
        t = own if isinstance(own, FederatedType) else infer(value, _WHERE)
    held = copied(hold(value, t, _WHERE))
    fit(held, FunctionType(t, StructType(())), tree)
    return Given(t, held)


def _closed(value: Any, t: Type | None) -> Node | None:
    """Return the closed node that `value` stands for, None if it is data."""
    if isinstance(value, Computation):
        return value.node
    if isinstance(value, Node):
        return check(value)
    if isinstance(value, bytes | bytearray | memoryview) and (t is None or isinstance(t, FunctionType)):
        return deserialize(bytes(value)).node
    if isinstance(value, Placement) and (t is None or isinstance(t, PlacementType)):
        return PlacementLiteral(value)
    if not isinstance(t, FunctionType):
        return None
    if isinstance(value, str):
        return check(Intrinsic(native_uri(value, t), t))
    if callable(value):
        return check(_traced(value, t))
    raise TypeMismatch(
        f"a {type(value).__name__} is no function of {t}",
        where=_WHERE,
        mend="pass a computation, its bytes, a Python function, or the URI of an intrinsic",
    )


def _traced(fn: Any, t: FunctionType) -> Lambda:
    taken = [p for p in inspect.signature(fn).parameters.values() if p.default is p.empty]
    unpacked = isinstance(t.parameter, StructType) and len(taken) == len(t.parameter) != 1
    return trace(fn, t.parameter, tuple if unpacked else None)


def _embedded_node(node: Node, t: Type | None) -> Step:
    if t is not None and not t.is_assignable_from(node.type):
        raise TypeMismatch(
            f"expected {t}, got {node.type}", where=_WHERE, mend="leave the type out, or give the type that it has"
        )
    if isinstance(node.type, FunctionType | PlacementType):
        return Constant(node.type, node)
    thunk = Lambda(None, None, node)  # a call, so that it is computed once
    return call(Constant(thunk.type, thunk), None)


def _parts(value: Any, t: StructType) -> list[Any]:
    """Return the elements of a container that holds functions or placements, in the order of `t`."""
    if isinstance(value, Mapping) and None not in t.names and set(value) == set(t.names):
        return [value[n] for n in t.names]
    if (fields := fields_of(type(value))) is not None and fields == t.names:
        return [getattr(value, f) for f in fields]
    if isinstance(value, tuple | list | Struct) and len(value) == len(t):
        return list(value)
    raise TypeMismatch(f"expected {t}, got {type(value).__name__}", where=_WHERE, mend="pass each element of the type")


def copied(held: Any) -> Any:
    """Return a copy of a held value, which shares no array with it."""
    if isinstance(held, np.ndarray):
        return held.copy()
    if isinstance(held, Rows):
        return Rows(copied(v) for v in held)
    return tuple(copied(v) for v in held) if isinstance(held, tuple) else held
