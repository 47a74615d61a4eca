"""Advice against a grid: is what `advise` finds near the best of all, and at what part of the cost?

    python -m benchmarks.advise [--jobs 2] [--quick]

All 36 settings of codec up (4), number of edges (3) and share of edge rounds (3) of a tree of 24 phones are simulated
for all rounds, as a sweep would; then `advise` is asked on the same space.  The cost of a way is the rounds that it
simulates, and the seconds of CPU.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path
from typing import Any

from tierfed.jobs.advise import curves, search
from tierfed.jobs.advise.curves import Target
from tierfed.jobs.advise.space import Space
from tierfed.jobs.sweep.cells import cells
from tierfed.jobs.sweep.grammar import axis
from tierfed.jobs.sweep.variant import Variant, run_all
from tierfed.topology import load_topology

FILE = """
apiVersion: tierfed/v1
kind: Topology
name: phones
seed: 7
placements:
  SERVER: {}
  EDGE_AGGREGATORS: {parent: SERVER, count: 4, link: {rate: 10mbit, delay: 60ms}}
  CLIENTS:
    parent: EDGE_AGGREGATORS
    count: 24
    link: {rate: {up: 2mbit, down: 20mbit}, delay: 20ms, jitter: 4ms}
    compute: {time: 150ms}
    energy: {idle: 30mW, computing: 2W, sent: 3.5uJ, received: 416nJ}
job:
  program: tierfed.learning.hierfavg:train
  params: {rounds: 40, local_epochs: 2, edge_rounds: 2, lr: 0.05, batch: 16}
  data: {dataset: fashion-mnist-6k, split: {dirichlet: {alpha: 0.5}}}
"""
AXES = (
    axis("CLIENTS.codec.up=none,int8,eden(bits=4),drive"),
    axis("EDGE_AGGREGATORS.count=2,4,8"),
    axis("job.params.local_epochs,job.params.edge_rounds=[4,1],[2,2],[1,4]"),
)
TARGET = Target("accuracy", 0.77)


def main() -> None:
    """Run both, and print a row an objective."""
    asked = argparse.ArgumentParser(description="Advice against an exhaustive grid.")
    asked.add_argument("--jobs", type=int, default=2, help="runs at once")
    asked.add_argument("--quick", action="store_true", help="4 rounds, 8 settings")
    given = asked.parse_args()
    rounds, axes, target = (4, AXES[:2], Target("accuracy", 0.5)) if given.quick else (40, AXES, TARGET)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "phones.yaml"
        file.write_text(FILE)
        space = Space(file, load_topology(file), axes)
        grid = [space.made(cell) for cell in cells(axes)]
        before = cpu()
        variants = [Variant(file, (*sets, f"job.params.rounds={rounds}"), 7) for sets in grid]
        whole = run_all(variants, Path(folder) / "grid", jobs=given.jobs)
        spent = cpu() - before
        runs = [Path(folder) / "grid" / "runs" / str(outcome.run) for outcome in whole]
        print(f"grid: {len(grid)} settings x {rounds} rounds, {spent:.0f} s of CPU")
        print("| least | best of the grid | advised | | rounds | CPU |\n|---|---|---|---|---|---|")
        for objective in curves.OBJECTIVES:
            row(space, target, objective, rounds, dict(zip(grid, runs, strict=True)), spent, Path(folder), given.jobs)


def row(
    space: Space,
    target: Target,
    objective: Any,
    rounds: int,
    grid: dict[tuple[str, ...], Path],
    spent: float,
    folder: Path,
    jobs: int,
) -> None:
    """Print what the grid and the advice have found for one objective."""
    costs = {sets: curves.read(run, target.metric, objective).reached(target) for sets, run in grid.items()}
    known = {sets: cost for sets, cost in costs.items() if cost is not None}
    before = cpu()
    question = search.Question(space, target, objective, most=len(grid) + 1, rounds=rounds, seeds=1)
    found = search.advise(question, folder / objective, jobs=jobs)
    took = cpu() - before
    assert found.best is not None and known, "nothing reaches the target"
    least, advised = min(known.values()), found.best.cost.mean
    print(
        f"| {objective} | {least:.4g} | {advised:.4g} | {advised / least:.3f}x "
        f"| {found.rounds / (len(grid) * rounds):.2f}x | {took / spent:.2f}x |",
        flush=True,
    )


def cpu() -> float:
    """Return the seconds of CPU of all processes that have ended, and of this one."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
