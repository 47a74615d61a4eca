"""TensorFlow leaves on forked daemons: the reference's bits, and no node hangs."""

import importlib.util

import numpy as np
import pytest

import tierfed
from tierfed.leaves import tf as tf_leaves

if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("TensorFlow is the extra [tf]", allow_module_level=True)
tf = tf_leaves.tensorflow()


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch):
    """Leaves made by these tests are none of later tests' trees, which would import TensorFlow for them."""
    monkeypatch.setattr(tf_leaves, "_made", False)


MODEL = tierfed.to_type("<w=float32[40,5],b=float32[5]>")
ROWS = tierfed.to_type("<x=float32[40],y=int32>*")
EDGE = tierfed.placement("EDGE_AGGREGATORS")


def training():
    """Return a step of SGD and the largest norms, at the edges, of what was trained below."""

    @tierfed.tf_computation(MODEL, ROWS, np.int64)
    def trained(model, rows, seed):
        w, b = tf.Variable(model["w"]), tf.Variable(model["b"])
        for batch in rows.shuffle(100, seed=seed).batch(8):
            with tf.GradientTape() as tape:
                scores = tf.nn.relu(batch["x"] @ w + b)
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["y"], scores)
                loss = tf.reduce_mean(losses)
            for v, slope in zip((w, b), tape.gradient(loss, (w, b)), strict=True):
                v.assign_sub(0.1 * slope)
        return {"w": w, "b": b}, tf.cast(rows.cardinality(), tf.float32)

    norm = tierfed.tf_computation(lambda m: tf.norm(m["w"]), MODEL)

    @tierfed.federated_computation(
        tierfed.FederatedType(MODEL, tierfed.SERVER),
        tierfed.FederatedType(ROWS, tierfed.CLIENTS),
        np.int64,
    )
    def step(model, rows, seed):
        here = tierfed.federated_zip((tierfed.federated_broadcast(model), rows))
        new, weight = tierfed.federated_map(lambda p: trained(p[0], p[1], seed), here)
        largest = tierfed.federated_max(tierfed.federated_map(norm, new), to=EDGE)
        return tierfed.federated_mean(new, weight=weight), largest

    return step


def convolving():
    """Return a computation of slopes of convolutions, which kernels sum in an order that depends on their threads."""
    images, kernel = "float32[64,28,28,1]", "float32[3,3,1,8]"

    @tierfed.tf_computation(images, kernel)
    def slope(x, k):
        with tf.GradientTape() as tape:
            tape.watch(k)
            y = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(x, k, 1, "SAME")) ** 2)
        return tape.gradient(y, k), tf.reduce_sum(x)

    @tierfed.federated_computation(
        tierfed.FederatedType(images, tierfed.CLIENTS), tierfed.FederatedType(kernel, tierfed.SERVER)
    )
    def slopes(x, k):
        here = tierfed.federated_zip((x, tierfed.federated_broadcast(k)))
        return tierfed.federated_sum(tierfed.federated_map(slope, here))

    return slopes


def test_a_small_tree_trains_as_the_reference_does():
    """Three rounds of SGD on seven daemons give the reference's bits, and every process ends."""
    step = training()
    topology = tierfed.tree(fan_out={"EDGE_AGGREGATORS": 2, "CLIENTS": 2}, collect={"SERVER": {"deadline": "60s"}})
    rng = np.random.default_rng(1)
    rows = [
        [{"x": rng.standard_normal(40, np.float32), "y": np.int32(rng.integers(5))} for _ in range(n)]
        for n in (20, 1, 33, 8)
    ]
    start = {"w": rng.standard_normal((40, 5), np.float32), "b": np.zeros(5, np.float32)}

    def run(invoke):
        model, out = start, []
        for seed in range(3):
            model, largest = invoke(model, seed)
            out.append((model, list(largest)))
        return out

    slopes, images, kernel = convolving(), *(rng.random(n, np.float32) for n in ((4, 64, 28, 28, 1), (3, 3, 1, 8)))
    with tierfed.local(topology=topology):
        expected = run(lambda model, seed: step(model, rows, seed))
        slope, total = slopes(list(images), kernel)
    with tierfed.up(topology) as tree:
        found = run(lambda model, seed: tree.invoke(step, model, rows, seed))
        slope_there, total_there = tree.invoke(slopes, list(images), kernel)
    for a, b in zip(found, expected, strict=True):
        assert {k: v.tobytes() for k, v in a[0].items()} == {k: v.tobytes() for k, v in b[0].items()}
        assert a[1] == b[1] and len(a[1]) == 2
    assert (slope_there.tobytes(), total_there) == (slope.tobytes(), total)
