"""Every dtype, open sizes, nested structs and every Python container, here and over sockets: what goes in comes back.

A value passes through map, broadcast, eval, collect, select and the operators on sequences bit
for bit, in the container that it was written in.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import attrs
import numpy as np
import pytest
from program_trees import EDGE, HIERARCHIES
from served import on_sockets
from test_agreement import grown

import tierfed
from tierfed import CLIENTS, SERVER, FederatedType, Struct, StructType, TensorType
from tierfed.backends.native.context import NativeContext
from tierfed.language.arguments import hold
from tierfed.language.placed import Placed, PlacedHere
from tierfed.types import Type
from tierfed.types.dtypes import dtype_of
from tierfed.types.values import same

program = tierfed.federated_computation
TREE = grown(HIERARCHIES["three tiers"], {"EDGE_AGGREGATORS": [3], "CLIENTS": [2, 0, 1]})
COUNT = 3


@pytest.fixture(scope="module")
def native() -> Iterator[NativeContext]:
    """Three edges, of which one has no clients, over sockets."""
    with on_sockets(TREE) as context:
        yield context


@pytest.fixture(params=["here", "over sockets"])
def run(request: pytest.FixtureRequest, native: NativeContext) -> Iterator[Callable[..., Any]]:
    """Call a computation on that tree."""
    if request.param == "here":
        with tierfed.local(topology=TREE) as context:
            yield context.invoke
    else:
        yield native.invoke


DTYPES = (
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 bfloat16 complex64 complex128 str"
).split()


def of_every_shape(dtype: str) -> StructType:
    """Known and unknown sizes and ranks, in structs whose elements have names or none."""
    return StructType(
        [
            ("scalar", TensorType(dtype)),
            ("known", TensorType(dtype, (2, 3))),
            ("none", TensorType(dtype, (0, 2))),
            ("open", TensorType(dtype, (None, 2))),
            (None, TensorType(dtype, None)),
            ("nested", StructType([("a b", TensorType(dtype)), (None, StructType([TensorType(dtype, (None,))]))])),
            (None, StructType([])),
        ]
    )


def bits(rng: np.random.Generator, t: Type) -> Any:
    """A value of `t` of any bits at all: numbers that are none among them."""
    if isinstance(t, StructType):
        parts = [(n, bits(rng, e)) for n, e in t.elements]
        return (
            tuple(v for _, v in parts)
            if all(n is None for n, _ in parts)
            else Struct(t.names, tuple(v for _, v in parts))
        )
    assert isinstance(t, TensorType)
    rank = int(rng.integers(0, 4)) if t.shape is None else len(t.shape)
    shape = [int(rng.integers(0, 4)) if s is None else s for s in t.shape or [None] * rank]
    count = int(np.prod(shape))
    if t.name == "str":
        words = ["", "a", "naïve", "日本語\0"]
        return np.array([*(words[i] for i in rng.integers(0, 4, count)), None], object)[:-1].reshape(shape)
    if t.name == "bool":
        return (rng.random(shape) < 0.5).reshape(shape)
    return np.frombuffer(rng.bytes(count * t.dtype.itemsize), dtype_of(t.name)).reshape(shape)


def travels(x: Any, own: Any, one: Any, key: Any) -> dict[str, Any]:
    """All the ways that a value may go: x is the clients', own the edges', one the server's."""
    down = tierfed.federated_broadcast(one)
    rows = tierfed.federated_collect(x)
    here = tierfed.federated_collect(x, to=EDGE)
    return {
        "same": tierfed.federated_map(lambda v: v, x),
        "wrapped": tierfed.federated_map(lambda v: {"it": v, "twice": (v, v)}, x),
        "down": down,
        "own": tierfed.federated_broadcast(own),
        "zipped": tierfed.federated_zip((x, down)),
        "rows": rows,
        "here": here,
        "back": tierfed.federated_broadcast(rows),
        "mapped": tierfed.sequence_map(lambda v: {"it": v}, here),
        "last": tierfed.sequence_reduce(rows, key, lambda u, v: v),
        "picked": tierfed.federated_select(
            tierfed.federated_value(np.array([1, 0], np.int32), CLIENTS),
            tierfed.federated_value(np.int32(1), SERVER),
            one,
            lambda table, k: (table, k),
        ),
        "told": tierfed.federated_eval(lambda: key, CLIENTS),
    }


def arrived(x: list[Any], own: list[Any], one: Any, key: Any) -> dict[str, Any]:
    """What `travels` has to give, with the same bits; by hand."""
    wrapped = [{"it": v} for v in x]
    groups = ((0, 1), (), (2,))
    return {
        "same": x,
        "wrapped": [{"it": v, "twice": (v, v)} for v in x],
        "down": one,
        "own": [own[0], own[0], own[2]],
        "zipped": [(v, one) for v in x],
        "rows": x,
        "here": [[x[i] for i in g] for g in groups],
        "back": x,
        "mapped": [[wrapped[i] for i in g] for g in groups],
        "last": x[-1],
        "picked": [[(one, np.int32(1)), (one, np.int32(0))]] * COUNT,
        "told": [key] * COUNT,
    }


