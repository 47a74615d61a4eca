"""docs/from-federated-core.md is true: what it names is there, on both sides, and its sessions give what they show."""

from __future__ import annotations

import doctest
import re
from functools import reduce
from pathlib import Path

import numpy as np
import pytest

import tierfed

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "from-federated-core.md").read_text("utf-8")
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `fl.")]


def _names(text: str, package: str) -> list[str]:
    return re.findall(rf"`{package}\.([\w.]+)", text)


@pytest.fixture(scope="module")
def fl():
    """The package, where it is installed."""
    return pytest.importorskip("federated_language")


def test_what_it_names_is_there(fl):
    """Each name with its package in front is one that the package has."""
    for package, where in ((fl, "fl"), (tierfed, "tierfed")):
        named = set(_names(PAGE, where))
        assert len(named) > 15
        found = {name: reduce(lambda o, n: getattr(o, n, None), name.split("."), package) for name in named}
        assert [name for name, of in found.items() if of is None] == []


def test_the_same_names_are_the_same():
    """A row that says so names what is here as well."""
    said = [(row[0], row[1]) for row in ROWS if row[1] == "the same names"]
    assert len(said) >= 5
    assert [name for there, _ in said for name in _names(there, "fl") if not hasattr(tierfed, name)] == []


def test_no_public_operator_of_theirs_is_left_out(fl):
    """Whatever is called federated_… or sequence_… there has a row."""
    theirs = [name for name in dir(fl) if name.startswith(("federated_", "sequence_")) and callable(getattr(fl, name))]
    assert len(theirs) > 12
    assert [name for name in theirs if name not in {n for row in ROWS for n in _names(row[0], "fl")}] == []


def test_what_it_says_of_theirs(fl):
    """The differences that are told are those of the package, as it is."""
    at_clients = fl.FederatedType(np.float32, fl.CLIENTS)
    with pytest.raises(TypeError, match="unsupported operand"):
        fl.federated_computation(at_clients)(lambda x: x + x)
    with pytest.raises(TypeError):
        fl.federated_computation(at_clients)(lambda x: fl.federated_map(lambda v: v, x))
    with pytest.raises(RuntimeError, match="No default context"):
        fl.federated_computation(at_clients)(lambda x: fl.federated_mean(x))([1.0])
    assert isinstance(fl.federated_computation(lambda x: x), fl.framework.PolymorphicComputation)
    assert fl.to_type([np.int32, np.int32]) != fl.to_type((np.int32, np.int32))
    assert tierfed.to_type([np.int32, np.int32]) == tierfed.to_type((np.int32, np.int32))
    with pytest.raises(TypeError, match="str"):
        fl.to_type("int32")
    with pytest.raises(TypeError):
        fl.to_type(int)
    assert str(tierfed.to_type(int)) and str(at_clients) == "{float32}@CLIENTS"
    assert str(fl.TensorType(np.float32, None)) != str(tierfed.TensorType(np.float32, None)) == "float32[...]"
    assert str(fl.to_type([("a/b", np.int32)])) == "<a/b=int32>"
    assert str(tierfed.to_type([("a/b", np.int32)])) == '<"a/b"=int32>'
    with pytest.raises(tierfed.TierfedError, match="1 parameter"):
        tierfed.federated_computation(lambda x: x)
    for name in ("tf_computation", "federated_reduce", "federated_collect", "federated_apply", "federated_iterate"):
        assert not hasattr(fl, name)


def test_the_sessions(fl):
    """Each line gives what stands below it."""
    sessions = "\n".join(re.findall(r"^```pycon\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    test = doctest.DocTestParser().get_doctest(sessions, {"__name__": "session"}, "sessions", None, 0)
    told: list[str] = []
    done = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False).run(test, out=told.append)
    assert done.attempted > 8 and done.failed == 0, "".join(told)
