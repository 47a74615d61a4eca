"""Large and small: a model of 2 GB, two thousand small tensors, and nothing at all; messages and bytes as predicted.

    python -m benchmarks sizes

Each goes down to the clients of a tree and their mean comes up, and the result must be right.  What the round's record
counts at the sockets, messages and bytes, is held against what `tierfed show` predicts from the types
(topology/messages.py); a header may be 64 bytes longer, since the invocation's name is not known before.

The model is one tensor of float32, made at the server, sent to one client and back, with `none` and with int8, and
looked at where it comes in.  `TIERFED_LARGE_MB` is its size, 2,000 without; server and client hold five of them.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tierfed
from benchmarks.rows import Row, row
from tierfed.topology.messages import predicted

MB = 1_000_000
MANY = 2000
TREE = """\
apiVersion: tierfed/v1
kind: Topology
name: sizes
placements:
  SERVER: {collect: {deadline: 900s}}
%s  CLIENTS: {parent: %s, codec: {up: "%s", down: "%s"}, %s}
"""
EDGES = "  EDGE_AGGREGATORS: {parent: SERVER, count: 2}\n"
CYCLE = 251  # the model counts up to it, and begins anew
PIECE = CYCLE << 12  # elements that are looked at at once
SMALL = tierfed.to_type({f"t{i}": (np.float32, [i % 7]) for i in range(MANY)})
NOTHING = tierfed.to_type({"zero": (np.float32, [0, 3]), "none": {}})


def made(size: Any) -> Any:
    """Return a large model, made piece by piece: one call of numpy for all would hold up its process meanwhile."""
    model = np.empty(int(size), np.float32)
    piece = np.tile(np.arange(CYCLE, dtype=np.float32), PIECE // CYCLE)
    for at in range(0, len(model), PIECE):
        model[at : at + PIECE] = piece[: len(model) - at]
    return model


def off(model: Any) -> Any:
    """Return how far an element is off from that of the model that was made, at most."""
    pattern = made(PIECE)
    pieces = (model[at : at + PIECE] for at in range(0, len(model), PIECE))
    return np.float32(max(np.abs(piece - pattern[: len(piece)]).max() for piece in pieces))


def _there_and_back(size: int) -> Any:
    """Return a program: how far a large model is off when it has been at the clients."""
    model = tierfed.to_type(f"float32[{size}]")
    make = tierfed.py_computation(made, np.int64, returns=model)
    look = tierfed.py_computation(off, model, returns=np.float32)

    @tierfed.federated_computation(np.int64)
    def program(n: Any) -> Any:
        here = tierfed.federated_map(make, tierfed.federated_value(n, tierfed.SERVER))
        return tierfed.federated_map(look, tierfed.federated_mean(tierfed.federated_broadcast(here)))

    return program


def _mean_of(t: Any) -> Any:
    """Return a program: the mean of what all clients are sent."""

    @tierfed.federated_computation(t)
    def mean(model: Any) -> Any:
        here = tierfed.federated_value(model, tierfed.SERVER)
        return tierfed.federated_mean(tierfed.federated_broadcast(here))

    return mean


def _round(name: str, tree_: str, program: Any, argument: Any, right: Callable[[Any], bool]) -> list[Row]:
    """Return the rows of one round, whose result `right` has to like."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["TIERFED_HOME"] = home
        file = Path(home) / "sizes.yaml"
        file.write_text(tree_)
        with tierfed.up(file) as tree:
            said = predicted(tree.topology, tierfed.compile(program, tree.topology.hierarchy, keep=False))
            begun = time.perf_counter()
            result = tree.invoke(program, argument)
            took = time.perf_counter() - begun
            counted = tree.summary("ok")["tiers"]
    if not right(result):
        raise SystemExit(f"{name}: a wrong result")
    missed = messages = 0
    worst = 0.0
    for tier, forecast in said.items():
        assert forecast is not None
        links = counted[tier]["nodes"]
        for way in ("up", "down"):
            messages += counted[tier][f"messages_{way}"]
            missed += abs(counted[tier][f"messages_{way}"] - links)
            for raw in ("", "raw_"):
                more = counted[tier][f"{raw}bytes_{way}"] - getattr(forecast, f"{raw}{way}")
                worst = max(worst, abs(more) / links)
    return [
        row(f"{name}: the round", took, "s"),
        row(f"{name}: messages more or fewer than predicted", missed, f"of {messages}", "<= 0"),
        row(f"{name}: bytes more or fewer than predicted, a message", worst, "B", "<= 64"),
    ]


def run(quick: bool = False) -> list[Row]:
    """Return the rows of this benchmark."""
    megabytes = 64 if quick else int(os.environ.get("TIERFED_LARGE_MB", "2000"))
    size = megabytes * MB // 4
    rows = []
    for codec, most in (("none", 0.0), ("int8", CYCLE / 250)):
        one = TREE % ("", "SERVER", codec, codec, "count: 1")
        rows += _round(f"{megabytes} MB, {codec}", one, _there_and_back(size), size, lambda off, m=most: off <= m)
    four = TREE % (EDGES, "EDGE_AGGREGATORS", "none", "none", "per_parent: 2")
    small = {f"t{i}": np.full(i % 7, i, np.float32) for i in range(MANY)}
    rows += _round(
        f"{MANY:,} tensors of 0 to 6",
        four,
        _mean_of(SMALL),
        small,
        lambda result: all((result[name] == value).all() for name, value in small.items()),
    )
    nothing = {"zero": np.zeros((0, 3), np.float32), "none": {}}
    return [*rows, *_round("nothing", four, _mean_of(NOTHING), nothing, lambda result: result["zero"].shape == (0, 3))]


if __name__ == "__main__":
    for each in run():
        print(json.dumps(each))
