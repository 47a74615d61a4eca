"""What `show` predicts, against fleets on a virtual clock: and seconds on links."""

from __future__ import annotations

import statistics
from pathlib import Path
from random import Random

import numpy as np
import pytest
from simulated_programs import VECTOR, step

import tierfed
from tierfed.compiler import compile
from tierfed.topology import Topology, parse_topology
from tierfed.topology.cost import cost
from tierfed.topology.messages import predicted

TREE = """\
apiVersion: tierfed/v1
kind: Topology
name: costed
placements:
  SERVER: {{interface: {{rate: {server}mbit}}, collect: {{deadline: 1h}}}}
  EDGE:
    parent: SERVER
    per_parent: {edges}
    link: {{rate: {backhaul}mbit, delay: {far}ms}}
    interface: {{rate: {{up: {shared}mbit, down: 100mbit}}}}
    collect: {{deadline: 1h}}
  CLIENTS:
    parent: EDGE
    per_parent: {clients}
    link: {{rate: {{up: {up}mbit, down: {down}mbit}}, delay: {near}ms{noise}}}
    compute: {{time: {compute}ms}}
    codec: {{up: {codec}}}
    overrides: [{{match: {{i: 0}}, compute: {{speed: 0.5}}}}]
"""


def drawn(seed: int, noise: str = "") -> Topology:
    """Return a tree of three tiers with figures drawn by seed."""
    random = Random(seed)
    return parse_topology(
        TREE.format(
            server=random.choice([5, 20, 1000]),
            edges=random.randint(1, 4),
            backhaul=random.choice([2, 10, 100]),
            far=random.randint(1, 100),
            shared=random.choice([1, 5, 50]),
            clients=random.randint(1, 8),
            up=random.choice([0.5, 2, 20]),
            down=random.choice([2, 20]),
            near=random.randint(1, 80),
            compute=random.choice([1000, 2000]),
            codec=random.choice(["none", "int8", "bf16"]),
            noise=noise,
        )
    )


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are nobody's."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))


def apart(topology: Topology, rounds: int) -> float:
    """Return by what share of the time on links the prediction is off the mean of rounds; bytes are as predicted."""
    compiled = compile(step, topology.hierarchy)
    told, moved = cost(topology, compiled), predicted(topology, compiled)
    assert told is not None and told.seconds is not None
    model = np.zeros(VECTOR.shape, np.float32)  # type: ignore[arg-type]
    with tierfed.simulate(topology) as tree:
        tree.invoke(step, model)  # the program goes with the first
        before = tree.now
        for _ in range(rounds):
            tree.invoke(step, model)
        took = (tree.now - before) / rounds
        tiers = tree.recorder.summary("ok")["tiers"]
    for placement, one in moved.items():
        assert one is not None
        found = [tiers[placement][way] / (rounds + 1) for way in ("bytes_up", "bytes_down")]
        assert found == pytest.approx([one.up, one.down], rel=0.002)  # headers: invocations have longer names, later
    computing = max(n.device.seconds / n.device.speed for n in topology.members("CLIENTS") if n.device is not None)
    return (told.seconds - took) / (took - computing)


def test_seconds_are_predicted() -> None:
    """Over links that neither jitter nor lose, in rounds far enough apart that windows begin small again."""
    found = [abs(apart(drawn(seed), 1)) for seed in range(12)]
    assert statistics.median(found) < 0.005
    assert max(found) < 0.2  # half a round trip of a long link, where a window was still open


def test_means_are_predicted_where_links_jitter_and_lose() -> None:
    """Mean rounds over few such links; of many the last is later than the mean, and so is the round."""
    found = [apart(drawn(seed, ", jitter: 3ms, loss: 0.5%"), 12) for seed in range(6)]
    assert max(map(abs, found)) < 0.2
    assert statistics.mean(found) < 0.02
