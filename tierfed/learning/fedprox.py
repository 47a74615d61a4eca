"""FedProx: federated averaging whose clients are held near the model that they started from.

    step   (<MODEL@SERVER,HYPER,int32> -> MODEL@SERVER)

Each client descends its own loss plus (mu / 2) |w - w0|^2, w0 being the server's model: to the
gradient of each step `mu * (w - w0)` is added.  So clients that take many steps on data unlike others'
drift less.  With mu = 0 it is federated averaging, to the bit.

    job: {program: tierfed.learning.fedprox:train, params: {mu: 0.1}, …}

Nothing more is sent than by `fedavg`.  Source: Li et al. 2018, arXiv:1812.06127, algorithm 2.  There
devices are sampled by their share of examples and averaged evenly; here all take part, and are
weighted by their examples, as in `fedavg`; and all do the same number of passes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tierfed
from tierfed.learning import evaluation, fedavg, mlp

HYPER = tierfed.to_type("<lr=float32,epochs=int32,batch=int32,mu=float32>")


@tierfed.py_computation(
    fedavg.MODEL, fedavg.EXAMPLES, fedavg.MEMBER, HYPER, np.int32, returns=(fedavg.MODEL, np.float32)
)
def local_update(model: Any, data: Any, member: Any, hyper: Any, number: Any) -> Any:
    """Return the change that a member's examples make to `model`, and how many they are."""

    def pull(weights: Any) -> Any:
        return {part: hyper["mu"] * (weights[part] - model[part]) for part in model}

    return fedavg.local_sgd(model, data, member, hyper, number, pull)


@tierfed.federated_computation(tierfed.FederatedType(fedavg.MODEL, tierfed.SERVER), HYPER, np.int32)
def step(model: Any, hyper: Any, number: Any) -> Any:
    """Return the model after round `number`."""
    data = tierfed.federated_data("train", fedavg.EXAMPLES, tierfed.CLIENTS)
    member = tierfed.federated_data("tierfed:member", fedavg.MEMBER, tierfed.CLIENTS)
    here = tierfed.federated_zip((tierfed.federated_broadcast(model), data, member))
    delta, examples = tierfed.federated_map(lambda p: local_update(p[0], p[1], p[2], hyper, number), here)
    return model + tierfed.federated_mean(delta, weight=examples)


@tierfed.job(round=step)
async def train(
    tree: Any,
    *,
    rounds: int = 20,
    lr: float = 0.1,
    local_epochs: int = 3,
    batch: int = 16,
    mu: float = 0.1,
    evaluate: str = "server",
) -> Any:
    """Return the model after `rounds` rounds; `mu` is how strongly clients are held."""
    score = evaluation.chosen(fedavg.EVALUATE, evaluate)
    model = await tree.resume() or mlp.initial_model(tree.seed)
    hyper = {"lr": lr, "epochs": local_epochs, "batch": batch, "mu": mu}
    for r in tree.rounds(rounds):
        model = await tree.ainvoke(step, model, hyper, r)
        tree.release(r, await tree.ainvoke(score, model))
        await tree.checkpoint(r, model)
    return model
