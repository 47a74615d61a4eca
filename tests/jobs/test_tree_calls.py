"""What a caller of a tree is told: of arguments that do not fit, programs too large, a tree that is down."""

import asyncio

import numpy as np
import pytest

import tierfed

READINGS = tierfed.FederatedType(np.float32, tierfed.CLIENTS)
LARGE = np.arange(600_000, dtype=np.float64)  # twice in what is sent: 9.6 MB, more than a frame takes


@tierfed.federated_computation(READINGS)
def mean(readings):
    return tierfed.federated_mean(readings)


@tierfed.federated_computation(READINGS)
def with_a_large_constant(readings):
    return tierfed.federated_mean(readings), tierfed.federated_value(LARGE, tierfed.SERVER)


async def awaited(tree):
    return await tree.ainvoke(mean, readings=[1, 2])


def test_errors_of_a_call():
    with tierfed.up(tierfed.tree(fan_out={"CLIENTS": 2})) as tree:
        with pytest.raises(tierfed.TypeMismatch, match=r"test_tree_calls\.py:\d+: .* 1 were given by name: readings"):
            mean(readings=[1, 2])
        with pytest.raises(tierfed.TypeMismatch, match=r"test_tree_calls\.py:\d+: "):
            asyncio.run(awaited(tree))
        with pytest.raises(tierfed.ValueMismatch, match="got set"):
            mean({1.0, 2.0})  # a set has no order
        with pytest.raises(tierfed.ProtocolError, match="pass large arrays as arguments"):
            with_a_large_constant([1, 2])
        assert mean([1, 2]) == 1.5  # the tree is as good as before
    with pytest.raises(tierfed.NoSuchRun, match="this tree is down"):
        tree.invoke(mean, [1, 2])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda x: x == 3, "has no =="),
        (lambda x: x > 3, "has no >"),
        (lambda x: x**2, r"has no \*\*"),
        (lambda x: -x, "has no unary -"),
        (lambda x: int(x), r"has no int\(\)"),
        (lambda x: np.mean(x), r"test_tree_calls\.py:\d+: numpy's mean is called with a traced value"),
    ],
)
def test_what_traced_values_do_not_do(wrong, said):
    with pytest.raises(tierfed.TypeMismatch, match=said):
        tierfed.federated_computation(READINGS)(wrong)


def test_settings_of_a_tree_are_mappings():
    with pytest.raises(tierfed.TopologyError, match="colocate: expected a mapping from placements"):
        tierfed.tree(fan_out={"CLIENTS": 2}, colocate=2)
