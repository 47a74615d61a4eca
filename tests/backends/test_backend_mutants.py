"""Mutants: what the agreement of backends has to notice, and does.

Each test breaks one thing, searches the random programs for a case on which the backends
disagree, and fails if there is none among so many.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from agreement import Disagreement, agrees_with_numpy, check, referred
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from program_steps import Collect, Fold, Keyed, Step, UserFold
from program_trees import HIERARCHIES
from programs import Case, cases
from test_agreement import at_random

from tierfed.compiler.slices import FoldSlot, Site, Slot
from tierfed.ir.intrinsics import TABLE, aggregate, broadcast, reduce
from tierfed.ir.nodes import Node
from tierfed.node import accumulator, sending
from tierfed.node.invocation import Invocation
from tierfed.placements import Hierarchy, Tree
from tierfed.types import FederatedType, FunctionType
from tierfed.types.values import Rows

pytestmark = pytest.mark.slow

AT_MOST = 400  # examples of a search

FOUR_TIERS = HIERARCHIES["four tiers"]


class _Found(Exception):
    """A case on which the backends disagree."""


def caught(
    compare: Callable[[Case, int], None],
    on: Sequence[Hierarchy] = tuple(HIERARCHIES.values()),
    suits: Callable[[Case], bool] = lambda case: True,
    least: int = 0,
    examples: int = AT_MOST,
) -> str | None:
    """What the first disagreement says among `AT_MOST` cases that suit; None if there is none.

    With `least` 1 every aggregator has a child, so that it is no mean over nobody that is caught.
    """
    found: list[str] = []

    @settings(
        max_examples=examples,
        derandomize=True,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(on, least), st.integers(0, 99))
    def search(case: Case, seed: int) -> None:
        if suits(case):
            try:
                compare(case, seed)
            except Disagreement as error:
                found.append(str(error))
                raise _Found from error

    try:
        search()
    except _Found:
        return found[0]
    return None


def on_daemons(case: Case, seed: int) -> None:
    """Compare numpy, the reference and daemons, with messages in any order."""
    check(case, at_random(seed))


def with_numpy(case: Case, seed: int) -> None:
    """Compare the reference with numpy."""
    computation = case.program.computation()
    agrees_with_numpy(referred(computation.node, case), computation.type_signature.result, case)


# -- daemons that are wrong


def test_order_of_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    """An aggregator that folds whatever came first, when it is told to fold the next, is caught."""
    fold_in = Invocation._fold_in

    def first_come(self: Invocation, member: str, site: Site) -> None:
        first = next(key for key in self._whole if key[1] == site)
        mine = member, site
        self._whole[first], self._whole[mine] = self._whole[mine], self._whole[first]
        fold_in(self, member, site)

    monkeypatch.setattr(Invocation, "_fold_in", first_come)
    assert "the tree of daemons gives" in str(caught(on_daemons))


def test_mean_of_means(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mean that is divided at every tier is caught."""
    mean = TABLE["federated_mean"]
    assert mean.expand is not None

    def tier_by_tier(arguments: tuple[Node, ...], t: FunctionType) -> Node:
        source, result = t.parameter, t.result
        assert isinstance(source, FederatedType) and isinstance(result, FederatedType) and mean.expand is not None
        value = arguments[0]
        for tier in FOUR_TIERS.path(source.placement, result.placement)[1:]:
            assert isinstance(value.type, FederatedType)
            value = mean.expand((value,), mean.type_of((value.type,), tier))
        return value

    monkeypatch.setitem(TABLE, "federated_mean", dataclasses.replace(mean, expand=tier_by_tier))
    said = caught(on_daemons, [FOUR_TIERS], lambda case: has(case, "mean"), least=1)
    assert "the tree of daemons gives" in str(said)


def has(case: Case, name: str) -> bool:
    """Whether the program of a case has this fold."""
    return any(isinstance(step, Fold) and step.name == name for step in case.program.steps)


def merges(*names: str) -> Callable[[Case], bool]:
    """Whether one of these folds of the user's own crosses several tiers."""

    def suits(case: Case) -> bool:
        steps, path = case.program.steps, case.tree.hierarchy.path
        folds = (s for s in steps if isinstance(s, UserFold) and s.fold.name in names)
        return any(s.at is not None and len(path(steps[s.x].at or s.at, s.at)) > 2 for s in folds)

    return suits


def at_merges(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]) -> None:
    """Let every fold of partials be what `change` makes of it."""
    begin = accumulator._begin

    def begun(fold: FoldSlot, env: Any) -> Any:
        made = begin(fold, env)
        return change(made) if fold.kind == "merge" else made

    monkeypatch.setattr(accumulator, "_begin", begun)


class _Forgetful:
    """A fold that drops what comes second."""

    def __init__(self, of: Any) -> None:
        self.of, self.name, self.count = of, of.name, 0

    def fold(self, contribution: Any) -> None:
        self.count += 1
        if self.count != 2:
            self.of.fold(contribution)

    def result(self) -> Any:
        return self.of.result()


class _Eager(_Forgetful):
    """A fold that counts what comes first twice."""

    def fold(self, contribution: Any) -> None:
        self.count += 1
        self.of.fold(contribution)
        if self.count == 1:
            self.of.fold(contribution)


