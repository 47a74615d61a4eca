"""Large and small: a model of 2 GB, two thousand small tensors, and nothing at all; messages and bytes as predicted.

    python -m benchmarks sizes

Each goes down to the clients of a tree and their mean comes up, and the result must be right.  What the round's record
counts at the sockets, messages and bytes, is held against what `tierfed show` predicts from the types
(topology/plan.py); a header may be 64 bytes longer, since the invocation's name is not known before.
The model is one tensor of float32, sent to one client below an edge, with `none` and with int8, whose sizes are
fixed.  `TIERFED_LARGE_MB` is its size, 2,000 without; every process of it holds one or two of them.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import tierfed
from benchmarks.rows import Row, row
from tierfed.topology.plan import predicted

MB = 1_000_000
MANY = 2000
TREE = """\
apiVersion: tierfed/v1
kind: Topology
name: sizes
placements:
  SERVER: {collect: {deadline: 900s}}
  EDGE_AGGREGATORS: {parent: SERVER, count: %d, codec: {up: "%s", down: "%s"}, collect: {deadline: 800s}}
  CLIENTS: {parent: EDGE_AGGREGATORS, per_parent: %d, codec: {up: "%s", down: "%s"}}
"""
SMALL = tierfed.to_type({f"t{i}": (np.float32, [i % 7]) for i in range(MANY)})
NOTHING = tierfed.to_type({"zero": (np.float32, [0, 3]), "none": {}})


def _mean_of(t: Any) -> Any:
    """Return a program: the mean of what all clients are sent."""

    @tierfed.federated_computation(t)
    def mean(model: Any) -> Any:
        here = tierfed.federated_value(model, tierfed.SERVER)
        return tierfed.federated_mean(tierfed.federated_broadcast(here))

    return mean


def _round(name: str, shape: tuple[int, int], codec: str, t: Any, model: Any, right: Any) -> list[Row]:
    """Return the rows of one round over `shape` (edges, clients of each), whose result `right` has to like."""
    edges, each = shape
    program = _mean_of(t)
    with tempfile.TemporaryDirectory() as home:
        os.environ["TIERFED_HOME"] = home
        file = Path(home) / "sizes.yaml"
        file.write_text(TREE % (edges, codec, codec, each, codec, codec))
        with tierfed.up(file) as tree:
            said = predicted(tree.topology, tierfed.compile(program, tree.topology.hierarchy, keep=False))
            begun = time.perf_counter()
            result = tree.invoke(program, model)
            took = time.perf_counter() - begun
            counted = tree.summary("ok")["tiers"]
    if not right(result):
        raise SystemExit(f"{name}: a wrong result")
    missed = messages = 0
    worst = 0.0
    for tier, links in (("EDGE_AGGREGATORS", edges), ("CLIENTS", edges * each)):
        forecast = said[tier]
        assert forecast is not None
        for way in ("up", "down"):
            messages += counted[tier][f"messages_{way}"]
            missed += abs(counted[tier][f"messages_{way}"] - links)
            for kind in ("", "raw_"):
                is_, was = counted[tier][f"{kind}bytes_{way}"], getattr(forecast, f"{kind}{way}")
                worst = max(worst, abs(is_ - was) / links)
    return [
        row(f"{name}: the round", took, "s"),
        row(f"{name}: messages, beside those of one a link and way", missed, f"of {messages}", "<= 0"),
        row(f"{name}: bytes of a message, beside those predicted", worst, "B", "<= 64"),
    ]


def run(quick: bool = False) -> list[Row]:
    """Return the rows of this benchmark."""
    megabytes = 64 if quick else int(os.environ.get("TIERFED_LARGE_MB", "2000"))
    size = megabytes * MB // 4
    large = tierfed.to_type(f"float32[{size}]")
    model = np.ones(size, np.float32)
    model[-1] = 2

    def as_sent(result: Any) -> bool:
        return len(result) == size and float(result[-1]) == 2 and bool((result[:-1] == 1).all())

    rows = []
    for codec in ("none", "int8"):
        rows += _round(f"{megabytes} MB, {codec}", (1, 1), codec, large, model, as_sent)
    del model
    values = {f"t{i}": np.full(i % 7, i, np.float32) for i in range(MANY)}
    rows += _round(
        f"{MANY:,} tensors of 0 to 6", (2, 2), "none", SMALL, values,
        lambda result: all((result[name] == value).all() for name, value in values.items()),
    )  # fmt: skip
    nothing = {"zero": np.zeros((0, 3), np.float32), "none": {}}
    rows += _round("nothing", (2, 2), "none", NOTHING, nothing, lambda result: result["zero"].shape == (0, 3))
    return rows


if __name__ == "__main__":
    for each in run():
        print(json.dumps(each))
