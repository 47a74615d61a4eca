"""What each algorithm of `tierfed.learning` reaches, and what it sends: the same clients, passes and seeds.

    python -m benchmarks.learning            prints the table
    python -m benchmarks.learning --write    and writes it to docs/learning.md

32 clients below two edges, Fashion-MNIST 6k by Dirichlet 0.3, no codecs, 20 rounds of 3 passes in batches of 16
(HierFAVG: 10 cloud rounds of 2 edge rounds, which is as much training).  Trained for real on simulated nodes, whose
bits and bytes are those of daemons.  Parameters other than the jobs' defaults are said in the row.  Accuracy is of the
last round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tierfed
from benchmarks.rows import between
from tierfed.jobs.program import load_job

PAGE = Path(__file__).parent.parent / "docs" / "learning.md"
BEGIN, END = "<!-- the algorithms: python -m benchmarks.learning --write -->", "<!-- end of the algorithms -->"
DATA = {"dataset": "fashion-mnist-6k", "split": {"dirichlet": {"alpha": 0.3}}}
SEEDS = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A job and its parameters."""

    name: str
    module: str
    params: Mapping[str, Any] = field(default_factory=dict)


ALGORITHMS = (
    Algorithm("FedAvg", "fedavg"),
    Algorithm("FedProx, `mu: 0.01`", "fedprox", {"mu": 0.01}),
    Algorithm("FedProx, `mu: 0.1`", "fedprox", {"mu": 0.1}),
    Algorithm("FedProx, `mu: 1`", "fedprox", {"mu": 1.0}),
    Algorithm("SCAFFOLD", "scaffold"),
    Algorithm("FedAdagrad", "fedopt", {"optimizer": "adagrad"}),
    Algorithm("FedYogi", "fedopt", {"optimizer": "yogi"}),
    Algorithm("FedAdam", "fedopt", {"optimizer": "adam"}),
    Algorithm("HierFAVG, 3 passes, `edge_rounds: 2`", "hierfavg", {"rounds": 10, "edge_rounds": 2}),
    Algorithm("HierFAVG, `kappa_1: 36, edge_rounds: 2`", "hierfavg", {"rounds": 10, "edge_rounds": 2, "kappa_1": 36}),
)


def run(one: Algorithm, seed: int, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of one run."""
    job = {"program": f"tierfed.learning.{one.module}:train", "data": DATA}
    topology = tierfed.tree(fan_out={"EDGE_AGGREGATORS": 2, "CLIENTS": 16}, seed=seed, job=job)
    before = os.environ.get("TIERFED_HOME")
    try:
        with tempfile.TemporaryDirectory() as home:
            os.environ["TIERFED_HOME"] = home
            with tierfed.simulate(topology) as tree:
                tree.run_job(load_job(job["program"], None), {"rounds": 20, **one.params, **params})
                return tree.summary("ok")
    finally:
        os.environ.pop("TIERFED_HOME")
        if before is not None:
            os.environ["TIERFED_HOME"] = before


def rows(algorithms: Sequence[Algorithm], seeds: Sequence[int], params: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table's lines."""
    yield f"| algorithm | {' | '.join(f'seed {s}' for s in seeds)} | mean | up from clients | up from edges |"
    yield f"|---|{'---|' * (len(seeds) + 3)}"
    base: list[int] = []
    for one in algorithms:
        done = [run(one, seed, params) for seed in seeds]
        rates = [d["metrics"]["accuracy"] for d in done]
        sent = [
            round(statistics.mean(d["tiers"][t]["bytes_up"] for d in done)) for t in ("CLIENTS", "EDGE_AGGREGATORS")
        ]
        base = base or sent
        told = " | ".join(f"{s / 1e6:.1f} MB, {s / b:.2f}x" for s, b in zip(sent, base, strict=True))
        each = " | ".join(_short(r) for r in rates)
        print(f"{one.name} …", file=sys.stderr, flush=True)
        yield f"| {one.name} | {each} | {_short(statistics.mean(rates))} | {told} |"


def _short(rate: float) -> str:
    return f"{rate:.3f}".removeprefix("0")


def main() -> None:
    """Measure, print, and write if told to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/learning.md")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--only", default="", help="the algorithms with this in their name")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=NUMBER", help="parameters for all of them")
    given = parser.parse_args()
    params = {name: float(value) if "." in value else int(value) for name, value in (s.split("=") for s in given.set)}
    lines = []
    for line in rows([a for a in ALGORITHMS if given.only.lower() in a.name.lower()], given.seeds, params):
        print(line, flush=True)
        lines.append(line)
    if given.write:
        text = PAGE.read_text("utf-8")
        PAGE.write_text(between(text, BEGIN, END, "\n".join(lines) + "\n", PAGE.name), "utf-8")


if __name__ == "__main__":
    main()
