"""What a round takes on modelled links and devices: against what can be worked out by hand, and drawn."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

import tierfed
from tierfed.compiler import compile
from tierfed.placements import SERVER
from tierfed.topology import Topology, parse_topology, tree
from tierfed.topology.captions import amount
from tierfed.topology.cost import Cost, TierCost, cost
from tierfed.topology.draw import FORMATS
from tierfed.topology.links.profile import LinkProfile
from tierfed.topology.links.tcp import PACKET, SEGMENT, Path
from tierfed.topology.messages import Sent, predicted
from tierfed.types import FederatedType, to_type

TEXT = """\
apiVersion: tierfed/v1
kind: Topology
name: two-region
placements:
  SERVER: {{{server}}}
  EDGE: {{parent: SERVER, per_parent: 2, {edge}}}
  CLIENTS: {{parent: EDGE, per_parent: 4, {clients}}}
"""


def of(server: str = "", edge: str = "", clients: str = "") -> Topology:
    """Return a tree of two edges of four clients, with these settings of its tiers."""
    return parse_topology(TEXT.format(server=server, edge=edge, clients=clients))


MODEL = to_type("float32[10000]")


@tierfed.py_computation(MODEL, returns=MODEL)
def more(value: Any) -> Any:
    """Return a model with one more everywhere."""
    return value + 1


@tierfed.federated_computation(FederatedType(MODEL, SERVER))
def step(value: Any) -> Any:
    """Send a model down, compute on it at each client, and sum up."""
    return tierfed.federated_sum(tierfed.federated_map(more, tierfed.federated_broadcast(value)))


@tierfed.federated_computation(FederatedType(MODEL, SERVER))
def thrice(value: Any) -> Any:
    """Take a step three times in a loop."""

    def turn(model: Any) -> Any:
        return tierfed.federated_sum(tierfed.federated_map(more, tierfed.federated_broadcast(model)))

    return tierfed.federated_iterate(turn, value, 3, at=SERVER)


def taken(topology: Topology, program: Any = step) -> Cost:
    """Return the cost of one round."""
    found = cost(topology, compile(program, topology.hierarchy))
    assert found is not None
    return found


def sizes(topology: Topology) -> tuple[int, ...]:
    """Return the bytes of a message down to an edge, down to a client, up from a client and up from an edge."""
    sent: Sent = {}
    predicted(topology, compile(step, topology.hierarchy), sent)
    ways = [("EDGE", "down"), ("CLIENTS", "down"), ("CLIENTS", "up"), ("EDGE", "up")]
    made = [{n for (m, d, _), n in sent.items() if (topology.node(m).placement, d) == way} for way in ways]
    assert all(len(one) == 1 for one in made)
    return tuple(one.pop() for one in made)


SHARE = SEGMENT / PACKET  # of a rate that is left to messages


def test_nothing_modelled_costs_nothing_known() -> None:
    """Without figures there is no prediction; with energy alone there are joules and no seconds."""
    plain = tree({"EDGE": 2, "CLIENTS": 2})
    assert cost(plain, compile(step, plain.hierarchy)) is None
    found = taken(of(clients="energy: {sent: 1uJ}"))
    assert found.seconds is None and found.tiers["CLIENTS"].seconds is None
    assert found.tiers["EDGE"].joules is None


def test_rates_by_hand() -> None:
    """Without delay or loss a round is bytes over rates, down and up again, and two calls' time in the middle."""
    topology = of(
        edge="link: {rate: 80mbit}",
        clients="link: {rate: {up: 8mbit, down: 16mbit}}, compute: {time: 50ms, speed: 0.2}",
    )
    edge_down, client_down, client_up, edge_up = sizes(topology)
    found = taken(topology)
    edges = (edge_down + edge_up) / (10e6 * SHARE)
    clients = client_down / (2e6 * SHARE) + 0.05 / 0.2 + client_up / (1e6 * SHARE)
    assert found.seconds == pytest.approx(edges + clients)
    assert found.tiers["EDGE"].seconds == pytest.approx(edges)
    assert found.tiers["CLIENTS"].seconds == pytest.approx(clients)
    assert found.tiers["SERVER"].seconds == 0


def test_delays_and_losses_are_those_of_the_model() -> None:
    """Each message takes what TCP does to its link: its share of the rate, and the mean latency of its size."""
    topology = of(clients="link: {rate: 8mbit, delay: 30ms, jitter: 10ms, loss: 1%}")
    _, down, up, _ = sizes(topology)
    link = LinkProfile(1e6, 1e6, 0.03, 0.01, loss=0.01)
    ways = [(Path(link, False, Random(1)), down), (Path(link, True, Random(1)), up)]
    assert taken(topology).seconds == pytest.approx(sum(n / way.cap + way.expected(n) for way, n in ways))


def test_an_interface_is_shared() -> None:
    """Four children come through their edge's interface at a quarter each, unless their links are slower."""
    topology = of(edge="interface: {rate: {up: 8mbit}}")
    up = sizes(topology)[2]
    assert taken(topology).seconds == pytest.approx(4 * up / 1e6)
    narrow = of(edge="interface: {rate: {up: 8mbit}}", clients="link: {rate: {up: 1mbit}}")
    assert taken(narrow).seconds == pytest.approx(up / (125e3 * SHARE))


