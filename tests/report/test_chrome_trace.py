"""What a trace consists of: the fields that viewers need, rows in the order of the tree, arrows fixed to marks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tierfed.errors import StorageError
from tierfed.node.spans import Spans
from tierfed.report import chrome_trace

NODES = {  # by tier, as a manifest has them
    "s": {"placement": "SERVER", "parent": None},
    "edge-b": {"placement": "EDGES", "parent": "s"},
    "edge-a": {"placement": "EDGES", "parent": "s"},
    "köln-1": {"placement": "CLIENTS", "parent": "edge-b"},
    "köln-2": {"placement": "CLIENTS", "parent": "edge-a"},
    "köln-3": {"placement": "CLIENTS", "parent": "edge-b"},
}
LABELS = [
    "s (SERVER)",
    "· edge-b (EDGES)",
    "· · köln-1 (CLIENTS)",
    "· · köln-3 (CLIENTS)",
    "· edge-a (EDGES)",
    "· · köln-2 (CLIENTS)",
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run in which the server waited, and sent edge-b one message that came and one that did not."""
    rows = {name: Spans() for name in NODES}
    for name, spans in rows.items():
        spans.open(tmp_path / "trace", name)
    rows["s"].took("fold", "2.0", "9f-1", 100.0, 0.5)
    rows["s"].took("check", "edge-b at 2.0", "9f-1", 100.2, 0.1)
    rows["s"].took("fold", "2.0", "9f-2", 100.4, 0.5)  # another invocation: in none of these boxes
    for name, kind, what in (
        ("s", "sent", "9f-1/1/1.0/down/edge-b"),
        ("s", "sent", "9f-1/1/1.0/down/edge-a"),
        ("edge-b", "came", "9f-1/1/1.0/down/edge-b"),
        ("edge-b", "sent", "9f-1/1/2.0[3]/up/edge-b"),
        ("s", "came", "9f-1/1/2.0[3]/up/edge-b"),
    ):
        rows[name].message(kind, what)
    for spans in rows.values():
        spans.close()
    return tmp_path


def check_schema(events: list[dict[str, Any]]) -> None:
    """Check that every event has the fields of its phase, and that every arrow ends at a box."""
    begun, boxes = set(), set()
    for event in events:
        assert {"ph", "pid", "tid", "name"} <= event.keys() and event["ph"] in "MXsf"
        assert type(event["pid"]) is type(event["tid"]) is int
        if event["ph"] == "M":
            continue
        assert event["ts"] >= 0 and event["cat"]
        place = (event["pid"], event["tid"], event["ts"])
        if event["ph"] == "X":
            assert event["dur"] >= 0
            boxes.add(place)
        elif event["ph"] == "s":
            assert place in boxes and event["id"] not in begun
            begun.add(event["id"])
    ended = [event for event in events if event["ph"] == "f"]
    assert sorted(event["id"] for event in ended) == sorted(begun)
    assert all((e["pid"], e["tid"], e["ts"]) in boxes and e["bp"] == "e" for e in ended)


def test_events_have_what_viewers_need(run: Path) -> None:
    """Phases, times, rows and the boxes that arrows are fixed to."""
    check_schema(chrome_trace.events_of(run, NODES))


def test_rows_are_in_the_order_of_the_tree(run: Path) -> None:
    """A node stands before its children, with its tier; what overlaps has a second row below it."""
    events = chrome_trace.events_of(run, NODES)
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert [names[tid] for tid in sorted(names)] == [LABELS[0], f"{LABELS[0]}, also", *LABELS[1:]]
    order = {e["tid"]: e["args"]["sort_index"] for e in events if e["name"] == "thread_sort_index"}
    assert all(tid == index for tid, index in order.items()) and order.keys() == names.keys()
    assert {e["pid"] for e in events} == {1}
    assert [e["args"]["name"] for e in events if e["name"] == "process_name"] == [f"run {run.name}"]


def test_an_arrow_is_a_message_that_came(run: Path) -> None:
    """The marks at its ends say where it went or came from; what never came has none."""
    events = chrome_trace.events_of(run, NODES)
    marks = [(e["tid"], e["name"]) for e in events if e["ph"] == "X" and e["dur"] == 0]
    assert marks == [(1, "sent 1.0 to edge-b"), (1, "came 2.0[3] from edge-b"), (3, "came 1.0"), (3, "sent 2.0[3]")]
    ends = {(e["ph"], e["id"]): (e["tid"], e["ts"]) for e in events if e["ph"] in "sf"}
    (down_from, down), (up_from, up) = ((ends["s", n], ends["f", n]) for n in (1, 2))
    assert (down_from[0], down[0], up_from[0], up[0]) == (1, 3, 3, 1)
    assert down_from[1] <= down[1] <= up_from[1] <= up[1]


def test_names_are_written_as_they_are(run: Path, tmp_path: Path) -> None:
    """Perfetto shows an escape of JSON in a name as it stands, so there is none."""
    chrome_trace.write(chrome_trace.events_of(run, NODES), tmp_path / "t.json")
    text = (tmp_path / "t.json").read_text(encoding="utf-8")
    assert "· · köln-1 (CLIENTS)" in text and "\\u" not in text
    assert json.loads(text)["displayTimeUnit"] == "ms"


def test_no_trace_and_no_place_for_one_are_told(run: Path, tmp_path: Path) -> None:
    """Both with what to do."""
    with pytest.raises(StorageError) as error:
        chrome_trace.events_of(tmp_path / "elsewhere", NODES)
    assert "the run wrote no trace" in str(error.value) and "tierfed up --trace" in str(error.value)
    with pytest.raises(StorageError, match="cannot be written: Is a directory"):
        chrome_trace.write([], tmp_path)
