"""`tierfed run [PROGRAM]`: a program on a tree that is up, or on one of its own.

    tierfed run program:train -p rounds=5           on the tree that is up
    tierfed run -t three_tier.yaml -p rounds=5      the file's job, on a tree of its own
    tierfed run --resume 7f3                        goes on after that run's last checkpoint

What is not said is taken from where the tree comes from: the program and its parameters from the
file's job, or from the run that is resumed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tierfed.cli import options
from tierfed.report.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from tierfed.jobs.tree import RunTree
    from tierfed.launch.runs import Run
    from tierfed.topology import Topology


@click.command("run", short_help="Run a program on a tree.")
@click.argument("program", required=False)
@click.option("-t", "--topology", "file", metavar="FILE", help="Bring up the tree in FILE for it, and take it down.")
@click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter.  May be repeated.")
@click.option("--resume", metavar="RUN", help="Go on after the last checkpoint of that run.")
@click.option("--run", "on", metavar="RUN", help="The tree to use, by the beginning of its run's id.")
@options.dashboard
@options.sets
@options.wait_timeout
@options.as_json
def command(
    program: str | None,
    file: str | None,
    params: tuple[str, ...],
    resume: str | None,
    on: str | None,
    dashboard: bool,
    sets: tuple[str, ...],
    wait_timeout: float,
    output: Output,
) -> None:
    """Run PROGRAM, as module:function, on the tree that is up.

    With -t on a tree of its own; with --resume, and nothing else, on one like that run's.  Without
    PROGRAM, the job of the topology or of the run that is resumed.
    """
    if file is not None and on is not None:
        raise click.UsageError("-t brings a tree up and --run uses one that is up; give one of them")
    if sets and file is None:
        raise click.UsageError("--set changes a file; give one with -t")
    from tierfed.cli.conduct import conduct, heed, work
    from tierfed.jobs import attach, bring_up
    from tierfed.jobs.checkpoint import of_run
    from tierfed.launch import runs
    from tierfed.node.saving import CHECKPOINTS, folder_of

    given = _params(params)
    before = runs.find(resume) if resume is not None else None
    kept = None
    if before is not None:
        number, _ = of_run(before.path)  # raises, before anything starts, if there is no checkpoint
        kept = folder_of(before.path / CHECKPOINTS, number)
    running = None if file is not None or (before is not None and on is None) else runs.find(on, running=True)
    topology = _topology(file, sets, running or before)
    if file is not None:
        heed(topology, output)
    spec, defaults = _job(topology, program, before)
    what = work(spec, {**defaults, **given}, topology, output, before.path if before is not None else None)

    def start(on_event: Callable[[dict[str, Any]], None]) -> RunTree:
        if running is not None:
            return attach(running, on_event=on_event)
        return bring_up(topology, wait_timeout=wait_timeout, on_event=on_event, resumed=kept)

    conduct(topology, start, what, output, leave=running is not None, dashboard=dashboard)


def _topology(file: str | None, sets: tuple[str, ...], of: Run | None) -> Topology:
    """Return the topology in `file`, or that of a run, with its programs where they were."""
    from tierfed.jobs.up import RESOLVED
    from tierfed.topology import load_topology

    if file is not None:
        return load_topology(file, sets)
    assert of is not None
    topology = load_topology(of.path / RESOLVED)
    source = of.manifest.get("info", {}).get("source")
    topology.source = Path(source) if isinstance(source, str) else None
    return topology


def _job(topology: Topology, program: str | None, before: Run | None) -> tuple[str, dict[str, Any]]:
    """Return the program to run, and the parameters that it has if no others are given.

    Raises JobError if nothing says which program.
    """
    from tierfed.cli.conduct import remembered
    from tierfed.errors import JobError

    known = remembered(before.path) if before is not None else None
    if known is None and topology.job is not None:
        known = topology.job.program, dict(topology.job.params)
    if program is None:
        if known is None:
            raise JobError("no program", where="run", mend="name one, as in: tierfed run program:train")
        return known
    return program, known[1] if known is not None and known[0] == program else {}


def _params(texts: tuple[str, ...]) -> dict[str, Any]:
    """Return the parameters that `texts` say, their values read as YAML.  Raises JobError for what says none."""
    from tierfed.errors import JobError
    from tierfed.topology.positions import read_text
    from tierfed.topology.problems import Problems

    given: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        problems = Problems()
        data = read_text(value, f"-p {text}", problems).data if value.strip() else None
        if not equals or not name.strip().isidentifier() or problems.found or data is None:
            why = problems.found[0].what if problems.found else "expected name=value"
            raise JobError(why, where=f"-p {text}", mend="write a parameter of the job, such as -p rounds=5")
        given[name.strip()] = data
    return given
