"""Beginning a sweep: everything is checked, and then there is a folder with what will run.

    begun = begin(Path("three_tier.yaml"), [axis("CLIENTS.codec.up=none,int8")], repeat=3, command=["tierfed", …])
    begun.kept.id, begun.notes               "s-1", what is odd of the file and yet no error

The command and `tierfed.sweep` begin a sweep in the same way, so what one refuses the other does.  Nothing is written
before all of it is known to be good.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tierfed.errors import SweepError
from tierfed.jobs.sweep import store
from tierfed.jobs.sweep.cells import Sweep, cells, check_count
from tierfed.jobs.sweep.checking import check
from tierfed.jobs.sweep.grammar import Axis
from tierfed.jobs.sweep.variant import Clock


@dataclass(frozen=True, slots=True)
class Begun:
    """A sweep of which nothing has run yet, and notes on its file."""

    kept: store.Kept
    notes: tuple[str, ...]


def begin(
    file: Path,
    axes: Sequence[Axis],
    *,
    command: Sequence[str],
    repeat: int | None = None,
    seeds: Sequence[int] | None = None,
    clock: str | None = None,
    clients: int | None = None,
    history: bool = False,
    sets: Sequence[str] = (),
    on_checking: Callable[[int, int], None] = lambda number, count: None,
) -> Begun:
    """Make the folder of a new sweep; `command` is what would run it again.

    `on_checking` is called for each cell that is checked, with its number and with how many there are.
    Raises SweepError, or TopologyError with every problem of every cell.
    """
    paths = tuple(path for one in axes for path in one.paths)
    every = cells(axes)
    check_count(every, seeds or range(repeat or 1))
    checked = check(file, every, sets, clients, lambda number: on_checking(number, len(every)))
    decided: Clock = "real" if (clock or checked.clock) == "real" else "virtual"
    if decided == "real" and clients is not None:
        raise SweepError("--clients is for simulations; add --clock virtual", where=str(file))
    notes = list(checked.notes)
    if decided == "virtual" and not checked.modelled:
        notes.append(f"{file}: no links and no devices are modelled, so rounds take no virtual time")
    chosen = tuple(seeds or range(checked.seed, checked.seed + (repeat or 1)))
    sweep = Sweep(file.resolve(), paths, every, chosen, decided, tuple(sets), clients, history)
    return Begun(store.create(sweep, command, datetime.now(UTC).isoformat(timespec="seconds")), tuple(notes))


def command_of(
    file: str,
    *,
    axes: Sequence[str],
    sets: Sequence[str] = (),
    listed: str | None = None,
    repeat: int | None = None,
    clock: str | None = None,
    clients: int | None = None,
    seeds: Sequence[int] | None = None,
    history: bool = False,
) -> list[str]:
    """Return the command that begins such a sweep."""
    words = ["tierfed", "sweep", file]
    words += [word for axis in axes for word in ("-s", axis)]
    words += [word for one in sets for word in ("--set", one)]
    given = {"--list": listed, "--repeat": repeat, "--clock": clock, "--clients": clients}
    words += [str(word) for name, value in given.items() if value is not None for word in (name, value)]
    words += ["--seeds", ",".join(map(str, seeds))] if seeds else []
    return words + (["--history"] if history else [])


def at_once(sweep: Sweep, jobs: int | None, missing: int) -> int:
    """Return how many runs there are at once: `jobs`, else one a core, and one alone by a real clock."""
    if jobs is not None or sweep.clock == "real":
        return jobs or 1
    return max(1, min(len(os.sched_getaffinity(0)), missing))
