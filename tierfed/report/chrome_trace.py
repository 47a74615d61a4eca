"""The trace of a run, in the form that Perfetto and chrome://tracing open.

    {"ph": "X", "pid": 1, "tid": 5, "name": "fold 2.0", "ts": 1520.3, "dur": 310.0, "cat": "fold", …}
    {"ph": "s", "pid": 1, "tid": 9, "id": 17, …}   {"ph": "f", "pid": 1, "tid": 5, "id": 17, "bp": "e", …}

The run is a process of the trace, and a node a row of it.  Rows are in the order of the tree, each
node before its children, with its tier:

    server (SERVER)
    · edge-eu (EDGES)
    · · c-0 (CLIENTS)

Each span that the node wrote (tierfed/node/spans.py) is a box, and each message an arrow from the
mark where it left to the mark where it was whole at the other end.  Times are in microseconds from
the first one.

There is one process because Perfetto puts processes in the order of their numbers of boxes, whatever
`process_sort_index` says, but the rows of one in the order of `tid`; `thread_sort_index` says the same
to chrome://tracing.

Boxes of one row must lie within each other.  What overlaps otherwise (two invocations at once, a message
that is coded while another is waited for) goes to a second row of that node.

Source: Trace Event Format (Duflot et al.), the JSON array form with metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tierfed.errors import StorageError
from tierfed.node.spans import TRACES

Row = dict[str, Any]
_MICRO = 1e6
_PID = 1


def events_of(run_dir: Path, nodes: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Return the events of the trace of a run, of whose nodes `placement` and `parent` are given.

    Raises StorageError if the run wrote none.
    """
    folder = run_dir / TRACES
    rows = {node: _read(folder / f"{node}.jsonl") for node in nodes}
    begun = min((row["at"] for each in rows.values() for row in each), default=None)
    if begun is None:
        raise StorageError(
            "the run wrote no trace", where=str(run_dir), mend="bring the tree up with `tierfed up --trace`"
        )
    arrows = _arrows(rows)
    events: list[Row] = [
        {"ph": "M", "pid": _PID, "tid": 1, "name": "process_name", "args": {"name": f"run {run_dir.name}"}}
    ]
    thread = 0
    for node, depth in _in_order(nodes):
        label = f"{'· ' * depth}{node} ({nodes[node]['placement']})"
        lanes = _lanes([row for row in rows[node] if "for" in row])
        for number, lane in enumerate(lanes or [[]]):
            thread += 1
            of = {"pid": _PID, "tid": thread}
            name = label if not number else f"{label}, also"
            events.append({"ph": "M", **of, "name": "thread_name", "args": {"name": name}})
            events.append({"ph": "M", **of, "name": "thread_sort_index", "args": {"sort_index": thread}})
            events += (_box(row, begun, of) for row in lane)
            if not number:
                marks = [row for row in rows[node] if "for" not in row and row["what"] in arrows]
                events += (e for row in marks for e in _end(row, node, begun, of, arrows[row["what"]]))
    return events


def text(events: Iterable[Row]) -> str:
    """Return the text of a trace, without escapes: Perfetto shows them as they stand."""
    trace = {"traceEvents": list(events), "displayTimeUnit": "ms"}
    return json.dumps(trace, separators=(",", ":"), ensure_ascii=False)


def write(events: Iterable[Row], to: Path) -> None:
    """Write a trace; raises StorageError if it cannot be written."""
    try:
        to.write_text(text(events) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot be written: {error.strerror}", where=str(to), mend="give another --out") from error


def _in_order(nodes: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    """Yield each node and its depth, a node before its children, children in member order."""
    children: dict[str | None, list[str]] = {}
    for name, node in nodes.items():
        children.setdefault(node["parent"], []).append(name)
    waiting = [(name, 0) for name in reversed(children.get(None, []))]
    while waiting:
        name, depth = waiting.pop()
        yield name, depth
        waiting += ((child, depth + 1) for child in reversed(children.get(name, [])))


def _read(file: Path) -> list[Row]:
    """Return the rows of a node's file in the order of time; its last line may be torn."""
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except OSError:
        return []
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("at"), float) and {"kind", "what"} <= set(row):
            rows.append(row)
    return sorted(rows, key=lambda row: (row["at"], -row.get("for", 0.0)))


def _arrows(rows: Mapping[str, Sequence[Row]]) -> dict[str, int]:
    """Return a number for each message of which both ends are there."""
    ends: dict[str, set[str]] = {}
    for each in rows.values():
        for row in each:
            if "for" not in row:
                ends.setdefault(row["what"], set()).add(row["kind"])
    whole = [name for name, kinds in ends.items() if {"sent", "came"} <= kinds]
    return {name: number for number, name in enumerate(whole, 1)}


def _lanes(spans: Sequence[Row]) -> list[list[Row]]:
    """Return `spans`, which are sorted, in as few rows as it takes for each row to be nested."""
    lanes: list[tuple[list[Row], list[float]]] = []  # its spans, and the ends of those that are open
    for span in spans:
        start, end = span["at"], span["at"] + span["for"]
        for _, open_ in lanes:
            while open_ and open_[-1] <= start:
                open_.pop()
        fits = (lane for lane in lanes if not lane[1] or end <= lane[1][-1])
        lane = next(fits, None)
        if lane is None:
            lane = ([], [])
            lanes.append(lane)
        lane[0].append(span)
        lane[1].append(end)
    return [row for row, _ in lanes]


def _box(row: Row, begun: float, of: Row) -> Row:
    return {
        "ph": "X",
        **of,
        "cat": row["kind"],
        "name": f"{row['kind']} {row['what']}".strip(),
        "ts": round((row["at"] - begun) * _MICRO, 3),
        "dur": round(row["for"] * _MICRO, 3),
        "args": {"invocation": row.get("inv", "")},
    }


def _end(row: Row, node: str, begun: float, of: Row, number: int) -> Iterator[Row]:
    """Yield one end of an arrow, and the mark at `node` that it is fixed to."""
    _, _, site, _, child = row["what"].split("/", 4)
    other = "" if child == node else f" to {child}" if row["kind"] == "sent" else f" from {child}"
    at = round((row["at"] - begun) * _MICRO, 3)
    yield {
        "ph": "X",
        **of,
        "cat": row["kind"],
        "name": f"{row['kind']} {site}{other}",
        "ts": at,
        "dur": 0,
        "args": {"message": row["what"]},
    }
    arrow = {**of, "cat": "message", "name": "message", "id": number, "ts": at}
    yield {"ph": "s", **arrow} if row["kind"] == "sent" else {"ph": "f", "bp": "e", **arrow}
