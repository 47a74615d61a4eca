"""Who waited for whom: read from the histories of aggregators."""

from __future__ import annotations

import json
from pathlib import Path

from made_runs import made_history, made_run

from tierfed.report.page import stored_run, timeline
from tierfed.report.page.waiting import of_run


def test_the_last_child_is_the_one_that_was_waited_for(tmp_path: Path) -> None:
    """Of each collection: who came, when, who was last; and from the root down, the chain of them."""
    made_history(tmp_path / "history", 2)
    waits = of_run(tmp_path / "history")
    assert waits.root == "server" and waits.nodes == ["server", "edge-eu", "edge-us"]
    [wait] = waits.of["i-1", "edge-us"]
    assert (wait.last, wait.count, wait.expected) == (("c-2", 3.8), 2, 2)
    assert (wait.begun, wait.ended) == (2.1, 3.8)
    assert waits.chain("i-0") == ["edge-us", "c-2"]


def test_a_collection_that_closed_without_somebody(tmp_path: Path) -> None:
    """The loss is known, and the time that it was waited for: from the median arrival to the end."""
    made_history(tmp_path / "history", 1)
    [wait] = of_run(tmp_path / "history").of["i-0", "edge-eu"]
    assert wait.lost == {"c-3": "its connection was lost"}
    assert abs(wait.lag - 0.3) < 1e-9


def test_the_table_says_who_was_waited_for_most(tmp_path: Path) -> None:
    """Those that waited longest first; the server from the first of two children to the second."""
    run = stored_run.read(made_run(tmp_path / "7f3a90c2"))
    rows = timeline.table(run, of_run(run.path / "history"))
    assert rows[0] == ("edge-us", "3", "1.3 s", "1.3 s", "c-2, 3 of 3")
    assert ("server", "3", "1 s", "1 s", "edge-us, 3 of 3") in rows


def test_a_thousand_children_are_thinned_out_and_counted(tmp_path: Path) -> None:
    """The first and the last arrival stay, and the number of all."""
    (tmp_path / "history").mkdir()
    same = {"node": "server", "invocation": "i-0", "attempt": 1}
    rows = [{**same, "at": 0.0, "event": "begun", "sites": {"2.0": {"children": [f"c-{c}" for c in range(1000)]}}}]
    rows += [{**same, "at": c / 1000, "event": "accepted", "site": "2.0", "member": f"c-{c}"} for c in range(1000)]
    rows += [{**same, "at": 1.5, "event": "closed", "site": "2.0", "lost": {}}]
    text = "\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    (tmp_path / "history" / "server.jsonl").write_text(text)
    [wait] = of_run(tmp_path / "history").of["i-0", "server"]
    assert (wait.count, wait.expected, wait.median) == (1000, 1000, 0.499)
    assert len(wait.arrivals) == 60 and wait.arrivals[0] == (0.0, "c-0") and wait.last == ("c-999", 0.999)


def test_what_is_no_history_is_none(tmp_path: Path) -> None:
    """No folder, lines that are not JSON, rows of another shape."""
    assert of_run(tmp_path / "none").of == {}
    (tmp_path / "x.jsonl").write_text('{"event":"closed"}\n"event":"closed"\n[]\n{"event":"accepted","at":"now"}\n')
    assert of_run(tmp_path).of == {}
