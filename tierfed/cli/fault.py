"""`tierfed fault RUN NODE --do kill|stop|cont|partition|heal`: something goes wrong on purpose in a running tree.

    $ tierfed fault 7f3 c-us-05 --do stop
    c-us-05 is stopped, and with it c-us-04
    $ tierfed fault 7f3 edge-eu --do partition
    edge-eu is cut off from server

The unit of failure is the process: the nodes that share one share its fate.  A partition is of one node's link to its
parent, and of nothing else.
"""

from __future__ import annotations

import click

from tierfed.cli import options
from tierfed.report.output import Output

_TOLD = {"kill": "is killed", "stop": "is stopped", "cont": "goes on"}
_LINKS = {"partition": "{} is cut off from {}", "heal": "{} hears {} again"}
_MEANS = {"cont": ("stop", True), "heal": ("partition", True)}  # what they end
_SHOWN = 8  # of those in one process


@click.command("fault", short_help="Kill, stop or cut off a node of a running tree, or let it go on.")
@click.argument("run")
@click.argument("node")
@click.option("--do", type=click.Choice([*_TOLD, *_LINKS]), required=True, help="What to do to the node.")
@options.as_json
def command(run: str, node: str, do: str, output: Output) -> None:
    """Kill or stop the process of NODE in RUN, which is up, or let a stopped one go on.

    With partition nothing arrives over its link to its parent, either way; heal ends that.

    RUN is the id of a run, or the beginning of one.
    """
    from tierfed.launch import changes, runs
    from tierfed.launch.harm import cut, harm
    from tierfed.report.output import SCHEMA_VERSION

    found = runs.find(run, running=True)
    if do in _LINKS:
        hit = [node]
        output.say(_LINKS[do].format(node, cut(found, node, do)))
    else:
        hit = harm(found, node, do)
        others = [name for name in hit if name != node]
        along = ", ".join(others[:_SHOWN]) + (", …" if len(others) > _SHOWN else "")
        output.say(f"{node} {_TOLD[do]}" + (f", and with it {along}" if others else ""))
    what, over = _MEANS.get(do, (do, False))
    changes.note(found.path, "fault", node=node, do=what, over=over)
    output.document({"schema_version": SCHEMA_VERSION, "status": "ok", "run": found.id, "do": do, "nodes": hit})
