"""The page of a sweep, and of runs beside each other: fronts, cells, failures, curves, tables."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from made_runs import made_run, made_sweep
from page_checks import checked, checked_svg

from tierfed.errors import NoSuchRun, SettingError
from tierfed.report.page import report_of, side_by_side, stored_run, stored_sweep, sweep_page, tidy

CELLS = {"sign": [0.70, 0.72], "int8": [0.78, 0.80], "none": [0.79, 0.79], "topk": [0.60, 0.0]}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Four codecs, two repeats each, one of which failed; each sends more than the one before."""
    return made_sweep(tmp_path / "s-1", CELLS)


def test_the_page(sweep: Path) -> None:
    """Fronts with their cells, a table, the failure with its error, curves of each cell, the command."""
    report = report_of(sweep)
    page = checked(report.html)
    assert list(report.sections) == [
        *(
            "What is given up for what",
            "Cells",
            "Failed",
            "Curves",
            "Bytes by tier",
            "Topology",
            "Configuration",
            "Again",
        )
    ]
    fronts = [name for name in report.drawings if name.startswith("front-")]
    assert fronts == ["front-bytes", "front-bytes-up", "front-time", "front-energy"]
    assert "int8: accuracy 0.790 ±0.014, 12 kB, on the front" in page.text
    assert "none: accuracy 0.790, 18 kB" in page.text  # as good, and dearer: not on it
    assert "alert(1)" in page.text and "leaf boom" in page.text
    assert "tierfed sweep three.yaml -s CLIENTS.codec.up=sign,int8,none,topk" in page.text
    for drawing in report.drawings.values():
        checked_svg(drawing.standalone())


def test_the_fronts_are_of_the_means(sweep: Path) -> None:
    """Over the runs that are done: bytes of both ways, or up alone, seconds, joules."""
    compared = stored_sweep.of_sweep(sweep)
    points = sweep_page.fronts(compared, "accuracy")
    assert [(p.name, p.x.mean, round(p.y.mean, 4), p.y.count) for p in points["bytes"]] == [
        ("sign", 6000, 0.71, 2),
        ("int8", 12000, 0.79, 2),
        ("none", 18000, 0.79, 2),
        ("topk", 24000, 0.6, 1),
    ]
    assert [p.x.mean for p in points["bytes-up"]] == [2000, 4000, 6000, 8000]
    assert {p.x.mean for p in points["time"]} == {4.0} and {p.x.mean for p in points["energy"]} == {10.0}


def test_a_sweep_that_is_half_done(sweep: Path) -> None:
    """A torn row, a run whose folder is gone, a name that would lead elsewhere: a page of the rest."""
    rows = (sweep / "results.csv").read_text().splitlines()
    (sweep / "results.csv").write_text("\n".join([*rows[:3], rows[3].replace("00000064", "../../.."), rows[4][:20]]))
    compared = stored_sweep.of_sweep(sweep)
    assert [(cell.name, len(cell.rows), len(cell.runs)) for cell in compared.cells] == [("sign", 2, 2), ("int8", 1, 0)]
    checked(report_of(sweep).html)
    (sweep / "results.csv").unlink()
    assert "No command" not in checked(report_of(sweep).html).text


def test_what_is_still_to_do_is_told(sweep: Path) -> None:
    """An interrupted sweep is not `all done`, also before its first run is over; then there is nothing to compare."""
    manifest = json.loads((sweep / "manifest.json").read_text())
    cells = [{"CLIENTS.codec.up": value} for value in manifest["axes"][0]["values"]]
    (sweep / "manifest.json").write_text(json.dumps({**manifest, "cells": cells}))
    rows = (sweep / "results.csv").read_text().splitlines()
    (sweep / "results.csv").write_text("\n".join(rows[:3]))
    text = checked(report_of(sweep).html).text
    assert f"{len(cells) - 1} to do" in text and f"{2 * len(cells) - 2} to do" in text
    assert "all done" not in text
    (sweep / "results.csv").write_text("")
    assert f"{2 * len(cells)} to do" in checked(report_of(sweep).html).text


def test_a_hundred_cells(tmp_path: Path) -> None:
    """Small charts of all, names at the fronts alone, and a page below two megabytes."""
    made = made_sweep(tmp_path / "s-2", {f"eden(bits={at})": [0.5 + at / 250] for at in range(100)})
    report = report_of(made)
    html = report.html
    checked(html)
    root = checked_svg(report.drawings["accuracy-by-cell"].standalone())
    assert sum("eden(bits=" in str(one.text) for one in root.iter()) == 100
    assert len(html.encode()) < 300_000


