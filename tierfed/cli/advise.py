"""`tierfed advise FILE --target accuracy=0.8 --minimise time`: which tiers, edge rounds and codecs get there cheapest.

    $ tierfed advise topologies/phones_lte.yaml --target accuracy=0.75 --minimise bytes
    $ tierfed advise FILE --target accuracy=0.8 --minimise time -s 'EDGE_AGGREGATORS.count=0,2,5'

Candidates are simulated under the links and devices of the file, few rounds of many, more of a few.  What is advised is
written as a topology file beside FILE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tierfed.cli import options
from tierfed.report.output import Output

if TYPE_CHECKING:
    from pathlib import Path

    from tierfed.jobs.advise.search import Advice, Question
    from tierfed.jobs.advise.space import Space
    from tierfed.jobs.sweep.grammar import Axis
    from tierfed.topology import Topology

_MOST_ROUNDS = 10_000


@click.command("advise", short_help="Search what reaches a target at least time, bytes or energy.")
@click.argument("file")
@click.option("--target", required=True, metavar="METRIC=VALUE", help="accuracy=0.8 (at least), or loss<=0.6.")
@click.option(
    "--minimise",
    type=click.Choice(["time", "bytes", "energy"]),
    required=True,
    help="Virtual seconds, bytes over all links, or joules.",
)
@click.option(
    "-s",
    "axes",
    multiple=True,
    metavar="PATH=V1,V2,…",
    help="What to vary, as for sweep; TIER.count=0 is without that tier.  [default: codecs, counts, edge rounds]",
)
@click.option(
    "--candidates", type=click.IntRange(2, 10_000), default=36, show_default=True, help="Try so many at most."
)
@click.option(
    "--rounds",
    type=click.IntRange(3, _MOST_ROUNDS),
    metavar="R",
    help="So many for each at most.  [default: the job's]",
)
@click.option(
    "--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Run the cheapest with so many seeds."
)
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Runs at once.  [default: one a core]")
@click.option("-o", "--out", metavar="FILE", help="Where to write the advised topology.  [default: beside FILE]")
@options.sets
@options.as_json
def command(
    file: str,
    target: str,
    minimise: str,
    axes: tuple[str, ...],
    candidates: int,
    rounds: int | None,
    seeds: int,
    jobs: int | None,
    out: str | None,
    sets: tuple[str, ...],
    output: Output,
) -> None:
    """Search which tiers, edge rounds and codecs reach a target at least cost, under the links of FILE."""
    import os
    import shlex
    from pathlib import Path

    from tierfed.cli.interruption import interruptible
    from tierfed.cli.outcome import Told
    from tierfed.jobs.advise import search
    from tierfed.jobs.advise.curves import Target
    from tierfed.jobs.sweep.grammar import axis
    from tierfed.report import failure
    from tierfed.report.advice import told
    from tierfed.report.advice_view import advice_view

    wanted = Target.parse(target)
    space = _space(Path(file), tuple(axis(text) for text in axes), sets, output)
    _check_cost(space, minimise)
    most = rounds or _rounds_of(space.topology)
    asked = search.Question(space, wanted, minimise, candidates, most, seeds)  # type: ignore[arg-type]
    advised = Path(out) if out is not None else space.file.with_name(f"{space.file.stem}.advised.yaml")
    _check_out(advised, space)
    home = _home()
    at_once = jobs or len(os.sched_getaffinity(0))
    with interruptible(output, "the runs are being ended; a moment"), advice_view(asked, output) as watching:
        found = search.advise(asked, home, jobs=at_once, watch=watching)
    status = "ok" if found.best is not None else "failed"
    document = {"schema_version": 1, "status": status, "file": str(space.file), **search.document(found, asked)}
    for line in told(found, asked, output.width):
        output.say(line)
    if found.best is not None:
        advised.write_text(_head(found, asked) + search.written(found, asked), encoding="utf-8")
        document |= {"topology": str(advised)}
        output.say(f"  {failure.shown(advised)}: {shlex.join(['tierfed', 'up', failure.shown(advised)])}")
    _keep(home, document)
    output.say(f"  {failure.shown(home)}: {found.runs} runs, {found.rounds} rounds simulated")
    output.document(document | {"folder": str(home)})
    if found.best is None:
        raise Told(failure.RUN_FAILED)


def _space(file: Path, axes: tuple[Axis, ...], sets: tuple[str, ...], output: Output) -> Space:
    """Return what is varied, `axes` or what is usually worth a try.  Raises what is wrong with it."""
    from tierfed.errors import JobError, SweepError
    from tierfed.jobs.advise.space import ROUNDS, Space, counts, usual
    from tierfed.jobs.program import load_job
    from tierfed.topology import load_topology

    topology = load_topology(file, sets)
    if topology.job is None:
        raise JobError("the file has no job", where=str(file), mend="write `job: {program: module:function}`")
    name = ROUNDS.rpartition(".")[2]
    with output.user_code():
        if name not in load_job(topology.job.program, file.absolute().parent).parameters:
            mend = f"let it take `{name}: int`, so that candidates can be tried for a few"
            raise JobError(f"{topology.job.program} has no parameter {name}", where="job.program", mend=mend)
    space = Space(file.resolve(), topology, axes, sets)
    space = space if axes else Space(space.file, topology, (*usual(topology), *counts(space)), sets)
    if not space.axes:
        raise SweepError(
            "nothing can be varied", where=str(file), mend="say what, as in -s 'CLIENTS.codec.up=none,int8'"
        )
    space.check_axes()
    return space


def _check_cost(space: Space, objective: str) -> None:
    """Raise SweepError if nothing in the file costs what is to be minimised."""
    from tierfed.errors import SweepError

    nodes = space.topology.nodes.values()
    if objective == "time" and not any(node.link or node.device or node.interface for node in nodes):
        raise SweepError(
            "no links and no devices are modelled, so rounds take no time",
            where="--minimise time",
            mend="write `link: {rate: 4mbit, delay: 30ms}` at a placement, or minimise bytes",
        )
    devices = [node.device for node in nodes if node.device is not None]
    if objective == "energy" and not any(d.idle or d.computing or d.sent or d.received for d in devices):
        raise SweepError(
            "no device says what it takes, so rounds take no joules",
            where="--minimise energy",
            mend="write `energy: {idle: 30mW, computing: 2W, sent: 3.5uJ}` at a placement, or minimise bytes",
        )


def _check_out(advised: Path, space: Space) -> None:
    """Raise SweepError, before hours of runs, if what is advised could not be written, or not be brought up there."""
    import os

    from tierfed.errors import SweepError

    folder = advised.absolute().parent
    if advised.is_dir() or not (folder.is_dir() and os.access(advised if advised.exists() else folder, os.W_OK)):
        raise SweepError(f"{advised} cannot be written", where="--out", mend="name a file in a folder that is there")
    if advised.exists() and advised.samefile(space.file):
        raise SweepError("that is the file that is asked about", where="--out", mend="give another name")
    if folder.resolve() == space.file.parent:
        return
    job = space.topology.job
    provider = (job.data or {}).get("provider") if job is not None else None
    for name in (job.program if job is not None else None, provider):
        module = str(name or "").partition(":")[0].partition(".")[0]
        if module and any((space.file.parent / f"{module}{end}").exists() for end in (".py", "/__init__.py")):
            raise SweepError(
                f"{module} lies beside {space.file.name}, and would not be found from there",
                where="--out",
                mend=f"write into {space.file.parent}",
            )


def _rounds_of(topology: Topology) -> int:
    """Return how many rounds the file's job has.  Raises JobError if it does not say."""
    from tierfed.errors import JobError

    assert topology.job is not None
    rounds = topology.job.params.get("rounds")
    if not isinstance(rounds, int) or rounds < 1:
        raise JobError("it does not say how many rounds", where="job.params.rounds", mend="give --rounds 40, say")
    return rounds


def _home() -> Path:
    """Return a new folder for the runs: `.tierfed/advice/a-N`."""
    import contextlib
    import itertools

    from tierfed.launch import runs

    home = runs.folder().parent / "advice"
    home.mkdir(parents=True, exist_ok=True)
    for n in itertools.count(1 + sum(1 for _ in home.iterdir())):
        with contextlib.suppress(FileExistsError):
            (home / f"a-{n}").mkdir()
            return home / f"a-{n}"
    raise AssertionError("counting ended")


def _head(found: Advice, asked: Question) -> str:
    from tierfed.report.advice import cheapest

    return "".join(f"# {line.strip()}\n" for line in cheapest(found, asked))


def _keep(home: Path, document: dict[str, object]) -> None:
    import json

    (home / "advice.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
