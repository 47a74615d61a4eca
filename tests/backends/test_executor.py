"""The Executor interface: over the reference, composed over the reference, and composed over daemons on sockets."""

from __future__ import annotations

import asyncio
import collections
import gc
import sys
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from program_trees import EDGE, HIERARCHIES
from served import on_sockets
from test_agreement import grown

import tierfed
from tierfed import CLIENTS, SERVER, FederatedType, NoSuchRun, PlacementError, TypeMismatch, ValueMismatch
from tierfed.backends.executor import ExecutorFactory, executor_factory
from tierfed.backends.executor.graph import GraphExecutor
from tierfed.backends.native.context import NativeContext
from tierfed.ir.nodes import Data, Intrinsic

program = tierfed.federated_computation
I32, F = np.int32, np.float32
X = FederatedType(I32, CLIENTS)
TREE = grown(HIERARCHIES["three tiers"], {"EDGE_AGGREGATORS": [3], "CLIENTS": [2, 0, 1]})
COUNTS = {"CLIENTS": 3, EDGE: 3, SERVER: 1}

total = program(X)(tierfed.federated_sum)
both = program(X, FederatedType(I32, SERVER))(lambda x, y: {"sum": tierfed.federated_sum(x), "same": y})
raised = program(X)(lambda x: tierfed.federated_map(lambda v: v + v, x))


@pytest.fixture(scope="module")
def native() -> Iterator[NativeContext]:
    """Daemons over sockets: three edges, of which one has no clients."""
    with on_sockets(TREE) as context:
        yield context


@pytest.fixture(params=["reference", "composed", "daemons"])
def factory(request: pytest.FixtureRequest, native: NativeContext) -> ExecutorFactory:
    """A factory on that tree."""
    on = {"reference": TREE, "composed": tierfed.local(topology=TREE), "daemons": native}
    return executor_factory(on[request.param])


@pytest.fixture
def executor(factory: ExecutorFactory) -> Iterator[Any]:
    """An executor on that tree."""
    yield factory.create_executor(COUNTS)
    factory.clean_up_executors()


class Pair(NamedTuple):
    """A container of a user's."""

    a: Any
    b: Any


VALUES: dict[str, tuple[Any, Any, str]] = {
    "a number": (5, None, "int32"),
    "a number at a type": (5, np.float64, "float64"),
    "an array": (np.arange(6, dtype=F).reshape(2, 3), None, "float32[2,3]"),
    "text": ("naïve", None, "str"),
    "a tuple": ((1, 2.5), None, "<int32,float32>"),
    "a dict": ({"a": 1, "b": [2, 3]}, None, "<a=int32,b=<int32,int32>>"),
    "a named tuple": (Pair(1, (True, 2)), None, "<a=int32,b=<bool,int32>>"),
    "a sequence": ([1, 2, 3], "int32*", "int32*"),
    "one a client": ([1, 2, 3], "{int32}@CLIENTS", "{int32}@CLIENTS"),
    "all-equal": (7, "int32@CLIENTS", "int32@CLIENTS"),
    "one an edge": ([[1], [2, 3], []], "{int32*}@EDGE_AGGREGATORS", "{int32*}@EDGE_AGGREGATORS"),
    "at the server": ((1, 2), "<int32,int32>@SERVER", "<int32,int32>@SERVER"),
    "a struct of placed": ({"x": [1, 2, 3], "y": 4}, {"x": X, "y": I32}, "<x={int32}@CLIENTS,y=int32>"),
    "a placement": (CLIENTS, None, "placement"),
}


@pytest.mark.parametrize("name", VALUES)
async def test_values_come_back(executor: Any, name: str) -> None:
    """A value has its type, and comes back in the user's container."""
    given, spec, text = VALUES[name]
    value = await executor.create_value(given, spec)
    assert str(value.type_signature) == text
    back = await value.compute()
    assert type(back) is type(given) or isinstance(given, int | float)
    assert np.array_equal(back, given) if isinstance(given, np.ndarray) else back == given


