"""Random rounding over sockets: a seed replays a run, and what comes out can be computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import served
from program_trees import HIERARCHIES
from test_agreement import grown

import tierfed
from tierfed import CLIENTS, FederatedType
from tierfed.codecs import Stream, codec
from tierfed.topology.fan_out import of_tree
from tierfed.topology.told import assignments

SPEC = "int8(stochastic=true)"
SEED = 7
TREE = grown(HIERARCHIES["three tiers"], {"EDGE_AGGREGATORS": [2], "CLIENTS": [2, 1]})
VALUES = tierfed.to_type("float32[5000]")
VALUE = np.random.default_rng(0).standard_normal(5000).astype(np.float32)

total = tierfed.federated_computation(FederatedType(VALUES, CLIENTS))(tierfed.federated_sum)


@pytest.fixture
def uplinks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemons of this file round at random, going up."""
    up = {"up": SPEC}
    told = of_tree(
        TREE, seed=SEED, codec={"CLIENTS": up, "EDGE_AGGREGATORS": up}, job={"program": "program_leaves:no_job"}
    )
    monkeypatch.setattr(served, "assigned", lambda tree: assignments(told))


def sent(value: Any, number: int, site: str, sender: str, path: str) -> Any:
    """Return what the parent decodes of `value` from `sender`."""
    stream = Stream.of(SEED, str(number), site, sender, "").at(path)
    return codec(SPEC).decode(codec(SPEC).encode(value, stream), VALUES)


def by_hand(number: int) -> Any:
    """Return the sum of three equal values over the tree, rounded on each link."""
    one, two, three = (sent(VALUE, number, "3.0", f"clients-{i}", "arg") for i in range(3))
    zero = np.zeros_like(VALUE)
    edges = [zero + one + two, zero + three]
    ups = [sent(edge, number, "4.0", f"edge-aggregators-{i}", "v2") for i, edge in enumerate(edges)]
    return zero + ups[0] + ups[1]


def test_a_seed_replays_a_run_with_random_rounding(uplinks: None) -> None:
    """Two runs give the bits computed by hand, their invocations others of each other, for the same values."""
    runs = []
    for _ in range(2):
        with served.on_sockets(TREE) as context:
            runs.append([context.invoke(total, [VALUE] * 3) for _ in range(2)])
    (first, second), again = runs
    assert first.tobytes() == again[0].tobytes() and second.tobytes() == again[1].tobytes()
    assert first.tobytes() != second.tobytes()
    assert [first.tobytes(), second.tobytes()] == [by_hand(1).tobytes(), by_hand(2).tobytes()]
