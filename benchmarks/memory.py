"""The peak memory of an aggregator: 64 children that send a large model each, and 4 that are sent one.

    python -m benchmarks memory

A tree of 1-64, the clients in one process, whose leaf returns one shared array; nothing goes down but a number.  Then
one of 1-4, down which the model goes.  Held against base + 1.2 models + budget: what is read is the peak resident set
(VmHWM) of the aggregator's process over the round, less what was resident before.  The budget is 256 MB or 8 payloads.
`TIERFED_MODEL_MB` is the size of the model, 400 without.
"""

from __future__ import annotations

import functools
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tierfed
from benchmarks.rows import Row, row
from tierfed.node.receive_buffers import default_budget

MB = 1024 * 1024
CHILDREN = 64
TREE = """\
apiVersion: tierfed/v1
kind: Topology
name: memory
placements:
  SERVER: {collect: {deadline: 600s}}
  CLIENTS: {parent: SERVER, count: %d, colocate: %d}
"""


@functools.cache
def _model(size: int) -> Any:
    """Return an array that all clients of a process share."""
    array = np.ones(size, np.float32)
    array.flags.writeable = False
    return array


def update(size: Any) -> Any:
    """Return a client's update."""
    return _model(int(size))


def last(array: Any) -> Any:
    """Return the last number of a model."""
    return array[-1]


def _programs(size: int) -> tuple[Any, Any]:
    """Return what sends a model of `size` elements up from every client, and what sends one down."""
    model = tierfed.to_type(f"float32[{size}]")
    updated = tierfed.py_computation(update, np.int64, returns=model)
    looked_at = tierfed.py_computation(last, model, returns=np.float32)

    @tierfed.federated_computation(np.int64)
    def up(n: Any) -> Any:
        at_clients = tierfed.federated_broadcast(tierfed.federated_value(n, tierfed.SERVER))
        return tierfed.federated_sum(tierfed.federated_map(updated, at_clients))

    @tierfed.federated_computation(model)
    def down(array: Any) -> Any:
        at_clients = tierfed.federated_broadcast(tierfed.federated_value(array, tierfed.SERVER))
        return tierfed.federated_sum(tierfed.federated_map(looked_at, at_clients))

    return up, down


def _resident(pid: int, which: str) -> float:
    """Return `VmRSS`, `VmHWM` or another size of a process, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(which + ":")).split()[1]) / 1024


def _peak(children: int, program: Any, argument: Any, check: Callable[[Any], bool]) -> tuple[float, float, float]:
    """Return the base and the peak above it of an aggregator in one round, in MB, and the seconds that it took."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["TIERFED_HOME"] = home
        file = Path(home) / "memory.yaml"
        file.write_text(TREE % (children, children))
        with tierfed.up(file) as tree:
            assert tree.deployment is not None
            pid = tree.deployment.status()["processes"]["server"]["pid"]
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins here
            base = _resident(pid, "VmRSS")
            begun = time.perf_counter()
            result = tree.invoke(program, argument)
            took = time.perf_counter() - begun
            peak = _resident(pid, "VmHWM")
        if not check(result):
            raise SystemExit(f"a wrong result: {np.asarray(result).reshape(-1)[:3]}")
    return base, peak - base, took


def run(quick: bool = False) -> list[Row]:
    """Return the rows of this benchmark."""
    megabytes = 10 if quick else int(os.environ.get("TIERFED_MODEL_MB", "400"))
    size = megabytes * MB // 4
    up, down = _programs(size)
    budget = default_budget(size * 4) / MB
    rows = []
    base, peak, took = _peak(CHILDREN, up, size, lambda r: bool((np.asarray(r) == CHILDREN).all()))
    name = f"{CHILDREN} children send {megabytes} MB each"
    rows += [
        row(f"{name}: base", base, "MB"),
        row(f"{name}: peak above it", peak, "MB", f"<= {1.2 * megabytes + budget:g}"),
        row(f"{name}: the round", took, "s"),
    ]
    base, peak, took = _peak(4, down, np.ones(size, np.float32), lambda r: float(r) == 4.0)
    name = f"4 children are sent {megabytes} MB each"
    return [
        *rows,
        row(f"{name}: base", base, "MB"),
        row(f"{name}: peak above it", peak, "MB", f"<= {1.2 * megabytes + budget:g}"),
        row(f"{name}: the round", took, "s"),
    ]


if __name__ == "__main__":
    for each in run():
        print(json.dumps(each))
