"""FedAdagrad, FedYogi, FedAdam: the server takes the clients' mean change for a gradient of its own.

    step   (<state=<model=MODEL,first=MODEL,second=MODEL>@SERVER,hyper=HYPER,server=RULE,number=int32>
            -> <model=MODEL,first=MODEL,second=MODEL>@SERVER)

Clients and sums are those of `fedavg`.  With D, the weighted mean of the changes, the server goes

    m <- beta1 m + (1 - beta1) D
    v <- v + D^2                                        adagrad
    v <- v - (1 - beta2) D^2 sign(v - D^2)              yogi
    v <- beta2 v + (1 - beta2) D^2                      adam
    x <- x + rate m / (sqrt(v) + tau)

each element by itself, from m = 0 and v = tau^2.  Moments never leave the server, but for a
checkpoint: nothing more is sent than by `fedavg`.

    job: {program: tierfed.learning.fedopt:train, params: {optimizer: yogi}, …}

Source: Reddi et al. 2020, arXiv:2003.00295, algorithm 2 (there the mean is over a sample of clients,
each counting alike; here it is over all, weighted by examples).  As in the paper's experiments beta1 is
0.9 and beta2 0.99, and adagrad has no momentum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import tierfed
from tierfed.errors import JobError
from tierfed.learning import evaluation, fedavg, mlp

STATE = tierfed.StructType([("model", fedavg.MODEL), ("first", fedavg.MODEL), ("second", fedavg.MODEL)], dict)
RULE = tierfed.to_type("<optimizer=str,rate=float32,beta1=float32,beta2=float32,tau=float32>")

SECOND: Mapping[str, Callable[[Any, Any, Any], Any]] = {  # the next v, of v, D^2 and beta2
    "adagrad": lambda v, square, beta2: v + square,
    "yogi": lambda v, square, beta2: v - (1 - beta2) * square * np.sign(v - square),
    "adam": lambda v, square, beta2: beta2 * v + (1 - beta2) * square,
}
MOMENTUM = {"adagrad": 0.0, "yogi": 0.9, "adam": 0.9}  # beta1


@tierfed.py_computation(STATE, fedavg.MODEL, RULE, returns=STATE)
def moved(state: Any, change: Any, rule: Any) -> Any:
    """Return the server's state after it has stepped along `change`."""
    beta1, second = rule["beta1"], SECOND[rule["optimizer"]]
    m = {part: beta1 * state["first"][part] + (1 - beta1) * d for part, d in change.items()}
    v = {part: second(state["second"][part], d * d, rule["beta2"]) for part, d in change.items()}
    model = {part: x + rule["rate"] * m[part] / (np.sqrt(v[part]) + rule["tau"]) for part, x in state["model"].items()}
    return {"model": model, "first": m, "second": v}


@tierfed.federated_computation(tierfed.FederatedType(STATE, tierfed.SERVER), fedavg.HYPER, RULE, np.int32)
def step(state: Any, hyper: Any, rule: Any, number: Any) -> Any:
    """Return the server's state after round `number`."""
    model = state.model
    data = tierfed.federated_data("train", fedavg.EXAMPLES, tierfed.CLIENTS)
    member = tierfed.federated_data("tierfed:member", fedavg.MEMBER, tierfed.CLIENTS)
    here = tierfed.federated_zip((tierfed.federated_broadcast(model), data, member))
    delta, examples = tierfed.federated_map(lambda p: fedavg.local_update(p[0], p[1], p[2], hyper, number), here)
    mean = tierfed.federated_mean(delta, weight=examples)
    return tierfed.federated_map(lambda p: moved(p[0], p[1], rule), tierfed.federated_zip((state, mean)))


def initial_state(model: Any, tau: float) -> dict[str, Any]:
    """Return the state that the server starts from."""
    first = {part: np.zeros_like(x) for part, x in model.items()}
    return {"model": model, "first": first, "second": {k: np.full_like(x, tau * tau) for k, x in model.items()}}


def step_of(optimizer: str) -> tierfed.Computation:
    """Return `step`, the same for each optimiser; raises JobError for one that is none, before anything starts."""
    if optimizer not in SECOND:
        raise JobError(
            f"no server optimiser is called {optimizer!r}",
            where="job.params.optimizer",
            mend=f"use one of {', '.join(SECOND)}",
        )
    return step


@tierfed.job(round=step_of)
async def train(
    tree: Any,
    *,
    rounds: int = 20,
    lr: float = 0.1,
    local_epochs: int = 3,
    batch: int = 16,
    optimizer: str = "adam",
    server_lr: float = 0.03,
    tau: float = 0.001,
    evaluate: str = "server",
) -> Any:
    """Return the server's state after `rounds` rounds with the `optimizer` adagrad, yogi or adam."""
    step = step_of(optimizer)
    score = evaluation.chosen(fedavg.EVALUATE, evaluate)
    state = await tree.resume() or initial_state(mlp.initial_model(tree.seed), tau)
    hyper = {"lr": lr, "epochs": local_epochs, "batch": batch}
    rule = {"optimizer": optimizer, "rate": server_lr, "beta1": MOMENTUM[optimizer], "beta2": 0.99, "tau": tau}
    for r in tree.rounds(rounds):
        state = await tree.ainvoke(step, state, hyper, rule, r)
        tree.release(r, await tree.ainvoke(score, state["model"]))
        await tree.checkpoint(r, state)
    return state
