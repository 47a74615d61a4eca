"""Personalised layers: the program against plain numpy, what stays at its clients, and what it brings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import tierfed
from tierfed import data
from tierfed.backends.data import provider_for
from tierfed.backends.local import LocalContext
from tierfed.language.placed import Placed
from tierfed.learning import fedavg, mlp, personal
from tierfed.placements import Hierarchy, Tree
from tierfed.topology import load_topology

SHARDS = {"dataset": "fashion-mnist-6k", "split": {"shards": {"per_client": 4}}}
SHORT = {"lr": 0.1, "epochs": 1, "batch": 16}
TREE = Tree.grown(Hierarchy.chain("SERVER", "EDGE_AGGREGATORS", "CLIENTS"), {"EDGE_AGGREGATORS": 2, "CLIENTS": 4})
SEED = 5


class Run:
    """What a job sees of a tree, run by the reference."""

    def __init__(self, tree: Tree = TREE, seed: int = SEED, saved: tuple[int, Any] | None = None) -> None:
        self.seed, self.saved, self.released = seed, saved, dict[int, Any]()
        self._context = LocalContext(tree, lambda _: provider_for(SHARDS, tree, seed))

    async def resume(self) -> Any:
        """Return what was saved."""
        return None if self.saved is None else self.saved[1]

    def rounds(self, count: int) -> range:
        """Return the rounds that are left."""
        return range(0 if self.saved is None else self.saved[0] + 1, count)

    async def ainvoke(self, computation: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the result of `computation`."""
        return await self._context.ainvoke(computation, *args, **kwargs)

    def release(self, number: int, metrics: Any) -> None:
        """Keep the metrics of a round."""
        self.released[number] = {name: float(value) for name, value in metrics.items()}

    async def checkpoint(self, number: int, state: Any) -> None:
        """Save a round."""
        self.saved = (number, {**state, "heads": list(state["heads"].fetch())})


def clients() -> Iterator[tuple[Any, Any, int]]:
    """What each client trains on, is tested on, and its seed."""
    source = data.provider(SHARDS)
    for i in range(8):
        member = data.MemberInfo(f"c{i}", "CLIENTS", i, 8, seed=SEED)
        x, y = source("train", fedavg.EXAMPLES, member)
        tested = np.arange(len(y)) % 5 == 4
        yield (x[~tested], y[~tested]), (x[tested], y[tested]), int(member.described()[1])


def folded(changes: list[Any], weights: list[int]) -> dict[str, np.ndarray[Any, Any]]:
    """The weighted mean below two edges of four: left folds in member order."""
    edges = []
    for edge in (range(4), range(4, 8)):
        total = {k: np.zeros_like(v) for k, v in changes[0].items()}
        for i in edge:
            total = {k: total[k] + changes[i][k] * np.float32(weights[i]) for k in total}
        edges.append(total)
    return {k: (edges[0][k] + edges[1][k]) / np.float32(sum(weights)) for k in edges[0]}


async def test_the_program_is_numpy_bit_for_bit() -> None:
    """Two rounds: bodies averaged, heads each client's own, the shared model beside; and both accuracies."""
    run = Run()
    state = await personal.train(run, rounds=2, local_epochs=1)
    own = list(clients())
    model = mlp.initial_model(SEED)
    body, shared = {n: model[n] for n in ("w1", "b1")}, model
    heads = [{n: mlp.initial_model(seed)[n] for n in ("w2", "b2")} for *_, seed in own]
    weights = [len(train[1]) for train, *_ in own]
    with threadpool_limits(1):
        for number in range(2):
            new = [
                mlp.sgd({**body, **head}, *train, seed=(seed, number), **SHORT)
                for head, (train, _, seed) in zip(heads, own, strict=True)
            ]
            change = folded([{n: m[n] - body[n] for n in body} for m in new], weights)
            body, heads = {n: body[n] + change[n] for n in body}, [{n: m[n] for n in ("w2", "b2")} for m in new]
            other = [mlp.sgd(shared, *train, seed=(seed, number), **SHORT) for train, _, seed in own]
            change = folded([{n: m[n] - shared[n] for n in shared} for m in other], weights)
            shared = {n: shared[n] + change[n] for n in shared}
        rates = [
            [mlp.score(m, *test)[0] / len(test[1]) for m in ({**body, **head}, shared)]
            for head, (_, test, _) in zip(heads, own, strict=True)
        ]
    for name, part in {**body}.items():
        assert state["body"][name].tobytes() == part.tobytes()
    assert all(h[n].tobytes() == w[n].tobytes() for h, w in zip(state["heads"], heads, strict=True) for n in w)
    assert all(state["shared"][n].tobytes() == part.tobytes() for n, part in shared.items())
    mean = np.mean(rates, axis=0)
    assert [run.released[1]["accuracy"], run.released[1]["shared_accuracy"]] == pytest.approx(list(mean), rel=1e-6)


