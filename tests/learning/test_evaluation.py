"""Evaluation for the clients, against numpy on each client's own."""

from __future__ import annotations

import numpy as np
import pytest
from papers import SIZES, TREES, Run, examples, held_back

import tierfed
from tierfed.errors import JobError
from tierfed.learning import evaluation, fedavg, fedopt, fedprox, hierfavg, mlp, scaffold


def rates():
    """Each client's accuracy and loss on the test images, its classes in the shares that it trains on."""
    found = []
    x, y = held_back()
    model = mlp.initial_model(5)
    right, losses = mlp.each_score(model, x, y)
    for i in range(len(SIZES)):
        labels = examples(i)[1]
        by_class = {c: np.mean(labels == c) for c in np.unique(labels) if (y == c).any()}
        shares = sum(by_class.values())
        found.append(
            [sum(s * values[y == c].mean() for c, s in by_class.items()) / shares for values in (right, losses)]
        )
    return np.array(found)


@pytest.mark.parametrize("tree", TREES)
async def test_metrics_are_numpys_on_any_tree(tree) -> None:
    """The mean is weighted by examples; worst, tenth, median and best are those of clients, to a hundredth."""
    run = Run(TREES[tree])
    with run._context:
        got = fedavg.evaluate_clients(mlp.initial_model(5))
    accuracy, loss = rates().T
    assert got["accuracy"] == pytest.approx(np.average(accuracy, weights=SIZES), rel=1e-6)
    assert got["loss"] == pytest.approx(np.average(loss, weights=SIZES), rel=1e-5)
    assert got["examples"] == sum(SIZES)
    assert (got["worst"], got["best"]) == pytest.approx((accuracy.min(), accuracy.max()), rel=1e-6)
    ordered = np.sort([int(100 * a + 1e-6) / 100 for a in accuracy])
    assert (got["tenth"], got["median"]) == pytest.approx((ordered[0], ordered[2]), abs=1e-6)
    assert accuracy.min() < accuracy.max(), "or there is no spread to measure"


def test_the_spread_of_each_regions_clients_stays_there() -> None:
    """At a tier below the root there is one spread a member: of the clients below it."""
    tree = TREES["three tiers"]
    accuracy = rates()[:, 0]

    @tierfed.federated_computation(tierfed.FederatedType(fedavg.MODEL, tierfed.SERVER))
    def regional(model):
        train, test = (tierfed.federated_data(uri, fedavg.EXAMPLES, tierfed.CLIENTS) for uri in ("train", "test"))
        here = tierfed.federated_zip((tierfed.federated_broadcast(model), train, test))
        own = tierfed.federated_map(lambda p: fedavg.own_score(p[0], p[1], p[2]), here)
        return evaluation.spread(own, to="EDGE_AGGREGATORS")

    assert "{<worst=float32,tenth=float32,median=float32,best=float32>}@EDGE_AGGREGATORS" in str(
        regional.type_signature
    )
    with Run(tree)._context:
        found = list(regional(mlp.initial_model(5)))
    for region, own in zip(found, (accuracy[:3], accuracy[3:]), strict=True):
        assert (region["worst"], region["best"]) == pytest.approx((own.min(), own.max()), rel=1e-6)


def test_classes_count_as_they_do_in_training() -> None:
    """Half of the tested are of a class that is a quarter of the training: its hits count half as much."""
    own = evaluation.own(
        np.array([True, True, False, False]),
        np.array([1.0, 1.0, 3.0, 3.0]),
        np.array([0, 0, 1, 1]),
        np.array([0, 1, 1, 1]),
    )
    assert own["accuracy"] == 0.25 and own["loss"] == 2.5 and own["examples"] == 4
    assert np.flatnonzero(own["at"]).tolist() == [25]


def test_who_has_no_class_to_test_weighs_nothing() -> None:
    """It is no client's worst, and over nobody there is no rate."""
    lone = evaluation.own(np.array([True]), np.array([0.1]), np.array([3]), np.array([7, 7]))
    assert (lone["examples"], lone["low"], lone["high"], lone["at"].sum()) == (0, np.inf, -np.inf, 0)
    found = evaluation.summary.python_function({"low": np.inf, "high": -np.inf, "at": lone["at"]})
    assert all(np.isnan(v) for v in found.values())


def test_all_right_is_one_and_has_its_place() -> None:
    """An accuracy of one is the last of the hundred and one counts, whatever rounding does to the weights."""
    for n in range(1, 40):
        labels = np.arange(n) % 7
        own = evaluation.own(np.ones(n, bool), np.zeros(n), labels, labels[: n // 2 + 1])
        assert own["accuracy"] == pytest.approx(1) and np.flatnonzero(own["at"]).tolist() == [100]


@pytest.mark.parametrize(
    "program", [fedavg, fedprox, scaffold, fedopt, hierfavg], ids=lambda p: p.__name__.split(".")[-1]
)
async def test_every_job_evaluates_where_it_is_told(program) -> None:
    """At the server by default; for the clients; an unknown word is told with those that there are."""
    run = Run(TREES["three tiers"])
    await program.train(run, rounds=1, batch=32)
    assert set(run.released[0]) == {"accuracy", "loss", "examples"} and run.released[0]["examples"] == 60
    run = Run(TREES["three tiers"])
    await program.train(run, rounds=1, batch=32, evaluate="clients")
    assert set(run.released[0]) == {"accuracy", "loss", "examples", "worst", "tenth", "median", "best"}
    with pytest.raises(JobError) as error:
        await program.train(run, evaluate="client")
    assert str(error.value) == (
        "job.params.evaluate: no evaluation is called 'client'\n  to mend: use one of server, clients"
    )
