"""What `federated_data` gives stays at its members until a leaf has made something of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tierfed
from tierfed import CLIENTS, SERVER, FederatedType, Hierarchy, TypeMismatch
from tierfed.ir.build import apply_intrinsic, identity
from tierfed.ir.check import check
from tierfed.ir.nodes import Block, Call, Data, Lambda, Reference

EDGE = tierfed.placement("EDGE_AGGREGATORS")
program = tierfed.federated_computation
I = np.int32  # noqa: E741  # as in the notation
X = FederatedType(I, CLIENTS)
TREE = tierfed.tree(fan_out={"EDGE_AGGREGATORS": 2, "CLIENTS": 2}).tree


@tierfed.py_computation(I, returns=I)
def summary(x: Any) -> Any:
    """What this member lets go."""
    return np.int32(x // 10)


def data(t: Any = I, at: Any = CLIENTS) -> Any:
    return tierfed.federated_data("train", t, at)


def ones() -> Any:
    return tierfed.federated_value(np.int32(1), CLIENTS)


collect, map_ = tierfed.federated_collect, tierfed.federated_map
PAIR = tierfed.to_type("<a=int32,b=int32>")


@program(X)
def collected(x: Any) -> Any:
    """A computation that collects what it is given."""
    return collect(x)


RAW: dict[str, Callable[[], Any]] = {
    "as it is": lambda: collect(data()),
    "to the tier above": lambda: collect(data(), to=EDGE),
    "an element of it": lambda: collect(data(PAIR).a),
    "zipped": lambda: collect((data(), ones())),
    "an element of a zip": lambda: collect(tierfed.federated_zip((ones(), data()))[1]),
    "a plain function of it": lambda: collect(map_(lambda v: (v, v), data())),
    "arithmetic with it": lambda: collect(data() * 2 + ones()),
    "an operator as the function": lambda: collect(map_(lambda a, b: tierfed.generic_plus(a, b), (data(), ones()))),
    "a function of functions": lambda: collect(map_(lambda p: {"y": p[0]}, map_(lambda v: (v, v), data()))),
    "in a computation that is called": lambda: collected(data()),
    "brought further down first": lambda: collect(tierfed.federated_broadcast(data(at=EDGE))),
    "a sequence reduced by no leaf": lambda: collect(tierfed.sequence_sum(data("int32*"))),
    "handed to rounds below": lambda: rounds(lambda v: v),
    "captured by rounds below": lambda: captured(lambda v: v),
    "moved within the state, to where the next round collects it": lambda: moved(),
    "the state of rounds": lambda: kept(lambda x: x),
    "the state of rounds, of which there may be none": lambda: kept(lambda x: map_(summary, x)),
    "the part that no leaf made": lambda: collect(map_(lambda v: {"made": summary(v), "raw": v}, data())),
    "that part, selected": lambda: collect(map_(lambda v: {"made": summary(v), "raw": v}, data()).raw),
    "in a sequence, by keys": lambda: collect(
        tierfed.sequence_sum(
            tierfed.federated_select(
                data("int32[2]"), tierfed.federated_value(3, SERVER), tierfed.federated_value(1, SERVER), lambda t, k: k
            )
        )
    ),
}


def rounds(leaf: Any) -> Any:
    """Rounds below the edges, which collect what `leaf` makes of the data that is handed in."""

    def step(total: Any, own: Any) -> Any:
        return total + tierfed.sequence_sum(collect(map_(leaf, own), to=EDGE))

    return tierfed.federated_iterate(step, tierfed.federated_value(np.int32(0), EDGE), 2, data=data(), at=EDGE)


def captured(leaf: Any) -> Any:
    """The same, with data that the step captures."""
    own = data()

    def step(total: Any) -> Any:
        return total + tierfed.sequence_sum(collect(map_(leaf, own), to=EDGE))

    return tierfed.federated_iterate(step, tierfed.federated_value(np.int32(0), EDGE), 2, at=EDGE)


def kept(step: Any) -> Any:
    """The state that rounds over the data itself end with, collected."""
    return collect(tierfed.federated_iterate(step, data(), 2, at=CLIENTS))


def moved() -> Any:
    """Rounds that collect one part of their state and then put the other there."""

    def step(state: Any) -> Any:
        total = tierfed.sequence_sum(collect(state["shown"], to=EDGE))
        return {"raw": state["raw"] + tierfed.federated_broadcast(total), "shown": state["raw"]}

    return tierfed.federated_iterate(step, {"raw": data(), "shown": ones()}, 2, at=EDGE)


MADE: dict[str, Callable[[], Any]] = {
    "a leaf of it": lambda: collect(map_(summary, data())),
    "a leaf inside rounds below": lambda: rounds(summary),
    "a leaf of what rounds capture": lambda: captured(summary),
    "what rounds with a leaf start from and give": lambda: collect(
        map_(summary, tierfed.federated_iterate(lambda x: x, data(), 2, at=CLIENTS))
    ),
    "a leaf inside a function": lambda: collect(map_(lambda v: (summary(v + v), summary(v)), data())),
    "the part that a leaf made": lambda: collect(map_(lambda v: {"made": summary(v), "raw": v}, data()).made),
    "zipped after the leaf": lambda: collect((map_(summary, data()), ones())),
    "a leaf of the elements": lambda: collect(tierfed.sequence_sum(tierfed.sequence_map(summary, data("int32*")))),
    "summed": lambda: collect(tierfed.federated_sum(data(), to=EDGE)),
    "reduced": lambda: tierfed.federated_reduce(data(), 0, lambda a, b: a + b),
    "no data at all": lambda: collect(ones()),
    "a computation that is called with other things": lambda: (collected(ones()), tierfed.federated_sum(data())),
}


@pytest.mark.parametrize("name", RAW)
def test_it_is_not_collected(name):
    """Selecting, zipping, moving it down, arithmetic and plain functions are no leaves; told where it is written."""
    with pytest.raises(TypeMismatch) as error:
        program(RAW[name])
    assert "test_raw_data.py:" in error.value.where
    assert error.value.where.endswith("federated_iterate" if "next round" in name else "federated_collect")
    assert error.value.what == "what federated_data('train') gives would leave its members as it is"
    assert error.value.mend == "map a leaf over it first, which decides what leaves: federated_map(leaf, data)"


@pytest.mark.parametrize("name", MADE)
def test_what_a_leaf_made_is(name):
    """And so is what holds no data, and a fold, which is nobody's own."""
    tierfed.compile(program(MADE[name]), TREE.hierarchy)


