"""What a checkpoint gives back: values, lists, and what handles stand for."""

import dataclasses
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tierfed
from tierfed.errors import NoSuchRun, ValueMismatch
from tierfed.jobs import checkpoint
from tierfed.language.placed import Placed, PlacedHere

HEAD = tierfed.to_type("<w=float32[2],b=float32>")
HEADS = tierfed.FederatedType(HEAD, tierfed.CLIENTS)
VALUES = [{"w": np.arange(2, dtype=np.float32) + i, "b": np.float32(i)} for i in range(3)]


class Far:
    """Where the values of a handle are."""

    def __init__(self, **at):
        self.at = {int(name[1:]): value for name, value in at.items()}
        self.members = 3
        self.count = len(self.at)

    def fetch(self):
        return self.at


def handle(*present, default=()):
    held = {f"c{i}": (VALUES[i]["w"], VALUES[i]["b"]) for i in present}
    return Placed(HEADS, Far(**held), default)


@dataclasses.dataclass
class State:
    body: np.ndarray
    heads: object


class Pair(NamedTuple):
    heads: object
    round: int


@attrs.define
class Attributes:
    heads: object


def resumed(folder, state):
    checkpoint.save(folder, 3, state)
    number, found = checkpoint.latest(folder)
    assert number == 3
    return found


def alike(found, wanted):
    """Whether two values are of the same classes and equal, all the way down."""
    if type(found) is not type(wanted):
        return False
    if isinstance(wanted, dict):
        return list(found) == list(wanted) and all(alike(found[k], wanted[k]) for k in wanted)
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(alike, found, wanted))
    return bool(np.array_equal(found, wanted)) and np.asarray(found).dtype == np.asarray(wanted).dtype


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        (lambda h: h, VALUES),
        (lambda h: {"heads": h, "round": 3}, {"heads": VALUES, "round": np.int32(3)}),
        (lambda h: (np.ones(2), [h, h]), (np.ones(2), [VALUES, VALUES])),
        (lambda h: State(np.ones(2), h), {"body": np.ones(2), "heads": VALUES}),
        (lambda h: Pair(h, 3), {"heads": VALUES, "round": np.int32(3)}),
        (lambda h: Attributes({"a": (h,)}), {"heads": {"a": (VALUES,)}}),
        (lambda h: OrderedDict(h=h), {"h": VALUES}),
    ],
    ids=["alone", "dict", "tuple and list", "dataclass", "NamedTuple", "attrs", "OrderedDict"],
)
@pytest.mark.parametrize("far", [True, False], ids=["a handle", "a list"])
def test_handles_come_back_as_lists(tmp_path, state, wanted, far):
    """Wherever they are in the state: one value a member, in structs as they were."""
    found = resumed(tmp_path, state(handle(0, 1, 2) if far else PlacedHere(HEADS, handle(0, 1, 2).held())))
    assert alike(found, wanted)


def test_what_comes_back_is_taken_where_the_handle_was(tmp_path):
    """A computation that took the handle takes the list."""

    @tierfed.federated_computation(HEADS)
    def total(heads):
        return tierfed.federated_sum(heads)

    assert alike(total(resumed(tmp_path, {"heads": handle(0, 1, 2)})["heads"]), total(VALUES))


def test_members_without_a_value(tmp_path):
    """A handle that lacks some cannot be saved as a list of all, and says how it can."""
    with pytest.raises(ValueMismatch) as refusal:
        checkpoint.save(tmp_path, 3, {"heads": handle(0, 2)})
    assert str(refusal.value) == (
        "handle of {<w=float32[2],b=float32>}@CLIENTS: 2 of 3 members have a value\n"
        "  to mend: say what the others start from: handle.with_default(value)"
    )
    assert checkpoint.latest(tmp_path) is None
    found = resumed(tmp_path, handle(0, 2).with_default({"w": [7, 8], "b": 9}))
    assert alike(found, [VALUES[0], {"w": np.array([7, 8], np.float32), "b": np.float32(9)}, VALUES[2]])


leaves = st.one_of(
    st.integers(-100, 100).map(np.int32),
    st.booleans().map(np.bool_),
    st.text(max_size=3),
    st.lists(st.floats(width=32, allow_nan=False), max_size=3).map(lambda x: np.array(x, np.float32)),
)
states = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, min_size=1, max_size=1).map(lambda one: one * 3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.sampled_from(["a", "b", "a b"]), inner, min_size=1, max_size=2),
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(states)
def test_any_state_comes_back_equal(tmp_path_factory, state):
    """Lists as lists, tuples as tuples, dicts as dicts, arrays with their dtype."""
    assert alike(resumed(tmp_path_factory.mktemp("run"), state), state)


def test_a_list_of_many_structs(tmp_path):
    """However many members, and whatever they have in common."""
    many = [{"w": np.full(3, i, np.float32), "name": f"c-{i}"} for i in range(5000)]
    assert alike(resumed(tmp_path, {"many": many}), {"many": many})
    unequal = [np.zeros(i % 7, np.float32) for i in range(5000)]
    assert alike(resumed(tmp_path, {"unequal": unequal}), {"unequal": unequal})


def test_one_that_is_cut_is_passed_over(tmp_path):
    """A file that breaks off, wherever it does, is none; the one before it counts."""
    checkpoint.save(tmp_path, 1, {"heads": handle(0, 1, 2)})
    whole = checkpoint.save(tmp_path, 2, np.arange(1000)).read_bytes()
    for length in (0, 1, len(whole) // 40, len(whole) // 2, len(whole) - 1):
        Path(tmp_path, "round-000002.ckpt").write_bytes(whole[:length])
        number, state = checkpoint.latest(tmp_path)
        assert number == 1 and alike(state["heads"], VALUES)
    with pytest.raises(NoSuchRun, match="has no checkpoint"):
        checkpoint.of_run(tmp_path)
