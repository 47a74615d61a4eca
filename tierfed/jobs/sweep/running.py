"""Running: the runs of a sweep that are not done yet, each written down when it is over.

    missing = todo(kept)              what has no row, or a failed one
    run(kept, jobs=2, watching)       runs those

A run that fails is a row that says why, and the others go on.  Whether a sweep is new or resumed is the same here: a
new one has everything to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from tierfed.jobs.sweep.cells import Cell
from tierfed.jobs.sweep.results import Row, row
from tierfed.jobs.sweep.store import Kept
from tierfed.jobs.sweep.variant import Outcome, Variant, run_all


class RunAll(Protocol):
    """What runs variants: `variant.run_all`, or what stands for it."""

    def __call__(
        self,
        variants: Iterable[Variant],
        home: Path,
        *,
        jobs: int,
        timeout: float | None,
        on_start: Callable[[int, Variant], None],
        on_done: Callable[[int, Outcome], None],
    ) -> list[Outcome]:
        """See `variant.run_all`."""


class Watching(Protocol):
    """Whoever is told how a sweep goes on."""

    def started(self, cell: Cell, repeat: int) -> None:
        """A run has begun."""

    def done(self, cell: Cell, row: Row, seconds: float) -> None:
        """A run is over, and took so many seconds here; its row is on the disk."""


def todo(kept: Kept) -> list[tuple[Cell, int]]:
    """Return the cells and repetitions that are to be run: those without a row, and those that failed."""
    good = {(one["cell"], one["repeat"]) for one in kept.rows() if one["status"] == "ok"}
    return [(cell, repeat) for cell, repeat in kept.sweep().runs() if (cell.number, repeat) not in good]


def run(
    kept: Kept,
    watching: Watching,
    *,
    jobs: int,
    timeout: float | None = None,
    runner: RunAll | None = None,
) -> list[Row]:
    """Run what is to be run, at most `jobs` at once, by `runner` (else `run_all`), and return all rows of the sweep."""
    sweep = kept.sweep()
    with kept.held():
        kept.mend()
        kept.write_tables()
        missing = todo(kept)

        def started(at: int, variant: Variant) -> None:
            watching.started(*missing[at])

        def done(at: int, outcome: Outcome) -> None:
            cell, repeat = missing[at]
            written = row(cell, repeat, sweep.seeds[repeat - 1], outcome)
            kept.add(written)
            watching.done(cell, written, outcome.seconds)

        (runner or run_all)(
            (sweep.variant(cell, repeat) for cell, repeat in missing),
            kept.path,
            jobs=jobs,
            timeout=timeout,
            on_start=started,
            on_done=done,
        )
    return kept.rows()
