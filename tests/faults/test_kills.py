"""SIGKILL: of clients before and in the middle of their uploads, of edges, of the root.

The survivors are those that the test chose, and the mean over them is computed here in numpy;
that the record says the same is checked beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from fault_gate import PATIENCE, Gate
from fault_programs import CLIENTS, EDGES, MANY, mean_model, mean_of, mean_reading
from fault_trees import Brought, orders, same
from launch_trees import marked, wait_gone

from tierfed.topology import tree as fan_out

Bring = Callable[..., Brought]


def test_a_client_killed_before_its_upload_takes_its_siblings_along(brought: Bring, gate: Gate) -> None:
    """The mean is over the others while half is enough; then the error names who died, how, and with whom."""
    tree = brought(
        fan_out({"CLIENTS": 6}, colocate={"CLIENTS": 2}, collect={"SERVER": {"quorum": "50%", "deadline": "40s"}})
    )
    names = [m.name for m in tree.tree.topology.members(CLIENTS)]
    assert tree.pid(names[2]) == tree.pid(names[3]) != tree.pid(names[4])
    asked = tree.ask(mean_reading, range(6), orders(6, c_2=gate.order("third")))
    gate.say("third", "kill")
    assert same(asked.result(PATIENCE), mean_of([0, 1, 4, 5]))
    record = tree.recorded()
    assert record["counts"]["CLIENTS"] == 4 and set(record["lost"]) == {names[2], names[3]}
    assert all(why.startswith("its connection was lost: ") for why in record["lost"].values())

    assert same(tree.result(mean_reading, range(6), orders(6)), mean_of([0, 1, 4, 5]))
    assert tree.recorded()["lost"][names[2]].startswith("it is not connected: ")

    asked = tree.ask(mean_reading, range(6), orders(6, c_4=gate.order("either"), c_5=gate.order("either")))
    gate.arrived("either")  # they share a thread, and one of them is first
    tree.kill(names[5])
    error = tree.failure(asked)
    assert error.what.startswith(
        f"2 of 6 CLIENTS left, quorum is 3; the first lost is {names[2]}: it is not connected: the connection "
    )
    assert error.what.endswith(
        f"; {names[2]} was killed by SIGKILL, and with it {names[3]}"
        f"; {names[4]} was killed by SIGKILL, and with it {names[5]}"
    )
    notes = [json.loads(line)["message"] for line in (tree.run_dir / "supervisor.jsonl").read_text().splitlines()]
    assert f"{names[4]} was killed by SIGKILL and takes along {names[5]}" in notes


def test_a_client_killed_in_the_middle_of_its_upload_is_not_counted(brought: Bring) -> None:
    """After the first of its chunks has left, a client is killed: nothing of it is in the sum, and the tree goes on."""
    topology = fan_out(
        {"EDGE_AGGREGATORS": 2, "CLIENTS": 3}, collect={"EDGE_AGGREGATORS": {"quorum": "60%", "deadline": "40s"}}
    )
    tree = brought(topology, entry="fault_entry:mid_upload")
    names = [m.name for m in topology.members(CLIENTS)]
    edge = topology.node(names[1]).parent
    assert same(tree.result(mean_model, range(6), orders(6)), mean_of([0, 1, 2], [3, 4, 5], size=MANY))

    (tree.run_dir / "dies-mid-upload").write_text(names[1])
    got = tree.result(mean_model, range(6), orders(6))
    assert wait_gone(tree.pid(names[1]))
    assert same(got, mean_of([0, 2], [3, 4, 5], size=MANY))
    record = tree.recorded()
    assert record["counts"] == {"SERVER": 1, "EDGE_AGGREGATORS": 2, "CLIENTS": 5} and set(record["lost"]) == {names[1]}
    said = [e for e in tree.history(edge) if e["invocation"] == record["invocation"] and e.get("member") == names[1]]
    assert [e["event"] for e in said] == ["gone", "discarded"]
    assert same(tree.result(mean_model, range(6), orders(6)), mean_of([0, 2], [3, 4, 5], size=MANY))

    (tree.run_dir / "dies-mid-upload").write_text(names[2])
    error = tree.failure(tree.ask(mean_model, range(6), orders(6)))
    assert f"{edge}: 1 of 3 CLIENTS left, quorum is 2; the first lost is {names[1]}: it is not connected" in error.what
    assert error.what.endswith(f"{names[1]} was killed by SIGKILL; {names[2]} was killed by SIGKILL")


def test_an_edge_killed_while_it_collects_is_one_missing_child(brought: Bring, gate: Gate) -> None:
    """Two of three edges are enough, one is not; the clients of a dead edge end with the tree, and hang nobody."""
    topology = fan_out({"EDGE_AGGREGATORS": 3, "CLIENTS": 2}, collect={"SERVER": {"quorum": "60%", "deadline": "40s"}})
    tree = brought(topology)
    tree.killed = True
    edges, clients = ([m.name for m in topology.members(p)] for p in (EDGES, CLIENTS))
    asked = tree.ask(mean_reading, range(6), orders(6, c_1=gate.order("second")))
    gate.arrived("second")
    tree.until(edges[0], "accepted", member=clients[0])
    tree.kill(edges[0])  # it holds one update, and waits for the other
    assert same(asked.result(PATIENCE), mean_of([2, 3], [4, 5]))
    record = tree.recorded()
    assert record["counts"] == {"SERVER": 1, "EDGE_AGGREGATORS": 2, "CLIENTS": 4} and set(record["lost"]) == {edges[0]}
    gate.say("second")
    assert same(tree.result(mean_reading, range(6), orders(6)), mean_of([2, 3], [4, 5]))

    tree.kill(edges[1])  # before a round
    error = tree.failure(tree.ask(mean_reading, range(6), orders(6)))
    assert error.what.startswith("1 of 3 EDGE_AGGREGATORS left, quorum is 2; the first lost is " + edges[0])
    assert error.what.endswith(
        f"; after it {edges[1]}; {edges[0]} was killed by SIGKILL; {edges[1]} was killed by SIGKILL"
    )
    assert {tree.pid(name) for name in clients} <= set(marked(tree.tree.run_id))  # alive, and dialling


def test_an_edge_killed_under_a_full_quorum_fails_the_round(brought: Bring, gate: Gate) -> None:
    """With every edge needed the round ends at once, with the edge's name and ending."""
    topology = fan_out({"EDGE_AGGREGATORS": 2, "CLIENTS": 1})
    tree = brought(topology)
    tree.killed = True
    edges = [m.name for m in topology.members(EDGES)]
    asked = tree.ask(mean_reading, range(2), orders(2, c_1=gate.order("second")))
    gate.arrived("second")
    tree.kill(edges[1])
    error = tree.failure(asked)
    assert error.node == edges[1]
    assert error.what.startswith(
        f"1 of 2 EDGE_AGGREGATORS left, quorum is 2; the first lost is {edges[1]}: its connection was lost: "
    )
    assert error.what.endswith(f"; {edges[1]} was killed by SIGKILL")


def test_the_driver_is_told_of_a_root_that_is_killed(brought: Bring, gate: Gate) -> None:
    """The round that is under way, and every later one, ends with one clear error; then all is taken down."""
    topology = fan_out({"EDGE_AGGREGATORS": 1, "CLIENTS": 2})
    tree = brought(topology)
    tree.killed = True
    root = topology.tree.root.name
    asked = tree.ask(mean_reading, range(2), orders(2, c_0=gate.order("first")))
    gate.arrived("first")
    tree.kill(root)
    error = tree.failure(asked)
    assert error.what.startswith(f"the root {root} is gone: ")
    assert error.what.endswith(f"; {root} was killed by SIGKILL")
    assert error.mend == f"see `tierfed logs {root}`, then bring the tree up again"
    later = tree.failure(tree.ask(mean_reading, range(2), orders(2)))
    assert later.what == error.what
