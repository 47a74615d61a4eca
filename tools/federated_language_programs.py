"""Programs written with federated-language: each of its intrinsics, and each of its building blocks.

`tools/make_federated_language_golden.py` serializes them into tests/backends/federated_language_programs.json;
the tests read and run those bytes, and where the package is installed, see that they are still what it writes.
"""

from __future__ import annotations

import collections
from typing import Any

import federated_language as fl
import numpy as np

CLIENTS, SERVER = fl.CLIENTS, fl.SERVER
T, At, Rows = fl.TensorType, fl.FederatedType, fl.SequenceType
I32, F32 = np.int32, np.float32
blocks = fl.framework
OD = collections.OrderedDict

PLUS = blocks.Intrinsic("generic_plus", fl.FunctionType([I32, I32], I32))
MODEL = fl.StructType([("w", T(F32, [2])), ("b", F32)])


def program(*types: Any) -> Any:
    """Return the decorator of a computation of these types."""
    return fl.federated_computation(*types)


def block(uri: str, parameter: Any, result: Any) -> Any:
    """Return an intrinsic as a block."""
    return blocks.Intrinsic(uri, fl.FunctionType(parameter, result))


@program(I32, I32)
def plus(a: Any, b: Any) -> Any:
    return fl.to_value(PLUS, None)(a, b)


@program(I32)
def twice(a: Any) -> Any:
    return plus(a, a)


@program(I32)
def same(a: Any) -> Any:
    return a


@program(F32)
def float_same(a: Any) -> Any:
    return a


@program()
def one() -> Any:
    return I32(1)


@program(I32, I32)
def second_of_pair(state: Any, key: Any) -> Any:
    return plus(state, key)


@program(At(I32, CLIENTS))
def aggregate(x: Any) -> Any:
    return fl.federated_aggregate(x, I32(0), plus, plus, twice)


@program(At(I32, CLIENTS))
def aggregate_struct(x: Any) -> Any:
    zero = fl.to_value(OD(total=I32(0), count=I32(0)), None)
    state = zero.type_signature

    @program(state, I32)
    def accumulate(s: Any, v: Any) -> Any:
        return OD(total=plus(s.total, v), count=plus(s.count, I32(1)))

    @program(state, state)
    def merge(a: Any, b: Any) -> Any:
        return OD(total=plus(a.total, b.total), count=plus(a.count, b.count))

    @program(state)
    def report(s: Any) -> Any:
        return s.count, s.total

    return fl.federated_aggregate(x, zero, accumulate, merge, report)


@program(At(I32, SERVER))
def apply(x: Any) -> Any:
    return fl.federated_map(twice, x)


@program(At(MODEL, SERVER))
def broadcast(x: Any) -> Any:
    return fl.federated_broadcast(x)


@program()
def evals() -> Any:
    return fl.federated_eval(one, CLIENTS), fl.federated_eval(one, SERVER)


@program(At(I32, CLIENTS))
def map_(x: Any) -> Any:
    return fl.federated_map(twice, x)


@program(At(I32, CLIENTS, True))
def map_of_all_equal(x: Any) -> Any:
    return fl.federated_map(twice, x)


@program(At(MODEL, CLIENTS))
def mean(x: Any) -> Any:
    return fl.federated_mean(x)


@program(At(F32, CLIENTS), At(I32, CLIENTS))
def weighted_mean(x: Any, w: Any) -> Any:
    return fl.federated_mean(x, w)


@program(At(I32, CLIENTS))
def min_max(x: Any) -> Any:
    return fl.federated_min(x), fl.federated_max(x)


@program(At(fl.StructType([("a", I32), ("b", T(F32, [2]))]), CLIENTS))
def sums(x: Any) -> Any:
    return fl.federated_sum(x)


@program(At(I32, CLIENTS))
def secure_sum(x: Any) -> Any:
    return fl.federated_secure_sum(x, I32(7))


@program(At(fl.StructType([("a", I32), ("b", I32)]), CLIENTS))
def secure_sum_bitwidth(x: Any) -> Any:
    return fl.federated_secure_sum_bitwidth(x, 3)


@program(At(T(I32, [2]), CLIENTS), At(I32, SERVER), At(I32, SERVER))
def select(keys: Any, max_key: Any, value: Any) -> Any:
    return fl.federated_select(keys, max_key, value, second_of_pair)


@program(At(T(I32, [2]), CLIENTS), At(I32, SERVER), At(I32, SERVER))
def secure_select(keys: Any, max_key: Any, value: Any) -> Any:
    return fl.federated_secure_select(keys, max_key, value, second_of_pair)


@program()
def values() -> Any:
    return fl.federated_value(I32(5), CLIENTS), fl.federated_value((I32(1), np.array([True, False])), SERVER)


@program(At(I32, CLIENTS), At(F32, CLIENTS))
def zip_at_clients(x: Any, y: Any) -> Any:
    return fl.federated_zip(OD(a=x, b=[y, x]))


@program(At(I32, SERVER), At(F32, SERVER))
def zip_at_server(x: Any, y: Any) -> Any:
    return fl.federated_zip([x, y])


@program(Rows(I32))
def sequences(x: Any) -> Any:
    return fl.sequence_map(twice, x), fl.sequence_sum(x), fl.sequence_reduce(x, I32(10), plus)


