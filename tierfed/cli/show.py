"""`tierfed show FILE`: a topology drawn, and what its job will send.

    $ tierfed show three_tier.yaml
    three-tier · 35 nodes · 3 tiers · 7 processes · seed 7
    SERVER server                         quorum 100%  deadline 60s
    ├─ edge-eu              up bf16       quorum 100%  deadline 30s  region=eu
    │  └─ c-eu-[00-15] ×16  up int8+zstd
    …
    predicted a round: CLIENTS up 6.5 MB raw -> 1.7 MB before zstd, down 6.5 MB raw · …
    NMSE at the root, clients correlated 0.5: unknown: CLIENTS int8+zstd is biased · …

The prediction is that of the computation which the job names as its round; see `topology.messages`,
`topology.error` for that of the error, and `topology.cost` for seconds and joules of modelled links and devices.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from tierfed.cli import options
from tierfed.report.output import Output

if TYPE_CHECKING:
    from tierfed.topology import Topology
    from tierfed.topology.cost import Cost
    from tierfed.topology.error import RootError
    from tierfed.topology.plan import Predicted

_FORMATS = ("tree", "json", "mermaid", "dot")


@click.command("show", short_help="Draw a topology, and predict what a round of it takes.")
@click.argument("file")
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), default="tree", show_default=True, help="What to draw it as."
)
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@click.option("--resolved", is_flag=True, help="Write the file with every value, and where each comes from.")
@click.option(
    "--correlation",
    type=click.FloatRange(0, 1),
    help="What two clients' values have in common, for the error at the root.  [default: 0.5]",
)
@options.sets
def command(file: str, form: str, resolved: bool, correlation: float | None, sets: tuple[str, ...]) -> None:
    """Draw the topology in FILE, with the bytes that a round of its job will move, and the error of its codecs.

    Of modelled links and devices also the seconds of a round, by tier on its critical path, and the joules.

    Raw bytes are those of the values as they are, nominal ones those after the codec's array stage; what
    zstd then saves depends on the values.  The error is ‖sum - what is decoded‖² / ‖sum‖² at the root, of
    unbiased codecs.
    """
    from tierfed.topology import load_topology
    from tierfed.topology.draw import FORMATS, document

    output = Output()
    topology = load_topology(file, sets)
    for note in topology.notes:
        output.warn(str(note))
    if resolved:
        if form not in ("tree", "json"):
            raise click.UsageError(f"--resolved is written as YAML, or with --json; not as {form}")
        if correlation is not None:
            raise click.UsageError("--resolved predicts no error; leave --correlation out")
        text = topology.to_yaml(origins=True) if form == "tree" else _json(topology.to_dict())
        output.raw(text)
        return
    name, predicted, error, cost = _predicted(topology, 0.5 if correlation is None else correlation, output)
    known = {placement: one[:4] for placement, one in predicted.items() if one is not None}
    if form == "json":
        plain = document(topology, known or None, error, cost)
        for tier in plain["tiers"]:
            one = predicted.get(tier["placement"])
            if one is not None:
                tier["predicted"] |= {
                    "header_bytes_up": one.headers_up,
                    "header_bytes_down": one.headers_down,
                    "exact_up": one.exact_up,
                    "exact_down": one.exact_down,
                }
        output.raw(_json({**plain, "round": name}))
    elif form == "tree":
        output.say(FORMATS[form](topology, known or None, error, cost).rstrip("\n"))
    else:
        output.raw(FORMATS[form](topology, known or None, error, cost))


def _json(plain: dict[str, Any]) -> str:
    return json.dumps(plain, indent=2, ensure_ascii=False, default=str) + "\n"


def _predicted(
    topology: Topology, correlation: float, output: Output
) -> tuple[str | None, dict[str, Predicted | None], RootError | None, Cost | None]:
    """Return the name of the round of the file's job, its bytes by placement, the error at the root, and the cost.

    A note says why there is no name.  Without one, the error is that of a large tensor.
    """
    from tierfed.errors import TierfedError
    from tierfed.topology import error as errors

    if topology.job is None:
        return None, {}, errors.at_root(topology, correlation), None
    from tierfed.compiler import compile
    from tierfed.jobs.program import load_job
    from tierfed.topology import cost, plan

    try:
        with contextlib.redirect_stdout(sys.stderr):  # what the program prints is no part of the drawing
            job = load_job(topology.job.program, topology.source.parent if topology.source is not None else None)
        round = job.round_of(topology.job.params)
        if round is None:
            output.warn(f"no prediction: {job.__name__} names no round; write @tierfed.job(round=step)")
            return None, {}, errors.at_root(topology, correlation), None
        compiled = compile(round, topology.hierarchy)
        predicted = plan.predicted(topology, compiled)
        taken = cost.cost(topology, compiled)
        sent = plan.summed(topology, compiled)
        for rule in plan.idle_rules(topology, compiled):
            output.warn(str(rule))
    except TierfedError as error:
        output.warn(f"no prediction: {error}")
        return None, {}, errors.at_root(topology, correlation), None
    for placement, one in predicted.items():
        if one is None:
            output.warn(f"no prediction for {placement}: the sizes or the number of its messages depend on an argument")
    at_root = errors.at_root(topology, correlation, sent) if sent else None
    return round.name, predicted, at_root, taken