async def test_a_value_stays_what_it_was(executor: Any) -> None:
    """Neither the user's array nor the result shares memory with what the executor has."""
    given = np.zeros(3, F)
    value = await executor.create_value({"a": given, "rows": [given]}, {"a": (F, [3]), "rows": "float32[3]*"})
    given[:] = 1
    first = await value.compute()
    first["a"][:] = 2
    first["rows"][0][:] = 3
    second = await value.compute()
    assert second["a"].tolist() == [0, 0, 0] and second["rows"][0].tolist() == [0, 0, 0]


async def test_call_select_and_struct(executor: Any) -> None:
    """The page's example: a call, an element of its result by name and by position, a struct of them."""
    f = await executor.create_value(both)
    x = await executor.create_value([1, 2, 3], X)
    y = await executor.create_value(10, "int32@SERVER")
    called = await executor.create_call(f, await executor.create_struct([x, y]))
    assert str(called.type_signature) == "<sum=int32@SERVER,same=int32@SERVER>"
    assert await called.compute() == {"sum": 6, "same": 10}
    by_name = await executor.create_selection(called, "sum")
    by_position = await executor.create_selection(called, 1)
    mixed = await executor.create_struct([("first", by_name), (None, by_position), (None, x)])
    back = await mixed.compute()
    assert (back.first, back[1], back[2]) == (6, 10, [1, 2, 3])
    ordered = await executor.create_struct(collections.OrderedDict(b=by_name, a=x))
    assert await ordered.compute() == collections.OrderedDict(b=6, a=[1, 2, 3])
    assert await (await executor.create_struct(Pair(by_name, x))).compute() == Pair(6, [1, 2, 3])


async def test_functions_of_every_kind(executor: Any) -> None:
    """Computations, their bytes, Python functions, intrinsics by either name and calls that give functions."""
    x = await executor.create_value([1, 2, 3], X)
    plus = await executor.create_value(lambda a, b: a + b, "(<int32,int32> -> int32)")
    twice = await executor.create_value(lambda v: v + v, "(int32 -> int32)")
    mapped = await executor.create_value("federated_map", "(<(int32 -> int32),{int32}@CLIENTS> -> {int32}@CLIENTS)")
    doubled = await executor.create_call(mapped, await executor.create_struct([twice, x]))
    assert await doubled.compute() == [2, 4, 6]
    summed = await executor.create_value(tierfed.serialize(total))
    assert await (await executor.create_call(summed, doubled)).compute() == 12
    assert await (await executor.create_call(plus, await executor.create_value((3, 4)))).compute() == 7
    at_server = await executor.create_value("federated_value_at_server", "(int32 -> int32@SERVER)")
    assert await (await executor.create_call(at_server, await executor.create_value(3))).compute() == 3
    given = await executor.create_value(Intrinsic("federated_sum", total.type_signature))
    assert await (await executor.create_call(given, x)).compute() == 6
    mixed = await executor.create_value((lambda v: v + v, [1, 2, 3]), "<(int32 -> int32),{int32}@CLIENTS>")
    assert await (await executor.create_call(mapped, mixed)).compute() == [2, 4, 6]


async def test_functions_as_parameters_and_results(executor: Any) -> None:
    """A function goes into a call and comes out of one, also in a struct."""
    spec = "(<f=(int32 -> int32),x=int32> -> <y=int32,g=(int32 -> int32)>)"
    apply = await executor.create_value(lambda s: {"y": s.f(s.f(s.x)), "g": s.f}, spec)
    twice = await executor.create_value(lambda v: v + v, "(int32 -> int32)")
    pair = await executor.create_call(
        apply, await executor.create_struct({"f": twice, "x": await executor.create_value(5)})
    )
    assert await (await executor.create_selection(pair, "y")).compute() == 20
    g = await executor.create_selection(pair, "g")
    assert await (await executor.create_call(g, await executor.create_value(4))).compute() == 8
    for value in (g, pair, twice):
        with pytest.raises(TypeMismatch, match="is or holds a function, and is not computed"):
            await value.compute()


