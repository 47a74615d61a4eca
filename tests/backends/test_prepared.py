"""What the local context keeps of a program between its calls."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest

import tierfed
from tierfed.backends.local import blas, prepared
from tierfed.backends.local.prepared import prepare

CLIENTS = tierfed.FederatedType(np.int32, tierfed.CLIENTS)


@tierfed.py_computation(np.int32, returns=np.int32)
def one_more(value: Any) -> Any:
    """Return `value + 1`."""
    return value + np.int32(1)


@tierfed.federated_computation(CLIENTS)
def with_leaf(x: Any) -> Any:
    """Return the sum of what the clients' values become."""
    return tierfed.federated_sum(tierfed.federated_map(one_more, x))


@tierfed.federated_computation(np.int32)
def without(x: Any) -> Any:
    """Return twice `x`, nowhere."""
    return x + x


@tierfed.federated_computation(CLIENTS)
def secret(x: Any) -> Any:
    """Return a sum of which nobody may see the parts."""
    return tierfed.federated_secure_sum(x, np.int32(7))


def test_a_program_is_looked_at_once() -> None:
    """The second call finds what the first has found, and programs are told apart."""
    first = prepare(with_leaf.node)
    assert first.placements == {tierfed.CLIENTS, tierfed.SERVER} and first.has_leaves
    assert prepare(with_leaf.node) is first
    other = prepare(without.node)
    assert other.placements == frozenset() and not other.has_leaves


def test_no_more_are_kept_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program that came first goes, and is looked at again when it is called."""
    monkeypatch.setattr(prepared, "_prepared", {})
    monkeypatch.setattr(prepared, "_KEPT", 1)
    first = prepare(with_leaf.node)
    prepare(without.node)
    assert list(prepared._prepared) == [id(without.node)]
    again = prepare(with_leaf.node)
    assert again is not first and again == first


def test_a_program_that_is_refused_is_refused_again() -> None:
    """Nothing is kept of a program that may not run."""
    for _ in range(2):
        with pytest.raises(tierfed.UnsupportedError, match="federated_secure_sum is not computed in the clear"):
            secret([1, 2])


def test_libraries_are_looked_for_when_a_module_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look serves all calls, until another module is imported that may have brought a BLAS."""
    looks: list[int] = []

    class Controller:
        def __init__(self) -> None:
            looks.append(len(sys.modules))
            self.lib_controllers: list[Any] = []

    monkeypatch.setattr(blas, "ThreadpoolController", Controller)
    blas._libraries.cache_clear()
    try:
        assert [with_leaf([1, 2]) for _ in range(3)] == [5, 5, 5] and len(looks) == 1
        monkeypatch.setitem(sys.modules, "a_module_that_has_come", types.ModuleType("a_module_that_has_come"))
        assert with_leaf([1]) == 2 and len(looks) == 2
    finally:
        blas._libraries.cache_clear()
