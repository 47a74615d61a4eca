"""HierFAVG: edge rounds inside a cloud round.

    cloud_round  (<MODEL@SERVER,HYPER,<number=int32,edge_rounds=int32>> -> MODEL@SERVER)

Each edge takes `edge_rounds` rounds of federated averaging over its own clients, starting from the
server's model; then the edges' models are averaged, weighted by their examples.  During the edge
rounds nothing crosses the link between edges and server: the type of the step, which names no
tier above EDGE_AGGREGATORS, says so.

An edge round trains each client from the edge's model, as `fedavg.step` does from the server's;
one edge round a cloud round is federated averaging.

    job: {program: tierfed.learning.hierfavg:train, params: {edge_rounds: 2}, …}

Source: Liu, Zhang, Song, Letaief 2020, arXiv:1905.06641, algorithm 1 (kappa_1 local epochs,
kappa_2 edge rounds).
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tierfed
from tierfed.learning import fedavg, mlp

EDGE = tierfed.placement("EDGE_AGGREGATORS")
WHEN = tierfed.to_type("<number=int32,edge_rounds=int32>")


@tierfed.py_computation(fedavg.EXAMPLES, returns=np.float32)
def size(data: Any) -> Any:
    """Return the number of examples."""
    return np.float32(len(data["y"]))


@tierfed.federated_computation(tierfed.FederatedType(fedavg.MODEL, tierfed.SERVER), fedavg.HYPER, WHEN)
def cloud_round(model: Any, hyper: Any, when: Any) -> Any:
    """Return the model after cloud round `when.number`, in which each edge takes `when.edge_rounds` rounds."""
    data = tierfed.federated_data("train", fedavg.EXAMPLES, tierfed.CLIENTS)
    member = tierfed.federated_data("tierfed:member", fedavg.MEMBER, tierfed.CLIENTS)
    before = when.number * when.edge_rounds  # edge rounds, of which each has its own seed

    def edge_round(state: Any) -> Any:
        given = tierfed.federated_broadcast(tierfed.federated_zip((state["model"], state["turn"])), to=tierfed.CLIENTS)
        here = tierfed.federated_zip((given, data, member))
        delta, examples = tierfed.federated_map(
            lambda p: fedavg.local_update(p[0][0], p[1], p[2], hyper, before + p[0][1]), here
        )
        mean = tierfed.federated_mean(delta, weight=examples, to=EDGE)
        return {"model": state["model"] + mean, "turn": state["turn"] + 1}

    start = {
        "model": tierfed.federated_broadcast(model, to=EDGE),
        "turn": tierfed.federated_value(np.int32(0), EDGE),
    }
    after = tierfed.federated_iterate(edge_round, start, when.edge_rounds, at=EDGE)
    examples = tierfed.federated_sum(tierfed.federated_map(size, data), to=EDGE)
    return tierfed.federated_mean(after["model"], weight=examples)


@tierfed.job(round=cloud_round)
async def train(
    tree: Any, *, rounds: int = 10, edge_rounds: int = 2, lr: float = 0.1, local_epochs: int = 3, batch: int = 16
) -> Any:
    """Return the model after `rounds` cloud rounds of `edge_rounds` edge rounds each."""
    model = await tree.resume() or mlp.initial_model(tree.seed)
    hyper = {"lr": lr, "epochs": local_epochs, "batch": batch}
    for r in tree.rounds(rounds):
        model = await tree.ainvoke(cloud_round, model, hyper, {"number": r, "edge_rounds": edge_rounds})
        tree.release(r, await tree.ainvoke(fedavg.evaluate, model))
        await tree.checkpoint(r, model)
    return model
