"""`simulate`: a job on a virtual clock, in this process; nothing is left behind because nothing was started."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from cli_command import left_over

Run = Callable[..., tuple[int, str, str]]
LINKS = ("--set", "CLIENTS.link.delay=50ms", "--set", "CLIENTS.compute.time=100ms")


def test_a_job_in_virtual_time(here: Run, folder: Path) -> None:
    """Two rounds of a model down, 100 ms of computing and an update up; no process, and a run's whole folder."""
    code, out, err = here("simulate", "tree.yaml", *LINKS, "--json")
    assert code == 0
    document = json.loads(out)
    assert (document["status"], document["clock"], document["rounds"]) == ("ok", "virtual", 2)
    assert 0.4 <= document["seconds"]["job"] < 1.5
    assert " of virtual time, " in err
    run = folder / ".tierfed" / "runs" / document["run"]
    assert len((run / "rounds.csv").read_text().splitlines()) == 3
    assert left_over(folder) == {}


def test_as_many_clients_as_you_like(here: Run) -> None:
    """`--clients` is how many the lowest tier has."""
    code, out, _ = here("simulate", "tree.yaml", *LINKS, "--clients", "30", "--json")
    assert code == 0
    assert json.loads(out)["tiers"]["CLIENTS"]["nodes"] == 30


def test_links_that_nobody_models_are_told_of(here: Run) -> None:
    """Without links and devices no virtual time passes, which may not be what was meant."""
    code, _, err = here("simulate", "tree.yaml")
    assert code == 0
    assert "tree.yaml: no links and no devices are modelled, so rounds take no virtual time\n" in err


def test_up_does_not_run_a_virtual_clock(here: Run, folder: Path) -> None:
    """Processes run by the real clock: the error names the command that does."""
    (folder / "tree.yaml").write_text((folder / "tree.yaml").read_text() + "clock: virtual\n")
    code, _, err = here("up", "tree.yaml")
    assert code == 2
    assert "run it with tierfed simulate FILE, or bring it up with --set clock=real" in err
    assert here("simulate", "tree.yaml", *LINKS)[0] == 0
