"""How far a fleet's round is, told while it is under way; and whether there is room for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tierfed
from tierfed.backends.simulated import Fleet, fleet, room
from tierfed.errors import TopologyError
from tierfed.topology import Topology, parse_topology

TREE = """\
apiVersion: tierfed/v1
kind: Topology
name: heard
placements:
  SERVER: {}
  EDGES: {parent: SERVER, per_parent: 2}
  CLIENTS: {parent: EDGES, per_parent: 40%s}
"""


@tierfed.federated_computation
def count() -> Any:
    """Return how many clients there are."""
    return tierfed.federated_sum(tierfed.federated_value(np.int32(1), tierfed.CLIENTS))


def reports(topology: Topology, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return what a fleet tells of how many it has heard of, looked at with each frame."""
    monkeypatch.setattr(fleet, "_EVERY", 1)
    monkeypatch.setattr(fleet, "_WATCHED", 0.0)
    told: list[dict[str, Any]] = []
    context = Fleet(topology).context(on_progress=told.append)
    try:
        context.invoke(count)
        told.clear()
        context.invoke(count)
    finally:
        context.close()
    return [dict(one) for one in told if one["kind"] == "heard"]


def test_it_tells_of_how_many_clients_it_has_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """From none of those who have begun to all of them, never backwards, and of clients alone."""
    found = reports(parse_topology(TREE % ""), monkeypatch)
    heard = [one["heard"] for one in found]
    assert heard[0] == 0 and 70 < heard[-1] < 80 and heard == sorted(heard)
    assert {one["placement"] for one in found} == {"CLIENTS"}
    assert found[-1]["of"] == 80 and len({one["inv"] for one in found}) == 1 and found[-1]["lost"] == 0


def test_of_a_cohort_those_count_who_were_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not asked is not waited for."""
    found = reports(parse_topology(TREE % ", cohort: {select: 25%}"), monkeypatch)
    assert found[-1]["of"] == 20 and found[-1]["heard"] >= 10


def test_a_fleet_that_no_machine_has_room_for_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before a node is made, with what it wants and what there is; one that fits when others are gone is warned of."""
    topology = parse_topology(TREE % "")
    monkeypatch.setattr(room, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(room, "_CGROUP", tmp_path / "max")
    assert room.memory() is None and room.scarce(topology) is None
    room.check(topology)  # a machine that does not say
    (tmp_path / "meminfo").write_text("MemTotal: 200000 kB\nMemFree: 1 kB\nMemAvailable: 50000 kB\n")
    room.check(topology)
    assert room.scarce(topology) == "83 members want about 0.1 GB of memory, 0.1 GB of it are free"
    (tmp_path / "max").write_text("90000000\n")
    with pytest.raises(TopologyError) as raised:
        tierfed.simulate(topology)
    assert str(raised.value) == (
        "heard: 83 members want about 0.1 GB of memory, this machine has 0.1 GB\n"
        "  to mend: simulate fewer (--clients N), or on a larger machine"
    )


def test_a_million_want_less_than_eight_gigabytes() -> None:
    """What is reckoned of a member, times a million, and what the process has anyway."""
    assert room._BASE + 1_001_011 * room._MEMBER < 8e9
