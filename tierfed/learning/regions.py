"""Federated averaging that also tells how the model does in each region.

    step  (<MODEL@SERVER,HYPER,int32> -> <model=MODEL@SERVER,regions={REGION}@EDGE_AGGREGATORS,
                                          worst=float32@SERVER,best=float32@SERVER>)

This program names EDGE_AGGREGATORS, so its topology must have that tier, wherever in the tree.
Each client tallies the model that it was given on its own examples; the tallies are added up at
their edge, and become rates there.  Counts add up and rates do not: a region's accuracy is that
over its examples, never a mean of its clients' accuracies.

No client's tally goes further than its edge.  The worst and the best region's accuracy rise to the
server; `regions` stays at the edges, and whoever calls `step` has a handle of it, to fetch one value an edge.

    job: {program: tierfed.learning.regions:train, …}

Source: worst-group accuracy as in Mohri et al. 2019 (agnostic federated learning), arXiv:1902.00146.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tierfed
from tierfed.learning import fedavg, mlp

EDGE = tierfed.placement("EDGE_AGGREGATORS")
TALLY = tierfed.to_type("<correct=int64,loss=float64,labels=int64[10]>")
REGION = tierfed.to_type("<accuracy=float32,loss=float32,examples=int64,labels=float32[10]>")


@tierfed.py_computation(fedavg.MODEL, fedavg.EXAMPLES, returns=TALLY)
def tally(model: Any, data: Any) -> Any:
    """Return what can be added up: images put right, the sum of their losses, images of each class."""
    correct, loss = mlp.score(model, data["x"], data["y"])
    return {
        "correct": np.int64(correct),
        "loss": np.float64(loss),
        "labels": np.bincount(data["y"], minlength=mlp.CLASSES).astype(np.int64),
    }


@tierfed.py_computation(TALLY, returns=REGION)
def rates(total: Any) -> Any:
    """Return the rates that a sum of tallies stands for; over no examples they are not numbers."""
    examples = total["labels"].sum()
    with np.errstate(invalid="ignore"):
        return {
            "accuracy": np.float32(total["correct"] / examples),
            "loss": np.float32(total["loss"] / examples),
            "examples": examples,
            "labels": (total["labels"] / examples).astype(np.float32),
        }


@tierfed.federated_computation(tierfed.FederatedType(fedavg.MODEL, tierfed.SERVER), fedavg.HYPER, np.int32)
def step(model: Any, hyper: Any, number: Any) -> Any:
    """Return the model after round `number`, and what each region made of the one before."""
    data = tierfed.federated_data("train", fedavg.EXAMPLES, tierfed.CLIENTS)
    given = tierfed.federated_zip((tierfed.federated_broadcast(model), data))
    tallies = tierfed.federated_map(lambda p: tally(p[0], p[1]), given)
    regions = tierfed.federated_map(rates, tierfed.federated_sum(tallies, to=EDGE))
    return {
        "model": fedavg.step(model, hyper, number),
        "regions": regions,
        "worst": tierfed.federated_min(regions.accuracy),
        "best": tierfed.federated_max(regions.accuracy),
    }


@tierfed.job
async def train(tree: Any, *, rounds: int = 20, lr: float = 0.1, local_epochs: int = 3, batch: int = 16) -> Any:
    """Return the model after `rounds` rounds; each releases the worst and best region's accuracy beside the score."""
    model = await tree.resume() or mlp.initial_model(tree.seed)
    hyper = {"lr": lr, "epochs": local_epochs, "batch": batch}
    for r in tree.rounds(rounds):
        after = await tree.ainvoke(step, model, hyper, r)
        model = after["model"]
        score = await tree.ainvoke(fedavg.evaluate, model)
        tree.release(r, {**score, "worst_region": after["worst"], "best_region": after["best"]})
        await tree.checkpoint(r, model)
    return model
