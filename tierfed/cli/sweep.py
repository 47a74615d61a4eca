"""`tierfed sweep FILE -s PATH=V1,V2`: a grid of runs.

    $ tierfed sweep three_tier.yaml -s 'CLIENTS.codec.up=none,int8,eden(bits=2)' --repeat 3 --clock virtual
    $ tierfed sweep --resume s-2                   what was left to do, or failed

Everything is checked before anything runs; a run that fails is told, and the others go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from tierfed.cli import options
from tierfed.report.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tierfed.jobs.sweep.cells import Sweep
    from tierfed.jobs.sweep.grammar import Axis
    from tierfed.jobs.sweep.results import Row
    from tierfed.jobs.sweep.store import Kept

_FOR_SIMULATIONS = "--clients is for simulations; add --clock virtual"
_LATEST = ""
_IN_PART = 6  # exit code
_REASONS = 5  # told at the end, and cells of each
_SOON = 1.0  # seconds after which it is told that cells are being checked


def _seeds(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Return the seeds that are written with commas between them."""
    if value is None:
        return None
    words = [word.strip() for word in value.split(",")]
    if not all(word.isdecimal() and int(word) < 2**63 for word in words) or len(set(words)) < len(words):
        raise click.BadParameter(f"{value} is no list of different whole numbers, such as 1,2,3", ctx, param)
    return tuple(map(int, words))


