"""The gallery: fleets with the links and devices of real ones, which run a round on a virtual clock, and on daemons."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import tierfed
from tierfed.cli import commands
from tierfed.topology import load_topology

FOLDER = Path(__file__).parents[2] / "topologies"
SCALED = {
    "phones_lte": ("--set", "CLIENTS.per_parent=1", "--set", "CLIENTS.overrides=[]"),
    "vehicles": ("--set", "CLIENTS.per_parent=1"),
}
TIERS = {"hospitals": 2, "satellites": 3, "factory": 4, "phones_lte": 4, "vehicles": 5}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are nobody's, and so is the path."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path])


def ran(*args: str) -> str:
    """Run a command that succeeds; return what it prints."""
    result = CliRunner().invoke(commands, args)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("name", TIERS)
def test_it_loads_and_shows(name: str) -> None:
    """It says what its links and devices are, nothing about it is doubtful, and `show` predicts what a round takes."""
    path = FOLDER / f"{name}.yaml"
    topology = load_topology(path)
    assert len(topology.hierarchy.placements) == TIERS[name] and len(topology.nodes) <= 40
    assert topology.notes == ()
    assert all(n.link is not None and n.device is not None for n in topology.members("CLIENTS"))
    assert " s in all" in ran("show", str(path))


@pytest.mark.parametrize(
    "names", [("phones_lte", "vehicles"), pytest.param(("hospitals", "satellites", "factory"), marks=pytest.mark.slow)]
)
def test_validate_finds_their_programs(names: tuple[str, ...]) -> None:
    """The jobs, their parameters and their data are there, and each deadline can be met."""
    told = ran("validate", *(str(FOLDER / f"{name}.yaml") for name in names))
    assert told.count(".yaml: ok") == len(names)


@pytest.mark.parametrize("name", TIERS)
def test_it_says_where_its_figures_come_from(name: str) -> None:
    """Each has a comment with sources, and what is assumed is called so."""
    head = (FOLDER / f"{name}.yaml").read_text("utf-8").partition("apiVersion")[0]
    assert "# Where the figures come from:" in head and "assumed" in head


@pytest.mark.parametrize("name", TIERS)
def test_it_simulates(name: str) -> None:
    """A round of its job takes seconds of the virtual clock, of which its links and devices are most."""
    done = json.loads(ran("simulate", str(FOLDER / f"{name}.yaml"), "--set", "job.params.rounds=1", "--json"))
    assert done["status"] == "ok" and done["rounds"] == 1 and done["metrics"]
    assert 0.05 < done["seconds"]["per_round"][0] < 60


def test_phones_are_as_many_as_you_like() -> None:
    """The page's example, smaller: every phone is counted once, and the median is where the distribution has it."""
    with tierfed.simulate(FOLDER / "phones_lte.yaml", clients=200) as fleet:
        quantiles = importlib.import_module("quantiles")
        counted = fleet.invoke(quantiles.counts, {"low": 0.0, "high": 40.0})
        bounds = fleet.run_job(quantiles.median)
    assert counted.sum() == 200 and counted[-1] > 0
    assert 17 < bounds["low"] < bounds["high"] < 23 and bounds["high"] - bounds["low"] < 0.03


@pytest.mark.slow
def test_daemons_come_up_and_count_the_same() -> None:
    """The factory, with four sensors and a radio of a faster kind, as processes and simulated."""
    fast = ["CLIENTS.link.rate=10mbit", "GATEWAYS.interface.rate=10mbit", "PLANTS.link.rate=10mbit"]
    topology = load_topology(FOLDER / "factory.yaml", fast, clients=4)
    with tierfed.simulate(topology) as fleet:
        quantiles = importlib.import_module("quantiles")
        simulated = fleet.invoke(quantiles.counts, {"low": 0.0, "high": 40.0})
    with tierfed.up(topology) as tree:
        counted = tree.invoke(quantiles.counts, {"low": 0.0, "high": 40.0})
    assert np.array_equal(counted, simulated) and counted.sum() == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "clients"), [("hospitals", 8), ("satellites", 12), ("phones_lte", 6), ("vehicles", 8)]
)
def test_it_comes_up_scaled_down(name: str, clients: int) -> None:
    """A few clients of each, as processes on its links: all of them are in a round of its job."""
    path = str(FOLDER / f"{name}.yaml")
    text = ran("up", path, "--set", "job.params.rounds=1", *SCALED.get(name, ()), "--json")
    done = json.loads(text)
    assert done["status"] == "ok" and done["rounds"] == 1
    assert done["tiers"]["CLIENTS"]["nodes"] == clients
    assert done["tiers"]["CLIENTS"]["messages_up"] >= clients
