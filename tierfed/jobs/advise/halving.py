"""Halving: many candidates a few rounds, the better part more of them, a few as many as it takes.

    search(run, count=36, rounds=48, target=…)

    step 1   36 candidates    3 rounds
    step 2   12               9
    step 3    4              27 … as many as they need

After a step each candidate has a curve, and so a guess of what the target will cost it: its cost if it is there, else

    cost so far · (gap / 1)^(1/b),       gap: how far from perfect, the target being 1

as if what is left to learn fell like rounds^-b, with one b for all, the median of theirs.  So a candidate of cheap
rounds that learns a little less in each stays beside one of dear rounds; what plateaus is found out in the next step.

Candidates are numbers from 0, and `run(numbers, rounds)` runs them, at once or one after the other, so nothing here
knows what a candidate is.

Source: successive halving, Jamieson and Talwalkar 2016, arXiv:1502.07943, with costs to a target instead of losses
at a budget; learning curves as power laws, Hestness et al. 2017, arXiv:1712.00409.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from tierfed.jobs.advise.curves import Curve, Target
from tierfed.jobs.front import front as pareto

Run: TypeAlias = Callable[[Sequence[int], int], Mapping[int, Curve]]
"""Runs candidates for so many rounds; those that fail are missing in what it returns."""

ETA = 3  # a third goes on
_FIRST = 16  # the first step has this part of the rounds
_LEAST = 3  # rounds of the first step: two make no curve
_KEPT = 2  # go on in any case


@dataclass(slots=True)
class Found:
    """What is known of the candidates: the longest curve of each, and the guesses, or figures, of their costs."""

    curves: dict[int, Curve] = field(default_factory=dict)
    costs: dict[int, float] = field(default_factory=dict)
    rounds: int = 0  # that were run in all
    steps: list[tuple[int, int]] = field(default_factory=list)  # candidates and rounds of each step


def search(
    run: Run,
    count: int,
    rounds: int,
    target: Target,
    on_step: Callable[[int, int], None] = lambda candidates, rounds: None,
) -> Found:
    """Return what came of `count` candidates, of which none is run for more than `rounds` rounds."""
    found = Found()
    alive = list(range(count))
    length = min(rounds, max(_LEAST, math.ceil(rounds / _FIRST)))
    while alive:
        on_step(len(alive), length)
        curves = run(alive, length)
        found.steps.append((len(alive), length))
        found.rounds += sum(curve.rounds for curve in curves.values())
        found.curves |= curves
        alive = [number for number in alive if number in curves]
        guesses = guessed(found.curves, target)
        found.costs |= {number: guesses[number] for number in alive}
        alive.sort(key=lambda number: (found.costs[number], number))
        if length >= rounds:
            break
        alive = alive[: max(_KEPT, math.ceil(len(alive) / ETA))]
        alive = _promising(alive, found, target)
        length = min(rounds, length * ETA)
        if len(alive) <= _KEPT + 1:
            length = rounds
    return found


def _promising(alive: list[int], found: Found, target: Target) -> list[int]:
    """Return those of `alive` of which more rounds would say more: not those that are there already."""
    there = {number: found.curves[number].reached(target) for number in alive}
    done = [cost for cost in there.values() if cost is not None]
    open_ = [number for number in alive if there[number] is None]
    return [number for number in open_ if not done or found.costs[number] < min(done)]


def guessed(curves: Mapping[int, Curve], target: Target) -> dict[int, float]:
    """Return what the target costs each candidate: known where it is reached, else guessed from its curve."""
    falls = [slope for curve in curves.values() if (slope := _slope(curve, target)) is not None]
    slope = statistics.median(falls) if falls else 1.0
    return {number: _guess(curve, target, slope) for number, curve in curves.items()}


def _guess(curve: Curve, target: Target, slope: float) -> float:
    reached = curve.reached(target)
    if reached is not None:
        return reached
    gap = target.gap(_recent(curve)) if curve.rounds else math.inf
    longer = math.log(max(gap, 1.0)) / slope if math.isfinite(gap) else math.inf
    return curve.costs[-1] * math.exp(longer) if longer < 100 else math.inf


def _recent(curve: Curve) -> float:
    """Return the mean of the last third of the values: single rounds swing."""
    last = curve.values[-max(1, curve.rounds // 3) :]
    return statistics.fmean(last)


def _slope(curve: Curve, target: Target) -> float | None:
    """Return b of gap ~ rounds^-b, from the first half's end to the last round; None if it does not fall."""
    middle = max(1, curve.rounds // 2)
    if curve.rounds <= middle or not all(map(math.isfinite, curve.values)):
        return None
    fall = math.log(target.gap(curve.values[middle - 1]) / target.gap(_recent(curve)))
    return fall / math.log(curve.rounds / middle) if fall > 1e-3 else None


def front(points: Mapping[int, tuple[float, float]], target: Target) -> list[int]:
    """Return those of `points`, (cost, value), that no other beats; the cheapest first, and of equal ones the first."""
    numbers = sorted(points)
    found = pareto([points[number] for number in numbers], low=target.falls)
    first = {points[numbers[at]]: numbers[at] for at in sorted(found, reverse=True)}
    return [first[point] for point in sorted(first)]
