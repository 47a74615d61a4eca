"""The script that has brought a tree up is interrupted, or killed, in a round: no process is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fault_gate import PATIENCE, Gate
from history_checker import check, load
from launch_trees import left_over, marked

SCRIPT = Path(__file__).parent / "fault_script.py"
ROOT = SCRIPT.parents[2]


@contextmanager
def script(order: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the script as a terminal would, in a process group of its own; give it and the run's id."""
    path = os.pathsep.join(map(str, (ROOT, SCRIPT.parent)))
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), order],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            run_id = process.stdout.readline().strip()
            assert len(marked(run_id)) == 6, "supervisor, zygote, four nodes"
            yield process, run_id
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_an_interrupted_script(fault_home: Path, gate: Gate, number: signal.Signals) -> None:
    """In the middle of a round, with a leaf that computes: Ctrl-C, and kill -9, leave no process."""
    with script(gate.order("first")) as (process, run_id):
        gate.arrived("first")
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == -number
        assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)
    assert left_over(run_id) == {}
    run_dir = fault_home / "runs" / run_id
    said = [json.loads(line)["message"] for line in (run_dir / "supervisor.jsonl").read_text().splitlines()]
    assert said[-1] == "down"
    assert not [line for line in said if "within the grace" in line], "a leaf that computes delays nothing"
    assert check(load(run_dir / "history")) == []
