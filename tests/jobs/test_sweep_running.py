"""A sweep from its first run to its last, over failures, interruptions and kills, without processes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from sweep_fakes import Silent, fake, new

from tierfed.errors import NoSuchRun, SweepError
from tierfed.jobs.sweep import parquet, store
from tierfed.jobs.sweep.results import Spread, by_cell
from tierfed.jobs.sweep.running import run, todo
from tierfed.jobs.sweep.store import Kept, find

CODECS = "CLIENTS.codec.up=none,int8"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sweeps of the test are kept in a folder of its own."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def table(kept: Kept) -> list[dict[str, str]]:
    """Return results.csv."""
    with open(kept.path / "results.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_a_run(tmp_path: Path) -> None:
    """The columns are in their order, a metric that is called like a column has another name, and JSON has the same."""
    kept = new(tmp_path, CODECS)
    rows = run(kept, Silent(), jobs=1, runner=fake())
    written = table(kept)
    assert list(written[0]) == [
        *("run", "cell", "repeat", "seed", "status", "CLIENTS.codec.up", "rounds", "seconds", "seconds_per_round"),
        *("loss", "accuracy", "metric.rounds", "bytes_up.CLIENTS", "bytes_down.CLIENTS"),
        *("raw_bytes_up.CLIENTS", "raw_bytes_down.CLIENTS", "joules.SERVER", "lost", "error"),
    ]
    assert [(r["cell"], r["repeat"], r["seed"], r["CLIENTS.codec.up"], r["bytes_up.CLIENTS"]) for r in written] == [
        ("1", "1", "7", "none", "1000"),
        ("1", "2", "8", "none", "1000"),
        ("2", "1", "7", "int8", "250"),
        ("2", "2", "8", "int8", "250"),
    ]
    assert (written[0]["seconds_per_round"], written[0]["error"]) == ("1.5", "")
    document = json.loads((kept.path / "results.json").read_text())
    assert document["columns"] == list(written[0])
    assert document["rows"] == [{name: row.get(name) for name in document["columns"]} for row in rows]


def test_one_that_fails_does_not_stop_the_rest(tmp_path: Path) -> None:
    """Its row has the error, and none of the figures of half a run."""
    kept = new(tmp_path, CODECS)
    watching = Silent()
    run(
        kept,
        watching,
        jobs=1,
        runner=fake(lambda one: one.seed == 7 and "CLIENTS.codec.up=none" in one.sets),
    )
    assert watching.happened[:4] == ["start 1.1", "failed 1.1", "start 2.1", "ok 2.1"]
    failed, *good = table(kept)
    assert (failed["status"], failed["error"]) == ("failed", "round 1: below quorum\n  to mend: wait longer")
    assert (failed["rounds"], failed["lost"], failed["accuracy"], failed["bytes_up.CLIENTS"]) == ("1", "2", "", "")
    assert [row["status"] for row in good] == ["ok"] * 3
    [first, second] = by_cell(kept.sweep().cells, kept.rows(), kept.sweep().paths)
    assert (first.ok, first.failed, second.ok, second.failed) == (1, 1, 2, 0)
    assert second.figures["accuracy"].mean == pytest.approx(0.775)
    assert second.figures["accuracy"].std == pytest.approx(0.01 / 2**0.5)
    assert first.figures["accuracy"].std is None


def test_a_resumed_sweep_runs_what_is_missing_and_what_failed(tmp_path: Path) -> None:
    """After an interruption in the third run, of which the first had failed."""
    kept = new(tmp_path, CODECS)
    with pytest.raises(KeyboardInterrupt):
        run(kept, Silent(), jobs=1, runner=fake(lambda variant: "CLIENTS.codec.up=none" in variant.sets, ends_after=2))
    assert [(row["status"], row["cell"]) for row in table(kept)] == [("failed", "1"), ("ok", "2")]
    again = find("s-1")
    watching = Silent()
    run(again, watching, jobs=1, runner=fake())
    assert [one for one in watching.happened if one.startswith("start")] == ["start 1.1", "start 1.2", "start 2.2"]
    assert [row["status"] for row in table(again)] == ["ok"] * 4
    assert todo(again) == []


def test_a_kill_in_the_middle_of_a_row_loses_that_run_alone(tmp_path: Path) -> None:
    """A line that was cut short is made again, and does not spoil the next; a run without a row leaves no folder."""
    kept = new(tmp_path, CODECS)
    with pytest.raises(KeyboardInterrupt):
        run(kept, Silent(), jobs=1, runner=fake(ends_after=3))
    rows = kept.path / "rows.jsonl"
    rows.write_bytes(rows.read_bytes()[:-9])
    done = json.loads(rows.read_text().splitlines()[0])["run"]
    for name in (done, "0badbad0"):
        (kept.path / "runs" / name).mkdir(parents=True)
    assert [(row["cell"], row["repeat"]) for row in kept.rows()] == [(1, 1), (2, 1)]
    watching = Silent()
    run(kept, watching, jobs=1, runner=fake())
    assert [one for one in watching.happened if one.startswith("start")] == ["start 1.2", "start 2.2"]
    assert [row["status"] for row in table(kept)] == ["ok"] * 4
    assert [entry.name for entry in (kept.path / "runs").iterdir()] == [done]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """Two that resume the same sweep would run everything twice."""
    kept = new(tmp_path, CODECS)
    with kept.held(), pytest.raises(SweepError, match="sweep s-1: another process is running it"):
        run(find("s-1"), Silent(), jobs=1, runner=fake())
    run(kept, Silent(), jobs=1, runner=fake())


def test_a_file_that_was_changed_is_another_sweep(tmp_path: Path) -> None:
    """Runs of one sweep are runs of one file."""
    kept = new(tmp_path, CODECS)
    kept.check_unchanged()
    with open(tmp_path / "tree.yaml", "a") as file:
        file.write("# \n")
    with pytest.raises(SweepError, match="tree.yaml is not what it was when s-1 began"):
        kept.check_unchanged()


def test_sweeps_are_found_by_their_ids(tmp_path: Path, home: Path) -> None:
    """The whole id before others that begin so; the latest without one; what is no sweep is passed over."""
    with pytest.raises(NoSuchRun, match=r"no sweep\n  to mend: `tierfed sweep FILE -s PATH=V1,V2` makes one"):
        find()
    for _ in range(11):
        new(tmp_path, CODECS)
    (home / "sweeps" / "s-12").mkdir()
    (home / "sweeps" / "other").mkdir()
    assert (find().id, find("s-1").id, find("s-11").id) == ("s-11", "s-1", "s-11")
    assert find("s-2").path == home / "sweeps" / "s-2"
    assert new(tmp_path, CODECS).id == "s-13"
    with pytest.raises(NoSuchRun, match=r"s- begins 12 sweeps: s-1, s-2, "):
        find("s-")
    with pytest.raises(NoSuchRun, match=r"no sweep s-99\n  to mend: the latest are s-13, s-11, s-10, s-9, s-8"):
        find("s-99")


def test_what_is_kept_is_what_is_run(tmp_path: Path) -> None:
    """A sweep that is read again is the same sweep, cells that set different paths included."""
    (tmp_path / "tree.yaml").write_text("x")
    sweep = store.Sweep(
        (tmp_path / "tree.yaml"),
        ("a", "b"),
        (store.Cell(1, {"a": "1"}), store.Cell(2, {"a": "[1,2]", "b": "x"})),
        (3, 5),
        "real",
        ("c=1",),
        None,
        True,
    )
    kept = store.create(sweep, ["tierfed"], "2026")
    assert find(kept.id).sweep() == sweep
    assert kept.manifest["axes"] == [{"path": "a", "values": ["1", "[1,2]"]}, {"path": "b", "values": ["x"]}]


def test_parquet_has_types(tmp_path: Path) -> None:
    """What was written is text, what was counted whole, what was measured a number; a failed run has nulls."""
    reader = pytest.importorskip("pyarrow.parquet")
    kept = new(tmp_path, CODECS)
    run(kept, Silent(), jobs=1, runner=fake(lambda variant: variant.seed == 8))
    parquet.write(kept)
    read = reader.read_table(kept.path / "results.parquet")
    assert read.column_names == list(table(kept)[0])
    kinds = {name: str(read.schema.field(name).type) for name in ("CLIENTS.codec.up", "bytes_up.CLIENTS", "accuracy")}
    assert kinds == {"CLIENTS.codec.up": "string", "bytes_up.CLIENTS": "int64", "accuracy": "double"}
    assert read.column("accuracy").to_pylist() == [pytest.approx(0.77), None, pytest.approx(0.77), None]


def test_parquet_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the command that installs it."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(SweepError) as error:
        parquet.require()
    assert str(error.value) == (
        "-o parquet: Parquet needs pyarrow, which is not there\n  to mend: pip install 'tierfed[parquet]'"
    )


def test_a_loss_that_diverged_is_no_number_of_a_table(tmp_path: Path) -> None:
    """No mean is made of it, and JSON, which has no such number, has null."""
    kept = new(tmp_path, CODECS, seeds=(7,))
    run(kept, Silent(), jobs=1, runner=fake())
    kept.add({**kept.rows()[0], "loss": float("nan")})
    assert json.loads((kept.path / "results.json").read_text())["rows"][0]["loss"] is None
    assert "loss" not in by_cell(kept.sweep().cells, kept.rows(), kept.sweep().paths)[0].figures
    assert Spread.of([1.0, float("inf")]) is None
