"""`tierfed validate FILE…`: everything that is wrong, at once.

    $ tierfed validate three_tier.yaml
    three_tier.yaml: ok · 35 nodes · 3 tiers · job tierfed.learning.fedavg:train

The file, its job's program and parameters, and what the program's round needs of codecs and
data.  The program is imported in a process of its own: importing runs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tierfed.cli import options
from tierfed.report.output import Output

if TYPE_CHECKING:
    from tierfed.errors import TierfedError


@click.command("validate", short_help="Tell everything that is wrong with topology files.")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@options.sets
@options.as_json
def command(files: tuple[str, ...], sets: tuple[str, ...], output: Output) -> None:
    """Tell everything that is wrong with topology files.

    Checks each FILE, the program and the parameters of its job, and what the job's round needs of
    codecs and data; figures without effect, and rules for tensors that the round has not, are noted.
    Nothing is started.
    """
    from tierfed.cli.outcome import USAGE, Told
    from tierfed.errors import Advice
    from tierfed.report import failure
    from tierfed.report.output import SCHEMA_VERSION

    told: list[dict[str, Any]] = []
    for file in files:
        good, found = _check(Path(file), sets)
        errors = [error for error in found if not isinstance(error, Advice)]
        idle = [error for error in found if isinstance(error, Advice)]
        for error in errors:
            output.fail(error)
        for one in idle:
            output.warn(str(one))
        if good:
            output.say(f"{file}: {good}")
        told.append(
            {
                "file": file,
                "status": "failed" if errors else "ok",
                "problems": [problem for error in errors for problem in failure.problems(error)],
                "errors": [failure.document(error) for error in errors if not failure.problems(error)],
                "warnings": [failure.document(one) for one in idle],
            }
        )
    bad = any(one["status"] == "failed" for one in told)
    output.document({"schema_version": SCHEMA_VERSION, "status": "failed" if bad else "ok", "files": told})
    if bad:
        raise Told(USAGE)


def _check(file: Path, sets: tuple[str, ...]) -> tuple[str, list[TierfedError]]:
    """Return a line for people if all is well, and what is wrong, or does nothing."""
    from tierfed.data import check as check_data
    from tierfed.errors import Advice, TierfedError, TopologyError
    from tierfed.jobs.program import check_in_subprocess
    from tierfed.topology import load_topology
    from tierfed.topology.problems import dotted

    try:
        topology = load_topology(file, sets)
    except TopologyError as error:
        return "", [error]
    errors: list[TierfedError] = []
    words = [f"{len(topology.nodes)} nodes", f"{len(topology.hierarchy.placements)} tiers"]
    job = topology.job
    if job is not None:
        words.append(f"job {job.program}")
        try:
            check_data(job.data)
        except TierfedError as error:
            errors.append(error)
        folder = topology.source.parent if topology.source is not None else None
        found = check_in_subprocess(job.program, job.params, folder, file, sets)
        errors += [error for error in found if str(error) not in {str(one) for one in errors}]
    for one in errors:
        one.where = f"{file}: {one.where}" if one.where else str(file)
    errors += [Advice(note.what, where=f"{note.place}: {dotted(note.path)}") for note in topology.notes]
    return (" · ".join(["ok", *words]) if all(isinstance(e, Advice) for e in errors) else ""), errors
