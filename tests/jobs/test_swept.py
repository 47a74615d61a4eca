"""`tierfed.sweep`: the command's sweep from Python, what a notebook shows of it, and its report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sweep_fakes import TREE, fake

import tierfed
from tierfed.errors import SweepError
from tierfed.jobs.sweep import checking, running, store

CODECS = "CLIENTS.codec.up=none,int8"


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Be in a folder with a topology file, and let runs be made up."""
    (tmp_path / "tree.yaml").write_text(TREE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIERFED_HOME", raising=False)

    def use(**how: object) -> None:
        monkeypatch.setattr(checking, "_jobs_in_subprocess", lambda *args: [])
        monkeypatch.setattr(running, "run_all", fake(**how))

    use()
    return use


def test_rows_come_as_runs_end_and_stay(made_up: Callable[..., None]) -> None:
    """Each row is handed on, all are kept, and the manifest has the command that does the same."""
    told = []
    how = {"repeat": 2, "clock": "virtual", "clients": 9}
    swept = tierfed.sweep("tree.yaml", CODECS, **how, sets=["job.params.lr=0.1"], on_row=told.append)
    assert repr(swept) == "<sweep s-1 : 4 runs done>"
    each = [(row["CLIENTS.codec.up"], row["seed"]) for row in told]
    assert each == [("none", 7), ("int8", 7), ("none", 8), ("int8", 8)]
    assert [row["bytes_up.CLIENTS"] for row in swept.rows] == [1000, 1000, 250, 250]
    assert store.find("s-1").path == swept.path and (swept.path / "results.csv").exists()
    command = json.loads((swept.path / "manifest.json").read_text())["command"]
    wanted = f"tierfed sweep tree.yaml -s {CODECS} --set job.params.lr=0.1 --repeat 2 --clock virtual --clients 9"
    assert " ".join(command) == wanted


def test_a_notebook_shows_a_line_a_cell(made_up: Callable[..., None]) -> None:
    """Means with their deviations, bytes and joules; why some failed, escaped."""
    made_up(fails=lambda variant: "CLIENTS.codec.up=int8" in variant.sets and variant.seed == 7)
    swept = tierfed.sweep("tree.yaml", CODECS, seeds=[7, 9], clock="virtual")
    shown = swept._repr_html_()
    assert repr(swept) == "<sweep s-1 : 3 runs done, 1 failed>"
    assert ">0.78 ± 0.014<" in shown and ">1.0 kB<" in shown and ">2 J<" in shown and ">virtual seconds<" in shown
    assert ">1 of 2<" in shown and "why some failed" in shown and "below quorum" in shown
    assert not [tag for tag in ("<script", "<img", "<link") if tag in shown]


def test_its_report_is_that_of_its_folder(made_up: Callable[..., None]) -> None:
    """Fronts by the metric that is asked for; a drawing shows itself on white, where themes are dark."""
    swept = tierfed.sweep("tree.yaml", CODECS)
    assert swept.report().title.startswith("sweep s-1 of ")
    front = swept.report(metric="loss").drawings["front-bytes"]
    assert front.title == "loss against bytes moved, all tiers"
    assert front._repr_html_().startswith('<div style="display: inline-block; background: #ffffff')
    assert "<svg" in front._repr_html_() and "var(--" not in front._repr_html_()


def test_what_is_wrong_is_told_before_anything_runs(made_up: Callable[..., None], tmp_path: Path) -> None:
    """Both ways to say seeds; a codec that is not there, with its cell; an axis that is none."""
    with pytest.raises(SweepError, match="repeat= and seeds= both say which seeds\n  to mend: leave one out"):
        tierfed.sweep("tree.yaml", CODECS, repeat=2, seeds=[1])
    with pytest.raises(tierfed.TopologyError, match=r"no codec is called imt8; did you mean .*\(cell 2"):
        tierfed.sweep("tree.yaml", "CLIENTS.codec.up=none,imt8")
    with pytest.raises(SweepError, match="-s CLIENTS.codec.up: expected PATH=V1,V2"):
        tierfed.sweep("tree.yaml", "CLIENTS.codec.up")
    with pytest.raises(SweepError, match="--clients is for simulations"):
        tierfed.sweep("tree.yaml", CODECS, clients=9, clock="real")
    assert not (tmp_path / ".tierfed").exists()
