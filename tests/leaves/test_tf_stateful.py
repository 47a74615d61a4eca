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

drawn = tierfed.tf_computation(lambda: tf.random.uniform([], dtype=tf.float64), stateful=True)
noisy = tierfed.tf_computation(lambda x: x + tf.random.uniform([], dtype=tf.float64), np.float64, stateful=True)
pure = tierfed.tf_computation(lambda x: x + 1, np.float64)


@tierfed.federated_computation(
    tierfed.FederatedType(np.float64, tierfed.SERVER), tierfed.FederatedType(np.float64, tierfed.CLIENTS)
)
def draws(x, y):
    shared = drawn()
    at_clients = tierfed.federated_map(lambda v: v + shared, y)
    return {
        "apart": tierfed.federated_map(noisy, tierfed.federated_broadcast(x)),
        "twice": (tierfed.federated_map(noisy, x), tierfed.federated_map(noisy, x)),
        "unplaced": (drawn(), drawn()),
        "once": (tierfed.federated_map(lambda v: v + shared, x), at_clients),
        "at_each": tierfed.federated_eval(drawn, tierfed.CLIENTS),
    }


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
    assert leaves_in(draws) == 7  # one of "apart" and "at_each" each, two of "twice" and "unplaced" each, one of "once"

    @tierfed.federated_computation(tierfed.FederatedType(np.float64, tierfed.SERVER))
    def twice(x):
        return tierfed.federated_map(pure, x), tierfed.federated_map(pure, x)

    assert leaves_in(twice) == 1


def test_what_is_equal_at_all_members_is_not_after_a_draw():
    """A map that draws over an all-equal value gives one value a member; a pure map leaves it all-equal."""
    t = draws.type_signature.result
    assert str(t["apart"]) == "{float64}@CLIENTS"
    assert str(t["twice"]) == "<float64@SERVER,float64@SERVER>"

    @tierfed.federated_computation(tierfed.FederatedType(np.float64, tierfed.SERVER))
    def shown(x):
        return tierfed.federated_map(pure, tierfed.federated_broadcast(x))

    assert str(shown.type_signature.result) == "float64@CLIENTS"


def test_in_the_reference():
    """The reference draws as often as the program says."""
    in_all(draws(0.0, [0.0, 0.0, 0.0]))


def test_on_daemons():
    """So do daemons, whose members are processes of their own, and what is unplaced is drawn once for all."""
    with tierfed.up(tierfed.tree(fan_out={"CLIENTS": 3}, collect={"SERVER": {"deadline": "60s"}})) as tree:
        result = tree.invoke(draws, 0.0, [0.0, 0.0, 0.0])
        in_all(
            {**result, "apart": list(result["apart"]), "at_each": list(result["at_each"])}
            | {"once": (result["once"][0], list(result["once"][1]))}
        )


def test_the_mark_travels():
    """A serialized leaf that draws still says so, and a graph that draws under a leaf that does not is refused."""
    again = tierfed.deserialize(tierfed.serialize(noisy))
    assert again.node.leaf.stateful and again.node == noisy.node
    with pytest.raises(tierfed.LeafError, match="draws random numbers of its own"):
        tf_leaves.load(Compiled(replace(noisy.node.leaf, stateful=False), noisy.node.of))
