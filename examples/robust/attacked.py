"""Federated averaging in which some clients lie: what `tierfed.learning.robust` bears, and where.

    tierfed simulate topology.yaml --set job.params.attackers=5 --set job.params.place=spread

A liar sends what it learned, negated and ten times as large, and tells its number of examples as it is.

| place | where the liars are |
|---|---|
| `spread` | as many below each edge, as far as that goes |
| `together` | below the first edge, then below the second, … |
| `majorities` | six of the ten below the first edge, six below the second, … |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import tierfed
from tierfed.errors import JobError
from tierfed.learning import fedavg, mlp, robust

STRENGTH = np.float32(-10)
FAN_IN = 10  # clients of an edge
EDGES = 5


PLACES = ("spread", "together", "majorities")
MOST = FAN_IN // 2 + 1


def lies(index: int, attackers: int, place: str) -> bool:
    """Return whether client `index` is one of so many liars."""
    edge, nth = divmod(index, FAN_IN)
    if place == "majorities":
        return nth < MOST and edge * MOST + nth < attackers
    return (index if place == "together" else nth * EDGES + edge) < attackers


@tierfed.py_computation(fedavg.MODEL, fedavg.MEMBER, np.int32, np.int32, returns=fedavg.MODEL)
def sent(delta: Any, member: Any, attackers: Any, place: Any) -> Any:
    """Return what a client sends for what it has learned."""
    if not lies(int(member["index"]), int(attackers), PLACES[int(place)]):
        return delta
    return {name: part * STRENGTH for name, part in delta.items()}


def step_of(rules: Mapping[str, Any] | None = None) -> tierfed.Computation:
    """Return a round with these rules."""
    at_tiers = robust.by_tier(rules)

    @tierfed.federated_computation(
        tierfed.FederatedType(fedavg.MODEL, tierfed.SERVER), fedavg.HYPER, np.int32, np.int32, np.int32
    )
    def step(model: Any, hyper: Any, number: Any, attackers: Any, place: Any) -> Any:
        data = tierfed.federated_data("train", fedavg.EXAMPLES, tierfed.CLIENTS)
        member = tierfed.federated_data("tierfed:member", fedavg.MEMBER, tierfed.CLIENTS)
        here = tierfed.federated_zip((tierfed.federated_broadcast(model), data, member))
        delta, examples = tierfed.federated_map(lambda p: fedavg.local_update(p[0], p[1], p[2], hyper, number), here)
        told = tierfed.federated_map(
            lambda p: sent(p[0], p[1], attackers, place), tierfed.federated_zip((delta, member))
        )
        return model + robust.aggregated(told, examples, at_tiers)

    return step


@tierfed.job(round=step_of)
async def train(
    tree: Any,
    *,
    rounds: int = 15,
    lr: float = 0.1,
    local_epochs: int = 3,
    batch: int = 16,
    attackers: int = 0,
    place: str = "spread",
    rules: Mapping[str, Any] | None = None,
) -> Any:
    """Return the model after `rounds` rounds among so many liars."""
    if place not in PLACES:
        raise JobError(f"place is {place!r}", where="job.params.place", mend=f"use {', '.join(PLACES)}")
    step = step_of(rules)
    model: Any = mlp.initial_model(tree.seed)
    hyper = {"lr": lr, "epochs": local_epochs, "batch": batch}
    for r in tree.rounds(rounds):
        model = await tree.ainvoke(step, model, hyper, r, attackers, PLACES.index(place))
        tree.release(r, await tree.ainvoke(fedavg.evaluate, model))
    return model
