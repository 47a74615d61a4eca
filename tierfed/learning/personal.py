"""Personalised layers: the body of a perceptron is everybody's, its head each client's own.

    init_heads  ( -> {HEAD}@CLIENTS)
    step        (<body=BODY@SERVER,heads={HEAD}@CLIENTS,shared=MODEL@SERVER,hyper=HYPER,number=int32>
                 -> <body=BODY@SERVER,heads={HEAD}@CLIENTS,shared=MODEL@SERVER>)
    evaluate    (<body=BODY@SERVER,heads={HEAD}@CLIENTS,shared=MODEL@SERVER>
                 -> <accuracy=float32@SERVER,shared_accuracy=float32@SERVER>)

A head never leaves its client: a job holds `heads` as a handle and passes it from round to
round.  In a round each client trains body and head together; the body moves by the mean of the
changes, weighted by examples, and the new head stays where it is.

Beside it the same rounds train a model that is all shared, by federated averaging on the same
examples, so that the two can be compared: on the fifth of its own examples that a client
never trains on, as the mean over clients.

    tierfed up topologies/personal.yaml

Source: Arivazhagan et al. 2019, arXiv:1912.00818 (FedPer), algorithms 1 and 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tierfed
from tierfed.learning import fedavg, mlp

BODY = tierfed.to_type("<w1=float32[784,64],b1=float32[64]>")
HEAD = tierfed.to_type("<w2=float32[64,10],b2=float32[10]>")
HEADS = tierfed.FederatedType(HEAD, tierfed.CLIENTS)
OWN = tierfed.to_type("<personal=float32,shared=float32,tested=float32>")

_EVERY = 5  # of so many of a client's examples the last is for its test
_AT_SERVER = (
    ("body", tierfed.FederatedType(BODY, tierfed.SERVER)),
    ("heads", HEADS),
    ("shared", tierfed.FederatedType(fedavg.MODEL, tierfed.SERVER)),
)
STATE = tierfed.StructType(_AT_SERVER, dict)


def parts(data: Any) -> tuple[Any, Any]:
    """Return what a client trains on, and what it is tested on."""
    held_out = np.arange(len(data["y"])) % _EVERY == _EVERY - 1
    train, test = ({name: data[name][which] for name in ("x", "y")} for which in (~held_out, held_out))
    return train, test


def _trained(model: Any, data: Any, member: Any, hyper: Any, number: Any) -> tuple[Any, int]:
    train, _ = parts(data)
    seed = (int(member["seed"]), int(number))
    new = mlp.sgd(
        model, train["x"], train["y"], lr=hyper["lr"], epochs=hyper["epochs"], batch=hyper["batch"], seed=seed
    )
    return new, len(train["y"])


@tierfed.py_computation(fedavg.MEMBER, returns=HEAD)
def initial_head(member: Any) -> Any:
    """Return the head that a client starts from, drawn from its own seed."""
    model = mlp.initial_model(int(member["seed"]))
    return {"w2": model["w2"], "b2": model["b2"]}


@tierfed.py_computation(
    BODY, HEAD, fedavg.EXAMPLES, fedavg.MEMBER, fedavg.HYPER, np.int32, returns=(BODY, HEAD, np.float32)
)
def personal_update(body: Any, head: Any, data: Any, member: Any, hyper: Any, number: Any) -> Any:
    """Return the change that a client's examples make to `body`, its new head, and how many they are."""
    new, examples = _trained({**body, **head}, data, member, hyper, number)
    return {n: new[n] - body[n] for n in body}, {n: new[n] for n in head}, np.float32(examples)


@tierfed.py_computation(
    fedavg.MODEL, fedavg.EXAMPLES, fedavg.MEMBER, fedavg.HYPER, np.int32, returns=(fedavg.MODEL, np.float32)
)
def shared_update(model: Any, data: Any, member: Any, hyper: Any, number: Any) -> Any:
    """Return the change that the same examples make to a model that is all shared, and how many they are."""
    new, examples = _trained(model, data, member, hyper, number)
    return {n: new[n] - model[n] for n in model}, np.float32(examples)


