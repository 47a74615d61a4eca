"""generic_plus, _minus, _multiply, _divide, generic_zero: arithmetic on tensors and structs of them.

    generic_plus : (<T,T> -> T)

Element by element, as numpy does it: integers wrap, floats follow IEEE 754, nothing is cast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tierfed.errors import TypeMismatch, ValueMismatch
from tierfed.ir.intrinsics.operator import Operator, Parameter, World
from tierfed.placements import Placement
from tierfed.types import FunctionType, SequenceType, StructType, TensorType, Type
from tierfed.types.difference import shown, told
from tierfed.types.dtypes import INTEGERS
from tierfed.types.notation import quoted
from tierfed.types.values import zero as zero_of


def structurally(t: Type, operation: Callable[..., Any], *values: Any) -> Any:
    """Return `operation` applied to the tensors of held values of `t`, in their common structure."""
    with np.errstate(all="ignore"):
        return elementwise(t, operation, values)


def elementwise(t: Type, operation: Callable[..., Any], values: tuple[Any, ...]) -> Any:
    """Return what `structurally` does, within whatever numpy says of errors where it is called."""
    if isinstance(t, StructType):
        parts = zip(*values, strict=True)
        return tuple([elementwise(e, operation, of) for (_, e), of in zip(t.elements, parts, strict=True)])
    return operation(*values)


_RESULTS = {"plus": "sum", "minus": "difference", "multiply": "product", "divide": "quotient"}


def numeric(t: Type, where: str, refused: tuple[str, ...] = ("bool", "str"), path: str = "value") -> None:
    """Raise TypeMismatch unless `t` is a tensor, or a struct of tensors, of a dtype that is not refused.

    `path` is what an error calls the value of `t`.
    """
    if isinstance(t, StructType):
        for i, (name, part) in enumerate(t.elements):
            numeric(part, where, refused, f"{path}[{i}]" if name is None else f"{path}.{quoted(name)}")
    elif not isinstance(t, TensorType):
        raise TypeMismatch(
            f"{path} is {shown(t)}, expected a tensor or a struct of tensors",
            where=where,
            mend="reduce it first, with tierfed.sequence_sum, tierfed.sequence_reduce or in a leaf"
            if isinstance(t, SequenceType)
            else "compute it in a leaf: @tierfed.py_computation",
        )
    elif t.name in refused:
        result = where.partition("_")[2]
        wanted = {"bool": "int32", "str": "a number"}.get(t.name, "float32")
        out = f"leave {path} out, or " if "." in path or "[" in path else ""
        raise TypeMismatch(
            f"{path} is {t}, which has no {_RESULTS.get(result, result)}",
            where=where,
            mend=f"{out}convert it to {wanted} in a leaf first: @tierfed.py_computation",
        )


def _binary(
    name: str, sign: str, operation: Callable[..., Any], example: str, refused: tuple[str, ...] = ("bool", "str")
) -> Operator:
    uri = f"generic_{name}"
    integers = ", and integers are not divided" if "int32" in refused else ""

    def result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
        left, right = arguments
        numeric(left, uri, refused, "left")
        if not left.is_equivalent_to(right):
            raise TypeMismatch(
                told(left, right, "left is {}, right is {}"),
                where=uri,
                mend="a number is not spread over a struct's elements: compute it in a leaf, @tierfed.py_computation"
                if isinstance(left, StructType) != isinstance(right, StructType)
                else "give both sides one type; nothing is broadcast or cast",
            )
        return left

    def meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
        return structurally(t.result, alike, *values)

    def alike(a: Any, b: Any) -> Any:
        if np.shape(a) != np.shape(b):  # where a type leaves sizes open
            raise ValueMismatch(
                f"the two sides have the shapes {np.shape(a)} and {np.shape(b)}",
                where=uri,
                mend="give both sides one shape; nothing is broadcast",
            )
        return operation(a, b)

    return Operator(
        uri,
        "<T,T> -> T",
        (Parameter("left"), Parameter("right")),
        "stays",
        result,
        meaning,
        doc=f"Return the {_RESULTS[name]} of two values of one type, element by element.",
        about=f"""
            Of numbers, tensors and structs of them, as numpy does it: integers wrap, floats follow IEEE 754,
            nothing is cast or spread over elements{integers}.  Both sides have one type, or it is a
            TypeMismatch; shapes that a type leaves open and that differ are a ValueMismatch.  On placed
            values it is computed at each member; `left {sign} right` is the same.
            """,
        example=f"""
            >>> @tierfed.federated_computation("<w=float32[2],b=float32>", "<w=float32[2],b=float32>")
            ... def {name}(a, b):
            ...     return tierfed.generic_{name}(a, b)
            >>> {name}({{"w": [6, 8], "b": 1}}, {{"w": [2, 4], "b": 4}})
            {example}
            """,
    )


PLUS = _binary("plus", "+", np.add, "{'w': array([ 8., 12.], dtype=float32), 'b': np.float32(5.0)}")
MINUS = _binary("minus", "-", np.subtract, "{'w': array([4., 4.], dtype=float32), 'b': np.float32(-3.0)}")
MULTIPLY = _binary("multiply", "*", np.multiply, "{'w': array([12., 32.], dtype=float32), 'b': np.float32(4.0)}")
DIVIDE = _binary(
    "divide",
    "/",
    np.divide,
    "{'w': array([3., 2.], dtype=float32), 'b': np.float32(0.25)}",
    ("bool", "str", *INTEGERS),
)


def _zero_result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    raise TypeMismatch("the zero of which type?", where="generic_zero", mend="give a type: tierfed.generic_zero(type)")


def _zero_meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
    return zero_of(t.result, "generic_zero")


def _is_zero(t: FunctionType) -> bool:
    numeric(t.result, "generic_zero")
    return t.parameter is None and all(not isinstance(e, TensorType) or e.is_static for e in t.result.walk())


ZERO = Operator(
    "generic_zero",
    "( -> T)",
    (),
    "stays",
    _zero_result,
    _zero_meaning,
    agrees=_is_zero,
    doc="Return the zero of a type.",
)
