"""docs/reference.md is what the docstrings say, names what is public, and its examples give what they show."""

from __future__ import annotations

import doctest
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

import tierfed
from tierfed.ir.intrinsics import TABLE
from tierfed.language.operators import CALLABLES

ROOT = Path(__file__).resolve().parents[2]


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "tools" / "make_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOOL = _tool()
DOCUMENTED = dict(TOOL.documented())


def test_the_page_is_what_the_docstrings_say(monkeypatch):
    """A docstring, a default or an operator that has changed is told until the page is made again."""
    monkeypatch.setattr(sys, "argv", ["make_reference.py", "--check"])
    assert TOOL.main() == 0


def test_an_old_page_is_told(monkeypatch, tmp_path, capsys):
    """`--check` fails for a page that says something else, and says how it is made."""
    old = tmp_path / "reference.md"
    old.write_text(TOOL.PAGE.read_text("utf-8").replace("to=SERVER", "to=CLIENTS"), "utf-8")
    monkeypatch.setattr(TOOL, "PAGE", old)
    monkeypatch.setattr(sys, "argv", ["make_reference.py", "--check"])
    assert TOOL.main() == 1
    assert "run python tools/make_reference.py" in capsys.readouterr().err


def test_every_operator_stands_there_once():
    """The page's groups are the callables, each in one group and under one heading."""
    assert sorted(name for names in TOOL.OPERATORS.values() for name in names) == sorted(CALLABLES)
    page = TOOL.PAGE.read_text("utf-8")
    assert [name for name in CALLABLES if page.count(f"#### {name}\n") != 1] == []


def test_every_public_name_stands_there():
    """Whatever `tierfed.` offers has an entry; errors stand in their tree."""
    page = TOOL.PAGE.read_text("utf-8")
    missing = [name for name in tierfed._HOME if f"#### {name}\n" not in page and f"─ {name} " not in page]
    assert [name for name in missing if name not in ("CLIENTS", "SERVER")] == []  # these are placement's
    assert "`SERVER`" in page and "`CLIENTS`" in page


@pytest.mark.parametrize("name", sorted(CALLABLES))
def test_every_operator_says_what_it_is(name):
    """An operator without a meaning in words, errors or an example is not finished."""
    text = CALLABLES[name].__doc__ or ""
    assert f"    {name} : " in text and "TypeMismatch" in text and ">>> " in text
    op = TABLE.get(name)
    assert op is None or f"    {name} : {op.signature}\n" in text


@pytest.mark.parametrize("name", [name for name, text in DOCUMENTED.items() if ">>> " in text])
def test_the_example(name, monkeypatch, tmp_path):
    """It gives what it shows."""
    if name == "tf_computation":
        pytest.importorskip("tensorflow")
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    told: list[str] = []
    _, passed = TOOL.run_example(name, DOCUMENTED[name], told.append)
    assert passed, "".join(told)


def test_an_example_that_is_wrong_is_told():
    """The runner that the examples are held to fails one that gives something else."""
    told: list[str] = []
    assert not TOOL.run_example("wrong", ">>> tierfed.to_type('int32')\nTensorType(int64)\n", told.append)[1]
    assert "TensorType(int32)" in "".join(told)
    assert doctest.DocTestParser().get_examples(DOCUMENTED["federated_sum"])
