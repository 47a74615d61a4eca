"""Faults in a topology file: what they come to."""

from __future__ import annotations

from tierfed.topology import parse_topology

FILE = """
apiVersion: tierfed/v1
kind: Topology
placements: {SERVER: {}, CLIENTS: {parent: SERVER, per_parent: 2}}
faults:
  - {at: {round: 3}, node: clients-0, do: kill}
  - {at: {time: 1.5min}, node: clients-1, do: partition, for: 250ms}
"""


def test_faults_are_read_and_written() -> None:
    """Rounds as numbers and times with units; the resolved form has them, and loads as an equal topology."""
    topology = parse_topology(FILE)
    kill, partition = topology.faults
    assert (kill.node, kill.do, kill.round, kill.time, kill.lasts) == ("clients-0", "kill", 3, None, None)
    assert partition.time is not None and partition.lasts is not None
    assert (partition.node, partition.time.seconds, partition.lasts.seconds) == ("clients-1", 90.0, 0.25)
    assert parse_topology(topology.to_yaml()) == topology
    assert parse_topology(FILE.replace("round: 3", "round: 4")) != topology
