"""What no random program says: errors, containers and what may not be deployed, here and over sockets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from program_trees import EDGE, HIERARCHIES
from served import on_sockets
from test_agreement import grown

import tierfed
from tierfed import CLIENTS, EmptyAggregate, FederatedType, LeafError, RoundFailed, ValueMismatch
from tierfed.backends.native.context import NativeContext

program = tierfed.federated_computation
F = np.float32
X = FederatedType(F, CLIENTS)
TREE = grown(HIERARCHIES["three tiers"], {"EDGE_AGGREGATORS": [3], "CLIENTS": [2, 0, 1]})


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


EMPTY = {
    "a mean to where nobody is below": (lambda x, w: tierfed.federated_mean(x, to=EDGE), "a mean over no members"),
    "a minimum to there": (lambda x, w: tierfed.federated_min(x, to=EDGE), "a min over no members"),
    "a maximum to there": (lambda x, w: tierfed.federated_max(w, to=EDGE), "a max over no members"),
    "weights that are all zero": (lambda x, w: tierfed.federated_mean(x, weight=w), "the total weight is zero"),
}


@pytest.mark.parametrize("name", EMPTY)
def test_over_nobody(run: Callable[..., Any], name: str) -> None:
    """The same error with the same words, and the tree is as good as before."""
    body, what = EMPTY[name]
    with pytest.raises(EmptyAggregate) as error:
        run(program(X, X)(body), [1, 2, 3], [0, 0, 0])
    assert error.value.what == what
    assert error.value.mend
    assert run(program(X)(tierfed.federated_mean), [1, 2, 6]) == 3


@pytest.mark.parametrize(("weight", "said"), [(-1.0, "-1.0"), (float("nan"), "nan"), (float("inf"), "inf")])
def test_weights_that_cannot_be(run: Callable[..., Any], weight: float, said: str) -> None:
    """A negative or infinite weight, or none, is refused at the member that has it, and that member is named."""
    weighted = program(X, X)(lambda x, w: tierfed.federated_mean(x, weight=w))
    with pytest.raises((ValueMismatch, RoundFailed), match=rf"a weight of {said}") as error:
        run(weighted, [1, 2, 3], [5, 5, weight])
    if isinstance(error.value, RoundFailed):
        assert error.value.node == "clients-2"


def test_integers_wrap(run: Callable[..., Any]) -> None:
    """As numpy's, at the edges and at the server."""
    small = program(FederatedType(np.int8, CLIENTS))(
        lambda x: (tierfed.federated_sum(x), tierfed.federated_sum(x, EDGE))
    )
    assert run(small, [100, 100, 100]) == (np.int8(44), [np.int8(-56), np.int8(0), np.int8(100)])


# -- leaves


@tierfed.py_computation(F, returns=F)
def explodes(x: Any) -> Any:
    """Raise at one member."""
    if x == 2:
        raise ArithmeticError(f"cannot do {x}")
    return x


@tierfed.py_computation(F, returns=F)
def widens(x: Any) -> Any:
    """Give what was not declared."""
    return np.float64(x)


@pytest.mark.parametrize(
    ("leaf", "what"),
    [
        (explodes, r"raised ArithmeticError: cannot do 2\.0"),
        (widens, r"the result of widens: expected float32, got float64"),
    ],
)
def test_a_leaf_that_fails(run: Callable[..., Any], leaf: Any, what: str) -> None:
    """What it raised, or returned instead, is told; over sockets with the member, and its traceback."""
    with pytest.raises((LeafError, RoundFailed), match=what) as error:
        run(program(X)(lambda x: tierfed.federated_sum(tierfed.federated_map(leaf, x))), [1, 2, 3])
    if leaf is explodes:
        assert "ArithmeticError: cannot do 2.0" in str(error.value.remote_traceback)
        assert 'raise ArithmeticError(f"cannot do {x}")' in str(error.value.remote_traceback)
    if isinstance(error.value, RoundFailed):
        assert error.value.node in ("clients-0", "clients-1")


def test_what_cannot_be_deployed(native: NativeContext) -> None:
    """A lambda and a function inside a function run here, and are refused on a tree before anything is sent."""

    def inner(x: Any) -> Any:
        return x + x

    for fn, kind in ((inner, "a function inside a function"), (lambda x: x + x, "a lambda")):
        doubled = program(X)(lambda x, fn=fn: tierfed.federated_map(tierfed.py_computation(fn, F, returns=F), x))
        with tierfed.local(topology=TREE):
            assert doubled([1, 2, 3]) == [2, 4, 6]
        with pytest.raises(tierfed.CompileError) as error:
            native.invoke(doubled, [1, 2, 3])
        assert error.value.what == f"{kind} cannot be found by another process"
        assert error.value.mend == "define it at the top level of a module, and pass what it captured as an argument"


# -- containers


class Pair(NamedTuple):
    """Two numbers."""

    left: np.float32
    right: np.int32


@dataclasses.dataclass
class Model:
    """A number and a pair."""

    w: np.float32
    pair: Pair


def test_containers_come_back_in_their_form(run: Callable[..., Any]) -> None:
    """A dataclass, a NamedTuple, a dict and a list are what they were, placed, folded and kept where they are."""
    whole = program(FederatedType(Model, CLIENTS), FederatedType([F, F], CLIENTS))(
        lambda m, pairs: {"sum": tierfed.federated_sum(m), "own": m, "pairs": tierfed.federated_sum(pairs), "list": [m]}
    )
    models = [Model(F(i), Pair(F(i), np.int32(i))) for i in range(3)]
    result = run(whole, models, [[1, 2]] * 3)
    assert result["sum"] == Model(F(3), Pair(F(3), np.int32(3)))
    assert type(result["sum"]) is Model and type(result["sum"].pair) is Pair
    assert result["own"] == models and type(result["own"][1].pair) is Pair
    assert result["pairs"] == [3, 6] and type(result["pairs"]) is list
    assert result["list"] == [models]


def test_arguments_are_counted(run: Callable[..., Any]) -> None:
    """One value for each member, no more and no less."""
    with pytest.raises(ValueMismatch) as error:
        run(program(X)(tierfed.federated_sum), [1, 2])
    assert str(error.value) == (
        "argument: 2 values for the 3 members of CLIENTS\n  to mend: pass one value for each member, in member order"
    )


def test_a_result_that_nobody_holds(run: Callable[..., Any]) -> None:
    """What is all-equal where there is no member is refused by both; where there is one, it is that."""
    down = program(FederatedType(F, tierfed.SERVER))(lambda m: tierfed.federated_broadcast(m))
    assert run(down, 5) == 5
    nobody = grown(HIERARCHIES["two tiers"], {"CLIENTS": [0]})
    with tierfed.local(topology=nobody), pytest.raises(tierfed.PlacementError, match="CLIENTS has no member to hold"):
        down(5)
    with on_sockets(nobody) as context, pytest.raises(tierfed.PlacementError, match="CLIENTS has no member to hold"):
        context.invoke(down, 5)
