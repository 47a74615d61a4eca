"""Batches: one expression evaluated for many members, with what does not differ between them evaluated once.

    Same(model)                 what all have: a broadcast
    Each([x0, x1, x2])          what each has: its data
    Parts((Same(model), Each(…)))

A leaf that declares a batch form (`batch=` of `py_computation` and `tf_computation`) is called once for all;
everything else, in the words of `ir.evaluate`, once for each.  So a batch gives the bits of its members one by one,
except where the user has accepted a tolerance for a batch form.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tierfed.errors import TierfedError
from tierfed.ir.evaluate import evaluate
from tierfed.ir.nodes import Block, Call, Compiled, Lambda, Node, Reference, Selection, Struct, free_names
from tierfed.leaves import batch_form, load
from tierfed.types import FunctionType, StructType, Type


@dataclass(frozen=True, slots=True)
class Same:
    """A value that all members have."""

    value: Any

    def of(self, member: int) -> Any:
        """Return the value of a member."""
        return self.value

    def part(self, index: int) -> Batch:
        """Return an element of a struct."""
        return Same(self.value[index])


@dataclass(frozen=True, slots=True)
class Each:
    """A value for each member; an error in its place, where there is none."""

    values: Sequence[Any]

    def of(self, member: int) -> Any:
        """Return the value of a member; raises what kept it from having one."""
        value = self.values[member]
        if isinstance(value, Missing):
            raise value.error
        return value

    def part(self, index: int) -> Batch:
        """Return an element of a struct."""
        return Each([v if isinstance(v, Missing) else v[index] for v in self.values])


@dataclass(frozen=True, slots=True)
class Parts:
    """A struct whose elements are batches."""

    parts: tuple[Batch, ...]

    def of(self, member: int) -> Any:
        """Return the value of a member."""
        return tuple(part.of(member) for part in self.parts)

    def part(self, index: int) -> Batch:
        """Return an element."""
        return self.parts[index]


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a member has no value."""

    error: TierfedError


Batch: TypeAlias = Same | Each | Parts


def among(batch: Batch, rows: Sequence[int]) -> Batch:
    """Return the values of those members alone."""
    match batch:
        case Same():
            return batch
        case Parts():
            return Parts(tuple(among(part, rows) for part in batch.parts))
    return Each([batch.values[row] for row in rows])


def all_same(batch: Batch) -> bool:
    """Return whether nothing in `batch` differs between members."""
    return isinstance(batch, Same) or (isinstance(batch, Parts) and all(map(all_same, batch.parts)))


def evaluated(node: Node, names: Mapping[str, Batch], members: int) -> Batch:
    """Return the value of `node` at each of so many members, its free names being `names`.

    What raises a TierfedError for a member alone is `Missing` there.
    """
    match node:
        case Reference():
            return names[node.name]
        case Struct():
            return Parts(tuple(evaluated(e, names, members) for _, e in node.elements))
        case Selection():
            return evaluated(node.source, names, members).part(node.index)
        case Block():
            inner = dict(names)
            for name, value in node.bindings:
                inner[name] = evaluated(value, inner, members)
            return evaluated(node.result, inner, members)
        case Call(function=Lambda() as function, argument=argument):
            if function.parameter is None or argument is None:
                return evaluated(function.body, names, members)
            return evaluated(function.body, {**names, function.parameter: evaluated(argument, names, members)}, members)
        case Call(function=Compiled() as leaf, argument=Node() as argument) if batch_form.batch_form(leaf) is not None:
            given = evaluated(argument, names, members)
            if not all_same(given):
                return _in_one(leaf, given, members)
    return _one_by_one(node, names, members)


def _one_by_one(node: Node, names: Mapping[str, Batch], members: int) -> Batch:
    free = {name: names[name] for name in free_names(node)}
    if all(map(all_same, free.values())) and not _differs(node):
        with contextlib.suppress(TierfedError):  # then each has an error of its own
            return Same(evaluate(node, {name: batch.of(0) for name, batch in free.items()}, load))
    values: list[Any] = []
    for member in range(members):
        try:
            values.append(evaluate(node, {name: batch.of(member) for name, batch in free.items()}, load))
        except TierfedError as error:
            values.append(Missing(error))
    return Each(values)


def _differs(node: Node) -> bool:
    """Return whether evaluating twice may give two values: a leaf of TensorFlow's that has state."""
    return any(isinstance(n, Compiled) and n.leaf.stateful for n in node.walk())


def _in_one(leaf: Compiled, given: Batch, members: int) -> Batch:
    """Call the batch form of a leaf for those members who have an argument."""
    missing: dict[int, Missing] = {}
    for member in range(members) if _lacks(given) else ():
        try:
            given.of(member)
        except TierfedError as error:
            missing[member] = Missing(error)
    there = [member for member in range(members) if member not in missing]
    if not there:
        return Each([missing[member] for member in range(members)])
    assert isinstance(leaf.of, FunctionType) and leaf.of.parameter is not None
    try:
        all_results = batch_form.run(leaf, _stacked(given, leaf.of.parameter, there), len(there))
    except TierfedError as error:
        return Each([missing.get(member) or Missing(error) for member in range(members)])
    if all_results is None:
        single = load(leaf)
        return Each([missing.get(member) or _alone(single, given.of(member)) for member in range(members)])
    results = iter(all_results)
    return Each([missing[member] if member in missing else next(results) for member in range(members)])


def _alone(single: Callable[..., Any], value: Any) -> Any:
    try:
        return single(value)
    except TierfedError as error:
        return Missing(error)


def _lacks(batch: Batch) -> bool:
    """Return whether somebody has no value."""
    if isinstance(batch, Parts):
        return any(map(_lacks, batch.parts))
    return isinstance(batch, Each) and any(isinstance(v, Missing) for v in batch.values)


def _stacked(batch: Batch, t: Type, there: list[int]) -> Any:
    """Return the values of those members stacked, tensor by tensor; what all share is not copied."""
    if isinstance(t, StructType):
        return tuple(_stacked(batch.part(i), e, there) for i, e in enumerate(t.parts()))
    if isinstance(batch, Same):
        value = np.asarray(batch.value)
        return np.broadcast_to(value, (len(there), *value.shape))
    return np.stack([batch.of(member) for member in there])
