"""Store: the folder of a sweep, what is written there as runs end, and finding one.

    .tierfed/sweeps/s-2/            (TIERFED_HOME stands for .tierfed)
      manifest.json                 what is run
      rows.jsonl                    a row a run, the moment it is over
      results.csv, results.json     the same rows, for whoever reads them; results.parquet, if wanted
      runs/7f3a90c2/                the runs, as any other's

A row is appended and forced to the disk before anybody is told of it, so that a kill loses no run that was over; a last
line that was cut short is one that was not.  Of two rows for one cell and repetition the later one counts: a failed run
that was made again.  The tables are replaced whole by a rename, since a new metric may bring a new column.  One process
at a time writes to a sweep: it holds a lock, which the kernel takes back however it ends.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import hashlib
import io
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tierfed.errors import NoSuchRun, SweepError
from tierfed.jobs.sweep.cells import Cell, Sweep
from tierfed.jobs.sweep.results import Row, columns
from tierfed.launch import manifest as run_manifest
from tierfed.launch import runs

SCHEMA_VERSION = 1
_ID = re.compile(r"s-([1-9][0-9]{0,8})")
_MANIFEST = "manifest.json"
_ROWS = "rows.jsonl"


def folder() -> Path:
    """Return the folder of all sweeps, which need not exist."""
    return runs.folder().parent / "sweeps"


@dataclass(frozen=True, slots=True)
class Kept:
    """A sweep in its folder; `manifest` is what was written when it began."""

    path: Path
    manifest: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        """Its name, `s-2`."""
        return self.path.name

    def sweep(self) -> Sweep:
        """Return what it runs."""
        kept = self.manifest
        return Sweep(
            file=Path(kept["file"]),
            paths=tuple(axis["path"] for axis in kept["axes"]),
            cells=tuple(Cell(number, values) for number, values in enumerate(kept["cells"], 1)),
            seeds=tuple(kept["seeds"]),
            clock=kept["clock"],
            sets=tuple(kept["sets"]),
            clients=kept["clients"],
            history=kept["history"],
        )

    def rows(self) -> list[Row]:
        """Return the rows that count, by cell and repetition."""
        found: dict[tuple[int, int], Row] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in (self.path / _ROWS).read_bytes().split(b"\n")[:-1]:  # behind the last \n: a line cut short
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    one = json.loads(line)
                    found[one["cell"], one["repeat"]] = one
        return [found[key] for key in sorted(found)]

    def add(self, row: Row) -> None:
        """Write the row of a run that is over."""
        with open(self.path / _ROWS, "ab") as file:
            file.write(json.dumps(row, default=str).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.write_tables()

    def write_tables(self) -> None:
        """Write results.csv and results.json as the rows are now."""
        rows = self.rows()
        named = columns(rows, self.sweep().paths)
        text = io.StringIO()
        writer = csv.DictWriter(text, named, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        _replace(self.path / "results.csv", text.getvalue())
        whole = [{name: _finite(row.get(name)) for name in named} for row in rows]
        document = {"schema_version": SCHEMA_VERSION, "id": self.id, "columns": named, "rows": whole}
        _replace(self.path / "results.json", json.dumps(document, indent=1, default=str) + "\n")

    def mend(self) -> None:
        """Remove what a killed sweep has left half done: a last row without its end, and runs without a row."""
        file = self.path / _ROWS
        with contextlib.suppress(FileNotFoundError):
            written = file.read_bytes()
            if not written.endswith(b"\n"):
                with open(file, "r+b") as rows:
                    rows.truncate(written.rfind(b"\n") + 1)
        done = {row["run"] for row in self.rows()}
        with contextlib.suppress(FileNotFoundError):
            for entry in (self.path / "runs").iterdir():
                read = run_manifest.read(entry)
                up = read is not None and runs.Run(entry.name, entry, read).running
                if entry.name not in done and not up:
                    shutil.rmtree(entry, ignore_errors=True)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the sweep, so that nobody else runs it.  Raises SweepError if somebody does."""
        with open(self.path / "lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SweepError(
                    "another process is running it", where=f"sweep {self.id}", mend="wait for it, or interrupt it"
                ) from None
            yield

    def check_unchanged(self) -> None:
        """Raise SweepError if the file is not what it was when the sweep began."""
        file = Path(self.manifest["file"])
        if _digest(file) != self.manifest["sha256"]:
            raise SweepError(
                f"{file} is not what it was when {self.id} began",
                where=f"sweep {self.id}",
                mend="begin a new sweep, without --resume: the runs of one sweep are of one file",
            )


def create(sweep: Sweep, command: Sequence[str], created: str) -> Kept:
    """Make the folder of a new sweep, with its manifest; `command` is what would run it again."""
    home = folder()
    home.mkdir(parents=True, exist_ok=True)
    while True:
        taken = [int(match[1]) for entry in home.iterdir() if (match := _ID.fullmatch(entry.name))]
        path = home / f"s-{max(taken, default=0) + 1}"
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            break
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "id": path.name,
        "created": created,
        "file": str(sweep.file),
        "folder": str(Path.cwd()),
        "sha256": _digest(sweep.file),
        "command": list(command),
        "axes": sweep.axes(),
        "cells": [dict(cell.values) for cell in sweep.cells],
        "repeat": len(sweep.seeds),
        "seeds": list(sweep.seeds),
        "clock": sweep.clock,
        "sets": list(sweep.sets),
        "clients": sweep.clients,
        "history": sweep.history,
    }
    _replace(path / _MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return Kept(path, manifest)


def every() -> list[Kept]:
    """Return all sweeps whose manifest can be read, the latest last."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for entry in folder().iterdir():
            match = _ID.fullmatch(entry.name)
            if match and (manifest := _read(entry)) is not None:
                found.append((int(match[1]), Kept(entry, manifest)))
    return [kept for _, kept in sorted(found, key=lambda one: one[0])]


def find(prefix: str | None = None) -> Kept:
    """Return the sweep called `prefix`, else the one whose id begins so; without one, the latest.

    Raises NoSuchRun if there is none, or more than one begins so.
    """
    sweeps = every()
    fit = [kept for kept in sweeps if kept.id.startswith(prefix or "")]
    exact = [kept for kept in fit if kept.id == prefix]
    if exact or (prefix and len(fit) == 1):
        return (exact or fit)[0]
    if fit and not prefix:
        return fit[-1]
    if fit:
        listed = ", ".join(kept.id for kept in fit[:8])
        raise NoSuchRun(f"{prefix} begins {len(fit)} sweeps: {listed}", where=str(folder()), mend="write the whole id")
    latest = ", ".join(kept.id for kept in reversed(sweeps[-5:]))
    raise NoSuchRun(
        f"no sweep {prefix}" if prefix else "no sweep",
        where=str(folder()),
        mend=f"the latest are {latest}" if latest else "`tierfed sweep FILE -s PATH=V1,V2` makes one",
    )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((path / _MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    wanted = {"file": str, "sha256": str, "axes": list, "cells": list, "seeds": list, "sets": list, "command": list}
    fits = isinstance(found, dict) and found.get("schema_version") == SCHEMA_VERSION
    return found if fits and all(isinstance(found.get(key), kind) for key, kind in wanted.items()) else None


def _finite(value: Any) -> Any:
    """Return `value`, None for a number that JSON does not have: a loss that diverged."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _digest(file: Path) -> str | None:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None


def _replace(target: Path, text: str) -> None:
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, target)