async def test_all_equal_where_one_a_member_is_taken(executor: Any) -> None:
    """`T@P` may stand for `{T}@P`, alone, in a struct, and in what a function takes; it counts once a member."""
    seven = await executor.create_value(7, "int32@CLIENTS")
    f = await executor.create_value(total)
    assert await (await executor.create_call(f, seven)).compute() == 21
    g = await executor.create_value(both)
    pair = await executor.create_struct([seven, await executor.create_value(1, "int32@SERVER")])
    assert await (await executor.create_call(g, pair)).compute() == {"sum": 21, "same": 1}
    whole = await executor.create_call(await executor.create_value(lambda: None or (1, 2), "( -> <int32,int32>)"))
    assert await whole.compute() == (1, 2)
    given = await executor.create_value(
        program(tierfed.to_type("<int32@CLIENTS,int32@SERVER>"))(lambda s: (s[0], s[1]))
    )
    assert await (await executor.create_call(g, await executor.create_call(given, pair))).compute() == {
        "sum": 21,
        "same": 1,
    }
    taken = await executor.create_value(
        lambda s: s[0](s[1]), "(<(int32@CLIENTS -> int32@SERVER),int32@CLIENTS> -> int32@SERVER)"
    )
    assert await (await executor.create_call(taken, await executor.create_struct([f, seven]))).compute() == 21


@tierfed.py_computation(I32, returns=I32)
def counted(v: Any) -> Any:
    """Count its calls in this process."""
    CALLS.append(int(v))
    return v + np.int32(1)


CALLS: list[int] = []
counting = program(X)(lambda x: tierfed.federated_sum(tierfed.federated_map(counted, x)))


@pytest.fixture(params=["reference", "composed"])
def here(request: pytest.FixtureRequest) -> Any:
    """An executor that computes in this process, so that calls can be counted."""
    CALLS.clear()
    return executor_factory(TREE if request.param == "reference" else tierfed.local(topology=TREE)).create_executor({})


async def test_nothing_is_computed_before_compute_nor_twice(here: Any) -> None:
    """Creating computes nothing; a call computes once, whether asked for alone, in parts, or by what is made of it."""
    f = await here.create_value(counting)
    first = await here.create_call(f, await here.create_value([1, 2, 3], X))
    back = await here.create_value(program(FederatedType(I32, SERVER))(lambda t: tierfed.federated_broadcast(t)))
    again = await here.create_call(f, await here.create_call(back, first))
    assert CALLS == []
    assert await again.compute() == 30
    assert CALLS == [1, 2, 3, 9, 9, 9]
    assert await first.compute() == 9  # on the way to `again`, and held: kept
    both = await here.create_struct([first, again, again])
    assert await both.compute() == [9, 30, 30]
    assert await here.computed(await here.create_selection(both, 1)) == 30
    assert len(CALLS) == 6


async def test_shared_and_not_held(here: Any) -> None:
    """What two calls share is computed once, though nobody but they hold it."""
    f = await here.create_value(counting)
    shared = await here.create_call(f, await here.create_value([1, 2, 3], X))
    plus = await here.create_value(program(FederatedType(I32, SERVER))(lambda s: s + I32(1)))
    twice = await here.create_value(program(FederatedType(I32, SERVER))(lambda s: s + s))
    more, double = await here.create_call(plus, shared), await here.create_call(twice, shared)
    del shared
    gc.collect()
    assert (await more.compute(), await double.compute()) == (10, 18)
    assert CALLS == [1, 2, 3]


async def test_a_loop_keeps_its_last_round_alone(executor: Any) -> None:
    """What a computed value was made of is let go of, however long the loop."""
    step = await executor.create_value(program(FederatedType(I32, SERVER))(lambda s: s + I32(1)))
    state = await executor.create_value(0, "int32@SERVER")
    earlier: list[weakref.ref[Any]] = []
    for number in range(4):
        state = await executor.create_call(step, state)
        earlier.append(weakref.ref(state._step))
        assert await state.compute() == number + 1
    gc.collect()
    assert [ref() is not None for ref in earlier] == [False, False, False, True]


