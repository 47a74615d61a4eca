"""The user's code within a node: its search path, and the caller's script as `__mp_main__`.

A program that stands in the script which called `up` is named `__main__:train`
by nobody but that script.  As in multiprocessing, each node imports the script
under the name `__mp_main__` (so that `if __name__ == "__main__":` keeps it from
starting another run) and then knows it as `__main__` too.

This happens after the fork, once a process: user code may start threads or trace
a TensorFlow graph, and a process that did must never fork.

Source: multiprocessing.spawn, `_fixup_main_from_path` and `_fixup_main_from_name`.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from tierfed.errors import TierfedError
from tierfed.launch.interpreter import RUN_VARIABLE

_NAME = "__mp_main__"


def calling_script() -> str | None:
    """Return what `prepare` needs to import the running script: a path, or a module's name after `python -m`.

    None in a notebook, at a prompt, and in the `tierfed` command.
    """
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        name = str(spec.name)
        return None if name.partition(".")[0] in ("tierfed", "pytest", "IPython", "ipykernel") else name
    path = str(getattr(main, "__file__", ""))
    return os.path.abspath(path) if path.endswith(".py") else None


def prepare(search_path: Sequence[str], script: str | None) -> None:
    """Put `search_path` first on `sys.path`, then import `script` (see `calling_script`)."""
    sys.path[:] = [*search_path, *(entry for entry in sys.path if entry not in search_path)]
    if script is None:
        return
    main = types.ModuleType(_NAME)
    if script.endswith(".py"):
        main.__dict__.update(runpy.run_path(script, run_name=_NAME))
    else:  # with `alter_sys`, as run_path does: a dataclass looks for its own module
        main.__dict__.update(runpy.run_module(script, run_name=_NAME, alter_sys=True))
    sys.modules["__main__"] = sys.modules[_NAME] = main


def resolve(name: str) -> Callable[..., Any]:
    """Return the function that "module:function" names."""
    module, colon, function = name.partition(":")
    found = getattr(importlib.import_module(module), function, None) if colon else None
    if not callable(found):
        raise TierfedError(f"{name!r} names no function", where="launch", mend="write module:function")
    return found  # type: ignore[no-any-return]


def forbid_inside_a_run() -> None:
    """Raise if this process belongs to a run: a node that imports a script without a main guard ends here."""
    run = os.environ.get(RUN_VARIABLE)
    if run is not None:
        raise TierfedError(
            f"this process is a node of run {run}, and cannot bring up another tree",
            where="up",
            mend='nodes import your script: put its last lines under\n      if __name__ == "__main__":\n'
            "          tierfed.up(...)",
        )
