"""Finding runs, and reading what others may have written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tierfed.errors import NoSuchRun
from tierfed.launch import manifest, origin, runs
from tierfed.launch.pids import ProcessId, machine


def write(run_id: str, created: int, *, up: bool = False, **more: Any) -> Path:
    """Write the manifest of a run whose supervisor is this process (`up`) or nobody."""
    me = ProcessId.of(os.getpid())
    assert me is not None
    run_dir = runs.folder() / run_id
    run_dir.mkdir(parents=True)
    content = {
        "schema_version": manifest.SCHEMA_VERSION,
        "id": run_id,
        "state": "ready" if up else "down",
        "created": f"2025-01-31T12:00:0{created}.000000Z",
        "machine": machine(),
        "supervisor": {"pid": me.pid, "start": me.start if up else 1},
        "control": None,
        "processes": {},
        "nodes": {"server": {"placement": "SERVER"}, "c-1": {"placement": "CLIENTS"}, "c-0": {"placement": "CLIENTS"}},
        **more,
    }
    manifest.write(run_dir, content)
    return run_dir


def test_create_makes_a_folder_named_by_its_id(home: Path) -> None:
    """A run's folder is eight hexadecimal digits under TIERFED_HOME, with a place for logs."""
    run_dir = runs.create()
    assert run_dir.parent == home / "runs" and (run_dir / "logs").is_dir()
    assert len(run_dir.name) == 8 and int(run_dir.name, 16) >= 0
    assert runs.every() == []  # no manifest yet: nobody's run


def test_the_default_home_is_in_the_project(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TIERFED_HOME runs lie in ./.tierfed."""
    monkeypatch.delenv("TIERFED_HOME")
    monkeypatch.chdir(tmp_path)
    assert runs.folder() == tmp_path / ".tierfed" / "runs"


def test_find_by_prefix_by_time_and_by_life(home: Path) -> None:
    """A unique prefix; the latest; one that is up before a later one that is not."""
    write("aa000001", 1)
    write("ab000002", 2, up=True)
    write("ac000003", 3)
    assert runs.find("aa").id == "aa000001"
    assert runs.find().id == "ab000002" and runs.find().state == "ready"
    assert runs.find(running=True).id == "ab000002"
    manifest.write(runs.folder() / "ab000002", {**runs.find("ab").manifest, "state": "down", "supervisor": None})
    assert runs.find().id == "ac000003"
    assert [run.id for run in runs.every()] == ["aa000001", "ab000002", "ac000003"]


def test_what_cannot_be_found(home: Path) -> None:
    """No run at all, an unknown one, an ambiguous prefix, none that is up: each says what would mend it."""
    with pytest.raises(NoSuchRun) as none:
        runs.find()
    assert str(none.value) == (
        f"{home}/runs: no run\n  to mend: `tierfed ps` lists the runs, `tierfed up FILE -d` brings one up"
    )
    write("aa000001", 1)
    write("aa000002", 2)
    with pytest.raises(NoSuchRun) as unknown:
        runs.find("ff")
    assert str(unknown.value).startswith(
        f"{home}/runs: no run ff\n  to mend: the latest runs are aa000002, aa000001; `tierfed ps`"
    )
    with pytest.raises(NoSuchRun, match="aa begins 2 runs: aa000001, aa000002\n  to mend: write more of the id"):
        runs.find("aa")
    with pytest.raises(NoSuchRun, match="no run is up\n"):
        runs.find(running=True)
    assert none.value.exit_code == 5


def test_runs_that_are_over_or_were_simulated(home: Path) -> None:
    """Whoever names one is told what it is, and is not sent to it again."""
    write("aa000001", 1)
    with pytest.raises(NoSuchRun) as over:
        runs.find("aa0", running=True)
    assert str(over.value) == (
        f"{home}/runs: no run aa0 is up: aa000001 is down\n"
        "  to mend: `tierfed ps` lists the runs, `tierfed up FILE -d` brings one up"
    )
    (runs.folder() / "bb000001").mkdir()
    origin.write(runs.folder() / "bb000001", virtual=True)
    with pytest.raises(NoSuchRun, match="no run bb of processes: bb000001 was simulated, and has no nodes or logs"):
        runs.find("bb")
    origin.write(runs.folder() / "bb000001", virtual=False)
    with pytest.raises(NoSuchRun, match="no run bb\n"):
        runs.find("bb")


def test_a_run_without_its_supervisor_is_lost(home: Path) -> None:
    """A manifest that claims to be up is believed only as far as the kernel bears it out."""
    write("aa000001", 1, up=True, supervisor={"pid": os.getpid(), "start": 1})
    write("aa000002", 2, up=True, machine="another boot")
    write("aa000003", 3, up=True, supervisor={"pid": 1, "start": 0})
    write("aa000004", 4, up=True, supervisor={"pid": -1, "start": "x"})
    assert [run.state for run in runs.every()] == ["lost"] * 4
    with pytest.raises(NoSuchRun, match="run aa000001 is lost: its supervisor does not answer\n"):
        runs.attach(runs.find("aa000001"))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"schema_version": 1}', '{"schema_version": 2, "id": "x"}', "[" * 100_000]
)
def test_a_manifest_that_is_none_is_passed_over(home: Path, text: str) -> None:
    """Half-written, foreign or future manifests make no run, and no error."""
    (runs.folder() / "aa000001").mkdir(parents=True)
    (runs.folder() / "aa000001" / "manifest.json").write_text(text)
    (runs.folder() / "not-a-run").mkdir()
    assert runs.every() == []


def test_a_manifest_is_replaced_whole(home: Path) -> None:
    """After a write there is one file, with the new content."""
    run_dir = write("aa000001", 1)
    manifest.write(run_dir, {**runs.find("aa").manifest, "state": "failed"})
    assert [entry.name for entry in run_dir.iterdir()] == ["manifest.json"]
    assert json.loads((run_dir / "manifest.json").read_text())["state"] == "failed"


def test_select_a_node_or_a_placement(home: Path) -> None:
    """`logs` and its like name a node, or a placement for all of its nodes."""
    write("aa000001", 1)
    run = runs.find()
    assert run.select("c-1") == ["c-1"] and run.select("CLIENTS") == ["c-1", "c-0"]
    with pytest.raises(NoSuchRun) as caught:
        run.select("EDGE")
    assert str(caught.value) == (
        "run aa000001: no node and no placement 'EDGE'\n"
        "  to mend: its placements are SERVER, CLIENTS; `tierfed ps aa000001` lists the nodes"
    )
