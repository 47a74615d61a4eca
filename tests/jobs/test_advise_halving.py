"""Halving: on made-up curves it finds what is cheapest, at a part of what all of them cost."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfed.errors import SweepError
from tierfed.jobs.advise.curves import Curve, Target
from tierfed.jobs.advise.halving import front, guessed, search

HALF = Target("accuracy", 0.8)
SWING = 0.01


def power(cost: float, start: float, slope: float, ends: float, rounds: int, swing: float = 0.0) -> Curve:
    """A curve that falls short of `ends` by start·r^-slope, at `cost` a round; single rounds swing by so much."""
    rng = random.Random(f"{cost}/{start}/{slope}/{ends}")
    values = [ends - start * (r + 1) ** -slope + rng.gauss(0, swing) for r in range(rounds)]
    return Curve(tuple(cost * (r + 1) for r in range(rounds)), tuple(values))


def drawn(rng: random.Random) -> list[tuple[float, float, float, float]]:
    """Settings as they differ: the cost of a round by two orders of magnitude, what it teaches by less."""
    kinds = (math.log(0.1), math.log(10))
    return [
        (math.exp(rng.uniform(*kinds)), rng.uniform(0.3, 0.8), rng.uniform(0.4, 0.9), rng.uniform(0.78, 0.95))
        for _ in range(rng.randint(12, 40))
    ]


def test_it_is_near_the_cheapest_at_a_part_of_the_rounds() -> None:
    """Of 200 spaces nineteen in twenty cost at most a tenth more than the cheapest, with a third of the rounds."""
    ratios, shares = [], []
    for seed in range(200):
        given = drawn(random.Random(seed))

        def run(numbers: Sequence[int], rounds: int, given: Any = given) -> Mapping[int, Curve]:
            return {n: power(*given[n], rounds, SWING) for n in numbers}

        known = [cost for one in given if (cost := power(*one, 48, SWING).reached(HALF)) is not None]
        found = search(run, len(given), 48, HALF)
        shares.append(found.rounds / (48 * len(given)))
        reached = [cost for curve in found.curves.values() if (cost := curve.reached(HALF)) is not None]
        if known:
            ratios.append(min(reached, default=math.inf) / min(known))
    ratios.sort()
    assert ratios[len(ratios) // 2] == 1
    assert ratios[len(ratios) * 19 // 20] <= 1.1
    assert max(shares) <= 1 / 3


def test_cheap_rounds_that_learn_nothing_are_found_out() -> None:
    """A candidate that plateaus below the target is first in the first step, and is not the answer."""
    good = [(3.0, 0.5, 0.6, 0.9)] * 11
    flat = (0.05, 0.5, 2.0, 0.7)

    def run(numbers: Sequence[int], rounds: int) -> Mapping[int, Curve]:
        return {n: power(*[*good, flat][n], rounds) for n in numbers}

    found = search(run, 12, 48, HALF)
    assert found.curves[11].rounds == 48
    assert found.curves[11].reached(HALF) is None
    assert any(curve.reached(HALF) is not None for curve in found.curves.values())


def test_candidates_that_fail_are_left_out() -> None:
    """Half of them give no curve, and the others go on; if all do, there is nothing."""

    def run(numbers: Sequence[int], rounds: int) -> Mapping[int, Curve]:
        return {n: power(1.0, 0.5, 0.6, 0.9, rounds) for n in numbers if n % 2}

    found = search(run, 10, 12, HALF)
    assert set(found.curves) == {1, 3, 5, 7, 9}
    assert search(lambda numbers, rounds: {}, 10, 12, HALF).curves == {}


def test_a_target_that_is_reached_is_not_guessed() -> None:
    """The cost is that of the first round that is there; others are dearer than what they have spent."""
    there, not_there = Curve((1.0, 2.0, 3.0), (0.5, 0.85, 0.7)), Curve((1.0, 2.0, 3.0), (0.2, 0.3, 0.4))
    costs = guessed({0: there, 1: not_there}, HALF)
    assert costs[0] == 2.0
    assert 3.0 < costs[1] < math.inf


def test_a_metric_may_fall() -> None:
    """`loss<=0.5` is met from above, and the front goes down."""
    target = Target.parse("loss<=0.5")
    assert (target.metric, target.falls, target.met(0.5), target.met(0.6)) == ("loss", True, True, False)
    points = {0: (1.0, 0.9), 1: (2.0, 0.6), 2: (3.0, 0.7), 3: (4.0, 0.4)}
    assert front(points, target) == [0, 1, 3]


@given(st.dictionaries(st.integers(0, 20), st.tuples(st.floats(0, 9), st.floats(0, 1)), min_size=1))
def test_the_front_is_what_nothing_beats(points: dict[int, tuple[float, float]]) -> None:
    """Nobody is beaten in it, and whoever is not in it is beaten, or equalled, by somebody in it."""
    chosen = front(points, HALF)

    def covers(a: int, b: int) -> bool:
        return points[a][0] <= points[b][0] and points[a][1] >= points[b][1]

    assert not any(covers(a, b) for a in chosen for b in chosen if a != b)
    assert all(any(covers(a, b) for a in chosen) for b in points)


@pytest.mark.parametrize("text", ["accuracy", "accuracy=", "=0.5", "accuracy=high", "accuracy==0.5", "a b=1", "x=nan"])
def test_what_is_no_target_is_told(text: str) -> None:
    """With what could be written."""
    with pytest.raises(SweepError, match=r"is no target\n  to mend: write accuracy=0\.8, or loss<=0\.6"):
        Target.parse(text)
