"""The contexts of federated-language, over executors of ours: its computations are called as its users call them."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from program_trees import HIERARCHIES
from served import on_sockets
from test_agreement import grown

import tierfed
from tierfed import PlacementError, TypeMismatch

fl = pytest.importorskip("federated_language", reason="pip install 'tierfed[interop]'")
TREE = grown(HIERARCHIES["three tiers"], {"EDGE_AGGREGATORS": [3], "CLIENTS": [2, 0, 1]})
I32, F = np.int32, np.float32
PUBLIC = "federated-language"
AT_CLIENTS = fl.FederatedType(I32, fl.CLIENTS)


@fl.federated_computation(fl.FederatedType(F, fl.CLIENTS))
def get_average_temperature(readings: Any) -> Any:
    """The specification's example, word for word."""
    return fl.federated_mean(readings)


@fl.federated_computation(AT_CLIENTS, fl.FederatedType(I32, fl.SERVER))
def step(x: Any, state: Any) -> Any:
    """Structs, lists and containers of results."""
    down = fl.federated_broadcast(state)
    return collections.OrderedDict(total=fl.federated_sum(x), each=fl.federated_zip([x, down]), same=(state, x))


@fl.federated_computation(fl.FunctionType(AT_CLIENTS, fl.FederatedType(I32, fl.SERVER)), AT_CLIENTS)
def applied(f: Any, x: Any) -> Any:
    """A function as an argument."""
    return f(x)


@fl.federated_computation(AT_CLIENTS)
def summed(x: Any) -> Any:
    """A sum."""
    return fl.federated_sum(x)


@fl.federated_computation(fl.FederatedType(fl.StructType([("a", I32), ("b", fl.SequenceType(I32))]), fl.CLIENTS))
def structs(x: Any) -> Any:
    """Structs at the clients, with a sequence in them."""
    return x


@pytest.fixture(scope="module", params=["flat", "reference", "daemons"])
def factory(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A factory for that package's contexts."""
    if request.param == "daemons":
        with on_sockets(TREE) as native:
            yield tierfed.executor_factory(native, for_=PUBLIC)
    else:
        yield tierfed.executor_factory(TREE if request.param == "reference" else None, for_=PUBLIC)


@pytest.fixture
def installed(factory: Any) -> Iterator[None]:
    """Its synchronous context, installed."""
    with fl.framework.get_context_stack().install(fl.framework.SyncExecutionContext(executor_fn=factory)):
        yield
    factory.clean_up_executors()


def test_the_specifications_example(installed: None) -> None:
    """A computation of that package is called with Python values, and runs here."""
    assert np.allclose(get_average_temperature([68.5, 70.3, 69.8]), 69.53333)


def test_containers_of_results(installed: None) -> None:
    """Structs come back in the containers that the other package's types remember."""
    result = step([1, 2, 3], 10)
    assert isinstance(result, collections.OrderedDict)
    assert result == collections.OrderedDict(total=6, each=[[1, 10], [2, 10], [3, 10]], same=(10, [1, 2, 3]))


def test_functions_and_structs_as_arguments(installed: None) -> None:
    """A function, and members' structs, are passed as users pass them there."""
    assert applied(summed, [1, 2, 3]) == 6
    rows = [collections.OrderedDict(a=i, b=[i] * i) for i in range(3)]
    assert structs(rows) == rows


def test_an_asynchronous_context(factory: Any) -> None:
    """Its asynchronous context runs several at once."""

    async def main() -> Any:
        context = fl.framework.AsyncExecutionContext(executor_fn=factory)
        return await asyncio.gather(*(context.invoke(summed, [i, i, i]) for i in range(4)))

    assert asyncio.run(main()) == [0, 3, 6, 9]


async def test_value_by_value(factory: Any) -> None:
    """The interface itself: types are that package's, and the reference of a value is ours."""
    executor = factory.create_executor({fl.CLIENTS: 3})
    x = await executor.create_value([1, 2, 3], AT_CLIENTS)
    f = await executor.create_value(summed, summed.type_signature)
    called = await executor.create_call(f, x)
    both = await executor.create_struct({"s": called, "x": x})
    assert str(both.type_signature) == "<s=int32@SERVER,x={int32}@CLIENTS>" == str(both.reference.type_signature)
    first = await executor.create_selection(both, 0)
    assert (str(first.type_signature), await first.compute()) == ("int32@SERVER", 6)
    with pytest.raises(TypeMismatch, match="a value without its type"):
        await executor.create_value(5)
    executor.close()
    factory.clean_up_executor({fl.CLIENTS: 3})


def test_counts() -> None:
    """Without a tree there are as many clients as values; with one, as many as it has, or the counts are refused."""
    flat = fl.framework.SyncExecutionContext(executor_fn=tierfed.executor_factory(for_=PUBLIC))
    assert [flat.invoke(summed, [1] * n) for n in (0, 1, 5)] == [0, 1, 5]
    context = fl.framework.SyncExecutionContext(executor_fn=tierfed.executor_factory(TREE, for_=PUBLIC))
    with pytest.raises(PlacementError, match="CLIENTS: 4 asked for, and the tree has CLIENTS: 3"):
        context.invoke(summed, [1, 2, 3, 4])
    assert context.invoke(summed, [1, 2, 3]) == 6  # the refusal left the context as it was


def test_other_packages() -> None:
    """There are executors for one other package."""
    with pytest.raises(TypeMismatch, match="no executors are for 'tff'"):
        tierfed.executor_factory(for_="tff")
