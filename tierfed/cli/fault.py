"""`tierfed fault RUN NODE --do kill|stop|cont`: something goes wrong on purpose in a running tree.

    $ tierfed fault 7f3 c-us-05 --do stop
    c-us-05 is stopped, and with it c-us-04

The unit of failure is the process: the nodes that share one share its fate.
"""

from __future__ import annotations

import click

from tierfed.cli import options
from tierfed.report.output import Output

_TOLD = {"kill": "is killed", "stop": "is stopped", "cont": "goes on"}
_SHOWN = 8  # of those in one process


@click.command("fault", short_help="Kill or stop a node of a running tree, or let it go on.")
@click.argument("run")
@click.argument("node")
@click.option("--do", type=click.Choice(list(_TOLD)), required=True, help="What to do to the node's process.")
@options.as_json
def command(run: str, node: str, do: str, output: Output) -> None:
    """Kill or stop the process of NODE in RUN, which is up, or let a stopped one go on.

    RUN is the id of a run, or the beginning of one.
    """
    from tierfed.launch import runs
    from tierfed.launch.harm import harm
    from tierfed.report.output import SCHEMA_VERSION

    found = runs.find(run, running=True)
    hit = harm(found, node, do)
    others = [name for name in hit if name != node]
    along = ", ".join(others[:_SHOWN]) + (", …" if len(others) > _SHOWN else "")
    output.say(f"{node} {_TOLD[do]}" + (f", and with it {along}" if others else ""))
    output.document({"schema_version": SCHEMA_VERSION, "status": "ok", "run": found.id, "do": do, "nodes": hit})
