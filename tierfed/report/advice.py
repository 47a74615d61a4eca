"""Advice, for people: the front as a table, the best setting and how sure that is.

  accuracy  time      CLIENTS.codec.up  EDGE_AGGREGATORS.count
★    0.801   41.2 s   drive             4
  ◆  0.764   20.5 s   drive             2

cheapest to accuracy ≥ 0.8: CLIENTS.codec.up=drive, EDGE_AGGREGATORS.count=4
time 43.0 s ± 2.1 s over 3 seeds, 18 rounds at most
"""

from __future__ import annotations

import math

from tierfed.jobs.advise.curves import Objective
from tierfed.jobs.advise.search import Advice, Question
from tierfed.report.quantities import number, seconds
from tierfed.report.sweep_view import counted
from tierfed.report.table import table
from tierfed.topology.draw import size

_REASONS = 4
_OWN = "the file as it is"


def cost(value: float | None, objective: Objective) -> str:
    """Return a cost as people say it."""
    if value is None or not math.isfinite(value):
        return "?"
    if objective == "time":
        return seconds(value)
    return size(round(value)) if objective == "bytes" else f"{number(float(value))} J"


def told(advice: Advice, question: Question, width: int | None) -> list[str]:
    """Return the lines of an advice."""
    target, objective = question.target, question.objective
    paths = list(dict.fromkeys(p for at in advice.front for p in advice.candidates[at].cell.values))
    rows = []
    for at in advice.front:
        one = advice.candidates[at]
        chosen = advice.best is not None and one.cell == advice.best.cell
        until = one.curve.reached(target)
        spent = one.curve.costs[-1] if until is None else until
        values = [one.cell.values.get(path, "as it is") for path in paths]
        sign = "★" if chosen else "✓" if one.reached else "·"
        rows.append([sign, number(float(one.curve.best(target))), cost(spent, objective), *values])
    lines = [f"front: {target.metric} against {objective}; ✓ reaches {target}, ★ is advised"]
    lines.append(table(["", target.metric, objective, *paths], rows, width))
    return [*lines, *_left_out(advice), "", *cheapest(advice, question)]


def cheapest(advice: Advice, question: Question) -> list[str]:
    """Return the lines of what is advised."""
    target, objective = question.target, question.objective
    lines: list[str] = []
    if advice.best is None:
        most = advice.candidates[advice.front[-1]].curve.best(target) if advice.front else math.nan
        lines.append(f"✗ nothing reaches {target} in {question.rounds} rounds: the best is {number(float(most))}")
        return lines
    best = advice.best
    spread = "" if best.cost.std is None else f" ± {cost(best.cost.std, objective)}"
    lines.append(f"★ cheapest to {target}: {best.cell if best.cell.values else _OWN}")
    seeds = f"{best.seeds} seeds" if best.seeds > 1 else "one seed"
    missed = "" if best.reached == best.seeds else f", of which {best.seeds - best.reached} did not reach it"
    mean = cost(best.cost.mean, objective)
    lines.append(f"  {objective} {mean}{spread} over {seeds}{missed}; at most {counted(best.most_rounds, 'round')}")
    own = advice.candidates.get(0)
    if own is not None and best.cell.values:
        if own.reached:
            same = next(one.cost for one in advice.candidates.values() if one.cell == best.cell)
            seed = question.space.topology.seed
            with_it = f"{cost(own.cost, objective)} with seed {seed}, {own.cost / same:.1f}x as much as this with it"
            lines.append(f"  {_OWN}: {with_it}")
        else:
            lines.append(f"  {_OWN} does not get there in {counted(own.curve.rounds, 'round')}")
    return lines


def _left_out(advice: Advice) -> list[str]:
    reasons: dict[str, int] = {}
    for _, why in advice.left_out.values():
        reasons[why] = reasons.get(why, 0) + 1
    return [f"left out, {count}: {why}" for why, count in list(reasons.items())[:_REASONS]]
