"""The reproduction of HierFAVG: its network, its split, its costs on the clock, and its program."""

from __future__ import annotations

import csv
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import tierfed
from tierfed.backends.data import provider_for
from tierfed.backends.local import LocalContext
from tierfed.data import MemberInfo
from tierfed.placements import Hierarchy, Tree

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "hierfavg"
sys.path.insert(0, str(EXAMPLE))
lenet, loops, program, published, split = map(
    importlib.import_module, ("lenet", "lenet_loops", "hierfavg_program", "hierfavg_published", "hierfavg_split")
)
sys.path.remove(str(EXAMPLE))


def digits(examples: int, seed: int = 0) -> tuple[Any, Any]:
    """Images of noise with two bright rows, which are the class's own, and their classes."""
    y = np.arange(examples, dtype=np.int32) % 10
    x = 0.3 * np.random.default_rng(seed).random((examples, 28, 28))
    for image, label in zip(x, y, strict=True):
        image[2 + 2 * label : 4 + 2 * label] = 1
    return x.reshape(examples, 784).astype(np.float32), y


def tiny(uri: str, type: Any, member: Any) -> Any:
    """A provider: one image of its class for each client."""
    return digits(10) if uri == "test" else tuple(part[member.index % 10 :][:1] for part in digits(10))


@pytest.fixture(autouse=True)
def plain_numpy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Numpy's loops, whose bits are those of the compiled, and one BLAS thread: nothing to wait for."""
    for name, loop in zip(("pooled", "unpooled", "spread"), loops.SLOW, strict=True):
        monkeypatch.setattr(lenet, name, loop)
    with threadpool_limits(1):
        yield


# -- the network


def test_the_network_has_the_papers_parameters() -> None:
    """21,840 of them."""
    assert sum(part.size for part in lenet.initial_model(0).values()) == 21_840


def test_the_gradient_is_that_of_finite_differences() -> None:
    """In float64, each part's largest slope and three others are what the loss does under a small step."""
    x, y = digits(3)
    x = x.astype(np.float64)
    model = {name: part.astype(np.float64) for name, part in lenet.initial_model(1).items()}
    slopes = lenet.gradient(model, x, y)
    rng = np.random.default_rng(0)
    for name, part in model.items():
        at = [np.abs(slopes[name]).argmax(), *rng.integers(part.size, size=3)]
        for i in (np.unravel_index(k, part.shape) for k in at):
            kept, losses = part[i], []
            for moved in (kept + 1e-6, kept - 1e-6):
                part[i] = moved
                losses.append(lenet.score(model, x, y)[1] / len(y))
            part[i] = kept
            assert slopes[name][i] == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-4, abs=1e-8), (name, i)


@pytest.mark.slow
def test_compiled_loops_give_the_bits_of_numpy() -> None:
    """Maxima, which pixel they are, the way back and sums of copies, with equal pixels and with none above zero."""
    if loops.FAST is None:
        pytest.skip("numba is not installed")
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((2, 8, 8, 3)).astype(np.float32)
    maps[0, :4], maps[1, 4:] = 0.5, -0.5
    (pooled, unpooled, spread), (fast_pooled, fast_unpooled, fast_spread) = loops.SLOW, loops.FAST
    bias = np.array([0.1, -0.2], np.float32)
    out, which = pooled(maps, bias)
    fast_out, fast_which = fast_pooled(maps, bias)
    assert out.tobytes() == fast_out.tobytes()
    assert which.tobytes() == fast_which.tobytes()
    assert set(which.ravel()) == {0, 1, 2, 3, loops.NONE}
    slopes = rng.standard_normal(out.shape).astype(np.float32)
    back = unpooled(slopes, which)
    assert np.array_equal(back, fast_unpooled(slopes, which))
    assert back.sum() == pytest.approx(slopes[out > 0].sum(), abs=1e-4)  # all of a slope goes to one pixel
    copies = rng.standard_normal((50, 4 * 4 * 3)).astype(np.float32)
    assert spread(copies, maps.shape).tobytes() == fast_spread(copies, maps.shape).tobytes()


