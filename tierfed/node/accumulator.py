"""Accumulator: the values that one fold step is building up from the children's messages.

A sum of fixed tensors is added to in place, chunk by chunk, by the codec itself: no decoded
copy of a child's update is ever made, and codes that add up as they are are decoded once, at the
end.  What is collected grows in a list.  Any other operator gets each child's decoded values.  The
order is the round's, member order; this only folds what it is given next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from tierfed.compiler.slices import Fold, FoldSlot
from tierfed.ir.evaluate import evaluate
from tierfed.ir.intrinsics.sequence import APPEND, CONCAT
from tierfed.ir.nodes import Compiled, Intrinsic, free_names
from tierfed.leaves import load
from tierfed.types import TensorType
from tierfed.types.values import Rows, nbytes
from tierfed.wire.message import MessageReader
from tierfed.wire.sums import Sums
from tierfed.wire.value import parts_of, value_from


class Accumulator:
    """The slots of one `Fold`, begun with the environment that its zeros and operators use."""

    def __init__(self, step: Fold, env: Mapping[str, Any]) -> None:
        self._slots = [_begin(fold, env) for fold in step.folds]

    def fold(self, contribution: Contribution) -> None:
        """Fold one child's whole message in.  May be called off the event loop."""
        for slot in self._slots:
            slot.fold(contribution)

    def result(self) -> dict[str, Any]:
        """Return the folded values by slot."""
        return {slot.name: slot.result() for slot in self._slots}


def has_leaves(step: Fold) -> bool:
    """Return whether folding calls functions of the user's, which may take their time."""
    expressions = (e for f in step.folds for e in (f.zero, f.operator) if e is not None)
    return any(isinstance(node, Compiled) for e in expressions for node in e.walk())


def folded_bytes(step: Fold, env: Mapping[str, Any]) -> int:
    """Return about how many bytes are written to begin the sums of a fold, or to end them."""
    total = 0
    for fold in step.folds:
        if fold.zero is not None:
            total += sum(t.nbytes or 0 for t in fold.slot.type.walk() if isinstance(t, TensorType))
            total += sum(nbytes(env[name], t) for name, t in free_names(fold.zero).items() if name in env)
    return total


class Contribution:
    """One child's message, whole and checked: its bytes, and the values of the slots that are not simply added."""

    def __init__(self, reader: MessageReader, step: Fold) -> None:
        self.reader = reader
        reader.verify()
        decoded = {f.incoming.name for f in step.folds if not f.in_place}
        names = [s for s in dict.fromkeys(f.incoming.name for f in step.folds) if s in decoded]
        self.values = dict(zip(names, reader.decode(names), strict=True)) if names else {}


class _Folding(Protocol):
    name: str

    def fold(self, contribution: Contribution) -> None: ...
    def result(self) -> Any: ...


def _begin(fold: FoldSlot, env: Mapping[str, Any]) -> _Folding:
    if fold.kind == "gather":
        return _Gathered(fold)
    assert fold.zero is not None and fold.operator is not None
    zero = evaluate(fold.zero, env, load)
    if fold.in_place:
        return _Summed(fold, zero)
    if isinstance(fold.operator, Intrinsic) and fold.operator.uri in (APPEND, CONCAT):
        return _Collected(fold, zero)
    return _Folded(fold, zero, evaluate(fold.operator, env, load))


class _Summed:
    """A sum kept as one array a tensor, which the codec adds to, and as codes where they add up (wire/sums.py)."""

    def __init__(self, fold: FoldSlot, zero: Any) -> None:
        self.name = fold.slot.name
        self._from = fold.incoming.name
        self._type = fold.slot.type
        self._zero = zero
        self._sums: Sums | None = None if fold.kind == "merge" else Sums(self._copied(zero))

    def _copied(self, value: Any) -> list[np.ndarray[Any, Any]]:
        return [np.array(part.array, order="C") for part in parts_of(value, self._type)]

    def fold(self, contribution: Contribution) -> None:
        reader = contribution.reader
        if self._sums is None:  # a merge starts from the first
            if not reader.adds_codes([self._from]):
                (first,) = reader.decode([self._from])
                self._sums = Sums(self._copied(first))
                return
            self._sums = Sums([np.zeros(p.array.shape, p.array.dtype) for p in parts_of(self._zero, self._type)])
        reader.accumulate_into(self._sums, [self._from])

    def result(self) -> Any:
        if self._sums is None:
            return self._zero
        return value_from(self._type, [a[()] if a.ndim == 0 else a for a in self._sums.finish()])


class _Folded:
    """A fold by an operator of the program's own."""

    def __init__(self, fold: FoldSlot, zero: Any, operator: Callable[[Any], Any]) -> None:
        self.name = fold.slot.name
        self._from = fold.incoming.name
        self._value = zero
        self._operator = operator
        self._empty = fold.kind == "merge"

    def fold(self, contribution: Contribution) -> None:
        value = contribution.values[self._from]
        self._value = value if self._empty else self._operator((self._value, value))
        self._empty = False

    def result(self) -> Any:
        return self._value


class _Collected:
    """A sequence that grows at its end, which its operator would copy for each child."""

    def __init__(self, fold: FoldSlot, zero: Any) -> None:
        self.name = fold.slot.name
        self._from = fold.incoming.name
        self._zero = zero
        self._merges = fold.kind == "merge"
        self._rows: list[Any] | None = None if self._merges else list(zero)

    def fold(self, contribution: Contribution) -> None:
        value = contribution.values[self._from]
        if self._rows is None:
            self._rows = []  # a merge starts from the first
        self._rows.extend(value if self._merges else [value])

    def result(self) -> Any:
        return self._zero if self._rows is None else Rows(self._rows)


class _Gathered:
    """The children's values side by side, in member order."""

    def __init__(self, fold: FoldSlot) -> None:
        self.name = fold.slot.name
        self._from = fold.incoming.name
        self._many = fold.incoming.many is not None
        self._values: list[Any] = []

    def fold(self, contribution: Contribution) -> None:
        value = contribution.values[self._from]
        self._values.extend(value if self._many else [value])

    def result(self) -> Any:
        return self._values
