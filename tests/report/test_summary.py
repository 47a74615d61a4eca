"""What came of a run, and quantities as people say them."""

from __future__ import annotations

from typing import Any

import pytest

from tierfed.report.quantities import ago, metrics, number, seconds
from tierfed.report.summary import told
from tierfed.report.table import table


def tier(up: int, down: int, raw_up: int) -> dict[str, Any]:
    """Return a tier of a document."""
    sent = {"messages_up": 1, "messages_down": 1, "bytes_up": up, "bytes_down": down}
    return {"nodes": 2, **sent, "raw_bytes_up": raw_up, "raw_bytes_down": down}


def document(status: str = "ok", **more: Any) -> dict[str, Any]:
    """Return the document of a run."""
    edges, clients = tier(4_150_000, 8_150_000, 8_150_000), tier(33_000_000, 131_000_000, 131_000_000)
    tiers = {"SERVER": {"nodes": 1}, "EDGES": edges, "CLIENTS": clients}
    plain = {"status": status, "rounds": 20, "metrics": {"accuracy": 0.78, "loss": 0.661, "examples": 1000}}
    plain |= {"seconds": {"job": 5.23}, "tiers": tiers, "lost": [], "run_dir": "/elsewhere/7f3a90c2"}
    return plain | more


def test_a_run_that_went_well() -> None:
    """Rounds, time, metrics, losses; what each tier moved; where it is kept."""
    assert (
        told(document())
        == """\
✓ 20 rounds in 5.2 s · accuracy 0.780 · loss 0.661 · nobody lost
  CLIENTS  ↑ 33 MB (131 MB raw)   ↓ 131 MB
  EDGES    ↑ 4.2 MB (8.2 MB raw)  ↓ 8.2 MB
  /elsewhere/7f3a90c2"""
    )


def test_a_loss_is_told_and_that_the_quorum_held() -> None:
    """Members lost in several rounds count once."""
    lost = [{"node": "c-1", "reason": "x", "round": r} for r in range(3)]
    assert "· 1 lost, quorum held\n" in told(document(lost=lost))


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_a_run_that_did_not_go_well(status: str) -> None:
    """It says how far it came."""
    error = {"mend": "go on: tierfed run --resume 7f3a90c2"}
    lines = told(document(status, rounds=1, metrics={}, error=error), left="7f3a90c2").splitlines()
    assert ("  go on: tierfed run --resume 7f3a90c2" in lines) == (status == "interrupted")
    assert lines[0] == f"✗ {status} after 1 round in 5.2 s"
    assert lines[-1] == "  the tree is up: tierfed run PROGRAM, tierfed down 7f3a90c2"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0312, "0.03 s"),
        (1.44, "1.4 s"),
        (31.2, "31 s"),
        (119, "119 s"),
        (150, "2 min 30 s"),
        (93_600, "26 h 0 min"),
        (40_803_401, "472 d 6 h"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    """Two digits that say something, and minutes, hours and days for what takes them."""
    assert seconds(value) == text


@pytest.mark.parametrize(("value", "text"), [(-1, "0 s"), (59, "59 s"), (61, "1 min"), (7300, "2 h"), (200_000, "2 d")])
def test_ago(value: float, text: str) -> None:
    """Roughly, in the unit that fits."""
    assert ago(value) == text


def test_metrics_put_measured_ones_first() -> None:
    """Counts are told only where nothing is measured."""
    assert metrics({"examples": 1000, "accuracy": 0.71234}) == ["accuracy 0.712"]
    assert metrics({"examples": 1000}) == ["examples 1000"]
    assert metrics({f"m{i}": 0.5 for i in range(9)}, 2) == ["m0 0.500", "m1 0.500"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.7, "0.700"), (0.0, "0"), (1.5e-7, "1.5e-07"), (99.94, "99.9"), (99.96, "100"), (-1234.5, "-1234")]
    + [(2e7, "2e+07"), (float("nan"), "nan"), (float("-inf"), "-inf"), (1000, "1000"), (True, "True")],
)
def test_numbers(value: Any, text: str) -> None:
    """Three digits, more where they stand before the point."""
    assert number(value) == text


def test_a_table_leaves_empty_columns_out() -> None:
    """Columns are as wide as they must be."""
    assert table(("A", "EMPTY", "C"), [["1", "", "x"], ["222", "", "y"]]) == "A    C\n1    x\n222  y"


def test_a_table_that_is_too_wide_becomes_paragraphs() -> None:
    """On a narrow terminal each row has lines of its own, with the heads that its cells stand under."""
    heads = ("TIER", "NODE", "STATE", "PID")
    rows = [["CLIENTS", "c-[00-15] ×16", "ready", "4714"], ["SERVER", "s", "", ""]]
    assert table(heads, rows, 40) == table(heads, rows)
    assert table(heads, rows, 30) == "CLIENTS  c-[00-15] ×16\n  state ready  pid 4714\nSERVER  s"