@pytest.mark.parametrize("change", [_Forgetful, _Eager], ids=["a lost merge", "a partial twice"])
def test_merges(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """A partial that is dropped, or counted twice, is caught."""
    at_merges(monkeypatch, change)
    assert "the tree of daemons gives" in str(caught(on_daemons))


def test_a_lost_contribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member's value that is dropped where members are folded is caught."""
    begin = accumulator._begin
    monkeypatch.setattr(accumulator, "_begin", lambda fold, env: _Forgetful(begin(fold, env)))
    said = caught(on_daemons, suits=lambda case: not _gathers(case))
    assert "the tree of daemons gives" in str(said)


def _gathers(case: Case) -> bool:
    """Whether part of the result stays below the root: a list that is too short is another kind of wrong."""
    types = (case.program.steps[i].t for i in case.program.results)
    return any(isinstance(t, FederatedType) and not t.placement.singleton for t in types)


def test_zero_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge that starts from zero, where the first partial has counted it, is caught."""
    begin = accumulator._begin

    def from_zero(fold: FoldSlot, env: Any) -> Any:
        return begin(dataclasses.replace(fold, kind="accumulate") if fold.kind == "merge" else fold, env)

    def suits(case: Case) -> bool:
        return crosses(case) and not uses(Collect)(case)  # a collection that starts from zero is an error of its own

    crosses = merges("added up", "taken away", "noted", "affine")
    monkeypatch.setattr(accumulator, "_begin", from_zero)
    assert "the tree of daemons gives" in str(caught(on_daemons, [FOUR_TIERS], suits, examples=3 * AT_MOST))


def test_collected_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sequence in another order than the members' is caught, though nothing is lost."""
    result = accumulator._Collected.result
    monkeypatch.setattr(accumulator._Collected, "result", lambda self: Rows(result(self)[::-1]))
    assert "the tree of daemons gives" in str(caught(on_daemons, suits=uses(Collect)))


def test_keys_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A selection that sorts its keys is caught."""
    keys = TABLE["select_keys"]

    def sorted_keys(*args: Any) -> Any:
        return Rows(sorted(keys.meaning(*args)))

    monkeypatch.setitem(TABLE, "select_keys", dataclasses.replace(keys, meaning=sorted_keys))
    assert "the tree of daemons gives" in str(caught(on_daemons, suits=uses(Keyed)))


def uses(kind: type[Step]) -> Callable[[Case], bool]:
    """Whether a program has such a step."""
    return lambda case: any(isinstance(step, kind) for step in case.program.steps)


def test_gathered_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that stay below, brought up in another order than the members', are caught."""
    result = accumulator._Gathered.result
    monkeypatch.setattr(accumulator._Gathered, "result", lambda self: result(self)[::-1])
    assert "the tree of daemons gives" in str(caught(on_daemons))


def test_scattered_to_the_wrong_subtree(monkeypatch: pytest.MonkeyPatch) -> None:
    """An aggregator that hands each child what is the next one's is caught."""
    split = sending._split

    def turned(slot: Slot, value: Any, children: Any) -> dict[str, Any]:
        return split(slot, [*value[1:], *value[:1]], children)

    monkeypatch.setattr(sending, "_split", turned)
    assert "the tree of daemons gives" in str(caught(on_daemons))


# -- a reference that is wrong


def test_broadcast_to_the_wrong_subtree(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that gives every member the first ancestor's value is caught by numpy."""
    monkeypatch.setattr(broadcast, "ancestor", lambda tree, member, placement: tree.members(placement)[0])
    assert "numpy gives" in str(caught(with_numpy))


def test_reference_mean_of_means(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that divides at every tier is caught by numpy."""
    mean = TABLE["federated_mean"]

    def tier_by_tier(world: Any, values: tuple[Any, ...], t: FunctionType) -> Any:
        source, result = t.parameter, t.result
        assert isinstance(source, FederatedType) and isinstance(result, FederatedType)
        for tier in FOUR_TIERS.path(source.placement, result.placement)[1:]:
            step = mean.type_of((source,), tier)
            values, source = (mean.meaning(world, values, step),), step.result
        return values[0]

    monkeypatch.setitem(TABLE, "federated_mean", dataclasses.replace(mean, meaning=tier_by_tier))
    assert "numpy gives" in str(caught(with_numpy, [FOUR_TIERS], least=1))


@pytest.mark.parametrize("wrong", ["zero at every tier", "children backwards"])
def test_reference_folds(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    """A reference that counts zero at each tier, or goes through children from the last, is caught by numpy."""

    def fold_up(
        tree: Tree, source: Any, to: Any, values: Any, *, zero: Any, accumulate: Any, merge: Any, report: Any = None
    ) -> Any:
        held = dict(zip((m.name for m in tree.members(source)), values, strict=True))
        way = tree.hierarchy.path(source, to)

        def partial(member: Any, height: int) -> Any:
            below = [c for c in member.children if c.placement == way[height - 1]]
            found = [held[c.name] if height == 1 else partial(c, height - 1) for c in below]
            if wrong == "children backwards":
                found = found[::-1]
            start = height == 1 or wrong == "zero at every tier" or not found
            total, rest = (zero, found) if start else (found[0], found[1:])
            for one in rest:
                total = (accumulate if height == 1 else merge)((total, one))
            return total

        folded = (partial(m, len(way) - 1) for m in tree.members(to))
        return tuple(folded if report is None else map(report, folded))

    monkeypatch.setattr(aggregate, "fold_up", fold_up)
    monkeypatch.setattr(reduce, "fold_up", fold_up)
    assert "numpy gives" in str(caught(with_numpy))


def test_nothing_is_caught_that_is_right() -> None:
    """Without a mutant the search finds nothing, and it does look: there are cases of every hierarchy."""
    seen: set[Hierarchy] = set()

    def look(case: Case, seed: int) -> None:
        seen.add(case.tree.hierarchy)
        with_numpy(case, seed)

    assert caught(look, examples=150) is None
    assert seen == set(HIERARCHIES.values())
