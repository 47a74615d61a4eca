"""Search: candidates are simulated, fewer and longer from step to step; the cheapest is run with other seeds.

    advice = advise(Question(space, Target("accuracy", .8), "time", most=36, rounds=40, seeds=3), home, jobs=2)
    advice.best.cell, advice.best.cost.mean

Every run is one of `jobs.sweep.variant`: a process of its own, by the virtual clock, so the same question has
the same answer whatever the machine does.  A candidate that cannot run (a codec that does not carry what is sent,
a tier that the program names) is left out, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tierfed.errors import SweepError
from tierfed.jobs.advise import curves, halving
from tierfed.jobs.advise.curves import Curve, Objective, Target
from tierfed.jobs.advise.space import ROUNDS, Space
from tierfed.jobs.sweep.cells import Cell
from tierfed.jobs.sweep.results import Spread
from tierfed.jobs.sweep.variant import Outcome, Variant, run_all
from tierfed.topology.changed import changed

_OWN = 0  # the number of the file as it is
_FINALISTS = 2  # are run with all seeds


@dataclass(frozen=True)
class Question:
    """What is asked: the cheapest of at most `most` candidates to a target, in at most `rounds` rounds each."""

    space: Space
    target: Target
    objective: Objective
    most: int
    rounds: int
    seeds: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known of one: its longest curve, and what the target costs it, or is guessed to."""

    cell: Cell
    curve: Curve
    cost: float
    reached: bool


@dataclass(frozen=True, slots=True)
class Best:
    """The cheapest: its cost over the seeds with which it `reached` the target, and the most rounds that it took."""

    cell: Cell
    sets: tuple[str, ...]
    cost: Spread
    most_rounds: int
    reached: int
    seeds: int


@dataclass(slots=True)
class Advice:
    """What came of a question."""

    candidates: dict[int, Candidate] = field(default_factory=dict)
    front: list[int] = field(default_factory=list)
    best: Best | None = None
    left_out: dict[int, tuple[Cell, str]] = field(default_factory=dict)
    steps: list[tuple[int, int]] = field(default_factory=list)
    rounds: int = 0  # simulated in all
    runs: int = 0


class Watching(Protocol):
    """Whoever is told how a search goes on."""

    def step(self, what: str, runs: int, rounds: int) -> None:
        """So many runs of so many rounds begin; `what` says of what."""

    def done(self, cell: Cell, curve: Curve | None) -> None:
        """A run is over; without a curve it has failed."""


class Nobody:
    """Is told nothing."""

    def step(self, what: str, runs: int, rounds: int) -> None:
        """Nothing."""

    def done(self, cell: Cell, curve: Curve | None) -> None:
        """Nothing."""


def advise(question: Question, home: Path, *, jobs: int = 1, watch: Watching | None = None) -> Advice:
    """Return what came of `question`; runs are kept in `home/runs`.

    Raises SweepError if no candidate could be run, or the metric or the cost that is asked for is not there.
    """
    return _Search(question, home, jobs, watch or Nobody()).run()


