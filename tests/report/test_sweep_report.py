"""Sweeps, told: the table at the end, the picture and the lines on the way."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from sweep_fakes import Silent, fake, new

from tierfed.jobs.sweep.results import Row, Spread
from tierfed.jobs.sweep.running import run
from tierfed.jobs.sweep.store import Kept
from tierfed.report.output import Output
from tierfed.report.sweep_table import document, spread, told
from tierfed.report.sweep_view import PlainSweep, SweepProgress, reasons

AXES = ("CLIENTS.codec.up=none,int8,eden(bits=2)", "job.params.lr=0.05,0.1")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps of the test are kept in a folder of its own."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path / "home"))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A sweep of which one run has failed."""
    made = new(tmp_path, *AXES)
    run(made, Silent(), jobs=1, runner=fake(lambda variant: variant.seed == 8 and "job.params.lr=0.1" in variant.sets))
    return made


def test_the_table(kept: Kept) -> None:
    """Texts to the left and figures to the right; what is compared is compared with the first cell."""
    assert told(kept, kept.rows()).splitlines() == [
        "CLIENTS.codec.up  job.params.lr  CLIENTS upload  vs first      accuracy  s/round (modelled)  energy  failed",
        "none              0.05                   1.0 kB      1.0×  0.775 ±0.007                1.50     2 J",
        "none              0.1                    1.0 kB      1.0×         0.770                1.50     2 J  1 of 2",
        "int8              0.05                    250 B      4.0×  0.775 ±0.007                1.50     2 J",
        "int8              0.1                     250 B      4.0×         0.770                1.50     2 J  1 of 2",
        "eden(bits=2)      0.05                    250 B      4.0×  0.775 ±0.007                1.50     2 J",
        "eden(bits=2)      0.1                     250 B      4.0×         0.770                1.50     2 J  1 of 2",
    ]


def test_the_table_on_narrow_terminals(kept: Kept) -> None:
    """Heads lose their placements first; then each cell is a paragraph."""
    assert told(kept, kept.rows(), 85).splitlines()[:2] == [
        "codec.up      lr    upload  vs first      accuracy  s/round  energy  failed",
        "none          0.05  1.0 kB      1.0×  0.775 ±0.007     1.50     2 J",
    ]
    assert told(kept, kept.rows(), 60).splitlines()[:4] == [
        "none  0.05",
        "  clients upload 1.0 kB  vs first 1.0×  accuracy 0.775 ±0.007  s/round (modelled) 1.50  energy 2 J",
        "none  0.1",
        "  clients upload 1.0 kB  vs first 1.0×  accuracy 0.770  s/round (modelled) 1.50  energy 2 J  failed 1 of 2",
    ]


def test_one_axis_is_compared_by_name(tmp_path: Path) -> None:
    """`vs none` says more than `vs first`."""
    kept = new(tmp_path, AXES[0], seeds=(7,))
    run(kept, Silent(), jobs=1, runner=fake())
    assert told(kept, kept.rows()).splitlines()[0].split("  ") == [
        *("CLIENTS.codec.up", "CLIENTS upload", "vs none", "accuracy", "s/round (modelled)", "energy"),
    ]


def test_the_document(kept: Kept) -> None:
    """For programs: each cell with the mean and the deviation of every column that is a number."""
    whole = document(kept, kept.rows(), "partial")
    assert (whole["sweep"], whole["status"], whole["runs"]) == ("s-1", "partial", {"all": 12, "ok": 9, "failed": 3})
    first, second = whole["cells"][:2]
    assert first["values"] == {"CLIENTS.codec.up": "none", "job.params.lr": "0.05"}
    assert first["figures"]["bytes_up.CLIENTS"] == {"mean": 1000.0, "std": 0.0}
    assert (second["ok"], second["failed"]) == (1, 1)
    assert second["error"] == "round 1: below quorum\n  to mend: wait longer"


@pytest.mark.parametrize(
    ("of", "text"),
    [
        (None, ""),
        (Spread(0.78, None), "0.780"),
        (Spread(0.78, 0.0104), "0.780 ±0.010"),
        (Spread(1234.5, 20.2), "1234 ±20"),
        (Spread(1e-5, 2e-6), "1e-05 ±2e-06"),
    ],
)
def test_means_and_deviations_have_as_many_digits(of: Spread | None, text: str) -> None:
    """A deviation is told to the last digit of its mean."""
    assert spread(of) == text


