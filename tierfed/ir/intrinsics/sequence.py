"""sequence_map, sequence_reduce, sequence_sum: operators on sequences, which are placed nowhere.

    sequence_map    : <(T -> U),T*> -> U*
    sequence_reduce : <T*,U,(<U,T> -> U)> -> U       from `zero`, in the sequence's order
    sequence_sum    : T* -> T                        of nothing, the zero of T

They are local: a function given to `federated_map` may use them, and on a placed sequence the
callables map them over its placement.  `sequence_empty`, `_append` and `_concat` are what
`federated_collect` is made of; no user writes them.  Source: the operators of the
specification.
"""

from __future__ import annotations

from typing import Any

from tierfed.errors import TypeMismatch
from tierfed.ir.intrinsics.aggregate import pair
from tierfed.ir.intrinsics.arithmetic import numeric, structurally
from tierfed.ir.intrinsics.operator import Arguments, Operator, Parameter, World, assignable, function, unplaced
from tierfed.ir.intrinsics.sum import add_in_place, has_zero
from tierfed.placements import Placement
from tierfed.types import FederatedType, FunctionType, SequenceType, StructType, Type
from tierfed.types.difference import shown
from tierfed.types.values import Rows, zero

APPEND, CONCAT = "sequence_append", "sequence_concat"


def sequence(t: Type, where: str) -> SequenceType:
    """Return `t` if it is a sequence; raises TypeMismatch if not."""
    if isinstance(t, SequenceType):
        return t
    mend = "pass a value of type T*"
    if isinstance(t, StructType) and t.contains(FederatedType):
        mend = "join its parts with tierfed.federated_zip first"
    raise TypeMismatch(f"value is no sequence: expected T*, got {shown(t)}", where=where, mend=mend)


def sequence_of(element: Type, where: str, what: str) -> SequenceType:
    """Return the type of a sequence of `element`; raises TypeMismatch if there is none, `what` saying of what."""
    if element.contains(SequenceType):
        raise TypeMismatch(
            f"{what} {shown(element)}, and no sequence has sequences in it",
            where=where,
            mend="reduce the inner sequence first, with tierfed.sequence_reduce or in a leaf",
        )
    if element.contains(FunctionType):
        raise TypeMismatch(
            f"{what} {shown(element)}, and no sequence has functions in it", where=where, mend="call the function first"
        )
    return SequenceType(element)


def _map_result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    element = sequence(arguments[1], "sequence_map").element
    fn = function(arguments[0], element, "sequence_map", "fn")
    return sequence_of(fn.result, "sequence_map", "fn returns")


def _map(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
    fn, x = values
    return Rows(fn(v) for v in x)


def _reduce_result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    element = sequence(arguments[0], "sequence_reduce").element
    start = unplaced(arguments[1], "sequence_reduce", "zero")
    op = function(arguments[2], pair(start, element), "sequence_reduce", "op")
    mend = f"let it return the type of zero, {shown(start)}"
    assignable(start, op.result, "sequence_reduce", "op returns another type than zero's", mend)
    return start


def _reduce(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
    x, total, op = values
    for value in x:
        total = op((total, value))
    return total


def _sum_result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    element = sequence(arguments[0], "sequence_sum").element
    numeric(element, "sequence_sum")
    has_zero(element, "sequence_sum", "use tierfed.sequence_reduce with an explicit zero")
    return element


def _sum(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
    total = zero(t.result, "sequence_sum")  # its own arrays, which are added to
    for value in values[0]:
        total = structurally(t.result, add_in_place, total, value)
    return total


def _element(given: Arguments) -> Type:
    return sequence(given["value"], "sequence_map").element


def _step(given: Arguments) -> Type:
    return pair(unplaced(given["zero"], "sequence_reduce", "zero"), sequence(given["value"], "sequence_reduce").element)


SEQUENCE_MAP = Operator(
    "sequence_map",
    "<(T -> U),T*> -> U*",
    (Parameter("fn", function_of=_element), Parameter("value")),
    "stays",
    _map_result,
    _map,
    doc="Return the sequence of `fn` of each element.",
    about="""
        In the sequence's order, an element at a time.  Placed nowhere: it may be used within functions
        that are given to other operators.  On a placed sequence it is computed at each member.  `fn`
        returns no sequence.
        """,
    example="""
        >>> @tierfed.federated_computation("{int32*}@CLIENTS")
        ... def doubled(x):
        ...     return tierfed.sequence_map(lambda v: v + v, x)
        >>> doubled([[1, 2], []])
        [[np.int32(2), np.int32(4)], []]
        """,
)
SEQUENCE_REDUCE = Operator(
    "sequence_reduce",
    "<T*,U,(<U,T> -> U)> -> U",
    (Parameter("value"), Parameter("zero"), Parameter("op", function_of=_step)),
    "stays",
    _reduce_result,
    _reduce,
    doc="Return the fold of the elements by `op`, starting from `zero`.",
    about="""
        A left fold in the sequence's order; of nothing it is `zero`.  `op` returns the type of `zero`, or
        it is a TypeMismatch.  A plain number as `zero` takes the elements' dtype.
        """,
    example="""
        >>> @tierfed.federated_computation("int32*")
        ... def product(x):
        ...     return tierfed.sequence_reduce(x, 1, lambda so_far, v: so_far * v)
        >>> product([2, 3, 7])
        np.int32(42)
        """,
)
SEQUENCE_SUM = Operator(
    "sequence_sum",
    "T* -> T",
    (Parameter("value"),),
    "stays",
    _sum_result,
    _sum,
    doc="Return the sum of the elements.",
    about="""
        Tensors of numbers and structs of them, of known sizes, element by element, in the sequence's
        order; the dtype stays, integers wrap, and of nothing it is zero.
        """,
    example="""
        >>> @tierfed.federated_computation("{float32*}@CLIENTS")
        ... def most(x):
        ...     return tierfed.federated_max(tierfed.sequence_sum(x))
        >>> most([[1, 2, 3], [4], []])
        np.float32(6.0)
        """,
)


def _is_empty(t: FunctionType) -> bool:
    return t.parameter is None and isinstance(t.result, SequenceType)


def _empty_result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    raise TypeMismatch("the empty sequence of which type?", where="sequence_empty", mend="write the type that it has")


def _appended(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    rows = sequence(arguments[0], APPEND)
    assignable(rows.element, arguments[1], APPEND, "an element of another type", "append what it is a sequence of")
    return rows


def _concatenated(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    rows = sequence(arguments[0], CONCAT)
    assignable(rows, arguments[1], CONCAT, "two sequences of different types", "join sequences of one type")
    return rows


SEQUENCE_EMPTY = Operator(
    "sequence_empty",
    "( -> T*)",
    (),
    "stays",
    _empty_result,
    lambda world, values, t: Rows(),
    agrees=_is_empty,
    public=False,
)
SEQUENCE_APPEND = Operator(
    APPEND,
    "<T*,T> -> T*",
    (Parameter("value"), Parameter("element")),
    "stays",
    _appended,
    lambda world, values, t: Rows((*values[0], values[1])),
    public=False,
)
SEQUENCE_CONCAT = Operator(
    CONCAT,
    "<T*,T*> -> T*",
    (Parameter("value"), Parameter("other")),
    "stays",
    _concatenated,
    lambda world, values, t: Rows((*values[0], *values[1])),
    public=False,
)
