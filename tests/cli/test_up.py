"""`up`, `run`, `ps`, `logs` and `down`, with real processes."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_command import Command, left_over, marked, read_until

from tierfed.compiler import compile
from tierfed.jobs.program import load_job
from tierfed.topology import load_topology
from tierfed.topology.plan import predicted

Run = Callable[..., tuple[int, str, str]]


def test_up_runs_the_job_and_leaves_nothing_but_its_folder(tierfed: Run, folder: Path) -> None:
    """One document on stdout; bytes as predicted, to the byte; the run's folder; no process."""
    code, out, err = tierfed("up", "tree.yaml", "--json")
    assert (code, marked(folder)) == (0, {})
    document = json.loads(out)
    assert out.count("\n") == 1
    assert {k: document[k] for k in ("schema_version", "status", "topology", "rounds", "metrics", "lost", "error")} == {
        "schema_version": 1,
        "status": "ok",
        "topology": "small",
        "rounds": 2,
        "metrics": {"mean": 1.5},
        "lost": [],
        "error": None,
    }
    assert "the job prints this\n" in err and "round 2/2: mean 1.50, " in err and "✓ 2 rounds in " in err
    assert "\033" not in err

    topology = load_topology("tree.yaml")
    job = load_job("cli_jobs:train", folder)
    assert job.round is not None
    for name, one in predicted(topology, compile(job.round, topology.hierarchy)).items():
        tier = document["tiers"][name]
        assert one is not None and one.exact_up and one.up < one.raw_up
        sent = [tier[key] for key in ("raw_bytes_up", "bytes_up", "raw_bytes_down", "bytes_down")]
        assert sent == [2 * n for n in one[:4]]

    run_dir = Path(document["run_dir"])
    assert run_dir == folder / ".tierfed" / "runs" / document["run"]
    assert json.loads((run_dir / "summary.json").read_text()) == document
    assert json.loads((run_dir / "manifest.json").read_text())["state"] == "down"
    assert load_topology(run_dir / "topology.resolved.yaml") == topology
    with open(run_dir / "rounds.csv") as file:
        assert [row["round"] for row in csv.DictReader(file)] == ["0", "1"]
    assert {path.stem for path in (run_dir / "logs").glob("*.jsonl")} <= set(topology.nodes)
    events = [json.loads(line)["event"] for line in (run_dir / "events.jsonl").read_text().splitlines()]
    assert events[-1] == "down" and events.count("released") == 2


def test_a_client_that_raises(tierfed: Run, folder: Path) -> None:
    """Within the quorum the round goes on; its traceback is shown once, with the node and its log."""
    code, out, err = tierfed("up", "tree.yaml", "--set", "job.params.bad=1")
    assert code == 0
    assert "lost c-1: " in out and "round 2/2: mean 1.67, " in out and "1 lost, quorum held" in out
    assert err.count("ValueError: client 1 will not\n") == 2  # what it is, and the end of one traceback
    assert err.count("in number\n") == 1
    (log,) = (folder / ".tierfed" / "runs").glob("*/logs/c-1.jsonl")
    assert f"  node c-1, its log: {log.relative_to(folder)}\n" in err


def test_a_run_that_fails(tierfed: Run, folder: Path) -> None:
    """Below the quorum: exit code 4, the node and its traceback in the document, and no process left."""
    change = ("--set", "job.params.bad=1", "--set", "EDGE_AGGREGATORS.collect.quorum=100%")
    code, out, err = tierfed("up", "tree.yaml", "--json", *change)
    assert (code, marked(folder)) == (4, {})
    document = json.loads(out)
    assert (document["status"], document["rounds"]) == ("failed", 0)
    error = document["error"]
    assert error["node"] == "c-1" and "client 1 will not" in error["what"] and "in number" in error["traceback"]
    assert list(error) == ["where", "what", "mend", "node", "traceback"]
    assert err.count("in number\n") == 1 and "quorum is 2" in err and "✗ failed after 0 rounds in " in err


def test_a_job_that_raises(tierfed: Run) -> None:
    """Exit code 4, and the traceback of the user's code without ours."""
    code, out, err = tierfed("up", "tree.yaml", "--set", "job.program=cli_jobs:raises", "--set", "job.params={}")
    assert code == 4
    lines = err.splitlines()
    assert lines[0] == "error: job cli_jobs:raises: raises raised RuntimeError: the job is wrong"
    assert lines[2] == "  | Traceback (most recent call last):" and "cli_jobs.py" in lines[3]
    assert "asyncio" not in err and "✗ failed after 0 rounds" in out


