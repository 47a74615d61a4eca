"""Federated analytics against numpy on everybody's values together, on any tree, and on nodes."""

from __future__ import annotations

import sys
import types
from collections import Counter

import numpy as np
import pytest
from papers import TREES, Run

import tierfed
from tierfed.errors import EmptyAggregate, JobError
from tierfed.learning import analytics
from tierfed.placements import Hierarchy, Tree

READINGS = np.array([19.5, 20.25, 22.0, 20.25, 31.5, 17.0], np.float32)
WORDS = [
    ["tree", "treetop", "a", ""],
    ["tree", "tre", "branch", "branches"],
    ["treetops", "tree", "brand", "tree"],
    [],
    ["a", "branch", "étage", "étage"],
    ["étage", "tree top", "brunch", "branch"],
]


def provider(uri, type, member):
    """A reading, or words, of six members."""
    return READINGS[member.index] if uri == "reading" else np.array(WORDS[member.index], object)


@pytest.mark.parametrize("tree", TREES)
async def test_moments_are_numpys(tree) -> None:
    """Mean and population variance in float64, count, least and largest."""
    run = Run(TREES[tree], source=provider)
    found = await analytics.describe(run)
    wide = READINGS.astype(np.float64)
    assert (found["mean"], found["variance"]) == pytest.approx((wide.mean(), wide.var()), rel=1e-14)
    assert (found["count"], found["least"], found["largest"]) == (6, 17.0, 31.5)
    assert set(run.released[0]) == {"mean", "variance", "count", "least", "largest"}


def test_a_variance_beside_a_large_mean_is_not_cancelled() -> None:
    """Readings of a billion that differ by one: the textbook's difference of squares would lose all of it."""

    @tierfed.federated_computation("{float64}@CLIENTS")
    def moments(x):
        return analytics.moments(x)

    with tierfed.local():
        found = moments([1e9, 1e9 + 1, 1e9 + 2])
    assert found["variance"] == pytest.approx(2 / 3, rel=1e-12)


def test_moments_of_each_region_are_of_its_own_clients() -> None:
    """At a tier below the root: one mean and variance a member."""

    @tierfed.federated_computation
    def regional():
        reading = tierfed.federated_data("reading", np.float32, tierfed.CLIENTS)
        return analytics.moments(tierfed.federated_map(analytics.wide, reading), to="EDGE_AGGREGATORS")

    with Run(TREES["three tiers"], source=provider)._context:
        found = regional()
    for i, own in enumerate((READINGS[:3], READINGS[3:])):
        wide = own.astype(np.float64)
        assert (found["mean"][i], found["variance"][i]) == pytest.approx((wide.mean(), wide.var()), rel=1e-14)
        assert found["count"][i] == 3


@pytest.mark.parametrize("tree", TREES)
def test_a_histogram_counts_below_in_each_bin_and_above(tree) -> None:
    """A value on an edge is in the bin above it; all trees give the same integers."""
    with Run(TREES[tree], source=provider)._context:
        assert counted().tolist() == [1, 1, 2, 1, 1]


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("q", [0.0, 0.1, 0.5, 0.75, 1.0])
async def test_a_quantile_is_between_its_bounds(tree, q) -> None:
    """It is numpy's inverted cdf, found to 1/4096 of the first bounds."""
    run = Run(TREES[tree], source=provider)
    found = await analytics.quantile(run, q=q, low=0.0, high=100.0)
    assert found["low"] <= np.quantile(READINGS, q, method="inverted_cdf") < found["high"]
    assert found["high"] - found["low"] == pytest.approx(100 / 4096, rel=1e-3)
    assert [m["members"] for m in run.released.values()] == [6] * 4


async def test_a_quantile_outside_of_the_bounds_is_told() -> None:
    """It is not clipped to the nearest bin; nor are bounds taken that are none."""
    with pytest.raises(JobError) as below:
        await analytics.quantile(Run(source=provider), low=20.0, q=0.1)
    assert str(below.value) == (
        "job.params.low: the quantile 0.1 of 6 readings is below 20\n  to mend: give wider bounds"
    )
    with pytest.raises(JobError) as above:
        await analytics.quantile(Run(source=provider), high=31.5, q=1.0)
    assert str(above.value) == (
        "job.params.high: the quantile 1.0 of 6 readings is not below 31.5\n  to mend: give wider bounds"
    )
    with pytest.raises(JobError, match="q is 1.5, low 0.0 and high 100.0\n  to mend: 0 <= q <= 1"):
        await analytics.quantile(Run(source=provider), q=1.5)


async def test_a_quantile_of_nobody_is_none() -> None:
    """Zero members have no median."""
    nobody = Tree.grown(Hierarchy.chain("SERVER", "CLIENTS"), {"CLIENTS": 0})
    with pytest.raises(EmptyAggregate, match="a quantile of nobody's readings"):
        await analytics.quantile(Run(nobody, source=provider))


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize(("threshold", "characters"), [(1, 3), (2, 1), (2, 4), (3, 9), (5, 2), (9, 2)])
async def test_heavy_hitters_are_all_the_frequent_words_and_no_other(tree, threshold, characters) -> None:
    """The words and counts of a plain count, where some are beginnings of others, one is empty, one has accents."""
    run = Run(TREES[tree], source=provider)
    found = await analytics.heavy_hitters(run, threshold=threshold, characters=characters, rounds=10)
    all = Counter(word for own in WORDS for word in own)
    assert found == {word: n for word, n in all.items() if n >= threshold}
    assert list(found) == sorted(found, key=lambda word: (-found[word], word))
    told = {name: n for name, n in run.released[9].items() if name not in ("beginnings", "length")}
    assert told == {repr(word): n for word, n in found.items()}


