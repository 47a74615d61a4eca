"""`sweep`: what it says, writes and exits with; most of it with runs that are made up."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_command import Command, environment, left_over, read_until
from sweep_fakes import fake

from tierfed.jobs.sweep import checking, running
from tierfed.jobs.sweep.variant import Variant

Run = Callable[..., tuple[int, str, str]]
GRID = ("-s", "CLIENTS.codec.up=none,int8", "-s", "job.params.rounds=1,2", "--clock", "virtual")


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let runs be made up, by the arguments of `fake`."""

    def use(fails: Callable[[Variant], bool] = lambda variant: False, ends_after: int | None = None) -> None:
        monkeypatch.setattr(checking, "_jobs_in_subprocess", lambda *args: [])
        monkeypatch.setattr(running, "run_all", fake(fails, ends_after))

    use()
    return use


def rows(folder: Path, sweep: str = "s-1") -> list[dict[str, Any]]:
    """Return results.csv of a sweep."""
    with open(folder / ".tierfed" / "sweeps" / sweep / "results.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_grid(made_up: Callable[..., None], here: Run, folder: Path) -> None:
    """Cells, seeds, a line a run, the table, and where it is."""
    code, out, err = here("sweep", "tree.yaml", *GRID, "--repeat", "2")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "sweep s-1 · 4 cells × 2 seeds · virtual clock · 8 runs"
    assert lines[1].startswith("run 1/8 · cell 1 (CLIENTS.codec.up=none job.params.rounds=1) seed 0: accuracy 0.700")
    assert lines[9].startswith("CLIENTS.codec.up  job.params.rounds  CLIENTS upload  vs first")
    assert lines[-2:] == ["✓ 8 runs done", "  .tierfed/sweeps/s-1: results.csv, results.json"]
    assert "tree.yaml: no links and no devices are modelled" in err
    assert [row["cell"] + row["seed"] for row in rows(folder)] == ["10", "11", "20", "21", "30", "31", "40", "41"]
    manifest = json.loads((folder / ".tierfed/sweeps/s-1/manifest.json").read_text())
    assert manifest["command"] == ["tierfed", "sweep", "tree.yaml", *GRID[:4], "--repeat", "2", *GRID[4:]]


def test_some_fail(made_up: Callable[..., None], here: Run, folder: Path) -> None:
    """Exit code 6, the reason once with the cells that have it, and how to go on; going on runs those alone."""
    made_up(lambda variant: "CLIENTS.codec.up=int8" in variant.sets)
    code, out, _ = here("sweep", "tree.yaml", *GRID)
    assert code == 6
    assert out.splitlines()[-4:] == [
        "✗ cell 3 (seed 0), 4 (seed 0): round 1: below quorum",
        "✗ 2 runs done · 2 failed",
        "  .tierfed/sweeps/s-1: results.csv, results.json",
        "  go on: tierfed sweep --resume s-1",
    ]
    made_up()
    code, out, _ = here("sweep", "--resume", "--json")
    document = json.loads(out)
    assert (code, document["sweep"], document["status"]) == (0, "s-1", "ok")
    assert [row["status"] for row in rows(folder)] == ["ok"] * 4


def test_all_fail(made_up: Callable[..., None], here: Run) -> None:
    """Exit code 4, as of a run that failed."""
    made_up(lambda variant: True)
    code, out, _ = here("sweep", "tree.yaml", *GRID, "--json")
    assert (code, json.loads(out)["status"], json.loads(out)["runs"]) == (4, "failed", {"all": 4, "ok": 0, "failed": 4})


def test_an_interruption(made_up: Callable[..., None], here: Run, folder: Path) -> None:
    """Exit code 130; what is done is told and kept, and the same command with --resume runs the rest."""
    made_up(ends_after=1)
    code, out, _ = here("sweep", "tree.yaml", *GRID, "--seeds", "9", "--json")
    assert code == 130
    document = json.loads(out)
    assert (document["status"], document["error"]["mend"]) == ("interrupted", "go on: tierfed sweep --resume s-1")
    code, out, _ = here("sweep", "tree.yaml", *GRID)
    assert code == 130
    assert out.splitlines()[-3:] == [
        "✗ interrupted · 1 run done · 3 to do",
        "  .tierfed/sweeps/s-2: results.csv, results.json",
        "  go on: tierfed sweep --resume s-2",
    ]
    made_up()
    code, out, _ = here("sweep", "tree.yaml", *GRID, "--resume", "s-2")
    assert code == 0
    assert out.splitlines()[0].endswith("virtual clock · 1 run done before, 3 to do")
    code, out, _ = here("sweep", "--resume", "s-2")
    assert (code, len(rows(folder, "s-2"))) == (0, 4)


def test_a_resumed_sweep_is_the_same_sweep(made_up: Callable[..., None], here: Run, folder: Path) -> None:
    """What is said again must be what was said, all of what is not is told, and a file may not change meanwhile."""
    here("sweep", "tree.yaml", *GRID)
    asked = ("-s", "CLIENTS.codec.up=none", "--repeat", "3", "--clock", "real", "--set", "name=x", "--history")
    code, _, err = here("sweep", "tree.yaml", *asked, "--resume", "s-1")
    assert code == 2
    assert err.splitlines()[0] == (
        "error: sweep s-1: -s and --list make other cells there; --set is not given there; --repeat is 1 there; "
        "--clock is virtual there; --history is not given there"
    )
    (folder / "tree.yaml").write_text((folder / "tree.yaml").read_text() + "seed: 3\n")
    code, _, err = here("sweep", "--resume", "s-1")
    assert code == 2 and "tree.yaml is not what it was when s-1 began" in err


def test_a_list_and_seeds(made_up: Callable[..., None], here: Run, folder: Path) -> None:
    """Cells from a file, each with the seeds that are named."""
    (folder / "cells.csv").write_text("CLIENTS.codec.up,EDGE_AGGREGATORS.codec.up\nint8,bf16\n,none\n")
    assert here("sweep", "tree.yaml", "--list", "cells.csv", "--seeds", "5, 3", "--clock", "virtual")[0] == 0
    told = [(r["cell"], r["seed"], r["CLIENTS.codec.up"], r["EDGE_AGGREGATORS.codec.up"]) for r in rows(folder)]
    assert told == [
        ("1", "5", "int8", "bf16"),
        ("1", "3", "int8", "bf16"),
        ("2", "5", "", "none"),
        ("2", "3", "", "none"),
    ]


def test_runs_by_a_real_clock_come_one_after_the_other(
    made_up: Callable[..., None], here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's clock is the real one; a note says why one run at a time, or what it costs to have two."""
    at_once: list[int] = []

    def watched(*args: Any, jobs: int, **more: Any) -> Any:
        at_once.append(jobs)
        return fake()(*args, **more)

    monkeypatch.setattr(running, "run_all", watched)
    _, out, err = here("sweep", "tree.yaml", *GRID[:4])
    assert "real clock" in out and "by a real clock runs are made one after the other; --jobs 2 makes two" in err
    _, _, err = here("sweep", "tree.yaml", *GRID[:4], "--jobs", "3")
    assert "3 trees share this machine, so each is slower than alone" in err
    here("sweep", "tree.yaml", *GRID, "--jobs", "5")
    assert at_once == [1, 3, 5]


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (("sweep",), 2, "missing FILE: tierfed sweep FILE -s PATH=V1,V2, or tierfed sweep --resume SWEEP"),
        (("sweep", "tree.yaml"), 2, "nothing is varied; add -s PATH=V1,V2, --list FILE.csv, --repeat R or --seeds"),
        (("sweep", "no.yaml", "-s", "a=1"), 2, "no.yaml: error: no such file"),
        (("sweep", "tree.yaml", "-s", "a"), 2, "-s a: expected PATH=V1,V2,…"),
        (("sweep", "tree.yaml", "--list", "no.csv"), 2, "no.csv: no such file"),
        (("sweep", "tree.yaml", "-s", "NO.codec=1"), 2, "--set NO.codec=1: error: NO.codec: 'NO' is no placement"),
        (
            ("sweep", "tree.yaml", *GRID, "--seeds", "1,1"),
            2,
            "1,1 is no list of different whole numbers, such as 1,2,3",
        ),
        (
            ("sweep", "tree.yaml", *GRID, "--seeds", "1", "--repeat", "2"),
            2,
            "--repeat and --seeds both say which seeds",
        ),
        (("sweep", "tree.yaml", *GRID[:4], "--clients", "9"), 2, "--clients is for simulations; add --clock virtual"),
        (("sweep", "--resume", "s-7"), 5, "no sweep s-7"),
    ],
)
def test_what_is_refused(
    made_up: Callable[..., None], here: Run, folder: Path, args: tuple[str, ...], code: int, told: str
) -> None:
    """Before anything is run, and without a folder for it."""
    got, _, err = here(*args)
    assert got == code
    assert told in err.replace("\n  ", " ")
    assert not (folder / ".tierfed" / "sweeps").exists()