def test_ctrl_c_twice_and_then_resume(start: Callable[..., Command], tierfed: Run, folder: Path) -> None:
    """Interrupted once more while it clears up: exit code 130, a document, no process; `run --resume` goes on."""
    waits = ("--set", "job.program=cli_jobs:waits", "--set", "job.params.rounds=3")
    command = start("up", "tree.yaml", *waits)
    read_until(command, "round 1/3: ")
    command.send_signal(signal.SIGINT)
    command.send_signal(signal.SIGINT)
    out, _ = command.communicate(timeout=30)
    assert (command.returncode, marked(folder)) == (130, {})
    assert "✗ interrupted after 0 rounds" in out
    (run_dir,) = (folder / ".tierfed" / "runs").iterdir()
    document = json.loads((run_dir / "summary.json").read_text())
    assert document["status"] == "interrupted"
    assert document["error"]["mend"] == f"go on: tierfed run --resume {run_dir.name}"

    code, out, _ = tierfed("run", "cli_jobs:train", "--resume", run_dir.name[:6], "-p", "rounds=3", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["run"] != run_dir.name and document["rounds"] == 2  # the second and the third


def test_sigterm_is_a_ctrl_c_and_json_has_its_document(start: Callable[..., Command], folder: Path) -> None:
    """A command that is asked to end takes its tree down and says so, to programs too."""
    command = start("up", "tree.yaml", "--no-job", "--json")
    assert command.stderr is not None
    assert any("is up until Ctrl-C" in line for line in command.stderr)
    command.send_signal(signal.SIGTERM)
    out, _ = command.communicate(timeout=30)
    assert (command.returncode, marked(folder)) == (130, {})
    document = json.loads(out)
    assert document["status"] == "interrupted" and document["error"]["what"] == "interrupted"


def test_a_killed_command_takes_its_tree_along(start: Callable[..., Command], folder: Path) -> None:
    """After kill -9 no process of the run stays."""
    command = start("up", "tree.yaml", "--set", "job.program=cli_jobs:waits")
    read_until(command, "round 1/2: ")
    command.kill()
    command.wait()
    assert left_over(folder) == {}


def test_a_tree_that_stays(tierfed: Run, here: Run, folder: Path) -> None:
    """-d returns when it is ready; ps, run and logs find it; --json everywhere is one document; down ends it."""
    code, out, _ = tierfed("up", "-d", "tree.yaml", "--json")
    document = json.loads(out)
    run = document["run"]
    assert (code, document["status"], document["rounds"]) == (0, "ok", 0) and marked(folder) != {}

    code, out, _ = here("ps")
    head, columns, *rows = out.splitlines()
    assert head.startswith(f"run {run} · small · ready · 7/7 nodes ready · up ")
    assert columns.split() == ["TIER", "NODE", "STATE", "PID", "LISTENS"]
    assert [" ".join(row.split()[:4]) for row in rows[1:]] == [
        "EDGE_AGGREGATORS edge-[0-1] ×2 ready",
        "CLIENTS c-[0-1] ×2 ready",
        "CLIENTS c-[2-3] ×2 ready",
    ]
    (one,) = json.loads(here("ps", run[:4], "--json")[1])["runs"]
    assert one["tiers"]["CLIENTS"] == {"nodes": 4, "ready": 4}
    assert all(Path(f"/proc/{node['pid']}").exists() for node in one["nodes"])

    code, out, _ = tierfed("run", "-p", "rounds=1")
    assert code == 0 and "round 1/1: mean 1.50, " in out
    assert f"the tree is up: tierfed run PROGRAM, tierfed down {run}\n" in out
    code, out, _ = tierfed("run", "cli_jobs:raises", "--json")
    assert code == 4 and json.loads(out)["error"]["where"] == "job cli_jobs:raises"

    code, out, _ = here("logs", "CLIENTS", "--level", "info")
    assert code == 0 and " deployed\n" in out
    assert {line.split()[2] for line in out.splitlines()} == {"c-0", "c-1", "c-2", "c-3"}

    code, out, _ = here("down", "--json")
    assert code == 0 and [one["run"] for one in json.loads(out)["runs"]] == [run]
    assert marked(folder) == {}
    assert here("down", run)[:2] == (0, f"run {run} was down already\n")
    assert here("ps")[1] == "nothing is up in .tierfed/runs; 1 earlier: tierfed ps --all\n"


def test_keep_runs_the_job_and_leaves_the_tree(tierfed: Run, here: Run, folder: Path) -> None:
    """The tree outlives the command, and can be used again."""
    code, out, _ = tierfed("up", "--keep", "tree.yaml", "--json")
    document = json.loads(out)
    assert code == 0 and document["rounds"] == 2
    assert marked(folder) != {}
    assert here("down")[1].startswith(f"run {document['run']} is down; ")


@pytest.mark.parametrize("template", ["two", "three", "four"])
def test_what_init_writes_runs_as_it_is(tierfed: Run, here: Run, folder: Path, template: str) -> None:
    """A topology and a program of the user's own: valid, drawn with a prediction, and it learns."""
    code, out, _ = here("init", "demo", "--template", f"{template}-tier")
    assert (code, out) == (
        0,
        f"wrote {template}_tier.yaml, program.py, .tierfed/topology.schema.json\n"
        f"next: cd demo && tierfed up {template}_tier.yaml\n",
    )
    file = f"demo/{template}_tier.yaml"
    code, out, err = tierfed("up", file, "--json", "--set", "job.params.rounds=3")
    assert code == 0, err
    document = json.loads(out)
    assert document["metrics"]["accuracy"] > 0.6
    assert document["tiers"]["CLIENTS"]["bytes_up"] * 3 < document["tiers"]["CLIENTS"]["raw_bytes_up"]
    if template == "three":
        assert here("validate", file)[1].endswith("job program:train\n")
        assert "predicted a round: CLIENTS up 510 kB raw -> 136 kB before zstd" in here("show", file)[1]
        code, _, err = here("init", "demo")
        assert code == 2 and "demo/three_tier.yaml is there already; init overwrites nothing" in err
