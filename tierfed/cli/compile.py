"""`tierfed compile PROGRAM -t FILE`: what the compiler makes of a program.

    $ tierfed compile program:step -t three_tier.yaml
    program:step over SERVER > EDGE_AGGREGATORS > CLIENTS
    type     (float32@SERVER -> float32@SERVER)
    program  5ae0…
    slices   77c1…
    …
    $ tierfed compile program:step -t three_tier.yaml --form dot | dot -Tsvg > step.svg
    $ tierfed compile program:step -t three_tier.yaml --form protobuf -o step.pb

Nothing is started.  On a terminal long types are cut; a pipe or a file gets them whole.
"""

from __future__ import annotations

import contextlib
import errno
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tierfed.cli import options
from tierfed.report.output import Output

if TYPE_CHECKING:
    from tierfed.placements import Hierarchy
    from tierfed.report.program import Parts
    from tierfed.topology import Topology

_FORMS = ("text", "dot", "protobuf")
_STAGES = ("program", "normalised", "expanded", "climbed", "fused", "slices")
_UNTIERED = _STAGES[:3]
_FULL = (errno.ENOSPC, errno.EDQUOT)


@click.command("compile", short_help="Show a program's IR, slices and hashes.")
@click.argument("program", required=False)
@click.option("-t", "--topology", "file", metavar="FILE", help="The topology whose tiers the program is compiled for.")
@click.option("--tiers", metavar="SERVER,…", help="The tiers by name instead, from the root down.")
@click.option("--form", type=click.Choice(_FORMS), default="text", show_default=True, help="What to write it as.")
@click.option("--stage", type=click.Choice(_STAGES), help="The program after that pass alone, or the slices alone.")
@click.option("-o", "--out", metavar="PATH", help="Write a file; in a folder, one for each slice beside the whole.")
@options.as_json
def command(
    program: str | None,
    file: str | None,
    tiers: str | None,
    form: str,
    stage: str | None,
    out: str | None,
    output: Output,
) -> None:
    """Show what PROGRAM is compiled to: its IR, the slice of each tier, and their hashes.

    PROGRAM is module:name or path/to/file.py:name, a computation or a job, of which it is the round;
    without a name, the one computation of that module; without PROGRAM, the job of the topology.
    """
    if file is not None and tiers is not None:
        raise click.UsageError("-t and --tiers both say which tiers there are; give one of them")
    if file is None and tiers is None and stage not in _UNTIERED:
        raise click.UsageError("no tiers to compile for: give -t FILE, or --tiers SERVER,CLIENTS")
    if form == "protobuf" and out is None and (output.json or output.width is not None):
        taken = "--json has stdout" if output.json else "stdout is a terminal"
        raise click.UsageError(f"protobuf is bytes and {taken}: write it to a file with -o, or into a pipe")
    from tierfed.jobs.modules import load_computation
    from tierfed.report.output import SCHEMA_VERSION
    from tierfed.report.program import SUFFIXES, Seen, drawn
    from tierfed.topology import load_topology

    topology = load_topology(file) if file is not None else None
    folder = topology.source.parent if topology is not None and topology.source is not None else Path.cwd()
    with contextlib.redirect_stdout(sys.stderr):  # what the program prints is no part of it
        name, computation = load_computation(program or _job(topology), folder)
    hierarchy = topology.hierarchy if topology is not None else _chain(tiers)
    seen = Seen(name, computation, hierarchy, whole=output.width is None or out is not None)
    parts = drawn(seen, form, stage)
    first = next(iter(parts.values()))
    written = _write(parts, Path(out), SUFFIXES[form], out.endswith("/")) if out is not None else []
    if written:
        output.say(f"wrote {', '.join(str(path) for path in written)}")
    elif not output.json:
        if form == "text" and output.width is not None:
            output.say(first.decode().rstrip("\n"))
        else:
            output.binary(first)
    told = {} if written or form == "protobuf" else {form: {part: text.decode() for part, text in parts.items()}}
    output.document(
        {
            "schema_version": SCHEMA_VERSION,
            "status": "ok",
            "program": name,
            "type": str(computation.type_signature),
            "hierarchy": None if hierarchy is None else str(hierarchy),
            "hashes": seen.hashes(),
            **told,
            "written": [str(path) for path in written],
        }
    )


def _job(topology: Topology | None) -> str:
    """Return the program that a topology names; raises UsageError if there is none."""
    if topology is None or topology.job is None:
        raise click.UsageError("no program: name one, as module:name or path/to/file.py:name")
    return topology.job.program


def _chain(tiers: str | None) -> Hierarchy | None:
    from tierfed.placements import Hierarchy

    return None if tiers is None else Hierarchy.chain(*(tier.strip() for tier in tiers.split(",")))


def _write(parts: Parts, out: Path, suffix: str, folder: bool) -> list[Path]:
    """Write the whole to `out`, or in a folder each part to a file of its own; return the files."""
    try:
        if not folder and not out.is_dir():
            out.write_bytes(next(iter(parts.values())))
            return [out]
        out.mkdir(parents=True, exist_ok=True)
        for part, content in parts.items():
            (out / f"{part}{suffix}").write_bytes(content)
        return [out / f"{part}{suffix}" for part in parts]
    except OSError as error:
        from tierfed.errors import StorageError

        what = f"{error.strerror or error}"
        if error.errno in _FULL:
            raise StorageError(what, where=str(out), mend="make room, or give -o another place") from error
        raise click.UsageError(f"-o {out}: {what[:1].lower()}{what[1:]}") from error
