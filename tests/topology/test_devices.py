"""Links and devices in a file: what they come to, which value holds, and that they can be written out again."""

from __future__ import annotations

import math

import pytest

from tierfed.errors import TopologyError
from tierfed.topology import Topology, assignments, parse_topology, tree
from tierfed.topology.links import figures
from tierfed.topology.links.profile import DeviceProfile, InterfaceProfile, LinkProfile
from tierfed.topology.links.table import TABLE
from tierfed.topology.links.window import Window

TEXT = """\
apiVersion: tierfed/v1
kind: Topology
clock: virtual
seed: 7
defaults: {link: {delay: 3ms, loss: 0.5%}, interface: {rate: 10gbit}, compute: {time: 50ms}}
placements:
  SERVER: {interface: {rate: {up: 1gbit}}}
  EDGE:
    parent: SERVER
    members:
      eu: {labels: {region: eu}}
      us: {labels: {region: us}, link: {delay: 80ms, rate: {up: 50mbit}}, energy: {idle: 3W}}
    link: {rate: 100mbit}
    compute: {speed: 4}
  CLIENTS:
    parent: EDGE
    per_parent: 4
    link: {rate: {up: 4mbit, down: 20mbit}, delay: 30ms, jitter: 10ms, distribution: pareto, correlation: 25%, loss: 1%}
    compute: {time: 50ms, speed: 0.2}
    energy: {idle: 100mW, computing: 2.5W, sent: 60nJ, received: 0.04uJ}
    available: {from: 22h, to: 6h, spread: 2h}
    overrides:
      - {match: {region: us, i: 1-2}, link: {rate: 512kbit}, compute: {speed: 0.1}}
      - {match: {i: 2}, link: {rate: {down: 1mbit}}, available: {from: 0min, to: 30min, every: 1h}}
"""


@pytest.fixture(scope="module")
def topology() -> Topology:
    """Return the topology of the text."""
    return parse_topology(TEXT)


def test_figures_become_bytes_seconds_and_joules(topology: Topology) -> None:
    """Rates are in bytes a second, times in seconds, shares from 0 to 1, energies in joules."""
    node = topology.node("clients-0")
    assert node.link == LinkProfile(500e3, 2.5e6, 0.03, 0.01, "pareto", 0.25, 0.01)
    assert node.device == DeviceProfile(0.05, 0.2, 0.1, 2.5, 60e-9, 40e-9)
    assert node.available == Window(79200.0, 21600.0, 86400.0, 7200.0)
    assert node.interface is None


@pytest.mark.parametrize(
    ("node", "link"),
    [
        ("eu", LinkProfile(12.5e6, 12.5e6, 0.003, loss=0.005)),
        ("us", LinkProfile(6.25e6, 12.5e6, 0.08, loss=0.005)),
        ("clients-5", LinkProfile(64e3, 64e3, 0.03, 0.01, "pareto", 0.25, 0.01)),
        ("clients-6", LinkProfile(64e3, 125e3, 0.03, 0.01, "pareto", 0.25, 0.01)),
        ("clients-2", LinkProfile(500e3, 125e3, 0.03, 0.01, "pareto", 0.25, 0.01)),
        ("server", None),
    ],
)
def test_each_figure_is_settled_by_itself(topology: Topology, node: str, link: LinkProfile | None) -> None:
    """defaults < placement < member < overrides, figure by figure; a rate for both ways is two figures."""
    assert topology.node(node).link == link


def test_figures_that_mean_nothing_at_a_member_are_not_there(topology: Topology) -> None:
    """A default interface is that of members with children, and a default link none of the root's."""
    gigabit = InterfaceProfile(125e6, 1.25e9)
    assert topology.root.interface == gigabit
    assert topology.node("eu").interface == InterfaceProfile(1.25e9, 1.25e9)
    assert {n.interface for n in topology.members("CLIENTS")} == {None}
    assert topology.root.available is None and topology.node("eu").available is None
    assert topology.node("us").device == DeviceProfile(0.05, 4.0, idle=3.0)


def test_hours_are_one_setting(topology: Topology) -> None:
    """What is nearer replaces them as a whole, spread and all."""
    assert topology.node("clients-6").available == Window(0.0, 1800.0, 3600.0)


@pytest.mark.parametrize(
    ("text", "node", "rates", "origin"),
    [
        ("CLIENTS.link.rate=1mbit", "clients-5", (125e3, 125e3), "--set CLIENTS.link.rate=1mbit"),
        ("CLIENTS.link.rate.up=1mbit", "clients-5", (125e3, 64e3), "--set CLIENTS.link.rate.up=1mbit"),
        ("CLIENTS.link={rate: 8bit}", "clients-5", (1.0, 1.0), "--set CLIENTS.link={rate: 8bit}"),
        ("EDGE.members.us.link.rate=8bit", "us", (1.0, 1.0), "--set EDGE.members.us.link.rate=8bit"),
        ("defaults.link.rate=8bit", "clients-0", (500e3, 2.5e6), "placements.CLIENTS.link.rate.up, line 18"),
    ],
)
def test_sets_have_the_last_word(text: str, node: str, rates: tuple[float, float], origin: str) -> None:
    """`--set` outranks overrides, of one figure or of several at once; on defaults it is a default still."""
    found = parse_topology(TEXT, sets=[text]).node(node)
    assert found.link is not None
    assert (found.link.rate_up, found.link.rate_down) == rates
    assert found.settings.origins["link.rate.up"] == origin


