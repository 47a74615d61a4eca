"""Which links a word is for, and how changes of them are kept on record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tierfed.errors import NoSuchRun, TopologyError
from tierfed.launch import changes
from tierfed.launch.chosen import chosen, fits
from tierfed.launch.runs import Run

NODES = {
    "server": {"placement": "SERVER", "parent": None},
    "e-0": {"placement": "EDGES", "parent": "server"},
    "e-1": {"placement": "EDGES", "parent": "server"},
    **{f"c-{n:02}": {"placement": "CLIENTS", "parent": f"e-{n // 8}"} for n in range(16)},
}
RUN = Run("7f3a90c2", Path("/nowhere"), {"nodes": NODES})


@pytest.mark.parametrize(
    ("pattern", "name", "is_one"),
    [
        ("c-*", "c-us-05", True),
        ("c-*-05", "c-us-05", True),
        ("*5*", "c-us-05", True),
        ("c-??-05", "c-us-05", True),
        ("c-?-05", "c-us-05", False),
        ("c-[00-04,06]", "c-04", True),
        ("c-[00-04,06]", "c-05", False),
        ("c-[00-04,06]", "c-06", True),
        ("c-[00-12]", "c-4", False),
        ("c-[0-12]", "c-4", True),
        ("c-[0-12]", "c-04", False),
        ("c-[8-12]", "c-10", True),
        ("c-[ab]", "c-b", True),
        ("c-[a-c]", "c-d", False),
        ("c-[", "c-[", True),
        ("*" * 200, "c" * 60, True),
        ("*a" * 60, "b" * 200, False),
    ],
)
def test_patterns(pattern: str, name: str, is_one: bool) -> None:
    """Those of a shell, and ranges of numbers as tables write them; no pattern takes long."""
    assert fits(pattern, name) is is_one


def test_links_are_chosen_by_their_parents() -> None:
    """A node, a placement, a pattern, or all; the root has none."""
    assert chosen(RUN, "c-03") == {"e-0": ["c-03"]}
    assert chosen(RUN, "EDGES") == {"server": ["e-0", "e-1"]}
    assert chosen(RUN, "c-[07-08]") == {"e-0": ["c-07"], "e-1": ["c-08"]}
    assert sum(map(len, chosen(RUN, None).values())) == len(chosen(RUN, "*")["server"]) + 16 == 18


@pytest.mark.parametrize(
    ("who", "kind", "told"),
    [
        ("server", TopologyError, "run 7f3a90c2: server is the root: it has no link"),
        ("SERVER", TopologyError, "run 7f3a90c2: server is the root: it has no link"),
        ("c-33", NoSuchRun, "run 7f3a90c2: no node and no placement 'c-33'\n  to mend: did you mean 'c-"),
        ("CLIENT", NoSuchRun, "run 7f3a90c2: no node and no placement 'CLIENT'\n  to mend: did you mean 'CLIENTS'?"),
        ("zz", NoSuchRun, "run 7f3a90c2: no node and no placement 'zz'\n  to mend: its placements are SERVER, EDGES"),
        ("d-*", NoSuchRun, "run 7f3a90c2: no node fits 'd-*'\n  to mend: `tierfed ps 7f3a90c2` lists the nodes"),
    ],
)
def test_nobody_is_chosen(who: str, kind: type[Exception], told: str) -> None:
    """Each with the nearest name there is, and its exit code."""
    with pytest.raises(kind) as error:
        chosen(RUN, who)
    assert str(error.value).startswith(told)
    assert error.value.exit_code == (2 if kind is TopologyError else 5)  # type: ignore[attr-defined]


def test_changes_are_told_once(tmp_path: Path) -> None:
    """Also those before a job began, unless its events have them; what is no change, or half a line, is passed over."""
    events = tmp_path / "events.jsonl"
    events.write_text("")
    assert changes.Changes(tmp_path, events).new() == []
    changes.note(tmp_path, "link", nodes=["c-0"], set={"delay": "1s"})
    watching = changes.Changes(tmp_path, events)
    (first,) = watching.new()
    assert (first["event"], first["nodes"], first["set"]) == ("link", ["c-0"], {"delay": "1s"})
    with open(tmp_path / changes.NAME, "a") as file:
        file.write('{"event": "link", "at": "x", "nodes": [3], "set": "none"}\n[]\nnonsense\n{"event": "fa')
    assert watching.new() == []
    with open(tmp_path / changes.NAME, "a") as file:
        file.write('ult", "at": "y", "node": "c-0", "do": "kill", "over": false}\n')
    assert [one["event"] for one in watching.new()] == ["fault"]
    assert watching.new() == []
    events.write_text(json.dumps({"time": 1.0, **first}) + "\n")
    assert [one["event"] for one in changes.Changes(tmp_path, events).new()] == ["fault"]
