"""Robust rules: each against its definition, alone and up a tree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_fedavg import FASHION, SHORT

import tierfed
from tierfed.backends.data import provider_for
from tierfed.backends.local import LocalContext
from tierfed.errors import JobError, TypeMismatch
from tierfed.jobs.program import misfits
from tierfed.learning import fedavg, mlp, robust, rules
from tierfed.placements import Hierarchy, Tree
from tierfed.topology import tree as fan_out

THREE = Hierarchy.chain("SERVER", "EDGE_AGGREGATORS", "CLIENTS")
TREE = Tree.grown(THREE, {"EDGE_AGGREGATORS": 2, "CLIENTS": 3})
SMALL = tierfed.to_type("<w=float32[2,3],b=float32>")
MANY = {"EDGE_AGGREGATORS": 2, "CLIENTS": 5}


def updates(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """So many updates of a small model."""
    rng = np.random.default_rng(seed)
    return [
        {
            "delta": {"w": rng.standard_normal((2, 3), np.float32), "b": rng.standard_normal((), np.float32)},
            "weight": np.float32(i + 1),
        }
        for i in range(n)
    ]


def flat(delta: Any) -> np.ndarray[Any, Any]:
    """The numbers of an update in a row."""
    return np.concatenate([np.ravel(delta["w"]), np.ravel(delta["b"])]).astype(np.float64)


def rows(of: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    """The numbers of all, one row an update."""
    return np.stack([flat(u["delta"]) for u in of])


def test_the_median_is_the_one_in_the_middle() -> None:
    """Of five, by coordinate; and one liar of any size is not it."""
    five = updates(5)
    found = rules.median(five)
    assert np.array_equal(flat(found["delta"]), np.sort(rows(five), axis=0)[2])
    assert found["weight"] == 15
    assert found["delta"]["w"].dtype == np.float32
    five[0]["delta"] = {"w": np.full((2, 3), 1e30, np.float32), "b": np.float32(-1e30)}
    assert np.abs(flat(rules.median(five)["delta"])).max() < 10


@pytest.mark.parametrize(("fraction", "cut"), [(0.0, 0), (0.2, 2), (0.25, 2), (0.4, 4)])
def test_a_trimmed_mean_leaves_that_part_out_at_both_ends(fraction: float, cut: int) -> None:
    """Of ten updates floor(10·fraction) at each end of each coordinate."""
    ten = updates(10)
    expected = np.sort(rows(ten), axis=0)[cut : 10 - cut].mean(axis=0)
    assert np.allclose(flat(rules.trimmed_mean(ten, np.float32(fraction))["delta"]), expected, atol=1e-6)


def test_krum_is_its_definition() -> None:
    """The chosen one has the least sum of squared distances to its n - f - 2 nearest, by a loop over pairs."""
    nine, f = updates(9, 3), 2
    points = rows(nine)
    scores = [sorted(np.sum((points[i] - points[j]) ** 2) for j in range(9) if j != i)[: 9 - f - 2] for i in range(9)]
    order = np.argsort([sum(s) for s in scores])
    assert np.allclose(flat(rules.krum(nine, f)["delta"]), points[order[0]], atol=1e-6)
    assert np.allclose(flat(rules.multi_krum(nine, f, 4)["delta"]), points[order[:4]].mean(axis=0), atol=1e-6)


def test_krum_says_how_many_it_needs() -> None:
    """n >= 2f + 3, and no more than n - f are kept."""
    with pytest.raises(ValueError, match="krum against 2 attackers, 1 kept, needs 7 updates, and has 6"):
        rules.krum(updates(6), 2)
    with pytest.raises(ValueError, match="6 kept, needs 8 updates, and has 7"):
        rules.multi_krum(updates(7), 2, 6)


@given(st.integers(3, 9), st.integers(0, 99))
def test_no_nudge_brings_the_geometric_median_nearer_to_all(n: int, seed: int) -> None:
    """The sum of distances is least there: steps in every direction make it no smaller."""
    some = updates(n, seed)
    points = rows(some)
    at = flat(rules.geometric_median(some, 200)["delta"])

    def far(x: Any) -> float:
        return float(np.linalg.norm(points - x, axis=1).sum())

    for step in np.eye(len(at)) * 0.05:
        assert far(at) <= min(far(at + step), far(at - step)) + 1e-4


def test_an_update_that_is_no_number_has_no_say() -> None:
    """NaN and infinity are left out; if nothing else is there, that is an error."""
    four = updates(4)
    four[1]["delta"]["b"] = np.float32(np.nan)
    assert np.array_equal(flat(rules.median(four)["delta"]), flat(rules.median([four[0], *four[2:]])["delta"]))
    with pytest.raises(ValueError, match="every update has values that are not finite"):
        rules.median(four[1:2])
    with pytest.raises(ValueError, match="there is no update to choose from"):
        rules.median([])


def test_clipping_scales_what_is_longer_and_nothing_else() -> None:
    """The norm is that of all tensors together."""
    delta = {"w": np.full((2, 3), 3, np.float32), "b": np.float32(0)}
    assert np.linalg.norm(flat(rules.clipped(delta, 2))) == pytest.approx(2, rel=1e-6)
    assert rules.clipped(delta, 8)["w"].tobytes() == delta["w"].tobytes()
    assert not flat(rules.clipped({"w": np.zeros((2, 3), np.float32), "b": np.float32(0)}, 1)).any()


def aggregate(specs: Any) -> Any:
    """A computation that makes one update of the members' by these rules."""
    tiers = robust.by_tier(specs)

    @tierfed.federated_computation(
        tierfed.FederatedType(SMALL, tierfed.CLIENTS), tierfed.FederatedType(np.float32, tierfed.CLIENTS)
    )
    def made(delta: Any, weight: Any) -> Any:
        return robust.aggregated(delta, weight, tiers)

    return made


