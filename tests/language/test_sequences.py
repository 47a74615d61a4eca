"""Collect, select, operators on sequences and secure sums: what they refuse, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import program_leaves
import pytest
from served import on_sockets

import tierfed
from tierfed import CLIENTS, SERVER, CompileError, FederatedType, Hierarchy, RoundFailed, TypeMismatch, ValueMismatch
from tierfed.errors import PlacementError, UnsupportedError
from tierfed.ir.intrinsics.secure import SECURE_SUMS
from tierfed.language.operators import CALLABLES
from tierfed.placements import Member, Tree

EDGE = tierfed.placement("EDGE_AGGREGATORS")
program = tierfed.federated_computation
F, I = np.float32, np.int32  # noqa: E741  # as in the notation
THREE = Hierarchy.chain(SERVER, EDGE, CLIENTS)
KEYS, TABLE = FederatedType("int32[2]", CLIENTS), FederatedType(F, SERVER)


def grown(*counts: int) -> Tree:
    """A server over edges with so many clients each."""
    edges = tuple(
        Member(f"edge-{e}", EDGE, tuple(Member(f"c-{e}-{i}", CLIENTS) for i in range(n))) for e, n in enumerate(counts)
    )
    return Tree(THREE, Member("server", SERVER, edges))


def at_server(x: Any) -> Any:
    return tierfed.federated_value(x, SERVER)


def select(keys: Any, table: Any, *, max_key: Any = None, fn: Any = lambda t, k: t) -> Any:
    return tierfed.federated_select(keys, at_server(np.int32(3)) if max_key is None else max_key, table, fn)


REFUSED: dict[str, tuple[tuple[Any, ...], Callable[..., Any], str, str]] = {
    "a collection of sequences": (
        ("{int32*}@CLIENTS",),
        tierfed.federated_collect,
        "federated_collect: each member has int32*, and no sequence has sequences in it",
        "reduce the inner sequence first, with tierfed.sequence_reduce or in a leaf",
    ),
    "a collection of structs that hold one": (
        ("{<a=int32,b=int32*>}@CLIENTS",),
        tierfed.federated_collect,
        "federated_collect: each member has <a=int32,b=int32*>, and no sequence has sequences in it",
        "reduce the inner sequence first, with tierfed.sequence_reduce or in a leaf",
    ),
    "sequences of sequences": (
        ("int32*",),
        lambda x: tierfed.sequence_map(lambda v: x, x),
        "sequence_map: fn returns int32*, and no sequence has sequences in it",
        "reduce the inner sequence first, with tierfed.sequence_reduce or in a leaf",
    ),
    "a map of no sequence": (
        ("int32[3]",),
        lambda x: tierfed.sequence_map(lambda v: v, x),
        "sequence_map: value is no sequence: expected T*, got int32[3]",
        "pass a value of type T*",
    ),
    "a reduce of a placed tensor": (
        ("{int32[3]}@CLIENTS",),
        lambda x: tierfed.sequence_reduce(x, 0, lambda a, b: a),
        "sequence_reduce: value is no sequence: expected T*, got int32[3]",
        "pass a value of type T*",
    ),
    "a sum of two placed sequences": (
        ("{int32*}@CLIENTS", "{int32*}@CLIENTS"),
        lambda x, y: tierfed.sequence_sum((x, y)),
        "sequence_sum: value is no sequence: expected T*, got <{int32*}@CLIENTS,{int32*}@CLIENTS>",
        "join its parts with tierfed.federated_zip first",
    ),
    "keys that are floats": (
        ("{float32[2]}@CLIENTS", TABLE),
        select,
        "federated_select: keys are of type float32[2], expected int32[n]",
        "give each member a list of keys: one dimension, of int32",
    ),
    "one key": (
        ("{int32}@CLIENTS", TABLE),
        select,
        "federated_select: keys are of type int32, expected int32[n]",
        "give each member a list of keys: one dimension, of int32",
    ),
    "a bound that is nowhere": (
        (KEYS, TABLE),
        lambda k, t: select(k, t, max_key=3),
        "federated_select: max_key is placed nowhere: expected a value above the keys, such as int32@SERVER, got int32",
        "place it where server_val is: tierfed.federated_value(max_key, tierfed.SERVER)",
    ),
    "a bound of another type": (
        (KEYS, TABLE),
        lambda k, t: select(k, t, max_key=at_server(np.int64(3))),
        "federated_select: max_key is of type int64@SERVER, expected int32@SERVER",
        "give one key, of int32",
    ),
    "a bound from elsewhere": (
        (KEYS, TABLE),
        lambda k, t: select(k, t, max_key=tierfed.federated_value(np.int32(3), EDGE)),
        "federated_select: max_key is at EDGE_AGGREGATORS and server_val at SERVER",
        "place both at one placement above the keys",
    ),
    "a value where the keys are": (
        (KEYS, FederatedType(F, CLIENTS, True)),
        select,
        "federated_select: server_val stands at CLIENTS, where the keys are: float32@CLIENTS",
        "select where it is, in a leaf: tierfed.federated_map(leaf, (keys, server_val))",
    ),
    "a value that is not one": (
        (KEYS, FederatedType(F, EDGE)),
        lambda k, t: select(k, t, max_key=tierfed.federated_value(np.int32(3), EDGE)),
        "federated_select: server_val differs between the members of EDGE_AGGREGATORS: "
        "expected float32@EDGE_AGGREGATORS, got {float32}@EDGE_AGGREGATORS",
        "bring each member its own: tierfed.federated_broadcast(server_val), and select in a leaf",
    ),
    "a selection of sequences": (
        (KEYS, FederatedType("int32*", SERVER, True)),
        select,
        "federated_select: select_fn returns int32*, and no sequence has sequences in it",
        "reduce the inner sequence first, with tierfed.sequence_reduce or in a leaf",
    ),
    "a secure sum of floats": (
        ("{float32}@CLIENTS",),
        lambda x: tierfed.federated_secure_sum(x, 1),
        "federated_secure_sum: value holds float32, and secure sums are of integers",
        "quantise it to integers in a leaf first",
    ),
    "a secure sum of unknown sizes": (
        ("{int32[?]}@CLIENTS",),
        lambda x: tierfed.federated_secure_modular_sum(x, 1),
        "federated_secure_modular_sum: value holds int32[?], of unknown dimensions",
        "declare the sizes in the type",
    ),
    "bounds of another shape": (
        ("{<int32,int32>}@CLIENTS",),
        lambda x: tierfed.federated_secure_sum_bitwidth(x, [1, 2, 3]),
        "federated_secure_sum_bitwidth: bitwidth is of type <int32,int32,int32>, and the value <int32,int32>",
        "give bitwidth as one integer, or as one for each tensor of the value",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    """Told when it is traced, at the line of the call, with the mend."""
    types, body, what, mend = REFUSED[name]
    by_arity = {1: lambda x: body(x), 2: lambda x, y: body(x, y)}
    with pytest.raises(TypeMismatch) as error:
        program(*types)(by_arity[len(types)])
    assert "test_sequences.py:" in str(error.value)
    assert str(error.value).endswith(f": {what}\n  to mend: {mend}")


BY_COMMON_RULES: dict[str, tuple[tuple[Any, ...], Callable[..., Any], str]] = {
    "a collection of what is nowhere": (
        (I,),
        tierfed.federated_collect,
        "federated_collect: value is placed nowhere",
    ),
    "a collection to where it is": (
        ("{int32}@CLIENTS",),
        lambda x: tierfed.federated_collect(x, to=CLIENTS),
        "federated_collect: .*cannot rise to CLIENTS, where it already is",
    ),
    "a reduce to another type": (
        ("int32*",),
        lambda x: tierfed.sequence_reduce(x, np.int64(0), lambda a, b: b),
        "sequence_reduce: op returns another type than zero's: expected int64, got int32",
    ),
    "a reduce from a placed zero": (
        ("int32*", "int32@SERVER"),
        lambda x, z: tierfed.sequence_reduce(x, z, lambda a, b: a),
        "sequence_reduce: zero is placed: expected .*, got int32@SERVER",
    ),
    "a sum of strings": (("str*",), tierfed.sequence_sum, r"sequence_sum: .*str.* has no sum"),
    "a sum of unknown sizes": (
        ("float32[?]*",),
        tierfed.sequence_sum,
        r"sequence_sum: .*float32\[\?\].*no zero to start from\n  to mend: use tierfed.sequence_reduce with",
    ),
    "arithmetic on sequences": (("int32*", "int32*"), tierfed.generic_plus, r"generic_plus: .*int32\*.* tensor"),
    "a selection by a function of one": (
        (KEYS, TABLE),
        lambda k, t: select(k, t, fn=program_leaves.halve),
        "federated_select: select_fn takes float32, and is given <float32,int32>",
    ),
}


@pytest.mark.parametrize("name", BY_COMMON_RULES)
def test_what_common_rules_refuse(name):
    """The rules that all operators share hold for these too."""
    types, body, what = BY_COMMON_RULES[name]
    by_arity = {1: lambda x: body(x), 2: lambda x, y: body(x, y)}
    with pytest.raises(TypeMismatch, match=rf"test_sequences.py:\d+: {what}") as error:
        program(*types)(by_arity[len(types)])
    assert error.value.mend


def test_what_depends_on_the_tiers():
    """A collection that does not rise and a selection from below are told by the compiler, and by the reference."""
    down = program(FederatedType(I, SERVER))(lambda x: tierfed.federated_collect(x, to=CLIENTS))
    upwards = program(FederatedType("int32[2]", SERVER), FederatedType(F, CLIENTS, True))(
        lambda k, t: select(k, t, max_key=tierfed.federated_value(np.int32(1), CLIENTS))
    )
    with pytest.raises(
        CompileError, match=r"federated_collect of int32@SERVER to CLIENTS: CLIENTS is not above SERVER"
    ):
        tierfed.compile(down, THREE)
    with pytest.raises(CompileError) as error:
        tierfed.compile(upwards, THREE)
    assert error.value.where.endswith("federated_select of int32[2]@SERVER")
    assert error.value.what == "CLIENTS is not above SERVER in SERVER > EDGE_AGGREGATORS > CLIENTS"
    assert error.value.mend == "select from what stands above the keys"
    with tierfed.local(topology=grown(1)):
        for wrong, arguments in ((down, (1,)), (upwards, ([0, 0], 1.0))):
            with pytest.raises((PlacementError, CompileError), match="above"):
                wrong(*arguments)


@pytest.mark.parametrize("key", [4, -1])
def test_a_key_outside(key):
    """It fails the member that has it, by name, here and on daemons."""
    one = program(KEYS, TABLE)(lambda k, t: select(k, t, fn=lambda table, k: (table, k)))
    tree = grown(1, 2)
    keys = [[0, 3], [1, 1], [2, key]]
    with tierfed.local(topology=tree), pytest.raises(ValueMismatch) as error:
        one(keys, 0.5)
    assert str(error.value).endswith(
        f"federated_select at c-1-1: the key {key} is outside [0,3]\n  to mend: keys count from 0, up to max_key"
    )
    with on_sockets(tree) as context:
        with pytest.raises(RoundFailed, match=rf"the key {key} is outside \[0,3\]") as failed:
            context.invoke(one, keys, 0.5)
        assert failed.value.node == "c-1-1"
        assert context.invoke(one, [[0, 3]] * 3, 0.5) == [[(F(0.5), I(0)), (F(0.5), I(3))]] * 3


BOUNDS = {"federated_secure_sum": 9, "federated_secure_sum_bitwidth": 4, "federated_secure_modular_sum": 16}


def test_these_are_the_secure_sums():
    """They alone are public and without a row among the operators that are computed."""
    assert set(BOUNDS) == SECURE_SUMS


@pytest.mark.parametrize("name", BOUNDS)
def test_a_secure_sum_is_never_computed_in_the_clear(name):
    """Typed, printed and serialised; refused at its line by the reference and the compiler, before anything starts."""
    secure = CALLABLES[name]
    started: list[str] = []

    def provide(uri: str, t: Any, member: Any) -> Any:
        started.append(uri)
        return np.float32(0)

    @program(FederatedType("<a=int8,b=uint64[2]>", CLIENTS))
    def summed(x):
        tierfed.federated_sum(tierfed.federated_data("train", F, CLIENTS))
        return secure(x, {"a": 1, "b": 2}), secure(x, BOUNDS[name], to=EDGE)

    both = "<<a=int8,b=uint64[2]>@SERVER,{<a=int8,b=uint64[2]>}@EDGE_AGGREGATORS>"
    assert str(summed.type_signature.result) == both
    assert f"{name}[SERVER](" in str(summed) and f"{name}[EDGE_AGGREGATORS](" in str(summed)
    again = tierfed.deserialize(tierfed.serialize(summed))
    assert again.node == summed.node
    values = [{"a": 1, "b": [1, 2]}] * 3
    with tierfed.local(topology=grown(1, 2), data=provide), pytest.raises(UnsupportedError) as here:
        summed(values)
    with pytest.raises(UnsupportedError) as compiled:
        tierfed.compile(summed, THREE)
    for error in (here, compiled):
        assert "test_sequences.py:" in error.value.where and error.value.where.endswith(f": {name}")
        assert error.value.what == f"{name} is not computed in the clear, and its protocol is not part of this version"
        assert error.value.mend.startswith("use tierfed.federated_sum, if every tier on the way may see the sums")
    with on_sockets(grown(1, 1)) as context, pytest.raises(UnsupportedError, match="not computed in the clear"):
        context.invoke(summed, values[:2])
    assert not started


def test_a_secure_sum_that_nobody_uses_is_refused():
    """Dead code promises as much as any other."""

    @program(FederatedType(I, CLIENTS))
    def unused(x):
        tierfed.federated_secure_sum(x, 1)
        return tierfed.federated_sum(x)

    with pytest.raises(UnsupportedError, match="not computed in the clear"):
        unused([1, 2])
    with pytest.raises(UnsupportedError, match="not computed in the clear"):
        tierfed.compile(unused, THREE)


# --- generic_* on all that is numbers, and on nothing else

NUMBERS = (
    "int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 bfloat16 complex64 complex128".split()
)
OPERATIONS = {"plus": np.add, "minus": np.subtract, "multiply": np.multiply, "divide": np.divide}


@pytest.mark.parametrize("dtype", [*NUMBERS, "bool", "str"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_arithmetic_by_dtype(name, dtype):
    """On structs of every dtype of numbers as numpy's; bool, str and a division of integers are refused by name."""
    operator = CALLABLES[f"generic_{name}"]
    t = tierfed.to_type(f"<v={dtype}[2],<{dtype}>>")
    if dtype in ("bool", "str") or (name == "divide" and "int" in dtype):
        with pytest.raises(TypeMismatch) as error:
            program(t, t)(operator)
        assert f"{dtype}[2]" in error.value.what and " has no " in error.value.what
        assert "in a leaf first" in error.value.mend
        return
    numpy_type = tierfed.to_type(dtype).dtype
    a, b = np.array([7, 2], numpy_type), np.array([3, 5], numpy_type)
    result = program(t, t)(lambda x, y: operator(x, y))((a, (a[0],)), (b, (b[0],)))
    expected = OPERATIONS[name](a, b)
    assert result.v.dtype == expected.dtype and result.v.tobytes() == expected.tobytes()
    assert result[1][0].dtype == expected.dtype and result[1][0].tobytes() == expected[:1].tobytes()


