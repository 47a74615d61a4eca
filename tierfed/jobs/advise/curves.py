"""Curves: what a run has reached after each round, and what it has cost until then.

    curve = read(run_dir, "accuracy", "time")        costs [1.2, 2.4, 3.6], values [.41, .55, .63]
    curve.reached(Target.parse("accuracy=0.6"))      3.6: the cost of the first round that is there

| objective | the cost of a round |
|---|---|
| `time` | its seconds, by the virtual clock |
| `bytes` | what all tiers send, up and down |
| `energy` | the joules of all modelled devices |
"""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Literal, get_args

from tierfed.errors import SweepError

Objective = Literal["time", "bytes", "energy"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)

_TARGET = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(=|>=|<=|<|>)\s*([-+0-9.eE]+)\s*")
_FALLING = {"loss", "error", "err", "mse", "rmse", "mae", "nmse", "perplexity", "regret"}  # words of what should fall
_COLUMNS = {"time": ("seconds",), "bytes": ("bytes_up.", "bytes_down."), "energy": ("joules.",)}


@dataclass(frozen=True, slots=True)
class Target:
    """What a metric is to reach: at least `value`, or at most where it `falls`."""

    metric: str
    value: float
    falls: bool = False

    @staticmethod
    def parse(text: str) -> Target:
        """Return what `accuracy=0.8` (at least) or `loss<=0.6` says; raises SweepError."""
        match = _TARGET.fullmatch(text)
        try:
            value = float(match[3]) if match else math.nan
        except ValueError:
            value = math.nan
        if match is None or not math.isfinite(value):
            raise SweepError(
                f"{text!r} is no target", where="--target", mend="write accuracy=0.8, or loss<=0.6 for what should fall"
            )
        if match[2] == "=" and _FALLING.intersection(re.split(r"[\W_]+", match[1].lower())):
            raise SweepError(
                f"{text!r} would be at least {value:g}",
                where="--target",
                mend=f"write {match[1]}<={match[3]} for at most, {match[1]}>={match[3]} if it is to rise",
            )
        return Target(match[1], value, match[2] in ("<", "<="))

    def __str__(self) -> str:
        return f"{self.metric} {'≤' if self.falls else '≥'} {self.value:g}"

    def met(self, value: float) -> bool:
        """Return whether `value` is there."""
        return value <= self.value if self.falls else value >= self.value

    def gap(self, value: float) -> float:
        """Return how far `value` is from perfect, relative to the target: 1 is there, 2 twice as far."""
        perfect = 0.0 if self.falls else max(1.0, self.value)
        left = abs(perfect - self.value) or 1e-9
        return max((value - perfect if self.falls else perfect - value), 1e-9) / left


@dataclass(frozen=True, slots=True)
class Curve:
    """Of each round: the cost of all rounds up to it, and the metric after it."""

    costs: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def rounds(self) -> int:
        """How many rounds there are."""
        return len(self.costs)

    def met_in(self, target: Target) -> int | None:
        """Return the round, from 0, in which the target is met for the first time, None if it never is."""
        return next((at for at, value in enumerate(self.values) if target.met(value)), None)

    def reached(self, target: Target) -> float | None:
        """Return the cost until the target is met for the first time, None if it never is."""
        at = self.met_in(target)
        return None if at is None else self.costs[at]

    def best(self, target: Target) -> float:
        """Return the best value so far; NaN of a curve without rounds."""
        known = [v for v in self.values if not math.isnan(v)]
        return (min if target.falls else max)(known) if known else math.nan


def read(run_dir: Path, metric: str, objective: Objective) -> Curve:
    """Return the curve of a run.  Raises SweepError if it has no such metric, or no such cost."""
    file = run_dir / "rounds.csv"
    try:
        with open(file, newline="", encoding="utf-8") as opened:
            rows = list(csv.DictReader(opened))
    except OSError:
        rows = []
    if not rows:
        raise SweepError("it has no rounds", where=str(run_dir), mend="let the job walk `for r in tree.rounds(rounds)`")
    if metric not in rows[0]:
        fixed = ("round", "seconds", "contributors", "lost")
        known = [name for name in rows[0] if name not in fixed and "." not in name]
        raise SweepError(
            f"the job releases no {metric}",
            where="--target",
            mend=f"it releases {', '.join(known)}" if known else "let it call tree.release",
        )
    columns = [name for name in rows[0] if name.startswith(_COLUMNS[objective])]
    if not columns:
        raise SweepError(
            f"no device of the topology says what it takes, so there is no {objective}",
            where="--minimise",
            mend="write `energy: {computing: 2W, …}` at a placement",
        )
    costs = accumulate(sum(float(row[name] or 0) for name in columns) for row in rows)
    return Curve(tuple(costs), tuple(float(row[metric]) if row[metric] else math.nan for row in rows))
