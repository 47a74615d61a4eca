"""Modules: what a name on the command line or in a topology stands for.

    imported("program", folder, …)                    the module, `folder` first on sys.path
    load_computation("program:step", folder)          that computation
    load_computation("program:train", folder)         the round of that job
    load_computation("demo/program.py:step", folder)  the same, by file
    load_computation("program", folder)               the one computation of that module

A file is imported under the name by which its folder, or its package, knows it, since leaves are
found by that name on every node.  Importing runs user code, which may do anything; what it raises
is told with the user's own line.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from pathlib import Path
from traceback import format_exception
from types import ModuleType, TracebackType

import tierfed
from tierfed.errors import JobError, TierfedError
from tierfed.ir.nodes import Compiled
from tierfed.language.computation import Computation
from tierfed.language.job import Job

_OURS = str(Path(tierfed.__file__).parent)
_LEARNING = f"{_OURS}/learning/"  # written in the language, as a user would


def imported(name: str, folder: Path | None, where: str) -> ModuleType:
    """Return the module `name`, imported with `folder` first on `sys.path`.

    Raises JobError if there is none or its code raises, and what tierfed itself has to say about that code.
    """
    if folder is not None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    except TierfedError:
        raise
    except (Exception, SystemExit) as error:
        lacking = error.name if isinstance(error, ModuleNotFoundError) else None
        if lacking is not None and f"{name}.".startswith(f"{lacking}."):
            raise JobError(
                f"no module {lacking}", where=where, mend="install it, or put it in the topology's folder"
            ) from error
        wrong_text = isinstance(error, SyntaxError) and error.filename is not None
        raise JobError(
            f"{name} raised {type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}",
            where=f"{error.filename}:{error.lineno}" if wrong_text and isinstance(error, SyntaxError) else where,
            mend=f"run `python -c 'import {name}'` and mend what it shows",
            remote_traceback="".join(format_exception(type(error), error, _from_user_code(error.__traceback__))),
        ) from error


def _from_user_code(at: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first frame that is neither ours nor the import system's."""
    while at is not None:
        file = at.tb_frame.f_code.co_filename
        ours = file.startswith(f"{_OURS}/") and not file.startswith(_LEARNING)
        if not ours and not file.startswith("<frozen importlib") and file != importlib.__file__:
            break
        at = at.tb_next
    return at


def load_computation(spec: str, folder: Path | None) -> tuple[str, Computation]:
    """Return the computation that `spec` names, or that of a round of the job that it names, with its full name.

    Raises JobError, naming what is missing, with a suggestion.
    """
    where = f"program {spec}"
    wanted, colon, name = spec.rpartition(":") if ":" in spec else (spec, "", "")
    if not wanted or (colon and not name):
        raise JobError(f"{spec!r} names no program", where="program", mend="write `module:name`, as in fedavg:step")
    module = _from_file(Path(wanted), where) if wanted.endswith(".py") else imported(wanted, folder, where)
    known = {n: v for n, v in vars(module).items() if isinstance(v, Computation | Job)}
    if not colon:
        name = _only(module, known, where)
    found = getattr(module, name, None)
    if isinstance(found, Job):
        if found.round is None:
            raise JobError(f"the job {name} names no round", where=where, mend="write @tierfed.job(round=step)")
        return f"{found.round.__module__}:{found.round.name}", found.round
    if not isinstance(found, Computation):
        near = difflib.get_close_matches(name, known, 1)
        raise JobError(
            f"{module.__name__}:{name} is no computation, but a value of {type(found).__name__}"
            if hasattr(module, name)
            else f"{module.__name__} has no {name}" + (f"; did you mean {near[0]!r}?" if near else ""),
            where=where,
            mend=f"it has: {', '.join(known)}" if known else "decorate one with @tierfed.federated_computation",
        )
    return f"{module.__name__}:{name}", found


def _from_file(path: Path, where: str) -> ModuleType:
    """Return the module in the file at `path`, by the name that its folder or its package has for it."""
    if not path.is_file():
        raise JobError("no such file", where=str(path), mend="write the path of a Python file, or module:name")
    path = path.resolve()
    names, folder = [path.stem], path.parent
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    module = imported(".".join(names), folder, where)
    if module.__file__ is None or Path(module.__file__).resolve() != path:
        raise JobError(
            f"the module {module.__name__} is another file, {module.__file__}",
            where=where,
            mend="rename yours: leaves are found by their module's name",
        )
    return module


def _only(module: ModuleType, known: dict[str, Computation | Job[..., object]], where: str) -> str:
    """Return the name of the one computation that `module` defines, or holds if it defines none."""
    held = [n for n, v in known.items() if isinstance(v, Computation) and not isinstance(v.node, Compiled)]
    own = [n for n in held if known[n].__module__ == module.__name__] or held
    if len(own) == 1:
        return own[0]
    raise JobError(
        f"{module.__name__} has {len(own)} computations: {', '.join(own)}" if own else "it has no computation",
        where=where,
        mend=f"name one: {module.__name__}:{own[0]}" if own else "decorate one with @tierfed.federated_computation",
    )
