"""Federated averaging: the program against plain numpy, and what the main job's settings reach.

The oracle below knows nothing of programs, placements or slices: it is a loop over clients and
an explicit fold along the tree, in float32, bit for bit what the reference interpreter must give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tierfed import data
from tierfed.backends.data import provider_for
from tierfed.backends.local import LocalContext
from tierfed.codecs import codec
from tierfed.learning import fedavg, mlp, regions
from tierfed.placements import Hierarchy, Tree
from tierfed.types.types import TensorType

Model: TypeAlias = "dict[str, np.ndarray[Any, Any]]"
Nested: TypeAlias = "int | Sequence[Nested]"  # a tree: client indices below edges below …

FASHION = {"dataset": "fashion-mnist-6k", "split": {"dirichlet": {"alpha": 0.3}}}
HYPER = {"lr": 0.1, "epochs": 3, "batch": 16}


def exact(array: np.ndarray[Any, Any], hop: int) -> np.ndarray[Any, Any]:
    """A link that changes nothing."""
    return array


def lossy(array: np.ndarray[Any, Any], hop: int) -> np.ndarray[Any, Any]:
    """The main job's links: int8 from the clients (hop 1), bf16 from the edges, small tensors raw."""
    if array.size < 4096:
        return array
    by = codec("int8" if hop == 1 else "bf16")
    return by.decode(by.encode(array), TensorType("float32", array.shape))


def client_examples(count: int, seed: int) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], int]]:
    """What each client has: images, labels, and its own seed."""
    source = data.provider(FASHION)
    members = [data.MemberInfo(f"c{i}", "CLIENTS", i, count, seed=seed) for i in range(count)]
    return [(*source("train", fedavg.EXAMPLES, m), int(m.described()[1])) for m in members]


def oracle_round(
    model: Model, tree: Nested, clients: Any, number: int, link: Callable[[Any, int], Any], hyper: Any
) -> Model:
    """One round of FedAvg: left folds in member order, from zero at the lowest tier, from the first above it."""

    def fold(node: Nested) -> tuple[Model, np.float64, int]:
        if isinstance(node, int):
            x, y, seed = clients[node]
            new = mlp.sgd(model, x, y, seed=(seed, number), **hyper)
            return {k: (new[k] - model[k]) * np.float32(len(y)) for k in model}, np.float64(len(y)), 0
        below = [fold(child) for child in node]
        hop = below[0][2] + 1
        if hop == 1:
            total, weight = {k: np.zeros_like(v) for k, v in model.items()}, np.float64(0)
        else:
            first = below.pop(0)
            total, weight = {k: link(v, hop) for k, v in first[0].items()}, first[1]
        for part, w, _ in below:
            total = {k: total[k] + link(v, hop) for k, v in part.items()}
            weight = weight + w
        return total, weight, hop

    total, weight, _ = fold(tree)
    return {k: model[k] + total[k] / np.float32(weight) for k in model}


def oracle(tree: Nested, count: int, rounds: int, seed: int, link: Any = exact, hyper: Any = HYPER) -> Model:
    """The model after `rounds` rounds."""
    clients, model = client_examples(count, seed), mlp.initial_model(seed)
    with threadpool_limits(1):
        for number in range(rounds):
            model = oracle_round(model, tree, clients, number, link, hyper)
    return model


@pytest.mark.parametrize(
    ("seed", "link"),
    [(0, lossy), *(pytest.param(*one, marks=pytest.mark.slow) for one in ((0, exact), (1, lossy), (2, lossy)))],
)
def test_the_main_jobs_settings_reach_three_quarters(seed: int, link: Any) -> None:
    """32 clients below two edges, 20 rounds of 3 epochs: 0.75 of 1,000 images never trained on, also through codecs."""
    model = oracle([range(16), range(16, 32)], 32, 20, seed, link)
    x, y = data.DATASETS["fashion-mnist-6k"].examples("test")
    assert mlp.score(model, x, y)[0] / len(y) >= 0.75


