"""HierFAVG as the paper has it: kappa_1 local steps, kappa_2 edge rounds, then the cloud.

    cloud_round  (<MODEL@SERVER,HYPER,int32> -> MODEL@SERVER)
    evaluate     (MODEL@SERVER -> SCORE@SERVER)

Each edge starts from the cloud's model.  kappa_2 times, its clients take kappa_1 steps of gradient descent each from
the edge's model, which becomes the mean of theirs, weighted by examples.  Then the cloud's model becomes the mean of
the edges', weighted by theirs.  How many examples an edge has rises beside the models, in the same message, so that an
edge round has one upload a client, and a cloud round one an edge.

A local update is one call of a leaf, whatever kappa_1: its time on the clock, kappa_1 · T_comp, is `compute.time` of
the topology.  `train` ends with the round that reaches `target`.

Source: Liu et al. 2020, arXiv:1905.06641, algorithm 1.
"""

from __future__ import annotations

from typing import Any

import lenet
import numpy as np

import tierfed

EDGE = tierfed.placement("EDGE_AGGREGATORS")
EXAMPLES = tierfed.to_type("<x=float32[?,784],y=int32[?]>")
MODEL = tierfed.to_type({name: (np.float32, shape) for name, shape in lenet.SHAPES.items()})
HYPER = tierfed.to_type("<kappa_1=int32,kappa_2=int32,lr=float32,batch=int32>")
MEMBER = tierfed.to_type("<index=int32,seed=uint64>")
SCORE = tierfed.to_type("<accuracy=float32,loss=float32>")


@tierfed.py_computation(MODEL, EXAMPLES, MEMBER, HYPER, np.int32, returns=(MODEL, np.float32))
def local_update(model: Any, data: Any, member: Any, hyper: Any, number: Any) -> Any:
    """Return `model` after kappa_1 steps on a member's examples, and how many these are, in edge round `number`."""
    new = lenet.descend(
        model,
        data["x"],
        data["y"],
        steps=int(hyper["kappa_1"]),
        lr=hyper["lr"],
        batch=int(hyper["batch"]),
        seed=(int(member["seed"]), int(number)),
    )
    return new, np.float32(len(data["y"]))


@tierfed.py_computation(MODEL, EXAMPLES, returns=SCORE)
def score(model: Any, data: Any) -> Any:
    """Return the accuracy and the mean loss of `model` on `data`."""
    right, lost = lenet.score(model, data["x"], data["y"])
    return {"accuracy": np.float32(right / len(data["y"])), "loss": np.float32(lost / len(data["y"]))}


@tierfed.federated_computation(tierfed.FederatedType(MODEL, tierfed.SERVER), HYPER, np.int32)
def cloud_round(model: Any, hyper: Any, number: Any) -> Any:
    """Return the model after cloud round `number`."""
    data = tierfed.federated_data("train", EXAMPLES, tierfed.CLIENTS)
    member = tierfed.federated_data("tierfed:member", MEMBER, tierfed.CLIENTS)
    before = number * hyper["kappa_2"]  # edge rounds, of which each draws its own batches

    def edge_round(state: Any) -> Any:
        given = tierfed.federated_broadcast(tierfed.federated_zip((state["model"], state["turn"])), to=tierfed.CLIENTS)
        here = tierfed.federated_zip((given, data, member))
        new, examples = tierfed.federated_map(
            lambda p: local_update(p[0][0], p[1], p[2], hyper, before + p[0][1]), here
        )
        return {
            "model": tierfed.federated_mean(new, weight=examples, to=EDGE),
            "examples": tierfed.federated_sum(examples, to=EDGE),
            "turn": state["turn"] + 1,
        }

    start = {
        "model": tierfed.federated_broadcast(model, to=EDGE),
        "examples": tierfed.federated_value(np.float32(0), EDGE),
        "turn": tierfed.federated_value(np.int32(0), EDGE),
    }
    after = tierfed.federated_iterate(edge_round, start, hyper["kappa_2"], at=EDGE)
    return tierfed.federated_mean(after["model"], weight=after["examples"])


@tierfed.federated_computation(tierfed.FederatedType(MODEL, tierfed.SERVER))
def evaluate(model: Any) -> Any:
    """Return the score of `model` on the server's test images, which no client trains on."""
    test = tierfed.federated_data("test", EXAMPLES, tierfed.SERVER)
    return tierfed.federated_map(lambda p: score(p[0], p[1]), tierfed.federated_zip((model, test)))


@tierfed.job(round=cloud_round)
async def train(
    tree: Any,
    *,
    rounds: int = 100,
    kappa_1: int = 6,
    kappa_2: int = 10,
    lr: float = 0.05,
    batch: int = 2,
    target: float = 0.85,
) -> Any:
    """Return the model after the cloud round that reached `target`, or after `rounds` of them."""
    model = await tree.resume() or lenet.initial_model(tree.seed)
    hyper = {"kappa_1": kappa_1, "kappa_2": kappa_2, "lr": lr, "batch": batch}
    for r in tree.rounds(rounds, until=lambda metrics: metrics["accuracy"] >= target):
        model = await tree.ainvoke(cloud_round, model, hyper, r)
        tree.release(r, await tree.ainvoke(evaluate, model))
        await tree.checkpoint(r, model)
    return model
