"""`tierfed up FILE`: a tree brought up, its job run, the tree taken down.

| | the job | the tree |
|---|---|---|
| `up FILE` | runs | goes down with the command |
| `up --keep FILE` | runs | stays |
| `up -d FILE` | | stays; returns when it is ready |
| `up --no-job FILE` | | until Ctrl-C |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tierfed.cli import options
from tierfed.report.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from tierfed.jobs.tree import RunTree
    from tierfed.topology import Topology

_HOUR = 3600.0  # seconds


@click.command("up", short_help="Bring a tree up, run its job, and take it down.")
@click.argument("file")
@click.option("-d", "--detach", is_flag=True, help="Return when the tree is ready; run no job.")
@click.option("--keep", is_flag=True, help="Run the job, and leave the tree up.")
@click.option("--no-job", is_flag=True, help="Run no job, and stay until Ctrl-C.")
@click.option("--trace", is_flag=True, help="Keep what nodes spend their time on, for `tierfed trace`.")
@options.dashboard
@options.sets
@options.wait_timeout
@options.as_json
def command(
    file: str,
    detach: bool,
    keep: bool,
    no_job: bool,
    trace: bool,
    dashboard: bool,
    sets: tuple[str, ...],
    wait_timeout: float,
    output: Output,
) -> None:
    """Bring up the tree in FILE, run its job, and take the tree down.

    The exit code is that of the job.  Ctrl-C takes the tree down.
    """
    chosen = [name for name, given in (("-d", detach), ("--keep", keep), ("--no-job", no_job)) if given]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)} exclude each other")
    if dashboard and (detach or no_job):
        raise click.UsageError(f"--dashboard shows a job, and {chosen[0]} runs none; give it to tierfed run")
    from tierfed.cli.conduct import conduct, heed, of_file
    from tierfed.errors import TopologyError
    from tierfed.jobs import bring_up
    from tierfed.topology import load_topology

    topology = load_topology(file, sets)
    heed(topology, output)

    if topology.faults and (detach or no_job):
        raise TopologyError(
            "faults happen while the job of the file runs, and this runs none",
            where=f"{file}: faults",
            mend=f"leave {chosen[0]} out, or add --set 'faults=[]'",
        )

    def start(on_event: Callable[[dict[str, Any]], None]) -> RunTree:
        return bring_up(topology, keep=detach, wait_timeout=wait_timeout, on_event=on_event, trace=trace)

    if not detach and not no_job:
        conduct(topology, start, of_file(topology, output), output, leave=keep, dashboard=dashboard)
        return
    tree = _ready(topology, start, output, stay=no_job)
    output.document(tree.summary("ok"))


def _ready(
    topology: Topology, start: Callable[[Callable[[dict[str, Any]], None]], RunTree], output: Output, *, stay: bool
) -> RunTree:
    """Bring the tree up and leave it; with `stay`, wait here until it is interrupted or ends."""
    from tierfed.cli.interruption import interruptible
    from tierfed.errors import RoundFailed
    from tierfed.report import failure
    from tierfed.report.view import view

    with interruptible(output):
        watching = view(topology, output)
        with watching:
            tree = start(watching.happened)
        if not stay:
            tree.close(down=False)
            output.say(f"run {tree.run_id} is up: tierfed run PROGRAM, tierfed ps, tierfed down {tree.run_id}")
            return tree
        try:
            output.say(f"run {tree.run_id} is up until Ctrl-C; its folder is {failure.shown(tree.run_dir)}")
            assert tree.deployment is not None
            while not tree.deployment.supervisor.wait_gone(_HOUR):
                pass
        except KeyboardInterrupt:
            tree.close(down=True)
            output.document(tree.summary("interrupted", failure.interrupted()))
            raise
        tree.close(down=True)
    raise RoundFailed(
        f"run {tree.run_id} has ended: its supervisor is gone",
        where="up",
        mend=f"read {failure.shown(tree.run_dir / 'supervisor.jsonl')}",
    )
