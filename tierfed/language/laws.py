"""Laws: does an aggregate mean the same on every tree?

    tierfed.check_aggregate(np.int32, 0, lambda u, t: u + t, lambda a, b: a + b)

A fold along a tree groups members by their parents, so it needs, for all partials a, b, c and
values t,

    merge(merge(a,b),c) = merge(a,merge(b,c))
    merge(zero,a) = a = merge(a,zero)
    accumulate(merge(a,b),t) = merge(a,accumulate(b,t))

No program can be asked for all of them; this asks for some, drawn at random, with the ones that
bring mistakes to light (zeros, equal values, extremes) among them.  Partials are made as a tree
makes them: folds of values from zero.  What is found is wrong for sure; what is not found may be.

Source: the same laws are asked of a monoid action in Steele 2009, "Organizing functions for
parallel execution", ICFP invited talk.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tierfed.errors import ValueMismatch
from tierfed.ir.evaluate import evaluate
from tierfed.ir.intrinsics.aggregate import fold_types, pair
from tierfed.language.operators import function_node
from tierfed.language.trace import as_node
from tierfed.leaves import load
from tierfed.placements import CLIENTS
from tierfed.types import FederatedType, SequenceType, StructType, TensorType, Type, to_type
from tierfed.types.values import Rows, check, present, same
from tierfed.user_line import located

_NAME = "check_aggregate"
_OPEN = 3  # elements along a dimension of unknown size
_RARE = 0.1  # of the tensors are all zero, and as many from the whole range
_FOLDED = 3  # values in the largest partial


def check_aggregate(
    type: Any,
    zero: Any,
    accumulate: Any,
    merge: Any,
    *,
    values: Sequence[Any] | None = None,
    samples: int = 64,
    seed: int = 0,
    rtol: float = 1e-5,
) -> None:
    """Return if `accumulate` and `merge`, from `zero`, keep the laws of an aggregate on `samples` random cases.

    The arguments are those of `federated_aggregate`; `type` is that of one member's value, and
    `values` are drawn from instead of random ones.  Floating and complex numbers may differ by
    `rtol` of the larger magnitude, everything else by nothing.

    Raises ValueMismatch, naming the law and a case that breaks it, and TypeMismatch where
    `federated_aggregate` would.

    >>> tierfed.check_aggregate(np.int32, np.int32(0), lambda u, t: u + t, lambda a, b: a + b)
    >>> tierfed.check_aggregate(np.int32, np.int32(0), lambda u, t: u + t, lambda a, b: a - b)
    Traceback (most recent call last):
    tierfed.errors.ValueMismatch: ...merge(zero,a) = a is broken: ...
    """
    with located(_NAME):
        t = to_type(type)
        start = as_node(zero)
        u = start.type
        first = evaluate(start, {}, load)
        named = ("accumulate", "merge")
        folding = function_node(accumulate, pair(u, t), named[0], _NAME)
        joining = function_node(merge, pair(u, u), named[1], _NAME)
        fold_types(FederatedType(t, CLIENTS), u, folding.type, joining.type, _NAME, named)
        step, join = evaluate(folding, {}, load), evaluate(joining, {}, load)
        given = None if values is None else [check(v, t, f"values[{i}]") for i, v in enumerate(values)]
        rng = np.random.default_rng(seed)
        draw: Callable[[], Any] = (
            (lambda: _random(t, rng)) if given is None else (lambda: given[int(rng.integers(len(given)))])
        )

        def partial() -> Any:
            count = int(rng.integers(_FOLDED + 1))
            return functools.reduce(lambda acc, _: step((acc, draw())), range(count), first)

        def holds(law: str, left: Any, right: Any, **of: Any) -> None:
            if not _alike(left, right, u, rtol):
                told = ", ".join(f"{name}={present(v, t if name == 't' else u)!r}" for name, v in of.items())
                raise ValueMismatch(
                    f"{law} is broken: {present(left, u)!r} and {present(right, u)!r}, for {told}",
                    mend="let merge put two partials together as if one had seen the values of both, in their order",
                )

        for _ in range(samples):
            a, b, c, x = partial(), partial(), partial(), draw()
            holds("merge(zero,a) = a", join((first, a)), a, a=a)
            holds("merge(a,zero) = a", join((a, first)), a, a=a)
            grouped = join((join((a, b)), c)), join((a, join((b, c))))
            holds("merge(merge(a,b),c) = merge(a,merge(b,c))", *grouped, a=a, b=b, c=c)
            later = step((join((a, b)), x)), join((a, step((b, x))))
            holds("accumulate(merge(a,b),t) = merge(a,accumulate(b,t))", *later, a=a, b=b, t=x)


def _random(t: Type, rng: np.random.Generator) -> Any:
    """Return a random held value of `t`: small numbers, now and then all alike, zero or at the end of the range."""
    match t:
        case TensorType(name="str"):
            chosen = rng.choice(["", "a", "b", "ab"], _sizes(t))
            return check(chosen.tolist() if t.shape else str(chosen), t)
        case TensorType():
            return check(_numbers(t, rng).astype(t.dtype), t)
        case StructType():
            return tuple(_random(e, rng) for e in t.parts())
        case SequenceType():
            return Rows(_random(t.element, rng) for _ in range(int(rng.integers(_OPEN + 1))))
    raise ValueMismatch(f"no random value of {t} can be drawn", mend="pass values=, a list of values of one member")


def _numbers(t: TensorType, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    sizes = _sizes(t)
    if rng.random() < _RARE:
        return np.zeros(sizes)
    if t.name == "bool":
        return rng.random(sizes) < 0.5
    if t.dtype.kind not in "iu":
        return rng.normal(0, 10, sizes)
    ends = np.iinfo(t.dtype)
    low, high = (ends.min, ends.max) if rng.random() < _RARE else (max(ends.min, -9), 9)
    return rng.integers(low, high, sizes, endpoint=True, dtype=t.dtype)


def _sizes(t: TensorType) -> list[int]:
    return [_OPEN if s is None else s for s in t.shape or ()]


def _alike(a: Any, b: Any, t: Type, rtol: float) -> bool:
    """Return whether two held values of `t` are equal, floating parts up to `rtol`."""
    if isinstance(t, StructType):
        return all(_alike(x, y, e, rtol) for x, y, e in zip(a, b, t.parts(), strict=True))
    if isinstance(t, SequenceType):
        return len(a) == len(b) and all(_alike(x, y, t.element, rtol) for x, y in zip(a, b, strict=True))
    if isinstance(t, TensorType) and t.name != "str" and (t.dtype.kind in "fc" or t.name == "bfloat16"):
        wide = np.complex128 if t.dtype.kind == "c" else np.float64
        x, y = np.asarray(a).astype(wide), np.asarray(b).astype(wide)
        scale = max(np.abs(x).max(initial=0), np.abs(y).max(initial=0))
        return x.shape == y.shape and np.allclose(x, y, rtol=0, atol=rtol * scale, equal_nan=True)
    return same(a, b, t)
