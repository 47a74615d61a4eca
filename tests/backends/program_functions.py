"""What random programs do to one member's value, and how they fold of their own: in the language and in numpy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import program_leaves as leaves
from hypothesis import strategies as st
from oracle import each, zeros
from program_trees import sampled

import tierfed
from tierfed.language.trace import Value, as_node
from tierfed.types import SequenceType, StructType, TensorType, Type
from tierfed.types.values import Rows

NUMBERS = (
    "int8",
    "uint8",
    "int16",
    "int32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
    "bfloat16",
    "complex64",
)
FLOATS = ("float16", "float32", "float64", "bfloat16", "complex64")
INT32 = TensorType("int32")
STR = TensorType("str")
BINARY = {"plus": np.add, "minus": np.subtract, "multiply": np.multiply, "divide": np.divide}


def tensors_in(t: Type) -> list[TensorType]:
    """The tensors that `t` is made of; nothing for a type that is not of tensors and structs alone."""
    parts = list(t.walk())
    if any(not isinstance(p, TensorType | StructType) for p in parts):
        return []
    return [p for p in parts if isinstance(p, TensorType)]


def of_numbers(t: Type, names: Sequence[str] = NUMBERS) -> bool:
    """Whether `t` is of tensors of these dtypes alone."""
    found = tensors_in(t)
    return bool(found) and all(p.name in names for p in found)


@dataclass(frozen=True)
class Function:
    """A function to `gives`, written with traced values and meant in numpy; one that `lifts` takes placed ones too."""

    gives: Type
    write: Callable[[Any, list[Any]], Any]
    means: Callable[[Any, list[Any]], Any]
    name: str
    lifts: bool = False

    def __repr__(self) -> str:
        return self.name


def of_leaf(leaf: Any) -> Function:
    """A leaf as a function of its one argument, which may be a pair."""
    t = leaf.type_signature
    pair = isinstance(t.parameter, StructType)

    def means(x: Any, v: list[Any]) -> Any:
        result = leaf.python_function(*x) if pair else leaf.python_function(x)
        return tuple(result.values()) if isinstance(result, dict) else result

    return Function(t.result, lambda x, v: leaf(x[0], x[1]) if pair else leaf(x), means, leaf.name)


LEAVES = (leaves.halve, leaves.mix, leaves.digest, leaves.told, leaves.length, leaves.added)


@st.composite
def functions(draw: st.DrawFn, t: Type, unplaced: dict[int, Type], deep: bool = True) -> Function:
    """A function of a member's `t`, which may capture something `unplaced`."""
    choices: list[Callable[[], Function]] = [
        lambda: Function(t, lambda x, v: x, lambda x, v: x, "same"),
        lambda: Function(StructType([t, t], tuple), lambda x, v: (x, x), lambda x, v: (x, x), "twice"),
        lambda: Function(
            StructType([("l", t), ("r", INT32)], dict),
            lambda x, v: {"l": x, "r": np.int32(5)},
            lambda x, v: (x, np.int32(5)),
            "labelled",
        ),
    ]
    if isinstance(t, StructType):
        i = draw(st.integers(0, len(t) - 1))
        choices += [lambda: Function(t[i], lambda x, v: x[i], lambda x, v: x[i], f"[{i}]")] * 3
    if isinstance(t, SequenceType):
        choices += [lambda: draw(on_sequences(t, unplaced))] * 6
    if of_numbers(t):
        square = lambda x, v: each(t, np.multiply, x, x)  # noqa: E731
        choices += [lambda: Function(t, lambda x, v: x * x, square, "squared")] * 2
    for leaf in LEAVES:
        if t.is_equivalent_to(leaf.type_signature.parameter):
            choices += [lambda leaf=leaf: of_leaf(leaf)] * 4
    for k, u in unplaced.items():
        if u == t and of_numbers(t):
            add = lambda x, v, k=k: each(t, np.add, x, v[k])  # noqa: E731
            subtract = lambda x, v, k=k: each(t, np.subtract, v[k], x)  # noqa: E731
            choices += [lambda k=k, add=add: Function(t, lambda x, v: x + v[k], add, f"+ {k}")] * 2
            choices += [lambda k=k, subtract=subtract: Function(t, lambda x, v: v[k] - x, subtract, f"{k} -")]
        choices.append(
            lambda k=k, u=u: Function(
                StructType([t, u], tuple), lambda x, v: (x, v[k]), lambda x, v: (x, v[k]), f"with {k}"
            )
        )
    first = choices[draw(sampled(range(len(choices))))]()
    if not deep or not draw(st.booleans()):
        return first
    second = draw(functions(first.gives, unplaced, deep=False))
    return Function(
        second.gives,
        lambda x, v: second.write(as_value(first.write(x, v)), v),
        lambda x, v: second.means(first.means(x, v), v),
        f"{first.name}, {second.name}",
    )


