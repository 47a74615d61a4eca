"""Batch forms of graphs: vectorised over members, held to the leaf's bits, or one by one."""

import importlib.util

import numpy as np
import pytest

import tierfed
from tierfed.errors import LeafError, TypeMismatch
from tierfed.leaves import batch_form
from tierfed.leaves import tf as tf_leaves

if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("TensorFlow is the extra [tf]", allow_module_level=True)
tf = tf_leaves.tensorflow()

MODEL = "<w=float32[20,10],b=float32[10]>"
ROWS = "<x=float32[32,20],y=int32[32]>"


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch):
    """Leaves made by these tests are none of later tests' trees, which would import TensorFlow for them."""
    monkeypatch.setattr(tf_leaves, "_made", False)


def trained(model, rows):
    """One step of a linear classifier."""
    w, b = model["w"], model["b"]
    with tf.GradientTape() as tape:
        tape.watch([w, b])
        scores = rows["x"] @ w + b
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(rows["y"], scores))
    slope_w, slope_b = tape.gradient(loss, [w, b])
    return {"w": w - 0.1 * slope_w, "b": b - 0.1 * slope_b}


def members(n):
    """Drawn arguments of so many members, stacked."""
    rng = np.random.default_rng(5)
    drawn = [rng.normal(size=(n, *shape)).astype(np.float32) for shape in ((20, 10), (10,), (32, 20))]
    return (drawn[0], drawn[1]), (drawn[2], rng.integers(0, 10, (n, 32)).astype(np.int32))


def one_by_one(step, argument, n):
    """What each member alone gives."""
    single = tf_leaves.load(step.node)
    return [single(batch_form.row(argument, step.type_signature.parameter, i)) for i in range(n)]


def together(step, argument, n):
    """What the batch form gives, None if it is not used."""
    return batch_form.run(step.node, argument, n)


def test_what_only_multiplies_and_adds_has_the_leafs_bits():
    """All of 150 rows, in more than one group, are those of the leaf by itself."""
    scaled = tierfed.tf_computation(lambda x, y: (x * y + 1.0, x[0] @ x[1]), "float32[2,64,64]", np.float32, batch=True)
    rng = np.random.default_rng(1)
    argument = (rng.normal(size=(150, 2, 64, 64)).astype(np.float32), rng.normal(size=150).astype(np.float32))
    for a, b in zip(together(scaled, argument, 150), one_by_one(scaled, argument, 150), strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.slow
def test_a_training_step_adds_in_another_order():
    """The slopes of biases differ in last bits: exactly is an error, within a tolerance is not, else one by one."""
    argument = members(80)
    with pytest.raises(LeafError, match=r"batch form of trained: it gives other bits than the leaf itself, in row \d"):
        together(tierfed.tf_computation(trained, MODEL, ROWS, batch=True), argument, 80)
    assert together(tierfed.tf_computation(trained, MODEL, ROWS, batch="auto"), argument, 80) is None
    near = tierfed.tf_computation(trained, MODEL, ROWS, batch=True, tolerance=1e-6)
    alone, all_at_once = one_by_one(near, argument, 80), together(near, argument, 80)
    for a, b in zip(alone, all_at_once, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-6)
    assert any(not np.array_equal(a[1], b[1]) for a, b in zip(alone, all_at_once, strict=True))


def test_what_cannot_be_vectorised_is_refused_where_it_is_declared():
    """Variables are shared, random numbers have no form: told at once, or run one by one with auto."""

    def kept(x):
        v = tf.Variable(x)
        v.assign_add(x)
        return v + 0.0

    with pytest.raises(LeafError, match="cannot vectorise it: members would share its variables"):
        tierfed.tf_computation(kept, "float32[2]", batch=True)
    auto = tierfed.tf_computation(kept, "float32[2]", batch="auto")
    assert together(auto, np.ones((3, 2), np.float32), 3) is None
    with pytest.raises(LeafError, match="cannot vectorise it: No pfor vectorization defined for"):
        tierfed.tf_computation(
            lambda x: tf.data.Dataset.from_tensor_slices(x).reduce(0.0, lambda a, b: a + b), "float32[4]", batch=True
        )


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"tolerance": 0.1}, "tolerance= without batch=: nothing may differ"),
        ({"batch": True, "stateful": True}, "members would draw other numbers"),
        ({"batch": "yes"}, "batch='yes': a graph has no other form"),
    ],
)
def test_settings_that_do_not_go_together(settings, what):
    """Each is told, at the user's line."""
    with pytest.raises(TypeMismatch, match=what):
        tierfed.tf_computation(lambda x: x, "float32[2]", **settings)


def test_what_has_no_axis_for_members():
    """Open sizes, sequences and leaves without an argument are not stacked."""
    for types in (("float32[?]",), ("float32*",), ("str",)):
        with pytest.raises(TypeMismatch, match="cannot be stacked over members"):
            tierfed.tf_computation(lambda x: x, *types, batch=True)
    with pytest.raises(TypeMismatch, match="nothing differs between members"):
        tierfed.tf_computation(lambda: tf.constant(1), batch=True)


def test_a_fleet_runs_them_at_once(tmp_path, monkeypatch):
    """A simulated round gives the reference's bits; a member whose assertion fails is lost alone."""
    from tierfed.topology import parse_topology

    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    calls = []
    whole = batch_form.run
    monkeypatch.setattr(batch_form, "run", lambda *args: calls.append(whole(*args)) or calls[-1])

    def halved(x):
        tf.debugging.assert_greater(x, 0.0, "not positive")
        return x * 0.5

    leaf = tierfed.tf_computation(halved, np.float32, batch=True)

    @tierfed.federated_computation("{float32}@CLIENTS")
    def total(x):
        return tierfed.federated_sum(tierfed.federated_map(leaf, x))

    tree = """
apiVersion: tierfed/v1
kind: Topology
placements:
  SERVER: {collect: {quorum: 50%}}
  CLIENTS: {parent: SERVER, per_parent: 6}
"""
    with tierfed.simulate(parse_topology(tree)) as fleet:
        assert fleet.invoke(total, [1, 2, 3, 4, 5, 6]) == 10.5
        assert calls == [[0.5, 1.0, 1.5, 2.0, 2.5, 3.0]]
        assert fleet.invoke(total, [1, 2, 3, 4, 5, -6]) == 7.5
        assert calls[1:] == [None]
        assert [(loss["node"], "not positive" in loss["reason"]) for loss in fleet.recorder.lost] == [
            ("clients-5", True)
        ]
