"""How late event loops are while 400 MB go through them: does anything long happen on one?

    python -m benchmarks lag

Two trees of seven nodes, 1-2-4, a process each, with `none` and with int8+zstd on every link.  A model of 400 MB goes
down, each client adds one to it, and the mean comes up.  Each daemon counts how late its timers are, twenty a second
(tierfed/node/lag.py); what is read here, from `/metrics`, is the difference that the rounds make, after one that warms
up.  Beside them, in the same seconds, runs a process whose loop has nothing else to do: what it is late is the
machine's doing, seven busy processes on its cores, and no daemon can be better.  `TIERFED_MODEL_MB` is the size of the
model, 400 without.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import tierfed
from benchmarks.rows import Row, row
from tierfed.node.lag import BOUNDS, Lag

MB = 1_000_000
ROUNDS = 3
TREE = """\
apiVersion: tierfed/v1
kind: Topology
name: lag
placements:
  SERVER: {collect: {deadline: 600s}}
  EDGE_AGGREGATORS: {parent: SERVER, count: 2, codec: {up: "%s", down: "%s"}, collect: {deadline: 500s}}
  CLIENTS: {parent: EDGE_AGGREGATORS, per_parent: 2, codec: {up: "%s", down: "%s"}}
"""
Late = dict[float, int]  # by a bound in seconds: how many timers were late by at most that


def counted(lag: Lag) -> Late:
    """Return the histogram as `/metrics` tells it."""
    totals = np.cumsum(lag.counts).tolist()
    return dict(zip((*BOUNDS, float("inf")), totals, strict=True))


def late(address: tuple[str, int]) -> Late:
    """Return the histogram of a process that listens at `address`."""
    with urllib.request.urlopen(f"http://{address[0]}:{address[1]}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    found = {}
    for line in lines:
        if line.startswith("tierfed_loop_lag_seconds_bucket"):
            bound = line.partition('le="')[2].partition('"')[0]
            found[float(bound.replace("+Inf", "inf"))] = int(float(line.rsplit(" ", 1)[1]))
    return found


def percentile(counts: Mapping[float, int], share: float) -> float:
    """Return the bound, in ms, within which `share` of all timers fired."""
    return next(bound for bound, n in sorted(counts.items()) if n >= share * counts[float("inf")]) * 1e3


def _added(histograms: list[Late]) -> Late:
    return {bound: sum(one[bound] for one in histograms) for bound in histograms[0]}


def _less(after: Late, before: Late) -> Late:
    return {bound: after[bound] - before[bound] for bound in after}


def train(array: Any) -> Any:
    """Return a model, one more."""
    return array + np.float32(1)


def _program(size: int) -> Any:
    model = tierfed.to_type(f"float32[{size}]")
    trained = tierfed.py_computation(train, model, returns=model)

    @tierfed.federated_computation(model)
    def step(array: Any) -> Any:
        here = tierfed.federated_value(array, tierfed.SERVER)
        return tierfed.federated_mean(tierfed.federated_map(trained, tierfed.federated_broadcast(here)))

    return step


@contextlib.contextmanager
def _idle() -> Iterator[Late]:
    """Run a process whose loop has nothing to do meanwhile; its histogram is filled in at the end."""
    command = [sys.executable, "-m", "benchmarks.lag", "idle"]
    found: Late = {}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield found
        finally:
            said, _ = process.communicate()
    found.update({float(bound): n for bound, n in json.loads(said)})


async def _nothing() -> None:
    """Count until somebody closes standard input."""
    lag = Lag()
    watching = asyncio.create_task(lag.watch())
    await asyncio.sleep(0)
    print("ready", flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    watching.cancel()
    print(json.dumps(list(counted(lag).items())))


def _rounds(codec: str, size: int, rounds: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as home:
        os.environ["TIERFED_HOME"] = home
        file = Path(home) / "lag.yaml"
        file.write_text(TREE % ((codec,) * 4))
        step = _program(size)
        model = np.linspace(-1, 1, size, dtype=np.float32)
        expected = model + np.float32(1)
        took = []
        with tierfed.up(file) as tree:
            assert tree.deployment is not None
            nodes = tree.deployment.status()["nodes"]
            addresses = {name: tuple(node["address"]) for name, node in nodes.items()}
            tree.invoke(step, model)  # the first imports, and whoever asks for metrics the first time does
            for _ in range(2):
                before = {name: late(address) for name, address in addresses.items()}
            with _idle() as idle:
                for _ in range(rounds):
                    begun = time.perf_counter()
                    result = np.asarray(tree.invoke(step, model))
                    took.append(time.perf_counter() - begun)
                    error = float(np.abs(result - expected).max())
                    if error > (0 if codec == "none" else 0.03):
                        raise SystemExit(f"a weight is off by {error}")
            each = {name: _less(late(address), before[name]) for name, address in addresses.items()}
    tiers: dict[str, list[Late]] = {}
    for name, counts in each.items():
        tiers.setdefault(nodes[name]["placement"], []).append(counts)
    name = f"a round of {size * 4 // MB} MB over 1-2-4, {codec}"
    return [
        row(f"{name}", float(np.median(took)), "s"),
        row(f"{name}: loops late, 99 % of all", percentile(_added(list(each.values())), 0.99), "ms", "<= 20"),
        *(row(f"{name}: loops late, 99 % at {tier}", percentile(_added(of), 0.99), "ms") for tier, of in tiers.items()),
        row(f"{name}: the latest of all, at most", percentile(_added(list(each.values())), 1), "ms"),
        row(f"{name}: a loop that does nothing, 99 %", percentile(idle, 0.99), "ms"),
    ]


def run(quick: bool = False) -> list[Row]:
    """Return the rows of this benchmark."""
    megabytes = 8 if quick else int(os.environ.get("TIERFED_MODEL_MB", "400"))
    return [
        each for codec in ("none", "int8+zstd") for each in _rounds(codec, megabytes * MB // 4, 1 if quick else ROUNDS)
    ]


if __name__ == "__main__":
    if sys.argv[1:] == ["idle"]:
        asyncio.run(_nothing())
        sys.exit(0)
    for each in run():
        print(json.dumps(each))
