"""Measured devices by name: what a profile sets, what outranks it, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tierfed.errors import TopologyError
from tierfed.topology import parse_topology
from tierfed.topology.links.profile import DeviceProfile
from tierfed.topology.profiles import PROFILES

TREE = """\
apiVersion: tierfed/v1
kind: Topology
defaults: {{compute: {{time: 50ms}}}}
placements:
  SERVER: {{}}
  CLIENTS:
    parent: SERVER
    per_parent: 3
    compute: {compute}
    overrides:
      - {{match: {{i: 1}}, compute: {{profile: raspberry-pi-cm4}}}}
      - {{match: {{i: 2}}, compute: {{speed: 0.5}}, energy: {{idle: 1W}}}}
"""
PAGE = Path(__file__).parents[2] / "docs" / "topology.md"


def test_a_profile_is_a_speed_and_watts() -> None:
    """It stands where it was written: overrides outrank it, by another profile or figure by figure."""
    topology = parse_topology(TREE.format(compute="{profile: rock-5b}"))
    assert [node.device for node in topology.members("CLIENTS")] == [
        DeviceProfile(0.05, 4.322, 3.6, 12.0),
        DeviceProfile(0.05, 0.962, 2.5, 5.2),
        DeviceProfile(0.05, 0.5, 1.0, 12.0),
    ]
    assert topology.node("clients-0").settings.origins["energy.idle"] == "placements.CLIENTS.compute.profile, line 9"
    assert "speed: 4.322" in topology.to_yaml() and "profile" not in topology.to_yaml()
    assert parse_topology(topology.to_yaml()) == topology


def test_a_profile_from_the_command_line() -> None:
    """It has the last word on what it says, and leaves the time."""
    for sets in (["CLIENTS.compute.profile=raspberry-pi-4"], ["CLIENTS.compute={time: 50ms, profile: raspberry-pi-4}"]):
        topology = parse_topology(TREE.format(compute="{profile: rock-5b}"), sets=sets)
        assert {node.device for node in topology.members("CLIENTS")} == {DeviceProfile(0.05, 1.0, 1.6, 7.2)}


def test_what_is_wrong_with_a_profile() -> None:
    """A name that nobody has measured, and two speeds; one without a time is noted where it stands."""
    with pytest.raises(TopologyError, match=r"9:24: error: .*no profile 'rock-5'; did you mean 'rock-5b'"):
        parse_topology(TREE.format(compute="{profile: rock-5}"))
    with pytest.raises(TopologyError, match="profile rock-5b has a speed, 4.322; write one of the two"):
        parse_topology(TREE.format(compute="{speed: 2, profile: rock-5b}"))
    text = TREE.format(compute="{profile: rock-5b}").replace("{time: 50ms}", "{speed: 1}")
    [note, *_] = [str(n) for n in parse_topology(text).notes if "4.322" in str(n)]
    assert note.startswith(
        "topology.yaml:9:24: placements.CLIENTS.compute.profile: clients-0 has a speed of 4.322 and no"
    )


def test_the_page_has_the_figures() -> None:
    """Every profile, with what the table of the code says of it."""
    page = PAGE.read_text()
    for name, device in PROFILES.items():
        run, review = (at.partition("#")[2] for at in (device.run, device.review))
        row = f"| `{name}` | {device.speed:g} | {device.gflops:g} | {device.computing:g} W | {device.idle:g} W |"
        assert f"{row} #{run}, #{review} |" in page