def test_it_is_found_under_names_and_by_the_compiler():
    """A function that is called by name is not followed where it stands; in normal form there is none."""
    t = FederatedType(I, CLIENTS)
    by_name = Lambda(
        None,
        None,
        Block(
            (
                ("rows", Data("train", t)),
                ("same", Lambda("y", t, apply_intrinsic("federated_collect", (Reference("y", t),), SERVER))),
                ("other", apply_intrinsic("federated_map", (identity(I_TYPE), Reference("rows", t)))),
            ),
            Call(Reference("same", collected.type_signature), Reference("other", t)),
        ),
    )
    check(by_name)
    with pytest.raises(TypeMismatch, match="what federated_data\\('train'\\) gives would leave"):
        tierfed.compile(by_name, Hierarchy.chain(SERVER, CLIENTS))


I_TYPE = tierfed.to_type(I)


def test_what_is_collected_after_a_leaf():
    """Each member's, in member order."""
    numbers = {m.name: 10 * i for i, m in enumerate(TREE.members(CLIENTS))}
    with tierfed.local(topology=TREE, data=lambda uri, t, member: np.int32(numbers[member.name])):
        assert program(MADE["a leaf of it"])() == [0, 1, 2, 3]
        assert program(MADE["the part that a leaf made"])() == [0, 1, 2, 3]
