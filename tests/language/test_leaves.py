"""Python leaves: by reference, on values in their containers, with results that are checked and never cast."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest

import tierfed
from tierfed import CLIENTS, CompileError, FederatedType, LeafError, TypeMismatch
from tierfed.ir.nodes import Compiled
from tierfed.leaves import check_deployable, load

F, I = np.float32, np.int32  # noqa: E741  # as in the notation: float and int


@tierfed.py_computation(I, returns="float32[2]")
def answers(how):
    match int(how):
        case 0:
            return np.array([1, 2], np.float64)
        case 1:
            return np.array([1, 2, 3], np.float32)
        case 2:
            return None
        case 3:
            raise ZeroDivisionError("no such share")
    return [1, 2]  # Python's own lists take the declared dtype


@tierfed.federated_computation(FederatedType(I, CLIENTS))
def answered(how):
    return tierfed.federated_map(answers, how)


@pytest.mark.parametrize(
    ("how", "what"),
    [
        (0, "expected float32[2], got float64[2]"),
        (1, "expected float32[2], got float32[3]"),
        (2, "expected float32[2], got NoneType"),
    ],
)
def test_a_result_is_checked_and_not_cast(how, what):
    """The error is the leaf's, names it, and says what would mend it."""
    with pytest.raises(LeafError) as error:
        answered([9, how])
    assert error.value.what.startswith(what)
    assert error.value.where.endswith(": the result of answers")
    assert error.value.mend
    assert answered([9])[0].dtype == np.float32


def test_what_a_leaf_raises():
    """The error names the leaf and keeps the traceback, with the line that raised."""
    with pytest.raises(LeafError, match="leaf answers: raised ZeroDivisionError: no such share") as error:
        answered([3])
    assert 'raise ZeroDivisionError("no such share")' in error.value.remote_traceback
    assert isinstance(error.value.__cause__, ZeroDivisionError)


def test_a_leaf_alone_is_a_program():
    """It can be called, and refuses an argument of another type."""
    assert answers(5).tolist() == [1, 2]
    with pytest.raises(tierfed.ValueMismatch, match="expected int32, got float32"):
        answers(np.float32(1))


def _closure(by):
    def scaled(x):
        return x * by

    return tierfed.py_computation(scaled, F, returns=F)


@pytest.mark.parametrize(
    ("leaf", "kind"),
    [
        (tierfed.py_computation(lambda x: x, F, returns=F), "a lambda"),
        (_closure(F(3)), "a function inside a function"),
    ],
)
def test_what_no_other_process_can_find_is_not_deployed(leaf, kind):
    """It runs here, and is refused for daemons with the mend; so is a program that uses it."""
    assert leaf(2) in (2, 6)
    used = tierfed.federated_computation(FederatedType(F, CLIENTS))(lambda x: tierfed.federated_map(leaf, x))
    for program in (leaf, used):
        with pytest.raises(CompileError) as error:
            check_deployable(program.node)
        assert error.value.what == f"{kind} cannot be found by another process"
        assert error.value.mend == ("define it at the top level of a module, and pass what it captured as an argument")
    check_deployable(answered.node)


def test_a_function_of_a_module_without_a_file():
    """As in a notebook: it runs here, and is refused for daemons."""
    space = {"__name__": "a_prompt"}
    exec("def same(x):\n    return x\n", space)
    leaf = tierfed.py_computation(space["same"], F, returns=F)
    assert leaf(2) == 2
    with pytest.raises(CompileError, match="the module a_prompt has no file that another process could import"):
        check_deployable(leaf.node)


def _leaf(**changed):
    node = answers.node
    assert isinstance(node, Compiled)
    return dataclasses.replace(node, leaf=dataclasses.replace(node.leaf, **changed))


def test_another_digest_is_another_function():
    """What is found under the name is not run if it is not what was meant."""
    with pytest.raises(LeafError) as error:
        load(_leaf(digest="0" * 64))
    assert error.value.what.startswith("the function found here is not the one that the program names")
    assert "install the same version on every node" in error.value.mend


@pytest.mark.parametrize("name", ["no_such_module:f", f"{__name__}:no_such_function"])
def test_a_function_that_is_not_here(name):
    """It cannot be imported, and the mend says where it must be."""
    with pytest.raises(LeafError, match="it cannot be imported here") as error:
        load(_leaf(name=name))
    assert "install its package on every node" in error.value.mend


def test_a_type_is_part_of_what_a_leaf_is():
    """The same function at two types has two digests."""
    one = tierfed.py_computation(answers.python_function, I, returns="float32[2]").node
    other = tierfed.py_computation(answers.python_function, I, returns="float32[?]").node
    assert one.leaf.digest == answers.node.leaf.digest != other.leaf.digest


@pytest.mark.parametrize("t", [FederatedType(F, CLIENTS), "(int32 -> int32)"])
def test_a_leaf_works_on_one_members_value(t):
    """Nothing placed and no function is in its type."""
    with pytest.raises(TypeMismatch) as error:
        tierfed.py_computation(answers.python_function, t, returns=F)
    assert f"a leaf works on one member's value, and its type ({t} -> float32) has a part {t}" in str(error.value)


# --- containers


class Point(NamedTuple):
    x: np.float32
    y: np.float32


SEEN = []


@tierfed.py_computation(Point, {"k": I, "more": [I, I]}, returns={"p": Point, "n": I})
def containers(point, rest):
    SEEN.append((type(point), type(rest), type(rest["more"]), point, rest))
    return {"p": point, "n": rest["k"]}


def test_containers_come_back_in_their_form():
    """Inside a leaf and out of it a struct is what its type was written as."""
    result = containers(Point(1, 2), {"k": 3, "more": [4, 5]})
    assert SEEN.pop() == (Point, dict, list, Point(1, 2), {"k": 3, "more": [4, 5]})
    assert result == {"p": Point(1, 2), "n": 3}
    assert type(result["p"]) is Point


@tierfed.py_computation("<a=int32,b=<int32,int32>>", returns="<a=int32,b=<int32,int32>>")
def plain(x):
    SEEN.append(x)
    return x


def test_structs_in_notation():
    """A dict where all elements are named, a tuple where none is."""
    assert plain({"a": 1, "b": (2, 3)}) == {"a": 1, "b": (2, 3)}
    assert SEEN.pop() == {"a": 1, "b": (2, 3)}


@tierfed.py_computation("<x=float32[?],y=int32>*", returns=F)
def summed(examples):
    return np.float32(sum(float(e["x"].sum()) + int(e["y"]) for e in examples))


@tierfed.federated_computation("<x=float32[?],y=int32>*")
def twice(examples):
    return summed(examples), summed(examples)


def test_each_use_of_a_sequence_is_a_fresh_iterator():
    """Two leaves that read one sequence both read all of it."""
    examples = [{"x": np.ones(2, F), "y": 1}, {"x": np.zeros(0, F), "y": 2}]
    assert twice(examples) == (5, 5)
    with pytest.raises(tierfed.ValueMismatch, match="expected int32"):
        twice([{"x": np.ones(2, F), "y": 1.5}])
