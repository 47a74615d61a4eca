"""`tierfed simulate FILE`: the job of a topology on a virtual clock.

The same program, rounds and codecs as `up`, in one process: what it computes is what daemons would compute, and how
long it takes is what the modelled links and devices would take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tierfed.cli import options
from tierfed.report.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from tierfed.jobs.tree import RunTree


@click.command("simulate", short_help="Run a job on a virtual clock, over modelled links.")
@click.argument("file")
@click.option("--clients", type=click.IntRange(min=1), metavar="N", help="Have so many members in the lowest tier.")
@click.option(
    "--history/--no-history", default=None,
    help="Keep when each aggregator heard from whom, for reports.  [default: of up to 500 nodes]",
)  # fmt: skip
@options.dashboard
@options.sets
@options.as_json
def command(
    file: str, clients: int | None, history: bool | None, dashboard: bool, sets: tuple[str, ...], output: Output
) -> None:
    """Run the job in FILE on a virtual clock, over the links and devices that it describes.

    Times are virtual seconds.  The same seed gives the same run, whatever else this machine does.
    """
    from tierfed.backends.simulated import room
    from tierfed.cli.conduct import conduct, of_file
    from tierfed.jobs.simulated import simulate
    from tierfed.topology import load_topology

    topology = load_topology(file, sets, clients=clients)
    for note in topology.notes:
        output.warn(str(note))
    modelled = any(node.link or node.device or node.interface for node in topology.nodes.values())
    if not modelled and not any(fault.link for fault in topology.faults):
        output.warn(f"{file}: no links and no devices are modelled, so rounds take no virtual time")

    if (scarce := room.scarce(topology)) is not None:
        output.warn(f"{file}: {scarce}")

    def start(on_event: Callable[[dict[str, Any]], None]) -> RunTree:
        return simulate(topology, on_event=on_event, histories=history)

    conduct(topology, start, of_file(topology, output), output, leave=False, dashboard=dashboard)
