"""SCAFFOLD: local steps that are corrected by how a client's gradients differ from everybody's.

    init_controls  ( -> {MODEL}@CLIENTS)
    step           (<model=MODEL@SERVER,control=MODEL@SERVER,controls={MODEL}@CLIENTS,hyper=HYPER,number=int32>
                    -> <model=MODEL@SERVER,control=MODEL@SERVER,controls={MODEL}@CLIENTS>)

The server has a control variate c, and client i one of its own, c_i, which stays there: a job holds
them as a handle and passes it from round to round.  With K steps of the rate lr a client goes

    y   <- y - lr (gradient(y) + c - c_i)               K times, from y = x
    c_i <- c_i - c + (x - y) / (K lr)                   option II

and the server, with means weighted by examples, x <- x + server_lr mean(y - x), c <- mean(c_i).
In the first round all variates are zero, and it is a round of federated averaging.

The paper moves c by the sum of the changes of c_i over all N clients.  While all take part, and c
starts as their mean, that is the mean of the new c_i.  It is written so here since it stays true
when a member is lost: such a one starts again from c_i = 0, and a sum of changes would keep
its old one in c for good.  Sampled clients (`cohort:`) are restarted in the same way, and then
little is left of the algorithm: it wants everybody, or a few that never change.

Down and up, a round sends the model and the variate: twice what `fedavg` does.

Source: Karimireddy et al. 2019, arXiv:1910.06378, algorithm 1 with option II.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tierfed
from tierfed.learning import evaluation, fedavg, mlp

HYPER = tierfed.to_type("<lr=float32,epochs=int32,batch=int32,server_lr=float32>")
MODEL = fedavg.MODEL
AT_SERVER = tierfed.FederatedType(MODEL, tierfed.SERVER)
CONTROLS = tierfed.FederatedType(MODEL, tierfed.CLIENTS)


@tierfed.py_computation(returns=MODEL)
def no_control() -> Any:
    """Return the control variate that a client starts from: zero."""
    return zero()


def zero() -> Any:
    """Return a control variate that corrects nothing."""
    return {part: np.zeros_like(x) for part, x in mlp.initial_model(0).items()}


@tierfed.py_computation(
    MODEL, MODEL, MODEL, fedavg.EXAMPLES, fedavg.MEMBER, HYPER, np.int32, returns=(MODEL, MODEL, np.float32)
)
def local_update(x: Any, c: Any, own: Any, data: Any, member: Any, hyper: Any, number: Any) -> Any:
    """Return the change that a member's examples make to the model `x`, its new variate, and how many they are."""
    against = {part: c[part] - own[part] for part in x}
    delta, examples = fedavg.local_sgd(x, data, member, hyper, number, lambda _: against)
    steps = hyper["epochs"] * -(-len(data["y"]) // hyper["batch"])
    new = {part: -against[part] - delta[part] / np.float32(steps * hyper["lr"]) for part in x}
    return delta, new, examples


@tierfed.py_computation(MODEL, MODEL, np.float32, returns=MODEL)
def moved(x: Any, mean: Any, rate: Any) -> Any:
    """Return the server's model after it has gone `rate` of the mean change."""
    return {part: x[part] + rate * mean[part] for part in x}


@tierfed.federated_computation
def init_controls() -> Any:
    """Return each client's first control variate, which stays there."""
    return tierfed.federated_eval(no_control, tierfed.CLIENTS)


@tierfed.federated_computation(AT_SERVER, AT_SERVER, CONTROLS, HYPER, np.int32)
def step(model: Any, control: Any, controls: Any, hyper: Any, number: Any) -> Any:
    """Return model and variates after round `number`."""
    data = tierfed.federated_data("train", fedavg.EXAMPLES, tierfed.CLIENTS)
    member = tierfed.federated_data("tierfed:member", fedavg.MEMBER, tierfed.CLIENTS)
    given = tierfed.federated_broadcast(tierfed.federated_zip((model, control)))
    here = tierfed.federated_zip((given, controls, data, member))
    delta, own, examples = tierfed.federated_map(
        lambda p: local_update(p[0][0], p[0][1], p[1], p[2], p[3], hyper, number), here
    )
    mean = tierfed.federated_mean(tierfed.federated_zip((delta, own)), weight=examples)
    return {
        "model": tierfed.federated_map(
            lambda p: moved(p[0], p[1], hyper.server_lr), tierfed.federated_zip((model, mean[0]))
        ),
        "control": mean[1],
        "controls": own,
    }


@tierfed.job(round=step)
async def train(
    tree: Any,
    *,
    rounds: int = 20,
    lr: float = 0.1,
    local_epochs: int = 3,
    batch: int = 16,
    server_lr: float = 1.0,
    evaluate: str = "server",
    checkpoint_every: int = 5,
) -> Any:
    """Return model and variates after `rounds` rounds.

    The clients' variates are fetched for checkpoints and at no other time; who was lost starts from zero again.
    """
    score = evaluation.chosen(fedavg.EVALUATE, evaluate)
    state = await tree.resume()
    if state is None:
        controls = await tree.ainvoke(init_controls)
        state = {"model": mlp.initial_model(tree.seed), "control": zero(), "controls": controls.with_default(zero())}
    hyper = {"lr": lr, "epochs": local_epochs, "batch": batch, "server_lr": server_lr}
    for r in tree.rounds(rounds):
        state = await tree.ainvoke(step, **state, hyper=hyper, number=r)
        state["controls"] = state["controls"].with_default(zero())
        tree.release(r, await tree.ainvoke(score, state["model"]))
        if (r + 1) % checkpoint_every == 0 or r + 1 == rounds:
            await tree.checkpoint(r, state)
    return state
