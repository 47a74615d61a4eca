"""`tierfed trace [RUN]`: what the nodes of a run spent their time on, as a file for Perfetto.

$ tierfed up --trace topologies/three_tier.yaml
$ tierfed trace --out trace.json           open it in ui.perfetto.dev or chrome://tracing
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tierfed.cli import options
from tierfed.report.output import Output


@click.command("trace", short_help="Write what the nodes of a run spent their time on, for Perfetto.")
@click.argument("run", required=False)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Where to; `-` is stdout.",
    default=Path("trace.json"), show_default=True,
)  # fmt: skip
@options.as_json
def command(run: str | None, out: Path, output: Output) -> None:
    """Write the trace of RUN, by the beginning of its id, or of the latest run.

    A row is a node, a box what it did, an arrow a message.  The tree must have been brought up with --trace.
    """
    from collections import Counter

    from tierfed.launch import runs
    from tierfed.report import chrome_trace, failure

    found = runs.find(run)
    events = chrome_trace.events_of(found.path, found.manifest["nodes"])
    if str(out) == "-":
        output.raw(chrome_trace.text(events))
        return
    chrome_trace.write(events, out)
    counts: Counter[str] = Counter(event["ph"] for event in events)
    told: dict[str, Any] = {"run": found.id, "file": str(out), "spans": counts["X"], "messages": counts["s"]}
    output.say(
        f"{failure.shown(out.absolute())}: {counts['X']} spans and {counts['s']} messages of run {found.id}; "
        "open it in ui.perfetto.dev"
    )
    output.document(told)