def test_descent_is_a_function_of_its_arguments_and_learns() -> None:
    """The same seed gives the same bits, another seed others; forty steps lower the loss; the model stays as it was."""
    x, y = digits(40)
    model = lenet.initial_model(0)
    before = {name: part.copy() for name, part in model.items()}
    one, again = (lenet.descend(model, x, y, steps=40, lr=0.1, batch=5, seed=(1, 2)) for _ in range(2))
    other = lenet.descend(model, x, y, steps=40, lr=0.1, batch=5, seed=(1, 3))
    assert all(one[name].tobytes() == again[name].tobytes() for name in one)
    assert any(one[name].tobytes() != other[name].tobytes() for name in one)
    assert lenet.score(one, x, y)[1] < 0.8 * lenet.score(model, x, y)[1]
    assert all(np.array_equal(model[name], before[name]) for name in model)


# -- the split


def test_edges_are_alike_or_of_five_classes() -> None:
    """Fifty clients of one class each, five of every class; an edge has all ten classes, or just five."""
    for iid, under_an_edge in ((True, 10), (False, 5)):
        of = np.array(split.classes(iid)).reshape(5, 10)
        assert np.bincount(of.ravel()).tolist() == [5] * 10
        assert [len(set(edge)) for edge in of.tolist()] == [under_an_edge] * 5


