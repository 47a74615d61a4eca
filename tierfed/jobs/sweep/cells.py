"""Cells: what is varied becomes a list of cells, and each cell with each seed a variant to run.

    -s lr=0.05,0.1 -s CLIENTS.codec.up=none,int8 --seeds 7,8

    cell 1  lr=0.05 CLIENTS.codec.up=none     seeds 7, 8
    cell 2  lr=0.05 CLIENTS.codec.up=int8     seeds 7, 8
    cell 3  …                                 the last axis moves first

A list of cells (a CSV file, its head the paths, each row a cell) is an axis whose paths move together; a field that
is empty leaves the path as the file has it.  Runs are made seed by seed, not cell by cell: a sweep that is interrupted
half way has something to say about every cell.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierfed.errors import SweepError
from tierfed.jobs.sweep.grammar import Axis
from tierfed.jobs.sweep.variant import Clock, Variant

MOST_RUNS = 100_000

_NOT_VARIED = {
    "seed": "name seeds by --seeds 1,2,3, or count them by --repeat 3",
    "clock": "choose one by --clock virtual or --clock real",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting of all that is varied; `values` are texts by path, as they were written."""

    number: int
    values: Mapping[str, str]

    @property
    def sets(self) -> tuple[str, ...]:
        """The `path=value`s that make it."""
        return tuple(f"{path}={value}" for path, value in self.values.items())

    def __str__(self) -> str:
        return " ".join(self.sets) or "the file as it is"


@dataclass(frozen=True, slots=True)
class Sweep:
    """All that there is to run: `cells`, each with each of `seeds`, as variants of `file` changed by `sets`."""

    file: Path
    paths: tuple[str, ...]
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    clock: Clock
    sets: tuple[str, ...] = ()
    clients: int | None = None
    history: bool = False

    def runs(self) -> Iterator[tuple[Cell, int]]:
        """Yield each cell with the number of its repetition, from 1: all cells with the first seed first."""
        for repeat in range(1, len(self.seeds) + 1):
            for cell in self.cells:
                yield cell, repeat

    def variant(self, cell: Cell, repeat: int) -> Variant:
        """Return what is run for a cell and a repetition."""
        return Variant(
            self.file, (*self.sets, *cell.sets), self.seeds[repeat - 1], self.clock, self.clients, self.history
        )

    def axes(self) -> list[dict[str, Any]]:
        """Return each path with its values, in order of appearance."""
        return [
            {"path": path, "values": list(dict.fromkeys(c.values[path] for c in self.cells if path in c.values))}
            for path in self.paths
        ]


def cells(axes: Sequence[Axis]) -> tuple[Cell, ...]:
    """Return a cell for each combination of the rows of `axes`; the last axis moves first.

    Raises SweepError if a path stands in two axes, or is one that sweeps do not vary.
    """
    seen: dict[str, str] = {}
    for path in (path for axis in axes for path in axis.paths):
        plain = path.removeprefix("placements.")
        if plain in _NOT_VARIED:
            raise SweepError(f"{path} is no axis", where=f"-s {path}=…", mend=_NOT_VARIED[plain])
        if plain in seen:
            raise SweepError(f"{path} is varied twice", where=f"-s {path}=…", mend="write its values in one -s or list")
        seen[plain] = path
    return tuple(
        Cell(number, {path: value for axis, row in zip(axes, rows, strict=True) for path, value in _given(axis, row)})
        for number, rows in enumerate(itertools.product(*(axis.rows for axis in axes)), 1)
    )


def check_count(cells: Sequence[Cell], seeds: Sequence[int]) -> None:
    """Raise SweepError if they are more runs than anybody meant."""
    if (count := len(cells) * len(seeds)) > MOST_RUNS:
        raise SweepError(
            f"{len(cells)} cells × {len(seeds)} seeds are {count} runs",
            where="sweep",
            mend=f"a sweep has at most {MOST_RUNS}: vary less at once",
        )


def _given(axis: Axis, row: Sequence[str]) -> list[tuple[str, str]]:
    return [(path, value) for path, value in zip(axis.paths, row, strict=True) if value]


def read_list(file: Path) -> Axis:
    """Return the cells that the CSV `file` lists, as one axis.  Raises SweepError, with the line."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SweepError(f"not UTF-8: byte {error.start}", where=str(file), mend="save it as UTF-8") from error
    except OSError as error:
        raise SweepError(str(error.strerror).lower(), where=str(file), mend="give a CSV file") from error
    lines = csv.reader(text.splitlines(), strict=True, skipinitialspace=True)
    try:
        read = [(lines.line_num, [field.strip() for field in row]) for row in lines if any(map(str.strip, row))]
    except csv.Error as error:
        raise SweepError(str(error), where=f"{file}:{lines.line_num}", mend='write CSV: a,b,"c,d"') from error
    if len(read) < 2:
        raise SweepError("no cells", where=str(file), mend="write paths in the first line, and a cell in each other")
    (_, paths), *rows = read
    if not all(paths) or len(set(paths)) < len(paths):
        raise SweepError(
            "the first line has an empty or repeated path", where=f"{file}:{read[0][0]}", mend="name each path once"
        )
    for at, (line, row) in enumerate(rows):
        where = f"{file}:{line}"
        if len(row) != len(paths):
            mend = 'write one for each, "quoted" if it has a comma'
            raise SweepError(f"{len(row)} values for {len(paths)} paths", where=where, mend=mend)
        if (twin := next((other for other, before in rows[:at] if before == row), None)) is not None:
            raise SweepError(f"the same cell as in line {twin}", where=where, mend="--repeat runs a cell again")
    return Axis(tuple(paths), tuple(tuple(row) for _, row in rows))
