"""`tierfed logs [NODE or TIER]`: what nodes said, merged by time.

    $ tierfed logs CLIENTS --level warning --tail 20
    $ tierfed logs c-eu-05 -f

Each node writes JSON lines to `logs/NODE.jsonl` in the folder of its run; what its leaves print is
in there too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from tierfed.report.output import Output

if TYPE_CHECKING:
    from tierfed.launch.log_reader import Entry
    from tierfed.launch.runs import Run

_PAUSE = 0.2  # seconds between two looks at files that are followed
_LEVELS = ("debug", "info", "warning", "error", "critical")


@click.command("logs", short_help="Show the logs of nodes.")
@click.argument("name", required=False, metavar="[NODE|TIER]")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run is over, or until Ctrl-C.")
@click.option("--since", metavar="WHEN", help="Only from then on: 90s, 10m, 2h, 1d ago, or a date and time.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines of each node.")
@click.option("--level", type=click.Choice(_LEVELS, case_sensitive=False), help="Only this level and above.")
@click.option("--run", "of", metavar="RUN", help="The run, by the beginning of its id; otherwise the latest.")
def command(
    name: str | None, follow: bool, since: str | None, tail: int | None, level: str | None, of: str | None
) -> None:
    """Show the logs of a node, of the nodes of a tier, or of all nodes, merged by time."""
    from datetime import datetime

    from tierfed.cli.outcome import Told
    from tierfed.errors import TierfedError
    from tierfed.launch import log_reader, runs
    from tierfed.report.failure import INTERRUPTED

    run = runs.find(of)
    chosen = list(run.manifest["nodes"]) if name is None else run.select(name)
    try:
        earliest = log_reader.parse_since(since, datetime.now().astimezone()) if since is not None else None
    except TierfedError as error:
        raise click.UsageError(f"{error.where}: {error.what}; {error.mend}") from error
    output = Output()
    entries = log_reader.read(
        run.path / "logs", chosen, since=earliest, tail=tail, level=level, pause=_until_over(run) if follow else None
    )
    try:
        for entry in entries:
            output.raw(_line(entry, output.colours))
    except KeyboardInterrupt:
        raise Told(INTERRUPTED) from None  # the usual end of following: nothing to be told


def _until_over(run: Run) -> Callable[[], bool]:
    """Return what waits a moment between two looks, and ends them one look after the run is over."""
    import time

    over = False

    def pause() -> bool:
        nonlocal over
        if over:
            return False
        over = not run.running
        time.sleep(_PAUSE)
        return True

    return pause


def _line(entry: Entry, colours: bool) -> str:
    colour = {"ERROR": "\033[31m", "CRITICAL": "\033[31m", "WARNING": "\033[33m"}.get(entry.level, "")
    return f"{colour}{entry}\033[0m\n" if colours and colour else f"{entry}\n"
