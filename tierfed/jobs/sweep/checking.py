"""Checking: everything that is wrong with any cell of a sweep, told before the first of them runs.

    --set CLIENTS.codec.up=foo: error: placements.CLIENTS.codec.up: no codec is called foo; … (cells 2, 4 of 6)
    three_tier.yaml: error: job.params: train has no parameter lrr; … (cell 5: job.params.lrr=0.1)

A sweep that fails after an hour, at the cell with the typing error, has wasted it.  So each cell's topology is made,
and its job held against it, as `tierfed validate` does; what several cells have in common is told once.  The program
is imported in a process of its own, for all cells: importing runs it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tierfed.data import check as check_data
from tierfed.errors import Advice, JobError, TierfedError, TopologyError
from tierfed.jobs.program import load_job, misfits
from tierfed.jobs.sweep.cells import Cell
from tierfed.launch.interpreter import python_path
from tierfed.topology import Topology, load_topology
from tierfed.topology.problems import Place, Problem

_PATIENCE = 120.0  # seconds that an import may take
_EACH = 20.0  # and each cell
_TOLD = 8  # numbers of cells in an error


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known of a sweep's file: of its first cell, and the notes of all of them."""

    seed: int
    clock: str
    modelled: bool
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Found:
    """Problems and notes, each with the cells that have it."""

    cells: Sequence[Cell]
    problems: dict[Problem, list[Cell]] = field(default_factory=dict)
    notes: dict[str, list[Cell]] = field(default_factory=dict)

    def problem(self, cell: Cell, problem: Problem) -> None:
        self.problems.setdefault(problem, []).append(cell)

    def error(self, cell: Cell, file: Path, error: TierfedError) -> None:
        if isinstance(error, Advice):
            self.note(cell, str(error))
            return
        words = [f"{error.where}: " if error.where else "", error.what, f"; {error.mend}" if error.mend else ""]
        self.problem(cell, Problem(Place(0, 0, str(file)), (), "".join(words)))

    def note(self, cell: Cell, text: str) -> None:
        self.notes.setdefault(text, []).append(cell)

    def told(self, which: Sequence[Cell]) -> str:
        """Return which cells it is about; nothing if it is about all."""
        if len(which) == len(self.cells):
            return ""
        if len(which) == 1:
            return f" (cell {which[0].number}: {which[0]})"
        numbers = ", ".join(str(cell.number) for cell in which[:_TOLD]) + (", …" if len(which) > _TOLD else "")
        return f" (cells {numbers} of {len(self.cells)})"


def check(
    file: Path,
    cells: Sequence[Cell],
    sets: Sequence[str] = (),
    clients: int | None = None,
    on_cell: Callable[[int], None] = lambda number: None,
) -> Checked:
    """Return what is known of the topologies of all `cells`; `on_cell` is called with the number of each.

    Raises TopologyError with every problem of every cell.
    """
    found = _Found(cells)
    first: Topology | None = None
    whole: list[Cell] = []
    for cell in cells:
        on_cell(cell.number)
        try:
            topology = load_topology(file, (*sets, *cell.sets), clients=clients)
        except TopologyError as error:
            for one in error.problems:
                assert isinstance(one, Problem)
                found.problem(cell, one)
            continue
        first = first or topology
        for note in topology.notes:
            found.note(cell, str(note))
        if topology.job is None:
            found.error(cell, file, JobError("the file has no job", mend="write `job: {program: module:function}`"))
            continue
        try:
            check_data(topology.job.data)
        except TierfedError as error:
            found.error(cell, file, error)
        whole.append(cell)
    for cell, misfit in _jobs_in_subprocess(file, whole, sets, clients) if whole else []:
        found.error(cell, file, misfit)
    if found.problems:
        listed = tuple(replace(one, what=one.what + found.told(which)) for one, which in found.problems.items())
        raise TopologyError("\n".join(map(str, listed)), problems=listed)
    assert first is not None
    return Checked(
        first.seed,
        first.clock,
        any(node.link or node.device or node.interface for node in first.nodes.values()),
        tuple(text + found.told(which) for text, which in found.notes.items()),
    )


def _jobs_in_subprocess(
    file: Path, cells: Sequence[Cell], sets: Sequence[str], clients: int | None
) -> list[tuple[Cell, TierfedError]]:
    """Return what is wrong with the job of each of `cells`, found in a process of its own."""
    request = {"file": str(file), "clients": clients, "sets": [[*sets, *cell.sets] for cell in cells]}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tierfed.jobs.sweep.checking"],
            env={**os.environ, **python_path(os.environ)},
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=_PATIENCE + _EACH * len(cells),
            check=False,
        )
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        mend = "put what runs under `if __name__ == '__main__':`"
        return [(cell, JobError("its import does not end", where="job.program", mend=mend)) for cell in cells]
    except ValueError:
        last = done.stderr.strip().rpartition("\n")[2]
        what = f"its import ended the process with {done.returncode}: {last}"
        return [(cell, JobError(what, where="job.program", mend="run it alone and see")) for cell in cells]
    return [
        (cell, TierfedError.from_dict(error)) for cell, errors in zip(cells, answer, strict=True) for error in errors
    ]


def _answer(request: Mapping[str, Any]) -> list[list[dict[str, str | None]]]:
    """Return what is wrong with the job of each cell: an inner list for each of the `sets` of the request."""
    answers: list[list[dict[str, str | None]]] = []
    for sets in request["sets"]:
        try:
            topology = load_topology(request["file"], sets, clients=request["clients"])
            assert topology.job is not None and topology.source is not None
            job = load_job(topology.job.program, topology.source.parent)
            found = misfits(job, topology.job.params, topology)
        except TierfedError as error:
            found = [error]
        answers.append([error.to_dict() for error in found])
    return answers


if __name__ == "__main__":
    asked = json.loads(sys.stdin.read())
    with contextlib.redirect_stdout(sys.stderr):  # what the program prints when it is imported
        told = json.dumps(_answer(asked))
    sys.stdout.write(told)
