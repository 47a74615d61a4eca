"""`tierfed down [RUN]`: every process of a tree ended, whoever brought it up.

    $ tierfed down
    run 7f3a90c2 is down; 8 processes ended

Processes are ended by recorded pid and start time: see `launch.runs`.
"""

from __future__ import annotations

import click

from tierfed.cli import options
from tierfed.report.output import Output


@click.command("down", short_help="Take a tree down.")
@click.argument("run", required=False)
@click.option("--all", "every", is_flag=True, help="Take all trees down, and what was left of dead ones.")
@options.as_json
def command(run: str | None, every: bool, output: Output) -> None:
    """Take down the tree that is up, or that of RUN."""
    if run is not None and every:
        raise click.UsageError("--all takes every tree down; leave RUN out")
    from tierfed.launch import runs
    from tierfed.report.output import SCHEMA_VERSION

    if run is not None:
        chosen = [runs.find(run)]
    else:
        chosen = [one for one in runs.every() if one.running or one.processes()]
        if not chosen and not every:
            runs.find(None, running=True)  # raises, and says what there is
        if len(chosen) > 1 and not every:
            ids = ", ".join(one.id for one in chosen)
            raise click.UsageError(f"{len(chosen)} runs are up: {ids}; name one, or use --all")
    told = []
    for one in chosen:
        ended = runs.end(one)
        count = f"{len(ended)} process{'' if len(ended) == 1 else 'es'} ended"
        output.say(f"run {one.id} is down; {count}" if ended else f"run {one.id} was down already")
        told.append({"run": one.id, "ended": ended})
    if not chosen:
        output.say("nothing is up")
    output.document({"schema_version": SCHEMA_VERSION, "status": "ok", "runs": told})
