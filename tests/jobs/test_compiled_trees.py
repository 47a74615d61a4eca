"""Trees whose links have compiled codecs, and trees that keep to numpy, give the same bits."""

import sys

import numpy as np
import pytest

import tierfed

pytest.importorskip("numba")

VECTOR = tierfed.to_type("float32[70000]")
LOOPS = "tierfed.codecs.fast.int8"


@tierfed.py_computation(VECTOR, returns=np.int32)
def has_loops(vector):
    """Return whether this process has loaded the loops of int8."""
    return np.int32(LOOPS in sys.modules)


@tierfed.federated_computation(tierfed.FederatedType(VECTOR, tierfed.CLIENTS))
def added(vectors):
    """Return the sum of vectors, and the number of clients that have loops."""
    return tierfed.federated_sum(vectors), tierfed.federated_sum(tierfed.federated_map(has_loops, vectors))


def test_a_tree_with_compiled_codecs_sums_to_the_same_bits(monkeypatch):
    """The zygote loads the loops that its links need, unless TIERFED_FAST=0; sums, drawn at random, are the same."""
    vectors = list(np.random.default_rng(0).standard_normal((2, 70_000), np.float32))
    results = []
    for fast in ("0", "1"):
        monkeypatch.setenv("TIERFED_FAST", fast)
        up = {"CLIENTS": {"up": "int8(stochastic=true)"}}
        with tierfed.up(tierfed.tree({"CLIENTS": 2}, codec=up, seed=7)) as tree:
            results.append(tree.invoke(added, vectors))
    (by_numpy, none), (by_loops, both) = results
    assert (none, both) == (0, 2)
    assert by_numpy.tobytes() == by_loops.tobytes()
    assert 0 < np.abs(by_loops - sum(vectors)).max() < 0.1