def test_what_is_tested_is_not_trained_on() -> None:
    """Each fifth example is for the test, the others for training; between them they are all."""
    y = np.arange(13)
    train, test = personal.parts({"x": y[:, None], "y": y})
    assert test["y"].tolist() == [4, 9] == test["x"][:, 0].tolist()
    assert sorted([*train["y"], *test["y"]]) == y.tolist()
    few = {"x": np.zeros((3, 784), np.float32), "y": np.zeros(3, np.int32)}
    model = mlp.initial_model(0)
    scored = personal.own_score.python_function({"w1": model["w1"], "b1": model["b1"]}, model, model, few)
    assert scored == {"personal": 0, "shared": 0, "tested": 0}, "who has too few for a test weighs nothing"


async def test_a_job_that_is_resumed_ends_with_the_same_state() -> None:
    """Three rounds at once, and one round, then two more from its checkpoint, are the same bits."""
    whole, first = Run(), Run()
    state = await personal.train(whole, rounds=3, local_epochs=1)
    await personal.train(first, rounds=1, local_epochs=1)
    rest = Run(saved=first.saved)
    again = await personal.train(rest, rounds=3, local_epochs=1)
    assert list(rest.released) == [1, 2] and rest.released[2] == whole.released[2]
    for name in ("body", "shared"):
        assert all(state[name][n].tobytes() == again[name][n].tobytes() for n in state[name])
    assert all(a[n].tobytes() == b[n].tobytes() for a, b in zip(state["heads"], again["heads"], strict=True) for n in a)


@pytest.mark.slow
def test_heads_stay_at_their_clients_on_a_tree_of_daemons(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On daemons the job gives the reference's bits, with heads as a handle that rounds do not move."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    job = {"program": "tierfed.learning.personal:train", "data": SHARDS}
    topology = tierfed.tree(fan_out={"EDGE_AGGREGATORS": 2, "CLIENTS": 4}, seed=SEED, job=job)
    with tierfed.up(topology) as tree:
        state = tree.run_job(personal.train, {"rounds": 2, "local_epochs": 1, "checkpoint_every": 100})
        assert isinstance(state["heads"], Placed) and len(state["heads"]) == 8
        moved = [0, 0]
        for i in range(2):
            before = tree.summary("ok")["tiers"]["CLIENTS"]["bytes_down"]
            args = {**state, "heads": state["heads"].fetch() if i else state["heads"]}
            tree.invoke(personal.step, **args, hyper=SHORT, number=9)
            moved[i] = tree.summary("ok")["tiers"]["CLIENTS"]["bytes_down"] - before
        size = 8 * 4 * (64 * 10 + 10)
        assert size <= moved[1] - moved[0] < size + 8 * 300, "passing lists moves the heads down, passing handles not"
        heads = state["heads"].fetch()
    expected = asyncio.run(personal.train(Run(), rounds=2, local_epochs=1))
    assert all(h[n].tobytes() == w[n].tobytes() for h, w in zip(heads, expected["heads"], strict=True) for n in w)
    assert all(state["body"][n].tobytes() == part.tobytes() for n, part in expected["body"].items())


@pytest.mark.slow
async def test_what_personalisation_brings() -> None:
    """With four shards a client, as shipped: the heads are worth at least eight points after ten rounds."""
    topology = load_topology(Path(__file__).parents[2] / "topologies" / "personal.yaml")
    assert topology.job is not None and topology.job.data == SHARDS
    run = Run(topology.tree, topology.seed)
    await personal.train(run, rounds=10)
    last = run.released[9]
    assert last["accuracy"] > last["shared_accuracy"] + 0.08 and last["shared_accuracy"] > 0.6
