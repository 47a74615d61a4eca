"""Federated averaging of a small perceptron, over however many tiers the tree has.

    step              (<MODEL@SERVER,HYPER,int32> -> MODEL@SERVER)
    evaluate          (MODEL@SERVER -> SCORE@SERVER)
    evaluate_clients  (MODEL@SERVER -> <accuracy=float32,loss=float32,examples=float32,worst=float32,…>@SERVER)

In a round every client trains the server's model on its own examples, and the model moves by
the mean of their changes, weighted by examples.  No tier between is named: a weighted mean
rises as (sum, weight) and is divided at the server, so two tiers and five give one model, up to
the rounding of sums in another order.

    tierfed up topologies/three_tier.yaml

Source: McMahan et al. 2017, arXiv:1602.05629, algorithm 1, with every client in every round.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tierfed
from tierfed.learning import evaluation, mlp

EXAMPLES = tierfed.to_type("<x=float32[?,784],y=int32[?]>")
MODEL = tierfed.to_type("<w1=float32[784,64],b1=float32[64],w2=float32[64,10],b2=float32[10]>")
HYPER = tierfed.to_type("<lr=float32,epochs=int32,batch=int32>")
MEMBER = tierfed.to_type("<index=int32,seed=uint64>")
SCORE = tierfed.to_type("<accuracy=float32,loss=float32,examples=int32>")


def local_sgd(model: Any, data: Any, member: Any, hyper: Any, number: Any, correction: Any = None) -> Any:
    """Return the change that a member's examples make to `model`, and how many they are.

    The order of its examples is drawn from the member's own seed and the round's number.  Other
    algorithms are this with a `correction` of the gradient (`mlp.sgd`).
    """
    new = mlp.sgd(
        model,
        data["x"],
        data["y"],
        lr=hyper["lr"],
        epochs=hyper["epochs"],
        batch=hyper["batch"],
        seed=(int(member["seed"]), int(number)),
        correction=correction,
    )
    return {part: new[part] - model[part] for part in model}, np.float32(len(data["y"]))


@tierfed.py_computation(MODEL, EXAMPLES, MEMBER, HYPER, np.int32, returns=(MODEL, np.float32))
def local_update(model: Any, data: Any, member: Any, hyper: Any, number: Any) -> Any:
    """Return what `local_sgd` does: here it is a leaf, with types."""
    return local_sgd(model, data, member, hyper, number)


@tierfed.py_computation(MODEL, EXAMPLES, returns=SCORE)
def score(model: Any, data: Any) -> Any:
    """Return the accuracy and the loss of `model` on `data`, and how many examples that was."""
    correct, loss = mlp.score(model, data["x"], data["y"])
    examples = len(data["y"])
    return {
        "accuracy": np.float32(correct / examples),
        "loss": np.float32(loss / examples),
        "examples": np.int32(examples),
    }


@tierfed.federated_computation(tierfed.FederatedType(MODEL, tierfed.SERVER), HYPER, np.int32)
def step(model: Any, hyper: Any, number: Any) -> Any:
    """Return the model after round `number`."""
    data = tierfed.federated_data("train", EXAMPLES, tierfed.CLIENTS)
    member = tierfed.federated_data("tierfed:member", MEMBER, tierfed.CLIENTS)
    here = tierfed.federated_zip((tierfed.federated_broadcast(model), data, member))
    delta, examples = tierfed.federated_map(lambda p: local_update(p[0], p[1], p[2], hyper, number), here)
    return model + tierfed.federated_mean(delta, weight=examples)


@tierfed.federated_computation(tierfed.FederatedType(MODEL, tierfed.SERVER))
def evaluate(model: Any) -> Any:
    """Return the score of `model` on the server's test images, which no client trains on."""
    test = tierfed.federated_data("test", EXAMPLES, tierfed.SERVER)
    return tierfed.federated_map(lambda p: score(p[0], p[1]), tierfed.federated_zip((model, test)))


@tierfed.py_computation(MODEL, EXAMPLES, EXAMPLES, returns=evaluation.OWN)
def own_score(model: Any, train: Any, test: Any) -> Any:
    """Return the accuracy and the loss of `model` on `test`, its classes in the shares that they have in `train`."""
    right, losses = mlp.each_score(model, test["x"], test["y"])
    return evaluation.own(right, losses, test["y"], train["y"])


@tierfed.federated_computation(tierfed.FederatedType(MODEL, tierfed.SERVER))
def evaluate_clients(model: Any) -> Any:
    """Return how `model` does for the clients: on the whole, for the worst of them, and for those between."""
    train, test = (tierfed.federated_data(uri, EXAMPLES, tierfed.CLIENTS) for uri in ("train", "test"))
    here = tierfed.federated_zip((tierfed.federated_broadcast(model), train, test))
    return evaluation.over_clients(tierfed.federated_map(lambda p: own_score(p[0], p[1], p[2]), here))


EVALUATE = {"server": evaluate, "clients": evaluate_clients}


@tierfed.job(round=step)
async def train(
    tree: Any,
    *,
    rounds: int = 20,
    lr: float = 0.1,
    local_epochs: int = 3,
    batch: int = 16,
    evaluate: str = "server",
) -> Any:
    """Return the model after `rounds` rounds, each evaluated at the `server`, or for its `clients`."""
    score = evaluation.chosen(EVALUATE, evaluate)
    model = await tree.resume() or mlp.initial_model(tree.seed)
    hyper = {"lr": lr, "epochs": local_epochs, "batch": batch}
    for r in tree.rounds(rounds):
        model = await tree.ainvoke(step, model, hyper, r)
        tree.release(r, await tree.ainvoke(score, model))
        await tree.checkpoint(r, model)
    return model
