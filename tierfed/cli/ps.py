"""`tierfed ps [RUN]`: what is running.

    $ tierfed ps
    run 7f3a90c2 · three-tier · ready · 35/35 nodes ready · since 2 min
    TIER              NODE              STATE  PID        LISTENS
    SERVER            server            ready  4711       127.0.0.1:40001
    …

Without RUN, the runs that are up; with it, that run, up or not; with `--all`, a line for each run.
"""

from __future__ import annotations

import click

from tierfed.cli import options
from tierfed.report.output import Output


@click.command("ps", short_help="List what is running.")
@click.argument("run", required=False)
@click.option("-a", "--all", "every", is_flag=True, help="List all runs, also those that are over.")
@options.as_json
def command(run: str | None, every: bool, output: Output) -> None:
    """List the nodes of the trees that are up, or of RUN; siblings in one state share a line.

    RUN is the id of a run, or the beginning of one.
    """
    if run is not None and every:
        raise click.UsageError("--all lists every run; leave RUN out")
    from datetime import UTC, datetime

    from tierfed.launch import runs
    from tierfed.report import nodes
    from tierfed.report.failure import shown
    from tierfed.report.output import SCHEMA_VERSION

    now = datetime.now(UTC)
    known = runs.every() if run is None else [runs.find(run)]
    listed = known if every or run is not None else [one for one in known if one.running]
    rows = {one.id: nodes.nodes(one) for one in listed}
    if not listed:
        over = f"; {len(known)} earlier: tierfed ps --all" if known else ""
        output.say(f"nothing is up in {shown(runs.folder())}{over}")
    elif every:
        output.say(nodes.runs_table(listed, now, output.width))
    else:
        tables = [
            f"{nodes.head(one, rows[one.id], now)}\n{nodes.table_of(rows[one.id], output.width)}" for one in listed
        ]
        output.say("\n\n".join(tables))
    documents = [nodes.document(one, rows[one.id]) for one in listed]
    output.document({"schema_version": SCHEMA_VERSION, "runs": documents})
