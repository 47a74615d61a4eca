"""HierFAVG: the loop below the server against loops written out by hand, bit for bit."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import papers
import pytest
from test_fedavg import FASHION, SHORT, client_examples, exact, oracle_round
from threadpoolctl import threadpool_limits

import tierfed
from tierfed.backends.data import provider_for
from tierfed.backends.local import LocalContext
from tierfed.compiler.slices import Loop
from tierfed.errors import JobError
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


def in_steps(rounds: int, edge_rounds: int, kappa_1: int, rate: float, size: int) -> papers.Model:
    """Algorithm 1 of arXiv:1905.06641: kappa_1 local steps, then the edge, and each kappa_2-th time the cloud."""
    clients, w = papers.members(), papers.start()
    own, edges = [w] * 6, [w, w]
    for k in range(1, rounds * edge_rounds * kappa_1 + 1):
        for i, (x, y, seed) in enumerate(clients):
            number, place = divmod(k - 1, -(-len(y) // size))
            order = np.random.default_rng((seed, number)).permutation(len(y))
            rows = order[place * size : (place + 1) * size]
            own[i] = papers.combined((1, own[i]), (-rate, papers.gradient(own[i], x[rows], y[rows])))
        if k % kappa_1 == 0:
            edges = [papers.mean([own[i] for i in e], [papers.SIZES[i] for i in e]) for e in EDGES]
            if k % (kappa_1 * edge_rounds) == 0:
                edges = [papers.mean(edges, [sum(papers.SIZES[i] for i in e) for e in EDGES])] * 2
            own = [edges[i // 3] for i in range(6)]
    return edges[0]


@pytest.mark.parametrize(("edge_rounds", "kappa_1"), [(1, 1), (2, 3), (3, 1)])
async def test_local_steps_are_the_papers(edge_rounds: int, kappa_1: int) -> None:
    """Two cloud rounds, counted in minibatch steps that go on through passes over a client's examples."""
    run = papers.Run(papers.TREES["three tiers"])
    got = await hierfavg.train(run, rounds=2, edge_rounds=edge_rounds, kappa_1=kappa_1, batch=4)
    papers.close(got, in_steps(2, edge_rounds, kappa_1, 0.1, 4))


async def test_one_full_step_and_one_edge_round_are_centralised() -> None:
    """kappa_1 = kappa_2 = 1 on all examples is gradient descent on everybody's examples together."""
    run = papers.Run(papers.TREES["three tiers"])
    got = await hierfavg.train(run, rounds=3, edge_rounds=1, kappa_1=1, batch=1000)
    w = papers.start()
    x, y = (np.concatenate([c[i] for c in papers.members()]) for i in (0, 1))
    for _ in range(3):
        w = papers.combined((1, w), (-0.1, papers.gradient(w, x, y)))
    papers.close(got, w)


def test_local_steps_are_a_loop_at_the_clients_inside_that_of_the_edges() -> None:
    """The clients' slice has a loop in a loop, the edges' one, the server's none."""

    def depth(steps: Any) -> int:
        return max((1 + depth(s.steps) for s in steps if isinstance(s, Loop)), default=0)

    slices = tierfed.compile(hierfavg.cloud_round_in_steps, THREE).slices
    assert {str(p): depth(s.steps) for p, s in slices.items()} == {"SERVER": 0, "EDGE_AGGREGATORS": 1, "CLIENTS": 2}


async def test_steps_and_passes_exclude_each_other() -> None:
    """Both given is a question back; neither is three passes, as ever; what is shown is the round that is run."""
    assert hierfavg.train.round_of({"kappa_1": 5}) is hierfavg.cloud_round_in_steps
    assert hierfavg.train.round is hierfavg.train.round_of({"local_epochs": 2}) is hierfavg.cloud_round
    with pytest.raises(JobError) as error:
        await hierfavg.train(papers.Run(), kappa_1=5, local_epochs=2)
    assert str(error.value) == (
        "job.params: kappa_1 is 5 steps, and local_epochs 2 passes: which?\n  to mend: give one of them"
    )
    plain, same, other = [
        await hierfavg.train(papers.Run(papers.TREES["three tiers"]), rounds=1, edge_rounds=1, **more)
        for more in ({}, {"local_epochs": 3}, {"local_epochs": 1})
    ]
    assert np.array_equal(plain["w1"], same["w1"]) and not np.array_equal(plain["w1"], other["w1"])


@pytest.mark.slow
def test_on_daemons_local_steps_are_the_references(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops in loops, on processes: the reference's bits."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    job = {"program": "tierfed.learning.hierfavg:train", "data": FASHION}
    params = {"rounds": 2, "edge_rounds": 2, "kappa_1": 5}
    with tierfed.up(tierfed.tree(fan_out={"EDGE_AGGREGATORS": 2, "CLIENTS": 3}, seed=5, job=job)) as tree:
        got = tree.run_job(hierfavg.train, params)
    run = papers.Run(TREE, source=FASHION)  # type: ignore[arg-type]
    expected = asyncio.run(hierfavg.train(run, **params))
    assert all(got[k].tobytes() == expected[k].tobytes() for k in expected)