@st.composite
def on_sequences(draw: st.DrawFn, t: SequenceType, unplaced: dict[int, Type]) -> Function:
    """A function of a sequence, by one of the operators on sequences."""
    e = t.element
    kinds = ["map", "count"] + ["sum", "sum", "doubled"] * (of_numbers(e) and all(p.is_static for p in tensors_in(e)))
    plus = lambda a, b: each(e, np.add, a, b)  # noqa: E731
    match draw(sampled(kinds)):
        case "map":
            fn = draw(functions(e, unplaced, deep=False).filter(lambda fn: not fn.gives.contains(SequenceType)))
            return Function(
                SequenceType(fn.gives),
                lambda x, v: tierfed.sequence_map(lambda one: fn.write(one, v), x),
                lambda x, v: Rows(fn.means(one, v) for one in x),
                f"each {fn.name}",
                True,
            )
        case "count":
            one_more = lambda n, _: n + np.int32(1)  # noqa: E731
            return Function(
                INT32,
                lambda x, v: tierfed.sequence_reduce(x, np.int32(0), one_more),
                lambda x, v: np.int32(len(x)),
                "count",
                True,
            )
        case "sum":
            summed = lambda x, v: functools.reduce(plus, x, zeros(e))  # noqa: E731
            return Function(e, lambda x, v: tierfed.sequence_sum(x), summed, "sum of", True)
    return Function(
        e,
        lambda x, v: tierfed.sequence_reduce(x, tierfed.generic_zero(e), lambda u, one: u + u + one),
        lambda x, v: functools.reduce(lambda u, one: plus(plus(u, u), one), x, zeros(e)),
        "doubled",
        True,
    )


def as_value(x: Any) -> Any:
    """A container of traced values as one traced value, as a computation's result would be."""
    return Value(as_node(x))


@dataclass(frozen=True)
class Folding:
    """A zero's type, an accumulate and a merge, in the language and in numpy; none of them commutes."""

    name: str
    accumulate: Callable[..., Any]
    merge: Callable[..., Any]
    in_numpy: tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]

    def __repr__(self) -> str:
        return self.name


def affine(t: Type) -> Folding:
    """Composition of maps y -> a·y + b, of which a member's x gives 2x·y + x."""

    def in_numpy(s: Any, a: Any, b: Any) -> Any:
        slope = each(t, np.multiply, s[0], a)
        return slope, each(t, np.add, s[1], each(t, np.multiply, s[0], b))

    return Folding(
        "affine",
        lambda s, x: {"a": s.a * (x + x), "b": s.b + s.a * x},
        lambda s, u: {"a": s.a * u.a, "b": s.b + s.a * u.b},
        (
            lambda s, x: in_numpy(s, each(t, np.add, x, x), x),
            lambda s, u: in_numpy(s, u[0], u[1]),
        ),
    )


def added_up(t: Type) -> Folding:
    """A sum, from whatever zero the user says: one that is no unit is counted once a first-tier aggregator."""
    plus = lambda a, b: each(t, np.add, a, b)  # noqa: E731
    return Folding("added up", lambda s, x: s + x, lambda s, u: s + u, (plus, plus))


def taken_away(t: Type) -> Folding:
    """A difference, which neither commutes nor associates: the tree itself shows."""
    minus = lambda a, b: each(t, np.subtract, a, b)  # noqa: E731
    return Folding("taken away", lambda s, x: s - x, lambda s, u: s - u, (minus, minus))


LAST = Folding("last", lambda s, x: x, lambda s, u: u, (lambda s, x: x, lambda s, u: u))
FIRST = Folding("first", lambda s, x: x, lambda s, u: s, (lambda s, x: x, lambda s, u: s))
COUNTED = Folding(
    "counted",
    lambda s, x: s + np.int32(1),
    lambda s, u: s + u,
    (lambda s, x: each(INT32, np.add, s, np.int32(1)), lambda s, u: each(INT32, np.add, s, u)),
)
NOTED = Folding(
    "noted",
    lambda s, x: leaves.noted(s, x),
    lambda s, u: leaves.joined(s, u),
    (lambda s, x: f"{s}{int(x)};", lambda s, u: f"{s}{u}"),
)
