"""Codes that add up as they are, through the tiers: daemons give what folding decoded values by hand gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from program_trees import HIERARCHIES
from served import in_memory
from test_agreement import grown

import tierfed
from tierfed import CLIENTS, FederatedType
from tierfed.backends.native.driver import Driver
from tierfed.codecs import Stream, codec
from tierfed.codecs.shortened import ShortSum
from tierfed.compiler import compile

TREE = grown(HIERARCHIES["three tiers"], {"EDGE_AGGREGATORS": [2], "CLIENTS": [2, 1]})
VALUES = tierfed.to_type("float32[5000]")
OWN = [np.random.default_rng(i).standard_normal(5000).astype(np.float32) for i in range(3)]

total = tierfed.federated_computation(FederatedType(VALUES, CLIENTS))(tierfed.federated_sum)


def sent(spec: str, value: Any, site: str, sender: str, path: str) -> Any:
    """Return what is decoded of what `sender` sends."""
    stream = Stream.of(0, "1", site, sender, "").beside(Stream.of(0, "1", site)).at(path)
    return codec(spec).decode(codec(spec).encode(value, stream), VALUES)


def by_hand(lower: str, upper: str) -> Any:
    """Return the sum over the tree, each message decoded before it is added."""
    zero = np.zeros(5000, np.float32)
    one, two, three = (sent(lower, x, "3.0", f"clients-{i}", "arg") for i, x in enumerate(OWN))
    ups = [sent(upper, x, "4.0", f"edge-aggregators-{i}", "v2") for i, x in enumerate([zero + one + two, zero + three])]
    return zero + ups[0] + ups[1]


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ("randomk(fraction=0.5,shared=true)", "sketch"),
        ("sketch(rows=3,fraction=0.5)+zstd", "randomk(fraction=0.5,shared=true)+bf16"),
        ("randomk(fraction=0.5)", "none"),
        ("topk(fraction=0.1)", "int8"),
    ],
)
def test_a_tree_gives_what_folding_the_decoded_gives(lower: str, upper: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over three tiers; codes that add up are kept by the two parents of clients, or by the root, as codes."""
    made: list[int] = []
    begin = ShortSum.__init__
    monkeypatch.setattr(ShortSum, "__init__", lambda self, *a: made.append(1) or begin(self, *a))  # type: ignore[func-returns-value]
    codecs = {"CLIENTS": {"up": lower, "down": "none"}, "EDGE_AGGREGATORS": {"up": upper, "down": "none"}}

    async def work(driver: Driver) -> Any:
        return (await driver.invoke(compile(total, TREE.hierarchy), tuple(OWN)))[0]

    found = in_memory(TREE, work, codecs=codecs)
    wanted = by_hand(lower, upper)
    # a sum of k floats in another order, then rounded again on the way up
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert len(made) == 2 * codec(lower).array_stage.linear + codec(upper).array_stage.linear
