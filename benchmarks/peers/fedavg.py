"""FedAvg of a million float32, in which every client adds one: what the other frameworks were measured with.

    tierfed up benchmarks/peers/flat.yaml            1-8
    tierfed up benchmarks/peers/tree.yaml            1-2-8

With PEERBENCH_LOG set, each round writes its number, the time and the first weight to that file: after round r
it must be r.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

import tierfed

MODEL = tierfed.to_type("float32[1000000]")


@tierfed.py_computation(MODEL, returns=MODEL)
def train(model: Any) -> Any:
    """Return the model, one more."""
    return model + np.float32(1)


@tierfed.federated_computation(MODEL)
def step(model: Any) -> Any:
    """Return the mean of the clients' models."""
    here = tierfed.federated_value(model, tierfed.SERVER)
    return tierfed.federated_mean(tierfed.federated_map(train, tierfed.federated_broadcast(here)))


@tierfed.job(round=step)
async def fedavg(tree: Any, *, rounds: int = 10) -> Any:
    """Train; raise if a weight is not what it must be."""
    model = np.zeros(1_000_000, np.float32)
    _stamp(0, model)
    for r in tree.rounds(rounds):
        model = await tree.ainvoke(step, model)
        _stamp(r + 1, model)
        tree.release(r, {"weight": float(model[0])})
    if not (model == np.float32(rounds)).all():
        raise ValueError(f"a weight is {model.min()} after {rounds} rounds")
    return model


def _stamp(number: int, model: Any) -> None:
    log = os.environ.get("PEERBENCH_LOG")
    if log:
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{number} {time.time():.3f} {float(model[0])}\n")
