"""How operators are called: with too little or too much, functions of any arity, and numpy around."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tierfed
from tierfed import CLIENTS, SERVER, FederatedType, TypeMismatch

F = np.float32
X = FederatedType(F, CLIENTS)
P = FederatedType([("a", F), ("b", F)], CLIENTS)
program = tierfed.federated_computation


def plus(a: Any, b: Any) -> Any:
    return a + b


WRONG: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "no function": (
        lambda x: tierfed.federated_map(x),
        "federated_map: missing a required argument: 'value'",
        "call federated_map(fn, value)",
    ),
    "no placement": (
        lambda x: tierfed.federated_value(F(1)),
        "federated_value: missing a required argument: 'placement'",
        "call federated_value(value, placement)",
    ),
    "a keyword that is none": (
        lambda x: tierfed.federated_sum(x, at=SERVER),
        "federated_sum: got an unexpected keyword argument 'at'",
        "call federated_sum(value, to=SERVER)",
    ),
    "too much": (
        lambda x: tierfed.federated_broadcast(x, CLIENTS, 3),
        "federated_broadcast: too many positional arguments",
        "call federated_broadcast(value, to=CLIENTS)",
    ),
    "a function of something, of nothing": (
        lambda x: tierfed.federated_eval(lambda v: v, CLIENTS),
        "federated_eval: fn takes 1 argument, and is given nothing",
        "let fn take no argument",
    ),
    "a function of nothing, of something": (
        lambda x: tierfed.federated_map(lambda: F(1), x),
        "federated_map: fn takes 0 arguments, and is given a value of float32",
        "let fn take one argument",
    ),
    "a function of three, of a pair": (
        lambda x: tierfed.federated_reduce(x, F(0), lambda a, b, c: a),
        "federated_reduce: op takes 3 arguments, and is given a value of <float32,float32>",
        "let op take 2 arguments, or one that it selects from",
    ),
    "numpy's own functions": (
        lambda x: tierfed.federated_map(lambda v: np.sin(v), x),
        "in fn of federated_map: numpy's sin is called with a traced value of float32, which is no array yet",
        "call it in a leaf, where the value is an array: @tierfed.py_computation",
    ),
    "numpy's own comparison": (
        lambda x: tierfed.federated_map(lambda v: F(1) < v, x),
        "in fn of federated_map: numpy's less is called with a traced value of float32, which is no array yet",
        "call it in a leaf, where the value is an array: @tierfed.py_computation",
    ),
    "numpy's own reduction": (
        lambda x: tierfed.federated_map(lambda v: np.add.reduce(v), x),
        "in fn of federated_map: numpy's add is called with a traced value of float32, which is no array yet",
        "call it in a leaf, where the value is an array: @tierfed.py_computation",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_is_told_at_its_line(name: str) -> None:
    """What is missing or too much is a type error at the user's line, which shows how to call it."""
    body, what, mend = WRONG[name]
    with pytest.raises(TypeMismatch) as error:
        program(X)(body)
    first, _, rest = str(error.value).partition("\n")
    assert re.fullmatch(rf"{re.escape(__file__)}:\d+: {re.escape(what)}", first), first
    assert rest == f"  to mend: {mend}"


@pytest.mark.parametrize("name", ["federated_mean", "federated_aggregate", "generic_plus"])
def test_help_shows_the_parameters(name: str) -> None:
    """`help` and completion see names, defaults, the type signature and a sentence."""
    fn = getattr(tierfed, name)
    assert fn.__name__ == name
    assert fn.__doc__ and fn.__doc__.startswith("Return the ") and f"{name} : " in fn.__doc__
    assert (
        list(inspect.signature(fn).parameters)
        == {
            "federated_mean": ["value", "weight", "to"],
            "federated_aggregate": ["value", "zero", "accumulate", "merge", "report", "to"],
            "generic_plus": ["left", "right"],
        }[name]
    )


def test_functions_of_any_form() -> None:
    """A struct arrives as one value or as its elements, and what has a default is a capture."""
    forms = [
        lambda p: p.a - p.b,
        lambda a, b: a - b,
        lambda *both: both[0] - both[1] if len(both) == 2 else both[0].a - both[0].b,
        lambda p, sign=1: p.a - p.b if sign == 1 else p.b - p.a,
        functools.partial(lambda scale, p: p.a - p.b, 3),
        program([("a", F), ("b", F)])(lambda p: p.a - p.b),
    ]
    for form in forms:
        assert _mapped(form)([{"a": 5, "b": 2}]) == [F(3)]


def _mapped(form: Any) -> Any:
    return program(P)(lambda x: tierfed.federated_map(form, x))


def test_a_loop_captures_by_default() -> None:
    """`lambda v, k=k:` in a loop is a function of one value, as Python users write it."""
    found = program(X)(lambda x: [tierfed.federated_map(lambda v, k=k: v * F(k), x) for k in range(3)])
    assert found([2]) == [[0], [2], [4]]