async def test_only_what_goes_on_from_frequent_beginnings_is_sent() -> None:
    """In the second round nobody sends a word whose beginning was rare."""
    with Run(TREES["three tiers"], source=provider)._context:
        asked = {"prefixes": np.array(["bran"], object), "known": 4, "length": 6}
        found = analytics.words_below(asked)
    assert dict(zip(found["words"], found["counts"].tolist(), strict=True)) == {"brand": 1, "branch": 4}


async def test_words_that_may_go_on_are_told() -> None:
    """Too few rounds give an error with the word, and not a beginning as if it were a word."""
    with pytest.raises(JobError) as error:
        await analytics.heavy_hitters(Run(source=provider), threshold=3, characters=3, rounds=2)
    assert str(error.value) == (
        "job.params.rounds: 'branch' occurs 4 times, and may be the beginning of longer words\n"
        "  to mend: give more rounds than 2, or more characters a round than 3"
    )
    with pytest.raises(JobError, match="threshold is 0, characters 4 and rounds 4\n  to mend: give 1 or more"):
        await analytics.heavy_hitters(Run(source=provider), threshold=0)


@pytest.mark.parametrize("job", ["quantile", "heavy_hitters"])
async def test_a_job_that_is_resumed_ends_as_it_would_have(job) -> None:
    """Two rounds, and the others from what was kept, are all of them at once."""
    program, params = getattr(analytics, job), {} if job == "quantile" else {"threshold": 4, "characters": 2}
    whole = await program(Run(source=provider), rounds=4, **params)
    begun = Run(source=provider)
    if job == "quantile":
        await program(begun, rounds=2)
    else:
        with pytest.raises(JobError, match="may be the beginning"):
            await program(begun, rounds=2, **params)
    rest = Run(source=provider, saved=begun.saved)
    assert await program(rest, rounds=4, **params) == whole
    assert list(rest.released) == [2, 3]


@tierfed.federated_computation
def counted():
    """Return a histogram of the readings, with an edge on one of them."""
    reading = tierfed.federated_data("reading", np.float32, tierfed.CLIENTS)
    return analytics.histogram(reading, [18, 20.25, 22, 30])


def on_nodes(tree):
    """What the jobs and a histogram give on `tree`, against what is so."""
    found = tree.run_job(analytics.describe)
    assert found["variance"] == pytest.approx(READINGS.astype(np.float64).var(), rel=1e-14)
    median = tree.run_job(analytics.quantile)
    assert median["low"] <= 20.25 < median["high"]
    words = tree.run_job(analytics.heavy_hitters, {"threshold": 2})
    assert words == {w: n for w, n in Counter(sum(WORDS, [])).items() if n >= 2}
    assert tree.invoke(counted).tolist() == [1, 1, 2, 1, 1]


def topology(module):
    job = {"program": "tierfed.learning.analytics:describe", "data": {"provider": f"{module}:provider"}}
    return tierfed.tree(fan_out={"EDGE_AGGREGATORS": 2, "CLIENTS": 3}, job=job)


def test_words_that_are_odd_names_are_kept_over_a_resumption(tmp_path, monkeypatch) -> None:
    """One of them is empty, one has a space: what a checkpoint on disk has of them is what goes on."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "fleet_of_six", types.SimpleNamespace(provider=provider))
    with tierfed.simulate(topology("fleet_of_six")) as begun, pytest.raises(JobError, match="may be the beginning"):
        begun.run_job(analytics.heavy_hitters, {"threshold": 1, "characters": 3, "rounds": 2})
    with tierfed.simulate(topology("fleet_of_six")) as rest:
        params = {"threshold": 1, "characters": 3, "rounds": 4}
        found = rest.run_job(analytics.heavy_hitters, params, resume=begun.run_dir)
        assert rest.summary("ok")["rounds"] == 2
    assert found == dict(Counter(sum(WORDS, [])))


def test_on_simulated_nodes_it_is_the_same(tmp_path, monkeypatch) -> None:
    """Nodes that call batch forms, and send words over links, find the same."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "fleet_of_six", types.SimpleNamespace(provider=provider))
    with tierfed.simulate(topology("fleet_of_six")) as tree:
        on_nodes(tree)


@pytest.mark.slow
def test_on_daemons_it_is_the_same(tmp_path, monkeypatch) -> None:
    """Processes find the leaves by their names."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    lines = ["import numpy as np", f"READINGS = {READINGS.tolist()}", f"WORDS = {WORDS}", "def provider(uri, type, m):"]
    lines.append("    return np.float32(READINGS[m.index]) if uri == 'reading' else np.array(WORDS[m.index], object)")
    (tmp_path / "daemons_of_six.py").write_text("\n".join(lines), "utf-8")
    with tierfed.up(topology("daemons_of_six")) as tree:
        on_nodes(tree)
