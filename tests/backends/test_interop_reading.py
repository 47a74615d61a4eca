"""Bytes that federated-language wrote are read, and mean on every tree what they mean there.

The bytes are committed (tools/federated_language_programs.py writes them), so the package is not needed here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from program_trees import HIERARCHIES
from served import on_sockets
from test_agreement import grown

import tierfed
from tierfed import CompileError, ProtocolError, UnsupportedError
from tierfed.backends.executor import executor_factory
from tierfed.ir.loosen import loosen
from tierfed.ir.nodes import Call, Data, Lambda, Reference
from tierfed.ir.proto.serialize import node_to_public_bytes
from tierfed.placements import Tree
from tierfed.types import parse

CORPUS = json.loads((Path(__file__).parent / "federated_language_programs.json").read_text())
TREES = {
    "flat": grown(HIERARCHIES["two tiers"], {"CLIENTS": [3]}),
    "three tiers": grown(HIERARCHIES["three tiers"], {"EDGE_AGGREGATORS": [3], "CLIENTS": [2, 0, 1]}),
}
F = np.float32


def read(name: str) -> tierfed.Computation:
    """Return a program of the corpus."""
    return tierfed.deserialize(bytes.fromhex(CORPUS[name]["hex"]))


MODELS = [{"w": [1, 2], "b": 3}, {"w": [3, 4], "b": 0}, {"w": [2, 0], "b": 3}]

RUNS: dict[str, tuple[tuple[Any, ...], Any]] = {
    "plus": ((2, 3), 5),
    "twice": ((4,), 8),
    "same": ((4,), 4),
    "float_same": ((0.1,), F(0.1)),
    "one": ((), 1),
    "second_of_pair": ((1, 2), 3),
    "aggregate": (([1, 2, 3],), 12),
    "aggregate_struct": (([1, 2, 30],), (3, 33)),
    "apply": ((7,), 14),
    "broadcast": (({"w": [1, 2], "b": 3},), {"w": [1, 2], "b": 3}),
    "evals": ((), ([1, 1, 1], 1)),
    "map": (([1, 2, 3],), [2, 4, 6]),
    "map_of_all_equal": ((5,), [10, 10, 10]),
    "map_all_equal": ((5,), 10),
    "mean": ((MODELS,), {"w": [2, 2], "b": 2}),
    "weighted_mean": (([1, 2, 4], [2, 1, 1]), 2.0),
    "min_max": (([4, -1, 3],), (-1, 4)),
    "sums": (([{"a": 1, "b": [1, 2]}] * 3,), {"a": 3, "b": [3, 6]}),
    "select": (([[0, 1], [2, 2], [1, 0]], 2, 10), [[10, 11], [12, 12], [11, 10]]),
    "values": ((), (5, (1, [True, False]))),
    "zip_at_clients": (([1, 2, 3], [0.5, 1.5, 2.5]), [{"a": i, "b": (i - 0.5, i)} for i in (1, 2, 3)]),
    "zip_at_server": ((1, 2.5), (1, 2.5)),
    "sequences": (([1, 2, 3],), ([2, 4, 6], 6, 16)),
    "sequences_at_clients": (([[1], [], [2, 3]],), ([[2], [], [4, 6]], [1, 0, 5])),
    "reduced_at_clients": (([[1], [], [2, 3]],), [11, 10, 15]),
    "sum_of_all_equal": ((5,), 15),
    "sum_of_broadcast": ((5,), 15),
    "mean_of_all_equal": ((2.5, 0.5), 2.5),
    "zip_with_broadcast": (([1, 2, 3], 10), 36),
    "select_with_equal_keys": (([1, 0], 2, 10), [[11, 10]] * 3),
    "summed": (([1, 2, 3],), 6),
    "both_summed": (([1, 2, 3], 9), {"x": 6, "y": 9}),
    "call_with_all_equal": ((5, 9), (15, {"x": 15, "y": 9})),
    "aggregate_of_all_equal": ((5,), 15),
    "function_of_all_equal": ((5,), 15),
    "calls_with_a_function": ((3,), 12),
    "nested": ((((1, {"c": 2.5}), "text"),), {"text": "text", "inner": {"c": 2.5, "n": 1}}),
    "shadowed": (([1, 2, 3],), (24, 12)),
    "constants": ((), ([[1.5, 0], [np.inf, F(0.1)]], [1, 2], "text", True, np.complex64(1 - 2j))),
    "generic_plus": (((1.5, 2),), 3.5),
    "generic_multiply": (((1.5, 2),), 3),
    "generic_divide": (((3, 2),), 1.5),
    "generic_zero": ((), {"w": [0, 0], "b": 0}),
    "block": ((1.5,), (3, 2)),
    "selection": (((1, 2),), (1, 2)),
}
WITH_FUNCTIONS = {
    "applied": ([("summed", None), (5, "int32@SERVER")], 15),
    "function_parameter": ([("twice", None), (3, "int32")], 12),
}
REFUSED = {"secure_select"}
NOT_RUN = {"secure_sum", "secure_sum_bitwidth"}
NO_VALUE = {"placement"}


def test_every_program_is_here() -> None:
    """Each program of the corpus is run, or said not to be."""
    assert set(CORPUS) == {*RUNS, *WITH_FUNCTIONS, *REFUSED, *NOT_RUN, *NO_VALUE}


@pytest.mark.parametrize("name", sorted({*CORPUS} - REFUSED))
def test_types(name: str) -> None:
    """A program is read at the type that it was written at."""
    assert str(read(name).type_signature) == CORPUS[name]["type"]


@pytest.fixture(scope="module", params=[f"{kind}, {tree}" for kind in ("reference", "daemons") for tree in TREES])
def context(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The reference and daemons, on each tree."""
    kind, name = request.param.split(", ")
    tree: Tree = TREES[name]
    if kind == "reference":
        yield tierfed.local(topology=tree)
    else:
        with on_sockets(tree) as native:
            yield native