def test_the_slowest_decides_and_the_parts_add_up() -> None:
    """One straggler under one edge is the critical path; whoever shares an interface with it is done before."""
    slow = "link: {rate: 80mbit}, compute: {time: 10ms}, overrides: [{match: {n: 5}, link: {rate: 800kbit}}]"
    found = taken(of("compute: {time: 20ms}", "link: {rate: 80mbit}, interface: {rate: 80mbit}", slow))
    up = sizes(of(clients=slow))[2]
    assert found.seconds == pytest.approx(sum(tier.seconds or 0 for tier in found.tiers.values()))
    assert (found.tiers["CLIENTS"].seconds or 0) > 2 * up / (100e3 * SHARE)


def test_joules_by_hand() -> None:
    """Idle for the round but for the computing, and so much a byte, of all members of the tier."""
    energy = "energy: {idle: 0.5W, computing: 3W, sent: 60nJ, received: 40nJ}"
    topology = of(edge=energy, clients=f"{energy}, compute: {{time: 2s}}")
    edge_down, down, up, edge_up = sizes(topology)
    found = taken(topology)
    assert found.seconds == 2.0
    assert found.tiers["CLIENTS"].joules == pytest.approx(8 * (6.0 + 60e-9 * up + 40e-9 * down))
    a_pair = 60e-9 * (edge_up + 4 * down) + 40e-9 * (edge_down + 4 * up)
    assert found.tiers["EDGE"].joules == pytest.approx(2 * (0.5 * 2.0 + a_pair))


def test_loops_and_agreements_are_gone_through() -> None:
    """A loop takes as often what a turn takes; codecs whose senders agree wait for each other's offers."""
    topology = of(clients="link: {delay: 100ms, rate: 8gbit}")
    once, three = taken(topology), taken(topology, thrice)
    assert once.seconds is not None and three.seconds is not None
    assert 2.9 < three.seconds / once.seconds < 3.1
    quick = taken(of(clients="link: {delay: 100ms, rate: 8gbit}, codec: {up: int8}")).seconds
    agreed = taken(of(clients="link: {delay: 100ms, rate: 8gbit}, codec: {up: thc}")).seconds
    assert quick is not None and agreed is not None
    assert agreed - quick == pytest.approx(0.2, abs=0.01)  # an offer up, and the answer


def test_what_is_drawn() -> None:
    """Links and devices stand in columns of their own, and the seconds and joules behind each tier's bytes."""
    topology = of(
        server="interface: {rate: 1gbit}",
        edge="link: {rate: 100mbit, delay: 20ms}, interface: {rate: {up: 50mbit, down: 1gbit}}",
        clients="link: {rate: {up: 4mbit, down: 20mbit}, delay: 30ms, jitter: 10ms}, "
        "compute: {time: 50ms, speed: 0.2}, energy: {idle: 0.1W, computing: 2.5W}, available: {from: 22h, to: 6h}, "
        "overrides: [{match: {i: 3}, link: {rate: 512kbit, loss: 1.5%}, compute: {time: 1s}}]",
    )
    compiled = compile(step, topology.hierarchy)
    known = {name: one[:4] for name, one in predicted(topology, compiled).items() if one is not None}
    found = Cost(6.52, {"SERVER": TierCost(0, None), "EDGE": TierCost(0.117, None), "CLIENTS": TierCost(6.4, 33.1)})
    drawn = FORMATS["tree"](topology, known, None, found).splitlines()
    assert drawn[1:] == DRAWN.splitlines()
    assert '|"4/20mbit 30±10ms up none"|' in FORMATS["mermaid"](topology)
    assert 'label="512kbit 30±10ms loss 1.5% up none"' in FORMATS["dot"](topology)
    plain = json.loads(FORMATS["json"](topology, known, None, found))
    assert plain["cost"] == {"seconds": 6.52}
    assert plain["tiers"][2]["cost"] == {"seconds": 6.4, "joules": 33.1}
    client = plain["nodes"][3]
    assert client["link"]["rate_up"] == 500e3 and client["device"]["speed"] == 0.2
    assert client["available"] == {"begin": 79200.0, "end": 21600.0, "every": 86400.0, "spread": 0.0}
    assert plain["nodes"][0]["interface"] == {"rate_up": 125e6, "rate_down": 125e6} and "link" not in plain["nodes"][0]
    assert plain["nodes"][1]["interface"]["rate_up"] == 6.25e6


DRAWN = """\
SERVER server                                                      quorum 100%  deadline 30s  interface 1gbit
└─ edge-[0-1] ×2            100mbit   20ms                up none  quorum 100%  deadline 30s  interface 50mbit/1gbit
   ├─ clients-[0-2,4-6] ×6  4/20mbit  30±10ms             up none  AND  leaf 50ms/0.2  2.5W computing  22h-6h
   └─ clients-[3,7] ×2      512kbit   30±10ms  loss 1.5%  up none  AND  leaf 1s/0.2    2.5W computing  22h-6h
predicted a round: CLIENTS up 322 kB raw, down 322 kB raw, 6.4 s, 33 J · EDGE up 81 kB raw, down 80 kB raw, 0.12 s · \
6.5 s in all
""".replace("AND", " " * 49)


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (0.0, "s", "0 s"),
        (0.0123, "s", "12 ms"),
        (0.0999, "s", "0.1 s"),
        (0.934, "s", "0.93 s"),
        (12.7, "s", "13 s"),
        (4000.0, "s", "4000 s"),
        (0.00042, "J", "420 µJ"),
        (1234.0, "J", "1.2 kJ"),
        (41.4, "J", "41 J"),
        (3e-12, "J", "0.003 nJ"),
    ],
)
def test_amounts(value: float, unit: str, told: str) -> None:
    """Two or three digits and a prefix; seconds stay seconds from a tenth on."""
    assert amount(value, unit) == told