@tierfed.py_computation(BODY, HEAD, fedavg.MODEL, fedavg.EXAMPLES, returns=OWN)
def own_score(body: Any, head: Any, shared: Any, data: Any) -> Any:
    """Return the accuracy of both models on what a client is tested on, and 1 if that is anything."""
    _, test = parts(data)
    count = len(test["y"])
    if not count:
        return {"personal": np.float32(0), "shared": np.float32(0), "tested": np.float32(0)}
    correct = {"personal": {**body, **head}, "shared": shared}
    rates = {name: np.float32(mlp.score(model, test["x"], test["y"])[0] / count) for name, model in correct.items()}
    return {**rates, "tested": np.float32(1)}


def _data() -> tuple[Any, Any]:
    data = tierfed.federated_data("train", fedavg.EXAMPLES, tierfed.CLIENTS)
    return data, tierfed.federated_data("tierfed:member", fedavg.MEMBER, tierfed.CLIENTS)


@tierfed.federated_computation
def init_heads() -> Any:
    """Return each client's first head, which stays there."""
    return tierfed.federated_map(initial_head, _data()[1])


@tierfed.federated_computation(*(t for _, t in _AT_SERVER), fedavg.HYPER, np.int32)
def step(body: Any, heads: Any, shared: Any, hyper: Any, number: Any) -> Any:
    """Return body, heads and the model that is all shared, after round `number`."""
    data, member = _data()
    at_clients = tierfed.federated_zip((tierfed.federated_broadcast(body), heads, data, member))
    change, own, examples = tierfed.federated_map(
        lambda p: personal_update(p[0], p[1], p[2], p[3], hyper, number), at_clients
    )
    same = tierfed.federated_zip((tierfed.federated_broadcast(shared), data, member))
    other, as_many = tierfed.federated_map(lambda p: shared_update(p[0], p[1], p[2], hyper, number), same)
    return {
        "body": body + tierfed.federated_mean(change, weight=examples),
        "heads": own,
        "shared": shared + tierfed.federated_mean(other, weight=as_many),
    }


@tierfed.federated_computation(*(t for _, t in _AT_SERVER))
def evaluate(body: Any, heads: Any, shared: Any) -> Any:
    """Return the mean over clients of their accuracy, personalised and shared, on what they never train on."""
    at_clients = tierfed.federated_zip(
        (tierfed.federated_broadcast(body), heads, tierfed.federated_broadcast(shared), _data()[0])
    )
    own = tierfed.federated_map(own_score, at_clients)
    return {
        "accuracy": tierfed.federated_mean(own.personal, weight=own.tested),
        "shared_accuracy": tierfed.federated_mean(own.shared, weight=own.tested),
    }


@tierfed.job(round=step)
async def train(
    tree: Any, *, rounds: int = 20, lr: float = 0.1, local_epochs: int = 3, batch: int = 16, checkpoint_every: int = 5
) -> Any:
    """Return body, heads and shared model after `rounds` rounds.

    Heads are fetched for checkpoints and at no other time; who was lost when it was made starts from a fresh one.
    """
    first = mlp.initial_model(tree.seed)
    fresh = {"w2": first["w2"], "b2": first["b2"]}
    state = await tree.resume()
    if state is None:
        heads = await tree.ainvoke(init_heads)
        state = {"body": {"w1": first["w1"], "b1": first["b1"]}, "heads": heads.with_default(fresh), "shared": first}
    hyper = {"lr": lr, "epochs": local_epochs, "batch": batch}
    for r in tree.rounds(rounds):
        state = await tree.ainvoke(step, **state, hyper=hyper, number=r)
        state["heads"] = state["heads"].with_default(fresh)
        tree.release(r, await tree.ainvoke(evaluate, **state))
        if (r + 1) % checkpoint_every == 0 or r + 1 == rounds:
            await tree.checkpoint(r, state)
    return state