SHORT = {"lr": 0.1, "epochs": 1, "batch": 16}
TWO = Hierarchy.chain("SERVER", "CLIENTS")
THREE = Hierarchy.chain("SERVER", "EDGE_AGGREGATORS", "CLIENTS")
FIVE = Hierarchy.chain("SERVER", "CONTINENTS", "REGIONS", "EDGE_AGGREGATORS", "CLIENTS")
TREES: list[tuple[str, Tree, Nested]] = [
    ("two tiers", Tree.grown(TWO, {"CLIENTS": 8}), range(8)),
    ("three tiers", Tree.grown(THREE, {"EDGE_AGGREGATORS": 2, "CLIENTS": 4}), [range(4), range(4, 8)]),
    (
        "five tiers",
        Tree.grown(FIVE, {"CONTINENTS": 2, "REGIONS": 1, "EDGE_AGGREGATORS": 2, "CLIENTS": 2}),
        [[[[0, 1], [2, 3]]], [[[4, 5], [6, 7]]]],
    ),
]


def trained(tree: Tree, rounds: int = 2, seed: int = 5) -> Any:
    """The program's model on `tree`, as the reference interpreter computes it."""
    model: Any = mlp.initial_model(seed)
    with LocalContext(tree, lambda _: provider_for(FASHION, tree, seed)):
        for number in range(rounds):
            model = fedavg.step(model, SHORT, number)
    return model


@pytest.mark.parametrize(("tree", "nested"), [t[1:] for t in TREES], ids=[t[0] for t in TREES])
def test_the_program_is_the_oracle_bit_for_bit(tree: Tree, nested: Nested) -> None:
    """On two, three and five tiers the unchanged program gives the explicit fold's model, to the last bit."""
    model, expected = trained(tree), oracle(nested, 8, 2, 5, hyper=SHORT)
    assert list(model) == ["w1", "b1", "w2", "b2"]
    for name, part in expected.items():
        assert model[name].tobytes() == part.tobytes(), name


def test_tiers_change_no_more_than_the_order_of_sums() -> None:
    """Two, three and five tiers agree to a few units in the last place of the largest weight."""
    two, three, five = (trained(tree) for _, tree, _ in TREES)
    for name in two:
        scale = np.abs(two[name]).max() * np.finfo(np.float32).eps * 64
        assert np.abs(two[name] - three[name]).max() < scale and np.abs(two[name] - five[name]).max() < scale
    assert two["w1"].tobytes() != three["w1"].tobytes()  # or this test would compare a thing with itself


def test_a_mean_of_means_would_be_seen() -> None:
    """The edges' weights differ, so that forgetting them gives another model than the oracle's."""
    clients = client_examples(8, 5)
    sizes = [len(y) for _, y, _ in clients]
    assert abs(sum(sizes[:4]) - sum(sizes[4:])) > 100


@pytest.mark.parametrize("change", ["round", "seed"])
def test_the_rounds_number_and_the_runs_seed_take_part(change: str) -> None:
    """The examples' order is drawn anew in each round and for each run; within one it is the same."""
    tree, model = TREES[0][1], mlp.initial_model(5)
    provide, other = provider_for(FASHION, tree, 5), provider_for(FASHION, tree, 6)
    with LocalContext(tree, lambda _: provide):
        first, again = fedavg.step(model, SHORT, 0), fedavg.step(model, SHORT, 0)
    with LocalContext(tree, lambda _: provide if change == "round" else other):
        changed = fedavg.step(model, SHORT, 1 if change == "round" else 0)
    assert first["w1"].tobytes() == again["w1"].tobytes() != changed["w1"].tobytes()


def test_the_score_is_over_the_test_images() -> None:
    """Accuracy, loss and examples are those of numpy on the 1,000 images at the server."""
    tree, model = TREES[1][1], mlp.initial_model(5)
    x, y = data.DATASETS["fashion-mnist-6k"].examples("test")
    with LocalContext(tree, lambda _: provider_for(FASHION, tree)), threadpool_limits(1):
        score = fedavg.evaluate(model)
        correct, loss = mlp.score(model, x, y)
    assert score == {"accuracy": np.float32(correct / 1000), "loss": np.float32(loss / 1000), "examples": 1000}


def test_the_program_names_no_tier_between() -> None:
    """FedAvg's types mention the server and the clients only; that of `regions` mentions the edges."""
    assert "EDGE" not in str(fedavg.step) and "EDGE" not in str(fedavg.evaluate)
    assert "{<accuracy=float32,loss=float32,examples=int64,labels=float32[10]>}@EDGE_AGGREGATORS" in str(
        regions.step.type_signature
    )


