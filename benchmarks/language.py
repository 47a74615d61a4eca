"""What the language costs: calling, compiling and folding, beside what is computed.

    python -m benchmarks.language

Calls run in the local context, the reference interpreter, over two clients.  The leaves do next to nothing,
and the time of their own Python is taken off: what remains is checking arguments, evaluating, checking what
leaves return, and giving the result back.  The main job's round is compiled from its trace to its slices
and their hash, every pass checked.

The limits are goals of the language.  For the mean of 1,000 scalars TensorFlow Federated's local executor
took 310 ms.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tierfed
from benchmarks.rows import Row, row
from tierfed.learning import fedavg, regions

SCALARS = 1_000
CLIENTS = tierfed.FederatedType(np.float32, tierfed.CLIENTS)
THREE = tierfed.Hierarchy.chain("SERVER", "EDGE_AGGREGATORS", "CLIENTS")


@tierfed.py_computation(np.float32, np.float32, returns=np.float32)
def shifted(value: Any, by: Any) -> Any:
    """Return `value + by`."""
    return value + by


@tierfed.py_computation(np.float32, returns=np.float32)
def doubled(value: Any) -> Any:
    """Return `value` twice."""
    return value + value


@tierfed.federated_computation(CLIENTS)
def ten_nodes(readings: Any) -> Any:
    """Return the mean of what each client makes of its number: ten nodes, beside the name of the result."""
    return tierfed.federated_mean(tierfed.federated_map(doubled, readings))


@tierfed.federated_computation(np.float32, np.float32)
def ten_operations(value: Any, by: Any) -> Any:
    """Return what five leaves and five additions make of two numbers."""
    for _ in range(5):
        value = shifted(value, by) + value
    return value


@tierfed.federated_computation(CLIENTS, tierfed.FederatedType(np.float32, tierfed.SERVER))
def eleven_federated(readings: Any, offset: Any) -> Any:
    """Return what eleven federated operations make of the clients' numbers: maps, zips, a mean, a sum, a broadcast."""
    here = tierfed.federated_zip((readings, tierfed.federated_broadcast(offset)))
    mean = tierfed.federated_mean(tierfed.federated_map(lambda p: shifted(p[0], p[1]), here))
    total = tierfed.federated_sum(readings)
    return tierfed.federated_map(lambda p: shifted(p[0], p[1]), (mean + total, total * offset))


@tierfed.federated_computation(CLIENTS)
def mean(readings: Any) -> Any:
    """Return the mean."""
    return tierfed.federated_mean(readings)


def nodes(computation: tierfed.Computation) -> int:
    """Return the number of nodes of a program."""
    return sum(1 for _ in computation.node.walk())


def microseconds(call: Callable[[], Any], runs: int) -> float:
    """Return the median time of a call."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1e6


def run(quick: bool = False) -> list[Row]:
    """Return the rows of this benchmark."""
    runs = 20 if quick else 1000
    one, two = np.float32(1), np.float32(2)
    shift, double = shifted.python_function, doubled.python_function
    assert shift is not None and double is not None
    pair = [one, two]
    assert (ten_nodes(pair), ten_operations(one, two), eleven_federated(pair, two)) == (3.0, 94.0, 12.5)
    calls: list[tuple[str, Callable[[], Any], Callable[[], Any], str]] = [
        (f"call of {nodes(ten_nodes)} nodes", lambda: ten_nodes(pair), lambda: [double(v) for v in pair], "<= 150"),
        (
            f"call of ten operations, {nodes(ten_operations)} nodes",
            lambda: ten_operations(one, two),
            lambda: [shift(one, two) for _ in range(5)],
            "<= 150",
        ),
        (
            f"call of eleven federated operations, {nodes(eleven_federated)} nodes",
            lambda: eleven_federated(pair, two),
            lambda: [shift(one, two) for _ in range(3)],
            "",
        ),
    ]
    rows = [
        row(f"{name}, beyond its leaves", microseconds(call, runs) - microseconds(leaves, runs), "us", target)
        for name, call, leaves, target in calls
    ]
    compiled = microseconds(lambda: tierfed.compile(fedavg.step, THREE), 3 if quick else 20) / 1e3
    larger = microseconds(lambda: tierfed.compile(regions.step, THREE), 3 if quick else 20) / 1e3
    scalars = list(np.random.default_rng(0).random(SCALARS, np.float32))
    assert abs(mean(scalars) - np.mean(scalars)) < 1e-5
    plain = microseconds(lambda: mean(scalars), 3 if quick else 20) / 1e3
    return [
        *rows,
        row("compiling the main job's round", compiled, "ms", "<= 50"),
        row("compiling the round that also tallies regions", larger, "ms"),
        row(f"federated_mean of {SCALARS} scalars, local", plain, "ms", "<= 20"),
    ]


if __name__ == "__main__":
    for each in run():
        print(json.dumps(each))