def by_hand(specs: Any, some: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    """The same by loops over two edges of five."""

    def one(spec: Any, of: list[dict[str, Any]]) -> dict[str, Any]:
        name, given = (spec, {}) if isinstance(spec, str) else next(iter(spec.items()))
        if name == "clipped_mean":
            of = [{**u, "delta": rules.clipped(u["delta"], given["norm"])} for u in of]
        if name in ("mean", "clipped_mean"):
            weights = [float(u["weight"]) for u in of]
            mean = {
                p: np.float32(sum(u["delta"][p] * np.float32(w) for u, w in zip(of, weights)) / sum(weights))
                for p in ("w", "b")
            }
            return {"delta": mean, "weight": np.float32(sum(weights))}
        found: dict[str, Any] = robust.FORMS[name].gathers(of, *given.values())  # type: ignore[misc]
        return found

    if "EDGE_AGGREGATORS" in specs:
        some = [one(specs["EDGE_AGGREGATORS"], some[:5]), one(specs["EDGE_AGGREGATORS"], some[5:])]
    return flat(one(specs.get("SERVER", "mean"), some)["delta"])


@pytest.mark.parametrize(
    "specs",
    [
        {},
        {"SERVER": "median"},
        {"SERVER": {"krum": {"attackers": 2}}},
        {"EDGE_AGGREGATORS": "median"},
        {"SERVER": "median", "EDGE_AGGREGATORS": {"trimmed_mean": {"fraction": 0.2}}},
        {"EDGE_AGGREGATORS": {"multi_krum": {"attackers": 1, "keep": 3}}, "SERVER": {"clipped_mean": {"norm": 0.5}}},
        {"EDGE_AGGREGATORS": {"clipped_mean": {"norm": 1}}, "SERVER": {"geometric_median": {"iterations": 5}}},
    ],
)
def test_rules_stand_at_their_tiers(specs: Any) -> None:
    """The reference and a simulated tree give the same bits, and what loops over edges give."""
    some = updates(10, 1)
    given = [u["delta"] for u in some], [u["weight"] for u in some]
    computation = aggregate(specs)
    with tierfed.local(topology=fan_out(MANY)):
        here = computation(*given)
    assert np.allclose(flat(here), by_hand(specs, some), atol=1e-6)
    with tierfed.simulate(fan_out(MANY)) as fleet:
        there = fleet.invoke(computation, *given)
    assert flat(here).tobytes() == flat(there).tobytes()


def test_without_rules_it_is_federated_averaging() -> None:
    """The round of `fedavg`, bit for bit."""
    model: Any = mlp.initial_model(5)
    with LocalContext(TREE, lambda _: provider_for(FASHION, TREE, 5)):
        ours, theirs = robust.step_of()(model, SHORT, 0), fedavg.step(model, SHORT, 0)
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in model)


@pytest.mark.parametrize(
    ("specs", "text"),
    [
        ({"SERVER": "medain"}, "job.params.rules.SERVER: no rule 'medain'\n  to mend: did you mean 'median'?"),
        ({"SERVER": {"krum": {}}}, "krum takes attackers, got none\n  to mend: write {krum: {attackers: 2}}"),
        ({"SERVER": {"trimmed_mean": {"fraction": 0.5}}}, "fraction is 0.5\n  to mend: give a number from 0 to 0.499"),
        ({"SERVER": {"krum": {"attackers": 1.5}}}, "attackers is 1.5\n  to mend: give a number from 0"),
        ({"SERVER": {"median": {"x": 1}}}, "median takes no settings, got x"),
        ({"SERVER": 3}, "3 is no rule"),
        ("median", "job.params.rules: rules are 'median'"),
    ],
)
def test_what_is_no_rule_is_told(specs: Any, text: str) -> None:
    """With its place, and what could be written."""
    with pytest.raises(JobError) as raised:
        robust.step_of(specs)
    assert text in str(raised.value)


def test_rules_are_checked_before_anything_starts() -> None:
    """A tier that is not there, and rules that are none, are found with the topology."""
    [wrong] = misfits(robust.train, {"rules": {"EDGES": "median"}}, fan_out(MANY))
    assert "EDGES" in str(wrong)
    [wrong] = misfits(robust.train, {"rules": {"SERVER": "medain"}}, fan_out(MANY))
    assert "did you mean 'median'?" in str(wrong)


def test_a_round_is_made_of_the_jobs_parameters() -> None:
    """`round_of` gives the function what it names; what the job has not, it cannot want."""

    async def train(tree: Any, *, rules: Any = None) -> None: ...

    job = tierfed.job(round=robust.step_of)(train)
    plain, other = job.round_of({}), job.round_of({"rules": {"SERVER": "median"}})
    assert plain is not None and other is not None
    assert str(plain) != str(other)
    with pytest.raises(TypeMismatch, match="takes rules, which is no parameter of"):

        @tierfed.job(round=robust.step_of)
        async def other_job(tree: Any) -> None: ...
