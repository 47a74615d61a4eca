"""HierFAVG: edge rounds inside a cloud round, and local steps inside an edge round.

    cloud_round           (<MODEL@SERVER,HYPER,<number=int32,edge_rounds=int32>> -> MODEL@SERVER)
    cloud_round_in_steps  (<MODEL@SERVER,STEPS,<number=int32,edge_rounds=int32>> -> MODEL@SERVER)

Each edge takes `edge_rounds` rounds of federated averaging over its own clients, starting from the
server's model; then the edges' models are averaged, weighted by their examples.  During the edge
rounds nothing crosses the link between edges and server: the type of the step, which names no
tier above EDGE_AGGREGATORS, says so.

An edge round trains each client from the edge's model: for `local_epochs` passes over its examples, as
`fedavg.step` does from the server's, or, as in the paper, for `kappa_1` minibatch steps, the same number
at each client.  The second is a loop in the language too, at the clients inside that at the edges.
One edge round a cloud round is federated averaging.

    job: {program: tierfed.learning.hierfavg:train, params: {edge_rounds: 2}, …}
    job: {program: tierfed.learning.hierfavg:train, params: {kappa_1: 15, edge_rounds: 4}, …}

Source: Liu, Zhang, Song, Letaief 2020, arXiv:1905.06641, algorithm 1 (kappa_1 local steps, kappa_2
edge rounds, here `edge_rounds`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tierfed
from tierfed.errors import JobError
from tierfed.learning import evaluation, fedavg, mlp

EDGE = tierfed.placement("EDGE_AGGREGATORS")
WHEN = tierfed.to_type("<number=int32,edge_rounds=int32>")
STEPS = tierfed.to_type("<lr=float32,kappa_1=int32,batch=int32>")
AT_SERVER = tierfed.FederatedType(fedavg.MODEL, tierfed.SERVER)


@tierfed.py_computation(fedavg.EXAMPLES, returns=np.float32)
def size(data: Any) -> Any:
    """Return the number of examples."""
    return np.float32(len(data["y"]))


@tierfed.py_computation(fedavg.MODEL, fedavg.EXAMPLES, fedavg.MEMBER, STEPS, np.int32, returns=fedavg.MODEL)
def local_step(model: Any, data: Any, member: Any, hyper: Any, count: Any) -> Any:
    """Return `model` after the minibatch step number `count` of a member since the beginning.

    Batches are those of passes over its examples, each in an order drawn from its seed and the pass' number.
    """
    batches = -(-len(data["y"]) // int(hyper["batch"]))
    number, place = divmod(int(count), batches)
    order = np.random.default_rng((int(member["seed"]), number)).permutation(len(data["y"]))
    rows = order[place * hyper["batch"] : (place + 1) * hyper["batch"]]
    slopes = mlp.gradient(model, data["x"][rows], data["y"][rows])
    return {part: x - np.float32(hyper["lr"]) * slopes[part] for part, x in model.items()}


def _cloud_round(model: Any, when: Any, trained: Callable[[Any, Any], tuple[Any, Any]]) -> Any:
    """Return the model after a cloud round; `trained` gives clients' changes and examples, of their edge's state."""

    def edge_round(state: Any) -> Any:
        given = tierfed.federated_broadcast(tierfed.federated_zip((state["model"], state["turn"])), to=tierfed.CLIENTS)
        delta, examples = trained(given, when.number * when.edge_rounds)
        mean = tierfed.federated_mean(delta, weight=examples, to=EDGE)
        return {"model": state["model"] + mean, "turn": state["turn"] + 1}

    start = {
        "model": tierfed.federated_broadcast(model, to=EDGE),
        "turn": tierfed.federated_value(np.int32(0), EDGE),
    }
    after = tierfed.federated_iterate(edge_round, start, when.edge_rounds, at=EDGE)
    data = tierfed.federated_data("train", fedavg.EXAMPLES, tierfed.CLIENTS)
    examples = tierfed.federated_sum(tierfed.federated_map(size, data), to=EDGE)
    return tierfed.federated_mean(after["model"], weight=examples)


@tierfed.federated_computation(AT_SERVER, fedavg.HYPER, WHEN)
def cloud_round(model: Any, hyper: Any, when: Any) -> Any:
    """Return the model after cloud round `when.number`, in which each edge takes `when.edge_rounds` rounds."""
    data = tierfed.federated_data("train", fedavg.EXAMPLES, tierfed.CLIENTS)
    member = tierfed.federated_data("tierfed:member", fedavg.MEMBER, tierfed.CLIENTS)

    def trained(given: Any, before: Any) -> Any:  # edge rounds before these: each has its own seed
        return tierfed.federated_map(
            lambda p: fedavg.local_update(p[0][0], p[1], p[2], hyper, before + p[0][1]),
            tierfed.federated_zip((given, data, member)),
        )

    return _cloud_round(model, when, trained)


@tierfed.federated_computation(AT_SERVER, STEPS, WHEN)
def cloud_round_in_steps(model: Any, hyper: Any, when: Any) -> Any:
    """Return the same, where an edge round is `hyper.kappa_1` minibatch steps of each client."""
    data = tierfed.federated_data("train", fedavg.EXAMPLES, tierfed.CLIENTS)
    member = tierfed.federated_data("tierfed:member", fedavg.MEMBER, tierfed.CLIENTS)

    def step(state: Any) -> Any:
        here = tierfed.federated_zip((state["model"], data, member, state["count"]))
        return {
            "model": tierfed.federated_map(lambda p: local_step(p[0], p[1], p[2], hyper, p[3]), here),
            "count": state["count"] + 1,
        }

    def trained(given: Any, before: Any) -> Any:
        first = tierfed.federated_map(lambda p: (before + p[1]) * hyper.kappa_1, given)
        after = tierfed.federated_iterate(step, {"model": given[0], "count": first}, hyper.kappa_1, at=tierfed.CLIENTS)
        return after["model"] - given[0], tierfed.federated_map(size, data)

    return _cloud_round(model, when, trained)


def round_of(local_epochs: int | None, kappa_1: int | None) -> tierfed.Computation:
    """Return the computation of a cloud round by passes or by steps; raises JobError where both are given."""
    if kappa_1 is not None and local_epochs is not None:
        raise JobError(
            f"kappa_1 is {kappa_1} steps, and local_epochs {local_epochs} passes: which?",
            where="job.params",
            mend="give one of them",
        )
    return cloud_round if kappa_1 is None else cloud_round_in_steps


@tierfed.job(round=round_of)
async def train(
    tree: Any,
    *,
    rounds: int = 10,
    edge_rounds: int = 2,
    lr: float = 0.1,
    local_epochs: int | None = None,
    kappa_1: int | None = None,
    batch: int = 16,
    evaluate: str = "server",
) -> Any:
    """Return the model after `rounds` cloud rounds of `edge_rounds` edge rounds each.

    In an edge round a client takes `kappa_1` minibatch steps, or `local_epochs` passes; of neither, three passes.
    """
    program = round_of(local_epochs, kappa_1)
    score = evaluation.chosen(fedavg.EVALUATE, evaluate)
    model = await tree.resume() or mlp.initial_model(tree.seed)
    hyper: Any = {"lr": lr, "epochs": 3 if local_epochs is None else local_epochs, "batch": batch}
    if kappa_1 is not None:
        hyper = {"lr": lr, "kappa_1": kappa_1, "batch": batch}
    for r in tree.rounds(rounds):
        model = await tree.ainvoke(program, model, hyper, {"number": r, "edge_rounds": edge_rounds})
        tree.release(r, await tree.ainvoke(score, model))
        await tree.checkpoint(r, model)
    return model
