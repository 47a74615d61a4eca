"""Leaves that draw: each call stays a call, and each member draws for itself."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

import tierfed
from tierfed.compiler.normalise import normalise
from tierfed.ir.nodes import Compiled
from tierfed.leaves import tf as tf_leaves

if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("TensorFlow is the extra [tf]", allow_module_level=True)
tf = tf_leaves.tensorflow()


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch):
    """Leaves made by these tests are none of later tests' trees, which would import TensorFlow for them."""
    monkeypatch.setattr(tf_leaves, "_made", False)


def noisy():
    return tierfed.tf_computation(lambda x: x + tf.random.uniform([], dtype=tf.float64), np.float64, stateful=True)


def pure():
    return tierfed.tf_computation(lambda x: x + 1, np.float64)


def drawing():
    """Return a program that draws in every way that there is."""
    drawn, noise = tierfed.tf_computation(lambda: tf.random.uniform([], dtype=tf.float64), stateful=True), noisy()

    @tierfed.federated_computation(
        tierfed.FederatedType(np.float64, tierfed.SERVER), tierfed.FederatedType(np.float64, tierfed.CLIENTS)
    )
    def draws(x, y):
        shared = drawn()
        at_clients = tierfed.federated_map(lambda v: v + shared, y)
        return {
            "apart": tierfed.federated_map(noise, tierfed.federated_broadcast(x)),
            "twice": (tierfed.federated_map(noise, x), tierfed.federated_map(noise, x)),
            "unplaced": (drawn(), drawn()),
            "once": (tierfed.federated_map(lambda v: v + shared, x), at_clients),
            "at_each": tierfed.federated_eval(drawn, tierfed.CLIENTS),
        }

    return draws


def in_all(result):
    """Hold a result of `draws` at (0, [0, 0, 0]) to what it has to be."""
    a, b = result["twice"]
    assert a != b and 0 <= a < 1
    assert result["unplaced"][0] != result["unplaced"][1]
    assert len(set(result["apart"])) == len(set(result["at_each"])) == 3
    here, there = result["once"]
    assert set(there) == {here}


def leaves_in(computation):
    """Return how many calls of leaves the normal form has."""
    return sum(isinstance(n, Compiled) for n in normalise(computation.node).walk())


def test_no_call_is_merged_and_none_is_made_twice():
    """Calls that draw stay apart in the normal form, where equal pure ones are one."""
    assert (
        leaves_in(drawing()) == 7
    )  # one of "apart" and "at_each" each, two of "twice" and "unplaced" each, one of "once"

    plus_one = pure()

    @tierfed.federated_computation(tierfed.FederatedType(np.float64, tierfed.SERVER))
    def twice(x):
        return tierfed.federated_map(plus_one, x), tierfed.federated_map(plus_one, x)

    assert leaves_in(twice) == 1


def test_what_is_equal_at_all_members_is_not_after_a_draw():
    """A map that draws over an all-equal value gives one value a member; a pure map leaves it all-equal."""
    t = drawing().type_signature.result
    assert str(t["apart"]) == "{float64}@CLIENTS"
    assert str(t["twice"]) == "<float64@SERVER,float64@SERVER>"

    plus_one = pure()

    @tierfed.federated_computation(tierfed.FederatedType(np.float64, tierfed.SERVER))
    def shown(x):
        return tierfed.federated_map(plus_one, tierfed.federated_broadcast(x))

    assert str(shown.type_signature.result) == "float64@CLIENTS"


def test_in_the_reference():
    """The reference draws as often as the program says."""
    in_all(drawing()(0.0, [0.0, 0.0, 0.0]))


@pytest.mark.slow
def test_on_daemons_that_knew_of_no_such_leaf():
    """So do daemons, which import TensorFlow by themselves; what is unplaced is drawn once for all."""
    collect = {"SERVER": {"deadline": "60s"}}
    with tierfed.up(tierfed.tree(fan_out={"CLIENTS": 3}, collect=collect, colocate={"CLIENTS": 3})) as tree:
        result = tree.invoke(drawing(), 0.0, [0.0, 0.0, 0.0])
        at_clients = {name: list(result[name]) for name in ("apart", "at_each")}
        in_all({**result, **at_clients, "once": (result["once"][0], list(result["once"][1]))})


def test_the_mark_travels():
    """A serialized leaf that draws still says so, and a graph that draws under a leaf that does not is refused."""
    noise = noisy()
    again = tierfed.deserialize(tierfed.serialize(noise))
    assert again.node.leaf.stateful and again.node == noise.node
    with pytest.raises(tierfed.LeafError, match="draws random numbers of its own"):
        tf_leaves.load(Compiled(replace(noise.node.leaf, stateful=False), noise.node.of))
