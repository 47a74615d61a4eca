"""Collecting at a node: a sequence that grows in a list, as appending one by one would make it."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tierfed
from tierfed import CLIENTS, SERVER, FederatedType, Hierarchy
from tierfed.compiler import Compiled
from tierfed.compiler.slices import Fold
from tierfed.ir.evaluate import evaluate
from tierfed.ir.intrinsics import TABLE
from tierfed.leaves import load
from tierfed.node.accumulator import Accumulator
from tierfed.types.values import Rows, same

EDGE = tierfed.placement("EDGE_AGGREGATORS")
THREE = Hierarchy.chain(SERVER, EDGE, CLIENTS)


def folds(compiled: Compiled) -> dict[str, Fold]:
    """The one fold of each tier, by what it does."""
    found = [step for part in compiled.slices.values() for step in part.steps if isinstance(step, Fold)]
    return {step.folds[0].kind: step for step in found}


COLLECT = folds(
    tierfed.compile(
        tierfed.federated_computation(FederatedType("float32[?]", CLIENTS))(tierfed.federated_collect), THREE
    )
)
VALUES = {
    "accumulate": [np.arange(i % 4, dtype=np.float32) for i in range(300)],
    "merge": [Rows(np.full(i % 3, n, np.float32) for i in range(n % 5)) for n in range(40)],
}


def accumulated(step: Fold, values: list[Any]) -> Any:
    """What the accumulator of a node makes of its children's values."""
    total = Accumulator(step, {})
    for value in values:
        total.fold(SimpleNamespace(values={step.folds[0].incoming.name: value}))  # type: ignore[arg-type]
    return total.result()[step.folds[0].slot.name]


@pytest.mark.parametrize("count", [None, 1, 0])
@pytest.mark.parametrize("kind", VALUES)
def test_it_is_the_fold_of_its_operator(kind, count):
    """What the slice's own operator gives from its own zero, a copy a child; of no child, the zero."""
    step, values = COLLECT[kind], VALUES[kind][:count]
    (fold,) = step.folds
    operator = evaluate(fold.operator, {}, load)
    expected = evaluate(fold.zero, {}, load)
    for i, value in enumerate(values):
        expected = value if kind == "merge" and i == 0 else operator((expected, value))
    found = accumulated(step, values)
    assert type(found) is Rows and same(found, expected, fold.slot.type)


@pytest.mark.parametrize("kind", VALUES)
def test_no_child_costs_a_copy(kind, monkeypatch):
    """The operator, which copies all that is there, is called by no accumulator: n children cost n, not n squared."""

    def called(*args: Any) -> Any:
        raise AssertionError("a copy")

    for uri in ("sequence_append", "sequence_concat"):
        monkeypatch.setitem(TABLE, uri, dataclasses.replace(TABLE[uri], meaning=called))
    assert len(accumulated(COLLECT[kind], VALUES[kind])) == (300 if kind == "accumulate" else 80)
    with pytest.raises(AssertionError, match="a copy"):
        evaluate(COLLECT[kind].folds[0].operator, {}, load)((Rows(), VALUES[kind][1]))


def test_the_reference_copies_nothing_either(monkeypatch):
    """Its meaning of collect is to look below; over any number of tiers, without an operator."""
    collect = tierfed.federated_computation(FederatedType(np.int32, CLIENTS))(tierfed.federated_collect)
    for uri in ("sequence_append", "sequence_concat"):
        monkeypatch.delitem(TABLE, uri)
    with tierfed.local(topology=tierfed.tree(fan_out={"EDGE_AGGREGATORS": 2, "CLIENTS": 3})):
        assert collect(range(6)) == list(range(6))
