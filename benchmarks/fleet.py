"""Simulated fleets: time and memory against the number of clients, on a virtual clock.

    python -m benchmarks.fleet [--quick] [--out docs/figures/fleet.svg]

    1 - 10 - 10 each - N/100 each         four tiers, N clients, all of which take part in every round;
                                          from 100,000 on 1,000 under each edge

Each size is measured in a fresh process: what it takes to come up, a round of federated averaging of 64 float32 whose
leaf has a batch form, two rounds of analytics (the sum of an int32 of each, and a histogram: what a bisection for
quantiles asks each time, topologies/quantiles.py), and the peak of its memory.  Seconds are the process' own (CPU), for
other work on the machine lengthens those on the wall, and a simulation waits for nothing.  In another process, the
same sum over a cohort of one in a hundred at each edge.

Of a round, what the first one does for all later ones (the program is deployed) is not counted, but in fleets of
300,000 and more, where it is next to nothing, and an hour is saved.  Held to: a client of the largest fleet takes no
more than 1.3 of what it takes in one a tenth as large; a million take at most 8 GB.  `--out` draws the curve, which
wants the extra `[plot]`.  `TIERFED_CLIENTS` says how large the largest fleet is, 100,000 without.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import tierfed
from benchmarks.rows import Row, row

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
USUAL = 100_000
ONCE = 300_000  # from here on, the first round is the measured one
QUICK = (300, 1_000)
LINEAR = 1.3
ALLOWED = 8e9 / 2**20  # MiB, of a million
COHORT = "cohort: {select: 1%}, "
TREE = """\
apiVersion: tierfed/v1
kind: Topology
name: fleet
placements:
  SERVER: {collect: {deadline: 600s}}
  REGIONS: {parent: SERVER, per_parent: 10, collect: {deadline: 600s}}
  EDGES: {parent: REGIONS, per_parent: %d, collect: {deadline: 600s}}
  CLIENTS: {parent: EDGES, %sper_parent: %d}
job: {program: benchmarks.fleet:histogram, data: {provider: "benchmarks.fleet:share"}}
"""
MODEL = tierfed.to_type("float32[64]")
Figures = dict[str, float]


def moved_all(models: Any) -> Any:
    """Return `moved` of many."""
    return models * np.float32(0.9) + np.float32(0.1)


@tierfed.py_computation(MODEL, returns=MODEL, batch=moved_all)
def moved(model: Any) -> Any:
    """Return a client's model: a step towards ones."""
    return model * np.float32(0.9) + np.float32(0.1)


@tierfed.federated_computation(MODEL)
def average(model: Any) -> Any:
    """Return the mean of the clients' models, from the server's."""
    here = tierfed.federated_broadcast(tierfed.federated_value(model, tierfed.SERVER))
    return tierfed.federated_mean(tierfed.federated_map(moved, here))


@tierfed.federated_computation
def count() -> Any:
    """Return how many clients there are."""
    return tierfed.federated_sum(tierfed.federated_value(np.int32(1), tierfed.CLIENTS))


BINS = 16
COUNTS = tierfed.to_type(f"int32[{BINS}]")


def all_binned(shares: Any) -> Any:
    """Return `binned` of many."""
    rows = np.zeros((len(shares), BINS), np.int32)
    rows[np.arange(len(shares)), (shares * BINS).astype(np.int64)] = 1
    return rows


@tierfed.py_computation(np.float32, returns=COUNTS, batch=all_binned)
def binned(share: Any) -> Any:
    """Return a 1 where a share of one lies."""
    return all_binned(np.float32([share]))[0]


def share(uri: str, type: Any, member: Any) -> Any:
    """Return what a client has: a number from 0 to 1, by its index."""
    return np.float32(member.index * 0.6180339887 % 1)


@tierfed.federated_computation
def histogram() -> Any:
    """Return how many clients lie in each bin."""
    shares = tierfed.federated_data("share", np.float32, tierfed.CLIENTS)
    return tierfed.federated_sum(tierfed.federated_map(binned, shares))


def tree_of(clients: int, cohort: str = "") -> str:
    """Return the topology of so many clients."""
    edges = max(100, clients // 1000)
    return TREE % (edges // 10, cohort, clients // edges)


def measured(clients: int, *, sampled: bool = False) -> Figures:
    """Measure a fleet of this process, which has measured none before."""
    from tierfed.topology import parse_topology

    base = _peak()
    begun = time.process_time()
    topology = parse_topology(tree_of(clients, COHORT if sampled else ""))
    drawn = clients // 100 if sampled else clients
    figures: Figures = {"clients": clients}
    with tierfed.simulate(topology) as fleet:
        figures["up"] = time.process_time() - begun
        model = np.zeros(64, np.float32)
        spread = np.bincount((np.float32(np.arange(clients) * 0.6180339887 % 1) * BINS).astype(int))
        calls = {
            "count": (lambda: fleet.invoke(count), drawn),
            "histogram": (lambda: fleet.invoke(histogram), spread),
            "average": (lambda: fleet.invoke(average, model), 0.1),
        }
        for name in ("count",) if sampled else calls:
            call, expected = calls[name]
            if sampled or clients < ONCE:
                call()  # deploys the program
            begun, at = time.process_time(), time.monotonic()
            result = call()
            figures[name] = time.process_time() - begun
            told = f"{figures[name]:.1f} s, {time.monotonic() - at:.1f} on the clock; peak {_peak():.0f} MiB"
            print(f"    {clients:,}: {name} {told}", file=sys.stderr, flush=True)
            if not np.allclose(result, expected):
                raise SystemExit(f"{name} of {clients} clients gave {result}")
        figures["peak"] = _peak()
    figures["bytes"] = (figures["peak"] - base) * 2**20 / clients
    return figures


def _peak() -> float:
    """Return the peak resident set of this process, in MiB: since its exec, where `ru_maxrss` has its parent's too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _fresh(clients: int, *, sampled: bool = False) -> Figures:
    """Measure in a process of its own."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.fleet", "--one", str(clients), *(["--sampled"] if sampled else [])],
            check=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "TIERFED_HOME": home},
        )
    figures: Figures = json.loads(done.stdout)
    print(f"  {clients:,} clients: {figures}", file=sys.stderr, flush=True)
    return figures