@pytest.mark.parametrize("dtype", NUMBERS)
def test_zero_by_dtype(dtype):
    """A zero of each dtype of numbers."""
    zero = program(lambda: tierfed.generic_zero(f"<{dtype},{dtype}[3]>"))()
    expected = np.zeros(3, tierfed.to_type(dtype).dtype)
    assert zero[0].dtype == expected.dtype and zero[0] == 0
    assert zero[1].dtype == expected.dtype and zero[1].tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("t", "what"),
    [
        ("bool", "bool,? .*has no zero"),
        ("<a=int32,b=str>", "str,? .*has no zero"),
        ("int32*", r"int32\*.* tensor or a? ?struct of tensors"),
        ("float32[?]", r"float32\[\?\].* no zero to start from"),
    ],
)
def test_what_has_no_zero(t, what):
    """Refused by name."""
    with pytest.raises(TypeMismatch, match=what):
        program(lambda: tierfed.generic_zero(t))


def test_open_sizes_that_differ():
    """Nothing is broadcast: shapes that a type leaves open have to be the same."""
    plus = program("float32[?]", "float32[?]")(lambda x, y: x + y)
    assert plus([1, 2], [3, 4]).tolist() == [4, 6]
    for other in ([1], [1, 2, 3]):
        with pytest.raises(ValueMismatch) as error:
            plus([1, 2], other)
        assert error.value.what == f"the two sides have the shapes (2,) and ({len(other)},)"