async def test_two_parts_of_one_call(here: Any) -> None:
    """The elements of a result are had from one call."""
    f = await here.create_value(program(X)(lambda x: (tierfed.federated_sum(x), counting(x))))
    called = await here.create_call(f, await here.create_value([0, 0, 0], X))
    parts = [await here.create_selection(called, i) for i in (0, 1)]
    assert [await p.compute() for p in parts] == [0, 3]
    assert CALLS == [0, 0, 0]


async def test_concurrent_computes_share(here: Any) -> None:
    """Computing a value, and what is made of it, at once, from several tasks and threads, computes each call once."""
    f = await here.create_value(counting)
    back = await here.create_value(program(FederatedType(I32, SERVER))(lambda t: tierfed.federated_broadcast(t)))
    first = await here.create_call(f, await here.create_value([1, 2, 3], X))
    again = await here.create_call(f, await here.create_call(back, first))
    here_too = [first.compute(), again.compute(), first.compute(), again.compute()]
    elsewhere = [asyncio.to_thread(asyncio.run, v.compute()) for v in (again, first, again)]
    assert await asyncio.gather(*here_too, *elsewhere) == [9, 30, 9, 30, 30, 9, 30]
    assert len(CALLS) == 6


class Slow:
    """A context that waits for a word before it computes, and counts its invocations."""

    def __init__(self) -> None:
        self.tree = TREE
        self.word = asyncio.Event()
        self.begun = asyncio.Event()
        self.programs: list[Any] = []
        self._local = tierfed.local(topology=TREE)

    async def ainvoke(self, computation: Any, *args: Any) -> Any:
        self.programs.append(computation)
        self.begun.set()
        await self.word.wait()
        return await self._local.ainvoke(computation, *args)


async def test_a_cancelled_compute_leaves_the_others() -> None:
    """Who waits for a computation that is cancelled computes it itself."""
    slow = Slow()
    here = executor_factory(slow).create_executor({})
    called = await here.create_call(await here.create_value(total), await here.create_value([1, 2, 3], X))
    first = asyncio.create_task(called.compute())
    await slow.begun.wait()
    second = asyncio.create_task(called.compute())
    await asyncio.sleep(0)
    assert len(slow.programs) == 1
    first.cancel()
    slow.word.set()
    assert await second == 6
    assert first.cancelled() and len(slow.programs) == 2


async def test_errors_are_told_to_all_and_not_kept() -> None:
    """Whoever waits for a computation that fails has its error, and the next compute tries again."""
    slow = Slow()
    here = executor_factory(slow).create_executor({})
    bad = program(X, X)(lambda x, w: tierfed.federated_mean(tierfed.federated_map(floated, x), weight=w))
    pair = await here.create_value(([1, 2, 3], [0, 0, 0]), (X, X))
    called = await here.create_call(await here.create_value(bad), pair)
    tasks = [asyncio.create_task(called.compute()) for _ in range(2)]
    await slow.begun.wait()
    slow.word.set()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, tierfed.EmptyAggregate) and "the total weight is zero" in str(result)
    assert len(slow.programs) == 1
    with pytest.raises(tierfed.EmptyAggregate):
        await called.compute()
    assert len(slow.programs) == 2


@tierfed.py_computation(I32, returns=F)
def floated(v: Any) -> Any:
    """Return it as a float."""
    return F(v)


async def test_equal_graphs_are_one_program() -> None:
    """The same calls on other values are an equal program, so a tree compiles and deploys it once."""
    slow = Slow()
    slow.word.set()
    here = executor_factory(slow).create_executor({})
    f = await here.create_value(total)
    for number in range(3):
        called = await here.create_call(f, await here.create_value([number] * 3, X))
        assert await called.compute() == 3 * number
    assert len(slow.programs) == 3 and len(set(slow.programs)) == 1
    assert str(slow.programs[0]) == "(arg -> (let v1=(x1 -> (let v2=federated_sum[SERVER](x1) in v2))(arg[0]) in <v1>))"