def test_runs_beside_each_other(tmp_path: Path) -> None:
    """Cells are named by the settings in which the runs differ, the seed among them."""
    runs = [
        made_run(tmp_path / "7f3a90c2", codec="none", accuracy=[0.5, 0.8], history=False),
        made_run(tmp_path / "91bc04d1", codec="int8", lr="0.2", up=300, history=False),
    ]
    compared = stored_sweep.of_runs([stored_run.read(one) for one in runs])
    assert [cell.name for cell in compared.cells] == ["none · lr 0.1", "int8 · lr 0.2"]
    assert [cell.settings for cell in compared.cells] == [
        {"CLIENTS.codec.up": "none", "job.params.lr": "0.1"},
        {"CLIENTS.codec.up": "int8", "job.params.lr": "0.2"},
    ]
    table = side_by_side.table_of(compared, None).splitlines()
    assert table[0].split() == ["7f3a90c2", "91bc04d1"]
    told = {" ".join(line.split()[:-2]): line.split()[-2:] for line in table[1:] if len(line.split()) == 3}
    assert told["CLIENTS.codec.up"] == ["none", "int8"] and told["accuracy"] == ["0.800", "0.800"]
    lines = {line.split("  ")[0]: line for line in table}
    assert lines["bytes_up.CLIENTS"].split()[1:] == ["2", "kB", "900", "B"]
    page = checked(report_of(*runs).html)
    assert "2 runs" in page.text and "7f3a90c2" in page.text
    document = side_by_side.document(compared)
    assert document["differ"] == ["CLIENTS.codec.up", "job.params.lr"]
    assert document["runs"][1]["figures"]["bytes_up.CLIENTS"] == 900


def test_narrow_terminals_get_paragraphs(sweep: Path) -> None:
    """No line is wider than there is room, if a paragraph a cell makes it so."""
    compared = stored_sweep.of_sweep(sweep)
    wide = side_by_side.table_of(compared, 200)
    assert max(map(len, wide.splitlines())) <= 200 and wide.splitlines()[0].split() == list(CELLS)
    narrow = side_by_side.table_of(compared, 40).splitlines()
    assert narrow[0] == "sign" and "  CLIENTS.codec.up  sign" in narrow and max(map(len, narrow)) <= 40


def test_sweeps_and_runs_together(sweep: Path, tmp_path: Path) -> None:
    """Cells are those of all, with where they are from in their names."""
    other = made_run(tmp_path / "7f3a90c2", history=False)
    names = [cell.name for cell in sweep_page_of(sweep, other).cells]
    assert names[0] == "s-1: sign" and names[-1] == "7f3a90c2"
    checked(report_of(sweep, other).html)


def sweep_page_of(*folders: Path) -> stored_sweep.Compared:
    """Return what is compared of folders."""
    from tierfed.report.page.report import compared

    return compared(folders)


def test_another_metric(sweep: Path) -> None:
    """Of several runs, each has loss; a metric that nobody has is an error that names what there is."""
    runs = sorted((sweep / "runs").iterdir())[:3]
    assert "loss (less is better)" in checked(report_of(*runs, metric="loss").html).text
    with pytest.raises(SettingError, match="no run has a metric f1"):
        report_of(sweep, metric="f1")


def test_tidy_tables(sweep: Path) -> None:
    """A row a round, with the settings of its cell; as CSV and as Parquet the same."""
    rows = tidy.rows([sweep])
    read = list(csv.DictReader(io.StringIO(tidy.as_csv(rows))))
    assert len(read) == 16 and read[0]["run"] == "00000000"
    assert (read[0]["CLIENTS.codec.up"], read[1]["round"], read[1]["accuracy"]) == ("sign", "2", "0.7")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    table = parquet.read_table(io.BytesIO(tidy.as_parquet(rows)))
    assert table.column_names == list(read[0]) and table.num_rows == 16
    assert table["accuracy"].to_pylist()[:2] == [0.35, 0.7]


def test_parquet_without_pyarrow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error names the command that installs it."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(Exception, match=r"pip install 'tierfed\[parquet\]'"):
        tidy.as_parquet([{"a": 1}])


def test_no_sweep(tmp_path: Path) -> None:
    """A folder with neither manifest nor results is none."""
    with pytest.raises(NoSuchRun, match="this is no folder of a sweep"):
        stored_sweep.of_sweep(tmp_path)
