"""`tierfed advise`: from a file to a file, on small simulations."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_command import left_over

from tierfed.topology import load_topology

Run = Callable[..., tuple[int, str, str]]

FILE = """
apiVersion: tierfed/v1
kind: Topology
name: phones
seed: 7
placements:
  SERVER: {}
  EDGE_AGGREGATORS: {parent: SERVER, count: 2, link: {rate: 20mbit, delay: 40ms}}
  CLIENTS: {parent: EDGE_AGGREGATORS, count: 4, link: {rate: 1mbit, delay: 30ms}, compute: {time: 20ms}}
job:
  program: tierfed.learning.fedavg:train
  params: {rounds: 8, local_epochs: 1, lr: 0.1, batch: 32}
  data: {dataset: fashion-mnist-6k, split: iid}
"""
UNMODELLED = ("--set", "placements={SERVER: {}, CLIENTS: {parent: SERVER, count: 4}}")
WANTED = ("--target", "accuracy=0.6", "--minimise", "time")


@pytest.fixture
def file(folder: Path) -> Path:
    """A file to be advised on."""
    path = folder / "phones.yaml"
    path.write_text(FILE)
    return path


@pytest.mark.slow
def test_the_cheapest_is_written_as_a_topology(here: Run, folder: Path, file: Path) -> None:
    """One bit a value on a slow link beats 32; what is written loads, and no process is left."""
    axis = ("-s", "CLIENTS.codec.up=none,drive", "-s", "EDGE_AGGREGATORS.count=0,2")
    code, out, err = here("advise", "phones.yaml", *WANTED, *axis, "--seeds", "2", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["status"] == "ok"
    best = document["best"]
    assert best["values"]["CLIENTS.codec.up"] == "drive"
    assert best["seeds"] == 2
    assert len(document["candidates"]) == 4
    assert document["front"]
    advised = load_topology(folder / "phones.advised.yaml")
    assert {m.codec_up for m in advised.nodes.values() if str(m.placement) == "CLIENTS"} == {"drive"}
    assert advised.job is not None
    assert advised.job.params["rounds"] == best["rounds"] <= 8
    assert (folder / "phones.advised.yaml").read_text().startswith("# ★ cheapest to accuracy ≥ 0.6: ")
    kept = json.loads((Path(document["folder"]) / "advice.json").read_text())
    assert kept["best"] == best
    assert "the file as it is: " in err
    assert left_over(folder) == {}


@pytest.mark.slow
def test_what_nothing_reaches_and_what_cannot_run_is_told(here: Run, file: Path) -> None:
    """An exit code of its own, the best that there is, and the reason why a candidate was left out."""
    wanted = ("--target", "accuracy=0.99", "--minimise", "bytes", "--rounds", "3")
    code, out, _ = here("advise", "phones.yaml", *wanted, "-s", "CLIENTS.codec.up=int8,nonsense")
    assert code == 4
    assert "left out, 1: " in out
    assert "✗ nothing reaches accuracy ≥ 0.99 in 3 rounds: the best is 0." in out
    assert not file.with_name("phones.advised.yaml").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--target", "high", "--minimise", "time"), "--target: 'high' is no target"),
        ((*WANTED, "-s", "EDGE_AGGREGATORS.count=two"), "two is no count"),
        ((*WANTED, "--set", "job.program=tierfed.learning.fedavg:trian"), "did you mean 'train'?"),
        ((*WANTED, "-s", "nonsense"), "expected PATH=V1,V2"),
        ((*WANTED, *UNMODELLED), "no links and no devices are modelled, so rounds take no time"),
        (
            ("--target", "accuracy=0.6", "--minimise", "energy"),
            "no device says what it takes, so rounds take no joules",
        ),
        ((*WANTED, "-s", "CLIENTS.codc.up=none,int8"), "did you mean 'codec'?"),
        (("--target", "loss=0.6", "--minimise", "time"), "'loss=0.6' would be at least 0.6"),
        ((*WANTED, "-o", "nowhere/x.yaml"), "--out: nowhere/x.yaml cannot be written"),
        ((*WANTED, "-o", "."), "--out: . cannot be written"),
        ((*WANTED, "-o", "phones.yaml"), "--out: that is the file that is asked about"),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(
    here: Run, folder: Path, file: Path, words: object, told: str
) -> None:
    """With exit code 2, and no folder of runs."""
    code, _, err = here("advise", "phones.yaml", *words)  # type: ignore[misc]
    assert code == 2
    assert told in err
    assert not (folder / ".tierfed" / "advice").exists()


def test_a_file_without_links_has_no_time(here: Run, folder: Path, file: Path) -> None:
    """All would cost nothing, so nothing could be advised."""
    file.write_text(re.sub(r", (link|compute): \{[^}]*\}", "", FILE))
    code, _, err = here("advise", "phones.yaml", *WANTED)
    assert code == 2
    assert "--minimise time: no links and no devices are modelled, so rounds take no time" in err


def test_advice_is_not_written_where_its_program_is_not(here: Run, folder: Path, file: Path) -> None:
    """A program beside the file would not be found from elsewhere."""
    (folder / "mine.py").write_text("from tierfed.learning.fedavg import train\n")
    (folder / "else").mkdir()
    file.write_text(FILE.replace("tierfed.learning.fedavg:train", "mine:train"))
    code, _, err = here("advise", "phones.yaml", *WANTED, "-o", "else/x.yaml")
    assert code == 2
    assert (
        f"--out: mine lies beside phones.yaml, and would not be found from there\n  to mend: write into {folder}" in err
    )
