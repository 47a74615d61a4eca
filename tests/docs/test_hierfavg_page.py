"""docs/hierfavg.md shows what docs/figures/hierfavg/results.csv holds, and that is at the costs of the paper."""

import dataclasses
import importlib
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "hierfavg"
FIGURES = ROOT / "docs" / "figures" / "hierfavg"

sys.path.insert(0, str(EXAMPLE))
reproduce, tables = importlib.import_module("reproduce"), importlib.import_module("hierfavg_tables")
sys.path.remove(str(EXAMPLE))


def test_the_table_is_that_of_the_results():
    """`reproduce.py --out docs/figures/hierfavg` writes it; all settings have three seeds, which got there."""
    rows = reproduce.read(FIGURES / "results.csv")
    table = tables.table(rows)
    assert table in (ROOT / "docs" / "hierfavg.md").read_text("utf-8")
    assert table == (FIGURES / "table.md").read_text("utf-8")
    assert [len(tables.of(setting, rows)) for setting in tables.SETTINGS] == [3] * 8
    assert all(row.reached and row.accuracy >= row.target for row in rows)


def test_the_seconds_are_rounds_at_the_papers_costs():
    """What the clock and the meter gave is rounds times the formula's seconds and joules, to 0.01 %."""
    for setting in tables.SETTINGS:
        for row in tables.of(setting, reproduce.read(FIGURES / "results.csv")):
            assert abs(row.seconds / (row.rounds * setting.round_seconds) - 1) < 1e-4
            assert abs(row.joules / (row.rounds * setting.round_joules) - 1) < 1e-4


def test_the_shape_is_the_papers():
    """Mean seconds fall as kappa_2 rises and are less where edges are alike; joules fall there; both as published."""
    rows = reproduce.read(FIGURES / "results.csv")
    got = [statistics.mean(r.seconds for r in tables.of(s, rows)) for s in tables.SETTINGS]
    spent = [statistics.mean(r.joules for r in tables.of(s, rows)) for s in tables.SETTINGS[:4]]
    for seconds in (got, [s.seconds for s in tables.SETTINGS]):
        iid, noniid = seconds[:4], seconds[4:]
        assert iid == sorted(iid, reverse=True)
        assert noniid == sorted(noniid, reverse=True)
        assert all(a < b for a, b in zip(iid, noniid))
    for joules in (spent, [s.joules for s in tables.SETTINGS[:4]]):
        assert joules == sorted(joules, reverse=True)


def test_a_setting_that_did_not_get_there_has_no_mean():
    """The table says how many seeds did, and gives one figure for one seed."""
    rows = [
        reproduce.Row("edge-iid", 6, 10, seed, 0.05, 2, 0.85, seed > 0, 20, 78.12, 15.2, 0.86, 1.0) for seed in (0, 1)
    ]
    assert "| edge-IID | 6, 10 | 2 | 25 | 1 of 2 got there | 97.7 |" in tables.table(rows)
    assert "| edge-IID | 6, 10 | 1 | 25 | 20 | 97.7 | 78.1 | 19.0 | 15.2 |" in tables.table(rows[1:])


def test_runs_that_are_there_are_not_run_again(tmp_path, capsys, monkeypatch):
    """Asked for what results.csv has, the command prints the table of that, and draws it."""
    drawn = []
    monkeypatch.setattr(tables, "draw", lambda rows, file: drawn.append((rows, file.name)))
    rows = [
        reproduce.Row("edge-iid", 6, 10, 0, lr, 2, 0.85, True, rounds, 3.906 * rounds, 0.76 * rounds, 0.86, 1.0)
        for lr, rounds in ((0.05, 20), (0.01, 40))
    ]
    columns = [field.name for field in dataclasses.fields(reproduce.Row)]
    reproduce.append(tmp_path / "results.csv", columns, [dataclasses.astuple(row) for row in rows])
    assert reproduce.read(tmp_path / "results.csv") == rows
    asked = ["--settings", "edge-iid/6x10", "--seeds", "0", "--lr", "0.01", "--out", str(tmp_path)]
    assert reproduce.main(asked) == 0
    told = capsys.readouterr()
    assert "1 of 1 runs are in" in told.err
    assert "| edge-IID | 6, 10 | 1 | 25 | 40 | 97.7 | 156.2 | 19.0 | 30.4 |" in told.out
    assert (tmp_path / "table.md").read_text("utf-8") == told.out
    assert drawn == [(rows[1:], "figure.svg")]


def test_a_file_of_another_kind_is_told(tmp_path, capsys):
    """A results.csv with other columns, or with a word for a number, is an error that names it, and is left alone."""
    for text in ("run,cell,seed\n1,2,3\n", (FIGURES / "results.csv").read_text("utf-8").replace("335", "many")):
        (tmp_path / "results.csv").write_text(text, "utf-8")
        assert reproduce.main(["--quick", "--out", str(tmp_path)]) == 1
        told = capsys.readouterr().err
        assert "results.csv: its rows are not those of this command" in told
        assert "to mend: give another folder as --out" in told
        assert (tmp_path / "results.csv").read_text("utf-8") == text