def computation(t: Type) -> tierfed.Computation:
    """`travels` at a type."""
    return program(FederatedType(t, CLIENTS), FederatedType(t, EDGE), FederatedType(t, SERVER, True), t)(
        lambda x, own, one, key: travels(x, own, one, key)
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(run: Callable[..., Any], dtype: str) -> None:
    """Bit for bit, not-a-numbers with their payloads, whatever the sizes at each member."""
    t = of_every_shape(dtype)
    rng = np.random.default_rng(DTYPES.index(dtype))
    x, own = ([bits(rng, t) for _ in range(3)] for _ in range(2))
    one, key = bits(rng, t), bits(rng, t)
    whole = computation(t)
    found = run(whole, x, own, one, key)
    expected = arrived(x, own, one, key)
    assert list(found) == list(expected)
    for name, part in zip(expected, whole.type_signature.result.parts(), strict=True):
        assert same(hold(fetched(found[name]), part, name), hold(expected[name], part, name), part), name


def test_a_difference_of_one_bit_is_seen() -> None:
    """The comparison of these tests is one of bits."""
    t = of_every_shape("float32")
    one = bits(np.random.default_rng(1), t)
    held = hold(one, t, "it")
    flipped = np.array(held[1])
    flipped.view(np.uint32)[1, 2] ^= 1
    assert same(held, hold(one, t, "it"), t)
    assert not same(held, (held[0], flipped, *held[2:]), t)


# -- containers

V, N = TensorType("float32", (2,)), TensorType("int32")


class Named(NamedTuple):
    """A NamedTuple."""

    v: V
    n: np.int32


@dataclasses.dataclass
class Data:
    """A dataclass."""

    v: V
    n: np.int32


@attrs.define
class State:
    """An attrs class, with a NamedTuple in it."""

    n: np.int32
    inner: Named


def vector(i: int) -> Any:
    """Two numbers of their own."""
    return np.array([i, -i / 3], np.float32)


FORMS: dict[str, tuple[Any, Callable[[int], Any]]] = {
    "tuple": ((V, N), lambda i: (vector(i), np.int32(i))),
    "tuple of one": ((V,), lambda i: (vector(i),)),
    "list": ([V, V], lambda i: [vector(i), vector(i + 1)]),
    "dict": ({"n": N, "v": V}, lambda i: {"n": np.int32(i), "v": vector(i)}),
    "OrderedDict": (OrderedDict(v=V, n=N), lambda i: OrderedDict(v=vector(i), n=np.int32(i))),
    "NamedTuple": (Named, lambda i: Named(vector(i), np.int32(i))),
    "dataclass": (Data, lambda i: Data(vector(i), np.int32(i))),
    "attrs": (State, lambda i: State(np.int32(i), Named(vector(i), np.int32(i)))),
    "one in another": (
        {"list": [Data, (V, Named)], "alone": N},
        lambda i: {
            "list": [Data(vector(i), np.int32(i)), (vector(i), Named(vector(2 * i), np.int32(-i)))],
            "alone": np.int32(i),
        },
    ),
}


def fetched(value: Any) -> Any:
    """What stays at its members as the list that it stands for."""
    return list(value.fetch()) if isinstance(value, Placed | PlacedHere) else value


def alike(found: Any, expected: Any) -> bool:
    """Whether two values are of the same classes, all the way down, and equal bit for bit."""
    found = fetched(found)
    if type(found) is not type(expected):
        return False
    if isinstance(expected, dict):
        return list(found) == list(expected) and alike(list(found.values()), list(expected.values()))
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(alike, found, expected))
    if dataclasses.is_dataclass(expected) or attrs.has(type(expected)):
        return alike(vars_of(found), vars_of(expected))
    return bool(
        found.dtype == expected.dtype and found.shape == expected.shape and found.tobytes() == expected.tobytes()
    )


def vars_of(value: Any) -> dict[str, Any]:
    """The fields of a dataclass or an attrs class."""
    names = [
        f.name for f in (dataclasses.fields(value) if dataclasses.is_dataclass(value) else attrs.fields(type(value)))
    ]
    return {name: getattr(value, name) for name in names}


@pytest.mark.parametrize("form", FORMS)
def test_every_container(run: Callable[..., Any], form: str) -> None:
    """Each comes back as it was written, wherever it went, and so does what a sum makes of it."""
    t, make = FORMS[form]
    t = tierfed.to_type(t)
    x, own = [make(i) for i in range(COUNT)], [make(10 + i) for i in range(COUNT)]
    one, key = make(20), make(30)
    found = run(computation(t), x, own, one, key)
    expected = arrived(x, own, one, key)
    for name in expected:
        assert alike(found[name], expected[name]), f"{name}: {found[name]}"
    total = run(program(FederatedType(t, CLIENTS))(tierfed.federated_sum), x)
    assert type(total) is type(one)


def test_another_container_is_seen() -> None:
    """The comparison of these tests is one of classes."""
    assert alike([Named(vector(1), np.int32(1))], [Named(vector(1), np.int32(1))])
    assert not alike([Named(vector(1), np.int32(1))], [(vector(1), np.int32(1))])
    assert not alike(
        State(np.int32(1), Named(vector(1), np.int32(1))), State(np.int32(1), Named(vector(1), np.int32(2)))
    )