def _timeout(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    return None if value is None else options.seconds(ctx, param, value)


@click.command("sweep", short_help="Run a grid of variants of a topology.")
@click.argument("file", required=False)
@click.option("-s", "axes", multiple=True, metavar="PATH=V1,V2,…", help="Vary PATH.  Several -s make a grid.")
@click.option("--list", "listed", metavar="FILE.csv", help="Cells: the first line has paths, each other a cell.")
@click.option(
    "--repeat", type=click.IntRange(1, 10_000), metavar="R", help="Run each cell with R seeds, from the file's on."
)
@click.option("--seeds", callback=_seeds, metavar="1,2,3", help="Run each cell with these seeds.")
@click.option(
    "--clock", type=click.Choice(["virtual", "real"]), help="Simulate, or bring trees up.  [default: the file's]"
)
@click.option("--clients", type=click.IntRange(min=1), metavar="N", help="Have so many members in the lowest tier.")
@click.option("--history", is_flag=True, help="Keep what happened at each aggregator of a simulation.")
@click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="Runs at once.  [default: one a core; 1 by a real clock]"
)
@click.option("--timeout", callback=_timeout, metavar="DURATION", help="End a run that takes longer; it has failed.")
@click.option(
    "--resume",
    is_flag=False,
    flag_value=_LATEST,
    metavar="[SWEEP]",
    help="Run what a sweep has not run, or what failed.  Without SWEEP, of the latest.",
)
@click.option(
    "-o", "--output", "form", type=click.Choice(["parquet"]), help="Write results.parquet too, beside CSV and JSON."
)
@options.sets
@options.as_json
def command(
    file: str | None,
    axes: tuple[str, ...],
    listed: str | None,
    repeat: int | None,
    seeds: tuple[int, ...] | None,
    clock: str | None,
    clients: int | None,
    history: bool,
    jobs: int | None,
    timeout: float | None,
    resume: str | None,
    form: str | None,
    sets: tuple[str, ...],
    output: Output,
) -> None:
    """Run the job in FILE with each combination of values, and write what came of each run to a table.

    PATH is any path of the file, as --set has it: CLIENTS.codec.up, job.params.lr.  Commas within brackets belong to a
    value; A,B=[1,2],[3,4] moves paths together; 1..4, 0..1+5 and 1..100*3 are ranges.
    """
    asked = Asked(file, axes, listed, repeat, seeds, clock, clients, history, sets)
    if repeat is not None and seeds is not None:
        raise click.UsageError("--repeat and --seeds both say which seeds; leave one out")
    if clock == "real" and clients is not None:
        raise click.UsageError(_FOR_SIMULATIONS)
    from tierfed.jobs.sweep import parquet, store

    if form == "parquet":
        parquet.require()
    if resume is not None:
        kept = store.find(resume or None)
        kept.check_unchanged()
        _agree(kept, asked)
    elif file is None:
        raise click.UsageError("missing FILE: tierfed sweep FILE -s PATH=V1,V2, or tierfed sweep --resume SWEEP")
    else:
        kept = _new(file, asked, output)
    _conduct(kept, jobs, timeout, form, output)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says of a sweep; None, or nothing, where it says nothing."""

    file: str | None
    axes: tuple[str, ...]
    listed: str | None
    repeat: int | None
    seeds: tuple[int, ...] | None
    clock: str | None
    clients: int | None
    history: bool
    sets: tuple[str, ...]

    def words(self) -> list[str]:
        """Return the command that asks for it."""
        from tierfed.jobs.sweep.beginning import command_of

        return command_of(
            str(self.file),
            axes=self.axes,
            sets=self.sets,
            listed=self.listed,
            repeat=self.repeat,
            clock=self.clock,
            clients=self.clients,
            seeds=self.seeds,
            history=self.history,
        )

    def read_axes(self) -> list[Axis]:
        """Return what is varied.  Raises SweepError."""
        from pathlib import Path

        from tierfed.jobs.sweep.cells import read_list
        from tierfed.jobs.sweep.grammar import axis

        return ([read_list(Path(self.listed))] if self.listed is not None else []) + [axis(text) for text in self.axes]


def _new(file: str, asked: Asked, output: Output) -> Kept:
    """Return a new sweep, checked as a whole.  Raises SweepError or TopologyError with all that is wrong."""
    import time
    from pathlib import Path

    from tierfed.jobs.sweep.beginning import begin

    axes = asked.read_axes()
    if not axes and asked.repeat is None and asked.seeds is None:
        raise click.UsageError("nothing is varied; add -s PATH=V1,V2, --list FILE.csv, --repeat R or --seeds 1,2,3")
    since, said = time.monotonic(), False

    def on_checking(number: int, count: int) -> None:
        nonlocal said
        if not said and time.monotonic() - since > _SOON:
            said = True
            output.say(f"checking {count} cells")

    begun = begin(
        Path(file),
        axes,
        command=asked.words(),
        repeat=asked.repeat,
        seeds=asked.seeds,
        clock=asked.clock,
        clients=asked.clients,
        history=asked.history,
        sets=asked.sets,
        on_checking=on_checking,
    )
    for note in begun.notes:
        output.warn(note)
    return begun.kept


def _agree(kept: Kept, asked: Asked) -> None:
    """Raise SweepError if the command line says another thing than the sweep that it resumes."""
    from pathlib import Path

    from tierfed.errors import SweepError

    sweep = kept.sweep()
    differ = []
    if asked.file is not None and Path(asked.file).resolve() != sweep.file:
        differ.append(f"FILE is {sweep.file} there")
    if asked.axes or asked.listed is not None:
        from tierfed.jobs.sweep.cells import cells as cells_of

        cells = [dict(cell.values) for cell in cells_of(asked.read_axes())]
        if cells != [dict(cell.values) for cell in sweep.cells]:
            differ.append("-s and --list make other cells there")
    if asked.sets and asked.sets != sweep.sets:
        differ.append(f"--set is {' '.join(sweep.sets) or 'not given'} there")
    if asked.repeat is not None and asked.repeat != len(sweep.seeds):
        differ.append(f"--repeat is {len(sweep.seeds)} there")
    if asked.seeds is not None and asked.seeds != sweep.seeds:
        differ.append(f"--seeds is {','.join(map(str, sweep.seeds))} there")
    if asked.clock is not None and asked.clock != sweep.clock:
        differ.append(f"--clock is {sweep.clock} there")
    if asked.clients is not None and asked.clients != sweep.clients:
        differ.append(f"--clients is {sweep.clients or 'not given'} there")
    if asked.history and not sweep.history:
        differ.append("--history is not given there")
    if differ:
        raise SweepError(
            "; ".join(differ),
            where=f"sweep {kept.id}",
            mend=f"tierfed sweep --resume {kept.id} goes on with it as it is; without --resume a new one begins",
        )


def _conduct(kept: Kept, jobs: int | None, timeout: float | None, form: str | None, output: Output) -> None:
    """Run what is to be run, and tell everybody what came of it.  Raises Told unless all went well."""
    from tierfed.cli.interruption import interruptible
    from tierfed.cli.outcome import Told
    from tierfed.errors import TierfedError
    from tierfed.jobs.sweep import parquet, running
    from tierfed.report import failure
    from tierfed.report.sweep_table import document
    from tierfed.report.sweep_view import counted, sweep_view

    sweep = kept.sweep()
    missing = len(running.todo(kept))
    at_once = _at_once(sweep, jobs, missing, output)
    known = len(sweep.cells) * len(sweep.seeds) - missing
    grid = f"{counted(len(sweep.cells), 'cell')} × {counted(len(sweep.seeds), 'seed')}"
    runs = f"{counted(known, 'run')} done before, {missing} to do" if known else counted(missing, "run")
    output.say(f"sweep {kept.id} · {grid} · {sweep.clock} clock · {runs}")
    with interruptible(output, "the runs are being ended; a moment"):
        view = sweep_view(sweep, kept.rows(), at_once, output)
        try:
            with view:
                running.run(kept, view, jobs=at_once, timeout=timeout)
            interrupted = False
        except KeyboardInterrupt:
            interrupted = True
    rows = kept.rows()
    failed = sum(row["status"] != "ok" for row in rows)
    if form == "parquet":
        parquet.write(kept)
    status, code = "ok", 0
    if interrupted:
        status, code = "interrupted", failure.INTERRUPTED
    elif failed:
        status, code = ("failed", failure.RUN_FAILED) if failed == len(rows) else ("partial", _IN_PART)
    for line in _told(kept, rows, interrupted, form, output):
        output.say(line)
    error = TierfedError("interrupted", mend=f"go on: tierfed sweep --resume {kept.id}") if interrupted else None
    output.document(document(kept, rows, status, failure.document(error)))
    if code:
        raise Told(code)


def _at_once(sweep: Sweep, jobs: int | None, missing: int, output: Output) -> int:
    """Return how many runs there are at once."""
    from tierfed.jobs.sweep.beginning import at_once

    if sweep.clock == "real" and jobs is None and missing > 1:
        output.warn("by a real clock runs are made one after the other; --jobs 2 makes two at once")
    elif sweep.clock == "real" and jobs is not None and jobs > 1:
        output.warn(f"{jobs} trees share this machine, so each is slower than alone")
    return at_once(sweep, jobs, missing)


def _told(kept: Kept, rows: Sequence[Row], interrupted: bool, form: str | None, output: Output) -> list[str]:
    """Return what people are told at the end: the table, what failed, and where it all is."""
    from tierfed.report.failure import shown
    from tierfed.report.sweep_table import told
    from tierfed.report.sweep_view import counted, reasons

    sweep = kept.sweep()
    lines = [told(kept, rows, output.width)] if rows else []
    why = reasons(rows)
    failed = sum(map(len, why.values()))
    for text, which in list(why.items())[:_REASONS]:
        some = ", ".join(f"{row['cell']} (seed {row['seed']})" for row in which[:_REASONS])
        lines.append(f"✗ cell {some}{', …' if len(which) > _REASONS else ''}: {text}")
    left = len(sweep.cells) * len(sweep.seeds) - len(rows)
    words = ["✗ interrupted"] if interrupted else []
    words += [f"{'' if interrupted else '✗ ' if failed else '✓ '}{counted(len(rows) - failed, 'run')} done"]
    words += [f"{failed} failed"] if failed else []
    words += [f"{left} to do"] if left else []
    lines.append(" · ".join(words))
    names = "results.csv, results.json" + (", results.parquet" if form == "parquet" else "")
    lines.append(f"  {shown(kept.path)}: {names}")
    if failed or left:
        lines.append(f"  go on: tierfed sweep --resume {kept.id}")
    return lines