def test_origins_name_what_is_written(topology: Topology) -> None:
    """A rate for both ways is where it stands; what nobody has set has no origin and is not written out."""
    origins = topology.node("clients-5").settings.origins
    assert origins["link.rate.down"] == "placements.CLIENTS.overrides[0].link.rate, line 23"
    assert origins["link.delay"] == "placements.CLIENTS.link.delay, line 18"
    assert not [key for key in tree({"CLIENTS": 2}).node("clients-0").settings.origins if key.startswith("link")]


def test_the_resolved_form_loads_as_the_same(topology: Topology) -> None:
    """All figures, the clock and the hours are written out with their units, with and without origins."""
    for text in (topology.to_yaml(), topology.to_yaml(origins=True)):
        assert "clock: virtual" in text
        again = parse_topology(text)
        assert again == topology
        assert [n.available for n in again.nodes.values()] == [n.available for n in topology.nodes.values()]
    assert "available: {from: 22h, to: 6h, every: 24h, spread: 2h}" in topology.to_yaml()
    assert parse_topology(TEXT, sets=["EDGE.link.delay=4ms"]) != topology


def test_what_has_no_effect_is_noted() -> None:
    """A figure that needs another one is told once a placement, where it is set, and the file loads."""
    text = """\
apiVersion: tierfed/v1
kind: Topology
defaults: {compute: {speed: 2}}
placements:
  SERVER: {}
  EDGE: {parent: SERVER, members: {a: {link: {correlation: 10%}}, b: {link: {jitter: 5ms}}}}
  CLIENTS: {parent: EDGE, per_parent: 2, link: {distribution: uniform}, energy: {computing: 2W}, compute: {time: 1s}}
"""
    assert [str(note) for note in parse_topology(text, "t.yaml").notes] == [
        "t.yaml:3:29: defaults.compute.speed: server has a speed of 2.0 and no time that it would change; "
        "add compute.time, what a leaf call takes at speed 1",
        "t.yaml:6:60: placements.EDGE.members.a.link.correlation: a has a correlation of 10% and no jitter that has "
        "it; add link.jitter",
        "t.yaml:3:29: defaults.compute.speed: a has a speed of 2.0 and no time that it would change; "
        "add compute.time, what a leaf call takes at speed 1",
        "t.yaml:6:86: placements.EDGE.members.b.link.jitter: b has 5ms of jitter about no delay, and none can be "
        "less than 0; add link.delay",
        "t.yaml:7:63: placements.CLIENTS.link.distribution: clients-0 has a uniform distribution and no jitter to be "
        "drawn from it; add link.jitter",
    ]


def test_assignments_carry_the_models(topology: Topology) -> None:
    """Each node is told of its children's links, its interface and its device, and of its own hours."""
    told = {a.name: a for a in assignments(topology)}
    assert [c.link for c in told["server"].children] == [topology.node("eu").link, topology.node("us").link]
    assert told["server"].interface == InterfaceProfile(125e6, 1.25e9)
    assert told["clients-0"].device == topology.node("clients-0").device
    night = told["clients-0"].available
    assert night is not None and 79200.0 < night.begin < 86400.0 and night.spread == 0.0
    assert night != told["clients-1"].available
    plain = {a.name: a for a in assignments(tree({"CLIENTS": 2}))}
    assert {(a.interface, a.device, a.available) for a in plain.values()} == {(None, None, None)}
    assert [c.link for c in plain["server"].children] == [None, None]


def test_a_virtual_clock_brings_nothing_up(topology: Topology) -> None:
    """Real processes are not started for virtual time, and the error names the verb that runs it."""
    from tierfed.jobs import bring_up

    with pytest.raises(TopologyError) as error:
        bring_up(topology)
    assert str(error.value).splitlines() == [
        "topology: clock: processes run by the real clock, and the file says virtual",
        "  to mend: run it with tierfed simulate FILE, or bring it up with --set clock=real",
    ]
    assert parse_topology(TEXT, sets=["clock=real"]).clock == "real"


def test_distributions_have_one_list() -> None:
    """What a file may say, what a node takes off the wire and what can be drawn from are the same."""
    assert set(figures.DISTRIBUTIONS) == set(TABLE)
    for name in TABLE:
        link = parse_topology(TEXT, sets=[f"CLIENTS.link.distribution={name}"]).node("clients-0").link
        assert link is not None and link.distribution == name
    with pytest.raises(TopologyError) as error:
        parse_topology(TEXT, sets=["CLIENTS.link.distribution=cauchy"])
    assert all(name in str(error.value) for name in TABLE)


def test_no_limit_is_infinite() -> None:
    """A link of which only a delay is said carries everything at once."""
    link = parse_topology(TEXT.replace("link: {rate: 100mbit}", "host: local")).node("eu").link
    assert link is not None and link.rate_up == math.inf
