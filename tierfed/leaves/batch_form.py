"""Batch forms: a leaf for many members at once, where one call does what a loop would do in many.

    def scaled(x, w): return x * w
    def scaled_all(x, w): return x * w[:, None]         # x: [members, …], w: [members]
    tierfed.py_computation(scaled, "float32[3]", "float32", returns="float32[3]", batch=scaled_all)
    tierfed.tf_computation(scaled, "float32[3]", "float32", batch=True)                    see tf_batch.py

A batch form takes and returns what the leaf does, with an axis for members in front of each tensor.  Only simulations
call it, and each time rows of it, the first and the last among them, are held against the leaf itself: they are the
same bits, or within the `tolerance`, relative and absolute, that the user has accepted.  A function that was written
for it is held in these two.  A graph's form is TensorFlow's own doing, and may differ in the last bit of one row in
ten: where the bits are to be the same it is held in 32.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tierfed.errors import LeafError, TierfedError, TypeMismatch
from tierfed.ir.nodes import Compiled
from tierfed.leaves import py, tf, tf_batch
from tierfed.types import FunctionType, StructType, TensorType, Type
from tierfed.types.values import check, present, same

_LOADS = {py.KIND: py.load, tf.KIND: tf.load}
_HELD = 32  # rows of a graph's form that are held to the leaf's bits


@dataclass(frozen=True, slots=True)
class BatchForm:
    """What is called, and by how much its results may differ from the leaf's; None: by no bit."""

    name: str
    call: Callable[[Any, int], Any]  # a stacked held argument, and the number of members, to the stacked held result
    tolerance: float | None
    held: int = 2  # rows that are held against the leaf
    otherwise: bool = False  # members run one by one where it differs, or cannot be had


_forms: dict[tuple[str, str], BatchForm] = {}


def declare(leaf: Compiled, function: Callable[..., Any], tolerance: float | None) -> None:
    """Remember `function` as the batch form of a Python leaf; raises TypeMismatch where no axis can be put in front."""
    many(leaf.of.parameter, 1)
    many(leaf.of.result, 1)
    name = f"batch form {getattr(function, '__qualname__', function)} of {leaf.leaf.name.partition(':')[2]}"
    _forms[_key(leaf)] = BatchForm(name, partial(_called, leaf, function, name), tolerance)


def vectorise(leaf: Compiled, fn: Callable[..., Any], arity: int, tolerance: float | None, otherwise: bool) -> None:
    """Let TensorFlow make the batch form of what `fn`, of so many arguments, was traced to.

    With `otherwise` that is done when it is first needed, if it can be.

    Raises TypeMismatch where no axis can be put in front, and LeafError where TensorFlow cannot.
    """
    if leaf.of.parameter is None:
        raise TypeMismatch("nothing differs between members", where="batch", mend="remove batch= of what takes nothing")
    many(leaf.of.parameter, 1)
    many(leaf.of.result, 1)
    name = f"batch form of {leaf.leaf.name}"
    vectorised = tf_batch.Vectorised(fn, leaf, arity)
    if not otherwise:
        vectorised.make()
    _forms[_key(leaf)] = BatchForm(name, vectorised, tolerance, _HELD if tolerance is None else 2, otherwise)


def forget(leaf: Compiled) -> None:
    """Call `leaf` for one member after the other from now on."""
    _forms.pop(_key(leaf), None)


def _key(leaf: Compiled) -> tuple[str, str]:
    return leaf.leaf.name, leaf.leaf.digest


def batch_form(leaf: Compiled) -> BatchForm | None:
    """Return the batch form of `leaf`, None if it has none in this process."""
    return _forms.get(_key(leaf))


def many(t: Type | None, members: int) -> Type | None:
    """Return `t` with an axis of `members` in front of each tensor; nothing of nothing."""
    return None if t is None else _with_axis(t, members)


def _with_axis(t: Type, members: int) -> Type:
    if isinstance(t, StructType):
        return StructType([(name, _with_axis(e, members)) for name, e in t.elements], t.container)
    if isinstance(t, TensorType) and t.name != "str" and t.shape is not None and None not in t.shape:
        return TensorType(t.name, (members, *t.shape))
    raise TypeMismatch(
        f"{t} cannot be stacked over members",
        where="batch",
        mend="a batch form takes and gives tensors of numbers of a known shape, and structs of them",
    )


def run(leaf: Compiled, argument: Any, members: int) -> list[Any] | None:
    """Return the held result of `leaf` for each of `members`, whose held arguments are stacked in `argument`.

    Returns None where they are to be run one by one.  Raises LeafError where the batch form raises, returns another
    type, or another value than the leaf.
    """
    form, t = _forms[_key(leaf)], leaf.of
    assert isinstance(t, FunctionType) and t.parameter is not None
    try:
        stacked = form.call(argument, members)
    except tf_batch.Apart:
        return None
    single = _LOADS[leaf.leaf.kind](leaf)
    for member in _rows(members, form.held):
        alone, together = single(row(argument, t.parameter, member)), row(stacked, t.result, member)
        if not _agree(alone, together, t.result, form.tolerance):
            if form.otherwise:
                return None
            other = "bits" if form.tolerance is None else "values"
            raise LeafError(
                f"it gives other {other} than the leaf itself, in row {member}",
                where=form.name,
                mend="give a tolerance= that covers the difference, or remove batch=",
            )
    return [row(stacked, t.result, member) for member in range(members)]


def _rows(members: int, held: int) -> list[int]:
    """Return so many rows, evenly apart, from the first to the last."""
    if members <= held:
        return list(range(members))
    return [i * (members - 1) // (held - 1) for i in range(held)]


def _called(leaf: Compiled, function: Callable[..., Any], name: str, argument: Any, members: int) -> Any:
    """Call a function on the stacked argument of a Python leaf; return its checked result."""
    parameter, result = many(leaf.of.parameter, members), many(leaf.of.result, members)
    assert parameter is not None and result is not None
    given = [present(argument, parameter)]
    if leaf.leaf.content != b"1" and isinstance(parameter, StructType):
        given = [present(v, p) for v, p in zip(argument, parameter.parts(), strict=True)]
    try:
        return check(function(*given), result, f"the result of {name}")
    except TierfedError as bad:
        raise LeafError(bad.what, where=bad.where, mend=bad.mend) from bad
    except Exception as problem:
        raise LeafError(f"raised {py.told(problem)}", where=name, remote_traceback=traceback.format_exc()) from problem


def row(stacked: Any, t: Type, member: int) -> Any:
    """Return the held value of one member."""
    if isinstance(t, StructType):
        return tuple(row(v, e, member) for v, e in zip(stacked, t.parts(), strict=True))
    return stacked[member]


def _agree(a: Any, b: Any, t: Type, tolerance: float | None) -> bool:
    if tolerance is None:
        return same(a, b, t)
    if isinstance(t, StructType):
        return all(_agree(x, y, e, tolerance) for x, y, e in zip(a, b, t.parts(), strict=True))
    return bool(np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True))
