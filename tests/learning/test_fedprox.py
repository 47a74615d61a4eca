"""FedProx against the paper's equations, and what its term must do."""

from __future__ import annotations

import numpy as np
import pytest
from papers import SIZES, TREES, Run, close, combined, gradient, local, mean, members, start

from tierfed.learning import fedavg, fedprox

HYPER = {"lr": 0.1, "epochs": 2, "batch": 8}


async def test_two_rounds_are_the_papers() -> None:
    """Each client descends its loss plus mu/2 |w - w0|^2; their models are averaged by examples."""
    run, w = Run(), start()
    got = await fedprox.train(run, rounds=2, local_epochs=2, batch=8, mu=1.5)
    for number in range(2):
        w0 = w
        ends = [local(w0, c, number, HYPER, lambda v: combined((1.5, v), (-1.5, w0)))[0] for c in members()]
        w = mean(ends, SIZES)
    close(got, w)


async def test_without_mu_it_is_fedavg_to_the_bit() -> None:
    """mu = 0 gives FedAvg's model, and another mu does not."""
    plain = await fedavg.train(Run(), rounds=2, local_epochs=2, batch=8)
    same, other = [await fedprox.train(Run(), rounds=2, local_epochs=2, batch=8, mu=mu) for mu in (0.0, 0.5)]
    assert all(np.array_equal(plain[k], same[k]) for k in plain)
    assert not np.array_equal(plain["w1"], other["w1"])


async def test_a_strong_term_holds_clients_where_they_were() -> None:
    """The larger mu, the less a round moves the model."""
    moved = []
    for mu in (0.0, 1.0, 5.0):
        got = await fedprox.train(Run(), rounds=1, local_epochs=4, batch=8, mu=mu)
        moved.append(np.sqrt(sum(((got[k] - v) ** 2).sum() for k, v in start().items())))
    assert moved[0] > 1.2 * moved[1] > 1.2 * 1.2 * moved[2] > 0


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("program", [fedavg, fedprox], ids=["fedavg", "fedprox"])
async def test_one_full_step_is_centralised_on_any_tree(program, tree) -> None:
    """One step on all examples: three rounds are three of gradient descent on everybody's examples together."""
    got = await program.train(Run(TREES[tree]), rounds=3, local_epochs=1, batch=1000)
    w = start()
    x, y = (np.concatenate([c[i] for c in members()]) for i in (0, 1))
    for _ in range(3):
        w = combined((1, w), (-0.1, gradient(w, x, y)))
    close(got, w)