async def test_what_is_on_the_way() -> None:
    """A value on the way comes along when it is held, wherever it stands, and is no more computed; others do not."""
    slow = Slow()
    slow.word.set()
    here = executor_factory(slow).create_executor({})
    x = await here.create_value([1, 2, 3], X)
    f, up = await here.create_value(raised), await here.create_value(total)
    down = await here.create_value(program(FederatedType(I32, SERVER))(lambda t: t))
    below = await here.create_call(f, x)
    last = await here.create_call(down, await here.create_call(up, below))
    assert await last.compute() == 12
    assert str(slow.programs[0].type_signature) == "(<{int32}@CLIENTS> -> <{int32}@CLIENTS,int32@SERVER>)"
    at_root = await here.create_call(up, below)
    again = await here.create_call(down, at_root)
    del at_root
    gc.collect()
    assert await again.compute() == 12
    assert str(slow.programs[1].type_signature) == "(<{int32}@CLIENTS> -> <int32@SERVER>)"
    assert "generic_plus" not in str(slow.programs[1])


async def test_handles_are_values(executor: Any, native: NativeContext) -> None:
    """What a call left at its members is embedded without its type, and computed with; anywhere."""
    for context in (native, tierfed.local(topology=TREE)):
        handle = await context.ainvoke(raised, [1, 2, 3])
        x = await executor.create_value(handle)
        assert str(x.type_signature) == "{int32}@CLIENTS"
        f = await executor.create_value(total)
        assert await (await executor.create_call(f, x)).compute() == 12
        pair = await executor.create_struct([x, await executor.create_value(1, "int32@SERVER")])
        g = await executor.create_value(both)
        assert await (await executor.create_call(g, pair)).compute() == {"sum": 12, "same": 1}
        assert await x.compute() == [2, 4, 6]


async def test_long_chains(executor: Any) -> None:
    """A long chain of calls is computed as a whole."""
    step = await executor.create_value(program(FederatedType(I32, SERVER))(lambda s: s + np.int32(1)))
    state = await executor.create_value(0, "int32@SERVER")
    for _ in range(40):
        state = await executor.create_call(step, state)
    assert await state.compute() == 40


async def test_data(here: Any) -> None:
    """What members have under a URI is a value too."""
    on = tierfed.local(topology=TREE, data=lambda uri, t, member: np.int32(member.index))
    for where in (on, TREE):
        made = executor_factory(where, data=None if where is on else (lambda uri, t, m: np.int32(m.index)))
        executor = made.create_executor({})
        data = await executor.create_value(Data("train", X))
        assert str(data.type_signature) == "{int32}@CLIENTS"
        f = await executor.create_value(counting)
        assert await (await executor.create_call(f, data)).compute() == 6


# ---------------------------------------------------------------- what is refused


async def test_wrong_calls(executor: Any) -> None:
    """A call, a selection or a struct that cannot be is refused when it is made, in the words of programs."""
    f = await executor.create_value(total)
    five = await executor.create_value(5)
    with pytest.raises(TypeMismatch, match="takes {int32}@CLIENTS, got int32"):
        await executor.create_call(f, five)
    with pytest.raises(TypeMismatch, match="takes {int32}@CLIENTS, got nothing"):
        await executor.create_call(f)
    with pytest.raises(TypeMismatch, match="is called, and is no function"):
        await executor.create_call(five)
    with pytest.raises(TypeMismatch, match="has no elements"):
        await executor.create_selection(five, 0)
    with pytest.raises(TypeMismatch, match="a value of int32 has no elements"):
        await executor.create_selection(five, "a")
    pair = await executor.create_value({"a": 1, "b": 2})
    with pytest.raises(TypeMismatch) as error:
        await executor.create_selection(pair, "c")
    assert str(error.value) == "create_selection: <a=int32,b=int32> has no element called c\n  to mend: it has: a, b"
    with pytest.raises(TypeMismatch, match="no element 2 in <a=int32,b=int32>"):
        await executor.create_selection(pair, 2)
    with pytest.raises(TypeMismatch, match="the name a stands twice"):
        await executor.create_struct([("a", five), ("a", five)])
    with pytest.raises(TypeMismatch, match="a set makes no struct"):
        await executor.create_struct({1, 2})
    placed = "(<(int32 -> int32),{int32}@CLIENTS> -> {int32}@CLIENTS)"
    mapped = await executor.create_value("federated_map", placed)
    sums = await executor.create_value(lambda v: (tierfed.federated_value(v, CLIENTS), v)[1], "(int32 -> int32)")
    with pytest.raises(TypeMismatch, match="a function given to an intrinsic works on one member's value"):
        x = await executor.create_value([1, 2, 3], X)
        await executor.create_call(mapped, await executor.create_struct([sums, x]))


