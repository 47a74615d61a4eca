"""Pictures of slices and programs: what flows where, as Graphviz reads it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

import tierfed
from tierfed.compiler.dot import program_dot, slice_dot, slices_dot
from tierfed.compiler.slices import Compute, Keep, Load, Recall, Slice, Slot
from tierfed.ir.nodes import Lambda, Literal, Reference
from tierfed.types import TensorType

EDGE = tierfed.placement("EDGE_AGGREGATORS")
THREE = tierfed.Hierarchy.chain("SERVER", EDGE, "CLIENTS")
F = TensorType("float32")


@tierfed.federated_computation(
    tierfed.FederatedType(np.float32, tierfed.SERVER), tierfed.FederatedType(np.float32, tierfed.CLIENTS), np.int32
)
def edge_rounds(model: Any, x: Any, n: Any) -> Any:
    """Return the mean of what the edges make of `model` in `n` rounds of their own."""

    def once(m: Any, x: Any) -> Any:
        here = tierfed.federated_zip((tierfed.federated_broadcast(m), x))
        return m + tierfed.federated_mean(tierfed.federated_map(lambda p: p[1] - p[0], here), to=EDGE)

    down = tierfed.federated_broadcast(model, to=EDGE)
    return tierfed.federated_mean(tierfed.federated_iterate(once, down, n, x, at=EDGE))


def labels(dot: str) -> dict[str, str]:
    """Return the label of each box."""
    return dict(re.findall(r'^ *"([^"]+)" \[label="([^"]*)"', dot, re.M))


def edges(dot: str, look: str = "") -> list[tuple[str, str]]:
    """Return the edges as the labels of their ends, of those whose attributes have `look` in them."""
    told = labels(dot)
    found = re.findall(r'^ *"([^"]+)" -> "([^"]+)"(.*);$', dot, re.M)
    return [(told.get(a, a), told.get(b, b)) for a, b, of in found if look in of and (look or not of)]


def test_a_message_joins_its_two_ends() -> None:
    """Every site is one edge, from the step that sends to the one that receives; the driver's ends are points."""
    dot = slices_dot(tierfed.compile(edge_rounds, THREE), "edge rounds")
    messages = edges(dot, "color=blue")
    assert ("broadcast v6", "receive v6") in messages and ("send v12", "fold v13 = sum v12") in messages
    sites = re.findall(r'label="  ([\d.]+)\\l', dot)
    assert len(sites) == len(set(sites)) == len(messages) == 9
    assert [a for a, b in messages if b == "receive arg.0, arg.1, arg.2"] == ["SERVER_0_end"]
    assert [b for a, b in messages if a == "send v21"] == ["SERVER_5_end"]


def test_a_loop_is_a_frame_around_its_steps() -> None:
    """What goes from turn to turn comes back to its head; what is used after it comes from its foot."""
    dot = slices_dot(tierfed.compile(edge_rounds, THREE), "edge rounds")
    assert edges(dot, "style=dashed") == [("then v6 = v17", "loop arg.2 times\\nv6 = v3")]
    flows = edges(dot)
    assert {("loop arg.2 times\\nv6 = v3", "broadcast v6"), ("then v6 = v17", "v18 = v6")} <= set(flows)
    assert ("loop arg.2 times\\nv6 = v3", "v18 = v6") not in flows
    assert dot.count("subgraph") == 3 + 2 and dot.count("{") - dot.count("}") == 0


def test_what_is_kept_and_recalled() -> None:
    """Handles: what a later invocation recalls, or else the value of a default."""
    one = Literal.make(np.float32(1), F)
    kept = (Compute(Slot("d", F), one), Recall(Slot("h", F), "d"), Load(Slot("x", F), "train"), Keep(Slot("x", F)))
    dot = slice_dot(Slice(tierfed.CLIENTS, kept), "kept")
    assert list(labels(dot).values()) == ["d = 1.0", "recall h, or d", "load x = data#train", "keep x"]
    assert edges(dot) == [("d = 1.0", "recall h, or d"), ("load x = data#train", "keep x")]


def test_a_program_has_a_frame_a_placement() -> None:
    """A value is drawn where it lives, with the type that one member has of it."""
    dot = program_dot(edge_rounds.node, "traced")
    assert re.findall('label="([A-Z_]+)"', dot) == ["EDGE_AGGREGATORS", "SERVER"]
    assert "v15 = federated_mean[SERVER](v14)\\n: float32" in labels(dot).values()
    assert ("v15 = federated_mean[SERVER](v14)\\n: float32", "v15\\n: float32") in edges(dot)


def test_any_name_can_be_written() -> None:
    """Quotes and backslashes in names and texts do not end a label early."""
    name = 'a"b\\c'
    dot = program_dot(Lambda(name, F, Reference(name, F)), name)
    assert dot.startswith('digraph "a\\"b\\\\c" {')
    assert dot.count('label="a\\"b\\\\c\\n: float32"') == 1  # the parameter, whose name is as it is
