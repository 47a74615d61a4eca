"""`report` and `compare`: of runs that commands have made, by id, name or folder."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "report"))

from made_runs import made_run, made_sweep
from page_checks import checked, checked_svg

Run = Callable[..., tuple[int, str, str]]
LINKS = ("--set", "CLIENTS.link.delay=50ms", "--set", "CLIENTS.compute.time=100ms")


@pytest.fixture
def stored(folder: Path) -> Path:
    """Two runs, whose ids begin alike, and a sweep."""
    home = folder / ".tierfed"
    made_run(home / "runs" / "7f3a90c2")
    made_run(home / "runs" / "7f3b0000", codec="none", up=4000, accuracy=[0.6, 0.85])
    made_sweep(home / "sweeps" / "s-1", {"sign": [0.7, 0.71], "int8": [0.78, 0.0]})
    return home


def test_a_simulation_and_its_report(here: Run, folder: Path) -> None:
    """What a simulation leaves is enough for every section; without a name it is the latest run's."""
    assert here("simulate", "tree.yaml", *LINKS)[0] == 0
    code, out, err = here("report")
    assert (code, err) == (0, "")
    page = checked((folder / out.strip()).read_text())
    assert "the slowest round" in page.text and "EDGE" in page.text
    assert "virtual seconds" in page.text and "compute" in page.text
    run = Path(out.strip()).parent.name
    code, out, _ = here("report", run[:5], "-o", "csv", "--out", "-")
    assert code == 0 and len(list(csv.DictReader(io.StringIO(out)))) == 2


def test_without_histories_nobody_says_who_waited(here: Run, folder: Path) -> None:
    """--no-history leaves them out, and the page says what is missing."""
    assert here("simulate", "tree.yaml", *LINKS, "--no-history")[0] == 0
    out = here("report")[1]
    assert "no aggregator kept a history" in (folder / out.strip()).read_text()


def test_where_it_is_written(here: Run, stored: Path, folder: Path) -> None:
    """One thing's report is in its folder, that of several here, and --out says otherwise."""
    assert here("report", "7f3a")[1] == ".tierfed/runs/7f3a90c2/report.html\n"
    assert here("report", "s-1")[1] == ".tierfed/sweeps/s-1/report.html\n"
    assert here("report", "s-1", "7f3a")[1] == "report.html\n"
    code, out, _ = here("report", "7f3b", "--out", "x.html", "--json")
    document = json.loads(out)
    assert document == {
        "schema_version": 1,
        "of": [str(stored / "runs" / "7f3b0000")],
        "form": "html",
        "files": ["x.html"],
    }
    assert all(
        checked(p.read_text()) for p in (folder / "report.html", folder / "x.html", stored / "sweeps/s-1/report.html")
    )


def test_drawings(here: Run, stored: Path, folder: Path) -> None:
    """-o svg is a folder of them."""
    assert here("report", "s-1", "-o", "svg", "--out", "figs")[1].startswith("figs: ")
    names = {file.name for file in (folder / "figs").iterdir() if checked_svg(file.read_text()) is not None}
    assert {"front-bytes.svg", "bytes-by-tier-0.svg", "accuracy-by-round.svg"} <= names


def test_stdout(here: Run, stored: Path) -> None:
    """`-` is the page itself, for a pipe."""
    checked(here("report", "7f3a", "--out", "-")[1])
    code, _, err = here("report", "7f3a", "-o", "svg", "--out", "-")
    assert code == 2 and "svg is a folder of drawings" in err


def test_compare(here: Run, stored: Path) -> None:
    """The settings that differ, and what came of them; a program gets the same as a document."""
    code, out, _ = here("compare", "7f3a", "7f3b")
    assert code == 0
    lines = {line.split("  ")[0].strip(): line.split()[1:] for line in out.splitlines()}
    assert lines["CLIENTS.codec.up"] == ["int8", "none"]
    assert lines["accuracy"] == ["0.800", "0.850"] and lines["bytes_up.CLIENTS"] == ["3", "kB", "8", "kB"]
    document = json.loads(here("compare", "7f3a", "7f3b", "--json")[1])
    assert [run["figures"]["seconds"] for run in document["runs"]] == [6, 4]
    assert here("compare", "s-1")[1].splitlines()[0].split() == ["sign", "int8"]


def test_compare_as_a_page(here: Run, stored: Path, folder: Path) -> None:
    """-o html is the page of several."""
    assert here("compare", "7f3a", "7f3b", "-o", "html")[1] == "compare.html\n"
    assert "2 runs" in checked((folder / "compare.html").read_text()).text


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (("report", "7f3"), 5, "7f3 begins 2 runs: 7f3a90c2, 7f3b0000"),
        (("report", "nix"), 5, "no run, sweep or folder nix\n  to mend: the latest runs are "),
        (("report", "s-9"), 5, "no sweep s-9\n  to mend: there are s-1"),
        (("report", "7f3a", "--metric", "f1"), 2, "no run has a metric f1\n  to mend: they have accuracy, loss"),
        (("report", "7f3a", "-o", "csv", "--metric", "loss"), 2, "csv has all metrics; leave --metric out"),
        (("report", "7f3a", "--out", "no/x.html"), 4, "no/x.html: cannot be written: No such file or directory"),
        (("compare", "7f3a"), 2, "one run has nothing to be compared with"),
        (("compare", "7f3a", "7f3b", "--out", "x"), 2, "--out and --metric are for -o html"),
        (("report", "."), 5, "this is no folder of a run"),
    ],
)
def test_what_is_wrong(here: Run, stored: Path, args: tuple[str, ...], code: int, told: str) -> None:
    """Where, what, and what would mend it."""
    found, out, err = here(*args)
    assert told in err and (found, out) == (code, "")


def test_nothing_has_run(here: Run) -> None:
    """A folder without runs says what makes one."""
    code, _, err = here("report")
    assert code == 5 and "to mend: run one: tierfed simulate FILE" in err


def test_a_sweep_of_which_no_run_is_over_is_not_compared(here: Run, stored: Path) -> None:
    """There is nothing to compare yet, and the command that goes on with it is named."""
    (stored / "sweeps" / "s-1" / "results.csv").write_text("")
    code, out, err = here("compare", "s-1")
    assert (code, out) == (5, "")
    assert "sweep s-1: no run of it is over\n  to mend: tierfed sweep --resume s-1" in err
