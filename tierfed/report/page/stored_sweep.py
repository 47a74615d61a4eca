"""What is compared: the cells of a sweep, or runs beside each other, each cell with its repeats.

    compared = of_sweep(Path(".tierfed/sweeps/s-2"))     from its manifest.json, results.csv and runs/
    compared = of_runs([run, other])                     a cell each, named by the settings in which they differ
    compared.cells[0].name, compared.cells[0].spread("accuracy")

A sweep's row has what came of a run; its curves are in the run's own folder, below the sweep's.  Rows that cannot be
read and folders that are gone are left out, as a sweep that was killed, or still runs, leaves them.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tierfed.errors import NoSuchRun
from tierfed.report.page import stored_run
from tierfed.report.page.configuration import differing
from tierfed.report.page.pareto import Spread
from tierfed.report.page.stored_run import StoredRun, json_of, mapping, text_of

RESULTS, MANIFEST = "results.csv", "manifest.json"
_FIXED = ("run", "cell", "repeat", "seed", "status")
_AFTER = ("rounds", "seconds", "seconds_per_round", "lost", "error")
_PREFIXES = ("bytes_up", "bytes_down", "raw_bytes_up", "raw_bytes_down", "joules")
_NAMED = 40  # characters of a cell's name


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one run."""

    run: str
    status: str
    repeat: str
    seed: str
    figures: Mapping[str, float]  # rounds, seconds, metrics, bytes_up.TIER, …
    error: str
    stored: StoredRun | None

    def total(self, *prefixes: str) -> float | None:
        """Return the sum of its columns of those kinds, None if it has none."""
        found = [v for k, v in self.figures.items() if k.partition(".")[0] in prefixes and "." in k]
        return math.fsum(found) if found else None


@dataclass(frozen=True)
class Cell:
    """Runs with the same settings, but for their seeds."""

    name: str
    settings: Mapping[str, str]
    rows: Sequence[Row]

    @property
    def done(self) -> list[Row]:
        """The runs that came to an end of their own."""
        return [row for row in self.rows if row.status == "ok"]

    @property
    def runs(self) -> list[StoredRun]:
        """The folders that are there of those runs."""
        return [row.stored for row in self.done if row.stored is not None]

    def spread(self, column: str) -> Spread | None:
        """Return the mean and deviation of a column over the runs that are done."""
        return Spread.of([row.figures[column] for row in self.done if column in row.figures])

    def sums(self, *prefixes: str) -> Spread | None:
        """Return those of the sums of columns: `sums("bytes_up", "bytes_down")`."""
        return Spread.of([total for row in self.done if (total := row.total(*prefixes)) is not None])


@dataclass(frozen=True)
class Compared:
    """See the module docstring; `varied` are the settings that name the cells."""

    title: str
    path: Path | None
    varied: Sequence[str]
    cells: Sequence[Cell]
    commands: Sequence[Sequence[str]] = field(default_factory=list)
    folder: str = ""
    file: str = ""
    to_do: int = 0  # runs of a sweep that is not over
    cells_to_do: int = 0  # cells of which no run is over

    @property
    def metrics(self) -> list[str]:
        """The metrics that any run has, accuracy first."""
        found: dict[str, None] = {}
        for row in (row for cell in self.cells for row in cell.rows):
            found |= dict.fromkeys(
                k for k in row.figures if k not in _AFTER and k.partition(".")[0] not in (*_PREFIXES, "drawn")
            )
        return sorted(found, key=lambda name: (name != "accuracy", name != "loss"))

    @property
    def failed(self) -> list[tuple[Cell, Row]]:
        """The runs that came to nothing."""
        return [(cell, row) for cell in self.cells for row in cell.rows if row.status != "ok"]

    @property
    def first(self) -> StoredRun | None:
        """A run that stands for all, for its tree and its configuration."""
        return next((row.stored for cell in self.cells for row in cell.rows if row.stored is not None), None)


def is_sweep(folder: Path) -> bool:
    """Return whether `folder` is one of a sweep."""
    return "axes" in mapping(json_of(folder / MANIFEST)) or (
        (folder / RESULTS).is_file() and not (folder / "events.jsonl").is_file()
    )


def of_sweep(folder: Path) -> Compared:
    """Return the sweep in `folder`; raises NoSuchRun if there is none."""
    if not is_sweep(folder):
        raise NoSuchRun(
            "this is no folder of a sweep", where=str(folder), mend="name one that `tierfed sweep` has made"
        )
    manifest = mapping(json_of(folder / MANIFEST))
    rows = list(csv.reader(io.StringIO((text_of(folder / RESULTS) or "").replace("\0", ""))))
    heads = rows[0] if rows else []
    axes = [str(a["path"]) for a in manifest.get("axes") or [] if isinstance(a, dict) and "path" in a]
    if not axes and "status" in heads and "rounds" in heads:
        axes = heads[heads.index("status") + 1 : heads.index("rounds")]
    cells: dict[str, tuple[dict[str, str], list[Row]]] = {}
    for values in rows[1:]:
        if len(values) == len(heads):
            of = dict(zip(heads, values, strict=True))
            settings = {axis: of.get(axis, "") for axis in axes}
            cells.setdefault(of.get("cell", ""), (settings, []))[1].append(_row(of, axes, folder))
    named = _names([settings for settings, _ in cells.values()], list(cells))
    command = manifest.get("command")
    planned, seeds = (len(all_of) if isinstance(all_of := manifest.get(k), list) else 0 for k in ("cells", "seeds"))
    return Compared(
        title=f"sweep {folder.name}",
        path=folder,
        varied=axes,
        cells=[Cell(name, s, of) for name, (s, of) in zip(named, cells.values(), strict=True)],
        commands=[[str(word) for word in command]] if isinstance(command, list) else [],
        folder=str(manifest.get("folder", "")),
        file=Path(str(manifest.get("file", ""))).name,
        to_do=max(0, planned * seeds - sum(len(of) for _, of in cells.values())),
        cells_to_do=max(0, planned - len(cells)),
    )


