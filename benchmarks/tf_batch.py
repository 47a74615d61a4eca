"""What `batch=True` of a TensorFlow leaf gains in a simulated round: 1,000 members, each a step of training.

    python -m benchmarks.tf_batch

A classifier of 20 to 10, 32 rows a member, one core.  Seconds are those of this process' CPU, the best of five times.
"""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

import numpy as np

import tierfed
from tierfed.leaves import batch_form, load
from tierfed.leaves.tf import tensorflow
from tierfed.topology import parse_topology

MODEL, ROWS = "<w=float32[20,10],b=float32[10]>", "<x=float32[32,20],y=int32[32]>"
MEMBERS, ROUNDS = 1000, 5
TREE = f"""
apiVersion: tierfed/v1
kind: Topology
placements:
  SERVER: {{}}
  EDGES: {{parent: SERVER, per_parent: 10}}
  CLIENTS: {{parent: EDGES, per_parent: {MEMBERS // 10}}}
"""


def trained(model: Any, rows: Any) -> Any:
    """One step down the slope of the mean cross entropy."""
    tf, w, b = tensorflow(), model["w"], model["b"]
    with tf.GradientTape() as tape:
        tape.watch([w, b])
        scores = rows["x"] @ w + b
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(rows["y"], scores))
    slopes = tape.gradient(loss, [w, b])
    return {"w": w - 0.1 * slopes[0], "b": b - 0.1 * slopes[1]}


def seconds(**settings: Any) -> tuple[float, float]:
    """Return the seconds of the leaf alone, and of the fastest round, with the leaf as `settings` say."""
    leaf = tierfed.tf_computation(trained, MODEL, ROWS, **settings)

    @tierfed.federated_computation(MODEL, f"{{{ROWS}}}@CLIENTS")
    def step(model: Any, rows: Any) -> Any:
        here = tierfed.federated_broadcast(tierfed.federated_value(model, tierfed.SERVER))
        return tierfed.federated_mean(tierfed.federated_map(leaf, tierfed.federated_zip((here, rows))))

    rng = np.random.default_rng(1)
    model = {"w": np.zeros((20, 10), np.float32), "b": np.zeros(10, np.float32)}
    rows = [
        {"x": rng.normal(size=(32, 20)).astype(np.float32), "y": rng.integers(0, 10, 32).astype(np.int32)}
        for _ in range(MEMBERS)
    ]
    with tierfed.simulate(parse_topology(TREE)) as fleet:
        taken = []
        for _ in range(ROUNDS):
            begun = time.process_time()
            model = fleet.invoke(step, model, rows)
            taken.append(time.process_time() - begun)
    return _alone(leaf, rows), min(taken)


def _alone(leaf: Any, rows: list[dict[str, Any]]) -> float:
    """Return the seconds that the leaf takes at all members, as a simulation calls it."""
    x, y = np.stack([row["x"] for row in rows]), np.stack([row["y"] for row in rows])
    w, b = np.zeros((MEMBERS, 20, 10), np.float32), np.zeros((MEMBERS, 10), np.float32)
    single, taken = load(leaf.node), []
    for _ in range(ROUNDS):
        begun = time.process_time()
        together = batch_form.run(leaf.node, ((w, b), (x, y)), MEMBERS) if batch_form.batch_form(leaf.node) else None
        if together is None:
            for member in range(MEMBERS):
                single(((w[member], b[member]), (x[member], y[member])))
        taken.append(time.process_time() - begun)
    return min(taken)


def main() -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["TIERFED_HOME"] = home
        print(f"| | the leaf, {MEMBERS:,} times | a round of theirs |\n|---|---|---|")
        for told, settings in (
            ("member by member", {}),
            ("`batch=True, tolerance=1e-6`", {"batch": True, "tolerance": 1e-6}),
            ('`batch="auto"`, other bits: tried, then member by member', {"batch": "auto"}),
        ):
            alone, whole = seconds(**settings)
            print(f"| {told} | {alone:.2f} s | {whole:.2f} s |")


if __name__ == "__main__":
    main()
