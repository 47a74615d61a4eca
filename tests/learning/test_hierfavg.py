"""HierFAVG: the loop below the server against loops written out by hand, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_fedavg import FASHION, SHORT, client_examples, exact, oracle_round
from threadpoolctl import threadpool_limits

import tierfed
from tierfed.backends.data import provider_for
from tierfed.backends.local import LocalContext
from tierfed.compiler.slices import Loop
from tierfed.learning import fedavg, hierfavg, mlp
from tierfed.placements import Hierarchy, Tree

THREE = Hierarchy.chain("SERVER", "EDGE_AGGREGATORS", "CLIENTS")
TREE = Tree.grown(THREE, {"EDGE_AGGREGATORS": 2, "CLIENTS": 3})
EDGES = [range(3), range(3, 6)]


def cloud_rounds(rounds: int, edge_rounds: int, seed: int = 5) -> Any:
    """The model after `rounds` cloud rounds, by loops over edges and clients."""
    clients, model = client_examples(6, seed), mlp.initial_model(seed)
    with threadpool_limits(1):
        for number in range(rounds):
            total: Any = {k: np.zeros_like(v) for k, v in model.items()}
            weight = np.float64(0)
            for edge in EDGES:
                own = model
                for turn in range(edge_rounds):
                    own = oracle_round(own, edge, clients, number * edge_rounds + turn, exact, SHORT)
                size = np.float32(sum(len(clients[i][1]) for i in edge))
                total = {k: total[k] + own[k] * size for k in total}
                weight = weight + np.float64(size)
            model = {k: v / np.float32(weight) for k, v in total.items()}
    return model


@pytest.mark.parametrize("edge_rounds", [0, 1, 3])
def test_the_program_is_the_loops_bit_for_bit(edge_rounds: int) -> None:
    """Two cloud rounds of none, one and three edge rounds give the model of the loops written out."""
    model: Any = mlp.initial_model(5)
    with LocalContext(TREE, lambda _: provider_for(FASHION, TREE, 5)):
        for number in range(2):
            model = hierfavg.cloud_round(model, SHORT, {"number": number, "edge_rounds": edge_rounds})
    for name, part in cloud_rounds(2, edge_rounds).items():
        assert model[name].tobytes() == part.tobytes(), name


def test_one_edge_round_is_federated_averaging_up_to_rounding() -> None:
    """With one edge round a cloud round is a round of FedAvg, but for the order of its sums; with two it is not."""
    start = mlp.initial_model(5)
    with LocalContext(TREE, lambda _: provider_for(FASHION, TREE, 5)):
        flat = fedavg.step(start, SHORT, 0)
        one, two = (hierfavg.cloud_round(start, SHORT, {"number": 0, "edge_rounds": n}) for n in (1, 2))
    assert np.allclose(one["w1"], flat["w1"], atol=1e-5)
    assert not np.allclose(two["w1"], flat["w1"], atol=1e-3)


def test_the_server_takes_no_part_in_edge_rounds() -> None:
    """The loop stands in the slices of edges and clients, and not in the server's."""
    slices = tierfed.compile(hierfavg.cloud_round, THREE).slices
    assert {str(p): any(isinstance(step, Loop) for step in s.steps) for p, s in slices.items()} == {
        "SERVER": False,
        "EDGE_AGGREGATORS": True,
        "CLIENTS": True,
    }
