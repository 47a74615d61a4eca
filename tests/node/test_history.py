"""A history keeps what a node did, line by line, whatever ends the process."""

import json
import stat

from tierfed.errors import LeafError
from tierfed.node import round_events as ev
from tierfed.node.history import History
from tierfed.node.round import Round
from tierfed.node.summary import Summary

UP = ev.Site(2, 0)


def play(book, *events, names="ab", quorum=1):
    """Let a round live through `events`, a second apart, and write it to `book`."""
    r = Round("edge-1", "i-1", 1, [ev.Collect(UP, "CLIENTS")], {"CLIENTS": list(names)}, {"CLIENTS": quorum}, {"a": 1})
    for now, event in enumerate(events):
        book.record(r, event, r.step(event, float(now)), float(now))


def test_lines():
    """The life of two contributions, as it is written."""
    writes = []
    book = History("edge-1", writes.append)
    one = Summary({"CLIENTS": 1})
    events = [ev.Begun(9.0), ev.Reached(UP), ev.Arrived("a", UP, 1, 1, "5e", one), ev.Arrived("b", UP, 1, 0, "6f", one)]
    play(book, *events, ev.Arrived("a", UP, 1, 1, "77", one), ev.Folded("a", UP), ev.Folded("b", UP), ev.Committed())
    book.sent("i-1", 1, ev.Site(3, 0), "8a", Summary({"CLIENTS": 2, "EDGES": 1}), 8.0)
    same = {"node": "edge-1", "invocation": "i-1", "attempt": 1}
    lines = [json.loads(x) for x in b"".join(writes).splitlines()]
    assert all(e.items() >= same.items() for e in lines)
    assert [(e["at"], {k: v for k, v in e.items() if k not in same and k != "at"}) for e in lines] == [
        (
            0.0,
            {
                "event": "begun",
                "deadline": 9.0,
                "dead": {},
                "sites": {"2.0": {"placement": "CLIENTS", "children": ["a", "b"], "quorum": 1}},
                "epochs": {"a": 1, "b": -1},
            },
        ),
        (1.0, {"event": "reached", "site": "2.0", "deadline": None}),
        (
            2.0,
            {"event": "accepted", "member": "a", "site": "2.0", "digest": "5e", "epoch": 1, "counts": {"CLIENTS": 1}},
        ),
        (2.0, {"event": "fold", "member": "a", "site": "2.0"}),
        (
            3.0,
            {"event": "accepted", "member": "b", "site": "2.0", "digest": "6f", "epoch": 0, "counts": {"CLIENTS": 1}},
        ),
        (
            4.0,
            {
                "event": "rejected",
                "member": "a",
                "site": "2.0",
                "why": "CONFLICT",
                "detail": "edge-1 holds 5e of a at 2.0, and was sent 77",
            },
        ),
        (5.0, {"event": "fold", "member": "b", "site": "2.0"}),
        (6.0, {"event": "closed", "site": "2.0", "contributors": ["a", "b"], "lost": {}, "counts": {"CLIENTS": 2}}),
        (7.0, {"event": "committed"}),
        (8.0, {"event": "sent", "site": "3.0", "digest": "8a", "counts": {"CLIENTS": 2, "EDGES": 1}}),
    ]


def test_a_failure_keeps_its_error():
    """A site that fails is written with the error as documents carry it, the traceback included."""
    writes = []
    error = LeafError("ValueError: bad", node="b", remote_traceback="Traceback …").to_dict()
    play(History("edge-1", writes.append), ev.Begun(9.0), ev.Failed("b", None, "leaf raised", error), quorum=2)
    failed = json.loads(writes[-1].splitlines()[-1])
    assert (failed["event"], failed["site"], failed["error"]["node"]) == ("failed", "2.0", "b")
    assert failed["error"]["traceback"] == "Traceback …"


def test_no_deadline_is_null():
    """An infinite deadline is written as null: the lines are JSON as others read it."""
    writes = []
    play(History("edge-1", writes.append), ev.Begun(float("inf")), ev.Reached(UP, float("inf")))
    assert [json.loads(w)["deadline"] for w in writes] == [None, None]


def test_one_step_is_one_write():
    """The lines of one step reach the file together, and a step without any writes nothing."""
    writes = []
    play(History("edge-1", writes.append), ev.Begun(9.0), ev.Reached(UP), ev.Arrived("a", UP, 1, 1, "5e"), ev.Tick())
    kinds = [[json.loads(x)["event"] for x in w.splitlines()] for w in writes]
    assert kinds == [["begun"], ["reached"], ["accepted", "fold"]]


def test_a_file_torn_by_a_kill(tmp_path):
    """A restarted node writes on behind a torn last line, on a line of its own."""
    folder = tmp_path / "run" / "history"
    book = History.open(folder, "edge-1")
    play(book, ev.Cancelled("one"))
    book.close()
    file = folder / "edge-1.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with file.open("ab") as torn:
        torn.write(b'{"at": 2.0, "ev')
    book = History.open(folder, "edge-1")
    play(book, ev.Cancelled("two"))
    book.close()
    lines = file.read_text().splitlines()
    lines.remove('{"at": 2.0, "ev')
    assert [e["reason"] for e in map(json.loads, lines) if e["event"] == "cancelled"] == ["one", "two"]
