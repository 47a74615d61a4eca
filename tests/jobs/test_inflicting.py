"""Faults of a file on a tree of processes: done by signals, and refused where signals cannot do them."""

import json
import time

import numpy as np
import pytest

import tierfed
from tierfed.topology import parse_topology

TREE = """
apiVersion: tierfed/v1
kind: Topology
name: faulty
placements: {SERVER: {collect: {quorum: 50%}}, CLIENTS: {parent: SERVER, per_parent: 3}}
faults:
"""


@tierfed.federated_computation(tierfed.FederatedType(np.float32, tierfed.CLIENTS))
def mean(readings):
    return tierfed.federated_mean(readings)


def test_processes_are_killed_and_stopped():
    """One is killed when a round begins; another is stopped for a while, which the round after waits for."""
    kill, stop = (
        "{at: {round: 2}, node: clients-0, do: kill}",
        "{at: {round: 3}, node: clients-1, do: stop, for: 300ms}",
    )
    with tierfed.up(parse_topology(f"{TREE}  - {kill}\n  - {stop}\n")) as tree:
        means, began = [], 0.0
        for _ in tree.rounds(3):
            began = time.monotonic()
            means.append(float(tree.invoke(mean, [1, 2, 3])))
        assert means == [2.0, 2.5, 2.5]
        assert time.monotonic() - began > 0.25
        assert [loss["node"] for loss in tree.recorder.lost] == ["clients-0"] * 2
        events = [json.loads(line) for line in (tree.run_dir / "events.jsonl").read_text().splitlines()]
    told = [(e["node"], e["do"], e["over"]) for e in events if e["event"] == "fault"]
    assert told[:2] == [("clients-0", "kill", False), ("clients-1", "stop", False)]


@pytest.mark.slow
def test_links_are_cut_and_changed():
    """One is cut for a while, another takes 300 ms each way until the tree is done with; both are told."""
    cut = "{at: {round: 2}, node: clients-0, do: partition, for: 400ms}"
    late = "{at: {round: 3}, node: clients-1, do: link, link: {delay: 300ms}}"
    with tierfed.up(parse_topology(f"{TREE}  - {cut}\n  - {late}\n")) as tree:
        took = []
        for _ in tree.rounds(3):
            began = time.monotonic()
            assert float(tree.invoke(mean, [1, 2, 3])) == 2.0
            took.append(time.monotonic() - began)
        assert took[1] >= 0.35 and took[2] >= 0.6
        assert tree.recorder.lost == []
        events = [json.loads(line) for line in (tree.run_dir / "events.jsonl").read_text().splitlines()]
    told = [(e["node"], e["do"], e["over"], e.get("set")) for e in events if e["event"] == "fault"]
    assert told == [
        ("clients-0", "partition", False, None),
        ("clients-0", "partition", True, None),
        ("clients-1", "link", False, {"delay": "300ms"}),
    ]


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (
            "{at: {time: 1s}, node: clients-0, do: kill, for: 1s}",
            r"faulty: faults\[0\].for: a process that is killed does not begin anew\n"
            "  to mend: run it with tierfed simulate FILE, or write stop, or no for",
        ),
    ],
)
def test_what_signals_cannot_do_is_refused(fault, what):
    """Before there is a folder or a process."""
    with pytest.raises(tierfed.TopologyError, match=what):
        tierfed.up(parse_topology(f"{TREE}  - {fault}\n"))
