"""`tierfed link show|set|clear RUN …`: what the links of a running tree are modelled as, and changes of that.

    $ tierfed link set 7f3 c-us-05 delay=200ms loss=2%
    c-us-05: delay=200ms loss=2%
    $ tierfed link set 7f3 "c-eu-*" none
    c-eu-[00-15] ×16: modelled no more
    $ tierfed link show 7f3 CLIENTS
    TIER     LINK              RATE      DELAY    LOSS  AT THE START
    CLIENTS  c-us-[00-04] ×5   4/20mbit  30±10ms  1%
    CLIENTS  c-us-05           4/20mbit  200±10ms 2%    delay 30ms, loss 1%

Names and units are those of `link:` in a topology; what is not named stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tierfed.cli import options
from tierfed.report.output import Output

if TYPE_CHECKING:
    from tierfed.launch.runs import Run

_WHO = "NODE|TIER|PATTERN"


@click.group("link", short_help="Show and change the links of a running tree.")
def command() -> None:
    """Show and change what the links of a running tree are modelled as.

    RUN is the id of a run, or the beginning of one; a node's link is that to its parent.
    """


@command.command("show", short_help="Show the figures that are in force.")
@click.argument("run")
@click.argument("who", required=False, metavar=f"[{_WHO}]")
@options.as_json
def show(run: str, who: str | None, output: Output) -> None:
    """Show the modelled figures of links as they are now, and what they were at the start where that is different.

    Siblings that are alike share a line.
    """
    from tierfed.launch import runs
    from tierfed.launch.chosen import chosen
    from tierfed.launch.link_doors import LinkDoors
    from tierfed.report import links
    from tierfed.report.output import SCHEMA_VERSION

    found = runs.find(run, running=True)
    children = chosen(found, who)
    rows = links.rows(found, LinkDoors.of(found).ask(children, {"do": "show"}))
    output.say(links.table_of(rows, output.width))
    output.document({"schema_version": SCHEMA_VERSION, "status": "ok", "run": found.id, "links": rows})


@command.command("set", short_help="Change figures of links, from now on.")
@click.argument("run")
@click.argument("who", metavar=_WHO)
@click.argument("figures", nargs=-1, required=True, metavar="NAME=VALUE…|none")
@options.as_json
def set_(run: str, who: str, figures: tuple[str, ...], output: Output) -> None:
    """Change figures of links from now on: rate, rate.up, rate.down, delay, jitter, distribution, correlation, loss.

    What is not named stays as it is; what is under way keeps its time.  `none` alone: links take no time of their own;
    before others: nothing stays.
    """
    from tierfed.launch import runs
    from tierfed.topology import link_words
    from tierfed.topology.links.figures import plain

    if figures == ("none",):
        _change(runs.find(run, running=True), who, {"do": "none"}, "none", output)
        return
    afresh = figures[0] == "none"
    change = link_words.read(figures[afresh:])
    request: dict[str, object] = {"do": "set", "figures": plain(change.on(None)) if afresh else change.figures}
    _change(runs.find(run, running=True), who, request, change.written, output)


@command.command("clear", short_help="Undo what was changed of links.")
@click.argument("run")
@click.argument("who", metavar=_WHO)
@options.as_json
def clear(run: str, who: str, output: Output) -> None:
    """Let links be again what the topology says of them."""
    from tierfed.launch import runs

    _change(runs.find(run, running=True), who, {"do": "clear"}, "clear", output)


def _change(found: Run, who: str, request: dict[str, object], written: dict[str, str] | str, output: Output) -> None:
    """Do `request` to the links of `who`, put it on record, and say it."""
    from tierfed.launch import changes
    from tierfed.launch.chosen import chosen
    from tierfed.launch.link_doors import LinkDoors
    from tierfed.report import links
    from tierfed.report.output import SCHEMA_VERSION

    children, doors = chosen(found, who), LinkDoors.of(found)
    doors.ask({parent: names[:1] for parent, names in children.items()}, {"do": "show"})  # all are there
    after: dict[str, dict[str, Any]] = {}
    try:
        for parent, names in children.items():
            after |= doors.ask({parent: names}, request)
    finally:  # what is done is on record, also if the rest failed
        if after:
            changes.note(found.path, "link", nodes=list(after), set=written)
    output.say(links.said(list(after), written))
    rows = links.rows(found, after)
    output.document({"schema_version": SCHEMA_VERSION, "status": "ok", "run": found.id, "set": written, "links": rows})
