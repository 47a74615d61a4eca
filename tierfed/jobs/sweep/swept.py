"""Sweeps from Python: what `tierfed sweep` does, for a program or a notebook.

    codecs = tierfed.sweep("three_tier.yaml", "CLIENTS.codec.up=none,int8,eden(bits=2)", repeat=3, clock="virtual")
    codecs                      # a notebook shows a line a cell
    codecs.rows[0]["accuracy"]  # the rows of results.csv
    codecs.report()             # fronts, curves, bytes by tier

It is the same sweep in the same folder: `tierfed sweep --resume s-1` goes on with it, and `tierfed report s-1` tells of
it.  A run that fails is a row with its error, nothing is raised for it; an interruption (a notebook's stop button) ends
the runs under way and is raised, and what was done stays.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tierfed.errors import SweepError
from tierfed.jobs.sweep import running
from tierfed.jobs.sweep.beginning import at_once, begin, command_of
from tierfed.jobs.sweep.cells import Cell
from tierfed.jobs.sweep.grammar import axis
from tierfed.jobs.sweep.results import CellResult, Row, Spread, by_cell, metric_names
from tierfed.jobs.sweep.store import Kept
from tierfed.jobs.sweep.variant import Clock
from tierfed.launch import user_code
from tierfed.topology.captions import amount
from tierfed.topology.draw import size
from tierfed.types import html

if TYPE_CHECKING:
    from tierfed.report.page import Report


def sweep(
    file: str | os.PathLike[str],
    *axes: str,
    repeat: int | None = None,
    seeds: Sequence[int] | None = None,
    sets: Sequence[str] = (),
    clock: Clock | None = None,
    clients: int | None = None,
    history: bool = False,
    jobs: int | None = None,
    timeout: float | None = None,
    on_row: Callable[[Row], None] = lambda row: None,
) -> SweptRuns:
    """Run the job of a topology file with every combination of the values of `axes`, and return what came of it.

    An axis is written as behind `-s` on the command line, `"CLIENTS.codec.up=none,int8"`, and `sets` are `path=value`
    for all runs.  Each cell runs with `seeds`, or with `repeat` of them from the file's on; as many runs at once as
    there are cores (by the real clock one), or `jobs`.  `timeout` ends a run after so many seconds.  `on_row` is called
    with the row of each run when it is over; a run that failed is a row with its error.

    Raises SweepError, or TopologyError with every problem of every cell, before anything runs.

        codecs = tierfed.sweep("three_tier.yaml", "CLIENTS.codec.up=none,int8", repeat=3, clock="virtual")
        codecs.report().save("codecs.html")
    """
    user_code.forbid_inside_a_run()
    if repeat is not None and seeds is not None:
        raise SweepError("repeat= and seeds= both say which seeds", where="tierfed.sweep", mend="leave one out")
    command = command_of(
        str(file), axes=axes, sets=sets, repeat=repeat, clock=clock, clients=clients, seeds=seeds, history=history
    )
    kept = begin(
        Path(file),
        [axis(text) for text in axes],
        command=command,
        repeat=repeat,
        seeds=seeds,
        clock=clock,
        clients=clients,
        history=history,
        sets=sets,
    ).kept
    jobs = at_once(kept.sweep(), jobs, len(running.todo(kept)))
    running.run(kept, _Told(on_row), jobs=jobs, timeout=timeout)
    return SweptRuns(kept)


class SweptRuns:
    """What `tierfed.sweep` returns: the rows of its runs, and their report."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    @property
    def id(self) -> str:
        """Its name, `s-2`."""
        return self._kept.id

    @property
    def path(self) -> Path:
        """Its folder, with `results.csv` and the folders of its runs."""
        return self._kept.path

    @property
    def rows(self) -> list[Row]:
        """The rows of its runs, as in `results.csv`: what was varied, metrics, bytes by tier, seconds."""
        return self._kept.rows()

    def report(self, metric: str | None = None) -> Report:
        """Return its report: shown by a notebook, saved by `.save("report.html")`."""
        # by the package's public name, found when it is used: the report's floor is above this one
        made: Report = importlib.import_module("tierfed").report_of(self.path, metric=metric)
        return made

    def __repr__(self) -> str:
        rows = self.rows
        failed = sum(row["status"] != "ok" for row in rows)
        return f"<sweep {self.id} : {len(rows) - failed} runs done{f', {failed} failed' if failed else ''}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a line a cell, means over its seeds."""
        sweep, rows = self._kept.sweep(), self.rows
        results = by_cell(sweep.cells, rows, sweep.paths)
        names = {name for result in results for name in result.figures}
        measured = [name for name in metric_names(rows, sweep.paths) if name in names]
        metrics = [name for name in measured if len({row.get(name) for row in rows}) > 1] or measured
        uploads = sorted(name for name in names if name.startswith("bytes_up."))
        seconds = any(one.mean for result in results if (one := result.figures.get("seconds")) is not None)
        joules = any(_joules(result) for result in results)
        heads = [
            *sweep.paths,
            "runs",
            *metrics,
            *(f"{name.partition('.')[2]} upload" for name in uploads),
            *(["virtual seconds" if sweep.clock == "virtual" else "seconds"] if seconds else []),
            *(["energy"] if joules else []),
        ]
        lines = [
            [
                *(result.cell.values.get(path, "–") for path in sweep.paths),
                f"{result.ok} of {result.ok + result.failed}" if result.failed else result.ok,
                *(_said(result.figures.get(name)) for name in metrics),
                *(size(round(result.figures[name].mean)) if name in result.figures else "" for name in uploads),
                *([_said(result.figures.get("seconds"))] if seconds else []),
                *([amount(_joules(result), "J") if result.ok else ""] if joules else []),
            ]
            for result in results
        ]
        why = list(dict.fromkeys(result.error for result in results if result.error is not None))
        parts = [html.folded("why some failed", *map(html.code, why))] if why else []
        return html.titled(
            f"sweep {self.id} of {sweep.file.name}",
            html.table(heads, lines),
            *parts,
            html.Html(f"<div>{html.text(self.path)}</div>"),
        )


class _Told:
    """Hands rows on as they come."""

    def __init__(self, on_row: Callable[[Row], None]) -> None:
        self._on_row = on_row

    def started(self, cell: Cell, repeat: int) -> None:
        """Say nothing of a run that has begun."""

    def done(self, cell: Cell, row: Row, seconds: float) -> None:
        """Hand on the row of a run that is over."""
        self._on_row(row)


def _joules(result: CellResult) -> float:
    return sum(spread.mean for name, spread in result.figures.items() if name.startswith("joules."))


def _said(of: Spread | None) -> str:
    if of is None:
        return ""
    return f"{of.mean:.4g}" + (f" ± {of.std:.2g}" if of.std is not None else "")
