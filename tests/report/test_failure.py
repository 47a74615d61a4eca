"""Errors as people and programs get them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tierfed.errors import CompileError, JobError, LeafError, RoundFailed, TierfedError, TopologyError
from tierfed.report import failure
from tierfed.topology import parse_topology

TRACE = 'Traceback (most recent call last):\n  File "program.py", line 7\nValueError: boom\n'


def test_an_error_says_where_what_and_how_to_mend() -> None:
    """Two lines, the second with what would mend it."""
    error = JobError("train has no parameter epoch", where="job.params", mend="did you mean 'epochs'?")
    assert (
        failure.told(error)
        == """\
error: job.params: train has no parameter epoch
  to mend: did you mean 'epochs'?"""
    )


def test_a_place_that_takes_a_screen_is_cut() -> None:
    """The type of a large program keeps its beginning and its end; the document has all of it."""
    where = "a value of (" + ",".join(f"w{i}=float32[784,64]" for i in range(99)) + ")@SERVER"
    error = CompileError("no tier REGION", where=where, mend="add it")
    text = failure.told(error)
    assert text.startswith("error: a value of (w0=") and text.endswith(")@SERVER: no tier REGION\n  to mend: add it")
    assert " … " in text and len(text) < 250
    document = failure.document(error)
    assert document is not None and document["where"] == where


def test_a_traceback_from_a_node_is_shown_with_its_log() -> None:
    """The node's name, the path of its log and all of its traceback."""
    error = LeafError("ValueError: boom", where="leaf program:update", node="c-us-05", remote_traceback=TRACE)
    assert (
        failure.told(error, log="logs/c-us-05.jsonl")
        == """\
error: leaf program:update: ValueError: boom
  node c-us-05, its log: logs/c-us-05.jsonl
  | Traceback (most recent call last):
  |   File "program.py", line 7
  | ValueError: boom"""
    )


def test_problems_of_a_file_stand_a_line_each() -> None:
    """All of them, as editors read them, and each on its own for programs."""
    with pytest.raises(TopologyError) as caught:
        parse_topology("apiVersion: tierfed/v1\nkind: Topolgy\nplacement: {}\n", "three.yaml")
    lines = failure.told(caught.value).splitlines()
    assert len(lines) > 1 and all(line.startswith("three.yaml:") and ": error: " in line for line in lines)
    plain = failure.problems(caught.value)
    assert [f"{p['file']}:{p['line']}:{p['column']}" for p in plain] == [line.partition(": error")[0] for line in lines]
    assert any(p["path"] == "kind" and "Topology" in p["what"] for p in plain)


def test_the_document_has_five_fields() -> None:
    """What programs get of an error."""
    error = RoundFailed("3 of 16", where="round 2", mend="wait longer", node="edge-eu")
    assert failure.document(error) == {
        "where": "round 2",
        "what": "3 of 16",
        "mend": "wait longer",
        "node": "edge-eu",
        "traceback": None,
    }
    assert failure.document(None) is None and failure.problems(error) == []


@pytest.mark.parametrize(
    ("error", "running", "code"),
    [
        (JobError("x"), False, 2),
        (RoundFailed("x"), True, 4),
        (TierfedError("x"), False, 1),
        (TierfedError("x"), True, 4),
        (JobError("x"), True, 2),
    ],
)
def test_exit_codes(error: TierfedError, running: bool, code: int) -> None:
    """Each error has its code; while a job runs, what has none is the run's failure."""
    assert failure.exit_code(error, running=running) == code


def test_a_defect_of_ours_says_so() -> None:
    """It keeps its traceback and asks to be reported."""
    try:
        raise KeyError("x")
    except KeyError as raised:
        error = failure.internal(raised)
    assert error.exit_code == 1 and error.where == "internal"
    assert "KeyError" in (error.remote_traceback or "") and "report" in (error.mend or "")


def test_paths_are_short_where_they_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the working folder they are relative to it; a log that is not there has none."""
    monkeypatch.chdir(tmp_path)
    assert failure.shown(tmp_path / "runs" / "x") == "runs/x"
    assert failure.shown(Path("/elsewhere")) == "/elsewhere"
    error = TierfedError("x", node="c-0")
    assert failure.log_of(error, tmp_path) is None
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "c-0.jsonl").touch()
    assert failure.log_of(error, tmp_path) == "logs/c-0.jsonl"
