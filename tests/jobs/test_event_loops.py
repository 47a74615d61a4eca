"""Trees under another event loop."""

import numpy as np
import pytest

import tierfed
from tierfed.errors import SettingError
from tierfed.node import event_loop

VECTOR = tierfed.to_type("float32[70000]")


@tierfed.py_computation(VECTOR, returns=np.int32)
def is_uvloop(vector):
    """Return whether this process's loop is uvloop's: the module is there only if it was asked for."""
    import sys

    return np.int32("uvloop" in sys.modules)


@tierfed.federated_computation(tierfed.FederatedType(VECTOR, tierfed.CLIENTS))
def added(vectors):
    """Return the sum of vectors, and the number of clients under uvloop."""
    return tierfed.federated_sum(vectors), tierfed.federated_sum(tierfed.federated_map(is_uvloop, vectors))


def test_a_tree_under_uvloop_gives_the_same_bits(monkeypatch):
    """Large and small messages, up and down, on both loops."""
    pytest.importorskip("uvloop")
    vectors = list(np.random.default_rng(0).standard_normal((2, 70_000), np.float32))
    results = []
    for loop in ("asyncio", "uvloop"):
        monkeypatch.setenv("TIERFED_LOOP", loop)
        with tierfed.up(tierfed.tree({"CLIENTS": 2})) as tree:
            results.append(tree.invoke(added, vectors))
    (ours, none), (theirs, both) = results
    assert (none, both) == (0, 2)
    assert ours.tobytes() == theirs.tobytes() == (vectors[0] + vectors[1]).tobytes()


def test_a_loop_that_cannot_be_had_is_told_before_there_is_a_node(monkeypatch, tmp_path):
    """The variable is named, and what would mend it."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    monkeypatch.setenv("TIERFED_LOOP", "trio")
    with pytest.raises(
        SettingError, match=r"^TIERFED_LOOP: 'trio' is no event loop\n  to mend: write asyncio or uvloop$"
    ):
        tierfed.up(tierfed.tree({"CLIENTS": 2}))
    monkeypatch.setenv("TIERFED_LOOP", "uvloop")
    monkeypatch.setitem(__import__("sys").modules, "uvloop", None)
    with pytest.raises(SettingError, match="pip install 'tierfed\\[uvloop\\]'"):
        event_loop.factory()
    monkeypatch.setenv("TIERFED_LOOP", "")
    assert event_loop.factory() is None
