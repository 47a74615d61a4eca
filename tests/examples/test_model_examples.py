"""The examples of models: each topology brings up a tree that trains, from any folder, and nothing is left."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli_command import environment, left_over

EXAMPLES = Path(__file__).parents[2] / "examples"
WANTS = {"numpy": "numpy", "keras": "tensorflow", "pytorch": "torch"}


def ran(tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the command in an empty folder."""
    return subprocess.run(
        [sys.executable, "-m", "tierfed", *args],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", WANTS)
def test_it_trains(name: str, tmp_path: Path) -> None:
    """Two rounds on forked daemons: half of the test images are right, where a tenth would be chance."""
    if importlib.util.find_spec(WANTS[name]) is None:
        pytest.skip(f"{WANTS[name]} is an extra")
    sets = ["--set", "job.params.rounds=2", "--set", "CLIENTS.colocate=8"]
    done = ran(tmp_path, "up", str(EXAMPLES / name / "topology.yaml"), *sets, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["status"], found["lost"], found["rounds"]) == ("ok", [], 2)
    assert found["metrics"]["accuracy"] > 0.5
    assert left_over(tmp_path) == {}


@pytest.mark.slow
def test_without_pytorch_it_says_what_to_install(tmp_path: Path) -> None:
    """`validate` fails with the pip command, and not with a traceback alone."""
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')", "utf-8")
    environ = environment(tmp_path)
    environ["PYTHONPATH"] = f"{tmp_path}:{environ.get('PYTHONPATH', '')}"
    done = subprocess.run(
        [sys.executable, "-m", "tierfed", "validate", str(EXAMPLES / "pytorch" / "topology.yaml")],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 2
    assert "this example wants PyTorch: pip install 'tierfed[torch]'" in done.stdout + done.stderr


def test_each_says_how_it_is_run() -> None:
    """A README with the command, and the topology that the command names."""
    for name in WANTS:
        command = f"tierfed up examples/{name}/topology.yaml"
        assert command in (EXAMPLES / name / "README.md").read_text("utf-8")
        assert (EXAMPLES / name / "topology.yaml").is_file()