async def test_wrong_values(executor: Any) -> None:
    """A value that is not of its type, or does not fit the tree, is refused when it is created."""
    with pytest.raises(ValueMismatch, match="expected int32, got str 'a'"):
        await executor.create_value("a", I32)
    with pytest.raises(ValueMismatch, match="2 values for the 3 members of CLIENTS"):
        await executor.create_value([1, 2], X)
    with pytest.raises(PlacementError, match="no tier PHONES in"):
        await executor.create_value([1], FederatedType(I32, tierfed.placement("PHONES")))
    with pytest.raises(TypeMismatch, match=r"expected \(int32 -> int32\), got \({int32}@CLIENTS -> int32@SERVER\)"):
        await executor.create_value(total, "(int32 -> int32)")
    with pytest.raises(TypeMismatch, match="a int is no function of"):
        await executor.create_value(5, "(int32 -> int32)")
    with pytest.raises(TypeMismatch, match="no intrinsic is called 'federated_median'"):
        await executor.create_value("federated_median", "({int32}@CLIENTS -> int32@SERVER)")
    with pytest.raises(TypeMismatch, match="federated_sum cannot be of type"):
        await executor.create_value("federated_sum", "({int32}@CLIENTS -> {int32}@SERVER)")
    with pytest.raises(tierfed.ProtocolError):
        await executor.create_value(b"no program")
    with pytest.raises(TypeMismatch, match="pass each element of the type"):
        await executor.create_value(5, "<(int32 -> int32),int32>")


async def test_disposed_and_foreign_values(executor: Any) -> None:
    """A value that was disposed of, or is another executor's, is refused by name; what was made of it stays."""
    f, x = await executor.create_value(total), await executor.create_value([1, 2, 3], X)
    called = await executor.create_call(f, x)
    executor.dispose(x)
    executor.dispose(x)
    for use in (lambda: executor.create_call(f, x), x.compute, lambda: executor.create_struct([x])):
        with pytest.raises(ValueMismatch, match="the value was disposed of"):
            await use()
    with pytest.raises(ValueMismatch, match="type_signature: the value was disposed of"):
        _ = x.type_signature
    assert await called.compute() == 6
    other = executor_factory().create_executor({"CLIENTS": 3})
    foreign = await other.create_value([1, 2, 3], X)
    with pytest.raises(ValueMismatch, match="create_call: the value belongs to another executor, <executor on <Tree"):
        await executor.create_call(f, foreign)
    with pytest.raises(ValueMismatch, match="belongs to another executor"):
        executor.dispose(foreign)
    with pytest.raises(ValueMismatch, match="expected a value of this executor, got list"):
        await executor.create_call(f, [1, 2, 3])


async def test_disposing_frees() -> None:
    """What nobody holds is gone: the arrays of a value that was disposed of are freed."""
    executor = executor_factory().create_executor({"CLIENTS": 2})
    value = await executor.create_value(np.zeros(3, F))
    held = value._step.held
    before = len(gc.get_referrers(held))
    executor.dispose(value)
    gc.collect()
    assert len(gc.get_referrers(held)) == before - 1


# ---------------------------------------------------------------- factories


async def test_one_executor_for_equal_counts(factory: ExecutorFactory) -> None:
    """Equal cardinalities give the same executor until it is cleaned up, and an executor that is closed says so."""
    first = factory.create_executor(COUNTS)
    assert factory.create_executor({"CLIENTS": 3}) is first  # a placement that is left out has the tree's
    value = await first.create_value(5)
    factory.clean_up_executors()
    for use in (lambda: first.create_value(5), value.compute, lambda: first.create_call(value)):
        with pytest.raises(NoSuchRun, match="the executor is closed"):
            await use()
    second = factory.create_executor(COUNTS)
    assert second is not first
    factory.clean_up_executor({CLIENTS: 3})
    factory.clean_up_executor({CLIENTS: 3})
    assert factory.create_executor(COUNTS) not in (first, second)