def _text(progress: SweepProgress, width: int, height: int = 24) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in progress.lines(width, height)]


def test_the_picture(kept: Kept) -> None:
    """A sign a run: earlier ones are done, failed ones are to be run again; the time left is that of the mean."""
    now = [0.0]
    sweep = kept.sweep()
    progress = SweepProgress(sweep, [row for row in kept.rows() if row["cell"] < 3], 2, lambda: now[0])
    assert _text(progress, 80)[:5] == [
        "3/12 runs ━━━━━━──────────────────  0 running",
        "CLIENTS.codec.up  job.params.lr      accuracy",
        "none              0.05           ✓✓  0.775",
        "none              0.1            ✓·  0.770",
        "int8              0.05           ··",
    ]
    progress.started(sweep.cells[1], 2)
    progress.started(sweep.cells[2], 1)
    now[0] = 30.0
    failed: Row = {"cell": 2, "repeat": 2, "seed": 8, "status": "failed", "error": "x"}
    progress.done(sweep.cells[1], failed, 30.0)
    now[0] = 40.0
    assert _text(progress, 80)[0] == "4/12 runs ━━━━━━━━────────────────  1 running  1 failed  about 2 min left"
    assert _text(progress, 80)[3:5] == [
        "none              0.1            ✓✗  0.770",
        "int8              0.05           ▸·",
    ]


@pytest.mark.parametrize("width", [20, 40, 60])
def test_the_picture_on_narrow_terminals(kept: Kept, width: int) -> None:
    """Values stand side by side, cut if they must be; signs and the metric are there as long as they can."""
    lines = _text(SweepProgress(kept.sweep(), kept.rows(), 1, lambda: 0.0), width)
    assert all(len(line) <= width for line in lines)
    if width == 40:
        assert lines[0] == "9/12 runs ━━━━━━━━━━━━━━━──── 0 running" or lines[0].startswith("9/12 runs ━")
        assert lines[1] == "none 0.05          ✓✓  0.775"


def test_the_picture_of_more_cells_than_lines(tmp_path: Path) -> None:
    """Those around what runs are drawn, and the rest counted; of many runs in a cell the numbers."""
    kept = new(tmp_path, "job.params.lr=1..50", seeds=tuple(range(20)))
    progress = SweepProgress(kept.sweep(), [], 1, lambda: 0.0)
    progress.started(kept.sweep().cells[30], 1)
    lines = _text(progress, 60, 10)
    assert len(lines) <= 10 and lines[-1] == "… 50 cells in all"
    assert any(line.startswith("31 ") and line.endswith("▸1 of 20") for line in lines)


def test_lines_without_a_terminal(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """One a run, with what it gave or why it failed."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stdout", written)
    plain = PlainSweep(kept.sweep(), kept.rows()[:2], Output())
    for row in kept.rows()[2:4]:
        plain.done(kept.sweep().cells[row["cell"] - 1], row, 1.0)
    assert written.getvalue().splitlines() == [
        "run 3/12 · cell 2 (CLIENTS.codec.up=none job.params.lr=0.1) seed 7: accuracy 0.770, 1.5 s/round",
        "run 4/12 · cell 2 (CLIENTS.codec.up=none job.params.lr=0.1) seed 8: failed: round 1: below quorum",
    ]


def test_one_reason_is_told_once() -> None:
    """Errors that differ in the names of runs and invocations alone are the same."""
    rows: list[Row] = [
        {"cell": 1, "status": "failed", "error": "invocation 7dd935cd-1: below quorum\n  to mend: wait"},
        {"cell": 2, "status": "failed", "error": "invocation 0d8d7578-1: below quorum\n  to mend: wait"},
        {"cell": 3, "status": "ok"},
        {"cell": 4, "status": "failed", "error": "x" * 300},
    ]
    assert [(why, [row["cell"] for row in which]) for why, which in reasons(rows).items()] == [
        ("invocation …: below quorum", [1, 2]),
        ("x" * 199 + "…", [4]),
    ]
