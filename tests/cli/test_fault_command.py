"""`fault`: processes of a running tree stopped, let go on and killed; and files whose faults nobody would see."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from cli_command import PATIENCE, TREE

Run = Callable[..., tuple[int, str, str]]


def becomes(pid: int, states: str) -> bool:
    """Wait until a process is in one of these states, as the kernel writes them; `-` is that there is none."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):  # the latter while it goes
            state = "-"
        if state in states:
            return True
    return False


def test_a_node_is_stopped_goes_on_and_is_killed(tierfed: Run, here: Run) -> None:
    """With all that live in its process; who is killed is not there to be killed again, and the tree goes on."""
    sets = ("--set", "CLIENTS.colocate=2", "--set", "CLIENTS.available={from: 1h, to: 2h}")
    code, out, err = tierfed("up", "-d", "tree.yaml", *sets, "--json")
    assert code == 0 and "tree.yaml: available: processes are always there; tierfed simulate keeps hours\n" in err
    run = json.loads(out)["run"]
    (one,) = json.loads(here("ps", run, "--json")[1])["runs"]
    pid = next(node["pid"] for node in one["nodes"] if node["name"] == "c-1")

    assert here("fault", run[:4], "c-1", "--do", "stop")[:2] == (0, "c-1 is stopped, and with it c-0\n")
    assert becomes(pid, "T")
    code, out, _ = here("fault", run, "c-1", "--do", "cont", "--json")
    told = {"schema_version": 1, "status": "ok", "run": run, "do": "cont", "nodes": ["c-0", "c-1"]}
    assert (code, json.loads(out)) == (0, told)
    assert becomes(pid, "SR")

    assert here("fault", run, "c-1", "--do", "kill")[:2] == (0, "c-1 is killed, and with it c-0\n")
    assert becomes(pid, "-Z")
    code, _, err = here("fault", run, "c-0", "--do", "kill")
    assert code == 5
    assert err == f"error: run {run}: the process of c-0 has ended\n  to mend: `tierfed ps {run}` says how\n"
    code, _, err = here("fault", run, "c-9", "--do", "kill")
    assert code == 5 and f"run {run}: no node 'c-9'\n  to mend: did you mean 'c-" in err
    assert here("down")[0] == 0
    code, _, err = here("fault", run, "c-1", "--do", "kill")
    assert code == 5 and f"no run {run} is up" in err


def test_what_to_do_has_to_be_said(here: Run) -> None:
    """There is no harm by default."""
    code, _, err = here("fault", "7f3", "c-1")
    assert code == 2 and "missing option '--do'" in err


def test_faults_need_a_job(here: Run, folder: Path) -> None:
    """A tree that is brought up without a job has no rounds for the faults of its file."""
    (folder / "tree.yaml").write_text(TREE + "faults: [{at: {round: 1}, node: c-1, do: kill}]\n")
    code, _, err = here("up", "tree.yaml", "-d")
    told = "error: tree.yaml: faults: faults happen while the job of the file runs, and this runs none\n"
    assert (code, err) == (2, told + "  to mend: leave -d out, or add --set 'faults=[]'\n")


def test_simulated_faults_are_told(here: Run, folder: Path) -> None:
    """A line for each while the job runs, and who was lost by it."""
    fault = "faults: [{at: {round: 2}, node: edge-1, do: partition}]\n"
    (folder / "tree.yaml").write_text(TREE.replace("SERVER:", "SERVER: {collect: {quorum: 50%}}") + fault)
    code, out, err = here("simulate", "tree.yaml")
    assert code == 0, err
    assert "fault edge-1: partition\nlost edge-1: its connection was lost: no sign of life for 15 s\n" in out