NUMPY_FIRST: dict[str, tuple[Callable[[Any], Any], float]] = {
    "scalar + x": (lambda v: F(8) + v, 10.0),
    "scalar - x": (lambda v: F(8) - v, 6.0),
    "scalar * x": (lambda v: F(8) * v, 16.0),
    "scalar / x": (lambda v: F(8) / v, 4.0),
    "x - scalar": (lambda v: v - F(8), -6.0),
    "np.add": (lambda v: np.add(v, F(8)), 10.0),
    "np.divide": (lambda v: np.divide(v, F(8)), 0.25),
}


@pytest.mark.parametrize("name", NUMPY_FIRST)
def test_numpy_on_either_side(name: str) -> None:
    """Arithmetic with numpy's scalars is traced whichever side they stand on, at one member and lifted."""
    body, expected = NUMPY_FIRST[name]
    assert program(F)(body)(2) == F(expected)
    assert program(X)(body)([2]) == [F(expected)]


def test_arrays_on_either_side() -> None:
    """An array is one constant, not one a cell."""
    t = FederatedType((F, [2]), CLIENTS)
    both = program(t)(lambda x: (np.array([1, 2], F) - x, x - np.array([1, 2], F)))
    left, right = both([np.array([5, 5], F)])
    assert (left[0].tolist(), right[0].tolist()) == ([-4, -3], [4, 3])


def test_a_zero_of_its_own_type() -> None:
    """In a reduce a Python number takes the value's type; numpy's number, or a text, keeps its own."""
    counted = program(X)(lambda x: tierfed.federated_reduce(x, np.int64(0), lambda n, v: n + 1))
    assert str(counted.type_signature.result) == "int64@SERVER"
    assert counted([0.5, 0.25]) == 2
    added = program(X)(lambda x: tierfed.federated_reduce(x, 0, plus))
    assert str(added.type_signature.result) == "float32@SERVER"
    assert added([0.5, 0.25]) == 0.75


def test_a_value_at_a_singleton_may_come_as_a_list() -> None:
    """`{T}@SERVER` is held as a list of one, and `federated_apply` gives the one."""
    one = program(FederatedType(F, SERVER, False))(lambda x: tierfed.federated_apply(lambda v: v + F(1), x))
    assert str(one.type_signature) == "({float32}@SERVER -> float32@SERVER)"
    assert one([2]) == 3


def test_a_result_needs_somebody_to_hold_it() -> None:
    """What is all-equal at a placement without members is refused; a list of nobody's values is empty."""
    down = program(FederatedType(F, SERVER), X)(lambda m, x: tierfed.federated_broadcast(m))
    assert down(5, [1]) == 5
    with pytest.raises(tierfed.PlacementError) as error:
        down(5, [])
    assert str(error.value).partition(": ")[2] == (
        "call: the result has a part float32@CLIENTS, and CLIENTS has no member to hold it\n"
        "  to mend: return it from a placement that has members"
    )
    assert program(X)(lambda x: x + x)([]) == []


@pytest.mark.parametrize("body", [lambda v, y: v + y, lambda v, y: y.a, lambda v, y: (v, y), lambda v, y: (y, v * v)])
def test_a_captured_placed_value_is_told_as_such(body: Any) -> None:
    """Whether it is added to, selected from or put in a struct, what is told is its name and how to pass it."""
    y = FederatedType([("a", F)] if "a" in body.__code__.co_names else F, SERVER)
    with pytest.raises(TypeMismatch) as error:
        program(X, y)(lambda x, y: tierfed.federated_map(lambda v: body(v, y), x))
    assert str(error.value).partition(": ")[2] == (
        f"federated_map: fn works on one member's value, and captures y, which is placed: {y}\n"
        "  to mend: make it part of the value, (value, tierfed.federated_broadcast(y)), and a parameter of fn"
    )


@pytest.mark.parametrize("what", [len, functools.partial(plus, 1), np.sin, str.upper], ids=repr)
def test_a_leaf_is_a_def(what: Any) -> None:
    """What has no source of its own cannot be found by its name and digest: refused where it is decorated."""
    for decorate in (
        lambda: tierfed.py_computation(what, F, returns=F),
        lambda: tierfed.py_computation(F, returns=F)(what),
    ):
        with pytest.raises(TypeMismatch) as error:
            decorate()
        assert str(error.value).partition(": ")[2] == (
            f"py_computation: {what!r} is no function that was written with def\n"
            "  to mend: write `def …` at the top level of a module, and decorate that"
        )


def test_what_has_a_default_needs_no_type() -> None:
    """In both decorators: a program of one type from a function of one parameter and a captured one."""
    programs = [program(X)(lambda x, k=k: tierfed.federated_sum(x * F(k))) for k in (1, 10)]
    assert [p([1, 2]) for p in programs] == [3, 30]
    assert program(X)(functools.partial(lambda to, x: tierfed.federated_sum(x, to=to), SERVER))([1, 2]) == 3
    assert scaled(3) == 6


@tierfed.py_computation(F, returns=F)
def scaled(x: Any, by: Any = 2) -> Any:
    """`x` times what stands in the signature."""
    return F(x * by)
