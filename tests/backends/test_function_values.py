"""Functions as values: passed to computations and returned by them, by reference and on daemons alike."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from served import on_sockets

import tierfed
from tierfed import CLIENTS, Computation, FederatedType, FunctionType, LeafError, TypeMismatch
from tierfed.backends.local import LocalContext

EDGE = tierfed.placement("EDGE_AGGREGATORS")
I = np.int32  # noqa: E741  # as in the notation
TREE = tierfed.tree(fan_out={"EDGE_AGGREGATORS": 2, "CLIENTS": 2}).tree


@pytest.fixture(scope="module", params=["reference", "daemons"])
def context(request: Any) -> Iterator[Any]:
    """Each of the two backends."""
    with on_sockets(TREE) if request.param == "daemons" else contextlib.nullcontext(LocalContext(TREE)) as context:
        yield context


@tierfed.federated_computation(FunctionType(I, I), FederatedType(I, CLIENTS))
def total(f: Any, x: Any) -> Any:
    """The sum of f of each value."""
    return tierfed.federated_sum(tierfed.federated_map(f, x))


@tierfed.federated_computation(tierfed.to_type({"fs": (FunctionType((I, I), I), FunctionType(None, I)), "x": I}))
def within(given: Any) -> Any:
    """Functions inside a struct, one of two arguments and one of none."""
    return given.fs[0](given.x, given.fs[1]())


@tierfed.federated_computation(I)
def square(v: Any) -> Any:
    """v * v."""
    return v * v


@tierfed.federated_computation(I)
def adder(n: Any) -> Any:
    """A function that captures what was computed, beside a value."""
    twice = n * 2

    @tierfed.federated_computation(I)
    def add(x: Any) -> Any:
        return {"sum": x + twice, "pair": (x, n)}

    return {"add": add, "n": n}


@tierfed.federated_computation
def summing() -> Any:
    """A function with placements in its type."""

    @tierfed.federated_computation(FederatedType(I, CLIENTS))
    def add_up(x: Any) -> Any:
        return tierfed.federated_sum(x), tierfed.federated_max(x, to=EDGE)

    return add_up


def test_passed(context: Any) -> None:
    """A lambda, a function, a computation and an operator are put into the program that runs."""
    values = [1, 2, 3, 4]
    assert context.invoke(total, lambda v: v * v, values) == context.invoke(total, square, values) == 30
    assert context.invoke(total, x=values, f=lambda v: v + 1) == 14
    assert context.invoke(within, {"fs": (lambda a, b: a - b, lambda: np.int32(5)), "x": 2}) == -3


def test_passed_while_tracing(context: Any) -> None:
    """Inside another computation a function is passed as it is outside."""

    @tierfed.federated_computation(FederatedType(I, CLIENTS), I)
    def outer(x: Any, n: Any) -> Any:
        return total(lambda v: v * n, x), total(square, x)

    assert context.invoke(outer, [1, 2, 3, 4], 10) == (100, 30)


def test_returned(context: Any) -> None:
    """What comes back is a computation with what it captured; it can be called, printed, passed and serialised."""
    made = context.invoke(adder, 5)
    assert made["n"] == 5
    assert isinstance(made["add"], Computation)
    assert str(made["add"].type_signature) == "(int32 -> <sum=int32,pair=<int32,int32>>)"
    again = tierfed.deserialize(tierfed.serialize(made["add"]))
    for add in (made["add"], again):
        assert context.invoke(add, 3) == {"sum": 13, "pair": (3, 5)}
    assert context.invoke(total, lambda v: made["add"](v).sum, [1, 2, 3, 4]) == 50


def test_returned_with_placements(context: Any) -> None:
    """A returned function may aggregate."""
    whole, edges = context.invoke(context.invoke(summing), [1, 2, 3, 4])
    assert whole == 10
    assert list(edges) == [2, 4]


def test_another_type(context: Any) -> None:
    """A function of another type is refused at the user's line, with both types."""
    with pytest.raises(TypeMismatch, match=r"test_function_values.py:\d+: .*expected \(int32 -> int32\)") as caught:
        context.invoke(total, lambda v: (v, v), [1, 2, 3, 4])
    assert "to mend: pass a function of the type that is taken" in str(caught.value)


def test_what_is_no_constant(context: Any) -> None:
    """A returned function that captured a placed value is refused, with the mend."""

    @tierfed.federated_computation(FederatedType(I, CLIENTS))
    def leaking(x: Any) -> Any:
        @tierfed.federated_computation(I)
        def inner(n: Any) -> Any:
            return tierfed.federated_map(lambda v: v, x)

        return inner

    with pytest.raises((TypeMismatch, LeafError, tierfed.CompileError), match="is no constant") as caught:
        context.invoke(leaking, [1, 2, 3, 4])
    assert "return the value beside the function" in str(caught.value)
