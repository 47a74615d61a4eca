"""`%%tierfed_module`: what it writes, imports and refuses, without a kernel."""

import importlib
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import tierfed
from tierfed import TierfedError
from tierfed.leaves import check_deployable, py
from tierfed.notebook import write_module

LEAF = """
import numpy as np, tierfed

@tierfed.py_computation(np.int32, returns=np.int32)
def {name}(x):
    return np.int32(x {sign} 2)
"""


class Notebook:
    """What of IPython the extension uses."""

    def __init__(self):
        self.user_ns = {}
        self.push = self.user_ns.update
        self.told = []
        tierfed.load_ipython_extension(self)

    def register_magic_function(self, function, magic_kind, magic_name):
        assert (magic_kind, magic_name) == ("cell", "tierfed_module")
        self.run = function

    def set_custom_exc(self, kinds, tell):
        assert kinds == (TierfedError,)
        self.tell = tell

    def _showtraceback(self, kind, error, lines):
        self.told.append(lines)

    def showtraceback(self, given, tb_offset=None):
        self.told.append(given)


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """A notebook in an empty folder; modules that it made are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield Notebook()
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in sys.modules[name].__file__:
            del sys.modules[name]


def test_names_come_from_a_real_module(notebook, tmp_path):
    """A leaf of the cell is one of a module with a file, which another process can import."""
    notebook.run("cell_leaves", LEAF.format(name="double", sign="*"))
    double = notebook.user_ns["double"]
    assert double(4) == 8
    assert double.node.leaf.name == "cell_leaves:double"
    assert (tmp_path / "cell_leaves.py").read_text().splitlines()[0].startswith("# %%tierfed_module cell_leaves ")
    assert str(tmp_path) in sys.path
    check_deployable(double.node)


def test_lines_are_the_cells(notebook):
    """The magic's own line is line 1, in the cell and in the file."""
    notebook.run("cell_lines", "\ndef third():\n    pass\n")
    assert notebook.user_ns["third"].__code__.co_firstlineno == 3


