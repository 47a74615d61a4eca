"""A program held against its topology, and its bytes predicted."""

from __future__ import annotations

from typing import Any

import pytest

import tierfed
from tierfed.codecs import codec
from tierfed.compiler import compile
from tierfed.errors import CodecError, DataError
from tierfed.language.computation import Computation
from tierfed.placements import CLIENTS, SERVER
from tierfed.topology import Topology, tree
from tierfed.topology.plan import Predicted, check, misfits, predicted
from tierfed.types import FederatedType, to_type
from tierfed.types.values import zero
from tierfed.wire.message import encode_message

FAN_OUT = {"EDGE_AGGREGATORS": 2, "CLIENTS": 3}


def summed(t: str) -> Computation:
    """Return a program that sums values of type `t` over the clients."""

    @tierfed.federated_computation(FederatedType(to_type(t), CLIENTS))
    def total(values: Any) -> Any:
        return tierfed.federated_sum(values)

    assert isinstance(total, Computation)
    return total


def of(computation: Computation, topology: Topology) -> dict[str, Predicted | None]:
    """Return what is predicted for a program."""
    return predicted(topology, compile(computation, topology.hierarchy))


def payload(t: str, spec: str) -> int:
    """Return the bytes of one message of a value of `t`, frames without headers."""
    message = encode_message({}, [("v", to_type(t), zero(to_type(t)))], codec(spec))
    return sum(sum(map(len, buffers)) + -sum(map(len, buffers)) % 64 for _, buffers in message)


@pytest.mark.parametrize("t", ["int32", "float32[10]", "<a=float32[5000],b=float64[7]>", "float32[300000]"])
@pytest.mark.parametrize("spec", ["none", "int8", "bf16"])
def test_payloads_are_those_of_real_messages(t: str, spec: str) -> None:
    """Every member sends one message up, and was sent its own value down; the headers are told apart."""
    topology = tree(FAN_OUT, codec={"CLIENTS": {"up": spec}})
    found = of(summed(t), topology)
    clients, edges = found["CLIENTS"], found["EDGE_AGGREGATORS"]
    assert clients is not None and edges is not None and clients.exact_up
    assert clients.up - clients.headers_up == 6 * payload(t, spec)
    assert clients.raw_up - clients.headers_up == 6 * payload(t, "none")
    assert edges.up - edges.headers_up == 2 * payload(t, "none")
    assert clients.raw_down == clients.down and clients.down - clients.headers_down == 6 * payload(t, "none")


def test_the_list_for_a_subtree_is_as_long_as_the_subtree() -> None:
    """On its way down through an edge, the list of the clients' values is in the edge's message."""
    topology = tree(FAN_OUT)
    edges = of(summed("float32[10]"), topology)["EDGE_AGGREGATORS"]
    values = [zero(to_type("float32[10]"))] * 3
    message = encode_message({}, [("v", to_type("float32[10]"), values)], codec("none"), many=["v"])
    (sealed,) = [buffers for _, buffers in message]
    size = sum(map(len, sealed))
    assert edges is not None
    assert edges.down - edges.headers_down == 2 * (size + -size % 64)


def test_behind_zstd_it_is_nominal() -> None:
    """What zstd saves is not known, and the prediction says so; small values go raw, so theirs is exact."""
    topology = tree(FAN_OUT, codec={"CLIENTS": {"up": "int8+zstd"}})
    large, small = of(summed("float32[5000]"), topology)["CLIENTS"], of(summed("float32[10]"), topology)["CLIENTS"]
    plain = of(summed("float32[5000]"), tree(FAN_OUT, codec={"CLIENTS": {"up": "int8"}}))["CLIENTS"]
    assert large is not None and small is not None and plain is not None
    assert (large.exact_up, small.exact_up, large.exact_down) == (False, True, True)
    assert large.up - large.headers_up == plain.up - plain.headers_up


def test_tiers_that_take_no_part_move_nothing() -> None:
    """A program that stays at the server sends nobody anything."""

    @tierfed.federated_computation(FederatedType(to_type("float32[10]"), SERVER))
    def twice(value: Any) -> Any:
        return value + value

    nothing = Predicted(0, 0, 0, 0, 0, 0, True, True)
    assert of(twice, tree(FAN_OUT)) == {"EDGE_AGGREGATORS": nothing, "CLIENTS": nothing}


def test_open_sizes_are_not_predicted() -> None:
    """Where the values decide, there is no number rather than a wrong one."""

    @tierfed.federated_computation(FederatedType(to_type("float32[?]"), CLIENTS))
    def longest(values: Any) -> Any:
        return tierfed.federated_aggregate(
            values,
            0,
            lambda total, value: total,
            lambda total, other: total + other,
            lambda total: total,
        )

    found = of(longest, tree(FAN_OUT))
    assert found == {"EDGE_AGGREGATORS": None, "CLIENTS": None}


def test_a_codec_that_does_not_carry_a_value_is_named() -> None:
    """Where the codec is set, which value, on which way, and what would mend it; each once, however many nodes."""
    topology = tree(FAN_OUT, codec={"CLIENTS": {"up": "int8", "down": "bf16"}, "EDGE_AGGREGATORS": {"up": "none"}})
    compiled = compile(summed("<a=int64[5000],b=float32[9000]>"), topology.hierarchy)
    found = misfits(topology, compiled)
    assert sorted(str(error.where) for error in found) == [
        "placements.CLIENTS.codec.down",
        "placements.CLIENTS.codec.up",
    ]
    up = next(error for error in found if str(error.where).endswith("up"))
    assert isinstance(up, CodecError)
    assert up.what.startswith("int8 carries ") and "not int64[5000] (" in up.what
    assert ".a, on its way up)" in up.what and "use codec none on this link" in str(up.mend)
    with pytest.raises(CodecError, match=r"not int64\[5000\]"):
        check(topology, compiled)
    assert misfits(tree(FAN_OUT), compiled) == []
    assert misfits(topology, compile(summed("<a=int64[4095],b=float32[9000]>"), topology.hierarchy)) == []


@pytest.mark.parametrize(
    ("data", "uri", "t", "told"),
    [
        (None, "train", "<x=float32[?,784],y=int32[?]>", "the program asks for 'train', and no data is given"),
        ("fashion-mnist-6k", "trian", "<x=float32[?,784],y=int32[?]>", "has no 'trian'"),
        ("fashion-mnist-6k", "train", "<x=float64[?,784],y=int32[?]>", "the program asks for <x=float64"),
        ("fashion-mnist-6k", "train", "<x=float32[?,784],y=int32[?]>", None),
        (None, "tierfed:member", "<index=int32,seed=uint64>", None),
    ],
)
def test_data_that_is_not_there(data: str | None, uri: str, t: str, told: str | None) -> None:
    """What the program loads is asked of the topology's data, without loading any."""

    @tierfed.federated_computation
    def count() -> Any:
        here = tierfed.federated_data(uri, t, CLIENTS)
        return tierfed.federated_sum(tierfed.federated_map(lambda value: 1, here))

    job = {"program": "a:b"} if data is None else {"program": "a:b", "data": {"dataset": data, "split": "iid"}}
    topology = tree(FAN_OUT, job=job)
    found = misfits(topology, compile(count, topology.hierarchy))
    assert [told in error.what for error in found if told] == [True] * (told is not None)
    assert all(isinstance(error, DataError) for error in found) and (told is None) == (found == [])
