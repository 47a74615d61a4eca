"""Whose line an error tells: the user's own, whatever stands between it and TierFed, or none."""

from __future__ import annotations

import collections
import concurrent.futures
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tierfed
from tierfed.errors import TypeMismatch
from tierfed.ir.nodes import Call, Lambda, Reference, written_at
from tierfed.types import TensorType
from tierfed.user_line import located, tell_line, user_line

INT = TensorType("int32")


def _compared(x: Any) -> Any:
    return collections.UserList([x]) == [1]


def _averaged(x: Any) -> Any:
    return np.mean([x, x])


@pytest.mark.parametrize("body", [_compared, _averaged])
def test_what_others_call_is_told_where_they_were_called(body):
    """Between the user's line and the traced value stands the standard library, or numpy."""
    with pytest.raises(TypeMismatch) as error:
        tierfed.federated_computation("float32")(body)
    assert error.value.where == f"{__file__}:{body.__code__.co_firstlineno + 1}"


def test_where_nobody_wrote_a_line_none_is_told():
    """A thread that runs TierFed alone, as a daemon does, has no line of a user's."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        error = pool.submit(tierfed.to_type, "flaot32").exception()
    assert isinstance(error, TypeMismatch) and error.where == "'flaot32', column 1"


def test_the_innermost_line_is_told_once():
    """An error that has a line keeps it, one that has none gets it, and its place stays behind it."""
    with pytest.raises(TypeMismatch) as error, located("outer"), located("inner"):
        raise TypeMismatch("wrong")
    file, number, place = str(error.value.where).split(":")
    assert (file, place) == (__file__, " inner") and number.isdigit()
    told = TypeMismatch("wrong", where="program.py:7: federated_sum")
    tell_line(told, "other.py:3")
    assert told.where == "program.py:7: federated_sum"


def test_a_cell_of_a_notebook(monkeypatch):
    """It is told as the notebook calls it, `In[3]`, and not as the file that the kernel makes of it."""
    cell = "/tmp/ipykernel_41/2718281828.py"
    shell = SimpleNamespace(compile=SimpleNamespace(_filename_map={cell: 3}))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    space = {"user_line": user_line, "__name__": "__main__"}
    exec(compile("\n\nline = user_line()", cell, "exec"), space)
    assert space["line"] == "In[3]:3"


def test_a_call_keeps_its_line_when_it_is_rebuilt():
    """What a pass makes of a call is of the call's line, unless it has one."""
    one = Call(Lambda("x", INT, Reference("x", INT)), Reference("y", INT), "program.py:7")
    assert one.rebuilt(one.children()).line == "program.py:7"  # type: ignore[attr-defined]
    outer = Call(Lambda("x", INT, Reference("x", INT)), one)
    told = written_at(outer, "program.py:9")
    assert [n.line for n in told.walk() if isinstance(n, Call)] == ["program.py:9", "program.py:7"]
    assert written_at(outer, None) is outer and told == outer and hash(told) == hash(outer)