def test_run_again_with_other_code(notebook, monkeypatch):
    """At once, in the same second and of the same size: the new code runs, under a new digest."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # for what is compiled is what could be stale
    notebook.run("cell_again", LEAF.format(name="by_two", sign="*"))
    old = notebook.user_ns["by_two"]
    notebook.run("cell_again", LEAF.format(name="by_two", sign="+"))
    new = notebook.user_ns["by_two"]
    assert (old(5), new(5)) == (10, 7)
    assert old.node.leaf.name == new.node.leaf.name and old.node.leaf.digest != new.node.leaf.digest
    notebook.run("cell_again", LEAF.format(name="by_two", sign="*"))
    assert notebook.user_ns["by_two"].node.leaf.digest == old.node.leaf.digest


def test_a_name_that_the_cell_no_longer_has_goes(notebook):
    """From the module and from the notebook, unless the notebook has made something else of it."""
    notebook.run("cell_names", "a = object()\nb = object()\n")
    notebook.user_ns["b"] = "mine"
    notebook.run("cell_names", "c = 3\n")
    assert notebook.user_ns == {"b": "mine", "c": 3}
    assert not hasattr(sys.modules["cell_names"], "a")


def test_private_names_and_all(notebook):
    """What `from module import *` brings: no underscores, or what `__all__` says."""
    notebook.run("cell_public", "_hidden, shown = 1, 2\n")
    assert notebook.user_ns == {"shown": 2}
    notebook.run("cell_public", "__all__ = ['_hidden']\n_hidden, shown = 1, 2\n")
    assert notebook.user_ns == {"_hidden": 1}


def test_in_a_folder(notebook, tmp_path):
    """A folder that is given is searched from then on, after all others."""
    (tmp_path / "my leaves").mkdir()
    notebook.run("cell_folder 'my leaves'", "x = 1\n")
    assert sys.modules["cell_folder"].__file__ == str(tmp_path / "my leaves" / "cell_folder.py")
    assert sys.path[-1] == str(tmp_path / "my leaves")


def test_code_that_is_no_python_changes_nothing(notebook, tmp_path):
    """The error is raised before the file of the last run is touched."""
    notebook.run("cell_syntax", "x = 1\n")
    text = (tmp_path / "cell_syntax.py").read_text()
    with pytest.raises(SyntaxError) as error:
        notebook.run("cell_syntax", "x = 2\ny = = 3\n")
    assert error.value.lineno == 3
    assert (tmp_path / "cell_syntax.py").read_text() == text and notebook.user_ns == {"x": 1}


def test_what_the_module_raises_is_raised(notebook):
    """And the module is not taken for imported: the next run imports it anew."""
    with pytest.raises(ZeroDivisionError):
        notebook.run("cell_raises", "1 / 0\n")
    assert "cell_raises" not in sys.modules
    notebook.run("cell_raises", "x = 1\n")
    assert notebook.user_ns["x"] == 1


REFUSED = {
    "": "%%tierfed_module: expected a name and perhaps a folder, got ''\n  to mend: write %%tierfed_module my_leaves",
    "one two three": "expected a name and perhaps a folder, got 'one two three'",
    "'open": "expected a name and perhaps a folder",
    "my-leaves": "%%tierfed_module my-leaves: this is no name of a module\n  to mend: use letters, digits and _",
    "a.b": "this is no name of a module",
    "class": "this is no name of a module",
    "numpy": "%%tierfed_module numpy: there is a module numpy already: ",
    "tierfed": "there is a module tierfed already: ",
    "random": "there is a module random already: it is Python's own\n  to mend: choose another name",
    "builtins": "it is Python's own",
    "__main__": "it is Python's own",
    "leaves nowhere": "there is no folder ",
}


@pytest.mark.parametrize("line", REFUSED)
def test_refused(notebook, tmp_path, line):
    """Names that would hide a module, and what names nothing; no file is written."""
    with pytest.raises(TierfedError) as error:
        notebook.run(line, "x = 1\n")
    assert REFUSED[line] in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_somebodys_own_is_not_overwritten(notebook, tmp_path):
    """Only what the magic has written does it write again."""
    (tmp_path / "precious.py").write_text("work = 'of weeks'\n")
    with pytest.raises(TierfedError, match=r"precious\.py was not written by this magic"):
        notebook.run("precious", "x = 1\n")
    assert (tmp_path / "precious.py").read_text() == "work = 'of weeks'\n"


def test_the_same_name_in_two_folders(notebook, tmp_path):
    """A name has one file: nodes could not tell which of two is meant."""
    (tmp_path / "other").mkdir()
    notebook.run("cell_twice", "x = 1\n")
    with pytest.raises(TierfedError, match=r"there is a module cell_twice already: .*cell_twice\.py"):
        notebook.run("cell_twice other", "x = 2\n")


def test_a_package_that_is_not_loaded_yet(notebook, tmp_path, monkeypatch):
    """What could be imported counts, and not only what was."""
    (tmp_path / "elsewhere" / "later").mkdir(parents=True)
    (tmp_path / "elsewhere" / "later" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    with pytest.raises(TierfedError, match="there is a module later already: .*__init__"):
        notebook.run("later", "x = 1\n")


def test_a_function_of_a_prompt_is_told_of_the_magic(monkeypatch):
    """The mend of a leaf without a file names it."""

    def typed(x):
        return x

    typed.__module__, typed.__qualname__ = "__main__", "typed"
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__name__="__main__"))
    leaf = tierfed.py_computation(np.int32, returns=np.int32)(typed)
    with pytest.raises(tierfed.CompileError, match=r"%load_ext tierfed and begin the cell with %%tierfed_module NAME"):
        check_deployable(leaf.node)


def test_a_module_that_is_reloaded_by_hand(notebook, tmp_path):
    """importlib.reload is heard too; a file that changed without one is not what runs."""
    module = write_module("cell_by_hand", "def f(x):\n    return x\n", tmp_path)
    t = tierfed.FunctionType(np.int32, np.int32)
    first = py.digest(module.f, t)
    (tmp_path / "cell_by_hand.py").write_text("def f(x):\n    return x + 1000\n")
    assert py.digest(module.f, t) == first
    assert py.digest(importlib.reload(module).f, t) != first


def raised(notebook, code):
    """Tell the error of a cell as IPython has it told; return the error."""
    try:
        exec(compile(code, "a cell", "exec"), notebook.user_ns)
    except TierfedError as error:
        notebook.tell(notebook, type(error), error, error.__traceback__, tb_offset=1)
        return error


def test_an_error_is_told_in_short(notebook, monkeypatch):
    """The cell's line and what the error says; the frames in between are there for %tb."""
    for name in ("last_type", "last_value", "last_traceback"):
        monkeypatch.setattr(sys, name, None, raising=False)
    error = raised(notebook, "import tierfed\n\ntierfed.to_type('flaot32')")
    [lines] = notebook.told
    assert [line.rstrip() for line in lines if line] == [
        "----> 3",
        "NotationError: a cell:3: 'flaot32', column 1: no type is called 'flaot32'\n  to mend: did you mean 'float32'?",
        "(%tb shows the whole traceback)",
    ]
    assert sys.last_value is error and sys.last_traceback is error.__traceback__


def test_an_error_with_a_cause_is_told_whole(notebook):
    """What a leaf has raised, here or in another process, has frames of the user's own."""
    error = raised(
        notebook,
        "import tierfed\nraise tierfed.LeafError('it raised') from ZeroDivisionError()",
    )
    there = raised(notebook, "import tierfed\nraise tierfed.LeafError('it raised', remote_traceback='File ...')")
    assert [told[1] for told in notebook.told] == [error, there]
