"""Traces of hours: from a file, each member has its own, the topology ships them; what is wrong has its line."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierfed.errors import ProtocolError, TopologyError
from tierfed.topology import NodeAssignment, Topology, assignments, load_topology, parse_topology, trace_file
from tierfed.topology.links.trace import Trace

TREE = """\
apiVersion: tierfed/v1
kind: Topology
placements:
  SERVER: {}
  CLIENTS: {parent: SERVER, per_parent: 4, name: "c-{n}", available: {trace: phones.csv}}
"""
ROWS = """\
member,from,until
c-0,0,3600
c-0,3600,2h
c-1,90.5,0.5h
c-[23],22h,30h
c-0,10h,11h
"""


def loaded(tmp_path: Path, rows: str | bytes | None, tree: str = TREE) -> Topology:
    """Return the tree with these rows beside it."""
    (tmp_path / "tree.yaml").write_text(tree)
    if rows is not None:
        (tmp_path / "phones.csv").write_bytes(rows if isinstance(rows, bytes) else rows.encode())
    return load_topology(tmp_path / "tree.yaml")


def test_each_member_has_its_own_spans(tmp_path: Path) -> None:
    """Seconds and units, in any order, by name and by pattern; what touches is one span."""
    topology = loaded(tmp_path, ROWS)
    assert [n.available for n in topology.members("CLIENTS")] == [
        Trace(((0.0, 7200.0), (36000.0, 39600.0))),
        Trace(((90.5, 1800.0),)),
        Trace(((79200.0, 108000.0),)),
        Trace(((79200.0, 108000.0),)),
    ]
    told = topology.node("c-1").settings.origins["available"]
    assert told == "placements.CLIENTS.available, line 5, and phones.csv"


def test_the_resolved_tree_needs_no_file(tmp_path: Path) -> None:
    """It loads as an equal topology, and nodes are told the same."""
    topology = loaded(tmp_path, ROWS, TREE.replace("phones.csv}", "phones.csv, every: 48h}"))
    again = parse_topology(topology.to_yaml())
    assert again == topology
    assert 'times: "0s-2h, 10h-11h"' in topology.to_yaml()
    for one in assignments(again):
        assert NodeAssignment.from_dict(one.to_dict()) == one
    assert assignments(again)[1].available == Trace(((0.0, 7200.0), (36000.0, 39600.0)), 48 * 3600.0)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (None, ["phones.csv: error: there is no such file; write its path from the topology's folder"]),
        ("", ["phones.csv:1:1: error: it is empty; begin with member,from,until"]),
        ("member,from,until\n", ["phones.csv:1:1: error: it has no row; write when its members are there"]),
        ("name,at\nc-0,1\n", ["phones.csv:1:1: error: the columns are 'name, at'; begin with member,from,until"]),
        (b"member,from,until\nc-0,\xff,3\n", ["phones.csv:2:1: error: it is not UTF-8: byte 0xff"]),
        ('member,from,until\n"c-0,1,2\n', ["error: it is no CSV: unexpected end of data"]),
        (
            ROWS + "c-9,1,2\nc-1,5h,4h\nc-1,x,-3\nc-0,6000,7000\n,1,2\nc-1,1\nd*,1,2\n",
            [
                "phones.csv:7:1: error: no member 'c-9'",
                "phones.csv:8:1: error: until 14400s is not after from 18000s",
                "phones.csv:9:1: error: from: ",
                "phones.csv:9:1: error: until: ",
                "phones.csv:10:1: error: c-0: 6000s to 7000s overlaps 3600s to 7200s, line 3",
                "phones.csv:11:1: error: it names no member",
                "phones.csv:12:1: error: 2 columns, and member, from, until are 3",
                "phones.csv:13:1: error: no member 'd*'",
            ],
        ),
        ("member,from,until\nc-0,0,1\n", ["error: c-1 and 2 more have no row; say when it is there"]),
    ],
    ids=["missing", "empty", "no row", "columns", "not UTF-8", "no CSV", "rows", "members"],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, rows: str | bytes | None, told: list[str]) -> None:
    """All of it at once, in order, each with its line."""
    with pytest.raises(TopologyError) as raised:
        loaded(tmp_path, rows)
    lines = raised.value.what.splitlines()
    assert len(lines) == len(told), lines
    for line, part in zip(lines, told, strict=True):
        assert part in line


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read; and of a thousand wrong rows twenty are told."""
    with pytest.raises(TopologyError, match="and 980 more of its rows are wrong"):
        loaded(tmp_path, "member,from,until\n" + "c-0,2,1\n" * 1000)
    monkeypatch.setattr(trace_file, "MAX_BYTES", 20)
    with pytest.raises(TopologyError, match="it has .* bytes, and 20 are the most"):
        loaded(tmp_path, ROWS)