def test_regions_are_rates_over_each_edges_examples() -> None:
    """The region's accuracy, loss and labels are numpy's on its clients' images together, below three tiers or five."""
    clients, model = client_examples(8, 5), mlp.initial_model(5)
    for _, tree, _ in TREES[1:]:
        edges = tree.members(regions.EDGE)
        with LocalContext(tree, lambda _: provider_for(FASHION, tree, 5)):
            after = regions.step(model, SHORT, 0)
            plain = fedavg.step(model, SHORT, 0)
        assert all(after["model"][name].tobytes() == plain[name].tobytes() for name in plain)
        assert len(after["regions"]) == len(edges)
        each = 8 // len(edges)
        for i, region in enumerate(after["regions"]):
            mine = clients[i * each : (i + 1) * each]
            x, y = (np.concatenate([client[k] for client in mine]) for k in (0, 1))
            correct, loss = mlp.score(model, x, y)
            assert region["examples"] == len(y)
            assert region["accuracy"] == pytest.approx(correct / len(y), abs=1e-6)
            assert region["loss"] == pytest.approx(loss / len(y), rel=1e-5)
            np.testing.assert_allclose(region["labels"], np.bincount(y, minlength=10) / len(y), rtol=1e-6)
        accuracies = [region["accuracy"] for region in after["regions"]]
        assert (after["worst"], after["best"]) == (min(accuracies), max(accuracies))


def test_a_region_without_examples_has_no_rates() -> None:
    """Nothing over nothing is not a number, and not an accuracy of zero."""
    nothing = {"correct": np.int64(0), "loss": np.float64(0), "labels": np.zeros(10, np.int64)}
    region = regions.rates.python_function(nothing)
    assert np.isnan(region["accuracy"]) and np.isnan(region["loss"]) and region["examples"] == 0


class Run:
    """What a job sees of a tree: invokes in the local context, keeps what is released and saved."""

    def __init__(self, tree: Tree, seed: int, saved: tuple[int, Any] | None = None) -> None:
        """Start at the round after the one that was saved."""
        self.seed, self.saved, self.released = seed, saved, dict[int, Any]()
        self._context = LocalContext(tree, lambda _: provider_for(FASHION, tree, seed))

    async def resume(self) -> Any:
        """Return what was saved."""
        return None if self.saved is None else self.saved[1]

    def rounds(self, count: int) -> range:
        """Return the rounds that are left."""
        return range(0 if self.saved is None else self.saved[0] + 1, count)

    async def ainvoke(self, computation: Any, *args: Any) -> Any:
        """Return the result of `computation`."""
        return await self._context.ainvoke(computation, *args)

    def release(self, number: int, metrics: Any) -> None:
        """Keep the metrics of a round."""
        self.released[number] = metrics

    async def checkpoint(self, number: int, state: Any) -> None:
        """Save a round."""
        self.saved = (number, state)


@pytest.mark.parametrize(
    ("program", "metrics"),
    [
        (fedavg, {"accuracy", "loss", "examples"}),
        (regions, {"accuracy", "loss", "examples", "worst_region", "best_region"}),
    ],
    ids=["fedavg", "regions"],
)
async def test_a_job_that_is_resumed_ends_with_the_same_model(program: Any, metrics: set[str]) -> None:
    """Three rounds at once, and one round, then two more from its checkpoint, are the same bits."""
    tree = TREES[1][1]
    whole = Run(tree, 5)
    model = await program.train(whole, rounds=3, local_epochs=1)
    first = Run(tree, 5)
    await program.train(first, rounds=1, local_epochs=1)
    rest = Run(tree, 5, first.saved)
    again = await program.train(rest, rounds=3, local_epochs=1)
    assert list(rest.released) == [1, 2] and set(whole.released[2]) == metrics
    assert whole.released[2] == rest.released[2]
    assert all(model[name].tobytes() == again[name].tobytes() for name in model)


@pytest.mark.parametrize("program", [fedavg, regions], ids=["fedavg", "regions"])
def test_the_jobs_defaults_are_the_main_jobs_settings(program: Any) -> None:
    """20 rounds, 3 local epochs, batches of 16, a rate of 0.1; FedAvg is evaluated at the server."""
    defaults = {name: p.default for name, p in program.train.parameters.items()}
    assert defaults.pop("evaluate", None) == ("server" if program is fedavg else None)
    assert defaults == {"rounds": 20, "lr": 0.1, "local_epochs": 3, "batch": 16}
