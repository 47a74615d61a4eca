"""The user's own line: where in the user's code an error came about.

    climate.py:8: federated_zip: two placements, CLIENTS and SERVER: …

It is the innermost frame that is not TierFed's, nor numpy's, nor the standard library's: a
program of `tierfed.learning` counts as a user's, since it is written as one.  A process that
runs no code of a user (a daemon that reads a program) has none, and says none.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from tierfed.errors import (
    CompileError,
    EmptyAggregate,
    LeafError,
    PlacementError,
    TierfedError,
    TypeMismatch,
    ValueMismatch,
)

_PACKAGE = f"{Path(__file__).resolve().parent}{os.sep}"
_PROGRAMS = f"{_PACKAGE}learning{os.sep}"
_LIBRARY = f"{Path(os.__file__).resolve().parent}{os.sep}"
_SCRIPTS = f"{Path(sys.prefix).resolve()}{os.sep}bin{os.sep}"
_OTHERS = ("numpy.", "click.")  # as under np.mean(x), or the command line
_INSTALLED = (f"{_LIBRARY}site-packages{os.sep}", f"{_LIBRARY}dist-packages{os.sep}")
_TOLD = (TypeMismatch, ValueMismatch, PlacementError, CompileError, LeafError, EmptyAggregate)
_HAS_LINE = re.compile(r".*?:\d+(: |\Z)")


def user_line() -> str:
    """Return `file:line` of the user's code that led here, nothing if there is none."""
    frame = sys._getframe(1)
    while _is_ours(frame.f_code.co_filename, frame.f_globals):
        if frame.f_back is None:
            return ""
        frame = frame.f_back
    return f"{_shown(frame.f_code.co_filename)}:{frame.f_lineno}"


def _shown(file: str) -> str:
    """Return what to call a file: that of a notebook's cell as the cell is called, `In[3]`."""
    if "ipykernel" not in file and not file.startswith("<ipython-input"):
        return file
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()  # imported already, or there is no cell
    number = getattr(getattr(shell, "compile", None), "_filename_map", {}).get(file)
    return file if number is None else f"In[{number}]"


def at_user_line(where: str = "") -> str:
    """Return `where` after the user's line."""
    return ": ".join(part for part in (user_line(), where) if part)


def _is_ours(file: str, module: dict[str, object]) -> bool:
    """Return whether `file` is none of the user's: the package's, numpy's, or Python's own."""
    if file.startswith(_PACKAGE):
        return not file.startswith(_PROGRAMS)
    name = str(module.get("__name__"))
    if file.startswith(("<frozen ", _SCRIPTS)) or name.startswith(_OTHERS):
        return True
    if file == "<string>":  # a method that a dataclass wrote
        return name.startswith("tierfed.")
    return file.startswith(_LIBRARY) and not file.startswith(_INSTALLED)


def tell_line(error: TierfedError, line: str | None, what: str = "") -> None:
    """Put `line` before `where` of `error`, which is `what` if it says none; what has a line keeps it."""
    where = error.where or what
    if line and not _HAS_LINE.match(where):
        error.where = f"{line}: {where}" if where else line


class located:  # noqa: N801  # read as a statement: `with located("federated_sum"):`
    """Put the user's line before `where` of an error about a program or its arguments that is raised inside.

    An error that says nowhere gets `what` as its place.  For functions that users call.
    """

    def __init__(self, what: str = "") -> None:
        self.what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        if isinstance(error, _TOLD):
            tell_line(error, user_line(), self.what)