@pytest.mark.parametrize(
    ("hours", "told"),
    [
        ("{trace: phones.csv, from: 1h, to: 2h}", "trace and from and to: write from and to, or times, or trace"),
        ("{times: 1h-2h, spread: 1h}", "times and spread: write from and to, or times, or trace"),
        ("{times: 2h-1h}", "available.times: 2h-1h ends before it begins"),
        ('{times: "1h-2h, 2h-3h"}', "2h-3h begins before the one before it is over, or then"),
        ("{times: noon}", "'noon' is no span; write two times, such as 0s-1h"),
        ("{times: 1h-30h, every: 24h}", "times end at 30h, and a period lasts 24h; write times within it"),
        ("{trace: phones.csv, every: 24h}", "phones.csv:5:1: error: until 108000s is after the period of 86400s ends"),
        ("{every: 24h}", "available: needs 'from'"),
    ],
)
def test_what_is_wrong_with_a_setting(tmp_path: Path, hours: str, told: str) -> None:
    """One way of saying hours, each checked."""
    with pytest.raises(TopologyError) as raised:
        loaded(tmp_path, ROWS, TREE.replace("{trace: phones.csv}", hours))
    assert told in raised.value.what


@settings(max_examples=40)
@given(st.lists(st.integers(0, 50), unique=True, min_size=2, max_size=8), st.booleans())
def test_changes_are_where_it_changes(edges: list[int], again: bool) -> None:
    """Between two changes nothing changes, and at each it does."""
    edges = sorted(edges)[: len(edges) // 2 * 2]
    spans = tuple((float(a), float(b)) for a, b in zip(edges[::2], edges[1::2], strict=True))
    trace = Trace(spans, 51.0 if again else math.inf)
    there, before = trace.there(0.0), 0.0
    for at in itertools.islice(trace.changes(), 12):
        assert before < at
        assert trace.there(before) is trace.there((before + at) / 2) is there
        assert (trace.next_gone(before) if there else trace.next_there(before)) == at
        there, before = not there, at
    assert trace.there(before) is there


def test_who_is_never_there_again() -> None:
    """After its last span a member does not come; one that is always there does not go."""
    assert Trace(((1.0, 2.0),)).next_there(2.0) == math.inf
    assert list(Trace(((0.0, 5.0),), 5.0).changes()) == []


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"spans": [[3, 2]], "every": None}, "[3, 2] is no span after -1"),
        ({"spans": [[0, 2], [1, 3]], "every": None}, "[1, 3] is no span after 2"),
        ({"spans": [[0, 9]], "every": 5}, "[0, 9] is no span"),
        ({"spans": "x", "every": None}, "'x' are no spans"),
        ({"spans": [], "every": 0}, "0 is no every"),
    ],
)
def test_what_a_node_does_not_take(tmp_path: Path, data: object, told: str) -> None:
    """What comes over a link is checked span by span."""
    [_, one, *_] = assignments(loaded(tmp_path, ROWS))
    with pytest.raises(ProtocolError) as raised:
        NodeAssignment.from_dict(one.to_dict() | {"available": data})
    assert told in str(raised.value)


@pytest.mark.parametrize("hours", ["{times: 2h-1h}", "{trace: [1]}"])
def test_what_is_wrong_is_told_once(tmp_path: Path, hours: str) -> None:
    """Spans or a file that are wrong ask for no hours as well."""
    with pytest.raises(TopologyError) as raised:
        loaded(tmp_path, ROWS, TREE.replace("{trace: phones.csv}", hours))
    assert "needs" not in raised.value.what and raised.value.what.count("error: ") == 1