class _Search:
    def __init__(self, question: Question, home: Path, jobs: int, watch: Watching) -> None:
        self._asked = question
        self._home = home
        self._jobs = jobs
        self._watch = watch
        self._seed = question.space.topology.seed
        self._advice = Advice()
        self._cells: list[Cell] = []
        self._sets: dict[int, tuple[str, ...]] = {}
        self._known: dict[tuple[int, int, int], Curve] = {}  # by candidate, rounds and seed

    def run(self) -> Advice:
        asked, advice = self._asked, self._advice
        self._cells = self._distinct(asked.space.candidates(asked.most, self._seed))
        found = halving.search(self._ran, len(self._cells), asked.rounds, asked.target, self._stepped)
        if not found.curves:
            reasons = {why for _, why in advice.left_out.values()}
            raise SweepError("no candidate could be run", where="advise", mend="; ".join(sorted(reasons)[:3]))
        advice.steps = found.steps
        self._finish_own(found)
        for at, curve in found.curves.items():
            reached = curve.reached(asked.target)
            advice.candidates[at] = Candidate(self._cells[at], curve, found.costs[at], reached is not None)
        ends = {at: (_until(c, asked.target), c.best(asked.target)) for at, c in found.curves.items()}
        advice.front = halving.front(ends, asked.target)
        self._choose()
        return advice

    def _finish_own(self, found: halving.Found) -> None:
        """Run the file as it is to its end, since everybody will ask what it would have cost."""
        own = found.curves.get(_OWN)
        if own is None or own.reached(self._asked.target) is not None or own.rounds >= self._asked.rounds:
            return
        self._watch.step("run of the file as it is", 1, self._asked.rounds)
        found.curves |= self._ran([_OWN], self._asked.rounds)
        found.costs |= {_OWN: halving.guessed(found.curves, self._asked.target)[_OWN]}

    def _distinct(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return the candidates that differ: without a tier its codecs make no difference."""
        kept: dict[tuple[str, ...], Cell] = {}
        for cell in cells:
            sets = self._asked.space.made(cell)
            if sets not in kept:
                kept[sets] = cell
        for at, sets in enumerate(kept):
            self._sets[at] = sets
        return list(kept.values())

    def _stepped(self, candidates: int, rounds: int) -> None:
        self._watch.step("candidates", candidates, rounds)

    def _ran(self, numbers: Sequence[int], rounds: int) -> Mapping[int, Curve]:
        return self._curves([(number, self._seed) for number in numbers], rounds)[self._seed]

    def _curves(self, wanted: Sequence[tuple[int, int]], rounds: int) -> dict[int, dict[int, Curve]]:
        """Return the curves of candidates, by seed; those that failed are left out."""
        missing = [one for one in wanted if (one[0], rounds, one[1]) not in self._known]
        variants = [self._variant(number, seed, rounds) for number, seed in missing]

        def done(at: int, outcome: Outcome) -> None:
            number, seed = missing[at]
            curve = self._curve(number, outcome)
            if curve is not None:
                self._known[number, rounds, seed] = curve
                self._advice.rounds += curve.rounds
            self._advice.runs += 1
            self._watch.done(self._cells[number], curve)

        run_all(variants, self._home, jobs=self._jobs, on_done=done)
        by_seed: dict[int, dict[int, Curve]] = {seed: {} for _, seed in wanted}
        for number, seed in wanted:
            curve = self._known.get((number, rounds, seed))
            if curve is not None:
                by_seed[seed][number] = curve
        return by_seed

    def _variant(self, number: int, seed: int, rounds: int) -> Variant:
        sets = (*self._sets[number], f"{ROUNDS}={rounds}")
        return Variant(self._asked.space.file, sets, seed, "virtual")

    def _curve(self, number: int, outcome: Outcome) -> Curve | None:
        if outcome.error is not None or outcome.run is None:
            what = outcome.error.what if outcome.error is not None else "it did not run"
            self._advice.left_out[number] = self._cells[number], _reason(what)
            return None
        return curves.read(self._home / "runs" / outcome.run, self._asked.target.metric, self._asked.objective)

    def _choose(self) -> None:
        """Run the cheapest with other seeds, and keep the best of them."""
        advice, asked = self._advice, self._asked
        there = [at for at, one in advice.candidates.items() if one.reached]
        there.sort(key=lambda at: (advice.candidates[at].cost, at))
        finalists = there[:_FINALISTS]
        if not finalists:
            return
        seeds = [self._seed + n for n in range(asked.seeds)]
        chosen: list[Best] = []
        more = [(at, seed) for at in finalists for seed in seeds[1:]]
        if more:
            self._watch.step("seeds", len(more), asked.rounds)
        others = self._curves(more, asked.rounds) if more else {}
        for at in finalists:
            runs = [advice.candidates[at].curve, *(others[s][at] for s in seeds[1:] if at in others[s])]
            ends = [end for curve in runs if (end := curve.met_in(asked.target)) is not None]
            spread = Spread.of(curve.costs[end] for curve in runs if (end := curve.met_in(asked.target)) is not None)
            assert spread is not None
            cell = advice.candidates[at].cell
            chosen.append(Best(cell, self._sets[at], spread, max(ends) + 1, len(ends), len(seeds)))
        advice.best = min(chosen, key=lambda best: (-best.reached, best.cost.mean))


def _reason(what: str) -> str:
    """Return the first problem of an error, without the `--set` that wrote it: that may be all placements."""
    first = what.partition("\n")[0]
    return first.partition(": error: ")[2] or first if first.startswith("--set ") else first


def _until(curve: Curve, target: Target) -> float:
    """Return the cost until the best value, or until the target."""
    reached = curve.reached(target)
    if reached is not None:
        return reached
    best = curve.best(target)
    return next((c for c, v in zip(curve.costs, curve.values, strict=True) if v == best), math.inf)


def document(advice: Advice, question: Question) -> dict[str, object]:
    """Return an advice as plain values: what `--json` prints, and `advice.json` keeps."""
    best = advice.best
    return {
        "target": {"metric": question.target.metric, "value": question.target.value, "falls": question.target.falls},
        "minimise": question.objective,
        "best": None
        if best is None
        else {
            "values": dict(best.cell.values),
            "sets": list(best.sets),
            "cost": {"mean": best.cost.mean, "std": best.cost.std},
            "rounds": best.most_rounds,
            "reached": best.reached,
            "seeds": best.seeds,
        },
        "front": [_plain(advice.candidates[at], question) for at in advice.front],
        "candidates": [_plain(one, question) for _, one in sorted(advice.candidates.items())],
        "left_out": [{"values": dict(cell.values), "why": why} for cell, why in advice.left_out.values()],
        "steps": [{"candidates": candidates, "rounds": rounds} for candidates, rounds in advice.steps],
        "rounds_simulated": advice.rounds,
        "runs": advice.runs,
    }


def _plain(one: Candidate, question: Question) -> dict[str, object]:
    return {
        "values": dict(one.cell.values),
        "cost": one.cost if math.isfinite(one.cost) else None,
        "reached": one.reached,
        question.target.metric: one.curve.best(question.target),
        "rounds": one.curve.rounds,
    }


def written(advice: Advice, question: Question) -> str:
    """Return the topology file of the best candidate, with as many rounds as it needs; it can be brought up."""
    assert advice.best is not None
    rounds = f"{ROUNDS}={advice.best.most_rounds}"
    return changed(question.space.file, (*advice.best.sets, rounds))
