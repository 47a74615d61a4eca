"""Cells: the grid, the list, the variants that they are, and everything wrong with them at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_fakes import TREE

from tierfed.errors import SweepError, TopologyError
from tierfed.jobs.sweep import checking
from tierfed.jobs.sweep.cells import Sweep, cells, check_count, read_list
from tierfed.jobs.sweep.checking import check
from tierfed.jobs.sweep.grammar import axis


def test_axes_multiply() -> None:
    """The last axis moves first; paths of one axis move together."""
    made = cells([axis("a=1,2"), axis("b,c=[x,y],[z,w]")])
    assert [str(cell) for cell in made] == ["a=1 b=x c=y", "a=1 b=z c=w", "a=2 b=x c=y", "a=2 b=z c=w"]
    assert [cell.number for cell in made] == [1, 2, 3, 4]


def test_nothing_varied_is_one_cell() -> None:
    """For seeds alone."""
    assert [(str(cell), cell.sets) for cell in cells([])] == [("the file as it is", ())]


def test_all_cells_run_with_the_first_seed_first() -> None:
    """A sweep that is interrupted knows something of every cell."""
    made = cells([axis("a=1,2")])
    sweep = Sweep(Path("t.yaml"), ("a",), made, (7, 8), "virtual", ("b=0",), clients=9)
    assert [(cell.number, repeat) for cell, repeat in sweep.runs()] == [(1, 1), (2, 1), (1, 2), (2, 2)]
    variant = sweep.variant(made[1], 2)
    assert (variant.sets, variant.seed, variant.clients) == (("b=0", "a=2"), 8, 9)
    assert sweep.axes() == [{"path": "a", "values": ["1", "2"]}]


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        (
            ["seed=1,2"],
            "-s seed=…: seed is no axis\n  to mend: name seeds by --seeds 1,2,3, or count them by --repeat 3",
        ),
        (["clock=real"], "-s clock=…: clock is no axis\n  to mend: choose one by --clock virtual or --clock real"),
        (
            ["CLIENTS.count=1", "placements.CLIENTS.count=2"],
            "-s placements.CLIENTS.count=…: placements.CLIENTS.count is varied twice\n"
            "  to mend: write its values in one -s or list",
        ),
    ],
)
def test_what_is_no_axis(axes: list[str], told: str) -> None:
    """Seeds and clocks have options of their own, and a path has one axis."""
    with pytest.raises(SweepError) as error:
        cells([axis(text) for text in axes])
    assert str(error.value) == told


def test_more_runs_than_anybody_meant() -> None:
    """A grid multiplies faster than one thinks."""
    with pytest.raises(SweepError, match=r"1000 cells × 1000 seeds are 1000000 runs"):
        check_count(cells([axis("a=1..1000")]), range(1000))


def test_a_list_is_an_axis(tmp_path: Path) -> None:
    """Each row is a cell; an empty field leaves the path as the file has it; fields may be quoted."""
    (tmp_path / "l.csv").write_text('\ufeffCLIENTS.codec.up, job.params.lr\n"sketch(rows=5,cols=100)",0.1\n\nint8,\n')
    read = read_list(tmp_path / "l.csv")
    assert read.paths == ("CLIENTS.codec.up", "job.params.lr")
    assert [str(cell) for cell in cells([read, axis("x=1,2")])] == [
        "CLIENTS.codec.up=sketch(rows=5,cols=100) job.params.lr=0.1 x=1",
        "CLIENTS.codec.up=sketch(rows=5,cols=100) job.params.lr=0.1 x=2",
        "CLIENTS.codec.up=int8 x=1",
        "CLIENTS.codec.up=int8 x=2",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n", "l.csv: no cells"),
        ("a,\n1,2\n", "l.csv:1: the first line has an empty or repeated path"),
        ("a,a\n1,2\n", "l.csv:1: the first line has an empty or repeated path"),
        ("a,b\n1,2\n3\n", "l.csv:3: 1 values for 2 paths"),
        ("a,b\n1,2\n\n1,2\n", "l.csv:4: the same cell as in line 2"),
        ('a,b\n1,"2\n', "l.csv:2: unexpected end of data"),
        (None, "l.csv: no such file or directory"),
    ],
)
def test_a_list_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, told: str) -> None:
    """The error has the line."""
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("l.csv").write_text(text)
    with pytest.raises(SweepError) as error:
        read_list(Path("l.csv"))
    assert str(error.value).partition("\n")[0] == told


def test_all_that_is_wrong_with_any_cell_is_told_at_once(tmp_path: Path) -> None:
    """Each problem once, with the cells that have it; what all cells have is told without."""
    file = tmp_path / "tree.yaml"
    file.write_text(TREE.replace("10ms", "10"))
    made = cells([axis("CLIENTS.codec.up=int8,foo"), axis("CLIENTS.dedline=1s,2s")])
    with pytest.raises(TopologyError) as error:
        check(file, made)
    told = [str(problem) for problem in error.value.problems]
    assert told[0].endswith("10 has no unit; write 10ms")
    cells_of = [line.rpartition(" (")[2] for line in told[1:]]
    assert cells_of == ["cells 1, 3 of 4)", "cells 2, 4 of 4)", "cells 3, 4 of 4)"]
    assert told[1].startswith(
        "--set CLIENTS.dedline=1s: error: placements.CLIENTS.dedline: unknown field; did you mean"
    )
    assert told[3].startswith(
        "--set CLIENTS.codec.up=foo: error: placements.CLIENTS.codec.up: no codec is called foo; "
    )


def test_the_job_is_held_against_each_cell(tmp_path: Path) -> None:
    """What another process is asked and answers: a list for each cell, empty if all is well."""
    file = tmp_path / "tree.yaml"
    file.write_text(TREE)
    sets = [["job.params.lr=0.1"], ["job.params.lr=fast", "job.params.batch=4"], ["CLIENTS.codec.up=int8"]]
    answers = checking._answer({"file": str(file), "clients": 3, "sets": sets})
    assert [[error["what"] for error in answer] for answer in answers] == [
        [],
        ["train takes lr as float, got 'fast'"],
        [],
    ]


@pytest.mark.slow
def test_what_the_job_does_not_take_is_told_of_its_cells(tmp_path: Path) -> None:
    """Parameters of another type, found in a process of its own."""
    file = tmp_path / "tree.yaml"
    file.write_text(TREE)
    made = cells([axis("job.params.lr=0.1,fast"), axis("job.params.batch=4,x")])
    with pytest.raises(TopologyError) as error:
        check(file, made)
    assert sorted(str(problem) for problem in error.value.problems) == [
        f"{file}: error: job.params: train takes batch as int, got 'x'; write 10, say (cell 2: "
        "job.params.lr=0.1 job.params.batch=x)",
        f"{file}: error: job.params: train takes lr as float, got 'fast'; write 0.1, say (cells 3, 4 of 4)",
    ]


def test_a_sweep_without_a_job(tmp_path: Path) -> None:
    """There is nothing to run."""
    file = tmp_path / "tree.yaml"
    file.write_text(TREE.partition("job:")[0])
    with pytest.raises(TopologyError, match=r"tree.yaml: error: the file has no job; write `job: "):
        check(file, cells([axis("CLIENTS.codec.up=int8")]))


def test_what_is_known_of_good_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed and the clock of the file; every cell is told of as it is checked."""
    monkeypatch.setattr(checking, "_jobs_in_subprocess", lambda *args: [])
    file = tmp_path / "tree.yaml"
    file.write_text(TREE)
    numbers: list[int] = []
    checked = check(file, cells([axis("CLIENTS.codec.up=int8,bf16")]), on_cell=numbers.append)
    assert (checked.seed, checked.clock, checked.modelled, numbers) == (7, "real", True, [1, 2])
