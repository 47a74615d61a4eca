"""Rules by tensor name, `auto` and shared-out bits between real daemons: each tensor by its own codec, on each link."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import served
from program_trees import HIERARCHIES
from test_agreement import grown

import tierfed
from tierfed import CLIENTS, FederatedType
from tierfed.codecs import Stream, link_codec
from tierfed.topology.fan_out import of_tree
from tierfed.topology.told import assignments

SEED = 7
TREE = grown(HIERARCHIES["three tiers"], {"EDGE_AGGREGATORS": [2], "CLIENTS": [2, 1]})
T = tierfed.to_type('<w=float32[5000],"fc.bias"=float32[5000],n=int64[5000],small=float32[3]>')
PARTS = {"w": "float32[5000]", '"fc.bias"': "float32[5000]", "n": "int64[5000]", "small": "float32[3]"}
CODECS = {
    "CLIENTS": {
        "up": {"default": "eden(bits=auto)+auto", "*/bias": "bf16+auto", "n": "auto"},
        "down": {"default": "none", "w": "int8"},
    },
    "EDGE_AGGREGATORS": {"up": {"default": "eden(bits=auto)", "n": "none", "fc/bias": "zstd"}},
}

total = tierfed.federated_computation(FederatedType(T, CLIENTS))(tierfed.federated_sum)
TOPOLOGY = of_tree(TREE, seed=SEED, codec=CODECS, job={"program": "program_leaves:no_job"})


def value(seed: int) -> dict[str, Any]:
    """Return one client's value."""
    random = np.random.default_rng(seed)
    w, bias, small = (random.standard_normal(n).astype(np.float32) for n in (5000, 5000, 3))
    return {"w": w, '"fc.bias"': bias, "n": random.integers(0, 99, 5000), "small": small}


def sent(values: dict[str, Any], sender: str, way: str, site: str, path: str) -> dict[str, Any]:
    """Return what is decoded of a value on a link of `sender`, tensor by tensor."""
    node = TOPOLOGY.nodes[sender]
    link = link_codec(node.codec_up if way == "up" else node.codec_down)
    stream = Stream.of(SEED, "1", site, sender, "")
    back = {}
    for name, text in PARTS.items():
        if values[name].size < 4096:
            back[name] = values[name]
            continue
        by = link.at(f"{path}.{name}")
        back[name] = by.decode(by.encode(values[name], stream.at(f"{path}.{name}")), tierfed.to_type(text))
    return back


def test_a_sum_is_the_one_computed_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit: down to the clients, up to the edges, up to the server, under the rules of each link."""
    assert TOPOLOGY.nodes["clients-0"].codec_up.count("eden(bits=3)") == 1  # one of two
    assert TOPOLOGY.nodes["clients-2"].codec_up.startswith('{"default": "eden+auto"')  # an only child
    monkeypatch.setattr(served, "assigned", lambda tree, codecs=None: assignments(TOPOLOGY))
    values = [value(i) for i in range(3)]
    with served.on_sockets(TREE) as context:
        found = context.invoke(total, [tuple(v.values()) for v in values])
    names = [f"clients-{i}" for i in range(3)]
    down = [sent(v, name, "down", "2.0", "arg") for v, name in zip(values, names, strict=True)]
    up = [sent(v, name, "up", "3.0", "arg") for v, name in zip(down, names, strict=True)]
    edges = [{n: up[0][n] + up[1][n] for n in PARTS}, up[2]]
    tops = [sent(e, f"edge-aggregators-{i}", "up", "4.0", "v2") for i, e in enumerate(edges)]
    for name, got in zip(PARTS, found.values(), strict=True):
        wanted = tops[0][name] + tops[1][name]
        assert np.asarray(got).dtype == wanted.dtype and (np.asarray(got) == wanted).all(), name
