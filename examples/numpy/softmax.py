"""Logistic regression over a tree, in numpy: the whole of a program in one file.

step      (<MODEL@SERVER,HYPER,int32> -> MODEL@SERVER)
evaluate  (MODEL@SERVER -> <accuracy=float32,loss=float32>@SERVER)

tierfed up examples/numpy/topology.yaml
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tierfed

MODEL = tierfed.to_type("<w=float32[784,10],b=float32[10]>")
EXAMPLES = tierfed.to_type("<x=float32[?,784],y=int32[?]>")
HYPER = tierfed.to_type("<lr=float32,epochs=int32,batch=int32>")
MEMBER = tierfed.to_type("<index=int32,seed=uint64>")


def chances(model: Any, x: Any) -> Any:
    """Return the probabilities of the ten classes, a row an image."""
    scores = x @ model["w"] + model["b"]
    grown = np.exp(scores - scores.max(1, keepdims=True))
    return grown / grown.sum(1, keepdims=True)


@tierfed.py_computation(MODEL, EXAMPLES, MEMBER, HYPER, np.int32, returns=(MODEL, np.float32))
def local_update(model: Any, data: Any, member: Any, hyper: Any, number: Any) -> Any:
    """Return how a client's examples change the model, and how many they are: a leaf, which runs at the client."""
    w, b, x, y = model["w"].copy(), model["b"].copy(), data["x"], data["y"]
    rng = np.random.default_rng((int(member["seed"]), int(number)))  # randomness is an argument: runs can be repeated
    for _ in range(hyper["epochs"]):
        order = rng.permutation(len(y))
        for start in range(0, len(y), int(hyper["batch"])):
            rows = order[start : start + hyper["batch"]]
            wrong = chances({"w": w, "b": b}, x[rows])
            wrong[np.arange(len(rows)), y[rows]] -= 1
            w -= hyper["lr"] * (x[rows].T @ wrong) / np.float32(len(rows))
            b -= hyper["lr"] * wrong.mean(0)
    return {"w": w - model["w"], "b": b - model["b"]}, np.float32(len(y))


@tierfed.py_computation(MODEL, EXAMPLES, returns="<accuracy=float32,loss=float32>")
def score(model: Any, data: Any) -> Any:
    """Return the share of images that the model puts into their class, and its mean loss."""
    found, y = chances(model, data["x"]), data["y"]
    lost = -np.log(found[np.arange(len(y)), y] + np.float32(1e-12)).mean()
    return {"accuracy": np.float32((found.argmax(1) == y).mean()), "loss": np.float32(lost)}


@tierfed.federated_computation(tierfed.FederatedType(MODEL, tierfed.SERVER), HYPER, np.int32)
def step(model: Any, hyper: Any, number: Any) -> Any:
    """Return the model after a round: no tier between server and clients is named, so there may be any."""
    data = tierfed.federated_data("train", EXAMPLES, tierfed.CLIENTS)
    member = tierfed.federated_data("tierfed:member", MEMBER, tierfed.CLIENTS)
    here = tierfed.federated_zip((tierfed.federated_broadcast(model), data, member))
    change, examples = tierfed.federated_map(lambda p: local_update(p[0], p[1], p[2], hyper, number), here)
    return model + tierfed.federated_mean(change, weight=examples)


@tierfed.federated_computation(tierfed.FederatedType(MODEL, tierfed.SERVER))
def evaluate(model: Any) -> Any:
    """Return the score on the test images, which no client trains on."""
    test = tierfed.federated_data("test", EXAMPLES, tierfed.SERVER)
    return tierfed.federated_map(lambda p: score(p[0], p[1]), tierfed.federated_zip((model, test)))


@tierfed.job(round=step)
async def train(tree: Any, *, rounds: int = 10, lr: float = 0.1, local_epochs: int = 2, batch: int = 16) -> Any:
    """Return the model after `rounds` rounds."""
    model = await tree.resume() or {"w": np.zeros((784, 10), np.float32), "b": np.zeros(10, np.float32)}
    hyper = {"lr": lr, "epochs": local_epochs, "batch": batch}
    for r in tree.rounds(rounds):
        model = await tree.ainvoke(step, model, hyper, r)
        tree.release(r, await tree.ainvoke(evaluate, model))
        await tree.checkpoint(r, model)
    return model
