"""FedAdagrad, FedYogi and FedAdam against the paper's equations, element by element."""

from __future__ import annotations

import numpy as np
import pytest
from papers import SIZES, TREES, Run, close, combined, gradient, local, mean, members, start

from tierfed.errors import JobError
from tierfed.learning import fedopt

HYPER = {"lr": 0.1, "epochs": 2, "batch": 8}
RATE, TAU = 0.02, 0.01


def server(optimizer, x, m, v, d):
    """Algorithm 2 of arXiv:2003.00295: one element."""
    beta1, beta2 = (0.0 if optimizer == "adagrad" else 0.9), 0.99
    m = beta1 * m + (1 - beta1) * d
    if optimizer == "adagrad":
        v = v + d**2
    elif optimizer == "yogi":
        v = v - (1 - beta2) * d**2 * np.sign(v - d**2)
    else:
        v = beta2 * v + (1 - beta2) * d**2
    return x + RATE * m / (v**0.5 + TAU), m, v


def moved(optimizer, state, change):
    parts = {k: server(optimizer, *(s[k] for s in state), change[k]) for k in change}
    return tuple({k: p[i] for k, p in parts.items()} for i in range(3))


def first():
    w = start()
    return w, {k: np.zeros_like(x) for k, x in w.items()}, {k: np.full_like(x, TAU**2) for k, x in w.items()}


@pytest.mark.parametrize("optimizer", ["adagrad", "yogi", "adam"])
async def test_three_rounds_are_the_papers(optimizer) -> None:
    """The server's model and both moments, after clients' passes averaged by examples."""
    got = await fedopt.train(Run(), rounds=3, local_epochs=2, batch=8, optimizer=optimizer, server_lr=RATE, tau=TAU)
    state = first()
    for number in range(3):
        ends = [local(state[0], c, number, HYPER)[0] for c in members()]
        state = moved(optimizer, state, combined((1, mean(ends, SIZES)), (-1, state[0])))
    close(got["model"], state[0], 256)
    close(got["first"], state[1], 1024)
    close(got["second"], state[2], 1024)


@pytest.mark.parametrize("tree", TREES)
async def test_one_full_step_is_the_centralised_optimiser_on_any_tree(tree) -> None:
    """One step on all examples: the change is -lr times the gradient of everybody's examples together."""
    got = await fedopt.train(
        Run(TREES[tree]), rounds=3, local_epochs=1, batch=1000, optimizer="yogi", server_lr=RATE, tau=TAU
    )
    state = first()
    x, y = (np.concatenate([c[i] for c in members()]) for i in (0, 1))
    for _ in range(3):
        state = moved("yogi", state, combined((-0.1, gradient(state[0], x, y))))
    close(got["model"], state[0], 256)


async def test_a_job_that_is_resumed_keeps_its_moments() -> None:
    """One round, and two more from its checkpoint, are three: without the moments they would be others."""
    params = {"local_epochs": 1, "batch": 8, "optimizer": "adam"}
    whole = await fedopt.train(Run(), rounds=3, **params)
    begun = Run()
    await fedopt.train(begun, rounds=1, **params)
    rest = Run(saved=begun.saved)
    again = await fedopt.train(rest, rounds=3, **params)
    assert list(rest.released) == [1, 2]
    assert all(whole[s][k].tobytes() == again[s][k].tobytes() for s in whole for k in whole[s])
    begun.saved[1]["first"] = {k: np.zeros_like(v) for k, v in whole["first"].items()}
    forgetful = await fedopt.train(Run(saved=begun.saved), rounds=3, **params)
    assert whole["model"]["w1"].tobytes() != forgetful["model"]["w1"].tobytes()


async def test_an_unknown_optimiser_is_told_before_anything_runs() -> None:
    """With the ones that there are: when the job is run, and when its round is asked for, as `validate` does."""
    with pytest.raises(JobError, match="no server optimiser is called 'adamw'"):
        fedopt.train.round_of({"optimizer": "adamw"})
    with pytest.raises(JobError) as error:
        await fedopt.train(Run(), optimizer="adamw")
    assert str(error.value) == (
        "job.params.optimizer: no server optimiser is called 'adamw'\n  to mend: use one of adagrad, yogi, adam"
    )