def rows_of(all_sizes: list[Figures], cohort: Figures | None) -> list[Row]:
    """Return the rows of what was measured, of everybody and of a cohort in the largest fleet."""
    rows = []
    for one in all_sizes:
        clients = int(one["clients"])
        name = f"{clients:,} clients"
        rows += [
            row(f"{name}: up, CPU", one["up"], "s"),
            row(f"{name}: a round of averaging, CPU", one["average"], "s"),
            row(f"{name}: a client of it", one["average"] / clients * 1e6, "us"),
            row(f"{name}: a client of a count", one["count"] / clients * 1e6, "us"),
            row(f"{name}: a client of a histogram", one["histogram"] / clients * 1e6, "us"),
            row(f"{name}: peak memory", one["peak"], "MiB", f"<= {ALLOWED:.0f}" if clients >= 1_000_000 else ""),
            row(f"{name}: memory a client", one["bytes"] / 1000, "kB"),
        ]
    most = all_sizes[-1]
    if cohort is not None:
        name = f"{int(cohort['clients']):,} clients, one in a hundred drawn"
        rows += [
            row(f"{name}: a count, CPU", cohort["count"], "s"),
            row(f"{name}: a count against one of all", cohort["count"] / most["count"], "x", "<= 0.2"),
            row(f"{name}: peak memory", cohort["peak"], "MiB"),
        ]
    tenth = min(all_sizes[:-1], key=lambda one: abs(one["clients"] - most["clients"] / 10))
    for name, told in (("average", "averaging"), ("count", "a count")):
        ratio = most[name] / most["clients"] / (tenth[name] / tenth["clients"])
        of = f"of {int(most['clients']):,} against one of {int(tenth['clients']):,}"
        rows.append(row(f"{told}: a client {of}", ratio, "x", f"<= {LINEAR}"))
    return rows


def draw(all_sizes: list[Figures], file: Path) -> None:
    """Draw seconds of a round and the peak of memory against clients, with lines that are linear."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "tierfed"
    from matplotlib import pyplot

    figure, (seconds, memory) = pyplot.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
    clients = [one["clients"] for one in all_sizes]
    for key, label, colour in (("average", "averaging 64 float32", "#1f4e79"), ("count", "a count", "#c0504d")):
        taken = [one[key] for one in all_sizes]
        seconds.plot(clients, taken, "o-", color=colour, label=label, markersize=4)
        seconds.plot(clients, [taken[0] * n / clients[0] for n in clients], ":", color=colour, linewidth=0.8)
    seconds.set_ylabel("seconds a round (CPU)")
    seconds.legend(fontsize=8)
    memory.plot(clients, [one["peak"] for one in all_sizes], "o-", color="#1f4e79", markersize=4)
    memory.set_ylabel("peak memory, MiB")
    for axes in (seconds, memory):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("clients, of 1-10-100-N")
        axes.grid(alpha=0.25, which="both")
    figure.suptitle("A simulated round, all clients taking part; dotted: linear from the smallest", fontsize=10)
    figure.savefig(file, metadata={"Date": None})


def run(quick: bool = False, out: Path | None = None) -> list[Row]:
    """Return the rows of this benchmark."""
    most = int(os.environ.get("TIERFED_CLIENTS", str(USUAL)))
    all_sizes = [_fresh(clients) for clients in (QUICK if quick else SIZES) if clients <= most]
    if out is not None:
        draw(all_sizes, out)
    largest = int(all_sizes[-1]["clients"])  # of a hundred at an edge one is drawn, and of a few one too
    return rows_of(all_sizes, _fresh(largest, sampled=True) if largest >= 10_000 else None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet")
    parser.add_argument("--quick", action="store_true", help="two small fleets")
    parser.add_argument("--out", type=Path, metavar="FILE", help="draw the curve there, as SVG")
    parser.add_argument("--one", type=int, metavar="CLIENTS", help=argparse.SUPPRESS)
    parser.add_argument("--sampled", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        # the module as nodes import it: leaves of __main__ have another name
        from benchmarks import fleet

        print(json.dumps(fleet.measured(given.one, sampled=given.sampled)))
    else:
        for each in run(given.quick, given.out):
            print(json.dumps(each))
