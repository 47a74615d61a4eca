"""Faults in a topology file: what they come to."""

from __future__ import annotations

import pytest

from tierfed.errors import TopologyError
from tierfed.topology import parse_topology

FILE = """
apiVersion: tierfed/v1
kind: Topology
placements: {SERVER: {}, CLIENTS: {parent: SERVER, per_parent: 2}}
faults:
  - {at: {round: 3}, node: clients-0, do: kill}
  - {at: {time: 1.5min}, node: clients-1, do: partition, for: 250ms}
  - {at: {round: 5}, node: clients-1, do: link, link: {rate: {up: 512kbit}, delay: 2s}, for: 1min}
"""


def test_faults_are_read_and_written() -> None:
    """Rounds as numbers and times with units; the resolved form has them, and loads as an equal topology."""
    topology = parse_topology(FILE)
    kill, partition, link = topology.faults
    assert link.link is not None and link.link.figures == {"rate_up": 64_000.0, "delay": 2.0}
    assert (kill.node, kill.do, kill.round, kill.time, kill.lasts) == ("clients-0", "kill", 3, None, None)
    assert partition.time is not None and partition.lasts is not None
    assert (partition.node, partition.time.seconds, partition.lasts.seconds) == ("clients-1", 90.0, 0.25)
    assert parse_topology(topology.to_yaml()) == topology
    assert parse_topology(FILE.replace("round: 3", "round: 4")) != topology


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("do: link", "faults[0]: do: link needs its figures, such as link: {delay: 200ms}, and nothing else has any"),
        ("do: kill, link: {delay: 1s}", "faults[0]: do: link needs its figures"),
        ("do: link, link: {}", "faults[0]: link sets nothing; write figures, such as link: {delay: 200ms}"),
        ("do: link, link: {rate: {}}", "faults[0]: link sets nothing"),
        ("do: link, link: {delay: 20}", "faults[0].link.delay: 20 has no unit; write 20ms"),
        ("do: link, link: {rate: 0kbit}", "faults[0].link.rate: a rate of 0 carries nothing"),
        ("do: link, link: {dely: 1s}", "faults[0].link.dely: unknown field; did you mean 'delay'?"),
    ],
)
def test_a_link_needs_figures(fault: str, told: str) -> None:
    """As those of a link of the file, and nothing but `do: link` has any."""
    text = FILE[: FILE.index("faults:")] + f"faults:\n  - {{at: {{round: 1}}, node: clients-0, {fault}}}\n"
    with pytest.raises(TopologyError) as error:
        parse_topology(text)
    assert told in str(error.value)
