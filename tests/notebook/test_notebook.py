"""Notebooks in a kernel of their own: the shipped one from end to end, cells that go wrong, a kernel that is killed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from notebook_runs import ROOT, executed

from tierfed.launch.pids import ProcessId

pytestmark = pytest.mark.slow

FIRST_PROGRAM = ROOT / "docs" / "notebooks" / "first_program.ipynb"


class TestFirstProgram:
    """docs/notebooks/first_program.ipynb."""

    @pytest.fixture(scope="class")
    @staticmethod
    def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("first program")

    @pytest.fixture(scope="class")
    @staticmethod
    def ran(folder: Path) -> dict[str, Any]:
        return executed(FIRST_PROGRAM, folder)

    @pytest.fixture(scope="class")
    @staticmethod
    def said(ran: dict[str, Any]) -> dict[str, str]:
        return ran["said"]

    def test_types_and_programs_are_shown(self, said: dict[str, str]) -> None:
        """As HTML, beside the text."""
        assert "|{float32}@CLIENTS|" in said["type"]
        assert "computation get_average_temperature" in said["program"]
        assert "federated_mean[SERVER]" in said["program"]
        assert "clients-[0-3] ×4" in said["topology"]

    def test_calls_here(self, said: dict[str, str]) -> None:
        """The reference interpreter; a mistake, told with what mends it; and mended."""
        assert "69.53333" in said["call"]
        assert "left is {float32}@CLIENTS, right is float32@SERVER: two placements" in said["wrong"]
        assert "to mend: move one of them first: tierfed.federated_broadcast goes down" in said["wrong"]
        assert "[np.float32(-2.0), np.float32(0.0), np.float32(2.0)]" in said["mended"]

    def test_slices_are_a_table(self, said: dict[str, str]) -> None:
        """A row for each tier, the deepest first."""
        text = said["slices"]
        assert text.index("|CLIENTS|") < text.index("|SERVER|")
        assert "compute" in text and "fold" in text

    def test_a_leaf_by_the_magic_here_and_on_daemons(self, said: dict[str, str], folder: Path) -> None:
        """The cell became a file beside the notebook, and nodes imported it."""
        assert "15.0" in said["with-leaf"]
        assert (folder / "first_leaves.py").exists()
        assert said["tree"].splitlines()[:2] == ["5.0", "41.0"]
        assert "5.0" in said["await"]

    def test_a_run_is_shown(self, said: dict[str, str]) -> None:
        """Closed after `with`; up, with its rounds, where a later cell shows it."""
        assert re.search(r"run [0-9a-f]{8} · closed · tree · ready in ", said["tree"])
        assert re.search(r"run [0-9a-f]{8} · up · tree", said["job"])
        assert "3 rounds · celsius 15" in said["job"]

    def test_no_process_is_left(self, ran: dict[str, Any]) -> None:
        """Both trees that it brought up are down, before the kernel ends."""
        assert (ran["runs"], ran["there"]) == (2, [])


CELLS = {
    "make": """
        %load_ext tierfed
        import numpy as np, tierfed

        @tierfed.py_computation(np.int32, returns=np.int32)
        def typed(x):
            return x

        def total(leaf):
            each = tierfed.federated_computation(tierfed.FederatedType(np.int32, tierfed.CLIENTS))
            return each(lambda x: tierfed.federated_sum(tierfed.federated_map(leaf, x)))

        def told(tree, leaf):
            try:
                print(tree.invoke(total(leaf), [1, 2]))
            except tierfed.TierfedError as error:
                print(type(error).__name__, error)
    """,
    "first": """
        %%tierfed_module again
        import numpy as np, tierfed

        @tierfed.py_computation(np.int32, returns=np.int32)
        def leaf(x):
            return np.int32(x * 10)
    """,
    "up": """
        tree = tierfed.up(tierfed.tree(fan_out={"CLIENTS": 2}))
        told(tree, leaf)
    """,
    "typed": "told(tree, typed)",
    "second": """
        %%tierfed_module again
        import numpy as np, tierfed

        @tierfed.py_computation(np.int32, returns=np.int32)
        def leaf(x):
            return np.int32(x + 10)
    """,
    "stale": "told(tree, leaf)",
    "here": "print(total(leaf)([1, 2]))",
    "fresh": """
        tree.close()
        async with tierfed.up(tierfed.tree(fan_out={"CLIENTS": 2})) as tree:
            told(tree, leaf)
    """,
    "left-up": """
        tree = tierfed.up(tierfed.tree(fan_out={"CLIENTS": 2}))
        told(tree, leaf)
    """,
}


def test_cells_that_are_run_again_and_a_kernel_that_is_killed(tmp_path: Path) -> None:
    """A tree that is up refuses changed code by name, the next one runs it; a tree does not outlive its kernel."""
    cells = []
    for name, source in CELLS.items():
        lines = source.strip("\n").splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        cells.append(new_code_cell("\n".join(line[indent:] for line in lines).rstrip(), id=name))
    notebook = tmp_path / "cells.ipynb"
    nbformat.write(new_notebook(cells=cells), notebook)
    ran = executed(notebook, tmp_path)
    said = ran["said"]
    assert said["up"] == "30\n"
    assert re.search(r"CompileError In\[\d+\]:\d+: leaf __main__:typed: the module __main__ has no file", said["typed"])
    assert "%%tierfed_module NAME" in said["typed"]
    assert "the function found here is not the one that the program names" in said["stale"]
    assert "bring the tree up again after changing the file" in said["stale"]
    assert said["here"] == said["fresh"] == said["left-up"] == "23\n"
    assert len(ran["there"]) > 3
    assert all(ProcessId(*process).wait_gone(20) for process in ran["there"])
