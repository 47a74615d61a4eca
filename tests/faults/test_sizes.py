"""Large and small values over three tiers in memory: two thousand tensors, none, and what may take its time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fault_served import served, virtually

import tierfed
from tierfed.node import invocation
from tierfed.node.accumulator import Accumulator
from tierfed.node.memory_transport import MemoryTransport
from tierfed.node.node import Node
from tierfed.topology import Topology
from tierfed.topology import tree as fan_out
from tierfed.topology.messages import predicted
from tierfed.types import StructType, TensorType

MANY = StructType([(f"t{i}", TensorType("float32", [i % 7])) for i in range(2000)])
FEW = StructType(
    [("zero", TensorType("float32", [0, 3])), ("one", TensorType("float32", [])), ("none", StructType([]))]
)
NOTHING = StructType([])


def two() -> Topology:
    """An edge with two clients."""
    return fan_out({"EDGE_AGGREGATORS": 1, "CLIENTS": 2})


def mean_of(t: Any) -> Any:
    """A program: the mean of what all clients are sent."""

    @tierfed.federated_computation(tierfed.FederatedType(t, tierfed.SERVER))
    def mean(model: Any) -> Any:
        return tierfed.federated_mean(tierfed.federated_broadcast(model))

    return mean


@tierfed.federated_computation(NOTHING)
def one(model: Any) -> Any:
    """One."""
    return np.int32(1)


@tierfed.federated_computation(tierfed.FederatedType(NOTHING, tierfed.SERVER))
def nothing_around(model: Any) -> Any:
    """Every client is sent an empty struct, and passes it on."""
    return tierfed.federated_sum(tierfed.federated_map(one, tierfed.federated_broadcast(model)))


ROUNDS: dict[str, tuple[Any, Any]] = {
    "two thousand": (mean_of(MANY), tuple(np.full(i % 7, i, np.float32) for i in range(2000))),
    "empty tensors": (mean_of(FEW), (np.zeros((0, 3), np.float32), np.float32(2), ())),
    "an empty struct": (nothing_around, ()),
}


@pytest.mark.parametrize("name", ROUNDS)
def test_small_values_and_none_take_the_bytes_that_were_predicted(name: str) -> None:
    """The result is right, a message a link and way is counted, and bytes are as `tierfed show` says."""
    program, value = ROUNDS[name]

    async def main() -> tuple[Any, Any, Any]:
        async with served(MemoryTransport(), two()) as tree:
            compiled = tree.compiled(program)
            return (predicted(tree.topology, compiled), *await tree.driver.invoke(compiled, value))

    said, result, record = virtually(main())
    assert record.counts == {"SERVER": 1, "EDGE_AGGREGATORS": 1, "CLIENTS": 2}
    expected = value if program is not nothing_around else np.int32(2)
    assert repr(result) == repr(expected)
    for tier, links in (("EDGE_AGGREGATORS", 1), ("CLIENTS", 2)):
        up, raw_up, down, raw_down, *messages = record.traffic[tier]
        assert messages == [links, links]
        forecast = said[tier]
        of = (forecast.up, forecast.raw_up, forecast.down, forecast.raw_down)
        for counted, predicted_ in zip((up, raw_up, down, raw_down), of, strict=True):
            assert abs(counted - predicted_) <= 64 * links


@pytest.mark.parametrize("large", [True, False])
def test_sums_of_a_large_model_begin_and_end_off_the_loop(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What writes megabytes is done apart, at every aggregator; a small sum is not worth a thread."""
    apart: list[bool] = []
    seen: list[bool] = []

    class Seen(Accumulator):
        def __init__(self, *given: Any) -> None:
            seen.append(bool(apart))
            super().__init__(*given)

        def result(self) -> dict[str, Any]:
            seen.append(bool(apart))
            return super().result()

    before = Node.apart

    async def noted(self: Node, work: Any) -> Any:
        def inside() -> Any:
            apart.append(True)
            try:
                return work()
            finally:
                apart.pop()

        return await before(self, inside)

    monkeypatch.setattr(invocation, "Accumulator", Seen)
    monkeypatch.setattr(Node, "apart", noted)

    async def main() -> Any:
        async with served(MemoryTransport(), two()) as tree:
            size = (1 << 19) if large else 1000
            return await tree.ask(mean_of((np.float32, [size])), np.ones(size, np.float32))

    result, _ = virtually(main())
    assert (result == 1).all()
    assert seen == [large] * 4
