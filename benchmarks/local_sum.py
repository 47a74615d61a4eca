"""`federated_sum` of 100 x 1M float32, given from Python, in the local context, beside numpy.

    python -m benchmarks.local_sum

The same arrays are added by numpy into one that was allocated for the purpose, in turn with
ours; the difference is what checking, tracing and folding cost.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import numpy as np

import tierfed
from benchmarks.rows import Row, row

MEMBERS, ELEMENTS, RUNS = 100, 1_000_000, 5

VECTOR = tierfed.FederatedType((np.float32, [ELEMENTS]), tierfed.CLIENTS)


@tierfed.federated_computation(VECTOR)
def total(values: Any) -> Any:
    """Return the sum."""
    return tierfed.federated_sum(values)


@tierfed.federated_computation(VECTOR)
def mean(values: Any) -> Any:
    """Return the mean."""
    return tierfed.federated_mean(values)


def run(quick: bool = False) -> list[Row]:
    """Return the rows of this benchmark."""
    rng = np.random.default_rng(0)
    values = [rng.random(ELEMENTS, np.float32) for _ in range(MEMBERS)]

    def plain() -> Any:
        result = np.zeros(ELEMENTS, np.float32)
        for value in values:
            result += value
        return result

    assert np.array_equal(total(values), plain())
    seconds: dict[str, list[float]] = {"sum": [], "mean": [], "numpy": []}
    for _ in range(2 if quick else RUNS):
        for name, call in (("sum", lambda: total(values)), ("mean", lambda: mean(values)), ("numpy", plain)):
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(each) for name, each in seconds.items()}
    return [
        row("sum of 100 x 1M float32, numpy", median["numpy"], "s"),
        row("federated_sum of the same, local", median["sum"], "s", "<= 0.15"),
        row("federated_sum against numpy", median["sum"] / median["numpy"], "x", "<= 2.5"),
        row("federated_mean against numpy's sum", median["mean"] / median["numpy"], "x"),
    ]


if __name__ == "__main__":
    for each in run():
        print(json.dumps(each))