def test_counts_that_are_not_the_trees(factory: ExecutorFactory) -> None:
    """Other counts than the tree's are refused, with both."""
    with pytest.raises(PlacementError) as error:
        factory.create_executor({"CLIENTS": 4, "EDGE_AGGREGATORS": 3})
    assert str(error.value) == (
        "create_executor: CLIENTS: 4, EDGE_AGGREGATORS: 3 asked for, "
        "and the tree has CLIENTS: 3, EDGE_AGGREGATORS: 3, SERVER: 1\n"
        "  to mend: ask for what the tree has, or give a tree that has what is asked for"
    )
    with pytest.raises(PlacementError, match="CLIENTS has -1 members"):
        factory.create_executor({"CLIENTS": -1})
    with pytest.raises(PlacementError, match="PHONES: 3 asked for"):
        factory.create_executor({"PHONES": 3})


async def test_flat_counts() -> None:
    """Without a tree, counts make SERVER over CLIENTS, also over none; groupings are not guessed."""
    factory = executor_factory()
    for count in (0, 1, 5):
        executor = factory.create_executor({"CLIENTS": count})
        assert factory.create_executor({CLIENTS: count, SERVER: 1}) is executor
        f, x = await executor.create_value(total), await executor.create_value([1] * count, X)
        assert await (await executor.create_call(f, x)).compute() == count
    assert factory.create_executor({}) is factory.create_executor({"CLIENTS": 0})
    with pytest.raises(PlacementError) as error:
        factory.create_executor({"CLIENTS": 6, "EDGE_AGGREGATORS": 2})
    assert str(error.value) == (
        "create_executor: counts of EDGE_AGGREGATORS do not say who stands below whom\n"
        "  to mend: give the tree: tierfed.executor_factory(tierfed.tree(fan_out={…})), or a topology file"
    )
    with pytest.raises(PlacementError, match="SERVER: 2 asked for, and the tree has"):
        factory.create_executor({"SERVER": 2, "CLIENTS": 1})


def test_factories_of_what_has_no_tree() -> None:
    """A context without a tree of its own is refused, with the mend."""
    with pytest.raises(PlacementError, match="the context has no tree of its own"):
        executor_factory(tierfed.local())


async def test_a_topology_makes_a_factory() -> None:
    """A topology, and the path of one, stand for their tree."""
    topology = tierfed.tree(fan_out={"EDGE_AGGREGATORS": 2, "CLIENTS": 3})
    executor = tierfed.executor_factory(topology).create_executor({"CLIENTS": 6})
    assert isinstance(executor, GraphExecutor) and len(executor.tree.members(EDGE)) == 2
    path = "topologies/three_tier.yaml"
    counts = {p: len(tierfed.load_topology(path).tree.members(p)) for p in (CLIENTS, SERVER)}
    assert tierfed.executor_factory(path).create_executor(counts) is not None


async def test_a_running_tree_makes_a_factory() -> None:
    """What runs computations and has a topology, as a running tree has, stands for its tree."""

    class Running:
        topology = tierfed.tree(fan_out={"EDGE_AGGREGATORS": 2, "CLIENTS": 2})

        async def ainvoke(self, computation: Any, *args: Any) -> Any:
            return await tierfed.local(topology=self.topology).ainvoke(computation, *args)

    executor = executor_factory(Running()).create_executor({"CLIENTS": 4, "EDGE_AGGREGATORS": 2})
    f, x = await executor.create_value(total), await executor.create_value([1, 2, 3, 4], X)
    assert await (await executor.create_call(f, x)).compute() == 10


def test_executors_for_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package its executors are refused, with what installs it."""
    for name in ("federated_language", "federated_language.common_libs", "federated_language.common_libs.structure"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(TypeMismatch, match="federated-language cannot be imported here") as error:
        executor_factory(TREE, for_="federated-language")
    assert error.value.mend == "pip install 'tierfed[interop]'"
