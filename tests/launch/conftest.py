"""Real trees of processes, down and gone when a test ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tierfed.launch import runs
from tierfed.launch.processes import Deployment, launch
from tierfed.topology.assignment import NodeAssignment

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))  # for the modules that stand beside the tests

from launch_trees import HERE, PATIENCE, SMALL, left_over


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runs of the test's own, and the dummies where a zygote finds them."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    for name in ("TIERFED_RUN", "TIERFED_LOG", "TIERFED_LEAF_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., Deployment]]:
    """Launch trees with `start(entry, …)`; all are down, and nothing is left, when the test ends."""
    started: list[Deployment] = []

    def begin(entry: str = "run", tree: list[NodeAssignment] | None = None, **settings: Any) -> Deployment:
        run_dir = runs.create()
        one = launch(
            SMALL if tree is None else tree,
            run_dir=run_dir,
            run_id=run_dir.name,
            token="secret-of-the-run",
            entry=f"launch_dummies:{entry}",
            **{"wait_timeout": PATIENCE, **settings},
        )
        started.append(one)
        return one

    yield begin
    for one in started:
        one.down()
    for run_dir in runs.folder().glob("*"):  # those that could not begin as well
        assert left_over(run_dir.name) == {}