@pytest.mark.parametrize("iid", [True, False])
def test_every_image_is_one_clients_and_of_its_class(iid: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares are disjoint, as large as each other, cover everything, and depend on the seed."""
    labels = np.repeat(np.arange(10), 40)
    monkeypatch.setattr(split, "images", lambda part: (None, labels))
    split.shares.cache_clear()
    shares = split.shares(iid, 3)
    assert [labels[rows].tolist() for rows in shares] == [[label] * 8 for label in split.classes(iid)]
    assert sorted(np.concatenate(shares)) == list(range(400))
    assert any(not np.array_equal(a, b) for a, b in zip(shares, split.shares(iid, 4), strict=True))
    split.shares.cache_clear()


# -- the costs


def test_the_papers_seconds_are_whole_rounds() -> None:
    """Its times are whole numbers of rounds at its costs, and energies at those rounds are those it is held to."""
    joules = [28.4, 23.0, 21.9, 19.0, 29.8, 28.6, 26.9, 28.9]
    for setting, energy in zip(published.SETTINGS, joules, strict=True):
        assert setting.seconds / setting.round_seconds == pytest.approx(setting.rounds, abs=0.02)
        assert setting.joules == pytest.approx(energy, abs=0.05)
    assert [s.rounds for s in published.SETTINGS[:4]] == [138, 86, 56, 25]


@pytest.mark.parametrize(("kappa_1", "kappa_2"), [(60, 1), (6, 3)])
def test_the_clock_charges_what_the_paper_does(
    kappa_1: int, kappa_2: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cloud round takes the formula's seconds and joules to 0.01 %: they come of links, devices and real messages."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    monkeypatch.setattr(lenet, "descend", lambda model, *_, **__: dict(model))
    setting = published.Setting("edge-iid", kappa_1, kappa_2, 0)
    sets = [
        f"CLIENTS.compute.time={kappa_1 * published.T_COMP * 1000:g}ms",
        f"job.data.provider={__name__}:tiny",
        f"job.params={{rounds: 1, kappa_1: {kappa_1}, kappa_2: {kappa_2}}}",
    ]
    monkeypatch.setattr(sys, "path", [*sys.path])  # to which the folder of the topology is added
    with tierfed.simulate(EXAMPLE / "topology.yaml", sets=sets) as fleet:
        assert fleet.topology.job is not None
        fleet.run_job(program.train, fleet.topology.job.params)
        tiers = fleet.recorder.summary("ok")["tiers"]
        assert fleet.now == pytest.approx(setting.round_seconds, rel=1e-4)
        assert tiers["CLIENTS"]["joules"] == pytest.approx(50 * setting.round_joules, rel=1e-4)
        assert tiers["CLIENTS"]["messages_up"] == 50 * kappa_2  # one upload an edge round
        assert tiers["EDGE_AGGREGATORS"]["messages_up"] == 5


# -- the program


def test_the_program_is_the_loops_of_the_paper() -> None:
    """Two cloud rounds over clients of unequal size are those of loops in numpy, up to the rounding of sums."""
    sizes = [4, 8, 6, 10]
    data = [digits(size, seed) for seed, size in enumerate(sizes)]
    hierarchy = Hierarchy.chain("SERVER", "EDGE_AGGREGATORS", "CLIENTS")
    tree = Tree.grown(hierarchy, {"EDGE_AGGREGATORS": 2, "CLIENTS": 2})
    hyper = {"kappa_1": 3, "kappa_2": 2, "lr": 0.05, "batch": 2}
    seeds = [seed_of(i) for i in range(4)]

    def given(uri: str, type: Any, member: Any) -> Any:
        return data[member.index]

    model = expected = lenet.initial_model(0)
    with LocalContext(tree, lambda _: provider_for(given, tree, 0)):
        for number in range(2):
            model = program.cloud_round(model, hyper, number)
    for number in range(2):
        total = dict.fromkeys(expected, 0.0)
        for edge in ((0, 1), (2, 3)):
            own = expected
            for turn in range(2):
                new = [
                    lenet.descend(own, *data[i], steps=3, lr=0.05, batch=2, seed=(seeds[i], number * 2 + turn))
                    for i in edge
                ]
                of = sum(sizes[i] for i in edge)
                own = {
                    name: sum(sizes[i] * part[name].astype(np.float64) for i, part in zip(edge, new)) / of
                    for name in own
                }
                own = {name: part.astype(np.float32) for name, part in own.items()}
            total = {name: total[name] + own[name] * np.float64(of) for name in total}
        expected = {name: (part / sum(sizes)).astype(np.float32) for name, part in total.items()}
    for name, part in expected.items():
        assert np.allclose(model[name], part, rtol=1e-4, atol=1e-6), name


def seed_of(index: int) -> int:
    """The seed of a client in a context whose seed is 0."""
    return int(MemberInfo("", "CLIENTS", index, 4, seed=0).described()[1])


# -- the command


def quick(out: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """What `reproduce.py --quick` prints, in a folder of its own."""
    root = EXAMPLE.parents[1]
    return subprocess.run(
        [sys.executable, EXAMPLE / "reproduce.py", "--quick", "--out", out],
        cwd=cache,
        env={**os.environ, "PYTHONPATH": str(root), "XDG_CACHE_HOME": str(cache), "TIERFED_HOME": str(cache / "home")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_command_runs_and_goes_on_where_it_was(tmp_path: Path) -> None:
    """Two settings take the clock's time of two rounds each; asked again, only what is missing is run."""
    cache, out = tmp_path / "cache", tmp_path / "out"
    (cache / "tierfed" / "data").mkdir(parents=True)
    asked = quick(out, cache)
    assert asked.returncode == 1
    assert "tierfed data add mnist-5k" in asked.stderr
    arrays = {}
    for part, size in (("train", 4000), ("test", 1000)):
        x, y = digits(size)
        arrays |= {f"{part}_x": (x * 255).astype(np.uint8), f"{part}_y": y.astype(np.uint8)}
    np.savez(cache / "tierfed" / "data" / "mnist-5k.npz", **arrays)
    first = quick(out, cache)
    assert first.returncode == 0, first.stderr
    results = (out / "results.csv").read_text("utf-8")
    rows = list(csv.DictReader(results.splitlines()))
    assert [(r["kappa_1"], r["kappa_2"], r["rounds"], r["seconds"]) for r in rows] == [
        ("60", "1", "2", "5.5926"),
        ("6", "10", "2", "7.812"),
    ]
    assert first.stdout == (out / "table.md").read_text("utf-8")
    assert "| edge-IID | 6, 10 | 1 | 25 |" in first.stdout
    (out / "results.csv").write_text("".join(results.splitlines(keepends=True)[:2]), "utf-8")
    rest = quick(out, cache)
    assert "1 of 2 runs are in" in rest.stderr
    last = list(csv.DictReader((out / "results.csv").read_text("utf-8").splitlines()))
    assert [{**r, "here": ""} for r in last] == [{**r, "here": ""} for r in rows]
