"""The notebook extension: a cell that is a module, so that daemons can import it; and errors, told in short.

    %load_ext tierfed

    %%tierfed_module leaves
    import numpy as np, tierfed

    @tierfed.py_computation(np.float32, returns=np.float32)
    def to_celsius(x):
        return np.float32((x - 32) / 1.8)

A Python leaf is run by reference: each node imports its module, and a notebook's own names have no
file to import.  `%%tierfed_module NAME [FOLDER]` writes the cell to FOLDER/NAME.py (the working
directory, unless one is given), imports that, and puts its public names into the notebook.  Run
again with other code it is another module of the same name: computations made from then on are of
the new code, and so are trees brought up from then on.  In a tree that is up, a node that has
imported the old code refuses the new, by digest.

The cell's first line becomes a comment in the file.  So line numbers in a traceback are those of
the cell, and a file without that comment is somebody's own, which is never written over.  Nothing
is executed but the file, by Python's import.

A TierfedError says where, what and how to mend it, so the frames between the cell and it are no help to whoever made
the mistake: a cell that raises one shows its own lines and the error, and `%tb` all of it.  An error with a cause, or
of another process, is shown whole: there the frames are the user's.
"""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import importlib.util
import keyword
import os
import secrets
import shlex
import sys
import traceback
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from tierfed.errors import TierfedError

MAGIC = "tierfed_module"
_MARK = f"# %%{MAGIC} "
_NOTE = "  (written by a notebook's cell, which overwrites it)"


def load_ipython_extension(ipython: Any) -> None:
    """Register the cell magic, and tell errors in short; `%load_ext tierfed` calls this."""

    def tierfed_module(line: str, cell: str) -> None:
        """%%tierfed_module NAME [FOLDER]: make this cell the module NAME, which daemons can import."""
        name, folder = _named(line)
        before = sys.modules.get(name)
        module = write_module(name, cell, folder)
        for gone in _public(before) if before is not None else {}:
            if ipython.user_ns.get(gone) is getattr(before, gone):
                del ipython.user_ns[gone]
        ipython.push(_public(module))

    ipython.register_magic_function(tierfed_module, magic_kind="cell", magic_name=MAGIC)
    ipython.set_custom_exc((TierfedError,), _tell)


def _tell(
    ipython: Any, kind: type[TierfedError], error: TierfedError, frames: TracebackType, tb_offset: int | None = None
) -> list[str]:
    """Show `error` of a cell: in short, if nobody's code but ours is between the two."""
    if error.__cause__ is not None or error.remote_traceback is not None:
        ipython.showtraceback((kind, error, frames), tb_offset=tb_offset)
        return []
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, frames  # what %tb shows
    walked = zip(traceback.walk_tb(frames), traceback.extract_tb(frames), strict=True)
    told = [f"----> {one.lineno} {one.line}" for (frame, _), one in walked if frame.f_globals is ipython.user_ns]
    told += ["", f"{kind.__name__}: {error}", "", "(%tb shows the whole traceback)"]
    ipython._showtraceback(kind, error, told)
    return told


def write_module(name: str, code: str, folder: Path) -> ModuleType:
    """Write `code` to the file of module `name` in `folder`, import it anew, and return the module.

    Raises TierfedError, and leaves everything as it was, if the name is not free or there is no such
    folder; SyntaxError if the code is no Python; and whatever the module raises when it is imported.
    """
    file = folder / f"{name}.py"
    _check_free(name, file)
    text = f"{_MARK}{name}{_NOTE}\n{code}"
    ast.parse(text, str(file))  # raises, before anything is written, if it is no Python
    _replace(file, text)
    # a compiled file is taken for current by size and second, and two runs of a cell may agree in both
    cached = Path(importlib.util.cache_from_source(str(file)))
    for old in cached.parent.glob(f"{name}.*.pyc"):
        old.unlink(missing_ok=True)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # last: its other files stand before nobody's modules
    importlib.invalidate_caches()
    sys.modules.pop(name, None)  # not reloaded: names that the cell no longer has would stay
    return importlib.import_module(name)


def _named(line: str) -> tuple[str, Path]:
    """Return the name and the folder that the magic's line says."""
    try:
        words = shlex.split(line)
    except ValueError:
        words = []
    if len(words) not in (1, 2):
        raise TierfedError(
            f"expected a name and perhaps a folder, got {line!r}",
            where=f"%%{MAGIC}",
            mend=f"write %%{MAGIC} my_leaves, say",
        )
    return words[0], Path(words[1] if len(words) == 2 else "").absolute()


def _check_free(name: str, file: Path) -> None:
    """Raise TierfedError unless `name` may be that of the module in `file`."""
    where = f"%%{MAGIC} {name}"
    if not name.isidentifier() or keyword.iskeyword(name):
        raise TierfedError("this is no name of a module", where=where, mend="use letters, digits and _: my_leaves, say")
    if not file.parent.is_dir():
        raise TierfedError(f"there is no folder {file.parent}", where=where, mend="make it first, or give another")
    other = _elsewhere(name, file)
    if other is not None:
        raise TierfedError(
            f"there is a module {name} already: {other}",
            where=where,
            mend="choose another name, which hides no module from others",
        )
    if file.exists() and not file.read_text("utf-8", errors="replace").startswith(_MARK):
        raise TierfedError(
            f"{file} was not written by this magic, which would overwrite it",
            where=where,
            mend="choose another name; or import the file as it is",
        )


def _elsewhere(name: str, file: Path) -> str | None:
    """Return where `import name` finds a module that is not in `file`, None if it finds none."""
    if name in sys.stdlib_module_names or name == "__main__":
        return "it is Python's own"
    loaded = sys.modules.get(name)
    spec = importlib.machinery.PathFinder.find_spec(name, [*sys.path, str(file.parent)])
    for origin in (getattr(loaded, "__file__", None), None if spec is None else spec.origin):
        if origin is not None and not _same(Path(origin), file):
            return str(origin)
    return None


def _same(a: Path, b: Path) -> bool:
    return a.resolve() == b.resolve()


def _replace(file: Path, text: str) -> None:
    """Write `text` to `file` whole or not at all: a node may be importing it."""
    new = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        new.write_text(text, encoding="utf-8")
        os.replace(new, file)
    finally:
        new.unlink(missing_ok=True)


def _public(module: ModuleType) -> dict[str, Any]:
    """Return what `from module import *` would bring."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [name for name in vars(module) if not name.startswith("_")]
    return {name: getattr(module, name) for name in names}
