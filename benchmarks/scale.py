"""Many nodes on one machine: a tree of five tiers, and an aggregator with thousands of children.

    python -m benchmarks.scale

    1-2-8-40-1000       a thousand clients, up to 250 to a process
    1-5000              ten thousand connections at one aggregator, clients 625 to a process

Each comes up, runs rounds in which a thousand float32 go down and their mean comes up, and goes down; then no process
of it may be there, and this one has as many descriptors as before.  Memory is the proportional set size.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import tierfed
from benchmarks.rows import Row, row

ROUNDS = 5
HEAD = "apiVersion: tierfed/v1\nkind: Topology\nname: scale\nplacements:\n  SERVER:\n"
FIVE = f"""{HEAD}\
  REGIONS: {{parent: SERVER, count: 2}}
  CITIES: {{parent: REGIONS, per_parent: 4, colocate: 8}}
  GATEWAYS: {{parent: CITIES, per_parent: 5, colocate: 40}}
  CLIENTS: {{parent: GATEWAYS, per_parent: 25, colocate: 250}}
"""
WIDE = f"{HEAD}  CLIENTS: {{parent: SERVER, count: %d, colocate: 625}}\n"
MODEL = tierfed.to_type("float32[1000]")


@tierfed.federated_computation(MODEL)
def step(model: Any) -> Any:
    """Return the mean of what every client was sent."""
    return tierfed.federated_mean(tierfed.federated_broadcast(tierfed.federated_value(model, tierfed.SERVER)))


def _memory(pid: int) -> float:
    """Return the proportional set size of a process, in MiB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return float(next(line for line in rollup.splitlines() if line.startswith("Pss:")).split()[1]) / 1024


def _processes(home: str) -> int:
    """Return how many processes there are of runs in `home`, this one apart."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        found += int(process.name) != os.getpid() and f"TIERFED_HOME={home}".encode() in environment.split(b"\0")
    return found


def _measured(name: str, text: str, rounds: int) -> tuple[list[Row], float, int]:
    """Return rows of a tree, and the memory in MiB and the descriptors of its root."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["TIERFED_HOME"] = home
        file = Path(home) / "scale.yaml"
        file.write_text(text)
        descriptors = len(os.listdir("/proc/self/fd"))
        begun = time.perf_counter()
        took = []
        with tierfed.up(file, wait_timeout=300) as tree:
            assert tree.deployment is not None
            ready = time.perf_counter() - begun
            for _ in range(rounds + 1):
                start = time.perf_counter()
                result = np.asarray(tree.invoke(step, np.ones(1000, np.float32)))
                took.append(time.perf_counter() - start)
                if not (result == 1).all():
                    raise SystemExit(f"{name}: the mean of ones is {result[:3]}")
            status = tree.deployment.status()
            memory = {name: _memory(process["pid"]) for name, process in status["processes"].items()}
            root = status["processes"]["server"]["pid"]
            open_ = len(os.listdir(f"/proc/{root}/fd"))
            nodes = len(status["nodes"])
            start = time.perf_counter()
        down = time.perf_counter() - start
        left = _processes(home)
        leaked = len(os.listdir("/proc/self/fd")) - descriptors
    rows = [
        row(f"{name}: {nodes} nodes ready", ready, "s"),
        row(f"{name}: first round, in which all are sent the program", took[0], "s"),
        row(f"{name}: a round", statistics.median(took[1:]), "s"),
        row(f"{name}: a round, for each node", statistics.median(took[1:]) / nodes * 1e3, "ms"),
        row(f"{name}: memory of all nodes", sum(memory.values()), "MiB"),
        row(f"{name}: taken down", down, "s"),
        row(f"{name}: processes left, descriptors leaked", left + leaked, "", "<= 0"),
    ]
    return rows, memory["server"], open_


def run(quick: bool = False) -> list[Row]:
    """Return the rows of this benchmark."""
    rounds = 1 if quick else ROUNDS
    children = 200 if quick else 5000
    wanted = 2 * children + 1000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < wanted:
        raise SystemExit(f"{children} children take {wanted} descriptors: raise the hard limit (ulimit -Hn {wanted})")
    five, _, _ = _measured("1-2-8-40-1000", FIVE, rounds)
    wide, memory, open_ = _measured(f"1-{children}", WIDE % children, rounds)
    return [
        *five,
        *wide,
        row(f"1-{children}: memory of the aggregator", memory, "MiB", "<= 250"),
        row(f"1-{children}: descriptors of the aggregator", open_, "fds"),
    ]


if __name__ == "__main__":
    for each in run():
        print(json.dumps(each))