@program(At(Rows(I32), CLIENTS))
def sequences_at_clients(x: Any) -> Any:
    return fl.sequence_map(twice, x), fl.sequence_sum(x)


@program(At(Rows(I32), CLIENTS))
def reduced_at_clients(x: Any) -> Any:
    return fl.sequence_reduce(x, fl.federated_value(I32(10), CLIENTS), plus)


# ---------------------------------------------------------------- one value for all where one a member is taken


@program(At(I32, CLIENTS, True))
def sum_of_all_equal(x: Any) -> Any:
    return fl.federated_sum(x)


@program(At(I32, SERVER))
def sum_of_broadcast(x: Any) -> Any:
    return fl.federated_sum(fl.federated_broadcast(x))


@program(At(F32, CLIENTS, True), At(F32, CLIENTS, True))
def mean_of_all_equal(x: Any, w: Any) -> Any:
    return fl.federated_mean(x, w)


@program(At(I32, CLIENTS), At(I32, SERVER))
def zip_with_broadcast(x: Any, y: Any) -> Any:
    both = fl.federated_zip([x, fl.federated_broadcast(y)])
    return fl.federated_sum(fl.federated_map(plus, both))


@program(At(T(I32, [2]), CLIENTS, True), At(I32, SERVER), At(I32, SERVER))
def select_with_equal_keys(keys: Any, max_key: Any, value: Any) -> Any:
    return fl.federated_select(keys, max_key, value, second_of_pair)


@program(At(I32, CLIENTS))
def summed(x: Any) -> Any:
    return fl.federated_sum(x)


@program(At(I32, CLIENTS), At(I32, SERVER))
def both_summed(x: Any, y: Any) -> Any:
    return OD(x=fl.federated_sum(x), y=y)


@program(At(I32, CLIENTS, True), At(I32, SERVER))
def call_with_all_equal(x: Any, y: Any) -> Any:
    return summed(x), both_summed(x, y)


@program(At(I32, CLIENTS, True))
def aggregate_of_all_equal(x: Any) -> Any:
    return fl.federated_aggregate(x, I32(0), plus, plus, same)


@program(fl.FunctionType(At(I32, CLIENTS, True), At(I32, SERVER)), At(I32, SERVER))
def applied(f: Any, x: Any) -> Any:
    return f(fl.federated_broadcast(x))


@program(At(I32, SERVER))
def function_of_all_equal(x: Any) -> Any:
    return applied(summed, x)


# ---------------------------------------------------------------- structure


@program(fl.StructType([("f", fl.FunctionType(I32, I32)), ("x", I32)]))
def function_parameter(s: Any) -> Any:
    return s.f(s.f(s.x))


@program(I32)
def calls_with_a_function(x: Any) -> Any:
    return function_parameter(OD(f=twice, x=x))


@program(fl.StructType([("a", fl.StructType([I32, ("b", fl.StructType([("c", F32)]))])), (None, np.str_)]))
def nested(x: Any) -> Any:
    return OD(text=x[1], inner=OD(c=x.a.b.c, n=x.a[0]))


@program(At(I32, CLIENTS))
def shadowed(x: Any) -> Any:
    first = fl.federated_map(twice, x)
    return fl.federated_sum(fl.federated_map(twice, first)), fl.federated_sum(first)


@program()
def constants() -> Any:
    return (
        np.array([[1.5, -0.0], [np.inf, 0.1]], F32),
        np.array([1, 2], np.uint16),
        "text",
        True,
        np.array(1 - 2j, np.complex64),
    )


def by_hand() -> dict[str, Any]:
    """Return what the decorators do not write."""
    x, pair = blocks.Reference("x", T(F32)), [F32, F32]
    floats = blocks.Reference("x", fl.StructType(pair))

    def of_two(uri: str) -> Any:
        return blocks.Lambda("x", floats.type_signature, blocks.Call(block(uri, pair, F32), floats))

    equal, function = At(I32, CLIENTS, True), twice.to_building_block()
    mapped = block("federated_map_all_equal", [function.type_signature, equal], equal)
    of_equal = blocks.Reference("x", equal)
    literal = blocks.Literal(F32(2), T(F32))
    a, b = blocks.Reference("a", T(F32)), blocks.Reference("b", T(F32))
    double = blocks.Call(block("generic_plus", pair, F32), blocks.Struct([a, a]))
    zero = blocks.Intrinsic("generic_zero", MODEL)
    return {
        "map_all_equal": blocks.Lambda("x", equal, blocks.Call(mapped, blocks.Struct([function, of_equal]))),
        "generic_plus": of_two("generic_plus"),
        "generic_multiply": of_two("generic_multiply"),
        "generic_divide": of_two("generic_divide"),
        "generic_zero": blocks.Lambda(None, None, zero),
        "block": blocks.Lambda(
            "x", T(F32), blocks.Block([("a", x), ("b", double)], blocks.Struct([b, ("l", literal)]))
        ),
        "selection": blocks.Lambda(
            "x", floats.type_signature, blocks.Selection(blocks.Struct([("p", floats)]), name="p")
        ),
        "placement": blocks.Lambda(None, None, blocks.Placement(CLIENTS)),
    }


def corpus() -> dict[str, Any]:
    """Return the programs by name, as building blocks."""
    traced = {
        name.rstrip("_"): value.to_building_block()
        for name, value in globals().items()
        if isinstance(value, fl.framework.ConcreteComputation)
    }
    return traced | by_hand()
