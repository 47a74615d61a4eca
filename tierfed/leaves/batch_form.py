"""Batch forms: a Python leaf for many members at once, where numpy does in one call what a loop would do in many.

    def scaled(x, w): return x * w
    def scaled_all(x, w): return x * w[:, None]         # x: [members, …], w: [members]
    tierfed.py_computation(scaled, "float32[3]", "float32", returns="float32[3]", batch=scaled_all)

A batch form takes and returns what the leaf does, with an axis for members in front of each tensor.  Only simulations
call it, and each time its first and its last row are held against the leaf itself: they are the same bits, or within
the `tolerance`, relative and absolute, that the user has accepted.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tierfed.errors import LeafError, TierfedError, TypeMismatch
from tierfed.ir.nodes import Compiled
from tierfed.leaves import py
from tierfed.types import FunctionType, StructType, TensorType, Type
from tierfed.types.values import check, present, same


@dataclass(frozen=True, slots=True)
class BatchForm:
    """The function, and by how much its results may differ from the leaf's; None: by no bit."""

    function: Callable[..., Any]
    tolerance: float | None = None


_forms: dict[tuple[str, str], BatchForm] = {}


def declare(leaf: Compiled, function: Callable[..., Any], tolerance: float | None) -> None:
    """Remember `function` as the batch form of `leaf`; raises TypeMismatch where no axis can be put in front."""
    assert isinstance(leaf.of, FunctionType)
    for t in (leaf.of.parameter, leaf.of.result):
        if t is not None:
            many(t, 1)
    _forms[leaf.leaf.name, leaf.leaf.digest] = BatchForm(function, tolerance)


def batch_form(leaf: Compiled) -> BatchForm | None:
    """Return the batch form of `leaf`, None if it has none in this process."""
    return _forms.get((leaf.leaf.name, leaf.leaf.digest))


def many(t: Type, members: int) -> Type:
    """Return `t` with an axis of `members` in front of each tensor."""
    if isinstance(t, StructType):
        return StructType([(name, many(e, members)) for name, e in t.elements], t.container)
    if isinstance(t, TensorType) and t.name != "str" and t.shape is not None and None not in t.shape:
        return TensorType(t.name, (members, *t.shape))
    raise TypeMismatch(
        f"{t} cannot be stacked over members",
        where="batch",
        mend="a batch form takes and gives tensors of numbers of a known shape, and structs of them",
    )


def run(leaf: Compiled, argument: Any, members: int) -> list[Any]:
    """Return the held result of `leaf` for each of `members`, whose held arguments are stacked in `argument`.

    Raises LeafError where the batch form raises, returns another type, or another value than the leaf.
    """
    form = _forms[leaf.leaf.name, leaf.leaf.digest]
    t = leaf.of
    assert isinstance(t, FunctionType) and t.parameter is not None and t.result is not None
    name = f"batch form {getattr(form.function, '__qualname__', form.function)} of {leaf.leaf.name.partition(':')[2]}"
    parameter, result = many(t.parameter, members), many(t.result, members)
    given = [present(argument, parameter)]
    if leaf.leaf.content != b"1" and isinstance(parameter, StructType):
        given = [present(v, p) for v, p in zip(argument, parameter.parts(), strict=True)]
    try:
        stacked = check(form.function(*given), result, f"the result of {name}")
    except TierfedError as bad:
        raise LeafError(bad.what, where=bad.where, mend=bad.mend) from bad
    except Exception as problem:
        raise LeafError(f"raised {py.told(problem)}", where=name, remote_traceback=traceback.format_exc()) from problem
    single = py.load(leaf)
    for member in dict.fromkeys((0, members - 1)):
        alone, together = single(row(argument, t.parameter, member)), row(stacked, t.result, member)
        if not _agree(alone, together, t.result, form.tolerance):
            other = "bits" if form.tolerance is None else "values"
            raise LeafError(
                f"it gives other {other} than the leaf itself, in row {member}",
                where=name,
                mend="give a tolerance= that covers the difference, or remove batch=",
            )
    return [row(stacked, t.result, member) for member in range(members)]


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