def _row(of: Mapping[str, str], axes: Sequence[str], folder: Path) -> Row:
    figures: dict[str, float] = {}
    for name, value in of.items():
        if name not in _FIXED and name not in axes and name != "error":
            try:
                figures[name] = float(value)
            except ValueError:
                continue
    run = of.get("run", "")
    stored = None
    if run and run.isalnum():  # a name of ours, and no path elsewhere
        try:
            stored = stored_run.read(folder / "runs" / run)
        except NoSuchRun:
            stored = None
    return Row(
        run, of.get("status", ""), of.get("repeat", ""), of.get("seed", ""), figures, of.get("error", ""), stored
    )


def _names(settings: Sequence[Mapping[str, str]], otherwise: Sequence[str]) -> list[str]:
    """Return a name for each cell: its values, those that differ at all, or what it is called otherwise."""
    keys = [key for key in (settings[0] if settings else {}) if len({s.get(key) for s in settings}) > 1]
    names = [" · ".join(_short(key, s.get(key, "")) for key in keys) for s in settings]
    unique = len(set(names)) == len(names) and all(names)
    return (
        names
        if unique
        else [f"{name} [{other}]" if name else other for name, other in zip(names, otherwise, strict=True)]
    )


def _short(key: str, value: str) -> str:
    """Return a setting in few words: a number with the end of its path, a text alone."""
    said = value if len(value) <= _NAMED else value[: _NAMED - 1] + "…"
    try:
        float(value)
    except ValueError:
        return said or "(empty)"
    return f"{key.rpartition('.')[2]} {said}"


def of_runs(runs: Sequence[StoredRun]) -> Compared:
    """Return runs beside each other."""
    settings = differing(runs)
    names = _names(settings, [run.id for run in runs])
    if max(map(len, names), default=0) > _NAMED:
        names = [run.id for run in runs]
    cells = [Cell(name, of, [_stored_row(run)]) for name, of, run in zip(names, settings, runs, strict=True)]
    commands = [[str(word) for word in one] for run in runs for one in run.origin.get("commands") or []]
    return Compared(
        title=f"{len(runs)} runs",
        path=None,
        varied=list(settings[0]) if settings else [],
        cells=cells,
        commands=commands,
        folder=str(runs[0].origin.get("folder", "")) if runs else "",
    )


def _stored_row(run: StoredRun) -> Row:
    figures: dict[str, float] = {**run.metrics, "rounds": float(len(run.rounds)), "lost": float(len(run.lost))}
    if run.seconds is not None:
        figures["seconds"] = run.seconds
    for name, of in run.tiers.items():
        if of.up or of.down:
            figures |= {f"bytes_up.{name}": of.up, f"bytes_down.{name}": of.down}
            figures |= {f"raw_bytes_up.{name}": of.raw_up, f"raw_bytes_down.{name}": of.raw_down}
        if of.joules is not None:
            figures[f"joules.{name}"] = of.joules
    seed = str(run.summary.get("seed", "")) if run.summary else ""
    error = run.error
    status = run.status or "ok"
    return Row(run.id, status, "", seed, figures, str(error.get("what", "")) if error else "", run)


def joined(parts: Iterable[Compared]) -> Compared:
    """Return several sweeps, and runs, as one: each cell's name begins with that of where it is from."""
    whole = list(parts)
    if len(whole) == 1:
        return whole[0]
    varied = list(dict.fromkeys(key for one in whole for key in one.varied))
    cells = [
        Cell(f"{one.path.name}: {cell.name}" if one.path is not None else cell.name, cell.settings, cell.rows)
        for one in whole
        for cell in one.cells
    ]
    commands: list[Sequence[str]] = [command for one in whole for command in one.commands]
    title = " and ".join(one.title for one in whole)
    return Compared(
        title,
        None,
        varied,
        cells,
        commands,
        next((one.folder for one in whole if one.folder), ""),
        to_do=sum(one.to_do for one in whole),
        cells_to_do=sum(one.cells_to_do for one in whole),
    )


def plain_figures(row: Row) -> dict[str, Any]:
    """Return a row's figures for a JSON document."""
    return {k: int(v) if v == int(v) else v for k, v in row.figures.items() if math.isfinite(v)}
