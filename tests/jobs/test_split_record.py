"""A split in two levels: one for every backend, and what a run writes down is what its members had."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tierfed
from tierfed.data import DATASETS, Dataset, store
from tierfed.data.recipe import coded
from tierfed.errors import DataError

EXAMPLES = tierfed.to_type("<x=float32[?,784],y=int32[?]>")
COUNTS = tierfed.to_type((np.int64, [10]))
TREE = """\
apiVersion: tierfed/v1
kind: Topology
name: uneven
seed: 7
placements:
  SERVER:
  EDGE: {parent: SERVER, members: {eu: , us: }}
  CLIENTS:
    parent: EDGE
    members:
      c-0: {parent: eu}
      c-1: {parent: eu}
      c-2: {parent: eu}
      c-3: {parent: us}
      c-4: {parent: us}
job: {program: "m:f", data: {dataset: fashion-mnist-6k, DATA}}
"""
REGIONAL = "split: {dirichlet: {alpha_region: 0.2, alpha_client: 1}}"


@tierfed.py_computation(EXAMPLES, returns=COUNTS)
def counted(examples: Any) -> Any:
    """How many examples of each class."""
    return np.bincount(examples["y"], minlength=10).astype(np.int64)


@tierfed.federated_computation()
def everybody() -> Any:
    """What each client has to train with."""
    return tierfed.federated_collect(
        tierfed.federated_map(counted, tierfed.federated_data("train", EXAMPLES, tierfed.CLIENTS))
    )


@tierfed.federated_computation()
def held_out() -> Any:
    """What each client holds out."""
    return tierfed.federated_collect(
        tierfed.federated_map(counted, tierfed.federated_data("holdout", EXAMPLES, tierfed.CLIENTS))
    )


def file(tmp_path: Path, data: str = REGIONAL) -> Path:
    """Write the topology; runs are beside it."""
    path = tmp_path / "tree.yaml"
    path.write_text(TREE.replace("DATA", data))
    return path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of these tests are theirs alone."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path / "runs"))


def in_reference(path: Path, program: Any = everybody) -> list[list[int]]:
    """Return each client's counts, by the reference interpreter."""
    with tierfed.local(topology=str(path)):
        return [of.tolist() for of in program()]


def test_the_simulation_has_the_references_split_and_writes_it(tmp_path: Path) -> None:
    """Regions differ, everything is given out, and split.json counts what the members had, with the rule and seed."""
    path = file(tmp_path)
    expected = in_reference(path)
    with tierfed.simulate(str(path)) as fleet:
        assert not (fleet.run_dir / "split.json").exists()
        assert [of.tolist() for of in fleet.invoke(everybody)] == expected
        written = json.loads((fleet.run_dir / "split.json").read_text())
    assert np.sum(expected, axis=0).tolist() == [600] * 10
    assert written["members"] == {f"c-{i}": of for i, of in enumerate(expected)}
    assert written["labels"][0] == "T-shirt" and len(written["labels"]) == 10
    assert written["rule"] == {"dirichlet": {"alpha_region": 0.2, "alpha_client": 1.0}}
    assert (written["seed"], written["dataset"]) == (7, "fashion-mnist-6k")
    assert written["placements"]["CLIENTS"]["members"] == 5 and len(written["placements"]["CLIENTS"]["sha256"]) == 64


def test_rule_and_seed_give_the_split_again(tmp_path: Path) -> None:
    """In another file's job.data, under another seed of the run: the same digest; without the seed another."""
    digests = []
    for data in (REGIONAL, f"{REGIONAL}, seed: 7", REGIONAL):
        path = file(tmp_path, data)
        if digests:
            path.write_text(path.read_text().replace("seed: 7\n", "seed: 8\n"))
        with tierfed.simulate(str(path)) as fleet:
            fleet.invoke(everybody)
            written = json.loads((fleet.run_dir / "split.json").read_text())
            digests.append(written["placements"]["CLIENTS"]["sha256"])
    assert digests[0] == digests[1] != digests[2]


def test_what_is_held_out_is_counted_with_the_share(tmp_path: Path) -> None:
    """Of each member: to train with, and held out, are what split.json says that it has."""
    path = file(tmp_path, f"{REGIONAL}, holdout: 25%")
    kept, held = in_reference(path), in_reference(path, held_out)
    with tierfed.simulate(str(path)) as fleet:
        assert [of.tolist() for of in fleet.invoke(held_out)] == held
        written = json.loads((fleet.run_dir / "split.json").read_text())
    assert list(written["members"].values()) == (np.array(kept) + np.array(held)).tolist()
    assert written["holdout"] == "25%"
    assert sum(map(sum, held)) == pytest.approx(1500, abs=5)


def test_a_split_that_cannot_be_is_told_before_anything_runs(tmp_path: Path) -> None:
    """Regions that are not above, and a column of a set that has none."""
    path = file(tmp_path, REGIONAL.replace("1}}", "1, regions: CLIENTS}}"))
    with tierfed.simulate(str(path)) as fleet, pytest.raises(DataError, match="no CLIENTS is above the members that a"):
        fleet.invoke(everybody)
    with pytest.raises(DataError, match="no CLIENTS is above the members"):
        in_reference(path)
    with pytest.raises(DataError, match="fashion-mnist-6k has no column 'role'"):
        in_reference(file(tmp_path, "split: {by: role}"))


def test_a_split_by_columns_is_the_same_in_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regions by their label, members in order; the record names the rule."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    towns, streets = np.repeat(["north", "south"], [6, 4]), np.array([f"s{i}" for i in (0, 0, 1, 1, 2, 2, 3, 3, 4, 4)])
    arrays = {"train_x": np.zeros((10, 784), np.uint8), "train_y": np.arange(10, dtype=np.uint8)}
    arrays |= {"test_x": np.zeros((1, 784), np.uint8), "test_y": np.zeros(1, np.uint8)}
    store.keep("tiny", {**arrays, **coded("town", towns), **coded("street", streets)}, b"")
    recipe = dataclasses.replace(
        DATASETS["mnist-5k"].recipe,
        name="tiny",
        train=10,
        test=1,
        columns=("town", "street"),
    )
    monkeypatch.setitem(DATASETS, "tiny", Dataset("tiny", "tiny.npz", EXAMPLES, recipe))
    path = file(tmp_path, "split: {by: [town, street]}")
    text = path.read_text().replace("fashion-mnist-6k", "tiny")
    path.write_text(text.replace("{eu: , us: }", "{eu: {labels: {town: north}}, us: {labels: {town: south}}}"))
    expected = [np.bincount(rows, minlength=10).tolist() for rows in ([0, 1], [2, 3], [4, 5], [6, 7], [8, 9])]
    assert in_reference(path) == expected
    with tierfed.simulate(str(path)) as fleet:
        assert [of.tolist() for of in fleet.invoke(everybody)] == expected
        assert json.loads((fleet.run_dir / "split.json").read_text())["rule"] == {"by": ["town", "street"]}


@pytest.mark.slow
def test_processes_have_the_references_split(tmp_path: Path) -> None:
    """What a split asks of the tree is told to daemons over their sockets."""
    path = file(tmp_path)
    with tierfed.up(str(path)) as tree:
        assert [of.tolist() for of in tree.invoke(everybody)] == in_reference(path)
        assert len(json.loads((tree.run_dir / "split.json").read_text())["members"]) == 5
