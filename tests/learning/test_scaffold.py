"""SCAFFOLD against the paper's equations, its state over rounds and resumptions, and what stays at clients."""

from __future__ import annotations

import numpy as np
import pytest
from papers import SEED, SIZES, TREES, Run, close, combined, gradient, local, mean, members, start

import tierfed
from tierfed.language.placed import Placed
from tierfed.learning import fedavg, scaffold

HYPER = {"lr": 0.1, "epochs": 2, "batch": 8}
JOB = {"program": "tierfed.learning.scaffold:train", "data": {"provider": "papers:provider"}}


def zeros():
    return {k: np.zeros_like(v) for k, v in start().items()}


async def test_three_rounds_are_the_papers() -> None:
    """Local steps with c - c_i, option II, and c moved by the mean change of the c_i, weighted by examples."""
    run, x, c, own = Run(), start(), zeros(), [zeros() for _ in SIZES]
    got = await scaffold.train(run, rounds=3, local_epochs=2, batch=8, server_lr=0.9)
    for number in range(3):
        ends, new = [], []
        for client, c_i in zip(members(), own, strict=True):
            y, steps = local(x, client, number, HYPER, lambda _, c_i=c_i: combined((1, c), (-1, c_i)))
            ends.append(y)
            per = 1 / (steps * HYPER["lr"])
            new.append(combined((1, c_i), (-1, c), (per, x), (-per, y)))
        changes = [combined((1, n), (-1, o)) for n, o in zip(new, own, strict=True)]
        x = combined((1, x), (0.9, mean(ends, SIZES)), (-0.9, x))
        c, own = combined((1, c), (1, mean(changes, SIZES))), new
    close(got["model"], x)
    close(got["control"], c, 1024)
    for found, expected in zip(got["controls"], own, strict=True):
        close(found, expected, 1024)


async def test_its_first_round_is_fedavgs_and_its_second_is_not() -> None:
    """While all variates are zero nothing is corrected: the same model, to the bit."""
    for rounds, same in ((1, True), (2, False)):
        plain = await fedavg.train(Run(), rounds=rounds, local_epochs=2, batch=8)
        got = await scaffold.train(Run(), rounds=rounds, local_epochs=2, batch=8)
        assert all(np.array_equal(plain[k], got["model"][k]) for k in plain) is same


@pytest.mark.parametrize("tree", TREES)
async def test_one_full_step_is_centralised_on_any_tree(tree) -> None:
    """One step on all examples: the corrections cancel in the mean, in every round."""
    got = await scaffold.train(Run(TREES[tree]), rounds=3, local_epochs=1, batch=1000)
    w = start()
    x, y = (np.concatenate([c[i] for c in members()]) for i in (0, 1))
    for _ in range(3):
        w = combined((1, w), (-0.1, gradient(w, x, y)))
    close(got["model"], w)


def run_on_nodes(rounds, home, resume=None):
    topology = tierfed.tree(fan_out={"EDGE_AGGREGATORS": 2, "CLIENTS": 3}, seed=SEED, job=JOB)
    with tierfed.simulate(topology) as tree:
        state = tree.run_job(scaffold.train, {"rounds": rounds, "local_epochs": 2, "batch": 8}, resume=resume)
        assert isinstance(state["controls"], Placed)
        own = state["controls"].fetch()
        return state["model"], own, tree.run_dir, tree.summary("ok")["tiers"]["CLIENTS"]


async def test_on_nodes_it_is_the_references_and_goes_on_from_a_checkpoint(tmp_path, monkeypatch) -> None:
    """Nodes give the reference's bits; one round, and two more of the resumed run, give those of three."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    expected = await scaffold.train(Run(TREES["three tiers"]), rounds=3, local_epochs=2, batch=8)
    model, own, _, _ = run_on_nodes(3, tmp_path)
    _, _, folder, _ = run_on_nodes(1, tmp_path)
    again, own_again, _, _ = run_on_nodes(3, tmp_path, folder)
    for found, variates in ((model, own), (again, own_again)):
        assert all(found[k].tobytes() == v.tobytes() for k, v in expected["model"].items())
        for c_i, wanted in zip(variates, expected["controls"], strict=True):
            assert all(c_i[k].tobytes() == v.tobytes() for k, v in wanted.items())


def test_a_client_that_was_lost_starts_from_zero_and_is_not_in_the_mean() -> None:
    """The next variate of the server is the mean of those that are there: a sum of changes would keep the old one."""
    given = {**dict.fromkeys(("model", "control")), "number": 3, "hyper": {**HYPER, "server_lr": 1.0}}
    given["model"], given["control"] = ({k: v.astype(np.float32) for k, v in m.items()} for m in (start(), zeros()))
    ones = {k: np.ones_like(v, np.float32) for k, v in start().items()}
    run = Run()
    with run._context:
        after = scaffold.step(**given, controls=[scaffold.zero(), *[ones] * 5])
    close(after["control"], mean(list(after["controls"]), SIZES))


@pytest.mark.slow
def test_on_daemons_variates_stay_at_their_clients(tmp_path, monkeypatch) -> None:
    """On processes it is the same too, and a round that takes the handle moves no variate down."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    fashion = {"dataset": "fashion-mnist-6k", "split": {"dirichlet": {"alpha": 0.3}}}
    topology = tierfed.tree(
        fan_out={"EDGE_AGGREGATORS": 2, "CLIENTS": 3}, seed=SEED, job={"program": JOB["program"], "data": fashion}
    )
    hyper = {"lr": 0.1, "epochs": 1, "batch": 64, "server_lr": 1.0}
    params = {"rounds": 2, "local_epochs": 1, "batch": 64, "checkpoint_every": 100}
    with tierfed.up(topology) as tree:
        state, down = tree.run_job(scaffold.train, params), []
        for i in range(2):
            before = tree.summary("ok")["tiers"]["CLIENTS"]["bytes_down"]
            args = {**state, "controls": state["controls"].fetch() if i else state["controls"]}
            tree.invoke(scaffold.step, **args, hyper=hyper, number=9)
            down.append(tree.summary("ok")["tiers"]["CLIENTS"]["bytes_down"] - before)
        model = state["model"]
    with tierfed.simulate(topology) as tree:
        expected = tree.run_job(scaffold.train, params)["model"]
    assert all(model[k].tobytes() == expected[k].tobytes() for k in model)
    size = sum(v.nbytes for v in model.values())
    assert 6 * size <= down[1] - down[0] < 6 * size + 6 * 600
