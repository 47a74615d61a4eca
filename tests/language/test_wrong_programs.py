"""Wrong programs, each with what it is told, in full and at its own line, and its mended form, which is accepted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import tierfed
from tierfed import CLIENTS, SERVER, CompileError, FederatedType, Hierarchy, TierfedError, TypeMismatch

EDGE = tierfed.placement("EDGE_AGGREGATORS")
SENSORS = tierfed.placement("SENSORS")
REGIONS = tierfed.placement("REGIONS")
program = tierfed.federated_computation

F, I = np.float32, np.int32  # noqa: E741  # as in the notation: float and int
X = FederatedType(F, CLIENTS)
N = FederatedType(I, CLIENTS)
S = FederatedType(F, SERVER)
E = FederatedType(F, EDGE)
P = tierfed.to_type("{<a=float32,b=int32>}@CLIENTS")
FLAT = Hierarchy.chain(SERVER, CLIENTS)
THREE = Hierarchy.chain(SERVER, EDGE, CLIENTS)
FORKED = Hierarchy({EDGE: SERVER, CLIENTS: EDGE, SENSORS: EDGE})


@tierfed.py_computation(F, returns=F)
def doubled(x):
    return x + x


def plus(a: Any, b: Any) -> Any:
    return a + b


def count(n: Any, x: Any) -> Any:
    return n + 1


@dataclass(frozen=True)
class Wrong:
    """A program on a line of its own, what is said of it, and how it is mended."""

    name: str
    program: Callable[[], object]
    mended: Callable[[], object]
    what: str
    mend: str


TRACED = [
    # fmt: off
    Wrong(
        "a zip of two placements",
        lambda: program(X, S)(lambda x, y: tierfed.federated_zip((x, y))),
        lambda: program(X, S)(lambda x, y: tierfed.federated_zip((x, tierfed.federated_broadcast(y)))),
        "two placements, CLIENTS and SERVER: {float32}@CLIENTS and float32@SERVER",
        "move one of them first: tierfed.federated_broadcast goes down, an aggregate goes up"),
    Wrong(
        "a zip of nothing",
        lambda: program(X)(lambda x: tierfed.federated_zip(())),
        lambda: program(X)(lambda x: tierfed.federated_zip((x,))),
        "expected a struct of placed values, got <>",
        "pass a tuple, list or dict with at least one placed value"),
    Wrong(
        "a zip with a constant",
        lambda: program(X)(lambda x: tierfed.federated_zip((x, np.int32(1)))),
        lambda: program(X)(lambda x: tierfed.federated_zip((x, tierfed.federated_value(np.int32(1), CLIENTS)))),
        "int32 is placed nowhere",
        "place it with tierfed.federated_value(x, placement)"),
    Wrong(
        "a sum of what is placed nowhere",
        lambda: program(F)(lambda x: tierfed.federated_sum(x)),
        lambda: program(F)(lambda x: tierfed.federated_sum(tierfed.federated_value(x, CLIENTS))),
        "value is placed nowhere: expected {T}@P, got float32",
        "place it with tierfed.federated_value(x, placement)"),
    Wrong(
        "a sum to where it is",
        lambda: program(X)(lambda x: tierfed.federated_sum(x, to=CLIENTS)),
        lambda: program(X)(lambda x: tierfed.federated_sum(x, to=EDGE)),
        "a value of {float32}@CLIENTS cannot rise to CLIENTS, where it already is",
        "leave the aggregate out, or name a placement above with to="),
    Wrong(
        "a broadcast to where it is",
        lambda: program(S)(lambda x: tierfed.federated_broadcast(x, to=SERVER)),
        lambda: program(S)(lambda x: tierfed.federated_broadcast(x, to=EDGE)),
        "a value of float32@SERVER cannot go down to SERVER, where it already is",
        "leave the broadcast out, or name a placement below with to="),
    Wrong(
        "a sum of truth values",
        lambda: program("{bool}@CLIENTS")(lambda x: tierfed.federated_sum(x)),
        lambda: program("{int32}@CLIENTS")(lambda x: tierfed.federated_sum(x)),
        "bool has no sum",
        "convert it to int32 in a leaf first"),
    Wrong(
        "a sum of texts",
        lambda: program("{str}@CLIENTS")(lambda x: tierfed.federated_sum(x)),
        lambda: program("{float64}@CLIENTS")(lambda x: tierfed.federated_sum(x)),
        "str has no sum",
        "convert it in a leaf first"),
    Wrong(
        "a mean of integers",
        lambda: program(N)(lambda x: tierfed.federated_mean(x)),
        lambda: program(X)(lambda x: tierfed.federated_mean(x)),
        "int32 has no mean",
        "convert it in a leaf first"),
    Wrong(
        "a sum of a sequence",
        lambda: program("{int32*}@CLIENTS")(lambda x: tierfed.federated_sum(x)),
        lambda: program("{<int32,int32>}@CLIENTS")(lambda x: tierfed.federated_sum(x)),
        "int32* is no tensor or struct of tensors",
        "compute it in a leaf"),
    Wrong(
        "a sum over unknown dimensions",
        lambda: program("{float32[?]}@CLIENTS")(lambda x: tierfed.federated_sum(x)),
        lambda: program("{float32[3]}@CLIENTS")(lambda x: tierfed.federated_sum(x)),
        "float32[?] has unknown dimensions, and so no zero to start from",
        "use tierfed.federated_aggregate with an explicit zero"),
    Wrong(
        "a maximum of complex numbers",
        lambda: program("{complex64}@CLIENTS")(lambda x: tierfed.federated_max(x)),
        lambda: program("{complex64}@CLIENTS")(lambda x: tierfed.federated_sum(x)),
        "complex64 has no max",
        "convert it in a leaf first"),
    Wrong(
        "a weight somewhere else",
        lambda: program(X, S)(lambda x, w: tierfed.federated_mean(x, weight=w)),
        lambda: program(X, S)(lambda x, w: tierfed.federated_mean(x, weight=tierfed.federated_broadcast(w))),
        "the value is at CLIENTS and its weight at SERVER",
        "weigh with a value at CLIENTS"),
    Wrong(
        "a weight of two numbers",
        lambda: program(X, "{float32[2]}@CLIENTS")(lambda x, w: tierfed.federated_mean(x, weight=w)),
        lambda: program(X, "{float32}@CLIENTS")(lambda x, w: tierfed.federated_mean(x, weight=w)),
        "a weight is one real number, got float32[2]",
        "use an integer or floating scalar as weight"),
    Wrong(
        "an apply where there are many",
        lambda: program(X)(lambda x: tierfed.federated_apply(doubled, x)),
        lambda: program(X)(lambda x: tierfed.federated_map(doubled, x)),
        "CLIENTS is no singleton, the value is of type {float32}@CLIENTS",
        "use tierfed.federated_map"),
    Wrong(
        "a map of another type",
        lambda: program(N)(lambda x: tierfed.federated_map(doubled, x)),
        lambda: program(X)(lambda x: tierfed.federated_map(doubled, x)),
        "fn takes float32, and is given int32",
        "let fn take int32"),
    Wrong(
        "a map of no function",
        lambda: program(X)(lambda x: tierfed.federated_map(5, x)),
        lambda: program(X)(lambda x: tierfed.federated_map(lambda v: v * 5, x)),
        "5 is no function",
        "pass a computation or a function"),
    Wrong(
        "a map that captures a placed value",
        lambda: program(X, S)(lambda x, y: tierfed.federated_map(lambda v: (v, y), x)),
        lambda: program(X, S)(lambda x, y: tierfed.federated_map(plus, (x, tierfed.federated_broadcast(y)))),
        "the function given to federated_map uses x1.y, which is placed: float32@SERVER",
        "pass it as part of the value: federated_zip([x, federated_broadcast(y)])"),
    Wrong(
        "an aggregate inside a map",
        lambda: program(X)(lambda x: tierfed.federated_map(lambda v: tierfed.federated_sum(x), x)),
        lambda: program(X)(lambda x: tierfed.federated_sum(tierfed.federated_map(doubled, x))),
        "the function given to federated_map contains (let v3=federated_sum[SERVER](x1) in v3) of type float32@SERVER",
        "a function given to an intrinsic works on one member's value: take federated parts out of it"),
    Wrong(
        "a placed zero",
        lambda: program(X, S)(lambda x, z: tierfed.federated_reduce(x, z, plus)),
        lambda: program(X, F)(lambda x, z: tierfed.federated_reduce(x, z, plus)),
        "zero is placed: expected a value without a placement, got float32@SERVER",
        "pass a constant or a plain argument as zero; a placed value cannot be everywhere at once"),
    Wrong(
        "an accumulate of another type than zero's",
        lambda: program(N)(lambda x: tierfed.federated_aggregate(x, F(0), lambda u, t: t, plus, lambda u: u)),
        lambda: program(N)(lambda x: tierfed.federated_aggregate(x, F(0), lambda u, t: u + 1, plus, lambda u: u)),
        "accumulate returns another type than zero's: expected float32, got int32",
        "let it return the type of zero, float32"),
    Wrong(
        "a merge of another type than zero's",
        lambda: program(X)(lambda x: tierfed.federated_aggregate(x, F(0), plus, lambda a, b: (a, b), lambda u: u)),
        lambda: program(X)(lambda x: tierfed.federated_aggregate(x, F(0), plus, plus, lambda u: (u, u))),
        "merge returns another type than zero's: expected float32, got <float32,float32>",
        "let it return the type of zero, float32"),
    Wrong(
        "the sum of two types",
        lambda: program(F, I)(lambda a, b: a + b),
        lambda: program(F, F)(lambda a, b: a + b),
        "the two sides differ: float32 and int32",
        "give both sides one type; nothing is broadcast or cast"),
    Wrong(
        "the sum of two placements",
        lambda: program(X, S)(lambda x, y: x + y),
        lambda: program(X, S)(lambda x, y: x + tierfed.federated_broadcast(y)),
        "the two sides are at two placements: {float32}@CLIENTS and float32@SERVER",
        "move one of them first: tierfed.federated_broadcast goes down, an aggregate goes up"),
    Wrong(
        "a quotient of integers",
        lambda: program(I, I)(lambda a, b: a / b),
        lambda: program(F, F)(lambda a, b: a / b),
        "int32 has no divide",
        "convert it in a leaf first"),
    Wrong(
        "a constant that does not fit",
        lambda: program(I)(lambda a: a + 1.5),
        lambda: program(F)(lambda a: a + 1.5),
        "expected int32, got float 1.5",
        "pass a value that int32 can hold"),
    Wrong(
        "an element that is not there",
        lambda: program(P)(lambda p: p.c),
        lambda: program(P)(lambda p: p.b),
        "{<a=float32,b=int32>}@CLIENTS has no element called c",
        "its elements: a, b"),
    Wrong(
        "an index past the end",
        lambda: program(P)(lambda p: p[2]),
        lambda: program(P)(lambda p: p[-1]),
        "<a=float32,b=int32> has 2 elements, and no [2]",
        "the last is [1]"),
    Wrong(
        "an element of a number",
        lambda: program(X)(lambda x: x.mean),
        lambda: program(X)(lambda x: tierfed.federated_mean(x)),
        "a value of {float32}@CLIENTS has no elements: .mean",
        "select from a struct, or compute on arrays in a leaf: @tierfed.py_computation"),
    Wrong(
        "a decision while tracing",
        lambda: program(F)(lambda x: x if x else -1.0),
        lambda: program(F)(lambda x: doubled(x)),
        "a traced value of float32 is neither true nor false while the program is traced",
        "decide inside a leaf, where the value is known"),
    Wrong(
        "a comparison while tracing",
        lambda: program(F)(lambda x: x > 0),
        lambda: program(F)(lambda x: doubled(x)),
        "a traced value of float32 has no >",
        "compute it in a leaf: @tierfed.py_computation"),
    Wrong(
        "a value that is changed",
        lambda: program(P)(lambda p: setattr(p, "a", 1)),
        lambda: program(P)(lambda p: {"a": 1, "b": p.b}),
        "a traced value cannot be changed: a = …",
        "build a new struct instead"),
    Wrong(
        "a call of another type",
        lambda: program(I)(lambda x: doubled(x)),
        lambda: program(F)(lambda x: doubled(x)),
        f"comp#{__name__}:doubled takes float32, got int32",
        "pass a value of the type that it takes"),
    Wrong(
        "a call with too many arguments",
        lambda: program(F)(lambda x: doubled(x, x)),
        lambda: program(F)(lambda x: doubled(x)),
        "one argument of float32 is taken, 2 were given",
        "pass one argument, by position"),
    Wrong(
        "a call of what is no function",
        lambda: program(F)(lambda x: x(1)),
        lambda: program("(float32 -> int32)")(lambda f: f(F(1))),
        "a value of float32 is called",
        "call a function"),
    Wrong(
        "a result that is no value",
        lambda: program(F)(lambda x: {x.type_signature}),
        lambda: program(F)(lambda x: [x]),
        "{TensorType(float32)} has no meaning in a program",
        "use traced values, numbers, numpy arrays, and tuples, lists or dicts of them"),
    Wrong(
        "a destination that is no placement",
        lambda: program(X)(lambda x: tierfed.federated_sum(x, to=3)),
        lambda: program(X)(lambda x: tierfed.federated_sum(x, to="EDGE_AGGREGATORS")),
        "3 is no placement",
        "pass a placement, such as tierfed.SERVER"),
    Wrong(
        "data of a placed type",
        lambda: program(X)(lambda x: tierfed.federated_data("train", X, CLIENTS)),
        lambda: program(X)(lambda x: tierfed.federated_data("train", F, CLIENTS)),
        "{float32}@CLIENTS is no type of data",
        "give one member's type"),
    Wrong(
        "the zero of a text",
        lambda: program(F)(lambda x: tierfed.generic_zero("str")),
        lambda: program(F)(lambda x: tierfed.generic_zero("int32[2]")),
        "str has no zero",
        "convert it in a leaf first"),
    Wrong(
        "a map to a function",
        lambda: program(X, "(float32 -> float32)")(lambda x, f: tierfed.federated_map(lambda v: f, x)),
        lambda: program(X, "(float32 -> float32)")(lambda x, f: tierfed.federated_map(f, x)),
        "(float32 -> float32) inside a federated value",
        "a federated value holds tensors, structs and sequences only"),
    Wrong(
        "the value of a function",
        lambda: program()(lambda: tierfed.federated_value(doubled, CLIENTS)),
        lambda: program()(lambda: tierfed.federated_eval(lambda: doubled(F(2)), CLIENTS)),
        "value is a function, (float32 -> float32)",
        "pass a value as value"),
    Wrong(
        "a placed value placed again",
        lambda: program(S)(lambda x: tierfed.federated_value(x, CLIENTS)),
        lambda: program(S)(lambda x: tierfed.federated_broadcast(x)),
        "value is placed: expected a value without a placement, got float32@SERVER",
        "pass a constant or a plain argument as value; a placed value cannot be everywhere at once"),
    Wrong(
        "an eval of a function of something",
        lambda: program()(lambda: tierfed.federated_eval(doubled, CLIENTS)),
        lambda: program()(lambda: tierfed.federated_eval(lambda: doubled(F(1)), CLIENTS)),
        "fn takes float32, and is given nothing",
        "let fn take nothing"),
    # fmt: on
]

COMPILED = [
    # fmt: off
    (THREE, Wrong(
        "a tier that the hierarchy has not",
        lambda: program(X)(lambda x: tierfed.federated_sum(x, to=REGIONS)),
        lambda: program(X)(lambda x: tierfed.federated_sum(x, to=EDGE)),
        "no tier REGIONS in the hierarchy SERVER > EDGE_AGGREGATORS > CLIENTS",
        "add REGIONS to `placements:` in the topology, or use a tier it lists")),
    (THREE, Wrong(
        "an argument at a tier that the hierarchy has not",
        lambda: program(FederatedType(F, SENSORS))(lambda x: x),
        lambda: program(X)(lambda x: x),
        "no tier SENSORS in the hierarchy SERVER > EDGE_AGGREGATORS > CLIENTS",
        "add SENSORS to `placements:` in the topology, or use a tier it lists")),
    (THREE, Wrong(
        "an aggregate that falls",
        lambda: program(E)(lambda x: tierfed.federated_sum(x, to=CLIENTS)),
        lambda: program(E)(lambda x: tierfed.federated_sum(x)),
        "CLIENTS is not above EDGE_AGGREGATORS in SERVER > EDGE_AGGREGATORS > CLIENTS",
        "an aggregate rises: name a placement above the value's with to=, here SERVER")),
    (FORKED, Wrong(
        "an aggregate to the other branch",
        lambda: program(X)(lambda x: tierfed.federated_max(x, to=SENSORS)),
        lambda: program(X)(lambda x: tierfed.federated_max(x, to=EDGE)),
        "SENSORS is not above CLIENTS in SERVER > EDGE_AGGREGATORS > (CLIENTS, SENSORS)",
        "an aggregate rises: name a placement above the value's with to=, here EDGE_AGGREGATORS or SERVER")),
    (THREE, Wrong(
        "a broadcast that rises",
        lambda: program(X)(lambda x: tierfed.federated_broadcast(x, to=EDGE)),
        lambda: program(S)(lambda x: tierfed.federated_broadcast(x, to=EDGE)),
        "EDGE_AGGREGATORS is not below CLIENTS in SERVER > EDGE_AGGREGATORS > CLIENTS",
        "a broadcast descends, and there is no tier below: use the value where it is")),
    (Hierarchy.chain(SERVER, EDGE, SENSORS), Wrong(
        "a broadcast to CLIENTS, since it names no other",
        lambda: program(S)(lambda x: tierfed.federated_broadcast(x)),
        lambda: program(S)(lambda x: tierfed.federated_broadcast(x, to=SENSORS)),
        "no tier CLIENTS in the hierarchy SERVER > EDGE_AGGREGATORS > SENSORS",
        "add CLIENTS to `placements:` in the topology, or use a tier it lists")),
    (THREE, Wrong(
        "a reduce over two hops that cannot merge",
        lambda: program(X)(lambda x: tierfed.federated_reduce(x, np.int64(0), count)),
        lambda: program(X)(lambda x: tierfed.federated_reduce(x, np.int64(0), count, merge=plus)),
        "from CLIENTS to SERVER are 2 hops in SERVER > EDGE_AGGREGATORS > CLIENTS, and op cannot merge partials",
        "give merge=, a function of two partials")),
    (FLAT, Wrong(
        "a program that returns a function",
        lambda: program(F)(lambda x: doubled),
        lambda: program(F)(lambda x: doubled(x)),
        "the program takes or returns a function: (float32 -> (float32 -> float32))",
        "call the function inside the program, and pass or return values")),
    (FLAT, Wrong(
        "a program that takes a function",
        lambda: program("(float32 -> float32)", X)(lambda f, x: tierfed.federated_map(f, x)),
        lambda: program(X)(lambda x: tierfed.federated_map(doubled, x)),
        "the program takes or returns a function: (<f=(float32 -> float32),x={float32}@CLIENTS> -> {float32}@CLIENTS)",
        "call the function inside the program, and pass or return values")),
    # fmt: on
]


def line_of(fn: Any) -> int:
    """The line that a lambda stands on."""
    return int(fn.__code__.co_firstlineno)


@pytest.mark.parametrize("row", TRACED, ids=lambda row: row.name)
def test_it_is_told_at_its_line(row):
    """The error is the whole of file, line, what and mend; the mended program is one."""
    with pytest.raises(TypeMismatch) as error:
        row.program()
    first, _, rest = str(error.value).partition("\n")
    pattern = rf"{re.escape(__file__)}:{line_of(row.program)}: (\w+: )?{re.escape(row.what)}"
    assert re.fullmatch(pattern, first), first
    assert rest == f"  to mend: {row.mend}"
    assert isinstance(row.mended(), tierfed.Computation)


@pytest.mark.parametrize(("hierarchy", "row"), COMPILED, ids=lambda row: getattr(row, "name", ""))
def test_it_does_not_fit_its_hierarchy(hierarchy, row):
    """It is a program, and compiling it for that hierarchy says what is wrong; mended, it compiles."""
    wrong = row.program()
    with pytest.raises(CompileError) as error:
        tierfed.compile(wrong, hierarchy)
    assert (error.value.what, error.value.mend) == (row.what, row.mend)
    assert str(error.value.where).startswith(f"{__file__}:{line_of(row.program)}")
    assert tierfed.compile(row.mended(), hierarchy).slices


def test_the_same_error_without_compiling():
    """The reference interpreter refuses what the compiler refuses."""
    reduced = program(X)(lambda x: tierfed.federated_reduce(x, np.int64(0), count))
    assert reduced([1, 2]) == 2  # one hop
    topology = tierfed.tree(fan_out={str(EDGE): 2, "CLIENTS": 1})
    with tierfed.local(topology=topology), pytest.raises(CompileError, match="are 2 hops in"):
        reduced([1, 2])


def test_as_many_types_as_parameters():
    """The count is checked before anything is traced."""
    with pytest.raises(CompileError) as error:
        program(F, F)(lambda x: x)
    assert error.value.what.endswith("has 1 parameters, and 2 types were given")
    assert program(F, F)(lambda x, y: x)(1, 2) == 1


ARGUMENTS = [
    (([1.0, 2.0], 1), {}, "one argument of {float32}@CLIENTS is taken, 2 were given"),
    ((5,), {}, "expected {float32}@CLIENTS, got int"),
    ((["a"],), {}, "expected float32, got str 'a'"),
    (([1.5, 2**200],), {}, "expected float32"),
    ((np.array([1.0, 2.0]),), {}, "expected float32, got float64"),
]


@pytest.mark.parametrize(("args", "kwargs", "what"), ARGUMENTS)
def test_arguments_are_checked_and_not_cast(args, kwargs, what):
    """Where a call is refused nothing has run."""
    with pytest.raises(TierfedError) as error:
        total(*args, **kwargs)
    assert error.value.what.startswith(what)
    assert total([1, 2.5]) == F(3.5)


@program(X)
def total(x):
    return tierfed.federated_sum(x)


def test_clients_are_counted_by_the_lists():
    """Lists of two lengths disagree; nothing to count by is an error, and so is a tier that nobody grouped."""
    both = program(X, X)(lambda x, y: x + y)
    with pytest.raises(tierfed.ValueMismatch, match="disagree about the number of clients"):
        both([1], [1, 2])
    alone = program()(lambda: tierfed.federated_eval(lambda: np.int32(1), CLIENTS))
    with pytest.raises(tierfed.PlacementError, match="no argument tells how many clients there are"):
        alone()
    grouped = program(X)(lambda x: tierfed.federated_sum(x, to=EDGE))
    with pytest.raises(tierfed.PlacementError, match="without a topology there are only SERVER > CLIENTS"):
        grouped([1, 2])
    with tierfed.local(topology=tierfed.tree(fan_out={str(EDGE): 2, "CLIENTS": 1})):
        assert grouped([1, 2]) == [1, 2]
