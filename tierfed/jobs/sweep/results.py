"""Results: a row for each run of a sweep, and what the rows of a cell have in common.

    run       cell  repeat  seed  status  CLIENTS.codec.up  rounds  seconds  …  accuracy  bytes_up.CLIENTS  …
    7f3a90c2  1     1       7     ok      none              20      26.1     …  0.78      41738240

Columns: those of the run, one for each path that is varied, named as it was written; `rounds`; `seconds` of the job and
the median of a round, by the sweep's clock; metrics, the last released; bytes by tier, in all rounds, up and down, and
what they would be uncoded (`raw_`); joules by tier where devices are modelled; `lost`, the members that were lost,
summed over rounds; `error`.  A run that failed has no figures but its rounds and losses: half a run's would pass for a
whole one's.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tierfed.jobs.sweep.cells import Cell
from tierfed.jobs.sweep.variant import Outcome

Row: TypeAlias = dict[str, Any]

HEAD = ("run", "cell", "repeat", "seed", "status")
_TIMES = ("rounds", "seconds", "seconds_per_round")
_TAIL = ("lost", "error")
_BY_TIER = ("bytes_up", "bytes_down", "raw_bytes_up", "raw_bytes_down", "joules")


def row(cell: Cell, repeat: int, seed: int, outcome: Outcome) -> Row:
    """Return the row of a run that is over."""
    document = outcome.document
    written: Row = {"run": outcome.run, "cell": cell.number, "repeat": repeat, "seed": seed, "status": outcome.status}
    written |= cell.values
    if document is not None:
        written["rounds"] = document["rounds"]
    if document is not None and outcome.status == "ok":
        each = document["seconds"]["per_round"]
        written["seconds"] = document["seconds"]["job"]
        written["seconds_per_round"] = statistics.median(each) if each else None
        taken = {*written, *_TIMES, *_TAIL}
        written |= {f"metric.{name}" if name in taken else name: value for name, value in outcome.metrics.items()}
        for what in _BY_TIER:
            tiers = reversed(document["tiers"].items())  # from the leaves up
            written |= {f"{what}.{name}": tier[what] for name, tier in tiers if what in tier}
    if document is not None:
        written["lost"] = len(document["lost"])
    if outcome.error is not None:
        written["error"] = str(outcome.error)
    return written


def columns(rows: Sequence[Row], paths: Sequence[str]) -> list[str]:
    """Return the columns of `rows`, in order: see the module docstring."""
    names = dict.fromkeys(name for row in rows for name in row)
    fixed = [*HEAD, *paths, *_TIMES]
    by_tier = [name for what in _BY_TIER for name in names if name.startswith(f"{what}.")]
    metrics = [name for name in names if name not in {*fixed, *by_tier, *_TAIL}]
    return [*fixed, *metrics, *by_tier, *_TAIL]


def metric_names(rows: Sequence[Row], paths: Sequence[str]) -> list[str]:
    """Return the columns of `rows` that are metrics."""
    named = columns(rows, paths)
    return [
        name
        for name in named[len(HEAD) + len(paths) + len(_TIMES) : -len(_TAIL)]
        if name.partition(".")[0] not in _BY_TIER
    ]


@dataclass(frozen=True, slots=True)
class Spread:
    """The mean over the seeds of a cell, and the standard deviation (n - 1); None of one."""

    mean: float
    std: float | None

    @staticmethod
    def of(values: Iterable[float]) -> Spread | None:
        """Return the spread of `values`; None if there are none, or one is not finite."""
        given = [float(value) for value in values]
        if not given or not all(map(math.isfinite, given)):
            return None
        return Spread(statistics.fmean(given), statistics.stdev(given) if len(given) > 1 else None)


@dataclass(frozen=True, slots=True)
class CellResult:
    """What the runs of a cell gave: `figures` by column, over those that went well."""

    cell: Cell
    ok: int
    failed: int
    figures: Mapping[str, Spread]
    error: str | None


def by_cell(cells: Sequence[Cell], rows: Sequence[Row], paths: Sequence[str]) -> list[CellResult]:
    """Return what came of each cell."""
    numeric = [name for name in columns(rows, paths) if name not in {*HEAD, *paths, "error"}]
    grouped: dict[int, list[Row]] = {}
    for one in rows:
        grouped.setdefault(one["cell"], []).append(one)
    results = []
    for cell in cells:
        own = grouped.get(cell.number, [])
        good = [one for one in own if one["status"] == "ok"]
        spreads = {name: Spread.of(one[name] for one in good if one.get(name) is not None) for name in numeric}
        error = next((str(one["error"]) for one in own if one["status"] == "failed"), None)
        figures = {name: spread for name, spread in spreads.items() if spread is not None}
        results.append(CellResult(cell, len(good), len(own) - len(good), figures, error))
    return results