def listed(value: Any) -> Any:
    """Return a result with its handles fetched."""
    if isinstance(value, dict):
        return {k: listed(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(map(listed, value))
    return value.fetch() if hasattr(value, "fetch") else value


def same(given: Any, wanted: Any) -> bool:
    """Whether two results are equal, their arrays element by element."""
    if isinstance(wanted, dict):
        return set(given) == set(wanted) and all(same(given[k], v) for k, v in wanted.items())
    if isinstance(wanted, tuple):
        return len(given) == len(wanted) and all(map(same, given, wanted))
    if isinstance(wanted, list) and isinstance(given, list):
        return len(given) == len(wanted) and all(map(same, given, wanted))
    return bool(np.array_equal(given, wanted))


@pytest.mark.parametrize("name", RUNS)
def test_what_they_mean(context: Any, name: str) -> None:
    """A program gives the same on every tree, also where one value for all stands for one a member."""
    arguments, wanted = RUNS[name]
    given = listed(context.invoke(read(name), *arguments))
    assert same(given, wanted), given


@pytest.mark.parametrize("name", WITH_FUNCTIONS)
async def test_functions_as_arguments(context: Any, name: str) -> None:
    """A program that takes a function is called with one through an executor."""
    parts, wanted = WITH_FUNCTIONS[name]
    executor = executor_factory(context).create_executor({})
    made = [await executor.create_value(read(v) if t is None else v, t) for v, t in parts]
    function = await executor.create_value(bytes.fromhex(CORPUS[name]["hex"]))
    assert await (await executor.create_call(function, await executor.create_struct(made))).compute() == wanted


@pytest.mark.parametrize("name", sorted(NOT_RUN))
def test_secure_sums_are_not_computed_in_the_clear(context: Any, name: str) -> None:
    """They are read, and refused where they would be run."""
    argument = [{"a": 1, "b": 2}] * 3 if "bitwidth" in name else [1, 2, 3]
    with pytest.raises((UnsupportedError, CompileError), match=f"federated_{name} is not computed in the clear"):
        context.invoke(read(name), argument)


def test_what_nothing_stands_for() -> None:
    """A secure select is refused when it is read, by name, with the mend."""
    with pytest.raises(ProtocolError) as error:
        read("secure_select")
    assert str(error.value) == (
        "program: federated_secure_select has no counterpart here\n"
        "  to mend: call federated_select, if all of the value at the server may go down to every member"
    )


def test_one_value_for_all_at_a_singleton() -> None:
    """A value that differs between the members of a singleton is what nothing can be made to be."""
    taken = tierfed.federated_computation("{int32}@SERVER")(lambda x: tierfed.federated_map(lambda v: v + v, x))
    x = Reference("x", parse("int32@SERVER"))
    with pytest.raises(tierfed.TypeMismatch) as error:
        loosen(Lambda("x", x.type, Call(taken.node, x)))
    assert str(error.value) == (
        "call: a value of int32@SERVER stands where {int32}@SERVER is expected\n"
        "  to mend: declare it all-equal, as what stands at SERVER is: int32@SERVER"
    )


def test_data_that_is_placed_nowhere() -> None:
    """The public form may give data any type; here it is what members have, and another is refused when it is read."""
    lost = node_to_public_bytes(Lambda(None, None, Data("train", parse("int32*"))))
    with pytest.raises(tierfed.TypeMismatch, match=r"data of type int32\* is placed nowhere"):
        tierfed.deserialize(lost)