# -- with processes

WAITING = """
import asyncio
import tierfed

@tierfed.job
async def waits(tree):
    with open("begun", "w") as begun:
        begun.write("x")
    await asyncio.get_running_loop().create_future()
"""


def figures(folder: Path, sweep: str) -> list[dict[str, Any]]:
    """Return the rows of a sweep without the ids of its runs."""
    return [{name: value for name, value in row.items() if name != "run"} for row in rows(folder, sweep)]


@pytest.mark.slow
def test_simulations_are_equal_however_many_there_are_at_once(here: Run, folder: Path) -> None:
    """One after the other or both at once: the same rows; every run has its folder in that of the sweep."""
    axes = ("-s", "CLIENTS.codec.up,EDGE_AGGREGATORS.codec.up=[none,none],[int8,bf16]", "--seeds", "3")
    links = ("--set", "CLIENTS.link.delay=50ms", "--clock", "virtual")
    for jobs in ("1", "2"):
        code, out, err = here("sweep", "tree.yaml", *axes, *links, "--jobs", jobs, "--json")
        assert code == 0, err
        assert json.loads(out)["runs"] == {"all": 2, "ok": 2, "failed": 0}
    assert figures(folder, "s-1") == figures(folder, "s-2")
    first = rows(folder)[0]
    assert float(first["seconds_per_round"]) > 0.1 and first["mean"] == "1.5"
    runs = folder / ".tierfed" / "sweeps" / "s-1" / "runs"
    assert {entry.name for entry in runs.iterdir()} == {row["run"] for row in rows(folder)}
    assert all((entry / "rounds.csv").exists() for entry in runs.iterdir())


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on(here: Run, folder: Path) -> None:
    """SIGKILL leaves no process; the runs that were over are not run again, those that ran are."""
    grid = ("-s", "CLIENTS.codec.up=none,int8,bf16", "--set", "job.params.rounds=3", "--clock", "virtual")
    command = subprocess.Popen(
        [sys.executable, "-P", "-m", "tierfed", "sweep", "tree.yaml", *grid, "--jobs", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env=environment(folder),
        start_new_session=True,
    )
    read_until(command, "run 1/3")
    os.killpg(command.pid, signal.SIGKILL)
    command.communicate()
    assert left_over(folder) == left_over(folder, ".tierfed/sweeps/s-1") == {}
    before = rows(folder)[0]["run"]
    code, out, _ = here("sweep", "--resume", "s-1")
    assert code == 0
    assert " done before, " in out
    assert rows(folder)[0]["run"] == before and [row["status"] for row in rows(folder)] == ["ok"] * 3


@pytest.mark.slow
def test_real_trees_go_when_a_sweep_is_interrupted(start: Callable[..., Command], folder: Path) -> None:
    """Two trees at once, of jobs that wait for ever; after a Ctrl-C no process is left, and the exit code is 130."""
    (folder / "waiting.py").write_text(WAITING)
    os.mkfifo(folder / "begun")
    command = start("sweep", "tree.yaml", "--set", "job={program: 'waiting:waits'}", "--repeat", "2", "--jobs", "2")
    begun = ""
    while len(begun) < 2:
        begun += (folder / "begun").read_text()  # returns when a job has written to it
    command.send_signal(signal.SIGINT)
    out, _ = command.communicate()
    assert command.returncode == 130 and "✗ interrupted · 0 runs done · 2 to do" in out
    assert left_over(folder) == left_over(folder, ".tierfed/sweeps/s-1") == {}
