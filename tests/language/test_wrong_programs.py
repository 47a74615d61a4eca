"""docs/wrong-programs.md is the table: each program is told what stands there, and each mended one is accepted."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import tierfed
from tierfed import CLIENTS, FederatedType

PAGE = (Path(__file__).parents[2] / "docs" / "wrong-programs.md").read_text(encoding="utf-8")
LISTING = r"```python\n(.*?)```\n\s*"
ENTRY = re.compile(rf"^### (.*?)\n\s*{LISTING}```text\n(.*?)```\n\s*{LISTING}", re.DOTALL | re.MULTILINE)
HERE = "  # <- here"
RESULT = re.compile(r"(?P<expression>\S.*?)  # (?P<shown>.*)")


@dataclass(frozen=True)
class Wrong:
    """One entry of the page."""

    title: str
    program: str
    message: str
    mended: str

    @property
    def line(self) -> int:
        """The number of the line that is marked."""
        return next(i for i, text in enumerate(self.program.splitlines(), 1) if text.endswith(HERE))


ENTRIES = [Wrong(*found.groups()) for found in ENTRY.finditer(PAGE)]


def loaded(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Run `source` as the module `program` of a file, as a user's import would."""
    file = folder / "program.py"
    file.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("program", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "program", module)
    spec.loader.exec_module(module)
    return module


def test_the_page():
    """There are forty at least, nothing on the page is left out, and each marks one line."""
    assert len(ENTRIES) >= 40
    assert len(ENTRIES) == PAGE.count("\n### ") and PAGE.count("\n```python") == 2 * len(ENTRIES)
    assert len({entry.title for entry in ENTRIES}) == len(ENTRIES)
    assert all(entry.program.count(HERE) == 1 and HERE not in entry.mended for entry in ENTRIES)
    for title in re.findall(r"^## (.*)$", PAGE, re.MULTILINE):
        assert f"](#{re.sub('[^a-z -]', '', title.lower()).replace(' ', '-')})" in PAGE


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.title)
def test_what_it_is_told(entry, tmp_path, monkeypatch):
    """The whole message, word for word; it begins with the user's own line and ends with what would mend it."""
    with pytest.raises(tierfed.TierfedError) as error:
        loaded(entry.program, tmp_path, monkeypatch)
    told = str(error.value).replace(f"{tmp_path}/", "")
    assert f"{told}\n" == entry.message
    assert told.startswith(f"program.py:{entry.line}: ")
    assert error.value.mend


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.title)
def test_what_is_mended_is_accepted(entry, tmp_path, monkeypatch):
    """It runs, and its last line gives what its comment says, as a Python value or as its text."""
    *before, last = entry.mended.splitlines()
    found = RESULT.fullmatch(last)
    assert found or last.startswith("tierfed.compile("), "the last line shows a result, or compiles"
    if found:
        last = f"result = {found['expression']}"
    module = loaded("\n".join([*before, last, ""]), tmp_path, monkeypatch)
    if found:
        try:
            assert module.result == ast.literal_eval(found["shown"])
        except (SyntaxError, ValueError):
            assert str(module.result) == found["shown"]


def test_the_same_error_without_compiling():
    """The reference interpreter refuses what the compiler refuses, at the same line."""
    reduced = tierfed.federated_computation(FederatedType(np.float32, CLIENTS))(
        lambda x: tierfed.federated_reduce(x, np.int64(0), lambda n, _: n + 1)
    )
    assert reduced([1, 2]) == 2  # one hop
    topology = tierfed.tree(fan_out={"EDGE_AGGREGATORS": 2, "CLIENTS": 1})
    with tierfed.local(topology=topology), pytest.raises(tierfed.CompileError, match="are 2 hops in") as interpreted:
        reduced([1, 2])
    with pytest.raises(tierfed.CompileError) as compiled:
        tierfed.compile(reduced, tierfed.Hierarchy.chain("SERVER", "EDGE_AGGREGATORS", "CLIENTS"))
    assert str(interpreted.value) == str(compiled.value)
    assert str(compiled.value).startswith(f"{__file__}:")


def test_lines_are_no_part_of_a_program():
    """Two equal programs on two lines are equal, and have one hash."""
    one = tierfed.federated_computation("{float32}@CLIENTS")(lambda x: tierfed.federated_sum(x))
    other = tierfed.federated_computation("{float32}@CLIENTS")(lambda x: tierfed.federated_sum(x))
    flat = tierfed.Hierarchy.chain("SERVER", "CLIENTS")
    assert one.line != other.line
    assert one == other and tierfed.compile(one, flat).hash == tierfed.compile(other, flat).hash
